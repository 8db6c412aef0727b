#include "tests/support/spot_trace.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nero/mem.h"
#include "nero/rng.h"

enum { LINE_BYTES = 256, FIELDS = 4, GENERATED_LIVES = 202, GENERATED_PLACES = 4 };

#define TIME_MAX_S 1e10

static bool take_number(const char *text, double *out)
{
    char *end;

    *out = strtod(text, &end);
    /* Written so that NaN fails. */
    return end != text && *end == 0 && *out >= 0 && *out <= TIME_MAX_S;
}

/* The place's index, a new one where it is new; -1: no name, or too many. */
static int32_t take_place(struct spot_trace *trace, const char *name)
{
    size_t bytes = strlen(name);

    if (bytes >= SPOT_TRACE_PLACE_BYTES ||
        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") !=
            bytes) {
        return -1;
    }
    for (uint32_t i = 0; i < trace->place_count; i++) {
        if (strcmp(trace->places[i], name) == 0) {
            return (int32_t)i;
        }
    }
    if (trace->place_count == SPOT_TRACE_PLACES_MAX) {
        return -1;
    }
    memcpy(trace->places[trace->place_count], name, bytes + 1);
    return (int32_t)trace->place_count++;
}

/* What is wrong with the line; NULL: nothing. It is cut into its fields. */
static const char *take_line(struct spot_trace *trace, char *line)
{
    struct spot_life life;
    char *fields[FIELDS + 1] = {0};
    char *rest = line;
    int32_t place;
    int count = 0;

    while (count <= FIELDS && (fields[count] = strsep(&rest, " \t\r\n")) != NULL) {
        count += fields[count][0] != 0;
    }
    if (count == 0 || fields[0][0] == '#') {
        return NULL;
    }
    if (count != FIELDS) {
        return "expected PLACE START_S END_S NOTICE_S";
    }
    place = take_place(trace, fields[0]);
    if (place < 0) {
        return "PLACE: not a name, or one too many";
    }
    life.place = (uint32_t)place;
    if (!take_number(fields[1], &life.start_s)) {
        return "START_S: expected seconds";
    }
    if (!take_number(fields[2], &life.end_s) || !(life.end_s > life.start_s)) {
        return "END_S: expected seconds after START_S";
    }
    if (!take_number(fields[3], &life.notice_s)) {
        return "NOTICE_S: expected seconds";
    }
    trace->lives[trace->life_count++] = life;
    return NULL;
}

static enum nero_status read_lines(FILE *file, const char *path, struct spot_trace *trace,
                                   struct nero_err *err)
{
    char line[LINE_BYTES];
    uint32_t room = 0;

    for (uint32_t number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        const char *fault;

        if (trace->life_count == room) {
            struct spot_life *lives;

            room = room == 0 ? 256 : 2 * room;
            if (room > SPOT_TRACE_LIVES_MAX) {
                return err_set(err, NERO_TOO_BIG, 0, "%s: more than %d lives", path,
                               SPOT_TRACE_LIVES_MAX);
            }
            lives = mem_realloc_array(trace->lives, room, sizeof *lives);
            if (lives == NULL) {
                return err_set(err, NERO_NO_MEMORY, 0, "%s: no memory", path);
            }
            trace->lives = lives;
        }
        fault = strlen(line) == sizeof line - 1 ? "too long" : take_line(trace, line);
        if (fault != NULL) {
            return err_set(err, NERO_INVALID, 0, "%s:%u: %s", path, number, fault);
        }
    }
    return trace->life_count > 0 ? NERO_OK
                                 : err_set(err, NERO_INVALID, 0, "%s: no life in it", path);
}

enum nero_status spot_trace_read(const char *path, struct spot_trace *out, struct nero_err *err)
{
    struct spot_trace trace = {0};
    FILE *file = fopen(path, "r");
    enum nero_status status;

    if (file == NULL) {
        return err_set(err, NERO_NOT_FOUND, errno, "%s: %s", path, strerror(errno));
    }
    status = read_lines(file, path, &trace, err);
    (void)fclose(file);
    if (status != NERO_OK) {
        spot_trace_fini(&trace);
        return status;
    }
    *out = trace;
    return NERO_OK;
}

void spot_trace_fini(struct spot_trace *trace)
{
    free(trace->lives);
    trace->lives = NULL;
    trace->life_count = 0;
}

void spot_trace_generate(uint64_t seed, FILE *out)
{
    /* Lives of zone z are lognormal around median[z]; all together: the published statistics. */
    static const double median_s[GENERATED_PLACES] = {1100, 1800, 3000, 5200};
    static const double sigma = 1.45;
    struct rng_stream stream = rng_stream(seed, RNG_TEST, 0, 0, 0);
    double at_s[GENERATED_PLACES] = {0};

    (void)fprintf(out, "# Generated, seed %llu. PLACE START_S END_S NOTICE_S\n",
                  (unsigned long long)seed);
    for (int i = 0; i < GENERATED_LIVES; i++) {
        int place = i % GENERATED_PLACES;
        double life_s = median_s[place] * exp(sigma * rng_normal(&stream));

        (void)fprintf(out, "zone-%c %.0f %.0f 120\n", 'a' + place, at_s[place],
                      at_s[place] + fmax(1, life_s));
        at_s[place] += fmax(1, life_s) + 60;
    }
}
