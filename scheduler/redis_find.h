/* Which Redis belongs to a run, for commands that only look at it or end it. */
#ifndef NERO_REDIS_FIND_H
#define NERO_REDIS_FIND_H

#include "nero/err.h"

enum { REDIS_FIND_URL_BYTES = 1200 };

/*
 * `given`, else the private Redis of a local run of this store if one is up.
 * Errors: unavailable (says what to give).
 */
enum nero_status redis_find(const char *given, const char *run, const char *store_url,
                            char out[REDIS_FIND_URL_BYTES], struct nero_err *err);

#endif
