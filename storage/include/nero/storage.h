/*
 * The object store: one table of operations, the same promises from every implementation.
 *
 * An object is a key and immutable bytes; there is no rename and no append. Keys use only
 * [A-Za-z0-9._/-], do not start or end with '/', and hold no empty, "." or ".." segment; at most
 * STORAGE_KEY_BYTES_MAX bytes and STORAGE_SEGMENT_BYTES_MAX between two '/'. Every operation takes
 * effect wholly or not at all. A key that is also the folder of another one ("a" beside "a/b") is
 * never used: mem: and file: refuse to create it with conflict, S3 cannot notice it.
 *
 * Promises (storage/DESIGN.md says why they hold for each implementation):
 *   - put_if_absent: of any number of concurrent creates of one key exactly one succeeds;
 *   - an object that was put is seen by every later get, head and list;
 *   - not_found only where the object is definitely absent (a 404, ENOENT), never on an outage;
 *   - unknown: the request was sent and its outcome is not known; the object must be read to tell.
 *
 * Thread: a store may be used by any number of threads at once.
 * Source: Amazon S3 API (PutObject, GetObject, HeadObject, ListObjectsV2, DeleteObject).
 */
#ifndef NERO_STORAGE_H
#define NERO_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/bytes.h"
#include "nero/err.h"
#include "nero/hash.h"

enum {
    STORAGE_KEY_BYTES_MAX = 512,
    STORAGE_SEGMENT_BYTES_MAX = 255, /* NAME_MAX of a file system */
    STORAGE_ETAG_BYTES_MAX = 96,
    STORAGE_LIST_PAGE_MAX = 1000,
    STORAGE_REMOVE_MAX = 1000, /* keys in one request of S3 */
    STORAGE_URL_BYTES_MAX = 1024
};

/* What is known of an object without reading it. The ETag is opaque: only for put_if_match. */
struct storage_info {
    uint64_t bytes;
    char etag[STORAGE_ETAG_BYTES_MAX];
};

/* One page of keys in ascending byte order. */
struct storage_list {
    struct storage_list_entry {
        char *key;
        uint64_t bytes;
    } * entries;
    size_t count;
    bool more; /* go on with start_after = the last key */
};

struct storage; /* an open store */

/* Bits of storage_capabilities: what this store promises beyond put, get, list and delete. */
enum storage_capability {
    STORAGE_CAN_CREATE = 1,   /* put_if_absent is atomic under races */
    STORAGE_CAN_MATCH = 2,    /* put_if_match */
    STORAGE_CAN_MULTIPART = 4 /* large objects in parallel parts */
};

/* The forms in which a store takes the ETag of a conditional replace: bits. */
enum storage_match_form {
    STORAGE_MATCH_NONE,
    STORAGE_MATCH_BARE = 1,
    STORAGE_MATCH_QUOTED = 2,
    STORAGE_MATCH_EITHER = STORAGE_MATCH_BARE | STORAGE_MATCH_QUOTED
};

/* What stores of one kind do differently. Each is what was seen (storage_probe.h). */
struct storage_traits {
    bool tried; /* its kind has any */
    bool
        pins_reads; /* a read bound to the object's ETag is answered, one bound to another is not */
    enum storage_match_form match_form; /* NONE: a right ETag is refused in either form */
    bool creates_parts; /* an object in parts can be bound to be new when it is completed */
};

/* The table that an implementation or a wrapper fills. `self` is its own state. */
struct storage_ops {
    const char *name; /* "mem", "file", "s3", "s3+libs3" */
    enum nero_status (*put)(void *self, const char *key, struct bytes_view body,
                            struct nero_err *err);
    enum nero_status (*put_if_absent)(void *self, const char *key, struct bytes_view body,
                                      struct nero_err *err);
    enum nero_status (*put_if_match)(void *self, const char *key, struct bytes_view body,
                                     const char *etag, struct nero_err *err);
    enum nero_status (*get_range)(void *self, const char *key, uint64_t offset, uint64_t bytes,
                                  struct bytes *out, struct storage_info *info,
                                  struct nero_err *err);
    enum nero_status (*head)(void *self, const char *key, struct storage_info *out,
                             struct nero_err *err);
    enum nero_status (*list)(void *self, const char *prefix, const char *start_after,
                             size_t count_max, struct storage_list *out, struct nero_err *err);
    enum nero_status (*remove)(void *self, const char *key, struct nero_err *err);
    /* 1 to STORAGE_REMOVE_MAX keys in one request; NULL: it has none, remove is called for each */
    enum nero_status (*remove_many)(void *self, const char *const *keys, size_t count,
                                    struct nero_err *err);
    /* try its traits with objects below `folder`; NULL: its kind has none */
    enum nero_status (*traits)(void *self, const char *folder, struct storage_traits *out,
                               struct nero_err *err);
    unsigned (*capabilities)(void *self);
    bool (*clock_ahead)(void *self, int64_t *ahead_ms); /* NULL: it has no clock of its own */
    void (*close)(void *self);
};

/*
 * Open a store by URL: file:///absolute/dir, mem:name (shared by all opens of that name in this
 * process, gone with the last close; "mem:" alone is private), s3://bucket/prefix or
 * s3+libs3://bucket/prefix. A directory is created when its parent exists. `create` false: a
 * missing directory is not_found, and one that cannot be written is opened for reading only (no
 * capabilities, writes are denied).
 * Owns: *out is closed by storage_close. Errors: invalid (URL, or a file system without hard
 * links), denied, unavailable.
 */
