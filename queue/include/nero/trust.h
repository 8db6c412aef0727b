/*
 * Whom to believe in one run: the root key is given, the run record names the run key, certificates
 * in the bucket name runner keys. Certificates are fetched once and kept.
 * Thread: one thread uses a trust.
 */
#ifndef NERO_TRUST_H
#define NERO_TRUST_H

#include "nero/envelope.h"
#include "nero/keys.h"
#include "nero/run.h"
#include "nero/storage.h"

struct trust;

/*
 * Read and verify the run record. root NULL: the record's signature is not checked (the run key is
 * then believed on first use; a runner gets the run key at enrolment instead).
 * Errors: not_found (no such run), denied (signature), corrupt.
 */
enum nero_status trust_open(struct storage *store, const char *run, const struct key_public *root,
                            struct trust **out, struct nero_err *err);
void trust_close(struct trust *trust);

/*
 * For who only judges: a certificate that the store refuses to show is a verdict on what it signed
 * (denied). Elsewhere it is an outage, since a slot taken for forged would be fenced off.
 */
void trust_judge_refusals(struct trust *trust);

/* Borrowed for the trust's life. */
const struct run_record *trust_run(const struct trust *trust);
struct hash trust_run_hash(const struct trust *trust); /* of the stored run record */
const struct key_public *trust_run_key(const struct trust *trust);

/*
 * The newest verdict on the store that a scheduler of the run has recorded. *found false: none has.
 * Errors: those of the store; a record that is not to be believed is passed over.
 */
enum nero_status trust_verdict(struct trust *trust, struct run_verdict *out, bool *found,
                               struct nero_err *err);

/* Payload of an envelope that the run key must have signed. */
enum nero_status trust_open_run_envelope(struct trust *trust, struct bytes_view stored,
                                         enum envelope_type type, struct bytes_view *payload,
                                         struct nero_err *err);

/* Payload of an envelope that the root key must have signed; believed where trust_open got none. */
enum nero_status trust_open_root_envelope(const struct trust *trust, struct bytes_view stored,
                                          enum envelope_type type, struct bytes_view *payload,
                                          struct nero_err *err);

/*
 * Payload of a slot, signed by a certified runner or by the run key (*by_scheduler). A runner's
 * slot must be of its certificate's time, give or take 10 minutes. Errors: denied, corrupt,
 * version: a verdict on the slot; unavailable, timeout, no_memory: it could not be judged.
 */
enum nero_status trust_open_slot(struct trust *trust, struct bytes_view stored,
                                 struct bytes_view *payload, bool *by_scheduler,
                                 struct key_id *signer, struct nero_err *err);

#endif
