/*
 * Goal: C1 to C4 of queue/DESIGN.md hold, no two owners commit, and nothing but a verdict on bytes
 * makes a slot invalid. Method: scenarios on a memory store, bytes crafted and damaged by hand,
 * every call of the store failing in turn, races of threads, random interleavings.
 */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/rng.h"
#include "tests/support/chain_world.h"

static struct chain_world world;
static struct trust *trust;

#define E (&world.err)
#define OK(call) expect_status(NERO_OK, (call), __FILE__, __LINE__)
#define REFUSED(status, call) expect_status((status), (call), __FILE__, __LINE__)

static void expect_status(enum nero_status expected, enum nero_status got, const char *file,
                          int line)
{
    if (got != expected) {
        print_error("expected %s, got %s: %s\n", err_status_name(expected), err_status_name(got),
                    got == NERO_OK ? "" : world.err.message);
        _fail(file, line);
    }
}

static int set_up(void **state)
{
    (void)state;
    chain_world_make(&world);
    trust = chain_world_trust(&world);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)chain_world_check(&world);
    trust_close(trust);
    chain_world_end(&world);
    return 0;
}

/* An attempt: a chain object with its claim. */
struct actor {
    struct chain *chain;
    uint64_t token;
    uint64_t nonce;
    const struct key_pair *key;
};

static struct actor actor_of(uint64_t token, uint64_t nonce, int runner)
{
    return (struct actor){.chain = chain_world_open(&world, trust),
                          .token = token,
                          .nonce = nonce,
                          .key = &world.runners[runner]};
}

static enum nero_status take_over(struct actor *actor)
{
    return chain_takeover(actor->chain, actor->token, actor->nonce, 0, actor->key, E);
}

static struct slot slot_of(const struct actor *actor, enum slot_kind kind)
{
    struct slot slot = {
        .kind = kind, .token = actor->token, .nonce = actor->nonce, .reason = SLOT_INTERVAL};

    if (kind == SLOT_CHECKPOINT) {
        slot.blob_count = 1;
        memcpy(slot.blobs[0].role, "state", 6);
        slot.blobs[0].hash = hash_of(bytes_view_str("state"));
        slot.blobs[0].bytes = 5;
    }
    if (kind == SLOT_CHECKPOINT || kind == SLOT_FINAL) {
        slot.body = bytes_view_str("body");
    }
    if (kind == SLOT_FAILED || kind == SLOT_CANCELLED) {
        memcpy(slot.text, "why", 4);
    }
    return slot;
}

static enum nero_status append(struct actor *actor, enum slot_kind kind)
{
    struct slot slot = slot_of(actor, kind);

    return chain_append(actor->chain, &slot, actor->key, NULL, E);
}

static enum nero_status by_scheduler(enum slot_kind kind)
{
    struct actor scheduler = actor_of(0, 0, 0);
    enum nero_status status;

    scheduler.key = &world.run_key;
    status = append(&scheduler, kind);
    chain_close(scheduler.chain);
    return status;
}

/* The stored chain as kinds, "-" for an invalid slot: "TC-F". */
static void chain_is(const char *expected)
{
    struct trust *fresh = chain_world_trust(&world);
    struct chain *chain = chain_world_open(&world, fresh);
    char kinds[64] = "";

    for (uint64_t i = 0; i < chain_count(chain) && i < 60; i++) {
        const struct chain_entry *entry = chain_at(chain, i);

        kinds[i] = entry->valid ? "?TCFXLR"[entry->slot.kind] : '-';
        kinds[i + 1] = '\0';
    }
    assert_string_equal(kinds, expected);
    chain_close(chain);
    trust_close(fresh);
}

/* ---- trust ---- */

