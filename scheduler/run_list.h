/* The names of the runs of a store. */
#ifndef NERO_RUN_LIST_H
#define NERO_RUN_LIST_H

#include <stdint.h>

#include "nero/slot.h"
#include "nero/storage.h"

enum { RUN_LIST_MAX = 10000 };

struct run_list {
    uint32_t count;
    char (*names)[SLOT_RUN_BYTES]; /* ascending; owned */
};

/* Finds each run by one listing of one key, whatever its number of objects. */
enum nero_status run_list_read(struct storage *store, struct run_list *out, struct nero_err *err);
void run_list_fini(struct run_list *list);

#endif
