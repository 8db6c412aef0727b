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
#include "search.h"

struct served {
    char run[SLOT_RUN_BYTES];
    struct key_pair run_key;
    struct key_public root;
    struct lead lead;
    struct search *search;
    int64_t checked_ns; /* last look at leadership and leases */
};

/* Take the lead and open the search. store, queue and listener are borrowed for its life. */
enum nero_status served_open(struct served *served, struct storage *store, struct queue *queue,
                             const char *run, uint32_t lease_ms,
                             const struct search_listener *listener, struct nero_err *err);
void served_close(struct served *served);

/*
 * One round: leadership and leases now and then, the search always. A store or Redis that does not
 * answer is told and tried again by the next round (ok); stale, corrupt and the like are returned.
 */
enum nero_status served_tick(struct served *served, struct nero_err *err);

struct enrol_issuer served_issuer(const struct served *served);

#endif
