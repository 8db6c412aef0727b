/*
 * Collection of blobs that nothing needs any longer. queue/DESIGN.md, "Collection", says what is
 * kept and why no runner can lose what it needs.
 *
 * In this order: list the blobs; read all jobs and chains; name what is not kept in signed records;
 * remove what such a record named a grace ago, and is still not kept. Slots and all other records
 * are never touched. Killed anywhere it may be repeated.
 */
#ifndef NERO_GC_H
#define NERO_GC_H

#include "nero/keys.h"
#include "nero/storage.h"

struct gc_options {
    bool dry_run; /* write and remove nothing */
    int64_t grace_ms;
    int64_t now_ms; /* wall clock */
};

struct gc_report {
    uint64_t jobs;
    uint64_t unfinished; /* of them: all their blobs are kept, and blobs that no slot names */
    uint64_t blobs, blob_bytes;
    uint64_t unneeded, unneeded_bytes; /* of the blobs */
    uint64_t named;                    /* of the unneeded, in a new record */
    uint64_t removed, removed_bytes;
};

/*
 * run_key NULL with dry_run. Errors: not_found (no such run), corrupt (a job cannot be read, so
 * nobody can tell what it needs: audit), conflict (another collection at the same moment), denied,
 * unavailable; what was removed until then stands in a record.
 */
enum nero_status gc_run(struct storage *store, const char *run, const struct key_public *root,
                        const struct key_pair *run_key, const struct gc_options *options,
                        struct gc_report *out, struct nero_err *err);

#endif
