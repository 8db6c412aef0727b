/*
 * A real S3 service of a test program's own: Ceph's RADOS gateway over one monitor and one OSD that
 * keeps everything in memory, in a temporary folder, on free loopback ports. It verifies
 * signatures. Its processes end with the test program, also when that is killed. A test may stop
 * and kill them by `pids`.
 */
#ifndef NERO_TESTS_RGW_H
#define NERO_TESTS_RGW_H

#include <stdbool.h>
#include <sys/types.h>

#include "temp_folder.h"

#define RGW_ACCESS_KEY "nero-test-access"
#define RGW_SECRET_KEY "nero/test+secret=key"

enum rgw_daemon { RGW_MONITOR, RGW_OSD, RGW_GATEWAY, RGW_DAEMONS };

struct rgw {
    char folder[TEMP_FOLDER_BYTES];
    char config[TEMP_FOLDER_BYTES + 16];
    int port;     /* of S3 */
    int tls_port; /* of S3 over TLS; 0 without */
    int claim_fd;
    pid_t pids[RGW_DAEMONS];
};

/* Ends the program with 77 (skipped) where Ceph is not installed, with 1 on a failure. */
void rgw_start(struct rgw *rgw);
void rgw_stop(struct rgw *rgw);

/*
 * As rgw_start, with TLS too: by a certificate for "localhost" alone (not for 127.0.0.1) of the
 * authority in `folder`/ca.pem; `folder`/other.pem is one that has nothing to do with it.
 */
void rgw_start_tls(struct rgw *rgw);

/* kill -9 the gateway; start it again, with its clock shifted by "+2h" or so (NULL: not at all). */
void rgw_kill_gateway(struct rgw *rgw);
bool rgw_restart_gateway(struct rgw *rgw, const char *clock);

/* Set the variables of the environment that let s3:// find it, and unset all others of AWS. */
void rgw_set_environment(const struct rgw *rgw);

/* radosgw-admin with these words (the last one NULL). Whether it succeeded. */
bool rgw_admin(const struct rgw *rgw, const char *const *words);

#endif
