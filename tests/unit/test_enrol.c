/*
 * Goal: only who proves possession of its key, and its right to join, gets a certificate; a broken
 * peer harms nobody. Method: both sides in one process, over a socket pair with the scheduler in a
 * thread or a hand-made peer, and over a private Redis with a store in memory.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "nero/enrol.h"
#include "nero/layout.h"
#include "nero/queue.h"
#include "nero/redis_child.h"
#include "nero/trust.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_run.h"

struct world {
    char folder[TEMP_FOLDER_BYTES];
    struct storage *store;
    struct tiny_run run;
    struct enrol_issuer issuer;
    struct redis_child *redis;
    struct queue *queue;
};

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct nero_err err = {0};

    assert_non_null(world);
    tiny_check(storage_open("mem:", true, &world->store, &err), &err, "store");
    tiny_run_create(&world->run, world->store, "enrol-test", 8, 40, RUN_SAME_CLASS);
    world->issuer = (struct enrol_issuer){.store = world->store,
                                          .run = world->run.name,
                                          .run_key = &world->run.key,
                                          .epoch = 3,
                                          .lifetime_ms = ENROL_LIFETIME_MS_DEFAULT};
    assert_int_equal(temp_folder_make(world->folder, NULL), 0);
    tiny_check(redis_child_start(world->folder, &world->redis, &err), &err, "redis");
    tiny_check(queue_open(redis_child_url(world->redis), &world->queue, &err), &err, "queue");
    tiny_check(queue_lead(world->queue, world->run.name, 1, 1000, &err), &err, "lead");
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;

    queue_close(world->queue);
    redis_child_stop(world->redis);
    storage_close(world->store);
    temp_folder_remove(world->folder);
    free(world);
    return 0;
}

/* The scheduler's side of a socket pair, in a thread. */
struct answerer {
    const struct enrol_issuer *issuer;
    int fd;
    enum nero_status status;
    struct nero_err err;
};

static void *answer(void *argument)
{
    struct answerer *answerer = argument;

    answerer->status = enrol_answer_fd(answerer->issuer, answerer->fd, &answerer->err);
    return NULL;
}

static void test_enrol__over_fd_gives_a_certificate_that_verifies(void **state)
{
    struct world *world = *state;
    struct answerer answerer = {.issuer = &world->issuer};
    struct enrol_grant grant;
    struct key_pair key;
    struct trust *trust;
    char object[LAYOUT_KEY_BYTES];
    struct nero_err err = {0};
    pthread_t thread;
    int pair[2];

    key_pair_generate(&key);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    answerer.fd = pair[0];
    assert_int_equal(pthread_create(&thread, NULL, answer, &answerer), 0);
    tiny_check(enrol_over_fd(pair[1], "host:1", &key, &grant, &err), &err, "enrol");
    (void)pthread_join(thread, NULL);
    assert_int_equal(answerer.status, NERO_OK);
    assert_string_equal(grant.run, world->run.name);
    assert_memory_equal(&grant.run_key, &world->run.key.public_key, KEY_PUBLIC_BYTES);
    assert_memory_equal(&grant.certificate.key, &key.public_key, KEY_PUBLIC_BYTES);
    assert_string_equal(grant.certificate.host, "host:1");
    assert_int_equal(grant.certificate.epoch, 3);
    /* It is in the bucket already, and the run record names the same key. */
    layout_certificate(object, world->run.name, &key.id);
    assert_int_equal(storage_head(world->store, object, NULL, &err), NERO_OK);
    tiny_check(trust_open(world->store, world->run.name, &world->run.root.public_key, &trust, &err),
               &err, "trust");
    assert_memory_equal(trust_run_key(trust), &grant.run_key, KEY_PUBLIC_BYTES);
    trust_close(trust);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

/* What a runner sends, with `flip` a bit of it changed; what the scheduler makes of it. */
static enum nero_status answer_bytes(struct world *world, const void *data, size_t bytes,
                                     bool close_after, struct nero_err *err)
{
    enum nero_status status;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], data, bytes), (ssize_t)bytes);
    if (close_after) {
        (void)close(pair[1]);
    }
    status = enrol_answer_fd(&world->issuer, pair[0], err);
    (void)close(pair[0]);
    if (!close_after) {
        (void)close(pair[1]);
    }
    return status;
}

static void seal_request(const struct keys_enrol *enrol, const struct key_pair *signer,
                         struct bytes *out)
{
    struct nero_err err = {0};
    struct bytes payload;

    bytes_init(&payload, 4096);
    tiny_check(keys_enrol_encode(enrol, &payload, &err), &err, "encode");
    tiny_check(envelope_seal(ENVELOPE_ENROL, bytes_as_view(&payload), signer, out, &err), &err,
               "seal");
    bytes_fini(&payload);
}

