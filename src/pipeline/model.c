/*
 * Opening a model: configuration files, weights, tokenizer, backend.
 */
#include "pipeline/model.h"

#include "base/config.h"
#include "base/versioned.h"
#include "pipeline/kept.h"
#include "weights/hub.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { path_bytes = 4096 };

int64_t ink_model_size_step(const ink_model *model) {
    return model->vae.scale * model->transformer.patch_size;
}

void ink_model_log(const ink_model *model, ink_log_level level, const char *format, ...) {
    if (!model->log) return;
    char message[INK_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    model->log(model->log_user, level, message);
}

static ink_status component_path(const ink_model *model, const char *name, char path[path_bytes],
                                 ink_error *error) {
    const int n = snprintf(path, path_bytes, "%s/%s", model->path, name);
    if (n > 0 && n < path_bytes) return INK_OK;
    return ink_fail(error, INK_ERROR_ARGUMENT, "the path of the model is longer than %d bytes", path_bytes);
}

static ink_status read_configs(ink_model *m, ink_error *error) {
    char path[path_bytes];
    INK_TRY(component_path(m, "text_encoder", path, error));
    INK_TRY(ink_text_encoder_config_read(path, &m->text_encoder, error));
    INK_TRY(component_path(m, "transformer", path, error));
    INK_TRY(ink_transformer_config_read(path, &m->transformer, error));
    INK_TRY(component_path(m, "vae", path, error));
    INK_TRY(ink_vae_config_read(path, &m->vae, error));
    INK_TRY(component_path(m, "scheduler", path, error));
    INK_TRY(ink_schedule_config_read(path, &m->schedule, error));
    if (m->transformer.joint_attention_dim != m->text_encoder.hidden_size) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: the transformer wants text features of %" PRId64
                        ", the text encoder makes %" PRId64,
                        m->path, m->transformer.joint_attention_dim, m->text_encoder.hidden_size);
    }
    if (m->transformer.out_channels != m->vae.z_dim) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: the transformer makes latents of %" PRId64 " channels, the VAE wants %" PRId64,
                        m->path, m->transformer.out_channels, m->vae.z_dim);
    }
    return INK_OK;
}

/* The model's own defaults; without the file those of the reference's model card, in fewer steps. */
static ink_status read_defaults(ink_model *m, ink_error *error) {
    const int step = (int)ink_model_size_step(m);
    m->default_width = m->default_height = 1024 / step * step;
    m->default_steps = 10;
    m->default_guidance = 4;
    const char *negative = " ";
    char path[path_bytes];
    INK_TRY(component_path(m, "inkstone.json", path, error));
    ink_config file = {0};
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    if (exists) {
        INK_TRY(ink_config_open(m->path, "inkstone.json", &file, error));
        m->default_width = (int)ink_config_int(&file, "width", step, 8192, m->default_width);
        m->default_height = (int)ink_config_int(&file, "height", step, 8192, m->default_height);
        m->default_steps = (int)ink_config_int(&file, "steps", 1, 1000, m->default_steps);
        m->default_guidance = ink_config_double(&file, "guidance", 0, 100, m->default_guidance);
        negative = ink_config_text(&file, "negative_prompt", negative);
    }
    m->default_negative_prompt = strdup(negative);
    const ink_status status = exists ? ink_config_close(&file, error) : INK_OK;
    if (status == INK_OK && !m->default_negative_prompt)
        return ink_fail_memory(error, "a prompt", strlen(negative));
    return status;
}

static ink_status open_weights(ink_model *m, ink_error *error) {
    static const char *const names[ink_model_components] = {"text_encoder", "transformer", "vae"};
    static const char *const stems[ink_model_components] = {"model", "diffusion_pytorch_model",
                                                            "diffusion_pytorch_model"};
    for (int i = 0; i < ink_model_components; i++) {
        m->components[i].name = names[i];
        if (m->synthetic) {
            INK_TRY(ink_weights_create_synthetic(&m->components[i].weights, error));
            continue;
        }
        char path[path_bytes];
        INK_TRY(component_path(m, names[i], path, error));
        INK_TRY(ink_weights_open(path, stems[i], &m->components[i].weights, error));
    }
    return m->synthetic ? INK_OK : ink_text_encoder_strip_names(ink_model_text_weights(m), error);
}

/* Leaves the later blocks of the transformer out. */
static ink_status cut_layers(ink_model *m, int layers, ink_error *error) {
    if (layers == 0) return INK_OK;
    if (layers < 0 || layers > m->transformer.num_layers) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "%d layers are out of range: the transformer has %" PRId64,
                        layers, m->transformer.num_layers);
    }
    ink_transformer_config_cut(&m->transformer, layers);
    return INK_OK;
}

