#include "queue_script.h"

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "nero/layout.h"
#include "nero/mem.h"

static const struct {
    const char *name;
    const char *lua;
} scripts[] = {
#define X(name) {#name, queue_lua_##name},
    QUEUE_SCRIPTS(X)
#undef X
};

/* ---- open ---- */

enum nero_status queue_open(const char *url, struct queue **out, struct nero_err *err)
{
    struct queue *queue;
    struct sigaction action;
    enum nero_status status = hash_library_init(err);

    if (status != NERO_OK) {
        return status;
    }
    queue = mem_calloc(1, sizeof *queue);
    if (queue == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "open the queue: no memory");
    }
    queue->clock_lua = queue_lua_clock;
    status = queue_conn_parse(url, &queue->conn, err);
    if (status != NERO_OK) {
        queue_close(queue);
        return status;
    }
    /* Writing to a server that has just closed would end the process. A handler is left alone. */
    if (sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL) {
        action.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &action, NULL);
    }
    status = queue_conn_connect(&queue->conn, err);
    if (status != NERO_OK) {
        queue_close(queue);
        return err_wrap(err, "open the queue");
    }
    *out = queue;
    return NERO_OK;
}

void queue_close(struct queue *queue)
{
    if (queue == NULL) {
        return;
    }
    queue_conn_close(&queue->conn);
    sodium_memzero(queue->conn.password, sizeof queue->conn.password);
    free(queue);
}

void queue_use_clock(struct queue *queue, const char *clock_lua)
{
    queue->clock_lua = clock_lua;
    memset(queue->sha, 0, sizeof queue->sha);
}

/* ---- arguments ---- */

enum nero_status queue_key(char out[QUEUE_KEY_BYTES], const char *run, const char *name,
                           struct nero_err *err)
{
    enum nero_status status = layout_check_run(run, err);

    if (status == NERO_OK) {
        (void)snprintf(out, QUEUE_KEY_BYTES, "n:{%s}:%s", run, name);
    }
    return status;
}

enum nero_status queue_begin(struct queue *queue, enum queue_script script, const char *run,
                             struct nero_err *err)
{
    if (queue_key(queue->key, run, "meta", err) != NERO_OK) {
        return err->status;
    }
    queue->script = script;
    queue->count = 0;
    queue->arena_used = 0;
    /* EVALSHA, sha (set by run), number of keys, key. */
    queue_add_text(queue, "EVALSHA");
    queue_add_text(queue, "");
    queue_add_text(queue, "1");
    queue_add_text(queue, queue->key);
    return NERO_OK;
}

void queue_add_view(struct queue *queue, struct bytes_view view)
{
    assert(queue->count < QUEUE_ARGS_MAX);
    queue->argv[queue->count] = view.bytes > 0 ? (const char *)view.data : "";
    queue->bytes[queue->count] = view.bytes;
    queue->count++;
}

void queue_add_text(struct queue *queue, const char *text)
{
    queue_add_view(queue, bytes_view_str(text));
}

static char *arena_take(struct queue *queue, size_t bytes)
{
    char *room = queue->arena + queue->arena_used;

    assert(bytes <= QUEUE_ARENA_BYTES - queue->arena_used);
    queue->arena_used += bytes;
    return room;
}

void queue_add_u64(struct queue *queue, uint64_t value)
{
    char *room = arena_take(queue, 24);

    (void)snprintf(room, 24, "%" PRIu64, value);
    queue_add_text(queue, room);
}

void queue_add_i64(struct queue *queue, int64_t value)
{
    char *room = arena_take(queue, 24);

    (void)snprintf(room, 24, "%" PRId64, value);
    queue_add_text(queue, room);
}

void queue_add_hex(struct queue *queue, uint64_t value)
{
    char *room = arena_take(queue, 24);

    (void)snprintf(room, 24, "%016" PRIx64, value);
    queue_add_text(queue, room);
}

