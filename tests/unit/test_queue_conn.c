/*
 * Goal: every Redis URL is understood or refused with its reason. Method: tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue_conn.h"

static void test_queue_conn__urls_are_understood(void **state)
{
    static const struct {
        const char *url, *host, *path, *user, *password;
        int port, db;
    } table[] = {
        {"redis://h", "h", "", "", "", 6379, 0},
        {"redis://h:1/", "h", "", "", "", 1, 0},
        {"redis://127.0.0.1:65535/15", "127.0.0.1", "", "", "", 65535, 15},
        {"redis://:pass@h:6380", "h", "", "", "pass", 6380, 0},
        {"redis://user:p%40ss%2F%3a@h", "h", "", "user", "p@ss/:", 6379, 0},
        {"redis://u:a@b@h:7", "h", "", "u", "a@b", 7, 0},
        {"redis://[::1]:7/2", "::1", "", "", "", 7, 2},
        {"redis://[::1]", "::1", "", "", "", 6379, 0},
        {"unix:///run/redis.sock", "", "/run/redis.sock", "", "", 0, 0},
        {"unix://redis.sock", "", "redis.sock", "", "", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct queue_conn conn;
        struct nero_err err;

        assert_int_equal(queue_conn_parse(table[i].url, &conn, &err), NERO_OK);
        assert_string_equal(conn.host, table[i].host);
        assert_string_equal(conn.path, table[i].path);
        assert_string_equal(conn.user, table[i].user);
        assert_string_equal(conn.password, table[i].password);
        assert_int_equal(conn.port, table[i].port);
        assert_int_equal(conn.db, table[i].db);
        assert_null(conn.context);
    }
}

static void test_queue_conn__bad_urls_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *url, *says;
    } table[] = {
        {"", "starts with"},
        {"localhost:6379", "starts with"},
        {"redis://", "no host"},
        {"redis://h:", "port"},
        {"redis://h:65536", "port"},
        {"redis://h:6379x", "port"},
        {"redis://h:-1", "port"},
        {"redis://h:1/x", "database"},
        {"redis://h:1/-1", "database"},
        {"redis://secret@h", ":PASSWORD@"},
        {"redis://:%zz@h", "%xx"},
        {"redis://:%00@h", "%xx"},
        {"redis://[::1", "']'"},
        {"redis://[::1]x", "port"},
        {"unix://", "no socket"},
        {"unix:///folder/", "no socket"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct queue_conn conn;
        struct nero_err err;

        assert_int_equal(queue_conn_parse(table[i].url, &conn, &err), NERO_INVALID);
        if (strstr(err.message, table[i].says) == NULL) {
            fail_msg("%s: %s", table[i].url, err.message);
        }
        assert_null(strstr(err.message, "secret"));
    }
}

static void test_queue_conn__tls_is_understood_or_said_to_be_missing(void **state)
{
    struct queue_conn conn;
    struct nero_err err;

    (void)state;
    if (queue_conn_parse("rediss://:p@h:1", &conn, &err) == NERO_OK) { /* hiredis >= 1.0 */
        assert_true(conn.tls);
        assert_string_equal(conn.host, "h");
    } else {
        assert_int_equal(err.status, NERO_INVALID);
        assert_non_null(strstr(err.message, "lacks"));
    }
    assert_int_equal(queue_conn_parse("redis://h", &conn, &err), NERO_OK);
    assert_false(conn.tls);
}

static void test_queue_conn__nobody_there_is_unavailable(void **state)
{
    static const char *const urls[] = {"unix:///nonexistent/redis.sock", "redis://127.0.0.1:1"};
    char name[200];
    char url[256];
    struct queue_conn conn;
    struct nero_err err;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(queue_conn_parse(urls[i], &conn, &err), NERO_OK);
        assert_int_equal(queue_conn_connect(&conn, &err), NERO_UNAVAILABLE);
        assert_null(conn.context);
    }
    /* hiredis would cut this silently and connect to another name. */
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)snprintf(url, sizeof url, "unix:///tmp/%s", name);
    assert_int_equal(queue_conn_parse(url, &conn, &err), NERO_OK);
    assert_int_equal(queue_conn_connect(&conn, &err), NERO_INVALID);
    assert_non_null(strstr(err.message, "too long"));
    (void)snprintf(url, sizeof url, "unix://%s", name);
    assert_int_equal(queue_conn_parse(url, &conn, &err), NERO_OK);
    assert_int_equal(queue_conn_connect(&conn, &err), NERO_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_conn__urls_are_understood),
        cmocka_unit_test(test_queue_conn__bad_urls_are_refused_with_a_reason),
        cmocka_unit_test(test_queue_conn__tls_is_understood_or_said_to_be_missing),
        cmocka_unit_test(test_queue_conn__nobody_there_is_unavailable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
