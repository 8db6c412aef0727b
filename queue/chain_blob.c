/* Blobs by content. */
#include <string.h>

#include "chain_impl.h"
#include "nero/layout.h"

/*
 * Whether one of the newest checkpoints of this attempt names it: this attempt has put it, and
 * collection keeps it. What another attempt put may be damaged, which writing it again heals.
 */
static bool is_kept(const struct chain *chain, const struct hash *blob, uint64_t bytes)
{
    const struct chain_entry *entry = NULL;

    for (int i = 0; i < CHAIN_KEPT_CHECKPOINTS; i++) {
        const struct chain_record *record;
        const struct slot *slot;

        entry = chain_checkpoint(chain, entry);
        if (entry == NULL) {
            return false;
        }
        record = (const struct chain_record *)entry;
        slot = &entry->slot;
        for (uint32_t k = 0; record->own && k < slot->blob_count; k++) {
            if (slot->blobs[k].bytes == bytes && hash_equal(&slot->blobs[k].hash, blob)) {
                return true;
            }
        }
    }
    return false;
}

bool chain_keeps_blobs(const struct chain *chain, const struct chain_entry *entry)
{
    const struct chain_entry *terminal = chain_terminal(chain);
    const struct chain_entry *newest = NULL;

    if (terminal == NULL || terminal->slot.kind != SLOT_FINAL ||
        entry->slot.kind != SLOT_CHECKPOINT) {
        return true; /* an attempt may still need it, or make the same bytes again */
    }
    for (int i = 0; i < CHAIN_KEPT_CHECKPOINTS; i++) {
        newest = chain_checkpoint(chain, newest);
        if (newest == NULL || newest == entry) {
            return true;
        }
    }
    return false;
}

enum nero_status chain_put_blob(struct chain *chain, struct bytes_view body, struct hash *out,
                                struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct hash hash = hash_of(body);

    layout_blob(key, chain->run, &hash);
    if (!is_kept(chain, &hash, body.bytes) &&
        storage_put(chain->store, key, body, err) != NERO_OK) {
        return err_wrap(err, "put a blob of %zu bytes", body.bytes);
    }
    *out = hash;
    return NERO_OK;
}

enum nero_status chain_get_blob(struct storage *store, const char *run, const struct hash *blob,
                                uint64_t bytes_max, const struct storage_progress *progress,
                                struct bytes *out, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];

    layout_blob(key, run, blob);
    if (storage_get_content(store, key, blob, bytes_max, progress, out, err) != NERO_OK) {
        return err_wrap(err, "get a blob");
    }
    return NERO_OK;
}
