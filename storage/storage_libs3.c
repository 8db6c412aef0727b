/*
 * s3+libs3://: a bucket through Debian's libs3, which signs by version 2. For services that know no
 * other. DESIGN.md says what it cannot do and how a listing is proven complete.
 */
#include "storage_libs3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "storage_s3.h"

enum {
    READ_TRIES_MAX = 3,   /* of an object that is replaced while it is read */
    LIST_TRIES_MAX = 4,   /* of a listing that does not go on */
    LIST_COUNT_MAX = 1000 /* of one answer, by S3 */
};
#define PUT_BYTES_MAX (UINT64_C(5) << 30) /* of one request, by S3 */
#define END_MARK "~end"                   /* sorts after every key: no key has a '~' */

struct storage_libs3 {
    struct libs3_client *client;
};

static const char *store_prefix(const struct storage_libs3 *libs3)
{
    return libs3_client_config(libs3->client)->prefix;
}

static void name_of(const struct storage_libs3 *libs3, const char *key,
                    char out[STORAGE_S3_NAME_BYTES])
{
    (void)snprintf(out, STORAGE_S3_NAME_BYTES, "%s%s", store_prefix(libs3), key);
}

/* ---- writing ---- */

static enum nero_status libs3_put(void *self, const char *key, struct bytes_view body,
                                  struct nero_err *err)
{
    struct storage_libs3 *libs3 = self;
    char name[STORAGE_S3_NAME_BYTES];
    struct libs3_call call = {.verb = LIBS3_PUT, .name = name, .body = body};
    struct libs3_answer answer;

    if (body.bytes > PUT_BYTES_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "%zu bytes: libs3 puts at most 5 GiB", body.bytes);
    }
    name_of(libs3, key, name);
    return libs3_send(libs3->client, &call, &answer, err);
}

static enum nero_status libs3_put_if_absent(void *self, const char *key, struct bytes_view body,
                                            struct nero_err *err)
{
    (void)self;
    (void)key;
    (void)body;
    return err_set(err, NERO_INVALID, 0, "libs3 cannot put on the condition of absence");
}

static enum nero_status libs3_put_if_match(void *self, const char *key, struct bytes_view body,
                                           const char *etag, struct nero_err *err)
{
    (void)self;
    (void)key;
    (void)body;
    (void)etag;
    return err_set(err, NERO_INVALID, 0, "libs3 cannot put on the condition of an ETag");
}

/* ---- reading ---- */

static enum nero_status get_part(struct storage_libs3 *libs3, const char *name, uint64_t offset,
                                 uint64_t bytes, const char *etag, uint64_t bytes_max,
                                 struct bytes *out, struct libs3_answer *answer,
                                 struct nero_err *err)
{
    const struct libs3_call call = {.verb = LIBS3_GET,
                                    .name = name,
                                    .offset = offset,
                                    .bytes = bytes,
                                    .etag = etag,
                                    .bytes_max = bytes_max,
                                    .out = out};

    return libs3_send(libs3->client, &call, answer, err);
}

/* A HEAD has no body to say why it is a 404: a GET of one byte names the missing thing. */
static enum nero_status look_up(struct storage_libs3 *libs3, const char *name,
                                struct libs3_answer *answer, struct nero_err *err)
{
    const struct libs3_call call = {.verb = LIBS3_HEAD, .name = name};
    enum nero_status status = libs3_send(libs3->client, &call, answer, err);
    struct libs3_answer ignored;
    struct bytes byte;

    if (answer->status != S3StatusHttpErrorNotFound) {
        return status;
    }
    bytes_init(&byte, 1);
    status = get_part(libs3, name, 0, 1, NULL, 1, &byte, &ignored, err);
    bytes_fini(&byte);
    return status == NERO_NOT_FOUND || err_is_retryable(status)
               ? status
               : err_set(err, NERO_UNAVAILABLE, 404, "not found by a HEAD, yet by a GET");
}

static enum nero_status libs3_head(void *self, const char *key, struct storage_info *out,
                                   struct nero_err *err)
{
    struct storage_libs3 *libs3 = self;
    char name[STORAGE_S3_NAME_BYTES];
    struct libs3_answer answer;
    enum nero_status status;

    name_of(libs3, key, name);
    status = look_up(libs3, name, &answer, err);
    if (status == NERO_OK && out != NULL) {
        *out = (struct storage_info){.bytes = answer.bytes};
        memcpy(out->etag, answer.etag, sizeof out->etag);
    }
    return status;
}

