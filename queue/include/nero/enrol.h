/*
 * Enrolment: how a runner's fresh key gets a certificate by the run key (DESIGN 5, "Keys").
 *
 * A local runner asks over a socket pair that it inherited: being its child is the proof. A remote
 * one leaves a request in Redis with the HMAC of a join token of its own read from a file, and
 * finds its certificate in the bucket. The request is signed by the new key (it proves possession).
 * On the socket pair a message is a 4-byte little-endian length and that many bytes.
 */
#ifndef NERO_ENROL_H
#define NERO_ENROL_H

#include "nero/keys.h"
#include "nero/queue.h"
#include "nero/storage.h"

enum { ENROL_MESSAGE_BYTES_MAX = 4096, ENROL_LIFETIME_MS_DEFAULT = 24 * 3600 * 1000 };

/* Run named by a request over the socket pair, where the other side tells the run. */
#define ENROL_RUN_TOLD "local"

/* What a runner knows after enrolment. */
struct enrol_grant {
    char run[SLOT_RUN_BYTES];
    struct key_public run_key;
    struct keys_certificate certificate;
};

/* ---- the runner's side ---- */

/* Over the inherited socket; `run` is told by the other side. Waits up to 30 s. The run key is the
 * other side's word. Errors: denied, unavailable (it closed), timeout, corrupt. */
enum nero_status enrol_over_fd(int fd, const char *host, const struct key_pair *key,
                               struct enrol_grant *out, struct nero_err *err);

/* By join token; waits up to timeout_ms for the certificate. The run key is the run record's.
 * Errors: timeout (also a refused token: nobody answers it), denied, not_found (no such run). */
enum nero_status enrol_by_token(struct queue *queue, struct storage *store, const char *run,
                                const uint8_t token[KEYS_TOKEN_BYTES], const char *host,
                                const struct key_pair *key, uint32_t timeout_ms,
                                struct enrol_grant *out, struct nero_err *err);

/* ---- the scheduler's side ---- */

struct enrol_issuer {
    struct storage *store;
    const char *run;
    const struct key_pair *run_key;
    uint64_t epoch;
    int64_t lifetime_ms;
};

/* Answer one request waiting on the socket of a local runner (2 s for all of it to come). A refusal
 * is told to it. Errors: denied, corrupt, unavailable (it died), timeout; of the store. */
enum nero_status enrol_answer_fd(const struct enrol_issuer *issuer, int fd, struct nero_err *err);

/*
 * Take a request from Redis, answer it if it proves one of the tokens; *used gets the token's
 * number and *key (unless NULL) the runner's, or *used is -1. `owners`: whose each token is since
 * it was used first, 0: nobody's yet; it is no good in another's hand. NULL: nobody's, all. Errors:
 * not_found (no request waits); denied (no token fits).
 */
enum nero_status enrol_answer_queue(const struct enrol_issuer *issuer, struct queue *queue,
                                    const uint8_t (*tokens)[KEYS_TOKEN_BYTES],
                                    const struct key_id *owners, uint32_t token_count,
                                    int32_t *used, struct key_id *key, struct nero_err *err);

#endif
