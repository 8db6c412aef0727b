/*
 * The part of a training state that is no tensor: what a checkpoint slot carries beside its blobs.
 * With the state blob (safetensors: parameters, optimiser slots, running statistics, best weights)
 * it restores a job bit for bit. Stored form: codec/FORMAT.md ("progress").
 */
#ifndef NERO_PROGRESS_H
#define NERO_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/result.h"

enum { PROGRESS_BYTES_MAX = 60 * 1024, PROGRESS_MASK_BYTES_MAX = JOB_SCORED_MAX / 8 };

enum progress_phase {
    PROGRESS_TRAIN = 1,   /* steps of an epoch */
    PROGRESS_CONTROL = 2, /* control loss at the end of an epoch */
    PROGRESS_CLEAN = 3,   /* fitness images, before the attack */
    PROGRESS_ATTACK = 4,  /* fitness images that were classified correctly, attacked */
    PROGRESS_DONE = 5
};

struct progress {
    enum progress_phase phase;
    char numeric_class[JOB_CLASS_BYTES];
    uint64_t units;     /* steps and evaluated batches so far: grows with every bit of progress */
    uint64_t updates;   /* optimiser updates t */
    uint32_t epoch;     /* 0-based, of the epoch in progress */
    uint32_t cursor;    /* steps of this epoch done, or images of the evaluation done */
    double loss_sum;    /* over the epoch's images so far, without L2 */
    double control_sum; /* control loss over images so far, without L2 */
    uint32_t control_correct;
    bool has_best;
    double best_loss;    /* best control loss */
    uint32_t best_epoch; /* 1-based */
    uint32_t patience;   /* epochs left */
    bool stopped;        /* training is over: the decision is a fact from here on */
    enum result_stop stop;
    double seconds_used; /* training seconds over committed segments (budget in seconds) */
    uint32_t count;      /* evaluation so far, as in result_outcome */
    uint32_t correct;
    uint32_t kept;
    uint32_t zero_gradient;
    uint32_t class_count;
    uint32_t *histogram; /* owned, class_count */
    uint32_t correct_mask_bytes;
    uint8_t *correct_mask; /* owned: bit i set, fitness image i was correct; for ATTACK */
    uint32_t epoch_count;
    struct result_epoch *curve; /* owned */
};

const char *progress_phase_name(enum progress_phase phase);

void progress_init(struct progress *progress);
void progress_fini(struct progress *progress);
enum nero_status progress_copy(const struct progress *from, struct progress *out,
                               struct nero_err *err);
enum nero_status progress_encode(const struct progress *progress, struct bytes *out,
                                 struct nero_err *err);
enum nero_status progress_decode(struct bytes_view bytes, struct progress *out,
                                 struct nero_err *err);

#endif
