#include "nero/thread_team.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "nero/mem.h"
#include "nero/thread.h"

struct member {
    struct thread_team *team;
    uint32_t number;
    struct thread thread;
};

struct thread_team {
    struct thread_monitor monitor;
    uint32_t members;
    /* monitor */
    thread_team_fn *run;
    void *context;
    uint64_t round; /* runs begun so far */
    uint32_t busy;  /* members that have not ended the present one */
    bool ends;
    /* no monitor: the creating thread's */
    struct member others[]; /* members - 1 */
};

static void follow(void *context)
{
    struct member *member = context;
    struct thread_team *team = member->team;
    uint64_t done = 0;

    thread_monitor_enter(&team->monitor);
    for (;;) {
        thread_team_fn *run;
        void *run_context;

        while (team->round == done && !team->ends) {
            thread_monitor_wait(&team->monitor);
        }
        if (team->ends) {
            break;
        }
        done = team->round;
        run = team->run;
        run_context = team->context;
        thread_monitor_leave(&team->monitor);
        run(run_context, member->number);
        thread_monitor_enter(&team->monitor);
        if (--team->busy == 0) {
            thread_monitor_wake_all(&team->monitor);
        }
    }
    thread_monitor_leave(&team->monitor);
}

enum nero_status thread_team_create(const char *name, uint32_t members, struct thread_team **out,
                                    struct nero_err *err)
{
    struct thread_team *team = NULL;

    assert(members > 0);
    team = mem_calloc(1, sizeof(*team) + (size_t)(members - 1) * sizeof(team->others[0]));
    if (team == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a team of %u threads", members);
    }
    if (thread_monitor_init(&team->monitor, err) != NERO_OK) {
        free(team);
        return err->status;
    }
    team->members = members;
    for (uint32_t i = 0; i + 1 < members; i++) {
        struct member *member = &team->others[i];

        *member = (struct member){.team = team, .number = i + 1};
        if (thread_start(&member->thread, name, follow, member, err) != NERO_OK) {
            thread_team_destroy(team);
            return err->status;
        }
    }
    *out = team;
    return NERO_OK;
}

void thread_team_destroy(struct thread_team *team)
{
    if (team == NULL) {
        return;
    }
    thread_monitor_enter(&team->monitor);
    team->ends = true;
    thread_monitor_wake_all(&team->monitor);
    thread_monitor_leave(&team->monitor);
    for (uint32_t i = 0; i + 1 < team->members; i++) {
        thread_join(&team->others[i].thread);
    }
    thread_monitor_fini(&team->monitor);
    free(team);
}

uint32_t thread_team_members(const struct thread_team *team)
{
    return team->members;
}

void thread_team_run(struct thread_team *team, thread_team_fn *run, void *context)
{
    thread_monitor_enter(&team->monitor);
    assert(team->busy == 0);
    team->run = run;
    team->context = context;
    team->busy = team->members - 1;
    team->round++;
    thread_monitor_wake_all(&team->monitor);
    thread_monitor_leave(&team->monitor);
    run(context, 0);
    thread_monitor_enter(&team->monitor);
    while (team->busy > 0) {
        thread_monitor_wait(&team->monitor);
    }
    thread_monitor_leave(&team->monitor);
}
