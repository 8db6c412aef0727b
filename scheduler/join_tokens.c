#include "join_tokens.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/clock.h"

enum { SETTLED_S = 2 };

static enum nero_status tokens_folder(bool create, char out[KEYS_PATH_BYTES], struct nero_err *err)
{
    char keys[KEYS_PATH_BYTES];

    if (keys_folder(create, keys, err) != NERO_OK) {
        return err->status;
    }
    if (snprintf(out, KEYS_PATH_BYTES, "%s/tokens", keys) >= KEYS_PATH_BYTES) {
        return err_set(err, NERO_INVALID, 0, "the path of the key folder is too long");
    }
    if (create && mkdir(out, 0700) != 0 && errno != EEXIST) {
        return err_set(err, err_from_errno(errno), errno, "%s: %s", out, strerror(errno));
    }
    return NERO_OK;
}

enum nero_status join_tokens_create(char path[KEYS_PATH_BYTES], struct nero_err *err)
{
    char folder[KEYS_PATH_BYTES];
    uint8_t token[KEYS_TOKEN_BYTES];
    uint8_t random[6];
    char hex[13];
    bool written;
    int fd;

    if (tokens_folder(true, folder, err) != NERO_OK) {
        return err->status;
    }
    randombytes_buf(token, sizeof token);
    randombytes_buf(random, sizeof random);
    bytes_to_hex(hex, random, sizeof random);
    if (snprintf(path, KEYS_PATH_BYTES, "%s/%s.token", folder, hex) >= KEYS_PATH_BYTES) {
        return err_set(err, NERO_INVALID, 0, "the path of the token is too long");
    }
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set(err, err_from_errno(errno), errno, "%s: %s", path, strerror(errno));
    }
    written = write(fd, token, sizeof token) == (ssize_t)sizeof token && fsync(fd) == 0;
    sodium_memzero(token, sizeof token);
    if (close(fd) != 0 || !written) {
        (void)unlink(path);
        return err_set(err, NERO_NO_SPACE, errno, "%s cannot be written", path);
    }
    return NERO_OK;
}

/* NAME.token: nobody's yet; <key id>.owned: a runner's. */
static bool owner_of(const char *name, struct key_id *out)
{
    const char *dot = strrchr(name, '.');
    size_t bytes = 0;

    memset(out, 0, sizeof *out);
    if (dot != NULL && strcmp(dot, ".owned") == 0) {
        return sodium_hex2bin(out->data, sizeof out->data, name, (size_t)(dot - name), NULL, &bytes,
                              NULL) == 0 &&
               bytes == sizeof out->data;
    }
    return dot != NULL && strcmp(dot, ".token") == 0;
}

/* A token file that is no such (other name, size, unreadable) is passed over. */
static void read_token(struct join_tokens *out, const char *folder, const char *name)
{
    char *path = out->paths[out->count];
    uint8_t *token = out->tokens[out->count];
    struct key_id *owner = &out->owners[out->count];
    struct stat info;
    int fd;

    if (!owner_of(name, owner) ||
        snprintf(path, KEYS_PATH_BYTES, "%s/%s", folder, name) >= KEYS_PATH_BYTES) {
        return;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (strstr(name, ".owned") != NULL && fstat(fd, &info) == 0 &&
        clock_wall_ms(clock_system()) / 1000 - info.st_mtime > JOIN_TOKENS_OWNED_DAYS * 86400) {
        (void)unlink(path);
    } else {
        out->count += read(fd, token, KEYS_TOKEN_BYTES) == KEYS_TOKEN_BYTES;
    }
    (void)close(fd);
}

/* False: the list is what the folder holds. A change that is younger than the clock's grain may be
 * followed by one of the same time, so it is not taken for the last. */
static bool has_changed(struct join_tokens *tokens, DIR *dir)
{
    struct stat info;

    if (fstat(dirfd(dir), &info) != 0) {
        return true;
    }
    if (info.st_mtim.tv_sec == tokens->changed.tv_sec &&
        info.st_mtim.tv_nsec == tokens->changed.tv_nsec) {
        return false;
    }
    tokens->changed = clock_wall_ms(clock_system()) / 1000 - info.st_mtime > SETTLED_S
                          ? info.st_mtim
                          : (struct timespec){0};
    return true;
}

enum nero_status join_tokens_read(struct join_tokens *out, struct nero_err *err)
{
    char folder[KEYS_PATH_BYTES];
    struct dirent *entry;
    DIR *dir;

    if (tokens_folder(false, folder, err) != NERO_OK) {
        return err->status;
    }
    dir = opendir(folder);
    if (dir == NULL) {
        out->count = 0;
        return errno == ENOENT
                   ? NERO_OK
                   : err_set(err, err_from_errno(errno), errno, "%s: %s", folder, strerror(errno));
    }
    if (!has_changed(out, dir)) {
        (void)closedir(dir);
        return NERO_OK;
    }
    out->count = 0;
    while ((entry = readdir(dir)) != NULL && out->count < JOIN_TOKENS_MAX) {
        read_token(out, folder, entry->d_name);
    }
    (void)closedir(dir);
    return NERO_OK;
}

enum nero_status join_tokens_own(const struct join_tokens *tokens, uint32_t number,
                                 const struct key_id *owner, struct nero_err *err)
{
    const char *from = tokens->paths[number];
    const char *slash = strrchr(from, '/');
    char hex[KEY_ID_HEX_BYTES];
    char to[KEYS_PATH_BYTES];

    key_id_to_hex(hex, owner);
    if (snprintf(to, sizeof to, "%.*s/%s.owned", (int)(slash - from), from, hex) >=
        KEYS_PATH_BYTES) {
        return err_set(err, NERO_INVALID, 0, "the path of the token is too long");
    }
    if (strcmp(from, to) != 0 &&
        (utimensat(AT_FDCWD, from, NULL, 0) != 0 || rename(from, to) != 0)) {
        int code = errno;

        (void)unlink(from); /* spent all the same */
        return err_set(err, err_from_errno(code), code, "%s: %s", to, strerror(code));
    }
    return NERO_OK;
}
