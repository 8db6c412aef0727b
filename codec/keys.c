/* Records of keys: certificates and requests for one. The files are keys_file.c's. */
#include "nero/keys.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "fields.h"

enum { KEYS_BYTES_MAX = 4096 };

static_assert(KEYS_TOKEN_BYTES == crypto_auth_hmacsha512256_KEYBYTES, "a join token is a MAC key");

void keys_certificate_fields(struct record *r, struct keys_certificate *certificate)
{
    record_open(r, 1, 8);
    layout_run_field(r, certificate->run);
    record_fixed(r, "key", certificate->key.data, sizeof certificate->key.data);
    record_u32(r, "uses", &certificate->uses, KEYS_USE_SLOTS, KEYS_USE_SLOTS);
    record_u64(r, "epoch", &certificate->epoch, 0, FIELDS_NUMBER_MAX);
    record_i64(r, "not_before_ms", &certificate->not_before_ms, INT64_MIN, INT64_MAX);
    record_i64(r, "not_after_ms", &certificate->not_after_ms, certificate->not_before_ms,
               INT64_MAX);
    record_text(r, "host", certificate->host, sizeof certificate->host);
    record_close(r);
}

enum nero_status keys_certificate_encode(const struct keys_certificate *certificate,
                                         struct bytes *out, struct nero_err *err)
{
    struct keys_certificate copy = *certificate;
    struct record r;

    record_write_begin(&r, "certificate", out, KEYS_BYTES_MAX, err);
    keys_certificate_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status keys_certificate_decode(struct bytes_view bytes, struct keys_certificate *out,
                                         struct nero_err *err)
{
    struct keys_certificate made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "certificate", bytes, KEYS_BYTES_MAX, err);
    keys_certificate_fields(&r, &made);
    if (record_end(&r) == NERO_OK) {
        *out = made;
    }
    return r.status;
}

enum nero_status keys_certificate_verify(struct bytes_view stored, const struct key_public *run_key,
                                         const char *run, struct keys_certificate *out,
                                         struct nero_err *err)
{
    struct keys_certificate made;
    struct bytes_view payload;
    enum nero_status status = envelope_open(stored, ENVELOPE_CERTIFICATE, run_key, &payload, err);

    if (status == NERO_OK) {
        status = keys_certificate_decode(payload, &made, err);
    }
    if (status != NERO_OK) {
        return err_wrap(err, "certificate");
    }
    if (strcmp(made.run, run) != 0) {
        return err_set(err, NERO_DENIED, 0, "certificate: made for run '%s', not '%s'", made.run,
                       run);
    }
    *out = made;
    return NERO_OK;
}

void keys_enrol_fields(struct record *r, struct keys_enrol *enrol)
{
    record_open(r, 1, 5);
    layout_run_field(r, enrol->run);
    record_fixed(r, "key", enrol->key.data, sizeof enrol->key.data);
    record_text(r, "host", enrol->host, sizeof enrol->host);
    record_fixed(r, "proof", enrol->proof, sizeof enrol->proof);
    record_close(r);
}

enum nero_status keys_enrol_encode(const struct keys_enrol *enrol, struct bytes *out,
                                   struct nero_err *err)
{
    struct keys_enrol copy = *enrol;
    struct record r;

    record_write_begin(&r, "enrol", out, KEYS_BYTES_MAX, err);
    keys_enrol_fields(&r, &copy);
    return record_end(&r);
}

enum nero_status keys_enrol_decode(struct bytes_view bytes, struct keys_enrol *out,
                                   struct nero_err *err)
{
    struct keys_enrol made;
    struct record r;

    memset(&made, 0, sizeof made);
    record_read_begin(&r, "enrol", bytes, KEYS_BYTES_MAX, err);
    keys_enrol_fields(&r, &made);
    if (record_end(&r) == NERO_OK) {
        *out = made;
    }
    return r.status;
}

/* The texts go in whole, zero padding included: fixed lengths leave nothing to shift. */
static void enrol_mac(uint8_t out[32], const struct keys_enrol *enrol,
                      const uint8_t token[KEYS_TOKEN_BYTES])
{
    static const char tag[16] = "nero.enrol.v1";
    uint8_t message[sizeof tag + KEY_PUBLIC_BYTES + SLOT_RUN_BYTES + KEYS_TEXT_BYTES] = {0};
    size_t at = 0;

    memcpy(message, tag, sizeof tag);
    at += sizeof tag;
    memcpy(message + at, enrol->key.data, KEY_PUBLIC_BYTES);
    at += KEY_PUBLIC_BYTES;
    memcpy(message + at, enrol->run, strnlen(enrol->run, SLOT_RUN_BYTES));
    at += SLOT_RUN_BYTES;
    memcpy(message + at, enrol->host, strnlen(enrol->host, KEYS_TEXT_BYTES));
    (void)crypto_auth_hmacsha512256(out, message, sizeof message, token);
}

void keys_enrol_prove(struct keys_enrol *enrol, const uint8_t token[KEYS_TOKEN_BYTES])
{
    record_clean_text(enrol->host); /* as it will be stored */
    enrol_mac(enrol->proof, enrol, token);
}

bool keys_enrol_proves(const struct keys_enrol *enrol, const uint8_t token[KEYS_TOKEN_BYTES])
{
    uint8_t proof[32];

    enrol_mac(proof, enrol, token);
    return sodium_memcmp(proof, enrol->proof, sizeof proof) == 0;
}
