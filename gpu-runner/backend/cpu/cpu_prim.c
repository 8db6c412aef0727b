#include "backend/cpu/cpu_prim.h"

#include <string.h>

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
/*
 * Of the OpenMP runtime that oneDNN itself is linked with (GCC's). omp.h is not used because with
 * another compiler it would come with another runtime, whose setting oneDNN would never see.
 */
extern int omp_get_max_threads(void);
extern void omp_set_num_threads(int threads);

int cpu_threads_pin(void)
{
    int threads = omp_get_max_threads();

    if (threads != 1) {
        omp_set_num_threads(1);
    }
    return threads;
}

void cpu_threads_unpin(int threads)
{
    if (threads != 1) {
        omp_set_num_threads(threads);
    }
}
#elif DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_SEQ
int cpu_threads_pin(void)
{
    return 1;
}

void cpu_threads_unpin(int threads)
{
    (void)threads;
}
#else
#error "oneDNN's threads can be pinned with its OpenMP and sequential builds only"
#endif

enum nero_status cpu_prim_error(struct nero_err *err, const char *what, dnnl_status_t status)
{
    enum nero_status ours = NERO_INVALID;

    if (status == dnnl_out_of_memory) {
        ours = NERO_NO_MEMORY;
    }
    return err_set(err, ours, (int)status, "oneDNN: %s: status %d", what, (int)status);
}

/* What a primitive descriptor says of an argument, in one form for all kinds of primitives. */
static const dnnl_memory_desc_t *pd_md(const_dnnl_primitive_desc_t pd, int id)
{
    return dnnl_primitive_desc_query_md(pd, dnnl_query_exec_arg_md, id);
}

static dnnl_status_t add_arg(struct cpu_prim *prim, struct cpu_backend *cpu,
                             const dnnl_memory_desc_t *md, int id)
{
    dnnl_exec_arg_t *arg = &prim->args[prim->arg_count];
    dnnl_status_t status = dnnl_memory_create(&arg->memory, md, cpu->engine, DNNL_MEMORY_NONE);

    if (status == dnnl_success) {
        arg->arg = id;
        prim->arg_count++;
    }
    return status;
}

enum nero_status cpu_prim_init(struct cpu_prim *prim, struct cpu_backend *cpu,
                               dnnl_primitive_desc_t pd, const int *ids, int id_count,
                               struct nero_err *err)
{
    const dnnl_memory_desc_t *scratchpad =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    dnnl_status_t status;

    memset(prim, 0, sizeof(*prim));
    prim->scratch_bytes = cpu_align(dnnl_memory_desc_get_size(scratchpad));
    status = dnnl_primitive_create(&prim->primitive, pd);
    if (status == dnnl_success) {
        status = dnnl_stream_create(&prim->stream, cpu->engine, dnnl_stream_default_flags);
    }
    for (int i = 0; i < id_count && status == dnnl_success; i++) {
        status = add_arg(prim, cpu, pd_md(pd, ids[i]), ids[i]);
    }
    if (status == dnnl_success) {
        status = add_arg(prim, cpu, scratchpad, DNNL_ARG_SCRATCHPAD);
    }
    dnnl_primitive_desc_destroy(pd);
    if (status != dnnl_success) {
        cpu_prim_fini(prim);
        return cpu_prim_error(err, "create a primitive", status);
    }
    return NERO_OK;
}

void cpu_prim_fini(struct cpu_prim *prim)
{
    for (int i = 0; i < prim->arg_count; i++) {
        dnnl_memory_destroy(prim->args[i].memory);
    }
    dnnl_stream_destroy(prim->stream);
    dnnl_primitive_destroy(prim->primitive);
    memset(prim, 0, sizeof(*prim));
}

void cpu_prim_bind(struct cpu_prim *prim, int id, const void *data)
{
    /* oneDNN takes inputs and outputs alike without const */
    union {
        const void *given;
        void *taken;
    } pointer = {.given = data};

    for (int i = 0; i < prim->arg_count; i++) {
        if (prim->args[i].arg == id) {
            dnnl_memory_set_data_handle(prim->args[i].memory, pointer.taken);
        }
    }
}

enum nero_status cpu_prim_run(struct cpu_prim *prim, void *scratch, struct nero_err *err)
{
    dnnl_status_t status;

    cpu_prim_bind(prim, DNNL_ARG_SCRATCHPAD, scratch);
    status = dnnl_primitive_execute(prim->primitive, prim->stream, prim->arg_count, prim->args);
    if (status != dnnl_success) {
        return cpu_prim_error(err, "execute a primitive", status);
    }
    return NERO_OK;
}

const dnnl_memory_desc_t *cpu_prim_md(const struct cpu_prim *prim, int id)
{
    const dnnl_memory_desc_t *md = NULL;

    for (int i = 0; i < prim->arg_count; i++) {
        if (prim->args[i].arg == id) {
            dnnl_memory_get_memory_desc(prim->args[i].memory, &md);
        }
    }
    return md;
}

uint64_t cpu_prim_bytes(const struct cpu_prim *prim, int id)
{
    const dnnl_memory_desc_t *md = cpu_prim_md(prim, id);

    return md == NULL ? 0 : cpu_align(dnnl_memory_desc_get_size(md));
}

enum nero_status cpu_move_init(struct cpu_move *move, struct cpu_backend *cpu,
                               const dnnl_memory_desc_t *from, const dnnl_memory_desc_t *to,
                               struct nero_err *err)
{
    const int ids[] = {DNNL_ARG_FROM, DNNL_ARG_TO};
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status;

    memset(move, 0, sizeof(*move));
    if (dnnl_memory_desc_equal(from, to)) {
        return NERO_OK;
    }
    status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    }
    if (status == dnnl_success) {
        status = dnnl_reorder_primitive_desc_create(&pd, from, cpu->engine, to, cpu->engine, attr);
    }
    dnnl_primitive_attr_destroy(attr);
    if (status != dnnl_success) {
        return cpu_prim_error(err, "describe a reorder", status);
    }
    move->bytes = cpu_align(dnnl_memory_desc_get_size(to));
    return cpu_prim_init(&move->prim, cpu, pd, ids, 2, err);
}

void cpu_move_fini(struct cpu_move *move)
{
    cpu_prim_fini(&move->prim);
    move->bytes = 0;
}

enum nero_status cpu_move_run(struct cpu_move *move, const float *from, float *to, void *scratch,
                              struct nero_err *err)
{
    cpu_prim_bind(&move->prim, DNNL_ARG_FROM, from);
    cpu_prim_bind(&move->prim, DNNL_ARG_TO, to);
    return cpu_prim_run(&move->prim, scratch, err);
}

dnnl_memory_desc_t cpu_md_tag(int ndims, const int64_t *dims, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t copy = {0};

    memcpy(copy, dims, (size_t)ndims * sizeof(*dims));
    memset(&md, 0, sizeof(md));
    dnnl_memory_desc_init_by_tag(&md, ndims, copy, dnnl_f32, tag);
    return md;
}

dnnl_memory_desc_t cpu_md_tensor(const struct cpu_backend *cpu, const struct backend_layout *layout)
{
    const int64_t dims[4] = {layout->n, layout->c, layout->h, layout->w};

    return cpu_md_tag(4, dims, cpu_layout_tag(cpu, layout));
}
