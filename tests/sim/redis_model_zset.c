/* Sorted sets. */
#include "redis_model_impl.h"

static size_t zset_place(const struct redis_model_value *value, double score,
                         struct redis_model_text name)
{
    size_t at = 0;

    while (at < value->count && (value->items[at].score < score ||
                                 (!(value->items[at].score > score) &&
                                  redis_model_text_order(value->items[at].name, name) < 0))) {
        at++;
    }
    return at;
}

redisReply *redis_model_command_zadd(struct redis_model *model, const struct redis_model_args *args)
{
    struct redis_model_value *value;
    long long added = 0;
    double score;

    for (int i = 2; i < args->count; i += 2) {
        if (i + 1 == args->count) {
            return redis_model_error(REDIS_MODEL_ERROR_SYNTAX);
        }
        if (!redis_model_double_at(args, i, &score)) {
            return redis_model_error(REDIS_MODEL_ERROR_FLOAT);
        }
    }
    if (!redis_model_find(model, args, REDIS_MODEL_ZSET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    value = redis_model_data_make(&model->data, redis_model_arg(args, 1), REDIS_MODEL_ZSET);
    for (int i = 2; i < args->count; i += 2) {
        struct redis_model_text name = redis_model_arg(args, i + 1);
        size_t at = redis_model_item_find(value, name);

        added += at == value->count;
        if (at < value->count) {
            redis_model_item_remove(value, at);
        }
        (void)redis_model_double_at(args, i, &score);
        redis_model_item_insert(value, zset_place(value, score, name), name)->score = score;
    }
    return redis_model_reply_integer(added);
}

redisReply *redis_model_command_zrem(struct redis_model *model, const struct redis_model_args *args)
{
    return redis_model_remove_items(model, args, REDIS_MODEL_ZSET);
}

redisReply *redis_model_command_zscore(struct redis_model *model,
                                       const struct redis_model_args *args)
{
    struct redis_model_value *value;
    size_t at;

    if (!redis_model_find(model, args, REDIS_MODEL_ZSET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    at = value != NULL ? redis_model_item_find(value, redis_model_arg(args, 2)) : 0;
    return value != NULL && at < value->count ? redis_model_reply_score(value->items[at].score)
                                              : redis_model_reply_nil();
}

/* [first, first + count) of a sorted set. */
static redisReply *zset_reply(const struct redis_model_value *value, size_t first, size_t count,
                              bool with_scores)
{
    size_t each = with_scores ? 2 : 1;
    redisReply *reply = redis_model_reply_array(count * each);

    for (size_t i = 0; i < count; i++) {
        reply->element[i * each] = redis_model_reply_of(value->items[first + i].name);
        if (with_scores) {
            reply->element[i * each + 1] = redis_model_reply_score(value->items[first + i].score);
        }
    }
    return reply;
}

redisReply *redis_model_command_zrange(struct redis_model *model,
                                       const struct redis_model_args *args)
{
    bool with_scores = args->count == 5 && redis_model_word_is(args, 4, "WITHSCORES");
    struct redis_model_value *value;
    long long first;
    long long last;
    long long count;

    if (args->count != 4 && !with_scores) {
        return redis_model_error(REDIS_MODEL_ERROR_SYNTAX);
    }
    if (!redis_model_integer_at(args, 2, &first) || !redis_model_integer_at(args, 3, &last)) {
        return redis_model_error(REDIS_MODEL_ERROR_INTEGER);
    }
    if (!redis_model_find(model, args, REDIS_MODEL_ZSET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    count = value != NULL ? (long long)value->count : 0;
    first = first < 0 ? first + count : first;
    first = first < 0 ? 0 : first;
    last = last < 0 ? last + count : last;
    last = last >= count ? count - 1 : last;
    return first > last ? redis_model_reply_array(0)
                        : zset_reply(value, (size_t)first, (size_t)(last - first + 1), with_scores);
}

/* Arguments 2 and 3 as an inclusive range of scores: [*first, *end) of the items. */
static bool score_range(const struct redis_model_args *args, const struct redis_model_value *value,
                        size_t *first, size_t *end)
{
    double least;
    double most;

    if (!redis_model_double_at(args, 2, &least) || !redis_model_double_at(args, 3, &most)) {
        return false;
    }
    *first = 0;
    while (value != NULL && *first < value->count && value->items[*first].score < least) {
        ++*first;
    }
    *end = *first;
    while (value != NULL && *end < value->count && value->items[*end].score <= most) {
        ++*end;
    }
    return true;
}

redisReply *redis_model_command_zcount(struct redis_model *model,
                                       const struct redis_model_args *args)
{
    struct redis_model_value *value;
    size_t first;
    size_t end;

    if (!redis_model_find(model, args, REDIS_MODEL_ZSET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    if (!score_range(args, value, &first, &end)) {
        return redis_model_error("ERR min or max is not a float");
    }
    return redis_model_reply_integer((long long)(end - first));
}

redisReply *redis_model_command_zrangebyscore(struct redis_model *model,
                                              const struct redis_model_args *args)
{
    struct redis_model_value *value;
    long long skip = 0;
    long long most = -1;
    size_t first;
    size_t end;

    if (args->count != 4 &&
        (args->count != 7 || !redis_model_word_is(args, 4, "LIMIT") ||
         !redis_model_integer_at(args, 5, &skip) || !redis_model_integer_at(args, 6, &most))) {
        return redis_model_error(REDIS_MODEL_ERROR_SYNTAX);
    }
    if (!redis_model_find(model, args, REDIS_MODEL_ZSET, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    if (!score_range(args, value, &first, &end)) {
        return redis_model_error("ERR min or max is not a float");
    }
    first = first + (size_t)skip < end ? first + (size_t)skip : end;
    if (most >= 0 && end - first > (size_t)most) {
        end = first + (size_t)most;
    }
    return zset_reply(value, first, end - first, false);
}
