#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/layout.h"
#include "nero/log.h"
#include "nero/mem.h"
#include "nero/run.h"

#include "amendment.h"
#include "dataset_store.h"
#include "search_state.h"

static void job_fini(struct search_job *job)
{
    result_fini(&job->look.result);
}

/* The members whose jobs are waited for. */
static const struct generation *waited_for(const struct search_lineage *lineage)
{
    return lineage->extending ? &lineage->extension.generation : &lineage->proposal.generation;
}

static void lineage_close_generation(struct search_lineage *lineage)
{
    for (uint32_t i = 0; lineage->jobs != NULL && i < waited_for(lineage)->member_count; i++) {
        job_fini(&lineage->jobs[i]);
    }
    free(lineage->jobs);
    lineage->jobs = NULL;
    if (lineage->extending) {
        evolve_proposal_fini(&lineage->extension);
        generation_fini(&lineage->evaluated);
        lineage->extending = false;
    }
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
    enum nero_status status = submission_look(&search->submission, &job->id, NULL, &job->look, err);

    job->done = status == NERO_OK &&
                (job->look.state == SUBMISSION_FINAL || job->look.state == SUBMISSION_FAILED);
    if (status == NERO_OK && job->look.state == SUBMISSION_CANCELLED) {
        return err_set(err, NERO_CANCELLED, 0, "run %s was cancelled: %s", search->lead->run,
                       job->look.text);
    }
    return status;
}

/* Look whether the job was decided before: by an earlier scheduler, or as equal work. */
enum nero_status search_look_first(struct search *search, struct search_job *job,
                                   struct nero_err *err)
{
    enum nero_status status = look_job(search, job, err);

