/* nero-sched serve: lead all runs of a store, take submissions, enrol remote runners. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nero/backlog.h"
#include "nero/clock.h"
#include "nero/log.h"
#include "nero/mem.h"

#include "cli.h"
#include "inbox.h"
#include "join_tokens.h"
#include "outage.h"
#include "run_list.h"
#include "served.h"
#include "stop.h"

enum {
    SERVE_ROUND_MS = 250,
    SERVE_DISCOVER_MS = 2000,
    SERVE_STANDBY_MS = 500,
    SERVE_REST_MS_MAX = 30000 /* after many failures in a row */
};

enum serve_state {
    SERVE_STANDING_BY = 1, /* another leads it, or nobody has been asked yet */
    SERVE_LEADING,
    SERVE_SETTLED /* finished, cancelled or broken: left alone */
};

struct serve_run {
    char name[SLOT_RUN_BYTES];
    enum serve_state state;
    bool told;             /* that another leads it */
    int64_t asked_ns;      /* last look whether somebody leads it */
    struct outage outage;  /* of what is needed to lead it */
    struct served *served; /* heap: its addresses are borrowed by the search */
};

struct serve {
    struct storage *store;
    struct queue *queue;
    struct key_pair root;
    uint64_t lease_ms;
    uint64_t alive_ms;
    uint64_t window_kib;
    uint32_t count;
    struct serve_run *runs;
    struct join_tokens tokens;
    struct outage outage; /* of the store's list of runs */
};

