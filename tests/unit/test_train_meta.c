/*
 * Goal: the tensor "meta" of a training state stays what its header says, float by float, and
 * nothing else is read.
 * Method: one meta written out by hand; then each float put out of its range, and cut tensors.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/train_meta.h"

static const float golden[] = {
    2,                                                                         /* version */
    0x0201, 0x0403, 0x0605, 0x0807, 0x0a09, 0x0c0b, 0x0e0d, 0x100f,            /* network */
    0x1111, 0x1111, 0x1111, 0x1111, 0x1111, 0x1111, 0x1111, 0x1111,            /* job */
    0x1111, 0x1111, 0x1111, 0x1111, 0x1111, 0x1111, 0x1111, 0x1111,            /* */
    2,      0,                                                                 /* epochs */
    16,     0,      1,      0,                                                 /* 2^32 + 16 */
    7,      0,      0,      0,                                                 /* updates */
    0,      0,      0,      0x3ff8,                                            /* seconds: 1.5 */
    5,      0,                                                                 /* patience */
    1,      0,                                                                 /* has_best */
    0,      0,      0,      0x3fe0,                                            /* best_loss: 0.5 */
    1,      0,                                                                 /* best_epoch */
    1,      0,                                                                 /* epoch_count */
    0,      0,      0,      0x4000, 0,      0,      0,      0x3fe0, 9, 0, 7, 0 /* 2.0, 0.5, 9, 7 */
};

enum { GOLDEN_FLOATS = sizeof(golden) / sizeof(golden[0]) };

static const struct result_epoch epoch = {
    .loss = 2.0, .control_loss = 0.5, .control_correct = 9, .steps = 7};

static struct train_meta meta_of_golden(void)
{
    struct train_meta meta = {.budget = {.kind = JOB_EPOCHS, .amount = (1ULL << 32) + 16},
                              .updates = 7,
                              .seconds_used = 1.5,
                              .patience = 5,
                              .has_best = true,
                              .best_loss = 0.5,
                              .best_epoch = 1,
                              .epoch_count = 1};

    for (uint8_t i = 0; i < 16; i++) {
        meta.network.data[i] = (uint8_t)(i + 1);
    }
    memset(meta.job.data, 0x11, HASH_BYTES);
    return meta;
}

static void test_train_meta__is_written_and_read_as_described(void **state)
{
    struct train_meta meta = meta_of_golden();
    struct train_meta back;
    struct result_epoch curve[RESULT_EPOCHS_MAX];
    float floats[GOLDEN_FLOATS];
    struct nero_err err;

    (void)state;
    assert_int_equal(train_meta_floats(1), GOLDEN_FLOATS);
    train_meta_write(&meta, &epoch, floats);
    assert_memory_equal(floats, golden, sizeof(golden));

    assert_int_equal(train_meta_read(golden, GOLDEN_FLOATS, &back, curve, &err), NERO_OK);
    train_meta_write(&back, curve, floats);
    assert_memory_equal(floats, golden, sizeof(golden));
}

static void test_train_meta__anything_else_is_refused(void **state)
{
    static const float odd[] = {-1.0f, 0.5f, 65536.0f, (float)NAN};
    struct train_meta back;
    struct result_epoch curve[RESULT_EPOCHS_MAX];
    struct nero_err err;

    (void)state;
    for (uint64_t count = 0; count < GOLDEN_FLOATS; count++) {
        assert_int_equal(train_meta_read(golden, count, &back, curve, &err), NERO_CORRUPT);
    }
    for (size_t i = 0; i < GOLDEN_FLOATS; i++) {
        for (size_t k = 0; k < sizeof(odd) / sizeof(odd[0]); k++) {
            float floats[GOLDEN_FLOATS];

            memcpy(floats, golden, sizeof(golden));
            floats[i] = odd[k];
            assert_int_equal(train_meta_read(floats, GOLDEN_FLOATS, &back, curve, &err),
                             NERO_CORRUPT);
        }
    }
}

/* An older engine's states would be extended by another rule. */
static void test_train_meta__another_version_is_named(void **state)
{
    struct train_meta back;
    struct result_epoch curve[RESULT_EPOCHS_MAX];
    float floats[GOLDEN_FLOATS];
    struct nero_err err;

    (void)state;
    memcpy(floats, golden, sizeof(golden));
    floats[0] = 1.0f;
    assert_int_equal(train_meta_read(floats, GOLDEN_FLOATS, &back, curve, &err), NERO_VERSION);
    assert_non_null(strstr(err.message, "version 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train_meta__is_written_and_read_as_described),
        cmocka_unit_test(test_train_meta__anything_else_is_refused),
        cmocka_unit_test(test_train_meta__another_version_is_named),
    };

    return cmocka_run_group_tests_name("train_meta", tests, NULL, NULL);
}
