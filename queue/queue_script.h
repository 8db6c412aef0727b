/*
 * The embedded scripts and how one is called: arguments are collected, the script runs by its
 * SHA-1 (loaded again where the server has forgotten it), and the reply is read field by field.
 * Thread: one thread uses a queue.
 */
#ifndef NERO_QUEUE_SCRIPT_H
#define NERO_QUEUE_SCRIPT_H

#include "nero/queue.h"
#include "queue_conn.h"

/* Every script of queue/lua/ but clock and prelude, which stand in front of each. */
/* clang-format off */
#define QUEUE_SCRIPTS(X)                                    \
    X(lead) X(submit) X(claim) X(renew) X(complete) X(fail) \
    X(release) X(pin) X(finish) X(cancel) X(tell) X(reap)   \
    X(retry) X(pause) X(drop) X(announce) X(counts) X(info) \
    X(list) X(runners) X(lanes) X(enrol)                    \
    X(stay) X(resign) X(limit) X(jobs) X(drain)
/* clang-format on */

enum queue_script {
#define X(name) QUEUE_SCRIPT_##name,
    QUEUE_SCRIPTS(X)
#undef X
        QUEUE_SCRIPT_COUNT
};

extern const char queue_lua_clock[];
extern const char queue_lua_prelude[];
#define X(name) extern const char queue_lua_##name[];
QUEUE_SCRIPTS(X)
#undef X

enum {
    QUEUE_ARGS_MAX = 448,
    QUEUE_ARENA_BYTES = 24 * 1024, /* numbers and hashes of one call as text */
    QUEUE_SUBMIT_MAX = 64,         /* jobs a call: six arguments each */
    QUEUE_SHA_BYTES = 41,
    QUEUE_KEY_BYTES = SLOT_RUN_BYTES + 32,
    QUEUE_ENROL_MAX = 1000, /* requests waiting for a certificate */
    QUEUE_ENROL_BYTES = 4 * 1024,
    QUEUE_EVENTS_MAX = 10000,
    QUEUE_WAKE_MAX = 64,
    QUEUE_ORDER_BITS = 44 /* a score is priority * 2^44 + order: exact as a double */
};

struct queue {
    struct queue_conn conn;
    const char *clock_lua;
    char sha[QUEUE_SCRIPT_COUNT][QUEUE_SHA_BYTES]; /* "": not loaded yet */
    enum queue_script script;
    int count;
    const char *argv[QUEUE_ARGS_MAX];
    size_t bytes[QUEUE_ARGS_MAX];
    char key[QUEUE_KEY_BYTES];
    size_t arena_used;
    char arena[QUEUE_ARENA_BYTES];
};

/* Tests and simulations: another clock.lua, borrowed for the queue's life. */
void queue_use_clock(struct queue *queue, const char *clock_lua);

/* "n:{run}:<name>". Errors: invalid (the run's name). */
enum nero_status queue_key(char out[QUEUE_KEY_BYTES], const char *run, const char *name,
                           struct nero_err *err);

/*
 * A call: begin, add the arguments in the script's order, run. Texts and views are borrowed until
 * run returns.
 */
enum nero_status queue_begin(struct queue *queue, enum queue_script script, const char *run,
                             struct nero_err *err);
void queue_add_text(struct queue *queue, const char *text);
void queue_add_view(struct queue *queue, struct bytes_view view);
void queue_add_u64(struct queue *queue, uint64_t value);
void queue_add_i64(struct queue *queue, int64_t value);
void queue_add_hex(struct queue *queue, uint64_t value); /* tokens, nonces: 16 digits */
void queue_add_hash(struct queue *queue, const struct hash *hash);
/* At most `bytes_max` bytes of a text that may be NULL, cut before a broken UTF-8 character. */
void queue_add_cut(struct queue *queue, const char *text, size_t bytes_max);

/* begin with what all calls of a holder begin with: id, token, nonce. */
enum nero_status queue_begin_held(struct queue *queue, enum queue_script script,
                                  const struct queue_claim *claim, struct nero_err *err);

/* A reply being read. Owns the memory: queue_reply_fini (harmless on a zeroed one). */
struct queue_reply {
    redisReply *raw;
    size_t at;
    const char *name; /* of the script, for messages */
};

/* Errors: what the script's first word says (DESIGN.md), or unavailable. */
enum nero_status queue_run(struct queue *queue, struct queue_reply *reply, struct nero_err *err);
void queue_reply_fini(struct queue_reply *reply);

/* begin and run are one where the reply is not needed. */
enum nero_status queue_run_plain(struct queue *queue, struct nero_err *err);

/* Load one script into the server. */
enum nero_status queue_script_load(struct queue *queue, enum queue_script script,
                                   struct nero_err *err);

/* Any other command; the reply is never an error reply. Owns: *out (freeReplyObject). */
enum nero_status queue_plain(struct queue *queue, int count, const char **argv, uint32_t block_ms,
                             redisReply **out, struct nero_err *err);

/* The next field. Errors: corrupt, names script and field. */
size_t queue_reply_left(const struct queue_reply *reply);
enum nero_status queue_reply_view(struct queue_reply *reply, struct bytes_view *out,
                                  struct nero_err *err);
enum nero_status queue_reply_text(struct queue_reply *reply, char *out, size_t out_bytes,
                                  struct nero_err *err); /* cut where it is longer */
enum nero_status queue_reply_u64(struct queue_reply *reply, uint64_t *out, struct nero_err *err);
enum nero_status queue_reply_u32(struct queue_reply *reply, uint32_t *out, struct nero_err *err);
enum nero_status queue_reply_i64(struct queue_reply *reply, int64_t *out, struct nero_err *err);
enum nero_status queue_reply_hex(struct queue_reply *reply, uint64_t *out, struct nero_err *err);
enum nero_status queue_reply_hash(struct queue_reply *reply, struct hash *out,
                                  struct nero_err *err);

/* "" where it fits and has no control characters. Errors: invalid, naming `what`. */
enum nero_status queue_check_text(const char *what, const char *text, size_t bytes_max,
                                  struct nero_err *err);

#endif
