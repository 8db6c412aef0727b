#include "nero/redis_child.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/mem.h"
#include "queue_conn.h"

enum {
    START_MS = 10000, /* until PING is answered */
    STOP_MS = 5000,   /* from SIGTERM to SIGKILL */
    LOCK_MS = 1500,   /* for the server of a process just killed to die too */
    POLL_MS = 20,
    ROOM_BYTES_MIN = 1 << 20, /* less is a full disk */
    PATH_BYTES = 768
};

/*
 * The death signal is sent when the *thread* that forked ends, not the process. So all forking is
 * done by a thread of our own that lives as long as the child; it sleeps otherwise.
 */
struct redis_child {
    char folder[PATH_BYTES];
    char program[PATH_BYTES];
    char url[PATH_BYTES + 32];
    int lock_fd; /* of the folder; the server inherits it, so the lock lasts until both are gone */
    pid_t pid;   /* 0: none */
    pthread_t forker;
    bool forker_runs;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    enum { FORKER_IDLE, FORKER_FORK, FORKER_QUIT } order; /* under mutex */
    int fork_errno;
};

/* redis-server in PATH; empty entries (the current folder) are passed over. */
static enum nero_status find_program(char out[PATH_BYTES], struct nero_err *err)
{
    const char *path = getenv("PATH");

    path = path != NULL ? path : "/usr/local/bin:/usr/bin:/bin";
    while (*path != '\0') {
        size_t length = strcspn(path, ":");
        int written = snprintf(out, PATH_BYTES, "%.*s/redis-server", (int)length, path);

        if (length > 0 && written > 0 && written < PATH_BYTES && access(out, X_OK) == 0) {
            return NERO_OK;
        }
        path += length;
        path += *path == ':' ? 1 : 0;
    }
    return err_set(err, NERO_UNAVAILABLE, 0,
                   "redis-server is not in PATH: install the package redis-server, or give --redis "
                   "URL");
}

enum nero_status redis_child_installed(struct nero_err *err)
{
    char program[PATH_BYTES];

    return find_program(program, err);
}

