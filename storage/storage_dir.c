/*
 * file://: a folder whose files are the objects. DESIGN.md has the algorithm and why it holds.
 */
#include "storage_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/hash.h"
#include "nero/mem.h"

enum {
    LOCK_WAIT_MAX_MS = 10 * 1000,
    LOCK_PAUSE_MAX_MS = 8,
    LOCK_COUNT = 256,
    MAKE_TRIES_MAX = 8, /* somebody may remove empty folders by hand meanwhile */
    HASH_CHUNK_BYTES = 64 * 1024
};

/* How step 2 of a write makes the temporary file the object. */
enum change { CHANGE_LINK, CHANGE_RENAME };

enum nero_status storage_dir_failed(int error, const char *what, struct nero_err *err)
{
    enum nero_status status = err_from_errno(error);

    if (status == NERO_NOT_FOUND || status == NERO_EXISTS) {
        status = NERO_UNAVAILABLE;
    }
    return err_set(err, status, error, "%s: %s", what, strerror(error));
}

/* As `failed` for the call that makes a change: after some errors it may have been made. */
static enum nero_status change_failed(int error, const char *what, struct nero_err *err)
{
    if (error == EIO || error == ETIMEDOUT || error == ESTALE) {
        return err_set(err, NERO_UNKNOWN, error, "%s: %s", what, strerror(error));
    }
    return storage_dir_failed(error, what, err);
}

enum nero_status storage_dir_look_failed(const struct storage_dir *dir, int error,
                                         struct nero_err *err)
{
    struct stat root;

    if (error == ENOTDIR) {
        error = ENOENT; /* "a/b" where "a" is an object */
    }
    if (error == ENOENT && fstat(dir->root_fd, &root) == 0 && root.st_nlink == 0) {
        return err_set(err, NERO_UNAVAILABLE, error, "the store's folder has been removed");
    }
    if (error == ENOENT) {
        return err_set(err, NERO_NOT_FOUND, error, "there is no such object");
    }
    if (error == ELOOP) {
        return err_set(err, NERO_CORRUPT, error, "it is a symbolic link, which no store holds");
    }
    return storage_dir_failed(error, "open", err);
}

/* Reading. */

/* Exactly `bytes` from `offset`, or an error: fewer mean damage, never absence. */
static enum nero_status read_exactly(int fd, uint8_t *data, size_t bytes, uint64_t offset,
                                     struct nero_err *err)
{
    size_t done = 0;

    while (done < bytes) {
        ssize_t got = pread(fd, data + done, bytes - done, (off_t)(offset + done));

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return storage_dir_failed(errno, "read", err);
        }
        if (got == 0) {
            return err_set(err, NERO_CORRUPT, 0, "it ends at byte %llu, short of its size",
                           (unsigned long long)(offset + done));
        }
        done += (size_t)got;
    }
    return NERO_OK;
}

