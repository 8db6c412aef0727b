/*
 * Part of cpu_kernels_body.h, for sets with 16-float vectors: Winograd's F(4x4, 3x3) on layouts in
 * blocks of 16 channels. An output tile of 4x4 comes from an input tile of 6x6 by
 *
 *   Y = A^T [ sum over c of (G g G^T) * (B^T d B) ] A
 *
 * where * is element by element: for each of the 36 places a matrix product over channels, with a
 * quarter of the multiplications of the direct form. Source: Lavin and Gray, Fast Algorithms for
 * Convolutional Neural Networks, 2016.
 *
 * Channels are taken in groups of up to GROUP, tiles in sets of up to TILES, so that a set's
 * transformed input, its products and one group's filters lie in the second-level cache together:
 *   V [36][TILES][in group]   U [out group][in group][36][in][out]   M [36][TILES][out group]
 * Every output element is the same chain of fused multiply-adds wherever its tile stands in a set.
 */

enum { GROUP = 64, TILES = 48, PLACES = 36 }; /* TILES: a multiple of 24 */

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t vec_bits __attribute__((vector_size(64), aligned(4), may_alias));

CPU_INLINE vec vec_load(const float *from)
{
    return *(const vec *)from;
}

CPU_INLINE void vec_store(float *to, vec value)
{
    *(vec *)to = value;
}

/* A NaN stays one. */
CPU_INLINE vec vec_relu(vec value)
{
    const vec zero = {0.0f};

    return (vec)((vec_bits)value & ~(vec_bits)(value < zero));
}

CPU_INLINE uint32_t group_width(uint32_t channels, uint32_t first)
{
    return channels - first < GROUP ? channels - first : GROUP;
}

/*
 * Floats from one place to the next in V and M: a line more than the data, so that the 36 lines
 * that a tile writes at a time fall into different sets of the first-level cache.
 */
CPU_INLINE size_t place_step(uint32_t width)
{
    return (size_t)TILES * width + 16;
}

/* The same in U. */
CPU_INLINE size_t filter_step(uint32_t in, uint32_t out)
{
    return (size_t)in * out + 16;
}

/* r = B^T d for one column; steps are in vectors of `d`. */
CPU_INLINE void input_lines(const vec d[6], vec r[6])
{
    vec a = d[4] - 4.0f * d[2];
    vec b = d[3] - 4.0f * d[1];
    vec c = d[4] - d[2];
    vec e = 2.0f * (d[3] - d[1]);

    r[0] = 4.0f * d[0] - 5.0f * d[2] + d[4];
    r[1] = a + b;
    r[2] = a - b;
    r[3] = c + e;
    r[4] = c - e;
    r[5] = 4.0f * d[1] - 5.0f * d[3] + d[5];
}

/* y = A^T m */
CPU_INLINE void output_lines(const vec m[6], vec y[4])
{
    vec a = m[1] + m[2];
    vec b = m[1] - m[2];
    vec c = m[3] + m[4];
    vec e = m[3] - m[4];

    y[0] = m[0] + a + c;
    y[1] = b + 2.0f * e;
    y[2] = a + 4.0f * c;
    y[3] = b + 8.0f * e + m[5];
}

/* r = A y */
CPU_INLINE void gradient_lines(const vec y[4], vec r[6])
{
    vec a = y[0] + y[2];
    vec b = y[1] + y[3];
    vec c = y[0] + 4.0f * y[2];
    vec e = 2.0f * y[1] + 8.0f * y[3];

    r[0] = y[0];
    r[1] = a + b;
    r[2] = a - b;
    r[3] = c + e;
    r[4] = c - e;
    r[5] = y[3];
}

