/*
 * Goal: in every run of a team each member is called once, all at one time, and what one wrote is
 * there for all in the next. Method: members that wait for each other within a run; rounds in which
 * each reads what its neighbour wrote in the round before, without a lock; failing allocations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nero/mem.h"
#include "nero/thread.h"
#include "nero/thread_team.h"

enum { MEMBERS_MAX = 4, ROUNDS = 3000 };

struct rounds {
    uint32_t members;
    uint64_t round;
    uint64_t sum[2][MEMBERS_MAX]; /* by parity of the round: its own and the neighbour's before */
};

static void add_neighbour(void *context, uint32_t member)
{
    struct rounds *rounds = context;
    const uint64_t *before = rounds->sum[(rounds->round + 1) % 2];

    rounds->sum[rounds->round % 2][member] =
        before[member] + 3 * before[(member + 1) % rounds->members] + rounds->round;
}

static void test_thread_team__each_round_sees_the_one_before(void **state)
{
    struct rounds by_count[MEMBERS_MAX];

    (void)state;
    for (uint32_t members = 1; members <= MEMBERS_MAX; members++) {
        struct rounds *rounds = &by_count[members - 1];
        struct rounds expected = {.members = members};
        struct thread_team *team;
        struct nero_err err;

        *rounds = expected;
        assert_int_equal(thread_team_create("test", members, &team, &err), NERO_OK);
        assert_int_equal(thread_team_members(team), members);
        for (uint64_t r = 0; r < ROUNDS; r++) {
            rounds->round = expected.round = r;
            thread_team_run(team, add_neighbour, rounds);
            for (uint32_t m = 0; m < members; m++) {
                add_neighbour(&expected, m);
            }
        }
        thread_team_destroy(team);
        assert_memory_equal(rounds, &expected, sizeof(expected));
    }
}

struct meeting {
    struct thread_monitor monitor;
    uint32_t here; /* monitor */
};

/* Returns only when all members are in it: none waits for another's end. */
static void meet(void *context, uint32_t member)
{
    struct meeting *meeting = context;

    (void)member;
    thread_monitor_enter(&meeting->monitor);
    meeting->here++;
    thread_monitor_wake_all(&meeting->monitor);
    while (meeting->here < MEMBERS_MAX) {
        thread_monitor_wait(&meeting->monitor);
    }
    thread_monitor_leave(&meeting->monitor);
}

static void test_thread_team__members_run_at_one_time(void **state)
{
    struct meeting meeting = {.here = 0};
    struct thread_team *team;
    struct nero_err err;

    (void)state;
    assert_int_equal(thread_monitor_init(&meeting.monitor, &err), NERO_OK);
    assert_int_equal(thread_team_create("test", MEMBERS_MAX, &team, &err), NERO_OK);
    thread_team_run(team, meet, &meeting);
    assert_int_equal(meeting.here, MEMBERS_MAX);
    thread_team_destroy(team);
    thread_monitor_fini(&meeting.monitor);
}

static void test_thread_team__no_memory_is_told(void **state)
{
    struct thread_team *team = NULL;
    struct nero_err err;

    (void)state;
    mem_fail_plan(0, 1);
    assert_int_equal(thread_team_create("test", 2, &team, &err), NERO_NO_MEMORY);
    mem_fail_plan(0, 0);
    assert_null(team);
    thread_team_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_team__each_round_sees_the_one_before),
        cmocka_unit_test(test_thread_team__members_run_at_one_time),
        cmocka_unit_test(test_thread_team__no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
