/*
 * Goal: any credentials file, config file or document of a metadata service is refused with a
 * message, or gives texts that end within their bounds and that a header may hold.
 */
#include <string.h>

#include "s3_metadata.h"
#include "s3_profile.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const char *text, size_t room)
{
    FUZZ_CHECK(memchr(text, 0, room) != NULL);
    for (; *text != 0; text++) {
        FUZZ_CHECK((unsigned char)*text > 0x20 && (unsigned char)*text < 0x7f);
    }
}

static void check_credentials(const struct s3_credentials *credentials)
{
    check_text(credentials->access_key, sizeof credentials->access_key);
    check_text(credentials->secret_key, sizeof credentials->secret_key);
    check_text(credentials->token, sizeof credentials->token);
}

static void parse_file(struct bytes_view text, const char *section, bool is_config)
{
    static struct s3_profile profile; /* large */
    struct nero_err err;

    memset(&profile, 0, sizeof profile);
    if (s3_profile_parse("fuzz", text, section, is_config, &profile, &err) == NERO_OK) {
        check_credentials(&profile.credentials);
        FUZZ_CHECK(memchr(profile.region, 0, sizeof profile.region) != NULL);
        FUZZ_CHECK(memchr(profile.unsupported, 0, sizeof profile.unsupported) != NULL);
        FUZZ_CHECK(profile.found || profile.credentials.access_key[0] == 0);
    } else {
        FUZZ_CHECK(err.status == NERO_INVALID && strstr(err.message, "fuzz") != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct s3_credentials credentials; /* large */
    struct bytes_view text = bytes_view_of(data, bytes);
    struct nero_err err;

    parse_file(text, "default", false);
    parse_file(text, "default", true);
    parse_file(text, "work", true);
    memset(&credentials, 0, sizeof credentials);
    if (s3_metadata_parse(text, &credentials, &err) == NERO_OK) {
        check_credentials(&credentials);
        FUZZ_CHECK(credentials.access_key[0] != 0 && credentials.secret_key[0] != 0);
    } else {
        FUZZ_CHECK(err.status == NERO_CORRUPT || err.status == NERO_DENIED);
    }
    return 0;
}
