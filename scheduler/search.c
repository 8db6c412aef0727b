#include "search.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/layout.h"
#include "nero/log.h"
#include "nero/mem.h"
#include "nero/run.h"

#include "champion.h"
#include "dataset_store.h"
#include "generation_store.h"
#include "submission.h"

/* A job that is waited for. */
struct search_job {
    bool wanted; /* the member has a job */
    bool done;
    struct hash id;
    struct queue_job_info info;
    struct submission_look look; /* owns a result once done */
};

/* One lineage. Between generations `open` is false and `number` is the next to propose. */
struct search_lineage {
    uint32_t lineage;
    uint32_t number;
    bool open;
    struct evolve_proposal proposal; /* of `number`, while open */
    struct hash proposed_hash;
    struct search_job *jobs; /* member_count, while open */
    bool has_closed;
    struct generation_stored closed; /* generation number - 1 */
    struct result parent;            /* outcome of its selected member */
    bool has_parent;
};

struct search {
    struct lead *lead;
    const struct search_listener *listener;
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

static void job_fini(struct search_job *job)
{
    result_fini(&job->look.result);
}

static void lineage_close_generation(struct search_lineage *lineage)
{
    for (uint32_t i = 0; lineage->jobs != NULL && i < lineage->proposal.generation.member_count;
         i++) {
        job_fini(&lineage->jobs[i]);
    }
    free(lineage->jobs);
    lineage->jobs = NULL;
    if (lineage->open) {
        evolve_proposal_fini(&lineage->proposal);
        lineage->open = false;
    }
}

const struct evolve_run *search_run(const struct search *search)
{
    return &search->run;
}

uint32_t search_generations(const struct search *search)
{
    return search->generations;
}

/* What the chain says of the job. Cancelled by somebody else: this search is not to go on. */
static enum nero_status look_job(struct search *search, struct search_job *job,
                                 struct nero_err *err)
{
    enum nero_status status = submission_look(&search->submission, &job->id, &job->look, err);

    job->done = status == NERO_OK && (job->look.state == SUBMISSION_FINAL ||
                                      job->look.state == SUBMISSION_FAILED);
    if (status == NERO_OK && job->look.state == SUBMISSION_CANCELLED) {
        return err_set(err, NERO_CANCELLED, 0, "run %s was cancelled: %s", search->lead->run,
                       job->look.text);
    }
    return status;
}

/*
 * Look whether the job was decided before: by an earlier scheduler, or as equal work. A cancelled one
 * is opened again, since whoever opens a search wants it to go on.
 */
static enum nero_status look_job_first(struct search *search, struct search_job *job,
                                       struct nero_err *err)
{
    enum nero_status status = look_job(search, job, err);

    if (status == NERO_CANCELLED) {
        status = submission_terminate(&search->submission, &job->id, SLOT_REOPENED, "resumed", err);
        return status == NERO_OK ? look_job(search, job, err) : status;
    }
    return status;
}

/* The outcome of the member that the closed generation selected. None when it had no job. */
static enum nero_status load_parent(struct search *search, struct search_lineage *lineage,
                                    struct nero_err *err)
{
    const struct generation *closed = &lineage->closed.generation;
    const struct generation_member *selected = &closed->members[closed->selected];
    struct submission_look look;
    enum nero_status status;

    result_fini(&lineage->parent);
    result_init(&lineage->parent);
    lineage->has_parent = false;
    if (!selected->has_job || selected->verdict == GENERATION_FAILED) {
        return NERO_OK;
    }
    result_init(&look.result);
    status = submission_look(&search->submission, &selected->job, &look, err);
    if (status == NERO_OK && look.state != SUBMISSION_FINAL) {
        status = err_set(err, NERO_CORRUPT, 0,
                         "generation %" PRIu32 " selected member %" PRIu32
                         ", whose job has no final slot",
                         closed->number, closed->selected);
    }
    if (status != NERO_OK) {
        result_fini(&look.result);
        return status;
    }
    lineage->parent = look.result;
    lineage->has_parent = true;
    return NERO_OK;
}

/* Find the last closed generation of a lineage and make its successor the next one. */
static enum nero_status load_lineage(struct search *search, struct search_lineage *lineage,
                                     struct nero_err *err)
{
    for (;;) {
        struct generation_stored stored;
        enum nero_status status =
            generation_store_get(search->lead->store, search->trust, search->lead->run,
                                 lineage->lineage, lineage->number, GENERATION_CLOSED, &stored, err);

        if (status == NERO_NOT_FOUND) {
            break;
        }
        if (status != NERO_OK) {
            return status;
        }
        if (lineage->has_closed) {
            generation_stored_fini(&lineage->closed);
        }
        lineage->closed = stored;
        lineage->has_closed = true;
        lineage->number++;
    }
    return lineage->has_closed ? load_parent(search, lineage, err) : NERO_OK;
}

static enum nero_status open_lineages(struct search *search, struct nero_err *err)
{
    search->lineage_count = search->run.record->search.lineages;
    search->lineages = mem_calloc(search->lineage_count, sizeof *search->lineages);
    if (search->lineages == NULL) {
        search->lineage_count = 0;
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the lineages");
    }
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        search->lineages[i].lineage = i;
        result_init(&search->lineages[i].parent);
    }
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        if (load_lineage(search, &search->lineages[i], err) != NERO_OK) {
            return err_wrap(err, "lineage %" PRIu32, i);
        }
    }
    return NERO_OK;
}

