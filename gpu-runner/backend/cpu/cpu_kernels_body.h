/*
 * The kernels, included once per instruction set with CPU_KERNELS_NAME and CPU_KERNELS_SYMBOL set.
 * Written so that GCC vectorises every inner loop; sums go to one accumulator a lane, so that their
 * order is fixed without reassociation.
 */
#include <math.h>
#include <string.h>

#include "cpu_kernels.h"

#define CPU_INLINE static inline __attribute__((always_inline))

/* exp for |x| clamped to what a float holds; relative error below 2e-7 (Cephes' expf). */
CPU_INLINE float exp_of(float x)
{
    const float round_by = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    union {
        uint32_t bits;
        float value;
    } power;
    float n;
    float r;
    float p = 1.9875691500e-4f;

    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    n = (x * 1.44269504088896341f + round_by) - round_by;
    r = x - n * 0.693359375f + n * 2.12194440e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    /* Unsigned: of a NaN the integer is the smallest there is, and p carries the NaN. */
    power.bits = ((uint32_t)(int32_t)n + 127u) << 23;
    return p * power.value;
}

/* A NaN stays one, so that a broken network is seen in its loss. */
CPU_INLINE float act_of(float z, enum backend_activation act)
{
    switch (act) {
    case BACKEND_RELU:
        return z < 0.0f ? 0.0f : z;
    case BACKEND_SILU:
        return z / (1.0f + exp_of(-z));
    case BACKEND_LINEAR:
        break;
    }
    return z;
}

CPU_INLINE float act_grad_of(float z, float dy, enum backend_activation act)
{
    float sigmoid;

    switch (act) {
    case BACKEND_RELU:
        return z > 0.0f ? dy : 0.0f;
    case BACKEND_SILU:
        sigmoid = 1.0f / (1.0f + exp_of(-z));
        return dy * (sigmoid * (1.0f + z * (1.0f - sigmoid)));
    case BACKEND_LINEAR:
        break;
    }
    return dy;
}

/*
 * Call `body(..., n, act)` for whole rows of `lanes` and for the rest, with `act` and the usual
 * number of lanes as constants, so that each gets a loop of its own.
 */
#define FOR_ACT(act, CALL)                                                                         \
    do {                                                                                           \
        switch (act) {                                                                             \
        case BACKEND_RELU:                                                                         \
            CALL(BACKEND_RELU);                                                                    \
            break;                                                                                 \
        case BACKEND_SILU:                                                                         \
            CALL(BACKEND_SILU);                                                                    \
            break;                                                                                 \
        case BACKEND_LINEAR:                                                                       \
            CALL(BACKEND_LINEAR);                                                                  \
            break;                                                                                 \
        }                                                                                          \
    } while (0)

CPU_INLINE void sum_rows(const float *restrict x, size_t count, uint32_t lanes,
                         float *restrict sums)
{
    size_t i = 0;

    for (; i + lanes <= count; i += lanes) {
        for (uint32_t j = 0; j < lanes; j++) {
            sums[j] += x[i + j];
        }
    }
    for (uint32_t j = 0; i + j < count; j++) {
        sums[j] += x[i + j];
    }
}

static void sum(const float *x, size_t count, uint32_t lanes, float *sums)
{
    if (lanes == CPU_LANES) {
        float local[CPU_LANES];

        memcpy(local, sums, sizeof(local));
        sum_rows(x, count, CPU_LANES, local);
        memcpy(sums, local, sizeof(local));
        return;
    }
    sum_rows(x, count, lanes, sums);
}

CPU_INLINE void sum_square_rows(const float *restrict x, size_t count, uint32_t lanes,
                                const float *restrict mean, float *restrict sums)
{
    size_t i = 0;

    for (; i + lanes <= count; i += lanes) {
        for (uint32_t j = 0; j < lanes; j++) {
            float d = x[i + j] - mean[j];

            sums[j] += d * d;
        }
    }
    for (uint32_t j = 0; i + j < count; j++) {
        float d = x[i + j] - mean[j];

        sums[j] += d * d;
    }
}

