/*
 * A run led by this process: leadership, search, enrolment of its runners. `run` and `resume` serve
 * one run with a private Redis and local runners; `serve` serves all runs of a store.
 */
#ifndef NERO_SERVED_H
#define NERO_SERVED_H

#include <stdbool.h>

#include "nero/enrol.h"
#include "nero/queue.h"
#include "nero/storage.h"

#include "lead.h"
#include "outage.h"
#include "search.h"

struct served_options {
    uint32_t lease_ms;
    uint32_t alive_ms;     /* silent for so long: those that stand by take over */
    uint64_t window_bytes; /* of envelopes in Redis */
    bool reopen;           /* cancelled jobs: search_open */
};
struct served_options served_defaults(void);

struct served {
    char run[SLOT_RUN_BYTES];
    struct key_pair run_key;
    struct key_public root;
    struct lead lead;
    struct search *search;
    int64_t checked_ns; /* last look at leadership and leases */
    struct outage outage;
    bool must_meet; /* Redis lost its memory: what it knows has to be found out */
    bool paused;    /* as Redis last told: told to it again when it forgets */
    uint32_t limit;
};

/* Take the lead and open the search. store, queue and listener are borrowed for its life. */
enum nero_status served_open(struct served *served, struct storage *store, struct queue *queue,
                             const char *run, const struct served_options *options,
                             const struct search_listener *listener, struct nero_err *err);
/* Others may take over at once. */
void served_close(struct served *served);

/*
 * One round: leadership and leases now and then, the search always. An outage (a store or Redis
 * that does not answer or has no room) is told and waited out (ok): the rounds of an ever longer
 * time, which others do not take for the leader's end, do nothing. Stale, corrupt and the like are
 * returned.
 */
enum nero_status served_tick(struct served *served, struct nero_err *err);

struct enrol_issuer served_issuer(const struct served *served);

#endif
