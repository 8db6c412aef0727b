/*
 * Inside the CPU backend: the instance, its one family of layouts, and the frame of an operation.
 */
#ifndef NERO_CPU_BACKEND_H
#define NERO_CPU_BACKEND_H

#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "backend/cpu/cpu_kernels.h"

struct cpu_backend {
    struct backend base; /* first */
    const struct cpu_kernels *kernels;
    dnnl_engine_t engine;
    uint32_t block; /* channels of a block that fill a vector: 16 with AVX-512, else 8 */
};

/*
 * All layouts are [n][c / inner][h][w][inner], without padding. inner = 1: NCHW (images, an FC's
 * output); inner = block: nChw16c or nChw8c, where c is a multiple; inner = c: NHWC, for the rest.
 * With h = w = 1 all three are the same bytes.
 */
struct cpu_layout {
    uint32_t inner;
};

uint32_t cpu_layout_inner(const struct backend_layout *layout);
void cpu_layout_make(struct backend_layout *out, uint32_t n, uint32_t c, uint32_t h, uint32_t w,
                     uint32_t inner);
/* The inner that everything but convolutions would choose for c channels. */
uint32_t cpu_inner_for(const struct cpu_backend *cpu, uint32_t c);
/* The layout as oneDNN describes it, which knows only these three. */
dnnl_format_tag_t cpu_layout_tag(const struct cpu_backend *cpu,
                                 const struct backend_layout *layout);

static inline uint64_t cpu_layout_floats(const struct backend_layout *layout)
{
    return (uint64_t)layout->n * layout->c * layout->h * layout->w;
}

struct cpu_op_ops {
    void (*destroy)(struct backend_op *op);
    enum nero_status (*prepare)(struct backend_op *op, const struct backend_op_args *args,
                                struct nero_err *err); /* NULL: nothing to do */
    enum nero_status (*forward)(struct backend_op *op, const struct backend_op_args *args,
                                struct nero_err *err);
    enum nero_status (*backward)(struct backend_op *op, const struct backend_op_args *args,
                                 struct nero_err *err);
    void (*sums)(struct backend_op *op, const struct backend_op_args *args, bool backward,
                 double *sums); /* batch norm alone */
};

/* First member of every operation. */
struct backend_op {
    const struct cpu_op_ops *ops;
    struct cpu_backend *cpu;
    struct backend_op_desc desc;
    struct backend_layout src; /* the first input's */
    struct backend_layout dst;
};

/* What an operation is made from, and what its maker fills. */
struct cpu_op_plan {
    struct cpu_backend *cpu;
    const struct backend_op_desc *desc;
    const struct backend_layout *const *src;
    uint32_t src_count;
    struct backend_layout *dst;
    struct backend_op_memory *memory;
};

/* Makes an operation. Owns: *out on success. Errors: invalid, no_memory. */
typedef enum nero_status cpu_maker(const struct cpu_op_plan *plan, struct backend_op **out,
                                   struct nero_err *err);

cpu_maker cpu_conv_create;
cpu_maker cpu_winograd_create; /* convolutions that cpu_winograd_fits */
cpu_maker cpu_fc_create;
cpu_maker cpu_norm_create;
cpu_maker cpu_scale_create;
cpu_maker cpu_pool_create;
cpu_maker cpu_act_create;
cpu_maker cpu_concat_create;

bool cpu_winograd_fits(const struct cpu_op_plan *plan);

/* What `maker` makes, for one image at a time. */
enum nero_status cpu_rows_create(const struct cpu_op_plan *plan, cpu_maker *maker,
                                 struct backend_op **out, struct nero_err *err);

/* Fill the common members; `op` is zeroed but for them. */
void cpu_op_init(struct backend_op *op, const struct cpu_op_ops *ops,
                 const struct cpu_op_plan *plan);

/* Sizes are rounded up so that what follows in an area stays aligned. */
static inline uint64_t cpu_align(uint64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}
static inline float *cpu_at(void *area, uint64_t offset_bytes)
{
    return area == NULL ? NULL : (float *)(void *)((unsigned char *)area + offset_bytes);
}

/* Copy all of `from` to the channels from `first` on of `to`, whatever the layouts; and back. */
void cpu_copy_in(const struct backend_layout *from, const float *x, const struct backend_layout *to,
                 uint32_t first, float *y);
void cpu_copy_out(const struct backend_layout *from, uint32_t first, const float *x,
                  const struct backend_layout *to, float *y);

#endif
