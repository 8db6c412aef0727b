#include "genotype_file.h"

#include <string.h>

#include "nero/file.h"

enum nero_status genotype_file_read(const char *path, struct genotype *out, struct nero_err *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    struct bytes text;
    enum nero_status status;

    bytes_init(&text, GENOTYPE_TEXT_BYTES_MAX);
    status = file_read(path, &text, err);
    if (status == NERO_OK) {
        status = genotype_parse_text(name, bytes_as_view(&text), out, err);
        if (status == NERO_CORRUPT || status == NERO_VERSION) {
            status = err->status = NERO_INVALID;
        }
    }
    bytes_fini(&text);
    return status;
}
