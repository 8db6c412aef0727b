/* Hashes, and what all types share: counts and removal by name. */
#include "redis_model_impl.h"

#include <stdio.h>

/* ---- hashes ---- */

redisReply *redis_model_command_hset(struct redis_model *model, const struct redis_model_args *args)
{
    struct redis_model_value *value;
    long long added = 0;

    if (args->count % 2 != 0) {
        return redis_model_error("ERR wrong number of arguments for 'hset' command");
    }
    if (!redis_model_find(model, args, REDIS_MODEL_HASH, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    value = redis_model_data_make(&model->data, redis_model_arg(args, 1), REDIS_MODEL_HASH);
    for (int i = 2; i < args->count; i += 2) {
        size_t at = redis_model_item_find(value, redis_model_arg(args, i));

        if (at == value->count) {
            (void)redis_model_item_insert(value, at, redis_model_arg(args, i));
            added++;
        }
        redis_model_item_set(&value->items[at], redis_model_arg(args, i + 1));
    }
    return redis_model_reply_integer(added);
}

static redisReply *field_reply(const struct redis_model_value *value, struct redis_model_text name)
{
    size_t at = value != NULL ? redis_model_item_find(value, name) : 0;

    return value != NULL && at < value->count ? redis_model_reply_of(value->items[at].value)
                                              : redis_model_reply_nil();
}

redisReply *redis_model_command_hget(struct redis_model *model, const struct redis_model_args *args)
{
    struct redis_model_value *value;

    if (!redis_model_find(model, args, REDIS_MODEL_HASH, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    return field_reply(value, redis_model_arg(args, 2));
}

redisReply *redis_model_command_hstrlen(struct redis_model *model,
                                        const struct redis_model_args *args)
{
    redisReply *reply = redis_model_command_hget(model, args);
    size_t bytes = reply->type == REDIS_REPLY_STRING ? (size_t)reply->len : 0;

    if (reply->type == REDIS_REPLY_ERROR) {
        return reply;
    }
    freeReplyObject(reply);
    return redis_model_reply_integer((long long)bytes);
}

redisReply *redis_model_command_hmget(struct redis_model *model,
                                      const struct redis_model_args *args)
{
    struct redis_model_value *value;
    redisReply *reply;

    if (!redis_model_find(model, args, REDIS_MODEL_HASH, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    reply = redis_model_reply_array((size_t)args->count - 2);
    for (int i = 2; i < args->count; i++) {
        reply->element[i - 2] = field_reply(value, redis_model_arg(args, i));
    }
    return reply;
}

redisReply *redis_model_command_hgetall(struct redis_model *model,
                                        const struct redis_model_args *args)
{
    struct redis_model_value *value;
    redisReply *reply;

    if (!redis_model_find(model, args, REDIS_MODEL_HASH, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    reply = redis_model_reply_array(value != NULL ? 2 * value->count : 0);
    for (size_t i = 0; i < reply->elements / 2; i++) {
        reply->element[2 * i] = redis_model_reply_of(value->items[i].name);
        reply->element[2 * i + 1] = redis_model_reply_of(value->items[i].value);
    }
    return reply;
}

redisReply *redis_model_command_hexists(struct redis_model *model,
                                        const struct redis_model_args *args)
{
    struct redis_model_value *value;

    if (!redis_model_find(model, args, REDIS_MODEL_HASH, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    return redis_model_reply_integer(
        value != NULL && redis_model_item_find(value, redis_model_arg(args, 2)) < value->count);
}

redisReply *redis_model_remove_items(struct redis_model *model, const struct redis_model_args *args,
                                     enum redis_model_type type)
{
    struct redis_model_value *value;
    long long removed = 0;

    if (!redis_model_find(model, args, type, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    for (int i = 2; value != NULL && i < args->count; i++) {
        size_t at = redis_model_item_find(value, redis_model_arg(args, i));

        if (at < value->count) {
            redis_model_item_remove(value, at);
            removed++;
        }
    }
    if (value != NULL) {
        redis_model_drop_empty(model, value);
    }
    return redis_model_reply_integer(removed);
}

redisReply *redis_model_command_hdel(struct redis_model *model, const struct redis_model_args *args)
{
    return redis_model_remove_items(model, args, REDIS_MODEL_HASH);
}

redisReply *redis_model_command_hincrby(struct redis_model *model,
                                        const struct redis_model_args *args)
{
    struct redis_model_value *value;
    long long present = 0;
    long long by;
    size_t at;
    char text[24];
    int length;

    if (!redis_model_integer_at(args, 3, &by)) {
        return redis_model_error(REDIS_MODEL_ERROR_INTEGER);
    }
    if (!redis_model_find(model, args, REDIS_MODEL_HASH, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    value = redis_model_data_make(&model->data, redis_model_arg(args, 1), REDIS_MODEL_HASH);
    at = redis_model_item_find(value, redis_model_arg(args, 2));
    if (at == value->count) {
        (void)redis_model_item_insert(value, at, redis_model_arg(args, 2));
    } else if (!redis_model_integer(value->items[at].value, &present)) {
        return redis_model_error("ERR hash value is not an integer");
    }
    length = snprintf(text, sizeof text, "%lld", present + by);
    redis_model_item_set(&value->items[at], redis_model_text(text, (size_t)length));
    return redis_model_reply_integer(present + by);
}

/* ---- counts of all types ---- */

static redisReply *count_of(struct redis_model *model, const struct redis_model_args *args,
                            enum redis_model_type type)
{
    struct redis_model_value *value;

    if (!redis_model_find(model, args, type, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    return redis_model_reply_integer(value != NULL ? (long long)value->count : 0);
}

redisReply *redis_model_command_hlen(struct redis_model *model, const struct redis_model_args *args)
{
    return count_of(model, args, REDIS_MODEL_HASH);
}

redisReply *redis_model_command_llen(struct redis_model *model, const struct redis_model_args *args)
{
    return count_of(model, args, REDIS_MODEL_LIST);
}

redisReply *redis_model_command_scard(struct redis_model *model,
                                      const struct redis_model_args *args)
{
    return count_of(model, args, REDIS_MODEL_SET);
}

redisReply *redis_model_command_zcard(struct redis_model *model,
                                      const struct redis_model_args *args)
{
    return count_of(model, args, REDIS_MODEL_ZSET);
}

redisReply *redis_model_command_xlen(struct redis_model *model, const struct redis_model_args *args)
{
    return count_of(model, args, REDIS_MODEL_STREAM);
}