void queue_add_hash(struct queue *queue, const struct hash *hash)
{
    char *room = arena_take(queue, HASH_HEX_BYTES);

    hash_to_hex(room, hash);
    queue_add_text(queue, room);
}

enum nero_status queue_begin_held(struct queue *queue, enum queue_script script,
                                  const struct queue_claim *claim, struct nero_err *err)
{
    if (queue_begin(queue, script, claim->run, err) != NERO_OK) {
        return err->status;
    }
    queue_add_hash(queue, &claim->job);
    queue_add_hex(queue, claim->token);
    queue_add_hex(queue, claim->nonce);
    return NERO_OK;
}

void queue_add_cut(struct queue *queue, const char *text, size_t bytes_max)
{
    size_t bytes = text != NULL ? strlen(text) : 0;

    if (bytes > bytes_max) {
        bytes = bytes_max;
        while (bytes > 0 && ((unsigned char)text[bytes] & 0xC0) == 0x80) {
            bytes--;
        }
    }
    queue_add_view(queue, bytes_view_of(text, bytes));
}

enum nero_status queue_check_text(const char *what, const char *text, size_t bytes_max,
                                  struct nero_err *err)
{
    if (strlen(text) > bytes_max) {
        return err_set(err, NERO_TOO_BIG, 0, "%s is longer than %zu bytes", what, bytes_max);
    }
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            return err_set(err, NERO_INVALID, 0, "%s has a control character", what);
        }
    }
    return NERO_OK;
}

/* ---- running ---- */

/* The limits of queue.h, the clock, the prelude and the script as one text. */
static enum nero_status script_text(const struct queue *queue, enum queue_script script,
                                    struct bytes *out, struct nero_err *err)
{
    return bytes_printf(out, err,
                        "local FAILURES_MAX, LOST_MAX, EVENTS_MAX, WAKE_MAX = %d, %d, %d, %d\n"
                        "%s%s%s",
                        QUEUE_FAILURES_MAX, QUEUE_LOST_LEASES_MAX, QUEUE_EVENTS_MAX, QUEUE_WAKE_MAX,
                        queue->clock_lua, queue_lua_prelude, scripts[script].lua);
}

enum nero_status queue_script_load(struct queue *queue, enum queue_script script,
                                   struct nero_err *err)
{
    const char *argv[] = {"SCRIPT", "LOAD", NULL};
    size_t bytes[] = {6, 4, 0};
    struct bytes text;
    redisReply *reply = NULL;
    enum nero_status status;

    bytes_init(&text, 256 * 1024);
    status = script_text(queue, script, &text, err);
    if (status == NERO_OK) {
        argv[2] = (const char *)text.data;
        bytes[2] = text.bytes;
        status = queue_conn_command(&queue->conn, 3, argv, bytes, 0, &reply, err);
    }
    if (status == NERO_OK) {
        status = queue_conn_refusal(reply, err);
    }
    if (status == NERO_OK &&
        (reply->type != REDIS_REPLY_STRING || strlen(reply->str) != QUEUE_SHA_BYTES - 1)) {
        status = err_set(err, NERO_CORRUPT, 0, "Redis answers SCRIPT LOAD without a SHA-1");
    }
    if (status == NERO_OK) {
        memcpy(queue->sha[script], reply->str, QUEUE_SHA_BYTES);
    }
    if (reply != NULL) {
        freeReplyObject(reply);
    }
    bytes_fini(&text);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "load script %s", scripts[script].name);
}

static enum nero_status word_status(const redisReply *raw, const char *name, struct nero_err *err)
{
    static const struct {
        const char *word;
        enum nero_status status;
        const char *text;
    } words[] = {
        {"none", NERO_NOT_FOUND, "nothing to claim"},
        {"gone", NERO_NOT_FOUND, "Redis does not know the job"},
        {"unknown", NERO_NOT_FOUND, "Redis does not know the run"},
        {"nobody", NERO_NOT_FOUND, "no runner is announced as"},
        {"stale", NERO_STALE, "overtaken by"},
        {"full", NERO_UNAVAILABLE, "no room"},
    };
    const char *detail;

