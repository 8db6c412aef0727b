/*
 * mem: a sorted array of objects under one mutex. All opens of one name share it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "storage_impl.h"

struct object {
    char *key;
    uint8_t *data;
    size_t bytes;
    char etag[STORAGE_ETAG_BYTES_MAX];
};

/* Invariants: objects[0..count) have strictly ascending keys; count <= capacity; opens >= 1. */
struct storage_mem {
    pthread_mutex_t lock;
    struct object *objects;
    size_t count;
    size_t capacity;
    struct storage_mem *next; /* named_stores; registry_lock guards it and opens */
    size_t opens;
    char name[]; /* "" is private and not in the registry */
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct storage_mem *named_stores;

static void object_free(struct object *object)
{
    free(object->key);
    free(object->data);
}

/* Copies and the ETag are made before the lock is taken. */
static enum nero_status object_make(struct object *object, const char *key, struct bytes_view body,
                                    struct nero_err *err)
{
    object->key = mem_strdup(key);
    object->data = mem_dup(body.data, body.bytes);
    object->bytes = body.bytes;
    if (object->key == NULL || object->data == NULL) {
        object_free(object);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %zu bytes", body.bytes);
    }
    storage_etag(object->etag, body);
    return NERO_OK;
}

/* The place of the first key that is not below `key`; *found: it is `key` itself. */
static size_t find(const struct storage_mem *mem, const char *key, bool *found)
{
    size_t low = 0;
    size_t high = mem->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(mem->objects[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < mem->count && strcmp(mem->objects[low].key, key) == 0;
    return low;
}

/* Refuse a key that is a folder of another, or has an object among its folders. */
static enum nero_status check_folders(const struct storage_mem *mem, const char *key,
                                      struct nero_err *err)
{
    char folder[STORAGE_KEY_BYTES_MAX + 2];
    size_t bytes = strlen(key);
    size_t place;
    bool found;

    for (size_t i = 0; i < bytes; i++) {
        folder[i] = 0;
        if (key[i] == '/') {
            (void)find(mem, folder, &found);
            if (found) {
                return err_set(err, NERO_CONFLICT, 0, "'%s' is an object and no folder", folder);
            }
        }
        folder[i] = key[i];
    }
    folder[bytes] = '/';
    folder[bytes + 1] = 0;
    place = find(mem, folder, &found);
    if (place < mem->count && storage_starts_with(mem->objects[place].key, folder)) {
        return err_set(err, NERO_CONFLICT, 0, "it is the folder of '%s'", mem->objects[place].key);
    }
    return NERO_OK;
}

/* Takes *object on success. */
static enum nero_status insert(struct storage_mem *mem, size_t place, struct object *object,
                               struct nero_err *err)
{
    enum nero_status status = check_folders(mem, object->key, err);

    if (status != NERO_OK) {
        return status;
    }
    if (mem->count == mem->capacity) {
        size_t capacity = mem->capacity > 0 ? 2 * mem->capacity : 16;
        struct object *grown = mem_realloc_array(mem->objects, capacity, sizeof *grown);

        if (grown == NULL) {
            return err_set(err, NERO_NO_MEMORY, 0, "no memory for %zu objects", capacity);
        }
        mem->objects = grown;
        mem->capacity = capacity;
    }
    memmove(mem->objects + place + 1, mem->objects + place,
            (mem->count - place) * sizeof *mem->objects);
    mem->objects[place] = *object;
    mem->count++;
    return NERO_OK;
}

/* *object and the stored one change places; the caller frees what it then holds. */
static void exchange(struct storage_mem *mem, size_t place, struct object *object)
{
    struct object former = mem->objects[place];

    mem->objects[place] = *object;
    *object = former;
}

static enum nero_status mem_store_put(void *self, const char *key, struct bytes_view body,
                                      struct nero_err *err)
{
    struct storage_mem *mem = self;
    struct object object;
    enum nero_status status = object_make(&object, key, body, err);
    size_t place;
    bool found;

    if (status != NERO_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&mem->lock);
    place = find(mem, key, &found);
    if (found) {
        exchange(mem, place, &object);
    } else {
        status = insert(mem, place, &object, err);
    }
    (void)pthread_mutex_unlock(&mem->lock);
    if (found || status != NERO_OK) {
        object_free(&object);
    }
    return status;
}

static enum nero_status mem_store_put_if_absent(void *self, const char *key, struct bytes_view body,
                                                struct nero_err *err)
{
    struct storage_mem *mem = self;
    struct object object;
    enum nero_status status = object_make(&object, key, body, err);
    size_t place;
    bool found;

    if (status != NERO_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&mem->lock);
    place = find(mem, key, &found);
    if (found) {
        status = err_set(err, NERO_EXISTS, 0, "it exists");
    } else {
        status = insert(mem, place, &object, err);
    }
    (void)pthread_mutex_unlock(&mem->lock);
    if (status != NERO_OK) {
        object_free(&object);
    }
    return status;
}

static enum nero_status absent(struct nero_err *err)
{
    return err_set(err, NERO_NOT_FOUND, 0, "there is no such object");
}

static enum nero_status mem_store_put_if_match(void *self, const char *key, struct bytes_view body,
                                               const char *etag, struct nero_err *err)
{
    struct storage_mem *mem = self;
    struct object object;
    enum nero_status status = object_make(&object, key, body, err);
    size_t place;
    bool found;

    if (status != NERO_OK) {
        return status;
    }
    (void)pthread_mutex_lock(&mem->lock);
    place = find(mem, key, &found);
    if (!found) {
        status = absent(err);
    } else if (strcmp(mem->objects[place].etag, etag) != 0) {
        status = err_set(err, NERO_CONFLICT, 0, "its ETag is %s and not %s",
                         mem->objects[place].etag, etag);
    } else {
        exchange(mem, place, &object);
    }
    (void)pthread_mutex_unlock(&mem->lock);
    object_free(&object);
    return status;
}

static void fill_info(struct storage_info *info, const struct object *object)
{
    if (info != NULL) {
        info->bytes = object->bytes;
        memcpy(info->etag, object->etag, sizeof info->etag);
    }
}

static enum nero_status mem_store_get_range(void *self, const char *key, uint64_t offset,
                                            uint64_t bytes, struct bytes *out,
                                            struct storage_info *info, struct nero_err *err)
{
    struct storage_mem *mem = self;
    enum nero_status status;
    uint64_t cut = 0;
    size_t place;
    bool found;

    (void)pthread_mutex_lock(&mem->lock);
    place = find(mem, key, &found);
    if (!found) {
        status = absent(err);
    } else {
        const struct object *object = &mem->objects[place];

        status = storage_cut_range(object->bytes, offset, bytes, &cut, err);
        if (status == NERO_OK) {
            status = bytes_append(out, object->data + offset, (size_t)cut, err);
        }
        if (status == NERO_OK) {
            fill_info(info, object);
        }
    }
    (void)pthread_mutex_unlock(&mem->lock);
    return status;
}

static enum nero_status mem_store_head(void *self, const char *key, struct storage_info *out,
                                       struct nero_err *err)
{
    struct storage_mem *mem = self;
    enum nero_status status = NERO_OK;
    size_t place;
    bool found;

    (void)pthread_mutex_lock(&mem->lock);
    place = find(mem, key, &found);
    if (found) {
        fill_info(out, &mem->objects[place]);
    } else {
        status = absent(err);
    }
    (void)pthread_mutex_unlock(&mem->lock);
    return status;
}

static enum nero_status mem_store_list(void *self, const char *prefix, const char *start_after,
                                       size_t count_max, struct storage_list *out,
                                       struct nero_err *err)
{
    struct storage_mem *mem = self;
    enum nero_status status = NERO_OK;
    size_t place;
    bool found;

    (void)pthread_mutex_lock(&mem->lock);
    if (strcmp(start_after, prefix) < 0) {
        place = find(mem, prefix, &found);
    } else {
        place = find(mem, start_after, &found);
        place += found ? 1 : 0;
    }
    for (; status == NERO_OK && !out->more && place < mem->count; place++) {
        const struct object *object = &mem->objects[place];

        if (!storage_starts_with(object->key, prefix)) {
            break; /* the keys with a prefix are neighbours */
        }
        status = storage_list_add(out, count_max, object->key, object->bytes, err);
    }
    (void)pthread_mutex_unlock(&mem->lock);
    return status;
}

static enum nero_status mem_store_remove(void *self, const char *key, struct nero_err *err)
{
    struct storage_mem *mem = self;
    size_t place;
    bool found;

    (void)err;
    (void)pthread_mutex_lock(&mem->lock);
    place = find(mem, key, &found);
    if (found) {
        object_free(&mem->objects[place]);
        mem->count--;
        memmove(mem->objects + place, mem->objects + place + 1,
                (mem->count - place) * sizeof *mem->objects);
    }
    (void)pthread_mutex_unlock(&mem->lock);
    return NERO_OK;
}

static unsigned mem_store_capabilities(void *self)
{
    (void)self;
    return STORAGE_CAN_CREATE | STORAGE_CAN_MATCH;
}

static void mem_store_free(struct storage_mem *mem)
{
    for (size_t i = 0; i < mem->count; i++) {
        object_free(&mem->objects[i]);
    }
    free(mem->objects);
    (void)pthread_mutex_destroy(&mem->lock);
    free(mem);
}

static void mem_store_close(void *self)
{
    struct storage_mem *mem = self;
    bool last;

    (void)pthread_mutex_lock(&registry_lock);
    last = --mem->opens == 0;
    for (struct storage_mem **link = &named_stores; last && *link != NULL;) {
        if (*link == mem) {
            *link = mem->next;
        } else {
            link = &(*link)->next;
        }
    }
    (void)pthread_mutex_unlock(&registry_lock);
    if (last) {
        mem_store_free(mem);
    }
}

static struct storage_mem *mem_store_create(const char *name)
{
    struct storage_mem *mem = mem_calloc(1, sizeof *mem + strlen(name) + 1);

    if (mem == NULL || pthread_mutex_init(&mem->lock, NULL) != 0) {
        free(mem);
        return NULL;
    }
    memcpy(mem->name, name, strlen(name) + 1);
    return mem;
}

/* The store of that name with one open more; made where there is none. NULL: no memory. */
static struct storage_mem *mem_store_of_name(const char *name)
{
    struct storage_mem *mem = NULL;

    (void)pthread_mutex_lock(&registry_lock);
    for (mem = name[0] != 0 ? named_stores : NULL; mem != NULL; mem = mem->next) {
        if (strcmp(mem->name, name) == 0) {
            break;
        }
    }
    if (mem == NULL) {
        mem = mem_store_create(name);
        if (mem != NULL && name[0] != 0) {
            mem->next = named_stores;
            named_stores = mem;
        }
    }
    if (mem != NULL) {
        mem->opens++;
    }
    (void)pthread_mutex_unlock(&registry_lock);
    return mem;
}

enum nero_status storage_mem_open(const char *url, const char *place, bool create,
                                  struct storage **out, struct nero_err *err)
{
    static const struct storage_ops ops = {
        .name = "mem",
        .put = mem_store_put,
        .put_if_absent = mem_store_put_if_absent,
        .put_if_match = mem_store_put_if_match,
        .get_range = mem_store_get_range,
        .head = mem_store_head,
        .list = mem_store_list,
        .remove = mem_store_remove,
        .capabilities = mem_store_capabilities,
        .close = mem_store_close,
    };
    struct storage_mem *mem = mem_store_of_name(place);
    enum nero_status status;

    (void)create;
    if (mem == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "store '%s': no memory", url);
    }
    status = storage_from_ops(&ops, mem, url, out, err);
    if (status != NERO_OK) {
        mem_store_close(mem);
    }
    return status;
}
