#include "explain.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/genotype.h"
#include "nero/graph.h"
#include "nero/mem.h"
#include "nero/trust.h"

enum { NO_ATTEMPT = UINT32_MAX };

/* ---- what was submitted ---- */

static void tell_genotype(struct explain *explain, struct bytes_view encoded)
{
    struct genotype genotype;
    struct nero_err err;
    char *text = explain->genotype;
    size_t used = 0;

    if (encoded.bytes == 0) {
        return;
    }
    if (genotype_decode(encoded, &genotype, &err) != NERO_OK) {
        (void)snprintf(text, EXPLAIN_TEXT_BYTES, "does not decode: %.400s", err.message);
        return;
    }
    for (uint32_t i = 0; i < genotype.module_count && used < EXPLAIN_TEXT_BYTES; i++) {
        const struct genotype_module *module = &genotype.modules[i];

        used +=
            (size_t)snprintf(text + used, EXPLAIN_TEXT_BYTES - used, "%s %" PRIu32 " unit%s; ",
                             module->name, module->unit_count, module->unit_count == 1 ? "" : "s");
    }
    if (used < EXPLAIN_TEXT_BYTES) {
        (void)snprintf(text + used, EXPLAIN_TEXT_BYTES - used, "%" PRIu32 " genes",
                       genotype.gene_count);
    }
    genotype_fini(&genotype);
}

static void tell_network(struct explain *explain, const struct phenotype *phenotype)
{
    uint32_t counts[PHENOTYPE_FC + 1] = {0};
    struct nero_err err;
    struct graph graph;

    if (graph_build(phenotype, &graph, &err) != NERO_OK) {
        (void)snprintf(explain->network, sizeof explain->network, "cannot be built: %.400s",
                       err.message);
        return;
    }
    for (uint32_t i = 0; i < phenotype->unit_count; i++) {
        counts[phenotype->units[i].kind]++;
    }
    (void)snprintf(explain->network, sizeof explain->network,
                   "%" PRIu32 " convolution, %" PRIu32 " pooling, %" PRIu32 " dense units; %" PRIu64
                   " parameters, %.2f M multiply-adds an image",
                   counts[PHENOTYPE_CONV], counts[PHENOTYPE_POOL], counts[PHENOTYPE_FC],
                   graph.trained_count, (double)graph.macs / 1e6);
    graph_fini(&graph);
}

static void tell_spec(struct explain *explain, const struct audit_chain *chain)
{
    const struct job_spec *spec = chain->spec;

    explain->kind = spec->kind;
    explain->seed = spec->seed;
    explain->budget = spec->budget;
    explain->has_continue_from = spec->has_continue_from;
    explain->continue_from = spec->continue_from;
    memcpy(explain->numeric_class, spec->numeric_class, sizeof explain->numeric_class);
    explain->learning = spec->phenotype.learning;
    tell_genotype(explain, chain->record.genotype);
    tell_network(explain, &spec->phenotype);
}

/* ---- slots ---- */

/* A body that does not decode is a finding of the audit; here the slot is told without it. */
static void tell_progress(struct explain_event *event, struct bytes_view body,
                          char numeric_class[JOB_CLASS_BYTES])
{
    struct progress progress;
    struct nero_err ignored;

    progress_init(&progress);
    if (progress_decode(body, &progress, &ignored) == NERO_OK) {
        event->phase = progress.phase;
        event->epoch = progress.epoch;
        event->point = (struct explain_point){progress.updates, progress.seconds_used};
        memcpy(numeric_class, progress.numeric_class, JOB_CLASS_BYTES);
    }
    progress_fini(&progress);
}

static void tell_result(struct explain_event *event, struct bytes_view body,
                        char numeric_class[JOB_CLASS_BYTES])
{
    struct result result;
    struct nero_err ignored;

    result_init(&result);
    if (result_decode(body, &result, NULL, &ignored) == NERO_OK) {
        event->has_outcome = true;
        event->outcome = result.outcome;
        event->outcome.histogram = NULL;
        event->outcome.class_count = 0;
        event->outcome.curve = NULL;
        event->outcome.epoch_count = 0;
        event->point =
            (struct explain_point){result.outcome.steps, result.provenance.seconds_trained};
        memcpy(numeric_class, result.outcome.numeric_class, JOB_CLASS_BYTES);
    }
    result_fini(&result);
}

/* The attempt that a runner's slot belongs to; a new one where the token is. */
static struct explain_attempt *attempt_of(struct explain *explain, const struct chain_entry *entry)
{
    const struct explain_attempt *before =
        explain->attempt_count > 0 ? &explain->attempts[explain->attempt_count - 1] : NULL;
    struct explain_attempt *attempt = &explain->attempts[explain->attempt_count];

    if (before != NULL && before->token == entry->slot.token && entry->slot.kind != SLOT_TAKEOVER) {
        return attempt - 1;
    }
    *attempt = (struct explain_attempt){.runner = entry->signer,
                                        .token = entry->slot.token,
                                        .has_takeover = entry->slot.kind == SLOT_TAKEOVER,
                                        .first_ms = entry->slot.wall_ms,
                                        .end = EXPLAIN_SILENT};
    if (before != NULL) {
        attempt->idle_ms = attempt->first_ms - before->last_ms;
    }
    explain->attempt_count++;
    return attempt;
}

