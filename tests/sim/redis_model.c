#include "redis_model_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- replies ---- */

static redisReply *reply_of(int type)
{
    redisReply *reply = calloc(1, sizeof *reply);

    if (reply == NULL) {
        abort();
    }
    reply->type = type;
    return reply;
}

static redisReply *reply_bytes(int type, const char *data, size_t bytes)
{
    redisReply *reply = reply_of(type);

    reply->str = malloc(bytes + 1);
    if (reply->str == NULL) {
        abort();
    }
    if (bytes > 0) {
        memcpy(reply->str, data, bytes);
    }
    reply->str[bytes] = '\0';
    reply->len = bytes;
    return reply;
}

redisReply *redis_model_reply_text(const char *data, size_t bytes)
{
    return reply_bytes(REDIS_REPLY_STRING, data, bytes);
}

redisReply *redis_model_reply_line(int type, const char *text)
{
    return reply_bytes(type, text, strlen(text));
}

redisReply *redis_model_reply_integer(long long value)
{
    redisReply *reply = reply_of(REDIS_REPLY_INTEGER);

    reply->integer = value;
    return reply;
}

redisReply *redis_model_reply_nil(void)
{
    return reply_of(REDIS_REPLY_NIL);
}

redisReply *redis_model_reply_array(size_t elements)
{
    redisReply *reply = reply_of(REDIS_REPLY_ARRAY);

    reply->elements = elements;
    reply->element = calloc(elements + 1, sizeof(redisReply *));
    if (reply->element == NULL) {
        abort();
    }
    return reply;
}

redisReply *redis_model_reply_of(struct redis_model_text text)
{
    return redis_model_reply_text(text.data, text.bytes);
}

redisReply *redis_model_error(const char *text)
{
    return redis_model_reply_line(REDIS_REPLY_ERROR, text);
}

redisReply *redis_model_ok(void)
{
    return redis_model_reply_line(REDIS_REPLY_STATUS, "OK");
}

redisReply *redis_model_reply_score(double score)
{
    char text[40];
    int length = snprintf(text, sizeof text, "%.17g", score);

    return redis_model_reply_text(text, (size_t)length);
}

/* ---- arguments ---- */

