/*
 * Goal: the parts of a split are disjoint, balanced and a function of the seed alone; orders are
 * permutations; pixels and augmentation are those of the specification; broken sets are refused.
 * Method: the shipped CIFAR-10 images and a tiny set whose pixels tell where they come from.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/rng.h"

#include "data/dataset.h"
#include "tests/support/small_cifar.h"

static struct dataset shipped;

static int load_shipped(void **state)
{
    (void)state;
    return small_cifar_load(&shipped);
}

static int free_shipped(void **state)
{
    (void)state;
    small_cifar_free(&shipped);
    return 0;
}

static uint8_t label_at(struct bytes_view records, uint32_t index)
{
    return records.data[(size_t)index * 3073];
}

static void count_classes(struct bytes_view records, const uint32_t *indices, uint32_t count,
                          uint32_t classes[10])
{
    memset(classes, 0, 10 * sizeof(*classes));
    for (uint32_t i = 0; i < count; i++) {
        classes[label_at(records, indices[i])]++;
    }
}

static void assert_balanced(struct bytes_view records, const uint32_t *indices, uint32_t count)
{
    uint32_t classes[10];

    count_classes(records, indices, count, classes);
    for (int c = 0; c < 10; c++) {
        assert_in_range(classes[c], count / 10, (count + 9) / 10);
    }
    for (uint32_t i = 1; i < count; i++) {
        assert_true(indices[i - 1] < indices[i]);
    }
}

static void test_dataset__shipped_images_are_balanced(void **state)
{
    struct nero_err err;

    (void)state;
    assert_int_equal(dataset_check(&shipped, &err), NERO_OK);
    assert_int_equal(shipped.train_count, 4000);
    assert_int_equal(shipped.test_count, 1000);
    for (int c = 0; c < 10; c++) {
        uint32_t train = 0;
        uint32_t test = 0;

        for (uint32_t i = 0; i < 4000; i++) {
            train += label_at(shipped.train, i) == c;
        }
        for (uint32_t i = 0; i < 1000; i++) {
            test += label_at(shipped.test, i) == c;
        }
        assert_int_equal(train, 400);
        assert_int_equal(test, 100);
    }
    assert_int_equal(label_at(shipped.train, 0), 6); /* data_batch_1 begins with a frog */
    assert_int_equal(label_at(shipped.test, 0), 3);  /* and test_batch with a cat */
}

static void test_dataset__check_names_what_is_broken(void **state)
{
    struct dataset broken = shipped;
    uint8_t *copy = malloc(shipped.test.bytes);
    struct nero_err err;

    (void)state;
    assert_non_null(copy);
    memcpy(copy, shipped.test.data, shipped.test.bytes);
    copy[17 * 3073] = 10;
    broken.test = bytes_view_of(copy, shipped.test.bytes);
    assert_int_equal(dataset_check(&broken, &err), NERO_CORRUPT);
    assert_non_null(strstr(err.message, "test record 17 has label 10"));

    broken = shipped;
    broken.train.bytes--;
    assert_int_equal(dataset_check(&broken, &err), NERO_CORRUPT);
    assert_non_null(strstr(err.message, "training part"));

    broken = shipped;
    broken.test_count = 999;
    assert_int_equal(dataset_check(&broken, &err), NERO_CORRUPT);
    broken = shipped;
    broken.classes = 0;
    assert_int_equal(dataset_check(&broken, &err), NERO_CORRUPT);
    broken = shipped;
    broken.width = 0;
    assert_int_equal(dataset_check(&broken, &err), NERO_CORRUPT);
    free(copy);
}

static void test_dataset__split_is_stratified_and_disjoint(void **state)
{
    static const uint32_t sizes[][3] = {{3000, 500, 500}, {2801, 597, 602}, {1234, 77, 5},
                                        {3, 3, 3},        {1, 1, 3998},     {0, 0, 4000}};
    struct nero_err err;

    (void)state;
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        struct job_protocol protocol = {.split_seed = 7 + k,
                                        .train_count = sizes[k][0],
                                        .control_count = sizes[k][1],
                                        .fitness_count = sizes[k][2]};
        struct dataset_split split;
        uint8_t seen[4000] = {0};

        assert_int_equal(dataset_split_create(&shipped, &protocol, &split, &err), NERO_OK);
        assert_balanced(shipped.train, split.train, split.train_count);
        assert_balanced(shipped.train, split.control, split.control_count);
        assert_balanced(shipped.train, split.fitness, split.fitness_count);
        for (uint32_t i = 0; i < split.train_count; i++) {
            seen[split.train[i]]++;
        }
        for (uint32_t i = 0; i < split.control_count; i++) {
            seen[split.control[i]]++;
        }
        for (uint32_t i = 0; i < split.fitness_count; i++) {
            seen[split.fitness[i]]++;
        }
        for (size_t i = 0; i < sizeof(seen); i++) {
            assert_in_range(seen[i], 0, 1);
        }
        dataset_split_fini(&split);
    }
}

