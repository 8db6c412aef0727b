/* Activations and concatenation. */
#include <stdlib.h>

#include "nero/mem.h"

#include "backend/cpu/cpu_backend.h"

static void plain_destroy(struct backend_op *op)
{
    free(op);
}

static enum nero_status act_forward(struct backend_op *op, const struct backend_op_args *args,
                                    struct nero_err *err)
{
    (void)err;
    op->cpu->kernels->activate(args->src[0], args->dst, (size_t)cpu_layout_floats(&op->dst),
                               op->desc.activation);
    return NERO_OK;
}

static enum nero_status act_backward(struct backend_op *op, const struct backend_op_args *args,
                                     struct nero_err *err)
{
    (void)err;
    if (args->dsrc[0] != NULL) {
        op->cpu->kernels->activate_grad(args->src[0], args->ddst, args->dsrc[0],
                                        (size_t)cpu_layout_floats(&op->dst), op->desc.activation);
    }
    return NERO_OK;
}

static const struct cpu_op_ops act_ops = {
    .destroy = plain_destroy,
    .forward = act_forward,
    .backward = act_backward,
};

enum nero_status cpu_act_create(const struct cpu_op_plan *plan, struct backend_op **out,
                                struct nero_err *err)
{
    struct backend_op *op = mem_calloc(1, sizeof(*op));

    if (op == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "cpu activation: no memory");
    }
    *plan->dst = *plan->src[0];
    plan->memory->backward_skips_dst = true;
    cpu_op_init(op, &act_ops, plan);
    *out = op;
    return NERO_OK;
}

struct concat {
    struct backend_op base; /* first */
    uint32_t count;
    struct backend_layout *inputs; /* owned */
};

static enum nero_status concat_forward(struct backend_op *op, const struct backend_op_args *args,
                                       struct nero_err *err)
{
    const struct concat *concat = (const struct concat *)op;
    uint32_t first = 0;

    (void)err;
    for (uint32_t i = 0; i < concat->count; i++) {
        cpu_copy_in(&concat->inputs[i], args->src[i], &op->dst, first, args->dst);
        first += concat->inputs[i].c;
    }
    return NERO_OK;
}

static enum nero_status concat_backward(struct backend_op *op, const struct backend_op_args *args,
                                        struct nero_err *err)
{
    const struct concat *concat = (const struct concat *)op;
    uint32_t first = 0;

    (void)err;
    for (uint32_t i = 0; i < concat->count; i++) {
        if (args->dsrc[i] != NULL) {
            cpu_copy_out(&op->dst, first, args->ddst, &concat->inputs[i], args->dsrc[i]);
        }
        first += concat->inputs[i].c;
    }
    return NERO_OK;
}

static void concat_destroy(struct backend_op *op)
{
    struct concat *concat = (struct concat *)op;

    free(concat->inputs);
    free(concat);
}

static const struct cpu_op_ops concat_ops = {
    .destroy = concat_destroy,
    .forward = concat_forward,
    .backward = concat_backward,
};

/* Blocked where every input is, so that a copy is of whole planes; else NHWC. */
enum nero_status cpu_concat_create(const struct cpu_op_plan *plan, struct backend_op **out,
                                   struct nero_err *err)
{
    struct concat *concat = mem_calloc(1, sizeof(*concat));
    struct backend_layout *inputs = mem_calloc(plan->src_count, sizeof(*inputs));
    uint32_t channels = 0;
    bool blocked = true;

    if (concat == NULL || inputs == NULL) {
        free(concat);
        free(inputs);
        return err_set(err, NERO_NO_MEMORY, 0, "cpu concatenation: no memory");
    }
    for (uint32_t i = 0; i < plan->src_count; i++) {
        inputs[i] = *plan->src[i];
        channels += inputs[i].c;
        blocked = blocked && cpu_layout_inner(&inputs[i]) == plan->cpu->block;
    }
    cpu_layout_make(plan->dst, inputs[0].n, channels, inputs[0].h, inputs[0].w,
                    blocked ? plan->cpu->block : channels);
    cpu_op_init(&concat->base, &concat_ops, plan);
    plan->memory->backward_skips_src = true;
    plan->memory->backward_skips_dst = true;
    concat->count = plan->src_count;
    concat->inputs = inputs;
    *out = &concat->base;
    return NERO_OK;
}
