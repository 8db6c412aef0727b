/*
 * Part of cpu_kernels_body.h: pooling of one plane. With stride 1 an output row meets a run of the
 * input row for each place in the window, so whole rows are vectors however few channels there are;
 * with larger strides the vectors are the channels of one pixel.
 */

/* Output columns [*first, *last) whose window place `column` lies inside the image. */
CPU_INLINE void pool_columns(const struct cpu_pool_plane *p, uint32_t column, uint32_t *first,
                             uint32_t *last)
{
    uint32_t before = column < p->pad_left ? p->pad_left - column : 0; /* columns cut off */
    uint32_t reach = p->in_w + p->pad_left; /* ow * stride + column < reach */

    *first = (before + p->stride - 1) / p->stride;
    *last = reach <= column ? 0 : (reach - column - 1) / p->stride + 1;
    *last = *last < p->out_w ? *last : p->out_w;
    *last = *last > *first ? *last : *first;
}

CPU_INLINE void max_pixels(const float *restrict x, float *restrict y, uint16_t *restrict winner,
                           size_t count, uint16_t place)
{
    if (winner == NULL) {
        for (size_t i = 0; i < count; i++) {
            y[i] = x[i] > y[i] ? x[i] : y[i];
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bool more = x[i] > y[i];

        y[i] = more ? x[i] : y[i];
        winner[i] = more ? place : winner[i];
    }
}

/* One place of the window against one output row. */
CPU_INLINE void max_row(const struct cpu_pool_plane *p, const float *x_row, float *y_row,
                        uint16_t *winner_row, uint32_t column, uint16_t place)
{
    uint32_t first;
    uint32_t last;

    pool_columns(p, column, &first, &last);
    if (p->stride == 1) {
        size_t from = (size_t)first * p->inner;

        max_pixels(x_row + (size_t)(first + column - p->pad_left) * p->inner, y_row + from,
                   winner_row == NULL ? NULL : winner_row + from,
                   (size_t)(last - first) * p->inner, place);
        return;
    }
    for (uint32_t ow = first; ow < last; ow++) {
        size_t to = (size_t)ow * p->inner;
        size_t from = (size_t)(ow * p->stride + column - p->pad_left) * p->inner;

        max_pixels(x_row + from, y_row + to, winner_row == NULL ? NULL : winner_row + to,
                   p->inner, place);
    }
}

static void max_pool(const struct cpu_pool_plane *plane, const float *x, float *y,
                     uint16_t *winner)
{
    const struct cpu_pool_plane p = *plane;
    const size_t out_row = (size_t)p.out_w * p.inner;

    for (uint32_t oh = 0; oh < p.out_h; oh++) {
        float *y_row = y + oh * out_row;
        uint16_t *winner_row = winner == NULL ? NULL : winner + oh * out_row;

        for (size_t i = 0; i < out_row; i++) {
            y_row[i] = -INFINITY;
        }
        if (winner_row != NULL) {
            memset(winner_row, 0xff, out_row * sizeof(*winner_row)); /* none: all were NaN */
        }
        for (uint32_t row = 0; row < p.kernel_h; row++) {
            uint32_t at = oh * p.stride + row; /* of the padded image */

            if (at < p.pad_top || at - p.pad_top >= p.in_h) {
                continue;
            }
            for (uint32_t column = 0; column < p.kernel_w; column++) {
                max_row(&p, x + (size_t)(at - p.pad_top) * p.in_w * p.inner, y_row, winner_row,
                        column, (uint16_t)(row * p.kernel_w + column));
            }
        }
    }
}

static void max_pool_grad(const struct cpu_pool_plane *plane, const uint16_t *winner,
                          const float *dy, float *dx)
{
    const struct cpu_pool_plane p = *plane;

    memset(dx, 0, (size_t)p.in_h * p.in_w * p.inner * sizeof(*dx));
    for (uint32_t oh = 0; oh < p.out_h; oh++) {
        for (uint32_t ow = 0; ow < p.out_w; ow++) {
            size_t to = ((size_t)oh * p.out_w + ow) * p.inner;
            /* may wrap below 0 in the padding; adding the winner's offset brings it back */
            size_t base = (((size_t)oh * p.stride - p.pad_top) * p.in_w +
                           ((size_t)ow * p.stride - p.pad_left)) *
                          p.inner;

            for (uint32_t c = 0; c < p.inner; c++) {
                if (winner[to + c] != UINT16_MAX) {
                    dx[base + p.offsets[winner[to + c]] + c] += dy[to + c];
                }
            }
        }
    }
}

/* 1 / (elements of the window inside the image). */
CPU_INLINE float avg_weight(const struct cpu_pool_plane *p, uint32_t oh, uint32_t ow)
{
    uint32_t top = oh * p->stride;
    uint32_t left = ow * p->stride;
    uint32_t bottom = top + p->kernel_h;
    uint32_t right = left + p->kernel_w;

    top = top < p->pad_top ? p->pad_top : top;
    left = left < p->pad_left ? p->pad_left : left;
    bottom = bottom > p->in_h + p->pad_top ? p->in_h + p->pad_top : bottom;
    right = right > p->in_w + p->pad_left ? p->in_w + p->pad_left : right;
    return 1.0f / (float)((bottom - top) * (right - left));
}

static void avg_pool(const struct cpu_pool_plane *plane, const float *x, float *y)
{
    const struct cpu_pool_plane p = *plane;

    for (uint32_t oh = 0; oh < p.out_h; oh++) {
        float *y_row = y + (size_t)oh * p.out_w * p.inner;

        memset(y_row, 0, (size_t)p.out_w * p.inner * sizeof(*y_row));
        for (uint32_t row = 0; row < p.kernel_h; row++) {
            uint32_t at = oh * p.stride + row;

            const float *x_row;

            if (at < p.pad_top || at - p.pad_top >= p.in_h) {
                continue;
            }
            x_row = x + (size_t)(at - p.pad_top) * p.in_w * p.inner;
            for (uint32_t column = 0; column < p.kernel_w; column++) {
                uint32_t first;
                uint32_t last;

                pool_columns(&p, column, &first, &last);
                for (uint32_t ow = first; ow < last; ow++) {
                    add(y_row + (size_t)ow * p.inner,
                        x_row + (size_t)(ow * p.stride + column - p.pad_left) * p.inner, p.inner);
                }
            }
        }
        for (uint32_t ow = 0; ow < p.out_w; ow++) {
            float weight = avg_weight(&p, oh, ow);

            for (uint32_t c = 0; c < p.inner; c++) {
                y_row[(size_t)ow * p.inner + c] *= weight;
            }
        }
    }
}

CPU_INLINE void add_scaled(float *restrict to, const float *restrict from, float weight,
                           uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        to[i] += from[i] * weight;
    }
}

static void avg_pool_grad(const struct cpu_pool_plane *plane, const float *dy, float *dx)
{
    const struct cpu_pool_plane p = *plane;

    memset(dx, 0, (size_t)p.in_h * p.in_w * p.inner * sizeof(*dx));
    for (uint32_t oh = 0; oh < p.out_h; oh++) {
        for (uint32_t ow = 0; ow < p.out_w; ow++) {
            const float *from = dy + ((size_t)oh * p.out_w + ow) * p.inner;
            float weight = avg_weight(&p, oh, ow);

            for (uint32_t row = 0; row < p.kernel_h; row++) {
                uint32_t ih = oh * p.stride + row - p.pad_top; /* wraps above the image */

                for (uint32_t column = 0; column < p.kernel_w && ih < p.in_h; column++) {
                    uint32_t iw = ow * p.stride + column - p.pad_left;

                    if (iw < p.in_w) {
                        add_scaled(dx + ((size_t)ih * p.in_w + iw) * p.inner, from, weight,
                                   p.inner);
                    }
                }
            }
        }
    }
}
