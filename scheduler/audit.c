#include "audit.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/mem.h"

#include "audit_state.h"

/* ---- findings ---- */

/* One more entry of a list: beyond the maximum, or without memory, it is only counted. */
static void keep(struct audit_finding **list, uint32_t *count, uint32_t *room, const char *key,
                 const char *format, va_list args)
{
    if (*count < AUDIT_FINDINGS_MAX && *count == *room) {
        uint32_t wanted = *room > 0 ? *room * 2 : 16;
        struct audit_finding *grown = mem_realloc_array(*list, wanted, sizeof *grown);

        if (grown != NULL) {
            *list = grown;
            *room = wanted;
        }
    }
    if (*count < *room && *count < AUDIT_FINDINGS_MAX) {
        struct audit_finding *finding = &(*list)[*count];

        (void)snprintf(finding->artifact, sizeof finding->artifact, "%.*s",
                       (int)sizeof finding->artifact - 1, key);
        (void)vsnprintf(finding->what, sizeof finding->what, format, args);
    }
    ++*count;
}

void audit_say(struct audit *audit, const char *key, const char *format, ...)
{
    struct audit_report *report = audit->report;
    va_list args;

    va_start(args, format);
    keep(&report->findings, &report->finding_count, &audit->finding_room, key, format, args);
    va_end(args);
}

void audit_note(struct audit *audit, const char *key, const char *format, ...)
{
    struct audit_report *report = audit->report;
    va_list args;

    va_start(args, format);
    keep(&report->notes, &report->note_count, &audit->note_room, key, format, args);
    va_end(args);
}

bool audit_is_verdict(enum nero_status status)
{
    return status == NERO_CORRUPT || status == NERO_VERSION || status == NERO_DENIED ||
           status == NERO_INVALID || status == NERO_TOO_BIG || status == NERO_NOT_FOUND;
}

enum nero_status audit_judge(struct audit *audit, const char *key, const char *what,
                             const struct nero_err *reason, struct nero_err *err)
{
    if (audit_is_verdict(reason->status)) {
        audit_say(audit, key, "%s: %s", what, reason->message);
        return NERO_OK;
    }
    *err = *reason;
    return err_wrap(err, "%s", key);
}

void audit_tell(const struct audit *audit, const char *what, uint64_t done, uint64_t total)
{
    if (audit->options->progress != NULL) {
        audit->options->progress(audit->options->context, what, done, total);
    }
}

void audit_met(struct audit *audit, const struct hash *hash)
{
    for (uint32_t i = 0; i < audit->options->expected_head_count; i++) {
        audit->head_met[i] =
            audit->head_met[i] || hash_equal(hash, &audit->options->expected_heads[i]);
    }
}

enum nero_status audit_head(struct audit *audit, const struct hash *hash, struct nero_err *err)
{
    struct audit_report *report = audit->report;
    struct hash *heads = mem_realloc_array(report->heads, report->head_count + 1, sizeof *heads);

    if (heads == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the heads");
    }
    report->heads = heads;
    report->heads[report->head_count++] = *hash;
    return NERO_OK;
}

/* ---- objects ---- */

static enum nero_status list_object(void *context, const char *key, uint64_t bytes,
                                    struct nero_err *err)
{
    struct audit *audit = context;
    struct audit_object *object;

    if (audit->object_count == audit->object_room) {
        size_t room = audit->object_room > 0 ? audit->object_room * 2 : 256;
        struct audit_object *objects = mem_realloc_array(audit->objects, room, sizeof *objects);

        if (objects == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for a list of %zu objects", room);
        }
        audit->objects = objects;
        audit->object_room = room;
    }
    object = &audit->objects[audit->object_count];
    *object = (struct audit_object){.key = mem_strdup(key), .bytes = bytes};
    if (object->key == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a list of objects");
    }
    object->placed = place_of(key, &object->place);
    audit->object_count++;
    audit_tell(audit, "listed", audit->object_count, 0);
    return NERO_OK;
}

