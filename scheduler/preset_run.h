/*
 * A preset as a run that is not started: what the search's functions need to draw, decode and cost
 * individuals, without a store. The shape of the images is that of the preset's data set where that
 * is a shipped one or a folder, which are CIFAR's: 3 x 32 x 32, 10 classes.
 */
#ifndef NERO_PRESET_RUN_H
#define NERO_PRESET_RUN_H

#include "nero/options.h"

#include "evolve/evolve.h"
#include "preset.h"

/* `run` points into the struct: do not move it. */
struct preset_run {
    struct preset preset;
    struct grammar grammar;
    struct evolve_run run;
};

/* Load and check. Owns: *out on success (preset_run_close). Errors: as preset_load, grammar_parse.
 */
enum nero_status preset_run_open(const char *path, const struct options_list *sets,
                                 struct preset_run *out, struct nero_err *err);
void preset_run_close(struct preset_run *run);

#endif
