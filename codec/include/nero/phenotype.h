/*
 * The phenotype: a decoded network and its learning unit, without any grammar.
 *
 * It is what runners see and what the job id binds. Units are numbered from 0 over all modules in
 * order; a unit's inputs are numbers of earlier units, or PHENOTYPE_IMAGE for the image. The last
 * unit is the classifier: PHENOTYPE_FC with as many outputs as classes and no activation (its
 * softmax is part of the loss).
 *
 * The stored form is a msgpack array, byte by byte in codec/FORMAT.md ("phenotype"). Encoding is
 * canonical: one phenotype, one byte string.
 */
#ifndef NERO_PHENOTYPE_H
#define NERO_PHENOTYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/bytes.h"
#include "nero/err.h"

enum {
    PHENOTYPE_IMAGE = -1,
    PHENOTYPE_UNITS_MAX = 128,
    PHENOTYPE_INPUTS_MAX = 64, /* of one unit */
    PHENOTYPE_BYTES_MAX = 64 * 1024,
    PHENOTYPE_FILTERS_MAX = 65536, /* filters of a block (filters_mult * filters too), FC outputs */
    PHENOTYPE_KERNEL_MAX = 64,     /* kernels and strides */
    PHENOTYPE_CHANNELS_MAX = 64,   /* of the image */
    PHENOTYPE_BATCH_MAX = 65536,
    PHENOTYPE_EPOCHS_MAX = 1000000, /* epochs_max, early_stop */
    PHENOTYPE_IMAGE_SIDE_MAX = 1024,
    PHENOTYPE_CLASSES_MAX = 1000
};

enum phenotype_unit_kind { PHENOTYPE_CONV = 1, PHENOTYPE_POOL = 2, PHENOTYPE_FC = 3 };
enum phenotype_activation { PHENOTYPE_LINEAR = 0, PHENOTYPE_RELU = 1, PHENOTYPE_SILU = 2 };
enum phenotype_padding { PHENOTYPE_VALID = 0, PHENOTYPE_SAME = 1 };
enum phenotype_pooling { PHENOTYPE_MAX_POOL = 0, PHENOTYPE_AVG_POOL = 1 };

/* Where the activation stands: conv-act, or act-conv. */
enum phenotype_act_position { PHENOTYPE_POST_CONV = 0, PHENOTYPE_PRE_CONV = 1 };

/*
 * Where batch norm stands. MID: between convolution and activation (conv-BN-act, or with a
 * pre-activation act-BN-conv); PRE: before all (BN-act-conv); POST: after all.
 */
enum phenotype_bn {
    PHENOTYPE_BN_NONE = 0,
    PHENOTYPE_BN_PRE = 1,
    PHENOTYPE_BN_MID = 2,
    PHENOTYPE_BN_POST = 3
};

enum phenotype_optimiser { PHENOTYPE_SGD = 1, PHENOTYPE_RMSPROP = 2, PHENOTYPE_ADAM = 3 };

/* A convolution with its activation and batch norm; the convolution half of a pool unit too. */
struct phenotype_conv {
    uint32_t filters; /* K */
    uint32_t kernel;  /* R = S, 1 or more */
    uint32_t stride;
    enum phenotype_padding padding;
    bool bias;
    enum phenotype_activation activation;
    enum phenotype_act_position act_position;
    enum phenotype_bn bn;
    uint32_t filters_mult; /* m > 0: led by a 1x1 block of m * filters filters, same act and BN */
};

struct phenotype_pool {
    enum phenotype_pooling pooling;
    uint32_t kernel;
    uint32_t stride;
    enum phenotype_padding padding;
};

struct phenotype_unit {
    enum phenotype_unit_kind kind;
    struct phenotype_conv conv; /* CONV, POOL */
    struct phenotype_pool pool; /* POOL: after the convolution */
    uint32_t fc_units;          /* FC; flattens its input */
    bool fc_bias;
    enum phenotype_activation fc_activation;
    uint32_t input_count; /* 1 or more, ascending, no duplicates */
    int32_t inputs[PHENOTYPE_INPUTS_MAX];
};

/*
 * The learning unit. Learning rate after t updates: lr / (1 + decay * t). Ranges: 0 < lr <= 100,
 * 0 <= decay <= 1, momentum, rho, beta1 and beta2 in [0, 1); early_stop and epochs_max from 1. What
 * the optimiser does not use is neither checked nor stored, and 0 after decoding.
 */
struct phenotype_learning {
    enum phenotype_optimiser optimiser;
    double lr;
    double decay;
    double momentum; /* SGD */
    bool nesterov;   /* SGD */
    double rho;      /* RMSprop */
    double beta1;    /* Adam */
    double beta2;    /* Adam */
    uint32_t batch;
    uint32_t early_stop; /* epochs without a better control loss */
    uint32_t epochs_max;
};

struct phenotype {
    uint32_t channels; /* C, H, W of the image */
    uint32_t height;
    uint32_t width;
    uint32_t classes;
    struct phenotype_learning learning;
    uint32_t unit_count;
    struct phenotype_unit *units; /* owned */
};

void phenotype_init(struct phenotype *phenotype);
void phenotype_fini(struct phenotype *phenotype);

/*
 * Every field in range, inputs earlier, ascending and unique, the last unit a linear FC of
 * `classes` outputs, no convolution or pooling fed by an FC. Errors: invalid, naming unit and
 * field.
 */
enum nero_status phenotype_check(const struct phenotype *phenotype, struct nero_err *err);

/* Canonical bytes; refuses what phenotype_check refuses. `out` is appended to. */
enum nero_status phenotype_encode(const struct phenotype *phenotype, struct bytes *out,
                                  struct nero_err *err);

/* Owns: *out on success. Errors: corrupt or version with field and offset; invalid. */
enum nero_status phenotype_decode(struct bytes_view bytes, struct phenotype *out,
                                  struct nero_err *err);

#endif
