/*
 * What a person sees while a search runs: one live line a candidate under way, one lasting line
 * when it is measured, one when a generation closes. On a terminal the live lines are redrawn in
 * place, each in one row of it; elsewhere a line is printed whenever a candidate's epoch changes.
 */
#ifndef NERO_LIVE_H
#define NERO_LIVE_H

#include <stdbool.h>
#include <stdio.h>

#include "search.h"

enum { LIVE_LINES_MAX = 32 };

struct live {
    FILE *out;
    bool terminal;
    uint32_t columns, rows; /* of the terminal */
    bool quiet;             /* --json: nothing is shown */
    uint32_t drawn;         /* live lines now on the terminal */
    int64_t drawn_ns;
    struct hash seen_job[LIVE_LINES_MAX]; /* not a terminal: last epoch told of each */
    uint32_t seen_epoch[LIVE_LINES_MAX];
    uint32_t seen_next;
};

void live_init(struct live *live, FILE *out, bool quiet);

/* The listener that prints lasting lines; borrows `live`. */
struct search_listener live_listener(struct live *live);

/* Draw the candidates under way, at most four times a second. */
void live_draw(struct live *live, const struct search *search);

/* What it draws: a line for each of the `count` candidates, at most LIVE_LINES_MAX. */
void live_show(struct live *live, const struct search_pending *pending, uint32_t count);

/* Take the live lines off the terminal, before something else is printed. */
void live_clear(struct live *live);

/* Fields of a runner's note ("epoch=2/8 step=..."); what is absent stays as it is. */
struct live_note {
    unsigned epoch, epochs, step, steps;
    double loss, accuracy, images_per_second, seconds_left;
    char phase[16];
};
void live_parse_note(const char *note, struct live_note *out);

#endif
