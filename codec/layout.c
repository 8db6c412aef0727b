#include "nero/layout.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fields.h"

static bool run_name_is_clean(const char *run, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        char c = run[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i > 0))) {
            return false;
        }
    }
    return bytes > 0 && bytes < SLOT_RUN_BYTES;
}

enum nero_status layout_check_run(const char *run, struct nero_err *err)
{
    if (!run_name_is_clean(run, strnlen(run, SLOT_RUN_BYTES))) {
        return err_set(err, NERO_INVALID, 0,
                       "run name '%.80s': expected 1 to 63 of a-z 0-9 -, not starting with -", run);
    }
    return NERO_OK;
}

void layout_run_field(struct record *r, char run[SLOT_RUN_BYTES])
{
    record_name(r, "run", run, SLOT_RUN_BYTES);
    if (record_ok(r) && !run_name_is_clean(run, strnlen(run, SLOT_RUN_BYTES))) {
        record_fail(r, "run", "a run's name is 1 to 63 of a-z 0-9 -, not starting with -");
    }
}

/* The longest key (of a slot in a row) has 5 + 63 + 5 + 64 + 3 + 33 + 11 bytes: none is ever cut.
 */
static void layout_print(char out[LAYOUT_KEY_BYTES], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void layout_print(char out[LAYOUT_KEY_BYTES], const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(out, LAYOUT_KEY_BYTES, format, args);
    va_end(args);
}

void layout_run(char out[LAYOUT_KEY_BYTES], const char *run)
{
    layout_print(out, "runs/%.63s/run", run);
}

void layout_run_prefix(char out[LAYOUT_KEY_BYTES], const char *run)
{
    layout_print(out, "runs/%.63s/", run);
}

void layout_amend(char out[LAYOUT_KEY_BYTES], const char *run, uint64_t number)
{
    layout_print(out, "runs/%.63s/amend/%08" PRIu64, run, number);
}

void layout_collection(char out[LAYOUT_KEY_BYTES], const char *run, uint64_t number)
{
    layout_print(out, "runs/%.63s/gc/%08" PRIu64, run, number);
}

void layout_epoch(char out[LAYOUT_KEY_BYTES], const char *run, uint64_t number)
{
    layout_print(out, "runs/%.63s/epoch/%010" PRIu64, run, number);
}

void layout_certificate(char out[LAYOUT_KEY_BYTES], const char *run, const struct key_id *key)
{
    char hex[KEY_ID_HEX_BYTES];

    key_id_to_hex(hex, key);
    layout_print(out, "runs/%.63s/keys/%s", run, hex);
}

void layout_batch(char out[LAYOUT_KEY_BYTES], const char *run, uint64_t number)
{
    layout_print(out, "runs/%.63s/q/%010" PRIu64, run, number);
}

void layout_slot(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job,
                 uint64_t number)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, job);
    layout_print(out, "runs/%.63s/job/%s/%010" PRIu64, run, hex, number);
}

void layout_attempt_slot(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job,
                         uint64_t token, uint64_t nonce, uint64_t number)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, job);
    layout_print(out, "runs/%.63s/job/%s/m/%016" PRIx64 "-%016" PRIx64 "/%010" PRIu64, run, hex,
                 token, nonce, number);
}

void layout_attempts(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, job);
    layout_print(out, "runs/%.63s/job/%s/m/", run, hex);
}

/* runs/<run>/<kind>/<hh>/<hash>: two digits spread the keys over 256 prefixes. */
static void layout_spread(char out[LAYOUT_KEY_BYTES], const char *run, const char *kind,
                          const struct hash *hash)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, hash);
    layout_print(out, "runs/%.63s/%s/%.2s/%s", run, kind, hex, hex);
}

void layout_spec(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job)
{
    layout_spread(out, run, "spec", job);
}

void layout_blob(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *blob)
{
    layout_spread(out, run, "blob", blob);
}

void layout_result(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job)
{
    layout_spread(out, run, "result", job);
}

void layout_generation(char out[LAYOUT_KEY_BYTES], const char *run, uint32_t lineage,
                       uint32_t generation, const char *state)
{
    layout_print(out, "runs/%.63s/gen/%" PRIu32 "/%08" PRIu32 "/%.16s", run, lineage, generation,
                 state);
}

void layout_data_blob(char out[LAYOUT_KEY_BYTES], const struct hash *blob)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, blob);
    layout_print(out, "data/%.2s/%s", hex, hex);
}

void layout_dataset(char out[LAYOUT_KEY_BYTES], const struct hash *id)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, id);
    layout_print(out, "data/set/%s", hex);
}

void layout_inbox(char out[LAYOUT_KEY_BYTES], const struct hash *id)
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, id);
    layout_print(out, "inbox/%s", hex);
}
