/* What can be looked at, the event feed, and the requests for certificates. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nero/clock.h"

#include "queue_script.h"

enum nero_status queue_server_id(struct queue *queue, char out[QUEUE_SERVER_ID_BYTES],
                                 struct nero_err *err)
{
    const char *argv[] = {"INFO", "server"};
    redisReply *reply;
    const char *id = NULL;
    size_t length = 0;
    enum nero_status status = queue_plain(queue, 2, argv, 0, &reply, err);

    if (status != NERO_OK) {
        return status;
    }
    if (reply->type == REDIS_REPLY_STRING) {
        id = strstr(reply->str, "run_id:");
    }
    if (id != NULL) {
        id += strlen("run_id:");
        length = strcspn(id, "\r\n");
    }
    if (length == 0 || length >= QUEUE_SERVER_ID_BYTES) {
        status = err_set(err, NERO_CORRUPT, 0, "Redis does not tell its run_id");
    } else {
        memcpy(out, id, length);
        out[length] = '\0';
    }
    freeReplyObject(reply);
    return status;
}

/* The text behind "name:" in an answer to INFO. False where it is not there or does not fit. */
static bool info_field(const redisReply *reply, const char *name, char *out, size_t out_bytes)
{
    const char *at = reply->type == REDIS_REPLY_STRING ? strstr(reply->str, name) : NULL;
    size_t length = 0;

    if (at != NULL) {
        at += strlen(name);
        length = strcspn(at, "\r\n");
    }
    if (length == 0 || length >= out_bytes) {
        return false;
    }
    memcpy(out, at, length);
    out[length] = '\0';
    return true;
}

/* Its clock against the middle of the exchange. */
static enum nero_status read_clock(struct queue *queue, int64_t *ahead_ms, struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    const char *argv[] = {"TIME"};
    int64_t asked_ms = clock_wall_ms(clock);
    redisReply *reply;
    enum nero_status status = queue_plain(queue, 1, argv, 0, &reply, err);

    if (status != NERO_OK) {
        return status;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[0]->type != REDIS_REPLY_STRING ||
        reply->element[1]->type != REDIS_REPLY_STRING) {
        status = err_set(err, NERO_CORRUPT, 0, "Redis does not tell its time");
    } else {
        *ahead_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
                    strtoll(reply->element[1]->str, NULL, 10) / 1000 -
                    (asked_ms + (clock_wall_ms(clock) - asked_ms) / 2);
    }
    freeReplyObject(reply);
    return status;
}

enum nero_status queue_server(struct queue *queue, struct queue_server *out, struct nero_err *err)
{
    const char *argv[] = {"INFO"};
    struct queue_server server = {.version_major = 0};
    char append_only[4];
    redisReply *reply;
    enum nero_status status = queue_plain(queue, 1, argv, 0, &reply, err);

    if (status != NERO_OK) {
        return status;
    }
    if (!info_field(reply, "redis_version:", server.version, sizeof server.version)) {
        status = err_set(err, NERO_CORRUPT, 0, "Redis does not tell its version");
    } else {
        server.version_major = (uint32_t)strtoul(server.version, NULL, 10);
        server.append_only = info_field(reply, "aof_enabled:", append_only, sizeof append_only) &&
                             strcmp(append_only, "1") == 0;
    }
    freeReplyObject(reply);
    if (status == NERO_OK) {
        status = read_clock(queue, &server.clock_ahead_ms, err);
    }
    if (status == NERO_OK) {
        *out = server;
    }
    return status;
}

enum nero_status queue_runs(struct queue *queue, queue_each_run_fn *each, void *context,
                            struct nero_err *err)
{
    const char *argv[] = {"SMEMBERS", "n:runs"};
    redisReply *reply;
    enum nero_status status = queue_plain(queue, 2, argv, 0, &reply, err);

    if (status != NERO_OK) {
        return status;
    }
    for (size_t i = 0; status == NERO_OK && i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_STRING) {
            status = each(context, reply->element[i]->str, err);
        }
    }
    freeReplyObject(reply);
    return status;
}