static enum nero_status open_single(struct search *search, struct nero_err *err)
{
    struct job_record job;

    search->last_job.wanted = true;
    if (job_record_decode(search->run.record->single_job, &job, err) != NERO_OK) {
        return err->status;
    }
    if (submission_publish(&search->submission, job.spec, job.genotype, &search->last_job.id,
                           err) != NERO_OK) {
        return err->status;
    }
    return look_job_first(search, &search->last_job, err);
}

static enum nero_status open_run(struct search *search, struct nero_err *err)
{
    const struct run_record *record;
    struct run_dataset dataset;

    if (trust_open(search->lead->store, search->lead->run, NULL, &search->trust, err) != NERO_OK ||
        submission_init(&search->submission, search->lead, search->trust, err) != NERO_OK) {
        return err->status;
    }
    record = trust_run(search->trust);
    if (memcmp(record->run_key.data, search->lead->run_key->public_key.data, KEY_PUBLIC_BYTES)) {
        return err_set(err, NERO_DENIED, 0, "the key of run %s is not the one in the bucket",
                       search->lead->run);
    }
    search->run.record = record;
    search->run.record_hash = trust_run_hash(search->trust);
    if (record->strategy == RUN_SINGLE) {
        return open_single(search, err);
    }
    if (dataset_store_get(search->lead->store, &record->protocol.dataset, &dataset, err) !=
            NERO_OK ||
        generation_store_count(search->lead->store, record, &search->generations, err) != NERO_OK ||
        grammar_parse("run record's grammar", record->grammar, &search->grammar, err) != NERO_OK) {
        return err->status;
    }
    search->run.grammar = &search->grammar;
    search->run.channels = dataset.channels;
    search->run.height = dataset.height;
    search->run.width = dataset.width;
    search->run.classes = dataset.classes;
    search->run.test_count = dataset.test_count;
    return open_lineages(search, err);
}

enum nero_status search_open(struct lead *lead, const struct search_listener *listener,
                             struct search **out, struct nero_err *err)
{
    struct search *search = mem_calloc(1, sizeof *search);

    if (search == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a search");
    }
    search->lead = lead;
    search->listener = listener;
    result_init(&search->last_job.look.result);
    if (open_run(search, err) != NERO_OK) {
        search_close(search);
        return err_wrap(err, "open run %s", lead->run);
    }
    *out = search;
    return NERO_OK;
}

void search_close(struct search *search)
{
    if (search == NULL) {
        return;
    }
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        struct search_lineage *lineage = &search->lineages[i];

        lineage_close_generation(lineage);
        result_fini(&lineage->parent);
        if (lineage->has_closed) {
            generation_stored_fini(&lineage->closed);
        }
    }
    free(search->lineages);
    job_fini(&search->last_job);
    grammar_fini(&search->grammar);
    submission_fini(&search->submission);
    trust_close(search->trust);
    free(search);
}

/* ---- a generation: proposed ---- */

static enum nero_status publish_jobs(struct search *search, struct search_lineage *lineage,
                                     struct nero_err *err)
{
    const struct generation *generation = &lineage->proposal.generation;

