/*
 * Goal: C1 to C4 of queue/DESIGN.md, and that nothing but a verdict on bytes makes a slot invalid.
 * Method: scenarios on a memory store; bytes crafted and damaged by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "tests/support/chain_world.h"

/* ---- one owner ---- */

static void test_chain__takeover_checkpoint_final(void **state)
{
    struct actor a = actor_of(5, 9, 0);
    const struct chain_entry *entry;
    struct slot slot = slot_of(&a, SLOT_CHECKPOINT);

    (void)state;
    assert_null(chain_tail(a.chain));
    assert_null(chain_checkpoint(a.chain, NULL));
    REFUSED(NERO_INVALID, append(&a, SLOT_CHECKPOINT)); /* not taken over */
    OK(take_over(&a));
    OK(chain_append(a.chain, &slot, a.key, &entry, E));
    assert_int_equal(entry->number, 1);
    assert_true(bytes_view_equal(entry->slot.body, bytes_view_str("body")));
    assert_string_equal(entry->slot.run, CHAIN_WORLD_RUN);
    assert_ptr_equal(chain_checkpoint(a.chain, NULL), entry);
    assert_null(chain_checkpoint(a.chain, entry));
    OK(append(&a, SLOT_CHECKPOINT));
    assert_int_equal(chain_checkpoint(a.chain, chain_at(a.chain, 2))->number, 1);
    assert_null(chain_terminal(a.chain));
    OK(append(&a, SLOT_FINAL));
    assert_int_equal(chain_terminal(a.chain)->number, 3);
    REFUSED(NERO_CONFLICT, append(&a, SLOT_CHECKPOINT));
    REFUSED(NERO_CONFLICT, append(&a, SLOT_FINAL));
    REFUSED(NERO_CONFLICT, take_over(&a));
    chain_is("TCCF");
    chain_close(a.chain);
}

static void test_chain__zombie_is_stale(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct actor b = actor_of(2, 2, 1);
    struct actor same_token = actor_of(2, 3, 2);
    struct actor late;

    (void)state;
    OK(take_over(&a));
    OK(append(&a, SLOT_CHECKPOINT));
    OK(take_over(&b));
    REFUSED(NERO_STALE, append(&a, SLOT_CHECKPOINT)); /* found by the number being taken */
    REFUSED(NERO_STALE, append(&a, SLOT_FINAL));      /* known by now */
    REFUSED(NERO_STALE, take_over(&same_token));      /* a token given twice: the second loses */
    late = actor_of(1, 7, 3);
    REFUSED(NERO_STALE, take_over(&late)); /* read first, nothing written */
    OK(append(&b, SLOT_FINAL));
    chain_is("TCTF");
    chain_close(a.chain);
    chain_close(b.chain);
    chain_close(same_token.chain);
    chain_close(late.chain);
}

static void test_chain__late_slot_of_a_lower_token_is_adopted(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct actor b;
    struct actor c;

    (void)state;
    OK(take_over(&a));
    b = actor_of(2, 2, 1); /* has read one slot */
    OK(append(&a, SLOT_CHECKPOINT));
    OK(append(&a, SLOT_CHECKPOINT));
    OK(take_over(&b));
    assert_int_equal(chain_checkpoint(b.chain, NULL)->number, 2);
    chain_is("TCCT");
    c = actor_of(3, 3, 2);
    OK(append(&b, SLOT_FINAL)); /* a late final */
    REFUSED(NERO_CONFLICT, take_over(&c));
    assert_int_equal(chain_terminal(c.chain)->number, 4);
    chain_close(a.chain);
    chain_close(b.chain);
    chain_close(c.chain);
}

/* ---- terminal rules ---- */