/* r = G g */
CPU_INLINE void filter_lines(const vec g[3], vec r[6])
{
    vec a = (g[0] + g[2]) * (-1.0f / 6.0f);
    vec b = g[1] * (1.0f / 6.0f);
    vec c = g[0] * (1.0f / 24.0f) + g[2] * (1.0f / 6.0f);
    vec e = g[1] * (1.0f / 12.0f);

    r[0] = g[0] * 0.25f;
    r[1] = a - b;
    r[2] = a + b;
    r[3] = c + e;
    r[4] = c - e;
    r[5] = g[2];
}

/* g = G^T r */
CPU_INLINE void filter_gradient_lines(const vec r[6], vec g[3])
{
    vec a = (r[1] + r[2]) * (-1.0f / 6.0f);
    vec c = r[3] + r[4];

    g[0] = r[0] * 0.25f + a + c * (1.0f / 24.0f);
    g[1] = (r[2] - r[1]) * (1.0f / 6.0f) + (r[3] - r[4]) * (1.0f / 12.0f);
    g[2] = a + c * (1.0f / 6.0f) + r[5];
}

/* Where a tile stands: image, and its first row and column in the output. */
struct winograd_tile {
    uint32_t n;
    int32_t row, column;
};

CPU_INLINE struct winograd_tile tile_at(const struct cpu_winograd *w, uint32_t tile)
{
    uint32_t across = (w->out_w + 3) / 4;
    uint32_t down = (w->out_h + 3) / 4;

    return (struct winograd_tile){.n = tile / (across * down),
                                  .row = (int32_t)(tile / across % down * 4),
                                  .column = (int32_t)(tile % across * 4)};
}

/* side x side pixels of 16 channels; row r starts at `at` + r * row_step. */
struct winograd_window {
    const float *at;
    size_t row_step;
};

/*
 * The window at (row, column) of a plane. Where it leaves the image it is copied to `room`, zeros
 * around.
 */
CPU_INLINE struct winograd_window window_at(const float *plane, uint32_t height, uint32_t width,
                                            int32_t row, int32_t column, const int32_t side,
                                            float *room)
{
    const vec zero = {0.0f};

    if (row >= 0 && column >= 0 && row + side <= (int32_t)height &&
        column + side <= (int32_t)width) {
        return (struct winograd_window){
            .at = plane + ((size_t)row * width + (size_t)column) * 16,
            .row_step = (size_t)width * 16};
    }
    for (int32_t i = 0; i < side; i++) {
        bool inside = row + i >= 0 && row + i < (int32_t)height;

        for (int32_t j = 0; j < side; j++) {
            int32_t x = column + j;

            vec_store(room + (i * side + j) * 16,
                      inside && x >= 0 && x < (int32_t)width
                          ? vec_load(plane + ((size_t)(row + i) * width + (size_t)x) * 16)
                          : zero);
        }
    }
    return (struct winograd_window){.at = room, .row_step = (size_t)side * 16};
}

/* 36 places of one tile, 16 channels, `step` floats apart. */
CPU_INLINE void input_tile(struct winograd_window window, float *v, size_t step)
{
    vec half[PLACES];

    for (int j = 0; j < 6; j++) {
        vec in[6];
        vec out[6];

        for (size_t i = 0; i < 6; i++) {
            in[i] = vec_load(window.at + i * window.row_step + (size_t)j * 16);
        }
        input_lines(in, out);
        for (int i = 0; i < 6; i++) {
            half[i * 6 + j] = out[i];
        }
    }
    for (int i = 0; i < 6; i++) {
        vec out[6];

        input_lines(half + (size_t)i * 6, out);
        for (int j = 0; j < 6; j++) {
            vec_store(v + (size_t)(i * 6 + j) * step, out[j]);
        }
    }
}