static void test_dataset__split_depends_on_its_seed_alone(void **state)
{
    struct job_protocol protocol = {
        .split_seed = 1, .train_count = 2000, .control_count = 500, .fitness_count = 500};
    struct dataset_split a;
    struct dataset_split b;
    struct nero_err err;

    (void)state;
    assert_int_equal(dataset_split_create(&shipped, &protocol, &a, &err), NERO_OK);
    assert_int_equal(dataset_split_create(&shipped, &protocol, &b, &err), NERO_OK);
    assert_memory_equal(a.train, b.train, 2000 * sizeof(uint32_t));
    assert_memory_equal(a.fitness, b.fitness, 500 * sizeof(uint32_t));
    dataset_split_fini(&b);
    protocol.split_seed = 2;
    assert_int_equal(dataset_split_create(&shipped, &protocol, &b, &err), NERO_OK);
    assert_memory_not_equal(a.train, b.train, 2000 * sizeof(uint32_t));
    dataset_split_fini(&a);
    dataset_split_fini(&b);
}

static void test_dataset__split_refuses_what_does_not_fit(void **state)
{
    struct job_protocol protocol = {
        .train_count = 3000, .control_count = 500, .fitness_count = 501};
    struct dataset_split split;
    struct nero_err err;

    (void)state;
    assert_int_equal(dataset_split_create(&shipped, &protocol, &split, &err), NERO_INVALID);
    protocol.part = JOB_PART_TEST; /* now the fitness images are others */
    assert_int_equal(dataset_split_create(&shipped, &protocol, &split, &err), NERO_OK);
    assert_balanced(shipped.test, split.fitness, 501);
    dataset_split_fini(&split);
    protocol.fitness_count = 1001;
    assert_int_equal(dataset_split_create(&shipped, &protocol, &split, &err), NERO_INVALID);
    protocol.fitness_count = UINT32_MAX; /* sums may not wrap */
    protocol.part = JOB_PART_FITNESS;
    assert_int_equal(dataset_split_create(&shipped, &protocol, &split, &err), NERO_INVALID);
}

static void test_dataset__epoch_order_is_a_permutation(void **state)
{
    uint32_t a[1000];
    uint32_t b[1000];
    uint8_t seen[1000] = {0};

    (void)state;
    dataset_epoch_order(5, 3, 1000, a);
    dataset_epoch_order(5, 3, 1000, b);
    assert_memory_equal(a, b, sizeof(a));
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(seen[a[i]]++, 0);
    }
    dataset_epoch_order(5, 4, 1000, b);
    assert_memory_not_equal(a, b, sizeof(a));
    dataset_epoch_order(6, 3, 1000, b);
    assert_memory_not_equal(a, b, sizeof(a));
}

static void test_dataset__image_is_pixels_over_255(void **state)
{
    float image[3072];

    (void)state;
    assert_int_equal(dataset_image(&shipped, shipped.test, 9, image), label_at(shipped.test, 9));
    for (int i = 0; i < 3072; i++) {
        float expected = (float)shipped.test.data[9 * 3073 + 1 + i] / 255.0f;

        assert_memory_equal(&image[i], &expected, sizeof(expected));
    }
}

enum { TINY_W = 5, TINY_H = 3, TINY_COUNT = 2000, TINY_BYTES = 1 + 2 * TINY_W * TINY_H };

/* Pixel value 1 + position: where it comes from; 0 is padding. */
static struct dataset tiny_dataset(uint8_t *records)
{
    struct dataset tiny = {.channels = 2, .height = TINY_H, .width = TINY_W, .classes = 2};

