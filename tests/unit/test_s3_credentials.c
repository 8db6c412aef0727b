/*
 * Goal: credentials come from the source that DESIGN.md names, are renewed before they expire, and
 * a broken source is an error. Method: an environment of the test's own, a small HTTP server in the
 * place of the container's and the instance's service, a virtual clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/thread.h"
#include "s3_credentials.h"
#include "s3_metadata.h"
#include "tests/support/temp_folder.h"

#define MINUTE_MS INT64_C(60000)
#define START_MS INT64_C(1795412493000) /* 2026-11-23T05:41:33Z */

enum { VARIABLES_MAX = 8 };

static struct variable {
    const char *name;
    const char *value;
} variables[VARIABLES_MAX];

static const char *get_variable(void *context, const char *name)
{
    (void)context;
    for (size_t i = 0; i < VARIABLES_MAX && variables[i].name != NULL; i++) {
        if (strcmp(variables[i].name, name) == 0) {
            return variables[i].value;
        }
    }
    return NULL;
}

static const struct s3_environment environment = {.get = get_variable};

static _Atomic int64_t now_ms;

static int64_t virtual_ms(void *context)
{
    (void)context;
    return now_ms;
}

static const struct clock_source test_clock = {.wall_ms = virtual_ms};

/* The services. Each fetch of a document gives a new key, which tells whose it is: INSTANCE1,
 * CONTAINER2; the token of a session is checked. */
static struct service {
    struct thread thread;
    struct thread_stop stop;
    int fd;
    char base[64];
    _Atomic int documents; /* given so far */
    _Atomic int64_t life_ms;
    _Atomic bool fails;
    _Atomic bool holds;  /* documents, until told otherwise */
    _Atomic int waiting; /* documents that it was asked for */
} service;

