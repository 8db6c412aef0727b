/*
 * Goal: a data set comes from the store once, is never believed without its hash, and a bad cache
 * costs a download and nothing else. Method: a store in memory, a cache in a fresh folder; objects
 * and files are removed and damaged between loads.
 */
#include <fcntl.h>
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

#include "nero/layout.h"
#include "runner_data.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_run.h"

enum { CACHED_BYTES = TEMP_FOLDER_BYTES + 32 + HASH_HEX_BYTES };

struct world {
    char folder[TEMP_FOLDER_BYTES];
    char cache[TEMP_FOLDER_BYTES + 16];
    struct storage *store;
    struct tiny_run run;
    struct runner_data *data;
};

static int world_open(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct nero_err err = {0};

    assert_non_null(world);
    assert_int_equal(temp_folder_make(world->folder, NULL), 0);
    (void)snprintf(world->cache, sizeof world->cache, "%s/a/b", world->folder);
    tiny_check(storage_open("mem:", true, &world->store, &err), &err, "store");
    tiny_run_create(&world->run, world->store, "data-test", 8, 40, RUN_SAME_CLASS);
    tiny_check(runner_data_create(world->store, world->cache, &world->data, &err), &err, "data");
    *state = world;
    return 0;
}

static int world_close(void **state)
{
    struct world *world = *state;

    runner_data_destroy(world->data);
    storage_close(world->store);
    temp_folder_remove(world->folder);
    free(world);
    return 0;
}

/* As a runner that starts anew. */
static enum nero_status load_afresh(struct world *world, const struct dataset **out,
                                    struct nero_err *err)
{
    runner_data_destroy(world->data);
    tiny_check(runner_data_create(world->store, world->cache, &world->data, err), err, "data");
    return runner_data_load(world->data, &world->run.dataset_id, NULL, out, err);
}

static void cached_file(const struct world *world, const struct hash *blob, char out[CACHED_BYTES])
{
    char hex[HASH_HEX_BYTES];

    hash_to_hex(hex, blob);
    (void)snprintf(out, CACHED_BYTES, "%s/%s", world->cache, hex);
}

static void note_read(void *context, uint64_t bytes)
{
    uint64_t *most = context;

    assert_true(bytes > *most); /* also from one blob to the next */
    *most = bytes;
}

static void test_runner_data__loads_once_and_then_from_the_cache(void **state)
{
    struct world *world = *state;
    uint64_t most = 0;
    const struct storage_progress reading = {.made = note_read, .context = &most};
    const struct dataset *dataset;
    char object[LAYOUT_KEY_BYTES];
    struct hash found;
    struct nero_err err = {0};

    tiny_check(runner_data_load(world->data, &world->run.dataset_id, &reading, &dataset, &err),
               &err, "load");
    assert_int_equal(most, dataset->train.bytes + dataset->test.bytes);
    assert_int_equal(dataset->train_count, 40);
    found = hash_of(dataset->train);
    assert_true(hash_equal(&found, &world->run.dataset.train));
    found = hash_of(dataset->test);
    assert_true(hash_equal(&found, &world->run.dataset.test));
    layout_data_blob(object, &world->run.dataset.train);
    tiny_check(storage_remove(world->store, object, &err), &err, "remove");
    tiny_check(load_afresh(world, &dataset, &err), &err, "load from the cache");
    found = hash_of(dataset->train);
    assert_true(hash_equal(&found, &world->run.dataset.train));
}

static void test_runner_data__damaged_cache_is_fetched_anew(void **state)
{
    struct world *world = *state;
    const struct dataset *dataset;
    struct nero_err err = {0};
    char path[CACHED_BYTES];
    FILE *file;

    tiny_check(load_afresh(world, &dataset, &err), &err, "load");
    cached_file(world, &world->run.dataset.train, path);
    for (int kind = 0; kind < 3; kind++) {
        file = fopen(path, kind == 0 ? "r+b" : "wb"); /* a byte changed; short; empty */
        assert_non_null(file);
        assert_true(kind == 2 || fputc('x', file) == 'x');
        assert_int_equal(fclose(file), 0);
        tiny_check(load_afresh(world, &dataset, &err), &err, "load");
        tiny_check(dataset_check(dataset, &err), &err, "check");
    }
}

static void test_runner_data__without_a_cache_it_still_works(void **state)
{
    struct world *world = *state;
    const struct dataset *dataset;
    struct nero_err err = {0};

    (void)snprintf(world->cache, sizeof world->cache, "/proc/nero-no-such-folder");
    tiny_check(load_afresh(world, &dataset, &err), &err, "load");
    tiny_check(dataset_check(dataset, &err), &err, "check");
}

static void test_runner_data__damage_in_the_store_is_told(void **state)
{
    struct world *world = *state;
    const struct dataset *dataset;
    char object[LAYOUT_KEY_BYTES];
    struct nero_err err = {0};

    layout_data_blob(object, &world->run.dataset.train);
    tiny_damage(world->store, object, false);
    assert_int_equal(load_afresh(world, &dataset, &err), NERO_CORRUPT);
    tiny_damage(world->store, object, true);
    assert_int_equal(load_afresh(world, &dataset, &err), NERO_CORRUPT);
    tiny_check(storage_remove(world->store, object, &err), &err, "remove");
    assert_int_equal(load_afresh(world, &dataset, &err), NERO_NOT_FOUND);
    layout_dataset(object, &world->run.dataset_id);
    tiny_damage(world->store, object, false);
    assert_int_equal(load_afresh(world, &dataset, &err), NERO_CORRUPT);
    assert_non_null(strstr(err.message, "data set"));
}

