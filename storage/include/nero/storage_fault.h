/*
 * A store that fails when a test says so.
 *
 * Calls to the wrapped store are counted from 1; the plan names which of them fail, how, and
 * whether the operation reached the store before. A sweep over N = 1, 2, ... until a run fires no
 * fault visits every point at which the store can fail.
 */
#ifndef NERO_STORAGE_FAULT_H
#define NERO_STORAGE_FAULT_H

#include "nero/storage.h"

/* Bits of storage_fault_plan.operations. */
enum storage_fault_operation {
    STORAGE_FAULT_PUT = 1,
    STORAGE_FAULT_PUT_IF_ABSENT = 2,
    STORAGE_FAULT_PUT_IF_MATCH = 4,
    STORAGE_FAULT_GET = 8,
    STORAGE_FAULT_HEAD = 16,
    STORAGE_FAULT_LIST = 32,
    STORAGE_FAULT_REMOVE = 64,
    STORAGE_FAULT_REMOVE_MANY = 128,
    STORAGE_FAULT_WRITES = 1 | 2 | 4 | 64 | 128,
    STORAGE_FAULT_ALL = 255
};

enum storage_fault_when {
    STORAGE_FAULT_BEFORE, /* the operation does not reach the store */
    STORAGE_FAULT_AFTER   /* it does, its result is dropped; a definite failure stays as it is */
};

struct storage_fault_plan {
    uint64_t nth;        /* the call that fails, from 1; 0: none */
    bool for_good;       /* that one and all that follow */
    unsigned operations; /* which operations are counted; 0: all */
    const char *key;     /* only calls for it (a list: prefix; many: the first); NULL: all */
    enum storage_fault_when when;
    enum nero_status status; /* what a failing call answers */
};

struct storage_fault; /* the control of one wrapper */

/*
 * Wrap `inner`. Owns: takes `inner` on success (closed with *out); *control is borrowed and lives
 * until *out is closed. Errors: no_memory.
 */
enum nero_status storage_fault_wrap(struct storage *inner, struct storage **out,
                                    struct storage_fault **control, struct nero_err *err);

/* Set a plan and begin to count at 0. A zeroed plan never fails. Thread: any. */
void storage_fault_set(struct storage_fault *control, struct storage_fault_plan plan);

/* Since storage_fault_set: calls that the plan counts, and how many of them it made fail. */
uint64_t storage_fault_calls(struct storage_fault *control);
uint64_t storage_fault_fired(struct storage_fault *control);

#endif
