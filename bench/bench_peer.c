#include "bench_peer.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_BYTES = 256 };

/* One answer, without its newline. A peer that died gives end of file. */
static enum nero_status read_line(struct bench_peer *peer, char line[LINE_BYTES],
                                  struct nero_err *err)
{
    if (fgets(line, LINE_BYTES, peer->from) == NULL) {
        return err_set(err, NERO_UNAVAILABLE, 0, "the peer ended without an answer");
    }
    line[strcspn(line, "\n")] = '\0';
    return NERO_OK;
}

static void run_child(const char *python, const char *script, int in, int out)
{
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    execlp(python, python, script, (char *)NULL);
    _exit(127);
}

enum nero_status bench_peer_open(struct bench_peer *peer, const char *python, const char *script,
                                 struct nero_err *err)
{
    int there[2];
    int back[2];
    char line[LINE_BYTES];

    memset(peer, 0, sizeof(*peer));
    if (pipe(there) != 0) {
        return err_set(err, NERO_UNAVAILABLE, errno, "peer: pipe");
    }
    if (pipe(back) != 0) {
        close(there[0]);
        close(there[1]);
        return err_set(err, NERO_UNAVAILABLE, errno, "peer: pipe");
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that died shows as a failed read */
    peer->pid = fork();
    if (peer->pid == 0) {
        close(there[1]);
        close(back[0]);
        run_child(python, script, there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    peer->to = fdopen(there[1], "w");
    peer->from = fdopen(back[0], "r");
    if (peer->pid < 0 || peer->to == NULL || peer->from == NULL ||
        read_line(peer, line, err) != NERO_OK || strncmp(line, "torch ", 6) != 0) {
        bench_peer_close(peer);
        return err_set(err, NERO_UNAVAILABLE, 0, "%s cannot import torch", python);
    }
    snprintf(peer->version, sizeof(peer->version), "%.63s", line);
    return NERO_OK;
}

void bench_peer_close(struct bench_peer *peer)
{
    if (peer->to != NULL) {
        fclose(peer->to);
    }
    if (peer->from != NULL) {
        fclose(peer->from);
    }
    if (peer->pid > 0) {
        waitpid(peer->pid, NULL, 0); /* it ends when its input does */
    }
    memset(peer, 0, sizeof(*peer));
}

static void print_node(FILE *to, const struct graph_node *node)
{
    fprintf(to,
            "{\"op\":\"%s\",\"c\":%u,\"kernel\":[%u,%u],\"stride\":%u,\"pad\":[%u,%u,%u,%u],"
            "\"bias\":%s,\"inputs\":[",
            graph_op_name(node->op), (unsigned)node->shape.c, (unsigned)node->kernel_h,
            (unsigned)node->kernel_w, (unsigned)node->stride, (unsigned)node->pad_top,
            (unsigned)node->pad_left, (unsigned)node->pad_bottom, (unsigned)node->pad_right,
            node->bias ? "true" : "false");
    for (uint32_t i = 0; i < node->input_count; i++) {
        fprintf(to, "%s%u", i > 0 ? "," : "", (unsigned)node->inputs[i]);
    }
    fprintf(to, "]}");
}

enum nero_status bench_peer_net(struct bench_peer *peer, const char *name, uint32_t batch,
                                const struct graph *graph, struct nero_err *err)
{
    const struct graph_shape *image = &graph->nodes[0].shape;
    char line[LINE_BYTES];

    fprintf(peer->to, "net {\"name\":\"%s\",\"batch\":%u,\"input\":[%u,%u,%u],\"nodes\":[", name,
            (unsigned)batch, (unsigned)image->c, (unsigned)image->h, (unsigned)image->w);
    for (uint32_t i = 0; i < graph->node_count; i++) {
        fprintf(peer->to, i > 0 ? "," : "");
        print_node(peer->to, &graph->nodes[i]);
    }
    fprintf(peer->to, "]}\n");
    fflush(peer->to);
    if (read_line(peer, line, err) != NERO_OK) {
        return err_wrap(err, "peer: net %s", name);
    }
    if (strcmp(line, "ok") != 0) {
        return err_set(err, NERO_UNAVAILABLE, 0, "peer: net %s: %s", name, line);
    }
    return NERO_OK;
}

enum nero_status bench_peer_run(struct bench_peer *peer, const char *layout, uint64_t threads,
                                double seconds, double *images_per_s, struct nero_err *err)
{
    char line[LINE_BYTES];
    char *end;

    fprintf(peer->to, "run %s %" PRIu64 " %.3f\n", layout, threads, seconds);
    fflush(peer->to);
    if (read_line(peer, line, err) != NERO_OK) {
        return err_wrap(err, "peer: run");
    }
    *images_per_s = strtod(line, &end);
    if (end == line) {
        return err_set(err, NERO_UNAVAILABLE, 0, "peer: %s", line);
    }
    return NERO_OK;
}
