/*
 * Goal: a real gateway accepts every request that we sign, and refuses each after one byte of it
 * has been changed, whichever it is. Method: ten thousand random requests (methods, keys,
 * parameters, headers of all bytes that HTTP can carry), signed by s3_sign and sent by s3_http
 * without anything in between; then each again with a byte changed at a random place of a random
 * part.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <ctype.h>

#include "nero/clock.h"
#include "nero/rng.h"
#include "nero/thread.h"
#include "s3_http.h"
#include "s3_sign.h"
#include "tests/support/rgw.h"

enum {
    REQUESTS = 10000, /* each sent as it is and changed */
    THREADS = 4,
    TEXT_BYTES = 24,
    PAIRS_MAX = 4,
    LINES_MAX = PAIRS_MAX + 3,
    LINE_BYTES = 512,
    AUTHORIZATION_BYTES = 400,
    METHODS = 4
};

static const char *const methods[METHODS] = {"GET", "HEAD", "PUT", "DELETE"};

static struct rgw gateway;
static struct s3_http *http;
static char host[64];

/* A request with the memory that its parts lie in. */
struct sample {
    struct s3_sign_input input;
    struct s3_sign_pair query[PAIRS_MAX];
    struct s3_sign_pair headers[PAIRS_MAX + 1];
    char path[64];
    char texts[2 * PAIRS_MAX][2][TEXT_BYTES];
    char hash[S3_SIGN_HASH_BYTES];
    char body[16];
    char date[S3_SIGN_DATE_BYTES];
    char authorization[AUTHORIZATION_BYTES];
};

/* 1 to TEXT_BYTES - 1 bytes out of `alphabet`, or of all but NUL where it is NULL. */
static void random_text(struct rng_stream *stream, const char *alphabet, char out[TEXT_BYTES])
{
    size_t bytes = 1 + (size_t)rng_below(stream, TEXT_BYTES - 1);

    for (size_t i = 0; i < bytes; i++) {
        out[i] = alphabet != NULL ? alphabet[rng_below(stream, strlen(alphabet))]
                                  : (char)(1 + rng_below(stream, 255));
    }
    out[bytes] = 0;
}

/* UTF-8 letters, blanks, and what URLs give a meaning to: the gateway takes only UTF-8 for keys. */
static void random_key(struct rng_stream *stream, char *out, size_t out_bytes)
{
    static const char *const pieces[] = {"a",
                                         "Z",
                                         "0",
                                         "-",
                                         ".",
                                         "_",
                                         "~",
                                         "/",
                                         " ",
                                         "+",
                                         "%",
                                         "?",
                                         "#",
                                         "&",
                                         "=",
                                         ":",
                                         "@",
                                         "(",
                                         ")",
                                         "*",
                                         "!",
                                         "'",
                                         ";",
                                         ",",
                                         "$",
                                         "[",
                                         "]",
                                         "\"",
                                         "<",
                                         ">",
                                         "\\",
                                         "^",
                                         "`",
                                         "{",
                                         "|",
                                         "}",
                                         "%41",
                                         "//",
                                         "\xc3\xa4",
                                         "\xe6\x97\xa5",
                                         "\xf0\x9f\x8c\xb1"};
    size_t used = (size_t)snprintf(out, out_bytes, "/signed/k");

    for (uint64_t left = 1 + rng_below(stream, 10); left > 0; left--) {
        used += (size_t)snprintf(out + used, out_bytes - used, "%s",
                                 pieces[rng_below(stream, sizeof pieces / sizeof pieces[0])]);
    }
}

/*
 * A header's value. No tabs and no two blanks in a row: AWS's rule makes one blank of them, which
 * this gateway does not (16.2), and none of our headers has them.
 */
static void random_value(struct rng_stream *stream, char out[TEXT_BYTES])
{
    static const char printable[] = " !#$%&'()*+,-./0123456789:;<=>?@ABCxyz[]^_`{|}~";

    random_text(stream, printable, out);
    out[0] = 'v'; /* libcurl sends no header without a value */
    for (size_t i = 1; out[i] != 0; i++) {
        out[i] = out[i] == ' ' && out[i - 1] == ' ' ? '_' : out[i];
    }
}

