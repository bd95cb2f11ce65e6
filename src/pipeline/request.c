#include "pipeline/request.h"

#include "base/versioned.h"

#include <inttypes.h>
#include <math.h>

enum { max_side = 8192, max_steps = 1000, max_count = 64 };

/* The reference's table of rotary positions ends here. */
enum { max_position = 4096, max_text_tokens = 512 };

void ink_request_init(ink_request *request) {
    *request = (ink_request){.struct_size = sizeof *request, .guidance = -1, .count = 1};
}

static ink_status check_side(const char *name, int value, int step, ink_error *error) {
    if (value >= step && value <= max_side && value % step == 0) return INK_OK;
    if (value < step || value > max_side) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "%s %d is out of range: it must be a multiple of %d from %d to %d", name, value, step,
                        step, max_side / step * step);
    }
    return ink_fail(error, INK_ERROR_ARGUMENT, "%s %d is not a multiple of %d; the nearest are %d and %d",
                    name, value, step, value / step * step, value / step * step + step);
}

static ink_status check(const ink_model *model, ink_resolved_request *r, ink_error *error) {
    const ink_request *q = &r->request;
    const int step = (int)ink_model_size_step(model);
    INK_TRY(check_side("width", q->width, step, error));
    INK_TRY(check_side("height", q->height, step, error));
    if (q->steps < 1 || q->steps > max_steps) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "%d steps are out of range: 1 to %d", q->steps, max_steps);
    }
    if (!(q->guidance >= 0 && q->guidance <= 100)) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "guidance %g is out of range: 0 to 100", q->guidance);
    }
    if (q->count < 1 || q->count > max_count) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "%d pictures are out of range: 1 to %d", q->count,
                        max_count);
    }
    if (q->progress_every < 0 || q->progress_every > max_steps) {
        return ink_fail(error, INK_ERROR_ARGUMENT,
                        "progress every %d steps is out of range: 1 to %d, or 0 for the usual",
                        q->progress_every, max_steps);
    }
    if (q->seed < 0) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "seed %" PRId64 " is negative; choose one from 0 up",
                        q->seed);
    }
    if (q->noise != INK_NOISE_F32 && q->noise != INK_NOISE_BF16) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "noise %d is neither f32 nor bf16", (int)q->noise);
    }
    r->grid_width = q->width / step;
    r->grid_height = q->height / step;
    const int64_t half = (r->grid_width > r->grid_height ? r->grid_width : r->grid_height) / 2;
    if (half + max_text_tokens > max_position) {
        return ink_fail(error, INK_ERROR_ARGUMENT, "%d x %d pixels are more than the model has positions for",
                        q->width, q->height);
    }
    return INK_OK;
}

ink_status ink_request_resolve(const ink_model *model, const ink_request *given, ink_resolved_request *r,
                               ink_error *error) {
    *r = (ink_resolved_request){0};
    if (!model) return ink_fail(error, INK_ERROR_ARGUMENT, "the model is NULL");
    if (!given) return ink_fail(error, INK_ERROR_ARGUMENT, "the request is NULL");
    ink_request *q = &r->request;
    ink_request_init(q);
    INK_TRY(ink_struct_copy(q, sizeof *q, given, given->struct_size, "ink_request", error));
    if (!q->prompt) return ink_fail(error, INK_ERROR_ARGUMENT, "the request has no prompt");
    if (!q->negative_prompt) q->negative_prompt = model->default_negative_prompt;
    if (q->width == 0) q->width = model->default_width;
    if (q->height == 0) q->height = model->default_height;
    if (q->steps == 0) q->steps = model->default_steps;
    if (q->guidance < 0) q->guidance = model->default_guidance;
    r->passes = q->guidance > 1 ? 2 : 1;
    r->control = (ink_run_control){.cancelled = q->should_cancel, .user = q->user};
    return check(model, r, error);
}
