/*
 * The referee: every operation as plain loops over plain NCHW floats. Every sum is taken in double
 * in a fixed order and rounded once, so that a difference to another backend is that backend's.
 */
#ifndef NERO_REF_H
#define NERO_REF_H

#include <stddef.h>

#include "backend/backend.h"

struct ref_dims {
    size_t n, c, h, w;
};

/* Behind every struct backend_op of this backend. An FC is a convolution whose window is its input.
 */
struct ref_op {
    struct backend_op_desc desc;
    struct ref_dims out;
    uint32_t src_count;
    struct ref_dims src[]; /* src_count */
};

static inline size_t ref_count(struct ref_dims dims)
{
    return dims.n * dims.c * dims.h * dims.w;
}

/* [n,c,0,0] of a tensor, in floats from its start. */
static inline size_t ref_plane(struct ref_dims dims, size_t n, size_t c)
{
    return (n * dims.c + c) * dims.h * dims.w;
}

/* The part [*first, *last) of a window of `kernel` at output `at` that lies inside [0, in). */
static inline void ref_window(size_t at, size_t stride, size_t pad, size_t kernel, size_t in,
                              size_t *first, size_t *last)
{
    size_t start = at * stride;

    *first = start < pad ? pad - start : 0;
    *last = start + kernel > in + pad ? in + pad - start : kernel;
}

/* Activation and its slope at z. A NaN stays one. */
double ref_act(enum backend_activation activation, double z);
double ref_act_slope(enum backend_activation activation, double z);

/*
 * What follows the sum of an operation with a fused activation. In forward `dst` holds z and
 * becomes act(z); `kept` (may be NULL) keeps z for the backward, which gives the gradient at z:
 * `ddst` itself or, where there is an activation, `scratch`.
 */
void ref_act_finish(const struct ref_op *op, float *dst, float *kept);
const float *ref_act_backward(const struct ref_op *op, const float *ddst, const float *kept,
                              float *scratch);

void ref_conv_forward(const struct ref_op *op, const struct backend_op_args *args);
void ref_conv_backward(const struct ref_op *op, const struct backend_op_args *args);
void ref_batch_norm_forward(const struct ref_op *op, const struct backend_op_args *args);
void ref_batch_norm_backward(const struct ref_op *op, const struct backend_op_args *args);
void ref_batch_norm_sums(const struct ref_op *op, const struct backend_op_args *args, bool backward,
                         double *sums);
void ref_scale_shift_forward(const struct ref_op *op, const struct backend_op_args *args);
void ref_scale_shift_backward(const struct ref_op *op, const struct backend_op_args *args);
void ref_activation_forward(const struct ref_op *op, const struct backend_op_args *args);
void ref_activation_backward(const struct ref_op *op, const struct backend_op_args *args);
void ref_pool_forward(const struct ref_op *op, const struct backend_op_args *args);
void ref_pool_backward(const struct ref_op *op, const struct backend_op_args *args);
void ref_concat_forward(const struct ref_op *op, const struct backend_op_args *args);
void ref_concat_backward(const struct ref_op *op, const struct backend_op_args *args);

enum nero_status ref_softmax_ce(struct backend *backend, const struct backend_layout *layout,
                                const float *logits, const uint8_t *labels, uint32_t valid,
                                float scale, float *loss_rows, float *dlogits,
                                struct nero_err *err);
enum nero_status ref_update(struct backend *backend, const struct backend_update *update,
                            float two_lambda, float *w, const float *g, float *slot0, float *slot1,
                            uint64_t count, struct nero_err *err);
enum nero_status ref_sum_squares(struct backend *backend, const float *w, uint64_t count,
                                 double *out, struct nero_err *err);

#endif
