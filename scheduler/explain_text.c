/* The story of a job for people. */
#include <inttypes.h>
#include <stdlib.h>

#include "nero/clock.h"

#include "explain.h"
#include "report.h"

enum { SPAN_BYTES = 32, MINUTE_S = 60, HOUR_S = 3600 };

/* "12.3 s", "4 m 05 s", "2 h 03 m". */
static void format_span(char out[SPAN_BYTES], int64_t ms)
{
    const char *sign = ms < 0 ? "-" : "";
    int64_t seconds = llabs(ms) / 1000;

    if (seconds < MINUTE_S) {
        (void)snprintf(out, SPAN_BYTES, "%s%.1f s", sign, (double)llabs(ms) * 1e-3);
    } else if (seconds < HOUR_S) {
        (void)snprintf(out, SPAN_BYTES, "%s%" PRId64 " m %02" PRId64 " s", sign, seconds / MINUTE_S,
                       seconds % MINUTE_S);
    } else {
        (void)snprintf(out, SPAN_BYTES, "%s%" PRId64 " h %02" PRId64 " m", sign, seconds / HOUR_S,
                       seconds % HOUR_S / MINUTE_S);
    }
}

static void format_seconds(char out[SPAN_BYTES], double seconds)
{
    format_span(out, (int64_t)(seconds * 1000 + 0.5));
}

/* ---- submitted ---- */

static void print_places(const struct explain *explain, FILE *out)
{
    uint32_t listed =
        explain->place_count < EXPLAIN_PLACES_MAX ? explain->place_count : EXPLAIN_PLACES_MAX;

    for (uint32_t i = 0; i < listed; i++) {
        const struct explain_place *place = &explain->places[i];

        (void)fprintf(
            out, "  named by lineage %" PRIu32 ", generation %" PRIu32 ", slot %" PRIu32 " (%s)\n",
            place->lineage, place->generation, place->member,
            generation_origin_name(place->origin));
    }
    if (listed < explain->place_count) {
        (void)fprintf(out, "  ... and %" PRIu32 " more\n", explain->place_count - listed);
    }
    if (explain->place_count == 0) {
        (void)fprintf(out, "  named by no generation record\n");
    }
}

static void print_submitted(const struct explain *explain, FILE *out)
{
    char hex[HASH_HEX_BYTES];

    (void)fprintf(out, "  submitted: %s", job_kind_name(explain->kind));
    if (explain->kind != JOB_SCORE) {
        (void)fprintf(out, ", budget %s:%" PRIu64, job_budget_name(explain->budget.kind),
                      explain->budget.amount);
    }
    (void)fprintf(out, ", seed %" PRIu64 ", numeric class %s\n", explain->seed,
                  explain->numeric_class[0] != '\0' ? explain->numeric_class : "any");
    if (explain->has_continue_from) {
        hash_to_hex(hex, &explain->continue_from);
        (void)fprintf(out, "  continues from blob %s\n", hex);
    }
    print_places(explain, out);
    if (explain->genotype[0] != '\0') {
        (void)fprintf(out, "  genotype: %s\n", explain->genotype);
    }
    (void)fprintf(out, "  network: %s\n", explain->network);
    report_print_learning(&explain->learning, out);
}

/* ---- the slots ---- */

static void print_claim(const struct explain *explain, uint32_t index, FILE *out)
{
    const struct explain_attempt *attempt = &explain->attempts[index];
    const struct explain_attempt *before = attempt - 1;
    char runner[KEY_ID_HEX_BYTES];
    char span[SPAN_BYTES];

    key_id_to_hex(runner, &attempt->runner);
    (void)fprintf(out, "attempt %" PRIu32 ": %s by runner %s, token %016" PRIx64 ", class %s",
                  index + 1, index == 0 ? "claimed" : "taken over", runner, attempt->token,
                  attempt->numeric_class[0] != '\0' ? attempt->numeric_class : "not known");
    if (index > 0) {
        format_span(span, attempt->idle_ms);
        (void)fprintf(out, "; %s after slot %" PRIu64 ", the last of attempt %" PRIu32 " (%s)",
                      span, before->last_slot, index, explain_end_name(explain, index - 1));
    }
}

