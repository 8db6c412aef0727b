/*
 * Generation records: what the search did, signed by the run key, without any time, so that two
 * schedulers write equal bytes. A generation goes proposed -> evaluated -> [extending] -> closed;
 * each transition is a record that names its jobs and binds the record before it.
 * Stored form: codec/FORMAT.md ("generation").
 */
#ifndef NERO_GENERATION_H
#define NERO_GENERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/hash.h"
#include "nero/job.h"
#include "nero/slot.h"

enum {
    GENERATION_MEMBERS_MAX = 512,
    GENERATION_EXTENSIONS_MAX = 2, /* of one generation, among its members */
    GENERATION_EVENTS_MAX = 256,   /* of one member */
    GENERATION_TEXT_BYTES = 160,
    GENERATION_BYTES_MAX = 4 * 1024 * 1024 - 1024 /* the envelope goes on top */
};

enum generation_state {
    GENERATION_PROPOSED = 1,
    GENERATION_EVALUATED = 2,
    GENERATION_EXTENDING = 3,
    GENERATION_CLOSED = 4
};

enum generation_origin {
    GENERATION_PARENT = 1, /* the parent, trained again (or its stored result) */
    GENERATION_RANDOM = 2,
    GENERATION_MUTANT = 3,
    GENERATION_SEED = 4,     /* a given architecture */
    GENERATION_EXTENSION = 5 /* another member of the generation, trained on */
};

/* Operators, as in specs/evolution.md d. */
enum generation_operator {
    GENERATION_TRAIN_LONGER = 1,
    GENERATION_ADD_UNIT = 2,
    GENERATION_REPLICATE_UNIT = 3,
    GENERATION_REMOVE_UNIT = 4,
    GENERATION_ADD_CONNECTION = 5,
    GENERATION_REMOVE_CONNECTION = 6,
    GENERATION_MUTATE_RULE = 7, /* another alternative of a non-terminal */
    GENERATION_MUTATE_INT = 8,
    GENERATION_MUTATE_FLOAT = 9,
    GENERATION_MUTATE_POWER = 10,
    GENERATION_REPAIR = 11, /* a connection added for a dead end */
    GENERATION_TRAIN_LONGER_AT_CAP = 12
};

/* One operator that fired: where, and what changed from what. */
struct generation_event {
    enum generation_operator op;
    char module[48];
    int32_t unit;                     /* module-local; -1: none */
    char what[GENERATION_TEXT_BYTES]; /* "num-filters", "inputs", ... */
    char before[GENERATION_TEXT_BYTES];
    char after[GENERATION_TEXT_BYTES];
};

enum generation_verdict {
    GENERATION_PENDING = 0, /* proposed: not evaluated yet */
    GENERATION_SCORED = 1,
    GENERATION_INVALID = 2, /* never became a job: over a limit, or not buildable */
    GENERATION_ILL_FITTED = 3,
    GENERATION_FAILED = 4 /* the job failed for cause */
};

/*
 * In a proposed record every verdict is pending, in an extending one those of the extensions are:
 * they stand behind the other members, and in the closed record too. What follows `verdict` is
 * stored for other verdicts only; the budget is stored where its kind is set, and a job has one.
 * Without a job a verdict is pending or invalid.
 */
struct generation_member {
    enum generation_origin origin;
    uint32_t extends;           /* of EXTENSION: the member that trains on; 0 else */
    struct bytes_view genotype; /* encoded; a view on decode, borrowed on encode */
    bool has_job;               /* false: invalid, see text */
    struct hash job;
    struct job_budget budget;
    uint32_t event_count;
    struct generation_event *events;  /* owned on decode */
    char text[GENERATION_TEXT_BYTES]; /* why invalid or failed */
    enum generation_verdict verdict;
    bool has_slot;
    struct hash slot; /* stored bytes of the accepted terminal slot */
    double fitness;   /* in the formula of the generation's phase */
    uint32_t count;   /* N, correct, kept of the outcome, so that readers need no join */
    uint32_t correct;
    uint32_t kept;
};

struct generation {
    char run[SLOT_RUN_BYTES];
    uint32_t lineage;
    uint32_t number; /* from 0 */
    enum generation_state state;
    struct hash prev; /* stored bytes of the record before it; of the run record for the first */
    bool robust;      /* formula of this generation: F, else C (warm-up) */
    uint64_t split_seed;
    uint32_t member_count;
    struct generation_member *members; /* slot order, the parent first; owned on decode */
    /* From here on meaningful in CLOSED only. */
    uint32_t selected; /* member that becomes the next parent */
    double mean_fitness;
    bool next_robust;  /* the phase of the next generation */
    bool has_champion; /* best over all robust generations of the lineage so far */
    uint32_t champion_generation;
    uint32_t champion_member;
    double champion_fitness;
};

void generation_init(struct generation *generation);
void generation_fini(struct generation *generation); /* frees members and events, not views */
enum nero_status generation_encode(const struct generation *generation, struct bytes *out,
                                   struct nero_err *err);
enum nero_status generation_decode(struct bytes_view bytes, struct generation *out,
                                   struct nero_err *err);

const char *generation_state_name(enum generation_state state);
const char *generation_origin_name(enum generation_origin origin);
const char *generation_operator_name(enum generation_operator op);
const char *generation_verdict_name(enum generation_verdict verdict);

#endif
