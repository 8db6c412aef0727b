/* Whole small files. */
#ifndef NERO_FILE_H
#define NERO_FILE_H

#include "nero/bytes.h"

/* Append a file ("-": standard input) to `out`; its bytes_max is the limit.
 * Errors: not_found, denied, too_big, unavailable; the message starts with the path. */
enum nero_status file_read(const char *path, struct bytes *out, struct nero_err *err);

#endif
