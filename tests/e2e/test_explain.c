/*
 * Goal: a job's story is told whole, in order and as the store has it, and does not hold when
 * anything of it was touched. Method: a chain is written slot by slot at known times by two runners
 * of a fabricated run (a kill, a preemption, a damaged slot, an end) and its text is compared
 * whole; then the jobs of a fabricated search, whose fates are known.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit_world.h"
#include "explain.h"
#include "generation_store.h"
#include "nero/clock.h"

enum { STORY_BYTES_MAX = 64 * 1024, STORY_SPAN_S = 140 };

/* A job whose chain is written by hand. */
struct told {
    char folder[TEMP_FOLDER_BYTES];
    struct fabricate run;
    struct hash job;
    struct bytes envelope;
    struct job_spec spec;
    struct chain *chain;   /* empty: to put blobs */
    struct hash prev;      /* stored bytes of the newest valid slot, or of the job */
    struct hash slots[10]; /* stored bytes of each */
    int64_t start_ms;
};

static void ok(enum nero_status status, const struct nero_err *err)
{
    if (status != NERO_OK) {
        fail_msg("%s: %s", err_status_name(status), err->message);
    }
}

static void open_job(struct told *told)
{
    struct fabricate *run = &told->run;
    struct generation_stored proposed;
    struct bytes_view payload;
    struct job_record record;
    char key[LAYOUT_KEY_BYTES];
    struct nero_err err;

    ok(generation_store_get(run->store, run->trust, run->name, 0, 0, GENERATION_PROPOSED, &proposed,
                            &err),
       &err);
    told->job = proposed.generation.members[1].job;
    generation_stored_fini(&proposed);
    layout_spec(key, run->name, &told->job);
    bytes_init(&told->envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    ok(storage_get(run->store, key, &told->envelope, NULL, &err), &err);
    ok(trust_open_run_envelope(run->trust, bytes_as_view(&told->envelope), ENVELOPE_JOB, &payload,
                               &err),
       &err);
    ok(job_record_decode(payload, &record, &err), &err);
    ok(job_spec_decode(record.spec, &told->spec, &err), &err);
    ok(chain_open(run->store, run->trust, &told->job, bytes_as_view(&told->envelope), &told->chain,
                  &err),
       &err);
    told->prev = hash_of(bytes_as_view(&told->envelope));
    told->start_ms = clock_wall_ms(clock_system()) - (int64_t)STORY_SPAN_S * 1000;
}

static void told_open(struct told *told)
{
    struct fabricate_options options = fabricate_defaults();

    options.generations = 1;
    options.close = 0;
    assert_int_equal(temp_folder_make(told->folder, NULL), 0);
    fabricate_run(&told->run, told->folder, "by-hand", &options);
    open_job(told);
}

static void told_close(struct told *told)
{
    chain_close(told->chain);
    job_spec_fini(&told->spec);
    bytes_fini(&told->envelope);
    fabricate_fini(&told->run);
    temp_folder_remove(told->folder);
}

/* Slot `number`, `at_s` after the first, by a runner under its `token`-th token. */
static void put(struct told *told, uint64_t number, int64_t at_s, uint32_t runner, uint64_t token,
                struct slot slot)
{
    struct fabricate *run = &told->run;
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    struct nero_err err;

    (void)snprintf(slot.run, sizeof slot.run, "%s", run->name);
    slot.job = told->job;
    slot.number = number;
    slot.prev = told->prev;
    slot.token = (uint64_t)1 << 32 | token;
    slot.nonce = token;
    slot.wall_ms = told->start_ms + at_s * 1000;
    bytes_init(&payload, SLOT_BYTES_MAX);
    bytes_init(&stored, SLOT_BYTES_MAX);
    ok(slot_encode(&slot, &payload, &err), &err);
    ok(envelope_seal(ENVELOPE_SLOT, bytes_as_view(&payload), &run->runners[runner], &stored, &err),
       &err);
    layout_slot(key, run->name, &told->job, number);
    ok(storage_put(run->store, key, bytes_as_view(&stored), &err), &err);
    if (slot.kind == SLOT_FINAL) {
        layout_result(key, run->name, &told->job);
        ok(storage_put(run->store, key, bytes_as_view(&stored), &err), &err);
    }
    told->prev = hash_of(bytes_as_view(&stored));
    told->slots[number] = told->prev;
    bytes_fini(&payload);
    bytes_fini(&stored);
}

static void take_over(struct told *told, uint64_t number, int64_t at_s, uint32_t runner,
                      uint64_t token, bool skips_before)
{
    struct slot slot = {.kind = SLOT_TAKEOVER, .skipped_count = skips_before};

    slot.skipped[0] = number - 1;
    put(told, number, at_s, runner, token, slot);
}

/* from: the slot that the attempt began from; 0: none. */
static void commit(struct told *told, uint64_t number, int64_t at_s, uint32_t runner,
                   uint64_t token, uint32_t updates, uint64_t from, enum slot_reason reason)
{
    struct slot slot = {
        .has_restored_from = from > 0, .restored_from = told->slots[from], .reason = reason};
    struct bytes body;

    fabricate_checkpoint(told->chain, &told->job, updates, &slot, &body);
    put(told, number, at_s, runner, token, slot);
    bytes_fini(&body);
}

static void end(struct told *told, uint64_t number, int64_t at_s, uint32_t runner, uint64_t token,
                uint64_t from)
{
    struct slot slot = {.has_restored_from = true, .restored_from = told->slots[from]};
    struct bytes body;

    fabricate_final(&told->run, told->chain, &told->job, &told->spec, &told->run.runners[runner],
                    &slot, &body);
    put(told, number, at_s, runner, token, slot);
    bytes_fini(&body);
}

/* Flip a bit of a slot; what follows continues the valid one before it. */
static void damage(struct told *told, uint64_t number)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes body;
    struct nero_err err;

    layout_slot(key, told->run.name, &told->job, number);
    bytes_init(&body, SLOT_BYTES_MAX);
    ok(storage_get(told->run.store, key, &body, NULL, &err), &err);
    body.data[body.bytes - 1] ^= 1; /* in the signature */
    ok(storage_put(told->run.store, key, bytes_as_view(&body), &err), &err);
    bytes_fini(&body);
}

