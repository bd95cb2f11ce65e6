/*
 * The backend interface: every function hands its work to the worker thread and catches what MLX throws.
 */
#include "backend/mlx/program.h"

#include "mlx/version.h"

#include <new>

namespace ink {

static backend &of(ink_backend *b) {
    return *static_cast<backend *>(b);
}
static buffer &of(ink_buffer *b) {
    return *static_cast<buffer *>(b);
}
static program &of(ink_program *p) {
    return *static_cast<program *>(p);
}

/* ---- the functions of the table; each hands its work to the worker ---- */

static void backend_destroy(ink_backend *base) {
    backend &b = of(base);
    b.thread->call(nullptr, [&] {
        b.lowered.reset();
        return INK_OK;
    });
    delete &b;
}

static const char *backend_describe(const ink_backend *base) {
    return static_cast<const backend *>(base)->description.c_str();
}

static const char *backend_note(const ink_backend *base) {
    const std::string &note = static_cast<const backend *>(base)->note;
    return note.empty() ? nullptr : note.c_str();
}

static const char *backend_precision(const ink_backend *base) {
    return static_cast<const backend *>(base)->how.activation == mx::bfloat16 ? "bf16" : "f32";
}

static ink_status buffer_create(ink_backend *base, ink_dtype dtype, const ink_shape *shape, ink_buffer **out,
                                ink_error *error) {
    backend &owner = of(base);
    const int64_t count = ink_shape_count(shape);
    size_t bytes = 0;
    if (count <= 0 || !ink_size_mul(static_cast<size_t>(count), ink_dtype_bytes(dtype), &bytes)) {
        char text[INK_SHAPE_TEXT_BYTES];
        return ink_fail(error, INK_ERROR_INTERNAL, "a buffer cannot have the shape %s",
                        ink_shape_text(shape, text));
    }
    return owner.thread->call(error, [&] {
        check_fits(dtype, *shape);
        auto made = std::make_unique<buffer>();
        made->api = base->api;
        made->dtype = dtype;
        made->shape = *shape;
        made->owner = &owner;
        made->value = mx::zeros(shape_of(*shape), dtype_of(dtype));
        *out = made.release();
        return INK_OK;
    });
}

static void buffer_destroy(ink_buffer *base) {
    buffer &b = of(base);
    b.owner->thread->call(nullptr, [&] {
        b.owner->pending.erase(&b);
        delete &b;
        return INK_OK;
    });
}

static ink_status buffer_write(ink_buffer *base, const void *data, size_t bytes, ink_error *error) {
    (void)bytes;
    buffer &b = of(base);
    return b.owner->thread->call(error, [&] {
        b.value = array_copy(data, base->dtype, base->shape);
        b.owner->pending.erase(&b);
        return INK_OK;
    });
}

static ink_status buffer_read(ink_buffer *base, void *data, size_t bytes, ink_error *error) {
    buffer &b = of(base);
    return b.owner->thread->call(error, [&] {
        evaluate_pending(*b.owner);
        mx::array whole = mx::contiguous(*b.value);
        whole.eval();
        std::memcpy(data, whole.data<char>(), bytes);
        return INK_OK;
    });
}

static ink_status compile(ink_backend *base, const ink_graph *graph, ink_program **out, ink_error *error) {
    backend &owner = of(base);
    return owner.thread->call(error, [&] {
        *out = compile_program(owner, graph).release();
        return INK_OK;
    });
}

static void program_destroy(ink_program *base) {
    program &p = of(base);
    p.owner->thread->call(nullptr, [&] {
        delete &p;
        return INK_OK;
    });
}

static ink_status bind(ink_program *base, const char *slot, ink_buffer *b, ink_error *error) {
    program &p = of(base);
    return p.owner->thread->call(error, [&] { return bind_slot(p, slot, &of(b), error); });
}

static ink_status run(ink_program *base, int64_t step, const ink_run_control *control, ink_error *error) {
    program &p = of(base);
    return p.owner->thread->call(error, [&] { return run_program(p, step, control, error); });
}

static ink_status submit(ink_program *base, ink_error *error) {
    program &p = of(base);
    return p.owner->thread->call(error, [&] {
        submit_program(p);
        return INK_OK;
    });
}

static int64_t finished(ink_program *base) {
    program &p = of(base);
    int64_t runs = 0;
    p.owner->thread->call(nullptr, [&] {
        runs = finished_runs(p);
        return INK_OK;
    });
    return runs;
}

static size_t program_bytes(const ink_program *base) {
    return static_cast<const program *>(base)->constants->bytes();
}

static const ink_backend_api api = {
    .name = "mlx",
    .synchronous = false,
    .destroy = backend_destroy,
    .describe = backend_describe,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .compile = compile,
    .program_destroy = program_destroy,
    .bind = bind,
    .run = run,
    .program_bytes = program_bytes,
    .submit = submit,
    .finished = finished,
    .note = backend_note,
    .precision = backend_precision,
    .profile = nullptr,
    .makes_synthetic = false,
    .keeps_programs = false,
    .memory = nullptr,
};

/* ---- making a backend ---- */

static bool is(const char *text, const char *word) {
    return text && std::strcmp(text, word) == 0;
}

/* The index of `text` in a list of words; 0 for NULL. */
static ink_status choose(const char *what, const char *text, std::initializer_list<const char *> words,
                         int *chosen, ink_error *error) {
    *chosen = 0;
    if (!text) return INK_OK;
    std::string known;
    for (const char *word : words) {
        if (is(text, word)) return INK_OK;
        (*chosen)++;
        known += (known.empty() ? "" : ", ") + std::string(word);
    }
    return ink_fail(error, INK_ERROR_ARGUMENT, "%s '%.32s' is not known; there are: %s", what, text,
                    known.c_str());
}

static std::string device_name() {
    if (mx::default_device() == mx::Device::cpu) return "CPU";
    const auto &info = mx::device_info(mx::default_device());
    const auto name = info.find("device_name");
    return name == info.end() ? "GPU" : std::get<std::string>(name->second);
}

static ink_status configure(backend &b, const ink_mlx_settings &wanted, ink_error *error) {
    int fused, traced, precision;
    INK_TRY(choose("fused modulate", wanted.fused_modulate, {"auto", "on", "off"}, &fused, error));
    INK_TRY(choose("compile", wanted.compile, {"auto", "on", "off"}, &traced, error));
    INK_TRY(choose("precision", wanted.precision, {"f32", "bf16"}, &precision, error));
    settings &how = b.how;
    how.metal = mx::metal::is_available() && mx::default_device() == mx::Device::gpu;
    how.compiled = traced == 1 || (traced == 0 && how.metal);
    how.fused_modulate = fused == 1 && how.metal;
    how.page_views = wanted.page_views || how.metal;
    const bool bf16 = wanted.precision ? precision == 1 : how.metal;
    how.activation = bf16 ? mx::bfloat16 : mx::float32;
    if (fused == 1 && !how.metal)
        b.note = "fused modulate does nothing here: it is a Metal kernel, and MLX runs on the CPU";
    char most[ink_bytes_text_size];
    if (wanted.max_ram) b.lowered = std::make_unique<limits>(static_cast<size_t>(wanted.max_ram), how.metal);
    b.description = std::string("mlx: ") + mx::version() + " on " + device_name() + ", " +
                    (bf16 ? "bf16" : "f32") + (how.compiled ? ", compiled" : "") +
                    (how.fused_modulate ? ", fused modulate" : "") +
                    (wanted.max_ram ? std::string(", at most ") + ink_bytes_text(wanted.max_ram, most) : "");
    return INK_OK;
}

static ink_status create(const ink_mlx_settings &wanted, ink_backend **out, ink_error *error) noexcept {
    try {
        auto b = std::make_unique<backend>();
        b->api = &api;
        b->thread = std::make_unique<worker>();
        INK_TRY(b->thread->call(error, [&] { return configure(*b, wanted, error); }));
        *out = b.release();
        return INK_OK;
    } catch (...) {
        return fail_from_exception(error);
    }
}

} // namespace ink

ink_status ink_mlx_backend_create_with(const ink_mlx_settings *wanted, ink_backend **backend,
                                       ink_error *error) {
    *backend = nullptr;
    return ink::create(*wanted, backend, error);
}

ink_status ink_mlx_backend_create(const ink_backend_options *options, ink_backend **backend,
                                  ink_error *error) {
    *backend = nullptr;
    ink_mlx_settings wanted = {};
    wanted.precision = options->precision;
    wanted.fused_modulate = options->fused_modulate;
    wanted.max_ram = options->max_ram;
    return ink::create(wanted, backend, error);
}
