/* Reading and judging slots. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain_impl.h"
#include "nero/layout.h"
#include "nero/mem.h"

enum { CHAIN_SLOTS_MAX = 1000000 };

void chain_record_destroy(struct chain_record *record)
{
    if (record != NULL) {
        bytes_fini(&record->stored);
        free(record);
    }
}

/* ---- judging one slot by itself ---- */

/* What says something of the slot, against what says something of the moment. */
static bool is_verdict(enum nero_status status)
{
    return status == NERO_DENIED || status == NERO_CORRUPT || status == NERO_VERSION ||
           status == NERO_INVALID || status == NERO_TOO_BIG;
}

static enum nero_status check_place(const struct chain *chain, const struct chain_entry *entry,
                                    struct nero_err *err)
{
    if (strcmp(entry->slot.run, chain->run) != 0) {
        return err_set(err, NERO_CORRUPT, 0, "it is a slot of run '%s'", entry->slot.run);
    }
    if (!hash_equal(&entry->slot.job, &chain->job)) {
        return err_set(err, NERO_CORRUPT, 0, "it is a slot of another job");
    }
    if (entry->slot.number != entry->number) {
        return err_set(err, NERO_CORRUPT, 0, "it is slot %" PRIu64, entry->slot.number);
    }
    return NERO_OK;
}

enum nero_status chain_judge(struct chain *chain, uint64_t number, struct bytes *stored,
                             struct chain_record **out, struct nero_err *err)
{
    struct chain_record *record = mem_calloc(1, sizeof *record);
    struct chain_entry *entry;
    struct bytes_view payload;
    enum nero_status status;

    if (record == NULL) {
        bytes_fini(stored);
        return err_set(err, NERO_NO_MEMORY, 0, "slot %" PRIu64 ": no memory", number);
    }
    record->stored = *stored;
    memset(stored, 0, sizeof *stored);
    entry = &record->entry;
    entry->number = number;
    entry->stored = bytes_as_view(&record->stored);
    entry->hash = hash_of(entry->stored);
    status = trust_open_slot(chain->trust, entry->stored, &payload, &entry->by_scheduler,
                             &entry->signer, err);
    if (status == NERO_OK) {
        status = slot_decode(payload, &entry->slot, err);
    }
    if (status == NERO_OK) {
        status = check_place(chain, entry, err);
    }
    if (status == NERO_OK) {
        record->authentic = true;
        record->control = entry->by_scheduler &&
                          (entry->slot.kind == SLOT_FAILED || entry->slot.kind == SLOT_CANCELLED ||
                           entry->slot.kind == SLOT_REOPENED);
    } else if (is_verdict(status)) {
        (void)snprintf(entry->fault, sizeof entry->fault, "%.*s", (int)sizeof entry->fault - 1,
                       err->message);
    } else {
        chain_record_destroy(record);
        return err_wrap(err, "judge slot %" PRIu64, number);
    }
    *out = record;
    return NERO_OK;
}

/* ---- judging it against the chain ---- */

/* What a slot continues, when it is not the number of a valid slot. */
enum { LINK_JOB = -1, LINK_NONE = -2, LINK_DAMAGED = -3 };

/*
 * The slot that it continues, by its own list of skipped ones. One that has been damaged since
 * cannot be compared: then the word of the writer, who saw it whole, is taken.
 */
static int64_t link_of(const struct chain *chain, const struct slot *slot)
{
    int64_t before = (int64_t)slot->number - 1 - (int64_t)slot->skipped_count;
    const struct chain_record *record;

    if (before < LINK_JOB) {
        return LINK_NONE;
    }
    for (uint32_t i = 0; i < slot->skipped_count; i++) {
        if (slot->skipped[i] != (uint64_t)(before + 1) + i) {
            return LINK_NONE;
        }
    }
    if (before == LINK_JOB) {
        return hash_equal(&slot->prev, &chain->job_stored) ? LINK_JOB : LINK_NONE;
    }
    record = chain->records[before];
    if (!record->authentic) {
        return LINK_DAMAGED;
    }
    return record->entry.valid && hash_equal(&slot->prev, &record->entry.hash) ? before : LINK_NONE;
}

