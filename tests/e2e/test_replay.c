/*
 * Goal: a search of 100 generations is computed again from its records alone: proposals,
 * selections, extensions, phases, champions; and what was changed in it is found and named. Method:
 * fabricated runs whose blobs are taken away, a small one and one of the paper's size that starts
 * from a given architecture; one record changed at a time, signed by the run's own key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit_world.h"
#include "generation_store.h"
#include "nero/chain.h"

enum { GENERATIONS = 100, MIDDLE = 50 };

static int make(bool paper)
{
    struct fabricate_options options = fabricate_defaults();
    char command[FABRICATE_TEXT_BYTES + 64];

    options.generations = options.close = GENERATIONS;
    options.longer = !paper;
    options.paper = paper;
    /* In memory where there is such a folder: thousands of objects are synced to it. */
    if (temp_folder_make(world.folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL) != 0) {
        return -1;
    }
    fabricate_run(&world.run, world.folder, "made-up", &options);
    (void)snprintf(command, sizeof command, "cd '%s' && rm -r runs/made-up/blob data/[0-9a-f]?",
                   world.run.store_path);
    return system(command) == 0 ? 0 : -1;
}

static int setup_small(void **state)
{
    (void)state;
    return make(false);
}

static int setup_paper(void **state)
{
    (void)state;
    return make(true);
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

static void print_findings(const struct audit_report *report)
{
    for (uint32_t i = 0; i < report->finding_count; i++) {
        print_error("%s: %s\n", report->findings[i].artifact, report->findings[i].what);
    }
}

static void expect_clean(void)
{
    struct audit_report report = replay();

    print_findings(&report);
    assert_int_equal(report.finding_count, 0);
    audit_report_fini(&report);
}

/* What a replay has to say of one artifact; NULL ends a list. */
struct finding {
    const char *artifact;
    const char *says; /* contains */
};

/* The replay says this, in this order, and nothing else. `what` was done. */
static void expect_found(const char *what, const struct finding *expected)
{
    struct audit_report report = replay();
    uint32_t count = 0;

    for (; expected[count].artifact != NULL; count++) {
        if (count >= report.finding_count ||
            strcmp(report.findings[count].artifact, expected[count].artifact) != 0 ||
            strstr(report.findings[count].what, expected[count].says) == NULL) {
            print_findings(&report);
            fail_msg("%s: finding %u is not: %s: %s", what, count, expected[count].artifact,
                     expected[count].says);
        }
    }
    if (report.finding_count != count) {
        print_findings(&report);
        fail_msg("%s: %u findings, not %u", what, report.finding_count, count);
    }
    audit_report_fini(&report);
}

static void key_of(uint32_t number, enum generation_state state, char out[LAYOUT_KEY_BYTES])
{
    layout_generation(out, world.run.name, 0, number, generation_state_name(state));
}

/* Records of generation MIDDLE and the next one. */
#define OF_MIDDLE(state) "runs/made-up/gen/0/00000050/" state
#define OF_NEXT(state) "runs/made-up/gen/0/00000051/" state

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

/* Each child names the other's job, and each evaluation is the other's. */
static void test_replay__finds_a_swapped_child(void **state)
{
    static const struct finding swapped[] = {
        {OF_MIDDLE("proposed"), "member 1: job is "},
        {OF_MIDDLE("proposed"), "member 2: job is "},
        {OF_MIDDLE("evaluated"), "the record before it is "},
        {OF_MIDDLE("evaluated"), "member 1: job is "},
        {OF_MIDDLE("evaluated"), "member 1: terminal slot is "},
        {OF_MIDDLE("evaluated"), "member 1: correct is "},
        {OF_MIDDLE("evaluated"), "member 1: kept is "},
        {OF_MIDDLE("evaluated"), "member 1: fitness is "},
        {OF_MIDDLE("evaluated"), "member 2: job is "},
        {OF_MIDDLE("evaluated"), "member 2: terminal slot is "},
        {OF_MIDDLE("evaluated"), "member 2: correct is "},
        {OF_MIDDLE("evaluated"), "member 2: kept is "},
        {OF_MIDDLE("evaluated"), "member 2: fitness is "},
        {NULL, NULL}};
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
    expect_found("two children swapped", swapped);
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&stored);
    expect_clean();
}

