#include "bench_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/clock.h"
#include "nero/thread.h"
#include "storage_s3.h"

enum { URL_BYTES = 1024, STREAMS_MAX = 64, EXIT_NO_PROGRAM = 127 };

/* Both peers have a folder for what they are told, and one file for what they say. */
static char peers[BENCH_PATH_BYTES];

const char *bench_side_name(enum bench_side side)
{
    static const char *const names[BENCH_SIDES] = {"nero", "aws", "rclone", "loopback"};

    return names[side];
}

enum nero_status bench_sides_prepare(const char *folder, struct nero_err *err)
{
    (void)snprintf(peers, sizeof peers, "%.400s", folder);
    for (int streams = 1; streams <= 8; streams += 7) {
        char path[BENCH_PATH_BYTES + 16];
        FILE *file;

        (void)snprintf(path, sizeof path, "%s/aws-%d", peers, streams);
        file = fopen(path, "w");
        if (file == NULL) {
            return err_set(err, NERO_UNAVAILABLE, errno, "%s: cannot be written", path);
        }
        fprintf(file,
                "[default]\ns3 =\n  max_concurrent_requests = %d\n  max_queue_size = 10000\n"
                "  multipart_threshold = 16MB\n  multipart_chunksize = 16MB\n",
                streams);
        if (fclose(file) != 0) {
            return err_set(err, NERO_UNAVAILABLE, errno, "%s: cannot be written", path);
        }
    }
    return NERO_OK;
}

