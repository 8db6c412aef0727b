#include "runner_data.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/chain.h"
#include "nero/layout.h"
#include "nero/log.h"
#include "nero/mem.h"
#include "nero/run.h"

enum {
    DATA_RECORD_BYTES_MAX = 4096,
    STATE_NAME_BYTES_MAX = 90,
    EVICTIONS_MAX = 1000 /* for one that is kept: others evict as well */
};

#define STATE_KIND "state-" /* in front of a state's file name, also while it is written */

/* A verified blob: a mapping of the cached file, or memory where there is no cache. */
struct data_blob {
    void *mapped; /* NULL: not mapped */
    struct bytes owned;
    struct bytes_view view;
};

struct runner_data {
    struct storage *store;
    char folder[RUNNER_DATA_PATH_BYTES];    /* "": no cache */
    const struct storage_progress *reading; /* during a load; may be NULL */
    uint64_t read_before;                   /* bytes of the blobs in front of the present one */
    uint64_t states_bytes_max;
    bool loaded;
    struct hash id;
    struct data_blob train;
    struct data_blob test;
    struct dataset dataset;
};

enum nero_status runner_data_folder(char out[RUNNER_DATA_PATH_BYTES], struct nero_err *err)
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (cache != NULL && cache[0] == '/') {
        (void)snprintf(out, RUNNER_DATA_PATH_BYTES, "%s/nero", cache);
    } else if (home != NULL && home[0] == '/') {
        (void)snprintf(out, RUNNER_DATA_PATH_BYTES, "%s/.cache/nero", home);
    } else {
        return err_set(err, NERO_INVALID, 0, "no HOME for the cache of data sets: give --cache");
    }
    return NERO_OK;
}

/* mkdir -p. False with errno set. */
static bool make_folders(const char *folder)
{
    char path[RUNNER_DATA_PATH_BYTES];
    size_t length = strlen(folder);

    (void)snprintf(path, sizeof path, "%s", folder);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] == '/' || path[i] == 0) {
            char kept = path[i];

            path[i] = 0;
            if (mkdir(path, 0777) != 0 && errno != EEXIST) {
                return false;
            }
            path[i] = kept;
        }
    }
    return access(folder, W_OK | X_OK) == 0;
}

enum nero_status runner_data_create(struct storage *store, const char *folder,
                                    struct runner_data **out, struct nero_err *err)
{
    struct runner_data *data;

    /* Room for "/", a hash and a temporary suffix behind it. */
    if (strlen(folder) + HASH_HEX_BYTES + 32 > RUNNER_DATA_PATH_BYTES) {
        return err_set(err, NERO_INVALID, 0, "cache folder: the path is too long");
    }
    data = mem_calloc(1, sizeof *data);
    if (data == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "cache of data sets");
    }
    data->store = store;
    data->states_bytes_max = RUNNER_DATA_STATES_BYTES_MAX;
    (void)snprintf(data->folder, sizeof data->folder, "%s", folder);
    if (!make_folders(folder)) {
        log_line(LOG_WARN, "data.no_cache", NULL, "folder=%s reason=\"%s\"", folder,
                 strerror(errno));
        data->folder[0] = 0;
    }
    *out = data;
    return NERO_OK;
}

static void blob_fini(struct data_blob *blob)
{
    if (blob->mapped != NULL) {
        (void)munmap(blob->mapped, blob->view.bytes);
    }
    bytes_fini(&blob->owned);
    *blob = (struct data_blob){0};
}

static void forget(struct runner_data *data)
{
    blob_fini(&data->train);
    blob_fini(&data->test);
    data->loaded = false;
}

void runner_data_destroy(struct runner_data *data)
{
    if (data == NULL) {
        return;
    }
    forget(data);
    free(data);
}

/* ---- the cache ---- */

static void cache_path(const struct runner_data *data, const char *kind, const struct hash *hash,
                       char out[RUNNER_DATA_PATH_BYTES])
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, hash);
    (void)snprintf(out, RUNNER_DATA_PATH_BYTES, "%.900s/%s%s", data->folder, kind, hex);
}

/* Map the cached file if it holds exactly these bytes; a damaged one is removed. */
static bool cache_map(const struct runner_data *data, const struct hash *hash, uint64_t bytes,
                      struct data_blob *out)
{
    char path[RUNNER_DATA_PATH_BYTES];
    struct stat info;
    void *mapped = MAP_FAILED;
    struct hash found;
    int fd;

    cache_path(data, "", hash, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &info) == 0 && info.st_size > 0 && (uint64_t)info.st_size == bytes) {
        mapped = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    (void)close(fd);
    if (mapped != MAP_FAILED) {
        found = hash_of(bytes_view_of(mapped, bytes));
        if (hash_equal(&found, hash)) {
            out->mapped = mapped;
            out->view = bytes_view_of(mapped, bytes);
            return true;
        }
        (void)munmap(mapped, bytes);
    }
    log_line(LOG_WARN, "data.cache_damaged", NULL, "file=%s: fetched anew", path);
    (void)unlink(path);
    return false;
}

