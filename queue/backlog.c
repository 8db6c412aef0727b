/* The entries: kept in order, found by job, counted by state. */
#include "nero/backlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backlog_impl.h"
#include "nero/layout.h"
#include "nero/mem.h"

/* ---- entries ---- */

/* A job id is a hash: any 8 bytes of it are as good as random. */
static size_t place_of(const struct backlog *backlog, const struct hash *job)
{
    size_t at = (size_t)bytes_get_u64le(job->data) & (backlog->table_size - 1);

    while (backlog->table[at] != 0 &&
           !hash_equal(&backlog->entries[backlog->table[at] - 1].job, job)) {
        at = (at + 1) & (backlog->table_size - 1);
    }
    return at;
}

static enum nero_status grow_table(struct backlog *backlog, struct nero_err *err)
{
    size_t size = backlog->table_size > 0 ? 2 * backlog->table_size : 128;
    uint32_t *table = mem_calloc(size, sizeof *table);

    if (table == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %zu submitted jobs", size / 2);
    }
    free(backlog->table);
    backlog->table = table;
    backlog->table_size = size;
    for (size_t i = 0; i < backlog->count; i++) {
        table[place_of(backlog, &backlog->entries[i].job)] = (uint32_t)i + 1;
    }
    return NERO_OK;
}

static enum nero_status add_entry(struct backlog *backlog, const struct backlog_entry *entry,
                                  struct nero_err *err)
{
    struct backlog_entry *added;

    if (backlog->count == backlog->capacity) {
        size_t capacity = backlog->capacity > 0 ? 2 * backlog->capacity : 64;
        struct backlog_entry *entries =
            mem_realloc_array(backlog->entries, capacity, sizeof *entries);

        if (entries == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for %zu submitted jobs", capacity);
        }
        backlog->entries = entries;
        backlog->capacity = capacity;
    }
    if (2 * (backlog->count + 1) > backlog->table_size && grow_table(backlog, err) != NERO_OK) {
        return err->status;
    }
    added = &backlog->entries[backlog->count];
    *added = *entry;
    added->state = BACKLOG_DONE;
    backlog->table[place_of(backlog, &entry->job)] = (uint32_t)++backlog->count;
    backlog_set(backlog, added, BACKLOG_WAITING);
    return NERO_OK;
}

void backlog_set(struct backlog *backlog, struct backlog_entry *entry, enum backlog_state state)
{
    size_t index = (size_t)(entry - backlog->entries);

    backlog->waiting[entry->priority] -= entry->state == BACKLOG_WAITING;
    backlog->waiting[entry->priority] += state == BACKLOG_WAITING;
    if (state == BACKLOG_WAITING && index < backlog->cursor[entry->priority]) {
        backlog->cursor[entry->priority] = index;
    }
    entry->state = (uint8_t)state;
}

const struct backlog_entry *backlog_find(const struct backlog *backlog, const struct hash *job)
{
    size_t at;

    if (backlog->table_size == 0) {
        return NULL;
    }
    at = place_of(backlog, job);
    return backlog->table[at] != 0 ? &backlog->entries[backlog->table[at] - 1] : NULL;
}

struct backlog_entry *backlog_entry_of(struct backlog *backlog, const struct hash *job)
{
    const struct backlog_entry *entry = backlog_find(backlog, job);

    return entry != NULL ? &backlog->entries[entry - backlog->entries] : NULL;
}

size_t backlog_count(const struct backlog *backlog)
{
    return backlog->count;
}

const struct backlog_entry *backlog_at(const struct backlog *backlog, size_t index)
{
    return &backlog->entries[index];
}

uint64_t backlog_waiting(const struct backlog *backlog)
{
    uint64_t waiting = 0;

    for (uint32_t i = 0; i < QUEUE_PRIORITIES; i++) {
        waiting += backlog->waiting[i];
    }
    return waiting;
}

/* ---- opening ---- */

enum nero_status backlog_open(struct storage *store, struct trust *trust, struct backlog **out,
                              struct nero_err *err)
{
    struct backlog *backlog = mem_calloc(1, sizeof *backlog);

    if (backlog == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a backlog");
    }
    backlog->store = store;
    backlog->trust = trust;
    backlog->run = trust_run(trust)->name;
    if (backlog_read_batches(backlog, err) != NERO_OK ||
        backlog_read_results(backlog, err) != NERO_OK) {
        backlog_close(backlog);
        return err_wrap(err, "read the submissions of run %s", trust_run(trust)->name);
    }
    *out = backlog;
    return NERO_OK;
}

