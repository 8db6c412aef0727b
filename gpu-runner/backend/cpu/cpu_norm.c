/*
 * Batch norm (training) and scale-shift (inference), each with its activation fused.
 *
 * Channels are treated a block at a time: with blocked layouts a block of a batch mostly stays in
 * the second-level cache, so the passes over it (sum, squares, result) read memory once. Sums run
 * in float over at most ROWS_MAX rows of lanes and from there on in double.
 *
 * Backward recomputes what the activation saw from the input, z = scale * x + shift, by the same
 * expression as forward, so neither z nor a mask is kept. With dz = act'(z) dy, M elements a
 * channel and inv = 1 / sqrt(var + epsilon):
 *   dbeta = sum dz,  dgamma = inv * sum dz (x - mean)
 *   dx = scale dz + a x + b,  a = -scale inv^2 sum(dz (x - mean)) / M,  b = -scale dbeta / M - a
 * mean
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

#include "backend/cpu/cpu_backend.h"

enum { ROWS_MAX = 512 };

struct norm {
    struct backend_op base; /* first */
    uint32_t inner;         /* channels of a block */
    uint32_t blocks;
    uint32_t lanes;
    size_t run;  /* floats of a block that lie together */
    size_t runs; /* so many of them, `step` floats apart */
    size_t step;
};

/* Tables of `lanes` floats, and sums of `inner` doubles, in the scratch. */
struct norm_area {
    float *table[6];
    float *sums[2];
    double *total[2];
    double *moments[2];
};

static struct norm *norm_of(struct backend_op *op)
{
    return (struct norm *)op;
}

/* A multiple of inner that fills whole vectors, at least CPU_LANES where that is cheap. */
static uint32_t lanes_for(uint32_t inner)
{
    uint32_t lanes = inner;

    if (inner > 4 * CPU_LANES) {
        return inner;
    }
    while (lanes % 16 != 0) {
        lanes += inner;
    }
    return lanes < CPU_LANES ? (CPU_LANES + lanes - 1) / lanes * lanes : lanes;
}

static void geometry_init(struct norm *norm, const struct backend_layout *src)
{
    size_t pixels = (size_t)src->h * src->w;

    norm->inner = cpu_layout_inner(src);
    norm->blocks = src->c / norm->inner;
    norm->lanes = lanes_for(norm->inner);
    norm->run = pixels * norm->inner;
    norm->runs = src->n;
    norm->step = pixels * src->c;
    if (norm->blocks == 1) { /* the images follow each other */
        norm->run *= src->n;
        norm->runs = 1;
    }
}

static uint64_t area_bytes(const struct norm *norm)
{
    return cpu_align(norm->lanes * sizeof(float)) * 8 + cpu_align(norm->inner * sizeof(double)) * 4;
}

static struct norm_area area_at(const struct norm *norm, void *scratch)
{
    struct norm_area area;
    uint64_t lanes = cpu_align(norm->lanes * sizeof(float));
    uint64_t doubles = cpu_align(norm->inner * sizeof(double));
    uint64_t at = 0;

    for (size_t i = 0; i < 6; i++, at += lanes) {
        area.table[i] = cpu_at(scratch, at);
    }
    for (size_t i = 0; i < 2; i++, at += lanes) {
        area.sums[i] = cpu_at(scratch, at);
    }
    for (size_t i = 0; i < 2; i++, at += doubles) {
        area.total[i] = (double *)(void *)cpu_at(scratch, at);
    }
    for (size_t i = 0; i < 2; i++, at += doubles) {
        area.moments[i] = (double *)(void *)cpu_at(scratch, at);
    }
    return area;
}

static const float *block_at(const struct norm *norm, const float *x, uint32_t block)
{
    return x + (norm->blocks == 1 ? 0 : block * norm->run);
}

/* table[j] = values[j % inner] */
static void spread(const struct norm *norm, const float *values, float *table)
{
    for (uint32_t j = 0; j < norm->lanes; j++) {
        table[j] = values[j % norm->inner];
    }
}

/* The first `inner` entries of a table are set: repeat them. */
static void repeat(const struct norm *norm, float *table)
{
    for (uint32_t j = norm->inner; j < norm->lanes; j++) {
        table[j] = table[j - norm->inner];
    }
}