static size_t request_message(const char *run, const struct key_pair *key,
                              const struct key_pair *signer, uint8_t out[ENROL_MESSAGE_BYTES_MAX])
{
    struct keys_enrol enrol = {.key = key->public_key, .host = "h"};
    struct bytes sealed;
    size_t bytes;

    (void)snprintf(enrol.run, sizeof enrol.run, "%s", run);
    bytes_init(&sealed, ENROL_MESSAGE_BYTES_MAX);
    seal_request(&enrol, signer, &sealed);
    bytes = sealed.bytes;
    bytes_put_u32le(out, (uint32_t)bytes);
    memcpy(out + 4, sealed.data, bytes);
    bytes_fini(&sealed);
    return bytes + 4;
}

static void test_enrol__fd_refuses_garbage_and_peers_that_die_midway(void **state)
{
    struct world *world = *state;
    uint8_t message[ENROL_MESSAGE_BYTES_MAX] = {255, 255, 255, 255};
    struct key_pair other;
    struct key_pair key;
    struct nero_err err = {0};
    size_t bytes;

    key_pair_generate(&key);
    key_pair_generate(&other);
    assert_int_equal(answer_bytes(world, message, 4, false, &err), NERO_CORRUPT);
    bytes_put_u32le(message, 16);
    assert_int_equal(answer_bytes(world, message, 20, false, &err), NERO_CORRUPT);
    assert_int_equal(answer_bytes(world, message, 0, true, &err), NERO_UNAVAILABLE);
    bytes = request_message(ENROL_RUN_TOLD, &key, &key, message);
    assert_int_equal(answer_bytes(world, message, bytes, false, &err), NERO_OK);
    for (size_t cut = 1; cut < bytes; cut += 13) {
        assert_int_equal(answer_bytes(world, message, cut, true, &err), NERO_UNAVAILABLE);
    }
    /* Died after asking: it has its certificate and nobody to read it. Never SIGPIPE. */
    (void)answer_bytes(world, message, bytes, true, &err);
    for (size_t at = 4; at < bytes; at++) { /* every byte is checked by something */
        message[at] ^= 0x01;
        assert_int_not_equal(answer_bytes(world, message, bytes, false, &err), NERO_OK);
        message[at] ^= 0x01;
    }
    bytes = request_message(ENROL_RUN_TOLD, &key, &other, message);
    assert_int_equal(answer_bytes(world, message, bytes, false, &err), NERO_DENIED);
    bytes = request_message("another-run", &key, &key, message);
    assert_int_equal(answer_bytes(world, message, bytes, false, &err), NERO_DENIED);
}

/* A scheduler that answers with given bytes. */
static enum nero_status ask_bytes(const void *data, size_t bytes, struct nero_err *err)
{
    struct enrol_grant grant;
    enum nero_status status;
    struct key_pair key;
    int pair[2];

    key_pair_generate(&key);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[0], data, bytes), (ssize_t)bytes);
    (void)shutdown(pair[0], SHUT_WR);
    status = enrol_over_fd(pair[1], "h", &key, &grant, err);
    (void)close(pair[0]);
    (void)close(pair[1]);
    return status;
}

static void test_enrol__runner_refuses_bad_answers(void **state)
{
    uint8_t message[600] = {0};
    struct nero_err err = {0};

    (void)state;
    assert_int_equal(ask_bytes(message, 4, &err), NERO_DENIED); /* an empty message: refused */
    assert_int_equal(ask_bytes(message, 2, &err), NERO_UNAVAILABLE);
    bytes_put_u32le(message, 16);
    assert_int_equal(ask_bytes(message, 20, &err), NERO_CORRUPT);
    bytes_put_u32le(message, 500);
    assert_int_equal(ask_bytes(message, 504, &err), NERO_DENIED);
    bytes_put_u32le(message, 1u << 30);
    assert_int_equal(ask_bytes(message, 4, &err), NERO_CORRUPT);
}

/* A certificate for another key, or by another run key, must not be taken for one's own. */
static void test_enrol__runner_refuses_anothers_certificate(void **state)
{
    struct world *world = *state;
    uint8_t message[ENROL_MESSAGE_BYTES_MAX];
    char object[LAYOUT_KEY_BYTES];
    struct nero_err err = {0};
    struct key_pair other;
    struct bytes stored;

    key_pair_generate(&other);
    tiny_run_certify(&world->run, &other.public_key);
    layout_certificate(object, world->run.name, &other.id);
    bytes_init(&stored, ENROL_MESSAGE_BYTES_MAX);
    tiny_check(storage_get(world->store, object, &stored, NULL, &err), &err, "get");
    bytes_put_u32le(message, (uint32_t)(KEY_PUBLIC_BYTES + stored.bytes));
    memcpy(message + 4, &world->run.key.public_key, KEY_PUBLIC_BYTES);
    memcpy(message + 4 + KEY_PUBLIC_BYTES, stored.data, stored.bytes);
    assert_int_equal(ask_bytes(message, 4 + KEY_PUBLIC_BYTES + stored.bytes, &err), NERO_DENIED);
    bytes_fini(&stored);
}

