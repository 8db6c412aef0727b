/*
 * What a store that ignores a part of a request does, done to the request before it reaches one
 * that does not: the part is changed and the request signed anew, with the key of the tests.
 */
#ifndef NERO_TESTS_RESIGN_H
#define NERO_TESTS_RESIGN_H

#include <stdbool.h>

#include "nero/bytes.h"

enum resign_change {
    RESIGN_UNCONDITIONAL, /* without If-Match and If-None-Match */
    RESIGN_LOWER_CASE     /* of the key */
};

/* A whole request, signed by Signature Version 4. False: it is none, or has too many headers. */
bool resign(struct bytes *request, enum resign_change change);

#endif
