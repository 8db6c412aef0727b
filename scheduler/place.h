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
#include "nero/layout.h"
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
    bool in_row;              /* slot: of an attempt's row, which is named by */
    uint64_t token;
    uint64_t nonce;
    struct hash hash;  /* spec, slot and result: the job; blobs, data set, inbox */
    struct key_id key; /* certificate */
    uint32_t lineage;  /* generation */
    enum generation_state state;
};

/* False where the key has no place. */
bool place_of(const char *key, struct place *out);

/* The key of slot `number` beside the slot `place`. */
void place_slot_key(const struct place *place, uint64_t number, char out[LAYOUT_KEY_BYTES]);

#endif
