#include "inbox.h"

#include <stdio.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/log.h"
#include "nero/trust.h"

#include "run_create.h"

enum { INBOX_REQUESTS_MAX = 64 };

enum nero_status inbox_put(struct storage *store, const struct run_record *record,
                           const struct key_pair *root, struct nero_err *err)
{
    struct run_record request = *record;
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    struct hash id;
    enum nero_status status;

    request.run_key = root->public_key; /* serve puts the run's own in its place */
    request.created_ms = clock_wall_ms(clock_system());
    bytes_init(&payload, RUN_BYTES_MAX);
    bytes_init(&stored, RUN_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = run_record_encode(&request, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_REQUEST, bytes_as_view(&payload), root, &stored, err);
    }
    if (status == NERO_OK) {
        id = hash_of(bytes_as_view(&stored));
        layout_inbox(key, &id);
        status = storage_create_once(store, key, bytes_as_view(&stored), err);
    }
    bytes_fini(&payload);
    bytes_fini(&stored);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "submit run %s", record->name);
}

/* Is the run that exists the one that is asked for? Then another scheduler was faster. */
static bool is_made(struct storage *store, const struct run_record *request)
{
    struct trust *trust = NULL;
    struct run_record wanted = *request;
    struct bytes asked;
    struct bytes made;
    struct nero_err ignored;
    bool equal = false;

    bytes_init(&asked, RUN_BYTES_MAX);
    bytes_init(&made, RUN_BYTES_MAX);
    if (trust_open(store, request->name, NULL, &trust, &ignored) == NERO_OK) {
        wanted.run_key = trust_run(trust)->run_key;
        wanted.created_ms = trust_run(trust)->created_ms;
        equal = run_record_encode(&wanted, &asked, &ignored) == NERO_OK &&
                run_record_encode(trust_run(trust), &made, &ignored) == NERO_OK &&
                bytes_view_equal(bytes_as_view(&asked), bytes_as_view(&made));
    }
    trust_close(trust);
    bytes_fini(&asked);
    bytes_fini(&made);
    return equal;
}

static enum nero_status make_run(struct storage *store, const char *key,
                                 const struct key_pair *root, struct nero_err *err)
{
    struct run_record record;
    struct bytes stored;
    struct bytes_view payload;
    struct key_pair run_key;
    enum nero_status status;

    bytes_init(&stored, RUN_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = storage_get(store, key, &stored, NULL, err);
    if (status == NERO_OK) {
        status = envelope_open(bytes_as_view(&stored), ENVELOPE_REQUEST, &root->public_key,
                               &payload, err);
    }
    if (status == NERO_OK) {
        status = run_record_decode(payload, &record, err);
    }
    if (status == NERO_OK) {
        status = run_create(store, &record, root, &run_key, err);
        key_pair_fini(&run_key);
        if (status == NERO_EXISTS && is_made(store, &record)) {
            status = NERO_OK;
        }
    }
    if (status == NERO_OK) {
        log_line(LOG_INFO, "inbox.taken", &(struct log_context){.run = record.name}, "key=%s", key);
    }
    bytes_fini(&stored);
    return status;
}

enum nero_status inbox_take(struct storage *store, const struct key_pair *root, uint32_t *made,
                            struct nero_err *err)
{
    struct storage_list list;
    enum nero_status status =
        storage_list_page(store, "inbox/", NULL, INBOX_REQUESTS_MAX, &list, err);

    *made = 0;
    if (status != NERO_OK) {
        return err_wrap(err, "inbox");
    }
    for (size_t i = 0; i < list.count && status == NERO_OK; i++) {
        const char *key = list.entries[i].key;

        status = make_run(store, key, root, err);
        if (status == NERO_OK) {
            (*made)++;
        } else if (err_is_outage(status)) {
            break; /* what is not taken stays there */
        } else {
            log_failure("inbox.refused", NULL, err);
        }
        status = storage_remove(store, key, err);
    }
    storage_list_fini(&list);
    return status;
}

/* The signature does not matter: this only helps a person who waits. */
static bool is_for(struct storage *store, const char *key, const char *run)
{
    struct envelope envelope;
    struct run_record record;
    struct bytes stored;
    struct nero_err ignored;
    bool found;

    bytes_init(&stored, RUN_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    found =
        storage_get(store, key, &stored, NULL, &ignored) == NERO_OK &&
        envelope_parse(bytes_as_view(&stored), ENVELOPE_REQUEST, &envelope, &ignored) == NERO_OK &&
        run_record_decode(envelope.payload, &record, &ignored) == NERO_OK &&
        strcmp(record.name, run) == 0;
    bytes_fini(&stored);
    return found;
}

bool inbox_holds(struct storage *store, const char *run)
{
    struct storage_list list;
    struct nero_err ignored;
    bool found = false;

    if (storage_list_page(store, "inbox/", NULL, INBOX_REQUESTS_MAX, &list, &ignored) != NERO_OK) {
        return false;
    }
    for (size_t i = 0; i < list.count && !found; i++) {
        found = is_for(store, list.entries[i].key, run);
    }
    storage_list_fini(&list);
    return found;
}