static void test_chain__only_the_scheduler_reopens(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct actor b;

    (void)state;
    REFUSED(NERO_CONFLICT, by_scheduler(SLOT_REOPENED)); /* not closed */
    OK(take_over(&a));
    REFUSED(NERO_INVALID, append(&a, SLOT_CANCELLED));
    REFUSED(NERO_CONFLICT, by_scheduler(SLOT_REOPENED));
    OK(by_scheduler(SLOT_CANCELLED));
    REFUSED(NERO_CONFLICT, append(&a, SLOT_CHECKPOINT));
    REFUSED(NERO_CONFLICT, by_scheduler(SLOT_CANCELLED));
    REFUSED(NERO_CONFLICT, append(&a, SLOT_REOPENED));
    OK(by_scheduler(SLOT_REOPENED));
    OK(chain_refresh(a.chain, E));
    REFUSED(NERO_STALE, append(&a, SLOT_CHECKPOINT)); /* owners from before are out */
    REFUSED(NERO_STALE, take_over(&a));
    b = actor_of(2, 2, 1);
    OK(take_over(&b)); /* the next token of the same epoch will do */
    OK(append(&b, SLOT_FAILED));
    OK(by_scheduler(SLOT_REOPENED));
    chain_close(b.chain);
    b = actor_of(3, 3, 1);
    OK(take_over(&b));
    OK(by_scheduler(SLOT_FAILED));
    OK(by_scheduler(SLOT_REOPENED));
    chain_close(b.chain);
    b = actor_of(4, 4, 1);
    OK(take_over(&b));
    OK(append(&b, SLOT_FINAL));
    REFUSED(NERO_CONFLICT, by_scheduler(SLOT_REOPENED)); /* a final stays */
    chain_is("TLRTXRTXRTF");
    chain_close(a.chain);
    chain_close(b.chain);
}

/* ---- bytes of all kinds ---- */

/* A well-formed slot at the end of what is stored, to be spoiled by the caller. */
static struct slot next_slot(const struct actor *actor, enum slot_kind kind)
{
    struct slot slot = slot_of(actor, kind);
    const struct chain_entry *tail;

    OK(chain_refresh(actor->chain, E));
    tail = chain_tail(actor->chain);
    memcpy(slot.run, CHAIN_WORLD_RUN, sizeof CHAIN_WORLD_RUN);
    slot.job = world.job;
    slot.number = chain_count(actor->chain);
    slot.prev = tail != NULL ? tail->hash : hash_of(bytes_as_view(&world.envelope));
    for (uint64_t i = tail != NULL ? tail->number + 1 : 0; i < slot.number; i++) {
        slot.skipped[slot.skipped_count++] = i;
    }
    slot.wall_ms = clock_wall_ms(clock_system());
    return slot;
}

static void test_chain__crafted_slots_are_skipped(void **state)
{
    struct actor a = actor_of(10, 1, 0);
    struct key_pair stranger;
    struct hash other = hash_of(bytes_view_str("another job"));
    struct actor b;
    struct slot slot;

    (void)state;
    key_pair_generate(&stranger);
    OK(take_over(&a));
    slot = next_slot(&a, SLOT_CHECKPOINT);
    chain_world_put(&slot, &stranger); /* nobody's key */
    chain_is("T-");
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.job = other;
    chain_world_put(&slot, a.key); /* replayed from another job */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    memcpy(slot.run, "run-2", 6);
    chain_world_put(&slot, a.key); /* or run */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.prev = other;
    chain_world_put(&slot, a.key); /* continues nothing */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.skipped_count--;
    chain_world_put(&slot, a.key); /* hides what it skipped */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.nonce++;
    chain_world_put(&slot, a.key); /* of a claim that never took over */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.token--;
    chain_world_put(&slot, a.key);
    slot = next_slot(&a, SLOT_TAKEOVER);
    slot.token--;
    chain_world_put(&slot, a.key); /* a zombie's takeover */
    slot = next_slot(&a, SLOT_TAKEOVER);
    slot.nonce++;
    chain_world_put(&slot, a.key); /* one token, two claims */
    slot = next_slot(&a, SLOT_CANCELLED);
    chain_world_put(&slot, a.key); /* not the runner's to say */
    slot = next_slot(&a, SLOT_REOPENED);
    chain_world_put(&slot, &world.run_key); /* nothing to reopen */
    chain_is("T-----------");
    OK(append(&a, SLOT_CHECKPOINT)); /* the owner goes on and lists them */
    assert_int_equal(chain_tail(a.chain)->slot.skipped_count, 11);
    OK(append(&a, SLOT_FAILED));
    slot = next_slot(&a, SLOT_CHECKPOINT);
    chain_world_put(&slot, a.key); /* after a terminal slot */
    slot = next_slot(&a, SLOT_REOPENED);
    chain_world_put(&slot, a.key);
    chain_is("T-----------CX--");
    OK(by_scheduler(SLOT_REOPENED));
    b = actor_of(11, 1, 1);
    OK(take_over(&b));
    OK(append(&b, SLOT_FINAL));
    slot = next_slot(&a, SLOT_REOPENED);
    chain_world_put(&slot, &world.run_key); /* not even the scheduler, after a final */
    chain_is("T-----------CX--RTF-");
    key_pair_fini(&stranger);
    chain_close(a.chain);
    chain_close(b.chain);
}

