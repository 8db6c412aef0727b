#include "test_redis.h"

#include <stdio.h>
#include <stdlib.h>

void test_redis_start(struct test_redis *redis)
{
    struct nero_err err;
    enum nero_status status;

    if (temp_folder_make(redis->folder, NULL) != 0) {
        perror("make a temporary folder");
        exit(1);
    }
    status = redis_child_start(redis->folder, &redis->child, &err);
    if (status != NERO_OK) {
        fprintf(stderr, "%s\n", err.message);
        temp_folder_remove(redis->folder);
        exit(status == NERO_NOT_FOUND ? 77 : 1);
    }
}

void test_redis_stop(struct test_redis *redis)
{
    redis_child_stop(redis->child);
    temp_folder_remove(redis->folder);
}
