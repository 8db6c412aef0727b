/*
 * Stored records as JSON with their fields by name, for `nero-sched show`: enums as numbers, hashes
 * and keys as hex, genotypes as text, nested records expanded. Nothing is verified here.
 */
#ifndef NERO_SHOW_H
#define NERO_SHOW_H

#include "nero/envelope.h"

/* Append the payload of an envelope of this type. Errors: corrupt, version, as decoding it. */
enum nero_status show_payload(enum envelope_type type, struct bytes_view payload,
                              struct bytes *json, struct nero_err *err);

/* Append {"type":...,"key":...,"payload":{...}} of a stored envelope of any type. */
enum nero_status show_envelope(struct bytes_view stored, struct bytes *json, struct nero_err *err);

#endif
