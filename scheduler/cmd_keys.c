/* nero-sched keys: what keys are here; the root key; join tokens for remote runners. */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "nero/keys.h"

#include "cli.h"
#include "join_tokens.h"

/* The name without ".key.pub" and its length; 0 where the entry is no public key. */
static size_t key_name_length(const char *entry)
{
    static const char ending[] = ".key.pub";
    size_t length = strlen(entry);

    return length > strlen(ending) && strcmp(entry + length - strlen(ending), ending) == 0
               ? length - strlen(ending)
               : 0;
}

/* One public key file as an object of the list, or as a line. A damaged one is told and passed. */
static bool show_key(const char *folder, const char *entry, size_t length, json_t *list)
{
    char path[KEYS_PATH_BYTES];
    char id_hex[KEY_ID_HEX_BYTES];
    char key_hex[2 * KEY_PUBLIC_BYTES + 1];
    struct key_public key;
    struct key_id id;
    struct nero_err err;

    if (snprintf(path, sizeof path, "%s/%s", folder, entry) >= (int)sizeof path) {
        return true;
    }
    if (keys_load_public(path, &key, &err) != NERO_OK) {
        (void)cli_fail("nero-sched keys", &err);
        return false;
    }
    id = key_id_of(&key);
    key_id_to_hex(id_hex, &id);
    bytes_to_hex(key_hex, key.data, sizeof key.data);
    if (list != NULL) {
        (void)json_array_append_new(list, json_pack("{s:s%, s:s, s:s, s:s}", "name", entry, length,
                                                    "id", id_hex, "public", key_hex, "file", path));
    } else {
        (void)printf("%-40.*s  id %s  public %s\n", (int)length, entry, id_hex, key_hex);
    }
    return true;
}

static enum nero_status show_folder(const char *folder, json_t *list, bool *sound,
                                    struct nero_err *err)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    if (dir == NULL) {
        return err_set(err, err_from_errno(errno), errno, "%s: %s", folder, strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL) {
        size_t length = key_name_length(entry->d_name);

        if (length > 0 && !show_key(folder, entry->d_name, length, list)) {
            *sound = false;
        }
    }
    (void)closedir(dir);
    return NERO_OK;
}

static int keys_show(bool json, struct nero_err *err)
{
    char folder[KEYS_PATH_BYTES];
    json_t *list = json ? json_array() : NULL;
    bool sound = true;
    enum nero_status status = keys_folder(false, folder, err);

    if (status == NERO_OK && !json) {
        (void)printf("keys in %s\n", folder);
    }
    if (status == NERO_OK) {
        status = show_folder(folder, list, &sound, err);
    }
    if (status == NERO_OK && json) {
        json_t *root = json_pack("{s:s, s:O}", "folder", folder, "keys", list);

        (void)json_dumpf(root, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(root);
    }
    json_decref(list);
    if (status == NERO_NOT_FOUND) {
        (void)err_wrap(err, "no keys here yet ('nero-sched keys root' makes the first)");
    }
    if (status != NERO_OK) {
        return -1;
    }
    return sound ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
}

static int keys_root(bool json, struct nero_err *err)
{
    char folder[KEYS_PATH_BYTES];
    char path[KEYS_PATH_BYTES + 16];
    char id_hex[KEY_ID_HEX_BYTES];
    struct key_pair root;
    bool created;

    if (cli_root_key(true, &root, &created, err) != NERO_OK ||
        keys_folder(false, folder, err) != NERO_OK) {
        return -1;
    }
    key_id_to_hex(id_hex, &root.id);
    key_pair_fini(&root);
    (void)snprintf(path, sizeof path, "%s/root.key.pub", folder);
    if (json) {
        json_t *out =
            json_pack("{s:s, s:s, s:b}", "file", path, "id", id_hex, "created", (int)created);

        (void)json_dumpf(out, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(out);
    } else {
        (void)printf("%s\n", path);
    }
    if (created) {
        (void)fprintf(stderr,
                      "made a root key (id %s). The secret half beside it signs every run: "
                      "keep it, and give only the .pub file away.\n",
                      id_hex);
    }
    return ERR_EXIT_DONE;
}

static int keys_token(bool json, struct nero_err *err)
{
    char path[KEYS_PATH_BYTES];

    if (join_tokens_create(path, err) != NERO_OK) {
        return -1;
    }
    if (json) {
        json_t *out = json_pack("{s:s}", "file", path);

        (void)json_dumpf(out, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(out);
    } else {
        (void)printf("%s\n", path);
    }
    return ERR_EXIT_DONE;
}

int cmd_keys(int argc, char **argv)
{
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched keys",
        .arguments = "show|root|token",
        .about =
            "show   the folder, and names, ids and public halves of the keys in it\n"
            "root   make the root key if there is none; print the path of its public file, which\n"
            "       'nero-sched audit --root-key' takes\n"
            "token  make a join token and print its path: copy the file to the machine of a "
            "remote\n"
            "       runner (nero-runner --join-token), which alone it admits, to all runs",
        .examples = "  nero-sched keys root\n"
                    "  nero-sched keys show --json\n",
        .specs = specs,
        .spec_count = 1,
        .arguments_min = 1,
        .arguments_max = 1};
    struct options_parsed parsed;
    struct nero_err err;
    bool done;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    if (strcmp(parsed.arguments[0], "show") == 0) {
        code = keys_show(json, &err);
    } else if (strcmp(parsed.arguments[0], "root") == 0) {
        code = keys_root(json, &err);
    } else if (strcmp(parsed.arguments[0], "token") == 0) {
        code = keys_token(json, &err);
    } else {
        (void)err_set(&err, NERO_INVALID, 0, "'%.40s' is none of show, root, token",
                      parsed.arguments[0]);
        code = -1;
    }
    return code < 0 ? cli_fail(command.program, &err) : code;
}
