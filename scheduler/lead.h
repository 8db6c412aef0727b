/*
 * Leadership of a run: who creates epoch/<n> (create-only) leads; every leader's script in Redis
 * takes the epoch and refuses a lower one. A Redis that restarted may have forgotten acknowledged
 * transitions and could issue a token twice, so a changed server id raises the epoch.
 * Source: DESIGN 7, "Leadership"; specs/batch.md 3.5 point 12.
 */
#ifndef NERO_LEAD_H
#define NERO_LEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/envelope.h"
#include "nero/queue.h"
#include "nero/storage.h"

/* Everything but epoch and server is the caller's, borrowed for the lead's life. */
struct lead {
    struct storage *store;
    struct queue *queue;
    const char *run;
    const struct key_pair *run_key;
    const struct key_public *root; /* signs run record and amendments; NULL: not checked */
    uint32_t lease_ms;
    uint64_t epoch; /* ours; 0: we do not lead */
    char server[QUEUE_SERVER_ID_BYTES];
};

/* Create the next epoch and announce it to Redis. Errors: stale (another one was faster). */
enum nero_status lead_take(struct lead *lead, const char *why, struct nero_err *err);

/*
 * Still the leader? stale when a higher epoch exists. When Redis restarted the epoch is raised and
 * *restarted set: the caller submits what is unfinished again.
 */
enum nero_status lead_check(struct lead *lead, bool *restarted, struct nero_err *err);

#endif
