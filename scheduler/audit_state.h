/*
 * What the parts of the audit share: the listing of the run's objects, its jobs and what became of
 * them, and the one way to say that something is wrong.
 *
 * Order of the passes (audit.c): listing; run record and data set; epochs, certificates, batches;
 * jobs with their chains and blobs; generation records, which use what the chains say; then what no
 * pass has seen. A pass returns a status other than ok only when the store cannot be read.
 */
#ifndef NERO_AUDIT_STATE_H
#define NERO_AUDIT_STATE_H

#include "nero/layout.h"
#include "nero/result.h"
#include "nero/run.h"
#include "nero/trust.h"

#include "amendment.h"
#include "audit.h"
#include "collection.h"
#include "evolve/evolve.h"
#include "place.h"

struct audit_object {
    char *key; /* owned */
    uint64_t bytes;
    bool placed; /* `place` is filled */
    struct place place;
    bool seen;   /* a pass has verified it or has said what is wrong with it */
    bool hashed; /* blobs: its content has been read */
};

/* A terminal slot. */
struct audit_end {
    enum slot_kind kind;
    struct hash slot; /* its stored bytes */
    char text[SLOT_TEXT_BYTES];
    struct result_outcome outcome; /* FINAL; without curve and histogram */
    struct hash outcome_bytes;     /* FINAL */
};

/* A job and what its chain came to. */
struct audit_job {
    struct hash id;
    bool has_spec; /* signed, decoded, under its own id */
    enum job_kind kind;
    bool told;  /* its chain was read: `end` and the rest are known */
    bool named; /* by a generation record, as the score job, or by the run record */
    bool in_batch;
    bool ran;       /* a runner wrote a slot */
    uint64_t slots; /* of the chain */
    /* The terminal slot in force, NULL: none; once accepted, the one that a record names. */
    const struct audit_end *end;
    struct audit_end *ends; /* all terminal slots; owned */
    uint32_t end_count;
};

struct audit {
    struct storage *store;
    const char *run;
    const struct audit_options *options;
    struct audit_report *report;
    uint32_t finding_room;
    uint32_t note_room;
    struct audit_object *objects; /* ascending by key; owned */
    size_t object_count;
    size_t object_room;
    struct audit_job *jobs; /* ascending by id; owned */
    size_t job_count;
    size_t job_room;
    struct trust *trust;
    bool has_dataset;
    struct run_dataset dataset;
    bool has_grammar;
    struct grammar grammar;
    struct evolve_run evolve;         /* where has_dataset and has_grammar */
    struct amendment_list amendments; /* those that are good, in a row */
    bool amendments_whole;            /* none is missing or bad */
    struct collections collections;   /* blobs that may be gone */
    uint32_t generations;             /* that the run is to have */
    uint64_t epochs;                  /* highest number of an epoch */
    uint64_t batches;                 /* that there should be */
    bool *head_met;                   /* by --head; owned */
};

/* Something is wrong with the object `key`. */
void audit_say(struct audit *audit, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Something about the object that is not wrong. */
void audit_note(struct audit *audit, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A status that speaks of the object, not of the store. */
bool audit_is_verdict(enum nero_status status);

/*
 * A check of `key` ended with `reason`. What speaks of the object becomes a finding ("is no epoch:
 * ...") and ok; no memory and the store's failures travel up.
 */
enum nero_status audit_judge(struct audit *audit, const char *key, const char *what,
                             const struct nero_err *reason, struct nero_err *err);

/* NULL where the listing has no such key. */
struct audit_object *audit_object(struct audit *audit, const char *key);
struct audit_job *audit_job(struct audit *audit, const struct hash *id);

/* The first object whose key is not below `key`; object_count where there is none. */
size_t audit_lower(const struct audit *audit, const char *key);

/*
 * Read an object and mark it seen. *good is false after a finding: it is missing, or too large.
 * `why` tells who needs it. Errors: the store's.
 */
enum nero_status audit_read(struct audit *audit, const char *key, const char *why,
                            struct bytes *out, bool *good, struct nero_err *err);

/* As audit_read for an envelope that the run key must have signed. */
enum nero_status audit_read_signed(struct audit *audit, const char *key, const char *why,
                                   enum envelope_type type, struct bytes *stored,
                                   struct bytes_view *payload, bool *good, struct nero_err *err);

/* A hash that --head may ask for. */
void audit_met(struct audit *audit, const struct hash *hash);
/* One of the hashes to remember. */
enum nero_status audit_head(struct audit *audit, const struct hash *hash, struct nero_err *err);

void audit_tell(const struct audit *audit, const char *what, uint64_t done, uint64_t total);

/* ---- passes ---- */

/* Run record, grammar, data set. *trusted is false when the record cannot be believed. */
enum nero_status audit_record(struct audit *audit, bool *trusted, struct nero_err *err);
/* The jobs that specs, slots and results name. */
enum nero_status audit_collect(struct audit *audit, struct nero_err *err);
/* Epochs, certificates, batches, amendments. */
enum nero_status audit_control(struct audit *audit, struct nero_err *err);
/* Specs, chains, results and the blobs they name. */
enum nero_status audit_jobs(struct audit *audit, struct nero_err *err);
/* Generation records and the last job; fills standing and heads. */
enum nero_status audit_search(struct audit *audit, struct nero_err *err);
/* What no pass has seen. */
enum nero_status audit_rest(struct audit *audit, struct nero_err *err);

/* ---- helpers of single passes ---- */

/* The amendments, `count` by the listing: how many generations the run is to have. */
enum nero_status audit_amendments(struct audit *audit, uint64_t count, struct nero_err *err);

/* The records of collected blobs, `count` by the listing. */
enum nero_status audit_collections(struct audit *audit, uint64_t count, struct nero_err *err);

/* A content-addressed object of `bytes` bytes that `owner` names. */
enum nero_status audit_blob(struct audit *audit, const char *key, const struct hash *hash,
                            uint64_t bytes, const char *owner, struct nero_err *err);

/* How far the run is, in words. */
void audit_stand(struct audit *audit, bool finished, const char *text);
/* The last job of a run of one evaluation; of a search in whose lineages `closed` generations are
 * closed in a row, and good. */
enum nero_status audit_single(struct audit *audit, struct nero_err *err);
enum nero_status audit_scores(struct audit *audit, uint32_t closed, struct nero_err *err);
/* It cannot be told what the score jobs belong to, which has been named: they are no findings. */
void audit_excuse_scores(struct audit *audit);

/* The key at which a chain that should have ended goes on; in attempt mode its rows' folder. */
void audit_next_slot(const struct audit *audit, const struct audit_job *job,
                     char out[LAYOUT_KEY_BYTES]);

/* From now on `end` is what the record's member has accepted: in attempt mode any terminal slot,
 * else also a failed one that was reopened too late, which is noted. */
void audit_accept(struct audit *audit, struct audit_job *job,
                  const struct generation_member *member);

/* Attempt mode: list what forked off, and check what attempts continue and how they ended. */
struct chain;
enum nero_status audit_forks(struct audit *audit, const struct audit_job *job,
                             const struct chain *chain, const struct hash *envelope,
                             struct nero_err *err);

struct slot;
struct job_spec;
/* Counts within bounds and in step with the spec. `key` is the final slot's. */
void audit_outcome(struct audit *audit, const char *key, const struct job_spec *spec,
                   const struct slot *slot, const struct result_outcome *outcome);

/* Say how a stored generation record differs from the one computed again. */
void audit_compare(struct audit *audit, const char *key, const struct generation *stored,
                   const struct generation *computed);

#endif
