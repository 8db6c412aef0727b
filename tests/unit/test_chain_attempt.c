/*
 * Goal: attempt mode keeps what queue/DESIGN.md says of it: rows of single writers, nothing
 * overwritten, the same choice by every reader, zombies that stop once they see, forks that do no
 * harm. Method: attempts by hand, slots put behind a chain's back as an attempt in the window
 * would, every call of the store failing in turn, and races of threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/rng.h"
#include "nero/thread.h"
#include "tests/support/chain_world.h"

/* What an attempt that has not seen the others puts behind them: a fork. */
static struct hash fork_off(const struct actor *actor, enum slot_kind kind, uint64_t number,
                            const struct hash *prev)
{
    struct slot slot = slot_of(actor, kind);
    struct trust *reader = chain_world_trust();
    struct chain *chain;
    struct hash hash = {.data = {0}};

    memcpy(slot.run, CHAIN_WORLD_RUN, sizeof CHAIN_WORLD_RUN);
    slot.job = world.job;
    slot.wall_ms = clock_wall_ms(clock_system());
    slot.number = number;
    slot.prev = *prev;
    chain_world_put(&slot, actor->key);
    chain = chain_world_open(reader);
    for (uint64_t i = 0; i < chain_count(chain); i++) {
        const struct chain_entry *entry = chain_at(chain, i);

        if (entry->valid && entry->slot.token == actor->token &&
            entry->slot.nonce == actor->nonce && entry->number == number) {
            hash = entry->hash;
        }
    }
    chain_close(chain);
    trust_close(reader);
    return hash;
}

static void end(struct actor *actor)
{
    chain_close(actor->chain);
}

static void test_chain_attempt__an_attempt_has_a_row(void **state)
{
    struct actor a = actor_of(0x500000009, 0xabc, 0);
    const struct chain_entry *entry;
    char key[LAYOUT_KEY_BYTES];
    struct hash job = hash_of(bytes_as_view(&world.envelope));

    (void)state;
    REFUSED(NERO_INVALID, commit(&a, 3)); /* not taken over */
    OK(take_over(&a));
    OK(commit(&a, 3));
    OK(commit(&a, 6));
    OK(append(&a, SLOT_FINAL));
    chain_is("TCCF");
    assert_true(hash_equal(&chain_at(a.chain, 0)->slot.prev, &job));
    entry = chain_terminal(a.chain);
    assert_int_equal(entry->number, 3);
    chain_key(a.chain, entry, key);
    assert_non_null(strstr(key, "/m/0000000500000009-0000000000000abc/0000000003"));
    assert_ptr_equal(chain_find(a.chain, &entry->hash), entry);
    layout_slot(key, CHAIN_WORLD_RUN, &world.job, 0);
    REFUSED(NERO_NOT_FOUND, storage_head(world.store, key, NULL, E));
    REFUSED(NERO_CONFLICT, commit(&a, 9));
    REFUSED(NERO_CONFLICT, take_over(&a));
    REFUSED(NERO_CONFLICT, by_scheduler(SLOT_CANCELLED));
    REFUSED(NERO_CONFLICT, by_scheduler(SLOT_REOPENED));
    end(&a);
}

/* The next continues the checkpoint of the most units, whoever wrote it, and names it. */
static void test_chain_attempt__a_takeover_continues_the_most_work(void **state)
{
    struct actor a = actor_of(1, 10, 0);
    struct actor b = actor_of(2, 20, 1);
    struct actor c = actor_of(3, 30, 2);
    const struct chain_entry *best;
    const struct chain_entry *next;

    (void)state;
    OK(take_over(&a));
    OK(commit(&a, 5));
    OK(take_over(&b));
    OK(commit(&b, 4)); /* began again */
    OK(take_over(&c));
    best = chain_checkpoint(c.chain, NULL);
    assert_int_equal(best->slot.token, 1);
    assert_true(hash_equal(&chain_tail(c.chain)->slot.prev, &best->hash));
    next = chain_checkpoint(c.chain, best);
    assert_int_equal(next->slot.token, 2);
    assert_null(chain_checkpoint(c.chain, next));
    OK(commit(&c, 5)); /* as far: of two the higher token */
    assert_int_equal(chain_checkpoint(c.chain, NULL)->slot.token, 3);
    chain_is("TCTCTC");
    end(&a);
    end(&b);
    end(&c);
}