static bool knows(const struct serve *serve, const char *name)
{
    for (uint32_t i = 0; i < serve->count; i++) {
        if (strcmp(serve->runs[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static enum nero_status add_run(struct serve *serve, const char *name, struct nero_err *err)
{
    struct serve_run *runs = mem_realloc_array(serve->runs, serve->count + 1, sizeof *runs);
    struct serve_run *run;

    if (runs == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for another run");
    }
    serve->runs = runs;
    run = &runs[serve->count];
    *run = (struct serve_run){.state = SERVE_STANDING_BY};
    (void)snprintf(run->name, sizeof run->name, "%s", name);
    run->served = mem_calloc(1, sizeof *run->served);
    if (run->served == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to serve run %s", name);
    }
    serve->count++;
    return NERO_OK;
}

static enum nero_status discover(struct serve *serve, struct nero_err *err)
{
    struct run_list list;
    uint32_t made;
    enum nero_status status = inbox_take(serve->store, &serve->root, &made, err);

    if (status == NERO_OK) {
        status = run_list_read(serve->store, &list, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    for (uint32_t i = 0; i < list.count && status == NERO_OK; i++) {
        if (!knows(serve, list.names[i])) {
            status = add_run(serve, list.names[i], err);
        }
    }
    run_list_fini(&list);
    return status;
}

static void stand_by(struct serve_run *run, const char *why)
{
    if (!run->told) {
        log_line(LOG_INFO, "serve.standby", &(struct log_context){.run = run->name}, "%s", why);
    }
    run->state = SERVE_STANDING_BY;
    run->told = true;
}

/* What comes back, also when an operator has to mend it: a disk, a policy, a password. */
static bool is_waited_for(enum nero_status status)
{
    return err_is_outage(status) || status == NERO_DENIED;
}

/* What becomes of a run that cannot be served now: others go on with theirs. */
static void give_up(struct serve_run *run, const struct nero_err *err)
{
    if (err->status == NERO_STALE) {
        run->told = false;
        stand_by(run, err->message);
    } else if (is_waited_for(err->status)) {
        run->state = SERVE_STANDING_BY;
        outage_goes_on(&run->outage, SERVE_REST_MS_MAX, "serve.waiting", run->name, err);
    } else {
        log_failure("serve.left_alone", &(struct log_context){.run = run->name}, err);
        run->state = SERVE_SETTLED;
    }
}

/* Take the lead of a run, unless another scheduler gives signs of life. */
static void ask_run(struct serve *serve, struct serve_run *run)
{
    struct served_options options = {.lease_ms = (uint32_t)serve->lease_ms,
                                     .alive_ms = (uint32_t)serve->alive_ms,
                                     .window_bytes = serve->window_kib * 1024};
    char leader[QUEUE_LEADER_BYTES];
    char why[QUEUE_LEADER_BYTES + 32];
    struct nero_err err;
    bool alive;

    if (outage_rests(&run->outage) ||
        (run->asked_ns != 0 &&
         clock_seconds_since(clock_system(), run->asked_ns) * 1000 < SERVE_STANDBY_MS)) {
        return;
    }
    run->asked_ns = clock_mono_ns(clock_system());
    if (lead_holder(serve->queue, run->name, &alive, leader, &err) != NERO_OK) {
        give_up(run, &err);
        return;
    }
    if (alive) {
        outage_is_over(&run->outage, "serve.back", run->name);
        (void)snprintf(why, sizeof why, "led by %s; standing by", leader);
        stand_by(run, why);
        return;
    }
    if (served_open(run->served, serve->store, serve->queue, run->name, &options, NULL, &err) !=
        NERO_OK) {
        give_up(run, &err);
        return;
    }
    run->state = SERVE_LEADING;
    run->told = false;
}

/* Answer runners that ask for a certificate; a token that was proved is its prover's from then on.
 */
static void enrol(struct serve *serve, const struct serve_run *run)
{
    struct enrol_issuer issuer = served_issuer(run->served);
    struct nero_err err;
    struct key_id key;
    int32_t used;

    if (join_tokens_read(&serve->tokens, &err) != NERO_OK) {
        log_failure("enrol.tokens", NULL, &err);
        return;
    }
    if (enrol_answer_queue(
            &issuer, serve->queue, (const uint8_t(*)[KEYS_TOKEN_BYTES])serve->tokens.tokens,
            serve->tokens.owners, serve->tokens.count, &used, &key, &err) == NERO_OK) {
        if (used >= 0 && join_tokens_own(&serve->tokens, (uint32_t)used, &key, &err) != NERO_OK) {
            log_failure("enrol.tokens", NULL, &err);
        }
    } else if (err.status != NERO_NOT_FOUND && !err_is_outage(err.status)) {
        log_failure("enrol.refused", &(struct log_context){.run = run->name}, &err);
    }
}

static void tick_run(struct serve *serve, struct serve_run *run)
{
    struct nero_err err;

    if (served_tick(run->served, &err) != NERO_OK) {
        served_close(run->served);
        give_up(run, &err);
        return;
    }
    outage_is_over(&run->outage, "serve.back", run->name);
    enrol(serve, run);
    if (search_finished(run->served->search)) {
        log_line(LOG_INFO, "serve.finished", &(struct log_context){.run = run->name}, "run done");
        served_close(run->served);
        run->state = SERVE_SETTLED;
    }
}

/* One round over all runs. True when none is left to lead or to stand by for. */
static bool serve_round(struct serve *serve)
{
    bool idle = true;

    for (uint32_t i = 0; i < serve->count; i++) {
        struct serve_run *run = &serve->runs[i];

        if (run->state == SERVE_STANDING_BY) {
            ask_run(serve, run);
        }
        if (run->state == SERVE_LEADING) {
            tick_run(serve, run);
        }
        idle = idle && run->state == SERVE_SETTLED;
    }
    return idle;
}

/* Look for new runs now and then; an outage is waited out. */
static enum nero_status look_for_runs(struct serve *serve, int64_t *discovered_ns,
                                      struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    enum nero_status status;

    if (outage_rests(&serve->outage) ||
        (*discovered_ns != 0 &&
         clock_seconds_since(clock, *discovered_ns) * 1000 < SERVE_DISCOVER_MS)) {
        return NERO_OK;
    }
    *discovered_ns = clock_mono_ns(clock);
    status = discover(serve, err);
    if (status == NERO_OK) {
        outage_is_over(&serve->outage, "serve.back", NULL);
    } else if (is_waited_for(status)) {
        outage_goes_on(&serve->outage, SERVE_REST_MS_MAX, "serve.waiting", NULL, err);
        return NERO_OK;
    }
    return status;
}

static enum nero_status serve_loop(struct serve *serve, bool until_idle, struct nero_err *err)
{
    int64_t discovered_ns = 0;

    while (!stop_requested()) {
        if (look_for_runs(serve, &discovered_ns, err) != NERO_OK) {
            return err->status;
        }
        if (serve_round(serve) && until_idle) {
            return NERO_OK;
        }
        clock_sleep_ms(clock_system(), SERVE_ROUND_MS);
    }
    return err_set(err, NERO_CANCELLED, 0, "stopped on request; start it again to go on");
}

static enum nero_status open_serve(struct serve *serve, const char *store, const char *redis,
                                   const char *store_mode, bool skip_probe, struct nero_err *err)
{
    char url[CLI_URL_BYTES];
    bool created;

    if (redis == NULL) {
        return err_set(err, NERO_INVALID, 0,
                       "--redis URL is needed: the Redis that the runners use too");
    }
    if (cli_store_url(store, true, url, err) != NERO_OK ||
        cli_open_store(url, true, &serve->store, err) != NERO_OK ||
        cli_store_mode(serve->store, store_mode, err) != NERO_OK ||
        cli_trust_store(serve->store, skip_probe, err) != NERO_OK ||
        queue_open(redis, &serve->queue, err) != NERO_OK) {
        return err->status;
    }
    return cli_root_key(true, &serve->root, &created, err);
}

int cmd_serve(int argc, char **argv)
{
    const char *store = NULL;
    const char *store_mode = NULL;
    const char *redis = NULL;
    bool until_idle = false;
    bool skip_probe = false;
    static struct serve serve = {.lease_ms = QUEUE_LEASE_MS_DEFAULT,
                                 .alive_ms = LEAD_ALIVE_MS_DEFAULT,
                                 .window_kib = BACKLOG_WINDOW_BYTES_DEFAULT / 1024};
    const struct options_spec specs[] = {
        CLI_OPTION_STORE(&store),
        CLI_OPTION_REDIS(&redis),
        {"lease-ms", OPTIONS_MS, "MS", "lease of a job without a heartbeat", NULL, &serve.lease_ms,
         3600000},
        {"takeover-ms", OPTIONS_MS, "MS", "take over from a scheduler that is silent for so long",
         NULL, &serve.alive_ms, 3600000},
        {"window-kib", OPTIONS_COUNT, "KIB", "of job envelopes in Redis; more wait in the store",
         NULL, &serve.window_kib, 1024 * 1024 * 1024},
        {"until-idle", OPTIONS_FLAG, NULL, "end when no run is left to lead", NULL, &until_idle, 0},
        CLI_OPTION_STORE_MODE(&store_mode),
        CLI_OPTION_SKIP_PROBE(&skip_probe),
    };
    const struct options_command command = {
        .program = "nero-sched serve",
        .arguments = "",
        .about =
            "Lead all runs of a store: propose, queue, verify results, close generations. Takes\n"
            "submissions from the store's inbox and enrols remote runners that prove a join\n"
            "token ('nero-sched keys token'). Runs until stopped; nothing is lost then. Start a\n"
            "second one on the same store and Redis, with the same keys, and it stands by.",
        .examples = "  nero-sched serve --redis redis://10.0.0.5:6379/0 --store s3://bucket/nero\n",
        .specs = specs,
        .spec_count = sizeof specs / sizeof specs[0]};
    struct options_parsed parsed;
    struct nero_err err;
    bool done;
    enum nero_status status;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    stop_install();
    status = open_serve(&serve, store, redis, store_mode, skip_probe, &err);
    if (status == NERO_OK) {
        status = serve_loop(&serve, until_idle, &err);
    }
    for (uint32_t i = 0; i < serve.count; i++) {
        if (serve.runs[i].state == SERVE_LEADING) {
            served_close(serve.runs[i].served);
        }
        free(serve.runs[i].served);
    }
    free(serve.runs);
    queue_close(serve.queue);
    storage_close(serve.store);
    key_pair_fini(&serve.root);
    return status == NERO_OK ? ERR_EXIT_DONE : cli_fail(command.program, &err);
}
