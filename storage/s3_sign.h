/*
 * AWS Signature Version 4 as pure functions: what is signed, the key it is signed with, the header.
 *
 * Nothing here reads a clock, an environment or a socket, so that every rule can be held against a
 * table. The target that the request goes out with and the one that is signed are one string: a
 * server that decodes and encodes it again by the rules gets the same bytes.
 *
 * Source: "Create a signed AWS API request" (Signature Version 4), with the rules of S3: the path
 * is encoded once and not normalised, and the payload's hash is a signed header. RFC 3986, 2.3.
 */
#ifndef NERO_S3_SIGN_H
#define NERO_S3_SIGN_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/bytes.h"

enum {
    S3_SIGN_SHA256_BYTES = 32,
    S3_SIGN_HASH_BYTES = 65,      /* hex with the NUL */
    S3_SIGN_PAIRS_MAX = 32,       /* headers, or query parameters, of one request */
    S3_SIGN_DATE_BYTES = 17,      /* "20261123T054133Z" with the NUL */
    S3_SIGN_CANONICAL_MAX = 65536 /* bytes of a canonical request */
};

#define S3_SIGN_UNSIGNED "UNSIGNED-PAYLOAD" /* in place of a hash; for TLS only */

/* A header (name in lower case) or a query parameter (not encoded). Borrowed. */
struct s3_sign_pair {
    const char *name;
    const char *value;
};

struct s3_sign_input {
    const char *method; /* capitals */
    const char *host;   /* as the Host header has it, with the port where there is one */
    const char *path;   /* starts with '/', not encoded */
    const struct s3_sign_pair *query;
    size_t query_count;
    const struct s3_sign_pair *headers; /* besides host and x-amz-date, which are always signed */
    size_t header_count;
    const char *payload_hash; /* hex, or S3_SIGN_UNSIGNED */
    const char *region;
    const char *service;
    const char *access_key;
    const char *secret_key;
    int64_t wall_ms;
};

/* SHA-256 in lower-case hex. */
void s3_sign_hash(char out[S3_SIGN_HASH_BYTES], struct bytes_view body);

/* Append `text` with everything but A-Z a-z 0-9 - . _ ~ as %XX; '/' stays where `is_path`. */
enum nero_status s3_sign_encode(struct bytes *out, const char *text, bool is_path,
                                struct nero_err *err);

/* Append the encoded path and, where there is one, '?' and the sorted, encoded query. */
enum nero_status s3_sign_target(struct bytes *out, const struct s3_sign_input *input,
                                struct nero_err *err);

/* Append the canonical request. Errors: invalid (over S3_SIGN_PAIRS_MAX), too_big, no_memory. */
enum nero_status s3_sign_canonical(struct bytes *out, const struct s3_sign_input *input,
                                   struct nero_err *err);

void s3_sign_date(char out[S3_SIGN_DATE_BYTES], int64_t wall_ms);

/*
 * Append the value of the Authorization header. The key derived from the secret is wiped.
 * Errors: invalid, too_big, no_memory; `out` is then unchanged.
 */
enum nero_status s3_sign_authorization(struct bytes *out, const struct s3_sign_input *input,
                                       struct nero_err *err);

#endif
