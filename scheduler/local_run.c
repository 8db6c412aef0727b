#include "local_run.h"

#include <stdio.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/log.h"

#include "live.h"
#include "outage.h"
#include "served.h"
#include "stop.h"

enum {
    LOCAL_RUN_TEND_MS = 100,
    LOCAL_RUN_TICK_MS = 250,
    LOCAL_RUN_REST_MS_MAX = 2500,
    LOCAL_RUN_STOP_MS = 20000 /* for the runners' last checkpoints */
};

/* All that is open while a run is served; closed in reverse order. */
struct local_run_state {
    struct redis_child *redis;
    struct outage redis_outage; /* it cannot be started */
    struct queue *queue;
    struct served served;
    bool serving;
    struct local local;
    struct live live;
    struct search_listener listener;
};

static enum nero_status start(struct local_run_state *state, struct storage *store,
                              const struct local_run_options *options,
                              char folder[LOCAL_PATH_BYTES], struct nero_err *err)
{
    struct served_options served = served_defaults();
    struct local_options local = {.store_url = options->store_url,
                                  .redis_url = options->redis_url,
                                  .run = options->run,
                                  .backend = options->backend != NULL ? options->backend : "",
                                  .shards = options->shards,
                                  .log_folder = folder,
                                  .runners = (uint32_t)options->runners,
                                  .checkpoint_interval = options->checkpoint_interval != NULL
                                                             ? options->checkpoint_interval
                                                             : ""};

    if (stop_requested()) { /* while the run was prepared */
        return err_set(err, NERO_CANCELLED, 0, "stopped on request");
    }
    if (local_folder(options->run, options->store_url, true, folder, err) != NERO_OK) {
        return err->status;
    }
    if (local.redis_url == NULL || local.redis_url[0] == 0) {
        if (redis_child_start(folder, &state->redis, err) != NERO_OK) {
            return err_wrap(err, "private Redis in %s", folder);
        }
        local.redis_url = redis_child_url(state->redis);
    }
    served.lease_ms = (uint32_t)options->lease_ms;
    served.reopen = true;
    if (queue_open(local.redis_url, &state->queue, err) != NERO_OK ||
        served_open(&state->served, store, state->queue, options->run, &served, &state->listener,
                    err) != NERO_OK) {
        return err->status;
    }
    state->serving = true;
    return local_start(&state->local, &local, err);
}

/* A private Redis that died is started again; where the disk is full, once there is room. */
static enum nero_status tend_redis(struct local_run_state *state, struct nero_err *err)
{
    const char *run = state->served.run;
    bool restarted = false;
    enum nero_status status;

    if (state->redis == NULL || outage_rests(&state->redis_outage)) {
        return NERO_OK;
    }
    status = redis_child_check(state->redis, &restarted, err);
    if (status == NERO_NO_SPACE) {
        outage_goes_on(&state->redis_outage, LOCAL_RUN_REST_MS_MAX, "redis.waiting", run, err);
        return NERO_OK;
    }
    if (restarted) {
        log_line(LOG_WARN, "redis.restarted", &(struct log_context){.run = run},
                 "its server had died");
        outage_is_over(&state->redis_outage, "redis.back", run);
    }
    return status;
}

static enum nero_status loop(struct local_run_state *state, struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    int64_t ticked_ns = 0;

    while (!search_finished(state->served.search)) {
        struct enrol_issuer issuer = served_issuer(&state->served);

        if (stop_requested()) {
            return err_set(err, NERO_CANCELLED, 0, "stopped on request");
        }
        if (local_tend(&state->local, &issuer, LOCAL_RUN_TEND_MS, err) != NERO_OK ||
            tend_redis(state, err) != NERO_OK) {
            return err->status;
        }
        if (state->local.options.runners == 0) {
            clock_sleep_ms(clock, LOCAL_RUN_TEND_MS);
        }
        if (clock_seconds_since(clock, ticked_ns) * 1000 >= LOCAL_RUN_TICK_MS) {
            if (served_tick(&state->served, err) != NERO_OK) {
                return err->status;
            }
            ticked_ns = clock_mono_ns(clock);
        }
        live_draw(&state->live, state->served.search);
    }
    return NERO_OK;
}

enum nero_status local_run(struct storage *store, const struct local_run_options *options,
                           struct nero_err *err)
{
    static struct local_run_state state; /* large; one run at a time */
    char folder[LOCAL_PATH_BYTES];
    enum nero_status status;

    memset(&state, 0, sizeof state);
    live_init(&state.live, stdout, options->quiet);
    state.listener = live_listener(&state.live);
    stop_install();
    status = start(&state, store, options, folder, err);
    if (status == NERO_OK) {
        status = loop(&state, err);
    }
    live_clear(&state.live);
    if (status == NERO_CANCELLED && !options->quiet) {
        (void)printf("stopping: the runners write their last checkpoints\n");
        (void)fflush(stdout);
    }
    local_stop(&state.local, LOCAL_RUN_STOP_MS);
    if (state.serving) {
        served_close(&state.served);
    }
    queue_close(state.queue);
    redis_child_stop(state.redis);
    return status;
}
