/* Reading and judging slots. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chain_impl.h"
#include "nero/mem.h"

enum { CHAIN_SLOTS_MAX = 1000000, CHAIN_ROWS_MAX = 10000 };

void chain_record_destroy(struct chain_record *record)
{
    if (record != NULL) {
        bytes_fini(&record->stored);
        free(record);
    }
}

/* ---- rows ---- */

static bool is_at(const struct chain_row *row, uint64_t token, uint64_t nonce)
{
    return row->token == token && row->nonce == nonce;
}

/* By token, the scheduler's (nonce 0) after the attempts that it has seen, nonce. */
static bool is_before(const struct chain_row *row, uint64_t token, uint64_t nonce)
{
    return row->token != token ? row->token < token : row->nonce - 1 < nonce - 1;
}

static enum nero_status insert_row(struct chain *chain, size_t at, uint64_t token, uint64_t nonce,
                                   struct nero_err *err)
{
    struct chain_row *row = mem_calloc(1, sizeof *row);

    if (row != NULL && chain->row_count == chain->row_room) {
        size_t room = chain->row_room > 0 ? 2 * chain->row_room : 4;
        struct chain_row **rows = mem_realloc_array(chain->rows, room, sizeof(struct chain_row *));

        if (rows == NULL) {
            free(row);
            row = NULL;
        } else {
            chain->rows = rows;
            chain->row_room = room;
        }
    }
    if (row == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "keep a row of slots: no memory");
    }
    if (chain->row_count == CHAIN_ROWS_MAX) {
        free(row);
        return err_set(err, NERO_TOO_BIG, 0, "a job of more than %d attempts", CHAIN_ROWS_MAX);
    }
    row->token = token;
    row->nonce = nonce;
    row->try_number = UINT64_MAX;
    memmove(chain->rows + at + 1, chain->rows + at,
            (chain->row_count - at) * sizeof(struct chain_row *));
    chain->rows[at] = row;
    chain->row_count++;
    return NERO_OK;
}

enum nero_status chain_row_of(struct chain *chain, uint64_t token, uint64_t nonce,
                              struct chain_row **out, struct nero_err *err)
{
    size_t at = 0;

    while (chain->attempts && at < chain->row_count && is_before(chain->rows[at], token, nonce)) {
        at++;
    }
    if (at == chain->row_count || (chain->attempts && !is_at(chain->rows[at], token, nonce))) {
        enum nero_status status = insert_row(chain, at, token, nonce, err);

        if (status != NERO_OK) {
            return status;
        }
    }
    *out = chain->rows[at];
    return NERO_OK;
}

void chain_slot_key(const struct chain *chain, const struct chain_row *row, uint64_t number,
                    char out[LAYOUT_KEY_BYTES])
{
    if (chain->attempts) {
        layout_attempt_slot(out, chain->run, &chain->job, row->token, row->nonce, number);
    } else {
        layout_slot(out, chain->run, &chain->job, number);
    }
}

/* ---- judging one slot by itself ---- */

/* What says something of the slot, against what says something of the moment. */
static bool is_verdict(enum nero_status status)
{
    return status == NERO_DENIED || status == NERO_CORRUPT || status == NERO_VERSION ||
           status == NERO_INVALID || status == NERO_TOO_BIG;
}

static enum nero_status check_place(const struct chain *chain, const struct chain_row *row,
                                    const struct chain_entry *entry, struct nero_err *err)
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
    if (chain->attempts && !is_at(row, entry->slot.token, entry->slot.nonce)) {
        return err_set(err, NERO_CORRUPT, 0, "it is a slot of another attempt");
    }
    return NERO_OK;
}

