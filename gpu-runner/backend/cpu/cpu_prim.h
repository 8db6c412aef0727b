/*
 * A oneDNN primitive with its memory objects, made once; at each call only pointers change. Each is
 * for one thread at a time, so it has a stream of its own: oneDNN does not say that primitives of
 * several threads may share one.
 */
#ifndef NERO_CPU_PRIM_H
#define NERO_CPU_PRIM_H

#include "backend/cpu/cpu_backend.h"

enum { CPU_PRIM_ARGS_MAX = 6 };

/* Zeroed: none. */
struct cpu_prim {
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    dnnl_exec_arg_t args[CPU_PRIM_ARGS_MAX];
    int arg_count;
    uint64_t scratch_bytes; /* oneDNN's scratchpad, bound as DNNL_ARG_SCRATCHPAD */
};

/*
 * oneDNN takes its number of threads from OpenMP's setting of the calling thread, when a primitive
 * is made and when it runs. Pin sets 1 and returns the former value for unpin, so that the caller's
 * own use of OpenMP is left alone.
 */
int cpu_threads_pin(void);
void cpu_threads_unpin(int threads);

/*
 * Make the primitive of `pd` with an argument for each id in `ids` (DNNL_ARG_*), described by what
 * `pd` says of it. Takes pd in any case. Errors: no_memory, invalid.
 */
enum nero_status cpu_prim_init(struct cpu_prim *prim, struct cpu_backend *cpu,
                               dnnl_primitive_desc_t pd, const int *ids, int id_count,
                               struct nero_err *err);
void cpu_prim_fini(struct cpu_prim *prim);

void cpu_prim_bind(struct cpu_prim *prim, int id, const void *data);
enum nero_status cpu_prim_run(struct cpu_prim *prim, void *scratch, struct nero_err *err);

/* Of an argument that the primitive has. */
const dnnl_memory_desc_t *cpu_prim_md(const struct cpu_prim *prim, int id);
uint64_t cpu_prim_bytes(const struct cpu_prim *prim, int id);

/* A reorder; where both sides are equal it is no primitive and the data stays where it is. */
struct cpu_move {
    struct cpu_prim prim;
    uint64_t bytes; /* of the result; 0: no move needed */
};

enum nero_status cpu_move_init(struct cpu_move *move, struct cpu_backend *cpu,
                               const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                               struct nero_err *err);
void cpu_move_fini(struct cpu_move *move);
enum nero_status cpu_move_run(struct cpu_move *move, const float *from, float *to, void *scratch,
                              struct nero_err *err);

/* Descriptions. */
dnnl_memory_desc_t cpu_md_tensor(const struct cpu_backend *cpu,
                                 const struct backend_layout *layout);
dnnl_memory_desc_t cpu_md_tag(int ndims, const int64_t *dims, dnnl_format_tag_t tag);

enum nero_status cpu_prim_error(struct nero_err *err, const char *what, dnnl_status_t status);

#endif
