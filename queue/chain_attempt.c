/* Attempt mode: a row of slots for each attempt of a job. Rules in queue/DESIGN.md. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "chain_impl.h"
#include "nero/progress.h"

uint64_t chain_attempt_units(const struct slot *slot)
{
    struct progress progress;
    struct nero_err ignored;
    uint64_t units = 0;

    progress_init(&progress);
    if (slot->kind == SLOT_CHECKPOINT &&
        progress_decode(slot->body, &progress, &ignored) == NERO_OK) {
        units = progress.units;
    }
    progress_fini(&progress);
    return units;
}

/* ---- reading ---- */

/* "<prefix><token>-<nonce>/<number>"; what is spelled otherwise is no slot. */
static enum nero_status note_row(void *context, const char *key, uint64_t bytes,
                                 struct nero_err *err)
{
    struct chain *chain = context;
    char prefix[LAYOUT_KEY_BYTES];
    char again[LAYOUT_KEY_BYTES];
    struct chain_row *row;
    char *end;
    uint64_t token;
    uint64_t nonce;

    (void)bytes;
    layout_attempts(prefix, chain->run, &chain->job);
    token = strtoull(key + strlen(prefix), &end, 16);
    nonce = *end == '-' ? strtoull(end + 1, &end, 16) : 0;
    layout_attempt_slot(again, chain->run, &chain->job, token, nonce,
                        *end == '/' ? strtoull(end + 1, NULL, 10) : 0);
    return strcmp(key, again) == 0 ? chain_row_of(chain, token, nonce, &row, err) : NERO_OK;
}

enum nero_status chain_attempt_refresh(struct chain *chain, struct nero_err *err)
{
    char prefix[LAYOUT_KEY_BYTES];
    enum nero_status status;

    layout_attempts(prefix, chain->run, &chain->job);
    status = storage_list_each(chain->store, prefix, note_row, chain, err);
    /* What a row continues was there before the listing that shows the row: it is read here too. */
    for (size_t i = 0; i < chain->row_count && status == NERO_OK; i++) {
        if (!chain->rows[i]->ours) {
            status = chain_refresh_row(chain, chain->rows[i], err);
        }
    }
    return status;
}

/* ---- looking ---- */

static const struct chain_entry *newest_final(const struct chain *chain)
{
    for (size_t i = chain->row_count; i-- > 0;) {
        const struct chain_entry *tail = chain_row_tail(chain->rows[i]);

        if (tail != NULL && tail->slot.kind == SLOT_FINAL) {
            return tail;
        }
    }
    return NULL;
}

const struct chain_entry *chain_attempt_terminal(const struct chain *chain)
{
    const struct chain_entry *final = newest_final(chain);
    bool taken_over = false; /* by an attempt of a higher row */

    for (size_t i = chain->row_count; i-- > 0 && final == NULL;) {
        const struct chain_entry *tail = chain_row_tail(chain->rows[i]);

        if (tail == NULL) {
            continue;
        }
        if (chain->rows[i]->nonce == 0) {
            return slot_is_terminal(tail->slot.kind) ? tail : NULL;
        }
        if (tail->slot.kind == SLOT_FAILED && !taken_over) {
            return tail;
        }
        taken_over = true;
    }
    return final;
}

struct hash chain_attempt_base(const struct chain *chain, bool control)
{
    const struct chain_entry *base = control ? chain_tail(chain) : chain_checkpoint(chain, NULL);

    return base != NULL ? base->hash : chain->job_stored;
}

/* ---- writing ---- */

static enum nero_status put(struct chain *chain, const struct chain_record *record,
                            struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];

    chain_slot_key(chain, record->row, record->entry.number, key);
    return storage_put(chain->store, key, record->entry.stored, err);
}

/*
 * Put `record` as the row's next, and take it. unknown: it may be there, so that nothing else may
 * ever be put at its number: it is kept, to be put again.
 */
static enum nero_status put_next(struct chain *chain, struct chain_row *row,
                                 struct chain_record *record, struct nero_err *err)
{
    bool may_be_there = row->pending != NULL; /* `record` itself, or its bytes */
    enum nero_status status = put(chain, record, err);

    if (row->pending != record) {
        chain_record_destroy(row->pending);
    }
    row->pending = NULL;
    if (status == NERO_OK) {
        row->ours = chain_admit(chain, row, record, err) == NERO_OK; /* else it is read again */
        return row->ours ? NERO_OK : err->status;
    }
    if (may_be_there || status == NERO_UNKNOWN) {
        row->pending = record;
        err->status = NERO_UNKNOWN;
        return NERO_UNKNOWN;
    }
    chain_record_destroy(record);
    return status;
}

static bool is_same(const struct chain_record *a, const struct chain_record *b)
{
    return bytes_view_equal(a->entry.stored, b->entry.stored);
}

enum nero_status chain_attempt_row(struct chain *chain, const struct slot *slot, bool control,
                                   struct chain_row **out, struct nero_err *err)
{
    if (chain_attempt_refresh(chain, err) != NERO_OK) {
        return err->status;
    }
    return chain_row_of(chain, control ? chain_control_token(chain, slot) : slot->token,
                        control ? 0 : slot->nonce, out, err);
}

enum nero_status chain_attempt_append(struct chain *chain, struct chain_row *row,
                                      const struct slot *slot, const struct key_pair *signer,
                                      const struct chain_entry **out, struct nero_err *err)
{
    struct chain_record *record;
    bool done = false;

    while (!done) {
        if (chain_make(chain, row, slot, false, signer, &record, err) != NERO_OK) {
            return err->status;
        }
        done = row->pending == NULL || is_same(row->pending, record);
        if (!done) { /* first what may be there already */
            chain_record_destroy(record);
            record = row->pending;
        }
        row->ours = true; /* from the first try on */
        if (put_next(chain, row, record, err) != NERO_OK) {
            return err->status;
        }
    }
    if (out != NULL) {
        *out = &row->records[row->count - 1]->entry;
    }
    return NERO_OK;
}
