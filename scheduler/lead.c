#include "lead.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/log.h"
#include "nero/run.h"

/* The highest n of epoch/<n>: keys sort by number, so the last one listed. 0: none. */
static enum nero_status note_epoch(void *context, const char *key, uint64_t bytes,
                                   struct nero_err *err)
{
    uint64_t *highest = context;
    const char *slash = strrchr(key, '/');
    uint64_t number = slash != NULL ? strtoull(slash + 1, NULL, 10) : 0;

    (void)bytes;
    (void)err;
    if (number > *highest) {
        *highest = number;
    }
    return NERO_OK;
}

static enum nero_status highest_epoch(const struct lead *lead, uint64_t *highest,
                                      struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    char *slash;

    layout_epoch(key, lead->run, 0);
    slash = strrchr(key, '/');
    slash[1] = 0; /* the folder of all epochs */
    *highest = 0;
    if (storage_list_each(lead->store, key, note_epoch, highest, err) != NERO_OK) {
        return err_wrap(err, "list the epochs of run %s", lead->run);
    }
    return NERO_OK;
}

static enum nero_status seal_epoch(const struct lead *lead, uint64_t number, const char *why,
                                   struct bytes *out, struct nero_err *err)
{
    struct run_epoch epoch = {.number = number, .wall_ms = clock_wall_ms(clock_system())};
    struct bytes payload;
    enum nero_status status;

    (void)snprintf(epoch.run, sizeof epoch.run, "%s", lead->run);
    (void)snprintf(epoch.why, sizeof epoch.why, "%s", why);
    if (gethostname(epoch.host, sizeof epoch.host - 1) != 0) {
        epoch.host[0] = 0;
    }
    randombytes_buf(&epoch.nonce, sizeof epoch.nonce);
    bytes_init(&payload, ENVELOPE_BYTES_MAX);
    status = run_epoch_encode(&epoch, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_EPOCH, bytes_as_view(&payload), lead->run_key, out, err);
    }
    bytes_fini(&payload);
    return status;
}

enum nero_status lead_take(struct lead *lead, const char *why, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    uint64_t highest;
    enum nero_status status = highest_epoch(lead, &highest, err);

    if (status != NERO_OK) {
        return status;
    }
    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    status = seal_epoch(lead, highest + 1, why, &stored, err);
    if (status == NERO_OK) {
        layout_epoch(key, lead->run, highest + 1);
        status = storage_create_once(lead->store, key, bytes_as_view(&stored), err);
        if (status == NERO_EXISTS) {
            status =
                err_set(err, NERO_STALE, 0,
                        "another scheduler took the lead of run %s at the same moment", lead->run);
        }
    }
    bytes_fini(&stored);
    if (status == NERO_OK) {
        status = queue_server_id(lead->queue, lead->server, err);
    }
    if (status == NERO_OK) {
        status = queue_lead(lead->queue, lead->run, highest + 1, lead->lease_ms, err);
    }
    if (status != NERO_OK) {
        return err_wrap(err, "lead run %s", lead->run);
    }
    lead->epoch = highest + 1;
    log_line(LOG_INFO, "lead.taken", &(struct log_context){.run = lead->run},
             "epoch=%" PRIu64 " why=\"%s\"", lead->epoch, why);
    return NERO_OK;
}

enum nero_status lead_check(struct lead *lead, bool *restarted, struct nero_err *err)
{
    char server[QUEUE_SERVER_ID_BYTES];
    char key[LAYOUT_KEY_BYTES];
    enum nero_status status;

    *restarted = false;
    layout_epoch(key, lead->run, lead->epoch + 1);
    status = storage_head(lead->store, key, NULL, err);
    if (status == NERO_OK) {
        return err_set(err, NERO_STALE, 0,
                       "another scheduler leads run %s since epoch %" PRIu64 "; this one stops",
                       lead->run, lead->epoch + 1);
    }
    if (status != NERO_NOT_FOUND) {
        return err_wrap(err, "look for a newer epoch of run %s", lead->run);
    }
    status = queue_server_id(lead->queue, server, err);
    if (status != NERO_OK) {
        return status;
    }
    if (strcmp(server, lead->server) != 0) {
        status = lead_take(lead, "redis restarted", err);
        *restarted = status == NERO_OK;
    }
    return status;
}
