#include "lead.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/log.h"
#include "nero/storage_probe.h"
#include "nero/trust.h"

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

/* For the runners, who read it. */
static void note_verdict(const struct storage *store, struct run_epoch *epoch)
{
    const struct storage_probe *seen = storage_probed(store);

    epoch->has_verdict = seen != NULL;
    if (seen == NULL) {
        return;
    }
    epoch->verdict =
        (struct run_verdict){.trusted = seen->trusted,
                             .usable = seen->usable,
                             .creates_once = seen->creates_once,
                             .race_has_one = seen->race_has_one,
                             .reads_writes = seen->reads_writes,
                             .lists_writes = seen->lists_writes,
                             .keeps_odd_keys = seen->keeps_odd_keys,
                             .names_content = seen->names_content,
                             .replaces_matched = seen->replaces_matched,
                             .misses_matched = seen->misses_matched,
                             .creates_parts = seen->traits.creates_parts,
                             .match_form = seen->traits.match_form,
                             .clock_ahead_ms = seen->knows_clock ? seen->clock_ahead_ms : 0};
    (void)snprintf(epoch->verdict.why, sizeof epoch->verdict.why, "%s", seen->why);
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
    note_verdict(lead->store, &epoch);
    bytes_init(&payload, ENVELOPE_BYTES_MAX);
    status = run_epoch_encode(&epoch, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_EPOCH, bytes_as_view(&payload), lead->run_key, out, err);
    }
    bytes_fini(&payload);
    return status;
}

static void name_ourselves(struct lead *lead)
{
    char host[64] = "";

    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(lead->name, sizeof lead->name, "%s:%ld", host[0] != 0 ? host : "?",
                   (long)getpid());
}

static enum nero_status give_sign_of_life(const struct lead *lead, struct nero_err *err)
{
    struct queue_leader leader = {
        .name = lead->name, .alive_ms = lead->alive_ms, .window_bytes = lead->window_bytes};

    return queue_stay(lead->queue, lead->run, lead->epoch, &leader, err);
}

/* Tell Redis of our epoch. The server's id is read first: one that restarts in between is noticed
 * by the next check. */
static enum nero_status announce(struct lead *lead, struct nero_err *err)
{
    char server[QUEUE_SERVER_ID_BYTES];
    enum nero_status status = queue_server_id(lead->queue, server, err);

    if (status == NERO_OK) {
        status = queue_lead(lead->queue, lead->run, lead->epoch, lead->lease_ms, err);
    }
    if (status == NERO_OK) {
        status = give_sign_of_life(lead, err);
    }
    if (status == NERO_NOT_FOUND) { /* forgotten in between: not for good */
        status = err->status = NERO_UNAVAILABLE;
    }
    if (status == NERO_OK) {
        memcpy(lead->server, server, sizeof server);
    }
    return status;
}

static enum nero_status create_epoch(const struct lead *lead, uint64_t number, const char *why,
                                     struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    enum nero_status status;

    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    status = seal_epoch(lead, number, why, &stored, err);
    if (status == NERO_OK) {
        layout_epoch(key, lead->run, number);
        status = storage_create_once(lead->store, key, bytes_as_view(&stored), err);
        if (status == NERO_EXISTS) {
            status =
                err_set(err, NERO_STALE, 0,
                        "another scheduler took the lead of run %s at the same moment", lead->run);
        }
    }
    bytes_fini(&stored);
    return status;
}

/*
 * A run keeps the mode that it was made in. Before anything is written: in the wrong mode the first
 * write could destroy.
 */
static enum nero_status check_mode(const struct lead *lead, struct nero_err *err)
{
    bool alone = storage_has_single_writer(lead->store);
    struct trust *trust;
    bool attempts;

    if (trust_open(lead->store, lead->run, lead->root, &trust, err) != NERO_OK) {
        return err->status;
    }
    attempts = trust_run(trust)->store_mode == RUN_ATTEMPTS;
    trust_close(trust);
    if (attempts && !alone) {
        return err_set(err, NERO_INVALID, 0,
                       "run %s is in attempt mode: serve it with --store-mode attempt, and nowhere "
                       "else at the same time",
                       lead->run);
    }
    if (!attempts && alone) {
        return err_set(err, NERO_INVALID, 0,
                       "run %s was made for exclusive creates, which are not to be had here "
                       "(s3+libs3://, --store-mode attempt)",
                       lead->run);
    }
    if (attempts) {
        log_line(LOG_WARN, "lead.alone", &(struct log_context){.run = lead->run},
                 "attempt mode: the store does not exclude a second scheduler, you must");
    }
    return NERO_OK;
}

enum nero_status lead_take(struct lead *lead, const char *why, struct nero_err *err)
{
    uint64_t highest;
    enum nero_status status = check_mode(lead, err);

    if (status == NERO_OK) {
        status = highest_epoch(lead, &highest, err);
    }
    if (status == NERO_OK) {
        status = create_epoch(lead, highest + 1, why, err);
    }
    if (status == NERO_OK) {
        name_ourselves(lead);
        lead->epoch = highest + 1; /* ours even if Redis cannot be told now */
        lead->server[0] = 0;
        status = announce(lead, err);
    }
    if (status != NERO_OK) {
        return err_wrap(err, "lead run %s", lead->run);
    }
    log_line(LOG_INFO, "lead.taken", &(struct log_context){.run = lead->run},
             "epoch=%" PRIu64 " why=\"%s\"", lead->epoch, why);
    return NERO_OK;
}

static enum nero_status refuse_newer(const struct lead *lead, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    enum nero_status status;

    layout_epoch(key, lead->run, lead->epoch + 1);
    status = storage_head(lead->store, key, NULL, err);
    if (status == NERO_OK) {
        return err_set(err, NERO_STALE, 0,
                       "another scheduler leads run %s since epoch %" PRIu64 "; this one led epoch "
                       "%" PRIu64,
                       lead->run, lead->epoch + 1, lead->epoch);
    }
    return status == NERO_NOT_FOUND ? NERO_OK
                                    : err_wrap(err, "look for a newer epoch of run %s", lead->run);
}

enum nero_status lead_check(struct lead *lead, bool *lost, struct nero_err *err)
{
    char server[QUEUE_SERVER_ID_BYTES];
    const char *why = "redis restarted";
    enum nero_status status = refuse_newer(lead, err);

    *lost = false;
    if (status == NERO_OK) {
        status = queue_server_id(lead->queue, server, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (strcmp(server, lead->server) == 0) {
        status = give_sign_of_life(lead, err);
        if (status != NERO_NOT_FOUND) {
            return status;
        }
        why = "redis forgot the run";
    }
    status = lead_take(lead, why, err);
    *lost = status == NERO_OK;
    return status;
}

void lead_resign(struct lead *lead)
{
    struct nero_err ignored;

    if (lead->epoch > 0) {
        (void)queue_resign(lead->queue, lead->run, lead->epoch, &ignored);
        lead->epoch = 0;
    }
}

enum nero_status lead_holder(struct queue *queue, const char *run, bool *alive,
                             char name[QUEUE_LEADER_BYTES], struct nero_err *err)
{
    struct queue_counts counts;
    enum nero_status status = queue_counts(queue, run, &counts, err);

    *alive = status == NERO_OK && counts.leader[0] != 0;
    if (*alive) {
        memcpy(name, counts.leader, sizeof counts.leader);
    }
    return status == NERO_NOT_FOUND ? NERO_OK : status;
}
