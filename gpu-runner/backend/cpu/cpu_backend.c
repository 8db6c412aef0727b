/*
 * The CPU backend's table: instance, memory, layouts, loss, optimisers. Operations: cpu_conv.c,
 * cpu_winograd.c, cpu_fc.c, cpu_norm.c, cpu_pool.c, cpu_misc.c; oneDNN primitives: cpu_prim.c; why
 * it is so: backend/DESIGN.md.
 */
#include "backend/cpu/cpu_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "nero/mem.h"
#include "nero/rng.h"

#include "backend/cpu/cpu_prim.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20) /* x86-64, and AArch64 with 4 KiB pages */

static struct cpu_backend *cpu_of(struct backend *backend)
{
    return (struct cpu_backend *)backend;
}

uint32_t cpu_layout_inner(const struct backend_layout *layout)
{
    struct cpu_layout own;

    memcpy(&own, layout->opaque, sizeof(own));
    return own.inner;
}

void cpu_layout_make(struct backend_layout *out, uint32_t n, uint32_t c, uint32_t h, uint32_t w,
                     uint32_t inner)
{
    struct cpu_layout own = {.inner = inner};

    memset(out, 0, sizeof(*out));
    out->n = n;
    out->c = c;
    out->h = h;
    out->w = w;
    memcpy(out->opaque, &own, sizeof(own));
    out->bytes = cpu_layout_floats(out) * sizeof(float);
}

uint32_t cpu_inner_for(const struct cpu_backend *cpu, uint32_t c)
{
    return c % cpu->block == 0 ? cpu->block : c;
}

dnnl_format_tag_t cpu_layout_tag(const struct cpu_backend *cpu, const struct backend_layout *layout)
{
    uint32_t inner = cpu_layout_inner(layout);

    if (inner == layout->c) {
        return inner == 1 ? dnnl_nchw : dnnl_nhwc;
    }
    if (inner == 1) {
        return dnnl_nchw;
    }
    return cpu->block == 16 ? dnnl_nChw16c : dnnl_nChw8c;
}

void cpu_op_init(struct backend_op *op, const struct cpu_op_ops *ops,
                 const struct cpu_op_plan *plan)
{
    op->ops = ops;
    op->cpu = plan->cpu;
    op->desc = *plan->desc;
    op->src = *plan->src[0];
    op->dst = *plan->dst;
}

static const char *isa_name(dnnl_cpu_isa_t isa)
{
    switch (isa) {
    case dnnl_cpu_isa_sse41:
        return "sse4.1";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx2_vnni:
        return "avx2-vnni";
    case dnnl_cpu_isa_avx512_core:
        return "avx512";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512-vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512-bf16";
    case dnnl_cpu_isa_avx512_core_amx:
        return "avx512-amx";
    default:
        return "other";
    }
}

static bool has_avx512(dnnl_cpu_isa_t isa)
{
    return ((unsigned)isa & (unsigned)dnnl_cpu_isa_avx512_core) ==
           (unsigned)dnnl_cpu_isa_avx512_core;
}

static const struct cpu_kernels *choose_kernels(dnnl_cpu_isa_t isa)
{
#if CPU_KERNELS_MORE
    if (has_avx512(isa)) {
        return &cpu_kernels_v4;
    }
    if (((unsigned)isa & (unsigned)dnnl_cpu_isa_avx2) == (unsigned)dnnl_cpu_isa_avx2) {
        return &cpu_kernels_v3;
    }
#else
    (void)isa;
#endif
    return &cpu_kernels_base;
}

static void cpu_destroy(struct backend *backend)
{
    struct cpu_backend *cpu = cpu_of(backend);

    dnnl_engine_destroy(cpu->engine);
    free(cpu);
}