static void test_trust__the_run_record_is_verified(void **state)
{
    struct key_pair other;
    struct trust *opened = NULL;
    char key[LAYOUT_KEY_BYTES];
    struct bytes record;

    (void)state;
    key_pair_generate(&other);
    REFUSED(NERO_DENIED, trust_open(world.store, CHAIN_WORLD_RUN, &other.public_key, &opened, E));
    REFUSED(NERO_NOT_FOUND, trust_open(world.store, "absent", &world.root.public_key, &opened, E));
    REFUSED(NERO_INVALID, trust_open(world.store, "../x", NULL, &opened, E));
    /* The record of one run copied to another's place. */
    bytes_init(&record, RUN_BYTES_MAX);
    layout_run(key, CHAIN_WORLD_RUN);
    OK(storage_get(world.store, key, &record, NULL, E));
    layout_run(key, "run-2");
    OK(storage_put(world.store, key, bytes_as_view(&record), E));
    REFUSED(NERO_CORRUPT, trust_open(world.store, "run-2", &world.root.public_key, &opened, E));
    record.data[record.bytes / 2] ^= 1;
    layout_run(key, "run-3");
    OK(storage_put(world.store, key, bytes_as_view(&record), E));
    assert_int_not_equal(trust_open(world.store, "run-3", &world.root.public_key, &opened, E),
                         NERO_OK);
    assert_null(opened);
    OK(trust_open(world.store, CHAIN_WORLD_RUN, NULL, &opened, E));
    assert_memory_equal(trust_run_key(opened), &world.run_key.public_key, KEY_PUBLIC_BYTES);
    trust_close(opened);
    bytes_fini(&record);
    key_pair_fini(&other);
}

static void test_trust__certificates_are_checked(void **state)
{
    static const struct {
        const char *run;
        int64_t from_ms, until_ms;
        enum nero_status status;
    } table[] = {
        {CHAIN_WORLD_RUN, -1000, 1000, NERO_OK},
        {"run-2", -1000, 1000, NERO_DENIED},
        {CHAIN_WORLD_RUN, -7200000, -3600000, NERO_DENIED}, /* expired */
        {CHAIN_WORLD_RUN, 3600000, 7200000, NERO_DENIED},   /* not yet */
        {CHAIN_WORLD_RUN, -7200000, -60000, NERO_OK},       /* a clock is off */
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct key_pair key;
        struct actor actor = actor_of(i + 1, 1, 0);

        key_pair_generate(&key);
        actor.key = &key;
        REFUSED(NERO_DENIED, take_over(&actor)); /* no certificate at all */
        chain_world_certify(&world, &key, table[i].run, KEYS_USE_SLOTS, table[i].from_ms,
                            table[i].until_ms);
        REFUSED(table[i].status, take_over(&actor));
        chain_close(actor.chain);
        key_pair_fini(&key);
    }
    chain_is("TT"); /* what was denied was never written */
}

static void test_trust__an_outage_is_no_verdict(void **state)
{
    static const enum nero_status outages[] = {NERO_UNAVAILABLE, NERO_TIMEOUT, NERO_DENIED,
                                               NERO_UNKNOWN};
    struct actor a = actor_of(1, 1, 0);

    (void)state;
    OK(take_over(&a));
    for (size_t i = 0; i < 4; i++) {
        struct trust *fresh = chain_world_trust(&world);
        struct chain *chain = NULL;

        /* Call 1 reads the slot, call 2 the certificate: the store refuses that one. */
        storage_fault_set(world.control, (struct storage_fault_plan){
                                             .nth = 2, .for_good = true, .status = outages[i]});
        assert_true(err_is_retryable(
            chain_open(world.store, fresh, &world.job, bytes_as_view(&world.envelope), &chain, E)));
        assert_null(chain);
        storage_fault_set(world.control, (struct storage_fault_plan){0});
        chain = chain_world_open(&world, fresh);
        assert_true(chain_at(chain, 0)->valid);
        chain_close(chain);
        trust_close(fresh);
    }
    /* A certificate is read once: the chain of two slots of one runner makes three gets and a miss.
     */
    OK(append(&a, SLOT_CHECKPOINT));
    {
        struct trust *fresh = chain_world_trust(&world);
        struct chain *chain;

        storage_fault_set(world.control, (struct storage_fault_plan){0});
        chain = chain_world_open(&world, fresh);
        assert_int_equal(storage_fault_calls(world.control), 4);
        chain_close(chain);
        trust_close(fresh);
    }
    chain_close(a.chain);
}

/* ---- one owner ---- */

