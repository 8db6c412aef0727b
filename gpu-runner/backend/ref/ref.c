/* The referee's table: memory, the one layout, making and dispatching operations. */
#include "backend/ref/ref.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

struct ref_backend {
    struct backend base;
};

static void ref_destroy(struct backend *backend)
{
    free(backend);
}

static void ref_describe(struct backend *backend, char out[BACKEND_NAME_BYTES])
{
    (void)backend;
    snprintf(out, BACKEND_NAME_BYTES, "ref 1, double sums, float32 storage");
}

static void *ref_mem_alloc(struct backend *backend, uint64_t bytes)
{
    (void)backend;
    return bytes > SIZE_MAX - MEM_TENSOR_ALIGN ? NULL : mem_alloc_tensor((size_t)bytes);
}

static void ref_mem_free(struct backend *backend, void *ptr)
{
    (void)backend;
    free(ptr);
}

static enum nero_status ref_copy(struct backend *backend, void *to, const void *from,
                                 uint64_t bytes, struct nero_err *err)
{
    (void)backend;
    (void)err;
    if (bytes > 0) {
        memcpy(to, from, (size_t)bytes);
    }
    return NERO_OK;
}

static enum nero_status ref_image_layout(struct backend *backend, uint32_t n, uint32_t c,
                                         uint32_t h, uint32_t w, struct backend_layout *out,
                                         struct nero_err *err)
{
    uint64_t bytes = (uint64_t)n * c;

    (void)backend;
    if (__builtin_mul_overflow(bytes, (uint64_t)h * w, &bytes) ||
        __builtin_mul_overflow(bytes, sizeof(float), &bytes) || bytes > PTRDIFF_MAX) {
        return err_set(err, NERO_NO_MEMORY, 0, "tensor %u x %u x %u x %u: too big", n, c, h, w);
    }
    memset(out, 0, sizeof(*out));
    out->n = n;
    out->c = c;
    out->h = h;
    out->w = w;
    out->bytes = bytes;
    return NERO_OK;
}

static enum nero_status ref_import(struct backend *backend, const struct backend_layout *layout,
                                   const float *host, float *tensor, struct nero_err *err)
{
    return ref_copy(backend, tensor, host, layout->bytes, err);
}

static enum nero_status ref_export(struct backend *backend, const struct backend_layout *layout,
                                   const float *tensor, float *host, struct nero_err *err)
{
    return ref_copy(backend, host, tensor, layout->bytes, err);
}

/* One axis: do the padded input, window and stride give `out`, with some input in every window? */
static bool window_is_sound(uint64_t in, uint64_t before, uint64_t after, uint64_t kernel,
                            uint64_t stride, uint64_t out)
{
    return kernel > 0 && stride > 0 && before < kernel && after < kernel &&
           in + before + after >= kernel && (in + before + after - kernel) / stride + 1 == out;
}

static bool window_matches(const struct backend_op_desc *desc, const struct backend_layout *src)
{
    return window_is_sound(src->h, desc->pad_top, desc->pad_bottom, desc->kernel_h, desc->stride,
                           desc->out_h) &&
           window_is_sound(src->w, desc->pad_left, desc->pad_right, desc->kernel_w, desc->stride,
                           desc->out_w);
}

static bool keeps_shape(const struct backend_op_desc *desc, const struct backend_layout *src)
{
    return desc->out_c == src->c && desc->out_h == src->h && desc->out_w == src->w;
}

static bool concat_matches(const struct backend_op_desc *desc,
                           const struct backend_layout *const *src, uint32_t src_count)
{
    uint64_t channels = 0;

    for (uint32_t i = 0; i < src_count; i++) {
        if (src[i]->n != src[0]->n || src[i]->h != desc->out_h || src[i]->w != desc->out_w) {
            return false;
        }
        channels += src[i]->c;
    }
    return src_count > 0 && channels == desc->out_c;
}

static bool ref_supports(struct backend *backend, const struct backend_op_desc *desc,
                         const struct backend_layout *const *src, uint32_t src_count)
{
    (void)backend;
    if (desc->kind == BACKEND_CONCAT) {
        return concat_matches(desc, src, src_count);
    }
    if (src_count != 1) {
        return false;
    }
    switch (desc->kind) {
    case BACKEND_CONV:
        return window_matches(desc, src[0]);
    case BACKEND_POOL:
        return desc->out_c == src[0]->c && window_matches(desc, src[0]);
    case BACKEND_FC:
        return desc->out_h == 1 && desc->out_w == 1;
    case BACKEND_BATCH_NORM:
        return desc->training && keeps_shape(desc, src[0]);
    case BACKEND_SCALE_SHIFT:
    case BACKEND_ACTIVATION:
        return keeps_shape(desc, src[0]);
    default:
        return false;
    }
}

/* An activation fused to a convolution keeps what it was taken of. */
static void plan_memory(const struct ref_op *op, uint64_t out_bytes,
                        struct backend_op_memory *memory)
{
    const struct backend_op_desc *desc = &op->desc;
    bool sums = desc->kind == BACKEND_CONV || desc->kind == BACKEND_FC;

    memset(memory, 0, sizeof(*memory));
    memory->backward_skips_dst = true;
    memory->backward_skips_src = (sums && !desc->training) || desc->kind == BACKEND_CONCAT ||
                                 (desc->kind == BACKEND_POOL && !desc->max_pool);
    if (sums && desc->backward && desc->activation != BACKEND_LINEAR) {
        memory->workspace_bytes = out_bytes;
        memory->scratch_bytes = out_bytes;
    }
    if (desc->kind == BACKEND_BATCH_NORM) {
        memory->workspace_bytes = 2 * sizeof(double) * op->out.c;
    }
    if (desc->kind == BACKEND_POOL && desc->backward) {
        memory->scratch_bytes = sizeof(double) * op->src[0].h * op->src[0].w;
    }
}

