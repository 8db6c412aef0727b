#include "live.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "nero/clock.h"

enum {
    LIVE_DRAW_MS = 250,
    LIVE_TEXT_BYTES = 160,
    LIVE_COLUMNS = 80, /* where the terminal does not say */
    LIVE_ROWS = 24,
    LIVE_STEP_COLUMNS = 100 /* so wide a terminal shows the step, too */
};

/* Asked at each drawing: a window changes. */
static void measure(struct live *live)
{
    struct winsize size = {.ws_col = 0};

    (void)ioctl(fileno(live->out), TIOCGWINSZ, &size);
    live->columns = size.ws_col > 0 ? size.ws_col : LIVE_COLUMNS;
    live->rows = size.ws_row > 1 ? size.ws_row : LIVE_ROWS;
}

void live_init(struct live *live, FILE *out, bool quiet)
{
    const char *term = getenv("TERM");

    memset(live, 0, sizeof *live);
    live->out = out;
    live->quiet = quiet;
    live->terminal = isatty(fileno(out)) && term != NULL && strcmp(term, "dumb") != 0;
    live->columns = LIVE_COLUMNS;
    live->rows = LIVE_ROWS;
}

/* The value after "name=", which starts the note or follows a space; NULL: absent. */
static const char *note_value(const char *note, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = strstr(note, name); at != NULL; at = strstr(at + 1, name)) {
        if ((at == note || at[-1] == ' ') && at[length] == '=') {
            return at + length + 1;
        }
    }
    return NULL;
}

static void note_pair(const char *note, const char *name, unsigned *first, unsigned *second)
{
    const char *value = note_value(note, name);
    char *end;

    if (value != NULL) {
        *first = (unsigned)strtoul(value, &end, 10);
        *second = *end == '/' ? (unsigned)strtoul(end + 1, NULL, 10) : *second;
    }
}

static void note_real(const char *note, const char *name, double *out)
{
    const char *value = note_value(note, name);

    if (value != NULL) {
        *out = strtod(value, NULL);
    }
}

void live_parse_note(const char *note, struct live_note *out)
{
    const char *phase = note_value(note, "phase");

    note_pair(note, "epoch", &out->epoch, &out->epochs);
    note_pair(note, "step", &out->step, &out->steps);
    note_real(note, "loss", &out->loss);
    note_real(note, "acc", &out->accuracy);
    note_real(note, "ips", &out->images_per_second);
    note_real(note, "left", &out->seconds_left);
    if (phase != NULL) {
        (void)snprintf(out->phase, sizeof out->phase, "%.*s", (int)strcspn(phase, " "), phase);
    }
}

static const char *role(enum generation_origin origin)
{
    switch (origin) {
    case GENERATION_PARENT:
        return "parent";
    case GENERATION_EXTENSION:
        return "extension";
    default:
        return "child";
    }
}

static void print_left(double seconds_left, char *out, size_t bytes)
{
    uint64_t seconds = (uint64_t)(seconds_left + 0.5);

    if (seconds < 6000) {
        (void)snprintf(out, bytes, " %2" PRIu64 ":%02" PRIu64 " left", seconds / 60, seconds % 60);
    } else {
        (void)snprintf(out, bytes, " %3" PRIu64 " h left", (seconds + 1800) / 3600);
    }
}

/* " epoch  3/8  step  5/94  loss 1.53 control 45.2 %   812 images/s  0:21 left" */
static void describe_training(const struct live_note *note, bool steps, char *out, size_t bytes)
{
    char step[32] = "";
    char accuracy[16] = "  -   ";
    char left[32] = "";

    if (steps) {
        (void)snprintf(step, sizeof step, " step %3u/%-3u", note->step, note->steps);
    }
    if (!isnan(note->accuracy)) {
        (void)snprintf(accuracy, sizeof accuracy, "%4.1f %%", 100 * note->accuracy);
    }
    if (note->seconds_left >= 0 && note->seconds_left < 1e9) {
        print_left(note->seconds_left, left, sizeof left);
    }
    (void)snprintf(out, bytes, " epoch %2u/%-2u%s loss %4.2f control %s %5.0f img/s%s", note->epoch,
                   note->epochs, step, note->loss, accuracy, note->images_per_second, left);
}

/* What a candidate under way is at; `steps`: its step within the epoch, too. */
static void describe(const struct search_pending *pending, bool steps, char out[LIVE_TEXT_BYTES])
{
    struct live_note note = {.accuracy = NAN, .loss = NAN, .seconds_left = -1};
    const char *name = pending->origin == GENERATION_EXTENSION ? "longer" : role(pending->origin);
    int used = pending->last ? snprintf(out, LIVE_TEXT_BYTES, "  evaluation     ")
                             : snprintf(out, LIVE_TEXT_BYTES, "  gen %" PRIu32 " %-6s %-2" PRIu32,
                                        pending->generation, name, pending->member);
    size_t room = LIVE_TEXT_BYTES - (size_t)used;

    out += used;
    live_parse_note(pending->info.note, &note);
    if (strcmp(pending->info.state, "leased") != 0 || pending->info.note[0] == 0) {
        (void)snprintf(out, room, " %s",
                       pending->info.state[0] != 0 ? pending->info.state : "submitted");
    } else if (strcmp(note.phase, "clean") == 0 || strcmp(note.phase, "attack") == 0) {
        (void)snprintf(out, room, " %s: %u of %u images %5.0f/s",
                       strcmp(note.phase, "clean") == 0 ? "clean accuracy" : "under attack",
                       note.step, note.steps, note.images_per_second);
    } else {
        describe_training(&note, steps, out, room);
    }
}

