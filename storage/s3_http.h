/*
 * HTTP for S3 over libcurl: kept connections, deadlines, limits. Knows nothing of S3 but the names
 * of the headers that it picks out.
 *
 * Nothing is followed, repeated or sent twice: a redirect is an answer like another, and where
 * libcurl would send a write a second time by itself the write ends as unknown.
 *
 * Thread: a pool may be used by any number of threads; each request has a connection to itself.
 */
#ifndef NERO_S3_HTTP_H
#define NERO_S3_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/bytes.h"

enum {
    S3_HTTP_CONNECTIONS_MAX = 32, /* of a pool; further requests wait for one */
    S3_HTTP_ERROR_BODY_MAX = 64 * 1024,
    S3_HTTP_HEADERS_MAX = 16,
    S3_HTTP_ETAG_BYTES = 96
};

struct s3_http_options {
    int64_t connect_ms;            /* name, connection and handshake */
    int64_t stall_ms;              /* below 1 KiB/s for so long ends a transfer; whole seconds */
    int64_t request_ms;            /* a whole request, besides the time that its bytes may take */
    uint64_t bytes_per_second_min; /* what request_ms is extended by, for large bodies */
    const char *ca_bundle;         /* file of roots; NULL: the system's. Copied */
    bool no_proxy;                 /* whatever http_proxy says: the server is this machine's own */
};

/* 5 s, 20 s, 30 s, 256 KiB/s, the system's roots. */
struct s3_http_options s3_http_defaults(void);

struct s3_http; /* a pool */

enum nero_status s3_http_create(const struct s3_http_options *options, struct s3_http **out,
                                struct nero_err *err);
void s3_http_destroy(struct s3_http *http); /* no request is under way; NULL does nothing */

/*
 * Where the body of a 2xx goes. `room` set: exactly `bytes` there. Else appended to `out` in one
 * piece once its length is known; more than `bytes` is too_big.
 */
struct s3_http_into {
    uint8_t *room;
    struct bytes *out;
    uint64_t bytes;
    uint64_t timed_bytes; /* of `out`: what the deadline has time for, whatever it may hold */
};

struct s3_http_request {
    const char *method;
    const char *url;            /* encoded */
    const char *const *headers; /* "name: value" */
    size_t header_count;
    struct bytes_view body;
    bool is_write;             /* may change something: unknown instead of unavailable */
    struct s3_http_into *into; /* NULL: the answer's body member */
    size_t body_bytes_max;     /* of that member, where more than S3_HTTP_ERROR_BODY_MAX */
    int64_t extra_ms;          /* the server may work so long before it answers */
};

/* What came back. `body` is freed by s3_http_answer_fini. */
struct s3_http_answer {
    int code;
    int64_t content_bytes; /* Content-Length, -1 without */
    bool has_range;        /* Content-Range: bytes first-last/object_bytes */
    uint64_t range_first;
    uint64_t range_last;
    uint64_t object_bytes;
    int64_t date_ms;               /* Date; 0 without */
    char etag[S3_HTTP_ETAG_BYTES]; /* without quotes; "" without, or where it is too long */
    char region[32];               /* x-amz-bucket-region */
    uint64_t into_bytes;           /* how much of a 2xx went into request->into */
    bool body_cut;                 /* the body was longer than what is kept */
    struct bytes body;
};

void s3_http_answer_fini(struct s3_http_answer *answer); /* zeroed is fine */

/*
 * Send one request and take its whole answer. ok: any HTTP status, the body complete.
 * Errors: unavailable, timeout, denied (certificate), invalid, no_memory: nothing was sent.
 * Unknown: a write that was, or may have been, sent. Reads also: too_big, corrupt (more or fewer
 * bytes than asked for). On failure `into->out` is as before; `into->room` may be written to.
 */
enum nero_status s3_http_send(struct s3_http *http, const struct s3_http_request *request,
                              struct s3_http_answer *answer, struct nero_err *err);

#endif