static void test_chain__damaged_slots_are_skipped_and_listed(void **state)
{
    static uint8_t big[SLOT_BYTES_MAX + 1];
    struct actor a = actor_of(1, 1, 0);
    struct actor b;
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    OK(take_over(&a));
    OK(append(&a, SLOT_CHECKPOINT));
    OK(append(&a, SLOT_CHECKPOINT));
    chain_world_damage(2);
    chain_is("TC-");
    layout_slot(key, CHAIN_WORLD_RUN, &world.job, 3);
    OK(storage_put(world.store, key, bytes_view_of(big, sizeof big), E));
    layout_slot(key, CHAIN_WORLD_RUN, &world.job, 4);
    OK(storage_put(world.store, key, bytes_view_of(big, 0), E));
    b = actor_of(2, 2, 1);
    assert_int_equal(chain_count(b.chain), 5);
    assert_int_equal(chain_checkpoint(b.chain, NULL)->number, 1); /* falls back */
    assert_int_equal(chain_at(b.chain, 3)->stored.bytes, 0);
    OK(take_over(&b));
    assert_int_equal(chain_tail(b.chain)->number, 5);
    assert_int_equal(chain_tail(b.chain)->slot.skipped_count, 3);
    /* a read slot 2 before it was damaged, sees 5 pass it over, and agrees on the tail. */
    REFUSED(NERO_STALE, append(&a, SLOT_CHECKPOINT));
    assert_int_equal(chain_tail(a.chain)->number, 5);
    assert_false(chain_at(a.chain, 2)->valid);
    assert_non_null(strstr(chain_at(a.chain, 2)->fault, "passed over"));
    OK(append(&b, SLOT_FINAL));
    chain_is("TC---TF");
    chain_close(a.chain);
    chain_close(b.chain);
}

static void test_chain__what_was_written_on_top_of_damage_counts(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct actor b;
    struct actor c;

    (void)state;
    OK(take_over(&a));
    OK(append(&a, SLOT_CHECKPOINT));
    b = actor_of(2, 2, 1);
    OK(take_over(&b));
    OK(append(&b, SLOT_CHECKPOINT));
    chain_world_damage(2); /* the takeover */
    chain_is("TC-C");
    REFUSED(NERO_STALE, append(&a, SLOT_CHECKPOINT));
    OK(append(&b, SLOT_CHECKPOINT));
    OK(by_scheduler(SLOT_CANCELLED));
    OK(by_scheduler(SLOT_REOPENED));
    c = actor_of(3, 3, 2);
    chain_world_damage(6); /* the reopening: its successor shows that there was one */
    OK(take_over(&c));
    OK(append(&c, SLOT_CHECKPOINT));
    OK(append(&c, SLOT_FINAL));
    chain_is("TC-CCL-TCF");
    chain_world_damage(8);
    chain_is("TC-CCL-T-F"); /* the result stays */
    chain_close(a.chain);
    chain_close(b.chain);
    chain_close(c.chain);
}

