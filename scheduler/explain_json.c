/* The story of a job as one JSON object. Times are wall ms of the signers' clocks. */
#include <jansson.h>

#include "explain.h"

static json_t *hex_of(const struct hash *hash)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, hash);
    return json_string(hex);
}

static json_t *token_of(uint64_t token)
{
    char text[20];

    (void)snprintf(text, sizeof text, "%016llx", (unsigned long long)token);
    return json_string(text);
}

static json_t *point_of(const struct explain_point *point)
{
    return json_pack("{s:I, s:f}", "updates", (json_int_t)point->updates, "seconds",
                     point->seconds);
}

static json_t *submitted_of(const struct explain *explain)
{
    json_t *places = json_array();

    for (uint32_t i = 0; i < explain->place_count && i < EXPLAIN_PLACES_MAX; i++) {
        const struct explain_place *place = &explain->places[i];

        (void)json_array_append_new(places, json_pack("{s:I, s:I, s:I, s:s}", "lineage",
                                                      (json_int_t)place->lineage, "generation",
                                                      (json_int_t)place->generation, "slot",
                                                      (json_int_t)place->member, "origin",
                                                      generation_origin_name(place->origin)));
    }
    return json_pack("{s:s, s:s, s:I, s:o, s:s, s:s, s:s, s:o, s:I, s:o}", "kind",
                     job_kind_name(explain->kind), "budget_kind",
                     explain->kind != JOB_SCORE ? job_budget_name(explain->budget.kind) : "",
                     "budget", (json_int_t)explain->budget.amount, "seed", token_of(explain->seed),
                     "numeric_class", explain->numeric_class, "genotype", explain->genotype,
                     "network", explain->network, "continue_from",
                     explain->has_continue_from ? hex_of(&explain->continue_from) : json_null(),
                     "named_by_count", (json_int_t)explain->place_count, "named_by", places);
}

static json_t *attempts_of(const struct explain *explain)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < explain->attempt_count; i++) {
        const struct explain_attempt *attempt = &explain->attempts[i];
        char runner[KEY_ID_HEX_BYTES];

        key_id_to_hex(runner, &attempt->runner);
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:o, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:o}", "runner",
                      runner, "token", token_of(attempt->token), "numeric_class",
                      attempt->numeric_class, "takeover", (int)attempt->has_takeover, "first_ms",
                      (json_int_t)attempt->first_ms, "last_ms", (json_int_t)attempt->last_ms,
                      "last_slot", (json_int_t)attempt->last_slot, "idle_ms",
                      (json_int_t)attempt->idle_ms, "checkpoints", (json_int_t)attempt->checkpoints,
                      "end", explain_end_name(explain, i), "start",
                      attempt->has_start ? point_of(&attempt->start) : json_null(), "reached",
                      attempt->has_start ? point_of(&attempt->reached) : json_null(), "redone",
                      attempt->has_start ? point_of(&attempt->redone) : json_null()));
    }
    return list;
}

static json_t *event_of(const struct explain_event *event)
{
    json_t *object = json_pack("{s:I, s:s, s:b}", "slot", (json_int_t)event->number, "key",
                               event->key, "valid", (int)event->valid);

    if (!event->valid) {
        (void)json_object_set_new(object, "fault", json_string(event->fault));
        return object;
    }
    (void)json_object_update_new(
        object,
        json_pack("{s:s, s:b, s:o, s:I, s:I, s:o, s:s, s:s, s:I}", "kind",
                  slot_kind_name(event->kind), "by_scheduler", (int)event->by_scheduler, "attempt",
                  event->by_scheduler ? json_null() : json_integer((json_int_t)event->attempt + 1),
                  "wall_ms", (json_int_t)event->wall_ms, "since_ms", (json_int_t)event->since_ms,
                  "restored_from",
                  event->has_restored_from ? json_integer((json_int_t)event->restored_from)
                                           : json_null(),
                  "reason", slot_reason_name(event->reason), "text", event->text, "bytes",
                  (json_int_t)event->bytes));
    if (event->kind == SLOT_CHECKPOINT) {
        (void)json_object_update_new(
            object, json_pack("{s:s, s:I, s:o}", "phase", progress_phase_name(event->phase),
                              "epoch", (json_int_t)event->epoch, "point", point_of(&event->point)));
    }
    return object;
}

