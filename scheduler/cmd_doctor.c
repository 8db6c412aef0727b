/* nero-sched doctor: whether store and Redis keep what a run is built on. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/queue.h"
#include "nero/storage_probe.h"

#include "cli.h"

enum { DOCTOR_CLOCK_OFF_MAX_MS = 60 * 1000, DOCTOR_ROWS_MAX = 12 };

/* A thing that was tried. */
struct doctor_row {
    const char *name; /* in JSON */
    const char *text;
    bool holds;
    bool decides; /* false: recorded, and no reason to refuse */
};

/* What was found of one service. */
struct doctor_part {
    const char *name;
    char title[CLI_URL_BYTES + 32];
    struct nero_err err; /* where it could not be judged, or refuses what it must allow */
    enum nero_status status;
    struct doctor_row rows[DOCTOR_ROWS_MAX];
    size_t row_count;
    bool alone; /* it cannot create exclusively: attempt mode */
    bool knows_clock;
    int64_t clock_ahead_ms;
    char why[STORAGE_PROBE_WHY_BYTES];
    double seconds;
};

static void add_row(struct doctor_part *part, const char *name, const char *text, bool holds,
                    bool decides)
{
    part->rows[part->row_count++] =
        (struct doctor_row){.name = name, .text = text, .holds = holds, .decides = decides};
}

static void add_clock(struct doctor_part *part, bool decides)
{
    add_row(part, "clock", "its clock agrees with ours to a minute",
            part->clock_ahead_ms <= DOCTOR_CLOCK_OFF_MAX_MS &&
                part->clock_ahead_ms >= -DOCTOR_CLOCK_OFF_MAX_MS,
            decides);
    part->knows_clock = true;
}

static void look_at_store(const char *url, struct doctor_part *part)
{
    const struct clock_source *clock = clock_system();
    int64_t start_ns = clock_mono_ns(clock);
    struct storage *store = NULL;
    struct storage_probe seen;
    bool exclusive; /* else the probe's creates are a look and a put */

    part->status = cli_open_store(url, true, &store, &part->err);
    if (part->status == NERO_OK) {
        part->status = storage_probe(store, &seen, &part->err);
    }
    if (part->status == NERO_OK) {
        exclusive = !storage_has_single_writer(store);
        part->alone = !exclusive;
        add_row(part, "creates_once", "a second create of a key is refused", seen.creates_once,
                exclusive);
        add_row(part, "race_has_one", "of 16 creates at once exactly one succeeds",
                seen.race_has_one, exclusive);
        add_row(part, "reads_writes", "a get shows the write before it", seen.reads_writes, true);
        add_row(part, "lists_writes", "a list shows the write before it", seen.lists_writes, true);
        add_row(part, "keeps_odd_keys", "keys of all allowed characters come back",
                seen.keeps_odd_keys, true);
        add_row(part, "names_content", "an object's ETag is what reads and writes can be bound to",
                seen.names_content, true);
        add_row(part, "replaces_matched", "a replace is bound to the ETag it names",
                seen.replaces_matched, false);
        add_row(part, "misses_matched", "a replace of what is absent is told as such",
                seen.misses_matched, false);
        add_row(part, "cleans_up", "what was tried could be removed again", seen.cleans_up, false);
        if (seen.traits.tried) {
            add_row(part, "creates_parts", "an object in parts can be bound to be new",
                    seen.traits.creates_parts, false);
        }
        if (exclusive || !seen.usable) {
            (void)snprintf(part->why, sizeof part->why, "%s", seen.why);
        }
        if (seen.knows_clock) {
            part->clock_ahead_ms = seen.clock_ahead_ms;
            add_clock(part, false); /* the signer corrects itself by it */
        }
    }
    storage_close(store);
    part->seconds = clock_seconds_since(clock, start_ns);
}

/* A Redis that evicts or refuses writes is refused by its open, with the reason. */
static void look_at_redis(const char *url, struct doctor_part *part)
{
    const struct clock_source *clock = clock_system();
    int64_t start_ns = clock_mono_ns(clock);
    struct queue *queue = NULL;
    struct queue_server server;

    part->status = queue_open(url, &queue, &part->err);
    if (part->status == NERO_OK) {
        part->status = queue_server(queue, &server, &part->err);
    }
    if (part->status == NERO_OK) {
        (void)snprintf(part->title, sizeof part->title, "Redis %s", server.version);
        add_row(part, "noeviction", "it evicts nothing", true, true);
        add_row(part, "writes", "it takes a write", true, true);
        add_row(part, "version", "it is of version 5 or later",
                server.version_major >= QUEUE_REDIS_MAJOR_MIN, true);
        add_row(part, "append_only", "it keeps the queue over a restart (else: submitted anew)",
                server.append_only, false);
        part->clock_ahead_ms = server.clock_ahead_ms;
        add_clock(part, true);
    }
    queue_close(queue);
    part->seconds = clock_seconds_since(clock, start_ns);
}