/* A well-signed slot of a claim that took nothing over commits nothing, yet shows that there is a
 * newer claim. */
static void test_chain__a_commit_without_takeover_is_invalid(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct actor b = actor_of(2, 2, 1);
    struct slot slot;

    (void)state;
    OK(take_over(&a));
    slot = next_slot(&b, SLOT_CHECKPOINT);
    chain_world_put(&slot, b.key);
    chain_is("T-");
    REFUSED(NERO_STALE, append(&a, SLOT_CHECKPOINT));
    OK(take_over(&b));
    OK(append(&b, SLOT_CHECKPOINT));
    chain_is("T-TC");
    chain_close(a.chain);
    chain_close(b.chain);
}

/* Damage is read twice before it is believed: here the first read only is spoilt. */
static void test_chain__damage_in_transfer_is_read_again(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct chain *chain;

    (void)state;
    OK(take_over(&a));
    storage_fault_set(world.control, (struct storage_fault_plan){.nth = 1, .status = NERO_TOO_BIG});
    chain = chain_world_open(trust);
    assert_int_equal(storage_fault_fired(world.control), 1);
    storage_fault_set(world.control, (struct storage_fault_plan){0});
    assert_true(chain_at(chain, 0)->valid);
    chain_close(chain);
    chain_close(a.chain);
}

static void test_chain__a_transfer_error_is_no_damage(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct chain *chain = NULL;

    (void)state;
    OK(take_over(&a));
    storage_fault_set(world.control, (struct storage_fault_plan){.nth = 1, .status = NERO_CORRUPT});
    REFUSED(NERO_UNAVAILABLE,
            chain_open(world.store, trust, &world.job, bytes_as_view(&world.envelope), &chain, E));
    storage_fault_set(world.control, (struct storage_fault_plan){0});
    chain_close(a.chain);
}

static void test_chain__too_many_damaged_in_a_row_is_an_error(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    OK(take_over(&a));
    for (uint64_t i = 1; i <= SLOT_SKIPPED_MAX + 1; i++) {
        layout_slot(key, CHAIN_WORLD_RUN, &world.job, i);
        OK(storage_put(world.store, key, bytes_view_str("x"), E));
    }
    REFUSED(NERO_CORRUPT, append(&a, SLOT_CHECKPOINT));
    chain_close(a.chain);
}

/* The largest body with everything else at its limit fits into 64 KiB; a larger one is refused. */
static void test_chain__a_slot_is_at_most_64_kib(void **state)
{
    static uint8_t body[SLOT_BYTES_MAX];
    struct actor a = actor_of(1, 1, 0);
    struct slot slot = slot_of(&a, SLOT_CHECKPOINT);
    size_t bytes = sizeof body;

    (void)state;
    OK(take_over(&a));
    slot.blob_count = SLOT_BLOBS_MAX;
    for (unsigned i = 0; i < SLOT_BLOBS_MAX; i++) {
        (void)snprintf(slot.blobs[i].role, sizeof slot.blobs[i].role, "blob-with-no-%02u", i);
        slot.blobs[i].bytes = UINT64_MAX;
    }
    do {
        slot.body = bytes_view_of(body, bytes);
        bytes -= 1024;
        if (bytes > 60 * 1024) {
            assert_int_not_equal(chain_append(a.chain, &slot, a.key, NULL, E), NERO_OK);
            chain_is("T");
        }
    } while (bytes > 60 * 1024);
    slot.body.bytes = 60 * 1024;
    OK(chain_append(a.chain, &slot, a.key, NULL, E));
    assert_true(chain_tail(a.chain)->stored.bytes <= SLOT_BYTES_MAX);
    chain_is("TC");
    chain_close(a.chain);
}