size_t audit_lower(const struct audit *audit, const char *key)
{
    size_t low = 0;
    size_t high = audit->object_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(audit->objects[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct audit_object *audit_object(struct audit *audit, const char *key)
{
    size_t at = audit_lower(audit, key);

    return at < audit->object_count && strcmp(audit->objects[at].key, key) == 0
               ? &audit->objects[at]
               : NULL;
}

enum nero_status audit_read(struct audit *audit, const char *key, const char *why,
                            struct bytes *out, bool *good, struct nero_err *err)
{
    struct audit_object *object = audit_object(audit, key);
    /* Asked even where the listing has it not: the run may be going on. */
    enum nero_status status = storage_get(audit->store, key, out, NULL, err);

    if (object != NULL) {
        object->seen = true;
    }
    *good = status == NERO_OK;
    if (status == NERO_NOT_FOUND) {
        audit_say(audit, key, "is missing: %s", why);
        return NERO_OK;
    }
    if (audit_is_verdict(status)) {
        audit_say(audit, key, "cannot be read: %s", err->message);
        return NERO_OK;
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "%s", key);
}

enum nero_status audit_read_signed(struct audit *audit, const char *key, const char *why,
                                   enum envelope_type type, struct bytes *stored,
                                   struct bytes_view *payload, bool *good, struct nero_err *err)
{
    struct nero_err reason;
    enum nero_status status = audit_read(audit, key, why, stored, good, err);

    if (status != NERO_OK || !*good) {
        return status;
    }
    status = trust_open_run_envelope(audit->trust, bytes_as_view(stored), type, payload, &reason);
    *good = status == NERO_OK;
    if (!*good) {
        return audit_judge(audit, key, "is not as the run key signed it", &reason, err);
    }
    audit->report->signatures++;
    return NERO_OK;
}

/* ---- the whole ---- */

/* What lies beside `key`, the name of any object of that folder. */
static void cut_to_folder(char key[LAYOUT_KEY_BYTES])
{
    strrchr(key, '/')[1] = 0;
}

/* A part that may not be listed is a finding; what is known by name is read all the same. */
static enum nero_status list_part(struct audit *audit, const char *prefix, struct nero_err *err)
{
    enum nero_status status = storage_list_each(audit->store, prefix, list_object, audit, err);

    if (status == NERO_DENIED) {
        audit_say(audit, prefix, "cannot be listed: %s", err->message);
        return NERO_OK;
    }
    return status;
}

/* The objects that a job rests on, ascending. */
static enum nero_status list_job(struct audit *audit, const struct hash *job, struct nero_err *err)
{
    static const struct key_id any;
    char prefixes[8][LAYOUT_KEY_BYTES];
    enum nero_status status = NERO_OK;

    layout_epoch(prefixes[0], audit->run, 0);
    cut_to_folder(prefixes[0]);
    layout_collection(prefixes[1], audit->run, 0);
    cut_to_folder(prefixes[1]);
    layout_slot(prefixes[2], audit->run, job, 0);
    cut_to_folder(prefixes[2]);
    layout_certificate(prefixes[3], audit->run, &any);
    cut_to_folder(prefixes[3]);
    layout_batch(prefixes[4], audit->run, 0);
    cut_to_folder(prefixes[4]);
    layout_result(prefixes[5], audit->run, job);
    layout_run(prefixes[6], audit->run);
    layout_spec(prefixes[7], audit->run, job);
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0] && status == NERO_OK; i++) {
        status = list_part(audit, prefixes[i], err);
    }
    return status;
}

static enum nero_status list_objects(struct audit *audit, struct nero_err *err)
{
    char prefix[LAYOUT_KEY_BYTES];
    enum nero_status status;

    layout_run_prefix(prefix, audit->run);
    status = audit->options->job != NULL ? list_job(audit, audit->options->job, err)
                                         : list_part(audit, prefix, err);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "list %s", prefix);
}

static enum nero_status audit_all(struct audit *audit, struct nero_err *err)
{
    bool trusted;
    enum nero_status status = list_objects(audit, err);

