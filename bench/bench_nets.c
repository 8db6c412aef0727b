#include "bench_nets.h"

#include <string.h>

static struct phenotype_unit *add(struct phenotype *phenotype, enum phenotype_unit_kind kind,
                                  const int32_t *inputs, uint32_t input_count)
{
    struct phenotype_unit *unit = &phenotype->units[phenotype->unit_count++];

    memset(unit, 0, sizeof(*unit));
    unit->kind = kind;
    unit->input_count = input_count;
    memcpy(unit->inputs, inputs, input_count * sizeof(*inputs));
    return unit;
}

/* After the unit before. */
static struct phenotype_unit *add_next(struct phenotype *phenotype, enum phenotype_unit_kind kind)
{
    const int32_t last = (int32_t)phenotype->unit_count - 1; /* the first: the image */

    return add(phenotype, kind, &last, 1);
}

static void conv_bn_act(struct phenotype_unit *unit, uint32_t filters, uint32_t kernel,
                        uint32_t stride, enum phenotype_activation activation)
{
    unit->conv = (struct phenotype_conv){.filters = filters,
                                         .kernel = kernel,
                                         .stride = stride,
                                         .padding = PHENOTYPE_SAME,
                                         .activation = activation,
                                         .act_position = PHENOTYPE_POST_CONV,
                                         .bn = PHENOTYPE_BN_MID};
}

static void pool(struct phenotype_unit *unit, enum phenotype_pooling pooling, uint32_t kernel,
                 uint32_t stride)
{
    unit->pool = (struct phenotype_pool){
        .pooling = pooling, .kernel = kernel, .stride = stride, .padding = PHENOTYPE_VALID};
}

static void classify(struct phenotype *phenotype)
{
    struct phenotype_unit *unit = add_next(phenotype, PHENOTYPE_FC);

    unit->fc_units = phenotype->classes;
    unit->fc_bias = true;
    unit->fc_activation = PHENOTYPE_LINEAR;
}

/*
 * The NSGA-Net network that seeds the search: specs/evolution.md (h). Inputs are numbers of feature
 * units there, -1 the stem; here the stem is unit 0.
 */
static void fill_nsga(struct phenotype *phenotype)
{
    static const struct {
        uint32_t count;
        int32_t inputs[5];
    } features[] = {{1, {-1}},
                    {1, {0}},
                    {1, {-1}},
                    {1, {1}},
                    {3, {1, 2, 3}},
                    {3, {0, 3, 4}},
                    {1, {5}},
                    {1, {6}},
                    {1, {6}},
                    {1, {6}},
                    {1, {8}},
                    {2, {8, 10}},
                    {5, {7, 8, 9, 10, 11}},
                    {1, {12}},
                    {1, {13}},
                    {1, {13}},
                    {1, {15}},
                    {2, {14, 16}},
                    {3, {14, 16, 17}},
                    {3, {14, 17, 18}}};
    static const uint32_t transitions[] = {6, 13};
    struct phenotype_unit *unit = add_next(phenotype, PHENOTYPE_CONV);

    unit->conv = (struct phenotype_conv){
        .filters = 128, .kernel = 3, .stride = 1, .padding = PHENOTYPE_VALID};
    for (uint32_t i = 0; i < sizeof(features) / sizeof(*features); i++) {
        int32_t inputs[5];

        for (uint32_t k = 0; k < features[i].count; k++) {
            inputs[k] = features[i].inputs[k] + 1;
        }
        if (i == transitions[0] || i == transitions[1]) {
            unit = add(phenotype, PHENOTYPE_POOL, inputs, features[i].count);
            conv_bn_act(unit, 128, 1, 1, PHENOTYPE_RELU);
            pool(unit, PHENOTYPE_MAX_POOL, 2, 2);
            continue;
        }
        unit = add(phenotype, PHENOTYPE_CONV, inputs, features[i].count);
        conv_bn_act(unit, 64, 3, 1, PHENOTYPE_RELU);
        unit->conv.act_position = PHENOTYPE_PRE_CONV;
        unit->conv.bn = PHENOTYPE_BN_PRE;
        unit->conv.filters_mult = 4;
    }
    unit = add_next(phenotype, PHENOTYPE_POOL);
    conv_bn_act(unit, 128, 1, 1, PHENOTYPE_RELU);
    pool(unit, PHENOTYPE_AVG_POOL, 7, 1);
    classify(phenotype);
}

