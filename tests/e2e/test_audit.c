/*
 * Goal: the audit finds what a forger would do, not only what chance does. Method: a fabricated
 * run; each test changes records as somebody with one of the keys, or with none, could, and puts
 * everything back.
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
#include "nero/mem.h"

/* A job with a final slot, and where that is. */
struct ended {
    struct hash job;
    char spec[LAYOUT_KEY_BYTES];
    char slot[LAYOUT_KEY_BYTES];
    char result[LAYOUT_KEY_BYTES];
    uint64_t number;
};

/* ---- helpers ---- */

/* The `nth` job of the run that has a result. */
static struct ended find_ended(uint32_t nth)
{
    struct ended found;
    char prefix[LAYOUT_KEY_BYTES];

    memset(&found, 0, sizeof found);
    layout_run_prefix(prefix, world.run.name);
    (void)strncat(prefix, "result/", sizeof prefix - strlen(prefix) - 1);
    for (uint32_t i = 0; i < world.key_count; i++) {
        struct nero_err err;

        if (strncmp(world.keys[i], prefix, strlen(prefix)) != 0 || nth-- > 0) {
            continue;
        }
        assert_int_equal(hash_from_hex(&found.job, strrchr(world.keys[i], '/') + 1, &err), NERO_OK);
        (void)snprintf(found.result, sizeof found.result, "%s", world.keys[i]);
        layout_spec(found.spec, world.run.name, &found.job);
        for (;; found.number++) {
            layout_slot(found.slot, world.run.name, &found.job, found.number + 1);
            if (storage_head(world.run.store, found.slot, NULL, &err) != NERO_OK) {
                break;
            }
        }
        layout_slot(found.slot, world.run.name, &found.job, found.number);
        return found;
    }
    fail_msg("the run has too few results");
    return found;
}

static void gen_key(uint32_t number, enum generation_state state, char key[LAYOUT_KEY_BYTES])
{
    layout_generation(key, world.run.name, 0, number, generation_state_name(state));
}

/* Lend two objects each other's bytes, audit, and give them back. */
static void swap_and_audit(const char *first, const char *second, const char *what)
{
    struct bytes a = audit_world_read(first);
    struct bytes b = audit_world_read(second);

    audit_world_write(first, bytes_as_view(&b));
    audit_world_write(second, bytes_as_view(&a));
    audit_world_found(first, what);
    audit_world_found(second, what);
    audit_world_write(first, bytes_as_view(&a));
    audit_world_write(second, bytes_as_view(&b));
    bytes_fini(&a);
    bytes_fini(&b);
}

/* A record of the run as it is stored; the caller changes it and gives it to put_record. */
static struct generation_stored read_record(uint32_t number, enum generation_state state)
{
    struct generation_stored stored;
    struct nero_err err;

