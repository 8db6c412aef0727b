#include "genotype_draw.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nero/graph.h"

enum { PATH_BYTES = 4096, TITLE_BYTES = 256 };

extern char **environ;

/* ---- the text ---- */

/* Appends go on until one fails; the first failure stays. */
struct drawing {
    const struct genotype *genotype;
    const struct phenotype *phenotype;
    struct graph graph;
    struct bytes *out;
    enum nero_status status;
    struct nero_err *err;
};

#define PUT(drawing, ...)                                                                  \
    do {                                                                                   \
        if ((drawing)->status == NERO_OK) {                                                \
            (drawing)->status = bytes_printf((drawing)->out, (drawing)->err, __VA_ARGS__); \
        }                                                                                  \
    } while (0)

static const char *activation_name(enum phenotype_activation activation)
{
    static const char *const names[] = {"linear", "ReLU", "SiLU"};

    return names[activation];
}

/* Convolution, activation and batch norm in the order in which they are applied. */
static void put_conv(struct drawing *drawing, const struct phenotype_conv *conv)
{
    bool pre = conv->act_position == PHENOTYPE_PRE_CONV;
    bool acts = conv->activation != PHENOTYPE_LINEAR;

    if (conv->filters_mult > 0) {
        PUT(drawing, "\\n1x1 conv, %" PRIu32 ", then", conv->filters_mult * conv->filters);
    }
    PUT(drawing, "\\n%s%s%s", conv->bn == PHENOTYPE_BN_PRE ? "BN - " : "",
        pre && acts ? activation_name(conv->activation) : "", pre && acts ? " - " : "");
    PUT(drawing, "%s%" PRIu32 "x%" PRIu32 " conv, %" PRIu32 "%s",
        pre && conv->bn == PHENOTYPE_BN_MID ? "BN - " : "", conv->kernel, conv->kernel,
        conv->filters, conv->padding == PHENOTYPE_SAME ? "" : ", valid");
    if (conv->stride != 1) {
        PUT(drawing, ", /%" PRIu32, conv->stride);
    }
    PUT(drawing, "%s%s%s%s", !pre && conv->bn == PHENOTYPE_BN_MID ? " - BN" : "",
        !pre && acts ? " - " : "", !pre && acts ? activation_name(conv->activation) : "",
        conv->bn == PHENOTYPE_BN_POST ? " - BN" : "");
}

static void put_unit_label(struct drawing *drawing, uint32_t number)
{
    const struct phenotype_unit *unit = &drawing->phenotype->units[number];
    const struct graph *graph = &drawing->graph;
    uint32_t last = 0;

    PUT(drawing, "unit %" PRIu32, number);
    if (unit->kind == PHENOTYPE_FC) {
        PUT(drawing, "\\nfully connected, %" PRIu32 "%s%s", unit->fc_units,
            unit->fc_activation == PHENOTYPE_LINEAR ? "" : " - ",
            unit->fc_activation == PHENOTYPE_LINEAR ? "" : activation_name(unit->fc_activation));
    } else {
        put_conv(drawing, &unit->conv);
    }
    if (unit->kind == PHENOTYPE_POOL) {
        PUT(drawing, "\\n%s pool %" PRIu32 "x%" PRIu32 ", /%" PRIu32 "%s",
            unit->pool.pooling == PHENOTYPE_MAX_POOL ? "max" : "average", unit->pool.kernel,
            unit->pool.kernel, unit->pool.stride,
            unit->pool.padding == PHENOTYPE_SAME ? "" : ", valid");
    }
    for (uint32_t i = 1; i < graph->node_count; i++) {
        last = graph->nodes[i].unit == (int32_t)number ? i : last;
    }
    if (graph->unit_aliased[number]) {
        PUT(drawing, "\\ncannot be built here");
    } else if (!graph->unit_live[number]) {
        PUT(drawing, "\\ndoes not reach the output");
    } else if (last > 0) {
        PUT(drawing, "\\n%" PRIu32 " x %" PRIu32 " x %" PRIu32, graph->nodes[last].shape.c,
            graph->nodes[last].shape.h, graph->nodes[last].shape.w);
    }
}

