/*
 * A preset: the YAML file that a user gives, checked against a schema, made into a run record.
 * Every key has a documented default; unknown keys, wrong types and impossible values are refused
 * with file, key and reason. Keys are listed in presets/README.md.
 */
#ifndef NERO_PRESET_H
#define NERO_PRESET_H

#include "nero/bytes.h"
#include "nero/interval.h"
#include "nero/run.h"

/* What the preset says beside the run record. Owned strings; preset_fini. */
struct preset {
    /* Its views are into `grammar`, `seed_genotype` and `text`. The caller fills in name, run_key,
       created_ms and the data set, and seed where has_seed is false. */
    struct run_record record;
    struct bytes grammar;
    struct bytes seed_genotype; /* empty: none */
    struct bytes text;
    char dataset[256]; /* name or path of a data set, relative to the preset's folder */
    bool has_seed;     /* record.seed was given */
    uint32_t runners;  /* local runners of `run` */
    char checkpoint_interval[INTERVAL_TEXT_BYTES];
    uint32_t lease_ms;
};

/* `overrides`: "key.key=value" strings from the command line, applied after the file. */
enum nero_status preset_load(const char *path, const char *const *overrides,
                             uint32_t override_count, struct preset *out, struct nero_err *err);
void preset_fini(struct preset *preset);

#endif
