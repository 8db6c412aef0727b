/*
 * Goal: an answer's XML is understood whole or refused. Method: tables of good and bad documents;
 * every prefix of a good one; every failed allocation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/mem.h"
#include "s3_xml.h"

#define LIST(inner)                                                              \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"                               \
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" inner \
    "</ListBucketResult>"
#define KEY(key, size)                                                                  \
    "<Contents><Key>" key "</Key><LastModified>2026-11-23T05:41:33.000Z</LastModified>" \
    "<ETag>&quot;e&quot;</ETag><Size>" size "</Size><Owner><ID>i</ID></Owner></Contents>"
#define DONE "<IsTruncated>false</IsTruncated>"

struct seen {
    char text[512];
};

static enum nero_status see(void *context, const char *key, uint64_t bytes, struct nero_err *err)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);

    (void)err;
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%s:%llu;", key,
                   (unsigned long long)bytes);
    return NERO_OK;
}

static enum nero_status parse_list(const char *text, size_t bytes, struct seen *seen,
                                   struct s3_xml_page *page)
{
    struct nero_err err;

    *seen = (struct seen){0};
    return s3_xml_list(bytes_view_of(text, bytes), see, seen, page, &err);
}

static void test_s3_xml__lists(void **state)
{
    static const struct {
        const char *text;
        const char *seen;
        bool truncated;
        bool encoded;
        const char *token;
    } good[] = {
        {LIST(DONE), "", false, false, ""},
        {LIST(DONE KEY("a/b", "0") KEY("c", "18446744073709551615")),
         "a/b:0;c:18446744073709551615;", false, false, ""},
        {LIST("<Unknown><Key>x</Key><Deep><Deeper/></Deep></Unknown>" KEY("k", "1") DONE), "k:1;",
         false, false, ""},
        {LIST("<EncodingType>url</EncodingType>" KEY("a%2Fb", "1") DONE), "a%2Fb:1;", false, true,
         ""},
        {LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>1/t&amp;=</"
              "NextContinuationToken>" KEY("&lt;&#65;", "7")),
         "<A:7;", true, false, "1/t&="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct s3_xml_page page;
        struct seen seen;

        assert_int_equal(parse_list(good[i].text, strlen(good[i].text), &seen, &page), NERO_OK);
        assert_string_equal(seen.text, good[i].seen);
        assert_int_equal(page.truncated, good[i].truncated);
        assert_int_equal(page.encoded, good[i].encoded);
        assert_string_equal(page.token, good[i].token);
        for (size_t cut = 0; cut < strlen(good[i].text); cut++) {
            assert_int_equal(parse_list(good[i].text, cut, &seen, &page), NERO_CORRUPT);
        }
    }
}

static void test_s3_xml__bad_lists_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "hello",
        "<html><body>503</body></html>",
        "<Error><Code>SlowDown</Code></Error>",
        LIST(""), /* nobody says whether it is all */
        LIST("<IsTruncated>maybe</IsTruncated>"),
        LIST("<IsTruncated>true</IsTruncated>"), /* and no token */
        LIST(DONE DONE),
        LIST(DONE "<Contents><Key>k</Key></Contents>"),   /* no size */
        LIST(DONE "<Contents><Size>1</Size></Contents>"), /* no key */
        LIST(DONE "<Contents><Key>a</Key><Key>b</Key><Size>1</Size></Contents>"),
        LIST(DONE "<Contents><Key>a</Key><Size>1</Size><Size>2</Size></Contents>"),
        LIST(DONE KEY("k", "-1")),
        LIST(DONE KEY("k", " 1")),
        LIST(DONE KEY("k", "1x")),
        LIST(DONE KEY("k", "18446744073709551616")),
        LIST(DONE KEY("k", "")),
        LIST(DONE) "<More/>",
        LIST(DONE) "trailing",
        "<!DOCTYPE a [<!ENTITY b \"c\">]>" LIST(DONE),
        LIST(DONE "<a><b><c><d><e><f><g><h/></g></f></e></d></c></b></a>"),
        LIST(DONE KEY("\xff", "1")),
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct s3_xml_page page = {.truncated = true, .token = "as it was"};
        struct seen seen;

        if (parse_list(bad[i], strlen(bad[i]), &seen, &page) != NERO_CORRUPT) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_string_equal(page.token, "as it was");
    }
}