static ink_status open_parts(ink_model *m, const ink_model_options *o, ink_error *error) {
    INK_TRY(ink_hub_find(o->path, o->hub_cache, &m->path, error));
    INK_TRY(read_configs(m, error));
    INK_TRY(cut_layers(m, o->layers, error));
    INK_TRY(read_defaults(m, error));
    INK_TRY(ink_tokenizer_open(m->path, &m->tokenizer, error));
    if (ink_tokenizer_vocab_size(m->tokenizer) > m->text_encoder.vocab_size) {
        return ink_fail(error, INK_ERROR_FORMAT,
                        "%s: the tokenizer makes ids up to %" PRId64 ", the text encoder knows %" PRId64
                        " tokens",
                        m->path, ink_tokenizer_vocab_size(m->tokenizer) - 1, m->text_encoder.vocab_size);
    }
    INK_TRY(open_weights(m, error));
    INK_TRY(ink_model_count(m, error));
    INK_TRY(ink_backend_create(o->backend,
                               &(ink_backend_options){.threads = o->threads,
                                                      .cpu_level = o->cpu_level,
                                                      .precision = o->precision,
                                                      .fused_modulate = o->fused_modulate,
                                                      .max_ram = o->max_ram,
                                                      .max_vram = o->max_vram},
                               &m->backend, error));
    for (int i = 0; m->backend->api->makes_synthetic && i < ink_model_components; i++) {
        ink_weights_leave_unfilled(m->components[i].weights);
    }
    return INK_OK;
}

/* Says which options have no effect. A backend that writes notes knows them all. */
static void warn(const ink_model *m, const ink_model_options *o) {
    const char *note = ink_backend_note(m->backend);
    if (o->max_vram && !m->backend->api->memory)
        ink_model_log(
            m, INK_LOG_WARNING,
            "max vram does nothing here: it is for devices with memory of their own, and '%s' has none",
            m->backend->api->name);
    if (note) ink_model_log(m, INK_LOG_WARNING, "%s", note);
    if (m->backend->api->note) return;
    if (o->fused_modulate && strcmp(o->fused_modulate, "on") == 0)
        ink_model_log(m, INK_LOG_WARNING,
                      "fused modulate does nothing here: it is a kernel of the backend mlx on Metal");
    if (o->max_ram)
        ink_model_log(m, INK_LOG_WARNING,
                      "max ram does nothing here: it sets limits of the backend mlx, and '%s' has none",
                      m->backend->api->name);
}

void ink_model_options_init(ink_model_options *options) {
    *options = (ink_model_options){.struct_size = sizeof *options};
}

ink_status ink_model_open(const ink_model_options *given, ink_model **model, ink_error *error) {
    if (!model) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_model_open: model is NULL");
    *model = NULL;
    if (!given) return ink_fail(error, INK_ERROR_ARGUMENT, "ink_model_open: options is NULL");
    ink_model_options options;
    ink_model_options_init(&options);
    INK_TRY(ink_struct_copy(&options, sizeof options, given, given->struct_size, "ink_model_options", error));
    if (!options.path || !options.path[0]) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "ink_model_open: no path is given; name a model folder");
    }
    if (options.threads < 0 || options.threads > 1024) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "%d threads are out of range: 0 (one per processor) to 1024", options.threads);
    }
    if (options.max_ram < 0) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "%" PRId64 " bytes of max_ram are out of range: 0 (no limit) or more",
                        options.max_ram);
    }
    if (options.max_vram < 0) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "%" PRId64 " bytes of max_vram are out of range: 0 (no limit) or more",
                        options.max_vram);
    }
    ink_model *m = calloc(1, sizeof *m);
    if (!m) return ink_fail_memory(error, "a model", sizeof *m);
    m->log = options.log;
    m->log_user = options.log_user;
    m->synthetic = options.synthetic;
    ink_status status = INK_OK;
    if (pthread_mutex_init(&m->lock, NULL) == 0)
        m->lock_ready = true;
    else
        status = ink_fail(error, INK_ERROR_MEMORY, "a lock could not be made");
    if (status == INK_OK) status = open_parts(m, &options, error);
    if (status != INK_OK) {
        ink_model_close(m);
        return status;
    }
    ink_model_log(m, INK_LOG_DEBUG, "%s; %s", m->path, ink_backend_describe(m->backend));
    warn(m, &options);
    *model = m;
    return INK_OK;
}

void ink_model_close(ink_model *m) {
    if (!m) return;
    ink_kept_drop(m);
    ink_backend_destroy(m->backend);
    for (int i = 0; i < ink_model_components; i++) {
        ink_weights_close(m->components[i].weights);
    }
    ink_tokenizer_close(m->tokenizer);
    if (m->lock_ready) pthread_mutex_destroy(&m->lock);
    free(m->default_negative_prompt);
    free(m->path);
    free(m);
}

void ink_model_defaults(const ink_model *m, ink_defaults *defaults) {
    *defaults = (ink_defaults){.width = m->default_width,
                               .height = m->default_height,
                               .steps = m->default_steps,
                               .guidance = m->default_guidance,
                               .negative_prompt = m->default_negative_prompt};
}

const char *ink_model_path(const ink_model *m) {
    return m->path;
}

const char *ink_model_backend(const ink_model *m) {
    return ink_backend_describe(m->backend);
}

const char *ink_model_precision(const ink_model *m) {
    return ink_backend_precision(m->backend);
}

bool ink_model_component(const ink_model *m, size_t i, ink_component *component) {
    if (i >= ink_model_components) return false;
    const ink_model_component_info *info = &m->components[i];
    *component = (ink_component){.name = info->name,
                                 .precision = info->precision,
                                 .parameters = info->parameters,
                                 .used = info->used,
                                 .tensors = info->tensors,
                                 .bytes = info->bytes};
    return true;
}
