/*
 * The audit of the job behind which nothing comes: the single evaluation, or the champion's score
 * on the test images, which a run has once for every number of generations that it was to have.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "nero/mem.h"

#include "audit_state.h"
#include "champion.h"

void audit_stand(struct audit *audit, bool finished, const char *text)
{
    audit->report->finished = finished;
    (void)snprintf(audit->report->standing, sizeof audit->report->standing, "%.*s",
                   AUDIT_STANDING_BYTES - 1, text);
}

/* The job behind which nothing comes: it must be there once the run is called finished. */
static enum nero_status check_last(struct audit *audit, const struct hash *id, const char *done,
                                   const char *open, struct nero_err *err)
{
    struct audit_job *job = audit_job(audit, id);

    if (job == NULL || job->end == NULL) {
        if (job != NULL) {
            job->named = true;
        }
        audit_stand(audit, false, open);
        return NERO_OK;
    }
    job->named = true;
    audit_stand(audit, job->end->kind != SLOT_CANCELLED,
                job->end->kind == SLOT_CANCELLED ? "cancelled" : done);
    return audit_head(audit, &job->end->slot, err);
}

/*
 * The champion's score job, computed from the records as the scheduler computes it when each
 * lineage has closed `end` generations. *known is false where there is none to score, or it cannot
 * be told: that was named before.
 */
static enum nero_status score_job(struct audit *audit, uint32_t end, struct hash *id, bool *known,
                                  struct nero_err *err)
{
    uint32_t lineages = trust_run(audit->trust)->search.lineages;
    uint32_t *closed = mem_calloc(lineages, sizeof *closed);
    const struct generation_member *member;
    struct champion champion;
    struct audit_job *job;
    struct bytes spec;
    enum nero_status status;

    *known = false;
    if (closed == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the lineages");
    }
    for (uint32_t i = 0; i < lineages; i++) {
        closed[i] = end;
    }
    status = champion_find(audit->store, audit->trust, closed, lineages, &champion, err);
    free(closed);
    if (status != NERO_OK || !champion.found) {
        return audit_is_verdict(status) ? NERO_OK : status;
    }
    member = &champion.closed.generation.members[champion.member];
    job = audit_job(audit, &member->job);
    if (job != NULL) {
        audit_accept(audit, job, member);
    }
    if (job != NULL && job->end != NULL && job->end->kind == SLOT_FINAL) {
        bytes_init(&spec, JOB_BYTES_MAX);
        status = champion_score_spec(&audit->evolve, &champion, &job->end->outcome, &spec, err);
        *known = status == NERO_OK;
        *id = job_id(bytes_as_view(&spec));
        bytes_fini(&spec);
    }
    champion_fini(&champion);
    return status;
}

/* The last job of a run that has closed all its generations. */
static enum nero_status check_score(struct audit *audit, struct nero_err *err)
{
    struct hash id;
    bool known;
    enum nero_status status = score_job(audit, audit->generations, &id, &known, err);

    return status == NERO_OK && known
               ? check_last(audit, &id,
                            "finished: all generations closed, the champion scored on the test "
                            "images",
                            "open: all generations closed, the champion's test score is missing",
                            err)
               : status;
}

/* What was the last job before the run was extended stays as it is, whether it came to an end. */
static enum nero_status name_former_score(struct audit *audit, uint32_t end, struct nero_err *err)
{
    struct audit_job *job;
    struct hash id;
    bool known;
    enum nero_status status = score_job(audit, end, &id, &known, err);

    job = status == NERO_OK && known ? audit_job(audit, &id) : NULL;
    if (job != NULL) {
        job->named = true;
    }
    return status;
}

/* The lowest number of generations that the run was once to have and that it has not closed. */
static uint32_t open_end(const struct audit *audit, uint32_t closed)
{
    for (uint32_t i = 0; i <= audit->amendments.count; i++) {
        if (audit->amendments.ends[i] > closed) {
            return audit->amendments.ends[i];
        }
    }
    return audit->generations;
}

/*
 * A score job is made when all generations are closed: one that is there tells of records that are
 * not, though nothing else comes behind them.
 */
static void check_early_score(struct audit *audit, uint32_t end)
{
    const struct run_search *search = &trust_run(audit->trust)->search;

    for (size_t i = 0; i < audit->job_count; i++) {
        struct audit_job *job = &audit->jobs[i];
        char spec[LAYOUT_KEY_BYTES];
        char key[LAYOUT_KEY_BYTES];

        if (!job->has_spec || job->kind != JOB_SCORE || job->named) {
            continue;
        }
        layout_spec(spec, audit->run, &job->id);
        for (uint32_t lineage = 0; lineage < search->lineages; lineage++) {
            layout_generation(key, audit->run, lineage, end - 1,
                              generation_state_name(GENERATION_CLOSED));
            if (audit_object(audit, key) == NULL) {
                audit_say(audit, key, "is missing: %s scores the champion of all generations",
                          spec);
                job->named = true;
            }
        }
    }
}

void audit_excuse_scores(struct audit *audit)
{
    for (size_t i = 0; i < audit->job_count; i++) {
        audit->jobs[i].named = audit->jobs[i].named || audit->jobs[i].kind == JOB_SCORE;
    }
}

enum nero_status audit_scores(struct audit *audit, uint32_t closed, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (uint32_t i = 0; i < audit->amendments.count && status == NERO_OK; i++) {
        if (audit->amendments.ends[i] <= closed) {
            status = name_former_score(audit, audit->amendments.ends[i], err);
        }
    }
    if (status == NERO_OK && closed >= audit->generations) {
        return check_score(audit, err);
    }
    if (status == NERO_OK) {
        check_early_score(audit, open_end(audit, closed));
    }
    return status;
}

enum nero_status audit_single(struct audit *audit, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct nero_err reason;
    struct job_record job;
    struct hash id;

    if (job_record_decode(trust_run(audit->trust)->single_job, &job, &reason) != NERO_OK) {
        layout_run(key, audit->run);
        return audit_judge(audit, key, "holds no job", &reason, err);
    }
    id = job_id(job.spec);
    return check_last(audit, &id, "finished: the evaluation has ended",
                      "open: the evaluation has not ended", err);
}
