#include "runner_watch.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/bytes.h"
#include "nero/clock.h"
#include "nero/log.h"
#include "nero/mem.h"
#include "nero/thread.h"

enum {
    CONNECT_MS = 1000,
    REQUEST_MS = 3000,
    POLL_MS = 1000,
    POLL_RARELY_MS = 60000, /* of a service that does not answer */
    ANSWER_BYTES_MAX = 64 * 1024,
    URL_BYTES = 512,
    TOKEN_BYTES = 512,
    NAME_BYTES = 256,
    AWS_LEAD_MS = 120000,
    SHORT_LEAD_MS = 30000 /* GCE; the least of Azure */
};

struct runner_watch {
    enum runner_watch_platform platform;
    char base[URL_BYTES / 2];
    struct thread thread;
    struct thread_stop stop;

    struct thread_monitor monitor; /* guards the next */
    struct runner_watch_view view;

    /* The watching thread's own. */
    CURL *curl;
    struct bytes answer;
    char token_header[TOKEN_BYTES + 64]; /* AWS: of the session; "": none yet */
    char name[NAME_BYTES];               /* Azure: of this machine; "": not known yet */
};

/* ---- which platform ---- */

static const char azure_asset_tag[] = "7783-7084-3265-9085-8269-3286-77";

enum runner_watch_platform runner_watch_platform_of(const char *vendor, const char *asset_tag)
{
    if (strcmp(vendor, "Amazon EC2") == 0) {
        return RUNNER_WATCH_AWS;
    }
    if (strcmp(vendor, "Google") == 0) {
        return RUNNER_WATCH_GCE;
    }
    if (strcmp(vendor, "Microsoft Corporation") == 0 && strcmp(asset_tag, azure_asset_tag) == 0) {
        return RUNNER_WATCH_AZURE;
    }
    return RUNNER_WATCH_NONE;
}

/* The first line of a small file; "" where there is none. */
static void read_line(const char *path, char *out, int out_bytes)
{
    FILE *file = fopen(path, "r");

    if (file == NULL || fgets(out, out_bytes, file) == NULL) {
        out[0] = 0;
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    out[strcspn(out, "\n")] = 0;
}

enum nero_status runner_watch_parse(const char *text, enum runner_watch_platform *out,
                                    struct nero_err *err)
{
    static const struct {
        const char *name;
        enum runner_watch_platform platform;
    } known[] = {{"none", RUNNER_WATCH_NONE},
                 {"aws", RUNNER_WATCH_AWS},
                 {"gce", RUNNER_WATCH_GCE},
                 {"azure", RUNNER_WATCH_AZURE}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(text, known[i].name) == 0) {
            *out = known[i].platform;
            return NERO_OK;
        }
    }
    if (strcmp(text, "auto") == 0) {
        char vendor[64];
        char asset_tag[64];

        read_line("/sys/class/dmi/id/sys_vendor", vendor, sizeof vendor);
        read_line("/sys/class/dmi/id/chassis_asset_tag", asset_tag, sizeof asset_tag);
        *out = runner_watch_platform_of(vendor, asset_tag);
        return NERO_OK;
    }
    return err_set(err, NERO_INVALID, 0, "'%.40s': expected auto, aws, gce, azure or none", text);
}

/* ---- one request ---- */

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct nero_err ignored;

    return bytes_append(context, data, size * count, &ignored) == NERO_OK ? size * count : 0;
}

static int look_at_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return thread_stop_is_raised(context);
}