    if (status != NERO_OK) {
        return status;
    }
    if (audit->object_count == 0 && audit->report->finding_count == 0) {
        return err_set(err, NERO_NOT_FOUND, 0, "there is no run %s in %s", audit->run,
                       storage_url(audit->store));
    }
    audit->report->objects = audit->object_count;
    status = audit_record(audit, &trusted, err);
    if (status != NERO_OK || !trusted) {
        return status; /* without the run key nothing else can be judged */
    }
    status = audit_collect(audit, err);
    if (status == NERO_OK) {
        status = audit_control(audit, err);
    }
    if (status == NERO_OK) {
        status = audit_jobs(audit, err);
    }
    if (audit->options->job != NULL) {
        return status;
    }
    if (status == NERO_OK) {
        status = audit_search(audit, err);
    }
    return status == NERO_OK && audit->options->level == AUDIT_FULL ? audit_rest(audit, err)
                                                                    : status;
}

static void check_heads(struct audit *audit)
{
    char prefix[LAYOUT_KEY_BYTES];
    char hex[HASH_HEX_BYTES];

    layout_run_prefix(prefix, audit->run);
    for (uint32_t i = 0; i < audit->options->expected_head_count; i++) {
        if (!audit->head_met[i]) {
            hash_to_hex(hex, &audit->options->expected_heads[i]);
            audit_say(audit, prefix,
                      "head %s is not reached: no record or slot of the run has this hash; the run "
                      "was shortened, rewritten, or this is the head of another one",
                      hex);
        }
    }
    audit->report->heads_checked = audit->options->expected_head_count > 0;
}

static void audit_fini(struct audit *audit)
{
    for (size_t i = 0; i < audit->object_count; i++) {
        free(audit->objects[i].key);
    }
    free(audit->objects);
    for (size_t i = 0; i < audit->job_count; i++) {
        free(audit->jobs[i].ends);
    }
    free(audit->jobs);
    free(audit->head_met);
    amendment_list_fini(&audit->amendments);
    collections_fini(&audit->collections);
    if (audit->has_grammar) {
        grammar_fini(&audit->grammar);
    }
    trust_close(audit->trust);
}

enum nero_status audit_run(struct storage *store, const char *run,
                           const struct audit_options *options, struct audit_report *out,
                           struct nero_err *err)
{
    int64_t start_ns = clock_mono_ns(clock_system());
    struct audit_report report = {.level = options->level,
                                  .blobs_skipped =
                                      options->skip_blobs || options->level == AUDIT_REPLAY};
    struct audit audit = {.store = store, .run = run, .options = options, .report = &report};
    enum nero_status status = layout_check_run(run, err);

    if (status != NERO_OK) {
        return status;
    }
    (void)snprintf(report.run, sizeof report.run, "%s", run);
    (void)snprintf(report.standing, sizeof report.standing, "nothing could be verified");
    audit.head_met = mem_calloc(options->expected_head_count, sizeof *audit.head_met);
    if (audit.head_met == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the heads");
    }
    status = audit_all(&audit, err);
    if (status == NERO_OK) {
        check_heads(&audit);
        report.seconds = clock_seconds_since(clock_system(), start_ns);
        *out = report;
    } else {
        audit_report_fini(&report);
    }
    audit_fini(&audit);
    return status;
}

void audit_report_fini(struct audit_report *report)
{
    free(report->findings);
    free(report->notes);
    free(report->heads);
    report->findings = NULL;
    report->notes = NULL;
    report->note_count = 0;
    report->heads = NULL;
    report->finding_count = 0;
    report->head_count = 0;
}

/* ---- printing ---- */

static uint32_t listed(const struct audit_finding *list, uint32_t count)
{
    return list == NULL ? 0 : count < AUDIT_FINDINGS_MAX ? count : AUDIT_FINDINGS_MAX;
}

static void print_list(const struct audit_finding *list, uint32_t count, FILE *out)
{
    uint32_t shown = listed(list, count);

    for (uint32_t i = 0; i < shown; i++) {
        (void)fprintf(out, "  %s: %s\n", list[i].artifact, list[i].what);
    }
    if (shown < count) {
        (void)fprintf(out, "  ... and %" PRIu32 " more\n", count - shown);
    }
}

