#include "cli/request.h"

#include "cli/interrupt.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

static void on_progress(void *user, const ink_progress *state) {
    cli_progress *progress = user;
    cli_progress_report(progress, state);
    if (progress->trace) cli_trace_progress(progress->trace, state);
}

static void on_operation(void *user, const ink_operation *operation) {
    cli_trace_operation(((cli_progress *)user)->trace, operation);
}

static bool should_cancel(void *user) {
    cli_progress_tick(user);
    return cli_noted_signal() != 0;
}

/* 32 bits, because no more of a seed count. */
static int64_t random_seed(void) {
    uint32_t seed;
    FILE *urandom = fopen("/dev/urandom", "rb");
    const bool read = urandom && fread(&seed, sizeof seed, 1, urandom) == 1;
    if (urandom) fclose(urandom);
    if (read) return seed;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t mixed = ((uint64_t)now.tv_nsec ^ (uint64_t)now.tv_sec << 20 ^ (uint64_t)getpid() << 40) *
                           UINT64_C(0x9E3779B97F4A7C15);
    return (int64_t)(mixed >> 32);
}

void cli_request_init(const cli_arguments *a, cli_progress *progress, ink_request *q) {
    ink_request_init(q);
    q->negative_prompt = a->text[CLI_OPTION_NEGATIVE_PROMPT];
    q->width = (int)a->integer[CLI_OPTION_WIDTH];
    q->height = (int)a->integer[CLI_OPTION_HEIGHT];
    if (a->given[CLI_OPTION_GUIDANCE]) q->guidance = a->number[CLI_OPTION_GUIDANCE];
    const bool given = a->given[CLI_OPTION_SEED] && a->integer[CLI_OPTION_SEED] >= 0;
    q->seed = given ? a->integer[CLI_OPTION_SEED] : random_seed();
    const char *noise = a->text[CLI_OPTION_NOISE];
    q->noise = noise && strcmp(noise, "bf16") == 0 ? INK_NOISE_BF16 : INK_NOISE_F32;
    q->progress_every = (int)a->integer[CLI_OPTION_PROGRESS_EVERY];
    q->on_progress = on_progress;
    q->should_cancel = should_cancel;
    if (progress->trace && progress->trace->path) q->on_operation = on_operation;
    q->user = progress;
}