    if (generation_store_get(world.run.store, world.run.trust, world.run.name, 0, number, state,
                             &stored, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    return stored;
}

/* Signed by the run key, as the scheduler would. Returns the hash of what is stored now. */
static struct hash put_record(const struct generation *generation)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    struct nero_err err;
    struct hash hash;

    gen_key(generation->number, generation->state, key);
    bytes_init(&payload, GENERATION_BYTES_MAX);
    if (generation_encode(generation, &payload, &err) != NERO_OK) {
        fail_msg("%s", err.message);
    }
    fabricate_put(&world.run, key, ENVELOPE_GENERATION, bytes_as_view(&payload),
                  &world.run.run_key);
    bytes_fini(&payload);
    stored = audit_world_read(key);
    hash = hash_of(bytes_as_view(&stored));
    bytes_fini(&stored);
    return hash;
}

/* ---- without any key ---- */

static void test_audit__finds_swapped_results(void **state)
{
    struct ended a = find_ended(0);
    struct ended b = find_ended(1);

    (void)state;
    swap_and_audit(a.result, b.result, "results swapped");
    swap_and_audit(a.slot, b.slot, "final slots swapped");
    swap_and_audit(a.spec, b.spec, "specs swapped");
    audit_world_clean();
}

static void test_audit__finds_a_slot_replayed_into_another_job(void **state)
{
    struct ended a = find_ended(0);
    struct ended b = find_ended(1);
    struct bytes slot = audit_world_read(a.slot);
    char behind[LAYOUT_KEY_BYTES];

    (void)state;
    layout_slot(behind, world.run.name, &b.job, b.number + 1);
    audit_world_write(behind, bytes_as_view(&slot));
    audit_world_found(behind, "replayed into another job");
    audit_world_remove(behind);
    layout_slot(behind, world.run.name, &a.job, a.number + 1);
    audit_world_write(behind, bytes_as_view(&slot));
    audit_world_found(behind, "its own final slot once more");
    audit_world_remove(behind);
    bytes_fini(&slot);
    audit_world_clean();
}

static void test_audit__finds_objects_that_nobody_needs(void **state)
{
    static const char *const extra[] = {
        "runs/made-up/readme",
        "runs/made-up/spec/zz/nothing",
        "runs/made-up/gen/0/00000001/extended",
        "runs/made-up/gen/0/00000001/closed.bak",
        "runs/made-up/gen/0/00000003/closed",
        "runs/made-up/gen/1/00000000/proposed",
        "runs/made-up/gen/00/00000001/closed",
        "runs/made-up/q/0000000009",
        "runs/made-up/epoch/0000000000",
        "runs/made-up/epoch/0000000009",
        "runs/made-up/epoch/9999999999",
        "runs/made-up/keys/00112233445566778899aabbccddeeff",
        "runs/made-up/amend/00000000",
        "runs/made-up/blob/00/0011223344556677889900112233445566778899001122334455667788990011",
        "runs/made-up/result/00/0011223344556677889900112233445566778899001122334455667788990011"};

    (void)state;
    for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++) {
        struct audit_report report;

        audit_world_write(extra[i], bytes_view_str("extra"));
        report = audit_world_audit();
        if (report.finding_count == 0) {
            fail_msg("%s is not found", extra[i]);
        }
        audit_report_fini(&report);
        audit_world_remove(extra[i]);
    }
    audit_world_clean();
}

/* Whole, but named by nothing: an attempt that died before its slot leaves such. */
static void test_audit__bears_a_blob_of_a_dead_attempt(void **state)
{
    struct bytes_view body = bytes_view_str("left behind");
    struct hash hash = hash_of(body);
    char key[LAYOUT_KEY_BYTES];
    struct audit_report report;

    (void)state;
    layout_blob(key, world.run.name, &hash);
    audit_world_write(key, body);
    report = audit_world_audit();
    assert_int_equal(report.finding_count, 0);
    assert_int_equal(report.blobs_unnamed, 1);
    audit_report_fini(&report);
    audit_world_remove(key);
}

/* ---- with a runner's key ---- */

/* The final slot of `ended` signed by another key, after `change`. */
static void forge_final(const struct ended *ended, const struct key_pair *signer,
                        void (*change)(struct slot *slot, struct result *result))
{
    struct bytes stored = audit_world_read(ended->slot);
    struct bytes inner;
    struct bytes body;
    struct bytes payload;
    struct envelope envelope;
    struct result result;
    struct slot slot;
    struct nero_err err;

    bytes_init(&inner, RESULT_BYTES_MAX);
    bytes_init(&body, RESULT_BYTES_MAX);
    bytes_init(&payload, SLOT_BYTES_MAX);
    result_init(&result);
    assert_int_equal(envelope_parse(bytes_as_view(&stored), ENVELOPE_SLOT, &envelope, &err),
                     NERO_OK);
    assert_int_equal(slot_decode(envelope.payload, &slot, &err), NERO_OK);
    assert_int_equal(result_decode(slot.body, &result, NULL, &err), NERO_OK);
    memcpy(result.provenance.runner, signer->id.data, sizeof signer->id.data);
    change(&slot, &result);
    assert_int_equal(result_outcome_encode(&result.outcome, &inner, &err), NERO_OK);
    assert_int_equal(result_encode(bytes_as_view(&inner), &result.provenance, &body, &err),
                     NERO_OK);
    slot.body = bytes_as_view(&body);
    assert_int_equal(slot_encode(&slot, &payload, &err), NERO_OK);
    fabricate_put(&world.run, ended->slot, ENVELOPE_SLOT, bytes_as_view(&payload), signer);
    bytes_fini(&payload);
    payload = audit_world_read(ended->slot);
    audit_world_write(ended->result, bytes_as_view(&payload)); /* the index goes along */
    result_fini(&result);
    bytes_fini(&inner);
    bytes_fini(&body);
    bytes_fini(&payload);
    bytes_fini(&stored);
}

