/*
 * A slot of a job's chain: create-only objects, dense from 0, that alone decide everything about a
 * job. Each binds the exact bytes of the one before it; slot 0 binds the job envelope. After a
 * terminal slot (final, failed, cancelled) only the scheduler may write, and only `reopened`.
 * In attempt mode (run.h) each attempt has a row of its own, and slot 0 of a row binds the slot of
 * another row that it continues, or the job envelope.
 * Stored form: codec/FORMAT.md ("slot"). A stored slot (envelope included) is at most 64 KiB.
 */
#ifndef NERO_SLOT_H
#define NERO_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/hash.h"

enum {
    SLOT_BYTES_MAX = 64 * 1024,
    SLOT_BODY_MAX = 60 * 1024,
    SLOT_BLOBS_MAX = 16,
    SLOT_SKIPPED_MAX = 64,
    SLOT_TEXT_BYTES = 256,
    SLOT_RUN_BYTES = 64 /* a run's name, NUL included, see layout_check_run */
};

enum slot_kind {
    SLOT_TAKEOVER = 1,
    SLOT_CHECKPOINT = 2,
    SLOT_FINAL = 3,     /* body: result record */
    SLOT_FAILED = 4,    /* for a cause in the job itself; text says which */
    SLOT_CANCELLED = 5, /* by the scheduler */
    SLOT_REOPENED = 6   /* by the scheduler, after failed or cancelled */
};

enum slot_reason { SLOT_INTERVAL = 1, SLOT_NOTICE = 2, SLOT_MANUAL = 3, SLOT_END = 4 };

struct slot_blob {
    char role[16]; /* "state", "weights" */
    struct hash hash;
    uint64_t bytes;
};

struct slot {
    char run[SLOT_RUN_BYTES];
    struct hash job;
    uint64_t number;
    enum slot_kind kind;
    uint64_t token;         /* fencing token: epoch << 32 | counter */
    uint64_t nonce;         /* of the claim; 0 from the scheduler */
    struct hash prev;       /* hash of the stored bytes of the previous valid slot, or of the job */
    uint32_t skipped_count; /* damaged slots between that one and this */
    uint64_t skipped[SLOT_SKIPPED_MAX]; /* ascending, below `number` */
    bool has_restored_from;     /* the checkpoint this attempt started from, on a fall-back too */
    struct hash restored_from;  /* its stored bytes */
    int64_t wall_ms;            /* informative */
    int64_t redis_ms;           /* informative; 0 without Redis */
    enum slot_reason reason;    /* checkpoint; 0 allowed elsewhere */
    char text[SLOT_TEXT_BYTES]; /* failed, cancelled: why */
    uint32_t blob_count;
    struct slot_blob blobs[SLOT_BLOBS_MAX];
    struct bytes_view
        body; /* checkpoint: progress; final: result; else empty. A view, never owned */
};

enum nero_status slot_encode(const struct slot *slot, struct bytes *out, struct nero_err *err);
/* out->body is a view into `bytes`. */
enum nero_status slot_decode(struct bytes_view bytes, struct slot *out, struct nero_err *err);

bool slot_is_terminal(enum slot_kind kind);
const char *slot_kind_name(enum slot_kind kind);
const char *slot_reason_name(enum slot_reason reason); /* "" for 0 */

#endif
