/*
 * Matrix products of single warps, on every device since Ampere, and the copies and loads that feed them.
 */
#ifndef INK_BACKEND_CUDA_MMA_CUH
#define INK_BACKEND_CUDA_MMA_CUH

#include <stdint.h>

namespace mma {

static __device__ __forceinline__ uint32_t shared_address(const void *x) {
    return (uint32_t)__cvta_generic_to_shared(x);
}

/* ---- copies to shared memory that go on by themselves ---- */

/* 16 bytes; zeros if they are not there, when `from` is only an address that may be read. */
static __device__ __forceinline__ void copy_16(const void *to, const void *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(there ? 16 : 0)
                 : "memory");
}

/* The thread's copies up to here are a group; waits until at most `pending` groups are not finished. */
static __device__ __forceinline__ void copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int pending> static __device__ __forceinline__ void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

/* ---- matrices of 8 rows of 16 bytes ---- */

/* Four of them: thread t names row t % 8 of matrix t / 8, and gets of each the elements 2 (t % 4) and 1 more
 * of row t / 4; transposed, of column t / 4. */
static __device__ __forceinline__ void load_matrices(uint32_t (&x)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(shared_address(row))
                 : "memory");
}
static __device__ __forceinline__ void load_transposed(uint32_t (&x)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* d [16, 8] += a [16, 16] b [16, 8]. a: the matrices of rows 0 to 7 and 8 to 15 of the first 8 columns, then
 * those of the others; b: the transposed matrices of the first 8 rows and of the others. Thread t has of d
 * row t / 4, columns 2 (t % 4) and 1 more, then the same of row t / 4 + 8. */
static __device__ __forceinline__ void product(float (&d)[4], const uint32_t (&a)[4], const uint32_t *b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

} // namespace mma

#endif
