/*
 * Jobs of a run on their way into the queue and out of the bucket. The bucket is written first and
 * alone is believed: spec, then batch q/<n>, then Redis; results are read from the job's chain.
 * Source: DESIGN 7; specs/batch.md 3.5 points 1, 8, 9.
 */
#ifndef NERO_SUBMISSION_H
#define NERO_SUBMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/backlog.h"
#include "nero/queue.h"
#include "nero/result.h"
#include "nero/slot.h"
#include "nero/storage.h"
#include "nero/trust.h"

#include "lead.h"

struct submission {
    struct lead *lead;       /* borrowed: store, queue, run, key and epoch */
    struct trust *trust;     /* borrowed */
    struct backlog *backlog; /* NULL for those who only look */
};

/* For looking. `submission` is the caller's; submission_fini frees what it holds. */
void submission_init(struct submission *submission, struct lead *lead, struct trust *trust);
void submission_fini(struct submission *submission);

/* For the leader: read what was submitted, and what of it Redis knows. */
enum nero_status submission_load(struct submission *submission, struct nero_err *err);

/* Sign the job and put it where its id says; written before: the same bytes, ok. */
enum nero_status submission_publish(struct submission *submission, struct bytes_view spec,
                                    struct bytes_view genotype, struct hash *job,
                                    struct nero_err *err);

/* Record the jobs that are in no batch yet in the next one, with the run's priority;
 * submission_fill queues them. */
enum nero_status submission_record(struct submission *submission, const struct hash *jobs,
                                   uint32_t count, struct nero_err *err);

/* Redis lost its memory, or nobody knows what it holds: see backlog_meet. */
enum nero_status submission_meet(struct submission *submission, struct nero_err *err);

/* Queue what waits as far as the window goes. Errors: not_found when Redis forgot the run. */
enum nero_status submission_fill(struct submission *submission, struct nero_err *err);

/* Not in Redis, and rightly so: it waits for room there. */
bool submission_waits(const struct submission *submission, const struct hash *job);
/* Redis does not know it and its chain has not ended. */
void submission_lost(struct submission *submission, const struct hash *job);

enum submission_state {
    SUBMISSION_OPEN = 1,   /* no terminal slot */
    SUBMISSION_FINAL = 2,  /* result is filled */
    SUBMISSION_FAILED = 3, /* for cause: text */
    SUBMISSION_CANCELLED = 4
};

/* What the chain says of a job. result: initialised by the caller, filled for FINAL; what an
 * earlier look has put there is freed. */
struct submission_look {
    enum submission_state state;
    struct hash slot; /* stored bytes of the terminal slot */
    struct result result;
    char text[SLOT_TEXT_BYTES];
    uint64_t slots;
};
/* `accepted`: the terminal slot that a signed record names, which in attempt mode may not be the
 * one in force any more; NULL: the one in force. */
enum nero_status submission_look(struct submission *submission, const struct hash *job,
                                 const struct hash *accepted, struct submission_look *out,
                                 struct nero_err *err);

/* Append a slot of the scheduler's own: failed, cancelled or reopened, as the leader of `epoch`.
 * Errors: conflict (final already); stale (a later leader's epoch is in the job's chain). */
enum nero_status submission_terminate(struct submission *submission, const struct hash *job,
                                      uint64_t epoch, enum slot_kind kind, const char *why,
                                      struct nero_err *err);

#endif
