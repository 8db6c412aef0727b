#include "audit_world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct audit_world world;

static enum nero_status note_key(void *context, const char *key, uint64_t bytes,
                                 struct nero_err *err)
{
    (void)context;
    (void)bytes;
    (void)err;
    assert_true(world.key_count < WORLD_OBJECTS_MAX);
    (void)snprintf(world.keys[world.key_count++], LAYOUT_KEY_BYTES, "%s", key);
    return NERO_OK;
}

static int make(const struct fabricate_options *options)
{
    struct nero_err err;

    world.key_count = 0;
    if (temp_folder_make(world.folder, NULL) != 0) {
        return -1;
    }
    fabricate_run(&world.run, world.folder, "made-up", options);
    return storage_list_each(world.run.store, "", note_key, NULL, &err) == NERO_OK ? 0 : -1;
}

int audit_world_setup(void **state)
{
    struct fabricate_options options = fabricate_defaults();

    (void)state;
    return make(&options);
}

int audit_world_setup_extended(void **state)
{
    struct fabricate_options options = fabricate_defaults();

    (void)state;
    options.submitted = 1; /* no champion then, so that the last record has a witness */
    return make(&options);
}

int audit_world_setup_attempts(void **state)
{
    struct fabricate_options options = fabricate_defaults();

    (void)state;
    options.attempts = true;
    return make(&options);
}

int audit_world_teardown(void **state)
{
    (void)state;
    fabricate_fini(&world.run);
    temp_folder_remove(world.folder);
    return 0;
}

struct audit_report audit_world_audit(void)
{
    struct audit_options options = {.root = world.run.root.public_key};
    struct audit_report report;
    struct nero_err err;

    if (audit_run(world.run.store, world.run.name, &options, &report, &err) != NERO_OK) {
        fail_msg("the audit ended: %s", err.message);
    }
    return report;
}

void audit_world_clean(void)
{
    struct audit_report report = audit_world_audit();

    for (uint32_t i = 0; i < report.finding_count; i++) {
        print_error("%s: %s\n", report.findings[i].artifact, report.findings[i].what);
    }
    assert_int_equal(report.finding_count, 0);
    audit_report_fini(&report);
}

uint32_t audit_world_named(const struct audit_report *report, const char *key)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < report->finding_count; i++) {
        count += strcmp(report->findings[i].artifact, key) == 0;
    }
    return count;
}

void audit_world_found(const char *key, const char *what)
{
    struct audit_report report = audit_world_audit();

    if (audit_world_named(&report, key) == 0) {
        for (uint32_t i = 0; i < report.finding_count; i++) {
            print_error("%s: %s\n", report.findings[i].artifact, report.findings[i].what);
        }
        fail_msg("%s: %s, and of %u findings none names it", key, what, report.finding_count);
    }
    audit_report_fini(&report);
}

static void path_of(const char *key, char out[FABRICATE_TEXT_BYTES + LAYOUT_KEY_BYTES])
{
    (void)snprintf(out, FABRICATE_TEXT_BYTES + LAYOUT_KEY_BYTES, "%s/%s", world.run.store_path,
                   key);
}

struct bytes audit_world_read(const char *key)
{
    struct bytes body;
    struct nero_err err;

    bytes_init(&body, WORLD_OBJECT_BYTES_MAX);
    if (storage_get(world.run.store, key, &body, NULL, &err) != NERO_OK) {
        fail_msg("%s: %s", key, err.message);
    }
    return body;
}

void audit_world_write(const char *key, struct bytes_view body)
{
    char path[FABRICATE_TEXT_BYTES + LAYOUT_KEY_BYTES];
    FILE *file;

    path_of(key, path);
    for (char *at = path + strlen(world.run.store_path) + 1; *at != 0; at++) {
        if (*at == '/') {
            *at = 0;
            if (mkdir(path, 0777) != 0 && errno != EEXIST) {
                fail_msg("%s: %s", path, strerror(errno));
            }
            *at = '/';
        }
    }
    file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(body.data, 1, body.bytes, file), body.bytes);
    assert_int_equal(fclose(file), 0);
}

void audit_world_remove(const char *key)
{
    char path[FABRICATE_TEXT_BYTES + LAYOUT_KEY_BYTES];

    path_of(key, path);
    assert_int_equal(unlink(path), 0);
}
