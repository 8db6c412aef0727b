/*
 * Fully connected: oneDNN's inner product on plain matrices. The input is flattened in C,H,W order;
 * a tensor whose bytes lie otherwise is copied to that order inside the scratch, and its gradient
 * back.
 *
 * Scratch, after oneDNN's own part at offset 0: dz (where an activation is fused), flat input or
 * its gradient.
 */
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "backend/cpu/cpu_prim.h"

struct fc {
    struct backend_op base;     /* first */
    struct backend_layout flat; /* the input as NCHW */
    bool is_flat;               /* it lies so already */
    struct cpu_prim forward;
    struct cpu_prim data;
    struct cpu_prim weights;
    uint64_t lib_bytes;
    uint64_t dz_bytes;
};

struct fc_shape {
    dnnl_memory_desc_t src, dst, kernel, bias;
};

static struct fc *fc_of(struct backend_op *op)
{
    return (struct fc *)op;
}

static void shape_init(const struct fc *fc, struct fc_shape *shape)
{
    const struct backend_layout *in = &fc->base.src;
    int64_t inputs = (int64_t)in->c * in->h * in->w;
    const int64_t src[2] = {in->n, inputs};
    const int64_t dst[2] = {in->n, fc->base.desc.out_c};
    const int64_t kernel[2] = {fc->base.desc.out_c, inputs};

    shape->src = cpu_md_tag(2, src, dnnl_ab);
    shape->dst = cpu_md_tag(2, dst, dnnl_ab);
    shape->kernel = cpu_md_tag(2, kernel, dnnl_ab);
    shape->bias = cpu_md_tag(1, dst + 1, dnnl_a);
}

enum fc_pass { FC_FORWARD, FC_DATA, FC_WEIGHTS };

static dnnl_status_t describe(const struct fc *fc, const struct fc_shape *s, enum fc_pass pass,
                              dnnl_inner_product_desc_t *out)
{
    const dnnl_memory_desc_t *bias = fc->base.desc.bias ? &s->bias : NULL;

    switch (pass) {
    case FC_FORWARD:
        return dnnl_inner_product_forward_desc_init(out, dnnl_forward_training, &s->src, &s->kernel,
                                                    bias, &s->dst);
    case FC_DATA:
        return dnnl_inner_product_backward_data_desc_init(out, &s->src, &s->kernel, &s->dst);
    case FC_WEIGHTS:
        return dnnl_inner_product_backward_weights_desc_init(out, &s->src, &s->kernel, bias,
                                                             &s->dst);
    }
    return dnnl_invalid_arguments;
}

static dnnl_status_t make_pd(const struct fc *fc, const struct fc_shape *shape, enum fc_pass pass,
                             const_dnnl_primitive_desc_t hint, dnnl_primitive_desc_t *out)
{
    dnnl_inner_product_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);

    if (status != dnnl_success) {
        return status;
    }
    status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    if (status == dnnl_success) {
        status = describe(fc, shape, pass, &desc);
    }
    if (status == dnnl_success) {
        status = dnnl_primitive_desc_create(out, &desc, attr, fc->base.cpu->engine, hint);
    }
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static enum nero_status make_backward(struct fc *fc, const struct fc_shape *shape,
                                      const_dnnl_primitive_desc_t hint, struct nero_err *err)
{
    const int data_ids[] = {DNNL_ARG_DIFF_DST, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_SRC};
    const int weights_ids[] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_WEIGHTS,
                               DNNL_ARG_DIFF_BIAS};
    const struct backend_op_desc *desc = &fc->base.desc;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    if (desc->input_gradient) {
        status = make_pd(fc, shape, FC_DATA, hint, &pd);
        if (status != dnnl_success) {
            return cpu_prim_error(err, "describe an inner product's input gradient", status);
        }
        if (cpu_prim_init(&fc->data, fc->base.cpu, pd, data_ids, 3, err) != NERO_OK) {
            return err->status;
        }
    }
    if (!desc->training) {
        return NERO_OK;
    }
    status = make_pd(fc, shape, FC_WEIGHTS, hint, &pd);
    if (status != dnnl_success) {
        return cpu_prim_error(err, "describe an inner product's kernel gradient", status);
    }
    return cpu_prim_init(&fc->weights, fc->base.cpu, pd, weights_ids, desc->bias ? 4 : 3, err);
}

static enum nero_status make_primitives(struct fc *fc, struct nero_err *err)
{
    const int ids[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS};
    const struct backend_op_desc *desc = &fc->base.desc;
    struct fc_shape shape;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t theirs;
    enum nero_status status;

    shape_init(fc, &shape);
    theirs = make_pd(fc, &shape, FC_FORWARD, NULL, &pd);
    if (theirs == dnnl_success) {
        theirs = dnnl_primitive_desc_clone(&hint, pd);
        if (theirs != dnnl_success) {
            dnnl_primitive_desc_destroy(pd);
        }
    }
    if (theirs != dnnl_success) {
        return cpu_prim_error(err, "describe an inner product", theirs);
    }
    status = cpu_prim_init(&fc->forward, fc->base.cpu, pd, ids, desc->bias ? 4 : 3, err);
    if (status == NERO_OK && desc->backward) {
        status = make_backward(fc, &shape, hint, err);
    }
    dnnl_primitive_desc_destroy(hint);
    return status;
}