static struct explain explain(const struct told *told)
{
    struct explain story;
    struct nero_err err;

    ok(explain_job(told->run.store, told->run.name, &told->job, &told->run.root.public_key, false,
                   &story, &err),
       &err);
    return story;
}

/* The text of the story. Owns: free(). */
static char *text_of(const struct explain *story)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    assert_non_null(out);
    explain_print_text(story, out);
    (void)fclose(out);
    return text;
}

/* Text from the line that begins with `from` on; what is before is told by the next test. */
static const char *tail_of(const char *text, const char *from)
{
    const char *at = strstr(text, from);

    if (at == NULL) {
        fail_msg("'%s' is not in\n%s", from, text);
    }
    return at;
}

static void write_story(struct told *told)
{
    struct hash before;

    take_over(told, 0, 0, 0, 1, false);
    commit(told, 1, 10, 0, 1, 1, 0, SLOT_INTERVAL);
    commit(told, 2, 20, 0, 1, 2, 0, SLOT_INTERVAL); /* then it is killed */
    take_over(told, 3, 65, 1, 2, false);
    commit(told, 4, 80, 1, 2, 3, 2, SLOT_NOTICE); /* preempted */
    take_over(told, 5, 90, 0, 3, false);
    before = told->prev;
    commit(told, 6, 95, 0, 3, 3, 4, SLOT_INTERVAL); /* then it is killed, and this is damaged */
    damage(told, 6);
    told->prev = before;
    take_over(told, 7, 120, 1, 4, true);
    commit(told, 8, 130, 1, 4, 2, 1, SLOT_MANUAL); /* slot 4's state was not whole */
    end(told, 9, STORY_SPAN_S, 1, 4, 1);
}

