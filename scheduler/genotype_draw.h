/*
 * A genotype as a picture: the units of its decoded network by module, with what they do, the
 * shapes of their outputs, where they read from, which of them cannot be built or do not reach the
 * output, and the learning unit. Laid out by Graphviz's `dot`, a program that need not be
 * installed.
 */
#ifndef NERO_GENOTYPE_DRAW_H
#define NERO_GENOTYPE_DRAW_H

#include <stdbool.h>

#include "nero/bytes.h"
#include "nero/genotype.h"
#include "nero/phenotype.h"

enum { GENOTYPE_DRAW_BYTES_MAX = 4 * 1024 * 1024 };

/*
 * Append the DOT text. phenotype: what the genotype decodes to. Equal inputs give equal text.
 * Errors: invalid (no network can be built), too_big, no_memory.
 */
enum nero_status genotype_draw_dot(const struct genotype *genotype,
                                   const struct phenotype *phenotype, const char *title,
                                   struct bytes *out, struct nero_err *err);

/*
 * Have `dot` make an SVG of the text. path: NULL or "-" is standard output; a file appears whole or
 * not at all. Errors: not_found (there is no `dot`), unavailable (it failed), denied, no_space.
 */
enum nero_status genotype_draw_svg(struct bytes_view dot, const char *path, struct nero_err *err);

/* Both; `dot`: the DOT text is what is wanted. */
enum nero_status genotype_draw(const struct genotype *genotype, const struct phenotype *phenotype,
                               const char *title, const char *path, bool dot, struct nero_err *err);

#endif
