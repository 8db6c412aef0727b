/*
 * 3x3 convolutions of stride 1 between multiples of 16 channels, by the Winograd kernels of
 * cpu_kernels_winograd.inc; everything else is cpu_conv.c's. An input that is not in blocks is
 * copied to blocks inside the scratch.
 *
 * Scratch: the kernels' own part, transformed filters (training), source or its gradient in blocks
 * (where it is not), dz (where an activation is fused). Prepared (inference): transformed filters
 * of forward, of backward, bias.
 */
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "backend/cpu/cpu_backend.h"

struct winograd {
    struct backend_op base; /* first */
    struct cpu_winograd forward;
    struct cpu_winograd data;
    struct backend_layout blocked; /* the input in blocks */
    bool is_blocked;               /* it is so already */
    bool wants_data;
    uint64_t filter_bytes;
    uint64_t at_filter, at_src, at_dz; /* in the scratch */
};

static struct winograd *winograd_of(struct backend_op *op)
{
    return (struct winograd *)op;
}

/* The input in blocks: the tensor, or a copy in the scratch. */
static const float *blocked_src(const struct winograd *op, const struct backend_op_args *args)
{
    float *copy = cpu_at(args->scratch, op->at_src);

    if (op->is_blocked) {
        return args->src[0];
    }
    cpu_copy_in(&op->base.src, args->src[0], &op->blocked, 0, copy);
    return copy;
}

static enum nero_status
winograd_op_prepare(struct backend_op *op, const struct backend_op_args *args, struct nero_err *err)
{
    const struct winograd *own = winograd_of(op);
    const struct cpu_kernels *kernels = op->cpu->kernels;

    (void)err;
    if (op->desc.training) {
        return NERO_OK;
    }
    kernels->winograd_filter(&own->forward, args->param[0], false, args->prepared);
    if (own->wants_data) {
        kernels->winograd_filter(&own->data, args->param[0], true,
                                 cpu_at(args->prepared, own->filter_bytes));
    }
    if (op->desc.bias) {
        memcpy(cpu_at(args->prepared, 2 * own->filter_bytes), args->param[1],
               op->desc.out_c * sizeof(float));
    }
    return NERO_OK;
}

static enum nero_status
winograd_op_forward(struct backend_op *op, const struct backend_op_args *args, struct nero_err *err)
{
    struct winograd *own = winograd_of(op);
    const struct backend_op_desc *desc = &op->desc;
    const struct cpu_kernels *kernels = op->cpu->kernels;
    struct cpu_winograd shape = own->forward;
    bool silu = desc->activation == BACKEND_SILU;
    float *z = silu && desc->backward ? args->workspace : args->dst;
    float *filter = args->prepared;

    (void)err;
    shape.relu = desc->activation == BACKEND_RELU;
    if (desc->bias) {
        shape.bias =
            desc->training ? args->param[1] : cpu_at(args->prepared, 2 * own->filter_bytes);
    }
    if (desc->training) {
        filter = cpu_at(args->scratch, own->at_filter);
        kernels->winograd_filter(&shape, args->param[0], false, filter);
    }
    kernels->winograd_forward(&shape, blocked_src(own, args), filter, z, args->scratch);
    if (silu) {
        kernels->activate(z, args->dst, (size_t)cpu_layout_floats(&op->dst), BACKEND_SILU);
    }
    return NERO_OK;
}

static void backward_data(const struct winograd *own, const struct backend_op_args *args,
                          const float *dz)
{
    const struct cpu_kernels *kernels = own->base.cpu->kernels;
    float *dsrc = own->is_blocked ? args->dsrc[0] : cpu_at(args->scratch, own->at_src);
    float *filter = cpu_at(args->prepared, own->filter_bytes);

    if (own->base.desc.training) {
        filter = cpu_at(args->scratch, own->at_filter);
        kernels->winograd_filter(&own->data, args->param[0], true, filter);
    }
    kernels->winograd_forward(&own->data, dz, filter, dsrc, args->scratch);
    if (!own->is_blocked) {
        cpu_copy_in(&own->blocked, dsrc, &own->base.src, 0, args->dsrc[0]);
    }
}

/* Over each image in float, over the images in double. */
static void bias_gradient(const struct winograd *own, const float *dz, float *dbias)
{
    const struct cpu_winograd *shape = &own->forward;
    const size_t run = (size_t)shape->out_h * shape->out_w * 16;

    for (uint32_t k = 0; k < shape->k; k += 16) {
        double total[16] = {0.0};

        for (uint32_t n = 0; n < shape->n; n++) {
            float sums[CPU_LANES] = {0.0f};

            own->base.cpu->kernels->sum(dz + ((size_t)n * shape->k + k) / 16 * run, run, CPU_LANES,
                                        sums);
            for (size_t j = 0; j < CPU_LANES; j++) {
                total[j % 16] += (double)sums[j];
            }
        }
        for (size_t j = 0; j < 16; j++) {
            dbias[k + j] = (float)total[j];
        }
    }
}