enum nero_status chain_judge(struct chain *chain, const struct chain_row *row, uint64_t number,
                             struct bytes *stored, struct chain_record **out, struct nero_err *err)
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
    record->row = row;
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
        status = check_place(chain, row, entry, err);
    }
    if (status == NERO_OK) {
        record->authentic = true;
        record->control = entry->by_scheduler &&
                          (entry->slot.kind == SLOT_FAILED || entry->slot.kind == SLOT_CANCELLED ||
                           entry->slot.kind == SLOT_REOPENED);
        record->units = chain->attempts ? chain_attempt_units(&entry->slot) : 0;
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
 * cannot be compared: then the word of the writer, who saw it whole, is taken. So it is of the
 * first slot of an attempt, which continues another row.
 */
static int64_t link_of(const struct chain *chain, const struct chain_row *row,
                       const struct slot *slot)
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
        return chain->attempts || hash_equal(&slot->prev, &chain->job_stored) ? LINK_JOB
                                                                              : LINK_NONE;
    }
    record = row->records[before];
    if (!record->authentic) {
        return LINK_DAMAGED;
    }
    return record->entry.valid && hash_equal(&slot->prev, &record->entry.hash) ? before : LINK_NONE;
}

/* C4. What a damaged slot between may have been is not held against the next. */
static const char *refuse_terminal(const struct chain *chain, const struct chain_row *row,
                                   const struct chain_record *record, bool through_damage)
{
    const struct chain_entry *tail = chain_row_tail(row);
    const struct chain_entry *terminal =
        tail != NULL && slot_is_terminal(tail->slot.kind) ? tail : NULL;
    bool reopens = record->control && record->entry.slot.kind == SLOT_REOPENED;

    if (terminal != NULL && terminal->slot.kind == SLOT_FINAL) {
        return reopens ? "a final result is not reopened" : "the job is closed";
    }
    /* In attempt mode what is reopened lies in another row. */
    if (through_damage || reopens == (terminal != NULL) || (reopens && chain->attempts)) {
        return NULL;
    }
    return reopens ? "it reopens a job that is not closed" : "the job is closed";
}

/* C2 and C3, for a slot of an attempt; `before`: the slot that it continues, NULL for the job. */
static const char *refuse_owner(const struct chain_row *row, const struct slot *slot,
                                const struct slot *before, bool through_damage)
{
    if (row->has_owner && slot->token == row->owner_token &&
        (row->owner_is_control || slot->nonce != row->owner_nonce)) {
        return "its token is another owner's";
    }
    if (slot->kind != SLOT_TAKEOVER && !through_damage &&
        (before == NULL || before->token != slot->token || before->nonce != slot->nonce)) {
        return "its attempt has not taken the job over";
    }
    return NULL;
}

const char *chain_refuse(const struct chain *chain, const struct chain_row *row,
                         const struct chain_record *record)
{
    const struct slot *slot = &record->entry.slot;
    int64_t link = link_of(chain, row, slot);
    bool through_damage = link == LINK_DAMAGED;
    const char *closed = refuse_terminal(chain, row, record, through_damage);

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
    if (chain->attempts && record->control != (row->nonce == 0)) {
        return "the scheduler and attempts have rows of their own";
    }
    if (row->has_owner && slot->token < row->owner_token) { /* C2 */
        return "its token is lower than an earlier one";
    }
    if (record->control) {
        return NULL;
    }
    return refuse_owner(row, slot, link >= 0 ? &row->records[link]->entry.slot : NULL,
                        through_damage);
}

static void note_owner(struct chain_row *row, const struct chain_record *record)
{
    const struct slot *slot = &record->entry.slot;

    if (!record->authentic || (row->has_owner && slot->token <= row->owner_token &&
                               !(record->entry.valid && slot->token == row->owner_token))) {
        return;
    }
    row->has_owner = true;
    row->owner_token = slot->token;
    row->owner_nonce = slot->nonce;
    row->owner_is_control = record->control;
}

/* What a valid slot passed over although it looks valid to us: its writer met damage there that we
 * do not see. Its word counts, so that all readers agree on the tail. */
static void pass_over(struct chain_row *row, const struct slot *slot)
{
    for (uint32_t i = 0; i < slot->skipped_count; i++) {
        struct chain_entry *entry = &row->records[slot->skipped[i]]->entry;

        if (entry->valid) {
            entry->valid = false;
            (void)snprintf(entry->fault, sizeof entry->fault, "passed over by slot %" PRIu64,
                           slot->number);
        }
    }
}

