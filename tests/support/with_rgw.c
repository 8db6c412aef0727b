/*
 * A program run beside a gateway of its own, with the environment that lets s3:// find it, and in
 * NERO_TEST_RGW_CONFIG the configuration that radosgw-admin needs. --lie: behind a proxy that
 * leaves out every condition of a write, which then overwrites, as some stores do.
 *
 * --tls: with TLS too, at NERO_TEST_TLS_ENDPOINT, by the authority in the file
 * NERO_TEST_TLS_AUTHORITY.
 *
 *   with_rgw [--lie|--tls] PROGRAM [ARGUMENT ...]
 */
#include "rgw.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/proxy.h"

static struct proxy *start_liar(const struct rgw *gateway)
{
    struct proxy *proxy = proxy_start(gateway->port);
    char endpoint[64];

    proxy_set(proxy, PROXY_LIE, 0, -1);
    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", proxy_port(proxy));
    (void)setenv("AWS_ENDPOINT_URL_S3", endpoint, 1);
    return proxy;
}

static void start_gateway(struct rgw *gateway, bool tls)
{
    char text[TEMP_FOLDER_BYTES + 16];

    if (!tls) {
        rgw_start(gateway);
        return;
    }
    rgw_start_tls(gateway);
    (void)snprintf(text, sizeof text, "https://localhost:%d", gateway->tls_port);
    (void)setenv("NERO_TEST_TLS_ENDPOINT", text, 1);
    (void)snprintf(text, sizeof text, "%s/ca.pem", gateway->folder);
    (void)setenv("NERO_TEST_TLS_AUTHORITY", text, 1);
}

int main(int argc, char **argv)
{
    bool lie = argc > 1 && strcmp(argv[1], "--lie") == 0;
    bool tls = argc > 1 && strcmp(argv[1], "--tls") == 0;
    char **words = argv + 1 + (lie || tls);
    struct proxy *proxy = NULL;
    struct rgw gateway;
    int status = -1;
    pid_t pid;

    if (words[0] == NULL) {
        fprintf(stderr, "usage: with_rgw [--lie|--tls] PROGRAM [ARGUMENT ...]\n");
        return 2;
    }
    start_gateway(&gateway, tls);
    rgw_set_environment(&gateway);
    (void)setenv("NERO_TEST_RGW_CONFIG", gateway.config, 1);
    if (lie) {
        proxy = start_liar(&gateway);
    }
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)execvp(words[0], words);
        perror(words[0]);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror(words[0]);
    }
    if (proxy != NULL) {
        proxy_stop(proxy);
    }
    rgw_stop(&gateway);
    return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
