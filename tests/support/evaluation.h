/*
 * Whole evaluations of small jobs, with kills: what tests of the engine compare is the outcome's
 * bytes and the two blobs that go with it.
 */
#ifndef NERO_EVALUATION_H
#define NERO_EVALUATION_H

#include "train/trainer.h"

/* One evaluation to be made, perhaps several times. */
struct evaluation {
    const char *name;    /* of the job; its id is a hash of it */
    const char *backend; /* "ref" or "cpu" */
    struct job_spec spec;
    uint32_t shards, threads; /* as the trainer's options */
    const struct dataset *dataset;
    struct bytes_view continue_from;
};

/* When it is interrupted. A kill loses what was done since the last snapshot. */
struct evaluation_kills {
    uint64_t seed;
    uint32_t snapshot_percent; /* of units that are followed by a snapshot */
    uint32_t kill_percent;     /* of units that are followed by a kill and a restart */
    uint32_t kills;            /* out: how many */
};

/* What came of it. */
struct evaluation_result {
    struct result_outcome outcome;
    struct bytes outcome_bytes;
    struct bytes state;
    struct bytes weights;
    uint32_t units;
};

/* A spec for the shipped images: 2 epochs, FGSM 8/255, small parts and batches with odd tails. */
void evaluation_spec(struct job_spec *spec, enum job_kind kind);

/* A clock that moves by 10 ms a reading: measured time is a function of the calls made. */
const struct clock_source *evaluation_clock(void);

/* A backend and a trainer as the evaluation wants them; fails the test on an error. */
struct evaluation_run {
    struct backend *backend;
    struct trainer *trainer;
};
void evaluation_open(const struct evaluation *evaluation, struct evaluation_run *run);
void evaluation_close(struct evaluation_run *run);

/* Run to the end. kills may be NULL. Fails the test on an error. */
void evaluation_make(const struct evaluation *evaluation, struct evaluation_kills *kills,
                     struct evaluation_result *out);
void evaluation_result_fini(struct evaluation_result *result);

/* Fails the test unless every byte is equal. */
void evaluation_assert_equal(const char *name, const struct evaluation_result *a,
                             const struct evaluation_result *b);

#endif