static bool write_all(int fd, struct bytes_view body)
{
    size_t done = 0;

    while (done < body.bytes) {
        ssize_t wrote = write(fd, body.data + done, body.bytes - done);

        if (wrote < 0 && errno != EINTR) {
            return false;
        }
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

/* No fsync: whoever reads the file hashes it. False: the cache stays as it is. */
static bool cache_store(const struct runner_data *data, const char *kind, const struct hash *hash,
                        struct bytes_view body)
{
    char path[RUNNER_DATA_PATH_BYTES];
    char temporary[RUNNER_DATA_PATH_BYTES];
    bool good;
    int fd;

    cache_path(data, kind, hash, path);
    (void)snprintf(temporary, sizeof temporary, "%.990s.XXXXXX", path);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    good = fchmod(fd, 0644) == 0 && write_all(fd, body);
    good = close(fd) == 0 && good;
    if (!good || rename(temporary, path) != 0) {
        int code = errno;

        (void)unlink(temporary);
        log_line(LOG_WARN, "data.no_cache", NULL, "file=%s reason=\"%s\"", path, strerror(code));
        return false;
    }
    return true;
}

/* ---- from the store ---- */

static void note_read(void *context, uint64_t bytes)
{
    const struct runner_data *data = context;

    if (data->reading != NULL) {
        data->reading->made(data->reading->context, data->read_before + bytes);
    }
}

static enum nero_status fetch(struct runner_data *data, const struct hash *hash, uint64_t bytes,
                              struct bytes *out, struct nero_err *err)
{
    const struct storage_progress reading = {.made = note_read, .context = data};
    char object[LAYOUT_KEY_BYTES];

    layout_data_blob(object, hash);
    bytes_init(out, bytes);
    if (storage_get_content(data->store, object, hash, bytes, &reading, out, err) != NERO_OK) {
        bytes_fini(out);
        return err_wrap(err, "data blob");
    }
    if (out->bytes != bytes) {
        size_t have = out->bytes;

        bytes_fini(out);
        return err_set(err, NERO_CORRUPT, 0, "%s: %zu bytes, but its data set says %llu", object,
                       have, (unsigned long long)bytes);
    }
    return NERO_OK;
}

static enum nero_status load_blob(struct runner_data *data, const struct hash *hash, uint64_t bytes,
                                  struct data_blob *out, struct nero_err *err)
{
    *out = (struct data_blob){0};
    if (bytes == 0) {
        return NERO_OK;
    }
    if (bytes > RUNNER_DATA_BLOB_BYTES_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "a data blob of %llu bytes (at most %d)",
                       (unsigned long long)bytes, RUNNER_DATA_BLOB_BYTES_MAX);
    }
    if (data->folder[0] != 0 && cache_map(data, hash, bytes, out)) {
        return NERO_OK;
    }
    if (fetch(data, hash, bytes, &out->owned, err) != NERO_OK) {
        return err->status;
    }
    out->view = bytes_as_view(&out->owned);
    /* Through the cache if it took the file, so that runners share the memory. */
    if (data->folder[0] != 0 && cache_store(data, "", hash, out->view)) {
        struct data_blob mapped = {0};

        if (cache_map(data, hash, bytes, &mapped)) {
            blob_fini(out);
            *out = mapped;
        }
    }
    return NERO_OK;
}

static enum nero_status read_record(struct runner_data *data, const struct hash *id,
                                    struct run_dataset *out, struct nero_err *err)
{
    char object[LAYOUT_KEY_BYTES];
    struct bytes stored;
    enum nero_status status;

    layout_dataset(object, id);
    bytes_init(&stored, DATA_RECORD_BYTES_MAX);
    status = storage_get(data->store, object, &stored, NULL, err);
    if (status == NERO_OK) {
        struct hash found = run_dataset_id(bytes_as_view(&stored));

        status = hash_equal(&found, id)
                     ? run_dataset_decode(bytes_as_view(&stored), out, err)
                     : err_set(err, NERO_CORRUPT, 0, "%s is not the record of its id", object);
    }
    bytes_fini(&stored);
    return status;
}

static enum nero_status load(struct runner_data *data, const struct hash *id, struct nero_err *err)
{
    struct run_dataset record;
    uint64_t image_bytes;

    if (read_record(data, id, &record, err) != NERO_OK) {
        return err->status;
    }
    image_bytes = 1 + (uint64_t)record.channels * record.height * record.width;
    data->read_before = 0;
    if (load_blob(data, &record.train, image_bytes * record.train_count, &data->train, err) !=
        NERO_OK) {
        return err->status;
    }
    data->read_before = image_bytes * record.train_count;
    if (load_blob(data, &record.test, image_bytes * record.test_count, &data->test, err) !=
        NERO_OK) {
        return err->status;
    }
    data->dataset = (struct dataset){.channels = record.channels,
                                     .height = record.height,
                                     .width = record.width,
                                     .classes = record.classes,
                                     .train_count = record.train_count,
                                     .test_count = record.test_count,
                                     .train = data->train.view,
                                     .test = data->test.view};
    return dataset_check(&data->dataset, err);
}

enum nero_status runner_data_load(struct runner_data *data, const struct hash *id,
                                  const struct storage_progress *reading,
                                  const struct dataset **out, struct nero_err *err)
{
    char hex[HASH_HEX_BYTES];

    data->reading = reading;
    if (!data->loaded || !hash_equal(&data->id, id)) {
        forget(data);
        if (load(data, id, err) != NERO_OK) {
            forget(data);
            hash_to_hex(hex, id);
            return err_wrap(err, "data set %.12s", hex);
        }
        data->id = *id;
        data->loaded = true;
    }
    *out = &data->dataset;
    return NERO_OK;
}

/* ---- states ---- */

void runner_data_limit(struct runner_data *data, uint64_t states_bytes_max)
{
    data->states_bytes_max = states_bytes_max;
}

/* Bytes of all states here; `oldest` is the one that was used the longest ago, "": none. */
static uint64_t states_bytes(const struct runner_data *data, char oldest[RUNNER_DATA_PATH_BYTES])
{
    struct timespec since = {0};
    struct dirent *entry;
    uint64_t total = 0;
    DIR *dir = opendir(data->folder);

    oldest[0] = 0;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct stat info;

        if (strncmp(entry->d_name, STATE_KIND, strlen(STATE_KIND)) != 0 ||
            strlen(entry->d_name) > STATE_NAME_BYTES_MAX ||
            fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
            continue;
        }
        total += (uint64_t)info.st_size;
        if (oldest[0] == 0 || info.st_mtim.tv_sec < since.tv_sec ||
            (info.st_mtim.tv_sec == since.tv_sec && info.st_mtim.tv_nsec < since.tv_nsec)) {
            since = info.st_mtim;
            (void)snprintf(oldest, RUNNER_DATA_PATH_BYTES, "%.900s/%.*s", data->folder,
                           STATE_NAME_BYTES_MAX, entry->d_name);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return total;
}

void runner_data_keep_state(struct runner_data *data, const struct hash *blob,
                            struct bytes_view state)
{
    char oldest[RUNNER_DATA_PATH_BYTES];

    if (data->folder[0] == 0 || state.bytes > data->states_bytes_max) {
        return;
    }
    for (int i = 0; i < EVICTIONS_MAX; i++) {
        if (states_bytes(data, oldest) <= data->states_bytes_max - state.bytes) {
            (void)cache_store(data, STATE_KIND, blob, state);
            return;
        }
        if (unlink(oldest) != 0 && errno != ENOENT) { /* ENOENT: another runner was faster */
            return;
        }
    }
}

static bool read_file(int fd, size_t bytes, struct bytes *out)
{
    struct nero_err ignored;
    uint8_t *room;
    size_t done = 0;

    if (bytes_extend(out, bytes, &room, &ignored) != NERO_OK) {
        return false;
    }
    while (done < bytes) {
        ssize_t got = read(fd, room + done, bytes - done);

        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* Append the cached state if it is there and whole; a damaged one is removed. */
static bool cached_state(const struct runner_data *data, const struct hash *blob,
                         uint64_t bytes_max, struct bytes *out)
{
    char path[RUNNER_DATA_PATH_BYTES];
    size_t before = out->bytes;
    struct stat info;
    struct hash found;
    bool good = false;
    int fd;

    cache_path(data, STATE_KIND, blob, path);
    fd = data->folder[0] != 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &info) == 0 && (uint64_t)info.st_size <= bytes_max &&
        read_file(fd, (size_t)info.st_size, out)) {
        found = hash_of(bytes_view_of(out->data + before, out->bytes - before));
        good = hash_equal(&found, blob);
    }
    if (good) {
        (void)futimens(fd, NULL); /* used just now */
    } else {
        out->bytes = before;
        (void)unlink(path);
        log_line(LOG_WARN, "data.cache_damaged", NULL, "file=%s: fetched anew", path);
    }
    (void)close(fd);
    return good;
}

enum nero_status runner_data_state(struct runner_data *data, const char *run,
                                   const struct hash *blob, uint64_t bytes_max,
                                   const struct storage_progress *reading, struct bytes *out,
                                   struct nero_err *err)
{
    size_t before = out->bytes;

    if (cached_state(data, blob, bytes_max, out)) {
        return NERO_OK;
    }
    if (chain_get_blob(data->store, run, blob, bytes_max, reading, out, err) != NERO_OK) {
        return err->status;
    }
    runner_data_keep_state(data, blob, bytes_view_of(out->data + before, out->bytes - before));
    return NERO_OK;
}
