/*
 * A proxy between an S3 client and a real gateway that does to a request or its answer what
 * networks, load balancers and bad stores do. One connection a request, but for a relay; each is
 * served by a thread.
 */
#ifndef NERO_TESTS_PROXY_H
#define NERO_TESTS_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/thread.h"

enum proxy_fault {
    PROXY_NONE,
    /* the request does not reach the gateway */
    PROXY_RESET_ON_ACCEPT,
    PROXY_CLOSE_EARLY, /* the request is read, nothing is answered */
    PROXY_STALL,       /* likewise, and the connection stays open */
    PROXY_503_EMPTY,
    PROXY_503_HTML,     /* a load balancer's page */
    PROXY_503_XML,      /* SlowDown */
    PROXY_200_ERROR,    /* a success by its number with InternalError inside */
    PROXY_404_HTML,     /* a page that is not S3's */
    PROXY_301,          /* to elsewhere */
    PROXY_GARBAGE,      /* no HTTP */
    PROXY_LONG_HEADERS, /* without an end */
    PROXY_KEY_DENIED,   /* a delete of many: 200, and its first key is refused inside */
    PROXY_KEYS_UNNAMED, /* a delete of many: 200, and no key is told of */
    /* it does, and its answer suffers */
    PROXY_DROP_REPLY,    /* closed without one */
    PROXY_STALL_REPLY,   /* held back */
    PROXY_RESET_HEADERS, /* reset after some bytes */
    PROXY_RESET_BODY,    /* reset in the middle of the body, or of the headers without one */
    PROXY_TRUNCATE,      /* closed there */
    PROXY_DRIP,          /* a byte every 20 ms */
    PROXY_CUT_XML,       /* XML that ends in its middle, with a Content-Length that fits */
    PROXY_WRONG_ETAG,
    PROXY_LIE,         /* the conditions of a put or a completion are left out: it overwrites */
    PROXY_DUPLICATE,   /* delivered twice, answered with the second answer */
    PROXY_SLOW,        /* 50 ms later */
    PROXY_STALE_READS, /* each object as it was at its first read */
    PROXY_STALE_LISTS, /* each listing likewise */
    PROXY_FAULTS,
    /* no fault: a replace wants its ETag in quotes (and is only said to be done), and an upload
       that is to be completed as a new object is refused */
    PROXY_OTHER_STORE = PROXY_FAULTS,
    PROXY_REFUSE_PARTS, /* SlowDown to each part of an upload */
    /* likewise, and bad ones */
    PROXY_LIE_IN_RACES, /* as PROXY_LIE, to a create while another one is under way */
    PROXY_FOLD_KEYS,    /* objects are put under their keys in lower case */
    PROXY_WRONG_DATE,   /* answers are of PROXY_DATE_AHEAD_MS later */
    PROXY_TRICKLE       /* 100 bytes every 20 ms */
};

enum { PROXY_DATE_AHEAD_MS = 7200000 };

const char *proxy_fault_name(enum proxy_fault fault);

struct proxy;

/* Listen on a free loopback port in front of 127.0.0.1:upstream_port. Ends the program on failure.
 */
struct proxy *proxy_start(int upstream_port);
void proxy_stop(struct proxy *proxy); /* waits for its threads */

/* As proxy_start; whole connections are passed on, byte for byte, and only counted. */
struct proxy *proxy_start_relay(int upstream_port);
int proxy_port(const struct proxy *proxy);

/* Let `skip` requests pass and do `fault` to the next `times` (negative: to all that follow). */
void proxy_set(struct proxy *proxy, enum proxy_fault fault, int skip, int times);

/* How often the present plan has fired. */
int proxy_fired(struct proxy *proxy);

/* What has passed since proxy_start. */
struct proxy_counts {
    int connections;
    int requests;   /* that the gateway has answered wholly */
    int parts;      /* those among them that put a part of an upload */
    uint64_t bytes; /* of the bodies of these requests */
};
struct proxy_counts proxy_counts(struct proxy *proxy);

#endif