/* Of the version that a HEAD has shown; conflict: it was replaced meanwhile. */
static enum nero_status get_cut(struct storage_libs3 *libs3, const char *name, uint64_t offset,
                                uint64_t bytes, struct bytes *out, struct libs3_answer *whole,
                                struct nero_err *err)
{
    size_t before = out->bytes;
    struct libs3_answer part;
    enum nero_status status = look_up(libs3, name, whole, err);
    uint64_t cut = 0;

    if (status == NERO_OK) {
        status = storage_cut_range(whole->bytes, offset, bytes, &cut, err);
    }
    if (status != NERO_OK || cut == 0) {
        return status;
    }
    status = get_part(libs3, name, offset, cut, whole->etag, cut, out, &part, err);
    if (status == NERO_OK && (part.bytes != cut || strcmp(part.etag, whole->etag) != 0)) {
        out->bytes = before;
        status = err_set(err, NERO_CORRUPT, 0,
                         "%llu bytes of '%.40s' where %llu of '%.40s' were "
                         "asked for",
                         (unsigned long long)part.bytes, part.etag, (unsigned long long)cut,
                         whole->etag);
    }
    return status;
}

static enum nero_status libs3_get_range(void *self, const char *key, uint64_t offset,
                                        uint64_t bytes, struct bytes *out,
                                        struct storage_info *info, struct nero_err *err)
{
    struct storage_libs3 *libs3 = self;
    char name[STORAGE_S3_NAME_BYTES];
    bool whole = offset == 0 && bytes > 0; /* mostly: one request, checked by its MD5 */
    struct libs3_answer answer;
    enum nero_status status = NERO_OK;

    name_of(libs3, key, name);
    if (whole) {
        status = get_part(libs3, name, 0, 0, NULL, bytes, out, &answer, err);
        whole = status != NERO_TOO_BIG || bytes == UINT64_MAX;
    }
    if (!whole) {
        status = NERO_CONFLICT;
        for (int try = 0; try < READ_TRIES_MAX && status == NERO_CONFLICT; try++) {
            status = get_cut(libs3, name, offset, bytes, out, &answer, err);
        }
        if (status == NERO_CONFLICT) {
            status =
                err_set(err, NERO_UNAVAILABLE, 0, "it was replaced each time while it was read");
        }
    }
    if (status == NERO_OK && info != NULL) {
        *info = (struct storage_info){.bytes = answer.bytes};
        memcpy(info->etag, answer.etag, sizeof info->etag);
    }
    return status;
}

/* ---- removing ---- */

/* libs3 shows a removal whose answer breaks off as a success: looked up, like a put. */
static enum nero_status libs3_remove(void *self, const char *key, struct nero_err *err)
{
    struct storage_libs3 *libs3 = self;
    char name[STORAGE_S3_NAME_BYTES];
    struct libs3_call call = {.verb = LIBS3_DELETE, .name = name};
    struct libs3_answer answer;
    enum nero_status status;

    name_of(libs3, key, name);
    status = libs3_send(libs3->client, &call, &answer, err);
    if (status != NERO_OK) {
        return status == NERO_NOT_FOUND ? NERO_OK : status;
    }
    status = look_up(libs3, name, &answer, err);
    if (status == NERO_NOT_FOUND) {
        return NERO_OK;
    }
    if (status == NERO_OK) {
        return err_set(err, NERO_UNKNOWN, 0, "it is there after its removal");
    }
    err->status = NERO_UNKNOWN;
    return err_wrap(err, "look what became of it");
}

/* ---- listing ---- */

/* One answer's names greater than `marker`, which may lack some at its end. */
static enum nero_status ask(struct storage_libs3 *libs3, const char *prefix, const char *marker,
                            size_t count_max, struct storage_list *names, bool *truncated,
                            struct nero_err *err)
{
    const struct libs3_call call = {.verb = LIBS3_LIST,
                                    .name = prefix,
                                    .marker = marker,
                                    .count_max = count_max,
                                    .names = names};
    struct libs3_answer answer;
    enum nero_status status = libs3_send(libs3->client, &call, &answer, err);

    *truncated = answer.truncated;
    return status;
}

/* Where a listing stands: all names of it up to `marker` are known. */
struct walk {
    struct storage_libs3 *libs3;
    char prefix[STORAGE_S3_NAME_BYTES];
    char marker[STORAGE_S3_NAME_BYTES + 2];
};

