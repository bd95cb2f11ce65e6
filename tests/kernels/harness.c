/*
 * Runs one trial of a case and judges it.
 */
#include "harness.h"

#include "backend/reference/reference.h"
#include "fence.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Guard bytes: NaN around inputs, so that a sum that runs over them shows; a number around what is written,
 * because a NaN that is read and written back leaves no trace. */
enum { input_guard = 0xFF, output_guard = 0xA5, scratch_poison = 0xFF };

/* Where denormals begin, a kernel may lose everything. */
static const double smallest_difference = 1e-37;

/* One way of running the kernel. */
typedef struct variant {
    int pool;
    bool inplace;
    int poison;
} variant;

/* The memory of one run's results; `result` is an output, or the slot of a store operation. */
typedef struct results {
    int n;
    fenced memory[most_results];
} results;

static bool fail(trial *t, const variant *v, const char *format, ...) INK_PRINTF(3, 4);

/* Writes "linear of cpu avx2, seed ...: inputs ...; variant: what is wrong". Returns false. */
static bool fail(trial *t, const variant *v, const char *format, ...) {
    size_t n = 0;
    n += (size_t)snprintf(t->message, message_bytes, "%s of %s, INK_KERNEL_SEED=%" PRIu64 ", inputs",
                          ink_op_name(t->which->op), t->subject->name, t->seed);
    for (int i = 0; t->node && i < t->node->n_inputs && n < message_bytes; i++) {
        char text[INK_SHAPE_TEXT_BYTES];
        n += (size_t)snprintf(t->message + n, message_bytes - n, " %s %s", ink_dtype_name(t->in[i].dtype),
                              t->in[i].shape.dim[0] ? ink_shape_text(&t->in[i].shape, text) : "absent");
    }
    if (v && n < message_bytes) {
        n += (size_t)snprintf(t->message + n, message_bytes - n, "; %d threads%s%s", v->pool,
                              v->pool ? "" : " (no pool)", v->inplace ? ", in place" : "");
    }
    if (n < message_bytes) n += (size_t)snprintf(t->message + n, message_bytes - n, ": ");
    va_list arguments;
    va_start(arguments, format);
    if (n < message_bytes) vsnprintf(t->message + n, message_bytes - n, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- inputs ---- */

static ink_value new_input(trial *t, ink_dtype dtype, ink_shape shape, bool weight) {
    char name[24];
    const int32_t next = ink_graph_value_count(t->graph) + 1;
    snprintf(name, sizeof name, "input%" PRId32, next);
    const ink_value value = ink_slot(t->graph, name, dtype, shape);
    if (value.id < 1 || value.id > INK_MAX_INPUTS) return INK_NO_VALUE;
    const size_t bytes = (size_t)ink_shape_count(&shape) * ink_dtype_bytes(dtype);
    t->is_weight[value.id] = weight;
    return fence_open(&t->inputs[value.id], bytes, weight, input_guard) ? value : INK_NO_VALUE;
}

ink_value new_activation(trial *t, ink_shape shape, values kind) {
    const ink_value value = new_input(t, INK_F32, shape, false);
    if (value.id) {
        draw_floats(t, (float *)(void *)t->inputs[value.id].data, ink_shape_count(&shape), kind);
    }
    return value;
}

ink_value new_weight(trial *t, ink_shape shape, float deviation) {
    const ink_dtype dtype = (ink_dtype[]){INK_F32, INK_BF16, INK_F16}[draw_int(t, 0, 2)];
    const ink_value value = new_input(t, dtype, shape, true);
    if (value.id) draw_weights(t, t->inputs[value.id].data, dtype, ink_shape_count(&shape), deviation);
    return value;
}

ink_value new_ints(trial *t, ink_shape shape, int64_t low, int64_t high) {
    const ink_value value = new_input(t, INK_I32, shape, false);
    const int64_t count = value.id ? ink_shape_count(&shape) : 0;
    for (int64_t i = 0; i < count; i++) {
        ((int32_t *)(void *)t->inputs[value.id].data)[i] = (int32_t)draw_int(t, low, high);
    }
    return value;
}

ink_value new_bytes(trial *t, ink_dtype dtype, ink_shape shape) {
    const ink_value value = new_input(t, dtype, shape, false);
    for (size_t i = 0; value.id && i < t->inputs[value.id].bytes; i++) {
        t->inputs[value.id].data[i] = (char)draw_int(t, 0, 255);
    }
    return value;
}

/* ---- running ---- */

static bool is_store(const trial *t) {
    return t->node->n_outputs == 0;
}

static int count_results(const trial *t) {
    return is_store(t) ? 1 : t->node->n_outputs;
}

static void close_results(results *r) {
    for (int i = 0; i < r->n; i++) {
        fence_close(&r->memory[i]);
    }
    r->n = 0;
}

static bool open_results(const trial *t, results *r) {
    *r = (results){0};
    for (int i = 0; i < count_results(t); i++) {
        const size_t bytes = (size_t)ink_shape_count(&t->out[i].shape) * ink_dtype_bytes(t->out[i].dtype);
        if (!fence_open(&r->memory[i], bytes, false, output_guard)) {
            close_results(r);
            return false;
        }
        r->n++;
    }
    return true;
}

/* Fills the memory of the results for a run and connects it. */
static void connect(const trial *t, const variant *v, results *r, ink_tensor *in, ink_tensor *out) {
    memcpy(in, t->in, sizeof t->in);
    memcpy(out, t->out, sizeof t->out);
    const int taken = is_store(t) ? 0 : v->inplace ? ink_op_inplace(t->node->op) : -1;
    for (int i = 0; i < r->n; i++) {
        memset(r->memory[i].data, v->poison, r->memory[i].bytes);
        out[i].data = r->memory[i].data;
    }
    if (taken < 0) return;
    memcpy(r->memory[0].data, t->in[taken].data, r->memory[0].bytes);
    for (int i = 0; i < t->node->n_inputs; i++) {
        if (t->node->inputs[i].id == t->node->inputs[taken].id) in[i].data = r->memory[0].data;
    }
}

/* The inputs as they are when a program is compiled: only weights have data. */
static void compile_time_inputs(const trial *t, ink_tensor *in) {
    memcpy(in, t->in, sizeof t->in);
    for (int i = 0; i < t->node->n_inputs; i++) {
        if (!t->is_weight[t->node->inputs[i].id] || t->late_weights) in[i].data = NULL;
    }
}

/* Runs a kernel once. False and a message if it could not run or touched the scratch memory's guards. */
static bool run_kernel(trial *t, const ink_kernel *kernel, const variant *v, const void *prepared,
                       results *r) {
    ink_tensor in[INK_MAX_INPUTS], out[most_results], bare[INK_MAX_INPUTS];
    connect(t, v, r, in, out);
    compile_time_inputs(t, bare);
    ink_pool *pool = t->subject->pools[v->pool];
    fenced scratch = {0};
    size_t bytes = 0;
    if (kernel->scratch_bytes) {
        bytes = kernel->scratch_bytes(t->node, bare, t->out, ink_pool_threads(pool));
    }
    if (bytes) {
        if (!fence_open(&scratch, bytes, false, output_guard)) return fail(t, v, "no memory");
        memset(scratch.data, scratch_poison, bytes);
    }
    kernel->run(&(ink_kernel_args){.node = t->node,
                                   .in = in,
                                   .out = out,
                                   .step = t->step,
                                   .pool = pool,
                                   .scratch = scratch.data,
                                   .prepared = prepared});
    const bool intact = !bytes || fence_intact(&scratch);
    fence_close(&scratch);
    return intact || fail(t, v, "the kernel wrote outside of its %zu bytes of scratch memory", bytes);
}

static bool prepare(trial *t, const ink_kernel *kernel, void **prepared) {
    ink_tensor in[INK_MAX_INPUTS];
    compile_time_inputs(t, in);
    ink_error error = {0};
    size_t bytes = 0;
    if (!kernel->prepare || kernel->prepare(t->node, in, prepared, &bytes, &error) == INK_OK) return true;
    return fail(t, NULL, "prepare failed: %s", error.message);
}

/* ---- judging ---- */

static double element(const char *data, ink_dtype dtype, int64_t i) {
    return dtype == INK_U8 ? (double)((const unsigned char *)data)[i] : ink_element_f32(data, dtype, i);
}

static bool compare_bits(trial *t, const variant *v, int result, const fenced *got, const fenced *want) {
    const size_t size = ink_dtype_bytes(t->out[result].dtype);
    for (size_t i = 0; i < got->bytes; i += size) {
        if (memcmp(got->data + i, want->data + i, size) == 0) continue;
        const int64_t index = (int64_t)(i / size);
        const double is = element(got->data, t->out[result].dtype, index);
        const double must = element(want->data, t->out[result].dtype, index);
        if (t->out[result].dtype == INK_F32 && isnan(is) && isnan(must)) continue; /* any NaN will do */
        return fail(t, v, "element %" PRId64 " of result %d is %.9g, %.9g is needed exactly", index, result,
                    is, must);
    }
    return true;
}

static bool compare_values(trial *t, const variant *v, int result, const fenced *got, const fenced *want) {
    const int64_t count = ink_shape_count(&t->out[result].shape);
    for (int64_t i = 0; i < count; i++) {
        const double is = element(got->data, INK_F32, i), must = element(want->data, INK_F32, i);
        if (!isfinite(must)) {
            if (!isfinite(is)) continue;
            return fail(t, v, "element %" PRId64 " of result %d is %.9g, the reference is not finite", i,
                        result, is);
        }
        const double bound = t->bounds[result][i];
        if (!(fabs(is - must) <= bound)) {
            return fail(t, v, "element %" PRId64 " of result %d is %.9g, %.9g +- %.2g is needed", i, result,
                        is, must, bound);
        }
    }
    return true;
}

/* Asks the case for the tolerance of every element, once for all variants. */
static bool find_bounds(trial *t, const results *want) {
    for (int r = 0; r < want->n; r++) {
        if (!t->which->tolerance || t->out[r].dtype != INK_F32) continue;
        const int64_t count = ink_shape_count(&t->out[r].shape);
        t->bounds[r] = calloc((size_t)count, sizeof *t->bounds[r]);
        if (!t->bounds[r]) return fail(t, NULL, "no memory");
        t->memo = -1;
        for (int64_t i = 0; i < count; i++) {
            const double must = element(want->memory[r].data, INK_F32, i);
            const double bound = isfinite(must) ? t->which->tolerance(t, r, i, must) : 0;
            t->bounds[r][i] = isfinite(bound) ? bound + smallest_difference : 0;
        }
    }
    return true;
}

/* Everything that must hold after a run, except equality between variants. */
static bool judge(trial *t, const variant *v, const results *got, const results *want) {
    for (int i = 0; i < got->n; i++) {
        if (!fence_intact(&got->memory[i])) return fail(t, v, "the kernel wrote outside of result %d", i);
    }
    for (int id = 1; id <= INK_MAX_INPUTS; id++) {
        if (!t->inputs[id].map) continue;
        if (!fence_intact(&t->inputs[id]))
            return fail(t, v, "the kernel wrote outside of input value %d", id);
        if (!fence_unchanged(&t->inputs[id])) return fail(t, v, "the kernel changed input value %d", id);
    }
    for (int i = 0; i < got->n; i++) {
        if (!(t->bounds[i] ? compare_values : compare_bits)(t, v, i, &got->memory[i], &want->memory[i]))
            return false;
    }
    return true;
}

/* All variants of the kernel under test against `want`. */
static bool run_variants(trial *t, const ink_kernel *kernel, const void *prepared, results *want) {
    const bool can_inplace = !is_store(t) && ink_op_inplace(t->node->op) >= 0;
    bool good = true;
    for (int inplace = 0; good && inplace <= can_inplace; inplace++) {
        results first = {0}, more = {0};
        good = open_results(t, &first) && open_results(t, &more);
        if (!good) fail(t, NULL, "no memory");
        for (int pool = 0; good && pool < n_pools; pool++) {
            const variant v = {.pool = pool, .inplace = inplace, .poison = pool % 2 ? 0x5A : 0xFF};
            results *got = pool == 0 ? &first : &more;
            good = run_kernel(t, kernel, &v, prepared, got) && judge(t, &v, got, want);
            for (int i = 0; good && i < got->n; i++) {
                if (memcmp(got->memory[i].data, first.memory[i].data, got->memory[i].bytes) != 0) {
                    good = fail(t, &v, "result %d has other bits than without a pool", i);
                }
            }
        }
        close_results(&first);
        close_results(&more);
    }
    return good;
}

/* Looks up the recorded operation and its tensors. */
static bool find_node(trial *t) {
    ink_error error = {0};
    if (ink_graph_status(t->graph, &error) != INK_OK || ink_graph_node_count(t->graph) != 1) {
        return fail(t, NULL, "the case did not record one operation: %s", error.message);
    }
    t->node = ink_graph_node(t->graph, 0);
    if (t->node->op != t->which->op) return fail(t, NULL, "the case recorded another operation");
    for (int i = 0; i < t->node->n_inputs; i++) {
        const int32_t id = t->node->inputs[i].id;
        if (!id) continue;
        const ink_value_info *info = ink_graph_value(t->graph, id);
        t->in[i] = (ink_tensor){.data = t->inputs[id].data, .dtype = info->dtype, .shape = info->shape};
        fence_remember(&t->inputs[id]);
    }
    for (int i = 0; i < t->node->n_outputs; i++) {
        const ink_value_info *info = ink_graph_value(t->graph, t->node->outputs[i].id);
        t->out[i] = (ink_tensor){.dtype = info->dtype, .shape = info->shape};
    }
    if (is_store(t)) t->out[0] = (ink_tensor){.dtype = t->in[0].dtype, .shape = t->in[0].shape};
    return true;
}

static bool run_recorded(trial *t) {
    ink_kernel_table reference;
    ink_reference_kernels(&reference);
    const ink_kernel *kernel = &t->subject->table.kernel[t->which->op];
    if (!kernel->run) return fail(t, NULL, "the table has no such kernel");
    const variant plain = {.poison = 0xFF};
    results want = {0};
    void *prepared = NULL;
    const bool good = (open_results(t, &want) || fail(t, NULL, "no memory")) &&
                      run_kernel(t, &reference.kernel[t->which->op], &plain, NULL, &want) &&
                      find_bounds(t, &want) && prepare(t, kernel, &prepared) &&
                      run_variants(t, kernel, prepared, &want);
    free(prepared);
    close_results(&want);
    return good;
}

bool trial_run(trial *t, const kernel_case *which, const kernel_subject *subject, uint64_t seed) {
    *t = (trial){.which = which, .subject = subject, .seed = seed, .random = seed};
    if (ink_graph_create(&t->graph, NULL) != INK_OK) return fail(t, NULL, "no memory");
    t->late_weights = draw_chance(t, 8);
    which->record(t);
    const bool good = find_node(t) && run_recorded(t);
    for (int id = 0; id <= INK_MAX_INPUTS; id++) {
        fence_close(&t->inputs[id]);
    }
    for (int r = 0; r < most_results; r++) {
        free(t->bounds[r]);
        t->bounds[r] = NULL;
    }
    ink_graph_destroy(t->graph);
    t->graph = NULL;
    t->node = NULL;
    return good;
}

uint64_t trial_seed(const kernel_case *which, int i) {
    return (uint64_t)which->op * 1000000 + (uint64_t)i;
}

bool subject_open(kernel_subject *s, const char *name) {
    *s = (kernel_subject){.name = name};
    for (int threads = 1; threads < n_pools; threads++) {
        if (ink_pool_create(threads, &s->pools[threads], NULL) != INK_OK) {
            subject_close(s);
            return false;
        }
    }
    return true;
}

void subject_close(kernel_subject *s) {
    for (int i = 0; i < n_pools; i++) {
        ink_pool_destroy(s->pools[i]);
        s->pools[i] = NULL;
    }
}
