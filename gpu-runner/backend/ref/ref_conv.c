/* Convolution and FC: forward, gradients of input, kernel and bias, each as the sum it is. */
#include "backend/ref/ref.h"

static double window_sum(const struct ref_op *op, const float *src, const float *kernel, size_t n,
                         size_t y, size_t x)
{
    const struct backend_op_desc *desc = &op->desc;
    struct ref_dims in = op->src[0];
    size_t r0, r1, s0, s1;
    double sum = 0.0;

    ref_window(y, desc->stride, desc->pad_top, desc->kernel_h, in.h, &r0, &r1);
    ref_window(x, desc->stride, desc->pad_left, desc->kernel_w, in.w, &s0, &s1);
    for (size_t c = 0; c < in.c; c++) {
        for (size_t r = r0; r < r1; r++) {
            size_t row = y * desc->stride + r - desc->pad_top;
            const float *pixels = src + ref_plane(in, n, c) + row * in.w;
            const float *weights = kernel + (c * desc->kernel_h + r) * desc->kernel_w;

            for (size_t s = s0; s < s1; s++) {
                sum += (double)weights[s] * (double)pixels[x * desc->stride + s - desc->pad_left];
            }
        }
    }
    return sum;
}

void ref_conv_forward(const struct ref_op *op, const struct backend_op_args *args)
{
    struct ref_dims out = op->out;
    size_t kernel_count = op->src[0].c * op->desc.kernel_h * op->desc.kernel_w;

    for (size_t n = 0; n < out.n; n++) {
        for (size_t k = 0; k < out.c; k++) {
            const float *kernel = args->param[0] + k * kernel_count;
            float *dst = args->dst + ref_plane(out, n, k);
            double bias = op->desc.bias ? (double)args->param[1][k] : 0.0;

            for (size_t y = 0; y < out.h; y++) {
                for (size_t x = 0; x < out.w; x++) {
                    dst[y * out.w + x] =
                        (float)(bias + window_sum(op, args->src[0], kernel, n, y, x));
                }
            }
        }
    }
    ref_act_finish(op, args->dst, args->workspace);
}

/*
 * The output index whose window has its element `tap` over input index `at`. False where there is
 * none: between strides or outside.
 */
static bool output_of(size_t at, size_t tap, size_t stride, size_t pad, size_t out, size_t *index)
{
    if (at + pad < tap || (at + pad - tap) % stride != 0) {
        return false;
    }
    *index = (at + pad - tap) / stride;
    return *index < out;
}

static double input_gradient(const struct ref_op *op, const float *kernel, const float *dz,
                             size_t n, size_t c, size_t i, size_t j)
{
    const struct backend_op_desc *desc = &op->desc;
    struct ref_dims out = op->out;
    size_t taps = (size_t)desc->kernel_h * desc->kernel_w;
    double sum = 0.0;
    size_t y, x;

    for (size_t r = 0; r < desc->kernel_h; r++) {
        if (!output_of(i, r, desc->stride, desc->pad_top, out.h, &y)) {
            continue;
        }
        for (size_t s = 0; s < desc->kernel_w; s++) {
            if (!output_of(j, s, desc->stride, desc->pad_left, out.w, &x)) {
                continue;
            }
            for (size_t k = 0; k < out.c; k++) {
                size_t weight = (k * op->src[0].c + c) * taps + r * desc->kernel_w + s;

                sum += (double)kernel[weight] * (double)dz[ref_plane(out, n, k) + y * out.w + x];
            }
        }
    }
    return sum;
}

static double kernel_gradient(const struct ref_op *op, const float *src, const float *dz, size_t k,
                              size_t c, size_t r, size_t s)
{
    const struct backend_op_desc *desc = &op->desc;
    struct ref_dims in = op->src[0];
    struct ref_dims out = op->out;
    double sum = 0.0;

    for (size_t n = 0; n < out.n; n++) {
        const float *pixels = src + ref_plane(in, n, c);
        const float *gradient = dz + ref_plane(out, n, k);

        for (size_t y = 0; y < out.h; y++) {
            size_t i = y * desc->stride + r - desc->pad_top; /* wraps above in.h where outside */

            for (size_t x = 0; i < in.h && x < out.w; x++) {
                size_t j = x * desc->stride + s - desc->pad_left;

                if (j < in.w) {
                    sum += (double)gradient[y * out.w + x] * (double)pixels[i * in.w + j];
                }
            }
        }
    }
    return sum;
}

static void backward_input(const struct ref_op *op, const struct backend_op_args *args,
                           const float *dz)
{
    struct ref_dims in = op->src[0];
    float *to = args->dsrc[0];

    for (size_t n = 0; n < in.n; n++) {
        for (size_t c = 0; c < in.c; c++) {
            for (size_t i = 0; i < in.h; i++) {
                for (size_t j = 0; j < in.w; j++) {
                    *to++ = (float)input_gradient(op, args->param[0], dz, n, c, i, j);
                }
            }
        }
    }
}

static void backward_kernel(const struct ref_op *op, const struct backend_op_args *args,
                            const float *dz)
{
    float *to = args->dparam[0];

    for (size_t k = 0; k < op->out.c; k++) {
        for (size_t c = 0; c < op->src[0].c; c++) {
            for (size_t r = 0; r < op->desc.kernel_h; r++) {
                for (size_t s = 0; s < op->desc.kernel_w; s++) {
                    *to++ = (float)kernel_gradient(op, args->src[0], dz, k, c, r, s);
                }
            }
        }
    }
}

static void backward_bias(const struct ref_op *op, const struct backend_op_args *args,
                          const float *dz)
{
    struct ref_dims out = op->out;

    for (size_t k = 0; k < out.c; k++) {
        double sum = 0.0;

        for (size_t n = 0; n < out.n; n++) {
            for (size_t i = 0; i < out.h * out.w; i++) {
                sum += (double)dz[ref_plane(out, n, k) + i];
            }
        }
        args->dparam[1][k] = (float)sum;
    }
}

void ref_conv_backward(const struct ref_op *op, const struct backend_op_args *args)
{
    const float *dz = ref_act_backward(op, args->ddst, args->workspace, args->scratch);

    if (args->dsrc[0] != NULL) {
        backward_input(op, args, dz);
    }
    if (args->dparam[0] != NULL) {
        backward_kernel(op, args, dz);
    }
    if (args->dparam[1] != NULL) {
        backward_bias(op, args, dz);
    }
}