    if (raw->type != REDIS_REPLY_ARRAY || raw->elements == 0 ||
        raw->element[0]->type != REDIS_REPLY_STRING) {
        return err_set(err, NERO_CORRUPT, 0, "script %s: the reply has no word", name);
    }
    if (strcmp(raw->element[0]->str, "ok") == 0) {
        return NERO_OK;
    }
    detail = raw->elements > 1 && raw->element[1]->type == REDIS_REPLY_STRING ? raw->element[1]->str
                                                                              : "";
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(raw->element[0]->str, words[i].word) == 0) {
            return err_set(err, words[i].status, 0, "%s: %s%s%s", name, words[i].text,
                           detail[0] != '\0' ? " " : "", detail);
        }
    }
    return err_set(err, NERO_CORRUPT, 0, "script %s: the reply's word is not known", name);
}

enum nero_status queue_run(struct queue *queue, struct queue_reply *reply, struct nero_err *err)
{
    const char *name = scripts[queue->script].name;
    char *sha = queue->sha[queue->script];
    redisReply *raw = NULL;
    enum nero_status status = NERO_OK;

    memset(reply, 0, sizeof *reply);
    for (int tries = 0; tries < 2; tries++) {
        if (sha[0] == '\0') {
            status = queue_script_load(queue, queue->script, err);
        }
        if (status != NERO_OK) {
            return status;
        }
        queue->argv[1] = sha;
        queue->bytes[1] = QUEUE_SHA_BYTES - 1;
        status =
            queue_conn_command(&queue->conn, queue->count, queue->argv, queue->bytes, 0, &raw, err);
        if (status != NERO_OK) {
            return err_wrap(err, "%s", name);
        }
        if (raw->type != REDIS_REPLY_ERROR || strncmp(raw->str, "NOSCRIPT", 8) != 0) {
            break;
        }
        if (tries == 0) { /* a restart or SCRIPT FLUSH */
            freeReplyObject(raw);
            sha[0] = '\0';
        }
    }
    status = queue_conn_refusal(raw, err);
    if (status == NERO_OK) {
        status = word_status(raw, name, err);
    } else {
        err_wrap(err, "%s", name);
    }
    if (status != NERO_OK) {
        freeReplyObject(raw);
        return status;
    }
    *reply = (struct queue_reply){.raw = raw, .at = 1, .name = name};
    return NERO_OK;
}

void queue_reply_fini(struct queue_reply *reply)
{
    if (reply->raw != NULL) {
        freeReplyObject(reply->raw);
    }
    memset(reply, 0, sizeof *reply);
}

enum nero_status queue_run_plain(struct queue *queue, struct nero_err *err)
{
    struct queue_reply reply;
    enum nero_status status = queue_run(queue, &reply, err);

    queue_reply_fini(&reply);
    return status;
}

enum nero_status queue_plain(struct queue *queue, int count, const char **argv, uint32_t block_ms,
                             redisReply **out, struct nero_err *err)
{
    size_t bytes[8];
    redisReply *reply;
    enum nero_status status;

    assert(count <= 8);
    for (int i = 0; i < count; i++) {
        bytes[i] = strlen(argv[i]);
    }
    status = queue_conn_command(&queue->conn, count, argv, bytes, block_ms, &reply, err);
    if (status != NERO_OK) {
        return status;
    }
    status = queue_conn_refusal(reply, err);
    if (status != NERO_OK) {
        freeReplyObject(reply);
        return err_wrap(err, "%s", argv[0]);
    }
    *out = reply;
    return NERO_OK;
}

/* ---- replies ---- */

size_t queue_reply_left(const struct queue_reply *reply)
{
    return reply->raw->elements - reply->at;
}