/* C4. What a damaged slot between may have been is not held against the next. */
static const char *refuse_terminal(const struct chain *chain, const struct chain_record *record,
                                   bool through_damage)
{
    const struct chain_entry *terminal = chain_terminal(chain);
    bool reopens = record->control && record->entry.slot.kind == SLOT_REOPENED;

    if (terminal != NULL && terminal->slot.kind == SLOT_FINAL) {
        return reopens ? "a final result is not reopened" : "the job is closed";
    }
    if (through_damage || reopens == (terminal != NULL)) {
        return NULL;
    }
    return reopens ? "it reopens a job that is not closed" : "the job is closed";
}

/* C2 and C3, for a slot of an attempt; `before`: the slot that it continues, NULL for the job. */
static const char *refuse_owner(const struct chain *chain, const struct slot *slot,
                                const struct slot *before, bool through_damage)
{
    if (chain->has_owner && slot->token == chain->owner_token &&
        (chain->owner_is_control || slot->nonce != chain->owner_nonce)) {
        return "its token is another owner's";
    }
    if (slot->kind != SLOT_TAKEOVER && !through_damage &&
        (before == NULL || before->token != slot->token || before->nonce != slot->nonce)) {
        return "its attempt has not taken the job over";
    }
    return NULL;
}

const char *chain_refuse(const struct chain *chain, const struct chain_record *record)
{
    const struct slot *slot = &record->entry.slot;
    int64_t link = link_of(chain, slot);
    bool through_damage = link == LINK_DAMAGED;
    const char *closed = refuse_terminal(chain, record, through_damage);

    if (link == LINK_NONE) {
        return "it does not continue a valid slot";
    }
    if (closed != NULL) {
        return closed;
    }
    if (!record->entry.by_scheduler &&
        (slot->kind == SLOT_CANCELLED || slot->kind == SLOT_REOPENED)) {
        return "only the scheduler may write this kind";
    }
    if (chain->has_owner && slot->token < chain->owner_token) { /* C2 */
        return "its token is lower than an earlier one";
    }
    if (record->control) {
        return NULL;
    }
    return refuse_owner(chain, slot, link >= 0 ? &chain->records[link]->entry.slot : NULL,
                        through_damage);
}

static void note_owner(struct chain *chain, const struct chain_record *record)
{
    const struct slot *slot = &record->entry.slot;

    if (!record->authentic || (chain->has_owner && slot->token <= chain->owner_token &&
                               !(record->entry.valid && slot->token == chain->owner_token))) {
        return;
    }
    chain->has_owner = true;
    chain->owner_token = slot->token;
    chain->owner_nonce = slot->nonce;
    chain->owner_is_control = record->control;
}

/* What a valid slot passed over although it looks valid to us: its writer met damage there that we
 * do not see. Its word counts, so that all readers agree on the tail. */
static void pass_over(struct chain *chain, const struct slot *slot)
{
    for (uint32_t i = 0; i < slot->skipped_count; i++) {
        struct chain_entry *entry = &chain->records[slot->skipped[i]]->entry;

        if (entry->valid) {
            entry->valid = false;
            (void)snprintf(entry->fault, sizeof entry->fault, "passed over by slot %" PRIu64,
                           slot->number);
        }
    }
}

enum nero_status chain_admit(struct chain *chain, struct chain_record *record, struct nero_err *err)
{
    struct chain_entry *entry = &record->entry;

    assert(entry->number == chain->count);
    if (chain->count == chain->room) {
        uint64_t room = chain->room > 0 ? chain->room * 2 : 16;
        struct chain_record **records =
            mem_realloc_array(chain->records, room, sizeof(struct chain_record *));

        if (records == NULL) {
            chain_record_destroy(record);
            return err_set(err, NERO_NO_MEMORY, 0, "keep a slot: no memory");
        }
        chain->records = records;
        chain->room = room;
    }
    if (record->authentic) {
        const char *why = chain_refuse(chain, record);

        entry->valid = why == NULL;
        (void)snprintf(entry->fault, sizeof entry->fault, "%s", why != NULL ? why : "");
    }
    if (entry->valid) {
        pass_over(chain, &entry->slot);
    }
    note_owner(chain, record);
    chain->records[chain->count++] = record;
    return NERO_OK;
}

/* ---- reading ---- */

