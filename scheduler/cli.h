/*
 * What the subcommands of nero-sched share: the table of commands, common options, and the one way
 * to open a store and to find keys.
 */
#ifndef NERO_CLI_H
#define NERO_CLI_H

#include "nero/envelope.h"
#include "nero/options.h"
#include "nero/storage.h"

/* A subcommand: prints its own help, returns the exit code of DESIGN 10. */
struct cli_command {
    const char *name;
    const char *summary;
    int (*main)(int argc, char **argv);
};

int cmd_audit(int argc, char **argv);
int cmd_cancel(int argc, char **argv);
int cmd_dataset(int argc, char **argv);
int cmd_drain(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_evaluate(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_gc(int argc, char **argv);
int cmd_genotype(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_limit(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_pause(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_rebuild(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_retry(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_submit(int argc, char **argv);
int cmd_unpause(int argc, char **argv);
int cmd_watch(int argc, char **argv);

enum { CLI_URL_BYTES = 1100 };

/* Rows of option tables that mean the same everywhere; `target` is a const char *, or a bool. */
#define CLI_OPTION_STORE(target)                                                           \
    {                                                                                      \
        "store", OPTIONS_STRING, "URL",                                                    \
            "object store: file:///dir or s3://bucket/prefix (default: your data folder)", \
            "NERO_STORE", (target), 0                                                      \
    }
#define CLI_OPTION_REDIS(target)                                                      \
    {                                                                                 \
        "redis", OPTIONS_STRING, "URL", "Redis: redis://host:port/0 or unix:///path", \
            "NERO_REDIS", (target), 0                                                 \
    }
#define CLI_OPTION_SKIP_PROBE(target)                                                              \
    {                                                                                              \
        "skip-probe", OPTIONS_FLAG, NULL, "do not try the store's promises first", NULL, (target), \
            0                                                                                      \
    }
#define CLI_OPTION_STORE_MODE(target)                                                     \
    {                                                                                     \
        "store-mode", OPTIONS_STRING, "MODE",                                             \
            "attempt: the store cannot create exclusively, and by your promise no other " \
            "scheduler serves it",                                                        \
            "NERO_STORE_MODE", (target), 0                                                \
    }
#define CLI_OPTION_JSON(target)                                                                   \
    {                                                                                             \
        "json", OPTIONS_FLAG, NULL, "machine-readable output on standard output", NULL, (target), \
            0                                                                                     \
    }

/* The words of the command line, parsed. *done: help was printed or an error told; exit with it. */
int cli_parse(const struct options_command *command, int argc, char **argv,
              struct options_parsed *out, bool *done);

/* Tell a failure on standard error ("nero-sched run: ...") and give its exit code. */
int cli_fail(const char *command, const struct nero_err *err);

/* nero-sched as it was started, for what people are told to type: its path where it had one. */
const char *cli_program(void);

/* URL of the store: `given`, else file://$XDG_DATA_HOME/nero/store (made when `create`). */
enum nero_status cli_store_url(const char *given, bool create, char out[CLI_URL_BYTES],
                               struct nero_err *err);

/* Open it with retries. One that declares no exclusive create is used in attempt mode. */
enum nero_status cli_open_store(const char *url, bool create, struct storage **out,
                                struct nero_err *err);

/*
 * How runs are made on it: `mode` is "exclusive", "attempt", or NULL or "" for what the store
 * declares. In attempt mode no other scheduler may use it (queue/DESIGN.md). Errors: invalid.
 */
enum nero_status cli_store_mode(struct storage *store, const char *mode, struct nero_err *err);

/*
 * Refuse a store that does not keep the promises a run is built on; in attempt mode it need not
 * create exclusively. Tried on stores of others' making (s3), in a second or less; mem: and file:
 * have been tried by their open. Errors: invalid (says which promise), those of the store.
 */
enum nero_status cli_trust_store(struct storage *store, bool skip_probe, struct nero_err *err);

/* The root key pair under the keys folder; made when absent and `create` (*created tells). */
enum nero_status cli_root_key(bool create, struct key_pair *out, bool *created,
                              struct nero_err *err);

/* The root key's public half under the keys folder, which suffices to verify. */
enum nero_status cli_root_public(struct key_public *out, struct nero_err *err);

/* The file of --root-key. Errors: invalid (it is no public key), not_found. */
enum nero_status cli_root_given(const char *path, struct key_public *out, struct nero_err *err);

/* The key of a run under the keys folder. not_found says on which machine it must be looked for. */
enum nero_status cli_run_key(const char *run, struct key_pair *out, struct nero_err *err);
enum nero_status cli_run_key_create(const char *run, struct key_pair *out, struct nero_err *err);

#endif
