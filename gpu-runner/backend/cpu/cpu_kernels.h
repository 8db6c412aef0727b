/*
 * The loops of the CPU backend that are not oneDNN's: plain C, compiled once per instruction set
 * (cpu_kernels_base.c, _v3.c, _v4.c include cpu_kernels_body.inc) and chosen at run time by the ISA
 * that oneDNN reports, so that one variable (DNNL_MAX_CPU_ISA) and one name in `describe` rule
 * both.
 *
 * Lanes. A run is an array whose element i belongs to channel i % inner. Kernels take tables of
 * `lanes` floats, lanes being a multiple of `inner` long enough to fill vectors: element i meets
 * table[i % lanes]. So few channels cost no more than many.
 */
#ifndef NERO_CPU_KERNELS_H
#define NERO_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

enum { CPU_LANES = 64 }; /* the length for which the kernels keep their tables in registers */

/* Tables of batch norm's backward; see cpu_norm.c. */
struct cpu_norm_tables {
    const float *scale; /* z = scale * x + shift is what the activation saw */
    const float *shift;
    const float *mean;
    const float *of_dz; /* dx = of_dz * dz + of_x * x + constant */
    const float *of_x;
    const float *constant;
};

/* One plane [in_h][in_w][inner] to [out_h][out_w][inner]. */
struct cpu_pool_plane {
    uint32_t in_h, in_w, out_h, out_w, inner;
    uint32_t kernel_h, kernel_w, stride, pad_top, pad_left;
    const uint32_t *offsets; /* of a window's places, in floats from its first; max_pool_grad */
};

/* A 3x3 convolution of stride 1 on layouts in blocks of 16 channels. */
struct cpu_winograd {
    uint32_t n, c, h, w;      /* input; c is a multiple of 16 */
    uint32_t k, out_h, out_w; /* output; k likewise */
    int32_t pad_top, pad_left;
    const float *bias; /* forward: k floats, or NULL */
    bool relu;         /* forward */
};

struct cpu_kernels {
    const char *name;

    void (*sum)(const float *x, size_t count, uint32_t lanes, float *sums);
    void (*sum_square)(const float *x, size_t count, uint32_t lanes, const float *mean,
                       float *sums);
    /* y = act(scale * x + shift); x == y is allowed */
    void (*scale_shift)(const float *x, float *y, size_t count, uint32_t lanes, const float *scale,
                        const float *shift, enum backend_activation act);
    /* sums_dz += dz, sums_dzx += dz * (x - mean), where dz = act'(scale * x + shift) * dy */
    void (*norm_sums)(const float *x, const float *dy, size_t count, uint32_t lanes,
                      const struct cpu_norm_tables *tables, enum backend_activation act,
                      float *sums_dz, float *sums_dzx);
    void (*norm_grad)(const float *x, const float *dy, float *dx, size_t count, uint32_t lanes,
                      const struct cpu_norm_tables *tables, enum backend_activation act);
    /* dx = act'(scale * x + shift) * scale * dy */
    void (*scale_shift_grad)(const float *x, const float *dy, float *dx, size_t count,
                             uint32_t lanes, const float *scale, const float *shift,
                             enum backend_activation act);

    void (*activate)(const float *x, float *y, size_t count, enum backend_activation act);
    /* x: what the activation saw (for ReLU its result serves as well) */
    void (*activate_grad)(const float *x, const float *dy, float *dx, size_t count,
                          enum backend_activation act);
    void (*add)(float *to, const float *from, size_t count);

    /*
     * Max pooling; winner[o] = kernel_w * row + column in the window of the first largest element,
     * in row-major order. winner is NULL where no backward follows.
     */
    void (*max_pool)(const struct cpu_pool_plane *plane, const float *x, float *y,
                     uint16_t *winner);
    void (*max_pool_grad)(const struct cpu_pool_plane *plane, const uint16_t *winner,
                          const float *dy, float *dx);
    /* Average over the part of the window inside the image. */
    void (*avg_pool)(const struct cpu_pool_plane *plane, const float *x, float *y);
    void (*avg_pool_grad)(const struct cpu_pool_plane *plane, const float *dy, float *dx);

    /*
     * Winograd, or all NULL in sets that lack it (cpu_kernels_winograd.inc). The input's gradient
     * is a forward from dy with filters made with `backward`, c and k, in and out exchanged, and 2
     * - pad. u: winograd_filter_floats(). scratch: winograd_scratch_floats().
     */
    void (*winograd_filter)(const struct cpu_winograd *w, const float *kernel, bool backward,
                            float *u);
    void (*winograd_forward)(const struct cpu_winograd *w, const float *x, const float *u, float *y,
                             float *scratch);
    void (*winograd_weights)(const struct cpu_winograd *w, const float *x, const float *dy,
                             float *dkernel, float *scratch);
    size_t (*winograd_filter_floats)(uint32_t c, uint32_t k);
    size_t (*winograd_scratch_floats)(void);

    /* probabilities = softmax(logits), one row; returns the sum of exp(logit - max) */
    float (*softmax)(const float *logits, float *probabilities, uint32_t count, float *max);

    void (*update)(const struct backend_update *update, float two_lambda, float *w, const float *g,
                   float *slot0, float *slot1, size_t count);
    double (*sum_squares)(const float *w, size_t count);
};

extern const struct cpu_kernels cpu_kernels_base;
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CPU_KERNELS_MORE 1 /* the sets for AVX2 and AVX-512 are built */
extern const struct cpu_kernels cpu_kernels_v3;
extern const struct cpu_kernels cpu_kernels_v4;
#else
#define CPU_KERNELS_MORE 0
#endif

#endif