CPU_INLINE void gradient_tile(struct winograd_window window, float *v, size_t step)
{
    vec half[24];

    for (int j = 0; j < 4; j++) {
        vec in[4];
        vec out[6];

        for (size_t i = 0; i < 4; i++) {
            in[i] = vec_load(window.at + i * window.row_step + (size_t)j * 16);
        }
        gradient_lines(in, out);
        for (int i = 0; i < 6; i++) {
            half[i * 4 + j] = out[i];
        }
    }
    for (int i = 0; i < 6; i++) {
        vec out[6];

        gradient_lines(half + (size_t)i * 4, out);
        for (int j = 0; j < 6; j++) {
            vec_store(v + (size_t)(i * 6 + j) * step, out[j]);
        }
    }
}

/* V of a set of tiles and a group of channels [first, first + width). */
static void transform_input(const struct cpu_winograd *w, const float *x, uint32_t tile,
                            uint32_t tiles, uint32_t first, uint32_t width, float *v)
{
    const size_t pixels = (size_t)w->h * w->w;

    for (uint32_t c = 0; c < width; c += 16) {
        for (uint32_t t = 0; t < tiles; t++) {
            struct winograd_tile at = tile_at(w, tile + t);
            const float *plane = x + ((size_t)at.n * w->c + first + c) * pixels;
            _Alignas(64) float room[PLACES * 16];

            input_tile(window_at(plane, w->h, w->w, at.row - w->pad_top,
                                 at.column - w->pad_left, 6, room),
                       v + (size_t)t * width + c, place_step(width));
        }
    }
}

/* The same of an output's gradient. */
static void transform_gradient(const struct cpu_winograd *w, const float *dy, uint32_t tile,
                               uint32_t tiles, uint32_t first, uint32_t width, float *v)
{
    const size_t pixels = (size_t)w->out_h * w->out_w;

    for (uint32_t k = 0; k < width; k += 16) {
        for (uint32_t t = 0; t < tiles; t++) {
            struct winograd_tile at = tile_at(w, tile + t);
            const float *plane = dy + ((size_t)at.n * w->k + first + k) * pixels;
            _Alignas(64) float room[16 * 16];

            gradient_tile(window_at(plane, w->out_h, w->out_w, at.row, at.column, 4, room),
                          v + (size_t)t * width + k, place_step(width));
        }
    }
}

CPU_INLINE void output_tile(const float *m, size_t step, vec y[16])
{
    vec half[24];

    for (int j = 0; j < 6; j++) {
        vec in[6];
        vec out[4];

        for (int i = 0; i < 6; i++) {
            in[i] = vec_load(m + (size_t)(i * 6 + j) * step);
        }
        output_lines(in, out);
        for (int i = 0; i < 4; i++) {
            half[i * 6 + j] = out[i];
        }
    }
    for (int i = 0; i < 4; i++) {
        output_lines(half + (size_t)i * 6, y + (size_t)i * 4);
    }
}

static void transform_output(const struct cpu_winograd *w, const float *m, uint32_t tile,
                             uint32_t tiles, uint32_t first, uint32_t width, float *y)
{
    const size_t pixels = (size_t)w->out_h * w->out_w;
    const vec zero = {0.0f};

    for (uint32_t k = 0; k < width; k += 16) {
        for (uint32_t t = 0; t < tiles; t++) {
            struct winograd_tile at = tile_at(w, tile + t);
            uint32_t rows = w->out_h - (uint32_t)at.row < 4 ? w->out_h - (uint32_t)at.row : 4;
            uint32_t columns =
                w->out_w - (uint32_t)at.column < 4 ? w->out_w - (uint32_t)at.column : 4;
            float *plane = y + ((size_t)at.n * w->k + first + k) * pixels;
            vec bias = w->bias == NULL ? zero : vec_load(w->bias + first + k);
            vec out[16];

            output_tile(m + (size_t)t * width + k, place_step(width), out);
            for (uint32_t i = 0; i < rows; i++) {
                float *to =
                    plane + (((size_t)at.row + i) * w->out_w + (size_t)at.column) * 16;

                for (uint32_t j = 0; j < columns; j++) {
                    vec z = out[i * 4 + j] + bias;

                    vec_store(to + (size_t)j * 16, w->relu ? vec_relu(z) : z);
                }
            }
        }
    }
}