static void cpu_describe(struct backend *backend, char out[BACKEND_NAME_BYTES])
{
    const dnnl_version_t *version = dnnl_version();

    snprintf(out, BACKEND_NAME_BYTES, "cpu onednn-%d.%d.%d isa-%s kernels-%s threads-1 fp32",
             version->major, version->minor, version->patch, isa_name(dnnl_get_effective_cpu_isa()),
             cpu_of(backend)->kernels->name);
}

/*
 * Large areas in huge pages where the system gives them: a plan is walked from end to end in every
 * step, and a translation per 4 KiB is a large part of the cost of that. The pointer to free stands
 * right before the area.
 */
static void *cpu_mem_alloc(struct backend *backend, uint64_t bytes)
{
    const size_t align = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : MEM_TENSOR_ALIGN;
    const size_t before = sizeof(void *);
    unsigned char *raw;
    unsigned char *area;

    (void)backend;
    if (bytes > SIZE_MAX / 2) {
        return NULL;
    }
    raw = mem_alloc((size_t)bytes + align + before);
    if (raw == NULL) {
        return NULL;
    }
    area = raw + before;
    area += (align - (uintptr_t)area % align) % align;
    memcpy(area - before, &raw, sizeof(raw));
    if (align == HUGE_PAGE_BYTES) {
        (void)madvise(area, (size_t)bytes, MADV_HUGEPAGE); /* advice: works without too */
    }
    memset(area, 0, (size_t)bytes);
    return area;
}

static void cpu_mem_free(struct backend *backend, void *ptr)
{
    void *raw;

    (void)backend;
    if (ptr != NULL) {
        memcpy(&raw, (unsigned char *)ptr - sizeof(raw), sizeof(raw));
        free(raw);
    }
}

static enum nero_status cpu_copy_host(struct backend *backend, void *to, const void *from,
                                      uint64_t bytes, struct nero_err *err)
{
    (void)backend;
    (void)err;
    memcpy(to, from, (size_t)bytes);
    return NERO_OK;
}

/* States on their way to the store are what is large here. */
static enum nero_status cpu_copy_away(struct backend *backend, void *to, const void *from,
                                      uint64_t bytes, struct nero_err *err)
{
    (void)backend;
    (void)err;
    mem_copy_past(to, from, (size_t)bytes);
    return NERO_OK;
}

static enum nero_status cpu_image_layout(struct backend *backend, uint32_t n, uint32_t c,
                                         uint32_t h, uint32_t w, struct backend_layout *out,
                                         struct nero_err *err)
{
    (void)backend;
    (void)err;
    cpu_layout_make(out, n, c, h, w, 1);
    return NERO_OK;
}

static enum nero_status cpu_import(struct backend *backend, const struct backend_layout *layout,
                                   const float *host, float *tensor, struct nero_err *err)
{
    struct backend_layout plain;

    (void)backend;
    (void)err;
    cpu_layout_make(&plain, layout->n, layout->c, layout->h, layout->w, 1);
    cpu_copy_in(&plain, host, layout, 0, tensor);
    return NERO_OK;
}

static enum nero_status cpu_export(struct backend *backend, const struct backend_layout *layout,
                                   const float *tensor, float *host, struct nero_err *err)
{
    struct backend_layout plain;

    (void)backend;
    (void)err;
    cpu_layout_make(&plain, layout->n, layout->c, layout->h, layout->w, 1);
    cpu_copy_in(layout, tensor, &plain, 0, host);
    return NERO_OK;
}

/* Returns NULL for a kind that there is no maker for. */
static cpu_maker *maker_of(const struct cpu_op_plan *plan)
{
    switch (plan->desc->kind) {
    case BACKEND_CONV:
        return cpu_winograd_fits(plan) ? cpu_winograd_create : cpu_conv_create;
    case BACKEND_BATCH_NORM:
        return cpu_norm_create;
    case BACKEND_SCALE_SHIFT:
        return cpu_scale_create;
    case BACKEND_ACTIVATION:
        return cpu_act_create;
    case BACKEND_POOL:
        return cpu_pool_create;
    case BACKEND_CONCAT:
        return cpu_concat_create;
    case BACKEND_FC:
        return cpu_fc_create;
    }
    return NULL;
}

