#include "nero/storage.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "storage_impl.h"

/* How often create_once creates again when the object that was in the way is gone. */
enum { CREATE_TRIES_MAX = 4, ETAG_HASH_BYTES = 16, LIST_ENTRIES_FIRST = 16 };

/* The first row whose prefix fits is taken. */
static const struct storage_scheme {
    const char *prefix;
    storage_open_fn *open;
} schemes[] = {
    {"mem:", storage_mem_open},
    {"file://", storage_dir_open},
    {"s3://", storage_s3_open},
    {"s3+libs3://", storage_libs3_open},
};

enum nero_status storage_open(const char *url, bool create, struct storage **out,
                              struct nero_err *err)
{
    if (strlen(url) >= STORAGE_URL_BYTES_MAX) {
        return err_set(err, NERO_INVALID, 0, "store '%.40s...': a URL has less than %d bytes", url,
                       STORAGE_URL_BYTES_MAX);
    }
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        if (storage_starts_with(url, schemes[i].prefix)) {
            return schemes[i].open(url, url + strlen(schemes[i].prefix), create, out, err);
        }
    }
    return err_set(err, NERO_INVALID, 0,
                   "store '%s': expected file:///directory, mem:name, s3://bucket/prefix or "
                   "s3+libs3://bucket/prefix",
                   url);
}

void storage_close(struct storage *store)
{
    if (store != NULL) {
        store->ops->close(store->self);
        free(store);
    }
}

enum nero_status storage_from_ops(const struct storage_ops *ops, void *self, const char *url,
                                  struct storage **out, struct nero_err *err)
{
    struct storage *store;

    assert(strlen(url) < STORAGE_URL_BYTES_MAX);
    store = mem_calloc(1, sizeof *store);
    if (store == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "store '%s': no memory", url);
    }
    store->ops = ops;
    store->self = self;
    memcpy(store->url, url, strlen(url) + 1);
    *out = store;
    return NERO_OK;
}

const char *storage_url(const struct storage *store)
{
    return store->url;
}

unsigned storage_capabilities(const struct storage *store)
{
    return store->ops->capabilities(store->self);
}

bool storage_clock_ahead(const struct storage *store, int64_t *ahead_ms)
{
    return store->ops->clock_ahead != NULL && store->ops->clock_ahead(store->self, ahead_ms);
}

/* By hand and not with isalnum, which would follow the locale. */
static bool is_key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '/' || c == '-';
}

enum nero_status storage_check_key(const char *key, struct nero_err *err)
{
    size_t start = 0;
    size_t i = 0;

    for (;; i++) {
        if (i > STORAGE_KEY_BYTES_MAX) {
            return err_set(err, NERO_INVALID, 0, "key '%.40s...' has more than %d bytes", key,
                           STORAGE_KEY_BYTES_MAX);
        }
        if (key[i] != 0 && key[i] != '/') {
            if (!is_key_character(key[i])) {
                return err_set(err, NERO_INVALID, 0,
                               "key '%.80s' has byte 0x%02x at place %zu; allowed are letters, "
                               "digits and . _ / -",
                               key, (unsigned char)key[i], i);
            }
            continue;
        }
        if (i == start || (i - start == 1 && key[start] == '.') ||
            (i - start == 2 && key[start] == '.' && key[start + 1] == '.')) {
            return err_set(err, NERO_INVALID, 0,
                           "key '%.80s' has an empty, '.' or '..' segment at place %zu", key,
                           start);
        }
        if (i - start > STORAGE_SEGMENT_BYTES_MAX) {
            return err_set(err, NERO_INVALID, 0,
                           "key '%.40s...' has a segment of more than %d bytes at place %zu", key,
                           STORAGE_SEGMENT_BYTES_MAX, start);
        }
        if (key[i] == 0) {
            return NERO_OK;
        }
        start = i + 1;
    }
}

void storage_etag_from_hash(char out[STORAGE_ETAG_BYTES_MAX], struct hash hash)
{
    memset(out, 0, STORAGE_ETAG_BYTES_MAX);
    bytes_to_hex(out, hash.data, ETAG_HASH_BYTES);
}

void storage_etag(char out[STORAGE_ETAG_BYTES_MAX], struct bytes_view body)
{
    storage_etag_from_hash(out, hash_of(body));
}

enum nero_status storage_cut_range(uint64_t size, uint64_t offset, uint64_t bytes, uint64_t *cut,
                                   struct nero_err *err)
{
    if (offset > size) {
        return err_set(err, NERO_INVALID, 0, "offset %llu is beyond the object's %llu bytes",
                       (unsigned long long)offset, (unsigned long long)size);
    }
    *cut = bytes < size - offset ? bytes : size - offset;
    return NERO_OK;
}

/* Say what was tried, on success nothing. */
static enum nero_status with_context(const struct storage *store, const char *what, const char *key,
                                     enum nero_status status, struct nero_err *err)
{
    return status == NERO_OK ? NERO_OK : err_wrap(err, "%s '%s' in %s", what, key, store->url);
}

