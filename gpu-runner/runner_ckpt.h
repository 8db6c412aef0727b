/*
 * Checkpoints of a job in its chain: blobs first, the slot last; the slot is the commit. Restoring
 * takes the newest checkpoint whose slot, progress and state are all whole, and says which ones it
 * had to pass over.
 * Thread: the main thread.
 */
#ifndef NERO_RUNNER_CKPT_H
#define NERO_RUNNER_CKPT_H

#include "nero/chain.h"
#include "nero/log.h"
#include "nero/progress.h"

#define RUNNER_CKPT_STATE "state" /* role of a blob */
#define RUNNER_CKPT_WEIGHTS "weights"

enum { RUNNER_CKPT_STATE_BYTES_MAX = 1 << 30 };

/* What every slot of one attempt carries. */
struct runner_ckpt_owner {
    uint64_t token;
    uint64_t nonce;
    int64_t redis_ms;
    bool has_restored_from;
    struct hash restored_from;
    const struct key_pair *key;
};

/* A slot with the owner's fields set, for runner_ckpt_commit and for terminal slots. */
struct slot runner_ckpt_slot(const struct runner_ckpt_owner *owner, enum slot_kind kind,
                             enum slot_reason reason);

/* Upload a blob and name it in the slot. Errors: those of chain_put_blob. */
enum nero_status runner_ckpt_add_blob(struct chain *chain, struct slot *slot, const char *role,
                                      struct bytes_view body, struct nero_err *err);

/*
 * Commit one checkpoint; *number is its slot. Errors: stale (overtaken), conflict (terminal), of
 * the store: then nothing was committed, and a blob that was uploaded is an orphan.
 */
enum nero_status runner_ckpt_commit(struct chain *chain, const struct runner_ckpt_owner *owner,
                                    enum slot_reason reason, const struct progress *progress,
                                    struct bytes_view state, uint64_t *number,
                                    struct nero_err *err);

/*
 * The newest whole checkpoint below `below` (NULL: any). *found is its slot; progress (initialised
 * by the caller) and state are replaced. `reading` is told of a
 * state's pieces; may be NULL. Damaged ones are logged by name and passed over; `passed`
 * counts them. Errors: not_found (there is none), no_memory, of the store.
 */
enum nero_status runner_ckpt_find(struct chain *chain, struct storage *store, const char *run,
                                  const struct chain_entry *below, const struct log_context *where,
                                  const struct storage_progress *reading, struct progress *progress,
                                  struct bytes *state, const struct chain_entry **found,
                                  uint32_t *passed, struct nero_err *err);

/* Name the slots that do not verify in the log. */
void runner_ckpt_log_damage(const struct chain *chain, const struct log_context *where);

#endif