/*
 * m[rows][cols * 16] (+)= sum over depth of a(row, i) * b[i][cols * 16], with a(row, i) at
 * a[row * a_row + i * a_step]. One function for each shape, so that all sums stay in registers.
 */
#define DEFINE_PRODUCT(rows, cols)                                                                 \
    static void product_##rows##x##cols(const float *a, size_t a_row, size_t a_step,               \
                                        const float *b, float *m, size_t m_row, uint32_t depth,    \
                                        bool add_to)                                               \
    {                                                                                              \
        const vec zero = {0.0f};                                                                   \
        vec sums[rows][cols];                                                                      \
                                                                                                   \
        _Pragma("GCC unroll 16") for (int r = 0; r < (rows); r++)                                  \
        {                                                                                          \
            _Pragma("GCC unroll 4") for (int q = 0; q < (cols); q++)                               \
            {                                                                                      \
                sums[r][q] = add_to ? vec_load(m + (size_t)r * m_row + q * 16) : zero;             \
            }                                                                                      \
        }                                                                                          \
        for (uint32_t i = 0; i < depth; i++) {                                                     \
            vec line[cols];                                                                        \
                                                                                                   \
            _Pragma("GCC unroll 4") for (int q = 0; q < (cols); q++)                               \
            {                                                                                      \
                line[q] = vec_load(b + (size_t)i * (cols) * 16 + q * 16);                          \
            }                                                                                      \
            _Pragma("GCC unroll 16") for (int r = 0; r < (rows); r++)                              \
            {                                                                                      \
                const float scalar = a[(size_t)r * a_row + i * a_step];                            \
                                                                                                   \
                _Pragma("GCC unroll 4") for (int q = 0; q < (cols); q++)                           \
                {                                                                                  \
                    sums[r][q] += scalar * line[q];                                                \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 16") for (int r = 0; r < (rows); r++)                                  \
        {                                                                                          \
            _Pragma("GCC unroll 4") for (int q = 0; q < (cols); q++)                               \
            {                                                                                      \
                vec_store(m + (size_t)r * m_row + q * 16, sums[r][q]);                             \
            }                                                                                      \
        }                                                                                          \
    }
DEFINE_PRODUCT(6, 4)
DEFINE_PRODUCT(8, 3)
DEFINE_PRODUCT(12, 2)
DEFINE_PRODUCT(12, 1)
DEFINE_PRODUCT(4, 4)
DEFINE_PRODUCT(4, 3)
DEFINE_PRODUCT(8, 2)
DEFINE_PRODUCT(16, 1)
#undef DEFINE_PRODUCT

/* `rows` is a multiple of 24, as 6, 8 and 12 divide it; m and u have rows of `width` floats. */
static void product_of_tiles(const float *v, uint32_t depth, const float *u, uint32_t width,
                             float *m, uint32_t rows, bool add_to)
{
    for (uint32_t r = 0; r < rows;) {
        const float *a = v + (size_t)r * depth;
        float *to = m + (size_t)r * width;

        switch (width / 16) {
        case 4:
            product_6x4(a, depth, 1, u, to, width, depth, add_to);
            r += 6;
            break;
        case 3:
            product_8x3(a, depth, 1, u, to, width, depth, add_to);
            r += 8;
            break;
        case 2:
            product_12x2(a, depth, 1, u, to, width, depth, add_to);
            r += 12;
            break;
        default:
            product_12x1(a, depth, 1, u, to, width, depth, add_to);
            r += 12;
            break;
        }
    }
}

/* du[c][k] += sum over tiles of v[tile][c] * d[tile][k]; c is a multiple of 16. */
static void product_of_channels(const float *v, uint32_t channels, const float *d, uint32_t width,
                                float *du, uint32_t tiles)
{
    for (uint32_t c = 0; c < channels;) {
        const float *a = v + c;
        float *to = du + (size_t)c * width;

        switch (width / 16) {
        case 4:
            if (channels - c >= 6 && channels - c != 8) { /* so that 4 or 0 are left, never 2 */
                product_6x4(a, 1, channels, d, to, width, tiles, true);
                c += 6;
            } else {
                product_4x4(a, 1, channels, d, to, width, tiles, true);
                c += 4;
            }
            break;
        case 3:
            if (channels - c >= 8) {
                product_8x3(a, 1, channels, d, to, width, tiles, true);
                c += 8;
            } else {
                product_4x3(a, 1, channels, d, to, width, tiles, true);
                c += 4;
            }
            break;
        case 2:
            product_8x2(a, 1, channels, d, to, width, tiles, true);
            c += 8;
            break;
        default:
            product_16x1(a, 1, channels, d, to, width, tiles, true);
            c += 16;
            break;
        }
    }
}

static uint32_t tile_count(const struct cpu_winograd *w)
{
    return w->n * ((w->out_h + 3) / 4) * ((w->out_w + 3) / 4);
}

/* Rows past the last tile take part in products: they are 0, and nobody reads what they give. */
static void clear_rest(float *v, uint32_t width, uint32_t tiles)
{
    for (int f = 0; f < PLACES && tiles < TILES; f++) {
        memset(v + (size_t)f * place_step(width) + (size_t)tiles * width, 0,
               (size_t)(TILES - tiles) * width * sizeof(*v));
    }
}

static void winograd_forward(const struct cpu_winograd *w, const float *x, const float *u, float *y,
                             float *scratch)
{
    float *v = scratch;
    float *m = v + PLACES * place_step(GROUP);
    const uint32_t total = tile_count(w);

    for (uint32_t tile = 0; tile < total; tile += TILES) {
        const uint32_t tiles = total - tile < TILES ? total - tile : TILES;
        const uint32_t rows = (tiles + 23) / 24 * 24;
        const float *filters = u;

        for (uint32_t k = 0; k < w->k; k += GROUP) {
            const uint32_t out = group_width(w->k, k);

            for (uint32_t c = 0; c < w->c; c += GROUP) {
                const uint32_t in = group_width(w->c, c);

                if (k == 0 || w->c > GROUP) {
                    transform_input(w, x, tile, tiles, c, in, v);
                    clear_rest(v, in, tiles);
                }
                for (int f = 0; f < PLACES; f++, filters += filter_step(in, out)) {
                    product_of_tiles(v + (size_t)f * place_step(in), in, filters, out,
                                     m + (size_t)f * place_step(out), rows, c > 0);
                }
            }
            transform_output(w, m, tile, tiles, k, out, y);
        }
    }
}

/* 16 filters: `g` points to the first of each, `step` floats apart; at[9] are the taps' offsets. */
CPU_INLINE void filter_tile(const float *g, size_t step, const int at[9], float *u, size_t u_step)
{
    vec taps[9];
    vec half[18];

    for (int r = 0; r < 9; r++) {
        for (int k = 0; k < 16; k++) {
            taps[r][k] = g[(size_t)k * step + (size_t)at[r]];
        }
    }
    for (int j = 0; j < 3; j++) {
        vec in[3] = {taps[j], taps[3 + j], taps[6 + j]};
        vec out[6];

        filter_lines(in, out);
        for (int i = 0; i < 6; i++) {
            half[i * 3 + j] = out[i];
        }
    }
    for (int i = 0; i < 6; i++) {
        vec out[6];

        filter_lines(half + (size_t)i * 3, out);
        for (int j = 0; j < 6; j++) {
            vec_store(u + (size_t)(i * 6 + j) * u_step, out[j]);
        }
    }
}

/* Backward, inputs and outputs change places and the filter is turned around. */
static void winograd_filter(const struct cpu_winograd *w, const float *kernel, bool backward,
                            float *u)
{
    static const int straight[9] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    static const int turned[9] = {8, 7, 6, 5, 4, 3, 2, 1, 0};
    const size_t of_c = 9;
    const size_t of_k = 9 * (size_t)(backward ? w->k : w->c);
    const size_t of_out = backward ? of_c : of_k;
    const size_t of_in = backward ? of_k : of_c;

    for (uint32_t k = 0; k < w->k; k += GROUP) {
        const uint32_t out = group_width(w->k, k);

        for (uint32_t c = 0; c < w->c; c += GROUP) {
            const uint32_t in = group_width(w->c, c);

            /* few lines of the kernel at a time: its rows often fall into the same cache sets */
            for (uint32_t o = 0; o < out; o += 16) {
                for (uint32_t i = 0; i < in; i++) {
                    filter_tile(kernel + (k + o) * of_out + (c + i) * of_in, of_out,
                                backward ? turned : straight, u + (size_t)i * out + o,
                                filter_step(in, out));
                }
            }
            u += PLACES * filter_step(in, out);
        }
    }
}

static size_t winograd_filter_floats(uint32_t c, uint32_t k)
{
    size_t groups = (size_t)((c + GROUP - 1) / GROUP) * ((k + GROUP - 1) / GROUP);

    return PLACES * ((size_t)c * k + 16 * groups);
}

/* One group of dU back to plain [K,C,3,3]. */
static void filter_gradient(const struct cpu_winograd *w, const float *du, uint32_t k, uint32_t out,
                            uint32_t c, uint32_t in, float *dkernel)
{
    const size_t step = filter_step(in, out);

    for (uint32_t o = 0; o < out; o += 16) {
        for (uint32_t i = 0; i < in; i++) {
            vec half[18];

            for (int j = 0; j < 6; j++) {
                vec lines[6];
                vec g[3];

                for (int f = 0; f < 6; f++) {
                    lines[f] = vec_load(du + (size_t)(f * 6 + j) * step + (size_t)i * out + o);
                }
                filter_gradient_lines(lines, g);
                for (int r = 0; r < 3; r++) {
                    half[r * 6 + j] = g[r];
                }
            }
            for (int r = 0; r < 3; r++) {
                vec g[3];

                filter_gradient_lines(half + (size_t)r * 6, g);
                for (uint32_t q = 0; q < 16; q++) {
                    float *to = dkernel + (((size_t)k + o + q) * w->c + c + i) * 9 + (size_t)r * 3;

                    to[0] = g[0][q];
                    to[1] = g[1][q];
                    to[2] = g[2][q];
                }
            }
        }
    }
}

static void winograd_weights(const struct cpu_winograd *w, const float *x, const float *dy,
                             float *dkernel, float *scratch)
{
    float *v = scratch;
    float *d = v + PLACES * place_step(GROUP);
    float *du = d + PLACES * place_step(GROUP);
    const uint32_t total = tile_count(w);

    for (uint32_t k = 0; k < w->k; k += GROUP) {
        const uint32_t out = group_width(w->k, k);

        for (uint32_t c = 0; c < w->c; c += GROUP) {
            const uint32_t in = group_width(w->c, c);

            memset(du, 0, PLACES * filter_step(in, out) * sizeof(*du));
            for (uint32_t tile = 0; tile < total; tile += TILES) {
                const uint32_t tiles = total - tile < TILES ? total - tile : TILES;

                transform_input(w, x, tile, tiles, c, in, v);
                transform_gradient(w, dy, tile, tiles, k, out, d);
                for (size_t f = 0; f < PLACES; f++) {
                    product_of_channels(v + f * place_step(in), in, d + f * place_step(out), out,
                                        du + f * filter_step(in, out), tiles);
                }
            }
            filter_gradient(w, du, k, out, c, in, dkernel);
        }
    }
}

static size_t winograd_scratch_floats(void)
{
    return PLACES * (2 * place_step(GROUP) + filter_step(GROUP, GROUP));
}