static void test_replay__finds_edited_decisions(void **state)
{
    static const struct finding selected[] = {{OF_MIDDLE("closed"), "selected member is "},
                                              {OF_NEXT("proposed"), "the record before it is "},
                                              {NULL, NULL}};
    static const struct finding phase[] = {
        {OF_MIDDLE("closed"), "robust phase of the next generation is 0, computed 1"},
        {OF_NEXT("proposed"), "the record before it is "},
        {OF_NEXT("proposed"), "robust phase is 1, computed 0"},
        {NULL, NULL}};
    static const struct finding champion[] = {{OF_MIDDLE("closed"), "champion's generation is "},
                                              {OF_NEXT("proposed"), "the record before it is "},
                                              {OF_NEXT("closed"), "champion's generation is "},
                                              {NULL, NULL}};
    struct generation_stored stored = read_record(MIDDLE, GENERATION_CLOSED);
    struct generation edited = stored.generation;
    char key[LAYOUT_KEY_BYTES];
    struct bytes bytes;

    (void)state;
    key_of(MIDDLE, GENERATION_CLOSED, key);
    bytes = audit_world_read(key);
    edited.selected = (edited.selected + 1) % edited.member_count;
    put(&edited);
    expect_found("another one selected", selected);
    edited = stored.generation;
    edited.next_robust = !edited.next_robust;
    put(&edited);
    expect_found("the phase", phase);
    edited = stored.generation;
    edited.champion_generation--;
    put(&edited);
    expect_found("the champion", champion);
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&stored);
    expect_clean();
}

/* The counts of a signed outcome changed in the record, and in the outcome itself. */
static void test_replay__finds_an_edited_result(void **state)
{
    static const struct finding counts[] = {{OF_MIDDLE("evaluated"), "member 0: correct is "},
                                            {OF_MIDDLE("evaluated"), "member 0: kept is "},
                                            {OF_MIDDLE("extending"), "the record before it is "},
                                            {OF_MIDDLE("extending"), "member 0: correct is "},
                                            {OF_MIDDLE("extending"), "member 0: kept is "},
                                            {NULL, NULL}};
    char key[LAYOUT_KEY_BYTES];
    char next[LAYOUT_KEY_BYTES];
    const struct finding slot[] = {{key, "does not count: "},
                                   {next, "the job's chain ends without one"},
                                   {next, "says that the job ended, its chain does not"},
                                   {NULL, NULL}};
    struct generation_stored stored = read_record(MIDDLE, GENERATION_EVALUATED);
    struct generation_member *member = &stored.generation.members[0];
    struct bytes bytes;
    uint64_t last = 0;

    (void)state;
    key_of(MIDDLE, GENERATION_EVALUATED, key);
    bytes = audit_world_read(key);
    member->correct = member->correct > 0 ? member->correct - 1 : 1;
    member->kept = 0;
    put(&stored.generation);
    expect_found("counts edited", counts);
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);

    do {
        layout_slot(key, world.run.name, &member->job, last);
    } while (storage_head(world.run.store, key, NULL, &(struct nero_err){0}) == NERO_OK && ++last);
    layout_slot(next, world.run.name, &member->job, last);
    layout_slot(key, world.run.name, &member->job, last - 1);
    bytes = audit_world_read(key);
    bytes.data[bytes.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&bytes));
    expect_found("the final slot edited", slot);
    bytes.data[bytes.bytes / 2] ^= 1;
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&stored);
    expect_clean();
}

static void test_replay__finds_a_skipped_generation(void **state)
{
    static const struct finding skipped[] = {{OF_MIDDLE("proposed"), "is missing"},
                                             {OF_MIDDLE("evaluated"), "is missing"},
                                             {OF_MIDDLE("closed"), "is missing"},
                                             {NULL, NULL}};
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
    expect_found("a generation skipped", skipped);
    for (int s = GENERATION_PROPOSED; s <= GENERATION_CLOSED; s++) {
        key_of(MIDDLE, (enum generation_state)s, key);
        if (kept[s - 1].bytes > 0) {
            audit_world_write(key, bytes_as_view(&kept[s - 1]));
        }
        bytes_fini(&kept[s - 1]);
    }
    expect_clean();
}