static void plan_memory(struct fc *fc, struct backend_op_memory *memory)
{
    const struct backend_op_desc *desc = &fc->base.desc;
    const struct cpu_prim *prims[] = {&fc->forward, &fc->data, &fc->weights};

    for (size_t i = 0; i < sizeof(prims) / sizeof(*prims); i++) {
        if (prims[i]->scratch_bytes > fc->lib_bytes) {
            fc->lib_bytes = prims[i]->scratch_bytes;
        }
    }
    if (desc->backward && desc->activation != BACKEND_LINEAR) {
        fc->dz_bytes = cpu_align(fc->base.dst.bytes);
        if (desc->activation == BACKEND_SILU) {
            memory->workspace_bytes = fc->dz_bytes;
        }
    }
    memory->backward_skips_src = !desc->training;
    memory->backward_skips_dst = desc->activation != BACKEND_RELU;
    memory->scratch_bytes =
        fc->lib_bytes + fc->dz_bytes + (fc->is_flat ? 0 : cpu_align(fc->flat.bytes));
}

/* The flat input: the tensor itself, or a copy in the scratch. */
static const float *flatten(struct fc *fc, const struct backend_op_args *args)
{
    float *flat = cpu_at(args->scratch, fc->lib_bytes + fc->dz_bytes);

    if (fc->is_flat) {
        return args->src[0];
    }
    cpu_copy_in(&fc->base.src, args->src[0], &fc->flat, 0, flat);
    return flat;
}

static enum nero_status fc_forward(struct backend_op *op, const struct backend_op_args *args,
                                   struct nero_err *err)
{
    struct fc *fc = fc_of(op);
    enum backend_activation act = op->desc.activation;
    float *z = act == BACKEND_SILU && op->desc.backward ? args->workspace : args->dst;

    cpu_prim_bind(&fc->forward, DNNL_ARG_SRC, flatten(fc, args));
    cpu_prim_bind(&fc->forward, DNNL_ARG_WEIGHTS, args->param[0]);
    cpu_prim_bind(&fc->forward, DNNL_ARG_BIAS, args->param[1]);
    cpu_prim_bind(&fc->forward, DNNL_ARG_DST, z);
    if (cpu_prim_run(&fc->forward, args->scratch, err) != NERO_OK) {
        return err->status;
    }
    if (act != BACKEND_LINEAR) {
        op->cpu->kernels->activate(z, args->dst, (size_t)cpu_layout_floats(&op->dst), act);
    }
    return NERO_OK;
}

static enum nero_status backward_data(struct fc *fc, const struct backend_op_args *args,
                                      const float *dz, struct nero_err *err)
{
    float *dsrc = fc->is_flat ? args->dsrc[0] : cpu_at(args->scratch, fc->lib_bytes + fc->dz_bytes);

    cpu_prim_bind(&fc->data, DNNL_ARG_DIFF_DST, dz);
    cpu_prim_bind(&fc->data, DNNL_ARG_WEIGHTS, args->param[0]);
    cpu_prim_bind(&fc->data, DNNL_ARG_DIFF_SRC, dsrc);
    if (cpu_prim_run(&fc->data, args->scratch, err) != NERO_OK) {
        return err->status;
    }
    if (!fc->is_flat) {
        cpu_copy_in(&fc->flat, dsrc, &fc->base.src, 0, args->dsrc[0]);
    }
    return NERO_OK;
}

static enum nero_status fc_backward(struct backend_op *op, const struct backend_op_args *args,
                                    struct nero_err *err)
{
    struct fc *fc = fc_of(op);
    const float *dz = args->ddst;

    if (op->desc.activation != BACKEND_LINEAR) {
        const float *seen = op->desc.activation == BACKEND_SILU ? args->workspace : args->dst;
        float *own = cpu_at(args->scratch, fc->lib_bytes);

        op->cpu->kernels->activate_grad(seen, args->ddst, own, (size_t)cpu_layout_floats(&op->dst),
                                        op->desc.activation);
        dz = own;
    }
    if (fc->weights.primitive != NULL && args->dparam[0] != NULL) {
        cpu_prim_bind(&fc->weights, DNNL_ARG_SRC, flatten(fc, args));
        cpu_prim_bind(&fc->weights, DNNL_ARG_DIFF_DST, dz);
        cpu_prim_bind(&fc->weights, DNNL_ARG_DIFF_WEIGHTS, args->dparam[0]);
        cpu_prim_bind(&fc->weights, DNNL_ARG_DIFF_BIAS, args->dparam[1]);
        if (cpu_prim_run(&fc->weights, args->scratch, err) != NERO_OK) {
            return err->status;
        }
    }
    if (fc->data.primitive != NULL && args->dsrc[0] != NULL) {
        return backward_data(fc, args, dz, err);
    }
    return NERO_OK;
}

static void fc_destroy(struct backend_op *op)
{
    struct fc *fc = fc_of(op);

    cpu_prim_fini(&fc->forward);
    cpu_prim_fini(&fc->data);
    cpu_prim_fini(&fc->weights);
    free(fc);
}

static const struct cpu_op_ops fc_ops = {
    .destroy = fc_destroy,
    .forward = fc_forward,
    .backward = fc_backward,
};

enum nero_status cpu_fc_create(const struct cpu_op_plan *plan, struct backend_op **out,
                               struct nero_err *err)
{
    const struct backend_layout *src = plan->src[0];
    struct fc *fc = mem_calloc(1, sizeof(*fc));

    if (fc == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "cpu fully connected: no memory");
    }
    cpu_layout_make(plan->dst, src->n, plan->desc->out_c, 1, 1, 1);
    cpu_layout_make(&fc->flat, src->n, src->c, src->h, src->w, 1);
    cpu_op_init(&fc->base, &fc_ops, plan);
    fc->is_flat = cpu_layout_inner(src) == 1 || src->h * src->w == 1;
    if (make_primitives(fc, err) != NERO_OK) {
        fc_destroy(&fc->base);
        return err_wrap(err, "cpu fully connected to %u", (unsigned)plan->desc->out_c);
    }
    plan_memory(fc, plan->memory);
    *out = &fc->base;
    return NERO_OK;
}
