/* The hot loop of symbols.c: lanes side by side, no check a symbol.  Included by kernels_impl.h.
 *
 * Safety.  A group is `groups` refills of 8 bytes, each followed by a fixed number of lookups.
 *  - Reading: a group starts only while every lane has GROUP_BYTES left in its own stream: each refill loads
 *    8 bytes and moves on by at most 7, so the last byte touched is at most 7 * (groups - 1) + 8 ahead.
 *  - Writing: the position is clamped to the lane's limit before each store, and the output has
 *    GSZ_LANE_PADDING elements of room behind it.
 *  - Meaning: a group that passes a limit is undone, and the careful loop of symbols.c goes on from there. */
#define GROUP_REFILLS 2
#define GROUP_BYTES (7 * (GROUP_REFILLS - 1) + 8)

GSZ_INLINE void NAME(refill)(gsz_lane *lane) {
    lane->bits |= gsz_load_le64(lane->p) << lane->count;        /* nocheck: GROUP_BYTES */
    lane->p += (63 - lane->count) >> 3;
    lane->count |= 56;
}

GSZ_INLINE void NAME(lookup)(gsz_lane *lane, const gsz_symbol_decoder *d, uint32_t mask, int wide) {
    const uint64_t *table = wide ? d->wide : d->narrow;
    uint64_t e = table[(lane->bits & mask) + lane->table];
    unsigned code = (unsigned)(e >> GSZ_ENTRY_BITS) & 31, extra = (unsigned)(e >> GSZ_ENTRY_EXTRA) & 31;
    uint64_t rest = lane->bits >> code;
    uint32_t number = (uint32_t)(rest & (((uint64_t)1 << extra) - 1));
    size_t at = lane->position < lane->limit ? lane->position : lane->limit;
    lane->bits = rest >> extra;
    lane->count -= code + extra;
    lane->table = (uint32_t)(e >> GSZ_ENTRY_NEXT & 1) * (mask + 1);
    if (wide) {
        uint32_t of_value = 0u - (uint32_t)(e >> GSZ_ENTRY_OF_VALUE & 1);
        d->out32[at] = (int32_t)((uint32_t)e + (number & of_value));
        number &= ~of_value;
    } else {
        d->out16[at] = (int16_t)(uint16_t)e;
        d->out16[at + 1] = (int16_t)(uint16_t)(e >> 16);
    }
    lane->position += (size_t)(e >> GSZ_ENTRY_ADVANCE & 0xffff) + number;
}

GSZ_INLINE void NAME(decode_lanes)(gsz_symbol_decoder *d, unsigned lanes, int wide) {
    gsz_lane lane[GSZ_STREAMS], saved[GSZ_STREAMS];
    const uint32_t mask = ((uint32_t)1 << d->bits) - 1;
    for (unsigned j = 0; j < lanes; j++) lane[j] = d->lane[j];
    for (;;) {
        int go = 1;
        for (unsigned j = 0; j < lanes; j++)
            go &= ((size_t)(lane[j].end - lane[j].p) >= GROUP_BYTES) & (lane[j].position < lane[j].limit);
        if (!go) break;
        for (unsigned j = 0; j < lanes; j++) saved[j] = lane[j];
        for (unsigned g = 0; g < GROUP_REFILLS; g++) {
            for (unsigned j = 0; j < lanes; j++) NAME(refill)(&lane[j]);
            for (unsigned k = 0; k < (wide ? GSZ_WIDE_LOOKUPS : GSZ_NARROW_LOOKUPS); k++)
                for (unsigned j = 0; j < lanes; j++) NAME(lookup)(&lane[j], d, mask, wide);
        }
        for (unsigned j = 0; j < lanes; j++) go &= lane[j].position <= lane[j].limit;
        if (go) continue;
        for (unsigned j = 0; j < lanes; j++) lane[j] = saved[j];
        break;
    }
    for (unsigned j = 0; j < lanes; j++) d->lane[j] = lane[j];
}

static void NAME(decode_narrow)(gsz_symbol_decoder *d) {
    if (d->streams == 1) NAME(decode_lanes)(d, 1, 0);
    else NAME(decode_lanes)(d, GSZ_STREAMS, 0);
}

static void NAME(decode_wide)(gsz_symbol_decoder *d) {
    if (d->streams == 1) NAME(decode_lanes)(d, 1, 1);
    else NAME(decode_lanes)(d, GSZ_STREAMS, 1);
}
#undef GROUP_REFILLS
#undef GROUP_BYTES