static enum nero_status bad_field(const struct queue_reply *reply, const char *what,
                                  struct nero_err *err)
{
    return err_set(err, NERO_CORRUPT, 0, "script %s: field %zu of the reply is not %s", reply->name,
                   reply->at - 1, what);
}

enum nero_status queue_reply_view(struct queue_reply *reply, struct bytes_view *out,
                                  struct nero_err *err)
{
    const redisReply *field;

    reply->at++;
    if (reply->at > reply->raw->elements) {
        return bad_field(reply, "there", err);
    }
    field = reply->raw->element[reply->at - 1];
    if (field->type != REDIS_REPLY_STRING) {
        return bad_field(reply, "a string", err);
    }
    *out = bytes_view_of(field->str, (size_t)field->len);
    return NERO_OK;
}

enum nero_status queue_reply_text(struct queue_reply *reply, char *out, size_t out_bytes,
                                  struct nero_err *err)
{
    struct bytes_view view;
    enum nero_status status = queue_reply_view(reply, &view, err);
    size_t bytes;

    if (status != NERO_OK) {
        return status;
    }
    bytes = view.bytes < out_bytes ? view.bytes : out_bytes - 1;
    memcpy(out, view.data, bytes);
    out[bytes] = '\0';
    return NERO_OK;
}

static enum nero_status reply_number(struct queue_reply *reply, int base, uint64_t *out,
                                     bool *negative, struct nero_err *err)
{
    struct bytes_view view;
    uint64_t value = 0;
    size_t i = 0;

    if (queue_reply_view(reply, &view, err) != NERO_OK) {
        return err->status;
    }
    if (negative != NULL && view.bytes > 1 && view.data[0] == '-') {
        *negative = true;
        i = 1;
    }
    if (i == view.bytes || view.bytes > 20) {
        return bad_field(reply, "a number", err);
    }
    for (; i < view.bytes; i++) {
        int c = view.data[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;

        if (digit >= base || value > (UINT64_MAX - (uint64_t)digit) / (uint64_t)base) {
            return bad_field(reply, "a number", err);
        }
        value = value * (uint64_t)base + (uint64_t)digit;
    }
    *out = value;
    return NERO_OK;
}

enum nero_status queue_reply_u64(struct queue_reply *reply, uint64_t *out, struct nero_err *err)
{
    return reply_number(reply, 10, out, NULL, err);
}

enum nero_status queue_reply_hex(struct queue_reply *reply, uint64_t *out, struct nero_err *err)
{
    return reply_number(reply, 16, out, NULL, err);
}

enum nero_status queue_reply_u32(struct queue_reply *reply, uint32_t *out, struct nero_err *err)
{
    uint64_t value;
    enum nero_status status = reply_number(reply, 10, &value, NULL, err);

    if (status != NERO_OK) {
        return status;
    }
    if (value > UINT32_MAX) {
        return bad_field(reply, "below 2^32", err);
    }
    *out = (uint32_t)value;
    return NERO_OK;
}

enum nero_status queue_reply_i64(struct queue_reply *reply, int64_t *out, struct nero_err *err)
{
    bool negative = false;
    uint64_t value;
    enum nero_status status = reply_number(reply, 10, &value, &negative, err);

    if (status != NERO_OK) {
        return status;
    }
    if (value > INT64_MAX) {
        return bad_field(reply, "below 2^63", err);
    }
    *out = negative ? -(int64_t)value : (int64_t)value;
    return NERO_OK;
}

enum nero_status queue_reply_hash(struct queue_reply *reply, struct hash *out, struct nero_err *err)
{
    char hex[HASH_HEX_BYTES];
    enum nero_status status = queue_reply_text(reply, hex, sizeof hex, err);

    if (status == NERO_OK && hash_from_hex(out, hex, err) != NERO_OK) {
        status = bad_field(reply, "a job id", err);
    }
    return status;
}
