#include "s3_header.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LINE_BYTES_MAX = 1024 };

/* The value of a header line if it has this name, with its end cut off; else NULL. */
static const char *header_value(char *line, const char *name)
{
    size_t bytes = strlen(name);
    char *value = line + bytes + 1;
    size_t end;

    if (strncasecmp(line, name, bytes) != 0 || line[bytes] != ':') {
        return NULL;
    }
    value += strspn(value, " \t");
    end = strlen(value);
    while (end > 0 && strchr(" \t\r\n", value[end - 1]) != NULL) {
        value[--end] = 0;
    }
    return value;
}

/* Digits up to `end`; false on anything else. */
static bool parse_number(const char **text, char end, uint64_t *out)
{
    char *stop = NULL;

    errno = 0;
    if (**text < '0' || **text > '9') {
        return false;
    }
    *out = strtoull(*text, &stop, 10);
    *text = stop + 1;
    return errno == 0 && *stop == end;
}

static void take_range(struct s3_http_answer *answer, const char *value)
{
    answer->has_range = strncasecmp(value, "bytes ", 6) == 0;
    value += answer->has_range ? 6 : 0;
    answer->has_range = answer->has_range && parse_number(&value, '-', &answer->range_first) &&
                        parse_number(&value, '/', &answer->range_last) &&
                        parse_number(&value, 0, &answer->object_bytes) &&
                        answer->range_first <= answer->range_last &&
                        answer->range_last < answer->object_bytes;
}

static void take_etag(struct s3_http_answer *answer, const char *value)
{
    size_t bytes = strlen(value);

    if (bytes >= 2 && value[0] == '"' && value[bytes - 1] == '"') {
        value++;
        bytes -= 2;
    }
    answer->etag[0] = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (bytes >= sizeof answer->etag || value[i] < '!' || value[i] > '~' || value[i] == '"') {
            return;
        }
    }
    memcpy(answer->etag, value, bytes);
    answer->etag[bytes] = 0;
}

/* It gets into messages: one that is none is not taken. */
static void take_region(struct s3_http_answer *answer, const char *value)
{
    size_t bytes = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789-");

    if (value[bytes] == 0 && bytes < sizeof answer->region) {
        memcpy(answer->region, value, bytes + 1);
    }
}

static void take_line(struct s3_http_answer *answer, char *line)
{
    const char *value;

    if ((value = header_value(line, "Content-Length")) != NULL) {
        uint64_t bytes = 0;

        answer->content_bytes =
            parse_number(&value, 0, &bytes) && bytes <= INT64_MAX ? (int64_t)bytes : -1;
    } else if ((value = header_value(line, "Content-Range")) != NULL) {
        take_range(answer, value);
    } else if ((value = header_value(line, "ETag")) != NULL) {
        take_etag(answer, value);
    } else if ((value = header_value(line, "Date")) != NULL) {
        time_t seconds = curl_getdate(value, NULL);

        answer->date_ms = seconds > 0 ? (int64_t)seconds * 1000 : 0;
    } else if ((value = header_value(line, "x-amz-bucket-region")) != NULL) {
        take_region(answer, value);
    }
}

void s3_header_take(struct s3_http_answer *answer, const char *data, size_t bytes)
{
    char line[LINE_BYTES_MAX];

    if (bytes < sizeof line && memchr(data, 0, bytes) == NULL) {
        memcpy(line, data, bytes);
        line[bytes] = 0;
        take_line(answer, line);
    }
}
