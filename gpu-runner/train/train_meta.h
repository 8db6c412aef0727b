/*
 * The tensor "meta" of a training state: what an extension needs beside the tensors, as floats that
 * hold integers below 2^16, so that the blob alone is enough and any safetensors reader opens it.
 *
 * A number of 64 bits is four floats of 16 bits, the lowest first; one of 32 bits is two. A double
 * is the 64 bits of its IEEE 754 form. In order:
 *
 *   version (1 float: 2), network (2 x 64 bits), job (4 x 64 bits, bytes little-endian),
 *   budget's kind (32; 0 of a score) and amount (64),
 *   updates (64), seconds_used (double; 0 unless the budget is in seconds), patience (32),
 *   has_best (32), best_loss (double), best_epoch (32), epoch_count (32),
 *   then an epoch each: loss (double), control_loss (double), control_correct (32), steps (32)
 *
 * `network` is a hash of the graph's operations and the optimiser: what decides whether the tensors
 * of a state mean the same in another job. The budget is what the job was granted, whether it used
 * it.
 */
#ifndef NERO_TRAIN_META_H
#define NERO_TRAIN_META_H

#include <stdint.h>

#include "nero/bytes.h"
#include "nero/graph.h"
#include "nero/hash.h"
#include "nero/job.h"
#include "nero/progress.h"

enum {
    TRAIN_META_VERSION = 2,
    TRAIN_META_HEAD_FLOATS = 1 + 4 * (2 + 4 + 1 + 1 + 1 + 1) + 2 * 5,
    TRAIN_META_EPOCH_FLOATS = 12,
    TRAIN_META_FLOATS_MAX = TRAIN_META_HEAD_FLOATS + TRAIN_META_EPOCH_FLOATS * RESULT_EPOCHS_MAX
};

struct train_meta {
    struct hash network; /* the first 16 bytes are stored */
    struct hash job;
    struct job_budget budget;
    uint64_t updates;
    double seconds_used;
    uint32_t patience;
    bool has_best;
    double best_loss;
    uint32_t best_epoch;
    uint32_t epoch_count;
};

struct hash train_meta_network(const struct graph *graph, enum phenotype_optimiser optimiser);

static inline uint32_t train_meta_floats(uint32_t epoch_count)
{
    return TRAIN_META_HEAD_FLOATS + TRAIN_META_EPOCH_FLOATS * epoch_count;
}

/* out: train_meta_floats(meta->epoch_count) floats; curve: epoch_count epochs. */
void train_meta_write(const struct train_meta *meta, const struct result_epoch *curve, float *out);

/* curve: room for RESULT_EPOCHS_MAX. Errors: corrupt, version. */
enum nero_status train_meta_read(const float *floats, uint64_t count, struct train_meta *out,
                                 struct result_epoch *curve, struct nero_err *err);

#endif
