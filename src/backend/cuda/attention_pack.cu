/*
 * Gathers the rows of two streams into one matrix in the order of segments, and scatters the outputs back.
 */
#include "backend/cuda/attention_pack.h"

namespace {

constexpr int thread_count = 128, chunk_bytes = 16;

/* A block copies one row of one part. */
__global__ void __launch_bounds__(thread_count) copy_rows(const __grid_constant__ ink_cuda_attention_pack p) {
    const ink_cuda_attention_packed_row place = p.rows[blockIdx.x];
    const ink_cuda_attention_packed_part &x = p.part[blockIdx.y];
    char *apart = x.apart[place.stream] + (int64_t)place.row * x.apart_bytes[place.stream];
    char *packed = x.packed + (int64_t)blockIdx.x * x.row_bytes;
    const uint4 *from = reinterpret_cast<const uint4 *>(p.scatter ? packed : apart);
    uint4 *to = reinterpret_cast<uint4 *>(p.scatter ? apart : packed);
    for (int i = (int)threadIdx.x; i < (int)(x.row_bytes / chunk_bytes); i += thread_count) {
        to[i] = from[i];
    }
}

} // namespace

cudaError_t ink_cuda_attention_pack_run(cudaStream_t stream, const ink_cuda_attention_pack *pack) {
    const dim3 blocks((unsigned)pack->n_rows, (unsigned)pack->parts);
    copy_rows<<<blocks, thread_count, 0, stream>>>(*pack);
    return cudaGetLastError();
}