static void test_explain__tells_a_kill_a_preemption_and_damage(void **state)
{
    static const char format[] =
        "      +0.0 s  slot 0  attempt 1: claimed by runner %s, token 0000000100000001, class "
        "test-1\n"
        "     +10.0 s  slot 1    checkpoint (interval): update 1, epoch 1, training; 96 bytes; "
        "10.0 s after slot 0\n"
        "     +20.0 s  slot 2    checkpoint (interval): update 2, epoch 1, training; 96 bytes; "
        "10.0 s after slot 1\n"
        "   +1 m 05 s  slot 3  attempt 2: taken over by runner %s, token 0000000100000002, "
        "class test-1; 45.0 s after slot 2, the last of attempt 1 (lost)\n"
        "   +1 m 20 s  slot 4    checkpoint (notice): update 3, epoch 1, training; 96 bytes; "
        "began from slot 2; 15.0 s after slot 3; preempted: committed and given back\n"
        "   +1 m 30 s  slot 5  attempt 3: taken over by runner %s, token 0000000100000003, "
        "class not known; 10.0 s after slot 4, the last of attempt 2 (preempted)\n"
        "              slot 6  does not count, skipped: %s\n"
        "   +2 m 00 s  slot 7  attempt 4: taken over by runner %s, token 0000000100000004, "
        "class test-1; 30.0 s after slot 5, the last of attempt 3 (lost)\n"
        "   +2 m 10 s  slot 8    checkpoint (manual): update 2, epoch 1, training; 96 bytes; "
        "began from slot 1; 10.0 s after slot 7\n"
        "   +2 m 20 s  slot 9    final: stopped by %s, %s; %" PRIu64 " updates in %" PRIu32
        " epochs; C %.2f %% (%" PRIu32 " of %" PRIu32 "), A %.2f %% (%" PRIu32
        " of them); 10.0 s after slot 8\n"
        "  attempts 4: 1 preempted, 2 lost, 0 failed; 4 checkpoints, 1 slots that do not count\n"
        "  trained %.1f s as committed, of it 2.0 s (2 updates) done again\n"
        "  at most 1 m 15 s lost after the last slots of lost attempts; waited 10.0 s after other "
        "ends\n"
        "  not known: what 1 attempt(s) computed that committed nothing, or began from a slot that "
        "is damaged\n"
        "  not known: why lost attempts ended, and what they computed after their last slot\n"
        "NOT verified: 1 finding(s)\n"
        "  %s: does not count: %s\n";
    char runners[2][KEY_ID_HEX_BYTES];
    char expected[STORY_BYTES_MAX];
    char slot[LAYOUT_KEY_BYTES];
    const struct result_outcome *outcome;
    struct explain story;
    struct told told;
    char *text;

    (void)state;
    told_open(&told);
    write_story(&told);
    story = explain(&told);
    assert_non_null(story.terminal);
    outcome = &story.terminal->outcome;
    text = text_of(&story);
    assert_int_equal(story.event_count, 10);
    assert_false(explain_sound(&story));
    key_id_to_hex(runners[0], &told.run.runners[0].id);
    key_id_to_hex(runners[1], &told.run.runners[1].id);
    layout_slot(slot, told.run.name, &told.job, 6);
    (void)snprintf(expected, sizeof expected, format, runners[0], runners[1], runners[0],
                   story.events[6].fault, runners[1], result_stop_name(outcome->stop),
                   result_ill_name(outcome->ill), outcome->steps, outcome->epochs,
                   100 * result_clean_accuracy(outcome), outcome->correct, outcome->count,
                   100 * result_adversarial_accuracy(outcome), outcome->kept,
                   /* by the first, the second, and the last from slot 1 on */
                   2.0 + 1.0 + ((double)outcome->steps - 1.0), slot, story.events[6].fault);
    assert_string_equal(tail_of(text, "      +0.0 s"), expected);
    free(text);
    explain_fini(&story);
    told_close(&told);
}

