/*
 * Goal: a run that was extended is as whole as one submitted with more generations, and no
 * amendment can be taken away, forged, edited or moved unnoticed. Method: a fabricated run of two
 * lineages, submitted with two generations and extended thrice, each end with its test score; its
 * amendments tampered with; its later generations taken away and searched again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "amendment.h"
#include "audit_world.h"
#include "nero/queue.h"
#include "run_view.h"
#include "search.h"
#include "tests/support/test_redis.h"

enum { LINEAGES = 2, GENERATIONS = 5, AMENDMENTS = 3 };

static int setup(void **state)
{
    struct fabricate_options options = {.lineages = LINEAGES,
                                        .generations = GENERATIONS,
                                        .submitted = GENERATIONS - AMENDMENTS,
                                        .step = 1,
                                        .close = GENERATIONS,
                                        .score_test = true};

    (void)state;
    if (temp_folder_make(world.folder, NULL) != 0) {
        return -1;
    }
    fabricate_run(&world.run, world.folder, "made-up", &options);
    return 0;
}

static void key_of(uint64_t number, char out[LAYOUT_KEY_BYTES])
{
    layout_amend(out, world.run.name, number);
}

static struct amendment_list read_list(void)
{
    struct amendment_list list;
    struct nero_err err;

    if (amendment_list_read(world.run.store, world.run.trust, &list, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    return list;
}

static void test_amend__an_extended_run_is_whole(void **state)
{
    struct audit_report report = audit_world_audit();
    struct amendment_list list = read_list();
    struct run_view view;
    struct nero_err err;
    uint32_t closed;
    uint32_t wanted;
    bool head = false;

    (void)state;
    audit_world_clean();
    assert_true(world.run.scores > 1); /* former ends had other champions */
    assert_true(report.finished);
    assert_non_null(strstr(report.standing, "the champion scored"));
    for (uint32_t i = 0; i < report.head_count; i++) {
        head = head || hash_equal(&report.heads[i], &list.last);
    }
    assert_true(head); /* to be remembered: the last amendment can be cut off consistently */
    assert_int_equal(list.count, AMENDMENTS);
    assert_int_equal(list.ends[0], GENERATIONS - AMENDMENTS);
    assert_int_equal(amendment_end(&list), GENERATIONS);
    assert_int_equal(
        run_view_open(world.run.store, world.run.name, &world.run.root.public_key, &view, &err),
        NERO_OK);
    assert_string_equal(run_view_standing(&view, &closed, &wanted), "finished");
    assert_int_equal(closed, LINEAGES * GENERATIONS);
    assert_int_equal(wanted, LINEAGES * GENERATIONS);
    run_view_close(&view);
    amendment_list_fini(&list);
    audit_report_fini(&report);
}

/* ---- tampering ---- */

