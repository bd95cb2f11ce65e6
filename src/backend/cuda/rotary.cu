/*
 * RMS norm of every head, then the rotation of its pairs: q and k of a projection in one launch.
 *
 * A block takes one row: the angles are the same for all heads, so every thread loads its own once.
 */
#include "backend/cuda/rotary_packs.cuh"

namespace {

constexpr int rotary_threads = 256;

/* One of the matrices. */
struct rotary_matrix {
    const void *x;
    void *out;
    const void *weight; /* nullable */
    int64_t x_stride, out_stride;
    int heads;
};

struct rotary_problem {
    rotary_matrix matrix[2];
    const float *table; /* nullable */
    ink_dtype weight_dtype;
    int head_dim;
    float eps, inverse_dim; /* 1 / head_dim */
    bool half;              /* pairs are (k, k + head_dim / 2) */
};

/* (a, b) -> (a cos - b sin, a sin + b cos) for pairs of neighbours; `angles` are cos and sin of the four
 * pairs. */
static __device__ __forceinline__ void rotate_adjacent(float (&v)[pack_size],
                                                       const float (&angles)[pack_size]) {
#pragma unroll
    for (int k = 0; k < pack_size; k += 2) {
        const float a = v[k], b = v[k + 1], cosine = angles[k], sine = angles[k + 1];
        v[k] = fmaf(-b, sine, a * cosine);
        v[k + 1] = fmaf(a, sine, b * cosine);
    }
}

/* The other half of every pair is with another thread of the team; `sine` is negated for the first halves. */
static __device__ __forceinline__ void rotate_half(float (&v)[pack_size], const float (&cosine)[pack_size],
                                                   const float (&sine)[pack_size], int team) {
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        const float other = __shfl_xor_sync(0xFFFFFFFFu, v[k], team / 2);
        v[k] = fmaf(other, sine[k], v[k] * cosine[k]);
    }
}

/* What a thread multiplies its pack by. Adjacent pairs: cos and sin of the four pairs lie in `first`. Halves:
 * `first` are the cosines of the eight elements, `second` the sines. */
template <bool vector, bool half>
static __device__ __forceinline__ void load_angles(const rotary_problem &p, int64_t row, int member, int team,
                                                   float (&first)[pack_size], float (&second)[pack_size]) {
    const float *table = p.table + row * p.head_dim;
    if (!half) {
        load_table_pack<vector>(first, table + member * pack_size, pack_size);
        return;
    }
    const bool begins = member < team / 2;
    const float *pairs = table + 2 * pack_size * (begins ? member : member - team / 2);
    float low[pack_size], high[pack_size];
    load_table_pack<vector>(low, pairs, pack_size);
    load_table_pack<vector>(high, pairs + pack_size, pack_size);
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        const int at = 2 * k % pack_size;
        const float sine = k < pack_size / 2 ? low[at + 1] : high[at + 1];
        first[k] = k < pack_size / 2 ? low[at] : high[at];
        second[k] = begins ? -sine : sine;
    }
}

/* All threads of a warp call. */
template <bool vector, bool half>
static __device__ __forceinline__ void rotate_pack(const rotary_problem &p, const void *weight, int member,
                                                   int team, const float (&first)[pack_size],
                                                   const float (&second)[pack_size], float (&v)[pack_size]) {
    float squares = 0, gain[pack_size];
#pragma unroll
    for (int k = 0; k < pack_size; k++) {
        squares = fmaf(v[k], v[k], squares);
    }
    squares = team_sum(squares, team);
    if (weight) {
        const float factor = rsqrtf(fmaf(squares, p.inverse_dim, p.eps));
        load_weight_pack<vector>(gain, weight, p.weight_dtype, member * pack_size, pack_size);
#pragma unroll
        for (int k = 0; k < pack_size; k++) {
            v[k] = v[k] * factor * gain[k];
        }
    }
    if (!p.table) return;
    if (half)
        rotate_half(v, first, second, team);
    else
        rotate_adjacent(v, first);
}

/* Where a thread's pack of a head is. The heads of the second matrix follow those of the first. */
template <typename X, typename O> struct head_pack {
    const X *x;
    O *out;
    const void *weight;

    /* The members are chosen one by one: an index into p.matrix would move it to slow memory. */
    __device__ __forceinline__ head_pack(const rotary_problem &p, int64_t row, int head, int member) {
        const bool other = head >= p.matrix[0].heads;
        const int64_t from = other ? head - p.matrix[0].heads : head,
                      column = from * p.head_dim + member * pack_size;
        x = static_cast<const X *>(other ? p.matrix[1].x : p.matrix[0].x) + column +
            row * (other ? p.matrix[1].x_stride : p.matrix[0].x_stride);
        out = static_cast<O *>(other ? p.matrix[1].out : p.matrix[0].out) + column +
              row * (other ? p.matrix[1].out_stride : p.matrix[0].out_stride);
        weight = other ? p.matrix[1].weight : p.matrix[0].weight;
    }
};

