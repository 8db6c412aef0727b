/*
 * Goal: any answer's XML is refused with a message or understood whole: what is taken from it is
 * within its bounds, and the same document without its end is never accepted.
 */
#include <string.h>

#include "s3_xml.h"
#include "tests/fuzz/fuzz.h"

static enum nero_status see(void *context, const char *key, uint64_t bytes, struct nero_err *err)
{
    size_t length = strlen(key);
    char *copy = malloc(length + 1);

    (void)context;
    (void)bytes;
    (void)err;
    FUZZ_CHECK(copy != NULL && length < S3_XML_TEXT_MAX + 1);
    memcpy(copy, key, length + 1);
    if (s3_xml_decode_key(copy)) {
        FUZZ_CHECK(strlen(copy) <= length);
    }
    free(copy);
    return NERO_OK;
}

static void check_printable(const char *text, size_t room)
{
    FUZZ_CHECK(memchr(text, 0, room) != NULL);
    for (; *text != 0; text++) {
        FUZZ_CHECK(*text >= 0x20 && *text < 0x7f);
    }
}

static enum nero_status see_row(void *context, const char *const *values, struct nero_err *err)
{
    (void)context;
    (void)err;
    for (int i = 0; i < 3; i++) {
        FUZZ_CHECK(strlen(values[i]) < S3_XML_TEXT_MAX + 1);
    }
    return NERO_OK;
}

/* How many of the kinds of answer `text` passes for. */
static int parse(struct bytes_view text)
{
    static struct s3_xml_page page; /* large */
    char upload_id[S3_XML_UPLOAD_ID_BYTES];
    struct s3_xml_error error;
    struct nero_err err;
    int accepted = 0;

    if (s3_xml_error(text, &error, &err) == NERO_OK) {
        check_printable(error.code, sizeof error.code);
        check_printable(error.message, sizeof error.message);
        check_printable(error.region, sizeof error.region);
        accepted++;
    }
    if (s3_xml_list(text, see, NULL, &page, &err) == NERO_OK) {
        FUZZ_CHECK(memchr(page.token, 0, sizeof page.token) != NULL);
        FUZZ_CHECK(!page.truncated || page.token[0] != 0);
        accepted++;
    }
    if (s3_xml_upload_id(text, upload_id, &err) == NERO_OK) {
        FUZZ_CHECK(memchr(upload_id, 0, sizeof upload_id) != NULL && upload_id[0] != 0);
        accepted++;
    }
    if (s3_xml_completed(text, &err) == NERO_OK) {
        accepted++;
    } else {
        FUZZ_CHECK(err.message[0] != 0);
    }
    accepted += s3_xml_uploads(text, see_row, NULL, &err) == NERO_OK ? 1 : 0;
    accepted += s3_xml_parts(text, see_row, NULL, &err) == NERO_OK ? 1 : 0;
    accepted += s3_xml_deleted(text, see_row, NULL, &err) == NERO_OK ? 1 : 0;
    return accepted;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    int accepted = parse(bytes_view_of(data, bytes));

    FUZZ_CHECK(accepted <= 1);
    if (accepted > 0) {
        while (bytes > 0 && data[bytes - 1] != '>') {
            bytes--;
        }
        FUZZ_CHECK(bytes > 0 && parse(bytes_view_of(data, bytes - 1)) == 0);
    }
    return 0;
}
