#include "redis_model_data.h"

#include <stdlib.h>
#include <string.h>

static void *allocate(size_t bytes)
{
    void *room = malloc(bytes > 0 ? bytes : 1);

    if (room == NULL) {
        abort();
    }
    return room;
}

static void *grow(void *old, size_t *room, size_t item_bytes)
{
    void *more;

    *room = *room > 0 ? *room * 2 : 8;
    more = realloc(old, *room * item_bytes);
    if (more == NULL) {
        abort();
    }
    return more;
}

struct redis_model_text redis_model_text(const char *data, size_t bytes)
{
    struct redis_model_text text = {.bytes = bytes};

    memcpy(&text.data, &data, sizeof data); /* a view: never written through */
    return text;
}

int redis_model_text_order(struct redis_model_text a, struct redis_model_text b)
{
    size_t least = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = least > 0 ? memcmp(a.data, b.data, least) : 0;

    return order != 0 ? order : (a.bytes > b.bytes) - (a.bytes < b.bytes);
}

static struct redis_model_text copy_of(struct redis_model_text text)
{
    struct redis_model_text copy = {.data = allocate(text.bytes), .bytes = text.bytes};

    if (text.bytes > 0) {
        memcpy(copy.data, text.data, text.bytes);
    }
    return copy;
}

/* ---- items ---- */

size_t redis_model_item_find(const struct redis_model_value *value, struct redis_model_text name)
{
    size_t at = 0;

    while (at < value->count && (value->items[at].name.bytes != name.bytes ||
                                 redis_model_text_order(value->items[at].name, name) != 0)) {
        at++;
    }
    return at;
}

struct redis_model_item *redis_model_item_insert(struct redis_model_value *value, size_t at,
                                                 struct redis_model_text name)
{
    struct redis_model_item *item;

    if (value->count == value->room) {
        value->items = grow(value->items, &value->room, sizeof *value->items);
    }
    item = &value->items[at];
    memmove(item + 1, item, (value->count - at) * sizeof *item);
    value->count++;
    *item = (struct redis_model_item){.name = copy_of(name)};
    return item;
}

static void item_fini(struct redis_model_item *item)
{
    free(item->name.data);
    free(item->value.data);
}

void redis_model_item_remove(struct redis_model_value *value, size_t at)
{
    struct redis_model_item *item = &value->items[at];

    item_fini(item);
    value->count--;
    memmove(item, item + 1, (value->count - at) * sizeof *item);
}

void redis_model_item_set(struct redis_model_item *item, struct redis_model_text value)
{
    struct redis_model_text copy = copy_of(value);

    free(item->value.data);
    item->value = copy;
}

/* ---- keys ---- */

static void value_fini(struct redis_model_value *value)
{
    for (size_t i = 0; i < value->count; i++) {
        item_fini(&value->items[i]);
    }
    free(value->items);
    free(value->key.data);
}

void redis_model_data_fini(struct redis_model_data *data)
{
    for (size_t i = 0; i < data->count; i++) {
        value_fini(&data->values[i]);
    }
    free(data->values);
    *data = (struct redis_model_data){0};
}

void redis_model_data_copy(struct redis_model_data *to, const struct redis_model_data *from)
{
    *to = (struct redis_model_data){.count = from->count, .room = from->count};
    to->values = allocate(from->count * sizeof *to->values);
    for (size_t i = 0; i < from->count; i++) {
        const struct redis_model_value *value = &from->values[i];
        struct redis_model_value *copy = &to->values[i];

        *copy = *value;
        copy->key = copy_of(value->key);
        copy->room = value->count;
        copy->items = allocate(value->count * sizeof *copy->items);
        for (size_t j = 0; j < value->count; j++) {
            copy->items[j] = (struct redis_model_item){.name = copy_of(value->items[j].name),
                                                       .value = copy_of(value->items[j].value),
                                                       .score = value->items[j].score};
        }
    }
}

/* The first key that is not below this one. */
static size_t place_of(const struct redis_model_data *data, struct redis_model_text key)
{
    size_t low = 0;
    size_t high = data->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (redis_model_text_order(data->values[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct redis_model_value *redis_model_data_find(const struct redis_model_data *data,
                                                struct redis_model_text key)
{
    size_t at = place_of(data, key);

    return at < data->count && redis_model_text_order(data->values[at].key, key) == 0
               ? &data->values[at]
               : NULL;
}

struct redis_model_value *redis_model_data_make(struct redis_model_data *data,
                                                struct redis_model_text key,
                                                enum redis_model_type type)
{
    struct redis_model_value *value = redis_model_data_find(data, key);
    size_t at;

    if (value != NULL) {
        return value;
    }
    at = place_of(data, key);
    if (data->count == data->room) {
        data->values = grow(data->values, &data->room, sizeof *data->values);
    }
    value = &data->values[at];
    memmove(value + 1, value, (data->count - at) * sizeof *value);
    data->count++;
    *value = (struct redis_model_value){.key = copy_of(key), .type = type};
    return value;
}

void redis_model_data_remove(struct redis_model_data *data, struct redis_model_value *value)
{
    size_t at = (size_t)(value - data->values);

    value_fini(value);
    data->count--;
    memmove(value, value + 1, (data->count - at) * sizeof *value);
}
