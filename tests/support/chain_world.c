#include "chain_world.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/progress.h"
#include "tests/support/codec_samples.h"

struct chain_world world;
enum run_store_mode chain_world_mode = RUN_EXCLUSIVE;
struct trust *trust;

static void ok(enum nero_status status)
{
    if (status != NERO_OK) {
        fail_msg("%s: %s", err_status_name(status), world.err.message);
    }
}

static void put_run(void)
{
    char key[LAYOUT_KEY_BYTES];
    struct run_record record;
    struct bytes sample;
    struct bytes payload;
    struct bytes stored;
    bool found = false;

    bytes_init(&sample, RUN_BYTES_MAX);
    bytes_init(&payload, RUN_BYTES_MAX);
    bytes_init(&stored, RUN_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    for (size_t i = 0; i < codec_sample_count && !found; i++) {
        found = strcmp(codec_samples[i].name, "run") == 0;
        if (found) {
            ok(codec_samples[i].make(&sample, &world.err));
        }
    }
    assert_true(found);
    ok(run_record_decode(bytes_as_view(&sample), &record, &world.err));
    memcpy(record.name, CHAIN_WORLD_RUN, sizeof CHAIN_WORLD_RUN);
    record.run_key = world.run_key.public_key;
    record.store_mode = chain_world_mode;
    ok(run_record_encode(&record, &payload, &world.err));
    ok(envelope_seal(ENVELOPE_RUN, bytes_as_view(&payload), &world.root, &stored, &world.err));
    layout_run(key, CHAIN_WORLD_RUN);
    ok(storage_put(world.store, key, bytes_as_view(&stored), &world.err));
    bytes_fini(&sample);
    bytes_fini(&payload);
    bytes_fini(&stored);
}

void chain_world_certify(const struct key_pair *key, const char *run, uint32_t uses,
                         int64_t from_ms, int64_t until_ms)
{
    int64_t now = clock_wall_ms(clock_system());
    struct keys_certificate certificate = {.key = key->public_key,
                                           .uses = uses,
                                           .epoch = 1,
                                           .not_before_ms = now + from_ms,
                                           .not_after_ms = now + until_ms,
                                           .host = "host"};
    char name[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;

    memcpy(certificate.run, run, strlen(run));
    bytes_init(&payload, 4096);
    bytes_init(&stored, 4096);
    ok(keys_certificate_encode(&certificate, &payload, &world.err));
    ok(envelope_seal(ENVELOPE_CERTIFICATE, bytes_as_view(&payload), &world.run_key, &stored,
                     &world.err));
    layout_certificate(name, CHAIN_WORLD_RUN, &key->id);
    ok(storage_put(world.store, name, bytes_as_view(&stored), &world.err));
    bytes_fini(&payload);
    bytes_fini(&stored);
}

void chain_world_make(void)
{
    struct storage *inner;

    memset(&world, 0, sizeof world);
    ok(hash_library_init(&world.err));
    ok(storage_open("mem:", true, &inner, &world.err));
    ok(storage_fault_wrap(inner, &world.store, &world.control, &world.err));
    key_pair_generate(&world.root);
    key_pair_generate(&world.run_key);
    put_run();
    for (int i = 0; i < CHAIN_WORLD_RUNNERS; i++) {
        key_pair_generate(&world.runners[i]);
        chain_world_certify(&world.runners[i], CHAIN_WORLD_RUN, KEYS_USE_SLOTS, -60000, 3600000);
    }
    world.job = hash_of(bytes_view_str("a job"));
    bytes_init(&world.envelope, 4096);
    ok(envelope_seal(ENVELOPE_JOB, bytes_view_str("spec"), &world.run_key, &world.envelope,
                     &world.err));
}

void chain_world_end(void)
{
    bytes_fini(&world.envelope);
    storage_close(world.store);
    for (int i = 0; i < CHAIN_WORLD_RUNNERS; i++) {
        key_pair_fini(&world.runners[i]);
    }
    key_pair_fini(&world.root);
    key_pair_fini(&world.run_key);
}

struct trust *chain_world_trust(void)
{
    struct trust *reader = NULL;

    ok(trust_open(world.store, CHAIN_WORLD_RUN, &world.root.public_key, &reader, &world.err));
    return reader;
}

struct chain *chain_world_open(struct trust *reader)
{
    struct chain *chain = NULL;

    ok(chain_open(world.store, reader, &world.job, bytes_as_view(&world.envelope), &chain,
                  &world.err));
    return chain;
}

void chain_world_put(const struct slot *slot, const struct key_pair *signer)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;

    bytes_init(&payload, SLOT_BYTES_MAX);
    bytes_init(&stored, SLOT_BYTES_MAX);
    ok(slot_encode(slot, &payload, &world.err));
    ok(envelope_seal(ENVELOPE_SLOT, bytes_as_view(&payload), signer, &stored, &world.err));
    if (chain_world_mode == RUN_ATTEMPTS) {
        layout_attempt_slot(key, CHAIN_WORLD_RUN, &world.job, slot->token, slot->nonce,
                            slot->number);
    } else {
        layout_slot(key, CHAIN_WORLD_RUN, &world.job, slot->number);
    }
    ok(storage_put(world.store, key, bytes_as_view(&stored), &world.err));
    bytes_fini(&payload);
    bytes_fini(&stored);
}

void chain_world_damage(uint64_t number)
{
    char key[LAYOUT_KEY_BYTES];

    layout_slot(key, CHAIN_WORLD_RUN, &world.job, number);
    chain_world_damage_key(key);
}

void chain_world_damage_key(const char *key)
{
    struct bytes stored;

    bytes_init(&stored, SLOT_BYTES_MAX);
    ok(storage_get(world.store, key, &stored, NULL, &world.err));
    stored.data[stored.bytes / 2] ^= 4;
    ok(storage_put(world.store, key, bytes_as_view(&stored), &world.err));
    bytes_fini(&stored);
}

/* `before` and `entry` are neighbours among the valid slots; between them `entry` may continue a
 * slot that was damaged since: then nothing can be said of prev, closing and takeover. */
static void check_pair(const struct chain_entry *before, const struct chain_entry *entry)
{
    struct hash job = hash_of(bytes_as_view(&world.envelope));
    const struct slot *slot = &entry->slot;
    uint64_t first = entry->number - slot->skipped_count;
    bool closed = before != NULL && slot_is_terminal(before->slot.kind);
    bool through_damage = first > (before != NULL ? before->number + 1 : 0);

    assert_int_equal(slot->number, entry->number);
    for (uint32_t i = 0; i < slot->skipped_count; i++) {
        assert_int_equal(slot->skipped[i], first + i);
    }
    assert_true(before == NULL || slot->token >= before->slot.token);
    assert_true(before == NULL || before->slot.kind != SLOT_FINAL);
    assert_true(slot->kind != SLOT_REOPENED || entry->by_scheduler);
    if (through_damage) {
        return;
    }
    assert_int_equal(first, before != NULL ? before->number + 1 : 0);
    assert_true(hash_equal(&slot->prev, before != NULL ? &before->hash : &job));
    assert_int_equal(closed, slot->kind == SLOT_REOPENED);
    if (slot->kind == SLOT_TAKEOVER) {
        assert_true(before == NULL || slot->token > before->slot.token ||
                    slot->nonce == before->slot.nonce);
    } else if (!entry->by_scheduler) {
        assert_non_null(before);
        assert_int_equal(slot->token, before->slot.token);
        assert_int_equal(slot->nonce, before->slot.nonce);
    }
}

uint64_t chain_world_check(void)
{
    struct trust *reader = chain_world_trust();
    struct chain *chain = chain_world_open(reader);
    const struct chain_entry *before = NULL;
    uint64_t valid = 0;

    for (uint64_t i = 0; i < chain_count(chain); i++) {
        const struct chain_entry *entry = chain_at(chain, i);

        assert_int_equal(entry->number, i);
        assert_int_equal(entry->valid, entry->fault[0] == '\0');
        if (entry->valid) {
            check_pair(before, entry);
            before = entry;
            valid++;
        }
    }
    chain_close(chain);
    trust_close(reader);
    return valid;
}

/* ---- one world for a test program ---- */

void chain_world_expect(enum nero_status expected, enum nero_status got, const char *file, int line)
{
    if (got != expected) {
        print_error("expected %s, got %s: %s\n", err_status_name(expected), err_status_name(got),
                    got == NERO_OK ? "" : world.err.message);
        _fail(file, line);
    }
}

int set_up(void **state)
{
    (void)state;
    chain_world_make();
    trust = chain_world_trust();
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    if (chain_world_mode == RUN_EXCLUSIVE) {
        (void)chain_world_check();
    }
    trust_close(trust);
    chain_world_end();
    return 0;
}

struct actor actor_of(uint64_t token, uint64_t nonce, int runner)
{
    return (struct actor){.chain = chain_world_open(trust),
                          .token = token,
                          .nonce = nonce,
                          .key = &world.runners[runner]};
}

enum nero_status take_over(struct actor *actor)
{
    return chain_takeover(actor->chain, actor->token, actor->nonce, 0, actor->key, E);
}

struct slot slot_of(const struct actor *actor, enum slot_kind kind)
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
    if (kind == SLOT_FAILED || kind == SLOT_CANCELLED || kind == SLOT_REOPENED) {
        (void)snprintf(slot.text, sizeof slot.text, "%" PRIu64, slot.token >> 32);
    }
    return slot;
}