static void answer(int fd, int code, const char *body)
{
    char text[1024];
    int bytes = snprintf(text, sizeof text,
                         "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                         code, strlen(body), body);

    (void)send(fd, text, (size_t)bytes, MSG_NOSIGNAL);
}

static void answer_document(int fd, const char *whose)
{
    char date[CLOCK_TEXT_BYTES];
    char body[512];

    service.waiting++;
    while (service.holds) {
        clock_sleep_ms(clock_system(), 1);
    }
    clock_format_utc(date, now_ms + service.life_ms);
    (void)snprintf(body, sizeof body,
                   "{\"Code\":\"Success\",\"AccessKeyId\":\"%s%d\",\"SecretAccessKey\":\"SK\","
                   "\"Token\":\"TOKEN\",\"Expiration\":\"%s\"}",
                   whose, ++service.documents, date);
    answer(fd, 200, body);
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void serve(int fd)
{
    static const char role[] = "GET /latest/meta-data/iam/security-credentials/";
    char request[2048];
    ssize_t got = recv(fd, request, sizeof request - 1, 0);

    request[got > 0 ? got : 0] = 0;
    if (service.fails) {
        answer(fd, 500, "broken");
    } else if (starts(request, "PUT /latest/api/token ") &&
               strstr(request, "X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n") != NULL) {
        answer(fd, 200, "session-token");
    } else if (starts(request, role)) {
        if (strstr(request, "X-aws-ec2-metadata-token: session-token\r\n") == NULL) {
            answer(fd, 401, "");
        } else if (starts(request + strlen(role), "my-role ")) {
            answer_document(fd, "INSTANCE");
        } else {
            answer(fd, 200, "my-role\nother");
        }
    } else if (starts(request, "GET /container ") &&
               strstr(request, "Authorization: container-token\r\n") != NULL) {
        answer_document(fd, "CONTAINER");
    } else {
        answer(fd, 404, "");
    }
}

static void run_service(void *context)
{
    struct pollfd waits[2] = {{.fd = service.fd, .events = POLLIN},
                              {.fd = service.stop.event_fd, .events = POLLIN}};

    (void)context;
    while (poll(waits, 2, -1) > 0 && waits[1].revents == 0) {
        int fd = accept(service.fd, NULL, NULL);

        serve(fd);
        (void)close(fd);
    }
}

static int start_service(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    struct nero_err err;

    (void)state;
    (void)unsetenv("http_proxy");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    service.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(service.fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(service.fd, 16) != 0 ||
        getsockname(service.fd, (struct sockaddr *)&address, &bytes) != 0) {
        return -1;
    }
    (void)snprintf(service.base, sizeof service.base, "http://127.0.0.1:%d",
                   ntohs(address.sin_port));
    return thread_stop_init(&service.stop, &err) != NERO_OK ||
           thread_start(&service.thread, "service", run_service, NULL, &err) != NERO_OK;
}

static int stop_service(void **state)
{
    (void)state;
    thread_stop_raise(&service.stop);
    thread_join(&service.thread);
    thread_stop_fini(&service.stop);
    (void)close(service.fd);
    return 0;
}

static int reset(void **state)
{
    static const struct variable none[VARIABLES_MAX] = {
        {"AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"}, {"AWS_CONFIG_FILE", "/nonexistent"}};

    (void)state;
    memcpy(variables, none, sizeof variables);
    now_ms = START_MS;
    service.documents = 0;
    service.life_ms = 60 * MINUTE_MS;
    service.fails = false;
    service.holds = false;
    service.waiting = 0;
    return 0;
}

static void set(const char *name, const char *value)
{
    size_t i = 0;

    while (variables[i].name != NULL && strcmp(variables[i].name, name) != 0) {
        i++;
    }
    assert_true(i < VARIABLES_MAX - 1);
    variables[i] = (struct variable){name, value};
}

static enum nero_status create(struct s3_credentials_source **out, struct nero_err *err)
{
    struct s3_credentials_options options = {.environment = &environment,
                                             .clock = &test_clock,
                                             .container_base = service.base,
                                             .metadata_base = service.base,
                                             .request_ms = 1000};
    char region[S3_CONFIG_REGION_BYTES];

    return s3_credentials_create(&options, region, out, err);
}

static struct s3_credentials_source *create_good(void)
{
    struct s3_credentials_source *source = NULL;
    struct nero_err err;

    assert_int_equal(create(&source, &err), NERO_OK);
    return source;
}

static void assert_key(struct s3_credentials_source *source, const char *access_key)
{
    struct s3_credentials credentials;
    struct nero_err err;

    assert_int_equal(s3_credentials_get(source, &credentials, &err), NERO_OK);
    assert_string_equal(credentials.access_key, access_key);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_s3_credentials__the_environment_is_first(void **state)
{
    struct s3_credentials_source *source;
    struct s3_credentials credentials;
    struct nero_err err;

    (void)state;
    set("AWS_ACCESS_KEY_ID", "A");
    assert_int_equal(create(&source, &err), NERO_INVALID);
    set("AWS_SECRET_ACCESS_KEY", "S");
    set("AWS_SESSION_TOKEN", "T");
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/container");
    source = create_good();
    assert_int_equal(s3_credentials_get(source, &credentials, &err), NERO_OK);
    assert_string_equal(credentials.access_key, "A");
    assert_string_equal(credentials.secret_key, "S");
    assert_string_equal(credentials.token, "T");
    assert_false(s3_credentials_refused(source, &credentials, true)); /* it has no others */
    s3_credentials_destroy(source);
    set("AWS_SECRET_ACCESS_KEY", "S\r\nX-Header: injected");
    assert_int_equal(create(&source, &err), NERO_INVALID);
    assert_null(strstr(err.message, "injected"));
}

static void test_s3_credentials__container(void **state)
{
    struct s3_credentials_source *source;
    char uri[128];

    (void)state;
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/container");
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token");
    source = create_good();
    assert_key(source, "CONTAINER1");
    assert_key(source, "CONTAINER1");
    s3_credentials_destroy(source);
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NULL);
    (void)snprintf(uri, sizeof uri, "%s/container", service.base);
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri);
    source = create_good();
    assert_key(source, "CONTAINER2");
    s3_credentials_destroy(source);
}

/* A proxy is for the way out: the services are asked directly, and it learns nothing. */
static void test_s3_credentials__services_are_asked_without_a_proxy(void **state)
{
    struct s3_credentials_source *source;

    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    source = create_good();
    assert_key(source, "INSTANCE1");
    s3_credentials_destroy(source);
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/container");
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "container-token");
    source = create_good();
    assert_key(source, "CONTAINER2");
    s3_credentials_destroy(source);
    assert_int_equal(unsetenv("http_proxy"), 0);
}

/* The file's token is of the service, which changes it; both are read again for each document. */
static void test_s3_credentials__a_container_token_in_a_file(void **state)
{
    char path[] = "/tmp/nero-token-XXXXXX";
    struct s3_credentials_source *source;
    struct s3_credentials used;
    struct nero_err err;

    (void)state;
    assert_int_equal(close(mkstemp(path)), 0);
    set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/container");
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of another time");
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path);
    write_text(path, "mistaken\n");
    source = create_good();
    assert_int_equal(s3_credentials_get(source, &used, &err), NERO_DENIED);
    write_text(path, "container-token\r\n");
    assert_key(source, "CONTAINER1");
    assert_int_equal(remove(path), 0);
    assert_key(source, "CONTAINER1"); /* is not needed before the end */
    now_ms += 61 * MINUTE_MS;
    assert_true(s3_credentials_get(source, &used, &err) != NERO_OK);
    assert_non_null(strstr(err.message, path));
    s3_credentials_destroy(source);
}

