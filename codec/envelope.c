#include "nero/envelope.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "nero/mem.h"

static_assert(KEY_PUBLIC_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519 public key");
static_assert(KEY_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "Ed25519 secret key");
static_assert(ENVELOPE_SIGNATURE_BYTES == crypto_sign_BYTES, "Ed25519 signature");

enum { ENVELOPE_TYPE_BYTES = 64 };

struct key_id key_id_of(const struct key_public *key)
{
    struct hash hash = hash_tagged("nero.key.v1", bytes_view_of(key->data, sizeof key->data));
    struct key_id id;

    memcpy(id.data, hash.data, sizeof id.data);
    return id;
}

void key_id_to_hex(char out[KEY_ID_HEX_BYTES], const struct key_id *id)
{
    bytes_to_hex(out, id->data, sizeof id->data);
}

void key_pair_generate(struct key_pair *out)
{
    (void)crypto_sign_keypair(out->public_key.data, out->secret);
    out->id = key_id_of(&out->public_key);
}

void key_pair_fini(struct key_pair *pair)
{
    sodium_memzero(pair, sizeof *pair);
}

const char *envelope_type_string(enum envelope_type type)
{
    static const char *const names[] = {
        [ENVELOPE_RUN] = "application/vnd.nero.run.v1+msgpack",
        [ENVELOPE_CERTIFICATE] = "application/vnd.nero.certificate.v1+msgpack",
        [ENVELOPE_JOB] = "application/vnd.nero.job.v1+msgpack",
        [ENVELOPE_SLOT] = "application/vnd.nero.slot.v1+msgpack",
        [ENVELOPE_GENERATION] = "application/vnd.nero.generation.v1+msgpack",
        [ENVELOPE_EPOCH] = "application/vnd.nero.epoch.v1+msgpack",
        [ENVELOPE_BATCH] = "application/vnd.nero.batch.v1+msgpack",
        [ENVELOPE_DATASET] = "application/vnd.nero.dataset.v1+msgpack",
        [ENVELOPE_REQUEST] = "application/vnd.nero.request.v1+msgpack",
        [ENVELOPE_ENROL] = "application/vnd.nero.enrol.v1+msgpack",
        [ENVELOPE_COLLECTION] = "application/vnd.nero.collection.v1+msgpack"};

    return type >= ENVELOPE_RUN && type <= ENVELOPE_COLLECTION ? names[type] : "undefined";
}

/* Slots have a limit of their own, so that a chain is cheap to read. */
static size_t envelope_bytes_max(enum envelope_type type)
{
    return type == ENVELOPE_SLOT ? (size_t)SLOT_BYTES_MAX : (size_t)ENVELOPE_BYTES_MAX;
}

/*
 * What is signed: "DSSEv1" SP len(type) SP type SP len(payload) SP payload, lengths in decimal.
 * Freed by the caller; NULL when there is no memory.
 */
static uint8_t *envelope_pae(enum envelope_type type, struct bytes_view payload, size_t *bytes)
{
    const char *name = envelope_type_string(type);
    char head[ENVELOPE_TYPE_BYTES + 64];
    int length =
        snprintf(head, sizeof head, "DSSEv1 %zu %s %zu ", strlen(name), name, payload.bytes);
    uint8_t *pae = mem_alloc((size_t)length + payload.bytes);

    if (pae != NULL) {
        memcpy(pae, head, (size_t)length);
        if (payload.bytes > 0) {
            memcpy(pae + length, payload.data, payload.bytes);
        }
        *bytes = (size_t)length + payload.bytes;
    }
    return pae;
}

struct envelope_parts {
    char type[ENVELOPE_TYPE_BYTES];
    struct bytes_view payload;
    struct key_id key;
    struct bytes_view signature;
};

static void envelope_record(struct record *r, struct envelope_parts *parts)
{
    record_open(r, 1, 5);
    record_text(r, "type", parts->type, sizeof parts->type);
    record_bin(r, "payload", &parts->payload, 0, ENVELOPE_BYTES_MAX);
    record_fixed(r, "key", parts->key.data, sizeof parts->key.data);
    record_bin(r, "signature", &parts->signature, ENVELOPE_SIGNATURE_BYTES,
               ENVELOPE_SIGNATURE_BYTES);
    record_close(r);
}

enum nero_status envelope_seal(enum envelope_type type, struct bytes_view payload,
                               const struct key_pair *key, struct bytes *out, struct nero_err *err)
{
    uint8_t signature[ENVELOPE_SIGNATURE_BYTES] = {0};
    struct envelope_parts parts = {.payload = payload,
                                   .key = key->id,
                                   .signature = bytes_view_of(signature, sizeof signature)};
    size_t pae_bytes;
    uint8_t *pae = envelope_pae(type, payload, &pae_bytes);
    struct record r;

    if (pae == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to sign %zu bytes", payload.bytes);
    }
    (void)crypto_sign_detached(signature, NULL, pae, pae_bytes, key->secret);
    free(pae);
    (void)snprintf(parts.type, sizeof parts.type, "%s", envelope_type_string(type));
    record_write_begin(&r, "envelope", out, envelope_bytes_max(type), err);
    envelope_record(&r, &parts);
    return record_end(&r);
}

enum nero_status envelope_parse(struct bytes_view stored, enum envelope_type type,
                                struct envelope *out, struct nero_err *err)
{
    struct envelope_parts parts;
    struct record r;

    memset(&parts, 0, sizeof parts);
    record_read_begin(&r, "envelope", stored, envelope_bytes_max(type), err);
    envelope_record(&r, &parts);
    if (record_end(&r) != NERO_OK) {
        return r.status;
    }
    if (strcmp(parts.type, envelope_type_string(type)) != 0) {
        return err_set(err, NERO_CORRUPT, 0,
                       "envelope: type at byte 2: '%s' where '%s' is expected", parts.type,
                       envelope_type_string(type));
    }
    *out = (struct envelope){.type = type,
                             .payload = parts.payload,
                             .key = parts.key,
                             .signature = parts.signature.data};
    return NERO_OK;
}

enum nero_status envelope_verify(const struct envelope *envelope, const struct key_public *key,
                                 struct nero_err *err)
{
    struct key_id id = key_id_of(key);
    char want[KEY_ID_HEX_BYTES];
    size_t pae_bytes;
    uint8_t *pae;
    int wrong;

    key_id_to_hex(want, &id);
    if (memcmp(id.data, envelope->key.data, sizeof id.data) != 0) {
        char found[KEY_ID_HEX_BYTES];

        key_id_to_hex(found, &envelope->key);
        return err_set(err, NERO_DENIED, 0, "envelope: signed by key %s, expected %s", found, want);
    }
    pae = envelope_pae(envelope->type, envelope->payload, &pae_bytes);
    if (pae == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to verify %zu bytes",
                       envelope->payload.bytes);
    }
    wrong = crypto_sign_verify_detached(envelope->signature, pae, pae_bytes, key->data);
    free(pae);
    if (wrong != 0) {
        return err_set(err, NERO_DENIED, 0, "envelope: the signature is not by key %s", want);
    }
    return NERO_OK;
}

enum nero_status envelope_open(struct bytes_view stored, enum envelope_type type,
                               const struct key_public *key, struct bytes_view *payload,
                               struct nero_err *err)
{
    struct envelope envelope;
    enum nero_status status = envelope_parse(stored, type, &envelope, err);

    if (status == NERO_OK) {
        status = envelope_verify(&envelope, key, err);
    }
    if (status == NERO_OK) {
        *payload = envelope.payload;
    }
    return status;
}
