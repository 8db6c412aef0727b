#include "place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Keys are read loosely, part by part, and then made again from what was read: whatever is not the
 * spelling of layout.h differs there.
 */
static uint64_t number_of(const char *text)
{
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static const char *last_part(const char *key)
{
    const char *slash = strrchr(key, '/');

    return slash != NULL ? slash + 1 : key;
}

static bool hash_part(const char *text, struct hash *out)
{
    struct nero_err ignored;

    return hash_from_hex(out, text, &ignored) == NERO_OK;
}

static bool state_part(const char *text, enum generation_state *out)
{
    for (int state = GENERATION_PROPOSED; state <= GENERATION_CLOSED; state++) {
        if (strcmp(text, generation_state_name((enum generation_state)state)) == 0) {
            *out = (enum generation_state)state;
            return true;
        }
    }
    return false;
}

/* "<lineage>/<number>/<state>" */
static bool generation_part(const char *text, struct place *out, char again[LAYOUT_KEY_BYTES])
{
    const char *slash = strchr(text, '/');

    if (slash == NULL || !state_part(last_part(text), &out->state)) {
        return false;
    }
    out->kind = PLACE_GENERATION;
    out->lineage = (uint32_t)number_of(text);
    out->number = number_of(slash + 1);
    layout_generation(again, out->run, out->lineage, (uint32_t)out->number,
                      generation_state_name(out->state));
    return true;
}

void place_slot_key(const struct place *place, uint64_t number, char out[LAYOUT_KEY_BYTES])
{
    if (place->in_row) {
        layout_attempt_slot(out, place->run, &place->hash, place->token, place->nonce, number);
    } else {
        layout_slot(out, place->run, &place->hash, number);
    }
}

/* "<job>/<number>", "<job>/m/<token>-<nonce>/<number>" */
static bool slot_part(const char *text, struct place *out, char again[LAYOUT_KEY_BYTES])
{
    char hex[HASH_HEX_BYTES];

    if (strlen(text) < sizeof hex || text[sizeof hex - 1] != '/') {
        return false;
    }
    memcpy(hex, text, sizeof hex - 1);
    hex[sizeof hex - 1] = 0;
    out->kind = PLACE_SLOT;
    out->number = number_of(last_part(text));
    if (!hash_part(hex, &out->hash)) {
        return false;
    }
    out->in_row = text[sizeof hex] == 'm';
    if (out->in_row) {
        const char *dash = strchr(text + sizeof hex, '-');

        out->token = strtoull(text + sizeof hex + strlen("m/"), NULL, 16);
        out->nonce = dash != NULL ? strtoull(dash + 1, NULL, 16) : 0;
    }
    place_slot_key(out, out->number, again);
    return true;
}

static bool certificate_part(const char *text, struct place *out, char again[LAYOUT_KEY_BYTES])
{
    struct nero_err ignored;

    out->kind = PLACE_CERTIFICATE;
    if (bytes_from_hex(out->key.data, sizeof out->key.data, text, &ignored) != NERO_OK) {
        return false;
    }
    layout_certificate(again, out->run, &out->key);
    return true;
}

/* Folders whose objects are named by one number, or by one hash. */
static bool simple_part(const char *folder, size_t length, const char *rest, struct place *out,
                        char again[LAYOUT_KEY_BYTES])
{
    static const struct {
        const char *folder;
        enum place_kind kind;
        void (*by_number)(char *, const char *, uint64_t);
        void (*by_hash)(char *, const char *, const struct hash *);
    } folders[] = {{"amend", PLACE_AMENDMENT, layout_amend, NULL},
                   {"epoch", PLACE_EPOCH, layout_epoch, NULL},
                   {"q", PLACE_BATCH, layout_batch, NULL},
                   {"gc", PLACE_COLLECTION, layout_collection, NULL},
                   {"spec", PLACE_SPEC, NULL, layout_spec},
                   {"blob", PLACE_BLOB, NULL, layout_blob},
                   {"result", PLACE_RESULT, NULL, layout_result}};

    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        if (strlen(folders[i].folder) != length || memcmp(folders[i].folder, folder, length) != 0) {
            continue;
        }
        out->kind = folders[i].kind;
        if (folders[i].by_number != NULL) {
            out->number = number_of(rest);
            folders[i].by_number(again, out->run, out->number);
            return true;
        }
        if (!hash_part(last_part(rest), &out->hash)) {
            return false;
        }
        folders[i].by_hash(again, out->run, &out->hash);
        return true;
    }
    return false;
}

/* `rest` follows "runs/<run>/". */
static bool run_part(const char *rest, struct place *out, char again[LAYOUT_KEY_BYTES])
{
    const char *slash = strchr(rest, '/');
    size_t length = slash != NULL ? (size_t)(slash - rest) : strlen(rest);

    if (slash == NULL) {
        out->kind = PLACE_RUN;
        layout_run(again, out->run);
        return true;
    }
    if (length == 3 && memcmp(rest, "gen", length) == 0) {
        return generation_part(slash + 1, out, again);
    }
    if (length == 3 && memcmp(rest, "job", length) == 0) {
        return slot_part(slash + 1, out, again);
    }
    if (length == 4 && memcmp(rest, "keys", length) == 0) {
        return certificate_part(slash + 1, out, again);
    }
    return simple_part(rest, length, slash + 1, out, again);
}

static bool under_run(const char *key, struct place *out, char again[LAYOUT_KEY_BYTES])
{
    const char *name = key + strlen("runs/");
    const char *slash = strchr(name, '/');

    if (slash == NULL || (size_t)(slash - name) >= sizeof out->run) {
        return false;
    }
    memcpy(out->run, name, (size_t)(slash - name));
    return run_part(slash + 1, out, again);
}

static bool starts_with(const char *key, const char *prefix)
{
    return strncmp(key, prefix, strlen(prefix)) == 0;
}

bool place_of(const char *key, struct place *out)
{
    char again[LAYOUT_KEY_BYTES] = "";

    memset(out, 0, sizeof *out);
    if (starts_with(key, "runs/")) {
        return under_run(key, out, again) && strcmp(key, again) == 0;
    }
    if (!hash_part(last_part(key), &out->hash)) {
        return false;
    }
    if (starts_with(key, "data/set/")) {
        out->kind = PLACE_DATASET;
        layout_dataset(again, &out->hash);
    } else if (starts_with(key, "data/")) {
        out->kind = PLACE_DATA_BLOB;
        layout_data_blob(again, &out->hash);
    } else if (starts_with(key, "inbox/")) {
        out->kind = PLACE_INBOX;
        layout_inbox(again, &out->hash);
    }
    return strcmp(key, again) == 0;
}