static json_t *events_of(const struct explain *explain)
{
    json_t *list = json_array();

    for (uint64_t i = 0; i < explain->event_count; i++) {
        (void)json_array_append_new(list, event_of(&explain->events[i]));
    }
    return list;
}

static json_t *outcome_of(const struct explain *explain)
{
    const struct result_outcome *outcome;

    if (explain->terminal == NULL || !explain->terminal->has_outcome) {
        return json_null();
    }
    outcome = &explain->terminal->outcome;
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:s}", "stop",
                     result_stop_name(outcome->stop), "ill", result_ill_name(outcome->ill),
                     "updates", (json_int_t)outcome->steps, "epochs", (json_int_t)outcome->epochs,
                     "count", (json_int_t)outcome->count, "correct", (json_int_t)outcome->correct,
                     "kept", (json_int_t)outcome->kept, "zero_gradient",
                     (json_int_t)outcome->zero_gradient, "clean", result_clean_accuracy(outcome),
                     "adversarial", result_adversarial_accuracy(outcome), "numeric_class",
                     outcome->numeric_class);
}

static json_t *totals_of(const struct explain *explain)
{
    const struct explain_totals *totals = &explain->totals;

    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:o, s:f, s:f}", "attempts",
                     (json_int_t)explain->attempt_count, "preempted", (json_int_t)totals->preempted,
                     "lost", (json_int_t)totals->lost, "failed", (json_int_t)totals->failed,
                     "checkpoints", (json_int_t)totals->checkpoints, "damaged",
                     (json_int_t)totals->damaged, "unknown", (json_int_t)totals->unknown,
                     "seconds_trained", totals->seconds_trained, "redone",
                     point_of(&totals->redone), "seconds_lost_at_most",
                     totals->seconds_lost_at_most, "seconds_waited", totals->seconds_waited);
}

static json_t *findings_of(const struct explain *explain)
{
    const struct audit_report *report = &explain->report;
    json_t *list = json_array();

    for (uint32_t i = 0; report->findings != NULL && i < report->finding_count; i++) {
        (void)json_array_append_new(list, json_pack("{s:s*, s:s*}", "artifact",
                                                    report->findings[i].artifact, "what",
                                                    report->findings[i].what));
    }
    if (explain->place_fault[0] != '\0') {
        (void)json_array_append_new(list, json_pack("{s:s*}", "what", explain->place_fault));
    }
    return list;
}

void explain_print_json(const struct explain *explain, FILE *out)
{
    json_t *root =
        json_pack("{s:s, s:o, s:b, s:o, s:I, s:I, s:b}", "run", explain->run, "job",
                  hex_of(&explain->job), "verified", (int)explain_sound(explain), "findings",
                  findings_of(explain), "signatures", (json_int_t)explain->report.signatures,
                  "blob_bytes", (json_int_t)explain->report.blob_bytes, "blobs_skipped",
                  (int)explain->report.blobs_skipped);

    if (explain->told) {
        (void)json_object_update_new(
            root,
            json_pack("{s:b, s:s, s:o, s:o, s:o, s:o, s:o}", "rows", (int)explain->rows, "state",
                      explain->terminal != NULL ? slot_kind_name(explain->terminal->kind) : "open",
                      "submitted", submitted_of(explain), "attempts", attempts_of(explain), "slots",
                      events_of(explain), "outcome", outcome_of(explain), "totals",
                      totals_of(explain)));
    }
    (void)json_dumpf(root, out, JSON_COMPACT | JSON_REAL_PRECISION(9));
    (void)fputc('\n', out);
    json_decref(root);
}
