#include "redis_find.h"

#include <stdio.h>
#include <sys/stat.h>

#include "cli.h"
#include "local.h"

enum nero_status redis_find(const char *given, const char *run, const char *store_url,
                            char out[REDIS_FIND_URL_BYTES], struct nero_err *err)
{
    char folder[LOCAL_PATH_BYTES];
    struct stat info;

    if (given != NULL && given[0] != 0) {
        (void)snprintf(out, REDIS_FIND_URL_BYTES, "%s", given);
        return NERO_OK;
    }
    if (local_folder(run, store_url, false, folder, err) != NERO_OK) {
        return err->status;
    }
    (void)snprintf(out, REDIS_FIND_URL_BYTES, "%s/redis.sock", folder);
    if (stat(out, &info) != 0 || !S_ISSOCK(info.st_mode)) {
        return err_set(
            err, NERO_UNAVAILABLE, 0,
            "no Redis of run %s is up on this machine: '%s resume %s' goes on with a run "
            "that was stopped here, --redis URL names one elsewhere",
            run, cli_program(), run);
    }
    (void)snprintf(out, REDIS_FIND_URL_BYTES, "unix://%s/redis.sock", folder);
    return NERO_OK;
}