static int64_t place_of_slot(const struct chain *chain, const struct hash *stored)
{
    const struct chain_entry *entry = chain_find(chain, stored);

    for (uint64_t i = 0; entry != NULL && i < chain_count(chain); i++) {
        if (chain_at(chain, i) == entry) {
            return (int64_t)i;
        }
    }
    return EXPLAIN_UNKNOWN_SLOT;
}

/* All slots of an attempt say it; it is told once. */
static void note_restored(const struct chain *chain, const struct slot *slot,
                          struct explain_event *event)
{
    event->has_restored_from = slot->has_restored_from;
    if (slot->has_restored_from) {
        event->restored_from = place_of_slot(chain, &slot->restored_from);
    }
}

/* Only a training from scratch begins at nothing; others where what they continue has ended. */
static void note_start(const struct explain *explain, struct explain_attempt *attempt,
                       const struct explain_event *event)
{
    const struct explain_event *from;

    if (!event->has_restored_from) {
        attempt->has_start = explain->kind == JOB_TRAIN;
        return;
    }
    if (event->restored_from == EXPLAIN_UNKNOWN_SLOT ||
        event->restored_from >= (int64_t)event->number) {
        return;
    }
    from = &explain->events[event->restored_from];
    attempt->has_start = from->valid && from->kind == SLOT_CHECKPOINT;
    if (attempt->has_start) {
        attempt->start = from->point;
    }
}

static enum explain_end end_by(const struct slot *slot)
{
    switch (slot->kind) {
    case SLOT_CHECKPOINT:
        return slot->reason == SLOT_NOTICE ? EXPLAIN_PREEMPTED : EXPLAIN_SILENT;
    case SLOT_FINAL:
        return EXPLAIN_FINAL;
    case SLOT_FAILED:
        return EXPLAIN_FAILED;
    case SLOT_CANCELLED:
        return EXPLAIN_CANCELLED;
    case SLOT_TAKEOVER:
    case SLOT_REOPENED:
        break;
    }
    return EXPLAIN_SILENT;
}

static void tell_attempt(struct explain *explain, const struct chain *chain,
                         const struct chain_entry *entry, struct explain_event *event)
{
    struct explain_attempt *attempt = attempt_of(explain, entry);
    bool commits = entry->slot.kind == SLOT_CHECKPOINT || entry->slot.kind == SLOT_FINAL;

    event->attempt = (uint32_t)(attempt - explain->attempts);
    attempt->last_ms = event->wall_ms;
    attempt->last_slot = event->number;
    attempt->end = end_by(&entry->slot);
    if (entry->slot.kind == SLOT_CHECKPOINT) {
        tell_progress(event, entry->slot.body, attempt->numeric_class);
        attempt->checkpoints++;
    } else if (entry->slot.kind == SLOT_FINAL) {
        tell_result(event, entry->slot.body, attempt->numeric_class);
    }
    if (commits) {
        if (!attempt->committed) {
            note_restored(chain, &entry->slot, event);
            note_start(explain, attempt, event);
        }
        attempt->committed = true;
        attempt->reached = event->point;
    }
}

/* The scheduler's word ends an attempt that has said none itself. */
static void tell_control(struct explain *explain, const struct slot *slot)
{
    struct explain_attempt *attempt =
        explain->attempt_count > 0 ? &explain->attempts[explain->attempt_count - 1] : NULL;

    if (attempt != NULL && attempt->end == EXPLAIN_SILENT) {
        attempt->end = end_by(slot);
    }
}

static void tell_valid(struct explain *explain, const struct chain *chain,
                       const struct chain_entry *entry, struct explain_event *event)
{
    const struct slot *slot = &entry->slot;

    event->kind = slot->kind;
    event->by_scheduler = entry->by_scheduler;
    event->wall_ms = slot->wall_ms;
    event->reason = slot->reason;
    memcpy(event->text, slot->text, sizeof event->text);
    for (uint32_t i = 0; i < slot->blob_count; i++) {
        event->bytes += slot->blobs[i].bytes;
    }
    if (entry->by_scheduler) {
        tell_control(explain, slot);
    } else {
        tell_attempt(explain, chain, entry, event);
    }
}

static void tell_slots(struct explain *explain, const struct chain *chain)
{
    const struct explain_event *before = NULL;

    for (uint64_t i = 0; i < explain->event_count; i++) {
        const struct chain_entry *entry = chain_at(chain, i);
        struct explain_event *event = &explain->events[i];

        *event = (struct explain_event){.number = i, .valid = entry->valid, .attempt = NO_ATTEMPT};
        chain_key(chain, entry, event->key);
        memcpy(event->fault, entry->fault, sizeof event->fault);
        if (!entry->valid) {
            explain->totals.damaged++;
            continue;
        }
        tell_valid(explain, chain, entry, event);
        if (before != NULL) {
            event->since_ms = event->wall_ms - before->wall_ms;
            event->since_slot = before->number;
        }
        before = event;
    }
}

