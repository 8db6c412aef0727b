/*
 * Goal: members that train on for fairness stand in records of their own, which a scheduler that
 * was killed between any two of them writes again byte for byte, and which an audit checks. Method:
 * a fabricated run in which most children train longer; its records removed from some state on, and
 * the real search run over what is left; records swapped and removed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit_world.h"
#include "generation_store.h"
#include "nero/queue.h"
#include "search.h"
#include "tests/support/test_redis.h"

enum { GENERATIONS = 5, STATES = GENERATION_CLOSED };

static uint32_t extended; /* the first generation in which members trained on */

static void key_of(uint32_t number, enum generation_state state, char out[LAYOUT_KEY_BYTES])
{
    layout_generation(out, world.run.name, 0, number, generation_state_name(state));
}

static bool is_there(const char *key)
{
    struct nero_err err;

    return storage_head(world.run.store, key, NULL, &err) == NERO_OK;
}

static int setup(void **state)
{
    struct fabricate_options options = fabricate_defaults();
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    options.generations = options.close = GENERATIONS;
    options.longer = true;
    if (temp_folder_make(world.folder, NULL) != 0) {
        return -1;
    }
    fabricate_run(&world.run, world.folder, "made-up", &options);
    for (extended = 0; extended < GENERATIONS; extended++) {
        key_of(extended, GENERATION_EXTENDING, key);
        if (is_there(key)) {
            return 0;
        }
    }
    return -1; /* another seed is needed */
}

static struct generation_stored read_record(uint32_t number, enum generation_state state)
{
    struct generation_stored stored;
    struct nero_err err;

    assert_int_equal(generation_store_get(world.run.store, world.run.trust, world.run.name, 0,
                                          number, state, &stored, &err),
                     NERO_OK);
    return stored;
}

static void test_extend__a_whole_run_is_clean(void **state)
{
    struct generation_stored closed = read_record(extended, GENERATION_CLOSED);
    struct generation_stored extending = read_record(extended, GENERATION_EXTENDING);
    const struct generation_member *last =
        &closed.generation.members[closed.generation.member_count - 1];

    (void)state;
    assert_true(world.run.extensions > 0);
    assert_int_equal(last->origin, GENERATION_EXTENSION);
    assert_true(last->verdict != GENERATION_PENDING);
    assert_true(hash_equal(&closed.generation.prev, &extending.hash));
    audit_world_clean();
    generation_stored_fini(&closed);
    generation_stored_fini(&extending);
}

static void put(const struct generation *generation)
{
    char key[LAYOUT_KEY_BYTES];
    struct nero_err err;
    struct hash hash;

    key_of(generation->number, generation->state, key);
    audit_world_remove(key);
    assert_int_equal(
        generation_store_put(world.run.store, &world.run.run_key, generation, &hash, &err),
        NERO_OK);
}

static void test_extend__audit_finds_a_swapped_or_missing_one(void **state)
{
    struct generation_stored extending = read_record(extended, GENERATION_EXTENDING);
    struct generation *generation = &extending.generation;
    struct generation_member *member = &generation->members[generation->member_count - 1];
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;

    (void)state;
    key_of(extended, GENERATION_EXTENDING, key);
    stored = audit_world_read(key);
    member->extends = (member->extends + 1) % (generation->member_count - 1);
    put(generation);
    audit_world_found(key, "another member trained on");
    member->extends = generation->members[0].extends;
    member->genotype = generation->members[member->extends].genotype;
    member->budget.amount--;
    put(generation);
    audit_world_found(key, "another budget");
    audit_world_remove(key);
    audit_world_found(key, "removed");
    audit_world_write(key, bytes_as_view(&stored));
    key_of(extended + 1 < GENERATIONS ? extended + 1 : 0, GENERATION_EXTENDING, key);
    if (!is_there(key)) {
        audit_world_write(key, bytes_as_view(&stored));
        audit_world_found(key, "in another generation");
        audit_world_remove(key);
    }
    bytes_fini(&stored);
    generation_stored_fini(&extending);
    audit_world_clean();
}

/* ---- a scheduler that was killed ---- */

/* The stored bytes of all records; those that are not there are empty. */
static struct bytes records[GENERATIONS][STATES];

static void each_record(uint32_t from, enum generation_state state,
                        void (*does)(const char *key, struct bytes *kept))
{
    for (uint32_t i = from; i < GENERATIONS; i++) {
        for (int s = i == from ? (int)state : GENERATION_PROPOSED; s <= GENERATION_CLOSED; s++) {
            char key[LAYOUT_KEY_BYTES];

            key_of(i, (enum generation_state)s, key);
            does(key, &records[i][s - 1]);
        }
    }
}

static void keep(const char *key, struct bytes *kept)
{
    if (is_there(key)) {
        *kept = audit_world_read(key);
    }
}

static void forget(const char *key, struct bytes *kept)
{
    if (kept->bytes > 0) {
        audit_world_remove(key);
    }
}

static void compare(const char *key, struct bytes *kept)
{
    struct bytes again;

    assert_int_equal(is_there(key), kept->bytes > 0);
    if (kept->bytes > 0) {
        again = audit_world_read(key);
        if (!bytes_view_equal(bytes_as_view(&again), bytes_as_view(kept))) {
            fail_msg("%s has other bytes", key);
        }
        bytes_fini(&again);
    }
}

static void release(const char *key, struct bytes *kept)
{
    (void)key;
    bytes_fini(kept);
}

/* Every job has ended, so the search never waits. */
static void search_to_the_end(struct queue *queue)
{
    struct lead lead = {.store = world.run.store,
                        .queue = queue,
                        .run = world.run.name,
                        .run_key = &world.run.run_key,
                        .lease_ms = 1000,
                        .alive_ms = 1000,
                        .window_bytes = BACKLOG_WINDOW_BYTES_DEFAULT};
    struct search *search;
    struct nero_err err;

    if (lead_take(&lead, "start", &err) != NERO_OK ||
        search_open(&lead, false, NULL, &search, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    for (int i = 0; i < 10 * GENERATIONS && !search_finished(search); i++) {
        if (search_tick(search, &err) != NERO_OK) {
            fail_msg("%s", err.message);
        }
    }
    assert_true(search_finished(search));
    search_close(search);
}

static void test_extend__a_killed_scheduler_writes_equal_bytes(void **state)
{
    struct test_redis redis;
    struct queue *queue;
    struct nero_err err;

    (void)state;
    test_redis_start(&redis);
    assert_int_equal(queue_open(redis_child_url(redis.child), &queue, &err), NERO_OK);
    each_record(0, GENERATION_PROPOSED, keep);
    for (int s = GENERATION_PROPOSED; s <= GENERATION_CLOSED; s++) {
        each_record(extended, (enum generation_state)s, forget);
        search_to_the_end(queue);
        each_record(0, GENERATION_PROPOSED, compare);
        audit_world_clean();
    }
    each_record(0, GENERATION_PROPOSED, release);
    queue_close(queue);
    test_redis_stop(&redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extend__a_whole_run_is_clean),
        cmocka_unit_test(test_extend__audit_finds_a_swapped_or_missing_one),
        cmocka_unit_test(test_extend__a_killed_scheduler_writes_equal_bytes),
    };

    return cmocka_run_group_tests(tests, setup, audit_world_teardown);
}
