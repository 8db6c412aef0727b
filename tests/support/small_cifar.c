#include "tests/support/small_cifar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_BYTES = 3073 };

static int load_file(const char *path, uint32_t records, struct bytes_view *out)
{
    size_t bytes = (size_t)records * RECORD_BYTES;
    uint8_t *data = malloc(bytes + 1);
    FILE *file = fopen(path, "rb");
    size_t got = 0;

    if (file != NULL && data != NULL) {
        got = fread(data, 1, bytes + 1, file); /* one more: a longer file is wrong too */
    }
    if (file != NULL) {
        fclose(file);
    }
    if (got != bytes) {
        fprintf(stderr, "%s: %zu bytes of %zu\n", path, got, bytes);
        free(data);
        return -1;
    }
    *out = bytes_view_of(data, bytes);
    return 0;
}

int small_cifar_load(struct dataset *out)
{
    struct dataset dataset = {.channels = 3,
                              .height = 32,
                              .width = 32,
                              .classes = 10,
                              .train_count = 4000,
                              .test_count = 1000};

    if (load_file(NERO_SOURCE_DIR "/data/cifar10-small-train.bin", 4000, &dataset.train) != 0) {
        return -1;
    }
    if (load_file(NERO_SOURCE_DIR "/data/cifar10-small-test.bin", 1000, &dataset.test) != 0) {
        small_cifar_free(&dataset);
        return -1;
    }
    *out = dataset;
    return 0;
}

/* The views are of memory that load_file allocated, read-only for everybody else. */
static void free_view(struct bytes_view *view)
{
    void *data;

    memcpy(&data, &view->data, sizeof(data));
    free(data);
    *view = (struct bytes_view){0};
}

void small_cifar_free(struct dataset *dataset)
{
    free_view(&dataset->train);
    free_view(&dataset->test);
}
