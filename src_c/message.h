/* A message: what encode.c writes and decode.c reads (format.md 2). */
#ifndef GSZ_MESSAGE_H
#define GSZ_MESSAGE_H

#include "gathered.h"
#include "packed.h"
#include "prior.h"

static const uint8_t gsz_magic[3] = {'G', 'S', 'Z'};
#define GSZ_FLAG_NAMED 1u
#define GSZ_FLAG_PRIOR 4u          /* uses what both ends have */
#define GSZ_FLAG_STREAM 8u
#define GSZ_FLAG_PACKED 2u         /* the entries of the table are packed */

/* Shortest message: magic, version, flags, header length, checksum. */
#define GSZ_PRELUDE 5

GSZ_INLINE unsigned gsz_worker_count(const gsz_options *options) {
    return GSZ_MAX(1u, GSZ_MIN(options->nthreads, GSZ_MAX_THREADS));
}

#endif
