/*
 * The story of one job, from the bucket alone: who had it when, what was committed, what was lost,
 * how it ended, and whether all of that holds. The chain is read and judged by the audit of this
 * one job; here it is only told.
 *
 * What the chain cannot tell: when the job was submitted (no record of the search carries a time);
 * why an attempt ended that wrote no last word (killed, stalled, cut off, or failed and tried
 * again); and what it did after its last slot. Of that time only the length is known, and in it the
 * job may also have waited in the queue.
 */
#ifndef NERO_EXPLAIN_H
#define NERO_EXPLAIN_H

#include <stdio.h>

#include "nero/generation.h"
#include "nero/phenotype.h"
#include "nero/progress.h"
#include "nero/result.h"

#include "audit.h"

enum { EXPLAIN_PLACES_MAX = 64, EXPLAIN_TEXT_BYTES = 512 };

enum explain_end {
    EXPLAIN_SILENT = 1, /* no last word: under way, where it is the newest attempt of an open job */
    EXPLAIN_PREEMPTED,  /* its last slot is a checkpoint on notice: committed and given back */
    EXPLAIN_FINAL,
    EXPLAIN_FAILED,
    EXPLAIN_CANCELLED
};

/* How far an attempt was: of a checkpoint, or the result. */
struct explain_point {
    uint64_t updates;
    double seconds; /* training seconds over committed segments */
};

/* One lease as the chain knows it: from a takeover to the last slot of the same token. */
struct explain_attempt {
    struct key_id runner;
    uint64_t token;
    bool has_takeover; /* false: that slot is damaged */
    int64_t first_ms;  /* of its valid slots */
    int64_t last_ms;
    uint64_t last_slot;
    int64_t idle_ms; /* from the last slot of the attempt before it; 0 for the first */
    char numeric_class[JOB_CLASS_BYTES]; /* "": it committed nothing */
    bool committed;
    bool has_start; /* it committed something, and where it began is known */
    struct explain_point start;
    struct explain_point reached; /* has_start: by its last commit */
    struct explain_point redone;  /* of what earlier attempts had committed */
    uint32_t checkpoints;
    enum explain_end end;
};

/*
 * One slot. What is meaningful follows from valid and kind. Slots are called by their place in the
 * chain: the number; in attempt mode they are counted through all rows, row after row.
 */
enum { EXPLAIN_UNKNOWN_SLOT = -1 };
struct explain_event {
    uint64_t number;
    char key[LAYOUT_KEY_BYTES];
    bool valid;
    char fault[160];
    enum slot_kind kind;
    bool by_scheduler;
    uint32_t attempt; /* index; UINT32_MAX: of none */
    int64_t wall_ms;
    int64_t since_ms; /* since the valid slot before it; 0 for the first */
    uint64_t since_slot;
    bool has_restored_from;        /* of an attempt's first commit */
    int64_t restored_from;         /* EXPLAIN_UNKNOWN_SLOT: damaged since */
    enum slot_reason reason;       /* checkpoint */
    char text[SLOT_TEXT_BYTES];    /* failed, cancelled, reopened */
    uint64_t bytes;                /* of its blobs */
    enum progress_phase phase;     /* checkpoint */
    uint32_t epoch;                /* checkpoint: 0-based, in progress */
    struct explain_point point;    /* checkpoint, final */
    bool has_outcome;              /* final, and its result can be read */
    struct result_outcome outcome; /* without curve and histogram */
};

/* A generation record names the job. */
struct explain_place {
    uint32_t lineage;
    uint32_t generation;
    uint32_t member;
    enum generation_origin origin;
};

struct explain_totals {
    uint32_t preempted;
    uint32_t lost; /* attempts that ended without a word, and another followed */
    uint32_t failed;
    uint32_t checkpoints;
    uint32_t damaged;            /* slots that do not count */
    uint32_t unknown;            /* attempts that committed nothing, or began nobody knows where */
    double seconds_trained;      /* by all attempts, as far as committed; redone ones count again */
    struct explain_point redone; /* work that had been committed, and was done again */
    double seconds_lost_at_most; /* after the last slots of lost attempts, until the next takeover:
                                    work thrown away, expiry of the lease, and waiting */
    double seconds_waited;       /* from other ends to the next takeover */
};

struct explain {
    char run[SLOT_RUN_BYTES];
    struct hash job;
    bool told; /* there is a sound spec, so the chain could be read: all below is filled */
    enum job_kind kind;
    uint64_t seed;
    struct job_budget budget;
    bool has_continue_from;
    struct hash continue_from;
    char numeric_class[JOB_CLASS_BYTES]; /* asked for; "" any */
    char genotype[EXPLAIN_TEXT_BYTES];   /* modules and their units; "" without one */
    char network[EXPLAIN_TEXT_BYTES];    /* units by kind, parameters, multiply-adds */
    struct phenotype_learning learning;
    uint32_t place_count; /* all; the first EXPLAIN_PLACES_MAX are listed */
    struct explain_place places[EXPLAIN_PLACES_MAX];
    char place_fault[EXPLAIN_TEXT_BYTES]; /* a generation record that could not be believed */
    uint64_t event_count;
    struct explain_event *events; /* owned */
    uint32_t attempt_count;
    struct explain_attempt *attempts;     /* owned */
    bool rows;                            /* attempt mode: attempts may have worked side by side */
    const struct explain_event *terminal; /* the terminal slot in force; NULL: the job is open */
    struct explain_totals totals;
    struct audit_report report; /* owned */
};

/*
 * Verify and tell. skip_blobs: they must be there, but are not read. Owns: *out (explain_fini) on
 * success, also when there are findings. Errors: not_found (no such run), those of the store.
 */
enum nero_status explain_job(struct storage *store, const char *run, const struct hash *job,
                             const struct key_public *root, bool skip_blobs, struct explain *out,
                             struct nero_err *err);
void explain_fini(struct explain *explain);

/* Nothing is wrong with the job. */
bool explain_sound(const struct explain *explain);

void explain_print_text(const struct explain *explain, FILE *out);
void explain_print_json(const struct explain *explain, FILE *out);
const char *explain_end_name(const struct explain *explain, uint32_t attempt);

/* Where the generation records of the run name the job; fills places and place_fault. */
struct trust;
enum nero_status explain_find_places(struct storage *store, struct trust *trust,
                                     struct explain *explain, struct nero_err *err);

/*
 * The job that `text` means: the beginning of an id, or [LINEAGE.]GENERATION.SLOT. run: NULL for
 * any of the store; *found gets the run. Errors: not_found; invalid (several: they are listed).
 */
enum nero_status explain_find_job(struct storage *store, const char *run, const char *text,
                                  const struct key_public *root, char found[SLOT_RUN_BYTES],
                                  struct hash *job, struct nero_err *err);

#endif
