#include "search_state.h"

#include <stdlib.h>

#include "champion.h"
#include "nero/mem.h"

/* The run asks for its champion's test score: publish that job once all lineages are finished. */
static enum nero_status start_score(struct search *search, struct nero_err *err)
{
    uint32_t *closed = mem_calloc(search->lineage_count, sizeof *closed);
    const struct generation_member *member;
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
    member = &champion.closed.generation.members[champion.member];
    status = submission_look(&search->submission, &member->job,
                             member->has_slot ? &member->slot : NULL, &look, err);
    if (status == NERO_OK && look.state == SUBMISSION_FINAL) {
        status = champion_score_spec(&search->run, &champion, &look.result.outcome, &spec, err);
        if (status == NERO_OK) {
            status = submission_publish(&search->submission, bytes_as_view(&spec), member->genotype,
                                        &search->last_job.id, err);
        }
        search->last_job.wanted = status == NERO_OK;
    }
    result_fini(&look.result);
    bytes_fini(&spec);
    champion_fini(&champion);
    return status == NERO_OK ? search_look_first(search, &search->last_job, err) : status;
}

bool search_last_wanted(const struct search *search)
{
    return search->run.record->strategy != RUN_SINGLE && search->run.record->search.score_test &&
           !search->last_job.wanted && !search->no_champion;
}

enum nero_status search_last_tick(struct search *search, struct nero_err *err)
{
    if (search_last_wanted(search) && start_score(search, err) != NERO_OK) {
        return err_wrap(err, "test score of the champion");
    }
    if (search->last_job.wanted && !search->last_job.done) {
        return search_poll(search, &search->last_job, err);
    }
    return NERO_OK;
}
