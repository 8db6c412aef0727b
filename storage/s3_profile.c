#include "s3_profile.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "nero/file.h"

bool s3_credentials_copy(char *out, size_t out_bytes, const char *text, size_t bytes)
{
    if (bytes >= out_bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    memcpy(out, text, bytes);
    out[bytes] = 0;
    return true;
}

static bool equals(const char *text, size_t bytes, const char *wanted)
{
    return strlen(wanted) == bytes && memcmp(text, wanted, bytes) == 0;
}

static void trim(const char **text, size_t *bytes)
{
    while (*bytes > 0 && (**text == ' ' || **text == '\t')) {
        (*text)++;
        (*bytes)--;
    }
    while (*bytes > 0 && strchr(" \t\r", (*text)[*bytes - 1]) != NULL && (*text)[*bytes - 1] != 0) {
        (*bytes)--;
    }
}

/* Whether "[...]" names the profile. */
static bool is_section(const char *line, size_t bytes, const char *profile, bool is_config)
{
    line++;
    bytes -= 2;
    trim(&line, &bytes);
    if (is_config && bytes > 8 && memcmp(line, "profile", 7) == 0 &&
        (line[7] == ' ' || line[7] == '\t')) {
        line += 8;
        bytes -= 8;
        trim(&line, &bytes);
        return equals(line, bytes, profile);
    }
    return (!is_config || strcmp(profile, "default") == 0) && equals(line, bytes, profile);
}

/* One "name = value" of the section. False where the value cannot be taken. */
static bool take_setting(struct s3_profile *out, const char *name, size_t name_bytes,
                         const char *value, size_t bytes)
{
    static const char *const others[] = {"credential_process", "role_arn", "sso_session",
                                         "sso_start_url", "web_identity_token_file"};
    struct s3_credentials *credentials = &out->credentials;
    const struct {
        const char *name;
        char *out;
        size_t bytes;
    } known[] = {
        {"aws_access_key_id", credentials->access_key, sizeof credentials->access_key},
        {"aws_secret_access_key", credentials->secret_key, sizeof credentials->secret_key},
        {"aws_session_token", credentials->token, sizeof credentials->token},
        {"region", out->region, sizeof out->region},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (equals(name, name_bytes, known[i].name)) {
            return known[i].out[0] != 0 ||
                   s3_credentials_copy(known[i].out, known[i].bytes, value, bytes);
        }
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (equals(name, name_bytes, others[i])) {
            (void)snprintf(out->unsupported, sizeof out->unsupported, "%s", others[i]);
        }
    }
    return true;
}

/* A blank before '#' or ';' begins a comment. */
static size_t without_comment(const char *value, size_t bytes)
{
    for (size_t i = 1; i < bytes; i++) {
        if ((value[i] == '#' || value[i] == ';') && (value[i - 1] == ' ' || value[i - 1] == '\t')) {
            return i;
        }
    }
    return bytes;
}

/* A line inside the wanted section. */
static enum nero_status parse_line(const char *name, size_t number, const char *line, size_t bytes,
                                   struct s3_profile *out, struct nero_err *err)
{
    const char *equal = memchr(line, '=', bytes);
    const char *value;
    size_t name_bytes;
    size_t value_bytes;

    if (line[0] == ' ' || line[0] == '\t') {
        return NERO_OK; /* belongs to the name above */
    }
    if (equal == NULL) {
        return err_set(err, NERO_INVALID, 0, "%s:%zu: expected name = value", name, number);
    }
    name_bytes = (size_t)(equal - line);
    value = equal + 1;
    value_bytes = without_comment(value, bytes - name_bytes - 1);
    trim(&line, &name_bytes);
    trim(&value, &value_bytes);
    if (!take_setting(out, line, name_bytes, value, value_bytes)) {
        return err_set(err, NERO_INVALID, 0,
                       "%s:%zu: '%.*s' is too long or has a character that "
                       "is not allowed",
                       name, number, (int)(name_bytes < 40 ? name_bytes : 40), line);
    }
    return NERO_OK;
}

enum nero_status s3_profile_parse(const char *name, struct bytes_view text, const char *profile,
                                  bool is_config, struct s3_profile *out, struct nero_err *err)
{
    const char *at = (const char *)text.data;
    size_t left = text.bytes;
    bool inside = false;

    for (size_t number = 1; left > 0; number++) {
        const char *end = memchr(at, '\n', left);
        size_t bytes = end != NULL ? (size_t)(end - at) : left;
        const char *start = at;
        const char *line = start;
        size_t line_bytes = bytes;

        at += end != NULL ? bytes + 1 : bytes;
        left -= end != NULL ? bytes + 1 : bytes;
        trim(&line, &line_bytes);
        if (line_bytes == 0 || line[0] == '#' || line[0] == ';') {
            continue;
        }
        if (line[0] == '[') {
            line_bytes = without_comment(line, line_bytes);
            trim(&line, &line_bytes);
            if (line_bytes < 2 || line[line_bytes - 1] != ']') {
                return err_set(err, NERO_INVALID, 0, "%s:%zu: a section without ']'", name, number);
            }
            inside = is_section(line, line_bytes, profile, is_config);
            out->found = out->found || inside;
        } else if (inside) {
            size_t indent = (size_t)(line - start);
            enum nero_status status =
                parse_line(name, number, start, line_bytes + indent, out, err);

            if (status != NERO_OK) {
                return status;
            }
        }
    }
    return NERO_OK;
}

/* The file that `variable` names, else ~/.aws/`fallback`. */
static enum nero_status load_file(const struct s3_environment *environment, const char *variable,
                                  const char *fallback, const char *profile, bool is_config,
                                  struct s3_profile *out, struct nero_err *err)
{
    const char *path = s3_environment_get(environment, variable);
    const char *home = s3_environment_get(environment, "HOME");
    char at_home[S3_CONFIG_PATH_BYTES];
    enum nero_status status;
    struct bytes text;

    if (path == NULL) {
        if (home == NULL || strlen(home) + strlen(fallback) + 8 > sizeof at_home) {
            return NERO_OK;
        }
        (void)snprintf(at_home, sizeof at_home, "%s/.aws/%s", home, fallback);
        path = at_home;
    }
    bytes_init(&text, S3_PROFILE_FILE_MAX);
    status = file_read(path, &text, err);
    if (status == NERO_OK) {
        status = s3_profile_parse(path, bytes_as_view(&text), profile, is_config, out, err);
    } else if (status == NERO_NOT_FOUND) {
        status = NERO_OK;
    }
    if (text.capacity > 0) {
        sodium_memzero(text.data, text.capacity);
    }
    bytes_fini(&text);
    return status;
}

enum nero_status s3_profile_load(const struct s3_environment *environment, struct s3_profile *out,
                                 struct nero_err *err)
{
    const char *named = s3_environment_get(environment, "AWS_PROFILE");
    const char *profile = named != NULL ? named : "default";
    enum nero_status status;

    *out = (struct s3_profile){0};
    status = load_file(environment, "AWS_SHARED_CREDENTIALS_FILE", "credentials", profile, false,
                       out, err);
    if (status == NERO_OK) {
        status = load_file(environment, "AWS_CONFIG_FILE", "config", profile, true, out, err);
    }
    if (status != NERO_OK) {
        return status;
    }
    if (named != NULL && !out->found) {
        return err_set(err, NERO_INVALID, 0, "no file has the profile '%.80s' (AWS_PROFILE)",
                       profile);
    }
    if ((out->credentials.access_key[0] == 0) != (out->credentials.secret_key[0] == 0)) {
        return err_set(err, NERO_INVALID, 0, "profile '%.80s' has only half of a key pair",
                       profile);
    }
    if (out->credentials.access_key[0] == 0 && out->unsupported[0] != 0) {
        return err_set(err, NERO_INVALID, 0,
                       "profile '%.80s' gets its credentials by %s, which is not supported; put "
                       "them into the environment (aws configure export-credentials)",
                       profile, out->unsupported);
    }
    return NERO_OK;
}