enum nero_status chain_admit(struct chain *chain, struct chain_row *row,
                             struct chain_record *record, struct nero_err *err)
{
    struct chain_entry *entry = &record->entry;

    assert(entry->number == row->count);
    if (row->count == row->room) {
        uint64_t room = row->room > 0 ? row->room * 2 : 16;
        struct chain_record **records =
            mem_realloc_array(row->records, room, sizeof(struct chain_record *));

        if (records == NULL) {
            chain_record_destroy(record);
            return err_set(err, NERO_NO_MEMORY, 0, "keep a slot: no memory");
        }
        row->records = records;
        row->room = room;
    }
    if (record->authentic) {
        const char *why = chain_refuse(chain, row, record);

        entry->valid = why == NULL;
        (void)snprintf(entry->fault, sizeof entry->fault, "%s", why != NULL ? why : "");
    }
    if (entry->valid) {
        pass_over(row, &entry->slot);
    }
    note_owner(row, record);
    row->records[row->count++] = record;
    return NERO_OK;
}

/* ---- reading ---- */

static enum nero_status read_once(struct chain *chain, const struct chain_row *row, uint64_t number,
                                  struct chain_record **out, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    enum nero_status status;

    chain_slot_key(chain, row, number, key);
    bytes_init(&stored, SLOT_BYTES_MAX);
    status = storage_get(chain->store, key, &stored, NULL, err);
    if (status == NERO_OK || status == NERO_TOO_BIG) {
        status =
            chain_judge(chain, row, number, &stored, out, err); /* too big: empty, so no envelope */
        return status;
    }
    bytes_fini(&stored);
    if (status == NERO_CORRUPT) { /* the transfer broke; the object may be whole */
        err->status = NERO_UNAVAILABLE;
    }
    return err->status;
}

enum nero_status chain_load(struct chain *chain, const struct chain_row *row, uint64_t number,
                            struct chain_record **out, struct nero_err *err)
{
    struct chain_record *first;
    enum nero_status status = read_once(chain, row, number, &first, err);

