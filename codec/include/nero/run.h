/*
 * The run record: everything that determines a run, signed by the root key before anything else is
 * written. Also the small control records around it: epochs (leadership), submission batches,
 * data sets, amendments and requests. Stored forms: codec/FORMAT.md.
 */
#ifndef NERO_RUN_H
#define NERO_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/envelope.h"
#include "nero/job.h"
#include "nero/slot.h"

enum {
    RUN_MODULES_MAX = 16,
    RUN_SYMBOL_BYTES = 48,
    RUN_GRAMMAR_BYTES_MAX = 64 * 1024,
    RUN_BYTES_MAX = 768 * 1024,   /* grammar, preset, a job record (JOB_BYTES_MAX) or a genotype */
    RUN_CONTROL_BYTES_MAX = 4096, /* epochs, amendments, data sets */
    RUN_LINEAGES_MAX = 65535,
    RUN_GENERATIONS_MAX = 1000000,
    RUN_BATCH_JOBS_MAX = 1000,
    RUN_COLLECTION_BLOBS_MAX = 16384,
    RUN_REDRAWS_MAX = 60,
    RUN_PRIORITY_MIN = -255, /* of a run; a batch's are 256 less it: the lower goes first */
    RUN_PRIORITY_MAX = 255,
    RUN_LAMBDA_MAX = 509 /* with the parent and two extensions GENERATION_MEMBERS_MAX */
};

/* Of search.clip: below 1 as a float32, too, in which optimisers compute. */
#define RUN_CLIP_MIN 0.5
#define RUN_CLIP_MAX 0.999999

enum run_strategy { RUN_EVOLVE = 1, RUN_RANDOM = 2, RUN_SINGLE = 3 /* one evaluation job */ };
/* Where an evaluation's seed comes from: its place in the search, or what is evaluated. */
enum run_seed_policy { RUN_SEED_SLOT = 1, RUN_SEED_GENOTYPE = 2 };
/* The learning units of a first generation with a seed genotype: drawn, or the seed's. */
enum run_seed_learning { RUN_LEARNING_RANDOM = 1, RUN_LEARNING_SEED = 2 };
enum run_resume_policy { RUN_SAME_CLASS = 1, RUN_ANY_CLASS = 2 };

/*
 * What the store gives: exclusive creates, or none, so that every attempt of a job writes a row of
 * its own and readers choose (queue/DESIGN.md, "Attempt mode").
 */
enum run_store_mode { RUN_EXCLUSIVE = 1, RUN_ATTEMPTS = 2 };

/* One entry of the outer structure (specs/evolution.md c). */
struct run_module {
    char symbol[RUN_SYMBOL_BYTES]; /* grammar start symbol */
    uint32_t units_min;
    uint32_t units_max;
    uint32_t initial_min; /* units of a random individual */
    uint32_t initial_max;
    uint32_t levels_back;
    bool allow_skip; /* the immediate predecessor is not compulsory */
};

/* Mutation rates, probabilities in [0,1] (specs/evolution.md d). */
struct run_rates {
    double add_unit;
    double replicate_unit; /* given an add */
    double remove_unit;
    double add_connection;
    double remove_connection;
    double mutate_unit;     /* DSGE of a unit */
    double mutate_learning; /* DSGE of the learning unit */
    double train_longer;
    double float_sigma; /* standard deviation of the Gaussian */
};

struct run_search {
    uint32_t lineages;
    uint32_t generations;
    uint32_t lambda; /* offspring a generation */
    bool reevaluate_parent;
    struct run_rates rates;
    uint32_t module_count; /* without learning */
    struct run_module modules[RUN_MODULES_MAX];
    char learning_symbol[RUN_SYMBOL_BYTES];
    double beta;
    double warmup_threshold; /* xi */
    bool warmup_mean_excludes_invalid;
    double penalty;           /* fitness of invalid, ill-fitted and failed ones */
    struct job_budget budget; /* default budget of a child */
    uint64_t budget_cap;      /* of train-longer, same unit */
    uint32_t redraws;         /* of a candidate over a limit or not buildable, before it counts as
                                 invalid; at most RUN_REDRAWS_MAX */
    bool score_test;          /* at the end a score job measures the champion on the test
                                 images, which selection never sees */
    enum run_seed_policy seed_policy;
    struct bytes_view seed_genotype;      /* encoded; EVOLVE starts from it; empty: from random
                                             individuals. A view on decode, borrowed on encode */
    enum run_seed_learning seed_learning; /* used with a seed genotype */
    double clip; /* largest rho, beta1, beta2 of an optimiser, RUN_CLIP_MIN to RUN_CLIP_MAX */
};