enum nero_status storage_put(struct storage *store, const char *key, struct bytes_view body,
                             struct nero_err *err)
{
    enum nero_status status = storage_check_key(key, err);

    if (status == NERO_OK) {
        status = store->ops->put(store->self, key, body, err);
    }
    return with_context(store, "put", key, status, err);
}

void storage_promise_single_writer(struct storage *store)
{
    store->single_writer = true;
}

bool storage_has_single_writer(const struct storage *store)
{
    return store->single_writer;
}

/* A create by somebody between the two would be lost: see storage_promise_single_writer. */
static enum nero_status look_and_put(struct storage *store, const char *key, struct bytes_view body,
                                     struct nero_err *err)
{
    enum nero_status status = store->ops->head(store->self, key, NULL, err);

    if (status == NERO_NOT_FOUND) {
        return store->ops->put(store->self, key, body, err);
    }
    return status == NERO_OK ? err_set(err, NERO_EXISTS, 0, "it exists") : status;
}

enum nero_status storage_put_if_absent(struct storage *store, const char *key,
                                       struct bytes_view body, struct nero_err *err)
{
    enum nero_status status = storage_check_key(key, err);

    if (status == NERO_OK) {
        status = store->single_writer ? look_and_put(store, key, body, err)
                                      : store->ops->put_if_absent(store->self, key, body, err);
    }
    return with_context(store, "create", key, status, err);
}

enum nero_status storage_put_if_match(struct storage *store, const char *key,
                                      struct bytes_view body, const char *etag,
                                      struct nero_err *err)
{
    enum nero_status status = storage_check_key(key, err);

    if (status == NERO_OK) {
        status = store->ops->put_if_match(store->self, key, body, etag, err);
    }
    return with_context(store, "replace", key, status, err);
}

enum nero_status storage_get(struct storage *store, const char *key, struct bytes *out,
                             struct storage_info *info, struct nero_err *err)
{
    return storage_get_range(store, key, 0, UINT64_MAX, out, info, err);
}

enum nero_status storage_get_range(struct storage *store, const char *key, uint64_t offset,
                                   uint64_t bytes, struct bytes *out, struct storage_info *info,
                                   struct nero_err *err)
{
    enum nero_status status = storage_check_key(key, err);

    if (status == NERO_OK) {
        status = store->ops->get_range(store->self, key, offset, bytes, out, info, err);
    }
    return with_context(store, "get", key, status, err);
}

enum nero_status storage_head(struct storage *store, const char *key, struct storage_info *out,
                              struct nero_err *err)
{
    enum nero_status status = storage_check_key(key, err);

    if (status == NERO_OK) {
        status = store->ops->head(store->self, key, out, err);
    }
    return with_context(store, "look up", key, status, err);
}

enum nero_status storage_remove(struct storage *store, const char *key, struct nero_err *err)
{
    enum nero_status status = storage_check_key(key, err);

    if (status == NERO_OK) {
        status = store->ops->remove(store->self, key, err);
    }
    return with_context(store, "remove", key, status, err);
}

enum nero_status storage_traits(struct storage *store, const char *folder,
                                struct storage_traits *out, struct nero_err *err)
{
    *out = (struct storage_traits){0};
    return store->ops->traits != NULL ? store->ops->traits(store->self, folder, out, err) : NERO_OK;
}

enum nero_status storage_remove_batch(struct storage *store, const char *const *keys, size_t count,
                                      struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    if (store->ops->remove_many != NULL) {
        return store->ops->remove_many(store->self, keys, count, err);
    }
    for (size_t i = 0; i < count && status == NERO_OK; i++) {
        status = store->ops->remove(store->self, keys[i], err);
        if (status != NERO_OK) {
            (void)err_wrap(err, "'%s'", keys[i]);
        }
    }
    return status;
}

enum nero_status storage_remove_many(struct storage *store, const char *const *keys, size_t count,
                                     struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (size_t i = 0; i < count && status == NERO_OK; i++) {
        status = storage_check_key(keys[i], err);
    }
    for (size_t i = 0; i < count && status == NERO_OK; i += STORAGE_REMOVE_MAX) {
        size_t left = count - i;

        status = storage_remove_batch(store, keys + i,
                                      left < STORAGE_REMOVE_MAX ? left : STORAGE_REMOVE_MAX, err);
    }
    return status == NERO_OK ? NERO_OK
                             : err_wrap(err, "remove %zu objects in %s", count, store->url);
}

/* ok: the object is `body`; exists: it is something else; otherwise why that could not be told. */
static enum nero_status compare_object(struct storage *store, const char *key,
                                       struct bytes_view body, struct nero_err *err)
{
    struct bytes present;
    enum nero_status status;

