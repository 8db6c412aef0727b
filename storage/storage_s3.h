/*
 * s3://: what storage_s3.c and storage_s3_large.c share, and how a test opens one its own way.
 */
#ifndef NERO_STORAGE_S3_H
#define NERO_STORAGE_S3_H

#include <stdatomic.h>

#include "s3_client.h"
#include "storage_impl.h"

struct storage_s3_options {
    struct s3_client_options client;
    uint64_t part_bytes;      /* of multipart uploads and of ranges; S3 wants 5 MiB or more */
    uint64_t multipart_bytes; /* a put of more than this goes in parts */
    unsigned parallel;        /* parts or ranges at a time */
    int64_t complete_ms;      /* a service may put thousands of parts together so long */
};

struct storage_s3 {
    struct s3_client *client;
    struct storage_s3_options options;
    _Atomic int match; /* enum storage_match_form that a replace tries first: B3 of DESIGN.md */
};

/* The machine's clock and environment; 8 MiB parts above 16 MiB, four at a time, 2 min. */
struct storage_s3_options storage_s3_defaults(void);

/* As storage_open for "s3://..." in `url`. */
enum nero_status storage_s3_open_with(const char *url, const struct storage_s3_options *options,
                                      bool create, struct storage **out, struct nero_err *err);

enum { STORAGE_S3_NAME_BYTES = S3_CONFIG_PREFIX_BYTES + STORAGE_KEY_BYTES_MAX + 2 };

/* The name of `key` in the bucket. */
void storage_s3_name(const struct storage_s3 *s3, const char *key, char out[STORAGE_S3_NAME_BYTES]);

/*
 * The beginning of a listing that the store can be asked for: keys greater than it are the keys
 * greater than `start_after`, which may be any string.
 */
void storage_s3_start_after(const char *start_after, char out[STORAGE_KEY_BYTES_MAX + 2]);

/* Whether a key can begin with `prefix`. */
bool storage_s3_begins_keys(const char *prefix);

/* A put of one request, with one more header where `condition` has a name. conflict: it refuses. */
enum nero_status storage_s3_put_single(struct storage_s3 *s3, const char *key,
                                       struct bytes_view body, struct s3_sign_pair condition,
                                       struct nero_err *err);
/* The same on the condition of the ETag, in one form. */
enum nero_status storage_s3_put_matching(struct storage_s3 *s3, const char *key,
                                         struct bytes_view body, const char *etag,
                                         enum storage_match_form match, struct nero_err *err);

/* The traits of struct storage_ops. */
enum nero_status storage_s3_traits(void *self, const char *folder, struct storage_traits *out,
                                   struct nero_err *err);

/* The remove of struct storage_ops. */
enum nero_status storage_s3_remove(void *self, const char *key, struct nero_err *err);

/* The remove_many of struct storage_ops. */
enum nero_status storage_s3_remove_many(void *self, const char *const *keys, size_t count,
                                        struct nero_err *err);

/* The head of struct storage_ops, of a name. */
enum nero_status storage_s3_look(struct storage_s3 *s3, const char *name, struct storage_info *out,
                                 struct nero_err *err);

/* A multipart upload of `body`, cut into part_count parts of part_bytes, the last one shorter. */
struct storage_s3_upload {
    const char *name;
    struct bytes_view body;
    uint64_t part_bytes;
    size_t part_count;
    bool creates; /* completed only where there is no object; not every store keeps it */
    char id[S3_XML_UPLOAD_ID_BYTES];
    char (*etags)[S3_HTTP_ETAG_BYTES]; /* of each part that the server has; "" of the others */
};

struct bytes_view storage_s3_part(const struct storage_s3_upload *upload, size_t index);

/*
 * Look for an interrupted upload of the same name that has parts, all of them this body's.
 * *found: `id` and the ETags of the parts that are there are set. That no upload can be listed is
 * no error. Errors: retryable ones.
 */
enum nero_status storage_s3_find_upload(struct storage_s3 *s3, struct storage_s3_upload *upload,
                                        bool *found, struct nero_err *err);

/*
 * The ETag of the object that the parts make, where those of the parts are digests: MD5 of their
 * digests and their number. False where they are not.
 */
bool storage_s3_upload_etag(const struct storage_s3_upload *upload,
                            char out[STORAGE_ETAG_BYTES_MAX]);

/* Begin, send every part that has no ETag, complete. Errors: conflict (`creates`, and it exists).
 */
enum nero_status storage_s3_upload(struct storage_s3 *s3, struct storage_s3_upload *upload,
                                   struct nero_err *err);

/* put of a large body. Errors: as the put of struct storage_ops. */
enum nero_status storage_s3_put_parts(struct storage_s3 *s3, const char *name,
                                      struct bytes_view body, struct nero_err *err);

/*
 * Read [offset, offset + bytes) of the object whose ETag is `etag` to `room`, in parallel.
 * Errors: conflict (it has another ETag by now), as the get of struct storage_ops.
 */
enum nero_status storage_s3_get_ranges(struct storage_s3 *s3, const char *name, const char *etag,
                                       uint64_t offset, uint64_t bytes, uint8_t *room,
                                       struct nero_err *err);

/* "bytes=first-last" */
enum { STORAGE_S3_RANGE_BYTES = 64 };
void storage_s3_range(char out[STORAGE_S3_RANGE_BYTES], uint64_t offset, uint64_t bytes);

#endif