static void change_nothing(struct slot *slot, struct result *result)
{
    (void)slot;
    (void)result;
}

static void change_counts(struct slot *slot, struct result *result)
{
    (void)slot;
    result->outcome.correct = result->outcome.count;
    result->outcome.kept = result->outcome.count;
}

static void change_histogram(struct slot *slot, struct result *result)
{
    (void)slot;
    result->outcome.histogram[0]++;
}

static void change_images(struct slot *slot, struct result *result)
{
    (void)slot;
    result->outcome.count--;
    result->outcome.histogram[0]--;
    result->outcome.correct = 1;
    result->outcome.kept = 0;
    result->outcome.zero_gradient = 0;
}

static void change_job(struct slot *slot, struct result *result)
{
    (void)slot;
    result->outcome.job.data[0] ^= 1;
}

static void change_weights(struct slot *slot, struct result *result)
{
    (void)slot;
    result->outcome.weights.data[0] ^= 1;
}

static void change_attack(struct slot *slot, struct result *result)
{
    (void)slot;
    result->outcome.attacked = false;
}

static void change_steps(struct slot *slot, struct result *result)
{
    (void)slot;
    result->outcome.steps += 5;
}

static void change_runner(struct slot *slot, struct result *result)
{
    (void)slot;
    result->provenance.runner[0] ^= 1;
}

static void change_blob(struct slot *slot, struct result *result)
{
    (void)result;
    slot->blobs[0].bytes++;
}

/* A certified runner that lies: its slot is well signed, but its numbers do not fit. */
static void test_audit__finds_outcomes_that_contradict_themselves(void **state)
{
    static const struct {
        void (*change)(struct slot *, struct result *);
        const char *what;
    } lies[] = {{change_counts, "all correct"},  {change_histogram, "histogram"},
                {change_images, "fewer images"}, {change_job, "another job"},
                {change_weights, "weights"},     {change_attack, "not attacked"},
                {change_steps, "more steps"},    {change_runner, "another runner"}};
    struct ended ended = find_ended(0);
    struct bytes slot = audit_world_read(ended.slot);
    struct bytes result = audit_world_read(ended.result);
    char evaluated[LAYOUT_KEY_BYTES];

    (void)state;
    gen_key(0, GENERATION_EVALUATED, evaluated);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct audit_report report;

        forge_final(&ended, &world.run.runners[1], lies[i].change);
        report = audit_world_audit();
        /* The generation record names the slot that was accepted: any other one is told. */
        if (report.finding_count == 0) {
            fail_msg("%s is not found", lies[i].what);
        }
        audit_report_fini(&report);
        audit_world_write(ended.slot, bytes_as_view(&slot));
        audit_world_write(ended.result, bytes_as_view(&result));
    }
    forge_final(&ended, &world.run.runners[1], change_histogram);
    audit_world_found(ended.slot, "a histogram that does not sum up");
    forge_final(&ended, &world.run.runners[1], change_job);
    audit_world_found(ended.slot, "another job's outcome");
    forge_final(&ended, &world.run.runners[1], change_images);
    audit_world_found(ended.slot, "fewer images");
    forge_final(&ended, &world.run.runners[1], change_weights);
    audit_world_found(ended.slot, "other weights");
    forge_final(&ended, &world.run.runners[1], change_attack);
    audit_world_found(ended.slot, "no attack");
    forge_final(&ended, &world.run.runners[0], change_nothing);
    audit_world_found(ended.slot, "another runner than the one that took the job over");
    audit_world_write(ended.slot, bytes_as_view(&slot));
    audit_world_write(ended.result, bytes_as_view(&result));
    bytes_fini(&slot);
    bytes_fini(&result);
    audit_world_clean();
}

static void test_audit__finds_a_result_of_an_uncertified_key(void **state)
{
    struct ended ended = find_ended(0);
    struct bytes slot = audit_world_read(ended.slot);
    struct bytes result = audit_world_read(ended.result);
    struct key_pair stranger;
    char certificate[LAYOUT_KEY_BYTES];

    (void)state;
    key_pair_generate(&stranger);
    forge_final(&ended, &stranger, change_counts);
    layout_certificate(certificate, world.run.name, &stranger.id);
    audit_world_found(ended.slot, "signed by a stranger");
    audit_world_found(certificate, "signed by a stranger");
    audit_world_write(ended.slot, bytes_as_view(&slot));
    audit_world_write(ended.result, bytes_as_view(&result));
    bytes_fini(&slot);
    bytes_fini(&result);
    audit_world_clean();
}

