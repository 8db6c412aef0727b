/*
 * Goal: a search of 100 generations is computed again from its records alone: proposals,
 * selections, extensions, phases, champions; and what was changed in it is found and named. Method:
 * a fabricated run whose blobs are taken away; one record changed at a time, signed by the run's
 * own key.
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
#include "nero/chain.h"

enum { GENERATIONS = 100, MIDDLE = 50 };

static int setup(void **state)
{
    struct fabricate_options options = fabricate_defaults();
    char command[FABRICATE_TEXT_BYTES + 64];

    (void)state;
    options.generations = options.close = GENERATIONS;
    options.longer = true;
    if (temp_folder_make(world.folder, NULL) != 0) {
        return -1;
    }
    fabricate_run(&world.run, world.folder, "made-up", &options);
    (void)snprintf(command, sizeof command, "cd '%s' && rm -r runs/made-up/blob data/[0-9a-f]?",
                   world.run.store_path);
    return system(command) == 0 ? 0 : -1;
}

static struct audit_report replay(void)
{
    struct audit_options options = {.root = world.run.root.public_key, .level = AUDIT_REPLAY};
    struct audit_report report;
    struct nero_err err;

    if (audit_run(world.run.store, world.run.name, &options, &report, &err) != NERO_OK) {
        fail_msg("the replay ended: %s", err.message);
    }
    return report;
}

static void expect_clean(void)
{
    struct audit_report report = replay();

    for (uint32_t i = 0; i < report.finding_count; i++) {
        print_error("%s: %s\n", report.findings[i].artifact, report.findings[i].what);
    }
    assert_int_equal(report.finding_count, 0);
    audit_report_fini(&report);
}

/* Exactly these objects are named. */
static void expect_named(const char *key, const char *what)
{
    struct audit_report report = replay();

    if (audit_world_named(&report, key) == 0) {
        for (uint32_t i = 0; i < report.finding_count; i++) {
            print_error("%s: %s\n", report.findings[i].artifact, report.findings[i].what);
        }
        fail_msg("%s: not named among %u findings: %s", what, report.finding_count, key);
    }
    audit_report_fini(&report);
}

static void key_of(uint32_t number, enum generation_state state, char out[LAYOUT_KEY_BYTES])
{
    layout_generation(out, world.run.name, 0, number, generation_state_name(state));
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

static void test_replay__computes_a_hundred_generations_again(void **state)
{
    struct audit_report report = replay();

    (void)state;
    print_message("replay of %u generations, %u records, %u jobs, %u slots: %.3f s\n", GENERATIONS,
                  report.generations, report.jobs, report.slots, report.seconds);
    assert_int_equal(report.finding_count, 0);
    assert_true(report.finished && report.blobs_skipped);
    assert_true(report.generations > 3 * GENERATIONS); /* some were extended */
    audit_report_fini(&report);
}

static void test_replay__finds_a_swapped_child(void **state)
{
    struct generation_stored stored = read_record(MIDDLE, GENERATION_PROPOSED);
    struct generation_member *members = stored.generation.members;
    struct generation_member kept = members[1];
    char key[LAYOUT_KEY_BYTES];
    struct bytes bytes;

    (void)state;
    key_of(MIDDLE, GENERATION_PROPOSED, key);
    bytes = audit_world_read(key);
    members[1] = members[2];
    members[2] = kept;
    put(&stored.generation);
    expect_named(key, "two children swapped");
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&stored);
    expect_clean();
}

static void test_replay__finds_edited_decisions(void **state)
{
    struct generation_stored stored = read_record(MIDDLE, GENERATION_CLOSED);
    struct generation edited = stored.generation;
    char key[LAYOUT_KEY_BYTES];
    struct bytes bytes;

    (void)state;
    key_of(MIDDLE, GENERATION_CLOSED, key);
    bytes = audit_world_read(key);
    edited.selected = (edited.selected + 1) % edited.member_count;
    put(&edited);
    expect_named(key, "another one selected");
    edited = stored.generation;
    edited.next_robust = !edited.next_robust;
    put(&edited);
    expect_named(key, "the phase");
    edited = stored.generation;
    edited.champion_generation--;
    put(&edited);
    expect_named(key, "the champion");
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&stored);
    expect_clean();
}

/* The counts of a signed outcome changed in the record, and in the outcome itself. */
static void test_replay__finds_an_edited_result(void **state)
{
    struct generation_stored stored = read_record(MIDDLE, GENERATION_EVALUATED);
    struct generation_member *member = &stored.generation.members[0];
    char key[LAYOUT_KEY_BYTES];
    struct bytes bytes;
    uint64_t last = 0;

    (void)state;
    key_of(MIDDLE, GENERATION_EVALUATED, key);
    bytes = audit_world_read(key);
    member->correct = member->correct > 0 ? member->correct - 1 : 1;
    member->kept = 0;
    put(&stored.generation);
    expect_named(key, "counts edited");
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);

    do {
        layout_slot(key, world.run.name, &member->job, last);
    } while (storage_head(world.run.store, key, NULL, &(struct nero_err){0}) == NERO_OK && ++last);
    layout_slot(key, world.run.name, &member->job, last - 1);
    bytes = audit_world_read(key);
    bytes.data[bytes.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&bytes));
    expect_named(key, "the final slot edited");
    bytes.data[bytes.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&stored);
    expect_clean();
}

static void test_replay__finds_a_skipped_generation(void **state)
{
    struct bytes kept[GENERATION_CLOSED];
    char key[LAYOUT_KEY_BYTES];
    struct nero_err err;

    (void)state;
    for (int s = GENERATION_PROPOSED; s <= GENERATION_CLOSED; s++) {
        key_of(MIDDLE, (enum generation_state)s, key);
        bytes_init(&kept[s - 1], 0);
        if (storage_head(world.run.store, key, NULL, &err) == NERO_OK) {
            kept[s - 1] = audit_world_read(key);
            audit_world_remove(key);
        }
    }
    for (int s = GENERATION_PROPOSED; s <= GENERATION_CLOSED; s++) {
        key_of(MIDDLE, (enum generation_state)s, key);
        if (s != GENERATION_EXTENDING) {
            expect_named(key, "skipped");
        }
    }
    for (int s = GENERATION_PROPOSED; s <= GENERATION_CLOSED; s++) {
        key_of(MIDDLE, (enum generation_state)s, key);
        if (kept[s - 1].bytes > 0) {
            audit_world_write(key, bytes_as_view(&kept[s - 1]));
        }
        bytes_fini(&kept[s - 1]);
    }
    expect_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay__computes_a_hundred_generations_again),
        cmocka_unit_test(test_replay__finds_a_swapped_child),
        cmocka_unit_test(test_replay__finds_edited_decisions),
        cmocka_unit_test(test_replay__finds_an_edited_result),
        cmocka_unit_test(test_replay__finds_a_skipped_generation),
    };

    return cmocka_run_group_tests(tests, setup, audit_world_teardown);
}