/* Move a chunk's lane sums to the totals in double. */
static void fold(const struct norm *norm, float *sums, double *total)
{
    for (uint32_t j = 0; j < norm->lanes; j += norm->inner) {
        for (uint32_t c = 0; c < norm->inner; c++) {
            total[c] += (double)sums[j + c];
        }
    }
    memset(sums, 0, norm->lanes * sizeof(*sums));
}

enum norm_sum { NORM_SUM, NORM_SQUARES, NORM_GRADIENT };

static void sum_block(const struct norm *norm, enum norm_sum what, const float *x, const float *dy,
                      const struct norm_area *area, const struct cpu_norm_tables *tables)
{
    const struct cpu_kernels *kernels = norm->base.cpu->kernels;
    const size_t chunk = (size_t)ROWS_MAX * norm->lanes;

    for (size_t i = 0; i < 2; i++) {
        memset(area->sums[i], 0, norm->lanes * sizeof(float));
        memset(area->total[i], 0, norm->inner * sizeof(double));
    }
    for (size_t r = 0; r < norm->runs; r++) {
        for (size_t i = 0; i < norm->run; i += chunk) {
            size_t count = norm->run - i < chunk ? norm->run - i : chunk;
            const float *at = x + r * norm->step + i;

            if (what == NORM_SUM) {
                kernels->sum(at, count, norm->lanes, area->sums[0]);
            } else if (what == NORM_SQUARES) {
                kernels->sum_square(at, count, norm->lanes, tables->mean, area->sums[0]);
            } else {
                kernels->norm_sums(at, dy + r * norm->step + i, count, norm->lanes, tables,
                                   norm->base.desc.activation, area->sums[0], area->sums[1]);
                fold(norm, area->sums[1], area->total[1]);
            }
            fold(norm, area->sums[0], area->total[0]);
        }
    }
}

static double elements(const struct norm *norm, uint32_t images)
{
    return (double)images * (double)norm->base.src.h * (double)norm->base.src.w;
}

/* Elements of a channel in the whole batch. */
static double batch_elements(const struct norm *norm, const struct backend_op_args *args)
{
    return elements(norm, args->sums == NULL ? norm->base.src.n : norm->base.desc.batch);
}

/* Means of a block's channels, and sums of squared distances from them, rounded to floats. */
static void moments_block(const struct norm *norm, const float *x, const struct norm_area *area,
                          double *mean, double *squares)
{
    const double count = elements(norm, norm->base.src.n);
    struct cpu_norm_tables tables = {.mean = area->table[2]};

    sum_block(norm, NORM_SUM, x, NULL, area, &tables);
    for (uint32_t c = 0; c < norm->inner; c++) {
        mean[c] = area->total[0][c] / count;
        area->table[2][c] = (float)mean[c];
    }
    repeat(norm, area->table[2]);
    sum_block(norm, NORM_SQUARES, x, NULL, area, &tables);
    memcpy(squares, area->total[0], norm->inner * sizeof(*squares));
}

/* Statistics of a block: fills mean and inv (workspace) and the running ones. */
static void keep_moments(const struct norm *norm, const struct backend_op_args *args,
                         uint32_t first, const double *mean, const double *squares)
{
    const struct backend_op_desc *desc = &norm->base.desc;
    const double count = batch_elements(norm, args);
    const float keep = desc->momentum;
    float *mean_kept = (float *)args->workspace + first;
    float *inv = mean_kept + norm->base.src.c;

    for (uint32_t c = 0; c < norm->inner; c++) {
        double variance = squares[c] / count;

        mean_kept[c] = (float)mean[c];
        inv[c] = (float)(1.0 / sqrt(variance + (double)desc->epsilon));
        if (args->stat[0] != NULL) {
            float *running_mean = &args->stat[0][first + c];
            float *running_var = &args->stat[1][first + c];

            *running_mean = keep * *running_mean + (1.0f - keep) * mean_kept[c];
            *running_var = keep * *running_var + (1.0f - keep) * (float)variance;
        }
    }
}

/* Tables scale and shift of a block, from what keep_moments left; forward and backward alike. */
static void scale_block(const struct norm *norm, const struct backend_op_args *args, uint32_t first,
                        const struct norm_area *area)
{
    const float *mean = (const float *)args->workspace + first;
    const float *inv = mean + norm->base.src.c;

    for (uint32_t c = 0; c < norm->inner; c++) {
        area->table[0][c] = args->param[0][first + c] * inv[c];
        area->table[1][c] = args->param[1][first + c] - mean[c] * area->table[0][c];
    }
    repeat(norm, area->table[0]);
    repeat(norm, area->table[1]);
}

