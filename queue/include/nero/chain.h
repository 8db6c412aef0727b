/*
 * A job's chain of slots in the bucket: read and verified from slot 0, appended create-only. It
 * decides everything; queue/DESIGN.md says why no two attempts can both believe they own a job and
 * both commit.
 *
 * In attempt mode (the run record says so) the chain is several rows of slots, one an attempt, and
 * may fork; what follows means all of them together.
 *
 * Rules (DESIGN 7): a slot that does not verify is skipped and listed by the next valid one; a
 * claimant that meets a higher token, or an equal one with another nonce, is the zombie and stops
 * before any takeover; a late slot of a lower token is adopted and the next number tried; after a
 * terminal slot only the scheduler may write, and only `reopened`.
 * Thread: one thread uses a chain.
 */
#ifndef NERO_CHAIN_H
#define NERO_CHAIN_H

#include "nero/layout.h"
#include "nero/slot.h"
#include "nero/storage.h"
#include "nero/trust.h"

struct chain;

enum { CHAIN_KEPT_CHECKPOINTS = 3 /* newest ones whose blobs collection keeps */ };

/* One slot as found. `stored` and slot.body stay valid for the chain's life. */
struct chain_entry {
    uint64_t number;
    bool valid;
    bool by_scheduler;
    struct key_id signer;
    struct hash hash; /* of the stored bytes */
    struct bytes_view stored;
    struct slot slot; /* when valid */
    char fault[160];  /* when not: why */
};

/* `job_envelope`: the stored signed job; its hash is slot 0's prev. The caller has verified it (run
 * key, id): a forged one would start a chain that nobody else follows. `store` and `trust` are
 * borrowed. */
enum nero_status chain_open(struct storage *store, struct trust *trust, const struct hash *job,
                            struct bytes_view job_envelope, struct chain **out,
                            struct nero_err *err);
void chain_close(struct chain *chain);

/* Read slots that others have appended since. */
enum nero_status chain_refresh(struct chain *chain, struct nero_err *err);

uint64_t chain_count(const struct chain *chain); /* slots, damaged ones included */
/* In order of rows (by token, the scheduler's last; nonce), of numbers in each. */
const struct chain_entry *chain_at(const struct chain *chain, uint64_t index);
/* The slot with these stored bytes; NULL: none. */
const struct chain_entry *chain_find(const struct chain *chain, const struct hash *stored);
/* Its object's key. */
void chain_key(const struct chain *chain, const struct chain_entry *entry,
               char out[LAYOUT_KEY_BYTES]);
const struct chain_entry *chain_tail(const struct chain *chain); /* newest valid; NULL: none */
/* The terminal slot in force (final, failed, cancelled and not reopened); NULL: none. */
const struct chain_entry *chain_terminal(const struct chain *chain);
/* The valid checkpoint to go on from: the newest below `below` (NULL: any); NULL: none. In attempt
 * mode the newest is that of the most units done. */
const struct chain_entry *chain_checkpoint(const struct chain *chain,
                                           const struct chain_entry *below);

/*
 * Attempts that another one replaced, since the units of a checkpoint last grew or the job was
 * reopened; those that gave it back with a checkpoint on notice aside. What Redis counts as leases
 * lost without progress, but for the last attempt, which may live, and for releases that left no
 * slot, which look like losses here.
 */
uint32_t chain_lost_attempts(const struct chain *chain);

/* Whether the blobs that a slot names must be there: all but those of a final job's checkpoints
 * that CHAIN_KEPT_CHECKPOINTS newer ones follow. */
bool chain_keeps_blobs(const struct chain *chain, const struct chain_entry *entry);

#define CHAIN_EPOCH_TOKEN(epoch) ((uint64_t)(epoch) << 32) /* below all tokens given in it */

/*
 * Append. The caller sets kind, token, nonce, reason, text, blobs, body, restored_from; run, job,
 * number, prev, skipped and wall_ms are filled here. For the scheduler's failed, cancelled and
 * reopened the token is CHAIN_EPOCH_TOKEN, and it and the nonce are filled. Resolves a 412 and an
 * unknown outcome by reading.
 * `out` may be NULL. Errors: stale (overtaken by a claim, or by a later leader's epoch: stop at
 * once, touch nothing); conflict (terminal already; nothing to reopen); unknown (repeat the call
 * with the same slot); unavailable; invalid (no takeover before; a field beyond its limit); denied
 * (certificate missing or expired).
 */
enum nero_status chain_append(struct chain *chain, const struct slot *slot,
                              const struct key_pair *signer, const struct chain_entry **out,
                              struct nero_err *err);

/* Takeover with the claim's token and nonce: after it all older holders are fenced. */
enum nero_status chain_takeover(struct chain *chain, uint64_t token, uint64_t nonce,
                                int64_t redis_ms, const struct key_pair *signer,
                                struct nero_err *err);

/*
 * Blobs by content. put: skips what the chain's kept manifests name (DESIGN 7). get: hashed while
 * it is read in pieces (storage_get_content); corrupt when the bytes are others. Appends to `out`,
 * which is unchanged on failure. `progress` may be NULL.
 */
enum nero_status chain_put_blob(struct chain *chain, struct bytes_view body, struct hash *out,
                                struct nero_err *err);
enum nero_status chain_get_blob(struct storage *store, const char *run, const struct hash *blob,
                                uint64_t bytes_max, const struct storage_progress *progress,
                                struct bytes *out, struct nero_err *err);

#endif
