/* The kernels for AVX-512. 512-bit vectors, as oneDNN's own on such machines. */
#include "cpu_kernels.h"
#if CPU_KERNELS_MORE
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define CPU_KERNELS_NAME "avx512"
#define CPU_KERNELS_SYMBOL cpu_kernels_v4
#include "cpu_kernels_body.inc"
#endif
