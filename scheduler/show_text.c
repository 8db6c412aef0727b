#include "show_text.h"

#include <inttypes.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/genotype.h"
#include "nero/job.h"
#include "nero/keys.h"
#include "nero/progress.h"
#include "nero/result.h"
#include "nero/run.h"

#include "report.h"

static void print_time(FILE *out, const char *name, int64_t wall_ms)
{
    char text[CLOCK_TEXT_BYTES];

    clock_format_utc(text, wall_ms);
    (void)fprintf(out, "%s %s\n", name, text);
}

static void print_hash(FILE *out, const char *name, const struct hash *hash)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, hash);
    (void)fprintf(out, "%s %s\n", name, hex);
}

static void print_protocol(const struct job_protocol *protocol, FILE *out)
{
    char attack[REPORT_ATTACK_BYTES];

    report_attack(&protocol->attack, attack);
    print_hash(out, "data set", &protocol->dataset);
    (void)fprintf(out,
                  "images %" PRIu32 " training, %" PRIu32 " control, %" PRIu32
                  " fitness; split seed %" PRIu64 "; scored on the %s images\n",
                  protocol->train_count, protocol->control_count, protocol->fitness_count,
                  protocol->split_seed, protocol->part == JOB_PART_TEST ? "test" : "fitness");
    (void)fprintf(out,
                  "on time-out the %s weights are scored; a budget in seconds is looked at after "
                  "every %s\n",
                  protocol->on_timeout == JOB_SCORE_BEST ? "best" : "last",
                  protocol->time_check == JOB_CHECK_STEP ? "step" : "epoch");
    (void)fprintf(out, "attack %s; L2 %g; batch norm momentum %g; %s\n", attack, protocol->l2,
                  protocol->bn_momentum, protocol->augment ? "augmented" : "not augmented");
}

static enum nero_status text_run(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    static const char *const strategies[] = {"", "evolve", "random", "single evaluation"};
    struct run_record record;
    struct key_id id;
    char hex[KEY_ID_HEX_BYTES];

    if (run_record_decode(payload, &record, err) != NERO_OK) {
        return err->status;
    }
    id = key_id_of(&record.run_key);
    key_id_to_hex(hex, &id);
    (void)fprintf(out, "run %s, seed %" PRIu64 ", strategy %s, run key %s\n", record.name,
                  record.seed, strategies[record.strategy], hex);
    print_time(out, "created", record.created_ms);
    if (record.priority != 0) {
        (void)fprintf(out, "priority %" PRId64 "\n", record.priority);
    }
    if (record.strategy != RUN_SINGLE) {
        const struct run_search *search = &record.search;

        (void)fprintf(out,
                      "%" PRIu32 " lineage(s), %" PRIu32 " generations, lambda %" PRIu32
                      ", budget %s:%" PRIu64 ", cap %" PRIu64 "\n",
                      search->lineages, search->generations, search->lambda,
                      job_budget_name(search->budget.kind), search->budget.amount,
                      search->budget_cap);
        (void)fprintf(out, "beta %g, warm-up until a mean of %g, penalty %g\n", search->beta,
                      search->warmup_threshold, search->penalty);
    }
    print_protocol(&record.protocol, out);
    (void)fprintf(out, "--- preset ---\n%.*s--- grammar ---\n%.*s", (int)record.preset.bytes,
                  (const char *)record.preset.data, (int)record.grammar.bytes,
                  (const char *)record.grammar.data);
    return NERO_OK;
}

