/*
 * Goal: secret keys lie where only their owner reads them, and certificates bind key, run and
 * signer. Method: a folder of its own under the build; every wrong mode, content and signer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "nero/keys.h"

static char folder[128];
static char path[160];
static char public_path[200];

static int keys_setup(void **state)
{
    struct nero_err err;

    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/nero-test-keys-XXXXXX");
    if (hash_library_init(&err) != NERO_OK || mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/root", folder);
    (void)snprintf(public_path, sizeof public_path, "%s.pub", path);
    return 0;
}

static int keys_teardown(void **state)
{
    char command[256];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void test_keys__a_created_key_is_loaded(void **state)
{
    struct nero_err err;
    struct key_pair made;
    struct key_pair loaded;
    struct key_public public_key;
    struct stat info;

    (void)state;
    (void)unlink(path);
    assert_int_equal(keys_load(path, &loaded, &err), NERO_NOT_FOUND);
    assert_int_equal(keys_create(path, &made, &err), NERO_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(info.st_nlink, 1); /* the temporary name is gone */
    assert_int_equal(keys_load(path, &loaded, &err), NERO_OK);
    assert_memory_equal(&made, &loaded, sizeof made);
    assert_int_equal(keys_load_public(public_path, &public_key, &err), NERO_OK);
    assert_memory_equal(&public_key, &made.public_key, sizeof public_key);
    assert_int_equal(keys_create(path, &loaded, &err), NERO_EXISTS);
    assert_int_equal(keys_load_public(public_path, &public_key, &err), NERO_OK);
    assert_memory_equal(&public_key, &made.public_key, sizeof public_key);
}

static void test_keys__a_key_that_others_reach_is_refused(void **state)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0610, 0602, 0660, 0777};
    struct nero_err err;
    struct key_pair key;

    (void)state;
    (void)unlink(path);
    assert_int_equal(keys_create(path, &key, &err), NERO_OK);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_int_equal(keys_load(path, &key, &err), NERO_DENIED);
        assert_non_null(strstr(err.message, "chmod 600"));
    }
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(keys_load(path, &key, &err), NERO_OK);
    assert_int_equal(keys_load(folder, &key, &err), NERO_DENIED);
}

static void test_keys__a_damaged_file_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "nero-secret-key-v1",
        "nero-secret-key-v1 00ff\n",
        "nero-key-v1 0000000000000000000000000000000000000000000000000000000000000000\n",
        "nero-secret-key-v1 000000000000000000000000000000000000000000000000000000000000000G\n",
        "nero-secret-key-v1 00000000000000000000000000000000000000000000000000000000000000000\n",
        "nero-secret-key-v1 0000000000000000000000000000000000000000000000000000000000000000\n\n"};
    struct nero_err err;
    struct key_pair key;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        write_file(texts[i]);
        assert_int_equal(keys_load(path, &key, &err), NERO_CORRUPT);
        assert_null(strstr(err.message, "0000000")); /* no secret in a message */
    }
}

