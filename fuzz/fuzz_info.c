/* The table of a message: what gsz_message_info says holds together, without a look at the sections. */
#include "fuzz.h"
#include "reseal.h"

static void check_info(const gsz_info *info, size_t size) {
    uint64_t elements = 1;
    size_t itemsize = gsz_itemsize(info->dtype);
    REQUIRE(itemsize > 0 && info->ndim <= GSZ_MAX_DIMS);
    for (unsigned d = 0; d < info->ndim; d++) elements *= info->shape[d];
    REQUIRE(info->elements == elements && info->nbytes == elements * itemsize);
    REQUIRE(info->compressed <= size);
    REQUIRE((info->codec == GSZ_CODEC_EMPTY) == (elements == 0));
    const int values = info->codec == GSZ_CODEC_UNIFORM || info->codec == GSZ_CODEC_MODEL;
    const int bounded = values && info->mode <= GSZ_PSNR;
    const int unbounded = info->codec == GSZ_CODEC_SPHERICAL || (values && !bounded);       /* a quantiser took the bound's place */
    REQUIRE(bounded ? info->eb > 0 && info->eb <= 0x1.fffffffffffffp1023 : unbounded ? info->eb > 0x1.fffffffffffffp1023 : info->eb == 0);
    REQUIRE((info->nlevels == 0 || info->mode == GSZ_MODE_LEVELS) && info->nlevels <= 32 && (info->block > 1) == (info->codec == GSZ_CODEC_SPHERICAL));
    REQUIRE(info->name_length <= 1023 && gsz_name_ok(info->name, info->name_length));
}

/* The largest size of a message for the shapes found here is never below the raw size. */
static void check_bound(const gsz_info *info) {
    gsz_input in;
    gsz_input_init(&in);
    in.dtype = info->dtype;
    in.ndim = info->ndim;
    in.shape = info->shape;
    uint64_t bound = gsz_compress_bound(&in, 1, 0);
    REQUIRE(bound == 0 || bound >= info->nbytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_options options;
    gsz_message *m;
    gsz_info info;
    fuzz_options(&in, &options);
    if (fuzz_take(&in) & 1) options.max_output = 0;
    uint8_t *message = fuzz_copy(&in);
    reseal(message, in.size);
    if (gsz_open(message, in.size, &options, &m) == GSZ_OK) {
        size_t count = gsz_message_count(m);
        REQUIRE(gsz_message_named(m) || count == 1);
        for (size_t i = 0; i < count; i++) {
            REQUIRE(gsz_message_info(m, i, &info) == GSZ_OK);
            check_info(&info, in.size);
            check_bound(&info);
        }
        REQUIRE(gsz_message_info(m, count, &info) == GSZ_E_PARAMETER);
        gsz_close(m);
    }
    free(message);
    return 0;
}