enum nero_status append(struct actor *actor, enum slot_kind kind)
{
    struct slot slot = slot_of(actor, kind);

    return chain_append(actor->chain, &slot, actor->key, NULL, E);
}

enum nero_status commit(struct actor *actor, uint64_t units)
{
    return commit_because(actor, units, SLOT_INTERVAL);
}

enum nero_status commit_because(struct actor *actor, uint64_t units, enum slot_reason reason)
{
    struct slot slot = slot_of(actor, SLOT_CHECKPOINT);
    struct progress progress;
    struct bytes body;
    enum nero_status status;

    progress_init(&progress);
    progress.phase = PROGRESS_TRAIN;
    progress.units = units;
    bytes_init(&body, PROGRESS_BYTES_MAX);
    OK(progress_encode(&progress, &body, E));
    slot.body = bytes_as_view(&body);
    slot.reason = reason;
    status = chain_append(actor->chain, &slot, actor->key, NULL, E);
    bytes_fini(&body);
    progress_fini(&progress);
    return status;
}

struct actor leader_of(uint64_t epoch)
{
    struct actor leader = actor_of(CHAIN_EPOCH_TOKEN(epoch), 0, 0);

    leader.key = &world.run_key;
    return leader;
}

enum nero_status led_by(uint64_t epoch, enum slot_kind kind)
{
    struct actor leader = leader_of(epoch);
    enum nero_status status = append(&leader, kind);

    chain_close(leader.chain);
    return status;
}

enum nero_status by_scheduler(enum slot_kind kind)
{
    return led_by(0, kind);
}

void chain_is(const char *expected)
{
    struct trust *fresh = chain_world_trust();
    struct chain *chain = chain_world_open(fresh);
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
