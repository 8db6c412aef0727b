/*
 * Enrolment, both sides. One request and one answer:
 *
 *   runner                                       scheduler
 *   sealed ENVELOPE_ENROL (own new key)    -->   parse, verify by the key inside, run, proof
 *                                          <--   sealed ENVELOPE_CERTIFICATE (run key)
 *
 * Over the socket pair the answer is the run's public key and then the certificate, because a child
 * believes its parent and nobody else; an empty message is a refusal. By token the answer is the
 * object in the bucket alone, and the run key is the one of the run record.
 *
 * The certificate is stored create-only before it is handed out, so that slots signed with the key
 * can be verified from the moment the runner can write one. Asking twice with one key finds the
 * first certificate: a lost answer costs nothing.
 */
#include "nero/enrol.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/layout.h"
#include "nero/trust.h"

enum {
    ENROL_PREFIX_BYTES = 4,
    ENROL_ANSWER_WAIT_MS = 30000, /* a scheduler may be busy with its store */
    ENROL_REQUEST_WAIT_MS = 2000, /* it may not be held up by a child that stopped midway */
    ENROL_POLL_MS = 200,
    ENROL_PUSH_AGAIN_MS = 2000,   /* Redis may have been emptied since */
    ENROL_SKEW_MS = 5 * 60 * 1000 /* by which machines' clocks may differ */
};

/* ---- messages over a socket ---- */

static enum nero_status send_all(int fd, const void *data, size_t bytes, struct nero_err *err)
{
    const uint8_t *at = data;

    while (bytes > 0) {
        ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return err_set(err, NERO_UNAVAILABLE, errno, "send to the other side: %s",
                           strerror(errno));
        }
        at += sent;
        bytes -= (size_t)sent;
    }
    return NERO_OK;
}

static enum nero_status send_message(int fd, struct bytes_view body, struct nero_err *err)
{
    uint8_t prefix[ENROL_PREFIX_BYTES];

    bytes_put_u32le(prefix, (uint32_t)body.bytes);
    if (send_all(fd, prefix, sizeof prefix, err) != NERO_OK) {
        return err->status;
    }
    return send_all(fd, body.data, body.bytes, err);
}

/* Exactly `bytes`, before the clock reaches deadline_ns. */
static enum nero_status receive_all(int fd, uint8_t *out, size_t bytes, int64_t deadline_ns,
                                    struct nero_err *err)
{
    size_t have = 0;

    while (have < bytes) {
        int64_t left_ms = (deadline_ns - clock_mono_ns(clock_system())) / 1000000;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        ssize_t got;
        int ready;

        if (left_ms <= 0) {
            return err_set(err, NERO_TIMEOUT, 0, "%zu of %zu bytes came in time", have, bytes);
        }
        ready = poll(&wait, 1, (int)left_ms);
        if (ready == 0 || (ready < 0 && errno == EINTR)) {
            continue;
        }
        got = ready < 0 ? -1 : recv(fd, out + have, bytes - have, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return err_set(err, NERO_UNAVAILABLE, errno, "receive: %s", strerror(errno));
        }
        if (got == 0) {
            return err_set(err, NERO_UNAVAILABLE, 0, "the other side closed after %zu of %zu bytes",
                           have, bytes);
        }
        have += (size_t)got;
    }
    return NERO_OK;
}

/* Replaces `out`, which may then be empty: a refusal. */
static enum nero_status receive_message(int fd, uint32_t wait_ms, struct bytes *out,
                                        struct nero_err *err)
{
    int64_t deadline_ns = clock_mono_ns(clock_system()) + (int64_t)wait_ms * 1000000;
    uint8_t prefix[ENROL_PREFIX_BYTES];
    uint8_t *room;
    uint32_t bytes;

    bytes_clear(out);
    if (receive_all(fd, prefix, sizeof prefix, deadline_ns, err) != NERO_OK) {
        return err->status;
    }
    bytes = bytes_get_u32le(prefix);
    if (bytes > ENROL_MESSAGE_BYTES_MAX) {
        return err_set(err, NERO_CORRUPT, 0, "a message of %u bytes (at most %d)", bytes,
                       ENROL_MESSAGE_BYTES_MAX);
    }
    if (bytes == 0) {
        return NERO_OK;
    }
    if (bytes_extend(out, bytes, &room, err) != NERO_OK) {
        return err->status;
    }
    return receive_all(fd, room, bytes, deadline_ns, err);
}

/* ---- the runner's side ---- */

