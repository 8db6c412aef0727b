#include "tests/backend/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table {
    struct op_case *cases;
    size_t count;
    size_t capacity;
};

static const char *const kind_names[] = {"?",          "conv", "batch_norm", "scale_shift",
                                         "activation", "pool", "concat",     "fc"};
static const char *const act_names[] = {"linear", "relu", "silu"};

static void name_case(struct op_case *op_case)
{
    const struct backend_op_desc *desc = &op_case->desc;

    snprintf(op_case->name, sizeof(op_case->name),
             "%s%s%s n%u c%u+%u+%u %ux%u -> %u k%ux%u s%u p%u,%u,%u,%u%s %s%s",
             desc->training ? "train " : "infer ", kind_names[desc->kind],
             desc->kind != BACKEND_POOL ? ""
             : desc->max_pool           ? " max"
                                        : " avg",
             op_case->n, op_case->c[0], op_case->c[1], op_case->c[2], op_case->h, op_case->w,
             desc->out_c, desc->kernel_h, desc->kernel_w, desc->stride, desc->pad_top,
             desc->pad_left, desc->pad_bottom, desc->pad_right, desc->bias ? " bias" : "",
             act_names[desc->activation], desc->input_gradient ? "" : " no-dsrc");
}

static struct op_case *add_case(struct table *table, const struct op_case *op_case)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 256 : 2 * table->capacity;
        table->cases = realloc(table->cases, table->capacity * sizeof(*table->cases));
        if (table->cases == NULL) {
            abort();
        }
    }
    table->cases[table->count] = *op_case;
    name_case(&table->cases[table->count]);
    return &table->cases[table->count++];
}

/* A case of one source that keeps its shape. */
static struct op_case plain_case(enum backend_op_kind kind, bool training, uint32_t n, uint32_t c,
                                 uint32_t h, uint32_t w)
{
    struct op_case made = {.n = n, .src_count = 1, .c = {c}, .h = h, .w = w};

    made.desc.kind = kind;
    made.desc.training = training;
    made.desc.backward = true;
    made.desc.input_gradient = true;
    made.desc.out_c = c;
    made.desc.out_h = h;
    made.desc.out_w = w;
    made.desc.epsilon = 1e-3f;
    made.desc.momentum = 0.9f;
    return made;
}

/* The rule of graph.h for one axis. */
static void set_axis(uint32_t in, uint32_t kernel, uint32_t stride, bool same, uint32_t *out,
                     uint32_t *before, uint32_t *after)
{
    *before = same ? (kernel - 1) / 2 : 0;
    *out = same ? (in + stride - 1) / stride : (in - kernel) / stride + 1;
    *after = 0;
    if (same && (*out - 1) * stride + kernel > in + *before) {
        *after = (*out - 1) * stride + kernel - in - *before;
    }
}

static void set_window(struct op_case *op_case, uint32_t kernel_h, uint32_t kernel_w,
                       uint32_t stride, bool same)
{
    struct backend_op_desc *desc = &op_case->desc;

    desc->kernel_h = kernel_h;
    desc->kernel_w = kernel_w;
    desc->stride = stride;
    set_axis(op_case->h, kernel_h, stride, same, &desc->out_h, &desc->pad_top, &desc->pad_bottom);
    set_axis(op_case->w, kernel_w, stride, same, &desc->out_w, &desc->pad_left, &desc->pad_right);
}

static const uint32_t channels[] = {1, 3, 8, 2, 16, 37, 17, 5};
static const uint32_t batches[] = {1, 3, 2, 5};
static const uint32_t sides[] = {7, 8, 5, 9, 13};

#define CYCLE(array, i) ((array)[(i) % (sizeof(array) / sizeof((array)[0]))])

/* Kernels 1..5, both paddings, strides 1..3; sizes, channels and batches take turns. */
static void add_convs(struct table *table)
{
    uint32_t i = 0;

    for (uint32_t kernel = 1; kernel <= 5; kernel++) {
        for (uint32_t variant = 0; variant < 12; variant++, i++) {
            bool training = variant >= 6;
            uint32_t batch = CYCLE(batches, i + kernel);
            struct op_case made =
                plain_case(BACKEND_CONV, training, batch, CYCLE(channels, 3 * i + kernel),
                           CYCLE(sides, i), CYCLE(sides, i + variant));

            made.desc.out_c = CYCLE(channels, 5 * i + 2);
            made.desc.bias = !training || i % 3 == 0;
            made.desc.activation = training ? BACKEND_LINEAR : (enum backend_activation)(i % 3);
            made.desc.input_gradient = !training || i % 4 != 0;
            set_window(&made, kernel, kernel, variant / 2 % 3 + 1, variant % 2 == 1);
            add_case(table, &made);
        }
    }
}

