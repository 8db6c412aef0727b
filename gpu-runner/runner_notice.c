#include "runner_notice.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nero/interval.h"

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 5000,
    SIGNAL_STACK_BYTES = 64 * 1024 /* a frame with all of the vector registers takes 12 KiB */
};

static volatile sig_atomic_t signal_asked; /* number of the first signal */

static void on_signal(int number)
{
    if (signal_asked != 0 && number == SIGINT) {
        _exit(ERR_EXIT_RESUMABLE); /* the user insists; the chain is sound at every instant */
    }
    if (signal_asked == 0) {
        signal_asked = number;
    }
}

enum nero_status runner_notice_install(struct runner_notice *notice, int parent_fd,
                                       int64_t grace_ms, struct nero_err *err)
{
    /* Kernels that oneDNN generates use the stack pointer as one more register: a signal that finds
     * one at work would have its frame written into whatever the register points to. */
    static _Alignas(64) uint8_t stack[SIGNAL_STACK_BYTES];
    const stack_t signal_stack = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action;
    static const int stops[] = {SIGTERM, SIGINT};

    *notice = (struct runner_notice){
        .parent_fd = parent_fd, .grace_ms = grace_ms, .stop_s = INTERVAL_STOP_UNKNOWN_S};
    memset(&action, 0, sizeof action);
    (void)sigemptyset(&action.sa_mask);
    action.sa_handler = on_signal;
    action.sa_flags = SA_ONSTACK; /* no SA_RESTART: a sleep ends early */
    if (sigaltstack(&signal_stack, NULL) != 0) {
        return err_set(err, NERO_UNAVAILABLE, errno, "sigaltstack: %s", strerror(errno));
    }
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        if (sigaction(stops[i], &action, NULL) != 0) {
            return err_set(err, NERO_UNAVAILABLE, errno, "sigaction: %s", strerror(errno));
        }
    }
    action.sa_handler = SIG_IGN;
    if (sigaction(SIGPIPE, &action, NULL) != 0) {
        return err_set(err, NERO_UNAVAILABLE, errno, "sigaction: %s", strerror(errno));
    }
    return NERO_OK;
}

static bool parent_gone(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLIN};
    char byte;

    if (poll(&look, 1, 0) <= 0) {
        return false;
    }
    /* Bytes may wait there (a late answer): only the end of the stream is the parent's end. */
    return (look.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0 ||
           recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void heed_watch(struct runner_notice *notice)
{
    struct runner_watch_view view;
    int64_t left_ns;

    runner_watch_look(notice->watch, &view);
    notice->threatened = view.threatened;
    notice->announced = view.announced;
    if (view.announced) {
        left_ns = view.kill_ns - clock_mono_ns(clock_system());
        if (view.at_once || (double)left_ns * 1e-9 <= notice->stop_s) {
            runner_notice_ask(notice, view.why, left_ns / 1000000);
        }
    }
}

bool runner_notice_stopping(struct runner_notice *notice)
{
    if (signal_asked != 0 &&
        !notice->signalled) { /* also after another cause: the kill is nearer */
        notice->signalled = true;
        runner_notice_ask(notice, signal_asked == SIGINT ? "SIGINT" : "SIGTERM", notice->grace_ms);
    }
    if (!notice->asked) {
        heed_watch(notice);
    }
    if (!notice->asked && notice->parent_fd >= 0 && parent_gone(notice->parent_fd)) {
        runner_notice_ask(notice, "parent gone", notice->grace_ms);
    }
    return notice->asked;
}

void runner_notice_ask(struct runner_notice *notice, const char *why, int64_t lead_ms)
{
    int64_t kill_ns = clock_mono_ns(clock_system()) + lead_ms * 1000000;

    if (!notice->asked) {
        notice->asked = true;
        notice->why = why;
        notice->kill_ns = kill_ns;
    } else if (kill_ns < notice->kill_ns) {
        notice->kill_ns = kill_ns;
    }
}

void runner_notice_drain(struct runner_notice *notice)
{
    notice->drained = notice->drained || !notice->asked;
    runner_notice_ask(notice, "drain", RUNNER_NOTICE_DRAIN_MS);
}

double runner_notice_left_s(struct runner_notice *notice)
{
    (void)runner_notice_stopping(notice); /* a signal may have come since */
    return (double)(notice->kill_ns - clock_mono_ns(clock_system())) * 1e-9;
}

bool runner_notice_sleep(struct runner_notice *notice, const struct clock_source *clock, int64_t ms)
{
    int64_t end_ns = clock_mono_ns(clock) + ms * 1000000;

    while (!runner_notice_stopping(notice)) {
        int64_t left_ms = (end_ns - clock_mono_ns(clock) + 999999) / 1000000;

        if (left_ms <= 0) {
            return false;
        }
        clock_sleep_ms(clock, left_ms < RUNNER_NOTICE_SLICE_MS ? left_ms : RUNNER_NOTICE_SLICE_MS);
    }
    return true;
}

void runner_backoff_init(struct runner_backoff *backoff, uint64_t seed)
{
    backoff->jitter = rng_stream(seed, RNG_JITTER, 0, 0, 0);
    runner_backoff_reset(backoff);
}

void runner_backoff_reset(struct runner_backoff *backoff)
{
    backoff->delay_ms = BACKOFF_FIRST_MS;
    backoff->tries = 0;
}

int64_t runner_backoff_next_ms(struct runner_backoff *backoff)
{
    int64_t delay_ms = backoff->delay_ms;

    backoff->tries++;
    backoff->delay_ms = delay_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : delay_ms * 2;
    return delay_ms / 2 + (int64_t)rng_below(&backoff->jitter, (uint64_t)(delay_ms + 1) / 2);
}