static void test_chain__takeover_checkpoint_final(void **state)
{
    struct actor a = actor_of(5, 9, 0);
    const struct chain_entry *entry;
    struct slot slot = slot_of(&a, SLOT_CHECKPOINT);

    (void)state;
    assert_null(chain_tail(a.chain));
    assert_null(chain_checkpoint(a.chain, UINT64_MAX));
    REFUSED(NERO_INVALID, append(&a, SLOT_CHECKPOINT)); /* not taken over */
    OK(take_over(&a));
    OK(chain_append(a.chain, &slot, a.key, &entry, E));
    assert_int_equal(entry->number, 1);
    assert_true(bytes_view_equal(entry->slot.body, bytes_view_str("body")));
    assert_string_equal(entry->slot.run, CHAIN_WORLD_RUN);
    assert_ptr_equal(chain_checkpoint(a.chain, UINT64_MAX), entry);
    assert_null(chain_checkpoint(a.chain, 1));
    OK(append(&a, SLOT_CHECKPOINT));
    assert_int_equal(chain_checkpoint(a.chain, 2)->number, 1);
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
    assert_int_equal(chain_checkpoint(b.chain, UINT64_MAX)->number, 2);
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
    chain_world_put(&world, &slot, &stranger); /* nobody's key */
    chain_is("T-");
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.job = other;
    chain_world_put(&world, &slot, a.key); /* replayed from another job */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    memcpy(slot.run, "run-2", 6);
    chain_world_put(&world, &slot, a.key); /* or run */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.prev = other;
    chain_world_put(&world, &slot, a.key); /* continues nothing */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.skipped_count--;
    chain_world_put(&world, &slot, a.key); /* hides what it skipped */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.nonce++;
    chain_world_put(&world, &slot, a.key); /* of a claim that never took over */
    slot = next_slot(&a, SLOT_CHECKPOINT);
    slot.token--;
    chain_world_put(&world, &slot, a.key);
    slot = next_slot(&a, SLOT_TAKEOVER);
    slot.token--;
    chain_world_put(&world, &slot, a.key); /* a zombie's takeover */
    slot = next_slot(&a, SLOT_TAKEOVER);
    slot.nonce++;
    chain_world_put(&world, &slot, a.key); /* one token, two claims */
    slot = next_slot(&a, SLOT_CANCELLED);
    chain_world_put(&world, &slot, a.key); /* not the runner's to say */
    slot = next_slot(&a, SLOT_REOPENED);
    chain_world_put(&world, &slot, &world.run_key); /* nothing to reopen */
    chain_is("T-----------");
    OK(append(&a, SLOT_CHECKPOINT)); /* the owner goes on and lists them */
    assert_int_equal(chain_tail(a.chain)->slot.skipped_count, 11);
    OK(append(&a, SLOT_FAILED));
    slot = next_slot(&a, SLOT_CHECKPOINT);
    chain_world_put(&world, &slot, a.key); /* after a terminal slot */
    slot = next_slot(&a, SLOT_REOPENED);
    chain_world_put(&world, &slot, a.key);
    chain_is("T-----------CX--");
    OK(by_scheduler(SLOT_REOPENED));
    b = actor_of(11, 1, 1);
    OK(take_over(&b));
    OK(append(&b, SLOT_FINAL));
    slot = next_slot(&a, SLOT_REOPENED);
    chain_world_put(&world, &slot, &world.run_key); /* not even the scheduler, after a final */
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
    chain_world_damage(&world, 2);
    chain_is("TC-");
    layout_slot(key, CHAIN_WORLD_RUN, &world.job, 3);
    OK(storage_put(world.store, key, bytes_view_of(big, sizeof big), E));
    layout_slot(key, CHAIN_WORLD_RUN, &world.job, 4);
    OK(storage_put(world.store, key, bytes_view_of(big, 0), E));
    b = actor_of(2, 2, 1);
    assert_int_equal(chain_count(b.chain), 5);
    assert_int_equal(chain_checkpoint(b.chain, UINT64_MAX)->number, 1); /* falls back */
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
    chain_world_damage(&world, 2); /* the takeover */
    chain_is("TC-C");
    REFUSED(NERO_STALE, append(&a, SLOT_CHECKPOINT));
    OK(append(&b, SLOT_CHECKPOINT));
    OK(by_scheduler(SLOT_CANCELLED));
    OK(by_scheduler(SLOT_REOPENED));
    c = actor_of(3, 3, 2);
    chain_world_damage(&world, 6); /* the reopening: its successor shows that there was one */
    OK(take_over(&c));
    OK(append(&c, SLOT_CHECKPOINT));
    OK(append(&c, SLOT_FINAL));
    chain_is("TC-CCL-TCF");
    chain_world_damage(&world, 8);
    chain_is("TC-CCL-T-F"); /* the result stays */
    chain_close(a.chain);
    chain_close(b.chain);
    chain_close(c.chain);
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

/* ---- faults ---- */

/* A whole attempt, each call repeated while the store is away; false when it stayed away. */
static bool run_attempt(struct actor *actor)
{
    struct hash blob;
    struct slot slots[3];
    int tries = 0;
    int at = 0;

    slots[0] = slot_of(actor, SLOT_TAKEOVER);
    slots[1] = slot_of(actor, SLOT_CHECKPOINT);
    slots[2] = slot_of(actor, SLOT_FINAL);
    while (at < 3 && tries < 5) {
        enum nero_status status = NERO_OK;

        if (actor->chain == NULL) {
            status = chain_open(world.store, trust, &world.job, bytes_as_view(&world.envelope),
                                &actor->chain, E);
        }
        if (status == NERO_OK && at == 1) {
            status = chain_put_blob(actor->chain, bytes_view_str("state"), &blob, E);
        }
        if (status == NERO_OK) {
            status = chain_append(actor->chain, &slots[at], actor->key, NULL, E);
        }
        at += status == NERO_OK ? 1 : 0;
        tries = status == NERO_OK ? 0 : tries + 1;
        if (status != NERO_OK && !err_is_retryable(status)) {
            fail_msg("%s: %s", err_status_name(status), world.err.message);
        }
    }
    return at == 3;
}

static void test_chain__every_call_of_the_store_may_fail(void **state)
{
    static const enum nero_status failures[] = {NERO_UNKNOWN, NERO_UNAVAILABLE, NERO_TIMEOUT};
    unsigned fired = 0;

    (void)state;
    for (unsigned kind = 0; kind < 12; kind++) {
        for (uint64_t nth = 1;; nth++) {
            struct storage_fault_plan plan = {.nth = nth,
                                              .for_good = kind >= 6,
                                              .when = kind % 2 == 0 ? STORAGE_FAULT_BEFORE
                                                                    : STORAGE_FAULT_AFTER,
                                              .status = failures[kind / 2 % 3]};
            struct actor actor = {.token = 1, .nonce = 1};
            bool whole;
            uint64_t hit;

            tear_down(state);
            set_up(state);
            actor.key = &world.runners[0];
            storage_fault_set(world.control, plan);
            whole = run_attempt(&actor);
            hit = storage_fault_fired(world.control);
            storage_fault_set(world.control, (struct storage_fault_plan){0});
            assert_true(whole || plan.for_good);
            if (whole) {
                chain_is("TCF"); /* nothing twice, whatever took effect unseen */
            } else {
                /* The store is back; this attempt is gone, the next one ends the job. */
                struct actor next = {.token = 2, .nonce = 2, .key = &world.runners[1]};
                enum nero_status status;

                next.chain = chain_world_open(&world, trust);
                status = take_over(&next);
                if (status == NERO_OK) {
                    OK(append(&next, SLOT_FINAL));
                } else {
                    REFUSED(NERO_CONFLICT, status); /* the final had taken effect */
                }
                chain_close(next.chain);
            }
            chain_close(actor.chain);
            fired += (unsigned)hit;
            if (hit == 0) {
                break;
            }
        }
    }
    assert_true(fired > 100);
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
    OK(chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 5, &out, E));
    assert_true(bytes_view_equal(bytes_as_view(&out), bytes_view_str("<state")));
    REFUSED(NERO_TOO_BIG, chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 4, &out, E));
    layout_blob(key, CHAIN_WORLD_RUN, &hash);
    OK(storage_put(world.store, key, bytes_view_str("stat3"), E));
    REFUSED(NERO_CORRUPT, chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 5, &out, E));
    assert_int_equal(out.bytes, 6);
    OK(chain_put_blob(a.chain, bytes_view_str("state"), &hash, E)); /* heals */
    OK(chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 5, &out, E));
    OK(storage_remove(world.store, key, E));
    REFUSED(NERO_NOT_FOUND, chain_get_blob(world.store, CHAIN_WORLD_RUN, &hash, 5, &out, E));
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

