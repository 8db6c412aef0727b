/* nero-runner: options, exit codes. What it does is in runner_loop and DESIGN.md. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nero/bytes.h"
#include "nero/keys.h"
#include "nero/log.h"
#include "nero/options.h"

#include "runner_data.h"
#include "runner_loop.h"
#include "train/trainer.h"

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

static const char about[] =
    "Takes evaluations (train a network, attack it, score it) from a run's queue and does them\n"
    "on this machine, one at a time. It keeps nothing here: checkpoints and results go to the\n"
    "object store, signed, so it may be killed at any instant and the work goes on elsewhere.\n"
    "SIGTERM and SIGINT commit a checkpoint, give the job back and end with status 75.\n"
    "\n"
    "It needs a certificate from the run's scheduler: --join-token for a runner on another\n"
    "machine ('nero-sched keys token' makes one), --enrol-fd for one that the scheduler starts.\n"
    "Start one runner per GPU; on a CPU, one per core. With fewer jobs than cores, --shards S "
    "lets\n"
    "S threads share each training batch. S decides bits and is part of the numeric class: a job\n"
    "that is bound to another class stays with runners of that one.";

static const char examples[] =
    "  nero-runner --redis redis://10.0.0.5:6379 --store s3://bucket/nero --join-token token.txt\n"
    "      serve every run that accepts the token, until stopped\n"
    "  nero-runner --redis unix:///tmp/r.sock --store file:///data/nero --join-token t \\\n"
    "      --run a1 --once\n"
    "      do what is ready in run a1, then end\n"
    "\n"
    "Exit status: 0 ended by --once or --max-jobs; 1 damaged data was found; 2 bad input;\n"
    "3 store or Redis unavailable; 75 stopped, everything resumable.\n";

struct arguments {
    const char *redis, *store, *run, *backend, *join_token, *root_key, *cache;
    const char *log_level, *log_format;
    const char *checkpoint_interval, *notice, *notice_url;
    uint64_t enrol_fd, shards, threads, beat_ms, max_jobs;
    double grace_seconds, stall_seconds;
    bool once, check, version;
};

static enum nero_status parse(struct arguments *a, int argc, char **argv, bool *ended,
                              struct nero_err *err)
{
    const struct options_spec specs[] = {
        {"redis", OPTIONS_STRING, "URL", "redis://host:port or unix:///path", "NERO_REDIS",
         &a->redis, 0},
        {"store", OPTIONS_STRING, "URL", "s3://bucket/prefix or file:///folder", "NERO_STORE",
         &a->store, 0},
        {"run", OPTIONS_STRING, "NAME", "serve this run only", "NERO_RUN", &a->run, 0},
        {"backend", OPTIONS_STRING, "NAME", "auto, cpu, ref (default auto)", "NERO_BACKEND",
         &a->backend, 0},
        {"shards", OPTIONS_COUNT, "S", "cut each training batch into S shards (default 1)",
         "NERO_SHARDS", &a->shards, TRAINER_SHARDS_MAX},
        {"threads", OPTIONS_COUNT, "N", "that share the shards out; changes no bit (default: S)",
         "NERO_THREADS", &a->threads, TRAINER_SHARDS_MAX},
        {"join-token", OPTIONS_STRING, "FILE", "the scheduler's token for this runner, mode 0600",
         "NERO_JOIN_TOKEN", &a->join_token, 0},
        {"enrol-fd", OPTIONS_U64, "N", "socket inherited from the scheduler", NULL, &a->enrol_fd,
         65535},
        {"root-key", OPTIONS_STRING, "FILE", "check run records by this public root key",
         "NERO_ROOT_KEY", &a->root_key, 0},
        {"checkpoint-interval", OPTIONS_STRING, "WHEN",
         "auto, steps:N, seconds:T or overhead:P% (default auto)", "NERO_CHECKPOINT_INTERVAL",
         &a->checkpoint_interval, 0},
        {"stop-grace", OPTIONS_DOUBLE, "S", "from SIGTERM to the kill (default 10)",
         "NERO_STOP_GRACE", &a->grace_seconds, 0},
        {"notice", OPTIONS_STRING, "CLOUD",
         "heed its notices of preemption: auto, aws, gce, azure, none (default auto)",
         "NERO_NOTICE", &a->notice, 0},
        {"notice-url", OPTIONS_STRING, "URL", "of its metadata service, if not the usual one",
         "NERO_NOTICE_URL", &a->notice_url, 0},
        {"beat-ms", OPTIONS_COUNT, "MS", "renew the lease every MS (default: lease / 3)",
         "NERO_BEAT_MS", &a->beat_ms, 3600000},
        {"stall-timeout", OPTIONS_DOUBLE, "S",
         "without progress for S seconds the lease lapses (default 300)", "NERO_STALL_TIMEOUT",
         &a->stall_seconds, 0},
        {"once", OPTIONS_FLAG, NULL, "end when nothing is ready", NULL, &a->once, 0},
        {"max-jobs", OPTIONS_COUNT, "N", "end after N jobs", "NERO_MAX_JOBS", &a->max_jobs, 0},
        {"cache", OPTIONS_STRING, "DIR", "folder of data sets (default $XDG_CACHE_HOME/nero)",
         "NERO_CACHE", &a->cache, 0},
        {"log-level", OPTIONS_STRING, "LEVEL", "debug, info, warn, error (default info)",
         "NERO_LOG_LEVEL", &a->log_level, 0},
        {"log-format", OPTIONS_STRING, "FORMAT", "text or json (default text)", "NERO_LOG_FORMAT",
         &a->log_format, 0},
        {"check", OPTIONS_FLAG, NULL, "print the numeric class that it would work in, and end",
         NULL, &a->check, 0},
        {"version", OPTIONS_FLAG, NULL, "print the version", NULL, &a->version, 0},
    };
    const struct options_command command = {.program = "nero-runner",
                                            .arguments = "",
                                            .about = about,
                                            .examples = examples,
                                            .specs = specs,
                                            .spec_count = COUNT(specs)};
    struct options_parsed parsed;

    if (options_parse(&command, argc, argv, &parsed, err) != NERO_OK) {
        return err->status;
    }
    *ended = parsed.help || a->version;
    if (parsed.help) {
        options_print_help(&command, stdout);
    } else if (a->version) {
        (void)printf("nero-runner %s\n", NERO_RELEASE);
    }
    return NERO_OK;
}

static enum nero_status check(const struct arguments *a, struct nero_err *err)
{
    if (a->redis == NULL || a->store == NULL) {
        return err_set(err, NERO_INVALID, 0, "--%s is needed (see --help)",
                       a->redis == NULL ? "redis" : "store");
    }
    if ((a->join_token == NULL) == (a->enrol_fd == UINT64_MAX)) {
        return err_set(err, NERO_INVALID, 0,
                       "give either --join-token FILE or --enrol-fd N (see --help)");
    }
    if (a->shards == 0) {
        return err_set(err, NERO_INVALID, 0, "--shards: at least 1");
    }
    /* Written so that NaN fails. */
    if (!(a->grace_seconds > 0 && a->grace_seconds <= 1e6)) {
        return err_set(err, NERO_INVALID, 0, "--stop-grace: between 0 and 1e6");
    }
    if (!(a->stall_seconds > 0 && a->stall_seconds <= 1e6)) {
        return err_set(err, NERO_INVALID, 0, "--stall-timeout: between 0 and 1e6");
    }
    return NERO_OK;
}

