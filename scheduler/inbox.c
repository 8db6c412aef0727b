#include "inbox.h"

#include <stdio.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/log.h"

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
        } else if (err_is_retryable(status)) {
            break;
        } else {
            log_failure("inbox.refused", NULL, err);
        }
        status = storage_remove(store, key, err);
    }
    storage_list_fini(&list);
    return status;
}
