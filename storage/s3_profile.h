/*
 * The shared credentials and config files of the AWS tools.
 *
 * Source: "Configuration and credential file settings in the AWS CLI": sections in brackets, name =
 * value, '#' and ';' comments, indented lines below a name belong to it and are passed over.
 */
#ifndef NERO_S3_PROFILE_H
#define NERO_S3_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "s3_config.h"

enum {
    S3_ACCESS_KEY_BYTES = 129,
    S3_SECRET_KEY_BYTES = 257,
    S3_TOKEN_BYTES = 8193,
    S3_PROFILE_FILE_MAX = 1024 * 1024
};

/* Who signs. Wipe with sodium_memzero when it is done with. */
struct s3_credentials {
    char access_key[S3_ACCESS_KEY_BYTES]; /* "": none */
    char secret_key[S3_SECRET_KEY_BYTES];
    char token[S3_TOKEN_BYTES]; /* "" without a session */
    int64_t expires_ms;         /* wall clock; 0: never */
};

struct s3_profile {
    struct s3_credentials credentials;
    char region[S3_CONFIG_REGION_BYTES];
    bool found;           /* the section exists */
    char unsupported[32]; /* a way to get credentials that is not supported here, or "" */
};

/*
 * Take over what section `profile` of `text` says; what `out` has already is kept. In a config file
 * the section of x is [profile x]. `name` stands for the file in errors.
 * Errors: invalid (a line that is none, a value that is too long), with the line.
 */
enum nero_status s3_profile_parse(const char *name, struct bytes_view text, const char *profile,
                                  bool is_config, struct s3_profile *out, struct nero_err *err);

/*
 * Read both files, the credentials file first. A file that is not there counts as empty.
 * Errors: invalid (also a profile that AWS_PROFILE names and no file has, one with half a key pair,
 * or one with only ways that are not supported), denied, unavailable.
 */
enum nero_status s3_profile_load(const struct s3_environment *environment, struct s3_profile *out,
                                 struct nero_err *err);

/* Copy a credential's text. False where it is too long or has a character no header may have. */
bool s3_credentials_copy(char *out, size_t out_bytes, const char *text, size_t bytes);

#endif
