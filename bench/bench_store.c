/*
 * Objects to an S3 service and back: ours beside the AWS command line and rclone, on the same
 * gateway in the same minutes, and beside the same bytes over TCP without HTTP and store. The sides
 * take turns, round after round, and the ratios are those of the medians, so that a busy machine
 * slows all alike. Each side is a process that copies files of one folder to objects, or back. What
 * a peer takes to start, measured in each round by having it copy an empty folder, is subtracted
 * from its time, not from ours.
 */
#include "bench_store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_stats.h"
#include "nero/bytes.h"
#include "nero/file.h"
#include "nero/options.h"
#include "nero/rng.h"
#include "rgw.h"

enum { MIB = 1024 * 1024 };

static const struct bench_size {
    const char *name;
    uint64_t bytes;
    unsigned count;
} sizes[] = {{"4KiB", 4096, 256}, {"4MiB", 4 * MIB, 32}, {"256MiB", 256 * MIB, 1}};

struct bench_options {
    const char *endpoint, *bucket, *size, *folder;
    bool json, no_peers;
    uint64_t rounds;
};

/* Everything that is there for all rows. */
struct bench {
    const struct bench_options *options;
    struct rgw gateway;
    bool has_gateway;
    char folder[TEMP_FOLDER_BYTES];
    bool runs[BENCH_SIDES];
};

struct bench_row {
    const struct bench_size *size;
    unsigned streams;
    bool is_get;
    struct bench_cost costs[BENCH_SIDES][BENCH_ROUNDS_MAX];
    double starts[BENCH_SIDES][BENCH_ROUNDS_MAX]; /* 0: nothing is subtracted */
};

static bool is_peer(enum bench_side side)
{
    return side == BENCH_AWS || side == BENCH_RCLONE;
}

static enum nero_status make_folder(const char *path, struct nero_err *err)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST
               ? NERO_OK
               : err_set(err, NERO_UNAVAILABLE, errno, "%s: cannot be made", path);
}

/* Random bytes, for a store or a disk may compress. */
static enum nero_status make_files(const char *folder, const struct bench_size *size,
                                   struct nero_err *err)
{
    uint8_t *body = malloc(size->bytes);
    enum nero_status status = make_folder(folder, err);

    if (body == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory for %s", size->name);
    }
    for (unsigned i = 0; i < size->count && status == NERO_OK; i++) {
        struct rng_stream stream = rng_stream(i, RNG_TEST, 0, 0, 0);
        char path[BENCH_PATH_BYTES + 16];
        FILE *file;

        for (uint32_t block = 0; block < size->bytes / 16; block++) {
            uint32_t words[4];

            rng_block_at(&stream, block, words);
            memcpy(body + 16 * (size_t)block, words, sizeof words);
        }
        (void)snprintf(path, sizeof path, "%s/f%u", folder, i);
        file = fopen(path, "w");
        if (file == NULL || fwrite(body, 1, size->bytes, file) != size->bytes ||
            fclose(file) != 0) {
            status = err_set(err, NERO_UNAVAILABLE, errno, "%s: cannot be written", path);
        }
    }
    free(body);
    return status;
}

/* Whether what was fetched is what was put. */
static enum nero_status check_files(const char *folder, const char *source,
                                    const struct bench_size *size, struct nero_err *err)
{
    struct bytes got;
    struct bytes put;
    enum nero_status status = NERO_OK;

    bytes_init(&got, size->bytes);
    bytes_init(&put, size->bytes);
    for (unsigned i = 0; i < size->count && status == NERO_OK; i++) {
        char path[BENCH_PATH_BYTES + 16];

        bytes_clear(&got);
        bytes_clear(&put);
        (void)snprintf(path, sizeof path, "%s/f%u", source, i);
        status = file_read(path, &put, err);
        (void)snprintf(path, sizeof path, "%s/f%u", folder, i);
        if (status == NERO_OK) {
            status = file_read(path, &got, err);
        }
        if (status == NERO_OK && !bytes_view_equal(bytes_as_view(&got), bytes_as_view(&put))) {
            status = err_set(err, NERO_CORRUPT, 0, "%s is not what was put", path);
        }
    }
    bytes_fini(&got);
    bytes_fini(&put);
    return status;
}