static void put(const struct run_amendment *amendment, uint64_t place, const struct key_pair *key)
{
    char object[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    struct nero_err err;

    bytes_init(&payload, RUN_CONTROL_BYTES_MAX);
    bytes_init(&stored, RUN_CONTROL_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    assert_int_equal(run_amendment_encode(amendment, &payload, &err), NERO_OK);
    assert_int_equal(envelope_seal(ENVELOPE_RUN, bytes_as_view(&payload), key, &stored, &err),
                     NERO_OK);
    key_of(place, object);
    audit_world_write(object, bytes_as_view(&stored));
    bytes_fini(&payload);
    bytes_fini(&stored);
}

static struct run_amendment read_amendment(uint64_t number)
{
    struct run_amendment amendment;
    char key[LAYOUT_KEY_BYTES];
    struct bytes_view payload;
    struct nero_err err;
    struct bytes stored;

    key_of(number, key);
    stored = audit_world_read(key);
    assert_int_equal(trust_open_root_envelope(world.run.trust, bytes_as_view(&stored), ENVELOPE_RUN,
                                              &payload, &err),
                     NERO_OK);
    assert_int_equal(run_amendment_decode(payload, &amendment, &err), NERO_OK);
    bytes_fini(&stored);
    return amendment;
}

/* Neither a scheduler nor a reader who knows the root key goes on with it. */
static void expect_refused(enum nero_status wanted)
{
    struct lead lead = {.store = world.run.store,
                        .run = world.run.name,
                        .run_key = &world.run.run_key,
                        .root = &world.run.root.public_key};
    struct search *search;
    struct run_view view;
    struct nero_err err;

    assert_int_equal(search_open(&lead, false, NULL, &search, &err), wanted);
    assert_non_null(strstr(err.message, "/amend/"));
    assert_int_equal(run_view_open(world.run.store, world.run.name, lead.root, &view, &err),
                     wanted);
}

static void test_amend__no_other_amendment_is_believed(void **state)
{
    struct run_amendment good = read_amendment(1);
    struct run_amendment edited;
    struct key_pair stranger;
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;

    (void)state;
    key_of(1, key);
    stored = audit_world_read(key);
    key_pair_generate(&stranger);
    put(&good, 1, &stranger);
    audit_world_found(key, "signed by a stranger");
    expect_refused(NERO_DENIED);
    put(&good, 1, &world.run.run_key);
    audit_world_found(key, "signed by the run key, which no owner needs");
    expect_refused(NERO_DENIED);

    edited = good;
    edited.generations = GENERATIONS - 2;
    put(&edited, 1, &world.run.root);
    audit_world_found(key, "raises nothing");
    expect_refused(NERO_CORRUPT);
    edited = good;
    edited.prev.data[0] ^= 1;
    put(&edited, 1, &world.run.root);
    audit_world_found(key, "follows something else");
    expect_refused(NERO_CORRUPT);
    edited = good;
    edited.number = 0;
    put(&edited, 1, &world.run.root);
    audit_world_found(key, "is the amendment of another place");
    edited = good;
    (void)snprintf(edited.run, sizeof edited.run, "another");
    put(&edited, 1, &world.run.root);
    audit_world_found(key, "is another run's");
    expect_refused(NERO_CORRUPT);
    audit_world_write(key, bytes_as_view(&stored));
    bytes_fini(&stored);
    audit_world_clean();
}

/* With the first missing the second hangs in the air; without the last the run went too far. */
static void test_amend__a_missing_one_is_named(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < AMENDMENTS; i++) {
        char key[LAYOUT_KEY_BYTES];
        struct audit_report report;
        struct bytes stored;

        key_of(i, key);
        stored = audit_world_read(key);
        audit_world_remove(key);
        report = audit_world_audit();
        assert_int_equal(audit_world_named(&report, key), 1);
        assert_int_equal(report.finding_count, 1); /* one damage, one finding */
        audit_report_fini(&report);
        audit_world_write(key, bytes_as_view(&stored));
        bytes_fini(&stored);
    }
    audit_world_clean();
}

/* An amendment of which nothing came yet: the run is open. */
static void test_amend__another_one_opens_the_run_again(void **state)
{
    struct amendment_list list = read_list();
    struct audit_report report;
    char key[LAYOUT_KEY_BYTES];
    struct nero_err err;

    (void)state;
    assert_int_equal(amendment_put(world.run.store, world.run.trust, &list, &world.run.root,
                                   GENERATIONS + 2, &err),
                     NERO_OK);
    assert_int_equal(amendment_put(world.run.store, world.run.trust, &list, &world.run.root,
                                   GENERATIONS + 3, &err),
                     NERO_CONFLICT);
    report = audit_world_audit();
    assert_int_equal(report.finding_count, 0);
    assert_false(report.finished);
    assert_non_null(strstr(report.standing, "open: 10 of 14"));
    audit_report_fini(&report);
    key_of(AMENDMENTS, key);
    audit_world_remove(key);
    amendment_list_fini(&list);
    audit_world_clean();
}

/* ---- a scheduler ---- */

static void search_to_the_end(struct queue *queue)
{
    struct lead lead = {.store = world.run.store,
                        .queue = queue,
                        .run = world.run.name,
                        .run_key = &world.run.run_key,
                        .root = &world.run.root.public_key,
                        .lease_ms = 1000,
                        .alive_ms = 1000,
                        .window_bytes = BACKLOG_WINDOW_BYTES_DEFAULT};
    struct search *search;
    struct nero_err err;

    if (lead_take(&lead, "start", &err) != NERO_OK ||
        search_open(&lead, false, NULL, &search, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(search_generations(search), GENERATIONS);
    for (int i = 0; i < 10 * GENERATIONS && !search_finished(search); i++) {
        if (search_tick(search, &err) != NERO_OK) {
            fail_msg("%s", err.message);
        }
    }
    assert_true(search_finished(search));
    search_close(search);
}

/* It goes on from the last closed generation: what it writes are the bytes that were there. */
static void test_amend__a_scheduler_goes_on_to_the_new_end(void **state)
{
    struct bytes kept[LINEAGES][GENERATIONS];
    struct test_redis redis;
    struct queue *queue;
    struct nero_err err;

    (void)state;
    test_redis_start(&redis);
    assert_int_equal(queue_open(redis_child_url(redis.child), &queue, &err), NERO_OK);
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t l = 0; l < LINEAGES; l++) {
            for (uint32_t g = GENERATIONS - AMENDMENTS; g < GENERATIONS; g++) {
                char key[LAYOUT_KEY_BYTES];
                struct bytes again;

                layout_generation(key, world.run.name, l, g,
                                  generation_state_name(GENERATION_CLOSED));
                again = audit_world_read(key);
                if (pass == 0) {
                    kept[l][g] = again;
                    audit_world_remove(key);
                    continue;
                }
                assert_true(bytes_view_equal(bytes_as_view(&again), bytes_as_view(&kept[l][g])));
                bytes_fini(&again);
                bytes_fini(&kept[l][g]);
            }
        }
        search_to_the_end(queue);
    }
    audit_world_clean();
    queue_close(queue);
    test_redis_stop(&redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amend__an_extended_run_is_whole),
        cmocka_unit_test(test_amend__no_other_amendment_is_believed),
        cmocka_unit_test(test_amend__a_missing_one_is_named),
        cmocka_unit_test(test_amend__another_one_opens_the_run_again),
        cmocka_unit_test(test_amend__a_scheduler_goes_on_to_the_new_end),
    };

    return cmocka_run_group_tests(tests, setup, audit_world_teardown);
}
