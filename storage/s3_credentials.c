#include "s3_credentials.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nero/file.h"
#include "nero/mem.h"
#include "nero/thread.h"
#include "s3_metadata.h"

enum {
    URL_BYTES = 1024,
    TOKEN_FILE_MAX = 4096,
    RETRY_MS = 30 * 1000,
    AGAIN_MS = 60 * 1000,
    DOUBT_MS = 5 * 60 * 1000 /* a lack of rights does not go away by asking a service again */
};

enum kind { KIND_FIXED, KIND_PROFILE, KIND_CONTAINER, KIND_INSTANCE };

struct s3_credentials_source {
    const struct clock_source *clock;
    const struct s3_environment *environment;
    enum kind kind;
    struct s3_http *http; /* NULL unless a service is asked */
    char url[URL_BYTES];
    char token[TOKEN_FILE_MAX];            /* of a container */
    char token_file[S3_CONFIG_PATH_BYTES]; /* or where it is read anew each time, for it rotates */
    struct thread_monitor monitor;         /* guards what follows */
    struct s3_credentials present;
    bool renewing;
    int64_t next_try_ms; /* of a renewal while the present ones are good */
    bool doubted;        /* a renewal is due: the store said no, and not why */
    int64_t doubt_ms;    /* before then such a no is no reason */
};

static enum nero_status take_variable(const struct s3_environment *environment, const char *name,
                                      char *out, size_t out_bytes, struct nero_err *err)
{
    const char *value = s3_environment_get(environment, name);

    if (value != NULL && !s3_credentials_copy(out, out_bytes, value, strlen(value))) {
        return err_set(err, NERO_INVALID, 0,
                       "%s is too long or has a character that is not "
                       "allowed",
                       name);
    }
    return NERO_OK;
}

static enum nero_status from_environment(const struct s3_environment *environment,
                                         struct s3_credentials *out, struct nero_err *err)
{
    enum nero_status status = take_variable(environment, "AWS_ACCESS_KEY_ID", out->access_key,
                                            sizeof out->access_key, err);

    if (status == NERO_OK) {
        status = take_variable(environment, "AWS_SECRET_ACCESS_KEY", out->secret_key,
                               sizeof out->secret_key, err);
    }
    if (status == NERO_OK) {
        status =
            take_variable(environment, "AWS_SESSION_TOKEN", out->token, sizeof out->token, err);
    }
    if (status == NERO_OK && (out->access_key[0] == 0) != (out->secret_key[0] == 0)) {
        status = err_set(err, NERO_INVALID, 0,
                         "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set");
    }
    return status;
}

