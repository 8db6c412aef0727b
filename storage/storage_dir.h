/*
 * file://: what storage_dir.c and storage_dir_list.c share.
 */
#ifndef NERO_STORAGE_DIR_H
#define NERO_STORAGE_DIR_H

#include <stdatomic.h>

#include "storage_impl.h"

enum {
    STORAGE_DIR_DURABLE_SLOTS = 256,
    STORAGE_DIR_TEMP_NAME_BYTES = 33 /* 128 random bits in hex */
};

struct storage_dir {
    int root_fd; /* every key is a path relative to it */
    int tmp_fd;  /* ~nero/tmp and ~nero/lock; -1 in a store opened for reading only */
    int lock_fd;
    /*
     * Hashes of folders all of whose entries, up to the root, this process knows to be on disk. A
     * small cache without promises: what falls out is synced again.
     */
    _Atomic uint64_t durable[STORAGE_DIR_DURABLE_SLOTS];
};

/*
 * The status of a failed look at `key` (errno `error`): ENOENT and ENOTDIR are absence only while
 * the root itself is there.
 */
enum nero_status storage_dir_look_failed(const struct storage_dir *dir, int error,
                                         struct nero_err *err);

/*
 * A system call failed and nothing took effect. What an errno says of some file of the store's own
 * says nothing of the object: not_found and exists are only set where the object itself was asked.
 */
enum nero_status storage_dir_failed(int error, const char *what, struct nero_err *err);

/* A name that no other process on any machine makes up; removing it never fails loudly. */
void storage_dir_temp_name(char out[STORAGE_DIR_TEMP_NAME_BYTES]);
void storage_dir_temp_remove(const struct storage_dir *dir, const char *name);

extern const struct storage_ops storage_dir_ops;
void storage_dir_close(void *self);

/* The `list` of struct storage_ops. */
enum nero_status storage_dir_list(void *self, const char *prefix, const char *start_after,
                                  size_t count_max, struct storage_list *out, struct nero_err *err);

#endif
