/*
 * What a Redis database holds, for the model: keys in byte order, each with a value of one type.
 *
 * One form serves all types; a value without items does not exist (Redis removes empty keys):
 *   string  one item, its name the bytes       hash    an item a field: name, value
 *   list    an item an element: name           set     items in byte order: name
 *   zset    items by (score, name)             stream  an item an entry: name = id, value = fields
 *
 * No memory ends the program: this is a test's.
 */
#ifndef NERO_TESTS_REDIS_MODEL_DATA_H
#define NERO_TESTS_REDIS_MODEL_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct redis_model_text {
    char *data;
    size_t bytes;
};

struct redis_model_item {
    struct redis_model_text name;
    struct redis_model_text value;
    double score;
};

enum redis_model_type {
    REDIS_MODEL_STRING = 1,
    REDIS_MODEL_HASH,
    REDIS_MODEL_LIST,
    REDIS_MODEL_SET,
    REDIS_MODEL_ZSET,
    REDIS_MODEL_STREAM
};

struct redis_model_value {
    struct redis_model_text key;
    enum redis_model_type type;
    struct redis_model_item *items;
    size_t count;
    size_t room;
    int64_t expire_ms; /* 0: never */
    int64_t last_ms;   /* stream: of the newest id */
    uint64_t last_sequence;
};

/* Zeroed is empty. */
struct redis_model_data {
    struct redis_model_value *values;
    size_t count;
    size_t room;
};

/* A view of an argument; the text functions copy. */
struct redis_model_text redis_model_text(const char *data, size_t bytes);
int redis_model_text_order(struct redis_model_text a, struct redis_model_text b);

void redis_model_data_fini(struct redis_model_data *data);
void redis_model_data_copy(struct redis_model_data *to, const struct redis_model_data *from);

/* NULL when it is not there. */
struct redis_model_value *redis_model_data_find(const struct redis_model_data *data,
                                                struct redis_model_text key);
/* Found, or made without items: the caller adds one. */
struct redis_model_value *redis_model_data_make(struct redis_model_data *data,
                                                struct redis_model_text key,
                                                enum redis_model_type type);
void redis_model_data_remove(struct redis_model_data *data, struct redis_model_value *value);

/* The place of an item by name; count when it is not there. */
size_t redis_model_item_find(const struct redis_model_value *value, struct redis_model_text name);
struct redis_model_item *redis_model_item_insert(struct redis_model_value *value, size_t at,
                                                 struct redis_model_text name);
void redis_model_item_remove(struct redis_model_value *value, size_t at);
void redis_model_item_set(struct redis_model_item *item, struct redis_model_text value);

#endif
