/*
 * safetensors files of float32 tensors: 8-byte little-endian header length, JSON header, data.
 * Ours are canonical: names in the given order with offsets ascending and dense, no metadata,
 * header padded with spaces to 8 bytes; equal tensors give equal bytes, so that a blob's hash is a
 * content hash. Any safetensors reader opens them. Source: huggingface/safetensors, "Format".
 */
#ifndef NERO_SAFETENSORS_H
#define NERO_SAFETENSORS_H

#include <stdint.h>

#include "nero/bytes.h"
#include "nero/err.h"

enum {
    SAFETENSORS_NAME_BYTES = 96,
    SAFETENSORS_RANK_MAX = 4,
    SAFETENSORS_TENSORS_MAX = 16384,
    SAFETENSORS_HEADER_BYTES_MAX = 4 * 1024 * 1024
};

struct safetensors_tensor {
    char name[SAFETENSORS_NAME_BYTES]; /* [A-Za-z0-9._-] */
    uint32_t rank;
    uint64_t dims[SAFETENSORS_RANK_MAX];
    uint64_t count;    /* product of dims */
    const float *data; /* little-endian float32; borrowed */
};

/*
 * Append the file but for its data, and say where they go: the caller copies each tensor's floats
 * there, dense and in order; the tensors' own `data` is not looked at. `out` must end at a multiple
 * of 4. Errors: invalid (name, duplicate), too_big, no_memory.
 */
enum nero_status safetensors_begin(const struct safetensors_tensor *tensors, uint32_t count,
                                   struct bytes *out, float **data, struct nero_err *err);

/* Append the file. Errors: as safetensors_begin. */
enum nero_status safetensors_write(const struct safetensors_tensor *tensors, uint32_t count,
                                   struct bytes *out, struct nero_err *err);

/* A parsed file; tensors point into the bytes given (which must be 4-byte aligned at 8). */
struct safetensors_file {
    uint32_t count;
    struct safetensors_tensor *tensors; /* in file order; owned */
};

/* Checks everything: lengths, ranges, overlaps, dtype F32. Errors: corrupt with name and offset. */
enum nero_status safetensors_read(struct bytes_view bytes, struct safetensors_file *out,
                                  struct nero_err *err);
void safetensors_file_fini(struct safetensors_file *file);

/* NULL when there is none. */
const struct safetensors_tensor *safetensors_find(const struct safetensors_file *file,
                                                  const char *name);

#endif
