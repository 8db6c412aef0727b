#include "runner_ckpt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nero/layout.h"

struct slot runner_ckpt_slot(const struct runner_ckpt_owner *owner, enum slot_kind kind,
                             enum slot_reason reason)
{
    return (struct slot){.kind = kind,
                         .token = owner->token,
                         .nonce = owner->nonce,
                         .redis_ms = owner->redis_ms,
                         .has_restored_from = owner->has_restored_from,
                         .restored_from = owner->restored_from,
                         .reason = reason};
}

enum nero_status runner_ckpt_add_blob(struct chain *chain, struct slot *slot, const char *role,
                                      struct bytes_view body, struct nero_err *err)
{
    struct slot_blob *blob = &slot->blobs[slot->blob_count];

    if (chain_put_blob(chain, body, &blob->hash, err) != NERO_OK) {
        return err_wrap(err, "blob '%s' of %zu bytes", role, body.bytes);
    }
    (void)snprintf(blob->role, sizeof blob->role, "%s", role);
    blob->bytes = body.bytes;
    slot->blob_count++;
    return NERO_OK;
}

enum nero_status runner_ckpt_commit(struct chain *chain, const struct runner_ckpt_owner *owner,
                                    enum slot_reason reason, const struct progress *progress,
                                    struct bytes_view state, uint64_t *number, struct nero_err *err)
{
    struct slot slot = runner_ckpt_slot(owner, SLOT_CHECKPOINT, reason);
    const struct chain_entry *entry;
    struct bytes body;
    enum nero_status status;

    bytes_init(&body, SLOT_BYTES_MAX);
    status = runner_ckpt_add_blob(chain, &slot, RUNNER_CKPT_STATE, state, err);
    if (status == NERO_OK) {
        status = progress_encode(progress, &body, err);
    }
    if (status == NERO_OK) {
        slot.body = bytes_as_view(&body);
        status = chain_append(chain, &slot, owner->key, &entry, err);
    }
    bytes_fini(&body);
    if (status != NERO_OK) {
        return err_wrap(err, "checkpoint");
    }
    *number = entry->number;
    return NERO_OK;
}

static const struct slot_blob *find_blob(const struct slot *slot, const char *role)
{
    for (uint32_t i = 0; i < slot->blob_count; i++) {
        if (strcmp(slot->blobs[i].role, role) == 0) {
            return &slot->blobs[i];
        }
    }
    return NULL;
}

static enum nero_status read_one(const struct chain_entry *entry, struct storage *store,
                                 const char *run, const struct storage_progress *reading,
                                 struct progress *progress, struct bytes *state,
                                 struct nero_err *err)
{
    const struct slot_blob *blob = find_blob(&entry->slot, RUNNER_CKPT_STATE);

    progress_fini(progress);
    progress_init(progress);
    bytes_clear(state);
    if (progress_decode(entry->slot.body, progress, err) != NERO_OK) {
        return err->status;
    }
    if (blob == NULL) {
        return err_set(err, NERO_CORRUPT, 0, "the slot names no state");
    }
    if (blob->bytes > RUNNER_CKPT_STATE_BYTES_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "a state of %" PRIu64 " bytes", blob->bytes);
    }
    if (chain_get_blob(store, run, &blob->hash, blob->bytes, reading, state, err) != NERO_OK) {
        return err->status;
    }
    return state->bytes == blob->bytes
               ? NERO_OK
               : err_set(err, NERO_CORRUPT, 0, "a state of %zu bytes, not %" PRIu64, state->bytes,
                         blob->bytes);
}

/* What makes a checkpoint useless for good, against what may pass. */
static bool is_damage(enum nero_status status)
{
    return status == NERO_CORRUPT || status == NERO_NOT_FOUND || status == NERO_VERSION ||
           status == NERO_INVALID || status == NERO_TOO_BIG;
}

enum nero_status runner_ckpt_find(struct chain *chain, struct storage *store, const char *run,
                                  const struct chain_entry *below, const struct log_context *where,
                                  const struct storage_progress *reading, struct progress *progress,
                                  struct bytes *state, const struct chain_entry **found,
                                  uint32_t *passed, struct nero_err *err)
{
    const struct chain_entry *entry;

    while ((entry = chain_checkpoint(chain, below)) != NULL) {
        enum nero_status status = read_one(entry, store, run, reading, progress, state, err);

        if (status == NERO_OK) {
            *found = entry;
            return NERO_OK;
        }
        if (!is_damage(status)) {
            return err_wrap(err, "read checkpoint %" PRIu64, entry->number);
        }
        log_line(LOG_WARN, "checkpoint.damaged", where, "slot=%" PRIu64 " reason=\"%s\"",
                 entry->number, err->message);
        below = entry;
        ++*passed;
    }
    return err_set(err, NERO_NOT_FOUND, 0, "no whole checkpoint in the chain");
}

void runner_ckpt_log_damage(const struct chain *chain, const struct log_context *where)
{
    uint64_t count = chain_count(chain);

    for (uint64_t i = 0; i < count; i++) {
        const struct chain_entry *entry = chain_at(chain, i);

        if (!entry->valid) {
            log_line(LOG_WARN, "slot.damaged", where, "slot=%" PRIu64 " reason=\"%s\"",
                     entry->number, entry->fault);
        }
    }
}
