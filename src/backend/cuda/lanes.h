/*
 * What may run beside something else: the launches of a program in two lanes, each in the order of its list.
 * Few rows are no work for a whole device; where a program has a chain of such launches next to one of many
 * rows (the text beside the image), they go to lane 1, and each lane waits for the other where it must.
 */
#ifndef INK_BACKEND_CUDA_LANES_H
#define INK_BACKEND_CUDA_LANES_H

#include "backend/cuda/lower.h"

/* Chooses the launches of lane 1, and keeps what it uses apart from what lane 0 may use meanwhile. Before
 * storages are placed, and after their lives are known. */
void ink_cuda_lanes_choose(ink_cuda_lowered *lowered);

/* Finds what each launch waits for. After storages are placed. */
void ink_cuda_lanes_order(ink_cuda_lowered *lowered);

/* May the two not run at the same time, as one writes what the other reads or writes? */
bool ink_cuda_lanes_conflict(const ink_cuda_lowered *lowered, int32_t i, int32_t j);

/* Launches [*begin, *end) that a program repeats and that write to nothing but the arena: from one at which
 * lane 0 waits for lane 1 to the next, in the middle. False if there is none. */
bool ink_cuda_lanes_section(const ink_cuda_lowered *lowered, int32_t *begin, int32_t *end);

#endif
