/* The kernels for AVX2 with FMA. */
#include "cpu_kernels.h"
#if CPU_KERNELS_MORE
#pragma GCC target("arch=x86-64-v3")
#define CPU_KERNELS_NAME "avx2"
#define CPU_KERNELS_SYMBOL cpu_kernels_v3
#include "cpu_kernels_body.inc"
#endif