static enum nero_status lock_folder(struct redis_child *child, struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    int64_t start = clock_mono_ns(clock);

    child->lock_fd = open(child->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (child->lock_fd < 0) {
        return err_set(err, err_from_errno(errno), errno, "open %s: %s", child->folder,
                       strerror(errno));
    }
    while (flock(child->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return err_set(err, NERO_UNAVAILABLE, errno, "lock %s: %s", child->folder,
                           strerror(errno));
        }
        if (clock_seconds_since(clock, start) * 1000.0 > LOCK_MS) {
            return err_set(err, NERO_CONFLICT, 0, "%s is in use by another process", child->folder);
        }
        clock_sleep_ms(clock, POLL_MS);
    }
    return NERO_OK;
}

/* In the child, between fork and exec: async-signal-safe calls only. */
static void become_server(const struct redis_child *child, pid_t parent)
{
    static const char *const argv[] = {"redis-server",
                                       "--port",
                                       "0",
                                       "--unixsocket",
                                       "redis.sock",
                                       "--save",
                                       "",
                                       "--appendonly",
                                       "yes",
                                       "--appendfsync",
                                       "everysec",
                                       "--maxmemory-policy",
                                       "noeviction",
                                       "--daemonize",
                                       "no",
                                       "--dir",
                                       ".",
                                       "--unixsocketperm",
                                       "700",
                                       NULL};
    char *const *args = (char *const *)(uintptr_t)argv;
    sigset_t none;
    int log_fd;
    int null_fd;

    /* 1. Its own group: Ctrl-C at the terminal reaches the parent, which still needs us. */
    (void)setpgid(0, 0);
    /* 2. Die with the parent. 3. If it died before 2, no signal will come: look. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        _exit(126);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)signal(SIGINT, SIG_DFL);
    if (fchdir(child->lock_fd) != 0) {
        _exit(126);
    }
    null_fd = open("/dev/null", O_RDONLY);
    log_fd = open("redis.log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (null_fd < 0 || log_fd < 0 || dup2(null_fd, 0) < 0 || dup2(log_fd, 1) < 0 ||
        dup2(log_fd, 2) < 0 || fcntl(child->lock_fd, F_SETFD, 0) != 0) {
        _exit(126);
    }
    (void)execv(child->program, args);
    _exit(127);
}

static void *forker_main(void *context)
{
    struct redis_child *child = context;
    pid_t parent = getpid();

    (void)pthread_mutex_lock(&child->mutex);
    for (;;) {
        while (child->order == FORKER_IDLE) {
            (void)pthread_cond_wait(&child->changed, &child->mutex);
        }
        if (child->order == FORKER_QUIT) {
            break;
        }
        child->pid = fork();
        if (child->pid == 0) {
            become_server(child, parent);
        }
        child->fork_errno = child->pid < 0 ? errno : 0;
        child->pid = child->pid < 0 ? 0 : child->pid;
        child->order = FORKER_IDLE;
        (void)pthread_cond_broadcast(&child->changed);
    }
    (void)pthread_mutex_unlock(&child->mutex);
    return NULL;
}

/* The forker takes no signals: they are for the program's own threads. */
static enum nero_status start_forker(struct redis_child *child, struct nero_err *err)
{
    sigset_t all;
    sigset_t before;
    int code;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&child->forker, NULL, forker_main, child);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (code != 0) {
        return err_set(err, NERO_UNAVAILABLE, code, "start a thread for redis-server: %s",
                       strerror(code));
    }
    child->forker_runs = true;
    return NERO_OK;
}

static void end_forker(struct redis_child *child)
{
    if (!child->forker_runs) {
        return;
    }
    (void)pthread_mutex_lock(&child->mutex);
    child->order = FORKER_QUIT;
    (void)pthread_cond_broadcast(&child->changed);
    (void)pthread_mutex_unlock(&child->mutex);
    (void)pthread_join(child->forker, NULL);
    child->forker_runs = false;
}

/* True once the server has ended; its process is then gone for good. */
static bool has_ended(struct redis_child *child)
{
    pid_t got;

    if (child->pid == 0) {
        return true;
    }
    do {
        got = waitpid(child->pid, NULL, WNOHANG);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        return false;
    }
    child->pid = 0; /* ended, or (ECHILD) reaped by a SIGCHLD handler of the program */
    return true;
}

static void kill_and_wait(struct redis_child *child)
{
    const struct clock_source *clock = clock_system();
    int64_t start = clock_mono_ns(clock);

    if (!has_ended(child)) {
        (void)kill(child->pid, SIGTERM);
    }
    while (!has_ended(child)) {
        if (clock_seconds_since(clock, start) * 1000.0 > STOP_MS) {
            (void)kill(child->pid, SIGKILL);
        }
        clock_sleep_ms(clock, POLL_MS);
    }
}

/* It ended by itself: most likely what it wrote had no room. */
static enum nero_status ended_at_once(const struct redis_child *child, struct nero_err *err)
{
    struct statvfs disk;
    bool full = fstatvfs(child->lock_fd, &disk) == 0 &&
                disk.f_bavail < ROOM_BYTES_MIN / (disk.f_frsize > 0 ? disk.f_frsize : 1);

    return err_set(err, full ? NERO_NO_SPACE : NERO_UNAVAILABLE, 0,
                   "redis-server ended at once%s: see %s/redis.log", full ? " on a full disk" : "",
                   child->folder);
}

static enum nero_status wait_for_ping(struct redis_child *child, struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    int64_t start = clock_mono_ns(clock);
    struct queue_conn conn;
    struct nero_err last = {0};
    enum nero_status status = queue_conn_parse(child->url, &conn, err);

    if (status != NERO_OK) {
        return status;
    }
    while (queue_conn_ping(&conn, &last) != NERO_OK) {
        queue_conn_close(&conn);
        if (has_ended(child)) {
            return ended_at_once(child, err);
        }
        if (clock_seconds_since(clock, start) * 1000.0 > START_MS) {
            kill_and_wait(child);
            return err_set(err, NERO_UNAVAILABLE, 0,
                           "redis-server did not answer in %d s (%s): see %s/redis.log",
                           START_MS / 1000, last.message, child->folder);
        }
        clock_sleep_ms(clock, POLL_MS);
    }
    queue_conn_close(&conn);
    return NERO_OK;
}

static enum nero_status launch(struct redis_child *child, struct nero_err *err)
{
    int code;

    /* A socket left behind would answer nothing; with it gone PING waits for the new server. */
    (void)unlinkat(child->lock_fd, "redis.sock", 0);
    (void)pthread_mutex_lock(&child->mutex);
    child->order = FORKER_FORK;
    (void)pthread_cond_broadcast(&child->changed);
    while (child->order == FORKER_FORK) {
        (void)pthread_cond_wait(&child->changed, &child->mutex);
    }
    code = child->fork_errno;
    (void)pthread_mutex_unlock(&child->mutex);
    if (code != 0) {
        return err_set(err, NERO_UNAVAILABLE, code, "start redis-server: %s", strerror(code));
    }
    return wait_for_ping(child, err);
}

static enum nero_status prepare(struct redis_child *child, const char *folder, struct nero_err *err)
{
    char *real;
    enum nero_status status = find_program(child->program, err);

    if (status != NERO_OK) {
        return status;
    }
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        return err_set(err, err_from_errno(errno), errno, "make %s: %s", folder, strerror(errno));
    }
    real = realpath(folder, NULL);
    if (real == NULL) {
        return err_set(err, err_from_errno(errno), errno, "%s: %s", folder, strerror(errno));
    }
    if (strlen(real) >= sizeof child->folder) {
        status = err_set(err, NERO_INVALID, ENAMETOOLONG, "%s: too long a path", real);
    } else {
        (void)snprintf(child->folder, sizeof child->folder, "%s", real);
        (void)snprintf(child->url, sizeof child->url, "unix://%s/redis.sock", child->folder);
        status = lock_folder(child, err);
    }
    free(real);
    return status;
}

