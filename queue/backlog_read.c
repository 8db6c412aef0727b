/* What the bucket tells: batches, the list of results, envelopes and chains. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backlog_impl.h"
#include "nero/chain.h"
#include "nero/layout.h"
#include "nero/mem.h"

enum {
    JOB_STORED_BYTES_MAX = JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX,
    RESULT_FOLDERS = 256,   /* result/<hh>/ */
    RESULT_SPLIT_MIN = 2000 /* jobs from which on the folders are listed side by side */
};

/* ---- batches ---- */

static enum nero_status get_batch(struct backlog *backlog, uint64_t number, struct bytes *out,
                                  struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];

    layout_batch(key, backlog->run, number);
    return storage_get(backlog->store, key, out, NULL, err);
}

static enum nero_status take_batch(struct backlog *backlog, uint64_t number,
                                   struct bytes_view stored, struct nero_err *err)
{
    struct bytes_view payload;
    struct run_batch batch;
    enum nero_status status =
        trust_open_run_envelope(backlog->trust, stored, ENVELOPE_BATCH, &payload, err);

    if (status == NERO_OK) {
        status = run_batch_decode(payload, &batch, err);
    }
    if (status != NERO_OK) {
        return err_wrap(err, "batch %" PRIu64, number);
    }
    if (batch.number != number || strcmp(batch.run, backlog->run) != 0) {
        status = err_set(err, NERO_CORRUPT, 0, "batch %" PRIu64 " is batch %" PRIu64 " of run %s",
                         number, batch.number, batch.run);
    } else {
        status = backlog_take_batch(backlog, &batch, false, err);
    }
    run_batch_fini(&batch);
    return status;
}

enum nero_status backlog_read_batch(struct backlog *backlog, uint64_t number, struct nero_err *err)
{
    struct bytes stored;
    enum nero_status status;

    bytes_init(&stored, ENVELOPE_BYTES_MAX);
    status = get_batch(backlog, number, &stored, err);
    if (status == NERO_OK) {
        status = take_batch(backlog, number, bytes_as_view(&stored), err);
    }
    bytes_fini(&stored);
    return status;
}

static enum nero_status read_ahead(void *context, unsigned worker, uint64_t index,
                                   struct ahead_item *item, struct nero_err *err)
{
    (void)worker;
    return get_batch(context, index, &item->body, err);
}

static enum nero_status take_ahead(void *context, uint64_t index, struct ahead_item *item,
                                   bool *stop, struct nero_err *err)
{
    (void)stop;
    if (item->status != NERO_OK) {
        *err = item->err;
        return err_wrap(err, "batch %" PRIu64, index);
    }
    return take_batch(context, index, bytes_as_view(&item->body), err);
}

/* Counts the keys as long as they are dense. */
static enum nero_status count_batch(void *context, const char *key, uint64_t bytes,
                                    struct nero_err *err)
{
    uint64_t *count = context;
    const char *slash = strrchr(key, '/');

    (void)bytes;
    (void)err;
    *count += slash != NULL && strtoull(slash + 1, NULL, 10) == *count;
    return NERO_OK;
}

/* "runs/<run>/q/", of a key below it. */
static void cut_to_folder(char key[LAYOUT_KEY_BYTES])
{
    strrchr(key, '/')[1] = '\0';
}

enum nero_status backlog_read_batches(struct backlog *backlog, struct nero_err *err)
{
    struct ahead ahead = {.context = backlog,
                          .bytes_max = ENVELOPE_BYTES_MAX,
                          .read = read_ahead,
                          .take = take_ahead};
    char key[LAYOUT_KEY_BYTES];

    layout_batch(key, backlog->run, 0);
    cut_to_folder(key);
    if (storage_list_each(backlog->store, key, count_batch, &ahead.count, err) != NERO_OK) {
        return err_wrap(err, "list the batches");
    }
    return ahead_run(&ahead, err);
}

/* ---- results ---- */

struct listing {
    struct bytes *out; /* hashes, one after the other */
};

static enum nero_status note_result(void *context, const char *key, uint64_t bytes,
                                    struct nero_err *err)
{
    struct listing *listing = context;
    struct hash job;
    struct nero_err ignored;

    (void)bytes;
    if (hash_from_hex(&job, strrchr(key, '/') + 1, &ignored) != NERO_OK) {
        return NERO_OK; /* nothing of ours */
    }
    return bytes_append(listing->out, job.data, sizeof job.data, err);
}

static enum nero_status list_results(const struct backlog *backlog, const char *prefix,
                                     struct bytes *out, struct nero_err *err)
{
    struct listing listing = {.out = out};

    return storage_list_each(backlog->store, prefix, note_result, &listing, err);
}

static void note_listed(struct backlog *backlog, struct bytes_view jobs)
{
    struct hash job;

    for (size_t at = 0; at + sizeof job.data <= jobs.bytes; at += sizeof job.data) {
        memcpy(job.data, jobs.data + at, sizeof job.data);
        backlog_note_done(backlog, &job);
    }
}

static enum nero_status read_results(void *context, unsigned worker, uint64_t index,
                                     struct ahead_item *item, struct nero_err *err)
{
    const struct backlog *backlog = context;
    struct hash first = {.data = {(uint8_t)index}};
    char key[LAYOUT_KEY_BYTES];

    (void)worker;
    layout_result(key, backlog->run, &first);
    cut_to_folder(key);
    return list_results(backlog, key, &item->body, err);
}

static enum nero_status take_results(void *context, uint64_t index, struct ahead_item *item,
                                     bool *stop, struct nero_err *err)
{
    (void)index;
    (void)stop;
    if (item->status != NERO_OK) {
        *err = item->err;
        return err_wrap(err, "list the results");
    }
    note_listed(context, bytes_as_view(&item->body));
    return NERO_OK;
}

