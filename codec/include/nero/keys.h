/*
 * Keys and certificates. Root key -> run key -> runner keys (DESIGN 5). Root and run keys lie in
 * files of mode 0600 (refused otherwise) under $XDG_DATA_HOME/nero/keys (default
 * ~/.local/share); runner keys live in memory only.
 */
#ifndef NERO_KEYS_H
#define NERO_KEYS_H

#include <stdbool.h>
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
    uint32_t uses;         /* bits of keys_use */
    uint64_t epoch;        /* leadership epoch in which it was issued */
    int64_t not_before_ms; /* wall clock */
    int64_t not_after_ms;
    char host[KEYS_TEXT_BYTES]; /* as the runner says */
};

/*
 * Folder of the keys, made 0700 when `create`. Errors: invalid (no HOME), not_found (without
 * `create`), denied (it is not ours alone; the message says how to mend it).
 */
enum nero_status keys_folder(bool create, char out[KEYS_PATH_BYTES], struct nero_err *err);

/*
 * Read a secret key file: one line "nero-secret-key-v1 <64 hex digits of the seed>". Errors:
 * not_found; denied when its mode lets others at it or it is not ours (the message says how to mend
 * it); corrupt. End *out with key_pair_fini.
 */
enum nero_status keys_load(const char *path, struct key_pair *out, struct nero_err *err);

/*
 * Make a key, write it 0600 and its public half to "<path>.pub". The secret file appears whole or
 * not at all (temporary file, fsync, link). Errors: exists, denied, no_space.
 */
enum nero_status keys_create(const char *path, struct key_pair *out, struct nero_err *err);

/* A public key file: one line "nero-key-v1 <64 hex digits>". */
enum nero_status keys_load_public(const char *path, struct key_public *out, struct nero_err *err);

enum nero_status keys_certificate_encode(const struct keys_certificate *certificate,
                                         struct bytes *out, struct nero_err *err);
enum nero_status keys_certificate_decode(struct bytes_view bytes, struct keys_certificate *out,
                                         struct nero_err *err);

/*
 * A stored certificate (its envelope): signed by this run key, for this run. Times and epoch are
 * for the caller to judge. Errors: denied, corrupt, version.
 */
enum nero_status keys_certificate_verify(struct bytes_view stored, const struct key_public *run_key,
                                         const char *run, struct keys_certificate *out,
                                         struct nero_err *err);

/*
 * Payload of an ENVELOPE_ENROL, signed by the runner's new key: it asks for a certificate. `proof`
 * is HMAC-SHA-512-256(join token, public key, run, host); all zero over an inherited socket pair.
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
/* Set the proof; cleans the host as storing will (record_clean_text). */
void keys_enrol_prove(struct keys_enrol *enrol, const uint8_t token[KEYS_TOKEN_BYTES]);
bool keys_enrol_proves(const struct keys_enrol *enrol, const uint8_t token[KEYS_TOKEN_BYTES]);

#endif
