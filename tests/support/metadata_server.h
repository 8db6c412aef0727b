/*
 * The metadata service of a cloud machine, as far as notices of preemption go: a real HTTP server
 * on a free port of the loopback, which refuses what the cloud's own would refuse (a session
 * without token, a missing header). Every failure of its own ends the program.
 */
#ifndef NERO_METADATA_SERVER_H
#define NERO_METADATA_SERVER_H

#include <stdbool.h>
#include <stdint.h>

enum { METADATA_TEXT_BYTES = 256, METADATA_URL_BYTES = 64 };

/* What it answers; set as a whole. */
struct metadata_answers {
    char action[METADATA_TEXT_BYTES]; /* AWS spot/instance-action; "": 404 */
    bool rebalance;                   /* AWS */
    bool preempted;                   /* GCE */
    char event_time[64]; /* Azure: NotBefore of this machine's Preempt; "": none. Other machines'
                            events, and other events, are always there */
    bool fails;          /* 500 to everything */
    bool forgets;        /* AWS: tokens given until now are no longer good */
};

struct metadata_server;

struct metadata_server *metadata_start(void);
void metadata_stop(struct metadata_server *server);
void metadata_set(struct metadata_server *server, const struct metadata_answers *answers);
void metadata_url(const struct metadata_server *server, char out[METADATA_URL_BYTES]);
uint64_t metadata_requests(struct metadata_server *server);

#endif