enum nero_status storage_open(const char *url, bool create, struct storage **out,
                              struct nero_err *err);
void storage_close(struct storage *store); /* NULL does nothing */

/*
 * Make a store of a table. For implementations and wrappers.
 * Owns: `self` is taken on success (closed by ops->close); `ops` is borrowed for the store's life;
 * `url` is copied.
 */
enum nero_status storage_from_ops(const struct storage_ops *ops, void *self, const char *url,
                                  struct storage **out, struct nero_err *err);

const char *storage_url(const struct storage *store);
unsigned storage_capabilities(const struct storage *store);

/*
 * The caller promises that from here on no two writers create one key at the same time: create then
 * looks first and puts when the key is absent. The one way to create on a store without
 * STORAGE_CAN_CREATE, or on one that lies about it. Thread: before the store is shared.
 */
void storage_promise_single_writer(struct storage *store);
bool storage_has_single_writer(const struct storage *store);

/* By how much the store's clock is ahead of ours, by its last answer and to half a second. False
 * where it has none of its own or has not told it. */
bool storage_clock_ahead(const struct storage *store, int64_t *ahead_ms);

/* Errors: invalid, naming the character and its place. */
enum nero_status storage_check_key(const char *key, struct nero_err *err);

/* Create or replace. Errors: conflict (folder of a key), denied, no_space, unavailable, unknown. */
enum nero_status storage_put(struct storage *store, const char *key, struct bytes_view body,
                             struct nero_err *err);

/*
 * Create; exists when the key is there, whatever its content. Errors: as storage_put; invalid on a
 * store without STORAGE_CAN_CREATE (see storage_promise_single_writer).
 */
enum nero_status storage_put_if_absent(struct storage *store, const char *key,
                                       struct bytes_view body, struct nero_err *err);

/*
 * As put_if_absent, and a retry that finds its own bytes counts as done: on exists or unknown the
 * object is read, and equal bytes are success, others exists. Unknown where it cannot be read.
 */
enum nero_status storage_create_once(struct storage *store, const char *key, struct bytes_view body,
                                     struct nero_err *err);

/*
 * Replace when the ETag is still `etag`: conflict otherwise, not_found on a missing key. Errors: as
 * storage_put; invalid on a store without STORAGE_CAN_MATCH.
 */
enum nero_status storage_put_if_match(struct storage *store, const char *key,
                                      struct bytes_view body, const char *etag,
                                      struct nero_err *err);

/*
 * Append the whole object to `out`, which is unchanged on failure. `info` may be NULL.
 * Errors: not_found, too_big (over out's bytes_max), corrupt (shorter than it claims), denied,
 * unavailable, no_memory.
 */
enum nero_status storage_get(struct storage *store, const char *key, struct bytes *out,
                             struct storage_info *info, struct nero_err *err);

/*
 * As storage_get for [offset, offset + bytes) cut at the object's end; invalid when offset is
 * beyond it. With `info` file: reads the whole object for its ETag, so pass NULL where it is not
 * needed.
 */
enum nero_status storage_get_range(struct storage *store, const char *key, uint64_t offset,
                                   uint64_t bytes, struct bytes *out, struct storage_info *info,
                                   struct nero_err *err);

/* Told after each piece: bytes read so far. */
struct storage_progress {
    void (*made)(void *context, uint64_t bytes);
    void *context;
};
/*
 * As storage_get for an object that is named by the BLAKE2b-256 of its bytes: read in pieces,
 * hashed while they come in. `progress` may be NULL. Errors: as storage_get; too_big also for more
 * than bytes_max bytes; corrupt for other bytes than `content`.
 */
enum nero_status storage_get_content(struct storage *store, const char *key,
                                     const struct hash *content, uint64_t bytes_max,
                                     const struct storage_progress *progress, struct bytes *out,
                                     struct nero_err *err);

/* `out` may be NULL: only whether the object is there, which spares file: reading it. */
enum nero_status storage_head(struct storage *store, const char *key, struct storage_info *out,
                              struct nero_err *err);

/*
 * Keys that start with `prefix` (any string, "" for all) and are greater than `start_after` (may be
 * NULL), at most count_max (1 to STORAGE_LIST_PAGE_MAX). Free with storage_list_fini.
 */
enum nero_status storage_list_page(struct storage *store, const char *prefix,
                                   const char *start_after, size_t count_max,
                                   struct storage_list *out, struct nero_err *err);
void storage_list_fini(struct storage_list *list);

/* Call `each` for every key with the prefix, in order; a status other than ok from it ends. */
typedef enum nero_status storage_each_fn(void *context, const char *key, uint64_t bytes,
                                         struct nero_err *err);
enum nero_status storage_list_each(struct storage *store, const char *prefix, storage_each_fn *each,
                                   void *context, struct nero_err *err);

/* Deleting a key that is absent is ok. */
enum nero_status storage_remove(struct storage *store, const char *key, struct nero_err *err);

/*
 * Delete any number of different keys, as many at a time as the store can. ok: all are absent.
 * Else the status of one of them (a bad key: nothing was removed); of the others any may have been
 * removed, and to try again does no harm.
 */
enum nero_status storage_remove_many(struct storage *store, const char *const *keys, size_t count,
                                     struct nero_err *err);

#endif
