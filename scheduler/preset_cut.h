/*
 * A preset made smaller or larger from the command line: `run --images N --budget KIND:N
 * --lineages N --strategy NAME`. Each becomes overrides of preset keys, so that the stored preset
 * tells the whole story.
 */
#ifndef NERO_PRESET_CUT_H
#define NERO_PRESET_CUT_H

#include <stdint.h>

#include "nero/options.h"

enum { PRESET_CUT_OVERRIDES = 7, PRESET_CUT_BYTES = 64 };

struct preset_cut {
    uint64_t images;      /* of all three parts together; 0: as the preset says */
    const char *budget;   /* of one training; NULL: as the preset says */
    uint64_t lineages;    /* 0: as the preset says */
    const char *strategy; /* NULL: as the preset says */
    char overrides[PRESET_CUT_OVERRIDES][PRESET_CUT_BYTES]; /* `sets` point here */
};

/*
 * Append to `sets`, behind what is there: the parts keep their proportions, the cap its ratio to
 * the budget. Errors: of preset_load; invalid (more images than the preset has, too few for three
 * parts, a bad budget, no strategy, too many overrides).
 */
enum nero_status preset_cut_apply(const char *path, struct preset_cut *cut,
                                  struct options_list *sets, struct nero_err *err);

#endif