static bool is_of(const struct walk *walk, const char *name)
{
    return storage_starts_with(name, walk->prefix);
}

/* Above every key of the store. */
static bool is_beyond_keys(const struct walk *walk, const char *name)
{
    const char *prefix = store_prefix(walk->libs3);

    return storage_starts_with(name, prefix) && (unsigned char)name[strlen(prefix)] >= '~';
}

/*
 * Names come in order and an answer can only lose its end: a name beyond the listing's proves that
 * nothing is missing before it. For the last keys of a store that is a mark which the first
 * listing that needs it puts.
 */
static enum nero_status find_end(struct walk *walk, bool *end, struct nero_err *err)
{
    char mark[STORAGE_S3_NAME_BYTES];
    const struct libs3_call put = {
        .verb = LIBS3_PUT, .name = mark, .body = bytes_view_str("end of keys\n")};

    name_of(walk->libs3, END_MARK, mark);
    *end = false;
    for (int try = 0; try < LIST_TRIES_MAX; try++) {
        struct storage_list next = {0};
        struct libs3_answer answer;
        bool truncated;
        enum nero_status status =
            ask(walk->libs3, store_prefix(walk->libs3), walk->marker, 1, &next, &truncated, err);

        if (status == NERO_OK && next.count == 0) {
            status = libs3_send(walk->libs3->client, &put, &answer, err);
            if (status != NERO_OK) {
                err->status = status == NERO_UNKNOWN ? NERO_UNAVAILABLE : status;
                return err_wrap(err, "mark the end of the keys, without which no listing can be "
                                     "proven complete");
            }
            continue;
        }
        if (status == NERO_OK) {
            const char *name = next.entries[0].key;

            *end = is_beyond_keys(walk, name) ||
                   (!is_of(walk, name) && strcmp(name, walk->prefix) > 0);
            if (!*end && !is_of(walk, name)) { /* between where we began and the first of ours */
                (void)snprintf(walk->marker, sizeof walk->marker, "%s", name);
                storage_list_fini(&next);
                continue;
            }
        }
        storage_list_fini(&next);
        return status;
    }
    return err_set(err, NERO_UNAVAILABLE, 0, "listings do not show what comes after the keys");
}

