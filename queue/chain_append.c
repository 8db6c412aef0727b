/* Writing slots: steps 1 to 4 of queue/DESIGN.md, "Appending". */
#include <inttypes.h>
#include <string.h>

#include "chain_impl.h"
#include "nero/clock.h"

enum {
    CREATE_TRIES = 3,    /* after an unknown outcome that left nothing behind */
    OVERTAKEN_MAX = 1000 /* slots of others that came first, in one append */
};

/* Step 2: whether somebody else owns the job. */
static enum nero_status check_owner(const struct chain *chain, const struct slot *slot,
                                    struct nero_err *err)
{
    for (size_t i = 0; i < chain->row_count; i++) {
        const struct chain_row *row = chain->rows[i];

        if (row->has_owner && (slot->token < row->owner_token ||
                               (slot->token == row->owner_token &&
                                (row->owner_is_control || slot->nonce != row->owner_nonce)))) {
            return err_set(err, NERO_STALE, 0,
                           "overtaken: token %" PRIx64 " is in the chain, ours is %" PRIx64,
                           row->owner_token, slot->token);
        }
    }
    return NERO_OK;
}

/* Step 2 for the scheduler: whether a later leader's time has begun in this chain. */
static enum nero_status check_epoch(const struct chain *chain, const struct slot *slot,
                                    struct nero_err *err)
{
    uint64_t epoch = slot->token >> 32;
    uint64_t newest = chain_highest_token(chain) >> 32;

    if (newest > epoch) {
        return err_set(err, NERO_STALE, 0,
                       "epoch %" PRIu64 " is in the chain, this scheduler led epoch %" PRIu64,
                       newest, epoch);
    }
    return NERO_OK;
}

uint64_t chain_control_token(const struct chain *chain, const struct slot *slot)
{
    uint64_t first = slot->token & ~(uint64_t)UINT32_MAX;
    uint64_t highest = chain_highest_token(chain);

    return highest > first ? highest : first;
}

/* Steps 1 and 2. */
enum nero_status chain_may_append(const struct chain *chain, const struct chain_row *row,
                                  const struct slot *slot, bool control, struct nero_err *err)
{
    const struct chain_entry *terminal = chain_terminal(chain);
    const struct chain_entry *tail = chain_row_tail(row);
    bool reopens = control && slot->kind == SLOT_REOPENED;

    if (terminal != NULL && (!reopens || terminal->slot.kind == SLOT_FINAL)) {
        return err_set(err, NERO_CONFLICT, 0, "the job is closed: slot %" PRIu64 " is %s",
                       terminal->number, slot_kind_name(terminal->slot.kind));
    }
    if (terminal == NULL && reopens) {
        return err_set(err, NERO_CONFLICT, 0, "the job is not closed");
    }
    if (control) {
        return check_epoch(chain, slot, err);
    }
    if (check_owner(chain, slot, err) != NERO_OK) {
        return err->status;
    }
    if (slot->kind != SLOT_TAKEOVER &&
        (tail == NULL || tail->slot.token != slot->token || tail->slot.nonce != slot->nonce)) {
        return err_set(err, NERO_INVALID, 0, "append %s before a takeover",
                       slot_kind_name(slot->kind));
    }
    return NERO_OK;
}

/* Everything that the caller does not know. */
static enum nero_status fill(struct chain *chain, struct chain_row *row, const struct slot *given,
                             bool control, struct slot *out, struct nero_err *err)
{
    const struct chain_entry *tail = chain_row_tail(row);
    uint64_t after = tail != NULL ? tail->number + 1 : 0;

    *out = *given;
    memcpy(out->run, trust_run(chain->trust)->name, sizeof out->run);
    out->job = chain->job;
    out->number = row->count;
    out->prev = tail != NULL       ? tail->hash
                : !chain->attempts ? chain->job_stored
                                   : chain_attempt_base(chain, control);
    if (row->count - after > SLOT_SKIPPED_MAX) {
        return err_set(err, NERO_CORRUPT, 0, "more than %d damaged slots in a row",
                       SLOT_SKIPPED_MAX);
    }
    out->skipped_count = 0;
    for (uint64_t number = after; number < row->count; number++) {
        out->skipped[out->skipped_count++] = number;
    }
    if (control) {
        /* It ends or reopens by its kind, not by its token: the next claim must be above it. */
        out->token = chain_control_token(chain, given);
        out->nonce = 0;
    }
    if (row->try_number != row->count) {
        row->try_number = row->count;
        row->try_wall_ms = clock_wall_ms(clock_system());
    }
    out->wall_ms = row->try_wall_ms;
    return NERO_OK;
}