    lineage->jobs = mem_calloc(generation->member_count, sizeof *lineage->jobs);
    if (lineage->jobs == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a generation's jobs");
    }
    for (uint32_t i = 0; i < generation->member_count; i++) {
        result_init(&lineage->jobs[i].look.result);
    }
    for (uint32_t i = 0; i < generation->member_count; i++) {
        struct search_job *job = &lineage->jobs[i];

        job->wanted = generation->members[i].has_job;
        job->id = generation->members[i].job;
        /* No spec: a parent that is not trained again stands for its former job. */
        if (job->wanted && lineage->proposal.specs[i].bytes > 0 &&
            submission_publish(&search->submission, bytes_as_view(&lineage->proposal.specs[i]),
                               bytes_as_view(&lineage->proposal.genotypes[i]), &job->id,
                               err) != NERO_OK) {
            return err->status;
        }
        if (job->wanted && look_job_first(search, job, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

/* Queue the unfinished jobs of a generation. */
static enum nero_status enqueue_jobs(struct search *search, struct search_job *jobs, uint32_t count,
                                     struct nero_err *err)
{
    struct hash *ids = mem_calloc(count, sizeof *ids);
    uint32_t open = 0;
    enum nero_status status;

    if (ids == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %" PRIu32 " job ids", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (jobs[i].wanted && !jobs[i].done) {
            ids[open++] = jobs[i].id;
        }
    }
    status = submission_enqueue(&search->submission, ids, open, 0, err);
    free(ids);
    return status;
}

static enum nero_status propose(struct search *search, struct search_lineage *lineage,
                                struct nero_err *err)
{
    const struct generation *previous = lineage->has_closed ? &lineage->closed.generation : NULL;
    struct hash previous_hash =
        lineage->has_closed ? lineage->closed.hash : search->run.record_hash;
    enum nero_status status = evolve_propose(
        &search->run, lineage->lineage, lineage->number, previous, previous_hash,
        lineage->has_parent ? &lineage->parent.outcome : NULL, &lineage->proposal, err);

    if (status != NERO_OK) {
        return status;
    }
    lineage->open = true;
    status = publish_jobs(search, lineage, err);
    if (status == NERO_OK) {
        status = generation_store_put(search->lead->store, search->lead->run_key,
                                      &lineage->proposal.generation, &lineage->proposed_hash, err);
    }
    if (status == NERO_OK) {
        status = enqueue_jobs(search, lineage->jobs, lineage->proposal.generation.member_count, err);
    }
    if (status != NERO_OK) {
        lineage_close_generation(lineage); /* proposed again by the next tick: the same bytes */
        return status;
    }
    if (search->listener != NULL && search->listener->proposed != NULL) {
        search->listener->proposed(search->listener->context, &lineage->proposal.generation);
    }
    return NERO_OK;
}

/* ---- a generation: evaluated ---- */

/*
 * One job: Redis tells cheaply whether it is still under way; the chain tells what became of it. A
 * job that Redis forgot and the chain has not decided is queued again; one that Redis gave up on
 * without a slot in the chain is ended there by us.
 */
static enum nero_status poll_job(struct search *search, struct search_job *job,
                                 struct nero_err *err)
{
    struct lead *lead = search->lead;
    enum nero_status status = queue_job_info(lead->queue, lead->run, &job->id, &job->info, err);
    bool dead = status == NERO_OK && strcmp(job->info.state, "dead") == 0;

    if (status == NERO_OK && !dead) {
        return NERO_OK;
    }
    if (status != NERO_OK && status != NERO_NOT_FOUND) {
        return status;
    }
    status = look_job(search, job, err);
    if (status == NERO_OK && !job->done && dead) {
        status = submission_terminate(&search->submission, &job->id, SLOT_FAILED, job->info.reason,
                                      err);
        if (status == NERO_OK || status == NERO_CONFLICT) {
            status = look_job(search, job, err);
        }
    } else if (status == NERO_OK && !job->done) {
        return submission_enqueue(&search->submission, &job->id, 1, 0, err);
    }
    if (status == NERO_OK && job->done) {
        status = queue_finish(lead->queue, lead->run, lead->epoch, &job->id, err);
    }
    return status;
}

static struct evolve_evaluation evaluation_of(const struct search_job *job)
{
    struct evolve_evaluation evaluation = {.failed = job->look.state != SUBMISSION_FINAL,
                                           .slot = job->look.slot,
                                           .outcome = &job->look.result.outcome};

    if (evaluation.failed) {
        evaluation.outcome = NULL;
        (void)snprintf(evaluation.text, sizeof evaluation.text, "%.*s",
                       (int)sizeof evaluation.text - 1, job->look.text);
    }
    return evaluation;
}

static enum nero_status poll_generation(struct search *search, struct search_lineage *lineage,
                                        bool *all_done, struct nero_err *err)
{
    const struct generation *generation = &lineage->proposal.generation;

    *all_done = true;
    for (uint32_t i = 0; i < generation->member_count; i++) {
        struct search_job *job = &lineage->jobs[i];

        if (!job->wanted || job->done) {
            continue;
        }
        if (poll_job(search, job, err) != NERO_OK) {
            return err->status;
        }
        if (!job->done) {
            *all_done = false;
        } else if (search->listener != NULL && search->listener->measured != NULL) {
            struct evolve_evaluation evaluation = evaluation_of(job);

            search->listener->measured(search->listener->context, generation, i, &evaluation);
        }
    }
    return NERO_OK;
}

/* ---- a generation: closed ---- */

static enum nero_status write_evaluated(struct search *search, struct search_lineage *lineage,
                                        struct generation *evaluated, struct hash *evaluated_hash,
                                        struct nero_err *err)
{
    uint32_t count = lineage->proposal.generation.member_count;
    struct evolve_evaluation *evaluations = mem_calloc(count, sizeof *evaluations);
    enum nero_status status;

    if (evaluations == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %" PRIu32 " evaluations", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (lineage->jobs[i].wanted) {
            evaluations[i] = evaluation_of(&lineage->jobs[i]);
        }
    }
    status = evolve_evaluate(&search->run, &lineage->proposal.generation, lineage->proposed_hash,
                             evaluations, evaluated, err);
    free(evaluations);
    if (status != NERO_OK) {
        return status;
    }
    status = generation_store_put(search->lead->store, search->lead->run_key, evaluated,
                                  evaluated_hash, err);
    if (status != NERO_OK) {
        generation_fini(evaluated);
    }
    return status;
}

static enum nero_status write_closed(struct search *search, const struct search_lineage *lineage,
                                     const struct generation *evaluated,
                                     struct hash evaluated_hash, struct nero_err *err)
{
    const struct generation *previous = lineage->has_closed ? &lineage->closed.generation : NULL;
    struct generation closed;
    struct hash closed_hash;
    enum nero_status status =
        evolve_close(&search->run, evaluated, evaluated_hash, previous, &closed, err);

    if (status == NERO_OK) {
        status = generation_store_put(search->lead->store, search->lead->run_key, &closed,
                                      &closed_hash, err);
        generation_fini(&closed);
    }
    return status;
}

static enum nero_status close_generation(struct search *search, struct search_lineage *lineage,
                                         struct nero_err *err)
{
    struct generation evaluated;
    struct hash evaluated_hash;
    uint32_t before = lineage->number;
    enum nero_status status =
        write_evaluated(search, lineage, &evaluated, &evaluated_hash, err);

    if (status == NERO_OK) {
        status = write_closed(search, lineage, &evaluated, evaluated_hash, err);
        generation_fini(&evaluated);
    }
    if (status != NERO_OK) {
        return err_wrap(err, "close generation %" PRIu32, lineage->number);
    }
    lineage_close_generation(lineage);
    status = load_lineage(search, lineage, err);
    if (status == NERO_OK && lineage->number > before && search->listener != NULL &&
        search->listener->closed != NULL) {
        search->listener->closed(search->listener->context, &lineage->closed.generation);
    }
    return status;
}

/* ---- the whole ---- */

static bool lineage_finished(const struct search *search, const struct search_lineage *lineage)
{
    return !lineage->open && lineage->number >= search->generations;
}

static enum nero_status tick_lineage(struct search *search, struct search_lineage *lineage,
                                     struct nero_err *err)
{
    bool all_done;

    if (lineage_finished(search, lineage)) {
        return NERO_OK;
    }
    if (!lineage->open && propose(search, lineage, err) != NERO_OK) {
        return err_wrap(err, "propose generation %" PRIu32, lineage->number);
    }
    if (poll_generation(search, lineage, &all_done, err) != NERO_OK) {
        return err_wrap(err, "generation %" PRIu32, lineage->number);
    }
    return all_done ? close_generation(search, lineage, err) : NERO_OK;
}

/* The run asks for its champion's test score: publish that job once all lineages are finished. */
static enum nero_status start_score(struct search *search, struct nero_err *err)
{
    uint32_t *closed = mem_calloc(search->lineage_count, sizeof *closed);
    struct submission_look look;
    struct champion champion;
    struct bytes spec;
    enum nero_status status;

    if (closed == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to find the champion");
    }
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        closed[i] = search->lineages[i].number;
    }
    status = champion_find(search->lead->store, search->trust, closed, search->lineage_count,
                           &champion, err);
    free(closed);
    if (status != NERO_OK || !champion.found) {
        search->no_champion = status == NERO_OK;
        return status;
    }
    bytes_init(&spec, JOB_BYTES_MAX);
    result_init(&look.result);
    status = submission_look(&search->submission,
                             &champion.closed.generation.members[champion.member].job, &look, err);
    if (status == NERO_OK && look.state == SUBMISSION_FINAL) {
        status = champion_score_spec(&search->run, &champion, &look.result.outcome, &spec, err);
        if (status == NERO_OK) {
            status = submission_publish(
                &search->submission, bytes_as_view(&spec),
                champion.closed.generation.members[champion.member].genotype, &search->last_job.id,
                err);
        }
        search->last_job.wanted = status == NERO_OK;
    }
    result_fini(&look.result);
    bytes_fini(&spec);
    champion_fini(&champion);
    return status == NERO_OK ? look_job_first(search, &search->last_job, err) : status;
}

/* Is a last job due that is not known yet? */
static bool wants_score(const struct search *search)
{
    return search->run.record->strategy != RUN_SINGLE && search->run.record->search.score_test &&
           !search->last_job.wanted && !search->no_champion;
}

static enum nero_status tick_last(struct search *search, struct nero_err *err)
{
    if (wants_score(search) && start_score(search, err) != NERO_OK) {
        return err_wrap(err, "test score of the champion");
    }
    if (search->last_job.wanted && !search->last_job.done) {
        return poll_job(search, &search->last_job, err);
    }
    return NERO_OK;
}

static bool lineages_finished(const struct search *search)
{
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        if (!lineage_finished(search, &search->lineages[i])) {
            return false;
        }
    }
    return true;
}