/* Where the instance's service is, is told by the environment, and else by the options. */
static void test_s3_credentials__where_the_instance_service_is(void **state)
{
    struct s3_credentials_options options = {
        .environment = &environment, .clock = &test_clock, .request_ms = 1000};
    char region[S3_CONFIG_REGION_BYTES];
    struct s3_credentials_source *source;
    struct nero_err err;
    char base[80];

    (void)state;
    (void)snprintf(base, sizeof base, "%s/", service.base);
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", base);
    assert_int_equal(s3_credentials_create(&options, region, &source, &err), NERO_OK);
    assert_key(source, "INSTANCE1");
    s3_credentials_destroy(source);
}

/* ~/.aws, before the services; the region is told of any profile, with keys or without. */
static void test_s3_credentials__files_at_home(void **state)
{
    struct s3_credentials_options options = {.environment = &environment,
                                             .clock = &test_clock,
                                             .metadata_base = service.base,
                                             .request_ms = 1000};
    char region[S3_CONFIG_REGION_BYTES];
    struct s3_credentials_source *source;
    char folder[TEMP_FOLDER_BYTES];
    char path[TEMP_FOLDER_BYTES + 32];
    struct nero_err err;

    (void)state;
    assert_int_equal(temp_folder_make(folder, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/.aws", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    set("AWS_SHARED_CREDENTIALS_FILE", NULL);
    set("AWS_CONFIG_FILE", NULL);
    set("HOME", folder);
    (void)snprintf(path, sizeof path, "%s/.aws/config", folder);
    write_text(path, "[default]\nregion = eu-north-1\n[profile work]\nregion = eu-south-1\n");
    assert_int_equal(s3_credentials_create(&options, region, &source, &err), NERO_OK);
    assert_string_equal(region, "eu-north-1");
    assert_key(source, "INSTANCE1"); /* no profile has keys */
    s3_credentials_destroy(source);
    (void)snprintf(path, sizeof path, "%s/.aws/credentials", folder);
    write_text(path, "[work]\naws_access_key_id = HOME\naws_secret_access_key = S\n");
    set("AWS_PROFILE", "work");
    assert_int_equal(s3_credentials_create(&options, region, &source, &err), NERO_OK);
    assert_string_equal(region, "eu-south-1");
    assert_key(source, "HOME");
    s3_credentials_destroy(source);
    temp_folder_remove(folder);
}

static void test_s3_credentials__instance_renews_before_expiry(void **state)
{
    struct s3_credentials_source *source = create_good();
    struct s3_credentials used;
    struct nero_err err;

    (void)state;
    assert_key(source, "INSTANCE1");
    now_ms += 54 * MINUTE_MS;
    assert_key(source, "INSTANCE1");
    now_ms += 2 * MINUTE_MS; /* 4 min before the end */
    assert_key(source, "INSTANCE2");
    service.fails = true;
    now_ms += 57 * MINUTE_MS; /* due again, and the service is down: what is good goes on */
    assert_key(source, "INSTANCE2");
    now_ms += 4 * MINUTE_MS;
    assert_int_equal(s3_credentials_get(source, &used, &err), NERO_UNAVAILABLE);
    service.fails = false;
    assert_int_equal(s3_credentials_get(source, &used, &err), NERO_OK);
    assert_string_equal(used.access_key, "INSTANCE3");
    assert_true(s3_credentials_refused(source, &used, true)); /* revoked before its time */
    assert_key(source, "INSTANCE4");
    assert_true(s3_credentials_refused(source, &used, true)); /* the old one again: that is known */
    assert_key(source, "INSTANCE4");
    service.life_ms = -MINUTE_MS;
    now_ms += 60 * MINUTE_MS;
    assert_int_equal(s3_credentials_get(source, &used, &err), NERO_DENIED);
    s3_credentials_destroy(source);
}

/* The store says no and not why: the service is asked again, now and then, and is not needed. */
static void test_s3_credentials__a_mere_no_is_doubted_now_and_then(void **state)
{
    struct s3_credentials_source *source = create_good();
    struct s3_credentials used;
    struct nero_err err;

    (void)state;
    assert_int_equal(s3_credentials_get(source, &used, &err), NERO_OK);
    assert_true(s3_credentials_refused(source, &used, false));
    assert_key(source, "INSTANCE2");
    assert_key(source, "INSTANCE2");
    assert_true(s3_credentials_refused(source, &used, false)); /* late news of the first */
    assert_int_equal(s3_credentials_get(source, &used, &err), NERO_OK);
    assert_string_equal(used.access_key, "INSTANCE2");
    assert_false(s3_credentials_refused(source, &used, false));
    now_ms += 6 * MINUTE_MS;
    service.fails = true;
    assert_true(s3_credentials_refused(source, &used, false));
    assert_key(source, "INSTANCE2");
    service.fails = false;
    now_ms += 6 * MINUTE_MS;
    assert_true(s3_credentials_refused(source, &used, false));
    assert_key(source, "INSTANCE3");
    s3_credentials_destroy(source);
}

struct asker {
    struct thread thread;
    struct s3_credentials_source *source;
    enum nero_status status;
    struct s3_credentials got;
};

static void ask(void *context)
{
    struct asker *asker = context;
    struct nero_err err;

    asker->status = s3_credentials_get(asker->source, &asker->got, &err);
}

static void wait_for_service(int waiting)
{
    for (int i = 0; i < 10000 && service.waiting < waiting; i++) {
        clock_sleep_ms(clock_system(), 1);
    }
    assert_int_equal(service.waiting, waiting);
}

/* Many need them at once: one fetches and all wait for it; then one renews and nobody waits. */
static void test_s3_credentials__one_of_many_renews(void **state)
{
    enum { ASKERS = 8 };
    static struct asker askers[ASKERS];
    struct s3_credentials_source *source = create_good();
    struct nero_err err;

    (void)state;
    service.holds = true;
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.source = source};
        assert_int_equal(thread_start(&askers[i].thread, "asker", ask, &askers[i], &err), NERO_OK);
    }
    wait_for_service(1);
    clock_sleep_ms(clock_system(), 50); /* so that the others have come to wait */
    service.holds = false;
    for (int i = 0; i < ASKERS; i++) {
        thread_join(&askers[i].thread);
        assert_int_equal(askers[i].status, NERO_OK);
        assert_string_equal(askers[i].got.access_key, "INSTANCE1");
    }
    now_ms += 56 * MINUTE_MS;
    service.holds = true;
    assert_int_equal(thread_start(&askers[0].thread, "asker", ask, &askers[0], &err), NERO_OK);
    wait_for_service(2);
    assert_key(source, "INSTANCE1"); /* still good, and the service does not answer */
    service.holds = false;
    thread_join(&askers[0].thread);
    assert_string_equal(askers[0].got.access_key, "INSTANCE2");
    assert_key(source, "INSTANCE2");
    assert_int_equal(service.documents, 2);
    s3_credentials_destroy(source);
}

