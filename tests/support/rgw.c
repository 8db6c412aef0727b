#include "rgw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/clock.h"

enum {
    PORTS_FIRST = 12000, /* below the kernel's own choices, which begin at 32768 */
    PORTS_EACH = 100,
    PORTS_SLOTS = 200,
    START_MAX_MS = 60000,
    WORDS_MAX = 24,
    UUID_BYTES = 37
};

/* Where a slot's ports are used: S3, the monitor, the OSD; the last one is the claim. */
enum { PORT_S3, PORT_MONITOR, PORT_TLS, PORT_OSD = 10, PORT_CLAIM = PORTS_EACH - 1 };

static int bind_port(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 &&
        (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 1) != 0)) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

/* Ports that no other gateway of these tests uses: who holds the claim's socket has the slot. */
static bool claim_ports(struct rgw *rgw)
{
    for (int i = 0; i < PORTS_SLOTS; i++) {
        int first =
            PORTS_FIRST + (int)(((unsigned)getpid() * 7u + (unsigned)i) % PORTS_SLOTS) * PORTS_EACH;
        int claim_fd = bind_port(first + PORT_CLAIM);
        int s3_fd = claim_fd >= 0 ? bind_port(first + PORT_S3) : -1;

        if (s3_fd >= 0) {
            (void)close(s3_fd);
            rgw->claim_fd = claim_fd;
            rgw->port = first;
            return true;
        }
        if (claim_fd >= 0) {
            (void)close(claim_fd);
        }
    }
    return false;
}

/* Run a program with its output in the folder's log. The child dies with this process. */
static pid_t spawn(const struct rgw *rgw, const char *const *words)
{
    char *argv[WORDS_MAX];
    char log[TEMP_FOLDER_BYTES + 16];
    size_t count = 0;
    pid_t pid;

    for (; words[count] != NULL && count + 1 < WORDS_MAX; count++) {
        argv[count] = strdup(words[count]);
    }
    argv[count] = NULL;
    (void)snprintf(log, sizeof log, "%s/output", rgw->folder);
    pid = fork();
    if (pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execvp(argv[0], argv);
        _exit(errno == ENOENT ? 127 : 126);
    }
    for (size_t i = 0; i < count; i++) {
        free(argv[i]);
    }
    return pid;
}

/* Exit status, or -1. */
static int run(const struct rgw *rgw, const char *const *words)
{
    pid_t pid = spawn(rgw, words);
    int status = 0;

    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status)) {
        return -1;
    }
    return WEXITSTATUS(status);
}

static void make_uuid(char out[UUID_BYTES])
{
    uint8_t b[16];

    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b) {
        abort();
    }
    (void)snprintf(out, UUID_BYTES,
                   "%02x%02x%02x%02x-%02x%02x-4%01x%02x-8%01x%02x-%02x%02x%02x%02x%02x%02x", b[0],
                   b[1], b[2], b[3], b[4], b[5], b[6] & 15, b[7], b[8] & 15, b[9], b[10], b[11],
                   b[12], b[13], b[14], b[15]);
}

/*
 * No authentication between the daemons; then the gateway speaks to the monitor only where it is
 * told that an unencrypted connection will do (ms_mon_client_mode). The monitor's default of
 * collecting changes for a second would make each pool take that long.
 */
static bool write_config(const struct rgw *rgw, const char *fsid)
{
    FILE *file = fopen(rgw->config, "w");
    const char *d = rgw->folder;
    char tls[3 * TEMP_FOLDER_BYTES] = "";
    int port = rgw->port;

    if (file == NULL) {
        return false;
    }
    if (rgw->tls_port != 0) {
        (void)snprintf(tls, sizeof tls,
                       " ssl_endpoint=127.0.0.1:%d ssl_certificate=%s/server.pem"
                       " ssl_private_key=%s/server.key",
                       rgw->tls_port, d, d);
    }
    fprintf(file,
            "[global]\n"
            "fsid = %s\n"
            "mon_initial_members = a\n"
            "mon_host = v2:127.0.0.1:%d\n"
            "public_addr = 127.0.0.1\n"
            "cluster_addr = 127.0.0.1\n"
            "ms_bind_ipv6 = false\n"
            "ms_bind_port_min = %d\n"
            "ms_bind_port_max = %d\n"
            "auth_cluster_required = none\n"
            "auth_service_required = none\n"
            "auth_client_required = none\n"
            "ms_mon_client_mode = crc\n"
            "paxos_propose_interval = 0.05\n"
            "paxos_min_wait = 0.02\n",
            fsid, port + PORT_MONITOR, port + PORT_OSD, port + PORT_CLAIM - 1);
    fprintf(file,
            "run_dir = %s\n"
            "admin_socket = %s/$name.$pid.asok\n"
            "log_file = %s/$name.log\n"
            "mon_cluster_log_file = %s/cluster.log\n"
            "osd_pool_default_size = 1\n"
            "osd_pool_default_min_size = 1\n"
            "osd_pool_default_pg_num = 4\n"
            "osd_pool_default_pgp_num = 4\n"
            "osd_pool_default_pg_autoscale_mode = off\n"
            "osd_crush_chooseleaf_type = 0\n"
            "mon_allow_pool_size_one = true\n"
            "mon_max_pg_per_osd = 1000\n"
            "mon_data_avail_crit = 1\n"
            "mon_data_avail_warn = 1\n",
            d, d, d, d);
    fprintf(file,
            "[mon.a]\n"
            "mon_data = %s/mon\n"
            "[osd]\n"
            "osd_data = %s/osd\n"
            "osd_objectstore = memstore\n"
            "memstore_device_bytes = 2147483648\n"
            "[client.rgw]\n"
            "rgw_data = %s/rgw\n"
            "rgw_frontends = beast endpoint=127.0.0.1:%d%s\n"
            "rgw_thread_pool_size = 64\n"
            "rgw_dns_name = localhost\n"
            "rgw_multipart_min_part_size = 65536\n"
            "rgw_sts_key = 0123456789abcdef\n"
            "rgw_s3_auth_use_sts = true\n",
            d, d, d, port + PORT_S3, tls);
    return fclose(file) == 0;
}

