#include "nero/conf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_check.h"
#include "nero/mem.h"

enum { LOG_TEXT_BYTES = 400, READ_BYTES = 64 * 1024 };

/* What libcyaml says, its lines joined. */
struct said {
    char text[LOG_TEXT_BYTES];
};

static void listen(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct said *said = context;
    size_t used = strlen(said->text);

    (void)level;
    (void)vsnprintf(said->text + used, sizeof said->text - used, format, args);
    for (char *c = said->text + used; *c != 0; c++) {
        if (*c == '\n') {
            *c = c[1] == 0 ? 0 : ' ';
        }
    }
}

/* size 0 frees, as libcyaml wants it. */
static void *allocate(void *context, void *ptr, size_t size)
{
    (void)context;
    if (size == 0) {
        free(ptr);
        return NULL;
    }
    return mem_realloc(ptr, size);
}

static cyaml_config_t library_config(struct said *said)
{
    return (cyaml_config_t){.log_fn = said != NULL ? listen : NULL,
                            .log_ctx = said,
                            .mem_fn = allocate,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

static enum nero_status fill(const char *name, struct bytes_view text,
                             const struct cyaml_schema_value *schema, void **out,
                             struct nero_err *err)
{
    struct said said = {.text = ""};
    cyaml_config_t config = library_config(&said);
    cyaml_data_t *data = NULL;
    cyaml_err_t result = cyaml_load_data(text.data, text.bytes, &config, schema, &data, NULL);

    if (result == CYAML_ERR_OOM) {
        return err_set(err, NERO_NO_MEMORY, 0, "%s: no memory", name);
    }
    if (result != CYAML_OK) {
        return err_set(err, NERO_INVALID, 0, "%s: %s: %s", name, cyaml_strerror(result), said.text);
    }
    *out = data;
    return NERO_OK;
}

static enum nero_status apply_defaults(const struct conf_absent *absent, const void *defaults,
                                       void *loaded, struct nero_err *err)
{
    for (size_t i = 0; i < absent->count; i++) {
        const struct conf_absent_member *member = &absent->members[i];
        const char *from = (const char *)defaults + member->offset;
        char *to = (char *)loaded + member->offset;
        char *text;

        if (!member->is_text) {
            memcpy(to, from, member->bytes);
            continue;
        }
        memcpy(&text, from, sizeof text);
        if (text != NULL) {
            text = mem_strdup(text);
            if (text == NULL) {
                return err_set(err, NERO_NO_MEMORY, 0, "no memory for a default");
            }
        }
        memcpy(to, &text, sizeof text);
    }
    return NERO_OK;
}

enum nero_status conf_load_bytes(const char *name, struct bytes_view text,
                                 const struct cyaml_schema_value *schema, const void *defaults,
                                 void **out, struct nero_err *err)
{
    struct conf_absent absent = {0};
    enum nero_status status;
    void *loaded = NULL;
    bool empty = false;

    assert(schema->type == CYAML_MAPPING && (schema->flags & CYAML_FLAG_POINTER) != 0);
    if (text.bytes > CONF_BYTES_MAX) {
        return err_set(err, NERO_TOO_BIG, 0, "%s: more than %d bytes", name, CONF_BYTES_MAX);
    }
    status = conf_check(name, text, schema, &absent, &empty, err);
    if (status == NERO_OK && !empty) {
        status = fill(name, text, schema, &loaded, err);
    }
    if (status == NERO_OK && loaded == NULL) { /* libcyaml makes nothing of an empty mapping */
        loaded = mem_calloc(1, schema->data_size);
        if (loaded == NULL) {
            status = err_set(err, NERO_NO_MEMORY, 0, "%s: no memory", name);
        }
    }
    if (status == NERO_OK && defaults != NULL) {
        status = apply_defaults(&absent, defaults, loaded, err);
    }
    free(absent.members);
    if (status != NERO_OK) {
        conf_free(schema, loaded);
        return status;
    }
    *out = loaded;
    return NERO_OK;
}

static enum nero_status read_text(const char *path, struct bytes *text, struct nero_err *err)
{
    enum nero_status status = NERO_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 1;

    if (fd < 0) {
        return err_set(err, err_from_errno(errno), errno, "%s: %s", path, strerror(errno));
    }
    while (status == NERO_OK && got != 0) {
        size_t before = text->bytes;
        uint8_t *room;

        /* One byte over the limit is enough to know that it is over. */
        status = bytes_extend(text,
                              CONF_BYTES_MAX + 1 - before < READ_BYTES ? CONF_BYTES_MAX + 1 - before
                                                                       : READ_BYTES,
                              &room, err);
        if (status != NERO_OK) {
            break;
        }
        got = read(fd, room, text->bytes - before);
        text->bytes = before + (got > 0 ? (size_t)got : 0);
        if (got < 0 && errno != EINTR) {
            status = err_set(err, err_from_errno(errno), errno, "%s: %s", path, strerror(errno));
        }
    }
    (void)close(fd);
    return status;
}

enum nero_status conf_load_file(const char *path, const struct cyaml_schema_value *schema,
                                const void *defaults, void **out, struct nero_err *err)
{
    enum nero_status status;
    struct bytes text;

    bytes_init(&text, CONF_BYTES_MAX + 1);
    status = read_text(path, &text, err);
    if (status == NERO_OK) {
        status = conf_load_bytes(path, bytes_as_view(&text), schema, defaults, out, err);
    }
    bytes_fini(&text);
    return status;
}

void conf_free(const struct cyaml_schema_value *schema, void *loaded)
{
    cyaml_config_t config = library_config(NULL);

    if (loaded != NULL) {
        (void)cyaml_free(&config, schema, loaded, 0);
    }
}
