/*
 * Moving rows, steps and patches. Nothing is computed; between f32, bf16 and f16 numbers are converted.
 */
#include "backend/cuda/each.cuh"

namespace {

constexpr int move_threads = 256;

/* Rows of units to rows of units: row r comes from row from_rows[r], of step *from_step; goes to step
 * *to_step. */
struct move_problem {
    int64_t rows, columns; /* of units */
    const void *from;
    void *to;
    int64_t from_stride, to_stride;
    const int32_t *from_rows;           /* nullable */
    const int64_t *from_step, *to_step; /* nullable */
    int64_t from_per_step, to_per_step; /* units */
};

template <typename T> static __device__ __forceinline__ void convert(T *to, T from) {
    *to = from;
}
template <typename From, typename To> static __device__ __forceinline__ void convert(To *to, From from) {
    narrow(to, widen(from));
}

template <typename From, typename To>
__global__ void __launch_bounds__(move_threads) move_rows(move_problem p) {
    const int64_t item = (int64_t)blockIdx.x * move_threads + threadIdx.x;
    if (item >= p.rows * p.columns) return;
    const int64_t row = p.rows == 1 ? 0 : quotient(item, p.columns), column = item - row * p.columns;
    const int64_t from_row = p.from_rows ? p.from_rows[row] : row;
    const From *from = static_cast<const From *>(p.from) + from_row * p.from_stride + column;
    To *to = static_cast<To *>(p.to) + row * p.to_stride + column;
    if (p.from_step) from += *p.from_step * p.from_per_step;
    if (p.to_step) to += *p.to_step * p.to_per_step;
    convert(to, *from);
}

template <typename From, typename To> static cudaError_t launch_move(cudaStream_t stream, move_problem p) {
    if (p.rows * p.columns == 0) return cudaSuccess;
    const bool gap = p.rows > 1 && (p.from_rows || p.from_stride != p.columns || p.to_stride != p.columns);
    if (!gap && !p.from_rows) {
        p.columns *= p.rows;
        p.rows = 1;
    }
    const int64_t blocks = ink_divide_up(p.rows * p.columns, move_threads);
    move_rows<From, To><<<(unsigned)blocks, move_threads, 0, stream>>>(p);
    return cudaGetLastError();
}

/* Is every row of either side a whole number of units of `bytes`, at a multiple of them? */
static bool made_of(const move_problem &p, int64_t element, int64_t bytes) {
    const uintptr_t addresses = (uintptr_t)p.from | (uintptr_t)p.to;
    return addresses % (uintptr_t)bytes == 0 && p.columns * element % bytes == 0 &&
           p.from_stride * element % bytes == 0 && p.to_stride * element % bytes == 0 &&
           p.from_per_step * element % bytes == 0 && p.to_per_step * element % bytes == 0;
}

/* Elements of equal types are moved in the largest units. */
template <typename Unit>
static cudaError_t launch_units(cudaStream_t stream, move_problem p, int64_t element) {
    const int64_t bytes = (int64_t)sizeof(Unit);
    p.columns = p.columns * element / bytes;
    p.from_stride = p.from_stride * element / bytes;
    p.to_stride = p.to_stride * element / bytes;
    p.from_per_step = p.from_per_step * element / bytes;
    p.to_per_step = p.to_per_step * element / bytes;
    return launch_move<Unit, Unit>(stream, p);
}

static cudaError_t move(cudaStream_t stream, const move_problem &p, ink_dtype from, ink_dtype to) {
    if (from == to && (is_weight(from) || from == INK_I32 || from == INK_U8)) {
        const int64_t element = bytes_of(from);
        if (made_of(p, element, 16)) return launch_units<uint4>(stream, p, element);
        if (made_of(p, element, 4)) return launch_units<uint32_t>(stream, p, element);
        if (made_of(p, element, 2)) return launch_units<uint16_t>(stream, p, element);
        return launch_units<uint8_t>(stream, p, element);
    }
    if (from == INK_F32 && to == INK_BF16) return launch_move<float, ink_bf16>(stream, p);
    if (from == INK_BF16 && to == INK_F32) return launch_move<ink_bf16, float>(stream, p);
    if (from == INK_F16 && to == INK_F32) return launch_move<ink_f16, float>(stream, p);
    if (from == INK_F16 && to == INK_BF16) return launch_move<ink_f16, ink_bf16>(stream, p);
    return cudaErrorInvalidValue;
}

static move_problem between(const ink_cuda_matrix *x, const ink_cuda_matrix *out) {
    move_problem p = {};
    p.rows = out->rows;
    p.columns = out->columns;
    p.from = x->data;
    p.to = out->data;
    p.from_stride = x->stride;
    p.to_stride = out->stride;
    return p;
}

/* Copying that converts. */
struct as_it_is : unary {
    template <bool vector>
    __device__ void apply(float (&)[pack_size], const float (&)[pack_size], int64_t, int64_t, int64_t) const {
    }
};

/* ---- patches ---- */

struct patch_problem {
    ink_cuda_matrix picture, patches;
    int64_t patch, grid_width, channels;
    bool pack;
};

/* A thread for every element, in the order of the side that is written. */
__global__ void __launch_bounds__(move_threads) move_patches(patch_problem p) {
    const int64_t item = (int64_t)blockIdx.x * move_threads + threadIdx.x;
    const ink_cuda_matrix &to = p.pack ? p.patches : p.picture;
    if (item >= to.rows * to.columns) return;
    const int64_t row = quotient(item, to.columns), column = item - row * to.columns,
                  area = p.patch * p.patch;
    int64_t pixel, channel, token, place;
    if (p.pack) {
        token = row, place = column;
        const int64_t token_y = quotient(token, p.grid_width), token_x = token - token_y * p.grid_width;
        channel = quotient(place, area);
        const int64_t inside = place - channel * area, dy = quotient(inside, p.patch),
                      dx = inside - dy * p.patch;
        pixel = (token_y * p.patch + dy) * (p.grid_width * p.patch) + token_x * p.patch + dx;
    } else {
        pixel = row, channel = column;
        const int64_t width = p.grid_width * p.patch, y = quotient(pixel, width), x = pixel - y * width;
        const int64_t token_y = quotient(y, p.patch), token_x = quotient(x, p.patch);
        token = token_y * p.grid_width + token_x;
        place = channel * area + (y - token_y * p.patch) * p.patch + (x - token_x * p.patch);
    }
    const int64_t at_picture = pixel * p.picture.stride + channel,
                  at_patches = token * p.patches.stride + place;
    if (p.pack)
        store_any(p.patches.data, p.patches.dtype, at_patches,
                  load_any(p.picture.data, p.picture.dtype, at_picture));
    else
        store_any(p.picture.data, p.picture.dtype, at_picture,
                  load_any(p.patches.data, p.patches.dtype, at_patches));
}

static cudaError_t launch_patches(cudaStream_t stream, const ink_cuda_matrix *picture,
                                  const ink_cuda_matrix *patches, int64_t grid_height, int64_t grid_width,
                                  int64_t patch, bool pack) {
    const patch_problem p = {*picture, *patches, patch, grid_width, picture->columns, pack};
    if (!is_activation(picture) || !is_activation(patches) || patch < 1 ||
        picture->rows != grid_height * patch * grid_width * patch ||
        patches->rows != grid_height * grid_width || patches->columns != picture->columns * patch * patch) {
        return cudaErrorInvalidValue;
    }
    if (picture->rows * picture->columns == 0) return cudaSuccess;
    const int64_t blocks = ink_divide_up(picture->rows * picture->columns, move_threads);
    move_patches<<<(unsigned)blocks, move_threads, 0, stream>>>(p);
    return cudaGetLastError();
}

} // namespace