static void test_s3_xml__bounds(void **state)
{
    enum { BYTES = 3 * S3_XML_ELEMENTS_MAX * 4 + 1000 };
    char *text = malloc(BYTES);
    struct s3_xml_page page;
    struct seen seen;
    size_t used;

    (void)state;
    used = (size_t)snprintf(text, BYTES, "<ListBucketResult><Contents><Key>");
    memset(text + used, 'k', S3_XML_TEXT_MAX + 1);
    used += S3_XML_TEXT_MAX + 1;
    used += (size_t)snprintf(text + used, BYTES - used,
                             "</Key><Size>1</Size></Contents>" DONE "</ListBucketResult>");
    assert_int_equal(parse_list(text, used, &seen, &page), NERO_CORRUPT);
    used = (size_t)snprintf(text, BYTES, "<ListBucketResult>" DONE);
    for (size_t i = 0; i < S3_XML_ELEMENTS_MAX; i++) {
        memcpy(text + used, "<a/>", 4);
        used += 4;
    }
    used += (size_t)snprintf(text + used, BYTES - used, "</ListBucketResult>");
    assert_int_equal(parse_list(text, used, &seen, &page), NERO_CORRUPT);
    free(text);
}

static void test_s3_xml__errors(void **state)
{
    struct s3_xml_error error;
    struct nero_err err;

    (void)state;
    assert_int_equal(s3_xml_error(bytes_view_str("<Error><Code>PermanentRedirect</Code><Message>go "
                                                 "\n\xc3\xa4 there</Message><Region>eu-west-1"
                                                 "</Region></Error>"),
                                  &error, &err),
                     NERO_OK);
    assert_string_equal(error.code, "PermanentRedirect");
    assert_string_equal(error.message, "go ??? there"); /* of a log line */
    assert_string_equal(error.region, "eu-west-1");
    assert_int_equal(
        s3_xml_error(bytes_view_str("<Error><Message>m</Message></Error>"), &error, &err),
        NERO_CORRUPT);
    assert_int_equal(s3_xml_error(bytes_view_str("<Error><Code>A</Code>"), &error, &err),
                     NERO_CORRUPT);
}

static void test_s3_xml__uploads(void **state)
{
    static const char begun[] = "<InitiateMultipartUploadResult><Bucket>b</Bucket><UploadId>2~x/+="
                                "</UploadId></InitiateMultipartUploadResult>";
    char id[S3_XML_UPLOAD_ID_BYTES];
    struct nero_err err;

    (void)state;
    assert_int_equal(s3_xml_upload_id(bytes_view_str(begun), id, &err), NERO_OK);
    assert_string_equal(id, "2~x/+=");
    assert_int_equal(s3_xml_upload_id(bytes_view_str("<InitiateMultipartUploadResult/>"), id, &err),
                     NERO_CORRUPT);
    assert_int_equal(s3_xml_completed(bytes_view_str("<CompleteMultipartUploadResult><ETag/>"
                                                     "</CompleteMultipartUploadResult>"),
                                      &err),
                     NERO_OK);
    assert_int_equal(
        s3_xml_completed(bytes_view_str("<Error><Code>InternalError</Code></Error>"), &err),
        NERO_CORRUPT);
    assert_int_equal(s3_xml_completed(bytes_view_str(""), &err), NERO_CORRUPT);
}

static enum nero_status see_row(void *context, const char *const *values, struct nero_err *err)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);

    (void)err;
    (void)snprintf(seen->text + used, sizeof seen->text - used, "%s %s %s;", values[0], values[1],
                   values[2]);
    return NERO_OK;
}

#define UPLOAD(key, id) "<Upload><Key>" key "</Key><UploadId>" id "</UploadId></Upload>"
#define PART(number, bytes)                                                                     \
    "<Part><PartNumber>" number "</PartNumber><ETag>&quot;e&quot;</ETag><Size>" bytes "</Size>" \
    "</Part>"

