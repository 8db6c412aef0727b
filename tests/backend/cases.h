/*
 * The table of single operations on which every backend is compared with the referee, and the rig
 * that runs one of them on any backend: seeded inputs, guard regions around every area of memory,
 * every output poisoned with NaN beforehand.
 */
#ifndef NERO_TESTS_BACKEND_CASES_H
#define NERO_TESTS_BACKEND_CASES_H

#include <stddef.h>

#include "backend/backend.h"

enum { CASE_SOURCES_MAX = 3, CASE_NAME_BYTES = 160 };

struct op_case {
    char name[CASE_NAME_BYTES];
    struct backend_op_desc desc;
    uint32_t n;
    uint32_t src_count;
    uint32_t c[CASE_SOURCES_MAX];
    uint32_t h, w;        /* of every source */
    bool skip_gradient_0; /* concat: the first source wants no gradient */
};

/* The whole table; free with free(). Aborts without memory. */
struct op_case *cases_create(size_t *count);

/* What an operation computes or is given, on the host; images as NCHW. NULL where there is none. */
struct op_data {
    size_t src_floats[CASE_SOURCES_MAX];
    size_t dst_floats;
    size_t param_floats[2];
    float *src[CASE_SOURCES_MAX]; /* given */
    float *param[2];              /* given */
    float *ddst;                  /* given */
    float *stat[2];               /* given, and updated by batch norm in training */
    float *dst;
    float *dsrc[CASE_SOURCES_MAX];
    float *dparam[2];
};

/*
 * Inputs of a case, the same for every backend. ReLU arguments stay away from 0 and values under a
 * max pooling differ by 1 / count or more, so that finite differences meet no kink.
 */
void data_create(const struct op_case *op_case, uint64_t seed, struct op_data *out);
void data_destroy(struct op_data *data);

/*
 * Run forward and, with `backward`, backward. through_conv: every source is first copied by a 1x1
 * identity convolution, so that it comes in the layout that the backend likes best.
 * Errors: the backend's; invalid where a guard region was overwritten.
 */
enum nero_status case_run(struct backend *backend, const struct op_case *op_case, bool through_conv,
                          bool backward, struct op_data *data, struct nero_err *err);

#endif
