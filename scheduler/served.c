#include "served.h"

#include <stdio.h>
#include <string.h>

#include "nero/backlog.h"
#include "nero/clock.h"
#include "nero/log.h"

#include "cli.h"

enum {
    SERVED_CHECK_MS_MAX = 1000,
    SERVED_SIGNS_OF_LIFE = 4, /* at least so many before those that stand by take over */
    SERVED_REST_MS_MAX = 2500
};

struct served_options served_defaults(void)
{
    return (struct served_options){.lease_ms = QUEUE_LEASE_MS_DEFAULT,
                                   .alive_ms = LEAD_ALIVE_MS_DEFAULT,
                                   .window_bytes = BACKLOG_WINDOW_BYTES_DEFAULT};
}

enum nero_status served_open(struct served *served, struct storage *store, struct queue *queue,
                             const char *run, const struct served_options *options,
                             const struct search_listener *listener, struct nero_err *err)
{
    memset(served, 0, sizeof *served);
    (void)snprintf(served->run, sizeof served->run, "%s", run);
    if (cli_root_public(&served->root, err) != NERO_OK ||
        cli_run_key(run, &served->run_key, err) != NERO_OK) {
        return err->status;
    }
    served->lead = (struct lead){.store = store,
                                 .queue = queue,
                                 .run = served->run,
                                 .run_key = &served->run_key,
                                 .root = &served->root,
                                 .lease_ms = options->lease_ms,
                                 .alive_ms = options->alive_ms,
                                 .window_bytes = options->window_bytes};
    if (lead_take(&served->lead, "start", err) != NERO_OK ||
        search_open(&served->lead, options->reopen, listener, &served->search, err) != NERO_OK) {
        served_close(served);
        return err->status;
    }
    return NERO_OK;
}

void served_close(struct served *served)
{
    search_close(served->search);
    served->search = NULL;
    lead_resign(&served->lead);
    key_pair_fini(&served->run_key);
}

/* After Redis lost its memory: what people had told it, then what it knows of the jobs. */
static enum nero_status restore(struct served *served, struct nero_err *err)
{
    const struct lead *lead = &served->lead;
    enum nero_status status =
        queue_pause(lead->queue, served->run, lead->epoch, served->paused, err);

    if (status == NERO_OK) {
        status = queue_limit(lead->queue, served->run, lead->epoch, served->limit, err);
    }
    return status == NERO_OK ? search_meet(served->search, err) : status;
}

static enum nero_status check(struct served *served, struct nero_err *err)
{
    const struct lead *lead = &served->lead;
    struct queue_reaped reaped;
    struct queue_counts counts;
    bool lost;
    enum nero_status status = lead_check(&served->lead, &lost, err);

    if (status == NERO_OK && (lost || served->must_meet)) {
        served->must_meet = true;
        status = restore(served, err);
        served->must_meet = status != NERO_OK;
    }
    if (status == NERO_OK) {
        status = queue_reap(lead->queue, served->run, lead->epoch, &reaped, err);
    }
    if (status == NERO_OK) {
        status = queue_counts(lead->queue, served->run, &counts, err);
    }
    if (status == NERO_OK) {
        served->paused = counts.paused;
        served->limit = counts.limit;
        served->checked_ns = clock_mono_ns(clock_system());
    }
    return status;
}

/* Within `max_ms` and within the time of a sign of life. */
static uint32_t bounded_ms(const struct served *served, uint32_t max_ms)
{
    uint32_t sign_ms = served->lead.alive_ms / SERVED_SIGNS_OF_LIFE;

    return sign_ms < max_ms ? sign_ms : max_ms;
}

static bool is_check_due(const struct served *served)
{
    return served->checked_ns == 0 ||
           clock_seconds_since(clock_system(), served->checked_ns) * 1000 >=
               bounded_ms(served, SERVED_CHECK_MS_MAX);
}

enum nero_status served_tick(struct served *served, struct nero_err *err)
{
    uint64_t epoch = served->lead.epoch;
    enum nero_status status;

    if (outage_rests(&served->outage)) {
        return NERO_OK;
    }
    status = is_check_due(served) ? check(served, err) : NERO_OK;
    if (status == NERO_OK) {
        epoch = served->lead.epoch;
        status = search_tick(served->search, err);
    }
    if (status == NERO_NOT_FOUND) { /* Redis forgot the run since the check? */
        struct nero_err reason = *err;

        status = check(served, err);
        if (status == NERO_OK && served->lead.epoch == epoch) {
            *err = reason; /* no: something else is not there */
            return reason.status;
        }
        if (status == NERO_NOT_FOUND) { /* yes, and once more meanwhile */
            status = err->status = NERO_UNAVAILABLE;
        }
    }
    if (status == NERO_OK) {
        outage_is_over(&served->outage, "serve.back", served->run);
    } else if (err_is_outage(status)) {
        outage_goes_on(&served->outage, bounded_ms(served, SERVED_REST_MS_MAX), "serve.waiting",
                       served->run, err);
        served->checked_ns = 0; /* look for a restarted Redis first */
        return NERO_OK;
    }
    return status;
}

struct enrol_issuer served_issuer(const struct served *served)
{
    return (struct enrol_issuer){.store = served->lead.store,
                                 .run = served->run,
                                 .run_key = &served->run_key,
                                 .epoch = served->lead.epoch,
                                 .lifetime_ms = ENROL_LIFETIME_MS_DEFAULT};
}
