/*
 * Convolution. Either both sides are channel-blocked, or both are NHWC; an input in the other form
 * is reordered inside the scratch. Kernels are plain [K,C,R,S] outside and reordered to what each
 * primitive wants: at each call in training, once in inference.
 *
 * The algorithm is always direct: oneDNN's Winograd would be chosen by batch size, and
 * cpu_winograd.c is faster.
 *
 * Scratch, after oneDNN's own part at offset 0:
 *   forward   kernel, source
 *   backward  dz (where an activation is fused), then kernel and input gradient, or source and
 *             kernel gradient
 */
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "backend/cpu/cpu_prim.h"

struct conv {
    struct backend_op base; /* first */
    bool blocked;
    struct cpu_prim forward;
    struct cpu_prim data;    /* backward, input */
    struct cpu_prim weights; /* backward, parameters */
    struct cpu_move src_to_forward;
    struct cpu_move src_to_weights;
    struct cpu_move kernel_to_forward;
    struct cpu_move kernel_to_data;
    struct cpu_move kernel_from_weights;
    struct cpu_move dsrc_from_data;
    uint64_t lib_bytes;     /* scratch of oneDNN, the most of all */
    uint64_t dz_bytes;      /* 0: ddst is used as it is */
    uint64_t kernel_bytes;  /* inference: in prepared, for forward */
    uint64_t kernel2_bytes; /* inference: for backward */
};

static struct conv *conv_of(struct backend_op *op)
{
    return (struct conv *)op;
}

/* Geometry as oneDNN takes it. */
struct conv_shape {
    dnnl_memory_desc_t src_any; /* format left to the primitive, or fixed to NHWC */
    dnnl_memory_desc_t src;     /* the tensor */
    dnnl_memory_desc_t dst;
    dnnl_memory_desc_t kernel_any;
    dnnl_memory_desc_t kernel;
    dnnl_memory_desc_t bias;
    dnnl_dims_t strides, pad_before, pad_after;
};

/* Where inner = block = c both names describe the same bytes; take the one of the chosen form. */
static dnnl_memory_desc_t md_in_form(const struct conv *conv, const struct backend_layout *layout)
{
    const struct cpu_backend *cpu = conv->base.cpu;
    const int64_t dims[4] = {layout->n, layout->c, layout->h, layout->w};
    uint32_t inner = cpu_layout_inner(layout);

    if (!conv->blocked && inner == layout->c) {
        return cpu_md_tag(4, dims, dnnl_nhwc);
    }
    if (conv->blocked && inner == cpu->block) {
        return cpu_md_tag(4, dims, cpu->block == 16 ? dnnl_nChw16c : dnnl_nChw8c);
    }
    return cpu_md_tensor(cpu, layout);
}

static void shape_init(const struct conv *conv, struct conv_shape *shape)
{
    const struct backend_op_desc *desc = &conv->base.desc;
    const struct backend_layout *src = &conv->base.src;
    const int64_t dims[4] = {src->n, src->c, src->h, src->w};
    const int64_t kernel[4] = {desc->out_c, src->c, desc->kernel_h, desc->kernel_w};
    const int64_t bias[1] = {desc->out_c};

    memset(shape, 0, sizeof(*shape));
    shape->src_any = cpu_md_tag(4, dims, conv->blocked ? dnnl_format_tag_any : dnnl_nhwc);
    shape->src = md_in_form(conv, src);
    shape->dst = md_in_form(conv, &conv->base.dst);
    shape->kernel_any = cpu_md_tag(4, kernel, dnnl_format_tag_any);
    shape->kernel = cpu_md_tag(4, kernel, dnnl_oihw);
    shape->bias = cpu_md_tag(1, bias, dnnl_a);
    shape->strides[0] = shape->strides[1] = desc->stride;
    shape->pad_before[0] = desc->pad_top;
    shape->pad_before[1] = desc->pad_left;
    shape->pad_after[0] = desc->pad_bottom;
    shape->pad_after[1] = desc->pad_right;
}

enum conv_pass { CONV_FORWARD, CONV_DATA, CONV_WEIGHTS };

static dnnl_status_t describe(const struct conv *conv, const struct conv_shape *s,
                              enum conv_pass pass, dnnl_convolution_desc_t *out)
{
    const dnnl_memory_desc_t *bias = conv->base.desc.bias ? &s->bias : NULL;
    const dnnl_alg_kind_t algorithm = dnnl_convolution_direct;
    dnnl_prop_kind_t kind =
        conv->base.desc.training ? dnnl_forward_training : dnnl_forward_inference;

