/*
 * What an evaluation found. The outcome is a pure function of the spec and the numeric class: its
 * bytes are equal after any kills. The provenance tells how it came about; nothing is derived from
 * it. Accuracies and fitness are computed in double from the outcome's integers.
 * Stored form: codec/FORMAT.md ("result").
 */
#ifndef NERO_RESULT_H
#define NERO_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/hash.h"
#include "nero/job.h"

/*
 * A result and a progress record fit in a slot at their largest: 29 bytes an epoch, 5 a class, and
 * in progress the mask. So training ends after RESULT_EPOCHS_MAX epochs at the latest, as for
 * epochs_max (RESULT_STOP_EPOCHS).
 */
enum { RESULT_EPOCHS_MAX = 1600, RESULT_TOKENS_MAX = 64, RESULT_BYTES_MAX = 60 * 1024 };

enum result_stop {
    RESULT_STOP_BUDGET = 1,
    RESULT_STOP_EARLY = 2,      /* control loss did not improve for early_stop epochs */
    RESULT_STOP_EPOCHS = 3,     /* epochs_max of the learning unit */
    RESULT_STOP_NOT_FINITE = 4, /* a loss was NaN or infinite */
    RESULT_STOP_SCORED = 5      /* a score job: nothing was trained */
};

enum result_ill { RESULT_WELL = 0, RESULT_ILL_NOT_FINITE = 1, RESULT_ILL_ONE_CLASS = 2 };

/* One epoch of training. Losses include the L2 term; means over images. May be NaN or infinite. */
struct result_epoch {
    double loss;
    double control_loss;
    uint32_t control_correct;
    uint32_t steps;
};

struct result_outcome {
    struct hash job;
    char numeric_class[JOB_CLASS_BYTES];
    enum result_stop stop;
    enum result_ill ill;
    bool scored_best; /* the best weights were scored, else the last */
    uint64_t steps;   /* updates in all */
    uint32_t epochs;
    uint32_t best_epoch;    /* 1-based; 0: none */
    uint32_t control_count; /* images the control loss is over */
    uint32_t count;         /* N images scored */
    uint32_t correct;       /* of N, before the attack */
    uint32_t kept;          /* of `correct`, still correct under attack; 0 when ill-fitted */
    uint32_t zero_gradient; /* attacked images whose input gradient was all zero */
    bool attacked;          /* false: no attack was asked for, or ill-fitted */
    uint32_t class_count;
    uint32_t *histogram; /* predictions by class, class_count; owned */
    uint32_t epoch_count;
    struct result_epoch *curve; /* owned */
    bool has_state;             /* training state for an extension */
    struct hash state;          /* blob ids; all zero without has_state */
    struct hash weights;        /* weights that were scored */
};

struct result_provenance {
    uint8_t runner[16]; /* key id */
    int64_t started_ms; /* wall clock of the first and last attempt; informative */
    int64_t finished_ms;
    uint32_t attempts;    /* takeovers in the chain */
    uint32_t preemptions; /* releases */
    uint32_t token_count;
    uint64_t tokens[RESULT_TOKENS_MAX];
    uint64_t steps_redone;  /* computed more than once because of kills */
    double seconds_trained; /* sum over attempts */
    double seconds_lost;
    double images_per_second; /* training, of the last attempt */
};

struct result {
    struct result_outcome outcome;
    struct result_provenance provenance;
};

void result_init(struct result *result);
void result_fini(struct result *result);

/* The outcome's own bytes, as they stand inside the result. */
enum nero_status result_outcome_encode(const struct result_outcome *outcome, struct bytes *out,
                                       struct nero_err *err);
enum nero_status result_outcome_decode(struct bytes_view bytes, struct result_outcome *out,
                                       struct nero_err *err);
/* [version, outcome bytes, provenance] */
enum nero_status result_encode(struct bytes_view outcome_bytes,
                               const struct result_provenance *provenance, struct bytes *out,
                               struct nero_err *err);
/* outcome_bytes (may be NULL) is a view into `bytes`. */
enum nero_status result_decode(struct bytes_view bytes, struct result *out,
                               struct bytes_view *outcome_bytes, struct nero_err *err);

/* C = correct / count, A = kept / correct, F = (1+b^2) C A / (b^2 A + C); 0 where undefined. */
double result_clean_accuracy(const struct result_outcome *outcome);
double result_adversarial_accuracy(const struct result_outcome *outcome);
double result_fitness(double clean, double adversarial, double beta);

const char *result_stop_name(enum result_stop stop);
const char *result_ill_name(enum result_ill ill);

#endif
