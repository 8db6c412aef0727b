#include "run_create.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/layout.h"

#include "cli.h"

void run_create_name(const char *preset_path, char out[SLOT_RUN_BYTES])
{
    const char *slash = strrchr(preset_path, '/');
    const char *stem = slash != NULL ? slash + 1 : preset_path;
    uint8_t random[3];
    char hex[7];
    size_t used = 0;

    for (; *stem != 0 && *stem != '.' && used < 40; stem++) {
        char c = (char)tolower((unsigned char)*stem);

        out[used++] = isalnum((unsigned char)c) ? c : '-';
    }
    if (used == 0 || out[0] == '-') {
        out[0] = 'r';
        used = used == 0 ? 1 : used;
    }
    randombytes_buf(random, sizeof random);
    bytes_to_hex(hex, random, sizeof random);
    (void)snprintf(out + used, SLOT_RUN_BYTES - used, "-%s", hex);
}

static enum nero_status write_record(struct storage *store, const struct run_record *record,
                                     const struct key_pair *root, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes payload;
    struct bytes stored;
    enum nero_status status;

    bytes_init(&payload, RUN_BYTES_MAX);
    bytes_init(&stored, RUN_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    status = run_record_encode(record, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_RUN, bytes_as_view(&payload), root, &stored, err);
    }
    if (status == NERO_OK) {
        layout_run(key, record->name);
        status = storage_create_once(store, key, bytes_as_view(&stored), err);
    }
    bytes_fini(&payload);
    bytes_fini(&stored);
    return status;
}

enum nero_status run_create(struct storage *store, struct run_record *record,
                            const struct key_pair *root, struct key_pair *run_key,
                            struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    enum nero_status status = layout_check_run(record->name, err);

    if (status != NERO_OK) {
        return status;
    }
    layout_run(key, record->name);
    status = storage_head(store, key, NULL, err);
    if (status == NERO_OK) {
        return err_set(err, NERO_EXISTS, 0,
                       "run %s exists in this store: go on with '%s resume %s', or choose another "
                       "--name",
                       record->name, cli_program(), record->name);
    }
    if (status != NERO_NOT_FOUND) {
        return status;
    }
    status = cli_run_key_create(record->name, run_key, err);
    if (status == NERO_EXISTS) { /* left by a start that died before it wrote the record */
        status = cli_run_key(record->name, run_key, err);
    }
    if (status == NERO_OK) {
        record->run_key = run_key->public_key;
        record->created_ms = clock_wall_ms(clock_system());
        record->store_mode = storage_has_single_writer(store) ? RUN_ATTEMPTS : RUN_EXCLUSIVE;
        status = write_record(store, record, root, err);
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "create run %s", record->name);
}
