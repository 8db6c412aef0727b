/*
 * Join tokens: files of 32 random bytes, mode 0600, in <keys folder>/tokens. `keys token` makes
 * one, NAME.token. A remote runner proves it at enrolment, and from then on it is that runner's
 * alone, for all runs of the store: the file becomes <its key id>.owned. A runner's key lives no
 * longer than its process, so one that is JOIN_TOKENS_OWNED_DAYS old is removed.
 */
#ifndef NERO_JOIN_TOKENS_H
#define NERO_JOIN_TOKENS_H

#include <stdint.h>
#include <time.h>

#include "nero/keys.h"

enum { JOIN_TOKENS_MAX = 2048, JOIN_TOKENS_OWNED_DAYS = 7 };

/* Zeroed at first. */
struct join_tokens {
    struct timespec changed; /* the folder, when it was read; 0: has to be read */
    uint32_t count;
    uint8_t tokens[JOIN_TOKENS_MAX][KEYS_TOKEN_BYTES];
    struct key_id owners[JOIN_TOKENS_MAX]; /* 0: nobody has used it yet */
    char paths[JOIN_TOKENS_MAX][KEYS_PATH_BYTES];
};

/* Make one; `path` gets where. */
enum nero_status join_tokens_create(char path[KEYS_PATH_BYTES], struct nero_err *err);

/* All that are there; none is no error. A folder that did not change is not read again. */
enum nero_status join_tokens_read(struct join_tokens *out, struct nero_err *err);

/* A runner has used the token with this number of a list just read. */
enum nero_status join_tokens_own(const struct join_tokens *tokens, uint32_t number,
                                 const struct key_id *owner, struct nero_err *err);

#endif
