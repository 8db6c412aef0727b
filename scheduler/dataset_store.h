/*
 * Data sets in the store: blobs and records under data/, by content hash, shared by all runs.
 */
#ifndef NERO_DATASET_STORE_H
#define NERO_DATASET_STORE_H

#include "nero/run.h"
#include "nero/storage.h"

/* Read the record of a data set and check that its hash is its id. Errors: not_found, corrupt. */
enum nero_status dataset_store_get(struct storage *store, const struct hash *id,
                                   struct run_dataset *out, struct nero_err *err);

/*
 * Put a data set into the store unless it is there. `train` and `test` are records of CIFAR-10's
 * binary layout; counts are filled from their sizes. Errors: invalid (size, label), store's.
 */
enum nero_status dataset_store_put(struct storage *store, struct run_dataset *dataset,
                                   struct bytes_view train, struct bytes_view test, struct hash *id,
                                   struct nero_err *err);

/* A data set that was found, read and counted; a store may lack it yet. */
struct dataset_found {
    struct hash id;
    struct run_dataset record;
    bool known;         /* all files have the published hashes */
    struct bytes train; /* empty: the store has it */
    struct bytes test;
};

/*
 * Find a data set by what a preset or a user calls it: the id of one that is in the store (64 hex
 * digits), a folder with the official CIFAR-10 binaries (data_batch_1.bin ... test_batch.bin), or
 * the name of a shipped one ("cifar10-small"). Writes nothing.
 * base: folder that relative paths start from. Owns: *found (dataset_found_fini), on success.
 * Errors: invalid (size, label), not_found, store's.
 */
enum nero_status dataset_store_find(struct storage *store, const char *name, const char *base,
                                    struct dataset_found *found, struct nero_err *err);

/* Put what was found into the store, unless it is there. Again: nothing. */
enum nero_status dataset_store_keep(struct storage *store, struct dataset_found *found,
                                    struct nero_err *err);

void dataset_found_fini(struct dataset_found *found);

#endif
