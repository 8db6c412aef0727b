/*
 * Drives a libFuzzer entry point without libFuzzer, so that gcc builds fuzz as well: every file of
 * the corpus folders is replayed, then mutations of them are tried for some seconds. The seed is
 * printed; with the same seed and count of inputs a run repeats itself.
 *
 *   fuzz_NAME [--seconds N] [--seed N] FOLDER|FILE ...
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/clock.h"
#include "nero/mem.h"
#include "nero/rng.h"
#include "tests/fuzz/fuzz.h"

enum { INPUTS_MAX = 1024, INPUT_BYTES_MAX = 1 << 20 };

struct input {
    uint8_t *data;
    size_t bytes;
};

static struct input inputs[INPUTS_MAX];
static size_t input_count;

static void input_add(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(INPUT_BYTES_MAX);

    if (file == NULL || data == NULL) {
        perror(path);
        exit(2);
    }
    if (input_count < INPUTS_MAX) {
        inputs[input_count++] =
            (struct input){.data = data, .bytes = fread(data, 1, INPUT_BYTES_MAX, file)};
    } else {
        free(data);
    }
    (void)fclose(file);
}

static void inputs_add(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;

    if (folder == NULL) {
        input_add(path);
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        char name[1024];

        if (entry->d_name[0] != '.') {
            (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            input_add(name);
        }
    }
    (void)closedir(folder);
}

/* The target sees memory of exactly the right size, so that a sanitizer sees a step beyond it. */
static void run_once(const uint8_t *data, size_t bytes)
{
    uint8_t *copy = malloc(bytes > 0 ? bytes : 1);

    if (copy == NULL) {
        exit(2);
    }
    memcpy(copy, data, bytes);
    (void)LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
}

/* One edit of `data`, which has room for INPUT_BYTES_MAX. Returns the new length. */
static size_t mutate(struct rng_stream *stream, uint8_t *data, size_t bytes)
{
    static const uint8_t telling[] = {0x00, 0x7f, 0x80, 0x90, 0xa0, 0xc0, 0xc4, 0xca, 0xcb,
                                      0xcc, 0xcf, 0xd3, 0xd9, 0xdc, 0xdd, 0xdf, 0xe0, 0xff};
    size_t at = bytes > 0 ? (size_t)rng_below(stream, bytes) : 0;
    size_t length = 1 + (size_t)rng_below(stream, 16);
    const struct input *other = &inputs[rng_below(stream, input_count)];

    switch (rng_below(stream, 6)) {
    case 0: /* flip a bit */
        if (bytes > 0) {
            data[at] ^= (uint8_t)(1u << rng_below(stream, 8));
        }
        return bytes;
    case 1: /* a byte that means something */
        if (bytes > 0) {
            data[at] = telling[rng_below(stream, sizeof telling)];
        }
        return bytes;
    case 2: /* cut */
        length = length < bytes - at ? length : bytes - at;
        memmove(data + at, data + at + length, bytes - at - length);
        return bytes - length;
    case 3: /* insert random bytes */
        if (bytes + length > INPUT_BYTES_MAX) {
            return bytes;
        }
        memmove(data + at + length, data + at, bytes - at);
        for (size_t i = 0; i < length; i++) {
            data[at + i] = (uint8_t)rng_below(stream, 256);
        }
        return bytes + length;
    case 4: /* truncate */
        return at;
    default: /* the rest of another input */
        if (at < other->bytes) {
            memcpy(data + at, other->data + at, other->bytes - at);
            return other->bytes;
        }
        return bytes;
    }
}

static void mutate_for(double seconds, uint64_t seed)
{
    static uint8_t data[INPUT_BYTES_MAX];
    const struct clock_source *clock = clock_system();
    int64_t start = clock_mono_ns(clock);
    uint32_t tried = 0;

    while (input_count > 0 && clock_seconds_since(clock, start) < seconds) {
        struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, tried, 0);
        const struct input *from = &inputs[rng_below(&stream, input_count)];
        size_t bytes = from->bytes;
        uint64_t edits = 1 + rng_below(&stream, 4);

        memcpy(data, from->data, bytes);
        for (uint64_t i = 0; i < edits; i++) {
            bytes = mutate(&stream, data, bytes);
        }
        run_once(data, bytes);
        tried++;
    }
    (void)printf("%zu inputs replayed, %u mutations tried, seed %llu\n", input_count, tried,
                 (unsigned long long)seed);
}

int main(int argc, char **argv)
{
    double seconds = 5.0;
    uint64_t seed = 1;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
            seconds = strtod(argv[++i], NULL);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else {
            inputs_add(argv[i]);
        }
    }
    if (input_count == 0) {
        (void)fprintf(stderr, "no corpus: name a folder or a file\n");
        return 2;
    }
    for (size_t i = 0; i < input_count; i++) {
        run_once(inputs[i].data, inputs[i].bytes);
    }
    mutate_for(seconds, seed);
    for (size_t i = 0; i < input_count; i++) {
        free(inputs[i].data);
    }
    return 0;
}
