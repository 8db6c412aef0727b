#include "s3_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *get_system(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

const struct s3_environment *s3_environment_system(void)
{
    static const struct s3_environment system = {.get = get_system};

    return &system;
}

const char *s3_environment_get(const struct s3_environment *environment, const char *name)
{
    const char *value = environment->get(environment->context, name);

    return value != NULL && value[0] != 0 ? value : NULL;
}

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* AWS's rules, which every store's names keep that is reached by virtual host. */
static bool is_bucket(const char *name, size_t bytes)
{
    if (bytes < 3 || bytes >= S3_CONFIG_BUCKET_BYTES || !is_lower_or_digit(name[0]) ||
        !is_lower_or_digit(name[bytes - 1])) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (!is_lower_or_digit(name[i]) && name[i] != '-' &&
            (name[i] != '.' || name[i - 1] == '.')) {
            return false;
        }
    }
    return true;
}

static enum nero_status parse_place(const char *url, const char *place, struct s3_config *config,
                                    struct nero_err *err)
{
    size_t bucket_bytes = strcspn(place, "/");
    const char *prefix = place + bucket_bytes;
    size_t bytes;

    if (!is_bucket(place, bucket_bytes)) {
        return err_set(err, NERO_INVALID, 0,
                       "store '%s': a bucket has 3 to 63 of a-z 0-9 . -, with a letter or digit at "
                       "both ends",
                       url);
    }
    memcpy(config->bucket, place, bucket_bytes);
    config->bucket[bucket_bytes] = 0;
    config->prefix[0] = 0;
    prefix += prefix[0] == '/' ? 1 : 0;
    bytes = strlen(prefix);
    if (bytes > 0 && prefix[bytes - 1] == '/') {
        bytes--;
    }
    if (bytes == 0) {
        return prefix[0] == 0 ? NERO_OK
                              : err_set(err, NERO_INVALID, 0, "store '%s': an empty prefix", url);
    }
    if (bytes > S3_CONFIG_PREFIX_BYTES - 2) {
        return err_set(err, NERO_INVALID, 0, "store '%s': a prefix has at most %d bytes", url,
                       S3_CONFIG_PREFIX_BYTES - 2);
    }
    memcpy(config->prefix, prefix, bytes);
    config->prefix[bytes] = 0;
    if (storage_check_key(config->prefix, err) != NERO_OK) {
        return err_wrap(err, "store '%s'", url);
    }
    config->prefix[bytes] = '/';
    config->prefix[bytes + 1] = 0;
    return NERO_OK;
}

static bool is_host(const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        bool letter = (text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
                      (text[i] >= '0' && text[i] <= '9');

        if (!letter && strchr(".-:[]_", text[i]) == NULL) {
            return false;
        }
    }
    return bytes > 0;
}

/* "http[s]://host[:port]" to host, without the scheme's own port, as libcurl sends it. */
static enum nero_status parse_endpoint(const char *name, const char *endpoint, bool *tls,
                                       char host[S3_CONFIG_HOST_BYTES], struct nero_err *err)
{
    const char *start = endpoint;
    const char *port;
    size_t bytes;

    *tls = strncmp(endpoint, "https://", 8) == 0;
    start += *tls ? 8 : strncmp(endpoint, "http://", 7) == 0 ? 7 : 0;
    bytes = strlen(start);
    if (bytes > 0 && start[bytes - 1] == '/') {
        bytes--;
    }
    if (start == endpoint || bytes >= 256 || !is_host(start, bytes)) {
        return err_set(err, NERO_INVALID, 0, "%s is '%.80s', expected http[s]://host[:port]", name,
                       endpoint);
    }
    port = *tls ? ":443" : ":80";
    if (bytes > strlen(port) && memcmp(start + bytes - strlen(port), port, strlen(port)) == 0) {
        bytes -= strlen(port);
    }
    memcpy(host, start, bytes);
    host[bytes] = 0;
    return NERO_OK;
}

