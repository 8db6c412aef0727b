#include "job_set.h"

#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"

enum { JOB_SET_ROOM_MIN = 64 };

void job_set_fini(struct job_set *set)
{
    free(set->slots);
    memset(set, 0, sizeof *set);
}

/* Where the job is, or the free place where it belongs. Ids are hashes: their first bits spread. */
static struct hash *find(struct hash *slots, uint64_t room, const struct hash *job)
{
    static const struct hash none;
    uint64_t at = bytes_get_u64le(job->data) & (room - 1);

    while (!hash_equal(&slots[at], &none) && !hash_equal(&slots[at], job)) {
        at = (at + 1) & (room - 1);
    }
    return &slots[at];
}

static enum nero_status grow(struct job_set *set, struct nero_err *err)
{
    uint64_t room = set->room > 0 ? 2 * set->room : JOB_SET_ROOM_MIN;
    struct hash *slots = mem_calloc(room, sizeof *slots);

    if (slots == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a set of jobs");
    }
    for (uint64_t i = 0; i < set->room; i++) {
        *find(slots, room, &set->slots[i]) = set->slots[i];
    }
    free(set->slots);
    set->slots = slots;
    set->room = room;
    return NERO_OK;
}

enum nero_status job_set_add(struct job_set *set, const struct hash *job, bool *reused,
                             struct nero_err *err)
{
    struct hash *slot;

    if (2 * (set->named - set->reused + 1) > set->room && grow(set, err) != NERO_OK) {
        return err->status;
    }
    slot = find(set->slots, set->room, job);
    *reused = hash_equal(slot, job);
    *slot = *job;
    set->named++;
    set->reused += *reused;
    return NERO_OK;
}

enum nero_status job_set_add_generation(struct job_set *set, const struct generation *generation,
                                        struct nero_err *err)
{
    for (uint32_t i = 0; i < generation->member_count; i++) {
        bool reused;

        if (generation->members[i].has_job &&
            job_set_add(set, &generation->members[i].job, &reused, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}
