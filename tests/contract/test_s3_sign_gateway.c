/*
 * Goal: a real gateway accepts every request that we sign, and refuses each after one byte of it
 * has been changed. Method: thousands of random requests (methods, keys, parameters, headers of all
 * bytes that HTTP can carry), signed by s3_sign and sent by s3_http without anything in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/clock.h"
#include "nero/rng.h"
#include "nero/thread.h"
#include "s3_http.h"
#include "s3_sign.h"
#include "tests/support/rgw.h"

enum {
    REQUESTS = 3000, /* each sent as it is and changed; another number is the program's argument */
    THREADS = 4,
    TEXT_BYTES = 24,
    PAIRS_MAX = 4,
    LINES_MAX = PAIRS_MAX + 3,
    LINE_BYTES = 512
};

static uint32_t requests = REQUESTS;
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
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};
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
    sample->input.method = methods[rng_below(&stream, 4)];
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

/* Send what `sent` says with the signature of `signed_as`; the HTTP status, 0 for none. */
static int send_as(const struct s3_sign_input *sent, const struct s3_sign_input *signed_as,
                   const char *body)
{
    char lines[LINES_MAX][LINE_BYTES];
    const char *headers[LINES_MAX];
    char date[S3_SIGN_DATE_BYTES];
    struct s3_http_request request = {.method = sent->method, .headers = headers};
    struct s3_http_answer answer = {0};
    struct bytes authorization;
    struct bytes url;
    struct nero_err err;
    int code = 0;

    bytes_init(&url, 8192);
    bytes_init(&authorization, 8192);
    s3_sign_date(date, sent->wall_ms);
    if (bytes_printf(&url, &err, "http://%s", host) == NERO_OK &&
        s3_sign_target(&url, sent, &err) == NERO_OK && bytes_terminate(&url, &err) == NERO_OK &&
        s3_sign_authorization(&authorization, signed_as, &err) == NERO_OK &&
        bytes_terminate(&authorization, &err) == NERO_OK) {
        (void)snprintf(lines[0], LINE_BYTES, "Authorization: %s", (char *)authorization.data);
        (void)snprintf(lines[1], LINE_BYTES, "x-amz-date: %s", date);
        for (size_t i = 0; i < sent->header_count; i++) {
            (void)snprintf(lines[2 + i], LINE_BYTES, "%s: %s", sent->headers[i].name,
                           sent->headers[i].value);
        }
        request.header_count = 2 + sent->header_count;
        for (size_t i = 0; i < request.header_count; i++) {
            headers[i] = lines[i];
        }
        request.url = (const char *)url.data;
        request.body = sent->method[0] == 'P' ? bytes_view_str(body) : bytes_view_of(NULL, 0);
        code = s3_http_send(http, &request, &answer, &err) == NERO_OK ? answer.code : 0;
    }
    s3_http_answer_fini(&answer);
    bytes_fini(&authorization);
    bytes_fini(&url);
    return code;
}

/* Change one byte of what was signed, in one of the places that a signature covers. */
static const char *change(struct sample *sample, uint32_t number)
{
    struct rng_stream stream = rng_stream(6, RNG_TEST, 0, number, 0);
    uint64_t what = rng_below(&stream, 5);
    char *text;

    if (what == 0 && sample->input.query_count > 0) {
        text = sample->texts[rng_below(&stream, sample->input.query_count)][0];
        text[strlen(text) - 1] = text[strlen(text) - 1] == 'x' ? 'y' : 'x';
        return "a parameter";
    }
    if (what == 1 && sample->input.header_count > 1) {
        text = sample->texts[PAIRS_MAX + rng_below(&stream, sample->input.header_count - 1)][1];
        text[0] = 'w';
        return "a header";
    }
    if (what == 2) {
        sample->input.wall_ms += 1000;
        return "the date";
    }
    if (what == 3) {
        sample->input.method = sample->input.method[0] == 'G' ? "HEAD" : "GET";
        return "the method";
    }
    sample->path[8] = 'l';
    return "the key";
}

struct worker {
    struct thread thread;
    uint32_t first;
    unsigned accepted;
    unsigned refused;
    char failure[512];
};

static void run_worker(void *context)
{
    struct worker *worker = context;

    for (uint32_t number = worker->first; number < requests && worker->failure[0] == 0;
         number += THREADS) {
        struct sample sample;
        struct sample changed;
        const char *what;
        int code;

        make_sample(&sample, number);
        code = send_as(&sample.input, &sample.input, sample.body);
        if (code != 200 && code != 204 && code != 404) {
            (void)snprintf(worker->failure, sizeof worker->failure, "%u: %s %s: %d", number,
                           sample.input.method, sample.path, code);
        }
        worker->accepted++;
        make_sample(&changed, number);
        changed.input.wall_ms = sample.input.wall_ms;
        what = change(&changed, number);
        code = send_as(&changed.input, &sample.input, sample.body);
        if (code != 403) {
            (void)snprintf(worker->failure, sizeof worker->failure, "%u: %s %s with %s changed: %d",
                           number, sample.input.method, sample.path, what, code);
        }
        worker->refused++;
    }
}

static void test_s3_sign__a_gateway_agrees(void **state)
{
    struct worker workers[THREADS] = {0};
    unsigned accepted = 0;
    unsigned refused = 0;
    struct sample bucket;
    struct nero_err err;

    (void)state;
    make_sample(&bucket, 0);
    bucket.input.method = "PUT";
    bucket.input.path = "/signed";
    bucket.input.query_count = 0;
    bucket.input.headers = bucket.headers + bucket.input.header_count - 1;
    bucket.input.header_count = 1;
    s3_sign_hash(bucket.hash, bytes_view_str(""));
    assert_int_equal(send_as(&bucket.input, &bucket.input, ""), 200);
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i].first = i;
        assert_int_equal(thread_start(&workers[i].thread, "sign", run_worker, &workers[i], &err),
                         NERO_OK);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        thread_join(&workers[i].thread);
        accepted += workers[i].accepted;
        refused += workers[i].refused;
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_string_equal(workers[i].failure, "");
    }
    assert_int_equal(accepted, requests);
    assert_int_equal(refused, requests);
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_s3_sign__a_gateway_agrees),
    };

    if (argc > 1) {
        requests = (uint32_t)strtoul(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, start, stop);
}