enum nero_status redis_child_start(const char *folder, struct redis_child **out,
                                   struct nero_err *err)
{
    struct redis_child *child = mem_calloc(1, sizeof *child);
    enum nero_status status;

    if (child == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "start redis-server: no memory");
    }
    child->lock_fd = -1;
    (void)pthread_mutex_init(&child->mutex, NULL);
    (void)pthread_cond_init(&child->changed, NULL);
    status = prepare(child, folder, err);
    if (status == NERO_OK) {
        status = start_forker(child, err);
    }
    if (status == NERO_OK) {
        status = launch(child, err);
    }
    if (status != NERO_OK) {
        redis_child_stop(child);
        return err_wrap(err, "start a private Redis");
    }
    *out = child;
    return NERO_OK;
}

const char *redis_child_url(const struct redis_child *child)
{
    return child->url;
}

pid_t redis_child_pid(const struct redis_child *child)
{
    return child->pid;
}

enum nero_status redis_child_check(struct redis_child *child, bool *restarted, struct nero_err *err)
{
    *restarted = false;
    if (!has_ended(child)) {
        return NERO_OK;
    }
    if (launch(child, err) != NERO_OK) {
        return err_wrap(err, "restart the private Redis");
    }
    *restarted = true;
    return NERO_OK;
}

void redis_child_stop(struct redis_child *child)
{
    if (child == NULL) {
        return;
    }
    kill_and_wait(child);
    end_forker(child);
    if (child->lock_fd >= 0) {
        (void)close(child->lock_fd);
    }
    (void)pthread_cond_destroy(&child->changed);
    (void)pthread_mutex_destroy(&child->mutex);
    free(child);
}