/* token NULL: over a socket pair, no proof. */
static enum nero_status make_request(const char *run, const char *host, const struct key_pair *key,
                                     const uint8_t *token, struct bytes *out, struct nero_err *err)
{
    struct keys_enrol enrol = {.key = key->public_key};
    struct bytes payload;
    enum nero_status status;

    (void)snprintf(enrol.run, sizeof enrol.run, "%s", run);
    (void)snprintf(enrol.host, sizeof enrol.host, "%s", host);
    if (token != NULL) {
        keys_enrol_prove(&enrol, token);
    }
    bytes_init(&payload, ENROL_MESSAGE_BYTES_MAX);
    status = keys_enrol_encode(&enrol, &payload, err);
    if (status == NERO_OK) {
        status = envelope_seal(ENVELOPE_ENROL, bytes_as_view(&payload), key, out, err);
    }
    bytes_fini(&payload);
    return status;
}

/* run NULL: whatever the certificate says. Fills out on success only. */
static enum nero_status accept_certificate(struct bytes_view stored,
                                           const struct key_public *run_key, const char *run,
                                           const struct key_pair *key, struct enrol_grant *out,
                                           struct nero_err *err)
{
    int64_t now_ms = clock_wall_ms(clock_system());
    struct enrol_grant grant = {.run_key = *run_key};
    struct bytes_view payload;

    if (envelope_open(stored, ENVELOPE_CERTIFICATE, run_key, &payload, err) != NERO_OK ||
        keys_certificate_decode(payload, &grant.certificate, err) != NERO_OK) {
        err_wrap(err, "certificate");
        err->status = NERO_DENIED;
        return NERO_DENIED;
    }
    if (memcmp(&grant.certificate.key, &key->public_key, sizeof key->public_key) != 0) {
        return err_set(err, NERO_DENIED, 0, "the certificate is for another key");
    }
    if (run != NULL && strcmp(grant.certificate.run, run) != 0) {
        return err_set(err, NERO_DENIED, 0, "the certificate is for run '%s', not '%s'",
                       grant.certificate.run, run);
    }
    if ((grant.certificate.uses & KEYS_USE_SLOTS) == 0) {
        return err_set(err, NERO_DENIED, 0, "the certificate does not allow signing slots");
    }
    if (grant.certificate.not_after_ms <= now_ms) {
        return err_set(err, NERO_DENIED, 0, "the certificate has ended (or this clock is wrong)");
    }
    (void)snprintf(grant.run, sizeof grant.run, "%s", grant.certificate.run);
    *out = grant;
    return NERO_OK;
}

enum nero_status enrol_over_fd(int fd, const char *host, const struct key_pair *key,
                               struct enrol_grant *out, struct nero_err *err)
{
    struct key_public run_key;
    struct bytes message;
    enum nero_status status;

    bytes_init(&message, ENROL_MESSAGE_BYTES_MAX);
    status = make_request(ENROL_RUN_TOLD, host, key, NULL, &message, err);
    if (status == NERO_OK) {
        status = send_message(fd, bytes_as_view(&message), err);
    }
    if (status == NERO_OK) {
        status = receive_message(fd, ENROL_ANSWER_WAIT_MS, &message, err);
    }
    if (status == NERO_OK && message.bytes == 0) {
        status = err_set(err, NERO_DENIED, 0, "the scheduler refused");
    } else if (status == NERO_OK && message.bytes <= sizeof run_key) {
        status = err_set(err, NERO_CORRUPT, 0, "an answer of %zu bytes", message.bytes);
    }
    if (status == NERO_OK) {
        memcpy(&run_key, message.data, sizeof run_key);
        status = accept_certificate(
            bytes_view_of(message.data + sizeof run_key, message.bytes - sizeof run_key), &run_key,
            NULL, key, out, err);
    }
    bytes_fini(&message);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "enrol over the inherited socket");
}

static enum nero_status run_key_of(struct storage *store, const char *run, struct key_public *out,
                                   struct nero_err *err)
{
    struct trust *trust;

    if (trust_open(store, run, NULL, &trust, err) != NERO_OK) {
        return err->status;
    }
    *out = *trust_run_key(trust);
    trust_close(trust);
    return NERO_OK;
}

