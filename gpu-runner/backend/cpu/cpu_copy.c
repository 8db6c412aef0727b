/*
 * Copies between layouts. A layout is addressed by pixel (n, y * w + x) and channel; runs of
 * channels that both sides hold together are copied as one.
 */
#include <string.h>

#include "backend/cpu/cpu_backend.h"

/* Where channel c of pixel 0 of image n lies, and how far apart pixels are. */
static size_t channel_start(const struct backend_layout *layout, uint32_t n, uint32_t c)
{
    size_t inner = cpu_layout_inner(layout);
    size_t pixels = (size_t)layout->h * layout->w;

    return ((size_t)n * layout->c + c / inner * inner) * pixels + c % inner;
}

static size_t channels_together(const struct backend_layout *layout, uint32_t c)
{
    uint32_t inner = cpu_layout_inner(layout);

    return inner - c % inner;
}

static void copy_pixels(const float *restrict from, size_t from_step, float *restrict to,
                        size_t to_step, size_t pixels, size_t channels)
{
    if (channels == from_step && channels == to_step) {
        memcpy(to, from, pixels * channels * sizeof(*to));
        return;
    }
    if (channels == 1) {
        for (size_t p = 0; p < pixels; p++) {
            to[p * to_step] = from[p * from_step];
        }
        return;
    }
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < channels; c++) {
            to[p * to_step + c] = from[p * from_step + c];
        }
    }
}

/* Channels [a_first, a_first + count) of a to [b_first, ...) of b. */
static void copy_channels(const struct backend_layout *a, uint32_t a_first, const float *from,
                          const struct backend_layout *b, uint32_t b_first, float *to,
                          uint32_t count)
{
    size_t pixels = (size_t)a->h * a->w;

    for (uint32_t n = 0; n < a->n; n++) {
        for (uint32_t c = 0; c < count;) {
            size_t run_a = channels_together(a, a_first + c);
            size_t run_b = channels_together(b, b_first + c);
            size_t run = run_a < run_b ? run_a : run_b;

            run = run < count - c ? run : count - c;
            copy_pixels(from + channel_start(a, n, a_first + c), cpu_layout_inner(a),
                        to + channel_start(b, n, b_first + c), cpu_layout_inner(b), pixels, run);
            c += (uint32_t)run;
        }
    }
}

void cpu_copy_in(const struct backend_layout *from, const float *x, const struct backend_layout *to,
                 uint32_t first, float *y)
{
    copy_channels(from, 0, x, to, first, y, from->c);
}

void cpu_copy_out(const struct backend_layout *from, uint32_t first, const float *x,
                  const struct backend_layout *to, float *y)
{
    copy_channels(from, first, x, to, 0, y, to->c);
}
