#include "dataset_store.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "nero/file.h"
#include "nero/layout.h"

enum {
    DATASET_BYTES_MAX = 1 << 30,
    DATASET_PATH_BYTES = 2048,
    CIFAR_RECORD_BYTES = 1 + 3 * 32 * 32,
    CIFAR_BATCHES = 5
};

/* The official CIFAR-10 binaries (Krizhevsky 2009) and their published contents. */
static const struct known_file {
    const char *name;
    const char *sha256;
} cifar_files[CIFAR_BATCHES + 1] = {
    {"data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"},
    {"data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"},
    {"data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"},
    {"data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"},
    {"data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"},
    {"test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"},
};

static bool has_sha256(struct bytes_view body, const char *expected)
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof digest + 1];

    (void)crypto_hash_sha256(digest, body.data, body.bytes);
    bytes_to_hex(hex, digest, sizeof digest);
    return strcmp(hex, expected) == 0;
}

enum nero_status dataset_store_get(struct storage *store, const struct hash *id,
                                   struct run_dataset *out, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes record;
    struct hash found;
    enum nero_status status;

    layout_dataset(key, id);
    bytes_init(&record, 4096);
    status = storage_get(store, key, &record, NULL, err);
    if (status == NERO_OK) {
        found = run_dataset_id(bytes_as_view(&record));
        if (!hash_equal(&found, id)) {
            status = err_set(err, NERO_CORRUPT, 0, "the record's hash is not its id");
        }
    }
    if (status == NERO_OK) {
        status = run_dataset_decode(bytes_as_view(&record), out, err);
    }
    bytes_fini(&record);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "data set %s", key);
}

/* Whole records, and every label below `classes`. */
static enum nero_status check_records(const char *part, struct bytes_view records,
                                      const struct run_dataset *dataset, uint32_t *count,
                                      struct nero_err *err)
{
    size_t each = 1 + (size_t)dataset->channels * dataset->height * dataset->width;

    if (records.bytes == 0 || records.bytes % each != 0) {
        return err_set(err, NERO_INVALID, 0,
                       "%s images: %zu bytes are not whole records of %zu bytes (1 label, %" PRIu32
                       "x%" PRIu32 "x%" PRIu32 " pixels)",
                       part, records.bytes, each, dataset->channels, dataset->height,
                       dataset->width);
    }
    for (size_t i = 0; i < records.bytes / each; i++) {
        if (records.data[i * each] >= dataset->classes) {
            return err_set(err, NERO_INVALID, 0,
                           "%s image %zu has label %d, but there are %" PRIu32 " classes", part, i,
                           records.data[i * each], dataset->classes);
        }
    }
    *count = (uint32_t)(records.bytes / each);
    return NERO_OK;
}

/* Content-addressed: what is there already under this name is the same bytes. */
static enum nero_status put_blob(struct storage *store, struct bytes_view body,
                                 const struct hash *hash, struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct storage_info info;
    enum nero_status status;

    layout_data_blob(key, hash);
    status = storage_head(store, key, &info, err);
    if (status == NERO_OK && info.bytes == body.bytes) {
        return NERO_OK;
    }
    if (status != NERO_OK && status != NERO_NOT_FOUND) {
        return status;
    }
    return storage_put(store, key, body, err);
}

/* Counts, hashes and id of a data set whose bytes are these. */
static enum nero_status describe(struct run_dataset *dataset, struct bytes_view train,
                                 struct bytes_view test, struct bytes *record, struct hash *id,
                                 struct nero_err *err)
{
    if (check_records("training", train, dataset, &dataset->train_count, err) != NERO_OK ||
        check_records("test", test, dataset, &dataset->test_count, err) != NERO_OK) {
        return err->status;
    }
    dataset->train = hash_of(train);
    dataset->test = hash_of(test);
    if (run_dataset_encode(dataset, record, err) != NERO_OK) {
        return err->status;
    }
    *id = run_dataset_id(bytes_as_view(record));
    return NERO_OK;
}

enum nero_status dataset_store_put(struct storage *store, struct run_dataset *dataset,
                                   struct bytes_view train, struct bytes_view test, struct hash *id,
                                   struct nero_err *err)
{
    char key[LAYOUT_KEY_BYTES];
    struct bytes record;
    enum nero_status status;

    bytes_init(&record, 4096);
    status = describe(dataset, train, test, &record, id, err);
    if (status == NERO_OK) {
        status = put_blob(store, train, &dataset->train, err);
    }
    if (status == NERO_OK) {
        status = put_blob(store, test, &dataset->test, err);
    }
    if (status == NERO_OK) {
        layout_dataset(key, id);
        status = storage_create_once(store, key, bytes_as_view(&record), err);
    }
    bytes_fini(&record);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "data set %s", dataset->name);
}

