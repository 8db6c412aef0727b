/* nero-sched audit: verify runs from their artifacts and one public key. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nero/clock.h"

#include "audit.h"
#include "cli.h"
#include "run_list.h"

enum { PROGRESS_AFTER_MS = 2000, PROGRESS_EVERY_MS = 200 };

/* A line on the terminal that is written over, once the audit turns out to take long. */
struct progress_line {
    const char *run;
    int64_t start_ns;
    int64_t last_ns;
    bool shown;
};

static void show_progress(void *context, const char *what, uint64_t done, uint64_t total)
{
    struct progress_line *line = context;
    int64_t now = clock_mono_ns(clock_system());

    if (now - line->start_ns < (int64_t)PROGRESS_AFTER_MS * 1000000 ||
        now - line->last_ns < (int64_t)PROGRESS_EVERY_MS * 1000000) {
        return;
    }
    line->last_ns = now;
    line->shown = true;
    if (total > 0) {
        (void)fprintf(stderr, "\raudit of %s: %s %" PRIu64 " of %" PRIu64 "\033[K", line->run, what,
                      done, total);
    } else {
        (void)fprintf(stderr, "\raudit of %s: %s %" PRIu64 "\033[K", line->run, what, done);
    }
    (void)fflush(stderr);
}

/* STORE[#RUN]: a URL, or the path of a folder. */
static enum nero_status split_argument(const char *argument, char url[CLI_URL_BYTES],
                                       const char **run, struct nero_err *err)
{
    const char *hash = strrchr(argument, '#');
    size_t length = hash != NULL ? (size_t)(hash - argument) : strlen(argument);
    char text[CLI_URL_BYTES];
    char path[PATH_MAX];

    if (length == 0 || length >= sizeof text) {
        return err_set(err, NERO_INVALID, 0,
                       "'%.80s' names no store: give a folder or a URL, e.g. "
                       "/srv/nero or file:///srv/nero#my-run",
                       argument);
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)length, argument);
    *run = hash != NULL && hash[1] != 0 ? hash + 1 : NULL;
    if (strstr(text, "://") != NULL || strncmp(text, "mem:", 4) == 0) {
        (void)snprintf(url, CLI_URL_BYTES, "%s", text);
        return NERO_OK;
    }
    if (realpath(text, path) == NULL) {
        return err_set(err, NERO_NOT_FOUND, errno, "no store at %.300s: %s", text, strerror(errno));
    }
    if (snprintf(url, CLI_URL_BYTES, "file://%s", path) >= CLI_URL_BYTES) {
        return err_set(err, NERO_INVALID, 0, "the path of the store is too long");
    }
    return NERO_OK;
}

static enum nero_status parse_heads(const struct options_list *list,
                                    struct hash heads[OPTIONS_LIST_MAX],
                                    struct audit_options *options, struct nero_err *err)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (hash_from_hex(&heads[i], list->values[i], err) != NERO_OK) {
            return err_wrap(err, "--head %.80s (64 hex digits, as a former audit printed them)",
                            list->values[i]);
        }
    }
    options->expected_heads = heads;
    options->expected_head_count = list->count;
    return NERO_OK;
}

static enum nero_status parse_level(const char *text, enum audit_level *out, struct nero_err *err)
{
    if (strcmp(text, "full") != 0 && strcmp(text, "replay") != 0) {
        return err_set(err, NERO_INVALID, 0, "--level: '%.40s'; allowed: full, replay", text);
    }
    *out = strcmp(text, "replay") == 0 ? AUDIT_REPLAY : AUDIT_FULL;
    return NERO_OK;
}

/* One run; the report is printed, *findings grows. */
static enum nero_status audit_one(struct storage *store, const char *run,
                                  struct audit_options *options, bool json, uint32_t *findings,
                                  struct nero_err *err)
{
    int64_t now = clock_mono_ns(clock_system());
    struct progress_line line = {.run = run, .start_ns = now, .last_ns = now};
    struct audit_report report;
    enum nero_status status;

    options->progress = isatty(STDERR_FILENO) ? show_progress : NULL;
    options->context = &line;
    status = audit_run(store, run, options, &report, err);
    if (line.shown) {
        (void)fprintf(stderr, "\r\033[K");
    }
    if (status != NERO_OK) {
        return err_wrap(err, "audit of %s", run);
    }
    audit_print(&report, json, stdout);
    *findings += report.finding_count;
    audit_report_fini(&report);
    return NERO_OK;
}