/* ---- with the run key ---- */

static void test_audit__finds_an_edited_fitness(void **state)
{
    struct generation_stored evaluated = read_record(1, GENERATION_EVALUATED);
    struct generation_stored closed = read_record(1, GENERATION_CLOSED);
    struct generation_stored before = read_record(0, GENERATION_CLOSED);
    char evaluated_key[LAYOUT_KEY_BYTES];
    char closed_key[LAYOUT_KEY_BYTES];
    char proposed_key[LAYOUT_KEY_BYTES];
    struct bytes evaluated_bytes;
    struct bytes closed_bytes;
    struct generation again;
    struct nero_err err;
    struct hash hash;

    (void)state;
    gen_key(1, GENERATION_EVALUATED, evaluated_key);
    gen_key(1, GENERATION_CLOSED, closed_key);
    gen_key(2, GENERATION_PROPOSED, proposed_key);
    evaluated_bytes = audit_world_read(evaluated_key);
    closed_bytes = audit_world_read(closed_key);
    evaluated.generation.members[1].fitness += 0.125;
    hash = put_record(&evaluated.generation);
    audit_world_found(evaluated_key, "one fitness edited");
    audit_world_found(closed_key, "hangs on the former record");
    /* And what follows is made to fit: the edited record is still not what its results give. */
    assert_int_equal(evolve_close(&world.run.run, &evaluated.generation, hash, NULL,
                                  &before.generation, &again, &err),
                     NERO_OK);
    (void)put_record(&again);
    audit_world_found(evaluated_key, "edited, and closed to fit");
    audit_world_found(proposed_key, "proposed from another record");
    generation_fini(&again);
    audit_world_write(evaluated_key, bytes_as_view(&evaluated_bytes));
    audit_world_write(closed_key, bytes_as_view(&closed_bytes));
    bytes_fini(&evaluated_bytes);
    bytes_fini(&closed_bytes);
    generation_stored_fini(&evaluated);
    generation_stored_fini(&closed);
    generation_stored_fini(&before);
    audit_world_clean();
}

static void test_audit__finds_an_edited_selection(void **state)
{
    struct generation_stored closed = read_record(2, GENERATION_CLOSED);
    char key[LAYOUT_KEY_BYTES];
    struct bytes bytes;
    struct generation edited = closed.generation;

    (void)state;
    gen_key(2, GENERATION_CLOSED, key);
    bytes = audit_world_read(key);
    edited.selected = (closed.generation.selected + 1) % closed.generation.member_count;
    (void)put_record(&edited);
    audit_world_found(key, "another member selected");
    edited = closed.generation;
    edited.mean_fitness += 1e-9;
    (void)put_record(&edited);
    audit_world_found(key, "the mean edited");
    edited = closed.generation;
    edited.champion_fitness += 1e-9;
    (void)put_record(&edited);
    audit_world_found(key, "the champion's fitness edited");
    edited = closed.generation;
    edited.next_robust = !edited.next_robust;
    (void)put_record(&edited);
    audit_world_found(key, "the phase edited");
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&closed);
    audit_world_clean();
}

static void test_audit__finds_swapped_children(void **state)
{
    struct generation_stored proposed = read_record(1, GENERATION_PROPOSED);
    struct generation_member *members = proposed.generation.members;
    struct generation_member kept = members[1];
    char key[LAYOUT_KEY_BYTES];
    struct bytes bytes;

    (void)state;
    gen_key(1, GENERATION_PROPOSED, key);
    bytes = audit_world_read(key);
    members[1] = members[2];
    members[2] = kept;
    (void)put_record(&proposed.generation);
    audit_world_found(key, "children swapped");
    members[2] = members[1];
    members[1] = kept;
    for (uint32_t i = 1; i < proposed.generation.member_count; i++) {
        kept = members[i];
        members[i].genotype = members[0].genotype;
        if (!bytes_view_equal(kept.genotype, members[0].genotype)) { /* mutation may do nothing */
            (void)put_record(&proposed.generation);
            audit_world_found(key, "a child that is its parent");
        }
        members[i] = kept;
    }
    audit_world_write(key, bytes_as_view(&bytes));
    bytes_fini(&bytes);
    generation_stored_fini(&proposed);
    audit_world_clean();
}

