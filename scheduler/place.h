/*
 * The way back from an object's key to what it is: the inverse of nero/layout.h. A key has a place
 * only in the very spelling that layout.h gives it.
 */
#ifndef NERO_PLACE_H
#define NERO_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/envelope.h"
#include "nero/generation.h"
#include "nero/slot.h"

enum place_kind {
    PLACE_RUN = 1,
    PLACE_AMENDMENT,
    PLACE_EPOCH,
    PLACE_CERTIFICATE,
    PLACE_BATCH,
    PLACE_SPEC,
    PLACE_SLOT,
    PLACE_BLOB,
    PLACE_RESULT,
    PLACE_GENERATION,
    PLACE_COLLECTION,
    PLACE_DATA_BLOB,
    PLACE_DATASET,
    PLACE_INBOX
};

/* What of it is meaningful follows from the kind. */
struct place {
    enum place_kind kind;
    char run[SLOT_RUN_BYTES]; /* all under runs/ */
    uint64_t number;          /* amendment, epoch, batch, slot, generation, collection */
    struct hash hash;         /* spec, slot and result: the job; blobs, data set, inbox */
    struct key_id key;        /* certificate */
    uint32_t lineage;         /* generation */
    enum generation_state state;
};

/* False where the key has no place. */
bool place_of(const char *key, struct place *out);

#endif