/*
 * The convolutions of a small ResNet, three stages of six, without the additions: the search has no
 * add operation, so these are plain blocks.
 */
static void fill_plain(struct phenotype *phenotype)
{
    for (uint32_t stage = 0; stage < 3; stage++) {
        for (uint32_t i = 0; i < 6; i++) {
            conv_bn_act(add_next(phenotype, PHENOTYPE_CONV), 32u << stage, 3,
                        stage > 0 && i == 0 ? 2 : 1, PHENOTYPE_RELU);
        }
    }
    conv_bn_act(add_next(phenotype, PHENOTYPE_POOL), 128, 1, 1, PHENOTYPE_RELU);
    pool(&phenotype->units[phenotype->unit_count - 1], PHENOTYPE_AVG_POOL, 8, 1);
    classify(phenotype);
}

/* A candidate as a search of minutes makes them: few filters, skips past transitions. */
static void fill_demo(struct phenotype *phenotype)
{
    struct phenotype_unit *unit;

    conv_bn_act(add_next(phenotype, PHENOTYPE_CONV), 8, 3, 1, PHENOTYPE_RELU);
    conv_bn_act(add_next(phenotype, PHENOTYPE_CONV), 8, 3, 1, PHENOTYPE_RELU);
    unit = add(phenotype, PHENOTYPE_CONV, (const int32_t[]){0, 1}, 2);
    conv_bn_act(unit, 4, 3, 1, PHENOTYPE_SILU);
    unit->conv.filters_mult = 2;
    unit = add(phenotype, PHENOTYPE_POOL, (const int32_t[]){1, 2}, 2);
    conv_bn_act(unit, 12, 1, 1, PHENOTYPE_RELU);
    pool(unit, PHENOTYPE_MAX_POOL, 2, 2);
    unit = add(phenotype, PHENOTYPE_CONV, (const int32_t[]){2, 3}, 2); /* 32 to 16: 17x1, 1x17 */
    conv_bn_act(unit, 12, 3, 1, PHENOTYPE_SILU);
    unit = add(phenotype, PHENOTYPE_CONV, (const int32_t[]){3, 4}, 2);
    conv_bn_act(unit, 8, 3, 1, PHENOTYPE_RELU);
    unit = add(phenotype, PHENOTYPE_POOL, (const int32_t[]){4, 5}, 2);
    conv_bn_act(unit, 12, 1, 1, PHENOTYPE_RELU);
    pool(unit, PHENOTYPE_AVG_POOL, 2, 2);
    unit = add(phenotype, PHENOTYPE_CONV, (const int32_t[]){2, 5, 6}, 3); /* 32 and 16 to 8 */
    conv_bn_act(unit, 12, 3, 1, PHENOTYPE_RELU);
    unit = add(phenotype, PHENOTYPE_CONV, (const int32_t[]){6, 7}, 2);
    conv_bn_act(unit, 12, 5, 1, PHENOTYPE_SILU);
    conv_bn_act(add_next(phenotype, PHENOTYPE_POOL), 12, 1, 1, PHENOTYPE_RELU);
    pool(&phenotype->units[phenotype->unit_count - 1], PHENOTYPE_AVG_POOL, 8, 1);
    classify(phenotype);
}

const struct bench_net bench_nets[BENCH_NETS] = {
    {"nsga", "NSGA-Net seed: dense, 64 to 320 channels", 32, fill_nsga},
    {"plain", "18 conv-bn-relu of 32, 64, 128 channels (no additions)", 32, fill_plain},
    {"demo", "10 units of 4 to 12 filters, alignment pooling", 32, fill_demo},
};
