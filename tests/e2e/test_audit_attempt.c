/*
 * Goal: in attempt mode the audit lists forks and is clean all the same, believes what the records
 * accepted, and finds what is wrong. Method: a fabricated run; finals of further attempts made of
 * its own, signed as a runner would; every object of a chain removed and flipped in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audit_world.h"
#include "nero/chain.h"
#include "nero/clock.h"
#include "nero/job.h"

/* A job that was preempted: its chain has a row of each runner, the second with the final slot. */
struct forked {
    struct hash job;
    struct bytes envelope;
    struct chain *chain;
    const struct chain_entry *checkpoint;
    const struct chain_entry *final;
};

static void open_chain(struct forked *forked)
{
    char key[LAYOUT_KEY_BYTES];
    struct nero_err err;

    layout_spec(key, world.run.name, &forked->job);
    bytes_init(&forked->envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    fabricate_check(storage_get(world.run.store, key, &forked->envelope, NULL, &err), &err, "spec");
    fabricate_check(chain_open(world.run.store, world.run.trust, &forked->job,
                               bytes_as_view(&forked->envelope), &forked->chain, &err),
                    &err, "chain");
    forked->checkpoint = chain_checkpoint(forked->chain, NULL);
    forked->final = chain_terminal(forked->chain);
}

static void close_chain(struct forked *forked)
{
    chain_close(forked->chain);
    bytes_fini(&forked->envelope);
}

static struct forked find_forked(void)
{
    static const char folder[] = "/result/";
    struct forked forked;

    for (uint32_t i = 0; i < world.key_count; i++) {
        struct nero_err err;

        if (strstr(world.keys[i], folder) == NULL) {
            continue;
        }
        assert_int_equal(hash_from_hex(&forked.job, strrchr(world.keys[i], '/') + 1, &err),
                         NERO_OK);
        open_chain(&forked);
        if (forked.checkpoint != NULL && forked.final != NULL &&
            forked.checkpoint->slot.token != forked.final->slot.token) {
            return forked;
        }
        close_chain(&forked);
    }
    fail_msg("no job of two attempts");
    return forked;
}

/* The first runner's own final, in its row at `token`; `correct` more images are called right. */
static void put_final(const struct forked *forked, uint64_t token, uint64_t number,
                      const struct hash *prev, uint32_t fewer, char key[LAYOUT_KEY_BYTES])
{
    const struct key_pair *runner = &world.run.runners[0];
    struct slot slot = forked->final->slot;
    struct result result;
    struct bytes outcome;
    struct bytes body;
    struct bytes payload;
    struct nero_err err;

    result_init(&result);
    bytes_init(&outcome, RESULT_BYTES_MAX);
    bytes_init(&body, RESULT_BYTES_MAX);
    bytes_init(&payload, SLOT_BYTES_MAX);
    fabricate_check(result_decode(slot.body, &result, NULL, &err), &err, "result");
    result.outcome.kept -= fewer;
    memcpy(result.provenance.runner, runner->id.data, sizeof result.provenance.runner);
    fabricate_check(result_outcome_encode(&result.outcome, &outcome, &err), &err, "outcome");
    fabricate_check(result_encode(bytes_as_view(&outcome), &result.provenance, &body, &err), &err,
                    "result");
    slot.body = bytes_as_view(&body);
    slot.token = token;
    slot.nonce = forked->checkpoint->slot.nonce;
    slot.number = number;
    slot.prev = *prev;
    fabricate_check(slot_encode(&slot, &payload, &err), &err, "slot");
    layout_attempt_slot(key, world.run.name, &forked->job, slot.token, slot.nonce, number);
    fabricate_put(&world.run, key, ENVELOPE_SLOT, bytes_as_view(&payload), runner);
    result_fini(&result);
    bytes_fini(&outcome);
    bytes_fini(&body);
    bytes_fini(&payload);
}

/* Clean, with so many forks. */
static void assert_forks(uint32_t wanted, const char *key)
{
    struct audit_report report = audit_world_audit();
    bool named = wanted == 0;

    if (report.finding_count > 0) {
        fail_msg("%s: %s", report.findings[0].artifact, report.findings[0].what);
    }
    assert_int_equal(report.note_count, wanted);
    for (uint32_t i = 0; i < report.note_count; i++) {
        named = named || strcmp(report.notes[i].artifact, key) == 0;
    }
    assert_true(named);
    audit_report_fini(&report);
}

static void test_audit_attempt__lists_forks_and_is_clean(void **state)
{
    struct forked forked = find_forked();
    uint64_t token = forked.checkpoint->slot.token;
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    assert_forks(0, NULL);
    put_final(&forked, token, forked.checkpoint->number + 1, &forked.checkpoint->hash, 0, key);
    assert_forks(1, key);
    audit_world_remove(key);
    assert_forks(0, NULL);
    close_chain(&forked);
}

/* A later final of a higher token is in force for who looks now; the record names the other. */
static void test_audit_attempt__believes_what_a_record_accepted(void **state)
{
    struct forked forked = find_forked();
    uint64_t token = forked.final->slot.token + 1000;
    char accepted[LAYOUT_KEY_BYTES];
    char takeover[LAYOUT_KEY_BYTES];
    char key[LAYOUT_KEY_BYTES];
    struct slot slot = {.kind = SLOT_TAKEOVER,
                        .token = token,
                        .nonce = forked.checkpoint->slot.nonce,
                        .job = forked.job,
                        .prev = forked.checkpoint->hash,
                        .wall_ms = clock_wall_ms(clock_system())};
    struct bytes payload;
    struct bytes stored;
    struct hash prev;
    struct nero_err err;

    (void)state;
    memcpy(slot.run, world.run.name, sizeof slot.run);
    bytes_init(&payload, SLOT_BYTES_MAX);
    fabricate_check(slot_encode(&slot, &payload, &err), &err, "slot");
    layout_attempt_slot(takeover, world.run.name, &forked.job, token, slot.nonce, 0);
    fabricate_put(&world.run, takeover, ENVELOPE_SLOT, bytes_as_view(&payload),
                  &world.run.runners[0]);
    stored = audit_world_read(takeover);
    prev = hash_of(bytes_as_view(&stored));
    put_final(&forked, token, 1, &prev, 0, key);
    chain_key(forked.chain, forked.final, accepted);
    assert_forks(1, accepted);
    /* Another outcome in the same class is no fork but a finding. */
    put_final(&forked, token, 1, &prev, 1, key);
    audit_world_found(key, "a final of another outcome");
    audit_world_remove(key);
    audit_world_remove(takeover);
    assert_forks(0, NULL);
    bytes_fini(&payload);
    bytes_fini(&stored);
    close_chain(&forked);
}

/*
 * Every slot of a job of two attempts, removed or flipped. The last of a row that another continues
 * can only be missed by that one.
 */
static void test_audit_attempt__misses_every_slot(void **state)
{
    struct forked forked = find_forked();
    uint64_t count = chain_count(forked.chain);

    (void)state;
    assert_true(count >= 4);
    for (uint64_t i = 0; i < count; i++) {
        const struct chain_entry *entry = chain_at(forked.chain, i);
        char key[LAYOUT_KEY_BYTES];
        char heir[LAYOUT_KEY_BYTES];
        struct bytes body;

        chain_key(forked.chain, entry, key);
        chain_key(forked.chain, chain_at(forked.chain, i + 1 < count ? i + 1 : i), heir);
        body = audit_world_read(key);
        audit_world_remove(key);
        audit_world_found(entry == forked.checkpoint ? heir : key, "removed");
        body.data[body.bytes / 2] ^= 1;
        audit_world_write(key, bytes_as_view(&body));
        audit_world_found(key, "flipped");
        body.data[body.bytes / 2] ^= 1;
        audit_world_write(key, bytes_as_view(&body));
        bytes_fini(&body);
    }
    assert_forks(0, NULL);
    close_chain(&forked);
}

/* What the other mode would have written has no place in this one. */
static void test_audit_attempt__knows_the_layout_of_its_mode(void **state)
{
    struct forked forked = find_forked();
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    layout_slot(key, world.run.name, &forked.job, 0);
    audit_world_write(key, forked.final->stored);
    audit_world_found(key, "a slot beside the rows");
    audit_world_remove(key);
    audit_world_clean();
    close_chain(&forked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit_attempt__lists_forks_and_is_clean),
        cmocka_unit_test(test_audit_attempt__believes_what_a_record_accepted),
        cmocka_unit_test(test_audit_attempt__misses_every_slot),
        cmocka_unit_test(test_audit_attempt__knows_the_layout_of_its_mode),
    };

    return cmocka_run_group_tests(tests, audit_world_setup_attempts, audit_world_teardown);
}
