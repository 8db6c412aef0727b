/*
 * Goal: a full disk is no_space, harms no object, and is over when there is room again.
 * Method: a store on a tmpfs of 1 MiB, mounted in a mount namespace of this process; skipped (77)
 * where mounting is not permitted.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "nero/storage.h"
#include "tests/support/temp_folder.h"

enum { BODY_BYTES = 60000 };

static char folder[TEMP_FOLDER_BYTES];
static struct storage *store;

static size_t count_listed(void)
{
    struct storage_list list;
    struct nero_err err;
    size_t count;

    assert_int_equal(storage_list_page(store, "", NULL, 1000, &list, &err), NERO_OK);
    count = list.count;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(list.entries[i].bytes, BODY_BYTES);
    }
    storage_list_fini(&list);
    return count;
}

static void assert_filled(const char *key, uint8_t value)
{
    struct nero_err err;
    struct bytes body;

    bytes_init(&body, BODY_BYTES);
    assert_int_equal(storage_get(store, key, &body, NULL, &err), NERO_OK);
    assert_int_equal(body.bytes, BODY_BYTES);
    for (size_t i = 0; i < body.bytes; i++) {
        assert_int_equal(body.data[i], value);
    }
    bytes_fini(&body);
}

static void test_storage__full_disk(void **state)
{
    uint8_t *data = calloc(1, BODY_BYTES);
    struct bytes_view body = bytes_view_of(data, BODY_BYTES);
    enum nero_status status = NERO_OK;
    struct storage_info info;
    struct nero_err err;
    size_t count = 0;
    char key[32];

    (void)state;
    for (; status == NERO_OK && count < 100; count++) {
        memset(data, (int)count, BODY_BYTES);
        (void)snprintf(key, sizeof key, "new/%02zu", count);
        status = count % 2 == 0 ? storage_put(store, key, body, &err)
                                : storage_put_if_absent(store, key, body, &err);
    }
    count--; /* the last one failed */
    assert_int_equal(status, NERO_NO_SPACE);
    assert_int_equal(err.system_code, ENOSPC);
    assert_true(count > 5);
    assert_int_equal(storage_head(store, key, NULL, &err), NERO_NOT_FOUND);
    assert_int_equal(count_listed(), count);
    /* Replacing fails, too, and leaves the old object. */
    memset(data, 200, BODY_BYTES);
    assert_int_equal(storage_put(store, "new/00", body, &err), NERO_NO_SPACE);
    assert_int_equal(storage_head(store, "new/00", &info, &err), NERO_OK);
    assert_int_equal(storage_put_if_match(store, "new/00", body, info.etag, &err), NERO_NO_SPACE);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "new/%02zu", i);
        assert_filled(key, (uint8_t)i);
    }
    /* Many failures leave nothing behind that fills the disk further. */
    for (int i = 0; i < 50; i++) {
        assert_int_equal(storage_put(store, "more", body, &err), NERO_NO_SPACE);
    }
    assert_int_equal(storage_remove(store, "new/01", &err), NERO_OK);
    assert_int_equal(storage_put(store, "more", body, &err), NERO_OK);
    assert_filled("more", 200);
    assert_int_equal(count_listed(), count);
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_storage__full_disk)};
    char url[STORAGE_URL_BYTES_MAX];
    struct nero_err err;
    int result;

    if (temp_folder_make(folder, NULL) != 0) {
        return 1;
    }
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", folder, "tmpfs", 0, "size=1m") != 0) {
        (void)printf("skipped: mounting a tmpfs: %s\n", strerror(errno));
        temp_folder_remove(folder);
        return 77;
    }
    (void)snprintf(url, sizeof url, "file://%s", folder);
    if (storage_open(url, true, &store, &err) != NERO_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    result = cmocka_run_group_tests(tests, NULL, NULL);
    storage_close(store);
    (void)umount(folder);
    temp_folder_remove(folder);
    return result;
}
