/*
 * Ctrl-C and SIGTERM ask for a stop: the program finishes what it is at, leaves everything
 * resumable, and exits with 75. A second signal within the wait ends it at once.
 */
#ifndef NERO_STOP_H
#define NERO_STOP_H

#include <stdbool.h>

void stop_install(void);
bool stop_requested(void);

#endif
