/*
 * BLAKE2b-256, the only content hash of the project (libsodium; RFC 7693). Hashes of stored objects
 * are over the exact stored bytes, never over a re-serialised form.
 */
#ifndef NERO_HASH_H
#define NERO_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "nero/bytes.h"

enum { HASH_BYTES = 32, HASH_HEX_BYTES = 65 /* with the NUL */ };

struct hash {
    uint8_t data[HASH_BYTES];
};

/* Incremental state; libsodium's, kept opaque. */
struct hash_state {
    _Alignas(64) unsigned char opaque[384];
};

/* Call once before anything else; safe to repeat. Errors: unavailable (no entropy source). */
enum nero_status hash_library_init(struct nero_err *err);

struct hash hash_of(struct bytes_view bytes);

/* BLAKE2b-256(tag, NUL, bytes): ids of different kinds never collide. */
struct hash hash_tagged(const char *tag, struct bytes_view bytes);

void hash_begin(struct hash_state *state);
void hash_update(struct hash_state *state, const void *data, size_t bytes);
struct hash hash_end(struct hash_state *state);

int hash_compare(const struct hash *a, const struct hash *b); /* as memcmp */
static inline int hash_equal(const struct hash *a, const struct hash *b)
{
    return hash_compare(a, b) == 0;
}
void hash_to_hex(char out[HASH_HEX_BYTES], const struct hash *hash);
enum nero_status hash_from_hex(struct hash *out, const char *hex, struct nero_err *err);

#endif