/* What was overwritten keeps the gateway's memory until it is collected. */
static void collect_garbage(const struct bench *bench)
{
    if (bench->has_gateway) {
        (void)rgw_admin(&bench->gateway, (const char *[]){"gc", "process", "--include-all", NULL});
    }
}

/* What a peer takes to do nothing. */
static enum nero_status start_peer(const struct bench *bench, enum bench_side side, double *seconds,
                                   struct nero_err *err)
{
    struct bench_work work = {.bucket = bench->options->bucket, .prefix = "empty", .streams = 1};
    struct bench_cost cost;

    (void)snprintf(work.folder, sizeof work.folder, "%s/empty", bench->folder);
    if (bench_side_run(side, &work, &cost, err) != NERO_OK) {
        return err->status;
    }
    *seconds = cost.seconds;
    return NERO_OK;
}

/* One turn of one side. */
static enum nero_status turn(const struct bench *bench, enum bench_side side, uint64_t round,
                             struct bench_row *row, struct nero_err *err)
{
    const struct bench_size *size = row->size;
    struct bench_work work = {.bucket = bench->options->bucket,
                              .bytes = size->bytes,
                              .count = size->count,
                              .streams = row->streams,
                              .is_get = row->is_get};
    char source[BENCH_PATH_BYTES - 16];
    enum nero_status status;

    (void)snprintf(work.prefix, sizeof work.prefix, "%s-%s", bench_side_name(side), size->name);
    (void)snprintf(source, sizeof source, "%s/%s", bench->folder, size->name);
    (void)snprintf(work.folder, sizeof work.folder, "%s%s", source, row->is_get ? "-got" : "");
    if ((row->is_get && make_folder(work.folder, err) != NERO_OK) ||
        (is_peer(side) && start_peer(bench, side, &row->starts[side][round], err) != NERO_OK)) {
        return err->status;
    }
    status = bench_side_run(side, &work, &row->costs[side][round], err);
    if (status == NERO_OK && row->is_get && side != BENCH_LOOPBACK) {
        status = check_files(work.folder, source, size, err);
    }
    if (row->is_get) {
        temp_folder_remove(work.folder);
    } else if (size->bytes >= MIB) {
        collect_garbage(bench);
    }
    return status;
}

static double median_of(const struct bench *bench, const struct bench_row *row,
                        enum bench_side side, size_t member)
{
    double values[BENCH_ROUNDS_MAX];

    for (uint64_t r = 0; r < bench->options->rounds; r++) {
        const char *cost = (const char *)&row->costs[side][r];

        memcpy(&values[r], cost + member, sizeof values[r]);
    }
    return bench_median(values, bench->options->rounds);
}

static double cpu_seconds(const struct bench *bench, const struct bench_row *row,
                          enum bench_side side)
{
    return median_of(bench, row, side, offsetof(struct bench_cost, cpu_seconds));
}

/* Net of the start; 0 where the side did not run, or where the start was nearly all. */
static double net_seconds(const struct bench *bench, const struct bench_row *row,
                          enum bench_side side)
{
    double gross = median_of(bench, row, side, offsetof(struct bench_cost, seconds));
    double net = gross - bench_median(row->starts[side], bench->options->rounds);

    return bench->runs[side] && net > gross / 20.0 ? net : 0.0;
}

static double megabytes(const struct bench_row *row)
{
    return (double)(row->size->bytes * row->size->count) * 1e-6;
}

/* MiB of ours beyond the objects that it had in work. */
static double rss_beyond(const struct bench *bench, const struct bench_row *row)
{
    unsigned buffers = row->streams < row->size->count ? row->streams : row->size->count;

    return (median_of(bench, row, BENCH_OURS, offsetof(struct bench_cost, rss_bytes)) -
            (double)(buffers * row->size->bytes)) /
           MIB;
}

static void report_json(const struct bench *bench, const struct bench_row *row)
{
    printf("{\"object_bytes\":%" PRIu64
           ",\"objects\":%u,\"streams\":%u,\"op\":\"%s\",\"rss_beyond_mib\":%.1f",
           row->size->bytes, row->size->count, row->streams, row->is_get ? "get" : "put",
           rss_beyond(bench, row));
    for (int side = 0; side < BENCH_SIDES; side++) {
        double seconds = net_seconds(bench, row, side);

        if (seconds > 0.0) {
            printf(",\"%s\":{\"mb_per_s\":%.5g,\"objects_per_s\":%.5g,\"cpu_seconds\":%.4g}",
                   bench_side_name(side), megabytes(row) / seconds, row->size->count / seconds,
                   cpu_seconds(bench, row, side));
        }
    }
    printf("}\n");
}