static bool cpu_supports(struct backend *backend, const struct backend_op_desc *desc,
                         const struct backend_layout *const *src, uint32_t src_count)
{
    (void)backend;
    (void)src;
    if (src_count == 0 || (src_count > 1 && desc->kind != BACKEND_CONCAT)) {
        return false;
    }
    switch (desc->kind) {
    case BACKEND_BATCH_NORM:
        return desc->training;
    case BACKEND_SCALE_SHIFT:
        return !desc->training;
    case BACKEND_CONV:
    case BACKEND_FC:
        return !desc->training || desc->activation == BACKEND_LINEAR;
    case BACKEND_POOL: /* winners are kept in 16 bits */
        return (uint64_t)desc->kernel_h * desc->kernel_w < UINT16_MAX;
    case BACKEND_ACTIVATION:
    case BACKEND_CONCAT:
        return true;
    }
    return false;
}

static enum nero_status cpu_op_create(struct backend *backend, const struct backend_op_desc *desc,
                                      const struct backend_layout *const *src, uint32_t src_count,
                                      struct backend_layout *dst_layout,
                                      struct backend_op_memory *memory, struct backend_op **out,
                                      struct nero_err *err)
{
    struct backend_layout dst;
    struct backend_op_memory wanted = {0};
    struct backend_op *op = NULL;
    struct cpu_op_plan plan = {.cpu = cpu_of(backend),
                               .desc = desc,
                               .src = src,
                               .src_count = src_count,
                               .dst = &dst,
                               .memory = &wanted};
    enum nero_status status;
    int threads;

    if (!cpu_supports(backend, desc, src, src_count)) {
        return err_set(err, NERO_INVALID, 0, "cpu: operation of kind %d is not supported",
                       (int)desc->kind);
    }
    threads = cpu_threads_pin();
    if (desc->plain && (desc->kind == BACKEND_CONV || desc->kind == BACKEND_FC)) {
        status = cpu_rows_create(&plan, maker_of(&plan), &op, err);
    } else {
        status = maker_of(&plan)(&plan, &op, err);
    }
    cpu_threads_unpin(threads);
    if (status == NERO_OK) {
        *dst_layout = dst;
        *memory = wanted;
        *out = op;
    }
    return status;
}

static void cpu_op_destroy(struct backend_op *op)
{
    if (op != NULL) {
        op->ops->destroy(op);
    }
}

static enum nero_status cpu_op_prepare(struct backend_op *op, const struct backend_op_args *args,
                                       struct nero_err *err)
{
    int threads = cpu_threads_pin();
    enum nero_status status = NERO_OK;

    if (op->ops->prepare != NULL) {
        status = op->ops->prepare(op, args, err);
    }
    cpu_threads_unpin(threads);
    return status;
}

static enum nero_status cpu_op_forward(struct backend_op *op, const struct backend_op_args *args,
                                       struct nero_err *err)
{
    int threads = cpu_threads_pin();
    enum nero_status status = op->ops->forward(op, args, err);

    cpu_threads_unpin(threads);
    return status;
}

static enum nero_status cpu_op_backward(struct backend_op *op, const struct backend_op_args *args,
                                        struct nero_err *err)
{
    int threads = cpu_threads_pin();
    enum nero_status status = op->ops->backward(op, args, err);

    cpu_threads_unpin(threads);
    return status;
}

static enum nero_status cpu_op_sums(struct backend_op *op, const struct backend_op_args *args,
                                    bool backward, double *sums, struct nero_err *err)
{
    (void)err;
    op->ops->sums(op, args, backward, sums);
    return NERO_OK;
}

static enum nero_status cpu_accumulate(struct backend *backend, const struct backend_layout *layout,
                                       float *to, const float *from, struct nero_err *err)
{
    (void)err;
    cpu_of(backend)->kernels->add(to, from, (size_t)cpu_layout_floats(layout));
    return NERO_OK;
}

