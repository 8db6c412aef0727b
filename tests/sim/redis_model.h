/*
 * A model of Redis 7: the commands that queue/ sends and its scripts call, and the scripts
 * themselves, run by Lua 5.1 as Redis runs them. test_redis_model holds it against the real server.
 *
 * What differs: members of a set come in byte order (Redis: in any), SSCAN returns a set whole or
 * pages of it by place, BLPOP does not wait, INFO tells little, a stream is cut exactly.
 * Thread: one thread uses a model.
 */
#ifndef NERO_TESTS_REDIS_MODEL_H
#define NERO_TESTS_REDIS_MODEL_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "redis_model_data.h"

struct redis_model;

/* Microseconds since 1970: what TIME answers. */
typedef int64_t redis_model_clock_fn(void *context);

struct redis_model *redis_model_create(redis_model_clock_fn *clock_us, void *context);
void redis_model_destroy(struct redis_model *model);

/* One command. Owns: the reply (freeReplyObject). */
redisReply *redis_model_command(struct redis_model *model, int count, const char *const *argv,
                                const size_t *bytes);

/* The server ends and starts again: another run_id, no script known. The data stay. */
void redis_model_restart(struct redis_model *model);
/* All that it holds, to be copied away, or replaced by an earlier copy. */
struct redis_model_data *redis_model_contents(struct redis_model *model);
/* Elements pushed to any list so far: a blocked reader looks again when it grows. */
uint64_t redis_model_pushes(const struct redis_model *model);

#endif
