/*
 * Goal: no two owners commit, and no commit is lost or doubled, whoever races and whatever fails.
 * Method: every call of the store failing in turn, before and after its effect; races of threads;
 * random interleavings of three attempts, the scheduler and damage.
 */
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
#include "nero/rng.h"
#include "tests/support/chain_world.h"

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

/* One append is enough: it reads what became of its own. */
static void test_chain_races__an_unknown_outcome_is_resolved(void **state)
{
    struct actor actor = actor_of(1, 1, 0);

    (void)state;
    for (int when = STORAGE_FAULT_BEFORE; when <= STORAGE_FAULT_AFTER; when++) {
        storage_fault_set(world.control,
                          (struct storage_fault_plan){.nth = 1,
                                                      .operations = STORAGE_FAULT_PUT_IF_ABSENT,
                                                      .when = (enum storage_fault_when)when,
                                                      .status = NERO_UNKNOWN});
        OK(take_over(&actor));
        assert_int_equal(storage_fault_fired(world.control), 1);
    }
    storage_fault_set(world.control, (struct storage_fault_plan){0});
    chain_is("TT");
    chain_close(actor.chain);
}

static void test_chain_races__every_call_of_the_store_may_fail(void **state)
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

                next.chain = chain_world_open(trust);
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
    struct chain *chain = chain_world_open(trust);
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

static void test_chain_races__of_many_threads_one_ends_the_job(void **state)
{
    static struct racer racers[RACERS];

    for (uint32_t round = 0; round < ROUNDS; round++) {
        tear_down(state);
        set_up(state);
        for (int i = 0; i < RACERS; i++) {
            racers[i] = (struct racer){.token = (uint64_t)i + 1, .runner = i};
            racers[i].rng = rng_stream(1, RNG_TEST, 0, round, (uint32_t)i);
            racers[i].trust = chain_world_trust();
            racers[i].chain = chain_world_open(racers[i].trust);
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

/* ---- two leaders ---- */

enum { REIGN_ROUNDS = 30, REIGN_SLOTS = 40, FORMER = 5 };

struct reign {
    pthread_t thread;
    struct trust *trust;
    struct actor leader;
    struct rng_stream rng;
    unsigned commits;
    bool deposed;
};

/* Cancel and reopen for as long as nobody objects. */
static void *rule(void *context)
{
    struct reign *reign = context;
    struct nero_err err;

    clock_sleep_ms(clock_system(), (int64_t)rng_below(&reign->rng, 4));
    for (int i = 0; i < REIGN_SLOTS && !reign->deposed; i++) {
        struct slot slot = slot_of(&reign->leader, i % 2 == 0 ? SLOT_CANCELLED : SLOT_REOPENED);
        enum nero_status status =
            chain_append(reign->leader.chain, &slot, reign->leader.key, NULL, &err);

        reign->commits += status == NERO_OK;
        reign->deposed = status == NERO_STALE;
        if (status == NERO_CONFLICT) { /* the other was faster */
            (void)chain_refresh(reign->leader.chain, &err);
        }
        if (rng_below(&reign->rng, 4) == 0) {
            clock_sleep_ms(clock_system(), 1);
        }
    }
    return NULL;
}

/* Each control slot was written by a leader of no lower an epoch than any slot below it. */
static void check_reigns(struct chain *chain)
{
    uint64_t newest = 0;

    for (uint64_t i = 0; i < chain_count(chain); i++) {
        const struct chain_entry *entry = chain_at(chain, i);

        if (entry->valid && entry->by_scheduler) {
            assert_true(strtoull(entry->slot.text, NULL, 10) >= newest);
        }
        if (entry->valid && entry->slot.token >> 32 > newest) {
            newest = entry->slot.token >> 32;
        }
    }
}

static void test_chain_races__of_two_leaders_the_former_stops(void **state)
{
    struct reign reigns[2];
    unsigned former = 0;
    unsigned deposed = 0;

    for (uint32_t round = 0; round < REIGN_ROUNDS; round++) {
        struct chain *chain;

        tear_down(state);
        set_up(state);
        for (uint32_t i = 0; i < 2; i++) {
            reigns[i] = (struct reign){.leader = leader_of(FORMER + i)};
            chain_close(reigns[i].leader.chain);
            reigns[i].rng = rng_stream(2, RNG_TEST, 0, round, i);
            reigns[i].trust = chain_world_trust();
            reigns[i].leader.chain = chain_world_open(reigns[i].trust);
        }
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pthread_create(&reigns[i].thread, NULL, rule, &reigns[i]), 0);
        }
        for (int i = 0; i < 2; i++) {
            (void)pthread_join(reigns[i].thread, NULL);
        }
        chain = chain_world_open(trust);
        check_reigns(chain);
        assert_int_equal(chain_count(chain), reigns[0].commits + reigns[1].commits);
        assert_true(reigns[1].commits > 0);
        assert_false(reigns[1].deposed);
        former += reigns[0].commits;
        deposed += reigns[0].deposed;
        chain_close(chain);
        for (int i = 0; i < 2; i++) {
            chain_close(reigns[i].leader.chain);
            trust_close(reigns[i].trust);
        }
    }
    assert_true(former > 0 && deposed > 0); /* they did meet */
}

/* ---- random interleavings ---- */

enum { ACTORS = 3, STEPS = 60, SEEDS = 200, COMMITS_MAX = STEPS };

struct story {
    struct rng_stream rng;
    struct actor actors[ACTORS];
    uint64_t next_token;
    uint64_t epoch;
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

/* A claim: mostly a new token; sometimes one given twice, with another nonce; now and then the
 * first under a new leader. */
static void new_claim(struct story *story, struct actor *actor)
{
    chain_close(actor->chain);
    if (rng_below(&story->rng, 8) == 0) {
        story->next_token = CHAIN_EPOCH_TOKEN(++story->epoch) + 1;
    } else {
        story->next_token += rng_below(&story->rng, 4) != 0 ? 1 : 0;
    }
    actor->chain = chain_world_open(trust);
    actor->token = story->next_token;
    actor->nonce = rng_u64(&story->rng) | 1;
}

static void damage_one(struct story *story)
{
    struct chain *chain = chain_world_open(trust);
    uint64_t count = chain_count(chain);

    if (count > 0) {
        chain_world_damage(rng_below(&story->rng, count));
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
        status = led_by(story->epoch - (story->epoch > 0 ? rng_below(&story->rng, 2) : 0),
                        rng_below(&story->rng, 3) == 0 ? SLOT_CANCELLED : SLOT_REOPENED);
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
    struct chain *chain = chain_world_open(trust);

    for (unsigned i = 0; i < story->commit_count && !story->damaged; i++) {
        const struct chain_entry *entry = chain_at(chain, story->commits[i].number);

        assert_true(entry->valid);
        assert_true(hash_equal(&entry->hash, &story->commits[i].hash));
    }
    if (!story->damaged) {
        check_reigns(chain);
    }
    chain_close(chain);
}

static void test_chain_races__random_interleavings_keep_the_invariants(void **state)
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
#define TEST(name) cmocka_unit_test_setup_teardown(test_chain_races__##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_unknown_outcome_is_resolved),           TEST(every_call_of_the_store_may_fail),
        TEST(of_many_threads_one_ends_the_job),         TEST(of_two_leaders_the_former_stops),
        TEST(random_interleavings_keep_the_invariants),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
