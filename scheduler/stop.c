#include "stop.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nero/err.h"

static volatile sig_atomic_t stop_count;

static void on_signal(int number)
{
    (void)number;
    stop_count++;
    if (stop_count > 1) {
        _exit(ERR_EXIT_RESUMABLE); /* all that counts is in the bucket already */
    }
}

void stop_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal; /* no SA_RESTART: sleeps and reads end early */
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

bool stop_requested(void)
{
    return stop_count > 0;
}