    if (status == NERO_CANCELLED && search->reopen) {
        status = submission_terminate(&search->submission, &job->id, search->lead->epoch,
                                      SLOT_REOPENED, "resumed", err);
        return status == NERO_OK || status == NERO_CONFLICT /* another did */
                   ? look_job(search, job, err)
                   : status;
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
    status = submission_look(&search->submission, &selected->job,
                             selected->has_slot ? &selected->slot : NULL, &look, err);
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

/* Find the last closed generation of a lineage and make its successor the next one. After a failure
 * half of that is done: the lineage stays not loaded, and this is called again. */
static enum nero_status load_lineage(struct search *search, struct search_lineage *lineage,
                                     struct nero_err *err)
{
    lineage->loaded = false;
    for (;;) {
        struct generation_stored stored;
        enum nero_status status = generation_store_get(
            search->lead->store, search->trust, search->lead->run, lineage->lineage,
            lineage->number, GENERATION_CLOSED, &stored, err);

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
    if (lineage->has_closed && load_parent(search, lineage, err) != NERO_OK) {
        return err->status;
    }
    lineage->loaded = true;
    return NERO_OK;
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
        search->lineages[i].told = search->lineages[i].number;
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
    return search_look_first(search, &search->last_job, err);
}

static enum nero_status read_end(struct search *search, struct nero_err *err)
{
    struct amendment_list amendments;
    enum nero_status status =
        amendment_list_read(search->lead->store, search->trust, &amendments, err);

    if (status == NERO_OK) {
        search->generations = amendment_end(&amendments);
        amendment_list_fini(&amendments);
    }
    return status;
}

static enum nero_status open_run(struct search *search, struct nero_err *err)
{
    const struct run_record *record;
    struct run_dataset dataset;

    if (trust_open(search->lead->store, search->lead->run, search->lead->root, &search->trust,
                   err) != NERO_OK) {
        return err->status;
    }
    submission_init(&search->submission, search->lead, search->trust);
    record = trust_run(search->trust);
    if (memcmp(record->run_key.data, search->lead->run_key->public_key.data, KEY_PUBLIC_BYTES) !=
        0) {
        return err_set(err, NERO_INVALID, 0, "the key of run %s is not the one in the bucket",
                       search->lead->run);
    }
    search->run.record = record;
    search->run.record_hash = trust_run_hash(search->trust);
    if (record->strategy == RUN_SINGLE) {
        return submission_load(&search->submission, err) == NERO_OK ? open_single(search, err)
                                                                    : err->status;
    }
    if (dataset_store_get(search->lead->store, &record->protocol.dataset, &dataset, err) !=
            NERO_OK ||
        read_end(search, err) != NERO_OK ||
        grammar_parse("run record's grammar", record->grammar, &search->grammar, err) != NERO_OK) {
        return err->status;
    }
    search->run.grammar = &search->grammar;
    search->run.channels = dataset.channels;
    search->run.height = dataset.height;
    search->run.width = dataset.width;
    search->run.classes = dataset.classes;
    search->run.test_count = dataset.test_count;
    return submission_load(&search->submission, err) == NERO_OK ? open_lineages(search, err)
                                                                : err->status;
}

enum nero_status search_open(struct lead *lead, bool reopen, const struct search_listener *listener,
                             struct search **out, struct nero_err *err)
{
    struct search *search = mem_calloc(1, sizeof *search);

    if (search == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a search");
    }
    search->lead = lead;
    search->listener = listener;
    search->reopen = reopen;
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

/* Empty entries for the members from `first` on. */
static enum nero_status grow_jobs(struct search_lineage *lineage, uint32_t first, uint32_t count,
                                  struct nero_err *err)
{
    struct search_job *jobs = mem_realloc_array(lineage->jobs, count, sizeof *jobs);

    if (jobs == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a generation's jobs");
    }
    memset(jobs + first, 0, (count - first) * sizeof *jobs);
    for (uint32_t i = first; i < count; i++) {
        result_init(&jobs[i].look.result);
    }
    lineage->jobs = jobs;
    return NERO_OK;
}

/* Publish the jobs of the members from `first` on, and look whether they were decided before. */
static enum nero_status publish_jobs(struct search *search, struct search_job *jobs,
                                     const struct evolve_proposal *proposal, uint32_t first,
                                     struct nero_err *err)
{
    const struct generation *generation = &proposal->generation;

    for (uint32_t i = first; i < generation->member_count; i++) {
        struct search_job *job = &jobs[i];

        job->wanted = generation->members[i].has_job;
        job->id = generation->members[i].job;
        /* No spec: a parent that is not trained again stands for its former job. */
        if (job->wanted && proposal->specs[i].bytes > 0 &&
            submission_publish(&search->submission, bytes_as_view(&proposal->specs[i]),
                               bytes_as_view(&proposal->genotypes[i]), &job->id, err) != NERO_OK) {
            return err->status;
        }
        if (job->wanted && search_look_first(search, job, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

/* Submit the unfinished jobs of a generation. */
static enum nero_status submit_jobs(struct search *search, struct search_job *jobs, uint32_t count,
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
    status = submission_record(&search->submission, ids, open, err);
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
    status = grow_jobs(lineage, 0, lineage->proposal.generation.member_count, err);
    if (status == NERO_OK) {
        status = publish_jobs(search, lineage->jobs, &lineage->proposal, 0, err);
    }
    if (status == NERO_OK) {
        status = generation_store_put(search->lead->store, search->lead->run_key,
                                      &lineage->proposal.generation, &lineage->proposed_hash, err);
    }
    if (status == NERO_OK) {
        status = submit_jobs(search, lineage->jobs, lineage->proposal.generation.member_count, err);
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
 * job that Redis forgot and the chain has not decided waits to be queued again; one that Redis gave
 * up on without a slot in the chain is ended there by us.
 */
enum nero_status search_poll(struct search *search, struct search_job *job, struct nero_err *err)
{
    struct lead *lead = search->lead;
    enum nero_status status;
    bool dead;

    if (submission_waits(&search->submission, &job->id)) {
        return NERO_OK;
    }
    status = queue_job_info(lead->queue, lead->run, &job->id, &job->info, err);
    dead = status == NERO_OK && strcmp(job->info.state, "dead") == 0;
    if (status == NERO_OK && !dead) {
        return NERO_OK;
    }
    if (status != NERO_OK && status != NERO_NOT_FOUND) {
        return status;
    }
    status = look_job(search, job, err);
    if (status == NERO_OK && !job->done && dead) {
        status = submission_terminate(&search->submission, &job->id, search->lead->epoch,
                                      SLOT_FAILED, job->info.reason, err);
        if (status == NERO_OK || status == NERO_CONFLICT) {
            status = look_job(search, job, err);
        }
    } else if (status == NERO_OK && !job->done) {
        submission_lost(&search->submission, &job->id);
        return submission_record(&search->submission, &job->id, 1, err); /* a last job: new */
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
                                        struct nero_err *err)
{
    const struct generation *generation = waited_for(lineage);

    for (uint32_t i = 0; i < generation->member_count; i++) {
        struct search_job *job = &lineage->jobs[i];

        if (!job->wanted || job->done) {
            continue;
        }
        if (search_poll(search, job, err) != NERO_OK) {
            return err->status;
        }
        if (job->done && search->listener != NULL && search->listener->measured != NULL) {
            struct evolve_evaluation evaluation = evaluation_of(job);

            search->listener->measured(search->listener->context, generation, i, &evaluation);
        }
    }
    return NERO_OK;
}

/* ---- a generation: extended and closed ---- */

/* Of the members whose jobs are waited for; free(). */
static enum nero_status gather(const struct search_lineage *lineage, struct evolve_evaluation **out,
                               struct nero_err *err)
{
    uint32_t count = waited_for(lineage)->member_count;
    struct evolve_evaluation *evaluations = mem_calloc(count, sizeof *evaluations);

    if (evaluations == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %" PRIu32 " evaluations", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (lineage->jobs[i].wanted) {
            evaluations[i] = evaluation_of(&lineage->jobs[i]);
        }
    }
    *out = evaluations;
    return NERO_OK;
}

static enum nero_status write_evaluated(struct search *search, struct search_lineage *lineage,
                                        const struct evolve_evaluation *evaluations,
                                        struct generation *evaluated, struct hash *evaluated_hash,
                                        struct nero_err *err)
{
    enum nero_status status = evolve_evaluate(&search->run, &lineage->proposal.generation,
                                              lineage->proposed_hash, evaluations, evaluated, err);

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
                                     const struct generation *last, struct hash last_hash,
                                     const struct evolve_evaluation *evaluations,
                                     struct nero_err *err)
{
    const struct generation *previous = lineage->has_closed ? &lineage->closed.generation : NULL;
    struct generation closed;
    struct hash closed_hash;
    enum nero_status status =
        evolve_close(&search->run, last, last_hash, evaluations, previous, &closed, err);

    if (status == NERO_OK) {
        status = generation_store_put(search->lead->store, search->lead->run_key, &closed,
                                      &closed_hash, err);
        generation_fini(&closed);
    }
    return status;
}

/*
 * Some members train on before one is selected: publish and queue their jobs. Owns: takes
 * *evaluated and *extension. On failure the generation is proposed and evaluated again by the next
 * tick: the same bytes.
 */
static enum nero_status start_extension(struct search *search, struct search_lineage *lineage,
                                        struct generation *evaluated,
                                        struct evolve_proposal *extension, struct nero_err *err)
{
    uint32_t first = evaluated->member_count;
    uint32_t count = extension->generation.member_count;
    enum nero_status status = grow_jobs(lineage, first, count, err);

    if (status != NERO_OK) {
        evolve_proposal_fini(extension);
        generation_fini(evaluated);
        return status;
    }
    lineage->evaluated = *evaluated;
    lineage->extension = *extension;
    lineage->extending = true;
    status = publish_jobs(search, lineage->jobs, &lineage->extension, first, err);
    if (status == NERO_OK) {
        status =
            generation_store_put(search->lead->store, search->lead->run_key,
                                 &lineage->extension.generation, &lineage->extending_hash, err);
    }
    if (status == NERO_OK) {
        status = submit_jobs(search, lineage->jobs + first, count - first, err);
    }
    if (status == NERO_OK && search->listener != NULL && search->listener->proposed != NULL) {
        search->listener->proposed(search->listener->context, &lineage->extension.generation);
    }
    return status;
}

/* All proposed jobs are done: write EVALUATED, then extend or close. */
static enum nero_status end_evaluation(struct search *search, struct search_lineage *lineage,
                                       const struct evolve_evaluation *evaluations,
                                       struct nero_err *err)
{
    struct evolve_proposal extension;
    struct generation evaluated;
    struct hash hash;
    enum nero_status status = write_evaluated(search, lineage, evaluations, &evaluated, &hash, err);

    if (status != NERO_OK) {
        return status;
    }
    status = evolve_extend(&search->run, &evaluated, hash, evaluations, &extension, err);
    if (status == NERO_OK && extension.generation.member_count > 0) {
        return start_extension(search, lineage, &evaluated, &extension, err);
    }
    if (status == NERO_OK) {
        status = write_closed(search, lineage, &evaluated, hash, NULL, err);
    }
    generation_fini(&evaluated);
    return status;
}

static enum nero_status load_closed(struct search *search, struct search_lineage *lineage,
                                    struct nero_err *err)
{
    enum nero_status status;

    lineage_close_generation(lineage);
    status = load_lineage(search, lineage, err);
    if (status == NERO_OK && lineage->number > lineage->told) {
        lineage->told = lineage->number;
        if (search->listener != NULL && search->listener->closed != NULL) {
            search->listener->closed(search->listener->context, &lineage->closed.generation);
        }
    }
    return status;
}

/* Failed jobs may have been reopened since: then they are waited for again. */
static enum nero_status look_at_failed(struct search *search, struct search_lineage *lineage,
                                       struct nero_err *err)
{
    for (uint32_t i = 0; i < waited_for(lineage)->member_count; i++) {
        struct search_job *job = &lineage->jobs[i];

        if (job->wanted && job->look.state == SUBMISSION_FAILED &&
            look_job(search, job, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

/* All jobs that are waited for are done. */
static enum nero_status advance(struct search *search, struct search_lineage *lineage,
                                struct nero_err *err)
{
    struct evolve_evaluation *evaluations = NULL;
    bool extended = lineage->extending;
    enum nero_status status = extended ? NERO_OK : search_look_as_recorded(search, lineage, err);

    if (status == NERO_OK) {
        status = gather(lineage, &evaluations, err);
    }
    if (status == NERO_OK) {
        status = extended ? write_closed(search, lineage, &lineage->extension.generation,
                                         lineage->extending_hash, evaluations, err)
                          : end_evaluation(search, lineage, evaluations, err);
        free(evaluations);
    }
    if (status != NERO_OK) {
        if (lineage->extending && !extended) {
            lineage_close_generation(lineage); /* half done: to be proposed again */
        }
        return err_wrap(err, "close generation %" PRIu32, lineage->number);
    }
    return lineage->extending && !extended ? NERO_OK : load_closed(search, lineage, err);
}

/* ---- the whole ---- */

static bool all_done(const struct search_lineage *lineage)
{
    for (uint32_t i = 0; i < waited_for(lineage)->member_count; i++) {
        if (lineage->jobs[i].wanted && !lineage->jobs[i].done) {
            return false;
        }
    }
    return true;
}

static bool lineage_finished(const struct search *search, const struct search_lineage *lineage)
{
    return lineage->loaded && !lineage->open && lineage->number >= search->generations;
}

static enum nero_status tick_lineage(struct search *search, struct search_lineage *lineage,
                                     struct nero_err *err)
{
    if (!lineage->loaded && load_closed(search, lineage, err) != NERO_OK) {
        return err_wrap(err, "read what was closed");
    }
    if (lineage_finished(search, lineage)) {
        return NERO_OK;
    }
    if (!lineage->open && propose(search, lineage, err) != NERO_OK) {
        return err_wrap(err, "propose generation %" PRIu32, lineage->number);
    }
    if (poll_generation(search, lineage, err) != NERO_OK) {
        return err_wrap(err, "generation %" PRIu32, lineage->number);
    }
    if (all_done(lineage) && look_at_failed(search, lineage, err) != NERO_OK) {
        return err_wrap(err, "generation %" PRIu32, lineage->number);
    }
    return all_done(lineage) ? advance(search, lineage, err) : NERO_OK;
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

static enum nero_status tick_jobs(struct search *search, struct nero_err *err)
{
    if (lineages_finished(search)) {
        return search_last_tick(search, err);
    }
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        if (tick_lineage(search, &search->lineages[i], err) != NERO_OK) {
            return search->lineage_count > 1 ? err_wrap(err, "lineage %" PRIu32, i) : err->status;
        }
    }
    return NERO_OK;
}

enum nero_status search_tick(struct search *search, struct nero_err *err)
{
    enum nero_status status = tick_jobs(search, err);

    return status == NERO_OK ? submission_fill(&search->submission, err) : status;
}

enum nero_status search_meet(struct search *search, struct nero_err *err)
{
    return submission_meet(&search->submission, err);
}

bool search_finished(const struct search *search)
{
    return lineages_finished(search) && !search_last_wanted(search) &&
           (!search->last_job.wanted || search->last_job.done);
}

/* To be waited for still. Equal candidates are one job: it is told for the first of them. */
static bool is_pending(const struct search_job *jobs, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (jobs[i].wanted && hash_equal(&jobs[i].id, &jobs[index].id)) {
            return false;
        }
    }
    return jobs[index].wanted && !jobs[index].done;
}

uint32_t search_pending(const struct search *search, struct search_pending *out, uint32_t max)
{
    uint32_t count = 0;

    if (is_pending(&search->last_job, 0) && max > 0) {
        out[count++] = (struct search_pending){
            .last = true, .job = search->last_job.id, .info = search->last_job.info};
    }
    for (uint32_t i = 0; i < search->lineage_count; i++) {
        const struct search_lineage *lineage = &search->lineages[i];

        for (uint32_t j = 0; lineage->open && j < waited_for(lineage)->member_count; j++) {
            if (count < max && is_pending(lineage->jobs, j)) {
                out[count++] =
                    (struct search_pending){.lineage = i,
                                            .generation = lineage->number,
                                            .member = j,
                                            .origin = waited_for(lineage)->members[j].origin,
                                            .job = lineage->jobs[j].id,
                                            .info = lineage->jobs[j].info};
            }
        }
    }
    return count;
}

/* The bucket first: whatever becomes of this process, nobody works on the job again. */
static enum nero_status cancel_job(struct search *search, const struct search_job *jobs,
                                   uint32_t index, const char *why, struct nero_err *err)
{
    struct lead *lead = search->lead;
    enum nero_status status = NERO_OK;

    if (is_pending(jobs, index)) {
        status = submission_terminate(&search->submission, &jobs[index].id, lead->epoch,
                                      SLOT_CANCELLED, why, err);
        if (status == NERO_OK || status == NERO_CONFLICT) { /* ended already */
            status = queue_cancel(lead->queue, lead->run, lead->epoch, &jobs[index].id, NULL, err);
        }
    }
    return status;
}

enum nero_status search_cancel(struct search *search, const char *why, struct nero_err *err)
{
    enum nero_status status = cancel_job(search, &search->last_job, 0, why, err);

    for (uint32_t i = 0; i < search->lineage_count && status == NERO_OK; i++) {
        struct search_lineage *lineage = &search->lineages[i];

        /* A search just opened has not taken up its generations: that is what names their jobs. */
        if (!lineage->loaded) {
            status = load_closed(search, lineage, err);
        }
        if (status == NERO_OK && !lineage->open && !lineage_finished(search, lineage)) {
            status = propose(search, lineage, err);
        }
        if (status == NERO_OK && lineage->open && !lineage->extending && all_done(lineage)) {
            status = advance(search, lineage, err); /* perhaps to jobs that train on */
        }
        for (uint32_t j = 0;
             status == NERO_OK && lineage->open && j < waited_for(lineage)->member_count; j++) {
            status = cancel_job(search, lineage->jobs, j, why, err);
        }
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "cancel run %s", search->lead->run);
}