static void print_final(const struct explain_event *event, FILE *out)
{
    const struct result_outcome *outcome = &event->outcome;

    if (!event->has_outcome) {
        (void)fprintf(out, "final, but its result cannot be read");
        return;
    }
    (void)fprintf(out,
                  "final: stopped by %s, %s; %" PRIu64 " updates in %" PRIu32
                  " epochs; C %.2f %% (%" PRIu32 " of %" PRIu32 "), A %.2f %% (%" PRIu32
                  " of them)",
                  result_stop_name(outcome->stop), result_ill_name(outcome->ill), outcome->steps,
                  outcome->epochs, 100 * result_clean_accuracy(outcome), outcome->correct,
                  outcome->count, 100 * result_adversarial_accuracy(outcome), outcome->kept);
}

static void print_checkpoint(const struct explain_event *event, FILE *out)
{
    (void)fprintf(out, "checkpoint (%s): update %" PRIu64 ", ", slot_reason_name(event->reason),
                  event->point.updates);
    if (event->phase == PROGRESS_TRAIN || event->phase == PROGRESS_CONTROL) {
        (void)fprintf(out, "epoch %" PRIu32 ", ", event->epoch + 1);
    }
    (void)fprintf(out, "%s; %" PRIu64 " bytes", progress_phase_name(event->phase), event->bytes);
}

static void print_commit(const struct explain *explain, const struct explain_event *event,
                         FILE *out)
{
    char span[SPAN_BYTES];

    (void)fprintf(out, "  ");
    switch (event->kind) {
    case SLOT_CHECKPOINT:
        print_checkpoint(event, out);
        break;
    case SLOT_FINAL:
        print_final(event, out);
        break;
    case SLOT_TAKEOVER:
    case SLOT_FAILED:
    case SLOT_CANCELLED:
    case SLOT_REOPENED:
        (void)fprintf(out, "%s%s%s%s", slot_kind_name(event->kind),
                      event->by_scheduler ? " by the scheduler" : "",
                      event->text[0] != '\0' ? ": " : "", event->text);
        break;
    }
    if (event->has_restored_from && event->restored_from == EXPLAIN_UNKNOWN_SLOT) {
        (void)fprintf(out, "; began from a slot that is damaged now");
    } else if (event->has_restored_from) {
        (void)fprintf(out, "; began from slot %" PRId64, event->restored_from);
    }
    format_span(span, event->since_ms);
    (void)fprintf(out, "; %s after slot %" PRIu64, span, event->since_slot);
    if (event->kind == SLOT_CHECKPOINT && event->reason == SLOT_NOTICE &&
        explain->attempts[event->attempt].end == EXPLAIN_PREEMPTED &&
        explain->attempts[event->attempt].last_slot == event->number) {
        (void)fprintf(out, "; preempted: committed and given back");
    }
}

static void print_event(const struct explain *explain, const struct explain_event *event,
                        int64_t start_ms, FILE *out)
{
    char span[SPAN_BYTES + 1];
    const struct explain_attempt *attempt;

    if (!event->valid) {
        (void)fprintf(out, "              slot %" PRIu64 "  does not count, skipped: %s\n",
                      event->number, event->fault);
        return;
    }
    span[0] = '+';
    format_span(span + (event->wall_ms >= start_ms), event->wall_ms - start_ms);
    (void)fprintf(out, "  %10s  slot %" PRIu64 "  ", span, event->number);
    if (event->kind == SLOT_TAKEOVER) {
        print_claim(explain, event->attempt, out);
    } else {
        print_commit(explain, event, out);
        attempt = event->by_scheduler ? NULL : &explain->attempts[event->attempt];
        if (attempt != NULL && !attempt->has_takeover && attempt->first_ms == event->wall_ms) {
            (void)fprintf(out, "\n%s", "              its takeover does not count: ");
            print_claim(explain, event->attempt, out);
        }
    }
    (void)fputc('\n', out);
}

