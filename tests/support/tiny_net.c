#include "tests/support/tiny_net.h"

#include <stdlib.h>

static struct phenotype_unit conv(uint32_t filters, uint32_t kernel, uint32_t stride,
                                  enum phenotype_padding padding, int32_t input)
{
    return (struct phenotype_unit){
        .kind = PHENOTYPE_CONV,
        .conv = {.filters = filters, .kernel = kernel, .stride = stride, .padding = padding},
        .input_count = 1,
        .inputs = {input}};
}

/* A 1x1 convolution with batch norm in the middle, then a pooling. */
static struct phenotype_unit pool(uint32_t filters, enum phenotype_activation activation,
                                  enum phenotype_pooling pooling, uint32_t kernel,
                                  enum phenotype_padding padding, int32_t input)
{
    struct phenotype_unit unit = conv(filters, 1, 1, PHENOTYPE_VALID, input);

    unit.kind = PHENOTYPE_POOL;
    unit.conv.activation = activation;
    unit.conv.bn = PHENOTYPE_BN_MID;
    unit.pool = (struct phenotype_pool){
        .pooling = pooling, .kernel = kernel, .stride = 2, .padding = padding};
    return unit;
}

static struct phenotype_unit fc(uint32_t units, enum phenotype_activation activation, int32_t input)
{
    return (struct phenotype_unit){.kind = PHENOTYPE_FC,
                                   .fc_units = units,
                                   .fc_bias = true,
                                   .fc_activation = activation,
                                   .input_count = 1,
                                   .inputs = {input}};
}

static void make_plain(struct phenotype *out)
{
    struct phenotype_unit *units = out->units;

    units[0] = conv(8, 3, 2, PHENOTYPE_SAME, PHENOTYPE_IMAGE);
    units[0].conv.bias = true;
    units[0].conv.activation = PHENOTYPE_RELU;
    units[0].conv.bn = PHENOTYPE_BN_MID;
    units[1] = pool(8, PHENOTYPE_RELU, PHENOTYPE_MAX_POOL, 2, PHENOTYPE_VALID, 0);
    units[2] = fc(10, PHENOTYPE_LINEAR, 1);
    out->unit_count = 3;
}

static void make_branched(struct phenotype *out)
{
    struct phenotype_unit *units = out->units;

    units[0] = conv(6, 3, 2, PHENOTYPE_VALID, PHENOTYPE_IMAGE); /* 15 x 15 */
    units[1] = conv(4, 3, 1, PHENOTYPE_SAME, 0);
    units[1].conv.activation = PHENOTYPE_SILU;
    units[1].conv.act_position = PHENOTYPE_PRE_CONV;
    units[1].conv.bn = PHENOTYPE_BN_PRE;
    units[1].conv.filters_mult = 2;
    units[2] = conv(6, 2, 2, PHENOTYPE_VALID, 0); /* 7 x 7 */
    units[2].conv.activation = PHENOTYPE_RELU;
    units[2].conv.bn = PHENOTYPE_BN_POST;
    units[2].conv.bias = true;
    units[3] = conv(4, 3, 1, PHENOTYPE_SAME, 0);
    units[3].conv.activation = PHENOTYPE_RELU;
    units[3].conv.act_position = PHENOTYPE_PRE_CONV;
    units[3].conv.bn = PHENOTYPE_BN_MID;
    units[3].input_count = 3;
    units[3].inputs[1] = 1;
    units[3].inputs[2] = 2;
    units[4] = pool(6, PHENOTYPE_SILU, PHENOTYPE_AVG_POOL, 3, PHENOTYPE_SAME, 3);
    units[5] = fc(12, PHENOTYPE_RELU, 4);
    units[6] = fc(10, PHENOTYPE_LINEAR, 5);
    out->unit_count = 7;
}

void tiny_net_make(enum tiny_net net, struct phenotype *out)
{
    phenotype_init(out);
    out->channels = 3;
    out->height = 32;
    out->width = 32;
    out->classes = 10;
    out->learning = (struct phenotype_learning){.batch = 32, .early_stop = 20, .epochs_max = 100};
    tiny_net_optimiser(out, PHENOTYPE_SGD);
    out->units = calloc(8, sizeof(*out->units));
    if (out->units == NULL) {
        abort();
    }
    if (net == TINY_NET_PLAIN) {
        make_plain(out);
    } else {
        make_branched(out);
    }
}

void tiny_net_optimiser(struct phenotype *phenotype, enum phenotype_optimiser optimiser)
{
    struct phenotype_learning *learning = &phenotype->learning;

    learning->optimiser = optimiser;
    learning->decay = 1e-3;
    switch (optimiser) {
    case PHENOTYPE_SGD:
        learning->lr = 0.05;
        learning->momentum = 0.9;
        learning->nesterov = true;
        break;
    case PHENOTYPE_RMSPROP:
        learning->lr = 1e-3;
        learning->rho = 0.9;
        break;
    case PHENOTYPE_ADAM:
        learning->lr = 1e-3;
        learning->beta1 = 0.9;
        learning->beta2 = 0.99;
        break;
    }
}
