#include "nero/hash.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

static_assert(sizeof(crypto_generichash_state) <= sizeof(struct hash_state),
              "hash_state has room for libsodium's");

enum nero_status hash_library_init(struct nero_err *err)
{
    if (sodium_init() < 0) {
        return err_set(err, NERO_UNAVAILABLE, 0, "libsodium cannot start: no source of entropy");
    }
    return NERO_OK;
}

void hash_begin(struct hash_state *state)
{
    (void)crypto_generichash_init((crypto_generichash_state *)(void *)state->opaque, NULL, 0,
                                  HASH_BYTES);
}

void hash_update(struct hash_state *state, const void *data, size_t bytes)
{
    (void)crypto_generichash_update((crypto_generichash_state *)(void *)state->opaque, data, bytes);
}

struct hash hash_end(struct hash_state *state)
{
    struct hash hash;

    (void)crypto_generichash_final((crypto_generichash_state *)(void *)state->opaque, hash.data,
                                   HASH_BYTES);
    return hash;
}

struct hash hash_of(struct bytes_view bytes)
{
    struct hash hash;

    (void)crypto_generichash(hash.data, HASH_BYTES, bytes.data, bytes.bytes, NULL, 0);
    return hash;
}

struct hash hash_tagged(const char *tag, struct bytes_view bytes)
{
    struct hash_state state;

    hash_begin(&state);
    hash_update(&state, tag, strlen(tag) + 1);
    hash_update(&state, bytes.data, bytes.bytes);
    return hash_end(&state);
}

int hash_compare(const struct hash *a, const struct hash *b)
{
    return memcmp(a->data, b->data, HASH_BYTES);
}

void hash_to_hex(char out[HASH_HEX_BYTES], const struct hash *hash)
{
    bytes_to_hex(out, hash->data, HASH_BYTES);
}

enum nero_status hash_from_hex(struct hash *out, const char *hex, struct nero_err *err)
{
    return bytes_from_hex(out->data, HASH_BYTES, hex, err);
}
