/*
 * file://: listing in byte order of the whole key (promise P6 of DESIGN.md).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/mem.h"
#include "storage_dir.h"

/*
 * One page being collected. `path` is the folder where the walk is, with its '/' ("" at the root),
 * and then, for a moment, the name that is looked at.
 */
struct walk {
    const struct storage_dir *dir;
    const char *prefix;
    const char *start_after;
    size_t count_max;
    struct storage_list *out;
    char path[STORAGE_KEY_BYTES_MAX + 2];
};

/* Names of one folder; a folder's own name ends in '/', so that strcmp is the order of keys. */
struct names {
    char **items;
    size_t count;
    size_t capacity;
};

static void names_fini(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        free(names->items[i]);
    }
    free(names->items);
}

static enum nero_status names_add(struct names *names, const char *name, struct nero_err *err)
{
    char *copy;

    if (names->count == names->capacity) {
        size_t capacity = names->capacity > 0 ? 2 * names->capacity : 32;
        char **grown = mem_realloc_array(names->items, capacity, sizeof *grown);

        if (grown == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for %zu names", capacity);
        }
        names->items = grown;
        names->capacity = capacity;
    }
    copy = mem_strdup(name);
    if (copy == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a name");
    }
    names->items[names->count++] = copy;
    return NERO_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_sort(struct names *names)
{
    if (names->count > 1) {
        qsort(names->items, names->count, sizeof *names->items, compare_names);
    }
}

static bool is_wanted_key(const struct walk *walk)
{
    return storage_starts_with(walk->path, walk->prefix) &&
           strcmp(walk->path, walk->start_after) > 0;
}

/*
 * Whether the folder in `path` can hold a wanted key. All keys in it start with `path`, which is at
 * least as long as the prefix, for the walk began in the deepest folder that the prefix names.
 */
static bool is_wanted_folder(const struct walk *walk)
{
    if (!storage_starts_with(walk->path, walk->prefix)) {
        return false;
    }
    return strcmp(walk->path, walk->start_after) > 0 ||
           storage_starts_with(walk->start_after, walk->path);
}

enum kind { KIND_OTHER, KIND_OBJECT, KIND_FOLDER };

static enum kind kind_of(int folder_fd, const struct dirent *entry)
{
    struct stat info;

    if (entry->d_type == DT_REG) {
        return KIND_OBJECT;
    }
    if (entry->d_type == DT_DIR) {
        return KIND_FOLDER;
    }
    /* Some file systems leave it to stat. What is gone by now is not listed. */
    if (entry->d_type != DT_UNKNOWN ||
        fstatat(folder_fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return KIND_OTHER;
    }
    if (S_ISDIR(info.st_mode)) {
        return KIND_FOLDER;
    }
    return S_ISREG(info.st_mode) ? KIND_OBJECT : KIND_OTHER;
}

/* Put the entry's name behind the folder in `path`; false where it is no wanted key or folder. */
static bool look_at(struct walk *walk, size_t folder_bytes, int folder_fd,
                    const struct dirent *entry)
{
    size_t bytes = strlen(entry->d_name);
    struct nero_err ignored;
    enum kind kind;

    if (folder_bytes + bytes > STORAGE_KEY_BYTES_MAX ||
        storage_check_key(entry->d_name, &ignored) != NERO_OK) {
        return false; /* ".", "..", ~nero and whatever else is not ours */
    }
    kind = kind_of(folder_fd, entry);
    if (kind == KIND_OTHER) {
        return false;
    }
    memcpy(walk->path + folder_bytes, entry->d_name, bytes + 1);
    if (kind == KIND_OBJECT) {
        return is_wanted_key(walk);
    }
    memcpy(walk->path + folder_bytes + bytes, "/", 2);
    return is_wanted_folder(walk);
}

static enum nero_status read_names(struct walk *walk, size_t folder_bytes, DIR *folder,
                                   struct names *names, struct nero_err *err)
{
    for (;;) {
        const struct dirent *entry;
        enum nero_status status;

        errno = 0;
        entry = readdir(folder);
        if (entry == NULL) {
            int error = errno;

            return error == 0 ? NERO_OK
                              : err_set(err, err_from_errno(error), error, "read folder '%.*s': %s",
                                        (int)folder_bytes, walk->path, strerror(error));
        }
        if (!look_at(walk, folder_bytes, dirfd(folder), entry)) {
            continue;
        }
        status = names_add(names, walk->path + folder_bytes, err);
        if (status != NERO_OK) {
            return status;
        }
    }
}

/* The wanted names of the folder in `path`, sorted. A folder that is gone has none. */
static enum nero_status collect(struct walk *walk, size_t folder_bytes, struct names *names,
                                struct nero_err *err)
{
    enum nero_status status;
    DIR *folder;
    int fd;

