/*
 * file://: opening a folder as a store: its own folders, the trial of links, the sweep.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/hash.h"
#include "nero/mem.h"
#include "storage_dir.h"

#define OWN_FOLDER "~nero" /* '~' is no key character */

enum { TEMP_AGE_MAX_MS = 24 * 60 * 60 * 1000 };

/* Here ENOENT is the answer that the caller of storage_open wants. */
static enum nero_status open_failed(int error, const char *what, struct nero_err *err)
{
    return err_set(err, err_from_errno(error), error, "%s: %s", what, strerror(error));
}

/* Make `path` unless it is there, and its entry durable. */
static enum nero_status make_root(const char *path, struct nero_err *err)
{
    char parent[STORAGE_URL_BYTES_MAX];
    int error = 0;
    char *slash;
    int fd;

    if (mkdir(path, 0777) != 0) {
        error = errno;
        return error == EEXIST ? NERO_OK : open_failed(error, "make the folder", err);
    }
    (void)snprintf(parent, sizeof parent, "%s", path);
    slash = strrchr(parent, '/');
    slash[slash == parent ? 1 : 0] = 0;
    fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0) {
        error = errno;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return error == 0 ? NERO_OK : storage_dir_failed(error, "fsync of the folder above", err);
}

static int open_own(const struct storage_dir *dir, const char *path)
{
    if (mkdirat(dir->root_fd, path, 0777) != 0 && errno != EEXIST) {
        return -1;
    }
    return openat(dir->root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static enum nero_status open_own_folders(struct storage_dir *dir, struct nero_err *err)
{
    int own = open_own(dir, OWN_FOLDER);

    if (own >= 0) {
        (void)close(own);
        dir->tmp_fd = open_own(dir, OWN_FOLDER "/tmp");
    }
    if (dir->tmp_fd >= 0) {
        dir->lock_fd = open_own(dir, OWN_FOLDER "/lock");
    }
    return dir->lock_fd >= 0 ? NERO_OK
                             : storage_dir_failed(errno, "make the folder " OWN_FOLDER, err);
}

/*
 * Assumption A1: a link is made, and is refused where the name exists. It is tried at each open,
 * because the same path may be on another file system tomorrow.
 */
static enum nero_status probe_link(const struct storage_dir *dir, struct nero_err *err)
{
    enum nero_status status = NERO_OK;
    char first[STORAGE_DIR_TEMP_NAME_BYTES];
    char second[STORAGE_DIR_TEMP_NAME_BYTES];
    int fd;

    storage_dir_temp_name(first);
    storage_dir_temp_name(second);
    fd = openat(dir->tmp_fd, first, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return storage_dir_failed(errno, "create a temporary file", err);
    }
    (void)close(fd);
    if (linkat(dir->tmp_fd, first, dir->tmp_fd, second, 0) != 0) {
        int error = errno;

        status =
            error == ENOSPC || error == EDQUOT
                ? storage_dir_failed(error, "link", err)
                : err_set(err, NERO_INVALID, error,
                          "the file system has no hard links (link: %s), without which creates "
                          "are not atomic; choose a folder on another file system",
                          strerror(error));
    } else if (linkat(dir->tmp_fd, first, dir->tmp_fd, second, 0) == 0 || errno != EEXIST) {
        status = err_set(err, NERO_INVALID, errno,
                         "the file system lets a link replace a name, so creates are not atomic; "
                         "choose a folder on another file system");
    }
    storage_dir_temp_remove(dir, second);
    storage_dir_temp_remove(dir, first);
    return status;
}

/* Temporary files of writers that died. Failures are left for the next open. */
static void sweep(const struct storage_dir *dir)
{
    int64_t now_ms = clock_wall_ms(clock_system());
    int fd = openat(dir->tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (folder == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        struct stat info;

        if (fstatat(dir->tmp_fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(info.st_mode) &&
            now_ms - (int64_t)info.st_mtim.tv_sec * 1000 > TEMP_AGE_MAX_MS) {
            storage_dir_temp_remove(dir, entry->d_name);
        }
    }
    (void)closedir(folder);
}

static enum nero_status prepare(struct storage_dir *dir, bool create, struct nero_err *err)
{
    enum nero_status status = open_own_folders(dir, err);

    if (status == NERO_OK) {
        status = probe_link(dir, err);
    }
    if (status == NERO_DENIED && !create) { /* an auditor's copy, or another's store: to be read */
        if (dir->tmp_fd >= 0) {
            (void)close(dir->tmp_fd);
            dir->tmp_fd = -1;
        }
        return NERO_OK;
    }
    if (status == NERO_OK) {
        sweep(dir);
    }
    return status;
}

enum nero_status storage_dir_open(const char *url, const char *place, bool create,
                                  struct storage **out, struct nero_err *err)
{
    enum nero_status status = NERO_OK;
    struct storage_dir *dir;

    if (place[0] != '/') {
        return err_set(err, NERO_INVALID, 0, "store '%s': expected file:///absolute/directory",
                       url);
    }
    dir = mem_calloc(1, sizeof *dir);
    if (dir == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "store '%s': no memory", url);
    }
    dir->root_fd = dir->tmp_fd = dir->lock_fd = -1;
    status = hash_library_init(err);
    if (status == NERO_OK && create) {
        status = make_root(place, err);
    }
    if (status == NERO_OK) {
        dir->root_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        status = dir->root_fd >= 0 ? prepare(dir, create, err) : open_failed(errno, "open", err);
    }
    if (status == NERO_OK) {
        status = storage_from_ops(&storage_dir_ops, dir, url, out, err);
    } else {
        status = err_wrap(err, "store '%s'", url);
    }
    if (status != NERO_OK) {
        storage_dir_close(dir);
    }
    return status;
}
