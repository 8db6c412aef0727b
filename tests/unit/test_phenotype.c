/*
 * Goal: a phenotype is accepted exactly when a network can be meant by it. Method: one change at a
 * time to a good one; check, encode and the message must agree.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nero/phenotype.h"
#include "tests/support/codec_samples.h"

/* The phenotype is refused with a message that holds `where`. */
static void check_refused(const struct phenotype *phenotype, const char *where)
{
    struct nero_err err;
    struct bytes out;

    bytes_init(&out, PHENOTYPE_BYTES_MAX);
    assert_int_equal(phenotype_check(phenotype, &err), NERO_INVALID);
    if (strstr(err.message, where) == NULL) {
        fail_msg("'%s' does not name '%s'", err.message, where);
    }
    assert_int_equal(phenotype_encode(phenotype, &out, &err), NERO_INVALID);
    assert_int_equal(out.bytes, 0);
    bytes_fini(&out);
}

#define REFUSED(change, where)      \
    do {                            \
        struct phenotype p;         \
        codec_sample_phenotype(&p); \
        change;                     \
        check_refused(&p, where);   \
        phenotype_fini(&p);         \
    } while (0)

static void test_phenotype__shape_and_learning_are_checked(void **state)
{
    (void)state;
    REFUSED(p.channels = 0, "channels");
    REFUSED(p.width = PHENOTYPE_IMAGE_SIDE_MAX + 1, "width");
    REFUSED(p.classes = 1, "classes");
    REFUSED(p.learning.lr = 0.0, "learning.lr");
    REFUSED(p.learning.lr = NAN, "learning.lr");
    REFUSED(p.learning.momentum = 1.0, "learning.momentum");
    REFUSED(p.learning.batch = 0, "learning.batch");
    REFUSED(p.learning.early_stop = 0, "learning.early_stop");
    REFUSED(p.learning.optimiser = 4, "learning.optimiser");
    REFUSED(p.learning.optimiser = PHENOTYPE_ADAM; p.learning.beta2 = 1.0, "learning.beta2");
}

static void test_phenotype__units_are_checked(void **state)
{
    (void)state;
    REFUSED(p.unit_count = 0, "units");
    REFUSED(p.units[0].kind = 0, "units[0].unit.kind");
    REFUSED(p.units[0].conv.filters = 0, "units[0].unit.conv.filters");
    REFUSED(p.units[1].conv.filters_mult = 2000, "units[1].unit.conv.filters_mult");
    REFUSED(p.units[2].pool.stride = 0, "units[2].unit.pool.stride");
    REFUSED(p.units[1].input_count = 0, "units[1].unit.inputs");
    REFUSED(p.units[1].inputs[1] = 1, "units[1].unit.inputs[1]");
    REFUSED(p.units[1].inputs[0] = -2, "units[1].unit.inputs[0]");
    REFUSED(p.units[2].inputs[1] = 0, "units[2].unit.inputs[1]");
}

static void test_phenotype__the_last_unit_is_the_classifier(void **state)
{
    (void)state;
    REFUSED(p.units[3].fc_units = 11, "last one");
    REFUSED(p.units[3].fc_activation = PHENOTYPE_RELU, "last one");
    REFUSED(p.unit_count = 3, "last one");
    REFUSED(p.units[1] = p.units[3]; p.units[1].inputs[0] = 0, "fed by unit 1");
}

/* What a kind does not use leaves no trace in the bytes, so that equal networks have equal ids. */
static void test_phenotype__unused_fields_do_not_matter(void **state)
{
    struct phenotype a;
    struct phenotype b;
    struct bytes bytes_a;
    struct bytes bytes_b;
    struct nero_err err;

    (void)state;
    codec_sample_phenotype(&a);
    codec_sample_phenotype(&b);
    b.learning.rho = 7.0;
    b.units[0].fc_units = 5;
    b.units[0].inputs[1] = 99;
    b.units[3].conv.filters = 12;
    bytes_init(&bytes_a, PHENOTYPE_BYTES_MAX);
    bytes_init(&bytes_b, PHENOTYPE_BYTES_MAX);
    assert_int_equal(phenotype_encode(&a, &bytes_a, &err), NERO_OK);
    assert_int_equal(phenotype_encode(&b, &bytes_b, &err), NERO_OK);
    assert_true(bytes_view_equal(bytes_as_view(&bytes_a), bytes_as_view(&bytes_b)));
    bytes_fini(&bytes_a);
    bytes_fini(&bytes_b);
    phenotype_fini(&a);
    phenotype_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phenotype__shape_and_learning_are_checked),
        cmocka_unit_test(test_phenotype__units_are_checked),
        cmocka_unit_test(test_phenotype__the_last_unit_is_the_classifier),
        cmocka_unit_test(test_phenotype__unused_fields_do_not_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
