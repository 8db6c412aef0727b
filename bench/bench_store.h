/*
 * What the parts of bench_store share: a piece of work, and the sides that can do it. Each side is
 * a process of its own, so that its time, memory and processor seconds are what a user would see.
 */
#ifndef NERO_BENCH_STORE_H
#define NERO_BENCH_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nero/err.h"

enum bench_side { BENCH_OURS, BENCH_AWS, BENCH_RCLONE, BENCH_LOOPBACK, BENCH_SIDES };

enum { BENCH_PATH_BYTES = 512 };

/* Files f0, f1, ... of a folder to objects of these names, or back. */
struct bench_work {
    const char *bucket; /* and prefix, without "s3://" */
    char prefix[64];    /* below it, where this side's objects are */
    char folder[BENCH_PATH_BYTES];
    uint64_t bytes; /* of each */
    unsigned count;
    unsigned streams;
    bool is_get;
};

/* What a process came to. */
struct bench_cost {
    double seconds;
    double cpu_seconds;
    double rss_bytes;
};

const char *bench_side_name(enum bench_side side);

/*
 * Prepare what the peers need in `folder`: configuration files.
 * Errors: unavailable.
 */
enum nero_status bench_sides_prepare(const char *folder, struct nero_err *err);

/*
 * Have a side do the work, in a process of its own.
 * Errors: not_found (a peer that is not installed), unavailable (it failed).
 */
enum nero_status bench_side_run(enum bench_side side, const struct bench_work *work,
                                struct bench_cost *out, struct nero_err *err);

/*
 * The same bytes between two processes over TCP on this machine, without HTTP and without a store:
 * as many connections as streams, an answer of one byte for each file that is put, a request of one
 * byte for each that is got. Exit code.
 */
int bench_loopback(const struct bench_work *work);

/* One core's SHA-256 of a long body, as our signer does it and as OpenSSL's library does. */
struct bench_hash {
    double nettle_mb_per_s;
    double libcrypto_mb_per_s; /* 0: the library is not there */
    bool has_extensions;       /* the processor's, by its own word */
};

struct bench_hash bench_hash_measure(void);

#endif
