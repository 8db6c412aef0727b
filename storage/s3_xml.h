/*
 * The XML that S3 answers with: strict, bounded, and a document that stops in the middle is an
 * error. Element names are matched without regard to namespaces; what is not known is passed over.
 *
 * Bounds: no document type (so no entities of the server's), S3_XML_DEPTH_MAX levels,
 * S3_XML_TEXT_MAX bytes of text in an element, S3_XML_ELEMENTS_MAX elements.
 *
 * Source: Amazon S3 API (Error responses, ListObjectsV2, DeleteObjects, CreateMultipartUpload,
 * ListMultipartUploads, ListParts, CompleteMultipartUpload).
 */
#ifndef NERO_S3_XML_H
#define NERO_S3_XML_H

#include <stdbool.h>
#include <stdint.h>

#include "nero/bytes.h"

enum {
    S3_XML_DEPTH_MAX = 8,
    S3_XML_TEXT_MAX = 4096,
    S3_XML_ELEMENTS_MAX = 50000, /* a page of 1,000 keys has some 10 a key */
    S3_XML_TOKEN_BYTES = 4097,
    S3_XML_UPLOAD_ID_BYTES = 1025
};

/* What an <Error> says. Texts are cut, and what is not printable is replaced by '?'. */
struct s3_xml_error {
    char code[64];
    char message[256];
    char region[32]; /* "" unless the bucket is elsewhere */
};

/* One page of a listing without its keys. */
struct s3_xml_page {
    bool truncated;
    bool encoded;                   /* keys are percent-encoded */
    char token[S3_XML_TOKEN_BYTES]; /* of the next page; not empty when truncated */
};

/* Called for each object; a status other than ok ends the parse with it. */
typedef enum nero_status s3_xml_key_fn(void *context, const char *key, uint64_t bytes,
                                       struct nero_err *err);

/*
 * Each function takes a whole answer. Errors: corrupt (not well-formed, truncated, another root
 * element, a missing or repeated field, a bound passed), no_memory. Outputs only on success.
 */
enum nero_status s3_xml_error(struct bytes_view text, struct s3_xml_error *out,
                              struct nero_err *err);
enum nero_status s3_xml_list(struct bytes_view text, s3_xml_key_fn *each, void *context,
                             struct s3_xml_page *out, struct nero_err *err);
enum nero_status s3_xml_upload_id(struct bytes_view text, char out[S3_XML_UPLOAD_ID_BYTES],
                                  struct nero_err *err);
enum nero_status s3_xml_completed(struct bytes_view text, struct nero_err *err);

/* Called for each repeated element with the texts of its fields; a status other than ok ends. */
typedef enum nero_status s3_xml_row_fn(void *context, const char *const *values,
                                       struct nero_err *err);

/* Each upload under way: key, upload id. */
enum nero_status s3_xml_uploads(struct bytes_view text, s3_xml_row_fn *each, void *context,
                                struct nero_err *err);
/* Each part of an upload: number, bytes, ETag with its quotes. */
enum nero_status s3_xml_parts(struct bytes_view text, s3_xml_row_fn *each, void *context,
                              struct nero_err *err);
/* Each key of a delete of many: key, code of the error ("": it is deleted). */
enum nero_status s3_xml_deleted(struct bytes_view text, s3_xml_row_fn *each, void *context,
                                struct nero_err *err);

/* A decimal number and nothing else. Errors: corrupt. */
enum nero_status s3_xml_number(const char *text, uint64_t *out, struct nero_err *err);

/* %XX and '+' (a blank) to bytes, in place. False on a broken escape or one of a NUL. */
bool s3_xml_decode_key(char *key);

#endif
