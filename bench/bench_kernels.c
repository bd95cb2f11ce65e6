/*
 * How near the CPU backend's kernels come to what the machine can do.
 *
 * Each line is one operation in a program of its own, so what is timed is what a run executes. The roof is
 * the time that the operation needs at least: its multiply-adds at the peak rate or its tensors' bytes at the
 * memory's reading rate, whichever takes longer. Machines are busy and change their clocks, so the peaks are
 * measured before and after every run; the columns are medians over the runs. With one thread processor time
 * is measured instead of the time on the wall.
 *
 * usage: bench_kernels [THREADS [LEVEL [NAME]]]   0 threads: all; LEVEL: scalar, avx2, avx512; NAME: only the
 * lines that contain it
 */
#include "backend/cpu/cpu.h"
#include "peaks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { most_slots = 8, least_runs = 5, most_runs = 15 };

static const double least_seconds = 0.25;

typedef struct bench_case {
    const char *name;
    void (*record)(ink_graph *g, const struct bench_case *c);
    int64_t a, b, c, d; /* sizes, as record takes them */
    ink_dtype dtype;    /* of weights */
    double target;      /* of the roof; 0: none */
} bench_case;

/* Bytes that are different from each other and harmless in every type: bf16 and f16 values around 1e-2, and
 * f32 ones too. */
static void fill(void *data, size_t bytes, ink_dtype dtype) {
    uint64_t state = 88172645463325252u;
    const size_t n = bytes / ink_dtype_bytes(dtype);
    for (size_t i = 0; i < n; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        const float x = (float)(int32_t)(state >> 32) / 2147483648.0f;
        if (dtype == INK_BF16)
            ((uint16_t *)data)[i] = ink_bf16_from_f32(0.03f * x);
        else if (dtype == INK_F16)
            ((uint16_t *)data)[i] = (uint16_t)(0x1000u | (state >> 16 & 0x8FFFu)); /* 5e-4 to 1, any sign */
        else
            ((float *)data)[i] = x;
    }
}

static ink_value constant(ink_graph *g, ink_dtype dtype, ink_shape shape) {
    const size_t bytes = (size_t)ink_shape_count(&shape) * ink_dtype_bytes(dtype);
    void *data = malloc(bytes);
    if (!data) {
        ink_graph_fail(g, INK_ERROR_MEMORY, "no memory for weights");
        return INK_NO_VALUE;
    }
    fill(data, bytes, dtype);
    const ink_value value = ink_constant(g, dtype, shape, data);
    free(data);
    return value;
}

/* ---- what is measured ---- */

/* a rows, b inputs, c outputs */
static void record_linear(ink_graph *g, const bench_case *c) {
    ink_linear(g, ink_slot(g, "x", INK_F32, ink_shape2(c->a, c->b)),
               constant(g, c->dtype, ink_shape2(c->c, c->b)), constant(g, c->dtype, ink_shape1(c->c)),
               INK_ACT_NONE);
}

static void record_linear_gelu(ink_graph *g, const bench_case *c) {
    ink_linear(g, ink_slot(g, "x", INK_F32, ink_shape2(c->a, c->b)),
               constant(g, c->dtype, ink_shape2(c->c, c->b)), constant(g, c->dtype, ink_shape1(c->c)),
               INK_ACT_GELU_TANH);
}

/* a rows of text, b of the picture (one stream if a is 0), c heads of d columns */
static void record_attention(ink_graph *g, const bench_case *c) {
    const int64_t lengths[2] = {c->a ? c->a : c->b, c->b};
    ink_attention_stream streams[2];
    ink_segment segment = {0};
    const int n = c->a ? 2 : 1;
    for (int s = 0; s < n; s++) {
        const ink_shape shape = ink_shape2(lengths[s], c->c * c->d);
        segment.length[s] = lengths[s];
        streams[s].q = ink_slot(g, s ? "q1" : "q0", INK_F32, shape);
        streams[s].k = ink_slot(g, s ? "k1" : "k0", INK_F32, shape);
        streams[s].v = ink_slot(g, s ? "v1" : "v0", INK_F32, shape);
    }
    ink_value out[2];
    ink_attention(g, n, streams, &segment, 1, &(ink_attention_options){.heads = c->c, .kv_heads = c->c}, out);
}