static void test_audit__finds_a_skipped_generation(void **state)
{
    char keys[3][LAYOUT_KEY_BYTES];
    struct bytes bytes[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        gen_key(1,
                (enum generation_state)(i == 0   ? GENERATION_PROPOSED
                                        : i == 1 ? GENERATION_EVALUATED
                                                 : GENERATION_CLOSED),
                keys[i]);
        bytes[i] = audit_world_read(keys[i]);
        audit_world_remove(keys[i]);
    }
    for (int i = 0; i < 3; i++) {
        audit_world_found(keys[i], "generation skipped");
    }
    for (int i = 0; i < 3; i++) {
        audit_world_write(keys[i], bytes_as_view(&bytes[i]));
        bytes_fini(&bytes[i]);
    }
    audit_world_clean();
}

/* The job at `key` signed again with this genotype beside its spec; then it is as it was. */
static void forge_genotype(const struct fabricate *run, const char *key, struct bytes_view genotype,
                           const char *found)
{
    struct audit_options options = {.root = run->root.public_key};
    struct audit_report report;
    struct bytes stored;
    struct bytes forged;
    struct bytes_view payload;
    struct job_record record;
    bool told = false;
    struct nero_err err;

    bytes_init(&stored, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    bytes_init(&forged, JOB_BYTES_MAX);
    assert_int_equal(storage_get(run->store, key, &stored, NULL, &err), NERO_OK);
    assert_int_equal(
        trust_open_run_envelope(run->trust, bytes_as_view(&stored), ENVELOPE_JOB, &payload, &err),
        NERO_OK);
    assert_int_equal(job_record_decode(payload, &record, &err), NERO_OK);
    assert_int_equal(job_record_encode(record.spec, genotype, &forged, &err), NERO_OK);
    fabricate_put(run, key, ENVELOPE_JOB, bytes_as_view(&forged), &run->run_key);
    assert_int_equal(audit_run(run->store, run->name, &options, &report, &err), NERO_OK);
    for (uint32_t i = 0; i < report.finding_count; i++) {
        told = told || (strcmp(report.findings[i].artifact, key) == 0 &&
                        strstr(report.findings[i].what, found) != NULL);
    }
    if (!told) {
        fail_msg("not found: %s", found);
    }
    audit_report_fini(&report);
    assert_int_equal(storage_put(run->store, key, bytes_as_view(&stored), &err), NERO_OK);
    bytes_fini(&forged);
    bytes_fini(&stored);
}

/* The job's id is a hash of its spec alone: what rides along is held to it by decoding. */
static void test_audit__finds_a_genotype_that_is_not_the_phenotypes(void **state)
{
    struct generation_stored proposed = read_record(1, GENERATION_PROPOSED);
    const struct generation_member *members = proposed.generation.members;
    struct fabricate_options options = {.lineages = 1, .generations = 1, .single = true};
    static struct fabricate alone;
    struct audit_options audit = {.root = world.run.root.public_key};
    struct audit_report report;
    struct nero_err err;
    char folder[TEMP_FOLDER_BYTES];
    char key[LAYOUT_KEY_BYTES];
    struct job_record record;
    struct hash job;
    uint32_t forged = 0;

    (void)state;
    layout_spec(key, world.run.name, &members[1].job);
    for (uint32_t i = 0; i < proposed.generation.member_count; i++) {
        if (!bytes_view_equal(members[i].genotype, members[1].genotype)) {
            forge_genotype(&world.run, key, members[i].genotype,
                           "its phenotype is not what its genotype decodes to");
            forged++;
        }
    }
    assert_true(forged > 0);
    forge_genotype(&world.run, key, bytes_view_str("none"), "its genotype does not decode");
    audit_world_clean();

    assert_int_equal(temp_folder_make(folder, NULL), 0);
    fabricate_run(&alone, folder, "alone", &options);
    audit.root = alone.root.public_key;
    assert_int_equal(audit_run(alone.store, alone.name, &audit, &report, &err), NERO_OK);
    assert_int_equal(report.finding_count, 0);
    audit_report_fini(&report);
    assert_int_equal(job_record_decode(trust_run(alone.trust)->single_job, &record, &err), NERO_OK);
    job = job_id(record.spec);
    layout_spec(key, alone.name, &job);
    forge_genotype(&alone, key, members[1].genotype, "its genotype is not that of the run record");
    fabricate_fini(&alone);
    temp_folder_remove(folder);
    generation_stored_fini(&proposed);
}

/* A job of the forger's own choice: signed, but nothing of the search names it. */
static void test_audit__finds_a_job_that_no_record_names(void **state)
{
    struct ended ended = find_ended(0);
    struct bytes stored = audit_world_read(ended.spec);
    struct bytes spec_bytes;
    struct bytes_view payload;
    struct job_record record;
    struct job_spec spec;
    struct hash job;
    struct nero_err err;
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    bytes_init(&spec_bytes, JOB_SPEC_BYTES_MAX);
    assert_int_equal(trust_open_run_envelope(world.run.trust, bytes_as_view(&stored), ENVELOPE_JOB,
                                             &payload, &err),
                     NERO_OK);
    assert_int_equal(job_record_decode(payload, &record, &err), NERO_OK);
    assert_int_equal(job_spec_decode(record.spec, &spec, &err), NERO_OK);
    spec.seed++;
    assert_int_equal(job_spec_encode(&spec, &spec_bytes, &err), NERO_OK);
    assert_int_equal(submission_publish(&world.run.submission, bytes_as_view(&spec_bytes),
                                        record.genotype, &job, &err),
                     NERO_OK);
    layout_spec(key, world.run.name, &job);
    audit_world_found(key, "a job of nobody");
    audit_world_remove(key);
    job_spec_fini(&spec);
    bytes_fini(&spec_bytes);
    bytes_fini(&stored);
    audit_world_clean();
}

/* ---- cut off ---- */

/* Objects of the jobs of a generation record: spec, slots, result. */
static void remove_jobs(const struct generation *generation, const struct hash *also)
{
    for (uint32_t i = 0; i < world.key_count; i++) {
        const char *key = world.keys[i];
        bool goes = false;
        char hex[HASH_HEX_BYTES];

        for (uint32_t j = 0; j < generation->member_count; j++) {
            hash_to_hex(hex, &generation->members[j].job);
            goes = goes || (generation->members[j].has_job && strstr(key, hex) != NULL);
        }
        hash_to_hex(hex, also);
        if (goes || strstr(key, hex) != NULL) {
            audit_world_remove(key);
        }
    }
}

/* The last job of the run: of kind score. */
static struct hash score_job(void)
{
    for (uint32_t i = 0;; i++) {
        struct ended ended = find_ended(i);
        struct bytes stored = audit_world_read(ended.spec);
        struct bytes_view payload;
        struct job_record record;
        struct job_spec spec;
        struct nero_err err;
        bool score;

        assert_int_equal(trust_open_run_envelope(world.run.trust, bytes_as_view(&stored),
                                                 ENVELOPE_JOB, &payload, &err),
                         NERO_OK);
        assert_int_equal(job_record_decode(payload, &record, &err), NERO_OK);
        assert_int_equal(job_spec_decode(record.spec, &spec, &err), NERO_OK);
        score = spec.kind == JOB_SCORE;
        job_spec_fini(&spec);
        bytes_fini(&stored);
        if (score) {
            return ended.job;
        }
    }
}

/*
 * Everything of the last generation is gone, as if it had never been: that cannot be told from an
 * unfinished run, unless somebody remembers a head.
 */
static void test_audit__tells_a_shortened_run_by_its_head(void **state)
{
    struct audit_options options = {.root = world.run.root.public_key};
    struct audit_report whole = audit_world_audit();
    struct generation_stored proposed = read_record(2, GENERATION_PROPOSED);
    struct hash score = score_job();
    struct bytes *copies = mem_calloc(world.key_count, sizeof *copies);
    struct audit_report report;
    struct nero_err err;
    char key[LAYOUT_KEY_BYTES];

    (void)state;
    for (uint32_t i = 0; i < world.key_count; i++) {
        copies[i] = audit_world_read(world.keys[i]);
    }
    options.expected_heads = whole.heads;
    options.expected_head_count = whole.head_count;
    assert_int_equal(audit_run(world.run.store, world.run.name, &options, &report, &err), NERO_OK);
    assert_int_equal(report.finding_count, 0);
    assert_true(report.heads_checked);
    audit_report_fini(&report);

    remove_jobs(&proposed.generation, &score);
    for (int number = 2; number <= 3; number++) {
        layout_batch(key, world.run.name, (uint64_t)number);
        audit_world_remove(key);
    }
    for (int record = GENERATION_PROPOSED; record <= GENERATION_CLOSED; record++) {
        if (record != GENERATION_EXTENDING) {
            gen_key(2, (enum generation_state)record, key);
            audit_world_remove(key);
        }
    }
    report = audit_world_audit();
    assert_int_equal(report.finding_count, 0);
    assert_false(report.finished);
    assert_non_null(strstr(report.standing, "open: 2 of 3"));
    audit_report_fini(&report);
    assert_int_equal(audit_run(world.run.store, world.run.name, &options, &report, &err), NERO_OK);
    assert_int_equal(report.finding_count, 2); /* both heads */
    assert_int_equal(audit_world_named(&report, "runs/made-up/"), 2);
    audit_report_fini(&report);

    for (uint32_t i = 0; i < world.key_count; i++) {
        audit_world_write(world.keys[i], bytes_as_view(&copies[i]));
        bytes_fini(&copies[i]);
    }
    free(copies);
    generation_stored_fini(&proposed);
    audit_report_fini(&whole);
    audit_world_clean();
}

/* A head that an earlier audit printed is reached by the longer run. */
static void test_audit__reaches_an_earlier_head(void **state)
{
    struct generation_stored first = read_record(0, GENERATION_CLOSED);
    struct audit_options options = {
        .root = world.run.root.public_key, .expected_heads = &first.hash, .expected_head_count = 1};
    struct audit_report report;
    struct nero_err err;

    (void)state;
    assert_int_equal(audit_run(world.run.store, world.run.name, &options, &report, &err), NERO_OK);
    assert_int_equal(report.finding_count, 0);
    audit_report_fini(&report);
    first.hash.data[0] ^= 1;
    assert_int_equal(audit_run(world.run.store, world.run.name, &options, &report, &err), NERO_OK);
    assert_int_equal(report.finding_count, 1);
    audit_report_fini(&report);
    generation_stored_fini(&first);
}

static void test_audit__sees_blobs_only_when_asked(void **state)
{
    struct ended ended = find_ended(0);
    struct bytes slot = audit_world_read(ended.slot);
    struct bytes result = audit_world_read(ended.result);
    struct audit_options options = {.root = world.run.root.public_key, .skip_blobs = true};
    struct audit_report report;
    struct nero_err err;

    (void)state;
    assert_int_equal(audit_run(world.run.store, world.run.name, &options, &report, &err), NERO_OK);
    assert_int_equal(report.finding_count, 0);
    assert_int_equal(report.blob_bytes, 0);
    audit_report_fini(&report);
    forge_final(&ended, &world.run.runners[1], change_blob); /* lengths are seen all the same */
    assert_int_equal(audit_run(world.run.store, world.run.name, &options, &report, &err), NERO_OK);
    assert_true(report.finding_count > 0);
    audit_report_fini(&report);
    audit_world_write(ended.slot, bytes_as_view(&slot));
    audit_world_write(ended.result, bytes_as_view(&result));
    bytes_fini(&slot);
    bytes_fini(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_audit__finds_swapped_results),
        cmocka_unit_test(test_audit__finds_a_slot_replayed_into_another_job),
        cmocka_unit_test(test_audit__finds_objects_that_nobody_needs),
        cmocka_unit_test(test_audit__bears_a_blob_of_a_dead_attempt),
        cmocka_unit_test(test_audit__finds_outcomes_that_contradict_themselves),
        cmocka_unit_test(test_audit__finds_a_result_of_an_uncertified_key),
        cmocka_unit_test(test_audit__finds_an_edited_fitness),
        cmocka_unit_test(test_audit__finds_an_edited_selection),
        cmocka_unit_test(test_audit__finds_swapped_children),
        cmocka_unit_test(test_audit__finds_a_skipped_generation),
        cmocka_unit_test(test_audit__finds_a_genotype_that_is_not_the_phenotypes),
        cmocka_unit_test(test_audit__finds_a_job_that_no_record_names),
        cmocka_unit_test(test_audit__tells_a_shortened_run_by_its_head),
        cmocka_unit_test(test_audit__reaches_an_earlier_head),
        cmocka_unit_test(test_audit__sees_blobs_only_when_asked),
    };

    return cmocka_run_group_tests(tests, audit_world_setup, audit_world_teardown);
}