/* Open an object for reading. What is no regular file is no object. */
static enum nero_status open_object(const struct storage_dir *dir, const char *key, int *out,
                                    uint64_t *size, struct nero_err *err)
{
    struct stat info;
    /* O_NONBLOCK: a FIFO that somebody put here must not hold us up. */
    int fd = openat(dir->root_fd, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (fd < 0) {
        return storage_dir_look_failed(dir, errno, err);
    }
    if (fstat(fd, &info) != 0) {
        int error = errno;

        (void)close(fd);
        return storage_dir_failed(error, "fstat", err);
    }
    if (!S_ISREG(info.st_mode)) {
        (void)close(fd);
        return storage_dir_look_failed(dir, ENOENT, err);
    }
    *out = fd;
    *size = (uint64_t)info.st_size;
    return NERO_OK;
}

static enum nero_status hash_object(int fd, uint64_t size, char etag[STORAGE_ETAG_BYTES_MAX],
                                    struct nero_err *err)
{
    uint8_t *chunk = mem_alloc(HASH_CHUNK_BYTES);
    enum nero_status status = NERO_OK;
    struct hash_state state;

    if (chunk == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to read it");
    }
    hash_begin(&state);
    for (uint64_t at = 0; at < size && status == NERO_OK; at += HASH_CHUNK_BYTES) {
        size_t bytes = size - at < HASH_CHUNK_BYTES ? (size_t)(size - at) : HASH_CHUNK_BYTES;

        status = read_exactly(fd, chunk, bytes, at, err);
        if (status == NERO_OK) {
            hash_update(&state, chunk, bytes);
        }
    }
    free(chunk);
    if (status == NERO_OK) {
        storage_etag_from_hash(etag, hash_end(&state));
    }
    return status;
}

/* The part of get_range that has the object open. */
static enum nero_status read_range(int fd, uint64_t size, uint64_t offset, uint64_t bytes,
                                   struct bytes *out, struct storage_info *info,
                                   struct nero_err *err)
{
    size_t before = out->bytes;
    struct storage_info found = {.bytes = size};
    enum nero_status status;
    uint8_t *room = NULL;
    uint64_t cut = 0;

    status = storage_cut_range(size, offset, bytes, &cut, err);
    if (status == NERO_OK) {
        status = bytes_extend(out, (size_t)cut, &room, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    status = read_exactly(fd, room, (size_t)cut, offset, err);
    if (status == NERO_OK && info != NULL && cut == size) {
        storage_etag(found.etag, bytes_view_of(room, (size_t)cut));
    } else if (status == NERO_OK && info != NULL) {
        status = hash_object(fd, size, found.etag, err);
    }
    if (status != NERO_OK) {
        out->bytes = before;
        return status;
    }
    if (info != NULL) {
        *info = found;
    }
    return NERO_OK;
}

static enum nero_status dir_get_range(void *self, const char *key, uint64_t offset, uint64_t bytes,
                                      struct bytes *out, struct storage_info *info,
                                      struct nero_err *err)
{
    enum nero_status status;
    uint64_t size;
    int fd = -1;

    status = open_object(self, key, &fd, &size, err);
    if (status != NERO_OK) {
        return status;
    }
    status = read_range(fd, size, offset, bytes, out, info, err);
    (void)close(fd);
    return status;
}

static enum nero_status dir_head(void *self, const char *key, struct storage_info *out,
                                 struct nero_err *err)
{
    struct storage_info found = {0};
    enum nero_status status;
    int fd = -1;

    status = open_object(self, key, &fd, &found.bytes, err);
    if (status != NERO_OK) {
        return status;
    }
    if (out != NULL) {
        status = hash_object(fd, found.bytes, found.etag, err);
    }
    (void)close(fd);
    if (status == NERO_OK && out != NULL) {
        *out = found;
    }
    return status;
}

/* Writing, in the steps of DESIGN.md. */

static enum nero_status check_writable(const struct storage_dir *dir, struct nero_err *err)
{
    if (dir->tmp_fd < 0) {
        return err_set(err, NERO_DENIED, 0, "the store is open for reading only");
    }
    return NERO_OK;
}

void storage_dir_temp_name(char out[STORAGE_DIR_TEMP_NAME_BYTES])
{
    uint8_t random[16];

    randombytes_buf(random, sizeof random);
    bytes_to_hex(out, random, sizeof random);
}

static enum nero_status write_all(int fd, struct bytes_view body, struct nero_err *err)
{
    size_t done = 0;

    while (done < body.bytes) {
        ssize_t put = write(fd, body.data + done, body.bytes - done);

        if (put == 0 || (put < 0 && errno != EINTR)) {
            return storage_dir_failed(put == 0 ? EIO : errno, "write", err);
        }
        done += put > 0 ? (size_t)put : 0;
    }
    if (fsync(fd) != 0) {
        return storage_dir_failed(errno, "fsync", err);
    }
    return NERO_OK;
}

/* Step 1. On failure there is no temporary file. */
static enum nero_status temp_write(const struct storage_dir *dir, struct bytes_view body,
                                   char name[STORAGE_DIR_TEMP_NAME_BYTES], struct nero_err *err)
{
    enum nero_status status;
    int fd;

    storage_dir_temp_name(name);
    fd = openat(dir->tmp_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return storage_dir_failed(errno, "create a temporary file", err);
    }
    status = write_all(fd, body, err);
    if (close(fd) != 0 && status == NERO_OK) {
        status = storage_dir_failed(errno, "close",
                                    err); /* a network file system may say here that it is full */
    }
    if (status != NERO_OK) {
        (void)unlinkat(dir->tmp_fd, name, 0);
    }
    return status;
}

void storage_dir_temp_remove(const struct storage_dir *dir, const char *name)
{
    (void)unlinkat(dir->tmp_fd, name, 0); /* left over, it is swept a day later */
}

static uint64_t hash_text(const char *text, size_t bytes)
{
    struct hash hash = hash_of(bytes_view_of(text, bytes));
    uint64_t value = bytes_get_u64le(hash.data);

    return value != 0 ? value : 1; /* 0 is an empty slot */
}

/* The key's folder as a prefix length of the key; 0 is the root. */
static size_t folder_bytes(const char *key, size_t bytes)
{
    while (bytes > 0 && key[bytes - 1] != '/') {
        bytes--;
    }
    return bytes > 0 ? bytes - 1 : 0;
}

static bool sync_folder(const struct storage_dir *dir, const char *key, size_t bytes)
{
    char path[STORAGE_KEY_BYTES_MAX + 1] = ".";
    int error = 0;
    int fd;

    if (bytes > 0) {
        memcpy(path, key, bytes);
        path[bytes] = 0;
    }
    fd = openat(dir->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    error = fsync(fd) != 0 ? errno : 0;
    (void)close(fd);
    errno = error;
    return error == 0;
}

/* Step 3. The change is visible by now, so a failure is `unknown`. */
static enum nero_status make_durable(struct storage_dir *dir, const char *key, struct nero_err *err)
{
    size_t bytes = folder_bytes(key, strlen(key));
    bool synced = sync_folder(dir, key, bytes);

    /* A folder's own entry is in its parent; stop at the first that is known to be on disk. */
    while (synced && bytes > 0) {
        uint64_t hash = hash_text(key, bytes);
        _Atomic uint64_t *slot = &dir->durable[hash % STORAGE_DIR_DURABLE_SLOTS];

        if (atomic_load(slot) == hash) {
            break;
        }
        bytes = folder_bytes(key, bytes);
        synced = sync_folder(dir, key, bytes);
    }
    if (!synced) {
        return err_set(err, NERO_UNKNOWN, errno, "fsync of its folder: %s", strerror(errno));
    }
    for (bytes = folder_bytes(key, strlen(key)); bytes > 0; bytes = folder_bytes(key, bytes)) {
        uint64_t hash = hash_text(key, bytes);

        atomic_store(&dir->durable[hash % STORAGE_DIR_DURABLE_SLOTS], hash);
    }
    return NERO_OK;
}

static enum nero_status is_folder(struct nero_err *err)
{
    return err_set(err, NERO_CONFLICT, EISDIR, "it is a folder of other objects");
}

static enum nero_status make_folders(const struct storage_dir *dir, const char *key,
                                     struct nero_err *err)
{
    char path[STORAGE_KEY_BYTES_MAX + 1];

    for (size_t i = 0; key[i] != 0; i++) {
        path[i] = 0;
        if (key[i] == '/' && mkdirat(dir->root_fd, path, 0777) != 0 && errno != EEXIST) {
            int error = errno;
            struct stat root;

            if (error == ENOTDIR) {
                return err_set(err, NERO_CONFLICT, error, "'%s' has an object among its folders",
                               key);
            }
            if (error == ENOENT && fstat(dir->root_fd, &root) == 0 && root.st_nlink == 0) {
                return err_set(err, NERO_UNAVAILABLE, error, "the store's folder has been removed");
            }
            if (error != ENOENT) { /* ENOENT: removed again; the caller tries anew */
                return storage_dir_failed(error, "make its folder", err);
            }
        }
        path[i] = key[i];
    }
    return NERO_OK;
}

/*
 * A link failed with EEXIST. A request repeated by a network file system may have been the one that
 * made it: then the two names are one inode.
 */
static enum nero_status link_refused(const struct storage_dir *dir, const char *temp,
                                     const char *key, struct nero_err *err)
{
    struct stat mine;
    struct stat there;

    if (fstatat(dir->root_fd, key, &there, AT_SYMLINK_NOFOLLOW) == 0) {
        if (S_ISDIR(there.st_mode)) {
            return is_folder(err);
        }
        if (fstatat(dir->tmp_fd, temp, &mine, AT_SYMLINK_NOFOLLOW) == 0 &&
            mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
            return NERO_OK;
        }
    }
    return err_set(err, NERO_EXISTS, EEXIST, "it exists");
}

/* Step 2, with the folders that it needs. */
static enum nero_status make_change(const struct storage_dir *dir, enum change change,
                                    const char *temp, const char *key, struct nero_err *err)
{
    for (int try = 0; try < MAKE_TRIES_MAX; try++) {
        enum nero_status status;
        int result = change == CHANGE_LINK ? linkat(dir->tmp_fd, temp, dir->root_fd, key, 0)
                                           : renameat(dir->tmp_fd, temp, dir->root_fd, key);

        if (result == 0) {
            return NERO_OK;
        }
        switch (errno) {
        case ENOENT:
            status = make_folders(dir, key, err);
            if (status != NERO_OK) {
                return status;
            }
            break;
        case EEXIST:
            return change == CHANGE_LINK ? link_refused(dir, temp, key, err) : is_folder(err);
        case EISDIR:
            return is_folder(err);
        case ENOTDIR:
            return err_set(err, NERO_CONFLICT, ENOTDIR, "it has an object among its folders");
        default:
            return change_failed(errno, change == CHANGE_LINK ? "link" : "rename", err);
        }
    }
    return err_set(err, NERO_UNAVAILABLE, ENOENT,
                   "its folder or the temporary file is removed again and again");
}

/* Errors: timeout (nothing happened), denied, no_space. */
static enum nero_status lock_key(const struct storage_dir *dir, const char *key, int *out,
                                 struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    int64_t start_ns = clock_mono_ns(clock);
    int64_t pause_ms = 1;
    char name[8];
    int fd;

    (void)snprintf(name, sizeof name, "%02x", (unsigned)(hash_text(key, strlen(key)) % LOCK_COUNT));
    /* Read only: flock asks no more, and another user's file may allow no more. */
    fd = openat(dir->lock_fd, name, O_RDONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return storage_dir_failed(errno, "open the lock", err);
    }
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;

        if (error != EWOULDBLOCK && error != EINTR) {
            (void)close(fd);
            return storage_dir_failed(error, "lock", err);
        }
        if (clock_seconds_since(clock, start_ns) * 1000 > LOCK_WAIT_MAX_MS) {
            (void)close(fd);
            return err_set(err, NERO_TIMEOUT, error, "its lock '%s' has been held for %d s", name,
                           LOCK_WAIT_MAX_MS / 1000);
        }
        clock_sleep_ms(clock, pause_ms);
        pause_ms = pause_ms < LOCK_PAUSE_MAX_MS ? 2 * pause_ms : LOCK_PAUSE_MAX_MS;
    }
    *out = fd;
    return NERO_OK;
}

static enum nero_status check_etag(const struct storage_dir *dir, const char *key, const char *etag,
                                   struct nero_err *err)
{
    char present[STORAGE_ETAG_BYTES_MAX];
    enum nero_status status;
    uint64_t size;
    int fd = -1;

    status = open_object(dir, key, &fd, &size, err);
    if (status != NERO_OK) {
        return status;
    }
    status = hash_object(fd, size, present, err);
    (void)close(fd);
    if (status == NERO_OK && strcmp(present, etag) != 0) {
        return err_set(err, NERO_CONFLICT, 0, "its ETag is %s and not %s", present, etag);
    }
    return status;
}

/* put and put_if_match: etag NULL is any. */
static enum nero_status replace(struct storage_dir *dir, const char *key, struct bytes_view body,
                                const char *etag, struct nero_err *err)
{
    enum nero_status status = check_writable(dir, err);
    char temp[STORAGE_DIR_TEMP_NAME_BYTES];
    int lock;

    if (status == NERO_OK) {
        status = temp_write(dir, body, temp, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    status = lock_key(dir, key, &lock, err);
    if (status == NERO_OK) {
        status = etag != NULL ? check_etag(dir, key, etag, err) : NERO_OK;
        if (status == NERO_OK) {
            status = make_change(dir, CHANGE_RENAME, temp, key, err);
        }
        (void)close(lock); /* and so unlocked */
    }
    if (status != NERO_OK) {
        storage_dir_temp_remove(dir, temp);
        return status;
    }
    return make_durable(dir, key, err);
}

static enum nero_status dir_put(void *self, const char *key, struct bytes_view body,
                                struct nero_err *err)
{
    return replace(self, key, body, NULL, err);
}

static enum nero_status dir_put_if_match(void *self, const char *key, struct bytes_view body,
                                         const char *etag, struct nero_err *err)
{
    return replace(self, key, body, etag, err);
}

static enum nero_status dir_put_if_absent(void *self, const char *key, struct bytes_view body,
                                          struct nero_err *err)
{
    struct storage_dir *dir = self;
    enum nero_status status = check_writable(dir, err);
    char temp[STORAGE_DIR_TEMP_NAME_BYTES];
    struct stat there;

    if (status != NERO_OK) {
        return status;
    }
    /* Only spares the writing; the link decides. */
    if (fstatat(dir->root_fd, key, &there, AT_SYMLINK_NOFOLLOW) == 0) {
        return S_ISDIR(there.st_mode) ? is_folder(err)
                                      : err_set(err, NERO_EXISTS, EEXIST, "it exists");
    }
    status = temp_write(dir, body, temp, err);
    if (status != NERO_OK) {
        return status;
    }
    status = make_change(dir, CHANGE_LINK, temp, key, err);
    if (status == NERO_OK) {
        status = make_durable(dir, key, err);
    }
    storage_dir_temp_remove(dir, temp);
    return status;
}

static enum nero_status dir_remove(void *self, const char *key, struct nero_err *err)
{
    struct storage_dir *dir = self;
    enum nero_status status = check_writable(dir, err);
    int error = 0;
    int lock;

    if (status == NERO_OK) {
        status = lock_key(dir, key, &lock, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (unlinkat(dir->root_fd, key, 0) != 0) {
        error = errno;
    }
    (void)close(lock);
    if (error == 0) {
        return make_durable(dir, key, err);
    }
    if (error == EISDIR) { /* a folder is no object */
        return NERO_OK;
    }
    if (error == ENOENT || error == ENOTDIR) {
        status = storage_dir_look_failed(dir, error, err);
        return status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    return change_failed(error, "unlink", err);
}

static unsigned dir_capabilities(void *self)
{
    const struct storage_dir *dir = self;

    return dir->tmp_fd < 0 ? 0 : STORAGE_CAN_CREATE | STORAGE_CAN_MATCH;
}

void storage_dir_close(void *self)
{
    struct storage_dir *dir = self;
    const int fds[] = {dir->root_fd, dir->tmp_fd, dir->lock_fd};

    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
    free(dir);
}

const struct storage_ops storage_dir_ops = {
    .name = "file",
    .put = dir_put,
    .put_if_absent = dir_put_if_absent,
    .put_if_match = dir_put_if_match,
    .get_range = dir_get_range,
    .head = dir_head,
    .list = storage_dir_list,
    .remove = dir_remove,
    .capabilities = dir_capabilities,
    .close = storage_dir_close,
};
