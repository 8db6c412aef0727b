#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench_store.h"
#include "nero/thread.h"

enum { CHUNK_BYTES = 256 * 1024, STREAMS_MAX = 64 };

/* Move exactly `bytes` in one direction; the content does not matter. */
static bool move(int fd, uint8_t *chunk, uint64_t bytes, bool sends)
{
    while (bytes > 0) {
        size_t some = bytes < CHUNK_BYTES ? (size_t)bytes : CHUNK_BYTES;
        ssize_t moved = sends ? send(fd, chunk, some, MSG_NOSIGNAL) : recv(fd, chunk, some, 0);

        if (moved <= 0) {
            return false;
        }
        bytes -= (uint64_t)moved;
    }
    return true;
}

/* The share of stream `index` is every streams-th file, or a part of the only one. */
static uint64_t share(const struct bench_work *work, unsigned index, unsigned *count)
{
    if (work->count == 1) {
        *count = 1;
        return work->bytes / work->streams;
    }
    *count = work->count / work->streams + (index < work->count % work->streams ? 1 : 0);
    return work->bytes;
}

/* One end of a connection. `serves`: the end that a store would be. */
static bool talk(const struct bench_work *work, unsigned index, int fd, bool serves)
{
    uint8_t *chunk = calloc(1, CHUNK_BYTES);
    unsigned count;
    uint64_t bytes = share(work, index, &count);
    bool good = chunk != NULL;

    for (unsigned i = 0; i < count && good; i++) {
        good = work->is_get ? move(fd, chunk, 1, !serves) && move(fd, chunk, bytes, serves)
                            : move(fd, chunk, bytes, !serves) && move(fd, chunk, 1, serves);
    }
    free(chunk);
    return good;
}

struct stream {
    const struct bench_work *work;
    unsigned index;
    int fd;
    bool serves, good;
    struct thread thread;
};

static void run_stream(void *context)
{
    struct stream *stream = context;

    stream->good = talk(stream->work, stream->index, stream->fd, stream->serves);
}

/* All streams of one end, each in a thread. */
static bool run_end(const struct bench_work *work, const int *fds, bool serves)
{
    struct stream streams[STREAMS_MAX] = {0};
    struct nero_err err;
    bool good = true;

    for (unsigned i = 0; i < work->streams; i++) {
        streams[i] = (struct stream){.work = work, .index = i, .fd = fds[i], .serves = serves};
        if (thread_start(&streams[i].thread, "loopback", run_stream, &streams[i], &err) !=
            NERO_OK) {
            return false;
        }
    }
    for (unsigned i = 0; i < work->streams; i++) {
        thread_join(&streams[i].thread);
        good = good && streams[i].good;
    }
    return good;
}

/* Connected pairs. */
static bool connect_all(unsigned streams, int *ours, int *theirs)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, bytes) != 0 ||
        listen(listener, STREAMS_MAX) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &bytes) != 0) {
        return false;
    }
    for (unsigned i = 0; i < streams; i++) {
        ours[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (ours[i] < 0 || connect(ours[i], (struct sockaddr *)&address, bytes) != 0) {
            return false;
        }
        theirs[i] = accept(listener, NULL, NULL);
        (void)setsockopt(ours[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(theirs[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    (void)close(listener);
    return true;
}

int bench_loopback(const struct bench_work *work)
{
    int ours[STREAMS_MAX];
    int theirs[STREAMS_MAX];
    int status = -1;
    bool good;
    pid_t pid;

    if (work->streams > STREAMS_MAX || !connect_all(work->streams, ours, theirs)) {
        return 1;
    }
    pid = fork();
    if (pid == 0) {
        _exit(run_end(work, theirs, true) ? 0 : 1);
    }
    good = run_end(work, ours, false);
    return good && pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}
