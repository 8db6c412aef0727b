#include "backlog_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/mem.h"
#include "queue_script.h"

struct backlog_world world;

void backlog_world_expect(enum nero_status expected, enum nero_status got, const char *file,
                          int line)
{
    if (got != expected) {
        print_error("expected %s, got %s: %s\n", err_status_name(expected), err_status_name(got),
                    got == NERO_OK ? "" : world.err.message);
        _fail(file, line);
    }
}

int backlog_world_start(void **state)
{
    (void)state;
    test_redis_start(&world.redis);
    OK(queue_open(redis_child_url(world.redis.child), &world.queue, E));
    return 0;
}

int backlog_world_stop(void **state)
{
    (void)state;
    queue_close(world.queue);
    test_redis_stop(&world.redis);
    return 0;
}

static void flush(void)
{
    const char *argv[] = {"FLUSHALL"};
    redisReply *reply;

    OK(queue_plain(world.queue, 1, argv, 0, &reply, E));
    freeReplyObject(reply);
}

int backlog_world_make(void **state)
{
    struct storage *inner;

    (void)state;
    flush();
    OK(storage_open("mem:", true, &inner, E));
    OK(storage_fault_wrap(inner, &world.store, &world.control, E));
    tiny_run_create(&world.run, world.store, "run-1", 8, 40, RUN_SAME_CLASS);
    key_pair_generate(&world.runner);
    tiny_run_certify(&world.run, &world.runner.public_key);
    OK(trust_open(world.store, world.run.name, NULL, &world.trust, E));
    OK(backlog_open(world.store, world.trust, &world.backlog, E));
    world.epoch = 1;
    OK(queue_lead(world.queue, world.run.name, world.epoch, BACKLOG_WORLD_LEASE_MS, E));
    return 0;
}

int backlog_world_end(void **state)
{
    (void)state;
    backlog_close(world.backlog);
    trust_close(world.trust);
    storage_close(world.store);
    return 0;
}

struct hash backlog_world_id(unsigned n)
{
    return hash_of(bytes_view_of(&n, sizeof n));
}

/* Not a spec that a runner could read, but signed and in its place: the queue looks no further. */
static void make_envelope(unsigned n, size_t bytes, struct bytes *out)
{
    uint8_t *payload = mem_calloc(1, bytes);

    (void)snprintf((char *)payload, bytes, "job %u", n);
    OK(envelope_seal(ENVELOPE_JOB, bytes_view_of(payload, bytes), &world.run.key, out, E));
    free(payload);
}

void backlog_world_specs(unsigned first, unsigned count, size_t bytes)
{
    for (unsigned n = first; n < first + count; n++) {
        struct hash job = backlog_world_id(n);
        char key[LAYOUT_KEY_BYTES];
        struct bytes envelope;

        bytes_init(&envelope, bytes + ENVELOPE_OVERHEAD_MAX);
        make_envelope(n, bytes, &envelope);
        layout_spec(key, world.run.name, &job);
        OK(storage_put(world.store, key, bytes_as_view(&envelope), E));
        bytes_fini(&envelope);
    }
}

void backlog_world_submit(unsigned first, unsigned count, size_t bytes, uint32_t priority,
                          int64_t not_before_ms)
{
    static struct run_batch_job jobs[BACKLOG_WORLD_JOBS_MAX];

    assert_true(count <= BACKLOG_WORLD_JOBS_MAX);
    backlog_world_specs(first, count, bytes);
    for (unsigned i = 0; i < count; i++) {
        jobs[i] = (struct run_batch_job){.job = backlog_world_id(first + i),
                                         .priority = priority,
                                         .not_before_ms = not_before_ms};
    }
    OK(backlog_record(world.backlog, &world.run.key, jobs, count, E));
}

void backlog_world_reopen(void)
{
    backlog_close(world.backlog);
    OK(backlog_open(world.store, world.trust, &world.backlog, E));
}

void backlog_world_lose_redis(void)
{
    flush();
    world.epoch++;
    OK(queue_lead(world.queue, world.run.name, world.epoch, BACKLOG_WORLD_LEASE_MS, E));
    backlog_world_reopen();
    OK(backlog_meet(world.backlog, world.queue, world.epoch, NULL, E));
}

uint32_t backlog_world_fill(uint64_t window_bytes)
{
    struct backlog_fill fill = {.run = world.run.name,
                                .epoch = world.epoch,
                                .window_bytes = window_bytes,
                                .lease_ms = BACKLOG_WORLD_LEASE_MS};
    uint32_t total = 0;
    uint32_t added;

    do {
        OK(backlog_fill(world.backlog, world.queue, &fill, &added, E));
        total += added;
    } while (added > 0);
    return total;
}

static struct chain *open_chain(unsigned n, struct bytes *envelope)
{
    struct hash job = backlog_world_id(n);
    char key[LAYOUT_KEY_BYTES];
    struct chain *chain;

    bytes_init(envelope, JOB_BYTES_MAX + ENVELOPE_OVERHEAD_MAX);
    layout_spec(key, world.run.name, &job);
    OK(storage_get(world.store, key, envelope, NULL, E));
    OK(chain_open(world.store, world.trust, &job, bytes_as_view(envelope), &chain, E));
    return chain;
}

void backlog_world_takeover(unsigned n, uint64_t token, uint64_t nonce)
{
    struct bytes envelope;
    struct chain *chain = open_chain(n, &envelope);

    OK(chain_takeover(chain, token, nonce, 1, &world.runner, E));
    chain_close(chain);
    bytes_fini(&envelope);
}

void backlog_world_slot(unsigned n, enum slot_kind kind, uint64_t token, uint64_t nonce)
{
    bool by_scheduler = kind == SLOT_FAILED || kind == SLOT_CANCELLED || kind == SLOT_REOPENED;
    struct slot slot = {.kind = kind, .token = token, .nonce = nonce, .reason = SLOT_END};
    struct bytes envelope;
    struct chain *chain = open_chain(n, &envelope);

    OK(chain_append(chain, &slot, by_scheduler ? &world.run.key : &world.runner, NULL, E));
    chain_close(chain);
    bytes_fini(&envelope);
}

struct queue_counts backlog_world_counts(void)
{
    struct queue_counts counts;

    OK(queue_counts(world.queue, world.run.name, &counts, E));
    return counts;
}

bool backlog_world_claim(struct queue_claim *out)
{
    enum nero_status status;

    queue_claim_init(out);
    status = queue_claim(world.queue, world.run.name, "runner-a", "cpu", out, E);
    if (status != NERO_NOT_FOUND) {
        OK(status);
    }
    bytes_fini(&out->envelope);
    return status == NERO_OK;
}

void backlog_world_state_is(unsigned n, const char *state)
{
    struct hash job = backlog_world_id(n);
    struct queue_job_info info = {.state = ""};
    enum nero_status status = queue_job_info(world.queue, world.run.name, &job, &info, E);

    if (status != NERO_NOT_FOUND) {
        OK(status);
    }
    assert_string_equal(info.state, state);
}