static enum nero_status read_counts(struct queue_reply *reply, struct queue_counts *out,
                                    struct nero_err *err)
{
    uint64_t paused = 0;
    uint64_t *const before[] = {&out->epoch, &out->ready,  &out->delayed, &out->leased,
                                &out->dead,  &out->parked, &out->runners, &paused};
    uint64_t *const after[] = {&out->failed, &out->preempted, &out->lost};
    enum nero_status status = NERO_OK;

    for (size_t i = 0; status == NERO_OK && i < sizeof before / sizeof before[0]; i++) {
        status = queue_reply_u64(reply, before[i], err);
    }
    if (status == NERO_OK) {
        status = queue_reply_i64(reply, &out->redis_ms, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u64(reply, &out->envelope_bytes, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_text(reply, out->leader, sizeof out->leader, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u64(reply, &out->window_bytes, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u32(reply, &out->limit, err);
    }
    for (size_t i = 0; status == NERO_OK && i < sizeof after / sizeof after[0]; i++) {
        status = queue_reply_u64(reply, after[i], err);
    }
    out->paused = paused != 0;
    return status;
}

enum nero_status queue_counts(struct queue *queue, const char *run, struct queue_counts *out,
                              struct nero_err *err)
{
    struct queue_counts counts;
    struct queue_reply reply;
    enum nero_status status = queue_begin(queue, QUEUE_SCRIPT_counts, run, err);

    if (status != NERO_OK) {
        return status;
    }
    memset(&counts, 0, sizeof counts);
    status = queue_run(queue, &reply, err);
    if (status == NERO_OK) {
        status = read_counts(&reply, &counts, err);
    }
    queue_reply_fini(&reply);
    if (status == NERO_OK) {
        *out = counts;
    }
    return status;
}

static enum nero_status read_info(struct queue_reply *reply, struct queue_job_info *out,
                                  struct nero_err *err)
{
    enum nero_status status = queue_reply_text(reply, out->state, sizeof out->state, err);

    if (status == NERO_OK) {
        status = queue_reply_text(reply, out->runner, sizeof out->runner, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_text(reply, out->note, sizeof out->note, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_text(reply, out->reason, sizeof out->reason, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_hex(reply, &out->token, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u64(reply, &out->step, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u64(reply, &out->slot, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u32(reply, &out->failures, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u32(reply, &out->preemptions, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u32(reply, &out->lost_leases, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_i64(reply, &out->lease_left_ms, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_text(reply, out->numeric_class, sizeof out->numeric_class, err);
    }
    return status;
}

enum nero_status queue_job_info(struct queue *queue, const char *run, const struct hash *job,
                                struct queue_job_info *out, struct nero_err *err)
{
    struct queue_job_info info;
    struct queue_reply reply;
    enum nero_status status = queue_begin(queue, QUEUE_SCRIPT_info, run, err);

    if (status != NERO_OK) {
        return status;
    }
    queue_add_hash(queue, job);
    memset(&info, 0, sizeof info);
    status = queue_run(queue, &reply, err);
    if (status == NERO_OK) {
        status = read_info(&reply, &info, err);
    }
    queue_reply_fini(&reply);
    if (status == NERO_OK) {
        *out = info;
    }
    return status;
}

enum nero_status queue_list(struct queue *queue, const char *run, const char *state,
                            uint32_t count_max, queue_each_job_fn *each, void *context,
                            struct nero_err *err)
{
    static const char *const states[] = {"ready", "delayed", "leased", "dead", "parked"};
    struct queue_reply reply;
    struct hash job;
    bool known = false;
    enum nero_status status;

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        known = known || strcmp(state, states[i]) == 0;
    }
    if (!known || count_max == 0) {
        return err_set(err, NERO_INVALID, 0, "list: no state '%s', or none asked for", state);
    }
    status = queue_begin(queue, QUEUE_SCRIPT_list, run, err);
    if (status != NERO_OK) {
        return status;
    }
    queue_add_text(queue, state);
    queue_add_u64(queue, count_max);
    status = queue_run(queue, &reply, err);
    while (status == NERO_OK && queue_reply_left(&reply) > 0) {
        status = queue_reply_hash(&reply, &job, err);
        if (status == NERO_OK) {
            status = each(context, &job, err);
        }
    }
    queue_reply_fini(&reply);
    return status;
}

enum nero_status queue_runners(struct queue *queue, const char *run, queue_each_runner_fn *each,
                               void *context, struct nero_err *err)
{
    struct queue_reply reply;
    struct queue_runner runner;
    char control[16];
    enum nero_status status = queue_begin(queue, QUEUE_SCRIPT_runners, run, err);

    if (status != NERO_OK) {
        return status;
    }
    status = queue_run(queue, &reply, err);
    while (status == NERO_OK && queue_reply_left(&reply) > 0) {
        status = queue_reply_text(&reply, runner.name, sizeof runner.name, err);
        if (status == NERO_OK) {
            status = queue_reply_text(&reply, runner.host, sizeof runner.host, err);
        }
        if (status == NERO_OK) {
            status =
                queue_reply_text(&reply, runner.numeric_class, sizeof runner.numeric_class, err);
        }
        if (status == NERO_OK) {
            status = queue_reply_text(&reply, control, sizeof control, err);
            runner.drained = strcmp(control, "drain") == 0;
        }
        if (status == NERO_OK) {
            status = each(context, &runner, err);
        }
    }
    queue_reply_fini(&reply);
    return status;
}

enum nero_status queue_lanes(struct queue *queue, const char *run, queue_each_lane_fn *each,
                             void *context, struct nero_err *err)
{
    struct queue_reply reply;
    char lane[JOB_CLASS_BYTES];
    uint64_t ready;
    enum nero_status status = queue_begin(queue, QUEUE_SCRIPT_lanes, run, err);

    if (status != NERO_OK) {
        return status;
    }
    status = queue_run(queue, &reply, err);
    while (status == NERO_OK && queue_reply_left(&reply) > 0) {
        status = queue_reply_text(&reply, lane, sizeof lane, err);
        if (status == NERO_OK) {
            status = queue_reply_u64(&reply, &ready, err);
        }
        if (status == NERO_OK) {
            status = each(context, lane, ready, err);
        }
    }
    queue_reply_fini(&reply);
    return status;
}

/* ---- events ---- */

static void copy_text(char *out, size_t out_bytes, const redisReply *from)
{
    size_t bytes = (size_t)from->len < out_bytes ? (size_t)from->len : out_bytes - 1;

    memcpy(out, from->str, bytes);
    out[bytes] = '\0';
}

/* A stream entry is [id, [name, value, ...]]; false when it is not one. */
static bool read_event(const redisReply *entry, struct queue_event *out)
{
    const redisReply *fields;

    memset(out, 0, sizeof *out);
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING ||
        entry->element[1]->type != REDIS_REPLY_ARRAY) {
        return false;
    }
    copy_text(out->id, sizeof out->id, entry->element[0]);
    fields = entry->element[1];
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        const redisReply *name = fields->element[i];
        const redisReply *value = fields->element[i + 1];

        if (name->type != REDIS_REPLY_STRING || value->type != REDIS_REPLY_STRING) {
            return false;
        }
        if (strcmp(name->str, "kind") == 0) {
            copy_text(out->kind, sizeof out->kind, value);
        } else if (strcmp(name->str, "job") == 0) {
            copy_text(out->job, sizeof out->job, value);
        } else if (strcmp(name->str, "runner") == 0) {
            copy_text(out->runner, sizeof out->runner, value);
        } else if (strcmp(name->str, "text") == 0) {
            copy_text(out->text, sizeof out->text, value);
        }
    }
    return true;
}

/* "$" means what comes from now on: two calls of XREAD with it would lose what comes between. */
static enum nero_status resolve_now(struct queue *queue, const char *key, char last_id[40],
                                    struct nero_err *err)
{
    const char *argv[] = {"XREVRANGE", key, "+", "-", "COUNT", "1"};
    struct queue_event event;
    redisReply *reply;
    enum nero_status status = queue_plain(queue, 6, argv, 0, &reply, err);

    if (status != NERO_OK) {
        return status;
    }
    (void)snprintf(last_id, 40, "0");
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
        read_event(reply->element[0], &event)) {
        memcpy(last_id, event.id, sizeof event.id);
    }
    freeReplyObject(reply);
    return NERO_OK;
}

/* [[key, [entry, ...]]] or nil when nothing came. */
static enum nero_status read_events(const redisReply *reply, char last_id[40],
                                    queue_each_event_fn *each, void *context, struct nero_err *err)
{
    const redisReply *entries;
    enum nero_status status = NERO_OK;

    if (reply->type == REDIS_REPLY_NIL) {
        return NERO_OK;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 ||
        reply->element[0]->type != REDIS_REPLY_ARRAY || reply->element[0]->elements != 2 ||
        reply->element[0]->element[1]->type != REDIS_REPLY_ARRAY) {
        return err_set(err, NERO_CORRUPT, 0, "events: the reply is not a list of entries");
    }
    entries = reply->element[0]->element[1];
    for (size_t i = 0; status == NERO_OK && i < entries->elements; i++) {
        struct queue_event event;

        if (!read_event(entries->element[i], &event)) {
            return err_set(err, NERO_CORRUPT, 0, "events: entry %zu is not one", i);
        }
        status = each(context, &event, err);
        if (status == NERO_OK) {
            memcpy(last_id, event.id, sizeof event.id);
        }
    }
    return status;
}

enum nero_status queue_events(struct queue *queue, const char *run, char last_id[40],
                              uint32_t wait_ms, queue_each_event_fn *each, void *context,
                              struct nero_err *err)
{
    char key[QUEUE_KEY_BYTES];
    char wait[16];
    const char *now[] = {"XREAD", "COUNT", "100", "STREAMS", key, last_id};
    const char *later[] = {"XREAD", "COUNT", "100", "BLOCK", wait, "STREAMS", key, last_id};
    redisReply *reply;
    enum nero_status status = queue_key(key, run, "ev", err);

    if (status == NERO_OK && strcmp(last_id, "$") == 0) {
        status = resolve_now(queue, key, last_id, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    (void)snprintf(wait, sizeof wait, "%" PRIu32, wait_ms);
    status = wait_ms == 0 ? queue_plain(queue, 6, now, 0, &reply, err)
                          : queue_plain(queue, 8, later, wait_ms, &reply, err);
    if (status != NERO_OK) {
        return status;
    }
    status = read_events(reply, last_id, each, context, err);
    freeReplyObject(reply);
    return status;
}

/* ---- enrolment ---- */

enum nero_status queue_enrol_push(struct queue *queue, const char *run, struct bytes_view envelope,
                                  struct nero_err *err)
{
    if (envelope.bytes > QUEUE_ENROL_BYTES) {
        return err_set(err, NERO_TOO_BIG, 0, "enrol: a request of %zu bytes, more than %d",
                       envelope.bytes, QUEUE_ENROL_BYTES);
    }
    if (queue_begin(queue, QUEUE_SCRIPT_enrol, run, err) != NERO_OK) {
        return err->status;
    }
    queue_add_view(queue, envelope);
    queue_add_u64(queue, QUEUE_ENROL_MAX);
    return queue_run_plain(queue, err);
}

enum nero_status queue_enrol_take(struct queue *queue, const char *run, struct bytes *out,
                                  struct nero_err *err)
{
    char key[QUEUE_KEY_BYTES];
    const char *argv[] = {"LPOP", key};
    redisReply *reply;
    enum nero_status status = queue_key(key, run, "enrol", err);

    if (status == NERO_OK) {
        status = queue_plain(queue, 2, argv, 0, &reply, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (reply->type == REDIS_REPLY_STRING) {
        status = bytes_append(out, reply->str, (size_t)reply->len, err);
    } else {
        status = err_set(err, NERO_NOT_FOUND, 0, "enrol: nobody waits for a certificate");
    }
    freeReplyObject(reply);
    return status;
}
