/*
 * What a program has on the device between runs: its arena and its weights. It takes them before its first
 * run and keeps them; if there is not enough, others that ran longest ago give theirs up, and take them again
 * before their next run. If that is not enough either and there is a limit (--max-vram), weights are
 * streamed.
 */
#ifndef INK_BACKEND_CUDA_SETTLE_H
#define INK_BACKEND_CUDA_SETTLE_H

#include "backend/cuda/program.h"

/* Takes what the program needs, or nothing with a sentence that says how much that would be. */
ink_status ink_cuda_settle(ink_cuda_program *program, ink_error *error);
/* Gives all of it back; it must be unlinked. */
void ink_cuda_unsettle(ink_cuda_program *program);

/* Frees what other programs hold until so many bytes can be allocated, or nobody else holds any. `except` is
 * nullable. Returns how many there are. */
size_t ink_cuda_make_room(ink_cuda_context *context, size_t bytes, const ink_cuda_program *except);

#endif