/* ---- blobs ---- */

static uint64_t puts_of(struct chain *chain, const char *text)
{
    struct hash hash;

    storage_fault_set(world.control, (struct storage_fault_plan){.operations = STORAGE_FAULT_PUT});
    OK(chain_put_blob(chain, bytes_view_str(text), &hash, E));
    return storage_fault_calls(world.control);
}

static void test_chain__blobs_are_verified_and_heal(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct actor b;
    struct hash hash;
    struct bytes out;
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    bytes_init(&out, 1000);
    OK(bytes_append(&out, "<", 1, E));
    OK(take_over(&a));
    OK(chain_put_blob(a.chain, bytes_view_str("state"), &hash, E));
    OK(chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 5, NULL, &out, E));
    assert_true(bytes_view_equal(bytes_as_view(&out), bytes_view_str("<state")));
    REFUSED(NERO_TOO_BIG, chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 4, NULL, &out, E));
    layout_blob(key, CHAIN_WORLD_RUN, &hash);
    OK(storage_put(world.store, key, bytes_view_str("stat3"), E));
    REFUSED(NERO_CORRUPT, chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 5, NULL, &out, E));
    assert_int_equal(out.bytes, 6);
    OK(chain_put_blob(a.chain, bytes_view_str("state"), &hash, E)); /* heals */
    OK(chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 5, NULL, &out, E));
    OK(storage_remove(world.store, key, E));
    REFUSED(NERO_NOT_FOUND, chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 5, NULL, &out, E));
    /* Skipped only while one of the three newest checkpoints of this very attempt names it. */
    assert_int_equal(puts_of(a.chain, "state"), 1);
    OK(append(&a, SLOT_CHECKPOINT)); /* names "state", 5 bytes */
    assert_int_equal(puts_of(a.chain, "state"), 0);
    assert_int_equal(puts_of(a.chain, "other"), 1);
    b = actor_of(2, 2, 1);
    OK(take_over(&b));
    assert_int_equal(puts_of(b.chain, "state"), 1); /* another attempt's may be damaged */
    for (int i = 0; i < 3; i++) {
        struct slot slot = slot_of(&b, SLOT_CHECKPOINT);

        slot.blobs[0].hash = hash_of(bytes_view_str(i == 0 ? "state" : "other"));
        OK(chain_append(b.chain, &slot, b.key, NULL, E));
        assert_int_equal(puts_of(b.chain, "state"), 0);
    }
    OK(append(&b, SLOT_CHECKPOINT));
    chain_close(b.chain);
    b = actor_of(2, 2, 1);
    assert_int_equal(puts_of(b.chain, "state"), 1); /* the same claim, another chain object */
    storage_fault_set(world.control, (struct storage_fault_plan){0});
    chain_close(a.chain);
    chain_close(b.chain);
    bytes_fini(&out);
}

/* A clock that is before the certificate (by more than the slack of 10 min) for a while: nothing is
 * signed then, and the same append succeeds afterwards. */
static void test_chain__a_clock_put_right_signs_again(void **state)
{
    struct actor a = actor_of(1, 1, 0);
    struct key_pair key;

    (void)state;
    key_pair_generate(&key);
    chain_world_certify(&key, CHAIN_WORLD_RUN, KEYS_USE_SLOTS, 600000 + 400, 3600000);
    a.key = &key;
    REFUSED(NERO_DENIED, take_over(&a));
    clock_sleep_ms(clock_system(), 500);
    OK(take_over(&a));
    OK(append(&a, SLOT_FINAL));
    chain_close(a.chain);
}

/* ---- attempts without progress ---- */

static void lost_is(uint32_t expected)
{
    struct chain *chain = chain_world_open(trust);

    assert_int_equal(chain_lost_attempts(chain), expected);
    chain_close(chain);
}

