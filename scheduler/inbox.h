/*
 * The inbox of a store: submissions that wait for `serve`. A request is a run record without keys,
 * signed by the root key; serve makes the run of it and removes the request.
 */
#ifndef NERO_INBOX_H
#define NERO_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/envelope.h"
#include "nero/run.h"
#include "nero/storage.h"

/* Leave a request. record: all but run_key and created_ms. */
enum nero_status inbox_put(struct storage *store, const struct run_record *record,
                           const struct key_pair *root, struct nero_err *err);

/*
 * Make runs of all requests that wait. A request that cannot become a run (bad signature, name
 * taken) is logged and removed. *made counts the new runs.
 */
enum nero_status inbox_take(struct storage *store, const struct key_pair *root, uint32_t *made,
                            struct nero_err *err);

/* Does a request for a run of this name wait? What cannot be read does not count. */
bool inbox_holds(struct storage *store, const char *run);

#endif
