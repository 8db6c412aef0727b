/*
 * The headers of an answer that mean something to S3.
 *
 * Source: RFC 9110 (Content-Length, Content-Range, Date, ETag), Amazon S3 API
 * (x-amz-bucket-region).
 */
#ifndef NERO_S3_HEADER_H
#define NERO_S3_HEADER_H

#include "s3_http.h"

/*
 * Take one line, with or without its end, into `answer`. What is not known, too long or not as it
 * should be leaves the field as if the header were absent.
 */
void s3_header_take(struct s3_http_answer *answer, const char *data, size_t bytes);

#endif
