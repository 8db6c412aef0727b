/*
 * A preset made smaller or larger from the command line: --images N, --budget KIND:N, --lineages N
 * and --strategy NAME of `run`, `submit` and `plan` (`submit --budget` is that of an evaluation).
 * Each becomes overrides of preset keys, so that the stored preset tells the whole story.
 */
#ifndef NERO_PRESET_CUT_H
#define NERO_PRESET_CUT_H

#include <stdint.h>

#include "nero/job.h"
#include "nero/options.h"
#include "nero/run.h"

enum { PRESET_CUT_OVERRIDES = 7, PRESET_CUT_BYTES = 64 };

struct preset_cut {
    uint64_t images;      /* of all three parts together; 0: as the preset says */
    const char *budget;   /* of one training; NULL: as the preset says */
    uint64_t lineages;    /* 0: as the preset says */
    const char *strategy; /* NULL: as the preset says */
    char overrides[PRESET_CUT_OVERRIDES][PRESET_CUT_BYTES]; /* `sets` point here */
};

/* Rows of a command's table of options; --budget apart, since `submit` has one of its own. */
/* clang-format off */
#define PRESET_CUT_OPTIONS(cut)                                                                \
    {"lineages", OPTIONS_COUNT, "N", "independent searches that share queue and runners",        \
     NULL, &(cut).lineages, RUN_LINEAGES_MAX},                                                 \
    {"strategy", OPTIONS_STRING, "NAME",                                                       \
     "evolve, or random: as many trainings of random candidates", NULL, &(cut).strategy, 0},   \
    {"images", OPTIONS_COUNT, "N", "use N images, cut into parts as the preset's are",           \
     NULL, &(cut).images, JOB_IMAGES_MAX}
#define PRESET_CUT_OPTION_BUDGET(cut)                                                          \
    {"budget", OPTIONS_STRING, "KIND:N", "of a training; the cap is scaled with it",           \
     NULL, &(cut).budget, 0}
/* clang-format on */

/*
 * Append to `sets`, behind what is there: the parts keep their proportions, the cap its ratio to
 * the budget. Errors: of preset_load; invalid (more images than the preset has, too few for three
 * parts, a bad budget, no strategy, too many overrides).
 */
enum nero_status preset_cut_apply(const char *path, struct preset_cut *cut,
                                  struct options_list *sets, struct nero_err *err);

#endif