static struct run_dataset cifar_like(const char *name)
{
    struct run_dataset dataset = {.channels = 3, .height = 32, .width = 32, .classes = 10};

    (void)snprintf(dataset.name, sizeof dataset.name, "%s", name);
    return dataset;
}

/* The five training batches and the test batch of a folder, one after the other. */
static enum nero_status read_cifar_folder(const char *folder, struct bytes *train,
                                          struct bytes *test, bool *known, struct nero_err *err)
{
    *known = true;
    for (int i = 0; i <= CIFAR_BATCHES; i++) {
        struct bytes *part = i < CIFAR_BATCHES ? train : test;
        size_t before = part->bytes;
        char path[DATASET_PATH_BYTES + 32];

        (void)snprintf(path, sizeof path, "%s/%s", folder, cifar_files[i].name);
        if (file_read(path, part, err) != NERO_OK) {
            return err_wrap(err, "import (a folder with data_batch_1.bin to data_batch_5.bin and "
                                 "test_batch.bin is wanted)");
        }
        if ((part->bytes - before) % CIFAR_RECORD_BYTES != 0) {
            return err_set(err, NERO_INVALID, 0, "%s: %zu bytes are not whole records of %d bytes",
                           path, part->bytes - before, CIFAR_RECORD_BYTES);
        }
        *known = *known && has_sha256(bytes_view_of(part->data + before, part->bytes - before),
                                      cifar_files[i].sha256);
    }
    return NERO_OK;
}

static enum nero_status read_shipped(const char *name, struct bytes *train, struct bytes *test,
                                     struct nero_err *err)
{
    const char *folder = getenv("NERO_DATA");
    char path[DATASET_PATH_BYTES];

    folder = folder != NULL && folder[0] != 0 ? folder : NERO_DATA_DIR;
    (void)snprintf(path, sizeof path, "%s/%s-train.bin", folder, name);
    if (file_read(path, train, err) != NERO_OK) {
        return err_wrap(err,
                        "data set '%s' is no folder, no id of a data set in the store, and no "
                        "shipped one (set NERO_DATA to the folder of the shipped ones)",
                        name);
    }
    (void)snprintf(path, sizeof path, "%s/%s-test.bin", folder, name);
    return file_read(path, test, err);
}

static bool is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static enum nero_status read_named(const char *name, const char *base, struct dataset_found *found,
                                   struct nero_err *err)
{
    char path[DATASET_PATH_BYTES];
    struct bytes record;
    enum nero_status status;

    found->known = true;
    (void)snprintf(path, sizeof path, "%s%s%s", name[0] == '/' ? "" : base,
                   name[0] == '/' ? "" : "/", name);
    if (is_folder(path)) {
        status = read_cifar_folder(path, &found->train, &found->test, &found->known, err);
        found->record = cifar_like(found->known ? "cifar10" : "cifar10-like");
    } else {
        status = read_shipped(name, &found->train, &found->test, err);
        found->record = cifar_like(name);
    }
    if (status != NERO_OK) {
        return status;
    }
    bytes_init(&record, 4096);
    status = describe(&found->record, bytes_as_view(&found->train), bytes_as_view(&found->test),
                      &record, &found->id, err);
    bytes_fini(&record);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "data set %s", found->record.name);
}

enum nero_status dataset_store_find(struct storage *store, const char *name, const char *base,
                                    struct dataset_found *found, struct nero_err *err)
{
    struct nero_err not_hex;
    enum nero_status status;

    memset(found, 0, sizeof *found);
    bytes_init(&found->train, DATASET_BYTES_MAX);
    bytes_init(&found->test, DATASET_BYTES_MAX);
    if (hash_from_hex(&found->id, name, &not_hex) == NERO_OK) {
        found->known = true;
        status = dataset_store_get(store, &found->id, &found->record, err);
    } else {
        status = read_named(name, base, found, err);
    }
    if (status != NERO_OK) {
        dataset_found_fini(found);
    }
    return status;
}

enum nero_status dataset_store_keep(struct storage *store, struct dataset_found *found,
                                    struct nero_err *err)
{
    if (found->train.bytes == 0) {
        return NERO_OK;
    }
    if (dataset_store_put(store, &found->record, bytes_as_view(&found->train),
                          bytes_as_view(&found->test), &found->id, err) != NERO_OK) {
        return err->status;
    }
    dataset_found_fini(found);
    return NERO_OK;
}

void dataset_found_fini(struct dataset_found *found)
{
    bytes_fini(&found->train);
    bytes_fini(&found->test);
}
