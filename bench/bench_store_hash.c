#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_stats.h"
#include "bench_store.h"
#include "nero/clock.h"
#include "s3_sign.h"

enum { BODY_BYTES = 16 * 1024 * 1024, ROUNDS = 5 };

/* OpenSSL's SHA256 of <openssl/sha.h>, looked up at run time: nothing here is linked with it. */
typedef unsigned char *sha256_fn(const unsigned char *data, size_t bytes, unsigned char *out);

static void hash_ours(void *context, const uint8_t *body)
{
    char text[S3_SIGN_HASH_BYTES];

    (void)context;
    s3_sign_hash(text, bytes_view_of(body, BODY_BYTES));
}

static void hash_theirs(void *context, const uint8_t *body)
{
    sha256_fn *sha256 = *(sha256_fn **)context;
    unsigned char digest[32];

    (void)sha256(body, BODY_BYTES, digest);
}

static double measure(void (*hash)(void *context, const uint8_t *body), void *context,
                      const uint8_t *body)
{
    double seconds[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        int64_t start_ns = clock_mono_ns(clock_system());

        hash(context, body);
        seconds[i] = clock_seconds_since(clock_system(), start_ns);
    }
    return BODY_BYTES * 1e-6 / bench_median(seconds, ROUNDS);
}

static bool has_extensions(void)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[8192];
    bool found = false;

    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        found = (strncmp(line, "flags", 5) == 0 && strstr(line, " sha_ni") != NULL) ||
                (strncmp(line, "Features", 8) == 0 && strstr(line, " sha2") != NULL);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

struct bench_hash bench_hash_measure(void)
{
    struct bench_hash found = {.has_extensions = has_extensions()};
    void *library = dlopen("libcrypto.so.3", RTLD_NOW);
    void *symbol = library != NULL ? dlsym(library, "SHA256") : NULL;
    uint8_t *body = calloc(1, BODY_BYTES);
    sha256_fn *sha256;

    if (body != NULL) {
        memset(body, 1, BODY_BYTES); /* or all of it would be one page of zeroes */
        found.nettle_mb_per_s = measure(hash_ours, NULL, body);
    }
    if (body != NULL && symbol != NULL) {
        memcpy(&sha256, &symbol, sizeof sha256); /* ISO C has no cast from data to code */
        found.libcrypto_mb_per_s = measure(hash_theirs, &sha256, body);
    }
    free(body);
    if (library != NULL) {
        (void)dlclose(library);
    }
    return found;
}