/* ---- states ---- */

static struct hash state_of(char of, char out[1001])
{
    memset(out, of, 1000);
    out[1000] = 0;
    return hash_of(bytes_view_str(out));
}

/* Get the state that begins with this letter. */
static enum nero_status get_state(struct world *world, char of)
{
    char expected[1001];
    struct hash hash = state_of(of, expected);
    struct nero_err err;
    struct bytes out;
    enum nero_status status;

    bytes_init(&out, 2000);
    status = runner_data_state(world->data, world->run.name, &hash, 1000, NULL, &out, &err);
    if (status == NERO_OK) {
        assert_true(bytes_view_equal(bytes_as_view(&out), bytes_view_str(expected)));
    } else {
        assert_int_equal(out.bytes, 0);
    }
    bytes_fini(&out);
    return status;
}

static void state_file(const struct world *world, char of, char out[CACHED_BYTES])
{
    char state[1001];
    char hex[HASH_HEX_BYTES];
    struct hash hash = state_of(of, state);

    hash_to_hex(hex, &hash);
    (void)snprintf(out, CACHED_BYTES, "%s/state-%s", world->cache, hex);
}

static void test_runner_data__states_are_kept_and_verified(void **state)
{
    struct world *world = *state;
    char body[1001];
    char path[CACHED_BYTES];
    char object[LAYOUT_KEY_BYTES];
    struct hash hash = state_of('a', body);
    struct nero_err err = {0};
    FILE *file;

    assert_int_equal(get_state(world, 'a'), NERO_NOT_FOUND);
    layout_blob(object, world->run.name, &hash);
    tiny_check(storage_put(world->store, object, bytes_view_str(body), &err), &err, "put");
    assert_int_equal(get_state(world, 'a'), NERO_OK);
    tiny_check(storage_remove(world->store, object, &err), &err, "remove");
    assert_int_equal(get_state(world, 'a'), NERO_OK); /* from the cache */
    state_file(world, 'a', path);
    file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fputc('x', file), 'x');
    assert_int_equal(fclose(file), 0);
    assert_int_equal(get_state(world, 'a'), NERO_NOT_FOUND); /* damaged there, gone here */
    hash = state_of('b', body);
    runner_data_keep_state(world->data, &hash, bytes_view_str(body));
    assert_int_equal(get_state(world, 'b'), NERO_OK); /* never in the store */
}

static void test_runner_data__states_are_bounded(void **state)
{
    static const struct timespec long_ago[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    struct world *world = *state;
    char body[1001];
    char path[CACHED_BYTES];

    runner_data_limit(world->data, 3000);
    for (char of = 'a'; of <= 'e'; of++) {
        struct hash hash = state_of(of, body);

        runner_data_keep_state(world->data, &hash, bytes_view_str(body));
        if (of == 'c') { /* a is the oldest, but used again */
            for (char old = 'a'; old <= 'c'; old++) {
                state_file(world, old, path);
                assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
            }
            assert_int_equal(get_state(world, 'a'), NERO_OK);
        }
    }
    assert_int_equal(get_state(world, 'a'), NERO_OK);
    assert_int_equal(get_state(world, 'b'), NERO_NOT_FOUND);
    assert_int_equal(get_state(world, 'c'), NERO_NOT_FOUND);
    assert_int_equal(get_state(world, 'd'), NERO_OK);
    assert_int_equal(get_state(world, 'e'), NERO_OK);
    runner_data_limit(world->data, 999); /* one that is larger than all may be is not kept */
    state_of('f', body);
    runner_data_keep_state(world->data, &(struct hash){{1}}, bytes_view_str(body));
    assert_int_equal(get_state(world, 'f'), NERO_NOT_FOUND);
    assert_int_equal(get_state(world, 'e'), NERO_OK);
}

/* Right hash, wrong content: a label outside the classes. */
static void test_runner_data__labels_out_of_range_are_corrupt(void **state)
{
    struct world *world = *state;
    uint8_t images[2 * 193] = {3};
    struct run_dataset dataset = world->run.dataset;
    const struct dataset *loaded;
    char object[LAYOUT_KEY_BYTES];
    struct nero_err err = {0};
    struct bytes record;
    struct hash id;

    images[193] = 4; /* classes are 0 to 3 */
    dataset.train_count = 2;
    dataset.train = hash_of(bytes_view_of(images, sizeof images));
    layout_data_blob(object, &dataset.train);
    tiny_check(storage_put(world->store, object, bytes_view_of(images, sizeof images), &err), &err,
               "put");
    bytes_init(&record, RUN_CONTROL_BYTES_MAX);
    tiny_check(run_dataset_encode(&dataset, &record, &err), &err, "encode");
    id = run_dataset_id(bytes_as_view(&record));
    layout_dataset(object, &id);
    tiny_check(storage_put(world->store, object, bytes_as_view(&record), &err), &err, "put");
    assert_int_equal(runner_data_load(world->data, &id, NULL, &loaded, &err), NERO_CORRUPT);
    bytes_fini(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_runner_data__loads_once_and_then_from_the_cache,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_data__damaged_cache_is_fetched_anew, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(test_runner_data__without_a_cache_it_still_works,
                                        world_open, world_close),
        cmocka_unit_test_setup_teardown(test_runner_data__damage_in_the_store_is_told, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(test_runner_data__states_are_kept_and_verified, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(test_runner_data__states_are_bounded, world_open,
                                        world_close),
        cmocka_unit_test_setup_teardown(test_runner_data__labels_out_of_range_are_corrupt,
                                        world_open, world_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