/* Attempt n takes over, and commits where it has units; then so many are lost. */
static void test_chain__counts_attempts_without_progress(void **state)
{
    static const struct {
        uint64_t units;
        enum slot_reason reason;
        uint32_t lost;
    } attempts[] = {
        {0, 0, 0},             /* it may live */
        {0, 0, 1},             /* the first is dead */
        {0, 0, 2},             /* the second */
        {5, SLOT_INTERVAL, 0}, /* progress heals */
        {5, SLOT_INTERVAL, 1}, /* done again: no progress */
        {5, SLOT_NOTICE, 2},   /* and given back */
        {0, 0, 2},             /* so that it was not lost */
        {6, SLOT_NOTICE, 0},   /* progress, and given back */
        {0, 0, 0},
        {0, 0, 1},
    };

    (void)state;
    lost_is(0);
    for (uint64_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        struct actor actor = actor_of(i + 1, i + 1, 0);

        OK(take_over(&actor));
        if (attempts[i].units > 0) {
            OK(commit_because(&actor, attempts[i].units, attempts[i].reason));
        }
        lost_is(attempts[i].lost);
        chain_close(actor.chain);
    }
    OK(by_scheduler(SLOT_FAILED));
    OK(by_scheduler(SLOT_REOPENED));
    lost_is(0);
}

/* ---- two leaders ---- */

/* Where a later one has left a mark in the chain, a former one's word is not taken any more. */
static void test_chain__a_former_leader_is_stale(void **state)
{
    struct actor a = actor_of(CHAIN_EPOCH_TOKEN(5) + 9, 1, 0);
    struct actor b = actor_of(CHAIN_EPOCH_TOKEN(6) + 1, 2, 1);
    struct actor c = actor_of(CHAIN_EPOCH_TOKEN(6) + 2, 3, 1);
    struct actor asleep;

    (void)state;
    OK(take_over(&a));
    REFUSED(NERO_STALE, led_by(4, SLOT_CANCELLED));
    asleep = leader_of(5);
    OK(take_over(&b)); /* a claim is a mark, also where the former leader has not read it */
    REFUSED(NERO_STALE, append(&asleep, SLOT_FAILED));
    /* No mark of epoch 7 yet: as if it had come before the succession. */
    OK(led_by(6, SLOT_CANCELLED));
    OK(led_by(7, SLOT_REOPENED)); /* a control slot is a mark */
    REFUSED(NERO_STALE, led_by(6, SLOT_FAILED));
    OK(chain_refresh(c.chain, E));
    REFUSED(NERO_STALE, take_over(&c)); /* claims of former epochs are out as well */
    chain_close(c.chain);
    c = actor_of(CHAIN_EPOCH_TOKEN(7) + 1, 4, 1);
    OK(take_over(&c)); /* and the first of this one is in */
    OK(led_by(7, SLOT_FAILED));
    chain_is("TTLRTX");
    chain_close(a.chain);
    chain_close(b.chain);
    chain_close(c.chain);
    chain_close(asleep.chain);
}
#define TEST(name) cmocka_unit_test_setup_teardown(test_chain__##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(takeover_checkpoint_final),
        TEST(zombie_is_stale),
        TEST(late_slot_of_a_lower_token_is_adopted),
        TEST(only_the_scheduler_reopens),
        TEST(crafted_slots_are_skipped),
        TEST(damaged_slots_are_skipped_and_listed),
        TEST(what_was_written_on_top_of_damage_counts),
        TEST(a_commit_without_takeover_is_invalid),
        TEST(damage_in_transfer_is_read_again),
        TEST(a_transfer_error_is_no_damage),
        TEST(too_many_damaged_in_a_row_is_an_error),
        TEST(a_slot_is_at_most_64_kib),
        TEST(blobs_are_verified_and_heal),
        TEST(a_clock_put_right_signs_again),
        TEST(counts_attempts_without_progress),
        TEST(a_former_leader_is_stale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