/* ---- races ---- */

enum { RACERS = 5, ROUNDS = 12 };

struct racer {
    pthread_t thread;
    struct trust *trust;
    struct chain *chain;
    struct rng_stream rng;
    uint64_t token;
    int runner;
    unsigned commits;
    enum nero_status end;
    uint64_t numbers[8]; /* of its commits */
};

static void *race(void *context)
{
    struct racer *racer = context;
    struct nero_err err;
    struct actor actor = {.token = racer->token, .nonce = racer->token + 100};
    enum nero_status status;

    actor.key = &world.runners[racer->runner];
    clock_sleep_ms(clock_system(), (int64_t)rng_below(&racer->rng, 3));
    status = chain_takeover(racer->chain, actor.token, actor.nonce, 0, actor.key, &err);
    while (status == NERO_OK && racer->commits < 6) {
        struct slot slot = slot_of(&actor, racer->commits == 5 ? SLOT_FINAL : SLOT_CHECKPOINT);
        const struct chain_entry *entry;

        status = chain_append(racer->chain, &slot, actor.key, &entry, &err);
        if (status == NERO_OK) {
            racer->numbers[racer->commits++] = entry->number;
        }
        if (rng_below(&racer->rng, 3) == 0) {
            clock_sleep_ms(clock_system(), 1);
        }
    }
    racer->end = status;
    return NULL;
}