/* head_dim = 8 * team, team 2, 4, 8, 16 or 32: a team of threads takes a head, and three of them at once, so
 * that 24 heads of q and k are one round. Teams without a head go along, as sums and exchanges need whole
 * warps. */
template <bool vector, bool half, typename X, typename O>
__global__ void __launch_bounds__(rotary_threads) rotate_rows(rotary_problem p) {
    constexpr int at_once = 3;
    const int64_t row = blockIdx.x;
    const int team = p.head_dim / pack_size, member = (int)threadIdx.x & (team - 1),
              teams = rotary_threads / team;
    const int own = (int)threadIdx.x / team, heads = p.matrix[0].heads + p.matrix[1].heads;
    float first[pack_size], second[pack_size];
    if (p.table) load_angles<vector, half>(p, row, member, team, first, second);
    for (int begin = 0; begin < heads; begin += at_once * teams) {
        float v[at_once][pack_size];
#pragma unroll
        for (int i = 0; i < at_once; i++) {
            const int head = begin + i * teams + own;
            load_pack<vector>(v[i], head_pack<X, O>(p, row, head, member).x, head < heads ? pack_size : 0);
        }
#pragma unroll
        for (int i = 0; i < at_once; i++) {
            const int head = begin + i * teams + own;
            const head_pack<X, O> at(p, row, head, member);
            rotate_pack<vector, half>(p, at.weight, member, team, first, second, v[i]);
            store_pack<vector>(at.out, v[i], head < heads ? pack_size : 0);
        }
    }
}

/* Any head: a warp takes it pair by pair. All reading for the sum comes before the first writing. */
template <typename X, typename O>
__global__ void __launch_bounds__(rotary_threads) rotate_any_rows(rotary_problem p) {
    const int64_t row = blockIdx.x;
    const rotary_matrix m = blockIdx.y ? p.matrix[1] : p.matrix[0];
    const int half = p.head_dim / 2, lane = (int)threadIdx.x % warp_size;
    const float *table = p.table ? p.table + row * p.head_dim : NULL;
    for (int head = (int)threadIdx.x / warp_size; head < m.heads; head += rotary_threads / warp_size) {
        const X *x = static_cast<const X *>(m.x) + row * m.x_stride + (int64_t)head * p.head_dim;
        O *out = static_cast<O *>(m.out) + row * m.out_stride + (int64_t)head * p.head_dim;
        float factor = 1;
        if (m.weight) {
            float squares = 0;
            for (int c = lane; c < p.head_dim; c += warp_size) {
                squares = fmaf(widen(x[c]), widen(x[c]), squares);
            }
            factor = rsqrtf(fmaf(team_sum(squares, warp_size), p.inverse_dim, p.eps));
        }
        for (int k = lane; k < half; k += warp_size) {
            const int i = p.half ? k : 2 * k, j = p.half ? k + half : 2 * k + 1;
            float a = widen(x[i]), b = widen(x[j]);
            if (m.weight) {
                a = a * factor * load_any(m.weight, p.weight_dtype, i);
                b = b * factor * load_any(m.weight, p.weight_dtype, j);
            }
            const float cosine = table ? table[2 * k] : 1.0f, sine = table ? table[2 * k + 1] : 0.0f;
            narrow(out + i, table ? fmaf(-b, sine, a * cosine) : a);
            narrow(out + j, table ? fmaf(a, sine, b * cosine) : b);
        }
    }
}

/* `teams`: heads are of a size that teams can take. */
template <bool vector, typename X, typename O>
static cudaError_t launch_rotary(cudaStream_t stream, const rotary_problem &p, int64_t rows, int count,
                                 bool teams) {
    const unsigned blocks = (unsigned)rows;
    if (!teams)
        rotate_any_rows<X, O><<<dim3(blocks, (unsigned)count), rotary_threads, 0, stream>>>(p);
    else if (p.half)
        rotate_rows<vector, true, X, O><<<blocks, rotary_threads, 0, stream>>>(p);
    else
        rotate_rows<vector, false, X, O><<<blocks, rotary_threads, 0, stream>>>(p);
    return cudaGetLastError();
}

/* For the kernel that knows the shape and types of q and k? `vector` is known to hold. */
static bool are_packs(const rotary_problem &p, const ink_cuda_rotation &r) {
    const int heads = p.matrix[0].heads + p.matrix[1].heads, threads = heads * rotary_team / packs_at_once;
    return r.count == 2 && !p.half && p.table && p.head_dim == rotary_team * pack_size &&
           p.matrix[0].weight && p.matrix[1].weight && p.weight_dtype == INK_BF16 &&
           r.x[0].dtype == INK_BF16 && r.out[0].dtype == INK_BF16 && r.x[0].stride == r.x[1].stride &&
           r.out[0].stride == r.out[1].stride && heads % packs_at_once == 0 && threads % warp_size == 0 &&
           threads <= most_pack_threads && r.x[0].rows < INT32_MAX / 2;
}

