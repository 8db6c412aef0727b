/* The rig of cases.h: seeded inputs and one run of an operation in guarded memory. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/rng.h"

#include "tests/backend/cases.h"

enum { GUARD_BYTES = 4096, GUARD_VALUE = 0xa5, POISON = 0xff /* floats of it are NaN */ };
enum { AREAS_MAX = 32 };

/* Areas of backend memory, each between two guards. */
struct rig {
    struct backend *backend;
    uint32_t count;
    unsigned char *base[AREAS_MAX];
    uint64_t bytes[AREAS_MAX];
};

static float *floats(size_t count)
{
    float *made = mem_calloc(count, sizeof(float));

    if (made == NULL) {
        abort();
    }
    return made;
}

static float signed_unit(struct rng_stream *stream)
{
    return (float)(2.0 * rng_uniform(stream) - 1.0);
}

static void fill_uniform(struct rng_stream *stream, float *to, size_t count, float scale)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = scale * signed_unit(stream);
    }
}

/* All different: a random order of the multiples of 2 / count in [-1, 1). */
static void fill_distinct(struct rng_stream *stream, float *to, size_t count)
{
    uint32_t *order = mem_calloc(count, sizeof(uint32_t));

    if (order == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    rng_shuffle_u32(stream, order, count);
    for (size_t i = 0; i < count; i++) {
        to[i] = (float)(2.0 * order[i] / (double)count - 1.0);
    }
    free(order);
}

static void fill_src(const struct op_case *op_case, struct rng_stream *stream, float *to,
                     size_t count)
{
    const struct backend_op_desc *desc = &op_case->desc;

    if (desc->kind == BACKEND_POOL && desc->max_pool) {
        fill_distinct(stream, to, count);
        return;
    }
    fill_uniform(stream, to, count, 1.0f);
    for (size_t i = 0; desc->kind == BACKEND_ACTIVATION && i < count; i++) {
        to[i] += copysignf(0.25f, to[i]);
    }
}

/* Kernels keep sums near 1; with a ReLU the shifts of +-5 keep its argument away from 0. */
static void fill_params(const struct op_case *op_case, struct rng_stream *stream,
                        struct op_data *data)
{
    const struct backend_op_desc *desc = &op_case->desc;
    bool weights = desc->kind == BACKEND_CONV || desc->kind == BACKEND_FC;
    float fan_in = (float)data->param_floats[0] / (float)desc->out_c;
    float shift = desc->activation == BACKEND_RELU ? 5.0f : 0.0f;

    if (data->param[0] == NULL) {
        return;
    }
    fill_uniform(stream, data->param[0], data->param_floats[0],
                 weights ? 2.0f / sqrtf(fan_in) : 1.0f);
    for (size_t i = 0; i < data->param_floats[1]; i++) {
        data->param[1][i] = 0.5f * signed_unit(stream) + (i % 2 == 0 ? shift : -shift);
    }
}

static void size_params(const struct op_case *op_case, struct op_data *data)
{
    const struct backend_op_desc *desc = &op_case->desc;

    if (desc->kind == BACKEND_CONV || desc->kind == BACKEND_FC) {
        bool conv = desc->kind == BACKEND_CONV;

        data->param_floats[0] = (size_t)desc->out_c * op_case->c[0] *
                                (conv ? desc->kernel_h * desc->kernel_w : op_case->h * op_case->w);
        data->param_floats[1] = desc->bias ? desc->out_c : 0;
    }
    if (desc->kind == BACKEND_BATCH_NORM || desc->kind == BACKEND_SCALE_SHIFT) {
        data->param_floats[0] = desc->out_c;
        data->param_floats[1] = desc->out_c;
    }
}

void data_create(const struct op_case *op_case, uint64_t seed, struct op_data *out)
{
    const struct backend_op_desc *desc = &op_case->desc;
    struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, 0, 0);

    memset(out, 0, sizeof(*out));
    out->dst_floats = (size_t)op_case->n * desc->out_c * desc->out_h * desc->out_w;
    size_params(op_case, out);
    for (uint32_t i = 0; i < op_case->src_count; i++) {
        out->src_floats[i] = (size_t)op_case->n * op_case->c[i] * op_case->h * op_case->w;
        out->src[i] = floats(out->src_floats[i]);
        out->dsrc[i] = floats(out->src_floats[i]);
        fill_src(op_case, &stream, out->src[i], out->src_floats[i]);
    }
    for (uint32_t k = 0; k < 2 && out->param_floats[k] > 0; k++) {
        out->param[k] = floats(out->param_floats[k]);
        out->dparam[k] = floats(out->param_floats[k]);
    }
    fill_params(op_case, &stream, out);
    out->dst = floats(out->dst_floats);
    out->ddst = floats(out->dst_floats);
    fill_uniform(&stream, out->ddst, out->dst_floats, 1.0f);
    for (uint32_t k = 0; k < 2 && desc->kind == BACKEND_BATCH_NORM; k++) {
        out->stat[k] = floats(desc->out_c);
        fill_uniform(&stream, out->stat[k], desc->out_c, 1.0f);
    }
}