static enum nero_status audit_all(struct storage *store, struct audit_options *options, bool json,
                                  uint32_t *findings, struct nero_err *err)
{
    struct run_list list;
    enum nero_status status = run_list_read(store, &list, err);

    if (status != NERO_OK) {
        return status;
    }
    if (list.count == 0) {
        status = err_set(err, NERO_NOT_FOUND, 0, "there is no run in %s", storage_url(store));
    } else if (list.count > 1 && options->expected_head_count > 0) {
        status =
            err_set(err, NERO_INVALID, 0,
                    "--head belongs to one run, and %s holds %" PRIu32 ": say which (STORE#RUN)",
                    storage_url(store), list.count);
    }
    for (uint32_t i = 0; i < list.count && status == NERO_OK; i++) {
        status = audit_one(store, list.names[i], options, json, findings, err);
    }
    run_list_fini(&list);
    return status;
}

static int audit_store(const char *program, const char *argument, struct audit_options *options,
                       bool json)
{
    char url[CLI_URL_BYTES];
    struct storage *store = NULL;
    struct nero_err err;
    const char *run = NULL;
    uint32_t findings = 0;
    enum nero_status status = split_argument(argument, url, &run, &err);

    if (status == NERO_OK) {
        status = cli_open_store(url, false, &store, &err);
    }
    if (status == NERO_OK) {
        status = run != NULL ? audit_one(store, run, options, json, &findings, &err)
                             : audit_all(store, options, json, &findings, &err);
    }
    storage_close(store);
    if (status != NERO_OK) {
        return cli_fail(program, &err);
    }
    return findings > 0 ? ERR_EXIT_FINDING : ERR_EXIT_DONE;
}

int cmd_audit(int argc, char **argv)
{
    const char *root_key = NULL;
    const char *level = "full";
    bool json = false;
    struct options_list heads = {.count = 0};
    struct audit_options options = {.skip_blobs = false};
    const struct options_spec specs[] = {
        {"root-key", OPTIONS_STRING, "FILE",
         "public root key; 'nero-sched keys root' on the machine of the run says where it is",
         "NERO_ROOT_KEY", &root_key, 0},
        {"head", OPTIONS_LIST, "HASH",
         "a head that a former audit printed: it must still be there (repeatable)", NULL, &heads,
         0},
        {"level", OPTIONS_STRING, "LEVEL",
         "full (default): everything; replay: compute every decision of the search again, from "
         "records alone",
         NULL, &level, 0},
        {"skip-blobs", OPTIONS_FLAG, NULL, "do not read checkpoints, weights and images", NULL,
         &options.skip_blobs, 0},
        CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched audit",
        .arguments = "STORE[#RUN]",
        .about =
            "Verify a run, or all runs of a store, from what lies in the store and the public "
            "root\n"
            "key: every signature, certificate, hash and link; every proposal and selection is\n"
            "computed again. STORE is a folder or a URL. Needs no Redis and no secret key.\n"
            "Ends with 0 when clean, 1 with findings, 2 on bad input, 3 when the store fails.",
        .examples = "  nero-sched audit /srv/nero#demo-3f9a12 --root-key root.key.pub\n"
                    "  nero-sched audit s3://bucket/prefix --root-key root.key.pub --json\n"
                    "  nero-sched audit /srv/nero#demo-3f9a12 --root-key root.key.pub "
                    "--level replay\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0],
        .arguments_min = 1,
        .arguments_max = 1};
    struct hash expected[OPTIONS_LIST_MAX];
    struct options_parsed parsed;
    struct nero_err err;
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (root_key == NULL) {
        (void)err_set(
            &err, NERO_INVALID, 0,
            "--root-key FILE is wanted: the public key that the runs are checked against");
        return cli_fail(command.program, &err);
    }
    if (parse_level(level, &options.level, &err) != NERO_OK ||
        cli_root_given(root_key, &options.root, &err) != NERO_OK ||
        parse_heads(&heads, expected, &options, &err) != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    return audit_store(command.program, parsed.arguments[0], &options, json);
}