/* `clock`: as rgw_restart_gateway. */
static void spawn_gateway(struct rgw *rgw, const char *clock)
{
    char fake[64];
    const char *words[] = {"env",
                           "LD_PRELOAD=/usr/$LIB/faketime/libfaketimeMT.so.1",
                           "DONT_FAKE_MONOTONIC=1",
                           fake,
                           "radosgw",
                           "-c",
                           rgw->config,
                           "-n",
                           "client.rgw",
                           "-f",
                           NULL};

    (void)snprintf(fake, sizeof fake, "FAKETIME=%s", clock != NULL ? clock : "");
    rgw->pids[RGW_GATEWAY] = spawn(rgw, words + (clock != NULL ? 0 : 4));
}

static bool make_folders(const struct rgw *rgw)
{
    static const char *const names[] = {"mon", "osd", "rgw"};
    char path[TEMP_FOLDER_BYTES + 8];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", rgw->folder, names[i]);
        if (mkdir(path, 0700) != 0) {
            return false;
        }
    }
    return true;
}

/* An authority that signs itself, as `name`.pem and `name`.key. */
static bool make_authority(const struct rgw *rgw, const char *name)
{
    char key[TEMP_FOLDER_BYTES + 16];
    char pem[TEMP_FOLDER_BYTES + 16];

    (void)snprintf(key, sizeof key, "%s/%s.key", rgw->folder, name);
    (void)snprintf(pem, sizeof pem, "%s/%s.pem", rgw->folder, name);
    return run(rgw, (const char *[]){"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                                     "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                                     "/CN=nero test", "-keyout", key, "-out", pem, NULL}) == 0;
}

static bool make_certificates(const struct rgw *rgw)
{
    const char *d = rgw->folder;
    char paths[4][TEMP_FOLDER_BYTES + 16];
    static const char *const names[] = {"ca.pem", "ca.key", "server.pem", "server.key"};

    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(paths[i], sizeof paths[i], "%s/%s", d, names[i]);
    }
    return make_authority(rgw, "ca") && make_authority(rgw, "other") &&
           run(rgw, (const char *[]){"openssl",
                                     "req",
                                     "-x509",
                                     "-CA",
                                     paths[0],
                                     "-CAkey",
                                     paths[1],
                                     "-newkey",
                                     "ec",
                                     "-pkeyopt",
                                     "ec_paramgen_curve:P-256",
                                     "-nodes",
                                     "-days",
                                     "2",
                                     "-subj",
                                     "/CN=gateway",
                                     "-addext",
                                     "subjectAltName=DNS:localhost",
                                     "-keyout",
                                     paths[3],
                                     "-out",
                                     paths[2],
                                     NULL}) == 0;
}

/* What makes the cluster's state, in order; the daemons are started in between. */
static int make_cluster(struct rgw *rgw, const char *fsid)
{
    const char *c = rgw->config;
    char map[TEMP_FOLDER_BYTES + 8];
    char address[64];
    char uuid[UUID_BYTES];
    int failed;

    make_uuid(uuid);
    (void)snprintf(map, sizeof map, "%s/monmap", rgw->folder);
    (void)snprintf(address, sizeof address, "[v2:127.0.0.1:%d]", rgw->port + PORT_MONITOR);
    failed = run(rgw, (const char *[]){"monmaptool", "--create", "--clobber", "--fsid", fsid,
                                       "--addv", "a", address, map, NULL});
    if (failed == 0) {
        failed = run(rgw, (const char *[]){"ceph-mon", "-c", c, "-i", "a", "--mkfs", "--monmap",
                                           map, "--keyring", "/dev/null", NULL});
    }
    if (failed == 0) {
        rgw->pids[RGW_MONITOR] =
            spawn(rgw, (const char *[]){"ceph-mon", "-c", c, "-i", "a", "-f", NULL});
        failed = run(rgw, (const char *[]){"ceph", "-c", c, "--connect-timeout", "20", "osd", "new",
                                           uuid, NULL});
    }
    if (failed == 0) {
        failed = run(rgw, (const char *[]){"ceph-osd", "-c", c, "-i", "0", "--mkfs", "--osd-uuid",
                                           uuid, NULL});
    }
    if (failed == 0) {
        rgw->pids[RGW_OSD] =
            spawn(rgw, (const char *[]){"ceph-osd", "-c", c, "-i", "0", "-f", NULL});
        spawn_gateway(rgw, NULL);
    }
    return failed;
}