static enum nero_status read_once(struct chain *chain, uint64_t number, struct chain_record **out,
                                  struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    enum nero_status status;

    layout_slot(key, chain->run, &chain->job, number);
    bytes_init(&stored, SLOT_BYTES_MAX);
    status = storage_get(chain->store, key, &stored, NULL, err);
    if (status == NERO_OK || status == NERO_TOO_BIG) {
        status = chain_judge(chain, number, &stored, out, err); /* too big: empty, so no envelope */
        return status;
    }
    bytes_fini(&stored);
    if (status == NERO_CORRUPT) { /* the transfer broke; the object may be whole */
        err->status = NERO_UNAVAILABLE;
    }
    return err->status;
}

enum nero_status chain_load(struct chain *chain, uint64_t number, struct chain_record **out,
                            struct nero_err *err)
{
    struct chain_record *first;
    enum nero_status status = read_once(chain, number, &first, err);

    if (status == NERO_OK && !first->authentic) {
        /* Damage is read twice before it is believed. */
        chain_record_destroy(first);
        status = read_once(chain, number, &first, err);
        if (status == NERO_NOT_FOUND) {
            status = err_set(err, NERO_UNAVAILABLE, 0,
                             "slot %" PRIu64 " was there and is gone: the store lies", number);
        }
    }
    if (status == NERO_OK) {
        *out = first;
    }
    return status;
}

enum nero_status chain_refresh(struct chain *chain, struct nero_err *err)
{
    for (;;) {
        struct chain_record *record;
        enum nero_status status = chain_load(chain, chain->count, &record, err);

        if (status == NERO_NOT_FOUND) {
            return NERO_OK;
        }
        if (status == NERO_OK) {
            status = chain_admit(chain, record, err);
        }
        if (status == NERO_OK && chain->count > CHAIN_SLOTS_MAX) {
            status =
                err_set(err, NERO_TOO_BIG, 0, "a chain of more than %d slots", CHAIN_SLOTS_MAX);
        }
        if (status != NERO_OK) {
            return err_wrap(err, "read slot %" PRIu64, chain->count);
        }
    }
}

enum nero_status chain_open(struct storage *store, struct trust *trust, const struct hash *job,
                            struct bytes_view job_envelope, struct chain **out,
                            struct nero_err *err)
{
    struct chain *chain = mem_calloc(1, sizeof *chain);

    if (chain == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "open a chain: no memory");
    }
    chain->store = store;
    chain->trust = trust;
    chain->run = trust_run(trust)->name;
    chain->job = *job;
    chain->job_stored = hash_of(job_envelope);
    chain->try_number = UINT64_MAX;
    if (chain_refresh(chain, err) != NERO_OK) {
        chain_close(chain);
        return err_wrap(err, "open the chain");
    }
    *out = chain;
    return NERO_OK;
}

void chain_close(struct chain *chain)
{
    if (chain == NULL) {
        return;
    }
    for (uint64_t i = 0; i < chain->count; i++) {
        chain_record_destroy(chain->records[i]);
    }
    free(chain->records);
    free(chain);
}

/* ---- looking ---- */

uint64_t chain_count(const struct chain *chain)
{
    return chain->count;
}

const struct chain_entry *chain_at(const struct chain *chain, uint64_t number)
{
    assert(number < chain->count);
    return &chain->records[number]->entry;
}

const struct chain_entry *chain_tail(const struct chain *chain)
{
    for (uint64_t i = chain->count; i-- > 0;) {
        if (chain->records[i]->entry.valid) {
            return &chain->records[i]->entry;
        }
    }
    return NULL;
}

/* By C4 the terminal slot in force is the newest valid one. */
const struct chain_entry *chain_terminal(const struct chain *chain)
{
    const struct chain_entry *tail = chain_tail(chain);

    return tail != NULL && slot_is_terminal(tail->slot.kind) ? tail : NULL;
}

const struct chain_entry *chain_checkpoint(const struct chain *chain, uint64_t below)
{
    for (uint64_t i = below < chain->count ? below : chain->count; i-- > 0;) {
        const struct chain_entry *entry = &chain->records[i]->entry;

        if (entry->valid && entry->slot.kind == SLOT_CHECKPOINT) {
            return entry;
        }
    }
    return NULL;
}
