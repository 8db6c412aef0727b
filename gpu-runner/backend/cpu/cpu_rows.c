/*
 * `plain` in inference: an operation made for one image and run image by image, so that no row can
 * depend on another whatever oneDNN does inside. Slow; taken only where a self-test found that the
 * ordinary operation's rows do (net/net_check.c).
 */
#include <stdlib.h>

#include "nero/mem.h"

#include "backend/cpu/cpu_backend.h"

struct rows {
    struct backend_op base; /* first */
    struct backend_op *one;
    size_t src_floats; /* of one row */
    size_t dst_floats;
    uint64_t workspace_bytes;
};

static struct rows *rows_of(struct backend_op *op)
{
    return (struct rows *)op;
}

static enum nero_status rows_prepare(struct backend_op *op, const struct backend_op_args *args,
                                     struct nero_err *err)
{
    struct backend_op *one = rows_of(op)->one;

    return one->ops->prepare == NULL ? NERO_OK : one->ops->prepare(one, args, err);
}

/* The arguments of row `n`; `src` and `dsrc` are room for the pointers. */
static struct backend_op_args row_args(const struct rows *rows, const struct backend_op_args *args,
                                       uint32_t n, const float **src, float **dsrc)
{
    struct backend_op_args row = *args;

    *src = args->src[0] == NULL ? NULL : args->src[0] + n * rows->src_floats;
    row.src = src;
    if (args->dsrc != NULL) {
        *dsrc = args->dsrc[0] == NULL ? NULL : args->dsrc[0] + n * rows->src_floats;
        row.dsrc = dsrc;
    }
    row.dst = args->dst == NULL ? NULL : args->dst + n * rows->dst_floats;
    row.ddst = args->ddst == NULL ? NULL : args->ddst + n * rows->dst_floats;
    row.workspace = cpu_at(args->workspace, n * rows->workspace_bytes);
    return row;
}

static enum nero_status rows_forward(struct backend_op *op, const struct backend_op_args *args,
                                     struct nero_err *err)
{
    struct rows *rows = rows_of(op);
    enum nero_status status = NERO_OK;

    for (uint32_t n = 0; n < op->src.n && status == NERO_OK; n++) {
        const float *src;
        float *dsrc;
        struct backend_op_args row = row_args(rows, args, n, &src, &dsrc);

        status = rows->one->ops->forward(rows->one, &row, err);
    }
    return status;
}

static enum nero_status rows_backward(struct backend_op *op, const struct backend_op_args *args,
                                      struct nero_err *err)
{
    struct rows *rows = rows_of(op);
    enum nero_status status = NERO_OK;

    for (uint32_t n = 0; n < op->src.n && status == NERO_OK; n++) {
        const float *src;
        float *dsrc;
        struct backend_op_args row = row_args(rows, args, n, &src, &dsrc);

        status = rows->one->ops->backward(rows->one, &row, err);
    }
    return status;
}

static void rows_destroy(struct backend_op *op)
{
    struct rows *rows = rows_of(op);

    if (rows->one != NULL) {
        rows->one->ops->destroy(rows->one);
    }
    free(rows);
}

static const struct cpu_op_ops rows_ops = {
    .destroy = rows_destroy,
    .prepare = rows_prepare,
    .forward = rows_forward,
    .backward = rows_backward,
};

enum nero_status cpu_rows_create(const struct cpu_op_plan *plan, cpu_maker *maker,
                                 struct backend_op **out, struct nero_err *err)
{
    const struct backend_layout *src = plan->src[0];
    struct rows *rows = mem_calloc(1, sizeof(*rows));
    struct backend_layout src_one;
    struct backend_layout dst_one;
    const struct backend_layout *src_list[] = {&src_one};
    struct cpu_op_plan one = *plan;
    enum nero_status status;

    if (rows == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "cpu rows: no memory");
    }
    cpu_layout_make(&src_one, 1, src->c, src->h, src->w, cpu_layout_inner(src));
    one.src = src_list;
    one.dst = &dst_one;
    status = maker(&one, &rows->one, err);
    if (status != NERO_OK) {
        free(rows);
        return status;
    }
    cpu_layout_make(plan->dst, src->n, dst_one.c, dst_one.h, dst_one.w, cpu_layout_inner(&dst_one));
    cpu_op_init(&rows->base, &rows_ops, plan);
    rows->src_floats = (size_t)cpu_layout_floats(&src_one);
    rows->dst_floats = (size_t)cpu_layout_floats(&dst_one);
    rows->workspace_bytes = plan->memory->workspace_bytes;
    plan->memory->workspace_bytes *= src->n;
    *out = &rows->base;
    return NERO_OK;
}