    switch (pass) {
    case CONV_FORWARD:
        return dnnl_convolution_forward_desc_init(out, kind, algorithm, &s->src_any, &s->kernel_any,
                                                  bias, &s->dst, s->strides, s->pad_before,
                                                  s->pad_after);
    case CONV_DATA:
        return dnnl_convolution_backward_data_desc_init(out, algorithm, &s->src_any, &s->kernel_any,
                                                        &s->dst, s->strides, s->pad_before,
                                                        s->pad_after);
    case CONV_WEIGHTS:
        return dnnl_convolution_backward_weights_desc_init(out, algorithm, &s->src_any,
                                                           &s->kernel_any, bias, &s->dst,
                                                           s->strides, s->pad_before, s->pad_after);
    }
    return dnnl_invalid_arguments;
}

/* User-mode scratchpad; ReLU inside the convolution in inference. */
static dnnl_status_t attributes(const struct conv *conv, enum conv_pass pass,
                                dnnl_primitive_attr_t *out)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);

    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    }
    if (status == dnnl_success && pass == CONV_FORWARD &&
        conv->base.desc.activation == BACKEND_RELU) {
        status = dnnl_post_ops_create(&post_ops);
        if (status == dnnl_success) {
            status = dnnl_post_ops_append_eltwise(post_ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
        }
        if (status == dnnl_success) {
            status = dnnl_primitive_attr_set_post_ops(attr, post_ops);
        }
        dnnl_post_ops_destroy(post_ops);
    }
    if (status != dnnl_success) {
        dnnl_primitive_attr_destroy(attr);
        return status;
    }
    *out = attr;
    return dnnl_success;
}

/* Descriptor of one pass; `hint` is the forward's. */
static dnnl_status_t choose(const struct conv *conv, const struct conv_shape *shape,
                            enum conv_pass pass, const_dnnl_primitive_desc_t hint,
                            dnnl_primitive_desc_t *out)
{
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = attributes(conv, pass, &attr);

    if (status != dnnl_success) {
        return status;
    }
    status = describe(conv, shape, pass, &desc);
    if (status == dnnl_success) {
        status = dnnl_primitive_desc_create(out, &desc, attr, conv->base.cpu->engine, hint);
    }
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static enum nero_status make_forward(struct conv *conv, const struct conv_shape *shape,
                                     struct nero_err *err)
{
    const int ids[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS};
    struct cpu_backend *cpu = conv->base.cpu;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = choose(conv, shape, CONV_FORWARD, NULL, &pd);

    if (status != dnnl_success) {
        return cpu_prim_error(err, "describe a convolution", status);
    }
    if (cpu_prim_init(&conv->forward, cpu, pd, ids, conv->base.desc.bias ? 4 : 3, err) != NERO_OK ||
        cpu_move_init(&conv->src_to_forward, cpu, &shape->src,
                      cpu_prim_md(&conv->forward, DNNL_ARG_SRC), err) != NERO_OK ||
        cpu_move_init(&conv->kernel_to_forward, cpu, &shape->kernel,
                      cpu_prim_md(&conv->forward, DNNL_ARG_WEIGHTS), err) != NERO_OK) {
        return err->status;
    }
    return NERO_OK;
}

static enum nero_status make_data(struct conv *conv, const struct conv_shape *shape,
                                  const_dnnl_primitive_desc_t hint, struct nero_err *err)
{
    const int ids[] = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC};
    struct cpu_backend *cpu = conv->base.cpu;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = choose(conv, shape, CONV_DATA, hint, &pd);

    if (status != dnnl_success) {
        return cpu_prim_error(err, "describe a convolution's input gradient", status);
    }
    if (cpu_prim_init(&conv->data, cpu, pd, ids, 3, err) != NERO_OK ||
        cpu_move_init(&conv->dsrc_from_data, cpu, cpu_prim_md(&conv->data, DNNL_ARG_DIFF_SRC),
                      &shape->src, err) != NERO_OK ||
        cpu_move_init(&conv->kernel_to_data, cpu, &shape->kernel,
                      cpu_prim_md(&conv->data, DNNL_ARG_WEIGHTS), err) != NERO_OK) {
        return err->status;
    }
    return NERO_OK;
}

