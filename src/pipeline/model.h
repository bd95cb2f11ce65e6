/*
 * Inside of an ink_model. Not for other rooms.
 */
#ifndef INK_PIPELINE_MODEL_H
#define INK_PIPELINE_MODEL_H

#include "backend/backend.h"
#include "diffusion/schedule.h"
#include "models/text_encoder.h"
#include "models/transformer.h"
#include "models/vae.h"
#include "pipeline/observe.h"
#include "text/tokenizer.h"
#include "weights/weights.h"

#include <pthread.h>

enum { ink_model_components = 3 };

typedef struct ink_model_component_info {
    const char *name; /* folder: "text_encoder", "transformer", "vae" */
    ink_weights *weights;
    char precision[64];
    int64_t parameters, used, tensors, bytes;
} ink_model_component_info;

struct ink_model {
    char *path; /* the folder */
    ink_backend *backend;
    ink_tokenizer *tokenizer;
    ink_text_encoder_config text_encoder;
    ink_transformer_config transformer;
    ink_vae_config vae;
    ink_schedule_config schedule;
    ink_model_component_info components[ink_model_components]; /* text encoder, transformer, VAE */
    int default_width, default_height, default_steps;
    double default_guidance;
    char *default_negative_prompt;
    bool synthetic;
    ink_log_fn log;
    void *log_user;
    pthread_mutex_t lock;         /* held by whoever computes */
    struct ink_kept *kept;        /* programs of the picture before; nullable (kept.h) */
    const ink_observer *observer; /* of the one who holds the lock: told of every operation; nullable */
    bool lock_ready;
};

static inline ink_weights *ink_model_text_weights(const ink_model *m) {
    return m->components[0].weights;
}
static inline ink_weights *ink_model_transformer_weights(const ink_model *m) {
    return m->components[1].weights;
}
static inline ink_weights *ink_model_vae_weights(const ink_model *m) {
    return m->components[2].weights;
}

/* Side of the squares that picture sizes must be multiples of, in pixels: VAE scale times patch size. */
int64_t ink_model_size_step(const ink_model *model);

/* Tells the model's log, if there is one. */
void ink_model_log(const ink_model *model, ink_log_level level, const char *format, ...) INK_PRINTF(3, 4);

/* Counts tensors, parameters, bytes and precisions of the components, and what text-to-image uses of them.
 * Fails if a tensor that is needed is missing or has another shape. */
ink_status ink_model_count(ink_model *model, ink_error *error);

/* Whether programs stay from one picture to the next (kept.h). */
static inline bool ink_keeps(const ink_model *model) {
    return model->backend->api->keeps_programs;
}

#endif
