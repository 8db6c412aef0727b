/*
 * A job: one evaluation of one phenotype. What is to be computed is the spec; the job id is the
 * hash of the spec's exact bytes, so equal work has one id. The genotype rides along for readers.
 * Stored form: codec/FORMAT.md ("job").
 */
#ifndef NERO_JOB_H
#define NERO_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/hash.h"
#include "nero/phenotype.h"

enum {
    JOB_CLASS_BYTES = 192,    /* a numeric class as text, NUL included */
    JOB_IMAGES_MAX = 1 << 28, /* of a training set */
    JOB_SCORED_MAX = 65536,   /* images scored in one job */
    JOB_SPEC_BYTES_MAX = 128 * 1024,
    JOB_BYTES_MAX = 512 * 1024 /* the record: spec, genotype (GENOTYPE_BYTES_MAX) */
};

enum job_kind { JOB_TRAIN = 1, JOB_EXTEND = 2, JOB_SCORE = 3 };
enum job_budget_kind { JOB_SECONDS = 1, JOB_EPOCHS = 2, JOB_STEPS = 3, JOB_FLOPS = 4 };
enum job_attack_kind { JOB_ATTACK_NONE = 0, JOB_ATTACK_FGSM = 1, JOB_ATTACK_PGD = 2 };
enum job_part { JOB_PART_FITNESS = 0, JOB_PART_TEST = 1 }; /* which images are scored */
enum job_on_timeout { JOB_SCORE_LAST = 0, JOB_SCORE_BEST = 1 };
/* When a budget in seconds is looked at: it may be passed by one epoch, or by one step. */
enum job_time_check { JOB_CHECK_EPOCH = 0, JOB_CHECK_STEP = 1 };

struct job_budget {
    enum job_budget_kind kind;
    uint64_t amount; /* seconds, epochs, steps, or FLOPs (2 per MAC; a step counts 3 forwards) */
};

struct job_attack {
    enum job_attack_kind kind;
    double epsilon;   /* L-infinity radius in (0,1] pixel units; unused for NONE */
    double step_size; /* PGD, (0,1] */
    uint32_t steps;   /* PGD, 1 to 10000 */
};

/*
 * How an evaluation is done; the same for all jobs of a run but for the split seed. Counts of
 * images are 1 or more, fitness_count at most JOB_SCORED_MAX; l2 in [0,1]; bn_momentum in [0,1).
 */
struct job_protocol {
    struct hash dataset;  /* data set id: hash of its record's payload */
    uint64_t split_seed;  /* of the stratified split of the training images */
    uint32_t train_count; /* images a part */
    uint32_t control_count;
    uint32_t fitness_count; /* images scored; of the test images with JOB_PART_TEST */
    enum job_part part;
    struct job_attack attack;
    uint32_t eval_batch; /* physical batch of the inference plan */
    double l2;           /* lambda: loss + lambda * sum of kernel weights squared */
    double bn_momentum;
    bool augment;            /* pad 4, flip, crop */
    double ill_fitted_share; /* (0,1]: predictions of one class above this share are ill-fitted */
    enum job_on_timeout on_timeout;
    enum job_time_check time_check;
    uint64_t max_parameters; /* 0: no limit */
    uint64_t max_macs;
    uint64_t max_plan_bytes;
};

struct job_spec {
    enum job_kind kind;
    struct phenotype phenotype; /* owned */
    uint64_t seed;              /* weights, shuffling, augmentation */
    struct job_budget budget;   /* total, what continue_from already used included; SCORE: unused */
    struct job_protocol protocol;
    char numeric_class[JOB_CLASS_BYTES]; /* required; "" = any, pinned by the first checkpoint */
    bool has_continue_from;              /* EXTEND: training state; SCORE: weights */
    struct hash continue_from;           /* blob id */
};

void job_spec_init(struct job_spec *spec);
void job_spec_fini(struct job_spec *spec);
enum nero_status job_spec_check(const struct job_spec *spec, struct nero_err *err);
enum nero_status job_spec_encode(const struct job_spec *spec, struct bytes *out,
                                 struct nero_err *err);
enum nero_status job_spec_decode(struct bytes_view bytes, struct job_spec *out,
                                 struct nero_err *err);

/* BLAKE2b-256 of a domain tag and the spec's bytes. */
struct hash job_id(struct bytes_view spec_bytes);

/* The job record: payload of the job envelope. The genotype may be empty. Views into `bytes`. */
struct job_record {
    struct bytes_view spec;
    struct bytes_view genotype;
};
enum nero_status job_record_encode(struct bytes_view spec, struct bytes_view genotype,
                                   struct bytes *out, struct nero_err *err);
enum nero_status job_record_decode(struct bytes_view bytes, struct job_record *out,
                                   struct nero_err *err);

const char *job_kind_name(enum job_kind kind);
const char *job_budget_name(enum job_budget_kind kind); /* "seconds" ... */
/* "epochs:8", "seconds:600", "steps:5", "flops:1e15". Errors: invalid with what is allowed. */
enum nero_status job_budget_parse(const char *text, struct job_budget *out, struct nero_err *err);

#endif