/* 32 bytes as they are, or as 64 hex digits. A secret: refused when everybody may read it. */
static enum nero_status read_token(const char *path, uint8_t out[KEYS_TOKEN_BYTES],
                                   struct nero_err *err)
{
    char text[2 * KEYS_TOKEN_BYTES + 2] = "";
    struct stat info;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return err_set(err, NERO_INVALID, 0, "--join-token %s: cannot be read", path);
    }
    if (fstat(fd, &info) == 0 && (info.st_mode & 007) == 0) {
        got = read(fd, text, sizeof text - 1);
    }
    (void)close(fd);
    if (got < 0) {
        return err_set(err, NERO_DENIED, 0, "--join-token %s: everybody may read it (chmod 600)",
                       path);
    }
    if (got == KEYS_TOKEN_BYTES) {
        memcpy(out, text, KEYS_TOKEN_BYTES);
        return NERO_OK;
    }
    text[strcspn(text, "\n")] = 0;
    if (bytes_from_hex(out, KEYS_TOKEN_BYTES, text, err) != NERO_OK) {
        return err_set(err, NERO_INVALID, 0, "--join-token %s: neither %d bytes nor %d hex digits",
                       path, KEYS_TOKEN_BYTES, 2 * KEYS_TOKEN_BYTES);
    }
    return NERO_OK;
}

static enum nero_status make_options(const struct arguments *a, char cache[RUNNER_DATA_PATH_BYTES],
                                     struct runner_loop_options *out, struct nero_err *err)
{
    enum log_level level;
    enum log_format format;

