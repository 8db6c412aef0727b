/*
 * Signed envelopes: payload bytes, their type, and an Ed25519 signature over the DSSE
 * pre-authentication encoding. The type string separates the domains. The stored form is a msgpack
 * array [version, type, payload, key id, signature]; hashes of stored objects are over all of it.
 * Source: DSSE protocol v1 (PAE); RFC 8032, verified as libsodium >= 1.0.16 does.
 */
#ifndef NERO_ENVELOPE_H
#define NERO_ENVELOPE_H

#include "nero/hash.h"

enum {
    KEY_PUBLIC_BYTES = 32,
    KEY_SECRET_BYTES = 64,
    KEY_ID_BYTES = 16,
    KEY_ID_HEX_BYTES = 33,
    ENVELOPE_SIGNATURE_BYTES = 64,
    ENVELOPE_OVERHEAD_MAX = 256, /* stored bytes minus payload */
    ENVELOPE_BYTES_MAX = 4 * 1024 * 1024
};

enum envelope_type {
    ENVELOPE_RUN = 1,         /* by the root key */
    ENVELOPE_CERTIFICATE = 2, /* all the rest by the run key, but slots by a runner's */
    ENVELOPE_JOB = 3,
    ENVELOPE_SLOT = 4,
    ENVELOPE_GENERATION = 5,
    ENVELOPE_EPOCH = 6,
    ENVELOPE_BATCH = 7,
    ENVELOPE_DATASET = 8,
    ENVELOPE_REQUEST = 9, /* inbox: a submission waiting for serve */
    ENVELOPE_ENROL = 10,  /* a runner's request for a certificate, by its own key */
    ENVELOPE_COLLECTION = 11
};

/* First 16 bytes of BLAKE2b-256(tag, public key). */
struct key_id {
    uint8_t data[KEY_ID_BYTES];
};

struct key_public {
    uint8_t data[KEY_PUBLIC_BYTES];
};

/* Wipe with key_pair_fini. */
struct key_pair {
    struct key_public public_key;
    uint8_t secret[KEY_SECRET_BYTES];
    struct key_id id;
};

/* A parsed envelope; views into the stored bytes. Nothing is verified yet. */
struct envelope {
    enum envelope_type type;
    struct bytes_view payload;
    struct key_id key;
    const uint8_t *signature;
};

struct key_id key_id_of(const struct key_public *key);
void key_id_to_hex(char out[KEY_ID_HEX_BYTES], const struct key_id *id);
void key_pair_generate(struct key_pair *out);
void key_pair_fini(struct key_pair *pair);

/* "application/vnd.nero.slot.v1+msgpack" */
const char *envelope_type_string(enum envelope_type type);

/* Append the stored form. Signing is deterministic: equal payload and key, equal bytes. */
enum nero_status envelope_seal(enum envelope_type type, struct bytes_view payload,
                               const struct key_pair *key, struct bytes *out, struct nero_err *err);

/* Parse; refuses another type than `type`. Errors: corrupt, version. */
enum nero_status envelope_parse(struct bytes_view stored, enum envelope_type type,
                                struct envelope *out, struct nero_err *err);

/* Errors: denied when the signature is not by this key. */
enum nero_status envelope_verify(const struct envelope *envelope, const struct key_public *key,
                                 struct nero_err *err);

/* parse + verify: the payload of an envelope signed by exactly this key. */
enum nero_status envelope_open(struct bytes_view stored, enum envelope_type type,
                               const struct key_public *key, struct bytes_view *payload,
                               struct nero_err *err);

#endif