static void write_profile(const char *path, const char *key)
{
    char text[128];

    (void)snprintf(text, sizeof text,
                   "[default]\naws_access_key_id = %s\naws_secret_access_key = S\n", key);
    write_text(path, text);
}

/* Somebody else rotates them; a file that is broken at the moment changes nothing. */
static void test_s3_credentials__a_rotated_file(void **state)
{
    char path[] = "/tmp/nero-credentials-XXXXXX";
    struct s3_credentials_source *source;
    struct s3_credentials used;
    struct nero_err err;

    (void)state;
    assert_int_equal(close(mkstemp(path)), 0);
    set("AWS_SHARED_CREDENTIALS_FILE", path);
    write_profile(path, "FIRST");
    source = create_good();
    assert_key(source, "FIRST");
    write_profile(path, "SECOND");
    assert_key(source, "FIRST");
    now_ms += MINUTE_MS;
    assert_key(source, "SECOND");
    write_profile(path, "THIRD"); /* the store refuses the second before the minute is over */
    assert_int_equal(s3_credentials_get(source, &used, &err), NERO_OK);
    assert_true(s3_credentials_refused(source, &used, false));
    assert_key(source, "THIRD");
    assert_true(s3_credentials_refused(source, &used, false)); /* late news of the second */
    write_profile(path, "");
    now_ms += MINUTE_MS;
    assert_key(source, "THIRD");
    assert_int_equal(remove(path), 0);
    now_ms += MINUTE_MS;
    assert_key(source, "THIRD");
    write_profile(path, "FOURTH");
    now_ms += MINUTE_MS;
    assert_key(source, "FOURTH");
    s3_credentials_destroy(source);
    assert_int_equal(remove(path), 0);
}

