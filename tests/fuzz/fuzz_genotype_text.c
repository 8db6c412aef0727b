/*
 * Goal: any text is refused with a message, or means one genotype whose own text means the same.
 */
#include <string.h>

#include "nero/genotype.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct genotype genotype;
    struct genotype again;
    struct bytes text;
    struct bytes a;
    struct bytes b;
    struct nero_err err;

    if (genotype_parse_text("fuzz", bytes_view_of(data, bytes), &genotype, &err) != NERO_OK) {
        FUZZ_CHECK(strncmp(err.message, "fuzz:", 5) == 0);
        return 0;
    }
    bytes_init(&text, GENOTYPE_TEXT_BYTES_MAX);
    bytes_init(&a, GENOTYPE_BYTES_MAX);
    bytes_init(&b, GENOTYPE_BYTES_MAX);
    if (genotype_encode(&genotype, &a, &err) == NERO_OK) {
        FUZZ_CHECK(genotype_print_text(&genotype, &text, &err) == NERO_OK);
        FUZZ_CHECK(genotype_parse_text("again", bytes_as_view(&text), &again, &err) == NERO_OK);
        FUZZ_CHECK(genotype_encode(&again, &b, &err) == NERO_OK);
        FUZZ_CHECK(bytes_view_equal(bytes_as_view(&a), bytes_as_view(&b)));
        genotype_fini(&again);
    } else {
        FUZZ_CHECK(err.status == NERO_TOO_BIG);
    }
    genotype_fini(&genotype);
    bytes_fini(&text);
    bytes_fini(&a);
    bytes_fini(&b);
    return 0;
}