/* The head of the story: what was submitted, and by whom; nothing has happened yet. */
static void test_explain__tells_what_was_submitted(void **state)
{
    char expected[STORY_BYTES_MAX];
    char hex[HASH_HEX_BYTES];
    struct explain story;
    struct told told;
    char *text;

    (void)state;
    told_open(&told);
    story = explain(&told);
    assert_true(explain_sound(&story));
    text = text_of(&story);
    hash_to_hex(hex, &told.job);
    (void)snprintf(expected, sizeof expected,
                   "job %s of run by-hand: open\n"
                   "  submitted: train, budget %s:%" PRIu64 ", seed %" PRIu64
                   ", numeric class any\n"
                   "  named by lineage 0, generation 0, slot 1 (random)\n"
                   "  genotype: %s\n"
                   "  network: %s\n"
                   "  learning: ",
                   hex, job_budget_name(told.spec.budget.kind), told.spec.budget.amount,
                   told.spec.seed, story.genotype, story.network);
    assert_int_equal(strncmp(text, expected, strlen(expected)), 0);
    assert_non_null(strstr(story.genotype, "features "));
    assert_non_null(strstr(story.network, " parameters, "));
    (void)tail_of(text, "no runner has claimed it yet\n  attempts 0: ");
    (void)tail_of(text, "\nverified: ");
    free(text);
    explain_fini(&story);
    told_close(&told);
}

/* The scheduler ends an attempt that said nothing; a takeover that is damaged leaves its commits.
 */
static void test_explain__tells_the_schedulers_word_and_a_damaged_takeover(void **state)
{
    struct slot failed = {
        .kind = SLOT_FAILED, .token = CHAIN_EPOCH_TOKEN(1), .text = "three times"};
    struct slot reopened = {
        .kind = SLOT_REOPENED, .token = CHAIN_EPOCH_TOKEN(1), .text = "retried by hand"};
    struct explain story;
    struct nero_err err;
    struct told told;
    char *text;

    (void)state;
    told_open(&told);
    take_over(&told, 0, 0, 0, 1, false);
    chain_close(told.chain);
    ok(chain_open(told.run.store, told.run.trust, &told.job, bytes_as_view(&told.envelope),
                  &told.chain, &err),
       &err);
    ok(chain_append(told.chain, &failed, &told.run.run_key, NULL, &err), &err);
    ok(chain_append(told.chain, &reopened, &told.run.run_key, NULL, &err), &err);
    told.prev = chain_tail(told.chain)->hash;
    take_over(&told, 3, STORY_SPAN_S, 1, 2, false);
    commit(&told, 4, STORY_SPAN_S + 1, 1, 2, 3, 0, SLOT_INTERVAL);
    damage(&told, 3);
    story = explain(&told);
    text = text_of(&story);
    assert_int_equal(story.attempt_count, 2);
    assert_int_equal(story.attempts[0].end, EXPLAIN_FAILED);
    assert_int_equal(story.totals.failed, 1);
    assert_int_equal(story.totals.lost, 0);
    assert_false(story.attempts[1].has_takeover);
    assert_string_equal(explain_end_name(&story, 1), "under way");
    (void)tail_of(text, "slot 1    failed by the scheduler: three times; ");
    (void)tail_of(text, "slot 2    reopened by the scheduler: retried by hand; ");
    (void)tail_of(text, "its takeover does not count: attempt 2: taken over by runner ");
    free(text);
    explain_fini(&story);
    told_close(&told);
}

/* ---- a whole search ---- */

static struct explain explain_of(const struct hash *job)
{
    struct explain story;
    struct nero_err err;

    ok(explain_job(world.run.store, world.run.name, job, &world.run.root.public_key, false, &story,
                   &err),
       &err);
    return story;
}

