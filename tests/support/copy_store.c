/*
 * Copies every object of a store into another one, by our own reads and writes.
 *
 *   copy_store FROM_URL TO_URL
 */
#include <inttypes.h>
#include <stdio.h>

#include "nero/storage.h"

enum { COPY_OBJECT_BYTES_MAX = 1 << 30 };

struct copy {
    struct storage *from, *to;
    struct bytes body;
    uint64_t count;
};

static enum nero_status copy_one(void *context, const char *key, uint64_t bytes,
                                 struct nero_err *err)
{
    struct copy *copy = context;
    enum nero_status status;

    bytes_clear(&copy->body);
    status = storage_get(copy->from, key, &copy->body, NULL, err);
    if (status == NERO_OK && copy->body.bytes != bytes) {
        status = err_set(err, NERO_CORRUPT, 0, "%s was listed with %" PRIu64 " bytes and has %zu",
                         key, bytes, copy->body.bytes);
    }
    if (status == NERO_OK) {
        copy->count++;
        status = storage_put(copy->to, key, bytes_as_view(&copy->body), err);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct copy copy = {0};
    struct nero_err err;
    int code = 1;

    if (argc != 3) {
        fprintf(stderr, "usage: copy_store FROM_URL TO_URL\n");
        return 2;
    }
    bytes_init(&copy.body, COPY_OBJECT_BYTES_MAX);
    if (storage_open(argv[1], false, &copy.from, &err) != NERO_OK ||
        storage_open(argv[2], true, &copy.to, &err) != NERO_OK ||
        storage_list_each(copy.from, "", copy_one, &copy, &err) != NERO_OK) {
        fprintf(stderr, "copy_store: %s\n", err.message);
    } else {
        printf("%" PRIu64 " objects\n", copy.count);
        code = 0;
    }
    storage_close(copy.from);
    storage_close(copy.to);
    bytes_fini(&copy.body);
    return code;
}
