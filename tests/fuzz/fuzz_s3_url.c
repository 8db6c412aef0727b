/*
 * Goal: any URL and environment of a store is refused with a message or means a bucket, a prefix
 * and a host that can be put into a request as they are. The input's lines are what follows s3://,
 * the endpoint, the region, the style and the kind of payload.
 */
#include <string.h>

#include "s3_config.h"
#include "tests/fuzz/fuzz.h"

static const char *const names[] = {"s3://", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "NERO_S3_STYLE",
                                    "NERO_S3_PAYLOAD"};

enum { NAMES = sizeof names / sizeof names[0] };

static const char *get(void *context, const char *name)
{
    char **lines = context;

    for (size_t i = 1; i < NAMES; i++) {
        if (strcmp(names[i], name) == 0) {
            return lines[i];
        }
    }
    return NULL;
}

static void check_config(const struct s3_config *config)
{
    struct nero_err err;
    size_t length = strlen(config->prefix);

    FUZZ_CHECK(strlen(config->bucket) >= 3 && strlen(config->bucket) < S3_CONFIG_BUCKET_BYTES);
    FUZZ_CHECK(config->host[0] != 0 && strlen(config->host) < S3_CONFIG_HOST_BYTES);
    for (const char *c = config->host; *c != 0; c++) {
        FUZZ_CHECK(*c > 0x20 && *c < 0x7f && strchr("/?#@%\\\"", *c) == NULL);
    }
    FUZZ_CHECK(strspn(config->region, "abcdefghijklmnopqrstuvwxyz0123456789-") ==
               strlen(config->region));
    FUZZ_CHECK(config->tls || !config->unsigned_payload);
    if (length > 0) {
        char prefix[S3_CONFIG_PREFIX_BYTES];

        memcpy(prefix, config->prefix, length);
        FUZZ_CHECK(prefix[length - 1] == '/');
        prefix[length - 1] = 0;
        FUZZ_CHECK(storage_check_key(prefix, &err) == NERO_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = calloc(1, bytes + 1);
    char *lines[NAMES] = {NULL};
    struct s3_environment environment = {.get = get, .context = lines};
    struct s3_config config;
    struct nero_err err;
    char *at = text;

    FUZZ_CHECK(text != NULL);
    memcpy(text, data, bytes);
    for (size_t i = 0; i < NAMES && at != NULL; i++) {
        char *end = strchr(at, '\n');

        lines[i] = at;
        at = end != NULL ? end + 1 : NULL;
        if (end != NULL) {
            *end = 0;
        }
    }
    if (s3_config_parse("s3://fuzz", lines[0], &environment, &config, &err) == NERO_OK) {
        check_config(&config);
    } else {
        FUZZ_CHECK(err.status == NERO_INVALID && err.message[0] != 0);
    }
    free(text);
    return 0;
}
