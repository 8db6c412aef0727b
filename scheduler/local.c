#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/hash.h"
#include "nero/log.h"

enum {
    LOCAL_QUICK_DEATHS_MAX = 5,
    LOCAL_BEAT_MS = 1000, /* often enough for live lines */
    LOCAL_ARGUMENTS_MAX = 32
};

static enum nero_status make_folder(const char *path, struct nero_err *err)
{
    char partial[LOCAL_PATH_BYTES];

    for (size_t i = 1; path[i - 1] != 0; i++) {
        if (path[i] != '/' && path[i] != 0) {
            continue;
        }
        (void)snprintf(partial, sizeof partial, "%.*s", (int)i, path);
        if (mkdir(partial, 0700) != 0 && errno != EEXIST) {
            return err_set(err, err_from_errno(errno), errno, "make folder %s: %s", partial,
                           strerror(errno));
        }
    }
    return NERO_OK;
}

enum nero_status local_folder(const char *run, const char *store_url, bool create,
                              char out[LOCAL_PATH_BYTES], struct nero_err *err)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    struct hash url_hash = hash_of(bytes_view_str(store_url));
    char hex[HASH_HEX_BYTES];
    int length;

    hash_to_hex(hex, &url_hash);
    if (state != NULL && state[0] == '/') {
        length = snprintf(out, LOCAL_PATH_BYTES, "%s/nero/%s-%.8s", state, run, hex);
    } else if (home != NULL && home[0] == '/') {
        length = snprintf(out, LOCAL_PATH_BYTES, "%s/.local/state/nero/%s-%.8s", home, run, hex);
    } else {
        return err_set(err, NERO_INVALID, 0,
                       "neither XDG_STATE_HOME nor HOME is set: no folder for the run's state");
    }
    if (length >= LOCAL_PATH_BYTES) {
        return err_set(err, NERO_INVALID, 0, "the path of the state folder is too long");
    }
    return create ? make_folder(out, err) : NERO_OK;
}

/* nero-runner beside this program, else the one in PATH. */
static void find_runner(char out[LOCAL_PATH_BYTES])
{
    ssize_t length = readlink("/proc/self/exe", out, LOCAL_PATH_BYTES - 16);
    char *slash;

    if (length > 0) {
        out[length] = 0;
        slash = strrchr(out, '/');
        if (slash != NULL) {
            (void)snprintf(slash + 1, 16, "nero-runner");
            if (access(out, X_OK) == 0) {
                return;
            }
        }
    }
    (void)snprintf(out, LOCAL_PATH_BYTES, "nero-runner");
}

static void push_pair(char **argv, int *count, const char *name, char *value)
{
    static char names[LOCAL_ARGUMENTS_MAX][32];

    (void)snprintf(names[*count], sizeof names[0], "%s", name);
    argv[*count] = names[*count];
    argv[*count + 1] = value;
    *count += 2;
    argv[*count] = NULL;
}

/* In the child, between fork and exec. The runner's own process group keeps a terminal's Ctrl-C
 * from reaching it twice; the death signal lets it checkpoint and go when we are killed. */
static void exec_runner(const struct local_options *options, uint32_t number, int fd, pid_t parent)
{
    char program[LOCAL_PATH_BYTES];
    char log[LOCAL_PATH_BYTES + 32];
    char texts[8][LOCAL_PATH_BYTES];
    char *argv[LOCAL_ARGUMENTS_MAX] = {program};
    int count = 1;
    int out;

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(ERR_EXIT_RESUMABLE);
    }
    find_runner(program);
    (void)snprintf(texts[0], sizeof texts[0], "%s", options->redis_url);
    (void)snprintf(texts[1], sizeof texts[1], "%s", options->store_url);
    (void)snprintf(texts[2], sizeof texts[2], "%s", options->run);
    (void)snprintf(texts[3], sizeof texts[3], "%d", fd);
    (void)snprintf(texts[4], sizeof texts[4], "%d", LOCAL_BEAT_MS);
    (void)snprintf(texts[5], sizeof texts[5], "%s", options->backend);
    (void)snprintf(texts[6], sizeof texts[6], "%s", options->checkpoint_interval);
    (void)snprintf(texts[7], sizeof texts[7], "%" PRIu64, options->shards);
    push_pair(argv, &count, "--redis", texts[0]);
    push_pair(argv, &count, "--store", texts[1]);
    push_pair(argv, &count, "--run", texts[2]);
    push_pair(argv, &count, "--enrol-fd", texts[3]);
    push_pair(argv, &count, "--beat-ms", texts[4]);
    if (options->backend[0] != 0) {
        push_pair(argv, &count, "--backend", texts[5]);
    }
    if (options->shards > 0) {
        push_pair(argv, &count, "--shards", texts[7]);
    }
    if (options->checkpoint_interval[0] != 0) {
        push_pair(argv, &count, "--checkpoint-interval", texts[6]);
    }
    (void)snprintf(log, sizeof log, "%s/runner-%" PRIu32 ".log", options->log_folder, number);
    out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (out >= 0) {
        (void)dup2(out, 1);
        (void)dup2(out, 2);
    }
    (void)execvp(program, argv);
    (void)dprintf(2, "%s: %s\n", program, strerror(errno));
    _exit(127);
}

