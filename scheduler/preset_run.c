#include "preset_run.h"

#include <stdio.h>
#include <string.h>

enum nero_status preset_run_open(const char *path, const struct options_list *sets,
                                 struct preset_run *out, struct nero_err *err)
{
    memset(out, 0, sizeof *out);
    if (preset_load(path, sets->values, sets->count, &out->preset, err) != NERO_OK) {
        return err->status;
    }
    if (grammar_parse("the preset's grammar", out->preset.record.grammar, &out->grammar, err) !=
        NERO_OK) {
        preset_fini(&out->preset);
        return err->status;
    }
    (void)snprintf(out->preset.record.name, sizeof out->preset.record.name, "preset");
    out->run = (struct evolve_run){.record = &out->preset.record,
                                   .grammar = &out->grammar,
                                   .channels = 3,
                                   .height = 32,
                                   .width = 32,
                                   .classes = 10};
    if (evolve_check(&out->run, err) != NERO_OK) {
        preset_run_close(out);
        return err_wrap(err, "%s", path);
    }
    return NERO_OK;
}

void preset_run_close(struct preset_run *run)
{
    grammar_fini(&run->grammar);
    preset_fini(&run->preset);
}