/* a rows, b heads and c key heads of 128, causal */
static void record_attention_text(ink_graph *g, const bench_case *c) {
    const ink_attention_stream stream = {ink_slot(g, "q", INK_F32, ink_shape2(c->a, c->b * 128)),
                                         ink_slot(g, "k", INK_F32, ink_shape2(c->a, c->c * 128)),
                                         ink_slot(g, "v", INK_F32, ink_shape2(c->a, c->c * 128))};
    const ink_segment segment = {.length = {c->a}};
    ink_value out;
    ink_attention(g, 1, &stream, &segment, 1,
                  &(ink_attention_options){.heads = c->b, .kv_heads = c->c, .causal = true}, &out);
}

/* a x a pixels of b channels, a 3x3 kernel to c channels; d: 1, or 2 for upsampling, or -2 for stride 2 */
static void record_conv(ink_graph *g, const bench_case *c) {
    const ink_conv_options options = {.stride = c->d < 0 ? 2 : 1,
                                      .upsample = c->d > 0 ? c->d : 1,
                                      .pad_top = c->d > 0,
                                      .pad_left = c->d > 0,
                                      .pad_bottom = 1,
                                      .pad_right = 1};
    const ink_shape kernel = {.rank = 5, .dim = {c->c, c->b, 3, 3, 3}};
    ink_conv2d(g, ink_slot(g, "x", INK_F32, ink_shape3(c->a, c->a, c->b)), constant(g, c->dtype, kernel),
               constant(g, c->dtype, ink_shape1(c->c)), &options);
}

/* The others: a rows of b columns. */
static ink_value rows(ink_graph *g, const char *name, const bench_case *c) {
    return ink_slot(g, name, INK_F32, ink_shape2(c->a, c->b));
}

static void record_modulate(ink_graph *g, const bench_case *c) {
    ink_layer_norm_modulate(g, rows(g, "x", c), ink_slot(g, "m", INK_F32, ink_shape1(2 * c->b)), 0, c->b,
                            1e-6f, NULL);
}

static void record_gated_add(ink_graph *g, const bench_case *c) {
    ink_gated_add(g, rows(g, "x", c), ink_slot(g, "m", INK_F32, ink_shape1(c->b)), 0, rows(g, "y", c), NULL);
}

static void record_head(ink_graph *g, const bench_case *c) {
    ink_head_norm_rotary(g, rows(g, "x", c), 128, constant(g, c->dtype, ink_shape1(128)), 1e-6f,
                         ink_slot(g, "t", INK_F32, ink_shape3(c->a, 64, 2)), INK_ROTARY_ADJACENT);
}

static void record_head_half(ink_graph *g, const bench_case *c) {
    ink_head_norm_rotary(g, rows(g, "x", c), 128, INK_NO_VALUE, 0,
                         ink_slot(g, "t", INK_F32, ink_shape3(c->a, 64, 2)), INK_ROTARY_HALF);
}

static void record_channel_norm(ink_graph *g, const bench_case *c) {
    ink_channel_norm(g, rows(g, "x", c), constant(g, c->dtype, ink_shape1(c->b)), 1e-12f, INK_ACT_SILU);
}

static void record_rms_norm(ink_graph *g, const bench_case *c) {
    ink_rms_norm(g, rows(g, "x", c), constant(g, c->dtype, ink_shape1(c->b)), 1e-6f);
}

static void record_silu_mul(ink_graph *g, const bench_case *c) {
    ink_silu_mul(g, rows(g, "x", c), rows(g, "y", c));
}

static void record_add(ink_graph *g, const bench_case *c) {
    ink_add(g, rows(g, "x", c), rows(g, "y", c));
}

static void record_stats(ink_graph *g, const bench_case *c) {
    ink_stats(g, rows(g, "x", c));
}