static enum nero_status make_weights(struct conv *conv, const struct conv_shape *shape,
                                     const_dnnl_primitive_desc_t hint, struct nero_err *err)
{
    const int ids[] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_BIAS};
    struct cpu_backend *cpu = conv->base.cpu;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = choose(conv, shape, CONV_WEIGHTS, hint, &pd);

    if (status != dnnl_success) {
        return cpu_prim_error(err, "describe a convolution's kernel gradient", status);
    }
    if (cpu_prim_init(&conv->weights, cpu, pd, ids, conv->base.desc.bias ? 4 : 3, err) != NERO_OK ||
        cpu_move_init(&conv->src_to_weights, cpu, &shape->src,
                      cpu_prim_md(&conv->weights, DNNL_ARG_SRC), err) != NERO_OK ||
        cpu_move_init(&conv->kernel_from_weights, cpu,
                      cpu_prim_md(&conv->weights, DNNL_ARG_DIFF_WEIGHTS), &shape->kernel,
                      err) != NERO_OK) {
        return err->status;
    }
    return NERO_OK;
}

/* oneDNN wants the forward's descriptor for a backward; in inference too, one for training. */
static enum nero_status make_backward(struct conv *conv, const struct conv_shape *shape,
                                      struct nero_err *err)
{
    const struct backend_op_desc *desc = &conv->base.desc;
    dnnl_convolution_desc_t hint_desc;
    dnnl_primitive_desc_t hint = NULL;
    enum nero_status status = NERO_OK;
    dnnl_status_t theirs = dnnl_convolution_forward_desc_init(
        &hint_desc, dnnl_forward_training, dnnl_convolution_direct, &shape->src_any,
        &shape->kernel_any, desc->bias ? &shape->bias : NULL, &shape->dst, shape->strides,
        shape->pad_before, shape->pad_after);

    if (theirs == dnnl_success) {
        theirs = dnnl_primitive_desc_create(&hint, &hint_desc, NULL, conv->base.cpu->engine, NULL);
    }
    if (theirs != dnnl_success) {
        return cpu_prim_error(err, "describe a convolution's hint", theirs);
    }
    if (desc->backward && desc->input_gradient) {
        status = make_data(conv, shape, hint, err);
    }
    if (status == NERO_OK && desc->training) {
        status = make_weights(conv, shape, hint, err);
    }
    dnnl_primitive_desc_destroy(hint);
    return status;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void plan_memory(struct conv *conv, struct backend_op_memory *memory)
{
    const struct backend_op_desc *desc = &conv->base.desc;
    const struct cpu_prim *prims[] = {&conv->forward,
                                      &conv->data,
                                      &conv->weights,
                                      &conv->src_to_forward.prim,
                                      &conv->src_to_weights.prim,
                                      &conv->kernel_to_forward.prim,
                                      &conv->kernel_to_data.prim,
                                      &conv->kernel_from_weights.prim,
                                      &conv->dsrc_from_data.prim};
    uint64_t forward = conv->src_to_forward.bytes;
    uint64_t data = cpu_prim_bytes(&conv->data, DNNL_ARG_DIFF_SRC);
    uint64_t weights =
        conv->src_to_weights.bytes + cpu_prim_bytes(&conv->weights, DNNL_ARG_DIFF_WEIGHTS);

    for (size_t i = 0; i < sizeof(prims) / sizeof(*prims); i++) {
        conv->lib_bytes = larger(conv->lib_bytes, prims[i]->scratch_bytes);
    }
    conv->kernel_bytes = cpu_prim_bytes(&conv->forward, DNNL_ARG_WEIGHTS);
    conv->kernel2_bytes = cpu_prim_bytes(&conv->data, DNNL_ARG_WEIGHTS);
    if (desc->training) {
        forward += conv->kernel_to_forward.bytes;
        data += conv->kernel_to_data.bytes;
    } else {
        memory->weights_bytes = conv->kernel_bytes + conv->kernel2_bytes +
                                (desc->bias ? cpu_align(desc->out_c * sizeof(float)) : 0);
    }
    if (desc->backward && desc->activation != BACKEND_LINEAR) {
        conv->dz_bytes = cpu_align(conv->base.dst.bytes);
        if (desc->activation == BACKEND_SILU) {
            memory->workspace_bytes = conv->dz_bytes; /* what SiLU saw: its result does not tell */
        }
    }
    memory->backward_skips_src = !desc->training;
    memory->backward_skips_dst = desc->activation != BACKEND_RELU;
    memory->scratch_bytes =
        conv->lib_bytes + larger(forward, conv->dz_bytes + larger(data, weights));
}

/* Inference: kernels in both forms and the bias, all in `prepared`. */
static enum nero_status prepare_kernel(struct conv *conv, struct cpu_move *move, uint64_t bytes,
                                       const struct backend_op_args *args, float *to,
                                       struct nero_err *err)
{
    const struct backend_op_desc *desc = &conv->base.desc;