static void make_sample(struct sample *sample, uint32_t number)
{
    struct rng_stream stream = rng_stream(5, RNG_TEST, 0, number, 0);
    size_t queries = (size_t)rng_below(&stream, PAIRS_MAX);
    size_t headers = (size_t)rng_below(&stream, PAIRS_MAX);

    memset(sample, 0, sizeof *sample);
    random_key(&stream, sample->path, sizeof sample->path);
    for (size_t i = 0; i < queries; i++) {
        char(*text)[TEXT_BYTES] = sample->texts[i];

        random_text(&stream, NULL, text[0]);
        text[0][0] = "QXYZ"[i]; /* means nothing to S3, and no two alike: the gateway drops one */
        if (rng_below(&stream, 4) > 0) {
            random_text(&stream, NULL, text[1]);
        }
        sample->query[i] = (struct s3_sign_pair){text[0], text[1]};
    }
    for (size_t i = 0; i < headers; i++) {
        char(*text)[TEXT_BYTES] = sample->texts[PAIRS_MAX + i];

        (void)snprintf(text[0], TEXT_BYTES, "x-amz-meta-%c%zu",
                       (char)('a' + (char)rng_below(&stream, 26)), i);
        random_value(&stream, text[1]);
        sample->headers[i] = (struct s3_sign_pair){text[0], text[1]};
    }
    sample->input.method = methods[rng_below(&stream, METHODS)];
    (void)snprintf(sample->body, sizeof sample->body, "body %u",
                   sample->input.method[0] == 'P' ? number : 0);
    s3_sign_hash(sample->hash, bytes_view_str(sample->input.method[0] == 'P' ? sample->body : ""));
    sample->headers[headers++] = (struct s3_sign_pair){"x-amz-content-sha256", sample->hash};
    sample->input.host = host;
    sample->input.path = sample->path;
    sample->input.query = sample->query;
    sample->input.query_count = queries;
    sample->input.headers = sample->headers;
    sample->input.header_count = headers;
    sample->input.payload_hash = sample->hash;
    sample->input.region = "us-east-1";
    sample->input.service = "s3";
    sample->input.access_key = RGW_ACCESS_KEY;
    sample->input.secret_key = RGW_SECRET_KEY;
    sample->input.wall_ms = clock_wall_ms(clock_system());
}

static bool sign(struct sample *sample)
{
    struct bytes authorization;
    struct nero_err err;
    bool signed_now;

    bytes_init(&authorization, AUTHORIZATION_BYTES);
    signed_now = s3_sign_authorization(&authorization, &sample->input, &err) == NERO_OK &&
                 bytes_terminate(&authorization, &err) == NERO_OK;
    if (signed_now) {
        (void)snprintf(sample->authorization, sizeof sample->authorization, "%s",
                       (char *)authorization.data);
        s3_sign_date(sample->date, sample->input.wall_ms);
    }
    bytes_fini(&authorization);
    return signed_now;
}

/* Send it as it stands, with the signature that it has; the HTTP status, 0 for none. */
static int send_sample(const struct sample *sample)
{
    const struct s3_sign_input *input = &sample->input;
    char lines[LINES_MAX][LINE_BYTES];
    const char *headers[LINES_MAX];
    struct s3_http_request request = {
        .method = input->method, .headers = headers, .header_count = 2 + input->header_count};
    struct s3_http_answer answer = {0};
    struct bytes url;
    struct nero_err err;
    int code = 0;

    bytes_init(&url, 8192);
    if (bytes_printf(&url, &err, "http://%s", host) == NERO_OK &&
        s3_sign_target(&url, input, &err) == NERO_OK && bytes_terminate(&url, &err) == NERO_OK) {
        (void)snprintf(lines[0], LINE_BYTES, "Authorization: %s", sample->authorization);
        (void)snprintf(lines[1], LINE_BYTES, "x-amz-date: %s", sample->date);
        for (size_t i = 0; i < input->header_count; i++) {
            (void)snprintf(lines[2 + i], LINE_BYTES, "%s: %s", input->headers[i].name,
                           input->headers[i].value);
        }
        for (size_t i = 0; i < request.header_count; i++) {
            headers[i] = lines[i];
        }
        request.url = (const char *)url.data;
        request.body = input->method[0] == 'P' ? bytes_view_str(sample->body) : request.body;
        code = s3_http_send(http, &request, &answer, &err) == NERO_OK ? answer.code : 0;
    }
    s3_http_answer_fini(&answer);
    bytes_fini(&url);
    return code;
}

/* Where a request can be changed. */
enum part {
    PART_METHOD,
    PART_PATH,
    PART_PARAMETER, /* name or value */
    PART_HEADER,    /* likewise, of one that is signed */
    PART_HASH,      /* x-amz-content-sha256 */
    PART_DATE,
    PART_BODY,
    PART_AUTHORIZATION,
    PARTS
};

static const char *const part_names[PARTS] = {
    "method",          "path",     "a parameter", "a header",
    "the body's hash", "the date", "the body",    "Authorization"};

/* One of the texts of a pair, whichever it has. */
static char *text_of_pair(struct rng_stream *stream, char pair[2][TEXT_BYTES])
{
    return pair[1][0] != 0 && rng_below(stream, 2) == 0 ? pair[1] : pair[0];
}

/* The text of a part, of which any byte may be changed; NULL: the request has none. */
static char *text_of(struct sample *sample, enum part part, struct rng_stream *stream)
{
    size_t queries = sample->input.query_count;
    size_t headers = sample->input.header_count - 1; /* besides the hash, which is the last */

    switch (part) {
    case PART_PATH:
        return sample->path + strlen("/signed/");
    case PART_PARAMETER:
        return queries > 0 ? text_of_pair(stream, sample->texts[rng_below(stream, queries)]) : NULL;
    case PART_HEADER:
        return headers > 0
                   ? text_of_pair(stream, sample->texts[PAIRS_MAX + rng_below(stream, headers)])
                   : NULL;
    case PART_HASH:
        return sample->hash;
    case PART_DATE:
        return sample->date;
    case PART_BODY:
        return sample->input.method[0] == 'P' ? sample->body : NULL;
    default:
        return sample->authorization;
    }
}