/* In the child, between fork and exec: what it says goes into the pipe. */
static void exec_check(const char *backend, int fd)
{
    char program[LOCAL_PATH_BYTES];
    char check[] = "--check";
    char option[] = "--backend";
    char name[LOCAL_PATH_BYTES];
    char *argv[] = {program, check, option, name, NULL};

    (void)snprintf(name, sizeof name, "%s", backend);
    find_runner(program);
    (void)dup2(fd, 1);
    (void)dup2(fd, 2);
    (void)execvp(program, argv);
    (void)dprintf(2, "%s: %s\n", program, strerror(errno));
    _exit(127);
}

enum nero_status local_check(const char *backend, struct nero_err *err)
{
    char words[ERR_MESSAGE_BYTES_MAX / 2] = "";
    FILE *said = NULL;
    int status = 0;
    int pair[2];
    pid_t pid;

    if (pipe2(pair, O_CLOEXEC) != 0) {
        return err_set(err, NERO_UNAVAILABLE, errno, "pipe for a runner: %s", strerror(errno));
    }
    pid = fork();
    if (pid == 0) {
        exec_check(backend, pair[1]);
    }
    (void)close(pair[1]);
    said = fdopen(pair[0], "r");
    if (pid > 0 && said != NULL && fgets(words, sizeof words, said) != NULL) {
        while (fgetc(said) != EOF) {
        }
    }
    if (said != NULL) {
        (void)fclose(said);
    } else {
        (void)close(pair[0]);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (pid < 0 || !WIFEXITED(status)) {
        return err_set(err, NERO_UNAVAILABLE, 0, "a runner cannot be started to be asked");
    }
    words[strcspn(words, "\n")] = 0;
    return WEXITSTATUS(status) == 0 ? NERO_OK
                                    : err_set(err, NERO_INVALID, 0, "--backend: %s", words);
}

static enum nero_status start_runner(struct local *local, uint32_t number, struct nero_err *err)
{
    struct local_runner *runner = &local->runners[number];
    int pair[2];
    pid_t parent = getpid();
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return err_set(err, err_from_errno(errno), errno, "socket pair for a runner: %s",
                       strerror(errno));
    }
    pid = fork();
    if (pid == 0) {
        (void)fcntl(pair[1], F_SETFD, 0);
        exec_runner(&local->options, number, pair[1], parent);
    }
    (void)close(pair[1]);
    if (pid < 0) {
        (void)close(pair[0]);
        return err_set(err, err_from_errno(errno), errno, "start a runner: %s", strerror(errno));
    }
    runner->pid = pid;
    runner->unserved = false;
    runner->socket = pair[0];
    runner->started_ns = clock_mono_ns(clock_system());
    return NERO_OK;
}

enum nero_status local_start(struct local *local, const struct local_options *options,
                             struct nero_err *err)
{
    memset(local, 0, sizeof *local);
    local->options = *options;
    if (options->runners > LOCAL_RUNNERS_MAX) {
        return err_set(err, NERO_INVALID, 0, "%" PRIu32 " local runners are more than %d",
                       options->runners, LOCAL_RUNNERS_MAX);
    }
    for (uint32_t i = 0; i < options->runners; i++) {
        local->runners[i].socket = -1;
    }
    for (uint32_t i = 0; i < options->runners; i++) {
        if (start_runner(local, i, err) != NERO_OK) {
            local_stop(local, 0);
            return err->status;
        }
    }
    return NERO_OK;
}

static void forget_runner(struct local_runner *runner)
{
    if (runner->socket >= 0) {
        (void)close(runner->socket);
        runner->socket = -1;
    }
    runner->pid = 0;
}

