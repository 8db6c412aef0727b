/*
 * One-time join tokens: files of 32 random bytes, mode 0600, in <keys folder>/tokens. `keys token`
 * makes one; a remote runner proves it at enrolment; serve removes it once it was used.
 */
#ifndef NERO_JOIN_TOKENS_H
#define NERO_JOIN_TOKENS_H

#include <stdint.h>

#include "nero/keys.h"

enum { JOIN_TOKENS_MAX = 256 };

struct join_tokens {
    uint32_t count;
    uint8_t tokens[JOIN_TOKENS_MAX][KEYS_TOKEN_BYTES];
    char paths[JOIN_TOKENS_MAX][KEYS_PATH_BYTES];
};

/* Make one; `path` gets where. */
enum nero_status join_tokens_create(char path[KEYS_PATH_BYTES], struct nero_err *err);

/* All that are outstanding; none is no error. */
enum nero_status join_tokens_read(struct join_tokens *out, struct nero_err *err);

#endif
