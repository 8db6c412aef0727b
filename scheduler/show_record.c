#include "show_record.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "nero/show.h"
#include "nero/trust.h"

#include "place.h"
#include "show_text.h"

enum { SHOW_BLOB_BYTES_MAX = 1 << 30, SHOW_WHY_BYTES = 256 };

/* An object read and, where it is signed, opened. */
struct shown {
    const char *key;
    struct place place;
    struct bytes stored;
    struct bytes_view payload;
    bool has_signer;
    struct key_id signer;
    char verdict[SHOW_WHY_BYTES]; /* about the signature, or the content's hash */
    bool sound;
};

static const char *kind_name(enum place_kind kind)
{
    static const char *const names[] = {[PLACE_RUN] = "run record",
                                        [PLACE_AMENDMENT] = "amendment",
                                        [PLACE_EPOCH] = "epoch",
                                        [PLACE_CERTIFICATE] = "certificate",
                                        [PLACE_BATCH] = "submission batch",
                                        [PLACE_SPEC] = "job",
                                        [PLACE_SLOT] = "slot",
                                        [PLACE_BLOB] = "blob",
                                        [PLACE_RESULT] = "result (copy of the final slot)",
                                        [PLACE_GENERATION] = "generation record",
                                        [PLACE_COLLECTION] = "record of collected blobs",
                                        [PLACE_DATA_BLOB] = "images of a data set",
                                        [PLACE_DATASET] = "data set",
                                        [PLACE_INBOX] = "waiting submission"};

    return names[kind];
}

/* 0: not an envelope. */
static enum envelope_type envelope_type_of(enum place_kind kind)
{
    switch (kind) {
    case PLACE_RUN:
    case PLACE_AMENDMENT:
        return ENVELOPE_RUN;
    case PLACE_EPOCH:
        return ENVELOPE_EPOCH;
    case PLACE_CERTIFICATE:
        return ENVELOPE_CERTIFICATE;
    case PLACE_BATCH:
        return ENVELOPE_BATCH;
    case PLACE_SPEC:
        return ENVELOPE_JOB;
    case PLACE_SLOT:
    case PLACE_RESULT:
        return ENVELOPE_SLOT;
    case PLACE_GENERATION:
        return ENVELOPE_GENERATION;
    case PLACE_COLLECTION:
        return ENVELOPE_COLLECTION;
    case PLACE_INBOX:
        return ENVELOPE_REQUEST;
    case PLACE_BLOB:
    case PLACE_DATA_BLOB:
    case PLACE_DATASET:
        break;
    }
    return (enum envelope_type)0;
}

static void verdict(struct shown *shown, bool sound, const char *text)
{
    shown->sound = sound;
    (void)snprintf(shown->verdict, sizeof shown->verdict, "%.*s", (int)sizeof shown->verdict - 1,
                   text);
}

/* Run record, amendment, request: by the root key, when it is given. */
static void judge_root(struct shown *shown, const struct envelope *envelope,
                       const struct key_public *root)
{
    struct nero_err err;

    if (root == NULL) {
        verdict(shown, true, "by the root key, not checked (give --root-key FILE)");
    } else if (envelope_verify(envelope, root, &err) == NERO_OK) {
        verdict(shown, true, "by the root key: good");
    } else {
        verdict(shown, false, err.message);
    }
}

/* The rest: by the run key that the run record names, or by a certified runner. */
static void judge_run(struct shown *shown, struct storage *store, const struct key_public *root,
                      enum envelope_type type)
{
    struct bytes_view stored = bytes_as_view(&shown->stored);
    struct trust *trust = NULL;
    struct bytes_view payload;
    struct key_id signer;
    struct nero_err err;
    bool by_scheduler = true;
    enum nero_status status = trust_open(store, shown->place.run, root, &trust, &err);

    if (status == NERO_OK) {
        status = type == ENVELOPE_SLOT
                     ? trust_open_slot(trust, stored, &payload, &by_scheduler, &signer, &err)
                     : trust_open_run_envelope(trust, stored, type, &payload, &err);
    }
    if (status != NERO_OK) {
        verdict(shown, false, err.message);
    } else {
        verdict(shown, true, by_scheduler ? "by the run key: good" : "by a certified runner: good");
    }
    trust_close(trust);
}