/* A runner ended: tell why. One that keeps dying at once by its own fault is an error. */
static enum nero_status bury_runner(struct local *local, uint32_t number, int wait_status,
                                    struct nero_err *err)
{
    struct local_runner *runner = &local->runners[number];
    double lived = clock_seconds_since(clock_system(), runner->started_ns);

    log_line(LOG_DEBUG, "runner.ended", &(struct log_context){.run = local->options.run},
             "number=%" PRIu32 " exit=%d signal=%d lived_s=%.1f", number,
             WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1,
             WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0, lived);
    forget_runner(runner);
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 127) {
        return err_set(err, NERO_NOT_FOUND, 0,
                       "nero-runner is neither beside this program nor in PATH");
    }
    if (runner->unserved) {
        return NERO_OK;
    }
    runner->quick_deaths = lived * 1000 < LOCAL_QUICK_MS ? runner->quick_deaths + 1 : 0;
    if (runner->quick_deaths >= LOCAL_QUICK_DEATHS_MAX) {
        return err_set(err, NERO_UNAVAILABLE, 0,
                       "runner %" PRIu32 " died %d times right after its start; its log: "
                       "%s/runner-%" PRIu32 ".log",
                       number, LOCAL_QUICK_DEATHS_MAX, local->options.log_folder, number);
    }
    return NERO_OK;
}

/* At once, unless an outage ended the last one before it had begun. */
static bool may_start(const struct local_runner *runner)
{
    return runner->pid == 0 &&
           (!runner->unserved ||
            clock_seconds_since(clock_system(), runner->started_ns) * 1000 >= LOCAL_QUICK_MS);
}

static void answer_enrolment(struct local_runner *runner, const struct enrol_issuer *issuer)
{
    struct nero_err err;

    if (enrol_answer_fd(issuer, runner->socket, &err) != NERO_OK) {
        log_failure("enrol.failed", &(struct log_context){.run = issuer->run}, &err);
        runner->unserved = err_is_outage(err.status);
        (void)shutdown(runner->socket, SHUT_RDWR);
    }
}

enum nero_status local_tend(struct local *local, const struct enrol_issuer *issuer,
                            uint32_t wait_ms, struct nero_err *err)
{
    struct pollfd fds[LOCAL_RUNNERS_MAX];

    for (uint32_t i = 0; i < local->options.runners; i++) {
        fds[i] = (struct pollfd){.fd = local->runners[i].socket, .events = POLLIN};
    }
    (void)poll(fds, local->options.runners, (int)wait_ms);
    for (uint32_t i = 0; i < local->options.runners; i++) {
        if (local->runners[i].socket >= 0 && (fds[i].revents & (POLLIN | POLLHUP)) == POLLIN) {
            answer_enrolment(&local->runners[i], issuer);
        }
    }
    for (uint32_t i = 0; i < local->options.runners; i++) {
        int wait_status;

        if (local->runners[i].pid > 0 &&
            waitpid(local->runners[i].pid, &wait_status, WNOHANG) == local->runners[i].pid &&
            bury_runner(local, i, wait_status, err) != NERO_OK) {
            return err->status;
        }
        if (may_start(&local->runners[i]) && start_runner(local, i, err) != NERO_OK) {
            return err->status;
        }
    }
    return NERO_OK;
}

uint32_t local_alive(const struct local *local)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < local->options.runners; i++) {
        count += local->runners[i].pid > 0;
    }
    return count;
}

void local_stop(struct local *local, uint32_t wait_ms)
{
    int64_t start = clock_mono_ns(clock_system());

    for (uint32_t i = 0; i < local->options.runners; i++) {
        if (local->runners[i].pid > 0) {
            (void)kill(local->runners[i].pid, SIGTERM);
            /* One that waits for its certificate, which nobody will issue now, sees the end. */
            (void)shutdown(local->runners[i].socket, SHUT_WR);
        }
    }
    while (local_alive(local) > 0) {
        bool late = clock_seconds_since(clock_system(), start) * 1000 >= wait_ms;

        for (uint32_t i = 0; i < local->options.runners; i++) {
            struct local_runner *runner = &local->runners[i];

            if (runner->pid > 0 && late) {
                (void)kill(runner->pid, SIGKILL);
            }
            if (runner->pid > 0 && waitpid(runner->pid, NULL, late ? 0 : WNOHANG) == runner->pid) {
                forget_runner(runner);
            }
        }
        clock_sleep_ms(clock_system(), 20);
    }
}
