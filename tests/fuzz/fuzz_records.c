/*
 * Goal: whatever the bytes, every record decoder refuses them or takes them as the one spelling of
 * what they say. Each input goes through all decoders, envelopes and the JSON printer included.
 */
#include <string.h>

#include "nero/envelope.h"
#include "nero/record.h"
#include "nero/show.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/codec_samples.h"

enum { FUZZ_BYTES_MAX = 8 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct bytes_view view = bytes_view_of(data, bytes);
    struct envelope envelope;
    struct nero_err err;
    struct bytes out;

    for (size_t i = 0; i < codec_sample_count; i++) {
        bytes_init(&out, FUZZ_BYTES_MAX);
        if (codec_samples[i].recode(view, &out, &err) == NERO_OK) {
            FUZZ_CHECK(bytes_view_equal(view, bytes_as_view(&out)));
        } else {
            FUZZ_CHECK(out.bytes == 0);
            FUZZ_CHECK(err.status == NERO_CORRUPT || err.status == NERO_VERSION ||
                       err.status == NERO_TOO_BIG);
        }
        bytes_fini(&out);
    }
    bytes_init(&out, FUZZ_BYTES_MAX);
    (void)record_print_json(view, &out, &err);
    (void)show_envelope(view, &out, &err);
    for (enum envelope_type type = ENVELOPE_RUN; type <= ENVELOPE_COLLECTION; type++) {
        (void)envelope_parse(view, type, &envelope, &err);
        (void)show_payload(type, view, &out, &err);
    }
    bytes_fini(&out);
    return 0;
}
