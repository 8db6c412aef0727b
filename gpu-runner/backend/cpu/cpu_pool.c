/* Pooling, on the kernels of cpu_kernels_pool.inc, plane by plane; the layout stays the input's. */
#include <stdlib.h>

#include "nero/mem.h"

#include "backend/cpu/cpu_backend.h"

struct pool {
    struct backend_op base; /* first */
    struct cpu_pool_plane plane;
    size_t planes;
    uint32_t *offsets; /* owned; plane.offsets */
};

static struct pool *pool_of(struct backend_op *op)
{
    return (struct pool *)op;
}

static enum nero_status pool_forward(struct backend_op *op, const struct backend_op_args *args,
                                     struct nero_err *err)
{
    const struct pool *pool = pool_of(op);
    const struct cpu_pool_plane *p = &pool->plane;
    size_t in = (size_t)p->in_h * p->in_w * p->inner;
    size_t out = (size_t)p->out_h * p->out_w * p->inner;
    uint16_t *winner = op->desc.backward ? args->workspace : NULL;

    (void)err;
    for (size_t i = 0; i < pool->planes; i++) {
        if (op->desc.max_pool) {
            op->cpu->kernels->max_pool(p, args->src[0] + i * in, args->dst + i * out,
                                       winner == NULL ? NULL : winner + i * out);
        } else {
            op->cpu->kernels->avg_pool(p, args->src[0] + i * in, args->dst + i * out);
        }
    }
    return NERO_OK;
}

static enum nero_status pool_backward(struct backend_op *op, const struct backend_op_args *args,
                                      struct nero_err *err)
{
    const struct pool *pool = pool_of(op);
    const struct cpu_pool_plane *p = &pool->plane;
    size_t in = (size_t)p->in_h * p->in_w * p->inner;
    size_t out = (size_t)p->out_h * p->out_w * p->inner;
    const uint16_t *winner = args->workspace;

    (void)err;
    for (size_t i = 0; i < pool->planes && args->dsrc[0] != NULL; i++) {
        if (op->desc.max_pool) {
            op->cpu->kernels->max_pool_grad(p, winner + i * out, args->ddst + i * out,
                                            args->dsrc[0] + i * in);
        } else {
            op->cpu->kernels->avg_pool_grad(p, args->ddst + i * out, args->dsrc[0] + i * in);
        }
    }
    return NERO_OK;
}

static void pool_destroy(struct backend_op *op)
{
    free(pool_of(op)->offsets);
    free(op);
}

static const struct cpu_op_ops pool_ops = {
    .destroy = pool_destroy,
    .forward = pool_forward,
    .backward = pool_backward,
};

enum nero_status cpu_pool_create(const struct cpu_op_plan *plan, struct backend_op **out,
                                 struct nero_err *err)
{
    const struct backend_op_desc *desc = plan->desc;
    const struct backend_layout *src = plan->src[0];
    uint32_t inner = cpu_layout_inner(src);
    struct pool *pool = mem_calloc(1, sizeof(*pool));
    uint32_t *offsets = mem_calloc((size_t)desc->kernel_h * desc->kernel_w, sizeof(*offsets));

    if (pool == NULL || offsets == NULL) {
        free(pool);
        free(offsets);
        return err_set(err, NERO_NO_MEMORY, 0, "cpu pooling: no memory");
    }
    for (uint32_t i = 0; i < desc->kernel_h * desc->kernel_w; i++) {
        offsets[i] = (i / desc->kernel_w * src->w + i % desc->kernel_w) * inner;
    }
    cpu_layout_make(plan->dst, src->n, src->c, desc->out_h, desc->out_w, inner);
    cpu_op_init(&pool->base, &pool_ops, plan);
    pool->offsets = offsets;
    pool->planes = (size_t)src->n * (src->c / inner);
    pool->plane = (struct cpu_pool_plane){.in_h = src->h,
                                          .in_w = src->w,
                                          .out_h = desc->out_h,
                                          .out_w = desc->out_w,
                                          .inner = inner,
                                          .kernel_h = desc->kernel_h,
                                          .kernel_w = desc->kernel_w,
                                          .stride = desc->stride,
                                          .pad_top = desc->pad_top,
                                          .pad_left = desc->pad_left,
                                          .offsets = offsets};
    plan->memory->backward_skips_src = true;
    plan->memory->backward_skips_dst = true;
    if (desc->max_pool && desc->backward) {
        plan->memory->workspace_bytes = cpu_layout_floats(plan->dst) * sizeof(uint16_t);
    }
    *out = &pool->base;
    return NERO_OK;
}
