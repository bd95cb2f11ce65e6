#include "backend/cuda/hopper_maps.h"

ink_status ink_hopper_find_encode(ink_hopper_encode *encode, ink_error *error) {
    enum { since = 12000 };
    enum cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
    void *symbol = NULL;
    const cudaError_t code = cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &symbol, since,
                                                              cudaEnableDefault, &result);
    if (code != cudaSuccess || result != cudaDriverEntryPointSuccess || !symbol) {
        return ink_fail(error, INK_ERROR_UNSUPPORTED,
                        "the driver is too old for the Hopper kernels; install one for CUDA 12 or newer");
    }
    memcpy(encode, &symbol, sizeof symbol); /* POSIX promises that a function's address fits */
    return INK_OK;
}

static ink_status encode_boxes(ink_hopper_encode encode, CUtensorMapDataType type, cuuint32_t rank,
                               const ink_cuda_matrix *x, const cuuint64_t *dims, const cuuint64_t *strides,
                               const cuuint32_t *box, CUtensorMap *map, ink_error *error) {
    static const cuuint32_t every[] = {1, 1, 1};
    const CUresult result = encode(map, type, rank, x->data, dims, strides, box, every,
                                   CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                   CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return INK_OK;
    return ink_fail(error, INK_ERROR_INTERNAL, "CUDA could not describe a matrix of %lld x %lld: error %d",
                    (long long)x->rows, (long long)x->columns, (int)result);
}

enum { row_bytes = 128 };

ink_status ink_hopper_map_rows(ink_hopper_encode encode, const ink_cuda_matrix *x, int box_rows,
                               CUtensorMap *map, ink_error *error) {
    enum { rank = 2 };
    const bool fp8 = x->dtype == INK_F8_E4M3;
    const cuuint64_t bytes = fp8 ? 1 : 2, dims[rank] = {(cuuint64_t)x->columns, (cuuint64_t)x->rows},
                     strides[rank - 1] = {(cuuint64_t)x->stride * bytes};
    const cuuint32_t box[rank] = {row_bytes / (cuuint32_t)bytes, (cuuint32_t)box_rows};
    return encode_boxes(encode, fp8 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank,
                        x, dims, strides, box, map, error);
}

ink_status ink_hopper_map_slices(ink_hopper_encode encode, const ink_cuda_matrix *x, int box_slices,
                                 int box_rows, CUtensorMap *map, ink_error *error) {
    enum { rank = 3, slice = row_bytes / 2 };
    const cuuint64_t dims[rank] = {slice, (cuuint64_t)x->rows, (cuuint64_t)(x->columns / slice)},
                     strides[rank - 1] = {(cuuint64_t)x->stride * sizeof(uint16_t), row_bytes};
    const cuuint32_t box[rank] = {slice, (cuuint32_t)box_rows, (cuuint32_t)box_slices};
    return encode_boxes(encode, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank, x, dims, strides, box, map, error);
}