/* One or two, with as many heads. */
static cudaError_t launch_packs(cudaStream_t stream, int count, const rotary_problem *p,
                                const ink_cuda_rotation *rotations) {
    rotary_packs_problems both = {};
    int64_t rows = 0;
    for (int i = 0; i < count; i++) {
        const ink_cuda_rotation &r = rotations[i];
        rotary_packs_problem &packs = i ? both.second : both.first;
        for (int k = 0; k < 2; k++) {
            packs.x[k] = static_cast<const ink_bf16 *>(r.x[k].data);
            packs.out[k] = static_cast<ink_bf16 *>(r.out[k].data);
            packs.weight[k] = static_cast<const ink_bf16 *>(r.weight[k]);
        }
        packs.x_stride = r.x[0].stride;
        packs.out_stride = r.out[0].stride;
        packs.heads = p[i].matrix[0].heads;
        packs.table = p[i].table;
        packs.eps = p[i].eps;
        rows += r.x[0].rows;
    }
    both.first_rows = (int)rotations[0].x[0].rows;
    const int heads = p[0].matrix[0].heads + p[0].matrix[1].heads;
    rotate_packs<<<(unsigned)rows, (unsigned)(heads * rotary_team / packs_at_once), 0, stream>>>(both);
    return cudaGetLastError();
}

static bool is_valid(const ink_cuda_rotation &r) {
    if (r.count < 1 || r.count > 2 || r.head_dim < 2 || r.head_dim % 2 != 0 || r.head_dim > INT32_MAX)
        return false;
    for (int i = 0; i < r.count; i++) {
        if (!same_size(&r.x[i], &r.out[i]) || r.x[i].columns % r.head_dim != 0 ||
            r.x[i].rows != r.x[0].rows || r.x[i].dtype != r.x[0].dtype || r.out[i].dtype != r.out[0].dtype ||
            (r.weight[i] && !is_weight(r.weight_dtype)))
            return false;
    }
    return true;
}

static rotary_problem describe_rotation(const ink_cuda_rotation &r, bool *vector) {
    rotary_problem p = {{},
                        r.table,
                        r.weight_dtype,
                        (int)r.head_dim,
                        r.eps,
                        1.0f / (float)r.head_dim,
                        r.style == INK_ROTARY_HALF};
    *vector = aligned(r.table, bytes_of(INK_F32));
    for (int i = 0; i < r.count; i++) {
        p.matrix[i] = {r.x[i].data,   r.out[i].data,   r.weight[i],
                       r.x[i].stride, r.out[i].stride, (int)(r.x[i].columns / r.head_dim)};
        *vector = *vector && aligned_rows(&r.x[i]) && aligned_rows(&r.out[i]) &&
                  aligned(r.weight[i], bytes_of(r.weight_dtype));
    }
    return p;
}

static cudaError_t launch_one(cudaStream_t stream, const rotary_problem &p, bool vector,
                              const ink_cuda_rotation &r) {
    if (r.x[0].rows == 0) return cudaSuccess;
    if (vector && are_packs(p, r)) return launch_packs(stream, 1, &p, &r);
    const int64_t team = r.head_dim / pack_size;
    const bool teams =
        r.head_dim % pack_size == 0 && team >= 2 && team <= warp_size && (team & (team - 1)) == 0;
    return with_type(r.x[0].dtype, [&](auto x_tag) {
        return with_type(r.out[0].dtype, [&](auto out_tag) {
            typedef typename decltype(x_tag)::type X;
            typedef typename decltype(out_tag)::type O;
            return vector ? launch_rotary<true, X, O>(stream, p, r.x[0].rows, r.count, teams)
                          : launch_rotary<false, X, O>(stream, p, r.x[0].rows, r.count, teams);
        });
    });
}

} // namespace

cudaError_t ink_cuda_head_norm_rotaries(cudaStream_t stream, int count, const ink_cuda_rotation *rotations) {
    enum { most = 2 };
    rotary_problem p[most];
    bool vector[most];
    if (count < 1 || count > most) return cudaErrorInvalidValue;
    for (int i = 0; i < count; i++) {
        if (!is_valid(rotations[i])) return cudaErrorInvalidValue;
        p[i] = describe_rotation(rotations[i], &vector[i]);
    }
    if (count == most && vector[0] && vector[1] && are_packs(p[0], rotations[0]) &&
        are_packs(p[1], rotations[1]) && rotations[0].x[0].rows > 0 &&
        p[0].matrix[0].heads == p[1].matrix[0].heads && p[0].matrix[1].heads == p[1].matrix[1].heads)
        return launch_packs(stream, count, p, rotations);
    for (int i = 0; i < count; i++) {
        const cudaError_t code = launch_one(stream, p[i], vector[i], rotations[i]);
        if (code != cudaSuccess) return code;
    }
    return cudaSuccess;
}