static const bench_case cases[] = {
    {"linear bf16, 1 row, 3072 to 18432", record_linear, 1, 3072, 18432, 0, INK_BF16, 0.7},
    {"linear f16, 1 row, 3072 to 18432", record_linear, 1, 3072, 18432, 0, INK_F16, 0.7},
    {"linear f32, 1 row, 3072 to 18432", record_linear, 1, 3072, 18432, 0, INK_F32, 0.7},
    {"linear bf16, 4 rows, 3072 to 18432", record_linear, 4, 3072, 18432, 0, INK_BF16, 0},
    {"linear bf16, 8 rows, 3072 to 18432", record_linear, 8, 3072, 18432, 0, INK_BF16, 0},
    {"linear bf16, 20 rows, 3072 to 18432", record_linear, 20, 3072, 18432, 0, INK_BF16, 0},
    {"linear bf16, 64 rows, 3072 to 3072", record_linear, 64, 3072, 3072, 0, INK_BF16, 0.7},
    {"linear f16, 64 rows, 3072 to 3072", record_linear, 64, 3072, 3072, 0, INK_F16, 0.7},
    {"linear f32, 64 rows, 3072 to 3072", record_linear, 64, 3072, 3072, 0, INK_F32, 0.7},
    {"linear bf16, 300 rows, 3072 to 12288, gelu", record_linear_gelu, 300, 3072, 12288, 0, INK_BF16, 0.7},
    {"linear bf16, 1024 rows, 3072 to 3072", record_linear, 1024, 3072, 3072, 0, INK_BF16, 0.7},
    {"attention, 64 + 1024 rows, 24 x 128", record_attention, 64, 1024, 24, 128, INK_F32, 0.5},
    {"attention, 4096 rows, 1 x 384", record_attention, 0, 4096, 1, 384, INK_F32, 0.5},
    {"attention, causal, 98 rows, 28 x 128 on 4", record_attention_text, 98, 28, 4, 0, INK_F32, 0},
    {"conv 3x3, 64x64, 384 to 384", record_conv, 64, 384, 384, 1, INK_BF16, 0.5},
    {"conv 3x3, 128x128, 192 to 192", record_conv, 128, 192, 192, 1, INK_BF16, 0.5},
    {"conv 3x3, 256x256, 96 to 96", record_conv, 256, 96, 96, 1, INK_BF16, 0.5},
    {"conv 3x3, 64x64 doubled, 384 to 192", record_conv, 64, 384, 192, 2, INK_BF16, 0.5},
    {"conv 3x3, 256x256 halved, 96 to 96", record_conv, 256, 96, 96, -2, INK_BF16, 0.5},
    {"conv 3x3, 64x64, 16 to 384", record_conv, 64, 16, 384, 1, INK_BF16, 0},
    {"conv 3x3, 256x256, 96 to 3", record_conv, 256, 96, 3, 1, INK_BF16, 0},
    {"layer_norm_modulate, 8192 x 3072", record_modulate, 8192, 3072, 0, 0, INK_F32, 0},
    {"gated_add, 8192 x 3072", record_gated_add, 8192, 3072, 0, 0, INK_F32, 0},
    {"head_norm_rotary, 8192 x 3072", record_head, 8192, 3072, 0, 0, INK_BF16, 0},
    {"rotary halves, 8192 x 3584", record_head_half, 8192, 3584, 0, 0, INK_BF16, 0},
    {"rms_norm, 8192 x 3584", record_rms_norm, 8192, 3584, 0, 0, INK_BF16, 0},
    {"channel_norm, silu, 512x512 x 96", record_channel_norm, 262144, 96, 0, 0, INK_BF16, 0},
    {"silu_mul, 8192 x 3072", record_silu_mul, 8192, 3072, 0, 0, INK_F32, 0},
    {"add, 8192 x 3072", record_add, 8192, 3072, 0, 0, INK_F32, 0},
    {"stats, 8192 x 3072", record_stats, 8192, 3072, 0, 0, INK_F32, 0},
};

/* ---- how ---- */

typedef struct bench {
    ink_backend *backend;
    peaks peaks;
    int missed;
} bench;