/* ---- totals ---- */

static double seconds_between(int64_t ms)
{
    return ms > 0 ? (double)ms * 1e-3 : 0; /* clocks of two runners may differ */
}

/* What of the attempt had been committed before it, `high` at the furthest. */
static void note_redone(struct explain_attempt *attempt, struct explain_point *high)
{
    const struct explain_point *until =
        high->updates < attempt->reached.updates ? high : &attempt->reached;

    if (!attempt->has_start) {
        return;
    }
    if (until->updates > attempt->start.updates) {
        attempt->redone.updates = until->updates - attempt->start.updates;
        attempt->redone.seconds = until->seconds - attempt->start.seconds;
    }
    if (attempt->reached.updates > high->updates) {
        *high = attempt->reached;
    }
}

static void sum_attempt(struct explain *explain, uint32_t index)
{
    const struct explain_attempt *attempt = &explain->attempts[index];
    const struct explain_attempt *next = index + 1 < explain->attempt_count ? attempt + 1 : NULL;
    struct explain_totals *totals = &explain->totals;
    bool lost = attempt->end == EXPLAIN_SILENT && next != NULL;

    totals->preempted += attempt->end == EXPLAIN_PREEMPTED;
    totals->failed += attempt->end == EXPLAIN_FAILED;
    totals->lost += lost;
    totals->checkpoints += attempt->checkpoints;
    totals->unknown += !attempt->has_start;
    totals->redone.updates += attempt->redone.updates;
    totals->redone.seconds += attempt->redone.seconds;
    if (attempt->has_start) {
        totals->seconds_trained += attempt->reached.seconds - attempt->start.seconds;
    }
    if (next != NULL) {
        *(lost ? &totals->seconds_lost_at_most : &totals->seconds_waited) +=
            seconds_between(next->idle_ms);
    }
}

static void sum_attempts(struct explain *explain)
{
    struct explain_point high = {0};

    for (uint32_t i = 0; i < explain->attempt_count; i++) {
        note_redone(&explain->attempts[i], &high);
        sum_attempt(explain, i);
    }
}

/* ---- the whole ---- */

static enum nero_status tell(void *context, const struct audit_chain *audited, struct nero_err *err)
{
    struct explain *explain = context;
    const struct chain_entry *terminal = chain_terminal(audited->chain);

    explain->event_count = chain_count(audited->chain);
    explain->events = mem_calloc(explain->event_count, sizeof *explain->events);
    explain->attempts = mem_calloc(explain->event_count, sizeof *explain->attempts);
    if (explain->events == NULL || explain->attempts == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %" PRIu64 " slots",
                       explain->event_count);
    }
    tell_spec(explain, audited);
    tell_slots(explain, audited->chain);
    sum_attempts(explain);
    if (terminal != NULL) {
        explain->terminal = &explain->events[place_of_slot(audited->chain, &terminal->hash)];
    }
    explain->told = true;
    return NERO_OK;
}

enum nero_status explain_job(struct storage *store, const char *run, const struct hash *job,
                             const struct key_public *root, bool skip_blobs, struct explain *out,
                             struct nero_err *err)
{
    struct audit_options options = {
        .root = *root, .skip_blobs = skip_blobs, .job = job, .chain = tell, .context = out};
    struct trust *trust = NULL;
    enum nero_status status;

    memset(out, 0, sizeof *out);
    (void)snprintf(out->run, sizeof out->run, "%s", run);
    out->job = *job;
    status = audit_run(store, run, &options, &out->report, err);
    if (status == NERO_OK && out->told) {
        status = trust_open(store, run, root, &trust, err);
        if (status == NERO_OK) {
            out->rows = trust_run(trust)->store_mode == RUN_ATTEMPTS;
            status = explain_find_places(store, trust, out, err);
        }
        trust_close(trust);
    }
    if (status != NERO_OK) {
        explain_fini(out);
    }
    return status;
}

void explain_fini(struct explain *explain)
{
    free(explain->events);
    free(explain->attempts);
    audit_report_fini(&explain->report);
    explain->events = NULL;
    explain->attempts = NULL;
}

bool explain_sound(const struct explain *explain)
{
    return explain->told && explain->report.finding_count == 0 && explain->place_fault[0] == '\0';
}

const char *explain_end_name(const struct explain *explain, uint32_t attempt)
{
    static const char *const names[] = {[EXPLAIN_SILENT] = "lost",
                                        [EXPLAIN_PREEMPTED] = "preempted",
                                        [EXPLAIN_FINAL] = "final",
                                        [EXPLAIN_FAILED] = "failed",
                                        [EXPLAIN_CANCELLED] = "cancelled"};
    enum explain_end end = explain->attempts[attempt].end;

    return end == EXPLAIN_SILENT && attempt + 1 == explain->attempt_count ? "under way"
                                                                          : names[end];
}