static void take_usage(const struct rusage *used, struct bench_cost *out)
{
    out->cpu_seconds = (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
                       (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) * 1e-6;
    out->rss_bytes = (double)used->ru_maxrss * 1024.0;
}

/* ---- ours ---- */

/*
 * All sides begin and end at the same files in memory (/dev/shm). Ours maps them: a file is the
 * caller's buffer, whose pages a get makes as a peer's writing does.
 */
struct ours {
    const struct bench_work *work;
    struct storage *store;
    atomic_uint next;
    atomic_bool failed;
};

/* NULL: it cannot be. */
static uint8_t *map_file(const struct bench_work *work, unsigned index, struct nero_err *err)
{
    int flags = work->is_get ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY;
    int populate = work->is_get ? 0 : MAP_POPULATE;
    char path[BENCH_PATH_BYTES + 16];
    void *body = MAP_FAILED;
    int fd;

    (void)snprintf(path, sizeof path, "%s/f%u", work->folder, index);
    fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0 && (!work->is_get || ftruncate(fd, (off_t)work->bytes) == 0)) {
        body = mmap(NULL, (size_t)work->bytes, PROT_READ | (work->is_get ? PROT_WRITE : 0),
                    MAP_SHARED | populate, fd, 0);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (body == MAP_FAILED) {
        (void)err_set(err, NERO_UNAVAILABLE, errno, "%s: cannot be mapped", path);
        return NULL;
    }
    return body;
}

static enum nero_status move_file(struct ours *ours, unsigned index, const char *key,
                                  struct nero_err *err)
{
    size_t bytes = (size_t)ours->work->bytes;
    uint8_t *body = map_file(ours->work, index, err);
    enum nero_status status;

    if (body == NULL) {
        return err->status;
    }
    if (ours->work->is_get) { /* its room is there already, so it neither grows nor moves */
        struct bytes out = {.data = body, .capacity = bytes, .bytes_max = bytes};

        status = storage_get(ours->store, key, &out, NULL, err);
    } else {
        status = storage_put(ours->store, key, bytes_view_of(body, bytes), err);
    }
    (void)munmap(body, bytes);
    return status;
}

static void work_on(void *context)
{
    struct ours *ours = context;
    struct nero_err err;

    for (;;) {
        unsigned index = atomic_fetch_add(&ours->next, 1);
        enum nero_status status;
        char key[16];

        if (index >= ours->work->count || atomic_load(&ours->failed)) {
            break;
        }
        (void)snprintf(key, sizeof key, "f%u", index);
        status = move_file(ours, index, key, &err);
        if (status != NERO_OK) {
            fprintf(stderr, "bench_store: %s\n", err.message);
            atomic_store(&ours->failed, true);
        }
    }
}

static bool open_ours(struct ours *ours)
{
    const struct bench_work *work = ours->work;
    struct storage_s3_options options = storage_s3_defaults();
    char url[URL_BYTES];
    struct nero_err err;

    options.parallel = work->streams;
    (void)snprintf(url, sizeof url, "s3://%s/%s", work->bucket, work->prefix);
    if (storage_s3_open_with(url, &options, true, &ours->store, &err) != NERO_OK) {
        fprintf(stderr, "bench_store: %s\n", err.message);
        return false;
    }
    return true;
}

static void note_cost(int64_t start_ns, struct bench_cost *out)
{
    struct rusage used;

    out->seconds = clock_seconds_since(clock_system(), start_ns);
    (void)getrusage(RUSAGE_SELF, &used);
    take_usage(&used, out);
}

/* One object goes in parts, several at a time; many go one to a thread. */
static int run_ours(const struct bench_work *work, int64_t start_ns, struct bench_cost *out)
{
    unsigned threads = work->streams < work->count ? work->streams : work->count;
    struct ours ours = {.work = work};
    struct thread others[STREAMS_MAX] = {0};
    struct nero_err err;

    if (threads > STREAMS_MAX || !open_ours(&ours)) {
        return 1;
    }
    for (unsigned i = 1; i < threads; i++) {
        if (thread_start(&others[i], "bench", work_on, &ours, &err) != NERO_OK) {
            atomic_store(&ours.failed, true);
        }
    }
    work_on(&ours);
    for (unsigned i = 1; i < threads; i++) {
        thread_join(&others[i]);
    }
    storage_close(ours.store);
    note_cost(start_ns, out);
    return atomic_load(&ours.failed) ? 1 : 0;
}

/* ---- the peers: the options that their documents name for speed ---- */

static void exec_aws(const struct bench_work *work)
{
    char place[URL_BYTES];
    char config[BENCH_PATH_BYTES + 16];

    (void)snprintf(place, sizeof place, "s3://%s/%s/", work->bucket, work->prefix);
    (void)snprintf(config, sizeof config, "%s/aws-%u", peers, work->streams);
    (void)setenv("AWS_CONFIG_FILE", config, 1);
    (void)execlp("aws", "aws", "--endpoint-url", getenv("AWS_ENDPOINT_URL_S3"), "s3", "cp",
                 "--recursive", "--only-show-errors", work->is_get ? place : work->folder,
                 work->is_get ? work->folder : place, (char *)NULL);
}

static void exec_rclone(const struct bench_work *work)
{
    char place[URL_BYTES];
    char folder[BENCH_PATH_BYTES];
    char streams[16];
    char *words[] = {"rclone",
                     "copy",
                     work->is_get ? place : folder,
                     work->is_get ? folder : place,
                     "--transfers",
                     streams,
                     "--checkers",
                     streams,
                     "--s3-upload-concurrency",
                     streams,
                     "--multi-thread-streams",
                     streams,
                     "--s3-chunk-size",
                     "16M",
                     "--multi-thread-cutoff",
                     "16M",
                     "--s3-no-check-bucket",
                     "--s3-no-head",
                     "--no-check-dest",
                     "--use-server-modtime",
                     "--ignore-checksum",
                     "--s3-disable-checksum",
                     NULL};

    (void)snprintf(place, sizeof place, "bench:%s/%s", work->bucket, work->prefix);
    (void)snprintf(folder, sizeof folder, "%s", work->folder);
    (void)snprintf(streams, sizeof streams, "%u", work->streams);
    (void)setenv("RCLONE_CONFIG", "", 1);
    (void)setenv("RCLONE_CONFIG_BENCH_TYPE", "s3", 1);
    (void)setenv("RCLONE_CONFIG_BENCH_PROVIDER", "Ceph", 1);
    (void)setenv("RCLONE_CONFIG_BENCH_ENV_AUTH", "true", 1);
    (void)setenv("RCLONE_CONFIG_BENCH_ENDPOINT", getenv("AWS_ENDPOINT_URL_S3"), 1);
    (void)execvp(words[0], words);
}

/* In the child. */
static int run_side(enum bench_side side, const struct bench_work *work, int64_t start_ns,
                    struct bench_cost *ours)
{
    char said[BENCH_PATH_BYTES + 16];
    int fd;

    if (side == BENCH_OURS) {
        return run_ours(work, start_ns, ours);
    }
    if (side == BENCH_LOOPBACK) {
        return bench_loopback(work);
    }
    (void)snprintf(said, sizeof said, "%s/said", peers);
    fd = open(said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    if (side == BENCH_AWS) {
        exec_aws(work);
    } else {
        exec_rclone(work);
    }
    return EXIT_NO_PROGRAM;
}

/* ru_maxrss begins with what the parent has, which is why bench_store holds nothing large. */
enum nero_status bench_side_run(enum bench_side side, const struct bench_work *work,
                                struct bench_cost *out, struct nero_err *err)
{
    const struct clock_source *clock = clock_system();
    int64_t start_ns = clock_mono_ns(clock);
    struct bench_cost *ours = mmap(NULL, sizeof *ours, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0); /* the child tells */
    struct rusage used = {0};
    int status = -1;
    pid_t pid;

    if (ours == MAP_FAILED) {
        return err_set(err, NERO_NO_MEMORY, errno, "no memory");
    }
    (void)fflush(stdout);
    pid = fork();
    if (pid == 0) {
        _exit(run_side(side, work, start_ns, ours));
    }
    if (pid > 0 && wait4(pid, &status, 0, &used) == pid) {
        out->seconds = clock_seconds_since(clock, start_ns);
        take_usage(&used, out);
    }
    if (side == BENCH_OURS) {
        *out = *ours;
    }
    (void)munmap(ours, sizeof *ours);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        bool absent = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_PROGRAM;

        return err_set(err, absent ? NERO_NOT_FOUND : NERO_UNAVAILABLE, status,
                       absent ? "%s is not installed" : "%s failed (it says why in %s/said)",
                       bench_side_name(side), peers);
    }
    return NERO_OK;
}