/* Until the gateway takes connections, or one of the daemons ends. */
static bool wait_for_gateway(const struct rgw *rgw)
{
    const struct clock_source *clock = clock_system();
    int64_t start_ns = clock_mono_ns(clock);

    while (clock_seconds_since(clock, start_ns) * 1000 < START_MAX_MS) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)(rgw->port + PORT_S3))};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool there;

        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        there = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
        (void)close(fd);
        if (there) {
            return true;
        }
        for (int i = 0; i < RGW_DAEMONS; i++) {
            if (waitpid(rgw->pids[i], NULL, WNOHANG) != 0) {
                return false;
            }
        }
        clock_sleep_ms(clock, 20);
    }
    return false;
}

bool rgw_admin(const struct rgw *rgw, const char *const *words)
{
    const char *argv[WORDS_MAX] = {"radosgw-admin", "-c", rgw->config, "-n", "client.rgw"};

    for (size_t i = 5; *words != NULL && i + 1 < WORDS_MAX; i++) {
        argv[i] = *words++;
    }
    return run(rgw, argv) == 0;
}

static void start(struct rgw *rgw, bool tls)
{
    char fsid[UUID_BYTES];
    int failed = -1;

    *rgw = (struct rgw){.claim_fd = -1};
    make_uuid(fsid);
    if (temp_folder_make(rgw->folder, NULL) == 0 && claim_ports(rgw)) {
        rgw->tls_port = tls ? rgw->port + PORT_TLS : 0;
        (void)snprintf(rgw->config, sizeof rgw->config, "%s/ceph.conf", rgw->folder);
        failed = make_folders(rgw) && write_config(rgw, fsid) && (!tls || make_certificates(rgw))
                     ? make_cluster(rgw, fsid)
                     : -1;
    }
    if (failed == 0 && wait_for_gateway(rgw) &&
        rgw_admin(rgw, (const char *[]){"user", "create", "--uid=test", "--display-name=test",
                                        "--access-key=" RGW_ACCESS_KEY,
                                        "--secret-key=" RGW_SECRET_KEY, NULL})) {
        return;
    }
    fprintf(stderr, "the S3 gateway does not start%s\n",
            failed == 127 ? ": Ceph is not installed (scripts/setup --dev)" : "");
    if (failed != 127) { /* keep the logs */
        fprintf(stderr, "its logs are in %s\n", rgw->folder);
        rgw->folder[0] = 0;
    }
    rgw_stop(rgw);
    exit(failed == 127 ? 77 : 1);
}

void rgw_start(struct rgw *rgw)
{
    start(rgw, false);
}

void rgw_start_tls(struct rgw *rgw)
{
    start(rgw, true);
}

void rgw_kill_gateway(struct rgw *rgw)
{
    (void)kill(rgw->pids[RGW_GATEWAY], SIGKILL);
    (void)waitpid(rgw->pids[RGW_GATEWAY], NULL, 0);
    rgw->pids[RGW_GATEWAY] = 0;
}

bool rgw_restart_gateway(struct rgw *rgw, const char *clock)
{
    spawn_gateway(rgw, clock);
    return wait_for_gateway(rgw);
}

void rgw_stop(struct rgw *rgw)
{
    for (int i = RGW_DAEMONS - 1; i >= 0; i--) {
        if (rgw->pids[i] > 0) { /* nothing of it is worth an orderly end, which takes seconds */
            (void)kill(rgw->pids[i], SIGKILL);
            (void)waitpid(rgw->pids[i], NULL, 0);
        }
    }
    if (rgw->claim_fd >= 0) {
        (void)close(rgw->claim_fd);
    }
    if (rgw->folder[0] != 0) {
        temp_folder_remove(rgw->folder);
    }
}

void rgw_set_environment(const struct rgw *rgw)
{
    static const char *const others[] = {"AWS_SESSION_TOKEN", "AWS_PROFILE",   "AWS_CA_BUNDLE",
                                         "AWS_ENDPOINT_URL",  "NERO_S3_STYLE", "NERO_S3_PAYLOAD",
                                         "http_proxy",        "HTTP_PROXY"};
    char endpoint[64];

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        (void)unsetenv(others[i]);
    }
    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", rgw->port + PORT_S3);
    (void)setenv("AWS_ENDPOINT_URL_S3", endpoint, 1);
    (void)setenv("AWS_ACCESS_KEY_ID", RGW_ACCESS_KEY, 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", RGW_SECRET_KEY, 1);
    (void)setenv("AWS_REGION", "us-east-1", 1);
    (void)setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent", 1);
    (void)setenv("AWS_CONFIG_FILE", "/nonexistent", 1);
}
