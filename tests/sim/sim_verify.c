/*
 * Verifying a signature is a pure function and a third of a simulation's time: what was found good
 * once is remembered. (crypto_sign_verify_detached is replaced by the linker's --wrap.)
 */
#include <sodium.h>
#include <string.h>

#include "nero/hash.h"

enum { KNOWN_COUNT = 1 << 14 };

int __real_crypto_sign_verify_detached(const unsigned char *signature, const unsigned char *message,
                                       unsigned long long bytes, const unsigned char *key);
int __wrap_crypto_sign_verify_detached(const unsigned char *signature, const unsigned char *message,
                                       unsigned long long bytes, const unsigned char *key);

int __wrap_crypto_sign_verify_detached(const unsigned char *signature, const unsigned char *message,
                                       unsigned long long bytes, const unsigned char *key)
{
    static struct hash known[KNOWN_COUNT];
    crypto_generichash_state state;
    struct hash name;
    struct hash *place;

    (void)crypto_generichash_init(&state, NULL, 0, sizeof name.data);
    (void)crypto_generichash_update(&state, signature, crypto_sign_BYTES);
    (void)crypto_generichash_update(&state, key, crypto_sign_PUBLICKEYBYTES);
    (void)crypto_generichash_update(&state, message, bytes);
    (void)crypto_generichash_final(&state, name.data, sizeof name.data);
    place = &known[bytes_get_u32le(name.data) % KNOWN_COUNT];
    if (hash_equal(place, &name)) {
        return 0;
    }
    if (__real_crypto_sign_verify_detached(signature, message, bytes, key) != 0) {
        return -1;
    }
    *place = name;
    return 0;
}
