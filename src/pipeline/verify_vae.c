/*
 * The VAE alone: golden files hold channels first, the networks channels last.
 */
#include "pipeline/verify.h"

#include <stdlib.h>

/* out[y, x, c] = planes[c, y, x] */
static void interleave(const float *planes, int64_t channels, int64_t pixels, float *out) {
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t i = 0; i < pixels; i++) {
            out[i * channels + c] = planes[c * pixels + i];
        }
    }
}

/* Runs a network over a golden picture (channels first) of one slot. The program's other slots get buffers.
 */
static ink_status run(ink_executable *e, const ink_weight *golden, const char *input,
                      const char *const *outputs, int n_outputs, ink_error *error) {
    INK_TRY(ink_executable_compile(e, error));
    ink_buffer *buffer;
    INK_TRY(ink_executable_bind_new(e, input, &buffer, error));
    for (int i = 0; i < n_outputs; i++) {
        INK_TRY(ink_executable_bind_new(e, outputs[i], NULL, error));
    }
    const ink_shape *shape = &golden->shape;
    const size_t bytes = (size_t)ink_shape_count(shape) * sizeof(float);
    float *planes;
    INK_TRY(ink_verifier_values(golden, &planes, error));
    float *pixels = malloc(bytes);
    ink_status status = pixels ? INK_OK : ink_fail_memory(error, "a picture", bytes);
    if (status == INK_OK) {
        interleave(planes, shape->dim[0], shape->dim[1] * shape->dim[2], pixels);
        status = ink_buffer_write(buffer, pixels, bytes, error);
    }
    free(planes);
    free(pixels);
    return status == INK_OK ? ink_program_run(e->program, 0, NULL, error) : status;
}

static ink_status compare_planes(ink_verifier *v, const ink_executable *e, const char *slot,
                                 const ink_weight *golden, ink_error *error) {
    if (!golden) return INK_OK;
    ink_buffer *buffer = ink_executable_buffer(e, slot);
    const int64_t channels = ink_shape_columns(&buffer->shape), count = ink_shape_count(&buffer->shape);
    float *pixels;
    size_t n;
    INK_TRY(ink_buffer_read_f32(buffer, &pixels, &n, error));
    float *planes = malloc(n * sizeof *planes + 1);
    if (planes) {
        /* The inverse of interleaving by C channels is interleaving by count / C of them. */
        interleave(pixels, count / channels, channels, planes);
        ink_verifier_compare(v, golden, planes, count, v->tolerance);
    }
    free(pixels);
    free(planes);
    return planes ? INK_OK : ink_fail_memory(error, "a picture", n * sizeof *planes);
}

static ink_status verify_decode(ink_verifier *v, ink_error *error) {
    const ink_weight *latents = ink_verifier_find(v, "vae.decode.latents");
    const ink_weight *image = ink_verifier_find(v, "vae.decode.image");
    if (!image) return INK_OK;
    if (!latents || latents->shape.rank != 3 || latents->shape.dim[0] != v->model->vae.z_dim ||
        ink_shape_count(&latents->shape) < 1) {
        ink_verifier_skip(v, image, "it needs vae.decode.latents [z_dim, rows, columns]");
        return INK_OK;
    }
    static const char *const outputs[] = {"signal"};
    ink_executable e;
    ink_status status = ink_executable_init(&e, v->model->backend, error);
    if (status == INK_OK) {
        ink_vae_record_decoder(e.graph, &v->model->vae, ink_model_vae_weights(v->model),
                               latents->shape.dim[1], latents->shape.dim[2]);
        status = run(&e, latents, "z", outputs, 1, error);
    }
    if (status == INK_OK) status = compare_planes(v, &e, "signal", image, error);
    ink_executable_fini(&e);
    return status;
}

static ink_status verify_encode(ink_verifier *v, ink_error *error) {
    const ink_weight *image = ink_verifier_find(v, "vae.encode.image");
    const ink_weight *mean = ink_verifier_find(v, "vae.encode.mean");
    const ink_weight *logvar = ink_verifier_find(v, "vae.encode.logvar");
    if (!mean && !logvar) return INK_OK;
    const int64_t scale = v->model->vae.scale;
    if (!image || image->shape.rank != 3 || image->shape.dim[0] != 3 || image->shape.dim[1] % scale ||
        image->shape.dim[2] % scale || ink_shape_count(&image->shape) < 1) {
        ink_verifier_skip(v, mean ? mean : logvar,
                          "it needs vae.encode.image [3, rows, columns] in multiples of the VAE's scale");
        return INK_OK;
    }
    static const char *const outputs[] = {"mean", "logvar"};
    ink_executable e;
    ink_status status = ink_executable_init(&e, v->model->backend, error);
    if (status == INK_OK) {
        ink_vae_record_encoder(e.graph, &v->model->vae, ink_model_vae_weights(v->model), image->shape.dim[1],
                               image->shape.dim[2]);
        status = run(&e, image, "signal", outputs, 2, error);
    }
    if (status == INK_OK) status = compare_planes(v, &e, "mean", mean, error);
    if (status == INK_OK) status = compare_planes(v, &e, "logvar", logvar, error);
    ink_executable_fini(&e);
    return status;
}

ink_status ink_verify_vae(ink_verifier *v, ink_error *error) {
    INK_TRY(verify_decode(v, error));
    return verify_encode(v, error);
}