void data_destroy(struct op_data *data)
{
    for (uint32_t i = 0; i < CASE_SOURCES_MAX; i++) {
        free(data->src[i]);
        free(data->dsrc[i]);
    }
    for (uint32_t k = 0; k < 2; k++) {
        free(data->param[k]);
        free(data->dparam[k]);
        free(data->stat[k]);
    }
    free(data->dst);
    free(data->ddst);
}

/* An area of `bytes`, poisoned, or with the content of `from`. NULL where bytes is 0. */
static enum nero_status add_area(struct rig *rig, uint64_t bytes, const void *from, void *where,
                                 struct nero_err *err)
{
    const struct backend_ops *ops = rig->backend->ops;
    uint64_t all = bytes + 2 * GUARD_BYTES;
    unsigned char *host;
    enum nero_status status;
    void *data;

    if (bytes == 0) {
        return NERO_OK;
    }
    host = mem_alloc((size_t)all);
    if (rig->count == AREAS_MAX || host == NULL) {
        abort();
    }
    rig->base[rig->count] = ops->mem_alloc(rig->backend, all);
    if (rig->base[rig->count] == NULL) {
        free(host);
        return err_set(err, NERO_NO_MEMORY, 0, "rig: no memory");
    }
    memset(host, GUARD_VALUE, (size_t)all);
    memset(host + GUARD_BYTES, POISON, (size_t)bytes);
    if (from != NULL) {
        memcpy(host + GUARD_BYTES, from, (size_t)bytes);
    }
    status = ops->upload(rig->backend, rig->base[rig->count], host, all, err);
    free(host);
    data = rig->base[rig->count] + GUARD_BYTES;
    memcpy(where, &data, sizeof(data));
    rig->bytes[rig->count++] = bytes;
    return status;
}

static enum nero_status check_guards(struct rig *rig, struct nero_err *err)
{
    for (uint32_t i = 0; i < rig->count; i++) {
        unsigned char guard[2 * GUARD_BYTES];
        enum nero_status status =
            rig->backend->ops->download(rig->backend, guard, rig->base[i], GUARD_BYTES, err);

        if (status == NERO_OK) {
            status = rig->backend->ops->download(rig->backend, guard + GUARD_BYTES,
                                                 rig->base[i] + GUARD_BYTES + rig->bytes[i],
                                                 GUARD_BYTES, err);
        }
        if (status != NERO_OK) {
            return status;
        }
        for (uint32_t k = 0; k < 2 * GUARD_BYTES; k++) {
            if (guard[k] != GUARD_VALUE) {
                return err_set(err, NERO_INVALID, 0, "guard of area %u overwritten at %d", i,
                               (int)k - GUARD_BYTES);
            }
        }
    }
    return NERO_OK;
}

static void close_rig(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->count; i++) {
        rig->backend->ops->mem_free(rig->backend, rig->base[i]);
    }
}

/* Copy a tensor by a 1x1 convolution with the identity, which is exact; layout and tensor change.
 */