    if (status == NERO_OK && !first->authentic) {
        /* Damage is read twice before it is believed. */
        chain_record_destroy(first);
        status = read_once(chain, row, number, &first, err);
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

enum nero_status chain_refresh_row(struct chain *chain, struct chain_row *row, struct nero_err *err)
{
    for (;;) {
        struct chain_record *record;
        enum nero_status status = chain_load(chain, row, row->count, &record, err);

        if (status == NERO_NOT_FOUND) {
            return NERO_OK;
        }
        if (status == NERO_OK) {
            status = chain_admit(chain, row, record, err);
        }
        if (status == NERO_OK && row->count > CHAIN_SLOTS_MAX) {
            status =
                err_set(err, NERO_TOO_BIG, 0, "a chain of more than %d slots", CHAIN_SLOTS_MAX);
        }
        if (status != NERO_OK) {
            return err_wrap(err, "read slot %" PRIu64, row->count);
        }
    }
}

enum nero_status chain_refresh(struct chain *chain, struct nero_err *err)
{
    struct chain_row *row;

    if (chain->attempts) {
        return chain_attempt_refresh(chain, err);
    }
    return chain_row_of(chain, 0, 0, &row, err) == NERO_OK ? chain_refresh_row(chain, row, err)
                                                           : err->status;
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
    chain->attempts = trust_run(trust)->store_mode == RUN_ATTEMPTS;
    chain->job = *job;
    chain->job_stored = hash_of(job_envelope);
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
    for (size_t i = 0; i < chain->row_count; i++) {
        struct chain_row *row = chain->rows[i];

        for (uint64_t k = 0; k < row->count; k++) {
            chain_record_destroy(row->records[k]);
        }
        chain_record_destroy(row->pending);
        free(row->records);
        free(row);
    }
    free(chain->rows);
    free(chain);
}

/* ---- looking ---- */

uint64_t chain_count(const struct chain *chain)
{
    uint64_t count = 0;

    for (size_t i = 0; i < chain->row_count; i++) {
        count += chain->rows[i]->count;
    }
    return count;
}

const struct chain_entry *chain_at(const struct chain *chain, uint64_t index)
{
    size_t i = 0;

    for (; i < chain->row_count && index >= chain->rows[i]->count; i++) {
        index -= chain->rows[i]->count;
    }
    assert(i < chain->row_count);
    return &chain->rows[i]->records[index]->entry;
}

const struct chain_entry *chain_find(const struct chain *chain, const struct hash *stored)
{
    for (size_t i = 0; i < chain->row_count; i++) {
        for (uint64_t k = 0; k < chain->rows[i]->count; k++) {
            if (hash_equal(&chain->rows[i]->records[k]->entry.hash, stored)) {
                return &chain->rows[i]->records[k]->entry;
            }
        }
    }
    return NULL;
}

void chain_key(const struct chain *chain, const struct chain_entry *entry,
               char out[LAYOUT_KEY_BYTES])
{
    const struct chain_record *record = (const struct chain_record *)entry;

    chain_slot_key(chain, record->row, entry->number, out);
}

const struct chain_entry *chain_row_tail(const struct chain_row *row)
{
    for (uint64_t i = row->count; i-- > 0;) {
        if (row->records[i]->entry.valid) {
            return &row->records[i]->entry;
        }
    }
    return NULL;
}

const struct chain_entry *chain_tail(const struct chain *chain)
{
    for (size_t i = chain->row_count; i-- > 0;) {
        const struct chain_entry *tail = chain_row_tail(chain->rows[i]);

        if (tail != NULL) {
            return tail;
        }
    }
    return NULL;
}

/* By C4 the terminal slot in force is the newest valid one. */
const struct chain_entry *chain_terminal(const struct chain *chain)
{
    const struct chain_entry *tail = chain_tail(chain);

    if (chain->attempts) {
        return chain_attempt_terminal(chain);
    }
    return tail != NULL && slot_is_terminal(tail->slot.kind) ? tail : NULL;
}

/* Whether a is older than b, of two checkpoints; all but the number is 0 where there is one row. */
static bool is_older(const struct chain_record *a, const struct chain_record *b)
{
    if (a->units != b->units) {
        return a->units < b->units;
    }
    if (a->row != b->row) {
        return is_before(a->row, b->row->token, b->row->nonce);
    }
    return a->entry.number < b->entry.number;
}

const struct chain_entry *chain_checkpoint(const struct chain *chain,
                                           const struct chain_entry *below)
{
    const struct chain_record *limit = (const struct chain_record *)below;
    const struct chain_record *best = NULL;

    for (size_t i = 0; i < chain->row_count; i++) {
        for (uint64_t k = 0; k < chain->rows[i]->count; k++) {
            const struct chain_record *record = chain->rows[i]->records[k];

            if (record->entry.valid && record->entry.slot.kind == SLOT_CHECKPOINT &&
                (limit == NULL || is_older(record, limit)) &&
                (best == NULL || is_older(best, record))) {
                best = record;
            }
        }
    }
    return best != NULL ? &best->entry : NULL;
}

uint64_t chain_highest_token(const struct chain *chain)
{
    uint64_t highest = 0;

    for (size_t i = 0; i < chain->row_count; i++) {
        const struct chain_row *row = chain->rows[i];

        highest = row->has_owner && row->owner_token > highest ? row->owner_token : highest;
    }
    return highest;
}

uint32_t chain_lost_attempts(const struct chain *chain)
{
    uint64_t most = 0;
    uint32_t lost = 0;
    bool open = false; /* an attempt that has not given the job back */

    for (uint64_t i = 0; i < chain_count(chain); i++) {
        const struct chain_entry *entry = chain_at(chain, i);
        uint64_t units = entry->valid ? chain_attempt_units(&entry->slot) : 0;

        if (!entry->valid) {
            continue;
        }
        if (entry->slot.kind == SLOT_TAKEOVER) {
            lost += open;
            open = true;
        } else if (entry->slot.kind == SLOT_REOPENED) {
            lost = 0;
            open = false;
        } else if (entry->slot.kind == SLOT_CHECKPOINT) {
            open = entry->slot.reason != SLOT_NOTICE;
        }
        if (units > most) {
            most = units;
            lost = 0;
        }
    }
    return lost;
}