static void sum_square(const float *x, size_t count, uint32_t lanes, const float *mean,
                       float *sums)
{
    if (lanes == CPU_LANES) {
        float local[CPU_LANES];

        memcpy(local, sums, sizeof(local));
        sum_square_rows(x, count, CPU_LANES, mean, local);
        memcpy(sums, local, sizeof(local));
        return;
    }
    sum_square_rows(x, count, lanes, mean, sums);
}

CPU_INLINE void scale_shift_rows(const float *x, float *y, size_t count, uint32_t lanes,
                                 const float *restrict scale, const float *restrict shift,
                                 enum backend_activation act)
{
    size_t i = 0;

    for (; i + lanes <= count; i += lanes) {
#pragma GCC ivdep
        for (uint32_t j = 0; j < lanes; j++) {
            y[i + j] = act_of(x[i + j] * scale[j] + shift[j], act);
        }
    }
#pragma GCC ivdep
    for (uint32_t j = 0; j < (uint32_t)(count - i); j++) {
        y[i + j] = act_of(x[i + j] * scale[j] + shift[j], act);
    }
}

static void scale_shift(const float *x, float *y, size_t count, uint32_t lanes,
                        const float *scale, const float *shift, enum backend_activation act)
{
#define CALL(constant_act)                                                                         \
    if (lanes == CPU_LANES) {                                                                      \
        scale_shift_rows(x, y, count, CPU_LANES, scale, shift, constant_act);                      \
    } else {                                                                                       \
        scale_shift_rows(x, y, count, lanes, scale, shift, constant_act);                          \
    }
    FOR_ACT(act, CALL);
#undef CALL
}

CPU_INLINE void norm_sums_rows(const float *restrict x, const float *restrict dy, size_t count,
                               uint32_t lanes, const struct cpu_norm_tables *tables,
                               enum backend_activation act, float *restrict sums_dz,
                               float *restrict sums_dzx)
{
    const float *restrict scale = tables->scale;
    const float *restrict shift = tables->shift;
    const float *restrict mean = tables->mean;

    size_t i = 0;

    for (; i + lanes <= count; i += lanes) {
        for (uint32_t j = 0; j < lanes; j++) {
            float dz = act_grad_of(x[i + j] * scale[j] + shift[j], dy[i + j], act);

            sums_dz[j] += dz;
            sums_dzx[j] += dz * (x[i + j] - mean[j]);
        }
    }
    for (uint32_t j = 0; i + j < count; j++) {
        float dz = act_grad_of(x[i + j] * scale[j] + shift[j], dy[i + j], act);

        sums_dz[j] += dz;
        sums_dzx[j] += dz * (x[i + j] - mean[j]);
    }
}

static void norm_sums(const float *x, const float *dy, size_t count, uint32_t lanes,
                      const struct cpu_norm_tables *tables, enum backend_activation act,
                      float *sums_dz, float *sums_dzx)
{
    if (lanes == CPU_LANES) {
        float dz[CPU_LANES];
        float dzx[CPU_LANES];

        memcpy(dz, sums_dz, sizeof(dz));
        memcpy(dzx, sums_dzx, sizeof(dzx));
#define CALL(constant_act)                                                                         \
    norm_sums_rows(x, dy, count, CPU_LANES, tables, constant_act, dz, dzx)
        FOR_ACT(act, CALL);
#undef CALL
        memcpy(sums_dz, dz, sizeof(dz));
        memcpy(sums_dzx, dzx, sizeof(dzx));
        return;
    }
#define CALL(constant_act)                                                                         \
    norm_sums_rows(x, dy, count, lanes, tables, constant_act, sums_dz, sums_dzx)
    FOR_ACT(act, CALL);
#undef CALL
}