/* Rows in any number, whose names the other fields of an answer begin with. */
static void test_s3_xml__rows(void **state)
{
    enum { UPLOADS, PARTS, DELETED };
    static enum nero_status (*const parse[])(struct bytes_view, s3_xml_row_fn *, void *,
                                             struct nero_err *) = {s3_xml_uploads, s3_xml_parts,
                                                                   s3_xml_deleted};
    static const struct {
        int kind;
        const char *text;
        const char *seen; /* NULL: corrupt */
    } answers[] = {
        {UPLOADS, "<ListMultipartUploadsResult/>", ""},
        {UPLOADS,
         "<ListMultipartUploadsResult><UploadIdMarker/>" UPLOAD("a", "1")
             UPLOAD("a/b", "2") "<Prefix>a</Prefix></ListMultipartUploadsResult>",
         "a 1 ;a/b 2 ;"},
        {UPLOADS,
         "<ListMultipartUploadsResult><Upload><Key>a</Key></Upload>"
         "</ListMultipartUploadsResult>",
         NULL},
        {PARTS,
         "<ListPartsResult><PartNumberMarker>0</PartNumberMarker>" PART("1", "5")
             PART("3", "7") "</ListPartsResult>",
         "1 5 \"e\";3 7 \"e\";"},
        {PARTS, "<ListPartsResult>" PART("1", "5") "<Part/></ListPartsResult>", NULL},
        {PARTS, "<ListPartsResult>" PART("1", "5</Size><Size>5") "</ListPartsResult>", NULL},
        {DELETED,
         "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
         "<Message>no</Message></Error><Deleted><Key>c</Key></Deleted></DeleteResult>",
         "a  ;b AccessDenied ;c  ;"},
        {DELETED, "<DeleteResult><Error><Key>b</Key></Error></DeleteResult>", NULL},
        {DELETED, "<DeleteResult><Deleted><Key>a</Key></Deleted>", NULL},
        {DELETED, "<Error><Code>InternalError</Code></Error>", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct seen seen = {0};
        struct nero_err err;
        enum nero_status status =
            parse[answers[i].kind](bytes_view_str(answers[i].text), see_row, &seen, &err);

        assert_int_equal(status, answers[i].seen != NULL ? NERO_OK : NERO_CORRUPT);
        if (answers[i].seen != NULL) {
            assert_string_equal(seen.text, answers[i].seen);
        }
    }
}

static void test_s3_xml__keys_are_decoded(void **state)
{
    static const struct {
        const char *in;
        const char *out; /* NULL: refused */
    } keys[] = {{"a/b-c._", "a/b-c._"}, {"a%2Fb%2f", "a/b/"}, {"a+b%2B", "a b+"}, {"%", NULL},
                {"%4", NULL},           {"%G0", NULL},        {"%00", NULL},      {"", ""}};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "%s", keys[i].in);
        assert_int_equal(s3_xml_decode_key(key), keys[i].out != NULL);
        if (keys[i].out != NULL) {
            assert_string_equal(key, keys[i].out);
        }
    }
}

static void test_s3_xml__every_failed_allocation_is_no_memory(void **state)
{
    static const char text[] = LIST(DONE KEY("a", "1"));
    int fired = 1;

    (void)state;
    for (long skip = 0; fired > 0; skip++) {
        struct s3_xml_page page;
        struct seen seen;
        enum nero_status status;

        (void)mem_fail_plan(skip, 1);
        status = parse_list(text, sizeof text - 1, &seen, &page);
        fired = mem_fail_plan(0, 0);
        assert_int_equal(status, fired > 0 ? NERO_NO_MEMORY : NERO_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_xml__lists),
        cmocka_unit_test(test_s3_xml__bad_lists_are_refused),
        cmocka_unit_test(test_s3_xml__bounds),
        cmocka_unit_test(test_s3_xml__errors),
        cmocka_unit_test(test_s3_xml__uploads),
        cmocka_unit_test(test_s3_xml__rows),
        cmocka_unit_test(test_s3_xml__keys_are_decoded),
        cmocka_unit_test(test_s3_xml__every_failed_allocation_is_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
