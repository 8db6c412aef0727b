/*
 * Goal: any file is refused or is the one spelling of its tensors.
 */
#include <string.h>

#include "nero/safetensors.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct safetensors_file file;
    struct bytes out;
    struct nero_err err;

    if (safetensors_read(bytes_view_of(data, bytes), &file, &err) != NERO_OK) {
        FUZZ_CHECK(err.status == NERO_CORRUPT);
        return 0;
    }
    bytes_init(&out, bytes + 8);
    FUZZ_CHECK(safetensors_write(file.tensors, file.count, &out, &err) == NERO_OK);
    FUZZ_CHECK(bytes_view_equal(bytes_as_view(&out), bytes_view_of(data, bytes)));
    bytes_fini(&out);
    safetensors_file_fini(&file);
    return 0;
}