    for (int i = 0; i < TINY_COUNT; i++) {
        records[i * TINY_BYTES] = (uint8_t)(i & 1);
        for (int k = 1; k < TINY_BYTES; k++) {
            records[i * TINY_BYTES + k] = (uint8_t)k;
        }
    }
    tiny.train_count = TINY_COUNT;
    tiny.train = bytes_view_of(records, (size_t)TINY_COUNT * TINY_BYTES);
    return tiny;
}

/* What the specification says, pixel by pixel: pad, then flip, then crop. */
static float expected_pixel(int c, int y, int x, int shift_y, int shift_x, int flip)
{
    int from_y = y + shift_y - 4;
    int padded_x = flip ? TINY_W + 8 - 1 - (x + shift_x) : x + shift_x;
    int from_x = padded_x - 4;

    if (from_y < 0 || from_y >= TINY_H || from_x < 0 || from_x >= TINY_W) {
        return 0.0f;
    }
    return (float)(1 + (c * TINY_H + from_y) * TINY_W + from_x) / 255.0f;
}

static void test_dataset__augmentation_pads_flips_and_crops(void **state)
{
    static uint8_t records[TINY_COUNT * TINY_BYTES];
    struct dataset tiny = tiny_dataset(records);
    uint32_t flips = 0;
    uint32_t shifts[2][9] = {{0}};

    (void)state;
    for (uint32_t i = 0; i < TINY_COUNT; i++) {
        struct rng_stream stream = rng_stream(42, RNG_AUGMENT, 0, 6, 0);
        float image[2 * TINY_W * TINY_H];
        uint32_t word[4];
        int flip;
        int dy;
        int dx;

        rng_block_at(&stream, i, word);
        flip = word[0] >= 0x80000000u;
        dy = (int)((uint64_t)word[1] * 9 >> 32);
        dx = (int)((uint64_t)word[2] * 9 >> 32);
        flips += (uint32_t)flip;
        shifts[0][dy]++;
        shifts[1][dx]++;
        assert_int_equal(dataset_augmented_image(&tiny, 42, 6, i, image), i & 1);
        for (int at = 0; at < 2 * TINY_W * TINY_H; at++) {
            float expected = expected_pixel(at / (TINY_W * TINY_H), at / TINY_W % TINY_H,
                                            at % TINY_W, dy, dx, flip);

            assert_memory_equal(&image[at], &expected, sizeof(expected));
        }
    }
    assert_in_range(flips, 900, 1100); /* 4.5 standard deviations */
    for (int s = 0; s < 9; s++) {      /* expected 222, standard deviation 14 */
        assert_in_range(shifts[0][s], 155, 289);
        assert_in_range(shifts[1][s], 155, 289);
    }
}

static void test_dataset__split_follows_the_proportions_of_the_set(void **state)
{
    static uint8_t records[TINY_COUNT * TINY_BYTES];
    struct dataset tiny = tiny_dataset(records);
    struct job_protocol protocol = {
        .split_seed = 3, .train_count = 1600, .control_count = 200, .fitness_count = 200};
    struct dataset_split split;
    uint32_t ones = 0;
    struct nero_err err;

    (void)state;
    for (int i = 0; i < TINY_COUNT; i++) {
        records[i * TINY_BYTES] = i % 10 == 0; /* one in ten */
    }
    assert_int_equal(dataset_split_create(&tiny, &protocol, &split, &err), NERO_OK);
    for (uint32_t i = 0; i < 200; i++) {
        ones += split.control[i] % 10 == 0;
    }
    assert_int_equal(ones, 20);
    dataset_split_fini(&split);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dataset__shipped_images_are_balanced),
        cmocka_unit_test(test_dataset__check_names_what_is_broken),
        cmocka_unit_test(test_dataset__split_is_stratified_and_disjoint),
        cmocka_unit_test(test_dataset__split_depends_on_its_seed_alone),
        cmocka_unit_test(test_dataset__split_refuses_what_does_not_fit),
        cmocka_unit_test(test_dataset__epoch_order_is_a_permutation),
        cmocka_unit_test(test_dataset__image_is_pixels_over_255),
        cmocka_unit_test(test_dataset__augmentation_pads_flips_and_crops),
        cmocka_unit_test(test_dataset__split_follows_the_proportions_of_the_set),
    };

    return cmocka_run_group_tests(tests, load_shipped, free_shipped);
}