static enum nero_status cpu_softmax_ce(struct backend *backend, const struct backend_layout *layout,
                                       const float *logits, const uint8_t *labels, uint32_t valid,
                                       float scale, float *loss_rows, float *dlogits,
                                       struct nero_err *err)
{
    enum { CLASSES_MAX = 65536 };
    const struct cpu_kernels *kernels = cpu_of(backend)->kernels;
    const uint32_t classes = layout->c;
    float inline_row[1024]; /* where the caller wants no gradient */

    if (classes > (dlogits == NULL ? sizeof(inline_row) / sizeof(*inline_row) : CLASSES_MAX)) {
        return err_set(err, NERO_INVALID, 0, "cpu: softmax over %u classes", (unsigned)classes);
    }
    for (uint32_t n = 0; n < layout->n; n++) {
        const float *z = logits + (size_t)n * classes;
        float *row = dlogits == NULL ? inline_row : dlogits + (size_t)n * classes;
        float max;
        float total;

        if (n >= valid) {
            memset(row, 0, classes * sizeof(*row));
            loss_rows[n] = 0.0f;
            continue;
        }
        total = kernels->softmax(z, row, classes, &max);
        /* rng_log is the project's own logarithm: no libm decides a bit of a loss */
        loss_rows[n] =
            total - total == 0.0f ? (float)rng_log((double)total) - (z[labels[n]] - max) : total;
        row[labels[n]] -= 1.0f;
        for (uint32_t k = 0; k < classes; k++) {
            row[k] *= scale;
        }
    }
    return NERO_OK;
}

static enum nero_status cpu_update(struct backend *backend, const struct backend_update *update,
                                   float two_lambda, float *w, const float *g, float *slot0,
                                   float *slot1, uint64_t count, struct nero_err *err)
{
    (void)err;
    cpu_of(backend)->kernels->update(update, two_lambda, w, g, slot0, slot1, (size_t)count);
    return NERO_OK;
}

static enum nero_status cpu_sum_squares(struct backend *backend, const float *w, uint64_t count,
                                        double *out, struct nero_err *err)
{
    (void)err;
    *out = cpu_of(backend)->kernels->sum_squares(w, (size_t)count);
    return NERO_OK;
}

static const struct backend_ops cpu_ops = {
    .name = "cpu",
    .destroy = cpu_destroy,
    .describe = cpu_describe,
    .mem_alloc = cpu_mem_alloc,
    .mem_free = cpu_mem_free,
    .upload = cpu_copy_host,
    .download = cpu_copy_away,
    .image_layout = cpu_image_layout,
    .import_nchw = cpu_import,
    .export_nchw = cpu_export,
    .supports = cpu_supports,
    .op_create = cpu_op_create,
    .op_destroy = cpu_op_destroy,
    .op_prepare = cpu_op_prepare,
    .op_forward = cpu_op_forward,
    .op_backward = cpu_op_backward,
    .op_sums = cpu_op_sums,
    .accumulate = cpu_accumulate,
    .softmax_ce = cpu_softmax_ce,
    .update = cpu_update,
    .sum_squares = cpu_sum_squares,
};

enum nero_status backend_cpu_create(struct backend **out, struct nero_err *err)
{
    struct cpu_backend *cpu = mem_calloc(1, sizeof(*cpu));
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    dnnl_status_t status;

    if (cpu == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "cpu backend: no memory");
    }
    cpu->base.ops = &cpu_ops;
    cpu->kernels = choose_kernels(isa);
    cpu->block = has_avx512(isa) ? 16 : 8;
    status = dnnl_engine_create(&cpu->engine, dnnl_cpu, 0);
    if (status != dnnl_success) {
        free(cpu);
        return cpu_prim_error(err, "create the engine", status);
    }
    *out = &cpu->base;
    return NERO_OK;
}
