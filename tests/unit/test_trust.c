/*
 * Goal: only the run key and certified runners are believed, and an outage is no verdict. Method:
 * records and certificates of all kinds in a memory store that fails when told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nero/layout.h"
#include "tests/support/chain_world.h"

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

/* Epoch record `number`, signed by `key`, at the place of `place`; `why` NULL: without a verdict.
 */
static void put_epoch(uint64_t place, uint64_t number, const char *why, const struct key_pair *key)
{
    struct run_epoch epoch = {.run = CHAIN_WORLD_RUN, .number = number, .has_verdict = why != NULL};
    char name[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;

    (void)snprintf(epoch.verdict.why, sizeof epoch.verdict.why, "%s", why != NULL ? why : "");
    bytes_init(&payload, RUN_CONTROL_BYTES_MAX);
    bytes_init(&stored, RUN_CONTROL_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    OK(run_epoch_encode(&epoch, &payload, E));
    OK(envelope_seal(ENVELOPE_EPOCH, bytes_as_view(&payload), key, &stored, E));
    layout_epoch(name, CHAIN_WORLD_RUN, place);
    OK(storage_put(world.store, name, bytes_as_view(&stored), E));
    bytes_fini(&payload);
    bytes_fini(&stored);
}

static void verdict_is(const char *why)
{
    struct run_verdict verdict;
    bool found;

    OK(trust_verdict(trust, &verdict, &found, E));
    assert_int_equal(found, why != NULL);
    if (why != NULL) {
        assert_string_equal(verdict.why, why);
    }
}

/* The newest that the run key has signed, for the epoch it lies at, and that has one. */
static void test_trust__the_newest_verdict_is_believed(void **state)
{
    struct run_verdict verdict;
    struct key_pair other;
    bool found;

    (void)state;
    key_pair_generate(&other);
    verdict_is(NULL);
    put_epoch(1, 1, "one", &world.run_key);
    verdict_is("one");
    put_epoch(2, 2, NULL, &world.run_key);
    verdict_is("one");
    put_epoch(3, 3, "forged", &other);
    put_epoch(4, 2, "moved", &world.run_key);
    verdict_is("one");
    put_epoch(5, 5, "five", &world.run_key);
    verdict_is("five");
    storage_fault_set(world.control,
                      (struct storage_fault_plan){.nth = 2, .status = NERO_UNAVAILABLE});
    REFUSED(NERO_UNAVAILABLE, trust_verdict(trust, &verdict, &found, E));
    storage_fault_set(world.control, (struct storage_fault_plan){0});
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
        chain_world_certify(&key, table[i].run, KEYS_USE_SLOTS, table[i].from_ms,
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
        struct trust *fresh = chain_world_trust();
        struct chain *chain = NULL;

        /* Call 1 reads the slot, call 2 the certificate: the store refuses that one. */
        storage_fault_set(world.control, (struct storage_fault_plan){
                                             .nth = 2, .for_good = true, .status = outages[i]});
        assert_true(err_is_retryable(
            chain_open(world.store, fresh, &world.job, bytes_as_view(&world.envelope), &chain, E)));
        assert_null(chain);
        storage_fault_set(world.control, (struct storage_fault_plan){0});
        chain = chain_world_open(fresh);
        assert_true(chain_at(chain, 0)->valid);
        chain_close(chain);
        trust_close(fresh);
    }
    /* A certificate is read once: the chain of two slots of one runner makes three gets and a miss.
     */
    OK(append(&a, SLOT_CHECKPOINT));
    {
        struct trust *fresh = chain_world_trust();
        struct chain *chain;

        storage_fault_set(world.control, (struct storage_fault_plan){0});
        chain = chain_world_open(fresh);
        assert_int_equal(storage_fault_calls(world.control), 4);
        chain_close(chain);
        trust_close(fresh);
    }
    chain_close(a.chain);
}
#define TEST(name) cmocka_unit_test_setup_teardown(test_trust__##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_run_record_is_verified),
        TEST(the_newest_verdict_is_believed),
        TEST(certificates_are_checked),
        TEST(an_outage_is_no_verdict),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