/* Move what are keys of this store to the page. *end: a name above all keys has come. */
static enum nero_status take(struct walk *walk, const struct storage_list *names, size_t count_max,
                             struct storage_list *out, bool *end, struct nero_err *err)
{
    for (size_t i = 0; i < names->count; i++) {
        const char *name = names->entries[i].key;
        const char *key = name + strlen(store_prefix(walk->libs3));
        struct nero_err no_key;

        if (!is_of(walk, name)) {
            return err_set(err, NERO_CORRUPT, 0, "'%.80s' is listed, which was not asked for",
                           name);
        }
        *end = *end || is_beyond_keys(walk, name);
        (void)snprintf(walk->marker, sizeof walk->marker, "%s", name);
        if (storage_check_key(key, &no_key) == NERO_OK &&
            storage_list_add(out, count_max, key, names->entries[i].bytes, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

static enum nero_status list_on(struct walk *walk, size_t count_max, struct storage_list *out,
                                bool *end, struct nero_err *err)
{
    size_t wanted = count_max - out->count + 1; /* one more: whether there is one */
    struct storage_list names = {0};
    bool truncated;
    enum nero_status status =
        ask(walk->libs3, walk->prefix, walk->marker,
            wanted < LIST_COUNT_MAX ? wanted : LIST_COUNT_MAX, &names, &truncated, err);

    if (status == NERO_OK) {
        status = take(walk, &names, count_max, out, end, err);
    }
    storage_list_fini(&names);
    if (status == NERO_OK && !truncated && !*end && !out->more) {
        status = find_end(walk, end, err);
    }
    return status;
}

/*
 * Where a listing without a beginning begins: below the first name with the prefix, above all
 * others. "" for all.
 */
static void below(const char *prefix, char out[STORAGE_S3_NAME_BYTES + 2])
{
    size_t bytes = strlen(prefix);

    out[0] = 0;
    if (bytes > 0) {
        (void)snprintf(out, STORAGE_S3_NAME_BYTES + 2, "%.*s%c~", (int)bytes - 1, prefix,
                       prefix[bytes - 1] - 1);
    }
}

static enum nero_status libs3_list(void *self, const char *prefix, const char *start_after,
                                   size_t count_max, struct storage_list *out, struct nero_err *err)
{
    struct walk walk = {.libs3 = self};
    char key[STORAGE_KEY_BYTES_MAX + 2];
    char after[STORAGE_S3_NAME_BYTES];
    int idle = 0;

    if (!storage_s3_begins_keys(prefix)) {
        return NERO_OK;
    }
    name_of(self, prefix, walk.prefix);
    below(walk.prefix, walk.marker);
    storage_s3_start_after(start_after, key);
    name_of(self, key, after);
    if (key[0] != 0 && strcmp(after, walk.marker) > 0) {
        (void)snprintf(walk.marker, sizeof walk.marker, "%s", after);
    }
    while (idle < LIST_TRIES_MAX) {
        char last[sizeof walk.marker];
        bool end = false;

        memcpy(last, walk.marker, sizeof last);
        if (list_on(&walk, count_max, out, &end, err) != NERO_OK) {
            return err->status;
        }
        if (end || out->more) {
            return NERO_OK;
        }
        idle = strcmp(last, walk.marker) == 0 ? idle + 1 : 0;
    }
    return err_set(err, NERO_UNAVAILABLE, 0, "the listing is cut short of its end each time");
}

/* ---- opening ---- */

static unsigned libs3_capabilities(void *self)
{
    (void)self;
    return 0;
}

static void libs3_close(void *self)
{
    struct storage_libs3 *libs3 = self;

    libs3_client_close(libs3->client);
    free(libs3);
}

/* Whether the bucket is there, by a listing: runners may not ask for more. */
static enum nero_status look_for_bucket(struct storage_libs3 *libs3, bool *absent,
                                        struct nero_err *err)
{
    struct storage_list names = {0};
    const struct libs3_call look = {.verb = LIBS3_LIST,
                                    .name = store_prefix(libs3),
                                    .marker = "",
                                    .count_max = 1,
                                    .names = &names};
    struct libs3_answer answer;
    enum nero_status status = libs3_send(libs3->client, &look, &answer, err);

    storage_list_fini(&names);
    *absent = status != NERO_OK && answer.status == S3StatusErrorNoSuchBucket;
    return status;
}

static enum nero_status check_bucket(struct storage_libs3 *libs3, bool create, struct nero_err *err)
{
    const struct libs3_call make = {.verb = LIBS3_MAKE_BUCKET, .name = ""};
    struct libs3_answer answer;
    bool absent;
    enum nero_status status = look_for_bucket(libs3, &absent, err);

    if (!absent) {
        return status;
    }
    if (!create) {
        return err_set(err, NERO_NOT_FOUND, 404, "there is no such bucket");
    }
    status = libs3_send(libs3->client, &make, &answer, err);
    /* As of a put, libs3 may not show the answer; and somebody else of us may be quicker. */
    return status == NERO_OK ? NERO_OK : look_for_bucket(libs3, &absent, err);
}

enum nero_status storage_libs3_open_with(const char *url, const struct libs3_options *options,
                                         bool create, struct storage **out, struct nero_err *err)
{
    static const struct storage_ops ops = {
        .name = "s3+libs3",
        .put = libs3_put,
        .put_if_absent = libs3_put_if_absent,
        .put_if_match = libs3_put_if_match,
        .get_range = libs3_get_range,
        .head = libs3_head,
        .list = libs3_list,
        .remove = libs3_remove,
        .capabilities = libs3_capabilities,
        .close = libs3_close,
    };
    struct storage_libs3 *libs3 = mem_calloc(1, sizeof *libs3);
    enum nero_status status;

    if (libs3 == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "store '%s': no memory", url);
    }
    status = libs3_client_open(url, url + strlen("s3+libs3://"), options, &libs3->client, err);
    if (status == NERO_OK) {
        status = check_bucket(libs3, create, err);
    }
    if (status == NERO_OK) {
        status = storage_from_ops(&ops, libs3, url, out, err);
    } else if (strncmp(err->message, "store '", 7) != 0) {
        status = err_wrap(err, "store '%s'", url);
    }
    if (status != NERO_OK) {
        libs3_close(libs3);
    }
    return status;
}

enum nero_status storage_libs3_open(const char *url, const char *place, bool create,
                                    struct storage **out, struct nero_err *err)
{
    struct libs3_options options = libs3_defaults();

    (void)place;
    return storage_libs3_open_with(url, &options, create, out, err);
}
