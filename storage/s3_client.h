/*
 * One signed request to a bucket, and what its answer means. DESIGN.md has the table.
 *
 * Thread: any number at once.
 */
#ifndef NERO_S3_CLIENT_H
#define NERO_S3_CLIENT_H

#include "nero/clock.h"
#include "s3_config.h"
#include "s3_credentials.h"
#include "s3_http.h"
#include "s3_sign.h"
#include "s3_xml.h"

struct s3_client_options {
    struct s3_http_options http; /* its ca_bundle is taken from the configuration */
    const struct clock_source *clock;
    const struct s3_environment *environment; /* borrowed until open returns */
};

struct s3_client;

/* Source of everything: `url` ("s3://" and `place`) and the environment. Asks no server. */
enum nero_status s3_client_open(const char *url, const char *place,
                                const struct s3_client_options *options, struct s3_client **out,
                                struct nero_err *err);
void s3_client_close(struct s3_client *client); /* NULL does nothing */

const struct s3_config *s3_client_config(const struct s3_client *client);

enum { S3_CLIENT_PAIRS_MAX = 6 };

/* A request. Everything is borrowed; pairs with a NULL name end the array. */
struct s3_call {
    const char *method;
    const char *key; /* the whole name in the bucket, not encoded; "": the bucket itself */
    struct s3_sign_pair query[S3_CLIENT_PAIRS_MAX];
    struct s3_sign_pair headers[S3_CLIENT_PAIRS_MAX]; /* names in lower case */
    struct bytes_view body;
    bool is_write; /* takes effect if it is answered with ok */
    struct s3_http_into *into;
    size_t body_bytes_max;
    int64_t extra_ms;
};

/*
 * Send `call`, and once more where the clock or the credentials were at fault. ok: the answer is a
 * 2xx without an <Error> inside; which headers it must have is the caller's to check. Else the
 * status of the table, with err->system_code the HTTP status (0: none came). 412 is conflict.
 * Owns: *answer is freed by s3_http_answer_fini in every case. `error`, where not NULL, gets what
 * the server said of a refusal.
 */
enum nero_status s3_client_send(struct s3_client *client, const struct s3_call *call,
                                struct s3_http_answer *answer, struct s3_xml_error *error,
                                struct nero_err *err);

/* By how much the server's clock is ahead of ours, where a refusal has shown it; else 0. */
int64_t s3_client_skew_ms(const struct s3_client *client);

/* The same by the Date of the last answer, whatever that was. False before one came. */
bool s3_client_clock_ahead(const struct s3_client *client, int64_t *ahead_ms);

/* The table itself, as a pure function of an answer that is not a success: for tests. */
enum nero_status s3_client_status(int http_code, const struct s3_xml_error *error, bool is_write);

#endif
