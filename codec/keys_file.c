/* Key files: read with care for who else could, created whole or not at all. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/keys.h"

#define KEYS_SECRET_TAG "nero-secret-key-v1 "
#define KEYS_PUBLIC_TAG "nero-key-v1 "

enum { KEYS_LINE_BYTES = 128, KEYS_HEX_BYTES = 2 * KEY_PUBLIC_BYTES + 1 };

static_assert(crypto_sign_SEEDBYTES == KEY_PUBLIC_BYTES, "seed and public key are as long");

static enum nero_status keys_errno(struct nero_err *err, const char *what, const char *path)
{
    int number = errno;

    return err_set(err, err_from_errno(number), number, "%s %s: %s", what, path, strerror(number));
}

/* ---- folder ---- */

/* Every missing part of `path` is made; parts that are there stay as they are. */
static enum nero_status folder_make(char *path, struct nero_err *err)
{
    for (char *at = path + 1;; at++) {
        char kept = *at;

        if (kept != '/' && kept != 0) {
            continue;
        }
        *at = 0;
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            return keys_errno(err, "cannot make", path);
        }
        *at = kept;
        if (kept == 0) {
            return NERO_OK;
        }
    }
}

enum nero_status keys_folder(bool create, char out[KEYS_PATH_BYTES], struct nero_err *err)
{
    const char *base = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    char path[KEYS_PATH_BYTES];
    struct stat info;
    int length;

    /* The XDG specification has relative paths ignored. */
    if (base != NULL && base[0] == '/') {
        length = snprintf(path, sizeof path, "%s/nero/keys", base);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(path, sizeof path, "%s/.local/share/nero/keys", home);
    } else {
        return err_set(err, NERO_INVALID, 0,
                       "no folder for keys: neither XDG_DATA_HOME nor HOME is an absolute path");
    }
    if (length < 0 || (size_t)length >= sizeof path) {
        return err_set(err, NERO_INVALID, 0, "the path of the keys folder is too long");
    }
    if (create && folder_make(path, err) != NERO_OK) {
        return err->status;
    }
    if (stat(path, &info) != 0) {
        return keys_errno(err, "cannot look at", path);
    }
    if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0) {
        return err_set(err, NERO_DENIED, 0,
                       "%s must be a folder of your own that nobody else may enter; mend it with: "
                       "chmod 700 %s",
                       path, path);
    }
    memcpy(out, path, sizeof path);
    return NERO_OK;
}

/* ---- reading ---- */

/* The secret must be in nobody else's reach; checked on the open file, so that it cannot change. */
static enum nero_status file_check_private(int fd, const char *path, struct nero_err *err)
{
    struct stat info;

    if (fstat(fd, &info) != 0) {
        return keys_errno(err, "cannot look at", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return err_set(err, NERO_DENIED, 0, "%s is not a regular file", path);
    }
    if (info.st_uid != geteuid()) {
        return err_set(err, NERO_DENIED, 0, "%s belongs to user %u, not to you", path,
                       (unsigned)info.st_uid);
    }
    if ((info.st_mode & 077) != 0) {
        return err_set(err, NERO_DENIED, 0,
                       "%s has mode %04o: others can reach the key; if nobody has, mend it with: "
                       "chmod 600 %s",
                       path, (unsigned)(info.st_mode & 07777), path);
    }
    return NERO_OK;
}

/* Up to KEYS_LINE_BYTES - 1 bytes, with a NUL. */
static enum nero_status file_read(const char *path, bool private, char line[KEYS_LINE_BYTES],
                                  struct nero_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    enum nero_status status = NERO_OK;
    size_t bytes = 0;

    if (fd < 0) {
        return keys_errno(err, "cannot open", path);
    }
    if (private) {
        status = file_check_private(fd, path, err);
    }
    while (status == NERO_OK && bytes < KEYS_LINE_BYTES - 1) {
        ssize_t got = read(fd, line + bytes, KEYS_LINE_BYTES - 1 - bytes);

        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            status = keys_errno(err, "cannot read", path);
        }
        bytes += got > 0 ? (size_t)got : 0;
    }
    line[bytes] = 0;
    (void)close(fd);
    return status;
}

/* "<tag><64 hex digits>" and at most one newline after it. */
static enum nero_status line_parse(const char *path, char line[KEYS_LINE_BYTES], const char *tag,
                                   uint8_t out[KEY_PUBLIC_BYTES], struct nero_err *err)
{
    size_t length = strlen(line);
    struct nero_err unused;

    if (length > 0 && line[length - 1] == '\n') {
        line[length - 1] = 0;
    }
    if (strncmp(line, tag, strlen(tag)) != 0 ||
        bytes_from_hex(out, KEY_PUBLIC_BYTES, line + strlen(tag), &unused) != NERO_OK) {
        return err_set(err, NERO_CORRUPT, 0,
                       "%s is no key file: expected one line \"%s<64 hex digits>\"", path, tag);
    }
    return NERO_OK;
}

