#include "nero/trust.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "nero/layout.h"
#include "nero/mem.h"

enum {
    CERTIFICATE_BYTES_MAX = 4096,
    VERDICT_EPOCHS_MAX = 16,       /* the newest ones that are looked into: not all try the store */
    TIME_SLACK_MS = 10 * 60 * 1000 /* by which the clocks of signer and issuer may differ */
};

struct known_key {
    struct key_id id;
    struct keys_certificate certificate;
};

/* `record` holds views into `stored`. */
struct trust {
    struct storage *store;
    struct bytes stored;
    struct run_record record;
    struct hash hash;
    struct key_id run_key_id;
    bool has_root;
    bool judges_refusals;
    struct key_public root;
    struct known_key *known; /* grows by doubling */
    size_t known_count;
    size_t known_room;
};

enum nero_status trust_open_root_envelope(const struct trust *trust, struct bytes_view stored,
                                          enum envelope_type type, struct bytes_view *payload,
                                          struct nero_err *err)
{
    struct envelope envelope;
    enum nero_status status = envelope_parse(stored, type, &envelope, err);

    if (status == NERO_OK && trust->has_root) {
        status = envelope_verify(&envelope, &trust->root, err);
    }
    if (status == NERO_OK) {
        *payload = envelope.payload;
    }
    return status;
}

static enum nero_status read_run(struct trust *trust, const char *run, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes_view payload;
    enum nero_status status;

    layout_run(key, run);
    status = storage_get(trust->store, key, &trust->stored, NULL, err);
    if (status == NERO_OK) {
        status = trust_open_root_envelope(trust, bytes_as_view(&trust->stored), ENVELOPE_RUN,
                                          &payload, err);
    }
    if (status == NERO_OK) {
        status = run_record_decode(payload, &trust->record, err);
    }
    if (status == NERO_OK && strcmp(trust->record.name, run) != 0) {
        status = err_set(err, NERO_CORRUPT, 0, "it is the record of run '%s'", trust->record.name);
    }
    return status;
}

enum nero_status trust_open(struct storage *store, const char *run, const struct key_public *root,
                            struct trust **out, struct nero_err *err)
{
    struct trust *trust;

    if (layout_check_run(run, err) != NERO_OK) {
        return err->status;
    }
    trust = mem_calloc(1, sizeof *trust);
    if (trust == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "read the record of run %s: no memory", run);
    }
    trust->store = store;
    bytes_init(&trust->stored, RUN_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    if (root != NULL) {
        trust->has_root = true;
        trust->root = *root;
    }
    if (read_run(trust, run, err) != NERO_OK) {
        trust_close(trust);
        return err_wrap(err, "read the record of run %s", run);
    }
    trust->hash = hash_of(bytes_as_view(&trust->stored));
    trust->run_key_id = key_id_of(&trust->record.run_key);
    *out = trust;
    return NERO_OK;
}

void trust_close(struct trust *trust)
{
    if (trust == NULL) {
        return;
    }
    bytes_fini(&trust->stored);
    free(trust->known);
    free(trust);
}

const struct run_record *trust_run(const struct trust *trust)
{
    return &trust->record;
}

struct hash trust_run_hash(const struct trust *trust)
{
    return trust->hash;
}

const struct key_public *trust_run_key(const struct trust *trust)
{
    return &trust->record.run_key;
}

enum nero_status trust_open_run_envelope(struct trust *trust, struct bytes_view stored,
                                         enum envelope_type type, struct bytes_view *payload,
                                         struct nero_err *err)
{
    return envelope_open(stored, type, &trust->record.run_key, payload, err);
}

static enum nero_status note_epoch(void *context, const char *key, uint64_t bytes,
                                   struct nero_err *err)
{
    uint64_t *newest = context;

    (void)bytes;
    (void)err;
    *newest = strtoull(strrchr(key, '/') + 1, NULL, 10); /* they come in order */
    return NERO_OK;
}

/* Whether the epoch has a verdict that is the run's own. */
static enum nero_status read_verdict(struct trust *trust, uint64_t number, struct run_verdict *out,
                                     bool *found, struct nero_err *err)
{
    struct bytes_view payload;
    char key[LAYOUT_KEY_BYTES];
    struct run_epoch epoch;
    struct bytes stored;
    enum nero_status status;

    *found = false;
    layout_epoch(key, trust->record.name, number);
    bytes_init(&stored, RUN_CONTROL_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = storage_get(trust->store, key, &stored, NULL, err);
    if (status == NERO_OK &&
        trust_open_run_envelope(trust, bytes_as_view(&stored), ENVELOPE_EPOCH, &payload, err) ==
            NERO_OK &&
        run_epoch_decode(payload, &epoch, err) == NERO_OK && epoch.number == number &&
        strcmp(epoch.run, trust->record.name) == 0 && epoch.has_verdict) {
        *found = true;
        *out = epoch.verdict;
    }
    bytes_fini(&stored);
    return status == NERO_NOT_FOUND ? NERO_OK : status;
}

enum nero_status trust_verdict(struct trust *trust, struct run_verdict *out, bool *found,
                               struct nero_err *err)
{
    char folder[LAYOUT_KEY_BYTES];
    uint64_t newest = 0;
    enum nero_status status;

    *found = false;
    layout_epoch(folder, trust->record.name, 0);
    strrchr(folder, '/')[1] = 0;
    status = storage_list_each(trust->store, folder, note_epoch, &newest, err);
    for (uint64_t i = 0; i < VERDICT_EPOCHS_MAX && i < newest && status == NERO_OK && !*found;
         i++) {
        status = read_verdict(trust, newest - i, out, found, err);
    }
    return status == NERO_OK
               ? NERO_OK
               : err_wrap(err, "read the verdict on the store of run %s", trust->record.name);
}

static enum nero_status remember(struct trust *trust, const struct key_id *id,
                                 const struct keys_certificate *certificate, struct nero_err *err)
{
    if (trust->known_count == trust->known_room) {
        size_t room = trust->known_room > 0 ? trust->known_room * 2 : 8;
        struct known_key *known = mem_realloc_array(trust->known, room, sizeof *known);

        if (known == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "keep a certificate: no memory");
        }
        trust->known = known;
        trust->known_room = room;
    }
    trust->known[trust->known_count++] = (struct known_key){.id = *id, .certificate = *certificate};
    return NERO_OK;
}