CPU_INLINE void norm_grad_rows(const float *restrict x, const float *restrict dy,
                               float *restrict dx, size_t count, uint32_t lanes,
                               const struct cpu_norm_tables *tables, enum backend_activation act)
{
    const float *restrict scale = tables->scale;
    const float *restrict shift = tables->shift;
    const float *restrict of_dz = tables->of_dz;
    const float *restrict of_x = tables->of_x;
    const float *restrict constant = tables->constant;

    size_t i = 0;

    for (; i + lanes <= count; i += lanes) {
        for (uint32_t j = 0; j < lanes; j++) {
            float dz = act_grad_of(x[i + j] * scale[j] + shift[j], dy[i + j], act);

            dx[i + j] = of_dz[j] * dz + (of_x[j] * x[i + j] + constant[j]);
        }
    }
    for (uint32_t j = 0; i + j < count; j++) {
        float dz = act_grad_of(x[i + j] * scale[j] + shift[j], dy[i + j], act);

        dx[i + j] = of_dz[j] * dz + (of_x[j] * x[i + j] + constant[j]);
    }
}

static void norm_grad(const float *x, const float *dy, float *dx, size_t count, uint32_t lanes,
                      const struct cpu_norm_tables *tables, enum backend_activation act)
{
#define CALL(constant_act)                                                                         \
    if (lanes == CPU_LANES) {                                                                      \
        norm_grad_rows(x, dy, dx, count, CPU_LANES, tables, constant_act);                         \
    } else {                                                                                       \
        norm_grad_rows(x, dy, dx, count, lanes, tables, constant_act);                             \
    }
    FOR_ACT(act, CALL);
#undef CALL
}

CPU_INLINE void scale_shift_grad_rows(const float *restrict x, const float *restrict dy,
                                      float *restrict dx, size_t count, uint32_t lanes,
                                      const float *restrict scale, const float *restrict shift,
                                      enum backend_activation act)
{
    for (size_t i = 0; i < count; i += lanes) {
        uint32_t n = count - i < lanes ? (uint32_t)(count - i) : lanes;

        for (uint32_t j = 0; j < n; j++) {
            float z = x[i + j] * scale[j] + shift[j];

            dx[i + j] = act_grad_of(z, dy[i + j], act) * scale[j];
        }
    }
}

static void scale_shift_grad(const float *x, const float *dy, float *dx, size_t count,
                             uint32_t lanes, const float *scale, const float *shift,
                             enum backend_activation act)
{
#define CALL(constant_act)                                                                         \
    scale_shift_grad_rows(x, dy, dx, count, lanes, scale, shift, constant_act)
    FOR_ACT(act, CALL);
#undef CALL
}

static void activate(const float *x, float *y, size_t count, enum backend_activation act)
{
#define CALL(constant_act)                                                                         \
    _Pragma("GCC ivdep") for (size_t i = 0; i < count; i++)                                        \
    {                                                                                              \
        y[i] = act_of(x[i], constant_act);                                                         \
    }
    FOR_ACT(act, CALL);
#undef CALL
}

static void activate_grad(const float *x, const float *dy, float *dx, size_t count,
                          enum backend_activation act)
{
#define CALL(constant_act)                                                                         \
    _Pragma("GCC ivdep") for (size_t i = 0; i < count; i++)                                        \
    {                                                                                              \
        dx[i] = act_grad_of(x[i], dy[i], constant_act);                                            \
    }
    FOR_ACT(act, CALL);
#undef CALL
}

static void add(float *restrict to, const float *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] += from[i];
    }
}

#include "cpu_kernels_pool.h"
#include "cpu_kernels_update.h"
#ifdef __AVX512F__
#include "cpu_kernels_winograd.h"
#endif

const struct cpu_kernels CPU_KERNELS_SYMBOL = {
    .name = CPU_KERNELS_NAME,
    .sum = sum,
    .sum_square = sum_square,
    .scale_shift = scale_shift,
    .norm_sums = norm_sums,
    .norm_grad = norm_grad,
    .scale_shift_grad = scale_shift_grad,
    .activate = activate,
    .activate_grad = activate_grad,
    .add = add,
    .max_pool = max_pool,
    .max_pool_grad = max_pool_grad,
    .avg_pool = avg_pool,
    .avg_pool_grad = avg_pool_grad,
#ifdef __AVX512F__
    .winograd_filter = winograd_filter,
    .winograd_forward = winograd_forward,
    .winograd_weights = winograd_weights,
    .winograd_filter_floats = winograd_filter_floats,
    .winograd_scratch_floats = winograd_scratch_floats,
#endif
    .softmax = softmax,
    .update = update,
    .sum_squares = sum_squares,
};