void backlog_close(struct backlog *backlog)
{
    if (backlog != NULL) {
        free(backlog->entries);
        free(backlog->table);
        free(backlog);
    }
}

/* ---- recording ---- */

enum nero_status backlog_take_batch(struct backlog *backlog, const struct run_batch *batch,
                                    bool looked, struct nero_err *err)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        struct backlog_entry entry = {.job = batch->jobs[i].job,
                                      .order = batch->number * RUN_BATCH_JOBS_MAX + i,
                                      .not_before_ms = batch->jobs[i].not_before_ms,
                                      .priority = batch->jobs[i].priority,
                                      .looked = looked};

        if (backlog_entry_of(backlog, &entry.job) == NULL &&
            add_entry(backlog, &entry, err) != NERO_OK) {
            return err->status;
        }
    }
    backlog->next_batch = batch->number + 1;
    return NERO_OK;
}

static enum nero_status write_batch(struct backlog *backlog, const struct key_pair *run_key,
                                    const struct run_batch *batch, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    enum nero_status status;

    layout_batch(key, backlog->run, batch->number);
    bytes_init(&payload, ENVELOPE_BYTES_MAX);
    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    status = run_batch_encode(batch, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_BATCH, bytes_as_view(&payload), run_key, &stored, err);
    }
    if (status == NERO_OK) {
        status = storage_create_once(backlog->store, key, bytes_as_view(&stored), err);
    }
    bytes_fini(&payload);
    bytes_fini(&stored);
    return status;
}

static bool is_in(const struct run_batch *batch, const struct hash *job)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (hash_equal(&batch->jobs[i].job, job)) {
            return true;
        }
    }
    return false;
}

/* The first of `jobs` that are in no batch, at most a batch of them. Equal candidates share one. */
static void gather_new(struct backlog *backlog, const struct run_batch_job *jobs, uint32_t count,
                       struct run_batch *batch)
{
    batch->count = 0;
    batch->number = backlog->next_batch;
    for (uint32_t i = 0; i < count && batch->count < RUN_BATCH_JOBS_MAX; i++) {
        if (backlog_find(backlog, &jobs[i].job) == NULL && !is_in(batch, &jobs[i].job)) {
            batch->jobs[batch->count++] = jobs[i];
        }
    }
}

enum nero_status backlog_record(struct backlog *backlog, const struct key_pair *run_key,
                                const struct run_batch_job *jobs, uint32_t count,
                                struct nero_err *err)
{
    struct run_batch batch = {.jobs = mem_calloc(RUN_BATCH_JOBS_MAX, sizeof *batch.jobs)};
    enum nero_status status = NERO_OK;

    if (batch.jobs == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a batch of jobs");
    }
    (void)snprintf(batch.run, sizeof batch.run, "%s", backlog->run);
    gather_new(backlog, jobs, count, &batch);
    while (batch.count > 0 && status == NERO_OK) {
        status = write_batch(backlog, run_key, &batch, err);
        if (status == NERO_OK) {
            status = backlog_take_batch(backlog, &batch, true, err);
        } else if (status == NERO_EXISTS) { /* a former leader's last words */
            status = backlog_read_batch(backlog, batch.number, err);
        }
        gather_new(backlog, jobs, count, &batch);
    }
    free(batch.jobs);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "record a batch of jobs");
}

/* ---- what is learnt of a job ---- */

void backlog_note_open(struct backlog *backlog, const struct hash *job, bool begun, uint32_t lost)
{
    struct backlog_entry *entry = backlog_entry_of(backlog, job);

    if (entry != NULL) {
        entry->looked = true;
        entry->begun = begun;
        entry->lost = (uint8_t)(lost < QUEUE_LOST_LEASES_MAX ? lost : QUEUE_LOST_LEASES_MAX);
        if (entry->state == BACKLOG_DONE) { /* reopened, or listed without having ended */
            backlog_set(backlog, entry, BACKLOG_WAITING);
        }
    }
}

void backlog_note_done(struct backlog *backlog, const struct hash *job)
{
    struct backlog_entry *entry = backlog_entry_of(backlog, job);

    if (entry != NULL) {
        backlog_set(backlog, entry, BACKLOG_DONE);
    }
}

void backlog_note_lost(struct backlog *backlog, const struct hash *job)
{
    struct backlog_entry *entry = backlog_entry_of(backlog, job);

    if (entry != NULL && entry->state == BACKLOG_QUEUED) {
        backlog_set(backlog, entry, BACKLOG_WAITING);
    }
}