static void print_text(const struct audit_report *report, FILE *out)
{
    static const char *const names[] = {[AUDIT_FULL] = "audit", [AUDIT_REPLAY] = "replay"};
    char hex[HASH_HEX_BYTES];

    if (report->finding_count == 0) {
        (void)fprintf(out, "%s of %s: clean\n", names[report->level], report->run);
    } else {
        (void)fprintf(out, "%s of %s: %" PRIu32 " finding(s)\n", names[report->level], report->run,
                      report->finding_count);
    }
    print_list(report->findings, report->finding_count, out);
    if (report->note_count > 0) {
        (void)fprintf(out, "  %" PRIu32 " fork(s), which attempt mode allows:\n",
                      report->note_count);
        print_list(report->notes, report->note_count, out);
    }
    (void)fprintf(out, "  %s\n", report->standing);
    (void)fprintf(out,
                  "  %" PRIu64 " objects, %" PRIu64 " signatures, %" PRIu32 " jobs, %" PRIu32
                  " results, %" PRIu32 " slots, %" PRIu32
                  " generation records, %.1f MB of blobs%s, "
                  "%.2f s\n",
                  report->objects, report->signatures, report->jobs, report->results, report->slots,
                  report->generations, (double)report->blob_bytes / 1e6,
                  report->blobs_skipped ? " (contents skipped)" : "", report->seconds);
    for (uint32_t i = 0; i < report->head_count; i++) {
        hash_to_hex(hex, &report->heads[i]);
        (void)fprintf(out, "  head %s\n", hex);
    }
    if (report->head_count > 0 && !report->heads_checked) {
        (void)fprintf(out, "  no head of a former audit was given (--head): a run that was cut off "
                           "consistently\n  at its end cannot be told. Keep the head above for the "
                           "next audit\n");
    }
}

/* A key may hold any bytes: what is not UTF-8 is told as null rather than dropped. */
static json_t *list_json(const struct audit_finding *list, uint32_t count)
{
    json_t *array = json_array();

    for (uint32_t i = 0; i < listed(list, count); i++) {
        (void)json_array_append_new(
            array, json_pack("{s:s*, s:s*}", "artifact", list[i].artifact, "what", list[i].what));
    }
    return array;
}

static void print_json(const struct audit_report *report, FILE *out)
{
    json_t *root = json_pack(
        "{s:s, s:s, s:b, s:I, s:o, s:o, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, "
        "s:I, "
        "s:I, "
        "s:I, s:[], s:b, s:f}",
        "run", report->run, "level", report->level == AUDIT_REPLAY ? "replay" : "full", "clean",
        (int)(report->finding_count == 0), "finding_count", (json_int_t)report->finding_count,
        "findings", list_json(report->findings, report->finding_count), "forks",
        list_json(report->notes, report->note_count), "standing", report->standing, "finished",
        (int)report->finished, "objects", (json_int_t)report->objects, "signatures",
        (json_int_t)report->signatures, "blob_bytes", (json_int_t)report->blob_bytes,
        "blobs_unnamed", (json_int_t)report->blobs_unnamed, "blobs_collected",
        (json_int_t)report->blobs_collected, "blobs_skipped", (int)report->blobs_skipped, "jobs",
        (json_int_t)report->jobs, "results", (json_int_t)report->results, "slots",
        (json_int_t)report->slots, "generation_records", (json_int_t)report->generations,
        "certificates", (json_int_t)report->certificates, "epochs", (json_int_t)report->epochs,
        "heads", "heads_checked", (int)report->heads_checked, "seconds", report->seconds);
    char hex[HASH_HEX_BYTES];

    for (uint32_t i = 0; i < report->head_count; i++) {
        hash_to_hex(hex, &report->heads[i]);
        (void)json_array_append_new(json_object_get(root, "heads"), json_string(hex));
    }
    (void)json_dumpf(root, out, JSON_COMPACT | JSON_REAL_PRECISION(6));
    (void)fputc('\n', out);
    json_decref(root);
}

void audit_print(const struct audit_report *report, bool json, FILE *out)
{
    if (json) {
        print_json(report, out);
    } else {
        print_text(report, out);
    }
}
