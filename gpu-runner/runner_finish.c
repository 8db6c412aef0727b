#include "runner_finish.h"

#include <string.h>

enum { LIFE_MS_MAX = 24 * 3600 * 1000 };

/* Optimiser updates of a checkpoint slot; 0 when it cannot be read. */
static uint64_t updates_of(const struct chain_entry *entry)
{
    struct progress progress;
    struct nero_err ignored;
    uint64_t updates = 0;

    progress_init(&progress);
    if (progress_decode(entry->slot.body, &progress, &ignored) == NERO_OK) {
        updates = progress.updates;
    }
    progress_fini(&progress);
    return updates;
}

/* Committed updates that an attempt which started from the slot `from` did again. */
static uint64_t redone(const struct chain *chain, uint64_t high, bool has_from,
                       const struct hash *from)
{
    const struct chain_entry *entry = has_from ? chain_find(chain, from) : NULL;
    uint64_t base = entry != NULL && entry->valid ? updates_of(entry) : 0;

    return high > base ? high - base : 0;
}

static void count_takeover(const struct chain_entry *entry, int64_t last_ms,
                           struct result_provenance *out)
{
    if (out->attempts == 0) {
        out->started_ms = entry->slot.wall_ms;
    } else if (entry->slot.wall_ms > last_ms) {
        out->seconds_lost += (double)(entry->slot.wall_ms - last_ms) * 1e-3;
    }
    out->attempts++;
    if (out->token_count < RESULT_TOKENS_MAX) {
        out->tokens[out->token_count++] = entry->slot.token;
    }
}

void runner_finish_provenance(const struct chain *chain, const struct runner_ckpt_owner *owner,
                              const struct progress *progress, double images_per_second,
                              int64_t now_ms, struct result_provenance *out)
{
    uint64_t count = chain_count(chain);
    uint64_t high = 0;  /* updates committed so far */
    bool fresh = false; /* no checkpoint since the newest takeover */
    int64_t last_ms = 0;

    *out = (struct result_provenance){.started_ms = now_ms,
                                      .finished_ms = now_ms,
                                      .seconds_trained = progress->seconds_used,
                                      .images_per_second = images_per_second};
    memcpy(out->runner, owner->key->id.data, sizeof out->runner);
    for (uint64_t number = 0; number < count; number++) {
        const struct chain_entry *entry = chain_at(chain, number);

        if (!entry->valid || entry->by_scheduler) {
            continue;
        }
        if (entry->slot.kind == SLOT_TAKEOVER) {
            count_takeover(entry, last_ms, out);
            fresh = true;
        } else if (entry->slot.kind == SLOT_CHECKPOINT) {
            uint64_t updates = updates_of(entry);

            out->preemptions += entry->slot.reason == SLOT_NOTICE;
            if (fresh) {
                out->steps_redone +=
                    redone(chain, high, entry->slot.has_restored_from, &entry->slot.restored_from);
            }
            fresh = false;
            high = updates > high ? updates : high;
        }
        last_ms = entry->slot.wall_ms;
    }
    if (fresh) {
        out->steps_redone += redone(chain, high, owner->has_restored_from, &owner->restored_from);
    }
}

void runner_finish_lives(const struct chain *chain, const struct key_id *ours,
                         struct interval_lives *lives)
{
    uint64_t count = chain_count(chain);
    struct interval_lives found = {0};  /* since our attempt before, if there was one */
    struct interval_lives newest = {0}; /* ... until our newest takeover */
    bool alive = false;
    int64_t begun_ms = 0;
    int64_t last_ms = 0;

    for (uint64_t number = 0; number < count; number++) {
        const struct chain_entry *entry = chain_at(chain, number);

        if (!entry->valid || entry->by_scheduler) {
            continue;
        }
        if (entry->slot.kind == SLOT_TAKEOVER) {
            int64_t lived_ms = last_ms - begun_ms;
            bool is_ours = memcmp(&entry->signer, ours, sizeof *ours) == 0;

            if (alive) {
                found.ended++;
                found.seconds +=
                    lived_ms > 0 && lived_ms <= LIFE_MS_MAX ? (double)lived_ms * 1e-3 : 0;
            }
            if (is_ours) {
                newest = found;
                found = (struct interval_lives){0};
            }
            alive = !is_ours; /* we live still */
            begun_ms = entry->slot.wall_ms;
        }
        alive = alive && entry->slot.kind != SLOT_FAILED;
        last_ms = entry->slot.wall_ms;
    }
    lives->ended += newest.ended;
    lives->seconds += newest.seconds;
}

enum nero_status runner_finish_encode(const struct result_outcome *outcome,
                                      const struct result_provenance *provenance, struct bytes *out,
                                      struct nero_err *err)
{
    struct bytes inner;
    enum nero_status status;

    bytes_init(&inner, RESULT_BYTES_MAX);
    status = result_outcome_encode(outcome, &inner, err);
    if (status == NERO_OK) {
        status = result_encode(bytes_as_view(&inner), provenance, out, err);
    }
    bytes_fini(&inner);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "result record");
}
