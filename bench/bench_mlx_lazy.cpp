/*
 * What laziness is worth on MLX: the denoising loop with one evaluation at its end, beside the ways in which
 * it is easily spoiled. Prints the tables of docs/lazy-evaluation.md.
 *
 * Machines are busy and change their clocks. So every loop runs in turn with a lazy one of 16 steps, and what
 * counts is the median of the ratios of such pairs; the first row, lazy against itself, shows how far that
 * can be trusted. Where the system lets a program count its instructions (Linux), those are shown too: they
 * hardly vary.
 *
 * usage: bench_mlx_lazy [MODEL [SIDE [REPEATS]]]
 */
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <vector>

#include <pthread.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/perf_event.h>
#include <sys/syscall.h>
#endif

extern "C" {
#include "backend/mlx/mlx.h"
#include "pipeline/denoiser.h"
#include "pipeline/prompts.h"
}

#include "mlx/mlx.h"

namespace {

constexpr int most_steps = 16;

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

/* What a run took; the last is of MLX's memory above what was there before. */
struct cost {
    double seconds, cpu_seconds, instructions, peak_mib;
};

double now(clockid_t clock) {
    timespec t;
    clock_gettime(clock, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/* Counts the instructions of this thread and of all that will be made, those of the system for them included
 * if it allows that. */
class instruction_counter {
  public:
    instruction_counter() {
#ifdef __linux__
        perf_event_attr attributes = {};
        attributes.size = sizeof attributes;
        attributes.type = PERF_TYPE_HARDWARE;
        attributes.config = PERF_COUNT_HW_INSTRUCTIONS;
        attributes.inherit = 1;
        for (int user_alone = 0; user_alone < 2 && file_ < 0; user_alone++) {
            attributes.exclude_kernel = user_alone != 0;
            file_ = static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
        }
#endif
    }
    ~instruction_counter() {
        if (file_ >= 0) ::close(file_);
    }
    instruction_counter(const instruction_counter &) = delete;
    instruction_counter &operator=(const instruction_counter &) = delete;

    double count() const {
        uint64_t n = 0;
        return file_ >= 0 && read(file_, &n, sizeof n) == sizeof n ? static_cast<double>(n) : 0;
    }

  private:
    int file_ = -1;
};

/* `steps` steps, from the latents written to the latents read. */
cost run(const instruction_counter &counter, setup &s, int steps, way how) {
    ink_error error = {};
    std::vector<float> out(s.latents.size());
    need(ink_denoiser_write(&s.denoiser, s.latents.data(), &error), error);
    const double before = static_cast<double>(mlx::core::get_active_memory());
    mlx::core::reset_peak_memory();
    const double begin = now(CLOCK_MONOTONIC), cpu_begin = now(CLOCK_PROCESS_CPUTIME_ID),
                 counted = counter.count();
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
            counter.count() - counted,
            (static_cast<double>(mlx::core::get_peak_memory()) - before) / (1 << 20)};
}

/* `lazy` is the lazy loop of most_steps that ran right before or after. */
struct pair {
    cost own, lazy;
};

struct row {
    const char *what;
    way how;
    int steps;
    bool traced;
    std::vector<pair> pairs;
};

/* The value below which a share of the values lies. */
double quantile(std::vector<double> values, double share) {
    std::sort(values.begin(), values.end());
    const double at = share * static_cast<double>(values.size() - 1);
    return values[static_cast<size_t>(
        std::lround(std::clamp(at, 0.0, static_cast<double>(values.size() - 1))))];
}

std::vector<double> per_step(const row &r, double cost::*part) {
    std::vector<double> values;
    for (const pair &p : r.pairs) {
        values.push_back(p.own.*part / r.steps);
    }
    return values;
}

/* Of a step against one of the lazy loop, in percent more. */
std::vector<double> against_lazy(const row &r, double cost::*part) {
    std::vector<double> values;
    for (const pair &p : r.pairs) {
        values.push_back(100 * (p.own.*part / r.steps / (p.lazy.*part / most_steps) - 1));
    }
    return values;
}

void print(const row &r) {
    const std::vector<double> ratios = against_lazy(r, &cost::cpu_seconds);
    /* The two order statistics between which the true median lies, 19 times of 20. */
    const double spread = 0.98 / std::sqrt(static_cast<double>(ratios.size()));
    std::printf("| %s | %d | %.2f | %.2f | %+.1f %% (%+.1f to %+.1f) ", r.what, r.steps,
                1e3 * quantile(per_step(r, &cost::seconds), 0.5),
                1e3 * quantile(per_step(r, &cost::cpu_seconds), 0.5), quantile(ratios, 0.5),
                quantile(ratios, 0.5 - spread), quantile(ratios, 0.5 + spread));
    if (r.pairs.front().own.instructions > 0)
        std::printf("| %.2f | %+.2f %% ", 1e-6 * quantile(per_step(r, &cost::instructions), 0.5),
                    quantile(against_lazy(r, &cost::instructions), 0.5));
    else
        std::printf("| | ");
    std::vector<double> peaks;
    for (const pair &p : r.pairs) {
        peaks.push_back(p.own.peak_mib);
    }
    std::printf("| %.1f |\n", quantile(peaks, 0.5));
}

/* One pair; which of both comes first changes from round to round. */
pair measure(const instruction_counter &counter, setup &plain, setup &s, const row &r, bool lazy_first) {
    pair p = {};
    if (lazy_first) p.lazy = run(counter, plain, most_steps, way::lazy);
    p.own = run(counter, s, r.steps, r.how);
    if (!lazy_first) p.lazy = run(counter, plain, most_steps, way::lazy);
    return p;
}

} // namespace

int main(int count, char **arguments) {
    const char *path = count > 1 ? arguments[1] : "models/emoji";
    const int side = count > 2 ? std::atoi(arguments[2]) : 128;
    const int repeats = count > 3 ? std::max(std::atoi(arguments[3]), 1) : 8;
    const instruction_counter counter; /* before any other thread */
    std::vector<row> rows = {{"lazy, one evaluation at the end", way::lazy, most_steps, false, {}}};
    for (int steps = most_steps / 2; steps >= 1; steps /= 2) {
        rows.push_back({"the same, of fewer steps", way::lazy, steps, false, {}});
    }
    rows.push_back({"submitted every 5 steps (the default)", way::submitted, most_steps, false, {}});
    rows.push_back({"evaluated every step", way::evaluated, most_steps, false, {}});
    rows.push_back({"evaluated, and the cache cleared, every step", way::cleared, most_steps, false, {}});
    rows.push_back({"scalars handed in by the host, one evaluation", way::written, most_steps, false, {}});
    rows.push_back({"scalars read back to the host every step", way::read_back, most_steps, false, {}});
    rows.push_back({"lazy, traced by mlx::core::compile", way::lazy, most_steps, true, {}});

    setup plain, traced;
    open(plain, path, side, "off");
    open(traced, path, side, "on");
    run(counter, plain, 1, way::lazy);
    run(counter, traced, 1, way::lazy);
    for (int i = 0; i < repeats; i++) {
        for (row &r : rows) {
            r.pairs.push_back(measure(counter, plain, r.traced ? traced : plain, r, i % 2 == 0));
        }
    }
    std::printf("%s, %d x %d, two passes, medians of %d pairs; %s\n\n", path, side, side, repeats,
                ink_model_backend(plain.model));
    std::printf(
        "| loop | steps | ms per step | CPU ms per step | CPU against lazy | million instructions per step "
        "| against lazy | peak MiB |\n|---|---:|---:|---:|---:|---:|---:|---:|\n");
    for (const row &r : rows) {
        print(r);
    }
    close(plain);
    close(traced);
    return 0;
}