/* ---- by token ---- */

struct joiner {
    struct world *world;
    const uint8_t *token;
    const struct key_pair *key;
    uint32_t timeout_ms;
    struct enrol_grant grant;
    enum nero_status status;
    struct nero_err err;
};

static void *join(void *argument)
{
    struct joiner *joiner = argument;
    struct queue *queue;

    joiner->status = queue_open(redis_child_url(joiner->world->redis), &queue, &joiner->err);
    if (joiner->status == NERO_OK) {
        joiner->status =
            enrol_by_token(queue, joiner->world->store, joiner->world->run.name, joiner->token,
                           "far:9", joiner->key, joiner->timeout_ms, &joiner->grant, &joiner->err);
        queue_close(queue);
    }
    return NULL;
}

/* Answer requests until one comes; returns what was made of it. */
static enum nero_status answer_one(struct world *world, const uint8_t (*tokens)[KEYS_TOKEN_BYTES],
                                   uint32_t count, int32_t *used, struct nero_err *err)
{
    enum nero_status status = NERO_NOT_FOUND;

    for (int i = 0; i < 500 && status == NERO_NOT_FOUND; i++) {
        status =
            enrol_answer_queue(&world->issuer, world->queue, tokens, NULL, count, used, NULL, err);
        if (status == NERO_NOT_FOUND) {
            (void)usleep(10000);
        }
    }
    return status;
}

static void test_enrol__by_token_spends_exactly_that_token(void **state)
{
    struct world *world = *state;
    const uint8_t tokens[3][KEYS_TOKEN_BYTES] = {{1}, {2}, {3}};
    struct key_pair key;
    struct joiner joiner = {.world = world, .token = tokens[1], .key = &key, .timeout_ms = 10000};
    struct nero_err err = {0};
    int32_t used = 77;
    pthread_t thread;

    key_pair_generate(&key);
    assert_int_equal(
        enrol_answer_queue(&world->issuer, world->queue, tokens, NULL, 3, &used, NULL, &err),
        NERO_NOT_FOUND);
    assert_int_equal(used, -1);
    assert_int_equal(pthread_create(&thread, NULL, join, &joiner), 0);
    assert_int_equal(answer_one(world, tokens, 3, &used, &err), NERO_OK);
    (void)pthread_join(thread, NULL);
    assert_int_equal(used, 1);
    tiny_check(joiner.status, &joiner.err, "join");
    assert_string_equal(joiner.grant.run, world->run.name);
    assert_string_equal(joiner.grant.certificate.host, "far:9");
    /* Asking again finds the certificate and asks nobody. */
    (void)join(&joiner);
    tiny_check(joiner.status, &joiner.err, "join again");
    assert_int_equal(
        enrol_answer_queue(&world->issuer, world->queue, tokens, NULL, 3, &used, NULL, &err),
        NERO_NOT_FOUND);
}

/* Push a request by hand. `token` NULL: no proof. */
static void push(struct world *world, const char *run, const uint8_t *token,
                 const struct key_pair *key)
{
    struct keys_enrol enrol = {.key = key->public_key, .host = "h"};
    struct nero_err err = {0};
    struct bytes sealed;

    (void)snprintf(enrol.run, sizeof enrol.run, "%s", run);
    if (token != NULL) {
        keys_enrol_prove(&enrol, token);
    }
    bytes_init(&sealed, ENROL_MESSAGE_BYTES_MAX);
    seal_request(&enrol, key, &sealed);
    tiny_check(queue_enrol_push(world->queue, world->run.name, bytes_as_view(&sealed), &err), &err,
               "push");
    bytes_fini(&sealed);
}

static bool has_certificate(struct world *world, const struct key_pair *key)
{
    char object[LAYOUT_KEY_BYTES];
    struct nero_err err;

    layout_certificate(object, world->run.name, &key->id);
    return storage_head(world->store, object, NULL, &err) == NERO_OK;
}