cudaError_t ink_cuda_copy(cudaStream_t stream, const ink_cuda_matrix *x, const ink_cuda_matrix *out) {
    if (!same_size(x, out)) return cudaErrorInvalidValue;
    if (x->dtype != out->dtype && is_activation(x))
        return launch_each(stream, as_it_is(), true, true, x, NULL, out);
    return move(stream, between(x, out), x->dtype, out->dtype);
}

cudaError_t ink_cuda_store_step(cudaStream_t stream, const ink_cuda_matrix *x, const int64_t *step,
                                const ink_cuda_matrix *table) {
    move_problem p = between(x, x);
    p.to = table->data;
    p.to_stride = x->columns;
    p.to_step = step;
    p.to_per_step = x->rows * x->columns;
    return move(stream, p, x->dtype, table->dtype);
}

cudaError_t ink_cuda_load_step(cudaStream_t stream, const ink_cuda_row *row, const ink_cuda_matrix *out) {
    move_problem p = between(out, out);
    p.from = row->data;
    p.from_stride = out->columns;
    p.from_step = row->step;
    p.from_per_step = row->per_step;
    return move(stream, p, INK_F32, out->dtype);
}

cudaError_t ink_cuda_gather_rows(cudaStream_t stream, const ink_cuda_matrix *x, const int32_t *rows,
                                 const ink_cuda_matrix *out) {
    if (x->columns != out->columns) return cudaErrorInvalidValue;
    move_problem p = between(x, out);
    p.from_rows = rows;
    return move(stream, p, x->dtype, out->dtype);
}

cudaError_t ink_cuda_embed_rows(cudaStream_t stream, const ink_cuda_matrix *table, const int32_t *ids,
                                const ink_cuda_matrix *out) {
    return ink_cuda_gather_rows(stream, table, ids, out);
}

cudaError_t ink_cuda_pack_patches(cudaStream_t stream, const ink_cuda_matrix *x, int64_t height,
                                  int64_t width, int64_t patch, const ink_cuda_matrix *out) {
    if (patch < 1 || height % patch != 0 || width % patch != 0) return cudaErrorInvalidValue;
    return launch_patches(stream, x, out, height / patch, width / patch, patch, true);
}

cudaError_t ink_cuda_unpack_patches(cudaStream_t stream, const ink_cuda_matrix *x, int64_t grid_height,
                                    int64_t grid_width, int64_t patch, const ink_cuda_matrix *out) {
    return launch_patches(stream, out, x, grid_height, grid_width, patch, false);
}