    bytes_init(&present, body.bytes);
    status = storage_get(store, key, &present, NULL, err);
    if (status == NERO_TOO_BIG ||
        (status == NERO_OK && !bytes_view_equal(bytes_as_view(&present), body))) {
        status = err_set(err, NERO_EXISTS, 0, "create '%s' in %s: it is there with other bytes",
                         key, store->url);
    }
    bytes_fini(&present);
    return status;
}

enum nero_status storage_create_once(struct storage *store, const char *key, struct bytes_view body,
                                     struct nero_err *err)
{
    enum nero_status status = NERO_OK;

    for (int try = 0; try < CREATE_TRIES_MAX; try++) {
        struct nero_err why;

        status = storage_put_if_absent(store, key, body, err);
        if (status != NERO_EXISTS && status != NERO_UNKNOWN) {
            return status;
        }
        switch (compare_object(store, key, body, &why)) {
        case NERO_OK:
            return NERO_OK;
        case NERO_EXISTS:
        case NERO_NO_MEMORY:
            *err = why;
            return err->status;
        case NERO_NOT_FOUND:
            break; /* removed meanwhile, or the unknown create did not take effect */
        default:
            return err_set(err, NERO_UNKNOWN, why.system_code, "%s, after %s", why.message,
                           err_status_name(status));
        }
    }
    return err_set(err, NERO_UNKNOWN, 0, "create '%s' in %s: %s, yet absent when read, %d times",
                   key, store->url, err_status_name(status), CREATE_TRIES_MAX);
}

/*
 * A page that is out of order, or empty and yet not the last, would make a reader miss keys or
 * never end. It can come from a remote store, so it is an error and no assert.
 */
static enum nero_status check_page(const struct storage_list *page, const char *start_after,
                                   struct nero_err *err)
{
    const char *last = start_after;

    if (page->more && page->count == 0) {
        return err_set(err, NERO_CORRUPT, 0, "an empty page that is not the last one");
    }
    for (size_t i = 0; i < page->count; i++) {
        if (strcmp(page->entries[i].key, last) <= 0) {
            return err_set(err, NERO_CORRUPT, 0, "key '%s' is listed after '%s'",
                           page->entries[i].key, last);
        }
        last = page->entries[i].key;
    }
    return NERO_OK;
}

enum nero_status storage_list_page(struct storage *store, const char *prefix,
                                   const char *start_after, size_t count_max,
                                   struct storage_list *out, struct nero_err *err)
{
    struct storage_list page = {0};
    enum nero_status status;

    assert(count_max >= 1 && count_max <= STORAGE_LIST_PAGE_MAX);
    start_after = start_after != NULL ? start_after : "";
    status = store->ops->list(store->self, prefix, start_after, count_max, &page, err);
    if (status == NERO_OK) {
        status = check_page(&page, start_after, err);
    }
    if (status != NERO_OK) {
        storage_list_fini(&page);
        return with_context(store, "list", prefix, status, err);
    }
    *out = page;
    return NERO_OK;
}

enum nero_status storage_list_add(struct storage_list *list, size_t count_max, const char *key,
                                  uint64_t bytes, struct nero_err *err)
{
    size_t count = list->count;
    char *copy;

    if (count == count_max) {
        list->more = true;
        return NERO_OK;
    }
    if (count == 0 || (count >= LIST_ENTRIES_FIRST && (count & (count - 1)) == 0)) {
        size_t capacity = count == 0 ? LIST_ENTRIES_FIRST : 2 * count;
        struct storage_list_entry *grown =
            mem_realloc_array(list->entries, capacity, sizeof *grown);

        if (grown == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for %zu keys", capacity);
        }
        list->entries = grown;
    }
    copy = mem_strdup(key);
    if (copy == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for a key");
    }
    list->entries[count] = (struct storage_list_entry){.key = copy, .bytes = bytes};
    list->count = count + 1;
    return NERO_OK;
}

void storage_list_fini(struct storage_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->entries[i].key);
    }
    free(list->entries);
    *list = (struct storage_list){0};
}

enum nero_status storage_list_each(struct storage *store, const char *prefix, storage_each_fn *each,
                                   void *context, struct nero_err *err)
{
    char last[STORAGE_KEY_BYTES_MAX + 1] = "";
    bool more = true;

    while (more) {
        struct storage_list page = {0};
        enum nero_status status =
            storage_list_page(store, prefix, last, STORAGE_LIST_PAGE_MAX, &page, err);

        if (status != NERO_OK) {
            return status;
        }
        more = page.more;
        if (page.count > 0) {
            (void)snprintf(last, sizeof last, "%s", page.entries[page.count - 1].key);
        }
        for (size_t i = 0; i < page.count && status == NERO_OK; i++) {
            status = each(context, page.entries[i].key, page.entries[i].bytes, err);
        }
        storage_list_fini(&page);
        if (status != NERO_OK) {
            return status;
        }
    }
    return NERO_OK;
}
