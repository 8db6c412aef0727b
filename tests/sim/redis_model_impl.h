/* What the parts of redis_model share: commands, and the scripts that call them. */
#ifndef NERO_TESTS_REDIS_MODEL_IMPL_H
#define NERO_TESTS_REDIS_MODEL_IMPL_H

#include "redis_model.h"

struct redis_model_scripts;

struct redis_model {
    redis_model_clock_fn *clock_us;
    void *context;
    struct redis_model_data data;
    struct redis_model_scripts *scripts;
    uint64_t starts; /* names the run_id */
    uint64_t pushes;
};

struct redis_model_args {
    int count;
    const char *const *text;
    const size_t *bytes;
};

static inline struct redis_model_text redis_model_arg(const struct redis_model_args *args, int at)
{
    return redis_model_text(args->text[at], args->bytes[at]);
}

#define REDIS_MODEL_ERROR_TYPE "WRONGTYPE Operation against a key holding the wrong kind of value"
#define REDIS_MODEL_ERROR_INTEGER "ERR value is not an integer or out of range"
#define REDIS_MODEL_ERROR_FLOAT "ERR value is not a valid float"
#define REDIS_MODEL_ERROR_SYNTAX "ERR syntax error"

redisReply *redis_model_reply_text(const char *data, size_t bytes);
redisReply *redis_model_reply_line(int type, const char *text); /* status or error */
redisReply *redis_model_reply_integer(long long value);
redisReply *redis_model_reply_nil(void);
redisReply *redis_model_reply_array(size_t elements); /* to be filled */
redisReply *redis_model_reply_of(struct redis_model_text text);
redisReply *redis_model_reply_score(double score);
redisReply *redis_model_error(const char *text);
redisReply *redis_model_ok(void);

/* As Redis reads an integer: no blank, no plus sign, no leading zero, no "-0". */
bool redis_model_integer(struct redis_model_text text, long long *out);

bool redis_model_integer_at(const struct redis_model_args *args, int at, long long *out);
bool redis_model_double_at(const struct redis_model_args *args, int at, double *out);
bool redis_model_word_is(const struct redis_model_args *args, int at, const char *word);

/* The value of argument 1, NULL when it is not there; false when it is of another type. */
bool redis_model_find(struct redis_model *model, const struct redis_model_args *args,
                      enum redis_model_type type, struct redis_model_value **out);
void redis_model_drop_empty(struct redis_model *model, struct redis_model_value *value);
/* Remove the items that the arguments from 2 on name. */
redisReply *redis_model_remove_items(struct redis_model *model, const struct redis_model_args *args,
                                     enum redis_model_type type);

/* ---- commands ---- */

typedef redisReply *redis_model_command_fn(struct redis_model *model,
                                           const struct redis_model_args *args);
redis_model_command_fn redis_model_command_hset;
redis_model_command_fn redis_model_command_hget;
redis_model_command_fn redis_model_command_hstrlen;
redis_model_command_fn redis_model_command_hmget;
redis_model_command_fn redis_model_command_hgetall;
redis_model_command_fn redis_model_command_hexists;
redis_model_command_fn redis_model_command_hdel;
redis_model_command_fn redis_model_command_hincrby;
redis_model_command_fn redis_model_command_hlen;
redis_model_command_fn redis_model_command_llen;
redis_model_command_fn redis_model_command_scard;
redis_model_command_fn redis_model_command_zcard;
redis_model_command_fn redis_model_command_xlen;
redis_model_command_fn redis_model_command_rpush;
redis_model_command_fn redis_model_command_lpop;
redis_model_command_fn redis_model_command_blpop;
redis_model_command_fn redis_model_command_lrange;
redis_model_command_fn redis_model_command_sadd;
redis_model_command_fn redis_model_command_srem;
redis_model_command_fn redis_model_command_smembers;
redis_model_command_fn redis_model_command_sismember;
redis_model_command_fn redis_model_command_sscan;
redis_model_command_fn redis_model_command_zadd;
redis_model_command_fn redis_model_command_zrem;
redis_model_command_fn redis_model_command_zscore;
redis_model_command_fn redis_model_command_zrange;
redis_model_command_fn redis_model_command_zcount;
redis_model_command_fn redis_model_command_zrangebyscore;
redis_model_command_fn redis_model_command_xadd;
redis_model_command_fn redis_model_command_xrange;

struct redis_model_scripts *redis_model_scripts_create(struct redis_model *model);
void redis_model_scripts_destroy(struct redis_model_scripts *scripts);
/* SCRIPT LOAD, EVALSHA and EVAL; `args` are the whole command's. */
redisReply *redis_model_script_load(struct redis_model *model, const struct redis_model_args *args);
redisReply *redis_model_evalsha(struct redis_model *model, const struct redis_model_args *args);
redisReply *redis_model_eval(struct redis_model *model, const struct redis_model_args *args);

#endif
