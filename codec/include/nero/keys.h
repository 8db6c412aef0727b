/*
 * Keys and certificates. Root key -> run key -> runner keys (DESIGN 5). Root and run keys lie in
 * files of mode 0600 (refused otherwise) under $XDG_DATA_HOME/nero/keys (default
 * ~/.local/share); runner keys live in memory only.
 */
#ifndef NERO_KEYS_H
#define NERO_KEYS_H

#include <stdint.h>

#include "nero/envelope.h"
#include "nero/slot.h"

enum { KEYS_PATH_BYTES = 1024, KEYS_TEXT_BYTES = 128, KEYS_TOKEN_BYTES = 32 };

/* Allowed kinds of signature of a certified key. */
enum keys_use { KEYS_USE_SLOTS = 1 };

/* Payload of an ENVELOPE_CERTIFICATE, signed by the run key. */
struct keys_certificate {
    char run[SLOT_RUN_BYTES];
    struct key_public key;
    uint32_t uses;          /* bits of keys_use */
    uint64_t epoch;         /* leadership epoch in which it was issued */
    int64_t not_before_ms;  /* wall clock */
    int64_t not_after_ms;
    char host[KEYS_TEXT_BYTES]; /* as the runner says */
};

/* Folder of the keys, made 0700 when `create`. Errors: denied, invalid (no HOME). */
enum nero_status keys_folder(bool create, char out[KEYS_PATH_BYTES], struct nero_err *err);

/* Read a secret key file; not_found when absent, denied when its mode lets others read. */
enum nero_status keys_load(const char *path, struct key_pair *out, struct nero_err *err);

/* Write a new secret key file 0600 and "<path>.pub" beside it; exists when there is one. */
enum nero_status keys_create(const char *path, struct key_pair *out, struct nero_err *err);

/* A public key file: one line "nero-key-v1 <64 hex digits>". */
enum nero_status keys_load_public(const char *path, struct key_public *out, struct nero_err *err);

enum nero_status keys_certificate_encode(const struct keys_certificate *certificate,
                                         struct bytes *out, struct nero_err *err);
enum nero_status keys_certificate_decode(struct bytes_view bytes, struct keys_certificate *out,
                                         struct nero_err *err);

/*
 * Payload of an ENVELOPE_ENROL, signed by the runner's new key: it asks for a certificate. `proof` is
 * HMAC-SHA-512-256(join token, public key, run, host); all zero over an inherited socket pair.
 */
struct keys_enrol {
    char run[SLOT_RUN_BYTES];
    struct key_public key;
    char host[KEYS_TEXT_BYTES];
    uint8_t proof[32];
};
enum nero_status keys_enrol_encode(const struct keys_enrol *enrol, struct bytes *out,
                                   struct nero_err *err);
enum nero_status keys_enrol_decode(struct bytes_view bytes, struct keys_enrol *out,
                                   struct nero_err *err);
void keys_enrol_prove(struct keys_enrol *enrol, const uint8_t token[KEYS_TOKEN_BYTES]);
bool keys_enrol_proves(const struct keys_enrol *enrol, const uint8_t token[KEYS_TOKEN_BYTES]);

#endif