static enum nero_status pass_through_conv(struct rig *rig, struct backend_layout *layout,
                                          float **tensor, struct nero_err *err)
{
    const struct backend_ops *ops = rig->backend->ops;
    const struct backend_layout from = *layout;
    const struct backend_layout *src[1] = {&from};
    const float *src_data[1] = {*tensor};
    float *no_gradient[1] = {NULL};
    struct backend_op_desc desc = {.kind = BACKEND_CONV,
                                   .training = true,
                                   .backward = true,
                                   .input_gradient = true,
                                   .out_c = from.c,
                                   .out_h = from.h,
                                   .out_w = from.w,
                                   .kernel_h = 1,
                                   .kernel_w = 1,
                                   .stride = 1};
    struct backend_op_args args = {.src = src_data, .dsrc = no_gradient};
    struct backend_op_memory memory;
    struct backend_op *op = NULL;
    float *kernel = floats((size_t)from.c * from.c);
    float *dev_kernel = NULL;
    enum nero_status status =
        ops->op_create(rig->backend, &desc, src, 1, layout, &memory, &op, err);

    for (uint32_t c = 0; c < from.c; c++) {
        kernel[(size_t)c * from.c + c] = 1.0f;
    }
    if (status == NERO_OK) {
        status = add_area(rig, sizeof(float) * from.c * from.c, kernel, &dev_kernel, err);
    }
    args.param[0] = dev_kernel;
    if (status == NERO_OK) {
        status = add_area(rig, memory.workspace_bytes, NULL, &args.workspace, err);
    }
    if (status == NERO_OK) {
        status = add_area(rig, memory.scratch_bytes, NULL, &args.scratch, err);
    }
    if (status == NERO_OK) {
        status = add_area(rig, layout->bytes, NULL, tensor, err);
    }
    args.dst = *tensor;
    if (status == NERO_OK) {
        status = ops->op_forward(op, &args, err);
    }
    if (op != NULL) {
        ops->op_destroy(op);
    }
    free(kernel);
    return status;
}

/* Everything of one run in backend memory. */
struct run {
    const struct op_case *op_case;
    struct op_data *data;
    struct rig rig;
    struct backend_layout src_layout[CASE_SOURCES_MAX];
    struct backend_layout dst_layout;
    struct backend_op_memory memory;
    struct backend_op *op;
    const float *src[CASE_SOURCES_MAX];
    float *dsrc[CASE_SOURCES_MAX];
    float *ddst;
    float *param[2];
    struct backend_op_args args;
};

static enum nero_status place_sources(struct run *run, bool through_conv, struct nero_err *err)
{
    const struct op_case *op_case = run->op_case;
    struct backend *backend = run->rig.backend;

    for (uint32_t i = 0; i < op_case->src_count; i++) {
        struct backend_layout *layout = &run->src_layout[i];
        float *tensor = NULL;
        enum nero_status status = backend->ops->image_layout(backend, op_case->n, op_case->c[i],
                                                             op_case->h, op_case->w, layout, err);

        if (status == NERO_OK) {
            status = add_area(&run->rig, layout->bytes, NULL, &tensor, err);
        }
        if (status == NERO_OK) {
            status = backend->ops->import_nchw(backend, layout, run->data->src[i], tensor, err);
        }
        if (status == NERO_OK && through_conv) {
            status = pass_through_conv(&run->rig, layout, &tensor, err);
        }
        run->src[i] = tensor;
        if (status == NERO_OK && op_case->desc.input_gradient &&
            !(i == 0 && op_case->skip_gradient_0)) {
            status = add_area(&run->rig, layout->bytes, NULL, &run->dsrc[i], err);
        }
        if (status != NERO_OK) {
            return status;
        }
    }
    return NERO_OK;
}

static enum nero_status place_params(struct run *run, struct nero_err *err)
{
    const struct op_case *op_case = run->op_case;
    enum nero_status status = NERO_OK;

    for (uint32_t k = 0; k < 2 && status == NERO_OK; k++) {
        uint64_t bytes = run->data->param_floats[k] * sizeof(float);

        status = add_area(&run->rig, bytes, run->data->param[k], &run->param[k], err);
        run->args.param[k] = run->param[k];
        if (status == NERO_OK && op_case->desc.training) {
            status = add_area(&run->rig, bytes, NULL, &run->args.dparam[k], err);
        }
        if (status == NERO_OK && run->data->stat[k] != NULL) {
            status = add_area(&run->rig, op_case->desc.out_c * sizeof(float), run->data->stat[k],
                              &run->args.stat[k], err);
        }
    }
    return status;
}

static enum nero_status create_op(struct run *run, struct nero_err *err)
{
    struct backend *backend = run->rig.backend;
    const struct backend_layout *src[CASE_SOURCES_MAX];
    enum nero_status status;

    for (uint32_t i = 0; i < run->op_case->src_count; i++) {
        src[i] = &run->src_layout[i];
    }
    status = backend->ops->op_create(backend, &run->op_case->desc, src, run->op_case->src_count,
                                     &run->dst_layout, &run->memory, &run->op, err);
    if (status == NERO_OK) {
        status = add_area(&run->rig, run->memory.workspace_bytes, NULL, &run->args.workspace, err);
    }
    if (status == NERO_OK) {
        status = add_area(&run->rig, run->memory.scratch_bytes, NULL, &run->args.scratch, err);
    }
    if (status == NERO_OK) {
        status = add_area(&run->rig, run->memory.weights_bytes, NULL, &run->args.prepared, err);
    }
    if (status == NERO_OK) {
        status = add_area(&run->rig, run->dst_layout.bytes, NULL, &run->args.dst, err);
    }
    if (status == NERO_OK) {
        status = add_area(&run->rig, run->dst_layout.bytes, NULL, &run->ddst, err);
    }
    run->args.src = run->src;
    run->args.dsrc = run->dsrc;
    run->args.ddst = run->ddst;
    return status;
}