static void put_unit(struct drawing *drawing, uint32_t number)
{
    static const char *const colours[] = {"", "#d6e6f5", "#d9efd9", "#f9e3c4"};
    const struct phenotype_unit *unit = &drawing->phenotype->units[number];
    bool idle = !drawing->graph.unit_live[number] || drawing->graph.unit_aliased[number];

    PUT(drawing, "    u%" PRIu32 " [label=\"", number);
    put_unit_label(drawing, number);
    PUT(drawing, "\", fillcolor=\"%s\"%s];\n", idle ? "#f2f2f2" : colours[unit->kind],
        idle ? ", style=\"filled,rounded,dashed\", fontcolor=\"#808080\"" : "");
}

static void put_edges(struct drawing *drawing)
{
    for (uint32_t i = 0; i < drawing->phenotype->unit_count; i++) {
        const struct phenotype_unit *unit = &drawing->phenotype->units[i];

        for (uint32_t k = 0; k < unit->input_count; k++) {
            if (unit->inputs[k] == PHENOTYPE_IMAGE) {
                PUT(drawing, "  image -> u%" PRIu32, i);
            } else {
                PUT(drawing, "  u%" PRId32 " -> u%" PRIu32, unit->inputs[k], i);
            }
            PUT(drawing, "%s;\n",
                drawing->graph.unit_live[i] && !drawing->graph.unit_aliased[i]
                    ? ""
                    : " [style=dashed, color=\"#b0b0b0\"]");
        }
    }
}

/* What a DOT string cannot hold as it is; control characters become spaces. */
static void escape(const char *text, char out[2 * TITLE_BYTES])
{
    size_t at = 0;

    for (size_t i = 0; text[i] != 0 && i < TITLE_BYTES - 1; i++) {
        if (text[i] == '"' || text[i] == '\\') {
            out[at++] = '\\';
        }
        out[at++] = (unsigned char)text[i] < 32 ? ' ' : text[i];
    }
    out[at] = 0;
}

/* Modules in order, each with its units; phenotypes number units over all modules. */
static void put_modules(struct drawing *drawing)
{
    uint32_t number = 0;

    for (uint32_t m = 0; m < drawing->genotype->module_count; m++) {
        const struct genotype_module *module = &drawing->genotype->modules[m];
        char name[2 * TITLE_BYTES];

        escape(module->name, name);
        PUT(drawing, "  subgraph cluster_%" PRIu32 " {\n    label=\"%s\";\n", m, name);
        for (uint32_t i = 0; i < module->unit_count && number < drawing->phenotype->unit_count;
             i++) {
            put_unit(drawing, number++);
        }
        PUT(drawing, "  }\n");
    }
}

static void put_learning(struct drawing *drawing)
{
    static const char *const names[] = {"", "SGD", "RMSprop", "Adam"};
    const struct phenotype_learning *learning = &drawing->phenotype->learning;

    PUT(drawing,
        "  learning [shape=note, fillcolor=\"#ffffff\", label=\"%s\\nrate %g, decay %g\\nbatch "
        "%" PRIu32 ", early stop %" PRIu32 "\\n%" PRIu64 " parameters\\n%.2f M multiply-adds\"];\n",
        names[learning->optimiser], learning->lr, learning->decay, learning->batch,
        learning->early_stop, drawing->graph.trained_count, (double)drawing->graph.macs / 1e6);
}

enum nero_status genotype_draw_dot(const struct genotype *genotype,
                                   const struct phenotype *phenotype, const char *title,
                                   struct bytes *out, struct nero_err *err)
{
    struct drawing drawing = {
        .genotype = genotype, .phenotype = phenotype, .out = out, .status = NERO_OK, .err = err};
    char escaped[2 * TITLE_BYTES];

    if (graph_build(phenotype, &drawing.graph, err) != NERO_OK) {
        return err->status;
    }
    escape(title, escaped);
    PUT(&drawing,
        "digraph genotype {\n"
        "  graph [rankdir=TB, fontname=\"sans-serif\", labelloc=t, label=\"%s\"];\n"
        "  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\", "
        "fontsize=11];\n"
        "  edge [color=\"#606060\"];\n"
        "  image [label=\"image\\n%" PRIu32 " x %" PRIu32 " x %" PRIu32
        "\", fillcolor=\"#ffffff\"];\n",
        escaped, phenotype->channels, phenotype->height, phenotype->width);
    put_modules(&drawing);
    put_edges(&drawing);
    put_learning(&drawing);
    PUT(&drawing, "}\n");
    graph_fini(&drawing.graph);
    return drawing.status;
}