static void pair_from_seed(const uint8_t seed[crypto_sign_SEEDBYTES], struct key_pair *out)
{
    (void)crypto_sign_seed_keypair(out->public_key.data, out->secret, seed);
    out->id = key_id_of(&out->public_key);
}

enum nero_status keys_load(const char *path, struct key_pair *out, struct nero_err *err)
{
    char line[KEYS_LINE_BYTES];
    uint8_t seed[crypto_sign_SEEDBYTES];
    enum nero_status status = file_read(path, true, line, err);

    if (status == NERO_OK) {
        status = line_parse(path, line, KEYS_SECRET_TAG, seed, err);
    }
    if (status == NERO_OK) {
        pair_from_seed(seed, out);
    }
    sodium_memzero(line, sizeof line);
    sodium_memzero(seed, sizeof seed);
    return status;
}

enum nero_status keys_load_public(const char *path, struct key_public *out, struct nero_err *err)
{
    char line[KEYS_LINE_BYTES];
    struct key_public key;
    enum nero_status status = file_read(path, false, line, err);

    if (status == NERO_OK) {
        status = line_parse(path, line, KEYS_PUBLIC_TAG, key.data, err);
    }
    if (status == NERO_OK) {
        *out = key;
    }
    return status;
}

/* ---- writing ---- */

static enum nero_status file_fill(int fd, const char *path, const char *text, struct nero_err *err)
{
    size_t length = strlen(text);
    size_t done = 0;

    while (done < length) {
        ssize_t put = write(fd, text + done, length - done);

        if (put < 0 && errno != EINTR) {
            return keys_errno(err, "cannot write", path);
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return fsync(fd) == 0 ? NERO_OK : keys_errno(err, "cannot sync", path);
}

static enum nero_status folder_sync(const char *path, struct nero_err *err)
{
    char folder[KEYS_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    int fd;
    enum nero_status status = NERO_OK;

    (void)snprintf(folder, sizeof folder, "%.*s", slash == NULL ? 1 : (int)(slash - path) + 1,
                   slash == NULL ? "." : path);
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        status = keys_errno(err, "cannot sync", folder);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return status;
}

/*
 * 1. write a temporary file beside `path`; 2. fsync it; 3. give it its name: with link, which fails
 * where there is one, or with rename, which replaces; 4. fsync the folder. A crash leaves at most
 * the temporary file.
 */
static enum nero_status file_create(const char *path, const char *text, mode_t mode, bool replace,
                                    struct nero_err *err)
{
    char temporary[KEYS_PATH_BYTES + 32];
    enum nero_status status;
    int fd;

    (void)snprintf(temporary, sizeof temporary, "%s.%08x.tmp", path, randombytes_random());
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        return keys_errno(err, "cannot create", temporary);
    }
    status = fchmod(fd, mode) == 0 ? file_fill(fd, temporary, text, err)
                                   : keys_errno(err, "cannot set the mode of", temporary);
    (void)close(fd);
    if (status == NERO_OK) {
        int failed = replace ? rename(temporary, path) : link(temporary, path);

        if (failed != 0) {
            status = keys_errno(err, "cannot create", path);
        }
    }
    (void)unlink(temporary);
    return status == NERO_OK ? folder_sync(path, err) : status;
}

enum nero_status keys_create(const char *path, struct key_pair *out, struct nero_err *err)
{
    uint8_t seed[crypto_sign_SEEDBYTES];
    char hex[KEYS_HEX_BYTES];
    char text[KEYS_LINE_BYTES];
    char public_path[KEYS_PATH_BYTES];
    struct key_pair made;
    enum nero_status status;

    if (strlen(path) + sizeof ".pub" > sizeof public_path) {
        return err_set(err, NERO_INVALID, 0, "the path of the key is too long");
    }
    randombytes_buf(seed, sizeof seed);
    pair_from_seed(seed, &made);
    bytes_to_hex(hex, seed, sizeof seed);
    (void)snprintf(text, sizeof text, KEYS_SECRET_TAG "%s\n", hex);
    status = file_create(path, text, 0600, false, err);
    sodium_memzero(seed, sizeof seed);
    sodium_memzero(text, sizeof text);
    if (status == NERO_OK) {
        bytes_to_hex(hex, made.public_key.data, sizeof made.public_key.data);
        (void)snprintf(text, sizeof text, KEYS_PUBLIC_TAG "%s\n", hex);
        (void)snprintf(public_path, sizeof public_path, "%s.pub", path);
        status = file_create(public_path, text, 0644, true, err);
    }
    if (status == NERO_OK) {
        *out = made;
    }
    sodium_memzero(hex, sizeof hex);
    key_pair_fini(&made);
    return status;
}
