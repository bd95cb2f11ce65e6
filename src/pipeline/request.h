/*
 * A request after defaults and checks. Not for other rooms.
 */
#ifndef INK_PIPELINE_REQUEST_H
#define INK_PIPELINE_REQUEST_H

#include "backend/backend.h"
#include "pipeline/model.h"

typedef struct ink_resolved_request {
    ink_request request;             /* every field set */
    int64_t passes;                  /* 1, or 2 with guidance */
    int64_t grid_height, grid_width; /* image tokens */
    ink_run_control control;
} ink_resolved_request;

/* Copies the caller's request (of any known struct_size), fills in the model's defaults and checks every
 * field. Strings stay the caller's or the model's. */
ink_status ink_request_resolve(const ink_model *model, const ink_request *given,
                               ink_resolved_request *resolved, ink_error *error);

#endif