/* The shapes of the seed network in small: 1x1 and 3x3 on many channels. */
static void add_wide_convs(struct table *table)
{
    static const uint32_t wide[][3] = {{1, 64, 48}, {3, 48, 64}, {3, 3, 33}, {1, 130, 32}};

    for (uint32_t i = 0; i < 8; i++) {
        bool training = i % 2 == 0;
        struct op_case made = plain_case(BACKEND_CONV, training, 2, wide[i / 2][1], 6, 7);

        made.desc.out_c = wide[i / 2][2];
        made.desc.bias = !training;
        made.desc.activation = training ? BACKEND_LINEAR : BACKEND_RELU;
        set_window(&made, wide[i / 2][0], wide[i / 2][0], 1, true);
        add_case(table, &made);
    }
}

static void add_norms(struct table *table)
{
    for (uint32_t i = 0; i < 24; i++) {
        enum backend_op_kind kind = i < 12 ? BACKEND_BATCH_NORM : BACKEND_SCALE_SHIFT;
        struct op_case made = plain_case(kind, i < 12, CYCLE(batches, i + 1), CYCLE(channels, i),
                                         CYCLE(sides, i), CYCLE(sides, i + 2));

        made.desc.activation = (enum backend_activation)(i % 3);
        made.desc.input_gradient = i != 5;
        add_case(table, &made);
    }
}

static void add_activations(struct table *table)
{
    for (uint32_t i = 0; i < 8; i++) {
        struct op_case made = plain_case(BACKEND_ACTIVATION, i % 4 < 2, CYCLE(batches, i),
                                         CYCLE(channels, i), CYCLE(sides, i), CYCLE(sides, i + 1));

        made.desc.activation = i % 2 == 0 ? BACKEND_RELU : BACKEND_SILU;
        add_case(table, &made);
    }
}

static void add_pool(struct table *table, uint32_t i, uint32_t kernel_h, uint32_t kernel_w,
                     uint32_t stride, bool same)
{
    struct op_case made = plain_case(BACKEND_POOL, i % 2 == 0, CYCLE(batches, i),
                                     CYCLE(channels, i), CYCLE(sides, i), CYCLE(sides, i + 1));

    made.desc.max_pool = i % 4 < 2;
    set_window(&made, kernel_h, kernel_w, stride, same);
    add_case(table, &made);
}

/* Windows of pool units, then those of alignment pooling: along one axis, stride 1, valid. */
static void add_pools(struct table *table)
{
    uint32_t i = 0;

    for (uint32_t kernel = 1; kernel <= 5; kernel++) {
        for (uint32_t variant = 0; variant < 12; variant++) {
            i = kernel * 5 + variant % 4 + 4 * (variant / 2);
            add_pool(table, i, kernel, kernel, variant / 4 + 1, variant % 2 == 1);
        }
    }
    for (i = 0; i < 12; i++) {
        uint32_t kernel = i % 4 + 2;

        add_pool(table, i, i % 2 == 0 ? kernel : 1, i % 2 == 0 ? 1 : kernel, 1, false);
    }
}

static void add_concats(struct table *table)
{
    for (uint32_t i = 0; i < 10; i++) {
        struct op_case made = plain_case(BACKEND_CONCAT, i % 2 == 0, CYCLE(batches, i),
                                         CYCLE(channels, i), CYCLE(sides, i), CYCLE(sides, i + 1));

        made.src_count = 2 + i % 2;
        made.c[1] = CYCLE(channels, i + 3);
        made.c[2] = made.src_count == 3 ? CYCLE(channels, 2 * i + 1) : 0;
        made.desc.out_c = made.c[0] + made.c[1] + made.c[2];
        made.skip_gradient_0 = i % 5 == 4;
        add_case(table, &made);
    }
}

static void add_fcs(struct table *table)
{
    for (uint32_t i = 0; i < 12; i++) {
        bool training = i % 2 == 0;
        struct op_case made =
            plain_case(BACKEND_FC, training, CYCLE(batches, i / 2), CYCLE(channels, i),
                       i % 3 == 0 ? 1 : CYCLE(sides, i), i % 3 == 0 ? 1 : CYCLE(sides, i + 1));

        made.desc.out_c = i % 4 == 0 ? 10 : CYCLE(channels, i + 4);
        made.desc.out_h = 1;
        made.desc.out_w = 1;
        made.desc.bias = i % 4 != 2;
        made.desc.activation =
            training || !made.desc.bias ? BACKEND_LINEAR : (enum backend_activation)(i / 2 % 3);
        add_case(table, &made);
    }
}

struct op_case *cases_create(size_t *count)
{
    struct table table = {NULL, 0, 0};

    add_convs(&table);
    add_wide_convs(&table);
    add_norms(&table);
    add_activations(&table);
    add_pools(&table);
    add_concats(&table);
    add_fcs(&table);
    *count = table.count;
    return table.cases;
}
