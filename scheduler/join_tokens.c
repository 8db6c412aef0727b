#include "join_tokens.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* A token file that is no such (other size, unreadable) is passed over. */
static void read_token(struct join_tokens *out, const char *folder, const char *name)
{
    char *path = out->paths[out->count];
    uint8_t *token = out->tokens[out->count];
    int fd;

    if (snprintf(path, KEYS_PATH_BYTES, "%s/%s", folder, name) >= KEYS_PATH_BYTES) {
        return;
    }
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    out->count += read(fd, token, KEYS_TOKEN_BYTES) == KEYS_TOKEN_BYTES;
    (void)close(fd);
}

enum nero_status join_tokens_read(struct join_tokens *out, struct nero_err *err)
{
    char folder[KEYS_PATH_BYTES];
    struct dirent *entry;
    DIR *dir;

    out->count = 0;
    if (tokens_folder(false, folder, err) != NERO_OK) {
        return err->status;
    }
    dir = opendir(folder);
    if (dir == NULL) {
        return errno == ENOENT
                   ? NERO_OK
                   : err_set(err, err_from_errno(errno), errno, "%s: %s", folder, strerror(errno));
    }
    while ((entry = readdir(dir)) != NULL && out->count < JOIN_TOKENS_MAX) {
        const char *dot = strrchr(entry->d_name, '.');

        if (dot != NULL && strcmp(dot, ".token") == 0) {
            read_token(out, folder, entry->d_name);
        }
    }
    (void)closedir(dir);
    return NERO_OK;
}