static enum nero_status judge(struct shown *shown, struct storage *store,
                              const struct key_public *root, struct nero_err *err)
{
    enum envelope_type type = envelope_type_of(shown->place.kind);
    struct envelope envelope;
    struct hash found;
    bool same;

    if (type == 0) {
        found = shown->place.kind == PLACE_DATASET ? run_dataset_id(bytes_as_view(&shown->stored))
                                                   : hash_of(bytes_as_view(&shown->stored));
        same = hash_equal(&found, &shown->place.hash);
        verdict(shown, same,
                same ? "its content has the hash of its name"
                     : "its content has another hash than its name");
        shown->payload = bytes_as_view(&shown->stored);
        return NERO_OK;
    }
    if (envelope_parse(bytes_as_view(&shown->stored), type, &envelope, err) != NERO_OK) {
        return err->status;
    }
    shown->payload = envelope.payload;
    shown->has_signer = true;
    shown->signer = envelope.key;
    if (type == ENVELOPE_RUN || type == ENVELOPE_REQUEST) {
        judge_root(shown, &envelope, root);
    } else {
        judge_run(shown, store, root, type);
    }
    return NERO_OK;
}

static enum nero_status read_shown(struct shown *shown, struct storage *store,
                                   const struct key_public *root, struct nero_err *err)
{
    bool large = shown->place.kind == PLACE_BLOB || shown->place.kind == PLACE_DATA_BLOB;
    enum nero_status status;

    bytes_init(&shown->stored, large ? SHOW_BLOB_BYTES_MAX : ENVELOPE_BYTES_MAX);
    status = storage_get(store, shown->key, &shown->stored, NULL, err);
    if (status == NERO_OK) {
        status = judge(shown, store, root, err);
    }
    if (status != NERO_OK) {
        bytes_fini(&shown->stored);
        return err_wrap(err, "%s", shown->key);
    }
    return NERO_OK;
}

/* ---- JSON ---- */

/* The record's fields by name, as a member of `object`. */
static enum nero_status add_record(json_t *object, enum envelope_type type,
                                   struct bytes_view payload, struct nero_err *err)
{
    struct bytes text;
    json_t *value;
    enum nero_status status;

    bytes_init(&text, (size_t)8 * ENVELOPE_BYTES_MAX);
    status = show_payload(type, payload, &text, err);
    if (status == NERO_OK) {
        value = json_loadb((const char *)text.data, text.bytes, 0, NULL);
        (void)json_object_set_new(object, "record", value != NULL ? value : json_null());
    }
    bytes_fini(&text);
    return status;
}

static enum nero_status print_json(const struct shown *shown, FILE *out, struct nero_err *err)
{
    char signer[KEY_ID_HEX_BYTES];
    enum envelope_type type = envelope_type_of(shown->place.kind);
    json_t *root = json_pack("{s:s, s:s, s:I, s:b, s:s}", "key", shown->key, "kind",
                             kind_name(shown->place.kind), "bytes", (json_int_t)shown->stored.bytes,
                             "sound", (int)shown->sound, "verdict", shown->verdict);
    enum nero_status status = NERO_OK;

    if (shown->has_signer) {
        key_id_to_hex(signer, &shown->signer);
        (void)json_object_set_new(root, "type", json_string(envelope_type_string(type)));
        (void)json_object_set_new(root, "signer", json_string(signer));
    }
    if (shown->place.kind != PLACE_BLOB && shown->place.kind != PLACE_DATA_BLOB) {
        status = add_record(root, type != 0 ? type : ENVELOPE_DATASET, shown->payload, err);
    }
    if (status == NERO_OK) {
        (void)json_dumpf(root, out, JSON_COMPACT);
        (void)fputc('\n', out);
    }
    json_decref(root);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "%s", shown->key);
}

static enum nero_status print_text(const struct shown *shown, FILE *out, struct nero_err *err)
{
    char signer[KEY_ID_HEX_BYTES];
    enum nero_status status;

    (void)fprintf(out, "%s: %s, %zu bytes\n", shown->key, kind_name(shown->place.kind),
                  shown->stored.bytes);
    if (shown->has_signer) {
        key_id_to_hex(signer, &shown->signer);
        (void)fprintf(out, "signed by key %s; %s\n", signer, shown->verdict);
    } else {
        (void)fprintf(out, "%s\n", shown->verdict);
    }
    status = show_text(shown->place.kind, shown->payload, out, err);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "%s", shown->key);
}

enum nero_status show_record(struct storage *store, const char *key, const struct key_public *root,
                             bool json, FILE *out, bool *sound, struct nero_err *err)
{
    struct shown shown = {.key = key};
    enum nero_status status;

    if (!place_of(key, &shown.place)) {
        return err_set(err, NERO_INVALID, 0,
                       "'%.200s' is no place of a store: keys look like runs/NAME/run, "
                       "runs/NAME/gen/0/00000000/closed, data/set/ID",
                       key);
    }
    if (read_shown(&shown, store, root, err) != NERO_OK) {
        return err->status;
    }
    *sound = shown.sound;
    status = json ? print_json(&shown, out, err) : print_text(&shown, out, err);
    bytes_fini(&shown.stored);
    return status;
}