static void test_chain_attempt__a_zombie_stops_when_it_sees(void **state)
{
    struct actor a = actor_of(1, 10, 0);
    struct actor b = actor_of(2, 20, 1);
    struct actor twin = actor_of(2, 21, 2);

    (void)state;
    OK(take_over(&a));
    OK(take_over(&b));
    REFUSED(NERO_STALE, commit(&a, 5));
    REFUSED(NERO_STALE, take_over(&a));
    REFUSED(NERO_STALE, take_over(&twin)); /* an equal token with another nonce */
    OK(commit(&b, 5));
    OK(append(&b, SLOT_FINAL));
    REFUSED(NERO_CONFLICT, append(&a, SLOT_FINAL));
    chain_is("TTCF");
    end(&a);
    end(&b);
    end(&twin);
}

/* In the window between look and put: both finals are there, and all choose the higher token's. */
static void test_chain_attempt__forks_are_legal(void **state)
{
    struct actor a = actor_of(1, 10, 0);
    struct actor b = actor_of(2, 20, 1);
    struct hash first;
    struct hash late;

    (void)state;
    OK(take_over(&a));
    OK(commit(&a, 5));
    first = chain_tail(a.chain)->hash;
    OK(take_over(&b));
    OK(append(&b, SLOT_FINAL));
    late = fork_off(&a, SLOT_FINAL, 2, &first);
    chain_is("TCFTF");
    OK(chain_refresh(b.chain, E));
    assert_int_equal(chain_terminal(b.chain)->slot.token, 2);
    assert_true(chain_find(b.chain, &late)->valid); /* a record that accepted it finds it */
    end(&a);
    end(&b);
}

static void test_chain_attempt__which_end_is_in_force(void **state)
{
    struct actor a = actor_of(1, 10, 0);
    struct actor b = actor_of(2, 20, 1);
    struct hash tail;

    (void)state;
    OK(take_over(&a));
    tail = chain_tail(a.chain)->hash;
    OK(take_over(&b));
    (void)fork_off(&a, SLOT_FAILED, 1, &tail); /* overtaken: does not end b's attempt */
    OK(commit(&b, 2));
    assert_null(chain_terminal(b.chain));
    OK(by_scheduler(SLOT_CANCELLED));
    REFUSED(NERO_CONFLICT, commit(&b, 3));
    assert_int_equal(chain_terminal(b.chain)->slot.kind, SLOT_CANCELLED);
    OK(by_scheduler(SLOT_REOPENED));
    REFUSED(NERO_CONFLICT, by_scheduler(SLOT_REOPENED));
    REFUSED(NERO_STALE, commit(&b, 3)); /* the next claim is above it */
    assert_null(chain_terminal(b.chain));
    tail = chain_checkpoint(b.chain, NULL)->hash;
    (void)fork_off(&b, SLOT_FINAL, 2, &tail); /* was on its way: a result is a result */
    OK(chain_refresh(a.chain, E));
    assert_int_equal(chain_terminal(a.chain)->slot.kind, SLOT_FINAL);
    REFUSED(NERO_CONFLICT, by_scheduler(SLOT_CANCELLED));
    chain_is("TXTCFLR");
    end(&a);
    end(&b);
}

/* An attempt that raced with a cancellation neither saw is closed by it, and opened by the next. */
static void test_chain_attempt__a_cancellation_that_raced_stays(void **state)
{
    struct actor a = actor_of(1, 10, 0);
    struct actor b = actor_of(2, 20, 1);
    struct hash job = hash_of(bytes_as_view(&world.envelope));

    (void)state;
    OK(take_over(&a));
    OK(by_scheduler(SLOT_CANCELLED));
    (void)fork_off(&b, SLOT_TAKEOVER, 0, &job);
    chain_is("TLT");
    end(&b);
    b = actor_of(2, 20, 1);
    REFUSED(NERO_CONFLICT, commit(&b, 1));
    OK(by_scheduler(SLOT_REOPENED));
    chain_is("TLTR");
    OK(chain_refresh(b.chain, E));
    assert_null(chain_terminal(b.chain));
    end(&a);
    end(&b);
}

/* A later leader's slots lie above all attempts of former epochs, and a former leader's are refused
 * where it sees them. */
static void test_chain_attempt__a_former_leader_is_stale(void **state)
{
    struct actor a = actor_of(CHAIN_EPOCH_TOKEN(5) + 9, 10, 0);
    struct actor b = actor_of(CHAIN_EPOCH_TOKEN(6) + 1, 20, 1);

    (void)state;
    OK(take_over(&a));
    OK(led_by(5, SLOT_CANCELLED));
    OK(led_by(6, SLOT_REOPENED));
    REFUSED(NERO_STALE, led_by(5, SLOT_FAILED));
    REFUSED(NERO_STALE, commit(&a, 1));
    OK(take_over(&b));
    OK(commit(&b, 1));
    REFUSED(NERO_STALE, led_by(5, SLOT_CANCELLED));
    OK(led_by(6, SLOT_CANCELLED));
    chain_is("TLRTCL");
    end(&a);
    end(&b);
}