/* Wait for the object; the request is pushed again now and then, for Redis may lose it. */
static enum nero_status await_certificate(struct queue *queue, struct storage *store,
                                          const char *run, struct bytes_view request,
                                          const struct key_id *id, uint32_t timeout_ms,
                                          struct bytes *out, struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    int64_t start_ns = clock_mono_ns(clock);
    int64_t pushed_ns = start_ns;
    char object[LAYOUT_KEY_BYTES];

    layout_certificate(object, run, id);
    for (;;) {
        enum nero_status status = storage_get(store, object, out, NULL, err);
        int64_t now_ns = clock_mono_ns(clock);

        if (status == NERO_OK || (status != NERO_NOT_FOUND && !err_is_retryable(status))) {
            return status;
        }
        if (now_ns - start_ns >= (int64_t)timeout_ms * 1000000) {
            return err_set(err, NERO_TIMEOUT, 0,
                           "no certificate in %u ms: is the scheduler running, and the join token "
                           "one that it knows and that nobody has used?",
                           timeout_ms);
        }
        if (now_ns - pushed_ns >= (int64_t)ENROL_PUSH_AGAIN_MS * 1000000) {
            struct nero_err ignored;

            (void)queue_enrol_push(queue, run, request, &ignored);
            pushed_ns = now_ns;
        }
        clock_sleep_ms(clock, ENROL_POLL_MS);
    }
}

enum nero_status enrol_by_token(struct queue *queue, struct storage *store, const char *run,
                                const uint8_t token[KEYS_TOKEN_BYTES], const char *host,
                                const struct key_pair *key, uint32_t timeout_ms,
                                struct enrol_grant *out, struct nero_err *err)
{
    struct key_public run_key;
    char object[LAYOUT_KEY_BYTES];
    struct bytes request;
    struct bytes stored;
    enum nero_status status;

    bytes_init(&request, ENROL_MESSAGE_BYTES_MAX);
    bytes_init(&stored, ENROL_MESSAGE_BYTES_MAX);
    status = run_key_of(store, run, &run_key, err);
    if (status == NERO_OK) {
        status = make_request(run, host, key, token, &request, err);
    }
    if (status == NERO_OK) {
        layout_certificate(object, run, &key->id); /* a former request was answered late */
        status = storage_get(store, object, &stored, NULL, err);
        if (status == NERO_NOT_FOUND) {
            status = queue_enrol_push(queue, run, bytes_as_view(&request), err);
        }
    }
    if (status == NERO_OK && stored.bytes == 0) {
        status = await_certificate(queue, store, run, bytes_as_view(&request), &key->id, timeout_ms,
                                   &stored, err);
    }
    if (status == NERO_OK) {
        status = accept_certificate(bytes_as_view(&stored), &run_key, run, key, out, err);
    }
    bytes_fini(&stored);
    bytes_fini(&request);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "enrol in run %s by token", run);
}

/* ---- the scheduler's side ---- */

/* Parse and check possession: the envelope is signed by the very key that it asks for. */
static enum nero_status read_request(struct bytes_view stored, struct keys_enrol *out,
                                     struct nero_err *err)
{
    struct envelope envelope;
    struct key_id id;

    if (envelope_parse(stored, ENVELOPE_ENROL, &envelope, err) != NERO_OK ||
        keys_enrol_decode(envelope.payload, out, err) != NERO_OK) {
        return err->status;
    }
    id = key_id_of(&out->key);
    if (memcmp(&id, &envelope.key, sizeof id) != 0) {
        return err_set(err, NERO_DENIED, 0, "the request names another key than its signer");
    }
    return envelope_verify(&envelope, &out->key, err);
}

/* The certificate that is there already for this key, if the run key signed it. */
static enum nero_status read_issued(const struct enrol_issuer *issuer, const char *object,
                                    struct bytes *out, struct nero_err *err)
{
    struct bytes_view payload;

    bytes_clear(out);
    if (storage_get(issuer->store, object, out, NULL, err) != NERO_OK) {
        return err->status;
    }
    return envelope_open(bytes_as_view(out), ENVELOPE_CERTIFICATE, &issuer->run_key->public_key,
                         &payload, err);
}

static enum nero_status issue(const struct enrol_issuer *issuer, const struct keys_enrol *enrol,
                              struct bytes *out, struct nero_err *err)
{
    int64_t now_ms = clock_wall_ms(clock_system());
    struct keys_certificate certificate = {
        .key = enrol->key,
        .uses = KEYS_USE_SLOTS,
        .epoch = issuer->epoch,
        .not_before_ms = now_ms - ENROL_SKEW_MS,
        .not_after_ms = now_ms + issuer->lifetime_ms,
    };
    struct key_id id = key_id_of(&enrol->key);
    char object[LAYOUT_KEY_BYTES];
    struct bytes payload;
    enum nero_status status;