static void scale_shift_block(const struct norm *norm, const float *x, float *y,
                              const struct norm_area *area)
{
    for (size_t r = 0; r < norm->runs; r++) {
        norm->base.cpu->kernels->scale_shift(x + r * norm->step, y + r * norm->step, norm->run,
                                             norm->lanes, area->table[0], area->table[1],
                                             norm->base.desc.activation);
    }
}

static enum nero_status norm_forward(struct backend_op *op, const struct backend_op_args *args,
                                     struct nero_err *err)
{
    const struct norm *norm = norm_of(op);
    struct norm_area area = area_at(norm, args->scratch);

    (void)err;
    for (uint32_t b = 0; b < norm->blocks; b++) {
        const float *x = block_at(norm, args->src[0], b);
        const uint32_t first = b * norm->inner;

        if (args->sums == NULL) {
            moments_block(norm, x, &area, area.moments[0], area.moments[1]);
            keep_moments(norm, args, first, area.moments[0], area.moments[1]);
        } else {
            keep_moments(norm, args, first, args->sums + first, args->sums + op->src.c + first);
        }
        scale_block(norm, args, first, &area);
        scale_shift_block(norm, x, args->dst + (x - args->src[0]), &area);
    }
    return NERO_OK;
}

static struct cpu_norm_tables tables_in(const struct norm_area *area)
{
    return (struct cpu_norm_tables){.scale = area->table[0],
                                    .shift = area->table[1],
                                    .mean = area->table[2],
                                    .of_dz = area->table[3],
                                    .of_x = area->table[4],
                                    .constant = area->table[5]};
}

/* Backward of a block begins with the tables scale, shift and mean. */
static void recall_block(const struct norm *norm, const struct backend_op_args *args,
                         uint32_t first, const struct norm_area *area)
{
    spread(norm, (const float *)args->workspace + first, area->table[2]);
    scale_block(norm, args, first, area);
}

/* Then total[0] = sum dz, total[1] = sum dz (x - mean). */
static void sum_gradients(const struct norm *norm, const struct backend_op_args *args,
                          const float *x, const struct norm_area *area)
{
    const struct cpu_norm_tables tables = tables_in(area);

    sum_block(norm, NORM_GRADIENT, x, args->ddst + (x - args->src[0]), area, &tables);
}

/* dgamma, dbeta of a block and the coefficients of dx. */
static void gradient_block(const struct norm *norm, const struct backend_op_args *args,
                           uint32_t first, const double *sums_dz, const double *sums_dzx,
                           const struct norm_area *area)
{
    const float *mean = (const float *)args->workspace + first;
    const float *inv = mean + norm->base.src.c;
    const double count = batch_elements(norm, args);

    for (uint32_t c = 0; c < norm->inner; c++) {
        double scale = (double)area->table[0][c];
        double sum_dz = sums_dz[c];
        double sum_dzx = sums_dzx[c];
        double of_x = -scale * (double)inv[c] * (double)inv[c] * sum_dzx / count;

        if (args->dparam[0] != NULL) {
            args->dparam[0][first + c] = (float)(sum_dzx * (double)inv[c]);
        }
        if (args->dparam[1] != NULL) {
            args->dparam[1][first + c] = (float)sum_dz;
        }
        area->table[3][c] = (float)scale;
        area->table[4][c] = (float)of_x;
        area->table[5][c] = (float)(-scale * sum_dz / count - of_x * (double)mean[c]);
    }
    for (size_t i = 3; i < 6; i++) {
        repeat(norm, area->table[i]);
    }
}

static enum nero_status norm_backward(struct backend_op *op, const struct backend_op_args *args,
                                      struct nero_err *err)
{
    const struct norm *norm = norm_of(op);
    struct norm_area area = area_at(norm, args->scratch);
    const struct cpu_norm_tables tables = tables_in(&area);

    (void)err;
    for (uint32_t b = 0; b < norm->blocks; b++) {
        const float *x = block_at(norm, args->src[0], b);
        const float *dy = args->ddst + (x - args->src[0]);
        const uint32_t first = b * norm->inner;

        recall_block(norm, args, first, &area);
        if (args->sums == NULL) {
            sum_gradients(norm, args, x, &area);
            gradient_block(norm, args, first, area.total[0], area.total[1], &area);
        } else {
            gradient_block(norm, args, first, args->sums + first, args->sums + op->src.c + first,
                           &area);
        }
        for (size_t r = 0; r < norm->runs && args->dsrc[0] != NULL; r++) {
            float *dx = args->dsrc[0] + (x - args->src[0]) + r * norm->step;

            op->cpu->kernels->norm_grad(x + r * norm->step, dy + r * norm->step, dx, norm->run,
                                        norm->lanes, &tables, op->desc.activation);
        }
    }
    return NERO_OK;
}

