/* Taking a job and keeping it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "queue_script.h"

enum { CLAIM_ENVELOPE_MAX = JOB_BYTES_MAX + 1024 };

void queue_claim_init(struct queue_claim *claim)
{
    memset(claim, 0, sizeof *claim);
    bytes_init(&claim->envelope, CLAIM_ENVELOPE_MAX);
}

void queue_claim_fini(struct queue_claim *claim)
{
    bytes_fini(&claim->envelope);
    memset(claim, 0, sizeof *claim);
}

static enum nero_status read_claim(struct queue_reply *reply, struct queue_claim *out,
                                   struct nero_err *err)
{
    struct bytes_view envelope;
    enum nero_status status = queue_reply_hash(reply, &out->job, err);

    if (status == NERO_OK) {
        status = queue_reply_view(reply, &envelope, err);
    }
    if (status == NERO_OK) {
        status = bytes_append(&out->envelope, envelope.data, envelope.bytes, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_hex(reply, &out->token, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u64(reply, &out->slot_hint, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_u32(reply, &out->lease_ms, err);
    }
    if (status == NERO_OK) {
        status = queue_reply_i64(reply, &out->redis_ms, err);
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
    return status;
}

static enum nero_status check_runner(const char *runner, struct nero_err *err)
{
    if (runner[0] == '\0') {
        return err_set(err, NERO_INVALID, 0, "a runner without a name");
    }
    return queue_check_text("runner's name", runner, QUEUE_RUNNER_BYTES - 1, err);
}

enum nero_status queue_claim(struct queue *queue, const char *run, const char *runner,
                             const char *numeric_class, struct queue_claim *out,
                             struct nero_err *err)
{
    return queue_claim_other(queue, run, runner, numeric_class, NULL, 0, out, err);
}

enum nero_status queue_claim_other(struct queue *queue, const char *run, const char *runner,
                                   const char *numeric_class, const struct hash *passed,
                                   uint32_t passed_count, struct queue_claim *out,
                                   struct nero_err *err)
{
    char ids[QUEUE_PASSED_MAX * HASH_HEX_BYTES + 1] = ""; /* a blank where each has its NUL */
    struct queue_claim claim;
    struct queue_reply reply;
    enum nero_status status = check_runner(runner, err);

    if (status == NERO_OK) {
        status = queue_check_text("numeric class", numeric_class, JOB_CLASS_BYTES - 1, err);
    }
    if (status == NERO_OK) {
        status = queue_begin(queue, QUEUE_SCRIPT_claim, run, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    assert(passed_count <= QUEUE_PASSED_MAX);
    for (uint32_t i = 0; i < passed_count; i++) {
        char *id = ids + (size_t)i * HASH_HEX_BYTES;

        hash_to_hex(id, &passed[i]);
        memcpy(id + HASH_HEX_BYTES - 1, " ", 2);
    }
    queue_claim_init(&claim);
    do {
        randombytes_buf(&claim.nonce, sizeof claim.nonce);
    } while (claim.nonce == 0); /* 0 is the scheduler's */
    queue_add_text(queue, runner);
    queue_add_text(queue, numeric_class);
    queue_add_hex(queue, claim.nonce);
    queue_add_text(queue, ids);
    status = queue_run(queue, &reply, err);
    if (status == NERO_OK) {
        status = read_claim(&reply, &claim, err);
    }
    queue_reply_fini(&reply);
    if (status != NERO_OK) {
        queue_claim_fini(&claim);
        return status;
    }
    (void)snprintf(claim.run, sizeof claim.run, "%s", run);
    (void)snprintf(claim.runner, sizeof claim.runner, "%s", runner);
    bytes_fini(&out->envelope);
    *out = claim;
    return NERO_OK;
}

enum nero_status queue_wait(struct queue *queue, const char *run, uint32_t wait_ms,
                            struct nero_err *err)
{
    char key[QUEUE_KEY_BYTES];
    char seconds[32];
    const char *argv[] = {"BLPOP", key, seconds};
    redisReply *reply;
    enum nero_status status = queue_key(key, run, "wake", err);

    if (status != NERO_OK) {
        return status;
    }
    /* 0 would wait for ever. */
    (void)snprintf(seconds, sizeof seconds, "%u.%03u", wait_ms / 1000,
                   wait_ms == 0 ? 1 : wait_ms % 1000);
    status = queue_plain(queue, 3, argv, wait_ms, &reply, err);
    if (status == NERO_OK) {
        freeReplyObject(reply);
    }
    return status;
}

static enum queue_control control_of(const char *word)
{
    if (strcmp(word, "cancel") == 0) {
        return QUEUE_CANCEL;
    }
    if (strcmp(word, "drain") == 0) {
        return QUEUE_DRAIN;
    }
    return strcmp(word, "checkpoint") == 0 ? QUEUE_CHECKPOINT_NOW : QUEUE_CONTINUE;
}

enum nero_status queue_renew(struct queue *queue, const struct queue_claim *claim,
                             const struct queue_beat *beat, enum queue_control *control,
                             struct nero_err *err)
{
    enum { NOTE_BYTES_MAX = 200 };
    struct queue_reply reply;
    char word[16];
    enum nero_status status;

    /* Lua compares them as doubles. */
    if (beat->slot >= UINT64_C(1) << 53 || beat->step >= UINT64_C(1) << 53) {
        return err_set(err, NERO_INVALID, 0, "renew: slot or step is beyond 2^53");
    }
    status = queue_begin_held(queue, QUEUE_SCRIPT_renew, claim, err);
    if (status != NERO_OK) {
        return status;
    }
    queue_add_text(queue, claim->runner);
    queue_add_u64(queue, beat->units);
    queue_add_u64(queue, beat->slot);
    queue_add_u64(queue, beat->step);
    queue_add_cut(queue, beat->note, NOTE_BYTES_MAX);
    status = queue_run(queue, &reply, err);
    if (status == NERO_OK) {
        status = queue_reply_text(&reply, word, sizeof word, err);
    }
    if (status == NERO_OK && control != NULL) {
        *control = control_of(word);
    }
    queue_reply_fini(&reply);
    return status;
}

enum nero_status queue_pin(struct queue *queue, const struct queue_claim *claim,
                           const char *numeric_class, struct nero_err *err)
{
    enum nero_status status =
        queue_check_text("numeric class", numeric_class, JOB_CLASS_BYTES - 1, err);

    if (status == NERO_OK) {
        status = queue_begin_held(queue, QUEUE_SCRIPT_pin, claim, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    queue_add_text(queue, numeric_class);
    return queue_run_plain(queue, err);
}

enum nero_status queue_announce(struct queue *queue, const char *run, const char *runner,
                                const char *host, const char *numeric_class, bool *drained,
                                struct nero_err *err)
{
    struct queue_reply reply;
    char word[16];
    enum nero_status status = check_runner(runner, err);

    if (status == NERO_OK) {
        status = queue_check_text("numeric class", numeric_class, JOB_CLASS_BYTES - 1, err);
    }
    if (status == NERO_OK) {
        status = queue_begin(queue, QUEUE_SCRIPT_announce, run, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    queue_add_text(queue, runner);
    queue_add_cut(queue, host, 127);
    queue_add_text(queue, numeric_class);
    status = queue_run(queue, &reply, err);
    if (status == NERO_OK) {
        status = queue_reply_text(&reply, word, sizeof word, err);
    }
    queue_reply_fini(&reply);
    if (status == NERO_OK && drained != NULL) {
        *drained = control_of(word) == QUEUE_DRAIN;
    }
    return status;
}
