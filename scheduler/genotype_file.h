/* A genotype that a person wrote: its text in a file. */
#ifndef NERO_GENOTYPE_FILE_H
#define NERO_GENOTYPE_FILE_H

#include "nero/genotype.h"

/*
 * Read a genotype's text ("-": standard input). Owns: *out. Errors: those of file_read; invalid
 * for a text that is broken or of another version: typed by a person, so bad input, no finding.
 */
enum nero_status genotype_file_read(const char *path, struct genotype *out, struct nero_err *err);

#endif
