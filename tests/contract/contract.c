#include "contract.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/rgw.h"

struct contract contract;
const char *contract_url;

bool contract_is_file(void)
{
    return strncmp(contract_url, "file://", 7) == 0;
}

bool contract_is_s3(void)
{
    return strncmp(contract_url, "s3", 2) == 0;
}

bool contract_is_libs3(void)
{
    return strncmp(contract_url, "s3+libs3", 8) == 0;
}

bool contract_can(enum storage_capability capability)
{
    return (storage_capabilities(contract.store) & (unsigned)capability) != 0;
}

static struct rgw gateway;

int contract_start(void **state)
{
    (void)state;
    if (contract_is_s3()) {
        rgw_start(&gateway);
        rgw_set_environment(&gateway);
    }
    return 0;
}

int contract_stop(void **state)
{
    (void)state;
    if (contract_is_s3()) {
        rgw_stop(&gateway);
    }
    return 0;
}

int contract_open(void **state)
{
    static unsigned opens;

    char url[STORAGE_URL_BYTES_MAX] = "mem:";

    (void)state;
    memset(&contract, 0, sizeof contract);
    if (contract_is_file()) {
        if (temp_folder_make(contract.folder, contract_url + 7) != 0) {
            return -1;
        }
        (void)snprintf(url, sizeof url, "file://%s/store", contract.folder);
    } else if (contract_is_s3()) {
        (void)snprintf(url, sizeof url, "%s/test-%u", contract_url, opens++);
    }
    return storage_open(url, true, &contract.store, &contract.err) == NERO_OK ? 0 : -1;
}

int contract_close(void **state)
{
    (void)state;
    storage_close(contract.store);
    if (contract.folder[0] != 0) {
        temp_folder_remove(contract.folder);
    }
    return 0;
}

void contract_assert_body(struct storage *store, const char *key, const char *wanted)
{
    struct bytes body;
    struct storage_info info;
    struct nero_err err;

    bytes_init(&body, 1000);
    if (wanted == NULL) {
        assert_int_equal(storage_get(store, key, &body, &info, &err), NERO_NOT_FOUND);
        assert_int_equal(storage_head(store, key, NULL, &err), NERO_NOT_FOUND);
    } else {
        assert_int_equal(storage_get(store, key, &body, &info, &err), NERO_OK);
        assert_int_equal(body.bytes, strlen(wanted));
        assert_int_equal(info.bytes, strlen(wanted));
        assert_true(bytes_view_equal(bytes_as_view(&body), bytes_view_str(wanted)));
    }
    bytes_fini(&body);
}

enum nero_status contract_put(const char *key, const char *body)
{
    return storage_put(contract.store, key, bytes_view_str(body), &contract.err);
}

enum nero_status contract_create(const char *key, const char *body)
{
    return storage_put_if_absent(contract.store, key, bytes_view_str(body), &contract.err);
}