/* The HTTP status, the body in watch->answer as text; 0: no answer. */
static long ask(struct runner_watch *watch, const char *method, const char *path,
                const char *header)
{
    struct curl_slist *headers = curl_slist_append(NULL, header);
    char url[URL_BYTES];
    long code = 0;
    struct nero_err ignored;

    (void)snprintf(url, sizeof url, "%s%s", watch->base, path);
    bytes_clear(&watch->answer);
    curl_easy_reset(watch->curl);
    (void)curl_easy_setopt(watch->curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(watch->curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(watch->curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(watch->curl, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(watch->curl, CURLOPT_PROXY, ""); /* the service is this machine's own */
    (void)curl_easy_setopt(watch->curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(watch->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(watch->curl, CURLOPT_TIMEOUT_MS, (long)REQUEST_MS);
    (void)curl_easy_setopt(watch->curl, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(watch->curl, CURLOPT_WRITEDATA, &watch->answer);
    (void)curl_easy_setopt(watch->curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(watch->curl, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    (void)curl_easy_setopt(watch->curl, CURLOPT_XFERINFODATA, &watch->stop);
    if (headers == NULL || curl_easy_perform(watch->curl) != CURLE_OK ||
        curl_easy_getinfo(watch->curl, CURLINFO_RESPONSE_CODE, &code) != CURLE_OK ||
        bytes_terminate(&watch->answer, &ignored) != NERO_OK) {
        code = 0;
    }
    curl_slist_free_all(headers);
    return code;
}

static const char *answer_text(const struct runner_watch *watch)
{
    return (const char *)watch->answer.data;
}

/* ---- what an answer means ---- */

static void set_view(struct runner_watch *watch, const struct runner_watch_view *view)
{
    thread_monitor_enter(&watch->monitor);
    watch->view = *view;
    thread_monitor_leave(&watch->monitor);
}

/* `end_ms`: wall clock, 0 where it was not said; a wrong clock cannot move it beyond the lead. */
static void announce(struct runner_watch *watch, const char *why, int64_t end_ms, int64_t lead_ms)
{
    int64_t left_ms = end_ms == 0 ? lead_ms : end_ms - clock_wall_ms(clock_system());
    struct runner_watch_view view = {.threatened = true, .announced = true, .why = why};

    view.at_once = lead_ms <= SHORT_LEAD_MS;
    left_ms = left_ms < 0 ? 0 : left_ms > lead_ms ? lead_ms : left_ms;
    view.kill_ns = clock_mono_ns(clock_system()) + left_ms * 1000000;
    set_view(watch, &view);
    log_line(LOG_WARN, "notice.received", NULL, "from=\"%s\" left_s=%.1f", why,
             (double)left_ms * 1e-3);
}

/* A word that may be sent back in a header or compared: printable, without spaces. */
static bool take_word(const struct runner_watch *watch, char *out, size_t out_bytes)
{
    size_t bytes = strcspn(answer_text(watch), "\r\n");

    if (bytes == 0 || bytes >= out_bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (answer_text(watch)[i] <= ' ' || answer_text(watch)[i] > '~') {
            return false;
        }
    }
    memcpy(out, answer_text(watch), bytes);
    out[bytes] = 0;
    return true;
}

static bool aws_token(struct runner_watch *watch)
{
    char token[TOKEN_BYTES];

    if (watch->token_header[0] == 0 &&
        ask(watch, "PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 21600") ==
            200 &&
        take_word(watch, token, sizeof token)) {
        (void)snprintf(watch->token_header, sizeof watch->token_header,
                       "X-aws-ec2-metadata-token: %s", token);
    }
    return watch->token_header[0] != 0;
}

/* {"action": "terminate", "time": "2017-09-18T08:22:00Z"} */
static void aws_action(struct runner_watch *watch)
{
    json_t *document = json_loads(answer_text(watch), 0, NULL);
    const char *time = json_string_value(json_object_get(document, "time"));
    int64_t end_ms = 0;

    if (time == NULL || !clock_parse_utc(time, &end_ms)) {
        end_ms = 0;
    }
    announce(watch, "AWS spot interruption", end_ms, AWS_LEAD_MS);
    json_decref(document);
}

/* Each returns whether the service answered sensibly. */
static bool poll_aws(struct runner_watch *watch)
{
    static const struct runner_watch_view threatened = {.threatened = true};
    long code = 401;

    for (int tries = 0; tries < 2 && code == 401; tries++) {
        if (tries > 0) {
            watch->token_header[0] = 0; /* the session is over: a new one */
        }
        if (!aws_token(watch)) {
            return false;
        }
        code = ask(watch, "GET", "/latest/meta-data/spot/instance-action", watch->token_header);
    }
    if (code == 200) {
        aws_action(watch);
        return true;
    }
    if (code != 404) {
        return false;
    }
    if (!watch->view.threatened &&
        ask(watch, "GET", "/latest/meta-data/events/recommendations/rebalance",
            watch->token_header) == 200) {
        log_line(LOG_WARN, "notice.rebalance", NULL, "an interruption is likely");
        set_view(watch, &threatened);
    }
    return true;
}

static bool poll_gce(struct runner_watch *watch)
{
    if (ask(watch, "GET", "/computeMetadata/v1/instance/preempted", "Metadata-Flavor: Google") !=
        200) {
        return false;
    }
    if (strncmp(answer_text(watch), "TRUE", 4) == 0) {
        announce(watch, "GCE preemption", 0, SHORT_LEAD_MS);
    }
    return true;
}

/* An event of a scale set names the machines that it is about. */
static bool azure_concerns(const struct runner_watch *watch, const json_t *event)
{
    const json_t *resources = json_object_get(event, "Resources");
    size_t count = json_array_size(resources);

    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(resources, i));

        if (name != NULL && strcasecmp(name, watch->name) == 0) {
            return true;
        }
    }
    return false;
}

static bool poll_azure(struct runner_watch *watch)
{
    static const char header[] = "Metadata: true";
    json_t *document;
    json_t *event;
    json_t *events;
    size_t i;

    if (watch->name[0] == 0 &&
        (ask(watch, "GET", "/metadata/instance/compute/name?api-version=2021-02-01&format=text",
             header) != 200 ||
         !take_word(watch, watch->name, sizeof watch->name))) {
        return false;
    }
    if (ask(watch, "GET", "/metadata/scheduledevents?api-version=2020-07-01", header) != 200) {
        return false;
    }
    document = json_loads(answer_text(watch), 0, NULL);
    events = json_object_get(document, "Events");
    json_array_foreach(events, i, event)
    {
        const char *type = json_string_value(json_object_get(event, "EventType"));
        const char *time = json_string_value(json_object_get(event, "NotBefore"));

        if (type != NULL && strcmp(type, "Preempt") == 0 && azure_concerns(watch, event)) {
            time_t end_s = time != NULL && time[0] != 0 ? curl_getdate(time, NULL) : -1;

            announce(watch, "Azure preemption", end_s > 0 ? (int64_t)end_s * 1000 : 0,
                     SHORT_LEAD_MS);
            break;
        }
    }
    json_decref(document);
    return json_is_array(events);
}

static bool poll_once(struct runner_watch *watch)
{
    switch (watch->platform) {
    case RUNNER_WATCH_AWS:
        return poll_aws(watch);
    case RUNNER_WATCH_GCE:
        return poll_gce(watch);
    case RUNNER_WATCH_AZURE:
        return poll_azure(watch);
    case RUNNER_WATCH_NONE:
        break;
    }
    return false;
}

/* Until an end is announced, which is never taken back. */
static void watch_main(void *argument)
{
    struct runner_watch *watch = argument;
    int64_t wait_ms = POLL_MS;

    while (!watch->view.announced) { /* only this thread writes it */
        if (poll_once(watch)) {
            wait_ms = POLL_MS;
        } else {
            wait_ms = 2 * wait_ms < POLL_RARELY_MS ? 2 * wait_ms : POLL_RARELY_MS;
        }
        if (thread_stop_wait_ms(&watch->stop, wait_ms)) {
            return;
        }
    }
}

/* ---- the main thread ---- */

static const char *address_of(enum runner_watch_platform platform)
{
    return platform == RUNNER_WATCH_GCE ? "http://metadata.google.internal"
                                        : "http://169.254.169.254";
}

static void destroy(struct runner_watch *watch)
{
    if (watch->curl != NULL) {
        curl_easy_cleanup(watch->curl);
    }
    bytes_fini(&watch->answer);
    thread_stop_fini(&watch->stop);
    free(watch);
}

enum nero_status runner_watch_start(enum runner_watch_platform platform, const char *base,
                                    struct runner_watch **out, struct nero_err *err)
{
    struct runner_watch *watch;

    *out = NULL;
    if (platform == RUNNER_WATCH_NONE) {
        return NERO_OK;
    }
    watch = mem_calloc(1, sizeof *watch);
    if (watch == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "notice watcher: no memory");
    }
    watch->platform = platform;
    (void)snprintf(watch->base, sizeof watch->base, "%s",
                   base != NULL ? base : address_of(platform));
    bytes_init(&watch->answer, ANSWER_BYTES_MAX);
    if (thread_stop_init(&watch->stop, err) != NERO_OK) {
        free(watch);
        return err_wrap(err, "notice watcher");
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        (watch->curl = curl_easy_init()) == NULL) {
        destroy(watch);
        return err_set(err, NERO_NO_MEMORY, 0, "notice watcher: libcurl does not start");
    }
    if (thread_monitor_init(&watch->monitor, err) != NERO_OK) {
        destroy(watch);
        return err_wrap(err, "notice watcher");
    }
    if (thread_start(&watch->thread, "nero-notice", watch_main, watch, err) != NERO_OK) {
        thread_monitor_fini(&watch->monitor);
        destroy(watch);
        return err_wrap(err, "notice watcher");
    }
    *out = watch;
    return NERO_OK;
}

void runner_watch_end(struct runner_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    thread_stop_raise(&watch->stop);
    thread_join(&watch->thread);
    thread_monitor_fini(&watch->monitor);
    destroy(watch);
}

void runner_watch_look(struct runner_watch *watch, struct runner_watch_view *out)
{
    if (watch == NULL) {
        *out = (struct runner_watch_view){.threatened = false};
        return;
    }
    thread_monitor_enter(&watch->monitor);
    *out = watch->view;
    thread_monitor_leave(&watch->monitor);
}