static enum nero_status choose_container(struct s3_credentials_source *source,
                                         const struct s3_credentials_options *options,
                                         const char *relative, const char *full,
                                         struct nero_err *err)
{
    const char *base =
        options->container_base != NULL ? options->container_base : "http://169.254.170.2";
    const char *file =
        s3_environment_get(options->environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    int bytes;

    source->kind = KIND_CONTAINER;
    if (relative != NULL) {
        bytes = snprintf(source->url, sizeof source->url, "%s%s", base, relative);
    } else if (s3_metadata_uri_is_allowed(full)) {
        bytes = snprintf(source->url, sizeof source->url, "%s", full);
    } else {
        return err_set(err, NERO_INVALID, 0,
                       "AWS_CONTAINER_CREDENTIALS_FULL_URI is '%.80s': allowed are https and http "
                       "to this machine",
                       full);
    }
    if (bytes < 0 || (size_t)bytes >= sizeof source->url) {
        return err_set(err, NERO_INVALID, 0, "the URI of the container's credentials is too long");
    }
    if (file != NULL) {
        if (strlen(file) >= sizeof source->token_file) {
            return err_set(err, NERO_INVALID, 0,
                           "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is too "
                           "long");
        }
        memcpy(source->token_file, file, strlen(file) + 1);
        return NERO_OK;
    }
    return take_variable(options->environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN", source->token,
                         sizeof source->token, err);
}

static void choose_instance(struct s3_credentials_source *source,
                            const struct s3_credentials_options *options)
{
    const char *base = options->metadata_base;
    size_t bytes;

    if (base == NULL) {
        base = s3_environment_get(options->environment, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    }
    source->kind = KIND_INSTANCE;
    (void)snprintf(source->url, sizeof source->url, "%.500s",
                   base != NULL ? base : "http://169.254.169.254");
    bytes = strlen(source->url);
    if (bytes > 0 && source->url[bytes - 1] == '/') {
        source->url[bytes - 1] = 0;
    }
}

static enum nero_status choose(struct s3_credentials_source *source,
                               const struct s3_credentials_options *options,
                               const struct s3_profile *profile, struct nero_err *err)
{
    const struct s3_environment *environment = options->environment;
    const char *relative =
        s3_environment_get(environment, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = s3_environment_get(environment, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *disabled = s3_environment_get(environment, "AWS_EC2_METADATA_DISABLED");
    enum nero_status status = from_environment(environment, &source->present, err);

    if (status != NERO_OK || source->present.access_key[0] != 0) {
        return status;
    }
    if (profile->credentials.access_key[0] != 0) {
        source->kind = KIND_PROFILE;
        return NERO_OK; /* read by the first that needs them */
    }
    if (relative != NULL || full != NULL) {
        return choose_container(source, options, relative, full, err);
    }
    if (disabled != NULL && strcmp(disabled, "true") == 0) {
        return err_set(err, NERO_DENIED, 0,
                       "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a "
                       "profile in ~/.aws/credentials");
    }
    choose_instance(source, options);
    return NERO_OK;
}

static enum nero_status create_http(struct s3_credentials_source *source, int64_t request_ms,
                                    struct nero_err *err)
{
    struct s3_http_options options = s3_http_defaults();

    options.request_ms = request_ms > 0 ? request_ms : 2000;
    options.connect_ms = options.request_ms;
    options.no_proxy = true; /* which would learn our keys, or have none of its own to give */
    return s3_http_create(&options, &source->http, err);
}

enum nero_status s3_credentials_create(const struct s3_credentials_options *options,
                                       char region[S3_CONFIG_REGION_BYTES],
                                       struct s3_credentials_source **out, struct nero_err *err)
{
    struct s3_credentials_source *source = mem_calloc(1, sizeof *source);
    struct s3_profile *profile = mem_calloc(1, sizeof *profile);
    enum nero_status status;

    if (source == NULL || profile == NULL) {
        free(source);
        free(profile);
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for credentials");
    }
    source->clock = options->clock;
    source->environment = options->environment;
    status = thread_monitor_init(&source->monitor, err);
    if (status != NERO_OK) {
        free(source);
        free(profile);
        return status;
    }
    status = s3_profile_load(options->environment, profile, err);
    if (status == NERO_OK) {
        status = choose(source, options, profile, err);
    }
    if (status == NERO_OK && source->kind >= KIND_CONTAINER) {
        status = create_http(source, options->request_ms, err);
    }
    if (status == NERO_OK) {
        memcpy(region, profile->region, sizeof profile->region);
        *out = source;
    } else {
        s3_credentials_destroy(source);
    }
    sodium_memzero(profile, sizeof *profile);
    free(profile);
    return status;
}

void s3_credentials_destroy(struct s3_credentials_source *source)
{
    if (source != NULL) {
        s3_http_destroy(source->http);
        thread_monitor_fini(&source->monitor);
        sodium_memzero(source, sizeof *source);
        free(source);
    }
}

/* Read the container's token; the file is the service's own and may change at any time. */
static enum nero_status read_token(const struct s3_credentials_source *source,
                                   char token[TOKEN_FILE_MAX], struct nero_err *err)
{
    enum nero_status status;
    struct bytes text;

    if (source->token_file[0] == 0) {
        memcpy(token, source->token, TOKEN_FILE_MAX);
        return NERO_OK;
    }
    bytes_init(&text, TOKEN_FILE_MAX);
    status = file_read(source->token_file, &text, err);
    while (status == NERO_OK && text.bytes > 0 &&
           (text.data[text.bytes - 1] == '\n' || text.data[text.bytes - 1] == '\r')) {
        text.bytes--;
    }
    if (status == NERO_OK &&
        !s3_credentials_copy(token, TOKEN_FILE_MAX, (const char *)text.data, text.bytes)) {
        status = err_set(err, NERO_INVALID, 0, "%.200s: no token", source->token_file);
    }
    bytes_fini(&text);
    return status;
}

/* The files, as they are now: whoever rotates the keys in them need not restart us. */
static enum nero_status read_profile(const struct s3_credentials_source *source,
                                     struct s3_credentials *out, struct nero_err *err)
{
    struct s3_profile *profile = mem_calloc(1, sizeof *profile);
    enum nero_status status;

    if (profile == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for credentials");
    }
    status = s3_profile_load(source->environment, profile, err);
    if (status == NERO_OK && profile->credentials.access_key[0] == 0) {
        status = err_set(err, NERO_DENIED, 0, "the profile has no credentials any more");
    }
    if (status == NERO_OK) {
        *out = profile->credentials;
    }
    sodium_memzero(profile, sizeof *profile);
    free(profile);
    return status;
}

static enum nero_status fetch(struct s3_credentials_source *source, struct s3_credentials *out,
                              struct nero_err *err)
{
    char token[TOKEN_FILE_MAX] = "";
    enum nero_status status;

    if (source->kind == KIND_PROFILE) {
        return read_profile(source, out, err);
    }
    if (source->kind == KIND_INSTANCE) {
        status = s3_metadata_instance(source->http, source->url, out, err);
    } else {
        status = read_token(source, token, err);
        if (status == NERO_OK) {
            status = s3_metadata_container(source->http, source->url, token[0] != 0 ? token : NULL,
                                           out, err);
        }
        sodium_memzero(token, sizeof token);
    }
    if (status == NERO_OK && out->expires_ms <= clock_wall_ms(source->clock)) {
        status = err_set(err, NERO_DENIED, 0, "the credentials service gives expired credentials");
    }
    return status;
}

/* Inside the monitor. What comes from a service is good until it expires, else nobody says when. */
static bool is_good(const struct s3_credentials_source *source, int64_t now_ms)
{
    return source->kind == KIND_FIXED ||
           (source->present.access_key[0] != 0 &&
            (source->kind == KIND_PROFILE || now_ms < source->present.expires_ms));
}

/* A renewal is due in the last minutes, and where there is nothing good; a file's every minute. */
static bool is_due(const struct s3_credentials_source *source, int64_t now_ms)
{
    bool soon = source->kind == KIND_PROFILE || source->doubted ||
                now_ms >= source->present.expires_ms - S3_CREDENTIALS_RENEW_MS;

    return source->kind != KIND_FIXED &&
           (!is_good(source, now_ms) || (soon && now_ms >= source->next_try_ms));
}

enum nero_status s3_credentials_get(struct s3_credentials_source *source,
                                    struct s3_credentials *out, struct nero_err *err)
{
    enum nero_status status = NERO_OK;
    int64_t now_ms = clock_wall_ms(source->clock);
    struct s3_credentials fresh = {0};
    bool good;

    thread_monitor_enter(&source->monitor);
    while (source->renewing && !is_good(source, now_ms)) {
        thread_monitor_wait(&source->monitor); /* its fetch ends by its deadline */
        now_ms = clock_wall_ms(source->clock);
    }
    if (is_due(source, now_ms) && !source->renewing) {
        source->renewing = true;
        thread_monitor_leave(&source->monitor);
        status = fetch(source, &fresh, err);
        thread_monitor_enter(&source->monitor);
        source->renewing = false;
        source->doubted = false;
        if (status == NERO_OK) {
            source->present = fresh;
        }
        source->next_try_ms = now_ms + (status == NERO_OK ? AGAIN_MS : RETRY_MS);
        thread_monitor_wake_all(&source->monitor);
    }
    good = is_good(source, now_ms);
    if (good) {
        *out = source->present;
    }
    thread_monitor_leave(&source->monitor);
    sodium_memzero(&fresh, sizeof fresh);
    return good ? NERO_OK : err_wrap(err, "no credentials");
}

bool s3_credentials_refused(struct s3_credentials_source *source, const struct s3_credentials *used,
                            bool expired)
{
    int64_t now_ms = clock_wall_ms(source->clock);
    bool again = true;

    if (source->kind == KIND_FIXED) {
        return false;
    }
    thread_monitor_enter(&source->monitor);
    if (strcmp(source->present.access_key, used->access_key) == 0 &&
        strcmp(source->present.token, used->token) == 0) {
        if (expired) {
            source->present.expires_ms = 0; /* of a service: no longer good */
        } else if (source->kind != KIND_PROFILE) {
            again = now_ms >= source->doubt_ms;
            source->doubted = again;
            source->doubt_ms = again ? now_ms + DOUBT_MS : source->doubt_ms;
        }
        source->next_try_ms = again ? 0 : source->next_try_ms;
    }
    thread_monitor_leave(&source->monitor);
    return again;
}