static enum nero_status ref_op_create(struct backend *backend, const struct backend_op_desc *desc,
                                      const struct backend_layout *const *src, uint32_t src_count,
                                      struct backend_layout *dst_layout,
                                      struct backend_op_memory *memory, struct backend_op **out,
                                      struct nero_err *err)
{
    struct backend_layout dst;
    struct ref_op *op;
    enum nero_status status;

    if (!ref_supports(backend, desc, src, src_count)) {
        return err_set(err, NERO_INVALID, 0, "ref: operation %d is unsupported", (int)desc->kind);
    }
    status = ref_image_layout(backend, src[0]->n, desc->out_c, desc->out_h, desc->out_w, &dst, err);
    if (status != NERO_OK) {
        return status;
    }
    op = mem_calloc(1, sizeof(*op) + src_count * sizeof(op->src[0]));
    if (op == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "ref: no memory for an operation");
    }
    op->desc = *desc;
    op->out = (struct ref_dims){dst.n, dst.c, dst.h, dst.w};
    op->src_count = src_count;
    for (uint32_t i = 0; i < src_count; i++) {
        op->src[i] = (struct ref_dims){src[i]->n, src[i]->c, src[i]->h, src[i]->w};
    }
    if (desc->kind == BACKEND_FC) {
        op->desc.kernel_h = src[0]->h;
        op->desc.kernel_w = src[0]->w;
        op->desc.stride = 1;
        op->desc.pad_top = 0;
        op->desc.pad_left = 0;
    }
    plan_memory(op, dst.bytes, memory);
    *dst_layout = dst;
    *out = (struct backend_op *)op;
    return NERO_OK;
}

static void ref_op_destroy(struct backend_op *op)
{
    free(op);
}

static enum nero_status ref_op_prepare(struct backend_op *op, const struct backend_op_args *args,
                                       struct nero_err *err)
{
    (void)op;
    (void)args;
    (void)err;
    return NERO_OK;
}

typedef void ref_call(const struct ref_op *op, const struct backend_op_args *args);

/* By kind: forward, backward. */
static ref_call *const ref_calls[][2] = {
    [BACKEND_CONV] = {ref_conv_forward, ref_conv_backward},
    [BACKEND_BATCH_NORM] = {ref_batch_norm_forward, ref_batch_norm_backward},
    [BACKEND_SCALE_SHIFT] = {ref_scale_shift_forward, ref_scale_shift_backward},
    [BACKEND_ACTIVATION] = {ref_activation_forward, ref_activation_backward},
    [BACKEND_POOL] = {ref_pool_forward, ref_pool_backward},
    [BACKEND_CONCAT] = {ref_concat_forward, ref_concat_backward},
    [BACKEND_FC] = {ref_conv_forward, ref_conv_backward},
};

static enum nero_status ref_op_forward(struct backend_op *op, const struct backend_op_args *args,
                                       struct nero_err *err)
{
    const struct ref_op *ref = (const struct ref_op *)op;

    (void)err;
    ref_calls[ref->desc.kind][0](ref, args);
    return NERO_OK;
}

static enum nero_status ref_op_backward(struct backend_op *op, const struct backend_op_args *args,
                                        struct nero_err *err)
{
    const struct ref_op *ref = (const struct ref_op *)op;

    (void)err;
    ref_calls[ref->desc.kind][1](ref, args);
    return NERO_OK;
}

static enum nero_status ref_op_sums(struct backend_op *op, const struct backend_op_args *args,
                                    bool backward, double *sums, struct nero_err *err)
{
    (void)err;
    ref_batch_norm_sums((const struct ref_op *)op, args, backward, sums);
    return NERO_OK;
}

static enum nero_status ref_accumulate(struct backend *backend, const struct backend_layout *layout,
                                       float *to, const float *from, struct nero_err *err)
{
    (void)backend;
    (void)err;
    for (size_t i = 0; i < layout->bytes / sizeof(*to); i++) {
        to[i] += from[i];
    }
    return NERO_OK;
}

static const struct backend_ops ref_ops = {
    .name = "ref",
    .destroy = ref_destroy,
    .describe = ref_describe,
    .mem_alloc = ref_mem_alloc,
    .mem_free = ref_mem_free,
    .upload = ref_copy,
    .download = ref_copy,
    .image_layout = ref_image_layout,
    .import_nchw = ref_import,
    .export_nchw = ref_export,
    .supports = ref_supports,
    .op_create = ref_op_create,
    .op_destroy = ref_op_destroy,
    .op_prepare = ref_op_prepare,
    .op_forward = ref_op_forward,
    .op_backward = ref_op_backward,
    .op_sums = ref_op_sums,
    .accumulate = ref_accumulate,
    .softmax_ce = ref_softmax_ce,
    .update = ref_update,
    .sum_squares = ref_sum_squares,
};

enum nero_status backend_ref_create(struct backend **out, struct nero_err *err)
{
    struct ref_backend *backend = mem_calloc(1, sizeof(*backend));

    if (backend == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "ref: no memory for a backend");
    }
    backend->base.ops = &ref_ops;
    *out = &backend->base;
    return NERO_OK;
}
