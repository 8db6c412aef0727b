#include "generation_store.h"

#include <inttypes.h>
#include <string.h>

#include "nero/layout.h"

void generation_stored_fini(struct generation_stored *stored)
{
    generation_fini(&stored->generation);
    bytes_fini(&stored->stored);
}

enum nero_status generation_store_put(struct storage *store, const struct key_pair *run_key,
                                      const struct generation *generation, struct hash *hash,
                                      struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    enum nero_status status;

    bytes_init(&payload, GENERATION_BYTES_MAX);
    bytes_init(&stored, GENERATION_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    layout_generation(key, generation->run, generation->lineage, generation->number,
                      generation_state_name(generation->state));
    status = generation_encode(generation, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_GENERATION, bytes_as_view(&payload), run_key, &stored, err);
    }
    if (status == NERO_OK) {
        status = storage_create_once(store, key, bytes_as_view(&stored), err);
    }
    if (status == NERO_EXISTS) {
        status = err_set(err, NERO_CORRUPT, 0,
                         "%s was written before with other bytes: it was changed, or another "
                         "version of this program wrote it",
                         key);
    }
    if (status == NERO_OK) {
        *hash = hash_of(bytes_as_view(&stored));
    }
    bytes_fini(&payload);
    bytes_fini(&stored);
    return status;
}

/* A record must say of itself what its place says. */
static enum nero_status check_place(const struct generation *generation, const char *run,
                                    uint32_t lineage, uint32_t number, enum generation_state state,
                                    struct nero_err *err)
{
    if (strcmp(generation->run, run) != 0 || generation->lineage != lineage ||
        generation->number != number || generation->state != state) {
        return err_set(err, NERO_CORRUPT, 0,
                       "the record is that of run %s, lineage %" PRIu32 ", generation %" PRIu32
                       ", %s",
                       generation->run, generation->lineage, generation->number,
                       generation_state_name(generation->state));
    }
    return NERO_OK;
}

enum nero_status generation_store_get(struct storage *store, struct trust *trust, const char *run,
                                      uint32_t lineage, uint32_t number,
                                      enum generation_state state, struct generation_stored *out,
                                      struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes_view payload;
    enum nero_status status;

    layout_generation(key, run, lineage, number, generation_state_name(state));
    generation_init(&out->generation);
    bytes_init(&out->stored, GENERATION_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = storage_get(store, key, &out->stored, NULL, err);
    if (status == NERO_OK) {
        status = trust_open_run_envelope(trust, bytes_as_view(&out->stored), ENVELOPE_GENERATION,
                                         &payload, err);
    }
    if (status == NERO_OK) {
        status = generation_decode(payload, &out->generation, err);
    }
    if (status == NERO_OK) {
        status = check_place(&out->generation, run, lineage, number, state, err);
    }
    if (status != NERO_OK) {
        generation_stored_fini(out);
        return err_wrap(err, "%s", key);
    }
    out->hash = hash_of(bytes_as_view(&out->stored));
    return NERO_OK;
}