static void report(const struct bench *bench, const struct bench_row *row)
{
    double ours = net_seconds(bench, row, BENCH_OURS);
    double wire = net_seconds(bench, row, BENCH_LOOPBACK);
    double best = 0.0;

    printf("%6s %s %u", row->size->name, row->is_get ? "get" : "put", row->streams);
    for (int side = 0; side < BENCH_SIDES; side++) {
        double seconds = net_seconds(bench, row, side);

        if (seconds > 0.0) {
            printf(" |%7.1f %7.1f %5.2f", megabytes(row) / seconds, row->size->count / seconds,
                   cpu_seconds(bench, row, side));
        } else {
            printf(" |%7s %7s %5s", "-", "-", "-");
        }
        if (is_peer(side) && seconds > 0.0) {
            best = best == 0.0 || seconds < best ? seconds : best;
        }
    }
    printf(" |");
    if (best > 0.0) {
        printf(" %6.2f", best / ours);
    } else {
        printf(" %6s", "-");
    }
    printf(" %6.3f %6.1f\n", wire / ours, rss_beyond(bench, row));
}

static enum nero_status run_row(const struct bench *bench, const struct bench_size *size,
                                unsigned streams, bool is_get, struct nero_err *err)
{
    struct bench_row *row = calloc(1, sizeof *row);
    enum nero_status status = NERO_OK;

    if (row == NULL) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory");
    }
    row->size = size;
    row->streams = streams;
    row->is_get = is_get;
    for (uint64_t r = 0; r < bench->options->rounds && status == NERO_OK; r++) {
        for (int side = 0; side < BENCH_SIDES && status == NERO_OK; side++) {
            if (bench->runs[side]) {
                status = turn(bench, side, r, row, err);
            }
        }
    }
    if (status == NERO_OK) {
        (bench->options->json ? report_json : report)(bench, row);
        (void)fflush(stdout);
    }
    free(row);
    return status == NERO_OK ? NERO_OK : err_wrap(err, "%s %s", is_get ? "get" : "put", size->name);
}

/* Make the bucket, and look which peers there are. */
static enum nero_status meet_peers(struct bench *bench, struct nero_err *err)
{
    char empty[BENCH_PATH_BYTES];

    (void)snprintf(empty, sizeof empty, "%s/empty", bench->folder);
    if (make_folder(empty, err) != NERO_OK || bench_sides_prepare(bench->folder, err) != NERO_OK) {
        return err->status;
    }
    bench->runs[BENCH_LOOPBACK] = true;
    for (int side = BENCH_OURS; side < BENCH_LOOPBACK; side++) {
        double seconds;

        if (is_peer(side) && bench->options->no_peers) {
            continue;
        }
        if (start_peer(bench, side, &seconds, err) == NERO_OK) {
            bench->runs[side] = true;
        } else if (is_peer(side)) {
            fprintf(stderr, "bench_store: a peer does not run: %s\n", err->message);
        } else {
            return err->status;
        }
    }
    return NERO_OK;
}

static void print_hashes(bool json)
{
    const struct bench_hash hash = bench_hash_measure();

    if (json) {
        printf("{\"sha256_nettle_mb_per_s\":%.5g,\"sha256_libcrypto_mb_per_s\":%.5g,"
               "\"sha_extensions\":%s}\n",
               hash.nettle_mb_per_s, hash.libcrypto_mb_per_s,
               hash.has_extensions ? "true" : "false");
    } else {
        printf("SHA-256 of 16 MiB: nettle (ours) %.0f MB/s, libcrypto %.0f MB/s; the processor has "
               "%s SHA extensions.\n",
               hash.nettle_mb_per_s, hash.libcrypto_mb_per_s, hash.has_extensions ? "the" : "no");
    }
}

static void print_head(const struct bench *bench)
{
    printf("Each side: MB/s, objects/s, processor seconds (its own, with its start). Medians of "
           "%" PRIu64 " rounds.\n"
           "x best: ours over the faster peer. x wire: ours over loopback. RSS: ours, MiB beyond "
           "the objects in work.\n%-12s",
           bench->options->rounds, "size op n");
    for (int side = 0; side < BENCH_SIDES; side++) {
        printf(" | %-20s", bench_side_name(side));
    }
    printf(" | %6s %6s %6s\n", "x best", "x wire", "RSS");
}

