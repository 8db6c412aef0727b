/*
 * A program run beside a gateway of its own, with the environment that lets s3:// find it.
 *
 *   with_rgw PROGRAM [ARGUMENT ...]
 */
#include "rgw.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rgw gateway;
    int status = -1;
    pid_t pid;

    if (argc < 2) {
        fprintf(stderr, "usage: with_rgw PROGRAM [ARGUMENT ...]\n");
        return 2;
    }
    rgw_start(&gateway);
    rgw_set_environment(&gateway);
    pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void)execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror(argv[1]);
    }
    rgw_stop(&gateway);
    return status >= 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
