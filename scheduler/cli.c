#include "cli.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nero/keys.h"
#include "nero/storage_probe.h"
#include "nero/storage_retry.h"

int cli_parse(const struct options_command *command, int argc, char **argv,
              struct options_parsed *out, bool *done)
{
    struct nero_err err;

    *done = true;
    if (options_parse(command, argc, argv, out, &err) != NERO_OK) {
        return cli_fail(command->program, &err);
    }
    if (out->help) {
        options_print_help(command, stdout);
        return ERR_EXIT_DONE;
    }
    *done = false;
    return ERR_EXIT_DONE;
}

int cli_fail(const char *command, const struct nero_err *err)
{
    (void)fflush(stdout);
    (void)fprintf(stderr, "%s: %s\n", command, err->message);
    return (int)err_exit_code(err->status);
}

enum nero_status cli_store_url(const char *given, bool create, char out[CLI_URL_BYTES],
                               struct nero_err *err)
{
    char folder[KEYS_PATH_BYTES];
    char *slash;

    if (given != NULL && given[0] != 0) {
        if (strlen(given) >= CLI_URL_BYTES) {
            return err_set(err, NERO_INVALID, 0, "the store's URL is too long");
        }
        (void)snprintf(out, CLI_URL_BYTES, "%s", given);
        return NERO_OK;
    }
    if (keys_folder(create, folder, err) != NERO_OK) {
        return err_wrap(err, "default store (give --store URL)");
    }
    slash = strrchr(folder, '/'); /* the store lies beside the keys */
    *slash = 0;
    (void)snprintf(out, CLI_URL_BYTES, "file://%s/store", folder);
    return NERO_OK;
}

const char *cli_program(void)
{
    return strchr(program_invocation_name, '/') != NULL ? program_invocation_name : "nero-sched";
}

enum nero_status cli_open_store(const char *url, bool create, struct storage **out,
                                struct nero_err *err)
{
    struct storage_retry_options options;
    struct storage *inner;
    uint64_t seed;

    randombytes_buf(&seed, sizeof seed);
    options = storage_retry_defaults(seed);
    if (storage_open(url, create, &inner, err) != NERO_OK) {
        return err->status;
    }
    if (storage_retry_wrap(inner, &options, out, err) != NERO_OK) {
        storage_close(inner);
        return err->status;
    }
    if ((storage_capabilities(*out) & STORAGE_CAN_CREATE) == 0) {
        storage_promise_single_writer(*out);
    }
    return NERO_OK;
}

enum nero_status cli_store_mode(struct storage *store, const char *mode, struct nero_err *err)
{
    if (mode == NULL || mode[0] == 0) {
        return NERO_OK;
    }
    if (strcmp(mode, "attempt") == 0) {
        storage_promise_single_writer(store);
        return NERO_OK;
    }
    if (strcmp(mode, "exclusive") != 0) {
        return err_set(err, NERO_INVALID, 0, "--store-mode '%s': expected exclusive or attempt",
                       mode);
    }
    return storage_has_single_writer(store)
               ? err_set(err, NERO_INVALID, 0,
                         "--store-mode exclusive: store %s cannot create exclusively",
                         storage_url(store))
               : NERO_OK;
}

enum nero_status cli_trust_store(struct storage *store, bool skip_probe, struct nero_err *err)
{
    struct storage_probe seen;
    bool trusted;

    if (skip_probe || strncmp(storage_url(store), "s3", 2) != 0) {
        return NERO_OK;
    }
    if (storage_probe(store, &seen, err) != NERO_OK) {
        return err->status;
    }
    trusted = storage_has_single_writer(store) ? seen.usable : seen.trusted;
    if (!trusted) {
        return err_set(err, NERO_INVALID, 0,
                       "store %s cannot be trusted with a run: %s ('nero-sched doctor' tells more; "
                       "--store-mode attempt does without exclusive creates, --skip-probe goes on "
                       "at your risk)",
                       storage_url(store), seen.why);
    }
    return NERO_OK;
}

/* `kind`: "key" or "key.pub" */
static enum nero_status key_path(const char *name, const char *kind, bool create,
                                 char out[KEYS_PATH_BYTES], struct nero_err *err)
{
    char folder[KEYS_PATH_BYTES];

    if (keys_folder(create, folder, err) != NERO_OK) {
        return err->status;
    }
    if (snprintf(out, KEYS_PATH_BYTES, "%s/%s.%s", folder, name, kind) >= KEYS_PATH_BYTES) {
        return err_set(err, NERO_INVALID, 0, "the path of the key folder is too long");
    }
    return NERO_OK;
}

enum nero_status cli_root_key(bool create, struct key_pair *out, bool *created,
                              struct nero_err *err)
{
    char path[KEYS_PATH_BYTES];
    enum nero_status status = key_path("root", "key", create, path, err);

    *created = false;
    if (status != NERO_OK) {
        return status;
    }
    status = keys_load(path, out, err);
    if (status == NERO_NOT_FOUND && create) {
        status = keys_create(path, out, err);
        *created = status == NERO_OK;
        if (status == NERO_EXISTS) { /* another process was faster */
            status = keys_load(path, out, err);
        }
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "root key");
}

enum nero_status cli_root_public(struct key_public *out, struct nero_err *err)
{
    char path[KEYS_PATH_BYTES];
    enum nero_status status = key_path("root", "key.pub", false, path, err);

    if (status == NERO_OK) {
        status = keys_load_public(path, out, err);
    }
    return status == NERO_OK ? NERO_OK : err_wrap(err, "root key");
}

enum nero_status cli_root_given(const char *path, struct key_public *out, struct nero_err *err)
{
    if (keys_load_public(path, out, err) == NERO_OK) {
        return NERO_OK;
    }
    /* Bad input here, not a damaged artifact. */
    err->status = err->status == NERO_CORRUPT ? NERO_INVALID : err->status;
    return err_wrap(err, "--root-key");
}

enum nero_status cli_run_key(const char *run, struct key_pair *out, struct nero_err *err)
{
    char path[KEYS_PATH_BYTES];
    enum nero_status status = key_path(run, "key", false, path, err);

    if (status == NERO_OK) {
        status = keys_load(path, out, err);
    }
    if (status == NERO_NOT_FOUND) {
        return err_set(err, NERO_NOT_FOUND, 0,
                       "no key of run %s here (%s): it is on the machine that started the run", run,
                       path);
    }
    return status;
}

enum nero_status cli_run_key_create(const char *run, struct key_pair *out, struct nero_err *err)
{
    char path[KEYS_PATH_BYTES];

    if (key_path(run, "key", true, path, err) != NERO_OK) {
        return err->status;
    }
    return keys_create(path, out, err) == NERO_OK ? NERO_OK : err_wrap(err, "key of run %s", run);
}