/* ---- the paper's size ---- */

static uint32_t units_of(const struct generation_member *member)
{
    struct genotype genotype;
    struct nero_err err;
    uint32_t units = 0;

    assert_int_equal(genotype_decode(member->genotype, &genotype, &err), NERO_OK);
    for (uint32_t m = 0; m < genotype.module_count; m++) {
        units += genotype.modules[m].unit_count;
    }
    genotype_fini(&genotype);
    return units;
}

static double processor_seconds(void)
{
    struct rusage used;

    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* 4 + 99 * 5 trainings from the seed of NSGA-Net on, warm-up first, in the paper's grammar. */
static void test_replay__computes_a_search_of_the_papers_size_again(void **state)
{
    double start = processor_seconds();
    struct audit_report report = replay();
    double used = processor_seconds() - start;
    uint32_t warm = 0;
    uint32_t units = 0;

    (void)state;
    print_findings(&report);
    assert_int_equal(report.finding_count, 0);
    assert_true(report.finished && report.blobs_skipped);
    for (uint32_t i = 0; i < GENERATIONS; i++) {
        struct generation_stored closed = read_record(i, GENERATION_CLOSED);
        const struct generation *generation = &closed.generation;
        bool first = i == 0;

        assert_true(generation->member_count >= (first ? 4 : 5));
        assert_int_equal(generation->members[0].origin,
                         first ? GENERATION_SEED : GENERATION_PARENT);
        assert_int_equal(generation->members[1].origin, GENERATION_MUTANT);
        warm += !generation->robust;
        units += units_of(&generation->members[1]);
        generation_stored_fini(&closed);
    }
    assert_in_range(warm, 5, GENERATIONS - 5);
    assert_true(units > 15 * GENERATIONS);
    print_message("replay of %u generations, %u of them warm-up, %u jobs, %u slots, %u units in a "
                  "network: %.3f s, %.3f s of the processor\n",
                  GENERATIONS, warm, report.jobs, report.slots, units / GENERATIONS, report.seconds,
                  used);
    assert_true(report.jobs >= 4 + (GENERATIONS - 1) * 5);
    audit_report_fini(&report);
}

/* Another first individual, signed by the run's own key: the seed is in the run record. */
static void test_replay__finds_a_seed_that_was_not_given(void **state)
{
    struct generation_stored stored = read_record(0, GENERATION_PROPOSED);
    struct generation_member *members = stored.generation.members;
    static const struct finding given[] = {
        {"runs/made-up/gen/0/00000000/proposed", "member 0: its genotype is not the one that"},
        {"runs/made-up/gen/0/00000000/evaluated", "the record before it is "},
        {"runs/made-up/gen/0/00000000/evaluated", "member 0: its genotype is not the one that"},
        {NULL, NULL}};
    char key[LAYOUT_KEY_BYTES];
    struct bytes bytes;

    (void)state;
    key_of(0, GENERATION_PROPOSED, key);
    bytes = audit_world_read(key);
    members[0].genotype = members[1].genotype;
    put(&stored.generation);
    expect_found("another first individual", given);
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&stored);
    expect_clean();
}

int main(void)
{
    const struct CMUnitTest paper[] = {
        cmocka_unit_test(test_replay__computes_a_search_of_the_papers_size_again),
        cmocka_unit_test(test_replay__finds_a_seed_that_was_not_given),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replay__computes_a_hundred_generations_again),
        cmocka_unit_test(test_replay__finds_a_swapped_child),
        cmocka_unit_test(test_replay__finds_edited_decisions),
        cmocka_unit_test(test_replay__finds_an_edited_result),
        cmocka_unit_test(test_replay__finds_a_skipped_generation),
    };

    return cmocka_run_group_tests(tests, setup_small, audit_world_teardown) +
           cmocka_run_group_tests(paper, setup_paper, audit_world_teardown);
}
