/*
 * Goal: whatever lines an answer begins with, what is taken from them is within its bounds and can
 * be put into a header, a message or an address.
 */
#include <string.h>

#include "s3_header.h"
#include "tests/fuzz/fuzz.h"

static void check(const struct s3_http_answer *answer)
{
    size_t etag_bytes = strnlen(answer->etag, sizeof answer->etag);
    size_t region_bytes = strnlen(answer->region, sizeof answer->region);

    FUZZ_CHECK(answer->content_bytes >= -1 && answer->date_ms >= 0);
    FUZZ_CHECK(etag_bytes < sizeof answer->etag && region_bytes < sizeof answer->region);
    for (size_t i = 0; i < etag_bytes; i++) {
        FUZZ_CHECK(answer->etag[i] > ' ' && answer->etag[i] <= '~' && answer->etag[i] != '"');
    }
    for (size_t i = 0; i < region_bytes; i++) {
        FUZZ_CHECK(strchr("abcdefghijklmnopqrstuvwxyz0123456789-", answer->region[i]) != NULL);
    }
    if (answer->has_range) {
        FUZZ_CHECK(answer->range_first <= answer->range_last &&
                   answer->range_last < answer->object_bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct s3_http_answer answer = {.content_bytes = -1};
    size_t begin = 0;

    while (begin < bytes) {
        const uint8_t *end = memchr(data + begin, '\n', bytes - begin);
        size_t line_bytes = end != NULL ? (size_t)(end - data) + 1 - begin : bytes - begin;

        s3_header_take(&answer, (const char *)data + begin, line_bytes);
        check(&answer);
        begin += line_bytes;
    }
    return 0;
}