/* A flipped bit costs its slot and no other; a slot in a wrong row counts for nothing. */
static void test_chain_attempt__damage_and_strangers(void **state)
{
    struct actor a = actor_of(1, 10, 0);
    struct actor b = actor_of(2, 20, 1);
    struct bytes stored;
    struct slot slot = slot_of(&b, SLOT_TAKEOVER);
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    OK(take_over(&a));
    OK(commit(&a, 5));
    OK(append(&a, SLOT_FINAL));
    chain_key(a.chain, chain_at(a.chain, 0), key);
    bytes_init(&stored, SLOT_BYTES_MAX);
    OK(storage_get(world.store, key, &stored, NULL, E));
    chain_world_damage_key(key);
    chain_is("-CF");
    /* a's takeover copied to b's row */
    layout_attempt_slot(key, CHAIN_WORLD_RUN, &world.job, 2, 20, 0);
    OK(storage_put(world.store, key, bytes_as_view(&stored), E));
    chain_is("-CF-");
    slot.nonce = 0; /* an attempt in the scheduler's row */
    memcpy(slot.run, CHAIN_WORLD_RUN, sizeof CHAIN_WORLD_RUN);
    slot.job = world.job;
    slot.wall_ms = clock_wall_ms(clock_system());
    chain_world_put(&slot, b.key);
    chain_is("-CF--");
    OK(chain_refresh(b.chain, E));
    assert_non_null(strstr(chain_at(b.chain, 3)->fault, "another attempt"));
    assert_non_null(strstr(chain_at(b.chain, 4)->fault, "rows of their own"));
    layout_attempts(key, CHAIN_WORLD_RUN, &world.job); /* what is no row is no slot */
    (void)snprintf(key + strlen(key), 40, "2-20/0000000000");
    OK(storage_put(world.store, key, bytes_as_view(&stored), E));
    chain_is("-CF--");
    bytes_fini(&stored);
    end(&a);
    end(&b);
}

/* ---- faults ---- */

/* Every slot that was ever seen keeps its bytes. */
static void note_slots(struct hash *seen, uint64_t *count)
{
    struct trust *reader = chain_world_trust();
    struct chain *chain = chain_world_open(reader);

    assert_true(chain_count(chain) >= *count && chain_count(chain) < 16);
    for (uint64_t i = 0; i < chain_count(chain); i++) {
        assert_true(chain_at(chain, i)->valid);
        assert_true(i >= *count || hash_equal(&seen[i], &chain_at(chain, i)->hash));
        seen[i] = chain_at(chain, i)->hash;
    }
    *count = chain_count(chain);
    chain_close(chain);
    trust_close(reader);
}

/* One append, given up after some tries; whether it was answered. */
static bool try_commit(struct actor *actor, uint64_t units)
{
    for (int tries = 0; tries < 3; tries++) {
        enum nero_status status = commit(actor, units);

        if (status == NERO_OK) {
            return true;
        }
        if (!err_is_retryable(status)) {
            fail_msg("%s: %s", err_status_name(status), world.err.message);
        }
    }
    return false;
}

/*
 * The N-th call fails, once or for good, before or after its effect, for N = 1, 2, ...: what is
 * repeated is there once, and what was given up is never overwritten by what comes next.
 */
static void sweep(enum storage_fault_when when, bool for_good)
{
    uint64_t fired = 1;

    for (uint64_t nth = 1; fired > 0; nth++) {
        struct actor a;
        struct hash seen[16];
        uint64_t count = 0;
        uint64_t expected = 1;

        tear_down(NULL);
        set_up(NULL);
        a = actor_of(nth, nth, 0);
        OK(take_over(&a));
        note_slots(seen, &count);
        storage_fault_set(world.control, (struct storage_fault_plan){.nth = nth,
                                                                     .when = when,
                                                                     .for_good = for_good,
                                                                     .status = NERO_UNKNOWN});
        expected += try_commit(&a, 10) ? 1 : 0;
        expected += try_commit(&a, 20) ? 1 : 0;
        fired = storage_fault_fired(world.control);
        storage_fault_set(world.control, (struct storage_fault_plan){0});
        note_slots(seen, &count);
        assert_true(count >= expected);
        OK(commit(&a, 30));
        note_slots(seen, &count);
        OK(append(&a, SLOT_FINAL));
        note_slots(seen, &count);
        assert_true(count >= expected + 2 && count <= 5);
        end(&a);
    }
}