    walk->path[folder_bytes] = 0;
    fd = openat(walk->dir->root_fd, folder_bytes > 0 ? walk->path : ".",
                O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        status = storage_dir_look_failed(walk->dir, errno, err);
        return status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    folder = fdopendir(fd);
    if (folder == NULL) {
        (void)close(fd);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to read a folder");
    }
    status = read_names(walk, folder_bytes, folder, names, err);
    (void)closedir(folder);
    names_sort(names);
    return status;
}

/* The object in `path`, unless it is gone since its name was read. */
static enum nero_status add_object(struct walk *walk, struct nero_err *err)
{
    struct stat info;

    if (fstatat(walk->dir->root_fd, walk->path, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        enum nero_status status = storage_dir_look_failed(walk->dir, errno, err);

        return status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    if (!S_ISREG(info.st_mode)) {
        return NERO_OK;
    }
    return storage_list_add(walk->out, walk->count_max, walk->path, (uint64_t)info.st_size, err);
}

/* Depth is bounded by the segments of a key. */
static enum nero_status walk_folder(struct walk *walk, size_t folder_bytes, struct nero_err *err)
{
    struct names names = {0};
    enum nero_status status = collect(walk, folder_bytes, &names, err);

    for (size_t i = 0; i < names.count && status == NERO_OK && !walk->out->more; i++) {
        size_t bytes = strlen(names.items[i]);

        if (i > 0 && strcmp(names.items[i - 1], names.items[i]) == 0) {
            continue; /* replaced while the folder was read, and so read twice */
        }
        memcpy(walk->path + folder_bytes, names.items[i], bytes + 1);
        if (names.items[i][bytes - 1] == '/') {
            status = walk_folder(walk, folder_bytes + bytes, err);
        } else {
            status = add_object(walk, err);
        }
    }
    names_fini(&names);
    return status;
}

/*
 * Begin in the deepest folder that the prefix names. *none: the prefix is not the beginning of any
 * key ("../x", "a//"), so that nothing is opened by it.
 */
static size_t first_folder(struct walk *walk, bool *none)
{
    const char *slash = strrchr(walk->prefix, '/');
    size_t bytes = slash != NULL ? (size_t)(slash - walk->prefix) : 0;
    struct nero_err ignored;

    *none = slash == walk->prefix || bytes > STORAGE_KEY_BYTES_MAX;
    if (slash == NULL || *none) {
        return 0;
    }
    memcpy(walk->path, walk->prefix, bytes);
    walk->path[bytes] = 0;
    *none = storage_check_key(walk->path, &ignored) != NERO_OK;
    memcpy(walk->path + bytes, "/", 2);
    return bytes + 1;
}

enum nero_status storage_dir_list(void *self, const char *prefix, const char *start_after,
                                  size_t count_max, struct storage_list *out, struct nero_err *err)
{
    struct walk walk = {.dir = self,
                        .prefix = prefix,
                        .start_after = start_after,
                        .count_max = count_max,
                        .out = out};
    size_t folder_bytes;
    struct stat root;
    bool none;

    /* A removed folder reads as empty, which would be a wrong answer about every key. */
    if (fstat(walk.dir->root_fd, &root) == 0 && root.st_nlink == 0) {
        return storage_dir_look_failed(walk.dir, ENOENT, err);
    }
    folder_bytes = first_folder(&walk, &none);
    return none ? NERO_OK : walk_folder(&walk, folder_bytes, err);
}