static void test_enrol__wrong_replayed_and_foreign_requests_are_denied(void **state)
{
    struct world *world = *state;
    const uint8_t tokens[2][KEYS_TOKEN_BYTES] = {{11}, {12}};
    const uint8_t wrong[KEYS_TOKEN_BYTES] = {99};
    struct key_id owners[2] = {{{0}}, {{0}}};
    struct key_id who;
    struct nero_err err = {0};
    struct key_pair key;
    struct key_pair thief;
    int32_t used;

    key_pair_generate(&key);
    key_pair_generate(&thief);
    push(world, world->run.name, wrong, &key);
    push(world, world->run.name, NULL, &key);
    push(world, "another-run", tokens[0], &key);
    push(world, ENROL_RUN_TOLD, tokens[0], &key);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(
            enrol_answer_queue(&world->issuer, world->queue, tokens, NULL, 2, &used, NULL, &err),
            NERO_DENIED);
        assert_int_equal(used, -1);
    }
    assert_false(has_certificate(world, &key));

    push(world, world->run.name, tokens[0], &key);
    assert_int_equal(
        enrol_answer_queue(&world->issuer, world->queue, tokens, NULL, 2, &used, NULL, &err),
        NERO_OK);
    assert_int_equal(used, 0);
    assert_true(has_certificate(world, &key));
    /* Spent: the caller keeps the rest. Neither the same request nor another key has it again. */
    push(world, world->run.name, tokens[0], &key);
    push(world, world->run.name, tokens[0], &thief);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(enrol_answer_queue(&world->issuer, world->queue, tokens + 1, NULL, 1,
                                            &used, NULL, &err),
                         NERO_DENIED);
    }
    assert_false(has_certificate(world, &thief));
    /* Where the caller keeps it for its owner, it is good for the owner alone. */
    owners[0] = key_id_of(&key.public_key);
    push(world, world->run.name, tokens[0], &thief);
    assert_int_equal(
        enrol_answer_queue(&world->issuer, world->queue, tokens, owners, 2, &used, &who, &err),
        NERO_DENIED);
    assert_false(has_certificate(world, &thief));
    push(world, world->run.name, tokens[0], &key);
    push(world, world->run.name, tokens[1], &thief);
    for (int32_t i = 0; i < 2; i++) {
        struct key_id expected = key_id_of(i == 0 ? &key.public_key : &thief.public_key);

        assert_int_equal(
            enrol_answer_queue(&world->issuer, world->queue, tokens, owners, 2, &used, &who, &err),
            NERO_OK);
        assert_int_equal(used, i);
        assert_memory_equal(&who, &expected, sizeof who);
    }
}

static void test_enrol__garbage_in_the_queue_is_dropped(void **state)
{
    struct world *world = *state;
    const uint8_t tokens[1][KEYS_TOKEN_BYTES] = {{21}};
    struct nero_err err = {0};
    int32_t used;

    tiny_check(queue_enrol_push(world->queue, world->run.name, bytes_view_str("garbage"), &err),
               &err, "push");
    assert_int_equal(
        enrol_answer_queue(&world->issuer, world->queue, tokens, NULL, 1, &used, NULL, &err),
        NERO_CORRUPT);
    assert_int_equal(
        enrol_answer_queue(&world->issuer, world->queue, tokens, NULL, 1, &used, NULL, &err),
        NERO_NOT_FOUND);
}

static void test_enrol__by_token_without_an_answer_times_out(void **state)
{
    struct world *world = *state;
    const uint8_t token[KEYS_TOKEN_BYTES] = {31};
    struct nero_err err = {0};
    struct key_pair key;
    struct joiner joiner = {.world = world, .token = token, .key = &key, .timeout_ms = 300};
    struct bytes left;

    key_pair_generate(&key);
    (void)join(&joiner);
    assert_int_equal(joiner.status, NERO_TIMEOUT);
    bytes_init(&left, ENROL_MESSAGE_BYTES_MAX);
    assert_int_equal(queue_enrol_take(world->queue, world->run.name, &left, &err), NERO_OK);
    bytes_fini(&left);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_enrol__over_fd_gives_a_certificate_that_verifies),
        cmocka_unit_test(test_enrol__fd_refuses_garbage_and_peers_that_die_midway),
        cmocka_unit_test(test_enrol__runner_refuses_bad_answers),
        cmocka_unit_test(test_enrol__runner_refuses_anothers_certificate),
        cmocka_unit_test(test_enrol__by_token_spends_exactly_that_token),
        cmocka_unit_test(test_enrol__wrong_replayed_and_foreign_requests_are_denied),
        cmocka_unit_test(test_enrol__garbage_in_the_queue_is_dropped),
        cmocka_unit_test(test_enrol__by_token_without_an_answer_times_out),
    };

    return cmocka_run_group_tests(tests, world_open, world_close);
}
