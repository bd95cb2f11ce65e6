/*
 * Synthetic weights made where they are used: the numbers of weights/synthetic.h.
 */
#include "backend/cuda/device.cuh"
#include "weights/synthetic.h"

namespace {

constexpr int synthetic_threads = 256;

struct synthetic_problem {
    ink_synthetic_recipe recipe;
    int64_t first, end; /* elements */
    int64_t first_pack;
    bool vector;
};

/* A thread makes eight elements, from a multiple of eight on; of these, those from `first` to `end` are
 * wanted. `out` is where element 0 would be. */
template <typename O>
__global__ void __launch_bounds__(synthetic_threads) make_values(synthetic_problem p, O *out) {
    const int64_t pack = p.first_pack + (int64_t)blockIdx.x * synthetic_threads + threadIdx.x,
                  begin = pack * pack_size;
    if (begin >= p.end) return;
    float v[pack_size];
#pragma unroll
    for (int q = 0; q < pack_size / 4; q++) {
        const uint64_t bits =
            ink_synthetic_bits(p.recipe.key, (uint64_t)pack * (pack_size / 4) + (uint64_t)q);
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const uint32_t own = (uint32_t)(bits >> (16 * k)) & 0xFFFFu;
            v[4 * q + k] = rounded<ink_bf16>(ink_synthetic_value(own, p.recipe.scale, p.recipe.offset));
        }
    }
    if (p.vector && begin >= p.first && begin + pack_size <= p.end) {
        store_vector(out + begin, v);
        return;
    }
#pragma unroll
    for (int i = 0; i < pack_size; i++) {
        if (begin + i >= p.first && begin + i < p.end) narrow(out + begin + i, v[i]);
    }
}

} // namespace

cudaError_t ink_cuda_synthetic_fill(cudaStream_t stream, uint64_t stream_key, float scale, float offset,
                                    ink_dtype dtype, int64_t first, int64_t count, void *out) {
    if (count <= 0) return count < 0 ? cudaErrorInvalidValue : cudaSuccess;
    synthetic_problem p = {{stream_key, scale, offset}, first, first + count, first / pack_size, false};
    const int64_t blocks = ink_divide_up(ink_divide_up(p.end, pack_size) - p.first_pack, synthetic_threads);
    return with_type(dtype, [&](auto tag) {
        typedef typename decltype(tag)::type O;
        const uintptr_t zero = (uintptr_t)out - (uintptr_t)first * sizeof(O);
        p.vector = zero % 16 == 0;
        make_values<<<(unsigned)blocks, synthetic_threads, 0, stream>>>(p, reinterpret_cast<O *>(zero));
        return cudaGetLastError();
    });
}