static void test_chain_attempt__nothing_is_overwritten_after_faults(void **state)
{
    (void)state;
    sweep(STORAGE_FAULT_BEFORE, false);
    sweep(STORAGE_FAULT_AFTER, false);
    sweep(STORAGE_FAULT_BEFORE, true);
    sweep(STORAGE_FAULT_AFTER, true);
}

/* ---- races ---- */

enum { RACERS = CHAIN_WORLD_RUNNERS, COMMITS = 12 };

struct racer {
    struct thread thread;
    struct actor actor;
    struct trust *trust;
    struct hash committed[COMMITS + 2];
    int count;
    enum nero_status last;
    struct nero_err err;
};

static void run_racer(void *context)
{
    struct racer *racer = context;
    struct rng_stream stream = rng_stream(racer->actor.token, RNG_TEST, 0, 0, 0);
    uint64_t finish = 2 + rng_below(&stream, COMMITS - 2);

    for (uint64_t i = 0; i <= finish; i++) {
        struct slot slot = slot_of(&racer->actor, i == 0        ? SLOT_TAKEOVER
                                                  : i == finish ? SLOT_FINAL
                                                                : SLOT_CHECKPOINT);
        const struct chain_entry *entry;

        racer->last =
            chain_append(racer->actor.chain, &slot, racer->actor.key, &entry, &racer->err);
        if (racer->last != NERO_OK) {
            return;
        }
        racer->committed[racer->count++] = entry->hash;
    }
}

/* Whatever was answered is there and counts; all readers see one end; at least one got there. */
static void test_chain_attempt__races(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        static struct racer racers[RACERS];
        struct trust *reader;
        struct chain *chain;
        bool finished = false;

        tear_down(NULL);
        set_up(NULL);
        memset(racers, 0, sizeof racers);
        for (int i = 0; i < RACERS; i++) {
            racers[i].trust = chain_world_trust();
            racers[i].actor = (struct actor){.token = 100 * round + (uint64_t)i,
                                             .nonce = 7,
                                             .key = &world.runners[i],
                                             .chain = chain_world_open(racers[i].trust)};
        }
        for (int i = 0; i < RACERS; i++) {
            OK(thread_start(&racers[i].thread, "racer", run_racer, &racers[i], E));
        }
        for (int i = 0; i < RACERS; i++) {
            thread_join(&racers[i].thread);
        }
        reader = chain_world_trust();
        chain = chain_world_open(reader);
        for (int i = 0; i < RACERS; i++) {
            assert_true(racers[i].last == NERO_OK || racers[i].last == NERO_STALE ||
                        racers[i].last == NERO_CONFLICT);
            finished = finished || racers[i].last == NERO_OK;
            for (int k = 0; k < racers[i].count; k++) {
                const struct chain_entry *entry = chain_find(chain, &racers[i].committed[k]);

                assert_true(entry != NULL && entry->valid && entry->number == (uint64_t)k);
            }
            OK(chain_refresh(racers[i].actor.chain, E));
            assert_true(chain_terminal(chain) != NULL &&
                        hash_equal(&chain_terminal(racers[i].actor.chain)->hash,
                                   &chain_terminal(chain)->hash));
        }
        assert_true(finished);
        chain_close(chain);
        trust_close(reader);
        for (int i = 0; i < RACERS; i++) {
            end(&racers[i].actor);
            trust_close(racers[i].trust);
        }
    }
}

#define ATTEMPT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ATTEMPT_TEST(test_chain_attempt__an_attempt_has_a_row),
        ATTEMPT_TEST(test_chain_attempt__a_takeover_continues_the_most_work),
        ATTEMPT_TEST(test_chain_attempt__a_zombie_stops_when_it_sees),
        ATTEMPT_TEST(test_chain_attempt__forks_are_legal),
        ATTEMPT_TEST(test_chain_attempt__which_end_is_in_force),
        ATTEMPT_TEST(test_chain_attempt__a_cancellation_that_raced_stays),
        ATTEMPT_TEST(test_chain_attempt__a_former_leader_is_stale),
        ATTEMPT_TEST(test_chain_attempt__damage_and_strangers),
        ATTEMPT_TEST(test_chain_attempt__nothing_is_overwritten_after_faults),
        ATTEMPT_TEST(test_chain_attempt__races),
    };

    chain_world_mode = RUN_ATTEMPTS;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