static void test_s3_credentials__nothing_is_denied(void **state)
{
    struct s3_credentials_source *source;
    struct nero_err err;

    (void)state;
    set("AWS_EC2_METADATA_DISABLED", "true");
    assert_int_equal(create(&source, &err), NERO_DENIED);
    assert_non_null(strstr(err.message, "AWS_ACCESS_KEY_ID"));
}

static void test_s3_metadata__tokens_go_to_no_stranger(void **state)
{
    static const char *const allowed[] = {"https://example.org/x", "http://127.0.0.1/x",
                                          "http://127.0.0.1:80/x", "http://localhost:1",
                                          "http://[::1]:90/",      "http://169.254.170.2/v2",
                                          "http://169.254.170.23", "http://[fd00:ec2::23]/v1"};
    static const char *const refused[] = {
        "http://example.org/", "http://127.0.0.1.example.org/",   "http://127.0.0.1@example.org/",
        "ftp://localhost/",    "http://localhost:1@example.org/", ""};

    (void)state;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        assert_true(s3_metadata_uri_is_allowed(allowed[i]));
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_false(s3_metadata_uri_is_allowed(refused[i]));
    }
}

#define DOCUMENT(id, expiration)                                                                   \
    "{\"AccessKeyId\":" id ",\"SecretAccessKey\":\"S\",\"Token\":\"T\",\"Expiration\":" expiration \
    "}"

static void test_s3_metadata__documents(void **state)
{
    static const struct {
        const char *text;
        enum nero_status status;
    } documents[] = {
        {DOCUMENT("\"A\"", "\"2026-11-23T05:41:33Z\""), NERO_OK},
        {DOCUMENT("\"A\"", "\"2026-11-23T05:41:33.123Z\""), NERO_OK},
        {DOCUMENT("\"A\"", "\"2026-11-23T05:41:33+00:00\""), NERO_OK},
        {DOCUMENT("\"A\"", "\"2026-11-23 05:41:33\""), NERO_CORRUPT},
        {DOCUMENT("\"A\"", "\"2026-13-23T05:41:33Z\""), NERO_CORRUPT},
        {DOCUMENT("\"A\"", "1795412493"), NERO_CORRUPT},
        {DOCUMENT("\"A\\r\\nB\"", "\"2026-11-23T05:41:33Z\""), NERO_CORRUPT},
        {DOCUMENT("\"\"", "\"2026-11-23T05:41:33Z\""), NERO_CORRUPT},
        {DOCUMENT("7", "\"2026-11-23T05:41:33Z\""), NERO_CORRUPT},
        {"{\"Code\":\"AssumeRoleUnauthorizedAccess\"}", NERO_DENIED},
        {"{\"AccessKeyId\":\"A\"", NERO_CORRUPT},
        {"[]", NERO_CORRUPT},
        {"", NERO_CORRUPT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        struct s3_credentials credentials = {0};
        struct nero_err err;

        assert_int_equal(s3_metadata_parse(bytes_view_str(documents[i].text), &credentials, &err),
                         documents[i].status);
        assert_int_equal(credentials.expires_ms / 1000,
                         documents[i].status == NERO_OK ? START_MS / 1000 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_s3_credentials__the_environment_is_first, reset),
        cmocka_unit_test_setup(test_s3_credentials__container, reset),
        cmocka_unit_test_setup(test_s3_credentials__services_are_asked_without_a_proxy, reset),
        cmocka_unit_test_setup(test_s3_credentials__a_container_token_in_a_file, reset),
        cmocka_unit_test_setup(test_s3_credentials__where_the_instance_service_is, reset),
        cmocka_unit_test_setup(test_s3_credentials__files_at_home, reset),
        cmocka_unit_test_setup(test_s3_credentials__instance_renews_before_expiry, reset),
        cmocka_unit_test_setup(test_s3_credentials__a_mere_no_is_doubted_now_and_then, reset),
        cmocka_unit_test_setup(test_s3_credentials__one_of_many_renews, reset),
        cmocka_unit_test_setup(test_s3_credentials__a_rotated_file, reset),
        cmocka_unit_test_setup(test_s3_credentials__nothing_is_denied, reset),
        cmocka_unit_test(test_s3_metadata__tokens_go_to_no_stranger),
        cmocka_unit_test(test_s3_metadata__documents),
    };

    return cmocka_run_group_tests(tests, start_service, stop_service);
}
