/*
 * The search of one run as a state machine over the bucket: for each lineage a generation is
 * proposed, evaluated by jobs, extended where fairness asks for it, closed, and the next one
 * proposed, until the run's number of generations is reached. Every transition is a signed record
 * written create-only; since proposing and closing are pure functions of what is stored, a
 * restarted scheduler writes the same bytes and goes on where the former one stood. A run of one
 * evaluation (RUN_SINGLE) is one job. Thread: one thread uses a search.
 */
#ifndef NERO_SEARCH_H
#define NERO_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/generation.h"
#include "nero/queue.h"
#include "nero/result.h"

#include "evolve/evolve.h"
#include "lead.h"

struct search;

/* What happened, for whoever shows it; any may be NULL. Pointers are borrowed until return. */
struct search_listener {
    void *context;
    /* Also for an EXTENDING record: its pending members are the new jobs. */
    void (*proposed)(void *context, const struct generation *generation);
    void (*measured)(void *context, const struct generation *generation, uint32_t member,
                     const struct evolve_evaluation *evaluation);
    void (*closed)(void *context, const struct generation *generation);
};

/*
 * Read the run and where it stands; the lead must be taken. lead and listener are borrowed.
 * `reopen`: jobs that were cancelled are opened again; else they end the search with cancelled.
 * Errors: not_found, denied, corrupt (a stored record differs from what its inputs give).
 */
enum nero_status search_open(struct lead *lead, bool reopen, const struct search_listener *listener,
                             struct search **out, struct nero_err *err);
void search_close(struct search *search);

const struct evolve_run *search_run(const struct search *search);
uint32_t search_generations(const struct search *search); /* amendments applied */

/* Do what can be done now, without waiting. Errors: stale (not the leader), unavailable, corrupt.
 */
enum nero_status search_tick(struct search *search, struct nero_err *err);

/* Find out what Redis knows: after it lost its memory. The next ticks queue what it lacks. */
enum nero_status search_meet(struct search *search, struct nero_err *err);

bool search_finished(const struct search *search);

/* Unfinished jobs, for live lines. info: as Redis last told; state "" before it did. */
struct search_pending {
    bool last; /* the single evaluation, or the champion's test score: no generation */
    uint32_t lineage;
    uint32_t generation;
    uint32_t member;
    enum generation_origin origin;
    struct hash job;
    struct queue_job_info info;
};
uint32_t search_pending(const struct search *search, struct search_pending *out, uint32_t max);

/* Write `cancelled` slots for all unfinished jobs and drop them from the queue. */
enum nero_status search_cancel(struct search *search, const char *why, struct nero_err *err);

#endif
