/*
 * What laziness is worth on MLX: the denoising loop with one evaluation at its end, beside the ways in which
 * it is easily spoiled. Prints the table of docs/lazy-evaluation.md.
 *
 * usage: bench_mlx_lazy [MODEL [SIDE [REPEATS]]]
 */
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include <pthread.h>

extern "C" {
#include "backend/mlx/mlx.h"
#include "pipeline/denoiser.h"
#include "pipeline/prompts.h"
}

#include "mlx/mlx.h"

namespace {

enum { most_steps = 16 };

struct setup {
    ink_model *model = nullptr;
    ink_prompts prompts = {};
    ink_denoiser denoiser = {};
    std::vector<float> latents, sigmas;
};

/* Ends the program with the error's sentence. */
void need(ink_status status, const ink_error &error) {
    if (status == INK_OK) return;
    std::fprintf(stderr, "bench_mlx_lazy: %s\n", error.message);
    std::exit(1);
}

void open(setup &s, const char *path, int side, const char *compile) {
    ink_error error = {};
    ink_model_options options;
    ink_model_options_init(&options);
    options.path = path;
    options.backend = "mlx";
    need(ink_model_open(&options, &s.model, &error), error);
    ink_mlx_settings settings = {};
    settings.compile = compile;
    ink_backend_destroy(s.model->backend);
    need(ink_mlx_backend_create_with(&settings, &s.model->backend, &error), error);

    const char *texts[] = {"a cat", " "};
    need(ink_prompts_encode(s.model, texts, 2, ink_default_kept_tokens, nullptr, nullptr, &s.prompts, &error),
         error);
    const int64_t grid = side / ink_model_size_step(s.model);
    s.sigmas.resize(most_steps + 1);
    ink_schedule_sigmas(&s.model->schedule, grid * grid, most_steps, s.sigmas.data());
    ink_denoiser_options d = {};
    d.pictures = 1;
    d.grid_height = d.grid_width = grid;
    d.steps = most_steps;
    d.sigmas = s.sigmas.data();
    d.guidance = 4;
    d.progress_every = 1000;
    need(ink_denoiser_init(&s.denoiser, s.model, &s.prompts, &d, &error), error);
    s.latents.assign(ink_denoiser_latent_bytes(&s.denoiser) / sizeof(float), 0.5f);
    need(ink_denoiser_prepare(&s.denoiser, nullptr, &error), error);
}

void close(setup &s) {
    ink_denoiser_fini(&s.denoiser);
    ink_prompts_fini(&s.prompts);
    ink_model_close(s.model);
}

enum class way { lazy, submitted, evaluated, cleared, written, read_back };

/* One step's scalars as an engine has them that keeps them outside: the table comes from the host in each
 * step. */
void hand_in_scalars(setup &s, bool read_back) {
    ink_error error = {};
    static const char *const names[] = {"dt", "guidance"};
    for (const char *name : names) {
        ink_buffer *buffer = ink_executable_buffer(&s.denoiser.step, name);
        std::vector<float> table(most_steps);
        for (int i = 0; i < most_steps; i++) {
            table[static_cast<size_t>(i)] =
                std::strcmp(name, "dt") == 0 ? s.sigmas[i + 1] - s.sigmas[i] : 4.0f;
        }
        if (read_back) { /* as x.item() does: the value is wanted on the host, so everything before it is
                            computed */
            std::vector<float> latents(s.latents.size());
            need(ink_denoiser_read(&s.denoiser, latents.data(), &error), error);
            need(ink_buffer_read(buffer, table.data(), most_steps * sizeof(float), &error), error);
        }
        need(ink_buffer_write(buffer, table.data(), most_steps * sizeof(float), &error), error);
    }
}

struct cost {
    double seconds, cpu_seconds, peak_mib;
};

double now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/* `steps` steps, from the latents written to the latents read. */
cost run(setup &s, int steps, way how) {
    ink_error error = {};
    std::vector<float> out(s.latents.size());
    need(ink_denoiser_write(&s.denoiser, s.latents.data(), &error), error);
    const double before = static_cast<double>(mlx::core::get_active_memory());
    mlx::core::reset_peak_memory();
    const double begin = now(CLOCK_MONOTONIC), cpu_begin = now(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < steps; i++) {
        if (how == way::written || how == way::read_back) hand_in_scalars(s, how == way::read_back);
        need(ink_program_run(s.denoiser.step.program, i, nullptr, &error), error);
        if (how == way::submitted && i % 5 == 4)
            need(ink_program_submit(s.denoiser.step.program, &error), error);
        if (how == way::evaluated || how == way::cleared)
            need(ink_denoiser_read(&s.denoiser, out.data(), &error), error);
        if (how == way::cleared) mlx::core::clear_cache();
    }
    need(ink_denoiser_read(&s.denoiser, out.data(), &error), error);
    return {now(CLOCK_MONOTONIC) - begin, now(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin,
            (static_cast<double>(mlx::core::get_peak_memory()) - before) / (1 << 20)};
}

struct row {
    const char *what;
    way how;
    int steps;
    bool traced;
    std::vector<cost> costs;
};

/* The lowest of all repeats: what other programs on the machine add is never negative. */
double lowest(const row &r, double cost::*part) {
    double least = r.costs.front().*part;
    for (const cost &c : r.costs) {
        least = std::min(least, c.*part);
    }
    return least;
}

void print(const row &r, const row &lazy) {
    const double seconds = lowest(r, &cost::seconds), cpu = lowest(r, &cost::cpu_seconds);
    const double share = cpu / r.steps / (lowest(lazy, &cost::cpu_seconds) / lazy.steps);
    std::printf("| %s | %d | %.3f | %.3f | %.2f | %+.1f %% | %.1f |\n", r.what, r.steps, seconds, cpu,
                1e3 * cpu / r.steps, 100 * (share - 1), lowest(r, &cost::peak_mib));
}

} // namespace

int main(int count, char **arguments) {
    const char *path = count > 1 ? arguments[1] : "models/emoji";
    const int side = count > 2 ? std::atoi(arguments[2]) : 128;
    const int repeats = count > 3 ? std::atoi(arguments[3]) : 5;
    std::vector<row> rows;
    for (int steps = 1; steps <= most_steps; steps *= 2) {
        rows.push_back({"lazy, one evaluation at the end", way::lazy, steps, false, {}});
    }
    const size_t lazy = rows.size() - 1;
    rows.push_back({"submitted every 5 steps (the default)", way::submitted, most_steps, false, {}});
    rows.push_back({"evaluated every step", way::evaluated, most_steps, false, {}});
    rows.push_back({"evaluated, and the cache cleared, every step", way::cleared, most_steps, false, {}});
    rows.push_back({"scalars handed in by the host, one evaluation", way::written, most_steps, false, {}});
    rows.push_back({"scalars read back to the host every step", way::read_back, most_steps, false, {}});
    rows.push_back({"lazy, traced by mlx::core::compile", way::lazy, most_steps, true, {}});

    setup plain, traced;
    open(plain, path, side, "off");
    open(traced, path, side, "on");
    run(plain, 1, way::lazy);
    run(traced, 1, way::lazy);
    for (int i = 0; i < repeats; i++) { /* in turn: a busy moment then falls on all of them */
        for (row &r : rows) {
            r.costs.push_back(run(r.traced ? traced : plain, r.steps, r.how));
        }
    }
    std::printf("%s, %d x %d, two passes, lowest of %d; %s\n\n", path, side, side, repeats,
                ink_model_backend(plain.model));
    std::printf("| loop | steps | seconds | CPU seconds | CPU ms per step | against lazy | peak MiB |\n"
                "|---|---:|---:|---:|---:|---:|---:|\n");
    for (const row &r : rows) {
        print(r, rows[lazy]);
    }
    close(plain);
    close(traced);
    return 0;
}
