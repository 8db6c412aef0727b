/* The kernels for the compiler's default instruction set. */
#define CPU_KERNELS_NAME "base"
#define CPU_KERNELS_SYMBOL cpu_kernels_base
#include "cpu_kernels_body.inc"