/* The slot's stored bytes, judged as every reader will: what they would skip is never written. */
static enum nero_status make_record(struct chain *chain, const struct chain_row *row,
                                    const struct slot *slot, const struct key_pair *signer,
                                    struct chain_record **out, struct nero_err *err)
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
        status = chain_judge(chain, row, slot->number, &stored, &record, err);
    } else {
        bytes_fini(&stored);
    }
    bytes_fini(&payload);
    if (status != NERO_OK) {
        return status;
    }
    why = record->authentic ? chain_refuse(chain, row, record) : record->entry.fault;
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

enum nero_status chain_make(struct chain *chain, struct chain_row *row, const struct slot *given,
                            bool control, const struct key_pair *signer, struct chain_record **out,
                            struct nero_err *err)
{
    enum nero_status status;
    struct slot slot;

    if (chain_may_append(chain, row, given, control, err) != NERO_OK ||
        fill(chain, row, given, control, &slot, err) != NERO_OK) {
        return err->status;
    }
    status = make_record(chain, row, &slot, signer, out, err);
    if (status == NERO_DENIED) {
        row->try_number = UINT64_MAX; /* nothing was sent: the next try asks the clock anew */
    }
    return status;
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

    chain_slot_key(chain, record->row, record->entry.number, key);
    for (int tries = 0; tries < CREATE_TRIES; tries++) {
        struct nero_err look;
        enum nero_status seen;

        status = storage_put_if_absent(chain->store, key, record->entry.stored, err);
        if (status != NERO_EXISTS && status != NERO_UNKNOWN) {
            return status;
        }
        seen = chain_load(chain, record->row, record->entry.number, other, &look);
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

static enum nero_status append_at_end(struct chain *chain, struct chain_row *row,
                                      const struct slot *given, bool control,
                                      const struct key_pair *signer, const struct chain_entry **out,
                                      bool *done, struct nero_err *err)
{
    struct chain_record *record = NULL;
    struct chain_record *other = NULL;
    enum nero_status status = chain_make(chain, row, given, control, signer, &record, err);

    if (status != NERO_OK) {
        return status;
    }
    status = create(chain, record, &other, err);
    if (status == NERO_EXISTS) {
        chain_record_destroy(record);
        return chain_admit(chain, row, other, err);
    }
    if (status != NERO_OK) {
        chain_record_destroy(record);
        return status;
    }
    status = chain_admit(chain, row, record, err);
    if (status == NERO_OK) {
        *done = true;
        if (out != NULL) {
            *out = &row->records[row->count - 1]->entry;
        }
    }
    return status;
}

static enum nero_status append_to(struct chain *chain, struct chain_row *row,
                                  const struct slot *slot, bool control,
                                  const struct key_pair *signer, const struct chain_entry **out,
                                  struct nero_err *err)
{
    bool done = false;

    for (int tries = 0; !done; tries++) {
        if (tries > OVERTAKEN_MAX) {
            return err_set(err, NERO_UNAVAILABLE, 0, "others append without end");
        }
        if (append_at_end(chain, row, slot, control, signer, out, &done, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

enum nero_status chain_append(struct chain *chain, const struct slot *slot,
                              const struct key_pair *signer, const struct chain_entry **out,
                              struct nero_err *err)
{
    struct key_id run_key = key_id_of(trust_run_key(chain->trust));
    bool control =
        memcmp(&signer->id, &run_key, sizeof run_key) == 0 &&
        (slot->kind == SLOT_FAILED || slot->kind == SLOT_CANCELLED || slot->kind == SLOT_REOPENED);
    struct chain_row *row;
    enum nero_status status = NERO_OK;

    if (chain->attempts) {
        status = chain_attempt_row(chain, slot, control, &row, err);
    } else {
        row = chain->rows[0];
    }
    if (status == NERO_OK) {
        /* Only an attempt's row has one writer. */
        status = chain->attempts && !control
                     ? chain_attempt_append(chain, row, slot, signer, out, err)
                     : append_to(chain, row, slot, control, signer, out, err);
    }
    return status == NERO_OK ? NERO_OK
                             : err_wrap(err, "append %s as slot %" PRIu64,
                                        slot_kind_name(slot->kind), chain_count(chain));
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
