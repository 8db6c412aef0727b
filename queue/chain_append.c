/* Writing slots: steps 1 to 4 of queue/DESIGN.md, "Appending". */
#include <inttypes.h>
#include <string.h>

#include "chain_impl.h"
#include "nero/clock.h"
#include "nero/layout.h"

enum {
    CREATE_TRIES = 3,    /* after an unknown outcome that left nothing behind */
    OVERTAKEN_MAX = 1000 /* slots of others that came first, in one append */
};

/* Steps 1 and 2. */
static enum nero_status may_append(const struct chain *chain, const struct slot *slot, bool control,
                                   struct nero_err *err)
{
    const struct chain_entry *terminal = chain_terminal(chain);
    const struct chain_entry *tail = chain_tail(chain);
    bool reopens = control && slot->kind == SLOT_REOPENED;

    if (terminal != NULL && (!reopens || terminal->slot.kind == SLOT_FINAL)) {
        return err_set(err, NERO_CONFLICT, 0, "the job is closed: slot %" PRIu64 " is %s",
                       terminal->number, slot_kind_name(terminal->slot.kind));
    }
    if (terminal == NULL && reopens) {
        return err_set(err, NERO_CONFLICT, 0, "the job is not closed");
    }
    if (control) {
        return NERO_OK;
    }
    if (chain->has_owner && (slot->token < chain->owner_token ||
                             (slot->token == chain->owner_token &&
                              (chain->owner_is_control || slot->nonce != chain->owner_nonce)))) {
        return err_set(err, NERO_STALE, 0,
                       "overtaken: token %" PRIx64 " is in the chain, ours is %" PRIx64,
                       chain->owner_token, slot->token);
    }
    if (slot->kind != SLOT_TAKEOVER &&
        (tail == NULL || tail->slot.token != slot->token || tail->slot.nonce != slot->nonce)) {
        return err_set(err, NERO_INVALID, 0, "append %s before a takeover",
                       slot_kind_name(slot->kind));
    }
    return NERO_OK;
}

/* Everything that the caller does not know. */
static enum nero_status fill(struct chain *chain, const struct slot *given, bool control,
                             struct slot *out, struct nero_err *err)
{
    const struct chain_entry *tail = chain_tail(chain);
    uint64_t after = tail != NULL ? tail->number + 1 : 0;

    *out = *given;
    memcpy(out->run, trust_run(chain->trust)->name, sizeof out->run);
    out->job = chain->job;
    out->number = chain->count;
    out->prev = tail != NULL ? tail->hash : chain->job_stored;
    if (chain->count - after > SLOT_SKIPPED_MAX) {
        return err_set(err, NERO_CORRUPT, 0, "more than %d damaged slots in a row",
                       SLOT_SKIPPED_MAX);
    }
    out->skipped_count = 0;
    for (uint64_t number = after; number < chain->count; number++) {
        out->skipped[out->skipped_count++] = number;
    }
    if (control) {
        /* It ends or reopens by its kind, not by its token: the next claim must be above it. */
        out->token = chain->has_owner ? chain->owner_token : 0;
        out->nonce = 0;
    }
    if (chain->try_number != chain->count) {
        chain->try_number = chain->count;
        chain->try_wall_ms = clock_wall_ms(clock_system());
    }
    out->wall_ms = chain->try_wall_ms;
    return NERO_OK;
}

/* The slot's stored bytes, judged as every reader will: what they would skip is never written. */
static enum nero_status make_record(struct chain *chain, const struct slot *slot,
                                    const struct key_pair *signer, struct chain_record **out,
                                    struct nero_err *err)
{
    struct bytes payload;
    struct bytes stored;
    struct chain_record *record = NULL;
    const char *why;
    enum nero_status status;

    bytes_init(&payload, SLOT_BYTES_MAX);
    bytes_init(&stored, SLOT_BYTES_MAX);
    status = slot_encode(slot, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_SLOT, bytes_as_view(&payload), signer, &stored, err);
    }
    if (status == NERO_OK) {
        status = chain_judge(chain, slot->number, &stored, &record, err);
    } else {
        bytes_fini(&stored);
    }
    bytes_fini(&payload);
    if (status != NERO_OK) {
        return status;
    }
    why = record->authentic ? chain_refuse(chain, record) : record->entry.fault;
    if (why != NULL) {
        status = err_set(err, record->authentic ? NERO_INVALID : NERO_DENIED, 0,
                         "no reader would accept the slot: %s", why);
        chain_record_destroy(record);
        return status;
    }
    record->own = true;
    *out = record;
    return NERO_OK;
}

