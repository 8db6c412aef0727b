#include "sim_failing.h"

#include <assert.h>

#include "fiber.h"
#include "nero/queue.h"
#include "sim_fault.h"

enum { JOBS_MAX = 512, UNIT_PERCENT = 20 };

/* A job that has done a unit. */
struct failing {
    struct hash job;
    uint32_t count;
    uint32_t most;
};

static struct {
    int64_t until_ns;
    uint32_t for_good; /* so many jobs are still to fail for good */
    struct failing jobs[JOBS_MAX];
    uint32_t job_count;
} all;

void sim_failing_until(int64_t until_ns)
{
    all.until_ns = until_ns;
}

void sim_failing_for_good(void)
{
    all.for_good++;
}

static struct failing *find(const struct hash *job)
{
    for (uint32_t i = 0; i < all.job_count; i++) {
        if (hash_equal(&all.jobs[i].job, job)) {
            return &all.jobs[i];
        }
    }
    return NULL;
}

static struct failing *find_or_add(const struct hash *job)
{
    struct failing *found = find(job);

    if (found == NULL) {
        assert(all.job_count < JOBS_MAX);
        found = &all.jobs[all.job_count++];
        *found = (struct failing){.job = *job, .most = QUEUE_FAILURES_MAX - 1};
    }
    return found;
}

bool sim_failing_unit(const struct hash *job)
{
    struct failing *failing = find_or_add(job);
    bool fails;

    if (fiber_now_ns() >= sim_fault_stop_ns()) {
        return false;
    }
    if (sim_fault_sweeps_unit()) {
        failing->most = QUEUE_FAILURES_MAX;
    } else if (all.for_good > 0 && failing->most < QUEUE_FAILURES_MAX) {
        all.for_good--;
        failing->most = QUEUE_FAILURES_MAX;
    }
    fails = failing->count < failing->most &&
            (failing->most == QUEUE_FAILURES_MAX ||
             (fiber_now_ns() < all.until_ns && fiber_chance(UNIT_PERCENT)));
    failing->count += fails;
    if (fails) {
        sim_fault_hit(failing->most == QUEUE_FAILURES_MAX ? SIM_POINT_GIVEN_UP : SIM_POINT_UNIT);
    }
    return fails;
}

uint32_t sim_failing_count(const struct hash *job)
{
    const struct failing *found = find(job);

    return found != NULL ? found->count : 0;
}