void trust_judge_refusals(struct trust *trust)
{
    trust->judges_refusals = true;
}

/*
 * A certificate that is absent or bad is a verdict on the signature: denied. A store that cannot be
 * asked is none: whatever it says, the caller may not take its slots for forged.
 */
static enum nero_status fetch_certificate(struct trust *trust, const struct key_id *id,
                                          struct keys_certificate *out, struct nero_err *err)
{
    char hex[KEY_ID_HEX_BYTES];
    char key[LAYOUT_KEY_BYTES];
    struct bytes stored;
    struct key_id of;
    enum nero_status status;

    key_id_to_hex(hex, id);
    layout_certificate(key, trust->record.name, id);
    bytes_init(&stored, CERTIFICATE_BYTES_MAX);
    status = storage_get(trust->store, key, &stored, NULL, err);
    if (status == NERO_NOT_FOUND) {
        status = err_set(err, NERO_DENIED, 0, "key %s has no certificate", hex);
    } else if (status == NERO_TOO_BIG) {
        status = err_set(err, NERO_DENIED, 0, "the certificate of key %s is too big", hex);
    } else if (status != NERO_OK) {
        err_wrap(err, "read the certificate of key %s", hex);
        status = err->status = err_is_retryable(status) || status == NERO_NO_MEMORY ||
                                       (status == NERO_DENIED && trust->judges_refusals)
                                   ? status
                                   : NERO_UNAVAILABLE;
    } else {
        status = keys_certificate_verify(bytes_as_view(&stored), &trust->record.run_key,
                                         trust->record.name, out, err);
        of = key_id_of(&out->key);
        if (status == NERO_OK && memcmp(&of, id, sizeof of) != 0) {
            status = err_set(err, NERO_DENIED, 0, "the certificate of key %s is another's", hex);
        }
        if (status != NERO_OK && status != NERO_NO_MEMORY) {
            status = err->status = NERO_DENIED;
        }
    }
    bytes_fini(&stored);
    return status;
}

static enum nero_status find_certificate(struct trust *trust, const struct key_id *id,
                                         struct keys_certificate *out, struct nero_err *err)
{
    enum nero_status status;

    for (size_t i = 0; i < trust->known_count; i++) {
        if (memcmp(&trust->known[i].id, id, sizeof *id) == 0) {
            *out = trust->known[i].certificate;
            return NERO_OK;
        }
    }
    memset(out, 0, sizeof *out);
    status = fetch_certificate(trust, id, out, err);
    return status == NERO_OK ? remember(trust, id, out, err) : status;
}

/* The time in a slot is its signer's word: this stops expired keys of honest runners, and bounds
 * what a stolen one can claim. */
static enum nero_status check_time(const struct keys_certificate *certificate,
                                   struct bytes_view payload, struct nero_err *err)
{
    struct slot slot;
    enum nero_status status = slot_decode(payload, &slot, err);

    if (status != NERO_OK) {
        return status;
    }
    if (slot.wall_ms < certificate->not_before_ms - TIME_SLACK_MS ||
        slot.wall_ms > certificate->not_after_ms + TIME_SLACK_MS) {
        return err_set(err, NERO_DENIED, 0,
                       "signed at %" PRId64 " ms, outside the certificate's %" PRId64
                       " to %" PRId64,
                       slot.wall_ms, certificate->not_before_ms, certificate->not_after_ms);
    }
    return NERO_OK;
}

enum nero_status trust_open_slot(struct trust *trust, struct bytes_view stored,
                                 struct bytes_view *payload, bool *by_scheduler,
                                 struct key_id *signer, struct nero_err *err)
{
    struct keys_certificate certificate;
    struct envelope envelope;
    enum nero_status status = envelope_parse(stored, ENVELOPE_SLOT, &envelope, err);
    bool run_key;

    if (status != NERO_OK) {
        return status;
    }
    run_key = memcmp(&envelope.key, &trust->run_key_id, sizeof envelope.key) == 0;
    if (run_key) {
        status = envelope_verify(&envelope, &trust->record.run_key, err);
    } else {
        status = find_certificate(trust, &envelope.key, &certificate, err);
        if (status == NERO_OK && (certificate.uses & KEYS_USE_SLOTS) == 0) {
            status = err_set(err, NERO_DENIED, 0, "the key may not sign slots");
        }
        if (status == NERO_OK) {
            status = envelope_verify(&envelope, &certificate.key, err);
        }
        if (status == NERO_OK) {
            status = check_time(&certificate, envelope.payload, err);
        }
    }
    if (status != NERO_OK) {
        return status;
    }
    *payload = envelope.payload;
    *by_scheduler = run_key;
    *signer = envelope.key;
    return NERO_OK;
}
