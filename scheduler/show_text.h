/* The fields of a stored record as lines for people. */
#ifndef NERO_SHOW_TEXT_H
#define NERO_SHOW_TEXT_H

#include <stdio.h>

#include "place.h"

/* payload: what the envelope holds, or the object. Errors: corrupt, version. */
enum nero_status show_text(enum place_kind kind, struct bytes_view payload, FILE *out,
                           struct nero_err *err);

#endif