static enum nero_status text_epoch(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct run_epoch epoch;

    if (run_epoch_decode(payload, &epoch, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out, "epoch %" PRIu64 " of run %s: %s on %s\n", epoch.number, epoch.run,
                  epoch.why, epoch.host);
    print_time(out, "at", epoch.wall_ms);
    return NERO_OK;
}

static enum nero_status text_certificate(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct keys_certificate certificate;
    struct key_id id;
    char hex[KEY_ID_HEX_BYTES];

    if (keys_certificate_decode(payload, &certificate, err) != NERO_OK) {
        return err->status;
    }
    id = key_id_of(&certificate.key);
    key_id_to_hex(hex, &id);
    (void)fprintf(out, "runner key %s of run %s on host %s, issued in epoch %" PRIu64 ", for%s\n",
                  hex, certificate.run, certificate.host, certificate.epoch,
                  (certificate.uses & KEYS_USE_SLOTS) != 0 ? " slots" : " nothing");
    print_time(out, "from", certificate.not_before_ms);
    print_time(out, "to  ", certificate.not_after_ms);
    return NERO_OK;
}

static enum nero_status text_batch(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct run_batch batch;

    if (run_batch_decode(payload, &batch, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out, "batch %" PRIu64 " of run %s, %" PRIu32 " jobs\n", batch.number, batch.run,
                  batch.count);
    for (uint32_t i = 0; i < batch.count; i++) {
        print_hash(out, "  job", &batch.jobs[i].job);
    }
    run_batch_fini(&batch);
    return NERO_OK;
}

static enum nero_status text_collection(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct run_collection collection;

    if (run_collection_decode(payload, &collection, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out, "collection %" PRIu64 " of run %s, %" PRIu32 " blobs\n", collection.number,
                  collection.run, collection.count);
    for (uint32_t i = 0; i < collection.count; i++) {
        print_hash(out, "  blob", &collection.blobs[i]);
    }
    run_collection_fini(&collection);
    return NERO_OK;
}

static enum nero_status text_genotype(struct bytes_view encoded, FILE *out, struct nero_err *err)
{
    struct genotype genotype;
    struct bytes text;
    enum nero_status status = genotype_decode(encoded, &genotype, err);

    if (status != NERO_OK) {
        return status;
    }
    bytes_init(&text, GENOTYPE_TEXT_BYTES_MAX);
    status = genotype_print_text(&genotype, &text, err);
    if (status == NERO_OK) {
        (void)fwrite(text.data, 1, text.bytes, out);
    }
    bytes_fini(&text);
    genotype_fini(&genotype);
    return status;
}

static enum nero_status text_job(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct job_record record;
    struct job_spec spec;
    struct hash id;
    enum nero_status status = job_record_decode(payload, &record, err);

    if (status == NERO_OK) {
        status = job_spec_decode(record.spec, &spec, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    id = job_id(record.spec);
    print_hash(out, "job", &id);
    (void)fprintf(out, "%s, seed %" PRIu64 ", budget %s:%" PRIu64 ", numeric class %s\n",
                  job_kind_name(spec.kind), spec.seed, job_budget_name(spec.budget.kind),
                  spec.budget.amount, spec.numeric_class[0] != 0 ? spec.numeric_class : "any");
    if (spec.has_continue_from) {
        print_hash(out, "continues from blob", &spec.continue_from);
    }
    print_protocol(&spec.protocol, out);
    status = report_print_network(&spec.phenotype, out, err);
    job_spec_fini(&spec);
    if (status == NERO_OK && record.genotype.bytes > 0) {
        (void)fprintf(out, "--- genotype ---\n");
        status = text_genotype(record.genotype, out, err);
    }
    return status;
}

static enum nero_status text_progress(struct bytes_view body, FILE *out, struct nero_err *err)
{
    struct progress progress;

    progress_init(&progress);
    if (progress_decode(body, &progress, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out, "%s, epoch %" PRIu32 ", %" PRIu64 " updates, numeric class %s\n",
                  progress_phase_name(progress.phase), progress.epoch, progress.updates,
                  progress.numeric_class);
    progress_fini(&progress);
    return NERO_OK;
}

static enum nero_status text_result(struct bytes_view body, FILE *out, struct nero_err *err)
{
    struct result result;
    const struct result_outcome *outcome = &result.outcome;

    result_init(&result);
    if (result_decode(body, &result, NULL, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out,
                  "stopped: %s; %s; %" PRIu32 " epochs, %" PRIu64 " updates; best epoch %" PRIu32
                  ", the %s weights were scored\n",
                  result_stop_name(outcome->stop), result_ill_name(outcome->ill), outcome->epochs,
                  outcome->steps, outcome->best_epoch, outcome->scored_best ? "best" : "last");
    (void)fprintf(out,
                  "%" PRIu32 " of %" PRIu32 " correct, %" PRIu32 " kept under attack: C %.2f "
                  "%%, A %.2f %%\n",
                  outcome->correct, outcome->count, outcome->kept,
                  100 * result_clean_accuracy(outcome), 100 * result_adversarial_accuracy(outcome));
    (void)fprintf(out, "numeric class %s\n", outcome->numeric_class);
    print_hash(out, "weights", &outcome->weights);
    if (outcome->has_state) {
        print_hash(out, "state", &outcome->state);
    }
    (void)fprintf(out,
                  "attempts %" PRIu32 ", preempted %" PRIu32 ", %.1f s of training, %.0f "
                  "images/s\n",
                  result.provenance.attempts, result.provenance.preemptions,
                  result.provenance.seconds_trained, result.provenance.images_per_second);
    for (uint32_t i = 0; i < outcome->epoch_count; i++) {
        (void)fprintf(out,
                      "  epoch %3" PRIu32 ": loss %.4f, control loss %.4f, control correct %" PRIu32
                      "\n",
                      i + 1, outcome->curve[i].loss, outcome->curve[i].control_loss,
                      outcome->curve[i].control_correct);
    }
    result_fini(&result);
    return NERO_OK;
}

static enum nero_status text_slot(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct slot slot;

    if (slot_decode(payload, &slot, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out, "slot %" PRIu64 " of run %s: %s%s%s, token %" PRIx64 ", nonce %" PRIx64 "\n",
                  slot.number, slot.run, slot_kind_name(slot.kind), slot.text[0] != 0 ? ": " : "",
                  slot.text, slot.token, slot.nonce);
    print_hash(out, "job", &slot.job);
    print_hash(out, "prev", &slot.prev);
    print_time(out, "written", slot.wall_ms);
    for (uint32_t i = 0; i < slot.skipped_count; i++) {
        (void)fprintf(out, "skips damaged slot %" PRIu64 "\n", slot.skipped[i]);
    }
    if (slot.has_restored_from) {
        print_hash(out, "restored from", &slot.restored_from);
    }
    for (uint32_t i = 0; i < slot.blob_count; i++) {
        (void)fprintf(out, "%" PRIu64 " bytes, ", slot.blobs[i].bytes);
        print_hash(out, slot.blobs[i].role, &slot.blobs[i].hash);
    }
    if (slot.kind == SLOT_CHECKPOINT) {
        return text_progress(slot.body, out, err);
    }
    return slot.kind == SLOT_FINAL ? text_result(slot.body, out, err) : NERO_OK;
}

static void print_member(const struct generation_member *member, uint32_t slot, bool evaluated,
                         FILE *out)
{
    char job[HASH_HEX_BYTES] = "none";

    if (member->has_job) {
        hash_to_hex(job, &member->job);
    }
    (void)fprintf(out, "member %" PRIu32 ": %s", slot, generation_origin_name(member->origin));
    if (member->origin == GENERATION_EXTENSION) {
        (void)fprintf(out, " of member %" PRIu32, member->extends);
    }
    (void)fprintf(out, ", job %s", job);
    if (evaluated) {
        (void)fprintf(out, ", %s, fitness %.6f (%" PRIu32 "/%" PRIu32 "/%" PRIu32 ")",
                      generation_verdict_name(member->verdict), member->fitness, member->count,
                      member->correct, member->kept);
    }
    (void)fprintf(out, "%s%s\n", member->text[0] != 0 ? ": " : "", member->text);
    for (uint32_t i = 0; i < member->event_count; i++) {
        const struct generation_event *event = &member->events[i];

        (void)fprintf(out, "  %s %s", generation_operator_name(event->op), event->module);
        if (event->unit >= 0) {
            (void)fprintf(out, " %" PRId32, event->unit);
        }
        (void)fprintf(out, " %s: %s -> %s\n", event->what, event->before, event->after);
    }
}

static enum nero_status text_generation(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct generation generation;

    generation_init(&generation);
    if (generation_decode(payload, &generation, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out, "run %s, lineage %" PRIu32 ", generation %" PRIu32 ", %s, %s phase\n",
                  generation.run, generation.lineage, generation.number,
                  generation_state_name(generation.state),
                  generation.robust ? "robust" : "warm-up");
    print_hash(out, "prev", &generation.prev);
    for (uint32_t i = 0; i < generation.member_count; i++) {
        print_member(&generation.members[i], i, generation.state != GENERATION_PROPOSED, out);
    }
    if (generation.state == GENERATION_CLOSED) {
        (void)fprintf(out, "selected member %" PRIu32 ", mean fitness %.6f, next generation %s\n",
                      generation.selected, generation.mean_fitness,
                      generation.next_robust ? "robust" : "in warm-up");
        if (generation.has_champion) {
            (void)fprintf(
                out, "champion so far: generation %" PRIu32 ", member %" PRIu32 ", fitness %.6f\n",
                generation.champion_generation, generation.champion_member,
                generation.champion_fitness);
        }
    }
    generation_fini(&generation);
    return NERO_OK;
}

static enum nero_status text_dataset(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct run_dataset dataset;

    if (run_dataset_decode(payload, &dataset, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out,
                  "%s: %" PRIu32 " training and %" PRIu32 " test images of %" PRIu32 "x%" PRIu32
                  "x%" PRIu32 ", %" PRIu32 " classes\n",
                  dataset.name, dataset.train_count, dataset.test_count, dataset.channels,
                  dataset.height, dataset.width, dataset.classes);
    print_hash(out, "training images", &dataset.train);
    print_hash(out, "test images", &dataset.test);
    return NERO_OK;
}

static enum nero_status text_amendment(struct bytes_view payload, FILE *out, struct nero_err *err)
{
    struct run_amendment amendment;

    if (run_amendment_decode(payload, &amendment, err) != NERO_OK) {
        return err->status;
    }
    (void)fprintf(out, "amendment %" PRIu64 " of run %s: %" PRIu32 " generations\n",
                  amendment.number, amendment.run, amendment.generations);
    print_hash(out, "prev", &amendment.prev);
    return NERO_OK;
}

enum nero_status show_text(enum place_kind kind, struct bytes_view payload, FILE *out,
                           struct nero_err *err)
{
    switch (kind) {
    case PLACE_RUN:
    case PLACE_INBOX:
        return text_run(payload, out, err);
    case PLACE_AMENDMENT:
        return text_amendment(payload, out, err);
    case PLACE_EPOCH:
        return text_epoch(payload, out, err);
    case PLACE_CERTIFICATE:
        return text_certificate(payload, out, err);
    case PLACE_BATCH:
        return text_batch(payload, out, err);
    case PLACE_SPEC:
        return text_job(payload, out, err);
    case PLACE_SLOT:
    case PLACE_RESULT:
        return text_slot(payload, out, err);
    case PLACE_GENERATION:
        return text_generation(payload, out, err);
    case PLACE_DATASET:
        return text_dataset(payload, out, err);
    case PLACE_COLLECTION:
        return text_collection(payload, out, err);
    case PLACE_BLOB:
    case PLACE_DATA_BLOB:
        break;
    }
    return NERO_OK;
}
