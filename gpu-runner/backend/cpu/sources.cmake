# The loops are written for the vectoriser: -O3, and what they need not promise (errno, traps).
# -ffp-contract=fast: within one instruction set a fused multiply-add is as repeatable as its parts.
set(cpu ${CMAKE_CURRENT_LIST_DIR})
target_sources(nero_engine PRIVATE ${cpu}/cpu_backend.c ${cpu}/cpu_conv.c ${cpu}/cpu_copy.c
  ${cpu}/cpu_fc.c ${cpu}/cpu_kernels_base.c ${cpu}/cpu_kernels_v3.c ${cpu}/cpu_kernels_v4.c
  ${cpu}/cpu_misc.c ${cpu}/cpu_norm.c ${cpu}/cpu_pool.c ${cpu}/cpu_prim.c
  ${cpu}/cpu_rows.c ${cpu}/cpu_winograd.c)
set_source_files_properties(${cpu}/cpu_copy.c ${cpu}/cpu_kernels_base.c ${cpu}/cpu_kernels_v3.c
  ${cpu}/cpu_kernels_v4.c PROPERTIES COMPILE_OPTIONS
  "-O3;-ffp-contract=fast;-fno-math-errno;-fno-trapping-math")
# oneDNN's own OpenMP runtime, whose thread count cpu_prim.c sets.
target_link_libraries(nero_engine PUBLIC gomp)
