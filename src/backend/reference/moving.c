/*
 * Moving rows, columns, steps and patches. Nothing is computed.
 */
#include "backend/reference/kernels.h"

static size_t row_bytes(const ink_tensor *x) {
    return (size_t)ink_tensor_columns(x) * ink_dtype_bytes(x->dtype);
}

void ink_reference_gather_rows(const ink_kernel_args *args) {
    const size_t bytes = row_bytes(&args->in[0]);
    for (int64_t i = 0; i < args->node->params.gather.count; i++) {
        memcpy((char *)args->out[0].data + (size_t)i * bytes,
               (const char *)args->in[0].data + (size_t)args->node->params.gather.rows[i] * bytes, bytes);
    }
}

void ink_reference_slice_columns(const ink_kernel_args *args) {
    const float *x = args->in[0].data;
    float *out = args->out[0].data;
    const int64_t rows = ink_tensor_rows(&args->in[0]);
    const int64_t from = ink_tensor_columns(&args->in[0]), to = ink_tensor_columns(&args->out[0]);
    for (int64_t r = 0; r < rows; r++) {
        memcpy(out + r * to, x + r * from + args->node->params.slice.begin, (size_t)to * sizeof *out);
    }
}

void ink_reference_step_row(const ink_kernel_args *args) {
    const size_t bytes = (size_t)ink_tensor_count(&args->out[0]) * sizeof(float);
    memcpy(args->out[0].data, (const char *)args->in[0].data + (size_t)args->step * bytes, bytes);
}

void ink_reference_store(const ink_kernel_args *args) {
    const ink_tensor *slot = &args->in[0], *x = &args->in[1];
    const size_t pitch = row_bytes(slot), bytes = row_bytes(x);
    char *to = (char *)slot->data + (size_t)args->node->params.store.row * pitch +
               (size_t)args->node->params.store.column * ink_dtype_bytes(slot->dtype);
    const int64_t rows = ink_tensor_rows(x);
    for (int64_t r = 0; r < rows; r++) {
        memcpy(to + (size_t)r * pitch, (const char *)x->data + (size_t)r * bytes, bytes);
    }
}

void ink_reference_store_step(const ink_kernel_args *args) {
    const ink_tensor *slot = &args->in[0], *x = &args->in[1];
    const size_t bytes = (size_t)ink_tensor_count(x) * ink_dtype_bytes(x->dtype);
    memcpy((char *)slot->data + (size_t)args->step * bytes, x->data, bytes);
}

/* Copies between the picture [gh * p, gw * p, C] and its patches [gh * gw, C * p * p]; one of the two. */
static void copy_patches(const ink_kernel_args *args, float *picture, float *patches, bool pack) {
    const int64_t p = args->node->params.patches.patch, grid_width = args->node->params.patches.grid_width;
    const int64_t height = args->node->params.patches.grid_height * p, width = grid_width * p;
    const int64_t channels = ink_shape_columns(pack ? &args->in[0].shape : &args->out[0].shape);
    for (int64_t y = 0; y < height; y++) {
        for (int64_t x = 0; x < width; x++) {
            for (int64_t c = 0; c < channels; c++) {
                float *pixel = picture + (y * width + x) * channels + c;
                float *token =
                    patches + (y / p * grid_width + x / p) * channels * p * p + (c * p + y % p) * p + x % p;
                if (pack)
                    *token = *pixel;
                else
                    *pixel = *token;
            }
        }
    }
}

void ink_reference_pack_patches(const ink_kernel_args *args) {
    copy_patches(args, args->in[0].data, args->out[0].data, true);
}

void ink_reference_unpack_patches(const ink_kernel_args *args) {
    copy_patches(args, args->out[0].data, args->in[0].data, false);
}
