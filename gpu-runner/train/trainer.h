/*
 * One evaluation from start to outcome, one unit of work at a time: training steps with early
 * stopping, control loss after each epoch, then clean accuracy and the attack on the fitness
 * images.
 *
 * The trainer does no I/O and reads no clock but the one given. Taking a snapshot reads and never
 * changes: snapshots at every step, at random times or never give equal outcomes. Restoring one
 * gives equal bits to not having been interrupted, within one numeric class.
 *
 * Rules (specs/evolution.md f): floor(train / batch) steps an epoch, the rest of the order dropped;
 * loss = mean cross-entropy + l2 * sum of kernel weights squared; early stop on the control loss
 * (L2 included), min_delta 0, best weights restored only if it fired; at the end of the budget the
 * last weights are scored, or the best ones with on_timeout best. Not finite: train/DESIGN.md.
 *
 * Thread: one thread uses a trainer.
 */
#ifndef NERO_TRAINER_H
#define NERO_TRAINER_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/clock.h"
#include "nero/job.h"
#include "nero/progress.h"
#include "nero/result.h"

#include "backend/backend.h"
#include "data/dataset.h"

enum { TRAINER_STATE_BYTES_MAX = 1 << 30, TRAINER_SHARDS_MAX = 256 };

struct trainer;

struct trainer_options {
    const struct job_spec *spec; /* borrowed for the trainer's life */
    struct hash job;
    const struct dataset *dataset; /* borrowed */
    struct backend *backend;       /* borrowed */
    uint32_t shards;               /* of a training batch, part of the numeric class; 0 as 1 */
    uint32_t threads; /* that share them out, which changes no bit; 0 or too many: one a shard */
    const struct clock_source *clock;
    struct bytes_view continue_from; /* EXTEND: state blob; SCORE: weights blob; else empty */
};

/* What the last unit was, for progress lines. */
struct trainer_event {
    enum progress_phase phase; /* of the unit just done */
    uint32_t epoch;            /* 0-based */
    uint32_t step;             /* of the epoch, or images evaluated */
    uint32_t steps;            /* of the epoch, or images to evaluate */
    double loss;               /* of the step plus the L2 term as of the epoch's start (after a
                                  restore: of then); at the end of CONTROL the control loss */
    double cross_entropy;      /* of the step, without L2 */
    double control_accuracy;   /* newest; NaN before the first */
    bool epoch_ended;          /* after CONTROL: a curve entry was added */
    bool done;                 /* nothing is left: take the outcome */
};

/*
 * Build network, split and plans. Errors: invalid (the phenotype cannot be built, a limit of the
 * protocol is exceeded, sizes disagree, the budget allows no step, an attack that is not built in,
 * continue_from of another network), version (another numeric class is wanted), no_memory (the
 * runner cannot fit it: release, never a result), corrupt (data set, continue_from), gpu.
 */
enum nero_status trainer_create(const struct trainer_options *options, struct trainer **out,
                                struct nero_err *err);
void trainer_destroy(struct trainer *trainer);

/* The numeric class of what this trainer computes: engine, backend, ISA, shards, precision. */
const char *trainer_numeric_class(const struct trainer *trainer);

/* The same before there is a trainer: what a backend of this engine computes with so many shards. A
 * runner claims jobs of this class; trainer_numeric_class of each of its trainers equals it. */
void trainer_class_of(struct backend *backend, uint32_t shards, char out[JOB_CLASS_BYTES]);

/*
 * Do one unit: a training step, one control batch, one evaluated batch. Fills *event. After done it
 * does nothing. Allocates nothing. Errors: those of the backend; the trainer can only be destroyed.
 */
enum nero_status trainer_advance(struct trainer *trainer, struct trainer_event *event,
                                 struct nero_err *err);

/*
 * Copy the present state. progress: initialised by the caller, replaced; state: cleared, then the
 * safetensors file. Only between calls of trainer_advance. Each tensor is copied once, into memory
 * that is there already if the buffer was reserved.
 */
enum nero_status trainer_snapshot(const struct trainer *trainer, struct progress *progress,
                                  struct bytes *state, struct nero_err *err);

/* Give `state` room for the largest snapshot there can be, all its pages touched. */
enum nero_status trainer_reserve(const struct trainer *trainer, struct bytes *state,
                                 struct nero_err *err);

/* Go on from a snapshot instead of from the start; before the first advance. Errors: corrupt,
 * invalid (another network), version (another numeric class). */
enum nero_status trainer_restore(struct trainer *trainer, const struct progress *progress,
                                 struct bytes_view state, struct nero_err *err);

/*
 * After done: the outcome (initialised by the caller), with the ids of the two blobs that go with
 * it: `state` (training state; empty for SCORE) and `weights` (scored weights and statistics).
 */
enum nero_status trainer_outcome(const struct trainer *trainer, struct result_outcome *outcome,
                                 struct bytes *state, struct bytes *weights, struct nero_err *err);

/* Total steps and epochs that the budget allows at most; 0: not known (seconds). For progress. */
void trainer_expected(const struct trainer *trainer, uint64_t *steps, uint32_t *epochs);

#endif