static void norm_sums(struct backend_op *op, const struct backend_op_args *args, bool backward,
                      double *sums)
{
    const struct norm *norm = norm_of(op);
    struct norm_area area = area_at(norm, args->scratch);

    for (uint32_t b = 0; b < norm->blocks; b++) {
        const float *x = block_at(norm, args->src[0], b);
        const uint32_t first = b * norm->inner;

        if (backward) {
            recall_block(norm, args, first, &area);
            sum_gradients(norm, args, x, &area);
            memcpy(sums + first, area.total[0], norm->inner * sizeof(*sums));
            memcpy(sums + op->src.c + first, area.total[1], norm->inner * sizeof(*sums));
        } else {
            moments_block(norm, x, &area, sums + first, sums + op->src.c + first);
        }
    }
}

static enum nero_status scale_forward(struct backend_op *op, const struct backend_op_args *args,
                                      struct nero_err *err)
{
    const struct norm *norm = norm_of(op);
    struct norm_area area = area_at(norm, args->scratch);

    (void)err;
    for (uint32_t b = 0; b < norm->blocks; b++) {
        const float *x = block_at(norm, args->src[0], b);

        spread(norm, args->param[0] + b * norm->inner, area.table[0]);
        spread(norm, args->param[1] + b * norm->inner, area.table[1]);
        scale_shift_block(norm, x, args->dst + (x - args->src[0]), &area);
    }
    return NERO_OK;
}

static enum nero_status scale_backward(struct backend_op *op, const struct backend_op_args *args,
                                       struct nero_err *err)
{
    const struct norm *norm = norm_of(op);
    struct norm_area area = area_at(norm, args->scratch);

    (void)err;
    for (uint32_t b = 0; b < norm->blocks && args->dsrc[0] != NULL; b++) {
        const float *x = block_at(norm, args->src[0], b);

        spread(norm, args->param[0] + b * norm->inner, area.table[0]);
        spread(norm, args->param[1] + b * norm->inner, area.table[1]);
        for (size_t r = 0; r < norm->runs; r++) {
            size_t at = (size_t)(x - args->src[0]) + r * norm->step;

            op->cpu->kernels->scale_shift_grad(args->src[0] + at, args->ddst + at,
                                               args->dsrc[0] + at, norm->run, norm->lanes,
                                               area.table[0], area.table[1], op->desc.activation);
        }
    }
    return NERO_OK;
}

static void norm_destroy(struct backend_op *op)
{
    free(op);
}

static const struct cpu_op_ops norm_ops = {
    .destroy = norm_destroy,
    .forward = norm_forward,
    .backward = norm_backward,
    .sums = norm_sums,
};

static const struct cpu_op_ops scale_ops = {
    .destroy = norm_destroy,
    .forward = scale_forward,
    .backward = scale_backward,
};

static enum nero_status create(const struct cpu_op_plan *plan, const struct cpu_op_ops *ops,
                               struct backend_op **out, struct nero_err *err)
{
    struct norm *norm = mem_calloc(1, sizeof(*norm));

    if (norm == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "cpu normalisation: no memory");
    }
    *plan->dst = *plan->src[0];
    cpu_op_init(&norm->base, ops, plan);
    geometry_init(norm, plan->src[0]);
    plan->memory->scratch_bytes = area_bytes(norm);
    plan->memory->backward_skips_dst = true;
    if (plan->desc->training) {
        plan->memory->workspace_bytes = 2 * (uint64_t)plan->src[0]->c * sizeof(float);
    }
    *out = &norm->base;
    return NERO_OK;
}

enum nero_status cpu_norm_create(const struct cpu_op_plan *plan, struct backend_op **out,
                                 struct nero_err *err)
{
    return create(plan, &norm_ops, out, err);
}

enum nero_status cpu_scale_create(const struct cpu_op_plan *plan, struct backend_op **out,
                                  struct nero_err *err)
{
    return create(plan, &scale_ops, out, err);
}