    if (log_parse_level(a->log_level, &level, err) != NERO_OK ||
        log_parse_format(a->log_format, &format, err) != NERO_OK || check(a, err) != NERO_OK) {
        return err->status;
    }
    log_setup(stderr, level, format);
    if (a->cache != NULL) {
        (void)snprintf(cache, RUNNER_DATA_PATH_BYTES, "%s", a->cache);
    } else if (runner_data_folder(cache, err) != NERO_OK) {
        return err->status;
    }
    *out = (struct runner_loop_options){
        .redis_url = a->redis,
        .store_url = a->store,
        .run = a->run,
        .backend = a->backend,
        .shards = (uint32_t)a->shards,
        .threads = (uint32_t)a->threads,
        .cache = cache,
        .enrol_fd = a->enrol_fd == UINT64_MAX ? -1 : (int)a->enrol_fd,
        .has_token = a->join_token != NULL,
        .has_root = a->root_key != NULL,
        .beat_ms = (uint32_t)a->beat_ms,
        .stall_ms = (int64_t)(a->stall_seconds * 1000),
        .once = a->once,
        .jobs_max = a->max_jobs,
    };
    if (interval_parse(a->checkpoint_interval, &out->interval, err) != NERO_OK) {
        return err_wrap(err, "--checkpoint-interval");
    }
    if (out->has_root && keys_load_public(a->root_key, &out->root, err) != NERO_OK) {
        return err_wrap(err, "--root-key");
    }
    return out->has_token ? read_token(a->join_token, out->token, err) : NERO_OK;
}

/* Everything is ready: run, and watch for notices meanwhile. */
static enum nero_status serve(const struct arguments *a, const struct runner_loop_options *options,
                              struct nero_err *err)
{
    enum runner_watch_platform platform;
    struct runner_notice notice;
    enum nero_status status;

    if (runner_watch_parse(a->notice, &platform, err) != NERO_OK) {
        return err_wrap(err, "--notice");
    }
    if (a->notice_url != NULL && strcmp(a->notice, "auto") == 0) {
        return err_set(err, NERO_INVALID, 0, "--notice-url: say with --notice whose it is");
    }
    if (runner_notice_install(&notice, options->enrol_fd, (int64_t)(a->grace_seconds * 1000),
                              err) != NERO_OK ||
        runner_watch_start(platform, a->notice_url, &notice.watch, err) != NERO_OK) {
        return err->status;
    }
    status = runner_loop_run(options, &notice, err);
    runner_watch_end(notice.watch);
    return status;
}

static int print_class(const struct arguments *a)
{
    struct backend *backend;
    char class[JOB_CLASS_BYTES];
    struct nero_err err;

    if (backend_create(a->backend, &backend, &err) != NERO_OK) {
        (void)fprintf(stderr, "nero-runner: %s\n", err.message);
        return err_exit_code(err.status);
    }
    trainer_class_of(backend, (uint32_t)a->shards, class);
    backend_destroy(backend);
    (void)printf("%s\n", class);
    return ERR_EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.backend = "auto",
                                  .shards = 1,
                                  .notice = "auto",
                                  .log_level = "info",
                                  .log_format = "text",
                                  .enrol_fd = UINT64_MAX,
                                  .checkpoint_interval = INTERVAL_TEXT,
                                  .grace_seconds = RUNNER_NOTICE_GRACE_MS / 1000.0,
                                  .stall_seconds = 300};
    struct runner_loop_options options;
    char cache[RUNNER_DATA_PATH_BYTES];
    bool ended = false;
    struct nero_err err;

    if (parse(&arguments, argc, argv, &ended, &err) != NERO_OK ||
        (!ended && !arguments.check &&
         make_options(&arguments, cache, &options, &err) != NERO_OK)) {
        (void)fprintf(stderr, "nero-runner: %s\n", err.message);
        return ERR_EXIT_INPUT;
    }
    if (ended) {
        return ERR_EXIT_DONE;
    }
    if (arguments.check) {
        return print_class(&arguments);
    }
    if (serve(&arguments, &options, &err) != NERO_OK) {
        if (err.status == NERO_CANCELLED) {
            log_line(LOG_INFO, "runner.ended", NULL, "reason=\"%s\"", err.message);
        } else {
            log_failure("runner.ended", NULL, &err);
        }
        return err_exit_code(err.status);
    }
    log_line(LOG_INFO, "runner.ended", NULL, "reason=\"no more to do\"");
    return ERR_EXIT_DONE;
}
