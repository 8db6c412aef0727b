/*
 * s3://: multipart uploads that a killed process has left, found again.
 */
#include <stdio.h>
#include <string.h>

#include <nettle/md5.h>

#include "storage_s3.h"

enum {
    CANDIDATES_MAX = 4, /* uploads of one key that are looked into */
    ANSWER_BYTES_MAX = 1024 * 1024,
    MD5_HEX_BYTES = 2 * MD5_DIGEST_SIZE + 1
};

static void md5_hex(char out[MD5_HEX_BYTES], struct bytes_view body)
{
    uint8_t digest[MD5_DIGEST_SIZE];
    struct md5_ctx md5;

    md5_init(&md5);
    md5_update(&md5, body.bytes, body.data);
    md5_digest(&md5, sizeof digest, digest);
    bytes_to_hex(out, digest, sizeof digest);
}

struct candidates {
    const char *name;
    size_t count;
    char ids[CANDIDATES_MAX][S3_XML_UPLOAD_ID_BYTES];
};

static enum nero_status take_upload(void *context, const char *const *values, struct nero_err *err)
{
    struct candidates *candidates = context;

    (void)err;
    if (strcmp(values[0], candidates->name) == 0 && candidates->count < CANDIDATES_MAX &&
        strlen(values[1]) < S3_XML_UPLOAD_ID_BYTES) {
        (void)snprintf(candidates->ids[candidates->count++], S3_XML_UPLOAD_ID_BYTES, "%s",
                       values[1]);
    }
    return NERO_OK;
}

/* Uploads of exactly this name come first among those with the prefix: one page has them. */
static enum nero_status list_uploads(struct storage_s3 *s3, struct candidates *candidates,
                                     struct nero_err *err)
{
    struct s3_call call = {.method = "GET",
                           .key = "",
                           .query = {{"uploads", ""}, {"prefix", candidates->name}},
                           .body_bytes_max = ANSWER_BYTES_MAX};
    struct s3_http_answer answer;
    enum nero_status status = s3_client_send(s3->client, &call, &answer, NULL, err);

    if (status == NERO_OK) {
        status = s3_xml_uploads(bytes_as_view(&answer.body), take_upload, candidates, err);
    }
    s3_http_answer_fini(&answer);
    return status;
}

struct comparison {
    struct storage_s3_upload *upload;
    size_t present; /* parts that are of our body */
    bool is_other;  /* one is not: the upload is of another body, or cut otherwise */
};

static enum nero_status take_part(void *context, const char *const *values, struct nero_err *err)
{
    struct comparison *comparison = context;
    struct storage_s3_upload *upload = comparison->upload;
    const char *etag = values[2] + (values[2][0] == '"' ? 1 : 0);
    struct bytes_view part = {0};
    char md5[MD5_HEX_BYTES];
    uint64_t number;
    uint64_t bytes;
    enum nero_status status = s3_xml_number(values[0], &number, err);

    if (status == NERO_OK) {
        status = s3_xml_number(values[1], &bytes, err);
    }
    if (status != NERO_OK || comparison->is_other) {
        return status;
    }
    if (number >= 1 && number <= upload->part_count) {
        part = storage_s3_part(upload, (size_t)number - 1);
    }
    md5_hex(md5, part);
    if (part.bytes == 0 || bytes != part.bytes || strncmp(etag, md5, MD5_HEX_BYTES - 1) != 0) {
        comparison->is_other = true;
        return NERO_OK;
    }
    memcpy(upload->etags[number - 1], md5, sizeof md5);
    comparison->present++;
    return NERO_OK;
}

/* Whether the upload `id` has parts, all of them ours. Those beyond its first page are sent anew.
 */
static enum nero_status compare_parts(struct storage_s3 *s3, struct storage_s3_upload *upload,
                                      const char *id, bool *fits, struct nero_err *err)
{
    struct s3_call call = {.method = "GET",
                           .key = upload->name,
                           .query = {{"uploadId", id}},
                           .body_bytes_max = ANSWER_BYTES_MAX};
    struct comparison comparison = {.upload = upload};
    struct s3_http_answer answer;
    enum nero_status status;

    status = s3_client_send(s3->client, &call, &answer, NULL, err);
    if (status == NERO_OK) {
        status = s3_xml_parts(bytes_as_view(&answer.body), take_part, &comparison, err);
    }
    s3_http_answer_fini(&answer);
    *fits = status == NERO_OK && comparison.present > 0 && !comparison.is_other;
    if (*fits) {
        (void)snprintf(upload->id, sizeof upload->id, "%s", id);
    } else {
        memset(upload->etags, 0, upload->part_count * sizeof upload->etags[0]);
    }
    return status;
}

enum nero_status storage_s3_find_upload(struct storage_s3 *s3, struct storage_s3_upload *upload,
                                        bool *found, struct nero_err *err)
{
    struct candidates candidates = {.name = upload->name};
    enum nero_status status = list_uploads(s3, &candidates, err);

    *found = false;
    for (size_t i = 0; i < candidates.count && status == NERO_OK && !*found; i++) {
        status = compare_parts(s3, upload, candidates.ids[i], found, err);
    }
    return err_is_retryable(status) ? status : NERO_OK;
}

bool storage_s3_upload_etag(const struct storage_s3_upload *upload,
                            char out[STORAGE_ETAG_BYTES_MAX])
{
    uint8_t digest[MD5_DIGEST_SIZE];
    char hex[MD5_HEX_BYTES];
    struct nero_err no_md5;
    struct md5_ctx md5;

    md5_init(&md5);
    for (size_t i = 0; i < upload->part_count; i++) {
        if (strlen(upload->etags[i]) != MD5_HEX_BYTES - 1 ||
            bytes_from_hex(digest, sizeof digest, upload->etags[i], &no_md5) != NERO_OK) {
            return false;
        }
        md5_update(&md5, sizeof digest, digest);
    }
    md5_digest(&md5, sizeof digest, digest);
    bytes_to_hex(hex, digest, sizeof digest);
    (void)snprintf(out, STORAGE_ETAG_BYTES_MAX, "%s-%zu", hex, upload->part_count);
    return true;
}
