/*
 * Inside of the backlog, shared by its sources: backlog.c holds the entries, backlog_read.c reads
 * the bucket, backlog_fill.c fills Redis.
 */
#ifndef NERO_BACKLOG_IMPL_H
#define NERO_BACKLOG_IMPL_H

#include "ahead.h"
#include "nero/backlog.h"

/* Invariant: waiting[p] entries of priority p are WAITING, none of them below cursor[p]. */
struct backlog {
    struct storage *store;
    struct trust *trust;
    const char *run;
    uint64_t next_batch;
    struct backlog_entry *entries; /* by order; grows by doubling */
    size_t count;
    size_t capacity;
    uint32_t *table; /* open addressing by job; entry + 1, 0: free; at most half full */
    size_t table_size;
    uint64_t waiting[QUEUE_PRIORITIES];
    size_t cursor[QUEUE_PRIORITIES];
    uint64_t envelope_bytes; /* of the jobs queued so far, for their mean size */
    uint64_t envelope_count;
};

struct backlog_entry *backlog_entry_of(struct backlog *backlog, const struct hash *job);
void backlog_set(struct backlog *backlog, struct backlog_entry *entry, enum backlog_state state);

/* The jobs of a batch that has just been read or written; those known already are passed over. */
enum nero_status backlog_take_batch(struct backlog *backlog, const struct run_batch *batch,
                                    bool looked, struct nero_err *err);

/* Nothing is added to the window until a quarter of it has run empty, so that jobs are read in
 * numbers. */
bool backlog_is_full(uint64_t envelope_bytes, uint64_t window_bytes);

/* ---- backlog_read.c ---- */

enum nero_status backlog_read_batches(struct backlog *backlog, struct nero_err *err);
/* One batch. Errors: not_found at the end of the dense sequence. */
enum nero_status backlog_read_batch(struct backlog *backlog, uint64_t number, struct nero_err *err);
/* Jobs whose result is listed are DONE. The list has no authority: a job that was listed and has
 * not ended is waited for by the search, which asks the chain and notes it open. */
enum nero_status backlog_read_results(struct backlog *backlog, struct nero_err *err);

/* Entries by number, each with its envelope and, where it was not looked at, its chain. `take`
 * sees entries that have ended as DONE. */
typedef enum nero_status backlog_take_fn(void *context, struct backlog_entry *entry,
                                         struct bytes *envelope, bool *stop, struct nero_err *err);
enum nero_status backlog_read_jobs(struct backlog *backlog, const uint32_t *numbers, size_t count,
                                   backlog_take_fn *take, void *context, struct nero_err *err);

#endif