/* Every job of it is sound, named where it lies, and has had the attempts that it was given. */
static void test_explain__every_job_of_a_search_is_verified(void **state)
{
    uint32_t preempted = 0;
    uint32_t failed = 0;
    uint32_t jobs = 0;

    (void)state;
    for (uint32_t number = 0; number < world.run.options.generations; number++) {
        struct generation_stored closed;
        struct nero_err err;

        ok(generation_store_get(world.run.store, world.run.trust, world.run.name, 0, number,
                                GENERATION_CLOSED, &closed, &err),
           &err);
        for (uint32_t i = 0; i < closed.generation.member_count; i++) {
            const struct generation_member *member = &closed.generation.members[i];
            struct explain story;

            if (!member->has_job) {
                continue;
            }
            story = explain_of(&member->job);
            assert_true(explain_sound(&story));
            assert_non_null(story.terminal);
            assert_int_equal(story.place_count, 1);
            assert_int_equal(story.places[0].generation, number);
            assert_int_equal(story.places[0].member, i);
            assert_int_equal(story.rows, world.run.options.attempts);
            assert_int_equal(story.attempt_count, 1 + story.totals.preempted);
            assert_int_equal(story.totals.lost + story.totals.damaged, 0);
            preempted += story.totals.preempted;
            failed += story.totals.failed;
            jobs++;
            explain_fini(&story);
        }
        generation_stored_fini(&closed);
    }
    assert_int_equal(failed, 1);
    assert_int_equal(preempted, (jobs + 1) / 2);
}

/* What the job rests on, one object at a time: it is named, and the story does not hold. */
static void test_explain__names_whatever_is_wrong(void **state)
{
    struct generation_stored closed;
    struct nero_err err;
    struct hash job;
    char hex[HASH_HEX_BYTES];
    uint32_t objects = 0;

    (void)state;
    ok(generation_store_get(world.run.store, world.run.trust, world.run.name, 0, 1,
                            GENERATION_CLOSED, &closed, &err),
       &err);
    job = closed.generation.members[1].job;
    generation_stored_fini(&closed);
    hash_to_hex(hex, &job);
    for (uint32_t i = 0; i < world.key_count; i++) {
        const char *key = world.keys[i];
        struct explain story;
        struct bytes body;
        char *text;

        if (strstr(key, hex) == NULL && strcmp(key, "runs/made-up/run") != 0 &&
            strcmp(key, "runs/made-up/gen/0/00000001/closed") != 0) {
            continue;
        }
        body = audit_world_read(key);
        body.data[body.bytes - 1] ^= 1;
        audit_world_write(key, bytes_as_view(&body));
        story = explain_of(&job);
        text = text_of(&story);
        assert_false(explain_sound(&story));
        assert_non_null(strstr(text, "NOT verified: "));
        (void)tail_of(text, strstr(key, "/gen/") != NULL ? "generation 1" : key);
        free(text);
        explain_fini(&story);
        body.data[body.bytes - 1] ^= 1;
        audit_world_write(key, bytes_as_view(&body));
        bytes_fini(&body);
        objects++;
    }
    assert_true(objects >= 5); /* run, generation, spec, result, slots */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_explain__tells_a_kill_a_preemption_and_damage),
        cmocka_unit_test(test_explain__tells_what_was_submitted),
        cmocka_unit_test(test_explain__tells_the_schedulers_word_and_a_damaged_takeover),
        cmocka_unit_test(test_explain__every_job_of_a_search_is_verified),
        cmocka_unit_test(test_explain__names_whatever_is_wrong),
    };

    const struct CMUnitTest of_rows[] = {
        cmocka_unit_test(test_explain__every_job_of_a_search_is_verified),
        cmocka_unit_test(test_explain__names_whatever_is_wrong),
    };
    int failed = cmocka_run_group_tests(tests, audit_world_setup, audit_world_teardown);

    return failed + cmocka_run_group_tests_name("attempt mode", of_rows, audit_world_setup_attempts,
                                                audit_world_teardown);
}