/* Makes a filled buffer for every slot of the graph. */
static ink_status bind_slots(const bench *b, const ink_graph *graph, ink_program *program,
                             ink_buffer **buffers, ink_error *error) {
    for (size_t i = 0; i < most_slots; i++) {
        const ink_value slot = ink_graph_slot(graph, i);
        if (!slot.id) return INK_OK;
        const ink_value_info *info = ink_graph_value(graph, slot.id);
        const size_t bytes = (size_t)ink_shape_count(&info->shape) * ink_dtype_bytes(info->dtype);
        void *data = malloc(bytes);
        if (!data) return ink_fail_memory(error, "an input", bytes);
        fill(data, bytes, info->dtype);
        ink_status status = ink_buffer_create(b->backend, info->dtype, &info->shape, &buffers[i], error);
        if (status == INK_OK) status = ink_buffer_write(buffers[i], data, bytes, error);
        free(data);
        INK_TRY(status);
        INK_TRY(ink_program_bind(program, info->name, buffers[i], error));
    }
    return INK_OK;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(bench *b, const bench_case *c, double flops, double bytes, double seconds, double ratio) {
    const bool missed = !(ratio >= c->target);
    if (missed) b->missed++;
    printf("%-44s %8.2f %9.1f %7.1f %6.0f %%", c->name, 1e3 * seconds, 1e-9 * flops / seconds,
           1e-9 * bytes / seconds, 100 * ratio);
    if (c->target > 0) printf("   %3.0f %%%s", 100 * c->target, missed ? "  missed" : "");
    printf("\n");
    fflush(stdout);
}

/* Runs the program some times, each between two measurements of the peaks. */
static ink_status measure(bench *b, const bench_case *c, const ink_graph *graph, ink_program *program,
                          ink_error *error) {
    const ink_node *node = ink_graph_node(graph, 0);
    const double flops = ink_node_flops(graph, node), bytes = ink_node_bytes(graph, node);
    double ratios[most_runs], seconds[most_runs], total = 0;
    INK_TRY(ink_program_run(program, 0, NULL, error));
    double peak_flops = peaks_flops(&b->peaks), peak_read = peaks_read(&b->peaks);
    int n = 0;
    for (; n < most_runs && (n < least_runs || total < least_seconds); n++) {
        const double begin = peaks_seconds(&b->peaks);
        INK_TRY(ink_program_run(program, 0, NULL, error));
        seconds[n] = peaks_seconds(&b->peaks) - begin;
        total += seconds[n];
        const double next_flops = peaks_flops(&b->peaks), next_read = peaks_read(&b->peaks);
        const double by_flops = 2 * flops / (peak_flops + next_flops);
        const double by_bytes = 2 * bytes / (peak_read + next_read);
        ratios[n] = (by_flops > by_bytes ? by_flops : by_bytes) / seconds[n];
        peak_flops = next_flops;
        peak_read = next_read;
    }
    qsort(ratios, (size_t)n, sizeof *ratios, compare);
    qsort(seconds, (size_t)n, sizeof *seconds, compare);
    report(b, c, flops, bytes, seconds[n / 2], ratios[n / 2]);
    return INK_OK;
}

static ink_status run_case(bench *b, const bench_case *c, ink_error *error) {
    ink_graph *graph;
    ink_program *program = NULL;
    ink_buffer *buffers[most_slots] = {0};
    INK_TRY(ink_graph_create(&graph, error));
    c->record(graph, c);
    ink_status status = ink_graph_status(graph, error);
    if (status == INK_OK) status = ink_compile(b->backend, graph, &program, error);
    if (status == INK_OK) status = bind_slots(b, graph, program, buffers, error);
    if (status == INK_OK) status = measure(b, c, graph, program, error);
    ink_program_destroy(program);
    for (int i = 0; i < most_slots; i++) {
        ink_buffer_destroy(buffers[i]);
    }
    ink_graph_destroy(graph);
    return status;
}

static ink_status run_cases(bench *b, const char *name, ink_error *error) {
    double flops = 0, bytes = 0;
    for (int i = 0; i < 20; i++) {
        const double f = peaks_flops(&b->peaks), r = peaks_read(&b->peaks);
        if (f > flops) flops = f;
        if (r > bytes) bytes = r;
    }
    printf("%s; peaks: %.1f GFLOP/s, %.1f GB/s\n%-44s %8s %9s %7s %8s %8s\n",
           ink_backend_describe(b->backend), 1e-9 * flops, 1e-9 * bytes, "", "ms", "GFLOP/s", "GB/s",
           "of roof", "target");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strstr(cases[i].name, name)) INK_TRY(run_case(b, &cases[i], error));
    }
    printf("%d of the targets missed\n", b->missed);
    return INK_OK;
}

int main(int argc, char **argv) {
    const ink_backend_options options = {.threads = argc > 1 ? atoi(argv[1]) : 0,
                                         .cpu_level = argc > 2 ? argv[2] : NULL};
    bench b = {0};
    ink_error error = {0};
    ink_status status = ink_cpu_backend_create(&options, &b.backend, &error);
    if (status == INK_OK) status = peaks_open(&b.peaks, options.threads, &error);
    if (status == INK_OK) {
        status = run_cases(&b, argc > 3 ? argv[3] : "", &error);
        peaks_close(&b.peaks);
    }
    ink_backend_destroy(b.backend);
    if (status == INK_OK) return 0;
    fprintf(stderr, "bench_kernels: %s\n", error.message);
    return 1;
}
