/* nero-sched dataset: put a data set into the store; list those that are there. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "nero/layout.h"

#include "cli.h"
#include "dataset_store.h"

/* Looked at before a store is made. */
static enum nero_status check_folder(const char *folder, struct nero_err *err)
{
    struct stat info;

    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode)) {
        return err_set(err, NERO_INVALID, 0,
                       "%.300s is no folder: give the one that holds data_batch_1.bin to "
                       "data_batch_5.bin and test_batch.bin (cifar-10-batches-bin)",
                       folder);
    }
    return NERO_OK;
}

static int import_folder(struct storage *store, const char *folder, bool json, struct nero_err *err)
{
    struct dataset_found found;
    const struct run_dataset *dataset = &found.record;
    char hex[HASH_HEX_BYTES];
    enum nero_status status = dataset_store_find(store, folder, ".", &found, err);

    if (status == NERO_OK) {
        status = dataset_store_keep(store, &found, err);
        dataset_found_fini(&found);
    }
    if (status != NERO_OK) {
        return -1;
    }
    hash_to_hex(hex, &found.id);
    if (json) {
        json_t *out = json_pack("{s:s, s:s, s:b, s:i, s:i}", "id", hex, "name", dataset->name,
                                "known", (int)found.known, "train", (int)dataset->train_count,
                                "test", (int)dataset->test_count);

        (void)json_dumpf(out, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
        json_decref(out);
        return ERR_EXIT_DONE;
    }
    (void)printf("%s: %" PRIu32 " training and %" PRIu32 " test images of %" PRIu32 " classes\n",
                 dataset->name, dataset->train_count, dataset->test_count, dataset->classes);
    (void)printf(found.known
                     ? "all files have the published hashes\n"
                     : "these are NOT the published files; the set is recorded by its own hash\n");
    (void)printf("id %s\nuse it in a preset as  dataset: %s\n", hex, hex);
    return ERR_EXIT_DONE;
}

/* The list as it grows. */
struct lister {
    struct storage *store;
    json_t *list; /* NULL: text */
    bool sound;
};

static enum nero_status list_one(void *context, const char *key, uint64_t bytes,
                                 struct nero_err *err)
{
    struct lister *lister = context;
    const char *hex = strrchr(key, '/') + 1;
    struct run_dataset dataset;
    struct hash id;

    (void)bytes;
    if (hash_from_hex(&id, hex, err) != NERO_OK ||
        dataset_store_get(lister->store, &id, &dataset, err) != NERO_OK) {
        if (err->status != NERO_CORRUPT && err->status != NERO_INVALID &&
            err->status != NERO_VERSION) {
            return err->status;
        }
        (void)cli_fail("nero-sched dataset", err); /* the others are listed all the same */
        lister->sound = false;
        return NERO_OK;
    }
    if (lister->list != NULL) {
        (void)json_array_append_new(
            lister->list,
            json_pack("{s:s, s:s, s:i, s:i, s:i, s:[i,i,i]}", "id", hex, "name", dataset.name,
                      "train", (int)dataset.train_count, "test", (int)dataset.test_count, "classes",
                      (int)dataset.classes, "shape", (int)dataset.channels, (int)dataset.height,
                      (int)dataset.width));
    } else {
        (void)printf("%s  %-16s %6" PRIu32 " training, %6" PRIu32 " test, %" PRIu32
                     " classes, %" PRIu32 "x%" PRIu32 "x%" PRIu32 "\n",
                     hex, dataset.name, dataset.train_count, dataset.test_count, dataset.classes,
                     dataset.channels, dataset.height, dataset.width);
    }
    return NERO_OK;
}

static int list_all(struct storage *store, bool json, struct nero_err *err)
{
    struct lister lister = {.store = store, .list = json ? json_array() : NULL, .sound = true};
    enum nero_status status = storage_list_each(store, "data/set/", list_one, &lister, err);

    if (status == NERO_OK && json) {
        (void)json_dumpf(lister.list, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
    }
    json_decref(lister.list);
    if (status != NERO_OK) {
        return -1;
    }
    return lister.sound ? ERR_EXIT_DONE : ERR_EXIT_FINDING;
}

int cmd_dataset(int argc, char **argv)
{
    const char *store_url = NULL;
    bool json = false;
    const struct options_spec specs[] = {CLI_OPTION_STORE(&store_url), CLI_OPTION_JSON(&json)};
    const struct options_command command = {
        .program = "nero-sched dataset",
        .arguments = "import DIR | list",
        .about = "import DIR  put the CIFAR-10 binary files of a folder into the store, by hash; "
                 "runners\n"
                 "            fetch them from there. Says whether they are the published files.\n"
                 "list        the data sets of the store",
        .examples = "  nero-sched dataset import cifar-10-batches-bin --store file:///srv/nero\n"
                    "  nero-sched dataset list --store file:///srv/nero --json\n",
        .specs = specs,
        .spec_count = 2,
        .arguments_min = 1,
        .arguments_max = 2};
    struct options_parsed parsed;
    struct storage *store = NULL;
    struct nero_err err;
    char url[CLI_URL_BYTES];
    bool done;
    bool import;
    int code = cli_parse(&command, argc, argv, &parsed, &done);

    if (done) {
        return code;
    }
    import = strcmp(parsed.arguments[0], "import") == 0 && parsed.argument_count == 2;
    if (!import && (strcmp(parsed.arguments[0], "list") != 0 || parsed.argument_count != 1)) {
        (void)err_set(&err, NERO_INVALID, 0, "say 'dataset import DIR' or 'dataset list'");
        return cli_fail(command.program, &err);
    }
    if ((import && check_folder(parsed.arguments[1], &err) != NERO_OK) ||
        cli_store_url(store_url, import, url, &err) != NERO_OK ||
        cli_open_store(url, import, &store, &err) != NERO_OK) {
        return cli_fail(command.program, &err);
    }
    code = import ? import_folder(store, parsed.arguments[1], json, &err)
                  : list_all(store, json, &err);
    storage_close(store);
    return code < 0 ? cli_fail(command.program, &err) : code;
}