/* ---- the picture ---- */

static enum nero_status system_failure(const char *what, struct nero_err *err)
{
    return err_set(err, err_from_errno(errno), errno, "%s: %s", what, strerror(errno));
}

/* The text in an unnamed file, at its start: `dot` reads it without anybody writing to a pipe. */
static enum nero_status unnamed_file(struct bytes_view text, FILE **out, struct nero_err *err)
{
    FILE *file = tmpfile();

    if (file == NULL) {
        return system_failure("temporary file", err);
    }
    if (fwrite(text.data, 1, text.bytes, file) != text.bytes || fflush(file) != 0 ||
        fseek(file, 0, SEEK_SET) != 0) {
        (void)system_failure("temporary file", err);
        (void)fclose(file);
        return err->status;
    }
    *out = file;
    return NERO_OK;
}

static enum nero_status run_dot(int in, int out, struct nero_err *err)
{
    char program[] = "dot";
    char format[] = "-Tsvg";
    char *const arguments[] = {program, format, NULL};
    posix_spawn_file_actions_t actions;
    int status = 0;
    pid_t pid;
    int failed;

    if (posix_spawn_file_actions_init(&actions) != 0) {
        return err_set(err, NERO_NO_MEMORY, 0, "no memory to start dot");
    }
    failed = posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    if (failed == 0) {
        failed = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    }
    if (failed == 0) {
        failed = posix_spawnp(&pid, program, &actions, NULL, arguments, environ);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) {
        return err_set(err, failed == ENOENT ? NERO_NOT_FOUND : NERO_UNAVAILABLE, failed,
                       "cannot run Graphviz's dot: %s (Debian: apt-get install graphviz); --dot "
                       "prints the graph as text without it",
                       strerror(failed));
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0
               ? NERO_OK
               : err_set(err, NERO_UNAVAILABLE, 0, "Graphviz's dot failed");
}

static enum nero_status draw_file(int in, const char *path, struct nero_err *err)
{
    char part[PATH_BYTES];
    enum nero_status status;
    int out;

    if (snprintf(part, sizeof part, "%s.part-%ld", path, (long)getpid()) >= (int)sizeof part) {
        return err_set(err, NERO_INVALID, 0, "%.80s...: the path is too long", path);
    }
    out = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (out < 0) {
        return system_failure(path, err);
    }
    status = run_dot(in, out, err);
    if (close(out) != 0 && status == NERO_OK) {
        status = system_failure(path, err);
    }
    if (status == NERO_OK && rename(part, path) != 0) {
        status = system_failure(path, err);
    }
    if (status != NERO_OK) {
        (void)unlink(part);
    }
    return status;
}

enum nero_status genotype_draw_svg(struct bytes_view dot, const char *path, struct nero_err *err)
{
    FILE *in = NULL;
    enum nero_status status = unnamed_file(dot, &in, err);

    if (status != NERO_OK) {
        return status;
    }
    if (path == NULL || strcmp(path, "-") == 0) {
        (void)fflush(stdout);
        status = run_dot(fileno(in), STDOUT_FILENO, err);
    } else {
        status = draw_file(fileno(in), path, err);
    }
    (void)fclose(in);
    return status;
}

enum nero_status genotype_draw(const struct genotype *genotype, const struct phenotype *phenotype,
                               const char *title, const char *path, bool dot, struct nero_err *err)
{
    struct bytes text;
    enum nero_status status;

    bytes_init(&text, GENOTYPE_DRAW_BYTES_MAX);
    status = genotype_draw_dot(genotype, phenotype, title, &text, err);
    if (status == NERO_OK && dot && path != NULL && strcmp(path, "-") != 0) {
        status = err_set(err, NERO_INVALID, 0, "--dot prints on standard output, without --out");
    } else if (status == NERO_OK && dot) {
        (void)fwrite(text.data, 1, text.bytes, stdout);
    } else if (status == NERO_OK) {
        status = genotype_draw_svg(bytes_as_view(&text), path, err);
    }
    bytes_fini(&text);
    return status;
}