/*
 * Another letter or digit at a random place: never only of another case, which headers' names and
 * hex may be without being another request. `kept` stays: the gateway jumps over the blank between
 * the words of Authorization, whatever is there.
 */
static void change_byte(struct rng_stream *stream, char *text, char kept)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    size_t place;
    char changed;

    do {
        place = (size_t)rng_below(stream, strlen(text));
    } while (text[place] == kept);
    do {
        changed = letters[rng_below(stream, sizeof letters - 1)];
    } while (changed == tolower((unsigned char)text[place]));
    text[place] = changed;
}

/* Change one byte of the request, wherever the draw falls; the method is changed as a whole. */
static enum part change(struct sample *sample, uint32_t number)
{
    struct rng_stream stream = rng_stream(6, RNG_TEST, 0, number, 0);

    for (;;) {
        enum part part = (enum part)rng_below(&stream, PARTS);
        char *text;

        if (part == PART_METHOD) {
            const char *method = methods[rng_below(&stream, METHODS)];

            if (strcmp(method, sample->input.method) != 0) {
                sample->input.method = method;
                return part;
            }
            continue;
        }
        text = text_of(sample, part, &stream);
        if (text != NULL) {
            change_byte(&stream, text, part == PART_AUTHORIZATION ? ' ' : 0);
            return part;
        }
    }
}

struct worker {
    struct thread thread;
    uint32_t first;
    unsigned accepted;
    unsigned refused[PARTS];
    char failure[1024];
};

static void run_worker(void *context)
{
    struct worker *worker = context;

    for (uint32_t number = worker->first; number < REQUESTS && worker->failure[0] == 0;
         number += THREADS) {
        struct sample sample;
        enum part part;
        int code;

        make_sample(&sample, number);
        code = sign(&sample) ? send_sample(&sample) : 0;
        if (code != 200 && code != 204 && code != 404) {
            (void)snprintf(worker->failure, sizeof worker->failure, "%u: %s %s: %d", number,
                           sample.input.method, sample.path, code);
        }
        worker->accepted++;
        part = change(&sample, number);
        code = send_sample(&sample);
        /* 400: what is no request at all any more, and a body that is not of its hash */
        if (code != 403 && (code != 400 || part == PART_PARAMETER || part == PART_METHOD)) {
            (void)snprintf(worker->failure, sizeof worker->failure,
                           "%u: %s %s with %s changed: %d; %s, %s", number, sample.input.method,
                           sample.path, part_names[part], code, sample.date, sample.authorization);
        }
        worker->refused[part]++;
    }
}

static void make_bucket(void)
{
    struct sample bucket;

    make_sample(&bucket, 0);
    bucket.input.method = "PUT";
    bucket.input.path = "/signed";
    bucket.input.query_count = 0;
    bucket.input.headers = bucket.headers + bucket.input.header_count - 1;
    bucket.input.header_count = 1;
    bucket.body[0] = 0;
    s3_sign_hash(bucket.hash, bytes_view_str(""));
    assert_true(sign(&bucket));
    assert_int_equal(send_sample(&bucket), 200);
}

static void test_s3_sign__a_gateway_agrees(void **state)
{
    struct worker workers[THREADS] = {0};
    unsigned accepted = 0;
    unsigned refused = 0;
    struct nero_err err;

    (void)state;
    make_bucket();
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i].first = i;
        assert_int_equal(thread_start(&workers[i].thread, "sign", run_worker, &workers[i], &err),
                         NERO_OK);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        thread_join(&workers[i].thread);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_string_equal(workers[i].failure, "");
        accepted += workers[i].accepted;
    }
    for (int part = 0; part < PARTS; part++) {
        unsigned times = 0;

        for (uint32_t i = 0; i < THREADS; i++) {
            times += workers[i].refused[part];
        }
        assert_true(times > REQUESTS / 50); /* each part has had its share */
        refused += times;
    }
    assert_int_equal(accepted, REQUESTS);
    assert_int_equal(refused, REQUESTS);
}

static int start(void **state)
{
    struct s3_http_options options = s3_http_defaults();
    struct nero_err err;

    (void)state;
    rgw_start(&gateway);
    rgw_set_environment(&gateway);
    (void)snprintf(host, sizeof host, "127.0.0.1:%d", gateway.port);
    return s3_http_create(&options, &http, &err) == NERO_OK ? 0 : -1;
}

static int stop(void **state)
{
    (void)state;
    s3_http_destroy(http);
    rgw_stop(&gateway);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_sign__a_gateway_agrees),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
