/*
 * One sample of every stored record, and for each a way to read its bytes and write them again.
 * Shared by the unit tests, the golden files and the fuzzers.
 */
#ifndef NERO_CODEC_SAMPLES_H
#define NERO_CODEC_SAMPLES_H

#include "nero/bytes.h"

struct codec_sample {
    const char *name; /* of the golden file too: tests/golden/codec/<name>.mp */
    /* Append the sample's bytes. */
    enum nero_status (*make)(struct bytes *out, struct nero_err *err);
    /* Decode, then append what the decoded record encodes to. */
    enum nero_status (*recode)(struct bytes_view bytes, struct bytes *out, struct nero_err *err);
};

extern const struct codec_sample codec_samples[];
extern const size_t codec_sample_count;

struct phenotype;
struct job_spec;
/* The structs behind the samples; the caller ends them with the type's own fini. */
void codec_sample_phenotype(struct phenotype *out);
void codec_sample_spec(struct job_spec *out);

/* The genotype sample as a researcher would write it; its bytes are the sample's. */
extern const char codec_sample_genotype_text[];

#endif