static bool part_holds(const struct doctor_part *part)
{
    bool holds = part->status == NERO_OK;

    for (size_t i = 0; i < part->row_count; i++) {
        holds = holds && (part->rows[i].holds || !part->rows[i].decides);
    }
    return holds;
}

static void print_part(const struct doctor_part *part)
{
    (void)printf("%s (%.2f s)\n", part->title, part->seconds);
    if (part->status != NERO_OK) {
        (void)printf("  FAILS  %s\n", part->err.message);
    }
    for (size_t i = 0; i < part->row_count; i++) {
        const struct doctor_row *row = &part->rows[i];

        (void)printf("  %-5s  %s\n", row->holds ? "holds" : (row->decides ? "FAILS" : "lacks"),
                     row->text);
    }
    if (part->why[0] != 0) {
        (void)printf("  FAILS  %s\n", part->why);
    }
    if (part->alone) {
        (void)printf(
            "  note   runs here are in attempt mode: no other scheduler may serve them, by "
            "your promise\n");
    }
    if (part->knows_clock) {
        (void)printf("  clock  %+.1f s against ours\n", (double)part->clock_ahead_ms / 1000);
    }
}

static json_t *part_json(const struct doctor_part *part)
{
    json_t *out = json_pack("{s:s, s:b, s:f}", "title", part->title, "holds", part_holds(part),
                            "seconds", part->seconds);

    for (size_t i = 0; i < part->row_count; i++) {
        (void)json_object_set_new(out, part->rows[i].name, json_boolean(part->rows[i].holds));
    }
    (void)json_object_set_new(out, "attempt_mode", json_boolean(part->alone));
    if (part->knows_clock) {
        (void)json_object_set_new(out, "clock_ahead_ms", json_integer(part->clock_ahead_ms));
    }
    if (part->status != NERO_OK || part->why[0] != 0) {
        (void)json_object_set_new(
            out, "why", json_string(part->status != NERO_OK ? part->err.message : part->why));
    }
    return out;
}

/* Done, finding, or that a service could not be judged. */
static int tell(const struct doctor_part *parts, size_t count, bool json)
{
    json_t *out = json ? json_object() : NULL;
    int code = ERR_EXIT_DONE;

    for (size_t i = 0; i < count; i++) {
        if (!part_holds(&parts[i]) && code == ERR_EXIT_DONE) {
            code = ERR_EXIT_FINDING;
        }
        if (parts[i].status != NERO_OK && err_is_retryable(parts[i].status)) {
            code = ERR_EXIT_UNAVAILABLE;
        }
        if (json) {
            (void)json_object_set_new(out, parts[i].name, part_json(&parts[i]));
        } else {
            print_part(&parts[i]);
        }
    }
    if (json) {
        (void)json_object_set_new(out, "holds", json_boolean(code == ERR_EXIT_DONE));
        (void)json_dumpf(out, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
        (void)printf("\n");
        json_decref(out);
    }
    return code;
}

int cmd_doctor(int argc, char **argv)
{
    const char *store = NULL;
    const char *redis = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_STORE(&store), CLI_OPTION_REDIS(&redis),
                                         CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched doctor",
        .arguments = "",
        .about =
            "Try what a run is built on: that the store creates a key once, also in a race, and\n"
            "shows what was written; that Redis evicts nothing and takes writes; that their\n"
            "clocks agree with ours. Exit code 1 where something does not hold, 3 where the\n"
            "store or Redis cannot be reached. Without --redis only the store is tried.",
        .examples =
            "  nero-sched doctor --store s3://bucket/nero --redis redis://10.0.0.5:6379/0\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0]};
    static struct doctor_part parts[2] = {{.name = "store"}, {.name = "redis", .title = "Redis"}};
    struct options_parsed parsed;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    size_t count = 1;
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (cli_store_url(store, true, url, &err) != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    (void)snprintf(parts[0].title, sizeof parts[0].title, "store %s", url);
    look_at_store(url, &parts[0]);
    if (redis != NULL && redis[0] != 0) {
        look_at_redis(redis, &parts[1]);
        count = 2;
    }
    return tell(parts, count, json);
}