/* Each commit that was answered ok is a valid slot of its author, and there is one final at most.
 */
static void check_race(const struct racer racers[RACERS])
{
    struct chain *chain = chain_world_open(&world, trust);
    unsigned finals = 0;

    for (int i = 0; i < RACERS; i++) {
        for (unsigned k = 0; k < racers[i].commits; k++) {
            const struct chain_entry *entry = chain_at(chain, racers[i].numbers[k]);

            assert_true(entry->valid);
            assert_int_equal(entry->slot.token, racers[i].token);
        }
        finals += racers[i].end == NERO_OK ? 1 : 0;
        assert_true(racers[i].end == NERO_OK || racers[i].end == NERO_STALE ||
                    racers[i].end == NERO_CONFLICT);
    }
    assert_int_equal(finals, 1);
    chain_close(chain);
}

static void test_chain__of_many_threads_one_ends_the_job(void **state)
{
    static struct racer racers[RACERS];

    for (uint32_t round = 0; round < ROUNDS; round++) {
        tear_down(state);
        set_up(state);
        for (int i = 0; i < RACERS; i++) {
            racers[i] = (struct racer){.token = (uint64_t)i + 1, .runner = i};
            racers[i].rng = rng_stream(1, RNG_TEST, 0, round, (uint32_t)i);
            racers[i].trust = chain_world_trust(&world);
            racers[i].chain = chain_world_open(&world, racers[i].trust);
        }
        for (int i = 0; i < RACERS; i++) {
            assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
        }
        for (int i = 0; i < RACERS; i++) {
            (void)pthread_join(racers[i].thread, NULL);
        }
        check_race(racers);
        for (int i = 0; i < RACERS; i++) {
            chain_close(racers[i].chain);
            trust_close(racers[i].trust);
        }
    }
}

/* ---- random interleavings ---- */

enum { ACTORS = 3, STEPS = 60, SEEDS = 200, COMMITS_MAX = STEPS };

struct story {
    struct rng_stream rng;
    struct actor actors[ACTORS];
    uint64_t next_token;
    struct {
        struct hash hash; /* of the stored slot */
        uint64_t number;
    } commits[COMMITS_MAX];
    unsigned commit_count;
    bool damages; /* the bucket itself loses slots, now and then */
    bool damaged;
};

static void note_commit(struct story *story, const struct chain_entry *entry)
{
    story->commits[story->commit_count].hash = entry->hash;
    story->commits[story->commit_count++].number = entry->number;
}

/* A claim: mostly a new token; sometimes one given twice, with another nonce. */
static void new_claim(struct story *story, struct actor *actor)
{
    chain_close(actor->chain);
    story->next_token += rng_below(&story->rng, 4) != 0 ? 1 : 0;
    actor->chain = chain_world_open(&world, trust);
    actor->token = story->next_token;
    actor->nonce = rng_u64(&story->rng) | 1;
}

static void damage_one(struct story *story)
{
    struct chain *chain = chain_world_open(&world, trust);
    uint64_t count = chain_count(chain);

    if (count > 0) {
        chain_world_damage(&world, rng_below(&story->rng, count));
        story->damaged = true;
    }
    chain_close(chain);
}