struct run_record {
    char name[SLOT_RUN_BYTES];
    struct key_public run_key;
    int64_t created_ms; /* informative */
    uint64_t seed;
    enum run_strategy strategy;
    enum run_resume_policy resume_policy;
    enum run_store_mode store_mode;
    char numeric_class[JOB_CLASS_BYTES]; /* "" = any */
    struct job_protocol protocol;        /* split_seed is per lineage, derived; 0 here */
    struct run_search search;            /* unused for RUN_SINGLE */
    struct bytes_view grammar;           /* the text; a view on decode, borrowed on encode */
    struct bytes_view preset;            /* the preset file as given, for readers */
    struct bytes_view single_job;        /* RUN_SINGLE: the job record's bytes */
    int64_t priority;                    /* the higher is served first; changes no result */
};

/* Of the jobs of a run. */
uint32_t run_batch_priority(const struct run_record *record);

enum nero_status run_record_check(const struct run_record *record, struct nero_err *err);
enum nero_status run_record_encode(const struct run_record *record, struct bytes *out,
                                   struct nero_err *err);
enum nero_status run_record_decode(struct bytes_view bytes, struct run_record *out,
                                   struct nero_err *err);

/* Amendment: signed by the root key; raises the number of generations that a run is to have. */
struct run_amendment {
    char run[SLOT_RUN_BYTES];
    uint64_t number;
    struct hash prev; /* stored bytes of the run record or the former amendment */
    uint32_t generations;
};
enum nero_status run_amendment_encode(const struct run_amendment *amendment, struct bytes *out,
                                      struct nero_err *err);
enum nero_status run_amendment_decode(struct bytes_view bytes, struct run_amendment *out,
                                      struct nero_err *err);

/*
 * What a scheduler saw when it tried the store (storage_probe.h says what each is), for those who
 * cannot: to try it, one must delete.
 */
struct run_verdict {
    bool trusted;
    bool usable;
    bool creates_once;
    bool race_has_one;
    bool reads_writes;
    bool lists_writes;
    bool keeps_odd_keys;
    bool names_content;
    bool replaces_matched;
    bool misses_matched;
    bool creates_parts;
    uint32_t match_form;    /* of If-Match: 0 none, or not tried; 1 bare; 2 quoted; 3 both */
    int64_t clock_ahead_ms; /* the store's against the scheduler's; 0 where it has none */
    char why[256];          /* the first of what is wanted that does not hold, or "" */
};

/* Leadership: who creates epoch/<number> leads (DESIGN 7). */
struct run_epoch {
    char run[SLOT_RUN_BYTES];
    uint64_t number;
    uint64_t nonce;  /* random: tells two schedulers of one key apart */
    int64_t wall_ms; /* informative */
    char host[128];
    char why[64];     /* "start", "redis restarted", "takeover" */
    bool has_verdict; /* false: this scheduler did not try the store */
    struct run_verdict verdict;
};
enum nero_status run_epoch_encode(const struct run_epoch *epoch, struct bytes *out,
                                  struct nero_err *err);
enum nero_status run_epoch_decode(struct bytes_view bytes, struct run_epoch *out,
                                  struct nero_err *err);

/* A submission batch: what entered the queue, in order, before Redis heard of it. */
struct run_batch_job {
    struct hash job;
    uint32_t priority; /* 0 first, below 512: run_batch_priority */
    int64_t not_before_ms;
};
struct run_batch {
    char run[SLOT_RUN_BYTES];
    uint64_t number;
    uint32_t count;
    struct run_batch_job *jobs; /* owned on decode */
};
void run_batch_fini(struct run_batch *batch);
enum nero_status run_batch_encode(const struct run_batch *batch, struct bytes *out,
                                  struct nero_err *err);
enum nero_status run_batch_decode(struct bytes_view bytes, struct run_batch *out,
                                  struct nero_err *err);

/*
 * What collection takes: blobs that nothing needs any longer, named before the first of them is
 * removed, and removed a grace later. Audits miss nothing that stands here.
 */
struct run_collection {
    char run[SLOT_RUN_BYTES];
    uint64_t number;
    int64_t wall_ms; /* the grace counts from here */
    uint32_t count;
    struct hash *blobs; /* owned on decode; ascending */
};
void run_collection_fini(struct run_collection *collection);
enum nero_status run_collection_encode(const struct run_collection *collection, struct bytes *out,
                                       struct nero_err *err);
enum nero_status run_collection_decode(struct bytes_view bytes, struct run_collection *out,
                                       struct nero_err *err);

/* A data set: images as records of 1 label byte and C*H*W pixel bytes (CIFAR-10 binary layout). */
struct run_dataset {
    char name[64];
    uint32_t channels, height, width, classes;
    uint32_t train_count; /* images in the training blob */
    uint32_t test_count;
    struct hash train; /* content hashes of the blobs under data/ */
    struct hash test;
};
enum nero_status run_dataset_encode(const struct run_dataset *dataset, struct bytes *out,
                                    struct nero_err *err);
enum nero_status run_dataset_decode(struct bytes_view bytes, struct run_dataset *out,
                                    struct nero_err *err);
/* The id of a data set: hash of its encoded record. */
struct hash run_dataset_id(struct bytes_view encoded);

#endif
