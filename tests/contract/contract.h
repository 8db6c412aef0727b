/*
 * What the parts of the contract suite share: a new, empty store for each test, of the kind that
 * the program's argument names.
 */
#ifndef NERO_TESTS_CONTRACT_H
#define NERO_TESTS_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nero/storage.h"
#include "tests/support/temp_folder.h"

struct contract {
    struct storage *store;
    char folder[TEMP_FOLDER_BYTES]; /* "" unless file: */
    struct nero_err err;
};

extern struct contract contract;

/*
 * mem:, file:///parent, where each test gets a folder of its own, or s3://bucket or
 * s3+libs3://bucket in a gateway of the program's own, where each test gets a prefix.
 */
extern const char *contract_url;

bool contract_is_file(void);
bool contract_is_s3(void); /* through either client */
bool contract_is_libs3(void);

/* Whether the store declares the capability; a test of one that it lacks ends with that. */
bool contract_can(enum storage_capability capability);

/* Run a group of tests on the store that the program's argument names. */
#define CONTRACT_RUN(argc, argv, tests)              \
    (contract_url = (argc) > 1 ? (argv)[1] : "mem:", \
     cmocka_run_group_tests((tests), contract_start, contract_stop))

int contract_start(void **state);
int contract_stop(void **state);
int contract_open(void **state);
int contract_close(void **state);

#define CONTRACT_TEST(name) cmocka_unit_test_setup_teardown(name, contract_open, contract_close)

/* The object is `wanted`, or absent where that is NULL. */
void contract_assert_body(struct storage *store, const char *key, const char *wanted);
enum nero_status contract_put(const char *key, const char *body);
enum nero_status contract_create(const char *key, const char *body);

#endif
