/* Pooling (padding is never counted) and concatenation over channels. */
#include "backend/ref/ref.h"

#include <string.h>

/* The part of a pooling window that lies inside the input: rows [i0,i1), columns [j0,j1). */
struct area {
    size_t i0, i1, j0, j1;
};

static struct area area_of(const struct ref_op *op, size_t y, size_t x)
{
    const struct backend_op_desc *desc = &op->desc;
    struct area area;
    size_t first, last;

    ref_window(y, desc->stride, desc->pad_top, desc->kernel_h, op->src[0].h, &first, &last);
    area.i0 = y * desc->stride + first - desc->pad_top;
    area.i1 = y * desc->stride + last - desc->pad_top;
    ref_window(x, desc->stride, desc->pad_left, desc->kernel_w, op->src[0].w, &first, &last);
    area.j0 = x * desc->stride + first - desc->pad_left;
    area.j1 = x * desc->stride + last - desc->pad_left;
    return area;
}

/* Index in the plane of the largest value; among equals the first in row-major order. */
static size_t winner(const float *plane, size_t width, struct area area)
{
    size_t best = area.i0 * width + area.j0;

    for (size_t i = area.i0; i < area.i1; i++) {
        for (size_t j = area.j0; j < area.j1; j++) {
            if (plane[i * width + j] > plane[best]) {
                best = i * width + j;
            }
        }
    }
    return best;
}

static float average(const float *plane, size_t width, struct area area)
{
    double sum = 0.0;

    for (size_t i = area.i0; i < area.i1; i++) {
        for (size_t j = area.j0; j < area.j1; j++) {
            sum += (double)plane[i * width + j];
        }
    }
    return (float)(sum / (double)((area.i1 - area.i0) * (area.j1 - area.j0)));
}

/* The winners are found again in backward: nothing is kept. */
void ref_pool_forward(const struct ref_op *op, const struct backend_op_args *args)
{
    struct ref_dims in = op->src[0];
    struct ref_dims out = op->out;
    float *to = args->dst;

    for (size_t nc = 0; nc < out.n * out.c; nc++) {
        const float *plane = args->src[0] + nc * in.h * in.w;

        for (size_t y = 0; y < out.h; y++) {
            for (size_t x = 0; x < out.w; x++) {
                struct area area = area_of(op, y, x);

                *to++ = op->desc.max_pool ? plane[winner(plane, in.w, area)]
                                          : average(plane, in.w, area);
            }
        }
    }
}

/* Spread g evenly over the area. `sums` are the double sums of one plane. */
static void spread(double *sums, size_t width, struct area area, double g)
{
    double share = g / (double)((area.i1 - area.i0) * (area.j1 - area.j0));

    for (size_t i = area.i0; i < area.i1; i++) {
        for (size_t j = area.j0; j < area.j1; j++) {
            sums[i * width + j] += share;
        }
    }
}

/* Scratch: one plane of doubles. */
void ref_pool_backward(const struct ref_op *op, const struct backend_op_args *args)
{
    struct ref_dims in = op->src[0];
    struct ref_dims out = op->out;
    const float *from = args->ddst;
    double *sums = args->scratch;

    for (size_t nc = 0; args->dsrc[0] != NULL && nc < out.n * out.c; nc++) {
        const float *plane = args->src[0] + nc * in.h * in.w;

        memset(sums, 0, in.h * in.w * sizeof(*sums));
        for (size_t y = 0; y < out.h; y++) {
            for (size_t x = 0; x < out.w; x++) {
                struct area area = area_of(op, y, x);
                double g = (double)*from++;

                if (op->desc.max_pool) {
                    sums[winner(plane, in.w, area)] += g;
                } else {
                    spread(sums, in.w, area, g);
                }
            }
        }
        for (size_t i = 0; i < in.h * in.w; i++) {
            args->dsrc[0][nc * in.h * in.w + i] = (float)sums[i];
        }
    }
}

void ref_concat_forward(const struct ref_op *op, const struct backend_op_args *args)
{
    size_t area = op->out.h * op->out.w;
    float *to = args->dst;

    for (size_t n = 0; n < op->out.n; n++) {
        for (uint32_t i = 0; i < op->src_count; i++) {
            size_t count = op->src[i].c * area;

            memcpy(to, args->src[i] + n * count, count * sizeof(*to));
            to += count;
        }
    }
}

void ref_concat_backward(const struct ref_op *op, const struct backend_op_args *args)
{
    size_t area = op->out.h * op->out.w;
    const float *from = args->ddst;

    for (size_t n = 0; n < op->out.n; n++) {
        for (uint32_t i = 0; i < op->src_count; i++) {
            size_t count = op->src[i].c * area;

            if (args->dsrc[i] != NULL) {
                memcpy(args->dsrc[i] + n * count, from, count * sizeof(*from));
            }
            from += count;
        }
    }
}