enum nero_status search_tick(struct search *search, struct nero_err *err)
{
    if (lineages_finished(search)) {
        return tick_last(search, err);
    }
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        if (tick_lineage(search, &search->lineages[i], err) != NERO_OK) {
            return search->lineage_count > 1 ? err_wrap(err, "lineage %" PRIu32, i) : err->status;
        }
    }
    return NERO_OK;
}

enum nero_status search_resubmit(struct search *search, struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    if (search->last_job.wanted) {
        return enqueue_jobs(search, &search->last_job, 1, err);
    }
    for (uint32_t i = 0; i < search->lineage_count && status == NERO_OK; i++) {
        struct search_lineage *lineage = &search->lineages[i];

        if (lineage->open) {
            status = enqueue_jobs(search, lineage->jobs, lineage->proposal.generation.member_count,
                                  err);
        }
    }
    return status;
}

bool search_finished(const struct search *search)
{
    return lineages_finished(search) && !wants_score(search) &&
           (!search->last_job.wanted || search->last_job.done);
}

uint32_t search_pending(const struct search *search, struct search_pending *out, uint32_t max)
{
    uint32_t count = 0;

    if (search->last_job.wanted && !search->last_job.done && max > 0) {
        out[count++] = (struct search_pending){
            .last = true, .job = search->last_job.id, .info = search->last_job.info};
    }
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        const struct search_lineage *lineage = &search->lineages[i];

        for (uint32_t j = 0; lineage->open && j < lineage->proposal.generation.member_count; j++) {
            const struct search_job *job = &lineage->jobs[j];

            if (job->wanted && !job->done && count < max) {
                out[count++] = (struct search_pending){.lineage = i,
                                                       .generation = lineage->number,
                                                       .member = j,
                                                       .job = job->id,
                                                       .info = job->info};
            }
        }
    }
    return count;
}

enum nero_status search_cancel(struct search *search, const char *why, struct nero_err *err)
{
    struct lead *lead = search->lead;
    struct search_pending *pending = mem_calloc(GENERATION_MEMBERS_MAX, sizeof *pending);
    uint32_t count;
    enum nero_status status = NERO_OK;

    if (pending == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to list the unfinished jobs");
    }
    /* A search just opened has not taken up its generations: that is what names their jobs. */
    for (uint32_t i = 0; i < search->lineage_count && status == NERO_OK; i++) {
        struct search_lineage *lineage = &search->lineages[i];

        if (!lineage->open && !lineage_finished(search, lineage)) {
            status = propose(search, lineage, err);
        }
    }
    count = search_pending(search, pending, GENERATION_MEMBERS_MAX);
    for (uint32_t i = 0; i < count && status == NERO_OK; i++) {
        bool leased;

        status = submission_terminate(&search->submission, &pending[i].job, SLOT_CANCELLED, why,
                                      err);
        if (status == NERO_OK || status == NERO_CONFLICT) {
            status = queue_cancel(lead->queue, lead->run, lead->epoch, &pending[i].job, &leased,
                                  err);
        }
    }
    free(pending);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "cancel run %s", lead->run);
}
