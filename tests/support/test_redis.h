/*
 * A real redis-server of a test program's own, on a Unix socket in a temporary folder.
 */
#ifndef NERO_TESTS_TEST_REDIS_H
#define NERO_TESTS_TEST_REDIS_H

#include "nero/redis_child.h"
#include "temp_folder.h"

struct test_redis {
    char folder[TEMP_FOLDER_BYTES];
    struct redis_child *child;
};

/* Ends the program with 77 (skipped) where no redis-server is installed, with 1 on a failure. */
void test_redis_start(struct test_redis *redis);
void test_redis_stop(struct test_redis *redis);

#endif
