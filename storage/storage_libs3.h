/*
 * s3+libs3://: how a test opens one its own way.
 */
#ifndef NERO_STORAGE_LIBS3_H
#define NERO_STORAGE_LIBS3_H

#include "libs3_request.h"

/* As storage_open for "s3+libs3://..." in `url`. */
enum nero_status storage_libs3_open_with(const char *url, const struct libs3_options *options,
                                         bool create, struct storage **out, struct nero_err *err);

#endif