static void test_keys__the_folder_is_ours_alone(void **state)
{
    struct nero_err err;
    char home[300];
    char found[KEYS_PATH_BYTES];
    struct stat info;

    (void)state;
    (void)snprintf(home, sizeof home, "%s/data", folder);
    assert_int_equal(setenv("XDG_DATA_HOME", home, 1), 0);
    assert_int_equal(keys_folder(false, found, &err), NERO_NOT_FOUND);
    assert_int_equal(keys_folder(true, found, &err), NERO_OK);
    assert_int_equal(strncmp(found, home, strlen(home)), 0);
    assert_string_equal(found + strlen(home), "/nero/keys");
    assert_int_equal(stat(found, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(keys_folder(true, found, &err), NERO_OK);
    assert_int_equal(chmod(found, 0750), 0);
    assert_int_equal(keys_folder(true, found, &err), NERO_DENIED);
    assert_non_null(strstr(err.message, "chmod 700"));
    assert_int_equal(setenv("XDG_DATA_HOME", "relative", 1), 0);
    assert_int_equal(setenv("HOME", home, 1), 0);
    assert_int_equal(keys_folder(true, found, &err), NERO_OK);
    assert_string_equal(found + strlen(home), "/.local/share/nero/keys");
    assert_int_equal(unsetenv("HOME"), 0);
    assert_int_equal(keys_folder(true, found, &err), NERO_INVALID);
}

static void certificate_seal(const struct key_pair *signer, const char *run, struct bytes *out)
{
    struct keys_certificate certificate = {.uses = KEYS_USE_SLOTS, .host = "h"};
    struct nero_err err;
    struct bytes payload;

    (void)snprintf(certificate.run, sizeof certificate.run, "%s", run);
    bytes_init(&payload, 4096);
    bytes_init(out, 4096);
    assert_int_equal(keys_certificate_encode(&certificate, &payload, &err), NERO_OK);
    assert_int_equal(
        envelope_seal(ENVELOPE_CERTIFICATE, bytes_as_view(&payload), signer, out, &err), NERO_OK);
    bytes_fini(&payload);
}

static void test_keys__a_certificate_binds_run_and_signer(void **state)
{
    struct key_pair run_key;
    struct key_pair other;
    struct keys_certificate certificate;
    struct nero_err err;
    struct bytes stored;

    (void)state;
    key_pair_generate(&run_key);
    key_pair_generate(&other);
    certificate_seal(&run_key, "run-1", &stored);
    assert_int_equal(keys_certificate_verify(bytes_as_view(&stored), &run_key.public_key, "run-1",
                                             &certificate, &err),
                     NERO_OK);
    assert_string_equal(certificate.host, "h");
    assert_int_equal(keys_certificate_verify(bytes_as_view(&stored), &run_key.public_key, "run-2",
                                             &certificate, &err),
                     NERO_DENIED);
    assert_int_equal(keys_certificate_verify(bytes_as_view(&stored), &other.public_key, "run-1",
                                             &certificate, &err),
                     NERO_DENIED);
    stored.bytes--;
    assert_int_equal(keys_certificate_verify(bytes_as_view(&stored), &run_key.public_key, "run-1",
                                             &certificate, &err),
                     NERO_CORRUPT);
    bytes_fini(&stored);
    key_pair_fini(&run_key);
    key_pair_fini(&other);
}

static void test_keys__a_proof_is_of_token_key_run_and_host(void **state)
{
    const uint8_t token[KEYS_TOKEN_BYTES] = {1};
    const uint8_t wrong[KEYS_TOKEN_BYTES] = {2};
    struct keys_enrol enrol = {.run = "run-1", .key = {{1}}, .host = "ho\nst"};
    struct keys_enrol decoded;
    struct nero_err err;
    struct bytes bytes;

    (void)state;
    keys_enrol_prove(&enrol, token);
    bytes_init(&bytes, 4096);
    assert_int_equal(keys_enrol_encode(&enrol, &bytes, &err), NERO_OK);
    assert_int_equal(keys_enrol_decode(bytes_as_view(&bytes), &decoded, &err), NERO_OK);
    assert_true(keys_enrol_proves(&decoded, token));
    assert_false(keys_enrol_proves(&decoded, wrong));
    decoded.key.data[0]++;
    assert_false(keys_enrol_proves(&decoded, token));
    decoded.key.data[0]--;
    decoded.run[4] = '2';
    assert_false(keys_enrol_proves(&decoded, token));
    decoded.run[4] = '1';
    decoded.host[0] = 'H';
    assert_false(keys_enrol_proves(&decoded, token));
    bytes_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys__a_created_key_is_loaded),
        cmocka_unit_test(test_keys__a_key_that_others_reach_is_refused),
        cmocka_unit_test(test_keys__a_damaged_file_is_refused),
        cmocka_unit_test(test_keys__the_folder_is_ours_alone),
        cmocka_unit_test(test_keys__a_certificate_binds_run_and_signer),
        cmocka_unit_test(test_keys__a_proof_is_of_token_key_run_and_host),
    };

    return cmocka_run_group_tests(tests, keys_setup, keys_teardown);
}