/*
 * Steps 3 and 4 for one number. ok: `record` is in the bucket. exists: somebody else's slot is, in
 * *other. unknown: it cannot be told now.
 */
static enum nero_status create(struct chain *chain, const struct chain_record *record,
                               struct chain_record **other, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    enum nero_status status = NERO_UNKNOWN;

    layout_slot(key, chain->run, &chain->job, record->entry.number);
    for (int tries = 0; tries < CREATE_TRIES; tries++) {
        struct nero_err look;
        enum nero_status seen;

        status = storage_put_if_absent(chain->store, key, record->entry.stored, err);
        if (status != NERO_EXISTS && status != NERO_UNKNOWN) {
            return status;
        }
        seen = chain_load(chain, record->entry.number, other, &look);
        if (seen == NERO_OK) {
            if (bytes_view_equal((*other)->entry.stored, record->entry.stored)) {
                chain_record_destroy(*other);
                return NERO_OK;
            }
            return NERO_EXISTS;
        }
        if (seen != NERO_NOT_FOUND) {
            *err = look;
            err->status = NERO_UNKNOWN; /* also after exists: it may be ours */
            return err_wrap(err, "the outcome is not known");
        }
        if (status == NERO_EXISTS) {
            return err_set(err, NERO_UNAVAILABLE, 0, "the store says that %s exists and is absent",
                           key);
        }
    }
    return status;
}

static enum nero_status append_at_end(struct chain *chain, const struct slot *given, bool control,
                                      const struct key_pair *signer, const struct chain_entry **out,
                                      bool *done, struct nero_err *err)
{
    struct chain_record *record = NULL;
    struct chain_record *other = NULL;
    struct slot slot;
    enum nero_status status = may_append(chain, given, control, err);

    if (status == NERO_OK) {
        status = fill(chain, given, control, &slot, err);
    }
    if (status == NERO_OK) {
        status = make_record(chain, &slot, signer, &record, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    status = create(chain, record, &other, err);
    if (status == NERO_EXISTS) {
        chain_record_destroy(record);
        return chain_admit(chain, other, err);
    }
    if (status != NERO_OK) {
        chain_record_destroy(record);
        return status;
    }
    status = chain_admit(chain, record, err);
    if (status == NERO_OK) {
        *done = true;
        if (out != NULL) {
            *out = &chain->records[chain->count - 1]->entry;
        }
    }
    return status;
}

enum nero_status chain_append(struct chain *chain, const struct slot *slot,
                              const struct key_pair *signer, const struct chain_entry **out,
                              struct nero_err *err)
{
    struct key_id run_key = key_id_of(trust_run_key(chain->trust));
    bool control =
        memcmp(&signer->id, &run_key, sizeof run_key) == 0 &&
        (slot->kind == SLOT_FAILED || slot->kind == SLOT_CANCELLED || slot->kind == SLOT_REOPENED);
    bool done = false;
    enum nero_status status = NERO_OK;

    for (int tries = 0; status == NERO_OK && !done; tries++) {
        if (tries > OVERTAKEN_MAX) {
            status = err_set(err, NERO_UNAVAILABLE, 0, "others append without end");
            break;
        }
        status = append_at_end(chain, slot, control, signer, out, &done, err);
    }
    return status == NERO_OK ? NERO_OK
                             : err_wrap(err, "append %s as slot %" PRIu64,
                                        slot_kind_name(slot->kind), chain->count);
}

enum nero_status chain_takeover(struct chain *chain, uint64_t token, uint64_t nonce,
                                int64_t redis_ms, const struct key_pair *signer,
                                struct nero_err *err)
{
    struct slot slot = {.kind = SLOT_TAKEOVER,
                        .token = token,
                        .nonce = nonce,
                        .redis_ms = redis_ms,
                        .reason = SLOT_INTERVAL};

    return chain_append(chain, &slot, signer, NULL, err);
}