static enum nero_status winograd_op_backward(struct backend_op *op,
                                             const struct backend_op_args *args,
                                             struct nero_err *err)
{
    const struct winograd *own = winograd_of(op);
    const struct cpu_kernels *kernels = op->cpu->kernels;
    const float *dz = args->ddst;

    (void)err;
    if (op->desc.activation != BACKEND_LINEAR) {
        const float *seen = op->desc.activation == BACKEND_SILU ? args->workspace : args->dst;
        float *room = cpu_at(args->scratch, own->at_dz);

        kernels->activate_grad(seen, args->ddst, room, (size_t)cpu_layout_floats(&op->dst),
                               op->desc.activation);
        dz = room;
    }
    if (op->desc.training && args->dparam[0] != NULL) {
        kernels->winograd_weights(&own->forward, blocked_src(own, args), dz, args->dparam[0],
                                  args->scratch);
    }
    if (op->desc.training && op->desc.bias && args->dparam[1] != NULL) {
        bias_gradient(own, dz, args->dparam[1]);
    }
    if (own->wants_data && args->dsrc[0] != NULL) {
        backward_data(own, args, dz);
    }
    return NERO_OK;
}

static void winograd_op_destroy(struct backend_op *op)
{
    free(op);
}

static const struct cpu_op_ops winograd_ops = {
    .destroy = winograd_op_destroy,
    .prepare = winograd_op_prepare,
    .forward = winograd_op_forward,
    .backward = winograd_op_backward,
};

bool cpu_winograd_fits(const struct cpu_op_plan *plan)
{
    const struct backend_op_desc *desc = plan->desc;

    return plan->cpu->kernels->winograd_forward != NULL && plan->cpu->block == 16 &&
           desc->kernel_h == 3 && desc->kernel_w == 3 && desc->stride == 1 &&
           plan->src[0]->c % 16 == 0 && desc->out_c % 16 == 0 && desc->pad_top <= 2 &&
           desc->pad_left <= 2;
}

static void shapes_init(struct winograd *own)
{
    const struct backend_op_desc *desc = &own->base.desc;
    const struct backend_layout *src = &own->base.src;

    own->forward = (struct cpu_winograd){.n = src->n,
                                         .c = src->c,
                                         .h = src->h,
                                         .w = src->w,
                                         .k = desc->out_c,
                                         .out_h = desc->out_h,
                                         .out_w = desc->out_w,
                                         .pad_top = (int32_t)desc->pad_top,
                                         .pad_left = (int32_t)desc->pad_left};
    own->data = (struct cpu_winograd){.n = src->n,
                                      .c = desc->out_c,
                                      .h = desc->out_h,
                                      .w = desc->out_w,
                                      .k = src->c,
                                      .out_h = src->h,
                                      .out_w = src->w,
                                      .pad_top = 2 - (int32_t)desc->pad_top,
                                      .pad_left = 2 - (int32_t)desc->pad_left};
}

static void plan_memory(struct winograd *own, struct backend_op_memory *memory)
{
    const struct backend_op_desc *desc = &own->base.desc;
    uint64_t at = cpu_align(own->base.cpu->kernels->winograd_scratch_floats() * sizeof(float));

    own->at_filter = at;
    at += desc->training ? own->filter_bytes : 0;
    own->at_src = at;
    at += own->is_blocked ? 0 : cpu_align(own->blocked.bytes);
    own->at_dz = at;
    if (desc->backward && desc->activation != BACKEND_LINEAR) {
        at += cpu_align(own->base.dst.bytes);
        if (desc->activation == BACKEND_SILU) {
            memory->workspace_bytes = cpu_align(own->base.dst.bytes);
        }
    }
    memory->scratch_bytes = at;
    if (!desc->training) {
        memory->weights_bytes =
            2 * own->filter_bytes + (desc->bias ? cpu_align(desc->out_c * sizeof(float)) : 0);
    }
    memory->backward_skips_src = !desc->training;
    memory->backward_skips_dst = desc->activation != BACKEND_RELU;
}

enum nero_status cpu_winograd_create(const struct cpu_op_plan *plan, struct backend_op **out,
                                     struct nero_err *err)
{
    const struct backend_op_desc *desc = plan->desc;
    const struct backend_layout *src = plan->src[0];
    struct winograd *own = mem_calloc(1, sizeof(*own));

    if (own == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "cpu winograd convolution: no memory");
    }
    cpu_layout_make(plan->dst, src->n, desc->out_c, desc->out_h, desc->out_w, 16);
    cpu_layout_make(&own->blocked, src->n, src->c, src->h, src->w, 16);
    cpu_op_init(&own->base, &winograd_ops, plan);
    own->is_blocked = cpu_layout_inner(src) == 16;
    own->wants_data = desc->backward && desc->input_gradient;
    own->filter_bytes =
        cpu_align(plan->cpu->kernels->winograd_filter_floats(src->c, desc->out_c) * sizeof(float));
    shapes_init(own);
    plan_memory(own, plan->memory);
    *out = &own->base;
    return NERO_OK;
}