    if (move->bytes > 0) {
        return cpu_move_run(move, args->param[0], to, args->scratch, err);
    }
    if (bytes > 0) {
        memcpy(to, args->param[0],
               (size_t)desc->out_c * conv->base.src.c * desc->kernel_h * desc->kernel_w *
                   sizeof(float));
    }
    return NERO_OK;
}

static enum nero_status conv_prepare(struct backend_op *op, const struct backend_op_args *args,
                                     struct nero_err *err)
{
    struct conv *conv = conv_of(op);
    enum nero_status status;

    if (op->desc.training) {
        return NERO_OK;
    }
    if (op->desc.bias) {
        memcpy(cpu_at(args->prepared, conv->kernel_bytes + conv->kernel2_bytes), args->param[1],
               op->desc.out_c * sizeof(float));
    }
    status = prepare_kernel(conv, &conv->kernel_to_forward, conv->kernel_bytes, args,
                            cpu_at(args->prepared, 0), err);
    if (status != NERO_OK) {
        return status;
    }
    return prepare_kernel(conv, &conv->kernel_to_data, conv->kernel2_bytes, args,
                          cpu_at(args->prepared, conv->kernel_bytes), err);
}

/* Bring `from` where and how a primitive wants it: *at moves past what was used of the scratch. */
static enum nero_status bring(struct cpu_move *move, const float *from,
                              const struct backend_op_args *args, uint64_t *at, const float **out,
                              struct nero_err *err)
{
    *out = from;
    if (move->bytes == 0) {
        return NERO_OK;
    }
    *out = cpu_at(args->scratch, *at);
    *at += move->bytes;
    return cpu_move_run(move, from, cpu_at(args->scratch, *at - move->bytes), args->scratch, err);
}

static enum nero_status conv_forward(struct backend_op *op, const struct backend_op_args *args,
                                     struct nero_err *err)
{
    struct conv *conv = conv_of(op);
    const struct backend_op_desc *desc = &op->desc;
    bool silu = desc->activation == BACKEND_SILU;
    float *z = silu && desc->backward ? args->workspace : args->dst;
    uint64_t at = conv->lib_bytes;
    const float *src;
    const float *kernel = args->prepared;
    const float *bias = args->param[1];

    if (bring(&conv->src_to_forward, args->src[0], args, &at, &src, err) != NERO_OK) {
        return err->status;
    }
    if (desc->training) {
        if (bring(&conv->kernel_to_forward, args->param[0], args, &at, &kernel, err) != NERO_OK) {
            return err->status;
        }
    } else if (desc->bias) {
        bias = cpu_at(args->prepared, conv->kernel_bytes + conv->kernel2_bytes);
    }
    cpu_prim_bind(&conv->forward, DNNL_ARG_SRC, src);
    cpu_prim_bind(&conv->forward, DNNL_ARG_WEIGHTS, kernel);
    cpu_prim_bind(&conv->forward, DNNL_ARG_BIAS, bias);
    cpu_prim_bind(&conv->forward, DNNL_ARG_DST, z);
    if (cpu_prim_run(&conv->forward, args->scratch, err) != NERO_OK) {
        return err->status;
    }
    if (silu) {
        op->cpu->kernels->activate(z, args->dst, (size_t)cpu_layout_floats(&op->dst), BACKEND_SILU);
    }
    return NERO_OK;
}

static enum nero_status backward_data(struct conv *conv, const struct backend_op_args *args,
                                      const float *dz, uint64_t at, struct nero_err *err)
{
    const float *kernel = cpu_at(args->prepared, conv->kernel_bytes);
    float *dsrc = args->dsrc[0];

    if (conv->base.desc.training &&
        bring(&conv->kernel_to_data, args->param[0], args, &at, &kernel, err) != NERO_OK) {
        return err->status;
    }
    if (conv->dsrc_from_data.bytes > 0) {
        dsrc = cpu_at(args->scratch, at);
    }
    cpu_prim_bind(&conv->data, DNNL_ARG_DIFF_DST, dz);
    cpu_prim_bind(&conv->data, DNNL_ARG_WEIGHTS, kernel);
    cpu_prim_bind(&conv->data, DNNL_ARG_DIFF_SRC, dsrc);
    if (cpu_prim_run(&conv->data, args->scratch, err) != NERO_OK) {
        return err->status;
    }
    if (conv->dsrc_from_data.bytes > 0) {
        return cpu_move_run(&conv->dsrc_from_data, dsrc, args->dsrc[0], args->scratch, err);
    }
    return NERO_OK;
}

static enum nero_status backward_weights(struct conv *conv, const struct backend_op_args *args,
                                         const float *dz, uint64_t at, struct nero_err *err)
{
    bool move = conv->kernel_from_weights.bytes > 0;
    const float *src;
    float *dkernel = args->dparam[0];

    if (bring(&conv->src_to_weights, args->src[0], args, &at, &src, err) != NERO_OK) {
        return err->status;
    }
    if (move) {
        dkernel = cpu_at(args->scratch, at);
    }
    cpu_prim_bind(&conv->weights, DNNL_ARG_SRC, src);
    cpu_prim_bind(&conv->weights, DNNL_ARG_DIFF_DST, dz);
    cpu_prim_bind(&conv->weights, DNNL_ARG_DIFF_WEIGHTS, dkernel);
    cpu_prim_bind(&conv->weights, DNNL_ARG_DIFF_BIAS, args->dparam[1]);
    if (cpu_prim_run(&conv->weights, args->scratch, err) != NERO_OK) {
        return err->status;
    }
    if (move) {
        return cpu_move_run(&conv->kernel_from_weights, dkernel, args->dparam[0], args->scratch,
                            err);
    }
    return NERO_OK;
}

static enum nero_status conv_backward(struct backend_op *op, const struct backend_op_args *args,
                                      struct nero_err *err)
{
    struct conv *conv = conv_of(op);
    uint64_t at = conv->lib_bytes;
    const float *dz = args->ddst;