enum nero_status backlog_read_results(struct backlog *backlog, struct nero_err *err)
{
    struct ahead ahead = {.context = backlog,
                          .count = RESULT_FOLDERS,
                          .bytes_max = SIZE_MAX / 2,
                          .read = read_results,
                          .take = take_results};
    struct hash zero = {.data = {0}};
    char key[LAYOUT_KEY_BYTES];
    struct bytes jobs;
    enum nero_status status;

    if (backlog->count >= RESULT_SPLIT_MIN) {
        return ahead_run(&ahead, err);
    }
    layout_result(key, backlog->run, &zero);
    cut_to_folder(key);
    key[strlen(key) - strlen("00/")] = '\0'; /* all folders at once */
    bytes_init(&jobs, SIZE_MAX / 2);
    status = list_results(backlog, key, &jobs, err);
    if (status == NERO_OK) {
        note_listed(backlog, bytes_as_view(&jobs));
    }
    bytes_fini(&jobs);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "list the results");
}

/* ---- jobs ---- */

/* Each worker believes by a trust of its own: one thread uses a trust. */
struct job_reader {
    struct backlog *backlog;
    const uint32_t *numbers;
    struct trust *trusts[AHEAD_THREADS];
    backlog_take_fn *take;
    void *context;
};

/* What a look at the chain told; the word of an ahead_item. */
enum { LOOK_NONE = 0, LOOK_FRESH, LOOK_ENDED, LOOK_BEGUN /* and its lost attempts */ };

static enum nero_status own_trust(struct job_reader *reader, unsigned worker, struct trust **out,
                                  struct nero_err *err)
{
    const struct backlog *backlog = reader->backlog;
    struct trust *trust = reader->trusts[worker];

    if (trust == NULL) {
        if (trust_open(backlog->store, backlog->run, NULL, &trust, err) != NERO_OK) {
            return err->status;
        }
        reader->trusts[worker] = trust;
    }
    if (memcmp(trust_run_key(trust)->data, trust_run_key(backlog->trust)->data, KEY_PUBLIC_BYTES) !=
        0) {
        return err_set(err, NERO_DENIED, 0, "the record of run %s names another key than before",
                       backlog->run);
    }
    *out = trust;
    return NERO_OK;
}

static enum nero_status look_at_chain(struct job_reader *reader, unsigned worker,
                                      const struct hash *job, struct bytes_view envelope,
                                      int64_t *look, struct nero_err *err)
{
    struct trust *trust = NULL;
    struct chain *chain;
    const struct chain_entry *tail;

    if (own_trust(reader, worker, &trust, err) != NERO_OK ||
        chain_open(reader->backlog->store, trust, job, envelope, &chain, err) != NERO_OK) {
        return err->status;
    }
    tail = chain_tail(chain);
    if (chain_terminal(chain) != NULL) {
        *look = LOOK_ENDED;
    } else {
        *look = tail != NULL && !tail->by_scheduler ? LOOK_BEGUN + chain_lost_attempts(chain)
                                                    : LOOK_FRESH;
    }
    chain_close(chain);
    return NERO_OK;
}

static enum nero_status read_job(void *context, unsigned worker, uint64_t index,
                                 struct ahead_item *item, struct nero_err *err)
{
    struct job_reader *reader = context;
    const struct backlog *backlog = reader->backlog;
    const struct backlog_entry *entry = &backlog->entries[reader->numbers[index]];
    char key[LAYOUT_KEY_BYTES];
    enum nero_status status;

    layout_spec(key, backlog->run, &entry->job);
    status = storage_get(backlog->store, key, &item->body, NULL, err);
    if (status == NERO_NOT_FOUND) {
        return err_set(err, NERO_CORRUPT, 0, "its spec is not in the store");
    }
    item->tag = LOOK_NONE;
    if (status == NERO_OK && !entry->looked) {
        status =
            look_at_chain(reader, worker, &entry->job, bytes_as_view(&item->body), &item->tag, err);
    }
    return status;
}

static enum nero_status take_job(void *context, uint64_t index, struct ahead_item *item, bool *stop,
                                 struct nero_err *err)
{
    struct job_reader *reader = context;
    struct backlog_entry *entry = &reader->backlog->entries[reader->numbers[index]];

    if (item->status != NERO_OK) {
        char hex[HASH_HEX_BYTES];

        *err = item->err;
        hash_to_hex(hex, &entry->job);
        return err_wrap(err, "read job %.12s", hex);
    }
    if (item->tag == LOOK_ENDED) {
        backlog_set(reader->backlog, entry, BACKLOG_DONE);
    } else if (item->tag != LOOK_NONE) {
        bool begun = item->tag >= LOOK_BEGUN;

        backlog_note_open(reader->backlog, &entry->job, begun,
                          begun ? (uint32_t)(item->tag - LOOK_BEGUN) : 0);
    }
    return reader->take(reader->context, entry, &item->body, stop, err);
}

enum nero_status backlog_read_jobs(struct backlog *backlog, const uint32_t *numbers, size_t count,
                                   backlog_take_fn *take, void *context, struct nero_err *err)
{
    struct job_reader reader = {
        .backlog = backlog, .numbers = numbers, .take = take, .context = context};
    struct ahead ahead = {.context = &reader,
                          .count = count,
                          .bytes_max = JOB_STORED_BYTES_MAX,
                          .read = read_job,
                          .take = take_job};
    enum nero_status status = ahead_run(&ahead, err);

    for (unsigned i = 0; i < AHEAD_THREADS; i++) {
        trust_close(reader.trusts[i]);
    }
    return status;
}
