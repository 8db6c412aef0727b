/*
 * Any object of a store for people: what it is, who signed it and whether that holds, and its
 * fields.
 */
#ifndef NERO_SHOW_RECORD_H
#define NERO_SHOW_RECORD_H

#include <stdio.h>

#include "nero/envelope.h"
#include "nero/storage.h"

/*
 * Text, or one JSON object whose "record" holds the fields by name (nero/show.h). root: NULL where
 * the run record's own signature is not to be checked.
 * *sound is false where a signature does not hold.
 * Errors: not_found, invalid (no such kind of object), corrupt, version.
 */
enum nero_status show_record(struct storage *store, const char *key, const struct key_public *root,
                             bool json, FILE *out, bool *sound, struct nero_err *err);

#endif
