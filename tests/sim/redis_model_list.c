/* Lists, sets and streams. */
#include "redis_model_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lists ---- */

redisReply *redis_model_command_rpush(struct redis_model *model,
                                      const struct redis_model_args *args)
{
    struct redis_model_value *value;

    if (!redis_model_find(model, args, REDIS_MODEL_LIST, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    value = redis_model_data_make(&model->data, redis_model_arg(args, 1), REDIS_MODEL_LIST);
    for (int i = 2; i < args->count; i++) {
        (void)redis_model_item_insert(value, value->count, redis_model_arg(args, i));
        model->pushes++;
    }
    return redis_model_reply_integer((long long)value->count);
}

redisReply *redis_model_command_lpop(struct redis_model *model, const struct redis_model_args *args)
{
    struct redis_model_value *value;
    redisReply *reply;

    if (!redis_model_find(model, args, REDIS_MODEL_LIST, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    if (value == NULL) {
        return redis_model_reply_nil();
    }
    reply = redis_model_reply_of(value->items[0].name);
    redis_model_item_remove(value, 0);
    redis_model_drop_empty(model, value);
    return reply;
}

/* One key; who has to wait is told nil. */
redisReply *redis_model_command_blpop(struct redis_model *model,
                                      const struct redis_model_args *args)
{
    redisReply *popped = redis_model_command_lpop(model, args);
    redisReply *reply;

    if (popped->type != REDIS_REPLY_STRING) {
        return popped;
    }
    reply = redis_model_reply_array(2);
    reply->element[0] = redis_model_reply_of(redis_model_arg(args, 1));
    reply->element[1] = popped;
    return reply;
}

static redisReply *names_reply(const struct redis_model_value *value)
{
    redisReply *reply = redis_model_reply_array(value != NULL ? value->count : 0);

    for (size_t i = 0; i < reply->elements; i++) {
        reply->element[i] = redis_model_reply_of(value->items[i].name);
    }
    return reply;
}

redisReply *redis_model_command_lrange(struct redis_model *model,
                                       const struct redis_model_args *args)
{
    struct redis_model_value *value;

    if (!redis_model_word_is(args, 2, "0") || !redis_model_word_is(args, 3, "-1")) {
        return redis_model_error("ERR the model knows LRANGE key 0 -1 only");
    }
    if (!redis_model_find(model, args, REDIS_MODEL_LIST, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    return names_reply(value);
}

/* ---- sets ---- */

redisReply *redis_model_command_sadd(struct redis_model *model, const struct redis_model_args *args)
{
    struct redis_model_value *value;
    long long added = 0;

    if (!redis_model_find(model, args, REDIS_MODEL_SET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    value = redis_model_data_make(&model->data, redis_model_arg(args, 1), REDIS_MODEL_SET);
    for (int i = 2; i < args->count; i++) {
        struct redis_model_text name = redis_model_arg(args, i);
        size_t at = 0;

        while (at < value->count && redis_model_text_order(value->items[at].name, name) < 0) {
            at++;
        }
        if (at == value->count || redis_model_text_order(value->items[at].name, name) != 0) {
            (void)redis_model_item_insert(value, at, name);
            added++;
        }
    }
    return redis_model_reply_integer(added);
}

redisReply *redis_model_command_srem(struct redis_model *model, const struct redis_model_args *args)
{
    return redis_model_remove_items(model, args, REDIS_MODEL_SET);
}

redisReply *redis_model_command_smembers(struct redis_model *model,
                                         const struct redis_model_args *args)
{
    struct redis_model_value *value;

    if (!redis_model_find(model, args, REDIS_MODEL_SET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    return names_reply(value);
}

redisReply *redis_model_command_sismember(struct redis_model *model,
                                          const struct redis_model_args *args)
{
    struct redis_model_value *value;

    if (!redis_model_find(model, args, REDIS_MODEL_SET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    return redis_model_reply_integer(
        value != NULL && redis_model_item_find(value, redis_model_arg(args, 2)) < value->count);
}

/* The cursor is a place in byte order: what moves meanwhile may be missed, which Redis avoids. */
redisReply *redis_model_command_sscan(struct redis_model *model,
                                      const struct redis_model_args *args)
{
    struct redis_model_value *value;
    long long cursor;
    long long count;
    size_t first;
    size_t left;
    redisReply *reply;
    char text[24];
    int length;

    if (args->count != 5 || !redis_model_word_is(args, 3, "COUNT") ||
        !redis_model_integer_at(args, 2, &cursor) || !redis_model_integer_at(args, 4, &count) ||
        cursor < 0 || count < 1) {
        return redis_model_error(REDIS_MODEL_ERROR_SYNTAX);
    }
    if (!redis_model_find(model, args, REDIS_MODEL_SET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    first = value != NULL && (size_t)cursor < value->count ? (size_t)cursor : 0;
    left = value != NULL ? value->count - first : 0;
    reply = redis_model_reply_array(2);
    reply->element[1] = redis_model_reply_array(left < (size_t)count ? left : (size_t)count);
    for (size_t i = 0; i < reply->element[1]->elements; i++) {
        reply->element[1]->element[i] = redis_model_reply_of(value->items[first + i].name);
    }
    length = snprintf(text, sizeof text, "%zu", left > (size_t)count ? first + (size_t)count : 0);
    reply->element[0] = redis_model_reply_text(text, (size_t)length);
    return reply;
}

/* ---- streams ---- */

/* Fields and values in one text: each with its length in front. */
static void pack_fields(struct redis_model_item *item, const struct redis_model_args *args, int at)
{
    char *packed = NULL;
    size_t bytes = 0;

    for (int i = at; i < args->count; i++) {
        packed = realloc(packed, bytes + sizeof(size_t) + args->bytes[i]);
        if (packed == NULL) {
            abort();
        }
        memcpy(packed + bytes, &args->bytes[i], sizeof(size_t));
        memcpy(packed + bytes + sizeof(size_t), args->text[i], args->bytes[i]);
        bytes += sizeof(size_t) + args->bytes[i];
    }
    redis_model_item_set(item, redis_model_text(packed, bytes));
    free(packed);
}

static redisReply *fields_reply(struct redis_model_text packed)
{
    redisReply *reply;
    size_t count = 0;
    size_t bytes;

    for (size_t at = 0; at < packed.bytes; at += sizeof bytes + bytes) {
        memcpy(&bytes, packed.data + at, sizeof bytes);
        count++;
    }
    reply = redis_model_reply_array(count);
    count = 0;
    for (size_t at = 0; at < packed.bytes; at += sizeof bytes + bytes) {
        memcpy(&bytes, packed.data + at, sizeof bytes);
        reply->element[count++] = redis_model_reply_text(packed.data + at + sizeof bytes, bytes);
    }
    return reply;
}

/* XADD key MAXLEN ~ most * field value ... */
redisReply *redis_model_command_xadd(struct redis_model *model, const struct redis_model_args *args)
{
    int64_t now_ms = model->clock_us(model->context) / 1000;
    struct redis_model_value *value;
    long long most;
    char id[48];
    int length;

    if (args->count < 8 || args->count % 2 != 0 || !redis_model_word_is(args, 2, "MAXLEN") ||
        !redis_model_word_is(args, 3, "~") || !redis_model_integer_at(args, 4, &most) ||
        !redis_model_word_is(args, 5, "*")) {
        return redis_model_error(REDIS_MODEL_ERROR_SYNTAX);
    }
    if (!redis_model_find(model, args, REDIS_MODEL_STREAM, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    value = redis_model_data_make(&model->data, redis_model_arg(args, 1), REDIS_MODEL_STREAM);
    value->last_sequence = now_ms > value->last_ms ? 0 : value->last_sequence + 1;
    value->last_ms = now_ms > value->last_ms ? now_ms : value->last_ms;
    length = snprintf(id, sizeof id, "%" PRId64 "-%" PRIu64, value->last_ms, value->last_sequence);
    pack_fields(redis_model_item_insert(value, value->count, redis_model_text(id, (size_t)length)),
                args, 6);
    while (value->count > (size_t)most) {
        redis_model_item_remove(value, 0);
    }
    return redis_model_reply_text(id, (size_t)length);
}

redisReply *redis_model_command_xrange(struct redis_model *model,
                                       const struct redis_model_args *args)
{
    struct redis_model_value *value;
    redisReply *reply;

    if (!redis_model_word_is(args, 2, "-") || !redis_model_word_is(args, 3, "+")) {
        return redis_model_error("ERR the model knows XRANGE key - + only");
    }
    if (!redis_model_find(model, args, REDIS_MODEL_STREAM, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    reply = redis_model_reply_array(value != NULL ? value->count : 0);
    for (size_t i = 0; i < reply->elements; i++) {
        reply->element[i] = redis_model_reply_array(2);
        reply->element[i]->element[0] = redis_model_reply_of(value->items[i].name);
        reply->element[i]->element[1] = fields_reply(value->items[i].value);
    }
    return reply;
}