static void print_events(const struct explain *explain, FILE *out)
{
    const struct explain_event *first = NULL;
    char utc[CLOCK_TEXT_BYTES];

    for (uint64_t i = 0; i < explain->event_count && first == NULL; i++) {
        first = explain->events[i].valid ? &explain->events[i] : NULL;
    }
    if (first == NULL) {
        (void)fprintf(out, "  no runner has claimed it yet\n");
    } else {
        clock_format_utc(utc, first->wall_ms);
        (void)fprintf(out, "  first claimed %s, from which times count by the runners' clocks\n",
                      utc);
    }
    if (explain->rows) {
        (void)fprintf(out,
                      "  attempt mode: slots are counted through the rows of all attempts, which "
                      "may have worked side by side\n");
    }
    for (uint64_t i = 0; i < explain->event_count; i++) {
        print_event(explain, &explain->events[i], first != NULL ? first->wall_ms : 0, out);
    }
}

/* ---- totals ---- */

static void print_unknown(const struct explain *explain, FILE *out)
{
    if (explain->totals.unknown > 0) {
        (void)fprintf(out,
                      "  not known: what %" PRIu32
                      " attempt(s) computed that committed nothing, or began from a slot that is "
                      "damaged\n",
                      explain->totals.unknown);
    }
    if (explain->totals.lost > 0) {
        (void)fprintf(out, "  not known: why lost attempts ended, and what they computed after "
                           "their last slot\n");
    }
}

static void print_totals(const struct explain *explain, FILE *out)
{
    const struct explain_totals *totals = &explain->totals;
    char trained[SPAN_BYTES];
    char redone[SPAN_BYTES];
    char lost[SPAN_BYTES];
    char waited[SPAN_BYTES];

    format_seconds(trained, totals->seconds_trained);
    format_seconds(redone, totals->redone.seconds);
    format_seconds(lost, totals->seconds_lost_at_most);
    format_seconds(waited, totals->seconds_waited);
    (void)fprintf(out,
                  "  attempts %" PRIu32 ": %" PRIu32 " preempted, %" PRIu32 " lost, %" PRIu32
                  " failed; %" PRIu32 " checkpoints, %" PRIu32 " slots that do not count\n",
                  explain->attempt_count, totals->preempted, totals->lost, totals->failed,
                  totals->checkpoints, totals->damaged);
    (void)fprintf(out,
                  "  trained %s as committed, of it %s (%" PRIu64 " updates) done again\n"
                  "  at most %s lost after the last slots of lost attempts; waited %s after other "
                  "ends\n",
                  trained, redone, totals->redone.updates, lost, waited);
    print_unknown(explain, out);
}

/* ---- verdict ---- */

static void print_verdict(const struct explain *explain, FILE *out)
{
    const struct audit_report *report = &explain->report;

    if (explain_sound(explain)) {
        (void)fprintf(out,
                      "verified: %" PRIu64 " signatures, %" PRIu32 " slots, %" PRIu64
                      " bytes of blobs%s; %" PRIu64 " blobs collected\n",
                      report->signatures, report->slots, report->blob_bytes,
                      report->blobs_skipped ? " (contents skipped)" : "", report->blobs_collected);
        return;
    }
    (void)fprintf(out, "NOT verified: %" PRIu32 " finding(s)\n",
                  report->finding_count + (explain->place_fault[0] != '\0'));
    for (uint32_t i = 0; report->findings != NULL && i < report->finding_count; i++) {
        (void)fprintf(out, "  %s: %s\n", report->findings[i].artifact, report->findings[i].what);
    }
    if (explain->place_fault[0] != '\0') {
        (void)fprintf(out, "  %s\n", explain->place_fault);
    }
}

void explain_print_text(const struct explain *explain, FILE *out)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, &explain->job);
    (void)fprintf(out, "job %s of run %s: %s\n", hex, explain->run,
                  explain->terminal != NULL ? slot_kind_name(explain->terminal->kind)
                  : explain->told           ? "open"
                                            : "cannot be told");
    if (explain->told) {
        print_submitted(explain, out);
        print_events(explain, out);
        print_totals(explain, out);
    }
    print_verdict(explain, out);
}
