#include "backend/cpu/simd.h"
#include "backend/cpu/vector_math.h"
#include "backend/cpu/tile.h"
void ink_cpu_kernels_avx2(ink_kernel_table *table){(void)table;}
void test_tile(const tile_product*p); void test_tile(const tile_product*p){tile_run(p);}
