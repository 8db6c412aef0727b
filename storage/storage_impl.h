/*
 * What implementations and wrappers of the store share. Not for other folders.
 */
#ifndef NERO_STORAGE_IMPL_H
#define NERO_STORAGE_IMPL_H

#include "nero/hash.h"
#include "nero/storage.h"
#include "nero/storage_probe.h"

struct storage {
    const struct storage_ops *ops;
    void *self;
    char url[STORAGE_URL_BYTES_MAX];
    bool single_writer; /* storage_promise_single_writer */
    bool probed;
    struct storage_probe seen; /* where `probed` */
};

/* Opens one scheme. `place` is what follows the scheme in `url`. */
typedef enum nero_status storage_open_fn(const char *url, const char *place, bool create,
                                         struct storage **out, struct nero_err *err);

storage_open_fn storage_mem_open;
storage_open_fn storage_dir_open;
storage_open_fn storage_s3_open;
storage_open_fn storage_libs3_open;

/* ETag of the stores that make their own: 128 bits of a content hash in hex. */
void storage_etag(char out[STORAGE_ETAG_BYTES_MAX], struct bytes_view body);
void storage_etag_from_hash(char out[STORAGE_ETAG_BYTES_MAX], struct hash hash);

static inline bool storage_starts_with(const char *text, const char *prefix)
{
    while (*prefix != 0) {
        if (*text++ != *prefix++) {
            return false;
        }
    }
    return true;
}

/*
 * Append a copy of `key` to a page of at most count_max entries; a full page sets `more` instead.
 * The array grows by doubling: its capacity is the next power of two of count, at least 16.
 */
enum nero_status storage_list_add(struct storage_list *list, size_t count_max, const char *key,
                                  uint64_t bytes, struct nero_err *err);

/* Try a store's traits; all false where its kind has none. `folder` ends with '/'. */
enum nero_status storage_traits(struct storage *store, const char *folder,
                                struct storage_traits *out, struct nero_err *err);

/* remove_many of a store that may have none: for storage.c and wrappers. */
enum nero_status storage_remove_batch(struct storage *store, const char *const *keys, size_t count,
                                      struct nero_err *err);

/* The bytes that [offset, offset + bytes) has in an object of `size`. Errors: invalid. */
enum nero_status storage_cut_range(uint64_t size, uint64_t offset, uint64_t bytes, uint64_t *cut,
                                   struct nero_err *err);

#endif
