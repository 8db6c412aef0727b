/*
 * Where credentials come from, in the order of DESIGN.md, and their renewal before they expire.
 *
 * Thread: any; one thread renews while the others go on with what is still good.
 */
#ifndef NERO_S3_CREDENTIALS_H
#define NERO_S3_CREDENTIALS_H

#include "nero/clock.h"
#include "s3_profile.h"

enum { S3_CREDENTIALS_RENEW_MS = 5 * 60 * 1000 }; /* before expiry */

struct s3_credentials_options {
    const struct s3_environment *environment; /* both borrowed for the source's life */
    const struct clock_source *clock;
    const char *container_base; /* of relative URIs; NULL: http://169.254.170.2 */
    const char *metadata_base;  /* NULL: AWS_EC2_METADATA_SERVICE_ENDPOINT, else the link's own */
    int64_t request_ms;         /* of one request to such a service; 0: 2 s */
};

struct s3_credentials_source;

/*
 * Decide for one source by the environment and the files; asks no service yet. `region` gets what
 * the profile says, or "".
 * Errors: invalid (half a key pair, a broken file, a URI that is not allowed), denied, no_memory.
 */
enum nero_status s3_credentials_create(const struct s3_credentials_options *options,
                                       char region[S3_CONFIG_REGION_BYTES],
                                       struct s3_credentials_source **out, struct nero_err *err);
void s3_credentials_destroy(struct s3_credentials_source *source); /* wipes; NULL does nothing */

/*
 * Copy the present credentials, fetched or renewed where that is due.
 * Errors: denied (nobody has any, or the service refuses), unavailable, timeout, corrupt.
 */
enum nero_status s3_credentials_get(struct s3_credentials_source *source,
                                    struct s3_credentials *out, struct nero_err *err);

/*
 * The store refuses `used`: fetch anew unless that has been done meanwhile. `expired`: it says that
 * they are no longer valid; else it says only no, as Ceph's gateway does also of an expired
 * session: reason enough to look into the files again, for somebody may have rotated the keys, and
 * to ask a service again once in 5 min. False where the source has nothing else to give, or not
 * yet.
 */
bool s3_credentials_refused(struct s3_credentials_source *source, const struct s3_credentials *used,
                            bool expired);

#endif
