/*
 * Amendments in the bucket: amend/<n>, signed by the root key as the run record is, each raises the
 * number of generations that the run is to have. They form a row that begins at 0: every one names
 * the stored bytes of the one before it, the first those of the run record. Nothing else of a run
 * depends on how many generations it is to have, so that an extended run goes on as if it had been
 * submitted with the higher number.
 */
#ifndef NERO_AMENDMENT_H
#define NERO_AMENDMENT_H

#include <stdint.h>

#include "nero/storage.h"
#include "nero/trust.h"

/* The numbers of generations that a run was to have, ascending. The last is in force. */
struct amendment_list {
    uint32_t count;   /* amendments; 1 + count ends */
    uint32_t *ends;   /* ends[0]: the run record's. Owned */
    struct hash last; /* stored bytes of the last amendment, else of the run record */
};
void amendment_list_fini(struct amendment_list *list);
uint32_t amendment_end(const struct amendment_list *list);

/* Only the run record's end. `trust` names the run. */
enum nero_status amendment_list_init(const struct trust *trust, struct amendment_list *out,
                                     struct nero_err *err);

/*
 * Take `stored` as the next of the row. Errors: denied (signature; only where `trust` knows the
 * root key), corrupt (no amendment, of another run or place, or it raises nothing): *list is as
 * before.
 */
enum nero_status amendment_list_add(struct amendment_list *list, const struct trust *trust,
                                    struct bytes_view stored, struct nero_err *err);

/* Read all of a run. Owns: *out on success. Errors: as above, naming the key; the store's. */
enum nero_status amendment_list_read(struct storage *store, const struct trust *trust,
                                     struct amendment_list *out, struct nero_err *err);

/*
 * Sign and write the next of the row: the run is to have `generations`, more than before.
 * Errors: conflict (somebody else extended the run at the same moment).
 */
enum nero_status amendment_put(struct storage *store, const struct trust *trust,
                               const struct amendment_list *list, const struct key_pair *root,
                               uint32_t generations, struct nero_err *err);

#endif
