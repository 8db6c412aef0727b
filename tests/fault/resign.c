#include "resign.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "nero/clock.h"
#include "s3_sign.h"
#include "tests/support/rgw.h"

enum { PAIRS_MAX = 16, REQUEST_BYTES_MAX = 256 * 1024 * 1024 };

/* A request's head in parts, all of which lie in `text`. */
struct parts {
    char *text;
    struct s3_sign_input input;
    struct s3_sign_pair query[PAIRS_MAX];
    struct s3_sign_pair headers[PAIRS_MAX]; /* those that are signed */
    struct s3_sign_pair others[PAIRS_MAX];
    size_t other_count;
};

/* %XX into bytes, in place. */
static char *decode(char *text)
{
    char *to = text;

    for (const char *from = text; *from != 0; from++, to++) {
        char hex[3] = {0};

        if (*from == '%' && from[1] != 0 && from[2] != 0) {
            memcpy(hex, from + 1, 2);
            *to = (char)strtoul(hex, NULL, 16);
            from += 2;
        } else {
            *to = *from;
        }
    }
    *to = 0;
    return text;
}

static void lower(char *text)
{
    for (; *text != 0; text++) {
        *text = (char)tolower((unsigned char)*text);
    }
}

/* "METHOD /path?name=value&... HTTP/1.1" */
static bool take_line(struct parts *parts, char *line, enum resign_change change)
{
    char *method = strsep(&line, " ");
    char *target = strsep(&line, " ");
    char *path = strsep(&target, "?");

    if (path == NULL) {
        return false;
    }
    if (change == RESIGN_LOWER_CASE) {
        lower(path);
    }
    parts->input.method = method;
    parts->input.path = decode(path);
    while (target != NULL && parts->input.query_count < PAIRS_MAX) {
        char *value = strsep(&target, "&");
        char *name = strsep(&value, "=");

        parts->query[parts->input.query_count++] =
            (struct s3_sign_pair){decode(name), value != NULL ? decode(value) : ""};
    }
    return target == NULL;
}

/* "Name: value" */
static bool take_header(struct parts *parts, char *line, enum resign_change change)
{
    char *name = strsep(&line, ":");
    char *value = line != NULL ? line + strspn(line, " ") : NULL;
    bool is_condition = strcasecmp(name, "If-None-Match") == 0 || strcasecmp(name, "If-Match") == 0;

    if (value == NULL || strcasecmp(name, "Authorization") == 0 ||
        strcasecmp(name, "x-amz-date") == 0 || (is_condition && change == RESIGN_UNCONDITIONAL)) {
        return value != NULL;
    }
    lower(name);
    if (strcmp(name, "host") == 0) {
        parts->input.host = value;
    } else if (strcmp(name, "x-amz-content-sha256") == 0) {
        parts->input.payload_hash = value;
    }
    if (strncmp(name, "x-amz-", 6) == 0) {
        parts->headers[parts->input.header_count++] = (struct s3_sign_pair){name, value};
    } else {
        parts->others[parts->other_count++] = (struct s3_sign_pair){name, value};
    }
    return parts->input.header_count < PAIRS_MAX && parts->other_count < PAIRS_MAX;
}

/* Take the head apart. */
static bool take_apart(struct parts *parts, enum resign_change change)
{
    char *rest = parts->text;
    bool taken = take_line(parts, strsep(&rest, "\n"), change);

    while (taken && rest != NULL && *rest != '\r' && *rest != 0) {
        char *line = strsep(&rest, "\n");

        line[strcspn(line, "\r")] = 0;
        taken = take_header(parts, line, change);
    }
    parts->input.query = parts->query;
    parts->input.headers = parts->headers;
    parts->input.region = "us-east-1";
    parts->input.service = "s3";
    parts->input.access_key = RGW_ACCESS_KEY;
    parts->input.secret_key = RGW_SECRET_KEY;
    parts->input.wall_ms = clock_wall_ms(clock_system());
    return taken && parts->input.host != NULL && parts->input.payload_hash != NULL;
}

static bool add_pairs(struct bytes *out, const struct s3_sign_pair *pairs, size_t count)
{
    struct nero_err err;
    bool added = true;

    for (size_t i = 0; i < count && added; i++) {
        added = bytes_printf(out, &err, "%s: %s\r\n", pairs[i].name, pairs[i].value) == NERO_OK;
    }
    return added;
}

static bool put_together(struct bytes *out, const struct parts *parts, struct bytes_view body)
{
    char date[S3_SIGN_DATE_BYTES];
    struct nero_err err;

    s3_sign_date(date, parts->input.wall_ms);
    return bytes_printf(out, &err, "%s ", parts->input.method) == NERO_OK &&
           s3_sign_target(out, &parts->input, &err) == NERO_OK &&
           bytes_printf(out, &err, " HTTP/1.1\r\n") == NERO_OK &&
           add_pairs(out, parts->others, parts->other_count) &&
           add_pairs(out, parts->headers, parts->input.header_count) &&
           bytes_printf(out, &err, "x-amz-date: %s\r\nauthorization: ", date) == NERO_OK &&
           s3_sign_authorization(out, &parts->input, &err) == NERO_OK &&
           bytes_printf(out, &err, "\r\n\r\n") == NERO_OK &&
           bytes_append(out, body.data, body.bytes, &err) == NERO_OK;
}

bool resign(struct bytes *request, enum resign_change change)
{
    const uint8_t *end = memmem(request->data, request->bytes, "\r\n\r\n", 4);
    size_t head = end != NULL ? (size_t)(end - request->data) + 4 : 0;
    struct parts parts = {.text = strndup((const char *)request->data, head)};
    struct bytes out;
    bool done;

    bytes_init(&out, REQUEST_BYTES_MAX);
    done = parts.text != NULL && take_apart(&parts, change) &&
           put_together(&out, &parts, bytes_view_of(request->data + head, request->bytes - head));
    if (done) {
        bytes_fini(request);
        *request = out;
    } else {
        bytes_fini(&out);
    }
    free(parts.text);
    return done;
}
