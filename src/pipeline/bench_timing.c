#include "pipeline/bench_timing.h"

#include "base/clock.h"
#include "weights/synthetic.h"

#include <stdlib.h>

/* As many as the denoising loop hands over at a time. */
enum { submitted_together = 5 };

ink_status ink_fence_create(ink_backend *backend, ink_buffer **fence, ink_error *error) {
    const ink_shape one = ink_shape1(1);
    return ink_buffer_create(backend, INK_F32, &one, fence, error);
}

ink_status ink_fence_wait(ink_buffer *fence, ink_error *error) {
    float value;
    return ink_buffer_read(fence, &value, sizeof value, error);
}

ink_status ink_time_runs(ink_program *program, ink_buffer *fence, int64_t first, int count, int64_t steps,
                         const ink_run_control *control, double *seconds, ink_error *error) {
    const double begin = ink_clock_seconds();
    for (int i = 0; i < count; i++) {
        INK_TRY(ink_program_run(program, (first + i) % steps, control, error));
        if ((i + 1) % submitted_together == 0 || i + 1 == count) INK_TRY(ink_program_submit(program, error));
    }
    INK_TRY(ink_fence_wait(fence, error));
    *seconds = (ink_clock_seconds() - begin) / count;
    return INK_OK;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double ink_median(double *values, size_t n) {
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

void ink_fill_activations(float *values, size_t n) {
    static const float width = 3.4641016f; /* of the uniform distribution with variance 1 */
    for (size_t i = 0; i < n; i++) {
        const uint64_t bits = ink_synthetic_bits(1, i / 4) >> (16 * (i % 4)) & 0xFFFFu;
        values[i] = ink_synthetic_value((uint32_t)bits, width / 65536, -width / 2);
    }
}