bool redis_model_integer(struct redis_model_text text, long long *out)
{
    size_t first = text.bytes > 0 && text.data[0] == '-' ? 1 : 0;
    char copy[24];

    if (text.bytes == first || text.bytes > 20 ||
        (text.data[first] == '0' && (first == 1 || text.bytes > 1))) {
        return false;
    }
    for (size_t i = first; i < text.bytes; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    memcpy(copy, text.data, text.bytes);
    copy[text.bytes] = '\0';
    *out = strtoll(copy, NULL, 10);
    return true;
}

bool redis_model_integer_at(const struct redis_model_args *args, int at, long long *out)
{
    return redis_model_integer(redis_model_arg(args, at), out);
}

bool redis_model_double_at(const struct redis_model_args *args, int at, double *out)
{
    char *end;

    *out = strtod(args->text[at], &end);
    return args->bytes[at] > 0 && end == args->text[at] + args->bytes[at] && !isnan(*out);
}

bool redis_model_word_is(const struct redis_model_args *args, int at, const char *word)
{
    return args->bytes[at] == strlen(word) && strncasecmp(args->text[at], word, strlen(word)) == 0;
}

/* The value of argument 1; false when it is of another type. NULL when it is not there. */
bool redis_model_find(struct redis_model *model, const struct redis_model_args *args,
                      enum redis_model_type type, struct redis_model_value **out)
{
    struct redis_model_value *value = redis_model_data_find(&model->data, redis_model_arg(args, 1));

    if (value != NULL && value->expire_ms != 0 &&
        value->expire_ms <= model->clock_us(model->context) / 1000) {
        redis_model_data_remove(&model->data, value);
        value = NULL;
    }
    *out = value;
    return value == NULL || value->type == type;
}

void redis_model_drop_empty(struct redis_model *model, struct redis_model_value *value)
{
    if (value->count == 0) {
        redis_model_data_remove(&model->data, value);
    }
}

/* ---- server and keys ---- */

static redisReply *command_ping(struct redis_model *model, const struct redis_model_args *args)
{
    (void)model;
    (void)args;
    return redis_model_reply_line(REDIS_REPLY_STATUS, "PONG");
}

static redisReply *command_info(struct redis_model *model, const struct redis_model_args *args)
{
    char text[256];
    int length = snprintf(text, sizeof text,
                          "redis_version:7.0.15\r\nrun_id:%040" PRIx64
                          "\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\n",
                          model->starts);

    (void)args;
    return redis_model_reply_text(text, (size_t)length);
}

static redisReply *command_time(struct redis_model *model, const struct redis_model_args *args)
{
    int64_t now_us = model->clock_us(model->context);
    redisReply *reply = redis_model_reply_array(2);
    char text[24];
    int length = snprintf(text, sizeof text, "%" PRId64, now_us / 1000000);

    (void)args;
    reply->element[0] = redis_model_reply_text(text, (size_t)length);
    length = snprintf(text, sizeof text, "%" PRId64, now_us % 1000000);
    reply->element[1] = redis_model_reply_text(text, (size_t)length);
    return reply;
}

static redisReply *command_flushall(struct redis_model *model, const struct redis_model_args *args)
{
    (void)args;
    redis_model_data_fini(&model->data);
    return redis_model_ok();
}

static redisReply *command_script(struct redis_model *model, const struct redis_model_args *args)
{
    if (args->count == 3 && redis_model_word_is(args, 1, "LOAD")) {
        return redis_model_script_load(model, args);
    }
    if (args->count == 2 && redis_model_word_is(args, 1, "FLUSH")) {
        redis_model_scripts_destroy(model->scripts);
        model->scripts = redis_model_scripts_create(model);
        return redis_model_ok();
    }
    return redis_model_error(REDIS_MODEL_ERROR_SYNTAX);
}

static redisReply *command_keys(struct redis_model *model, const struct redis_model_args *args)
{
    redisReply *reply;

    if (!redis_model_word_is(args, 1, "*")) {
        return redis_model_error("ERR the model knows KEYS * only");
    }
    reply = redis_model_reply_array(model->data.count);
    for (size_t i = 0; i < model->data.count; i++) {
        reply->element[i] = redis_model_reply_of(model->data.values[i].key);
    }
    return reply;
}

static redisReply *command_type(struct redis_model *model, const struct redis_model_args *args)
{
    static const char *const names[] = {"none", "string", "hash", "list", "set", "zset", "stream"};
    struct redis_model_value *value;

    (void)redis_model_find(model, args, REDIS_MODEL_STRING, &value);
    return redis_model_reply_line(REDIS_REPLY_STATUS, names[value != NULL ? value->type : 0]);
}

static redisReply *command_del(struct redis_model *model, const struct redis_model_args *args)
{
    long long removed = 0;

    for (int i = 1; i < args->count; i++) {
        struct redis_model_value *value =
            redis_model_data_find(&model->data, redis_model_arg(args, i));

        if (value != NULL) {
            redis_model_data_remove(&model->data, value);
            removed++;
        }
    }
    return redis_model_reply_integer(removed);
}

static redisReply *command_exists(struct redis_model *model, const struct redis_model_args *args)
{
    struct redis_model_value *value;

    (void)redis_model_find(model, args, REDIS_MODEL_STRING, &value);
    return redis_model_reply_integer(value != NULL);
}

/* ---- strings ---- */

static void drop_expired(struct redis_model *model)
{
    int64_t now_ms = model->clock_us(model->context) / 1000;

    for (size_t i = model->data.count; i-- > 0;) {
        struct redis_model_value *value = &model->data.values[i];

        if (value->expire_ms != 0 && value->expire_ms <= now_ms) {
            redis_model_data_remove(&model->data, value);
        }
    }
}

static redisReply *command_set(struct redis_model *model, const struct redis_model_args *args)
{
    struct redis_model_value *value;
    long long life_ms = 0;

    if (args->count != 3 && (args->count != 5 || !redis_model_word_is(args, 3, "PX") ||
                             !redis_model_integer_at(args, 4, &life_ms) || life_ms <= 0)) {
        return redis_model_error(REDIS_MODEL_ERROR_SYNTAX);
    }
    drop_expired(model);
    value = redis_model_data_find(&model->data, redis_model_arg(args, 1));
    if (value != NULL) {
        redis_model_data_remove(&model->data, value);
    }
    value = redis_model_data_make(&model->data, redis_model_arg(args, 1), REDIS_MODEL_STRING);
    (void)redis_model_item_insert(value, 0, redis_model_arg(args, 2));
    value->expire_ms = life_ms > 0 ? model->clock_us(model->context) / 1000 + life_ms : 0;
    return redis_model_ok();
}

static redisReply *command_get(struct redis_model *model, const struct redis_model_args *args)
{
    struct redis_model_value *value;

    if (!redis_model_find(model, args, REDIS_MODEL_STRING, &value)) {
        return redis_model_error(REDIS_MODEL_ERROR_TYPE);
    }
    return value != NULL ? redis_model_reply_of(value->items[0].name) : redis_model_reply_nil();
}

/* ---- dispatch ---- */

/* least: fewest words, the name included; negative: exactly so many. */
static const struct {
    const char *name;
    int least;
    redis_model_command_fn *run;
} commands[] = {
    {"PING", -1, command_ping},
    {"INFO", 1, command_info},
    {"TIME", -1, command_time},
    {"FLUSHALL", -1, command_flushall},
    {"SCRIPT", 2, command_script},
    {"EVALSHA", 3, redis_model_evalsha},
    {"EVAL", 3, redis_model_eval},
    {"KEYS", -2, command_keys},
    {"TYPE", -2, command_type},
    {"DEL", 2, command_del},
    {"EXISTS", -2, command_exists},
    {"SET", 3, command_set},
    {"GET", -2, command_get},
    {"HSET", 4, redis_model_command_hset},
    {"HGET", -3, redis_model_command_hget},
    {"HSTRLEN", -3, redis_model_command_hstrlen},
    {"HMGET", 3, redis_model_command_hmget},
    {"HGETALL", -2, redis_model_command_hgetall},
    {"HEXISTS", -3, redis_model_command_hexists},
    {"HDEL", 3, redis_model_command_hdel},
    {"HINCRBY", -4, redis_model_command_hincrby},
    {"HLEN", -2, redis_model_command_hlen},
    {"LLEN", -2, redis_model_command_llen},
    {"RPUSH", 3, redis_model_command_rpush},
    {"LPOP", -2, redis_model_command_lpop},
    {"BLPOP", -3, redis_model_command_blpop},
    {"LRANGE", -4, redis_model_command_lrange},
    {"SADD", 3, redis_model_command_sadd},
    {"SREM", 3, redis_model_command_srem},
    {"SCARD", -2, redis_model_command_scard},
    {"SMEMBERS", -2, redis_model_command_smembers},
    {"SISMEMBER", -3, redis_model_command_sismember},
    {"SSCAN", 3, redis_model_command_sscan},
    {"ZADD", 4, redis_model_command_zadd},
    {"ZREM", 3, redis_model_command_zrem},
    {"ZCARD", -2, redis_model_command_zcard},
    {"ZSCORE", -3, redis_model_command_zscore},
    {"ZRANGE", 4, redis_model_command_zrange},
    {"ZCOUNT", -4, redis_model_command_zcount},
    {"ZRANGEBYSCORE", 4, redis_model_command_zrangebyscore},
    {"XADD", 5, redis_model_command_xadd},
    {"XLEN", -2, redis_model_command_xlen},
    {"XRANGE", -4, redis_model_command_xrange},
};

redisReply *redis_model_command(struct redis_model *model, int count, const char *const *argv,
                                const size_t *bytes)
{
    struct redis_model_args args = {.count = count, .text = argv, .bytes = bytes};
    char text[128];

    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (redis_model_word_is(&args, 0, commands[i].name)) {
            if (commands[i].least < 0 ? count == -commands[i].least : count >= commands[i].least) {
                return commands[i].run(model, &args);
            }
            (void)snprintf(text, sizeof text, "ERR wrong number of arguments for '%s' command",
                           commands[i].name);
            return redis_model_error(text);
        }
    }
    (void)snprintf(text, sizeof text, "ERR unknown command '%.60s' in the model", argv[0]);
    return redis_model_error(text);
}

/* ---- life ---- */

struct redis_model *redis_model_create(redis_model_clock_fn *clock_us, void *context)
{
    struct redis_model *model = calloc(1, sizeof *model);

    if (model == NULL) {
        abort();
    }
    model->clock_us = clock_us;
    model->context = context;
    model->starts = 1;
    model->scripts = redis_model_scripts_create(model);
    return model;
}

void redis_model_destroy(struct redis_model *model)
{
    redis_model_scripts_destroy(model->scripts);
    redis_model_data_fini(&model->data);
    free(model);
}

void redis_model_restart(struct redis_model *model)
{
    redis_model_scripts_destroy(model->scripts);
    model->scripts = redis_model_scripts_create(model);
    model->starts++;
}

struct redis_model_data *redis_model_contents(struct redis_model *model)
{
    return &model->data;
}

uint64_t redis_model_pushes(const struct redis_model *model)
{
    return model->pushes;
}
