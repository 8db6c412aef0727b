/*
 * Where a bucket is and how it is addressed: the URL of a store and the environment, parsed once.
 *
 * The environment is a function, so that tests bring their own.
 */
#ifndef NERO_S3_CONFIG_H
#define NERO_S3_CONFIG_H

#include <stdbool.h>

#include "nero/storage.h"
#include "s3_http.h"

enum {
    S3_CONFIG_BUCKET_BYTES = 64,  /* 63 characters are allowed */
    S3_CONFIG_PREFIX_BYTES = 258, /* with the last '/' */
    S3_CONFIG_HOST_BYTES = 320,
    S3_CONFIG_REGION_BYTES = 64,
    S3_CONFIG_PATH_BYTES = 1024
};

/* NULL where a variable is not set. The answer lives until the next change of the environment. */
struct s3_environment {
    const char *(*get)(void *context, const char *name);
    void *context;
};

/* The process's own. An empty variable counts as not set. */
const struct s3_environment *s3_environment_system(void);
const char *s3_environment_get(const struct s3_environment *environment, const char *name);

struct s3_config {
    char bucket[S3_CONFIG_BUCKET_BYTES];
    char prefix[S3_CONFIG_PREFIX_BYTES]; /* "" or with a '/' at its end */
    char host[S3_CONFIG_HOST_BYTES];     /* the Host header: bucket in front, port behind */
    char region[S3_CONFIG_REGION_BYTES];
    char ca_bundle[S3_CONFIG_PATH_BYTES]; /* "": the system's */
    bool tls;
    bool path_style;        /* the bucket is the path's first segment */
    bool unsigned_payload;  /* bodies are guarded by TLS alone */
    bool region_is_default; /* nobody has named it: the profile may */
};

/*
 * Parse "bucket" or "bucket/prefix" (what follows s3:// in `url`) and the variables of DESIGN.md.
 * Errors: invalid, naming the URL or the variable.
 */
enum nero_status s3_config_parse(const char *url, const char *place,
                                 const struct s3_environment *environment, struct s3_config *out,
                                 struct nero_err *err);

/* Name the region, where the environment did not: of AWS the host follows from it. */
enum nero_status s3_config_set_region(struct s3_config *config,
                                      const struct s3_environment *environment, const char *region,
                                      struct nero_err *err);

#endif
