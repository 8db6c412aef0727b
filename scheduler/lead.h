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

enum { LEAD_ALIVE_MS_DEFAULT = 10000 };

/* Everything but epoch, name and server is the caller's, borrowed for the lead's life. */
struct lead {
    struct storage *store;
    struct queue *queue;
    const char *run;
    const struct key_pair *run_key;
    const struct key_public *root; /* signs run record and amendments; NULL: not checked */
    uint32_t lease_ms;
    uint32_t alive_ms;     /* without a sign of life for so long: others may take over */
    uint64_t window_bytes; /* of envelopes in Redis */
    uint64_t epoch;        /* ours; 0: we do not lead */
    char name[QUEUE_LEADER_BYTES];
    char server[QUEUE_SERVER_ID_BYTES]; /* "": Redis has not heard of our epoch */
};

/* Does somebody give signs of life as the leader of the run? Then *alive and its name. Errors:
 * those of Redis. */
enum nero_status lead_holder(struct queue *queue, const char *run, bool *alive,
                             char name[QUEUE_LEADER_BYTES], struct nero_err *err);

/*
 * Create the next epoch and announce it to Redis. Errors: stale (another one was faster); invalid
 * (the run was made for another store mode than the store is used in: see cli_store_mode).
 */
enum nero_status lead_take(struct lead *lead, const char *why, struct nero_err *err);

/*
 * Still the leader? stale when a higher epoch exists. When Redis restarted or forgot the run the
 * epoch is raised and *lost set: the caller meets its backlog with what Redis knows. Else a sign of
 * life is given.
 */
enum nero_status lead_check(struct lead *lead, bool *lost, struct nero_err *err);

/* Let others take over at once. Does nothing when we do not lead; failures do no harm. */
void lead_resign(struct lead *lead);

#endif