/* What an operation says that its backward does not read is overwritten before. */
static enum nero_status spoil(struct run *run, struct nero_err *err)
{
    struct backend *backend = run->rig.backend;
    enum nero_status status = NERO_OK;

    for (uint32_t i = 0; i < run->op_case->src_count && run->memory.backward_skips_src; i++) {
        float *junk = floats((size_t)(run->src_layout[i].bytes / sizeof(float)));
        uint64_t bytes = run->src_layout[i].bytes;
        float *tensor;

        memcpy(&tensor, &run->src[i], sizeof(tensor));
        memset(junk, POISON, (size_t)bytes);
        status =
            status != NERO_OK ? status : backend->ops->upload(backend, tensor, junk, bytes, err);
        free(junk);
    }
    if (status == NERO_OK && run->memory.backward_skips_dst) {
        float *junk = floats((size_t)(run->dst_layout.bytes / sizeof(float)));

        memset(junk, POISON, (size_t)run->dst_layout.bytes);
        status = backend->ops->upload(backend, run->args.dst, junk, run->dst_layout.bytes, err);
        free(junk);
    }
    return status;
}

static enum nero_status compute(struct run *run, bool backward, struct nero_err *err)
{
    struct backend *backend = run->rig.backend;
    enum nero_status status = NERO_OK;

    if (!run->op_case->desc.training) {
        status = backend->ops->op_prepare(run->op, &run->args, err);
    }
    if (status == NERO_OK) {
        status = backend->ops->op_forward(run->op, &run->args, err);
    }
    if (status == NERO_OK) {
        status = backend->ops->export_nchw(backend, &run->dst_layout, run->args.dst, run->data->dst,
                                           err);
    }
    if (status != NERO_OK || !backward) {
        return status;
    }
    status = spoil(run, err);
    if (status == NERO_OK) {
        status =
            backend->ops->import_nchw(backend, &run->dst_layout, run->data->ddst, run->ddst, err);
    }
    return status != NERO_OK ? status : backend->ops->op_backward(run->op, &run->args, err);
}

static enum nero_status fetch(struct run *run, bool backward, struct nero_err *err)
{
    struct backend *backend = run->rig.backend;
    enum nero_status status = NERO_OK;

    for (uint32_t i = 0; i < run->op_case->src_count && backward && status == NERO_OK; i++) {
        if (run->dsrc[i] != NULL) {
            status = backend->ops->export_nchw(backend, &run->src_layout[i], run->dsrc[i],
                                               run->data->dsrc[i], err);
        }
    }
    for (uint32_t k = 0; k < 2 && status == NERO_OK; k++) {
        if (backward && run->args.dparam[k] != NULL) {
            status = backend->ops->download(backend, run->data->dparam[k], run->args.dparam[k],
                                            run->data->param_floats[k] * sizeof(float), err);
        }
        if (status == NERO_OK && run->args.stat[k] != NULL) {
            status = backend->ops->download(backend, run->data->stat[k], run->args.stat[k],
                                            run->op_case->desc.out_c * sizeof(float), err);
        }
    }
    return status;
}

enum nero_status case_run(struct backend *backend, const struct op_case *op_case, bool through_conv,
                          bool backward, struct op_data *data, struct nero_err *err)
{
    struct run run = {.op_case = op_case, .data = data, .rig = {.backend = backend}};
    enum nero_status status = place_sources(&run, through_conv, err);

    if (status == NERO_OK) {
        status = place_params(&run, err);
    }
    if (status == NERO_OK) {
        status = create_op(&run, err);
    }
    if (status == NERO_OK) {
        status = compute(&run, backward, err);
    }
    if (status == NERO_OK) {
        status = fetch(&run, backward, err);
    }
    if (status == NERO_OK) {
        status = check_guards(&run.rig, err);
    }
    if (run.op != NULL) {
        backend->ops->op_destroy(run.op);
    }
    close_rig(&run.rig);
    return status;
}