static void story_step(struct story *story)
{
    static const enum slot_kind kinds[] = {SLOT_CHECKPOINT, SLOT_CHECKPOINT, SLOT_CHECKPOINT,
                                           SLOT_CHECKPOINT, SLOT_FAILED,     SLOT_FINAL};
    struct actor *actor = &story->actors[rng_below(&story->rng, ACTORS)];
    const struct chain_entry *entry = NULL;
    struct slot slot;
    enum nero_status status = NERO_STALE;

    if (rng_below(&story->rng, 3) == 0) {
        storage_fault_set(world.control,
                          (struct storage_fault_plan){.nth = 1 + rng_below(&story->rng, 3),
                                                      .when = rng_below(&story->rng, 2) != 0
                                                                  ? STORAGE_FAULT_AFTER
                                                                  : STORAGE_FAULT_BEFORE,
                                                      .status = NERO_UNKNOWN});
    }
    switch (rng_below(&story->rng, 12)) {
    case 0:
    case 1:
        storage_fault_set(world.control, (struct storage_fault_plan){0});
        new_claim(story, actor);
        break;
    case 2:
    case 3:
    case 4:
        slot = slot_of(actor, SLOT_TAKEOVER);
        status = chain_append(actor->chain, &slot, actor->key, &entry, E);
        break;
    case 5:
        storage_fault_set(world.control, (struct storage_fault_plan){0});
        status = by_scheduler(rng_below(&story->rng, 3) == 0 ? SLOT_CANCELLED : SLOT_REOPENED);
        entry = NULL;
        break;
    case 6:
        storage_fault_set(world.control, (struct storage_fault_plan){0});
        if (story->damages && rng_below(&story->rng, 3) == 0) {
            damage_one(story);
        }
        break;
    default:
        slot =
            slot_of(actor, kinds[rng_below(&story->rng, 6) % (story->commit_count < 20 ? 5 : 6)]);
        status = chain_append(actor->chain, &slot, actor->key, &entry, E);
    }
    storage_fault_set(world.control, (struct storage_fault_plan){0});
    if (status == NERO_OK && entry != NULL) {
        note_commit(story, entry);
    }
}

/*
 * Whatever was answered ok is in the chain, valid, byte for byte. (Where the bucket has lost slots
 * a lost takeover may let a zombie commit until the owner's next slot passes it over: C1 to C4
 * only.)
 */
static void check_story(const struct story *story)
{
    struct chain *chain = chain_world_open(&world, trust);

    for (unsigned i = 0; i < story->commit_count && !story->damaged; i++) {
        const struct chain_entry *entry = chain_at(chain, story->commits[i].number);

        assert_true(entry->valid);
        assert_true(hash_equal(&entry->hash, &story->commits[i].hash));
    }
    chain_close(chain);
}

static void test_chain__random_interleavings_keep_the_invariants(void **state)
{
    static struct story story;
    unsigned commits = 0;

    for (uint32_t seed = 0; seed < SEEDS; seed++) {
        tear_down(state);
        set_up(state);
        memset(&story, 0, sizeof story);
        story.rng = rng_stream(seed, RNG_TEST, 0, 0, 0);
        story.damages = seed % 3 == 0;
        for (int i = 0; i < ACTORS; i++) {
            story.actors[i].key = &world.runners[i];
            new_claim(&story, &story.actors[i]);
        }
        for (int i = 0; i < STEPS; i++) {
            story_step(&story);
        }
        check_story(&story);
        commits += story.commit_count;
        for (int i = 0; i < ACTORS; i++) {
            chain_close(story.actors[i].chain);
        }
    }
    assert_true(commits > SEEDS * 3); /* it did something */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_trust__the_run_record_is_verified),
        TEST(test_trust__certificates_are_checked),
        TEST(test_trust__an_outage_is_no_verdict),
        TEST(test_chain__takeover_checkpoint_final),
        TEST(test_chain__zombie_is_stale),
        TEST(test_chain__late_slot_of_a_lower_token_is_adopted),
        TEST(test_chain__only_the_scheduler_reopens),
        TEST(test_chain__crafted_slots_are_skipped),
        TEST(test_chain__damaged_slots_are_skipped_and_listed),
        TEST(test_chain__what_was_written_on_top_of_damage_counts),
        TEST(test_chain__a_transfer_error_is_no_damage),
        TEST(test_chain__too_many_damaged_in_a_row_is_an_error),
        TEST(test_chain__a_slot_is_at_most_64_kib),
        TEST(test_chain__every_call_of_the_store_may_fail),
        TEST(test_chain__blobs_are_verified_and_heal),
        TEST(test_chain__of_many_threads_one_ends_the_job),
        TEST(test_chain__random_interleavings_keep_the_invariants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
