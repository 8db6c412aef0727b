/*
 * One connection to Redis: the URL, connecting, and one command with a deadline.
 *
 * After any failure the connection is closed and the next command connects anew: after a timeout
 * replies would be out of step, and hiredis's own reconnect forgets the password and the timeouts.
 * Thread: one thread uses a connection.
 */
#ifndef NERO_QUEUE_CONN_H
#define NERO_QUEUE_CONN_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "nero/err.h"

enum {
    QUEUE_CONN_TEXT_BYTES = 256,
    QUEUE_CONN_PATH_BYTES = 1024,
    QUEUE_CONN_CONNECT_MS = 3000,
    QUEUE_CONN_COMMAND_MS = 10000 /* an append-only file on a slow disk holds Redis for seconds */
};

struct queue_conn {
    char host[QUEUE_CONN_TEXT_BYTES]; /* "" when path is set */
    char path[QUEUE_CONN_PATH_BYTES];
    char user[QUEUE_CONN_TEXT_BYTES];
    char password[QUEUE_CONN_TEXT_BYTES];
    int port;
    int db;
    bool tls;
    uint32_t command_ms;   /* QUEUE_CONN_COMMAND_MS; tests shorten it */
    redisContext *context; /* NULL: not connected */
};

/* Fills all but the connection. Errors: invalid, names what is wrong. Never prints the password. */
enum nero_status queue_conn_parse(const char *url, struct queue_conn *out, struct nero_err *err);

/* Connects where needed: password, database, eviction policy and a write are checked each time. */
enum nero_status queue_conn_connect(struct queue_conn *conn, struct nero_err *err);
void queue_conn_close(struct queue_conn *conn);

/* Only the transport: connects and answers PING. For redis_child. */
enum nero_status queue_conn_ping(struct queue_conn *conn, struct nero_err *err);

/*
 * `block_ms`: how long the command itself may wait in Redis; the deadline is that much later. An
 * error reply is ok here: see queue_conn_refusal. Owns: *out (freeReplyObject).
 * Errors: unavailable (it may have taken effect; every operation of the queue may be repeated).
 */
enum nero_status queue_conn_command(struct queue_conn *conn, int count, const char **argv,
                                    const size_t *bytes, uint32_t block_ms, redisReply **out,
                                    struct nero_err *err);

/* The status of an error reply; ok for any other. */
enum nero_status queue_conn_refusal(const redisReply *reply, struct nero_err *err);

#endif