void live_clear(struct live *live)
{
    if (live->drawn > 0) {
        (void)fprintf(live->out, "\033[%" PRIu32 "A\033[J", live->drawn);
        (void)fflush(live->out);
        live->drawn = 0;
    }
}

/* Not a terminal: true once for each epoch of a job. */
static bool is_news(struct live *live, const struct search_pending *pending)
{
    struct live_note note = {.epoch = 0};

    if (strcmp(pending->info.state, "leased") != 0 || pending->info.note[0] == 0) {
        return false;
    }
    live_parse_note(pending->info.note, &note);
    for (uint32_t i = 0; i < LIVE_LINES_MAX; i++) {
        if (hash_equal(&live->seen_job[i], &pending->job)) {
            bool news = live->seen_epoch[i] != note.epoch;

            live->seen_epoch[i] = note.epoch;
            return news;
        }
    }
    live->seen_job[live->seen_next] = pending->job;
    live->seen_epoch[live->seen_next] = note.epoch;
    live->seen_next = (live->seen_next + 1) % LIVE_LINES_MAX;
    return true;
}

void live_show(struct live *live, const struct search_pending *pending, uint32_t count)
{
    char text[LIVE_TEXT_BYTES];
    bool steps = !live->terminal || live->columns >= LIVE_STEP_COLUMNS;

    if (live->terminal) {
        live_clear(live);
        count =
            count < live->rows ? count : live->rows - 1; /* what scrolls off cannot be redrawn */
    }
    for (uint32_t i = 0; i < count; i++) {
        if (live->terminal || is_news(live, &pending[i])) {
            describe(&pending[i], steps, text);
            if (live->terminal &&
                strlen(text) >= live->columns) { /* a second row could not either */
                text[live->columns - 1] = 0;
            }
            (void)fprintf(live->out, "%s\n", text);
        }
    }
    live->drawn = live->terminal ? count : 0;
    (void)fflush(live->out);
}

void live_draw(struct live *live, const struct search *search)
{
    static struct search_pending pending[LIVE_LINES_MAX];
    const struct clock_source *clock = clock_system();

    if (live->quiet ||
        (live->drawn_ns != 0 && clock_seconds_since(clock, live->drawn_ns) * 1000 < LIVE_DRAW_MS)) {
        return;
    }
    live->drawn_ns = clock_mono_ns(clock);
    measure(live);
    live_show(live, pending, search_pending(search, pending, LIVE_LINES_MAX));
}

static void on_proposed(void *context, const struct generation *generation)
{
    struct live *live = context;
    uint32_t jobs = 0;

    for (uint32_t i = 0; i < generation->member_count; i++) {
        jobs +=
            generation->members[i].has_job && generation->members[i].verdict == GENERATION_PENDING;
    }
    live_clear(live);
    if (generation->state == GENERATION_EXTENDING) {
        (void)fprintf(live->out,
                      "generation %" PRIu32 " of lineage %" PRIu32 ": %" PRIu32
                      " train(s) on, to be compared with the best at equal budgets\n",
                      generation->number, generation->lineage, jobs);
        return;
    }
    (void)fprintf(live->out,
                  "generation %" PRIu32 " of lineage %" PRIu32 ": %" PRIu32 " candidates, %" PRIu32
                  " to evaluate\n",
                  generation->number, generation->lineage, generation->member_count, jobs);
}

static void on_measured(void *context, const struct generation *generation, uint32_t member,
                        const struct evolve_evaluation *evaluation)
{
    struct live *live = context;
    const struct result_outcome *outcome = evaluation->outcome;

    live_clear(live);
    if (evaluation->failed) {
        (void)fprintf(live->out, "  generation %" PRIu32 " %-9s %" PRIu32 "  failed: %s\n",
                      generation->number, role(generation->members[member].origin), member,
                      evaluation->text);
        return;
    }
    (void)fprintf(live->out,
                  "  generation %" PRIu32 " %s %" PRIu32 "  done: %" PRIu32
                  " epochs, %s, C %5.2f %%, A %5.2f %%%s\n",
                  generation->number, role(generation->members[member].origin), member,
                  outcome->epochs, result_stop_name(outcome->stop),
                  100 * result_clean_accuracy(outcome), 100 * result_adversarial_accuracy(outcome),
                  outcome->ill != RESULT_WELL ? ", ill-fitted" : "");
}

static void on_closed(void *context, const struct generation *generation)
{
    struct live *live = context;
    const struct generation_member *best = &generation->members[generation->selected];

    live_clear(live);
    (void)fprintf(live->out,
                  "generation %" PRIu32 " closed: best %s %.4f (member %" PRIu32 "), mean %.4f%s\n",
                  generation->number, generation->robust ? "F" : "C", best->fitness,
                  generation->selected, generation->mean_fitness,
                  generation->next_robust && !generation->robust ? "; robust phase from here on"
                                                                 : "");
}

struct search_listener live_listener(struct live *live)
{
    struct search_listener listener = {.context = live};

    if (!live->quiet) {
        listener.proposed = on_proposed;
        listener.measured = on_measured;
        listener.closed = on_closed;
    }
    return listener;
}
