/*
 * What a search holds, shared by its parts: search.c is the machine, search_recorded.c what has
 * been recorded of a generation already, search_last.c the last job.
 */
#ifndef NERO_SEARCH_STATE_H
#define NERO_SEARCH_STATE_H

#include "nero/trust.h"

#include "generation_store.h"
#include "search.h"
#include "submission.h"

/* A job that is waited for. */
struct search_job {
    bool wanted; /* the member has a job */
    bool done;
    struct hash id;
    struct queue_job_info info;
    struct submission_look look; /* owns a result once done */
};

/* One lineage. Between generations `open` is false and `number` is the next to propose, once it is
 * loaded: what has been closed and the outcome that the next generation is proposed from are read.
 */
struct search_lineage {
    uint32_t lineage;
    uint32_t number;
    uint32_t told; /* closed generations that the listener need not be told of (any more) */
    bool loaded;
    bool open;
    struct evolve_proposal proposal; /* of `number`, while open */
    struct hash proposed_hash;
    bool extending;                   /* all proposed jobs are done and some members train on */
    struct generation evaluated;      /* while extending */
    struct evolve_proposal extension; /* while extending */
    struct hash extending_hash;
    struct search_job *jobs; /* one a member, of `extension` while extending; while open */
    bool has_closed;
    struct generation_stored closed; /* generation number - 1 */
    struct result parent;            /* outcome of its selected member */
    bool has_parent;
};

struct search {
    struct lead *lead;
    const struct search_listener *listener;
    bool reopen; /* cancelled jobs */
    struct trust *trust;
    struct submission submission;
    struct grammar grammar;
    struct evolve_run run;
    uint32_t generations;
    uint32_t lineage_count;
    struct search_lineage *lineages;
    bool no_champion;           /* no generation was scored with F: nothing to score */
    struct search_job last_job; /* of RUN_SINGLE: the job; else the champion's test score */
};

/* Look whether the job was decided before; a cancelled one is opened again. */
enum nero_status search_look_first(struct search *search, struct search_job *job,
                                   struct nero_err *err);
/* Look what became of an unfinished job, and see to it that it is queued. */
enum nero_status search_poll(struct search *search, struct search_job *job, struct nero_err *err);

/* All proposed jobs are done. Where the evaluation is recorded, by a scheduler that died or lost
 * the lead right after, it is by the slots named there that they ended. */
enum nero_status search_look_as_recorded(struct search *search, struct search_lineage *lineage,
                                         struct nero_err *err);

/* Is a last job due that is not known yet? */
bool search_last_wanted(const struct search *search);
/* All lineages are finished: publish the last job, then wait for it. */
enum nero_status search_last_tick(struct search *search, struct nero_err *err);

#endif