    if (op->desc.activation != BACKEND_LINEAR) {
        const float *seen = op->desc.activation == BACKEND_SILU ? args->workspace : args->dst;
        float *own = cpu_at(args->scratch, at);

        op->cpu->kernels->activate_grad(seen, args->ddst, own, (size_t)cpu_layout_floats(&op->dst),
                                        op->desc.activation);
        dz = own;
        at += conv->dz_bytes;
    }
    if (conv->data.primitive != NULL && args->dsrc[0] != NULL &&
        backward_data(conv, args, dz, at, err) != NERO_OK) {
        return err->status;
    }
    if (conv->weights.primitive != NULL && args->dparam[0] != NULL) {
        return backward_weights(conv, args, dz, at, err);
    }
    return NERO_OK;
}

static void conv_destroy(struct backend_op *op)
{
    struct conv *conv = conv_of(op);

    cpu_prim_fini(&conv->forward);
    cpu_prim_fini(&conv->data);
    cpu_prim_fini(&conv->weights);
    cpu_move_fini(&conv->src_to_forward);
    cpu_move_fini(&conv->src_to_weights);
    cpu_move_fini(&conv->kernel_to_forward);
    cpu_move_fini(&conv->kernel_to_data);
    cpu_move_fini(&conv->kernel_from_weights);
    cpu_move_fini(&conv->dsrc_from_data);
    free(conv);
}

static const struct cpu_op_ops conv_ops = {
    .destroy = conv_destroy,
    .prepare = conv_prepare,
    .forward = conv_forward,
    .backward = conv_backward,
};

/* Blocked where no channel of a block would be padding; a plain image goes straight into blocks. */
static bool is_blocked(const struct cpu_op_plan *plan)
{
    uint32_t block = plan->cpu->block;
    uint32_t c = plan->src[0]->c;
    bool image = cpu_layout_inner(plan->src[0]) == 1 && c < block;

    return plan->desc->out_c % block == 0 && (c % block == 0 || image);
}

enum nero_status cpu_conv_create(const struct cpu_op_plan *plan, struct backend_op **out,
                                 struct nero_err *err)
{
    const struct backend_op_desc *desc = plan->desc;
    struct conv *conv = mem_calloc(1, sizeof(*conv));
    struct conv_shape shape;
    bool blocked = is_blocked(plan);

    if (conv == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "cpu convolution: no memory");
    }
    cpu_layout_make(plan->dst, plan->src[0]->n, desc->out_c, desc->out_h, desc->out_w,
                    blocked ? plan->cpu->block : desc->out_c);
    cpu_op_init(&conv->base, &conv_ops, plan);
    conv->blocked = blocked;
    shape_init(conv, &shape);
    if (make_forward(conv, &shape, err) != NERO_OK ||
        (desc->backward && make_backward(conv, &shape, err) != NERO_OK)) {
        conv_destroy(&conv->base);
        return err_wrap(err, "cpu convolution %ux%u, %u to %u channels", (unsigned)desc->kernel_h,
                        (unsigned)desc->kernel_w, (unsigned)plan->src[0]->c, (unsigned)desc->out_c);
    }
    plan_memory(conv, plan->memory);
    *out = &conv->base;
    return NERO_OK;
}
