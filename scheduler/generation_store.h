/*
 * Generation records in the bucket: written once, read with their signature checked.
 */
#ifndef NERO_GENERATION_STORE_H
#define NERO_GENERATION_STORE_H

#include "nero/generation.h"
#include "nero/run.h"
#include "nero/storage.h"
#include "nero/trust.h"

/* A record as read; the generation's views point into `stored`. */
struct generation_stored {
    struct bytes stored;
    struct hash hash; /* of the stored bytes */
    struct generation generation;
};
void generation_stored_fini(struct generation_stored *stored);

/*
 * Sign and write; the same bytes already there: ok. Other bytes: corrupt, since the record is a
 * pure function of what is stored before it.
 */
enum nero_status generation_store_put(struct storage *store, const struct key_pair *run_key,
                                      const struct generation *generation, struct hash *hash,
                                      struct nero_err *err);

/* Owns: *out on success. Errors: not_found, denied, corrupt (also: it lies in another's place). */
enum nero_status generation_store_get(struct storage *store, struct trust *trust, const char *run,
                                      uint32_t lineage, uint32_t number,
                                      enum generation_state state, struct generation_stored *out,
                                      struct nero_err *err);

#endif
