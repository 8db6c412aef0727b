#include "search_state.h"

/* `retry` may open a failed job again in the moment in which its failure is recorded. */
enum nero_status search_look_as_recorded(struct search *search, struct search_lineage *lineage,
                                         struct nero_err *err)
{
    struct generation_stored stored;
    enum nero_status status =
        generation_store_get(search->lead->store, search->trust, search->lead->run,
                             lineage->lineage, lineage->number, GENERATION_EVALUATED, &stored, err);

    if (status != NERO_OK) {
        return status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    for (uint32_t i = 0; i < stored.generation.member_count && status == NERO_OK; i++) {
        const struct generation_member *member = &stored.generation.members[i];
        struct search_job *job = &lineage->jobs[i];

        if (i < lineage->proposal.generation.member_count && member->has_slot && job->wanted) {
            status = submission_look(&search->submission, &job->id, &member->slot, &job->look, err);
        }
    }
    generation_stored_fini(&stored);
    return status;
}
