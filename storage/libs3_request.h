/*
 * One request through libs3, with the checks that libs3 leaves out: DESIGN.md, "s3+libs3://".
 *
 * Thread: any number at once.
 */
#ifndef NERO_LIBS3_REQUEST_H
#define NERO_LIBS3_REQUEST_H

#include <libs3.h>

#include "nero/clock.h"
#include "s3_config.h"
#include "s3_credentials.h"
#include "storage_impl.h"

struct libs3_options {
    const struct clock_source *clock;
    const struct s3_environment *environment; /* borrowed until open returns */
    int64_t request_ms;            /* a whole request, besides the time that its bytes may take */
    uint64_t bytes_per_second_min; /* what request_ms is extended by, for large bodies */
};

/* The machine's clock and environment, 30 s, 256 KiB/s. */
struct libs3_options libs3_defaults(void);

struct libs3_client;

/*
 * Source of everything: `url` ("s3+libs3://" and `place`) and the environment. Asks no server.
 * Errors: invalid (https, a broken URL or variable), denied (credentials with a session token).
 */
enum nero_status libs3_client_open(const char *url, const char *place,
                                   const struct libs3_options *options, struct libs3_client **out,
                                   struct nero_err *err);
void libs3_client_close(struct libs3_client *client); /* no request is under way; NULL: nothing */

const struct s3_config *libs3_client_config(const struct libs3_client *client);

enum libs3_verb { LIBS3_PUT, LIBS3_GET, LIBS3_HEAD, LIBS3_DELETE, LIBS3_LIST, LIBS3_MAKE_BUCKET };

/* A request. Everything is borrowed. */
struct libs3_call {
    enum libs3_verb verb;
    const char *name;       /* the whole name in the bucket; list: the prefix of names */
    struct bytes_view body; /* put */
    uint64_t offset;        /* get: [offset, offset + bytes); bytes 0: the whole object */
    uint64_t bytes;
    uint64_t bytes_max;         /* get: a longer answer is too_big */
    const char *etag;           /* get: conflict unless it is this one; NULL: any */
    struct bytes *out;          /* get: appended to on success */
    const char *marker;         /* list: names greater than it; "": all */
    size_t count_max;           /* list */
    struct storage_list *names; /* list: added to, as the bucket has them */
};

struct libs3_answer {
    uint64_t bytes;                    /* of the body; head: of the object */
    char etag[STORAGE_ETAG_BYTES_MAX]; /* without quotes */
    bool truncated;                    /* list: says that there are more */
    S3Status status;                   /* as libs3 says it */
};

/*
 * ok: answered, and all that can be compared has been: of a put the ETag with the body's MD5 (by a
 * HEAD where libs3 does not show it), of a get the length and, where its ETag is an MD5, that. A
 * list may lack names at its end: see DESIGN.md. Errors: those of the table there.
 */
enum nero_status libs3_send(struct libs3_client *client, const struct libs3_call *call,
                            struct libs3_answer *answer, struct nero_err *err);

/* The table itself, as a pure function: for tests. */
enum nero_status libs3_status(S3Status status, bool is_write);

#endif
