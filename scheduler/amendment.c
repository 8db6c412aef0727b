#include "amendment.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/layout.h"
#include "nero/mem.h"

void amendment_list_fini(struct amendment_list *list)
{
    free(list->ends);
    list->ends = NULL;
    list->count = 0;
}

uint32_t amendment_end(const struct amendment_list *list)
{
    return list->ends[list->count];
}

enum nero_status amendment_list_init(const struct trust *trust, struct amendment_list *out,
                                     struct nero_err *err)
{
    uint32_t *ends = mem_calloc(1, sizeof *ends);

    if (ends == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the amendments");
    }
    ends[0] = trust_run(trust)->search.generations;
    *out = (struct amendment_list){.ends = ends, .last = trust_run_hash(trust)};
    return NERO_OK;
}

static enum nero_status check(const struct amendment_list *list, const char *run,
                              const struct run_amendment *amendment, struct nero_err *err)
{
    if (strcmp(amendment->run, run) != 0 || amendment->number != list->count) {
        return err_set(err, NERO_CORRUPT, 0, "it is amendment %" PRIu64 " of run %s",
                       amendment->number, amendment->run);
    }
    if (!hash_equal(&amendment->prev, &list->last)) {
        return err_set(err, NERO_CORRUPT, 0, "it does not follow the record before it");
    }
    if (amendment->generations <= amendment_end(list)) {
        return err_set(err, NERO_CORRUPT, 0,
                       "it sets %" PRIu32 " generations, of %" PRIu32 ": no more than before",
                       amendment->generations, amendment_end(list));
    }
    return NERO_OK;
}

enum nero_status amendment_list_add(struct amendment_list *list, const struct trust *trust,
                                    struct bytes_view stored, struct nero_err *err)
{
    struct run_amendment amendment;
    struct bytes_view payload;
    uint32_t *ends;

    if (trust_open_root_envelope(trust, stored, ENVELOPE_RUN, &payload, err) != NERO_OK ||
        run_amendment_decode(payload, &amendment, err) != NERO_OK ||
        check(list, trust_run(trust)->name, &amendment, err) != NERO_OK) {
        return err->status;
    }
    ends = mem_realloc_array(list->ends, (size_t)list->count + 2, sizeof *ends);
    if (ends == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for the amendments");
    }
    list->ends = ends;
    list->count++;
    list->ends[list->count] = amendment.generations;
    list->last = hash_of(stored);
    return NERO_OK;
}

enum nero_status amendment_list_read(struct storage *store, const struct trust *trust,
                                     struct amendment_list *out, struct nero_err *err)
{
    struct amendment_list list = {.count = 0};
    enum nero_status status = amendment_list_init(trust, &list, err);

    while (status == NERO_OK) {
        char key[LAYOUT_KEY_BYTES];
        struct bytes stored;

        bytes_init(&stored, ENVELOPE_BYTES_MAX);
        layout_amend(key, trust_run(trust)->name, list.count);
        status = storage_get(store, key, &stored, NULL, err);
        if (status == NERO_NOT_FOUND) {
            bytes_fini(&stored);
            *out = list;
            return NERO_OK;
        }
        if (status == NERO_OK) {
            status = amendment_list_add(&list, trust, bytes_as_view(&stored), err);
        }
        if (status != NERO_OK) {
            (void)err_wrap(err, "%s", key);
        }
        bytes_fini(&stored);
    }
    amendment_list_fini(&list);
    return status;
}

enum nero_status amendment_put(struct storage *store, const struct trust *trust,
                               const struct amendment_list *list, const struct key_pair *root,
                               uint32_t generations, struct nero_err *err)
{
    struct run_amendment amendment = {
        .number = list->count, .prev = list->last, .generations = generations};
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    enum nero_status status;

    memcpy(amendment.run, trust_run(trust)->name, sizeof amendment.run);
    layout_amend(key, amendment.run, amendment.number);
    bytes_init(&payload, RUN_CONTROL_BYTES_MAX);
    bytes_init(&stored, RUN_CONTROL_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = run_amendment_encode(&amendment, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_RUN, bytes_as_view(&payload), root, &stored, err);
    }
    if (status == NERO_OK) {
        status = storage_create_once(store, key, bytes_as_view(&stored), err);
    }
    if (status == NERO_EXISTS) {
        status = err_set(err, NERO_CONFLICT, 0,
                         "somebody else extended the run at the same moment: look at its status");
    }
    bytes_fini(&payload);
    bytes_fini(&stored);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "extend run %s", amendment.run);
}
