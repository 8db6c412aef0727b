#include "served.h"

#include <stdio.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/log.h"

#include "cli.h"

enum { SERVED_CHECK_MS = 1000 };

enum nero_status served_open(struct served *served, struct storage *store, struct queue *queue,
                             const char *run, uint32_t lease_ms,
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
                                 .lease_ms = lease_ms};
    if (lead_take(&served->lead, "start", err) != NERO_OK ||
        search_open(&served->lead, listener, &served->search, err) != NERO_OK) {
        served_close(served);
        return err->status;
    }
    return NERO_OK;
}

void served_close(struct served *served)
{
    search_close(served->search);
    served->search = NULL;
    key_pair_fini(&served->run_key);
}

static enum nero_status check(struct served *served, struct nero_err *err)
{
    struct queue_reaped reaped;
    bool restarted;
    enum nero_status status = lead_check(&served->lead, &restarted, err);

    if (status == NERO_OK && restarted) {
        status = search_resubmit(served->search, err);
    }
    if (status == NERO_OK) {
        status = queue_reap(served->lead.queue, served->run, served->lead.epoch, &reaped, err);
    }
    return status;
}

enum nero_status served_tick(struct served *served, struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    enum nero_status status = NERO_OK;

    if (served->checked_ns == 0 ||
        clock_seconds_since(clock, served->checked_ns) * 1000 >= SERVED_CHECK_MS) {
        status = check(served, err);
        if (status == NERO_OK) {
            served->checked_ns = clock_mono_ns(clock);
        }
    }
    if (status == NERO_OK) {
        status = search_tick(served->search, err);
    }
    if (status != NERO_OK && err_is_retryable(status)) {
        log_line(LOG_WARN, "serve.waiting", &(struct log_context){.run = served->run},
                 "status=%s %s", err_status_name(status), err->message);
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