    (void)snprintf(certificate.run, sizeof certificate.run, "%s", issuer->run);
    (void)snprintf(certificate.host, sizeof certificate.host, "%s", enrol->host);
    bytes_init(&payload, ENROL_MESSAGE_BYTES_MAX);
    bytes_clear(out);
    status = keys_certificate_encode(&certificate, &payload, err);
    if (status == NERO_OK) {
        status =
            envelope_seal(ENVELOPE_CERTIFICATE, bytes_as_view(&payload), issuer->run_key, out, err);
    }
    bytes_fini(&payload);
    if (status != NERO_OK) {
        return status;
    }
    layout_certificate(object, issuer->run, &id);
    status = storage_create_once(issuer->store, object, bytes_as_view(out), err);
    return status == NERO_EXISTS ? read_issued(issuer, object, out, err) : status;
}

static enum nero_status send_grant(const struct enrol_issuer *issuer, int fd,
                                   struct bytes_view certificate, struct nero_err *err)
{
    struct bytes answer;
    enum nero_status status;

    bytes_init(&answer, ENROL_MESSAGE_BYTES_MAX);
    status = bytes_append(&answer, &issuer->run_key->public_key, KEY_PUBLIC_BYTES, err);
    if (status == NERO_OK) {
        status = bytes_append(&answer, certificate.data, certificate.bytes, err);
    }
    if (status == NERO_OK) {
        status = send_message(fd, bytes_as_view(&answer), err);
    }
    bytes_fini(&answer);
    return status;
}

enum nero_status enrol_answer_fd(const struct enrol_issuer *issuer, int fd, struct nero_err *err)
{
    struct keys_enrol enrol;
    struct bytes message;
    enum nero_status status;

    bytes_init(&message, ENROL_MESSAGE_BYTES_MAX);
    status = receive_message(fd, ENROL_REQUEST_WAIT_MS, &message, err);
    if (status == NERO_OK) {
        status = read_request(bytes_as_view(&message), &enrol, err);
        if (status == NERO_OK && strcmp(enrol.run, ENROL_RUN_TOLD) != 0 &&
            strcmp(enrol.run, issuer->run) != 0) {
            status = err_set(err, NERO_DENIED, 0, "a request for run '%s'", enrol.run);
        }
        if (status == NERO_OK) {
            status = issue(issuer, &enrol, &message, err);
        }
        if (status == NERO_OK) {
            status = send_grant(issuer, fd, bytes_as_view(&message), err);
        } else {
            struct nero_err ignored;

            (void)send_message(fd, bytes_view_of(NULL, 0), &ignored);
        }
    }
    bytes_fini(&message);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "answer a local runner's enrolment");
}

static bool may_use(const struct key_id *owner, const struct key_id *key)
{
    static const struct key_id nobody;

    return memcmp(owner, &nobody, sizeof nobody) == 0 || memcmp(owner, key, sizeof *key) == 0;
}

static int32_t token_that_proves(const struct keys_enrol *enrol,
                                 const uint8_t (*tokens)[KEYS_TOKEN_BYTES],
                                 const struct key_id *owners, uint32_t token_count)
{
    struct key_id key = key_id_of(&enrol->key);

    for (uint32_t i = 0; i < token_count; i++) {
        if ((owners == NULL || may_use(&owners[i], &key)) && keys_enrol_proves(enrol, tokens[i])) {
            return (int32_t)i;
        }
    }
    return -1;
}

enum nero_status enrol_answer_queue(const struct enrol_issuer *issuer, struct queue *queue,
                                    const uint8_t (*tokens)[KEYS_TOKEN_BYTES],
                                    const struct key_id *owners, uint32_t token_count,
                                    int32_t *used, struct key_id *key, struct nero_err *err)
{
    struct keys_enrol enrol;
    struct bytes message;
    int32_t proved = -1;
    enum nero_status status;

    *used = -1;
    bytes_init(&message, ENROL_MESSAGE_BYTES_MAX);
    status = queue_enrol_take(queue, issuer->run, &message, err);
    if (status != NERO_OK) {
        bytes_fini(&message);
        return status;
    }
    status = read_request(bytes_as_view(&message), &enrol, err);
    if (status == NERO_OK && strcmp(enrol.run, issuer->run) != 0) {
        status = err_set(err, NERO_DENIED, 0, "a request for run '%s'", enrol.run);
    }
    if (status == NERO_OK) {
        proved = token_that_proves(&enrol, tokens, owners, token_count);
        if (proved < 0) {
            status =
                err_set(err, NERO_DENIED, 0,
                        "the request of host '%s' proves no join token that is left", enrol.host);
        }
    }
    if (status == NERO_OK) {
        status = issue(issuer, &enrol, &message, err);
    }
    if (status == NERO_OK) {
        *used = proved;
        if (key != NULL) {
            *key = key_id_of(&enrol.key);
        }
    }
    bytes_fini(&message);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "answer an enrolment in %s", issuer->run);
}