/* Host, scheme and style, which depend on the region where no endpoint is named. */
static enum nero_status find_host(struct s3_config *config,
                                  const struct s3_environment *environment, struct nero_err *err)
{
    const char *name = "AWS_ENDPOINT_URL_S3";
    const char *endpoint = s3_environment_get(environment, name);
    const char *style = s3_environment_get(environment, "NERO_S3_STYLE");
    char host[S3_CONFIG_HOST_BYTES];
    enum nero_status status;

    if (endpoint == NULL) {
        name = "AWS_ENDPOINT_URL";
        endpoint = s3_environment_get(environment, name);
    }
    if (endpoint != NULL) {
        status = parse_endpoint(name, endpoint, &config->tls, host, err);
        if (status != NERO_OK) {
            return status;
        }
        config->path_style = true;
    } else {
        config->tls = true;
        /* A wildcard certificate covers one label: a bucket with dots goes into the path. */
        config->path_style = strchr(config->bucket, '.') != NULL;
        (void)snprintf(host, sizeof host, "s3.%s.amazonaws.com%s", config->region,
                       strncmp(config->region, "cn-", 3) == 0 ? ".cn" : "");
    }
    if (style != NULL) {
        config->path_style = strcmp(style, "path") == 0;
        if (!config->path_style && strcmp(style, "virtual") != 0) {
            return err_set(err, NERO_INVALID, 0,
                           "NERO_S3_STYLE is '%.40s', expected path or "
                           "virtual",
                           style);
        }
    }
    if (config->path_style) {
        (void)snprintf(config->host, sizeof config->host, "%s", host);
    } else {
        (void)snprintf(config->host, sizeof config->host, "%s.%.255s", config->bucket, host);
    }
    return NERO_OK;
}

enum nero_status s3_config_set_region(struct s3_config *config,
                                      const struct s3_environment *environment, const char *region,
                                      struct nero_err *err)
{
    size_t bytes = strlen(region);

    for (size_t i = 0; i < bytes; i++) {
        if (bytes >= sizeof config->region || (!is_lower_or_digit(region[i]) && region[i] != '-')) {
            return err_set(err, NERO_INVALID, 0, "the region is '%.80s', expected a-z 0-9 -",
                           region);
        }
    }
    memcpy(config->region, region, bytes + 1);
    return find_host(config, environment, err);
}

static enum nero_status parse_payload(struct s3_config *config,
                                      const struct s3_environment *environment,
                                      struct nero_err *err)
{
    const char *payload = s3_environment_get(environment, "NERO_S3_PAYLOAD");

    config->unsigned_payload = payload != NULL && strcmp(payload, "unsigned") == 0;
    if (payload != NULL && !config->unsigned_payload && strcmp(payload, "signed") != 0) {
        return err_set(err, NERO_INVALID, 0,
                       "NERO_S3_PAYLOAD is '%.40s', expected signed or unsigned", payload);
    }
    if (config->unsigned_payload && !config->tls) {
        return err_set(err, NERO_INVALID, 0,
                       "NERO_S3_PAYLOAD=unsigned without TLS would leave bodies unguarded");
    }
    return NERO_OK;
}

enum nero_status s3_config_parse(const char *url, const char *place,
                                 const struct s3_environment *environment, struct s3_config *out,
                                 struct nero_err *err)
{
    struct s3_config config = {0};
    const char *region = s3_environment_get(environment, "AWS_REGION");
    const char *ca_bundle = s3_environment_get(environment, "AWS_CA_BUNDLE");
    enum nero_status status;

    region = region != NULL ? region : s3_environment_get(environment, "AWS_DEFAULT_REGION");
    config.region_is_default = region == NULL;
    if (ca_bundle != NULL && strlen(ca_bundle) >= sizeof config.ca_bundle) {
        return err_set(err, NERO_INVALID, 0, "AWS_CA_BUNDLE has more than %d bytes",
                       S3_CONFIG_PATH_BYTES - 1);
    }
    (void)snprintf(config.ca_bundle, sizeof config.ca_bundle, "%s",
                   ca_bundle != NULL ? ca_bundle : "");
    status = parse_place(url, place, &config, err);
    if (status == NERO_OK) {
        status =
            s3_config_set_region(&config, environment, region != NULL ? region : "us-east-1", err);
    }
    if (status == NERO_OK) {
        status = parse_payload(&config, environment, err);
    }
    if (status == NERO_OK) {
        *out = config;
    }
    return status;
}
