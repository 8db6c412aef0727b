/*
 * Where everything lies in the bucket: the one place that makes object keys. Table in
 * codec/FORMAT.md ("bucket"). A run's name is its prefix, its hash tag in Redis, and part of every
 * signed record.
 *
 *   runs/<run>/run                             run record, signed by the root key
 *   runs/<run>/amend/<nnnnnnnn>                signed amendments (more generations)
 *   runs/<run>/epoch/<nnnnnnnnnn>              who leads; create-only
 *   runs/<run>/keys/<key id>                   runner certificates
 *   runs/<run>/q/<nnnnnnnnnn>                  submission batches, create-only, dense
 *   runs/<run>/spec/<hh>/<job>                 job envelopes
 *   runs/<run>/job/<job>/<nnnnnnnnnn>          chain slots, create-only, never deleted
 *   runs/<run>/job/<job>/m/<token>-<nonce>/<nnnnnnnnnn>   the same in attempt mode: a row an
 * attempt runs/<run>/blob/<hh>/<hash>                checkpoints and weights by content
 *   runs/<run>/result/<hh>/<job>               byte copy of the final slot: an index, no authority
 *   runs/<run>/gen/<lineage>/<nnnnnnnn>/<s>    generation records; s = generation_state_name
 *   runs/<run>/gc/<nnnnnnnn>                   what collection takes: signed records
 *   data/<hh>/<hash>                           data set blobs;  data/set/<id>  their records
 *   inbox/<id>                                 submissions waiting for `serve`
 */
#ifndef NERO_LAYOUT_H
#define NERO_LAYOUT_H

#include <stdint.h>

#include "nero/envelope.h"
#include "nero/slot.h"

enum { LAYOUT_KEY_BYTES = 256 };

/* A run's name: 1 to 63 of [a-z0-9-], starts with a letter or digit. */
enum nero_status layout_check_run(const char *run, struct nero_err *err);

void layout_run(char out[LAYOUT_KEY_BYTES], const char *run);
void layout_run_prefix(char out[LAYOUT_KEY_BYTES], const char *run);
void layout_amend(char out[LAYOUT_KEY_BYTES], const char *run, uint64_t number);
void layout_epoch(char out[LAYOUT_KEY_BYTES], const char *run, uint64_t number);
void layout_certificate(char out[LAYOUT_KEY_BYTES], const char *run, const struct key_id *key);
void layout_batch(char out[LAYOUT_KEY_BYTES], const char *run, uint64_t number);
void layout_spec(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job);
void layout_slot(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job,
                 uint64_t number);
/* Of the row of the attempt (token, nonce); the scheduler's rows have nonce 0. */
void layout_attempt_slot(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job,
                         uint64_t token, uint64_t nonce, uint64_t number);
/* The folder of all rows, with its last '/'. */
void layout_attempts(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job);
void layout_blob(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *blob);
void layout_result(char out[LAYOUT_KEY_BYTES], const char *run, const struct hash *job);
void layout_generation(char out[LAYOUT_KEY_BYTES], const char *run, uint32_t lineage,
                       uint32_t generation, const char *state);
void layout_collection(char out[LAYOUT_KEY_BYTES], const char *run, uint64_t number);
void layout_data_blob(char out[LAYOUT_KEY_BYTES], const struct hash *blob);
void layout_dataset(char out[LAYOUT_KEY_BYTES], const struct hash *id);
void layout_inbox(char out[LAYOUT_KEY_BYTES], const struct hash *id);

#endif