static enum nero_status run_all(struct bench *bench, struct nero_err *err)
{
    const struct bench_options *options = bench->options;
    bool any = false;

    if (meet_peers(bench, err) != NERO_OK) {
        return err->status;
    }
    print_hashes(options->json);
    if (!options->json) {
        print_head(bench);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char source[BENCH_PATH_BYTES];

        if (strcmp(options->size, "all") != 0 && strcmp(options->size, sizes[i].name) != 0) {
            continue;
        }
        any = true;
        (void)snprintf(source, sizeof source, "%s/%s", bench->folder, sizes[i].name);
        if (make_files(source, &sizes[i], err) != NERO_OK) {
            return err->status;
        }
        for (unsigned streams = 1; streams <= 8; streams += 7) {
            if (run_row(bench, &sizes[i], streams, false, err) != NERO_OK ||
                run_row(bench, &sizes[i], streams, true, err) != NERO_OK) {
                return err->status;
            }
        }
        temp_folder_remove(source);
    }
    return any ? NERO_OK
               : err_set(err, NERO_INVALID, 0, "--size %s: known are 4KiB, 4MiB, 256MiB and all",
                         options->size);
}

/* With the service there and a folder made. */
static enum nero_status run_bench(const struct bench_options *options, struct nero_err *err)
{
    struct bench bench = {.options = options};
    enum nero_status status;

    if (options->endpoint != NULL) {
        (void)setenv("AWS_ENDPOINT_URL_S3", options->endpoint, 1);
    } else {
        rgw_start(&bench.gateway);
        rgw_set_environment(&bench.gateway);
        bench.has_gateway = true;
    }
    if (temp_folder_make(bench.folder, options->folder) == 0) {
        status = run_all(&bench, err);
        temp_folder_remove(bench.folder);
    } else {
        status = err_set(err, NERO_INVALID, errno, "--folder %s: cannot be used", options->folder);
    }
    if (bench.has_gateway) {
        rgw_stop(&bench.gateway);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bucket = "bench", .size = "all", .folder = "/dev/shm", .rounds = 5};
    const struct options_spec specs[] = {
        {"endpoint", OPTIONS_STRING, "URL",
         "a service to use, with AWS_ACCESS_KEY_ID and so on (default: a RADOS gateway of its own)",
         NULL, &options.endpoint, 0},
        {"bucket", OPTIONS_STRING, "NAME", "bucket, or bucket/prefix (bench)", NULL,
         &options.bucket, 0},
        {"size", OPTIONS_STRING, "SIZE", "4KiB, 4MiB, 256MiB or all", NULL, &options.size, 0},
        {"rounds", OPTIONS_U64, "N", "turns of each side (5)", NULL, &options.rounds,
         BENCH_ROUNDS_MAX},
        {"folder", OPTIONS_STRING, "DIR", "where the files are (/dev/shm)", NULL, &options.folder,
         0},
        {"no-peers", OPTIONS_FLAG, NULL, "time our side alone", NULL, &options.no_peers, 0},
        {"json", OPTIONS_FLAG, NULL, "a JSON object a line", NULL, &options.json, 0}};
    const struct options_command command = {
        .program = "bench_store",
        .arguments = "",
        .about = "Objects to an S3 service and back, ours, the AWS command line's and rclone's in "
                 "turns.",
        .specs = specs,
        .spec_count = sizeof specs / sizeof *specs};
    struct options_parsed parsed;
    struct nero_err err;

    if (options_parse(&command, argc, argv, &parsed, &err) != NERO_OK) {
        goto fail;
    }
    if (parsed.help) {
        options_print_help(&command, stdout);
        return ERR_EXIT_DONE;
    }
    if (options.rounds == 0) {
        (void)err_set(&err, NERO_INVALID, 0, "--rounds: at least 1");
        goto fail;
    }
    if (run_bench(&options, &err) == NERO_OK) {
        return ERR_EXIT_DONE;
    }
fail:
    fprintf(stderr, "bench_store: %s\n", err.message);
    return (int)err_exit_code(err.status);
}
