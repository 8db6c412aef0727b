/*
 * A run of one's own for tests: keys, run record, a data set, small training jobs, in a store that
 * the test gives. Every failure ends the program with the reason.
 */
#ifndef NERO_TINY_RUN_H
#define NERO_TINY_RUN_H

#include "nero/chain.h"
#include "nero/envelope.h"
#include "nero/job.h"
#include "nero/keys.h"
#include "nero/run.h"
#include "nero/storage.h"

struct tiny_run {
    struct storage *store; /* borrowed */
    char name[SLOT_RUN_BYTES];
    struct key_pair root;
    struct key_pair key; /* of the run */
    struct run_dataset dataset;
    struct hash dataset_id;
};

struct tiny_job {
    struct hash id;
    struct bytes envelope; /* owned: tiny_job_fini */
};

/* Ends the program when status is not ok. */
void tiny_check(enum nero_status status, const struct nero_err *err, const char *what);

/* Random images, side x side x 3, 4 classes that differ in their mean; and the run record. */
void tiny_run_create(struct tiny_run *run, struct storage *store, const char *name, uint32_t side,
                     uint32_t count, enum run_resume_policy policy);
/* The images that the project ships. */
void tiny_run_create_small_cifar(struct tiny_run *run, struct storage *store, const char *name);

/* A training job for `budget` ("epochs:3"); its envelope is in the bucket. `change`, if not NULL,
 * may alter the spec before it is encoded. */
typedef void tiny_change_fn(struct job_spec *spec);
void tiny_job_create(struct tiny_job *job, const struct tiny_run *run, uint64_t seed,
                     const char *budget, tiny_change_fn *change);
void tiny_job_fini(struct tiny_job *job);

/* Put a certificate for this key into the bucket. */
void tiny_run_certify(const struct tiny_run *run, const struct key_public *key);

/* Flip one bit in the middle of a stored object, or cut it in half. */
void tiny_damage(struct storage *store, const char *object, bool cut);

#endif
