/*
 * What runs beside something else: that everything that touches the same bytes is in order, that lanes meet
 * seldom, and that the result is the same however far apart they run.
 */
#include "backend/cuda/lanes.h"
#include "cuda/step_program.h"
#include "fake.h"
#include "models/transformer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { blocks = 3, steps = 2 };

/* A step of two passes, with 8 rows of text and many of image. */
typedef struct model {
    ink_weights *weights;
    ink_layout layout;
    ink_graph *graph;
} model;

static void open_model(model *m, const ink_transformer_config *config, int64_t tokens, int64_t side) {
    const int64_t both[2] = {tokens, tokens - 1};
    assert_int_equal(ink_weights_create_synthetic(&m->weights, NULL), INK_OK);
    assert_int_equal(ink_layout_init(&m->layout, 1, 2, both, side, side, NULL), INK_OK);
    assert_int_equal(ink_graph_create(&m->graph, NULL), INK_OK);
    ink_transformer_record_step(m->graph, config, m->weights, &m->layout, steps);
}

static void close_model(model *m) {
    ink_graph_destroy(m->graph);
    ink_layout_fini(&m->layout);
    ink_weights_close(m->weights);
}

static ink_transformer_config config_of(int64_t layers, int64_t heads, int64_t head_dim) {
    return (ink_transformer_config){.patch_size = 2,
                                    .in_channels = 16,
                                    .out_channels = 4,
                                    .num_layers = layers,
                                    .num_heads = heads,
                                    .head_dim = head_dim,
                                    .joint_attention_dim = 24,
                                    .axes = {head_dim / 4, head_dim * 3 / 8, head_dim * 3 / 8},
                                    .dim = heads * head_dim,
                                    .modulation_columns = (layers * 12 + 2) * heads * head_dim};
}

static void lower(const model *m, bool one_lane, ink_cuda_lowered *lowered) {
    const ink_cuda_rules rules = {.activation = INK_BF16, .residual = INK_F32, .one_lane = one_lane};
    ink_error error = {0};
    if (ink_cuda_lower(m->graph, &rules, lowered, &error) != INK_OK) fail_msg("%s", error.message);
}

/* ---- order ---- */

/* The bytes of the arena that a launch touches: 1 for reading, 2 for writing. Slots follow the arena. */
typedef struct bytes_map {
    unsigned char *of; /* [n_launches, size] */
    size_t size;
    size_t *slot_begin; /* [value id] */
} bytes_map;

static void mark(const ink_cuda_lowered *l, bytes_map *map, int32_t i, const ink_cuda_operand *o,
                 unsigned char how) {
    if (o->where != INK_CUDA_IN_ARENA && o->where != INK_CUDA_IN_SLOT) return;
    const size_t size = ink_dtype_bytes(o->dtype);
    const size_t base =
        o->where == INK_CUDA_IN_ARENA ? l->storages[o->index].offset : map->slot_begin[o->index];
    for (int64_t r = 0; r < o->rows; r++) {
        const size_t begin = base + (size_t)(o->offset + r * o->stride) * size;
        for (size_t b = begin; b < begin + (size_t)o->columns * size; b++) {
            map->of[(size_t)i * map->size + b] |= how;
        }
    }
}

static void map_bytes(const model *m, const ink_cuda_lowered *l, bytes_map *map) {
    map->size = l->arena_bytes;
    map->slot_begin = calloc((size_t)ink_graph_value_count(m->graph) + 1, sizeof *map->slot_begin);
    assert_non_null(map->slot_begin);
    ink_value slot;
    for (size_t i = 0; (slot = ink_graph_slot(m->graph, i)).id; i++) {
        const ink_value_info *info = ink_graph_value(m->graph, slot.id);
        map->slot_begin[slot.id] = map->size;
        map->size += (size_t)ink_shape_count(&info->shape) * ink_dtype_bytes(info->dtype);
    }
    map->of = calloc((size_t)l->n_launches, map->size);
    assert_non_null(map->of);
    for (int32_t i = 0; i < l->n_launches; i++) {
        for (int k = 0; k < ink_cuda_max_in; k++) {
            const bool table = l->launches[i].op == INK_OP_STORE_STEP && k == 0;
            mark(l, map, i, &l->launches[i].in[k], table ? 2 : 1);
        }
        for (int k = 0; k < ink_cuda_max_out; k++) {
            mark(l, map, i, &l->launches[i].out[k], 2);
        }
    }
}

static bool touch_same(const bytes_map *map, int32_t i, int32_t j) {
    const unsigned char *a = map->of + (size_t)i * map->size, *b = map->of + (size_t)j * map->size;
    for (size_t k = 0; k < map->size; k++) {
        if (a[k] && b[k] && ((a[k] | b[k]) & 2)) return true;
    }
    return false;
}

/* How many pairs of launches touch the same bytes and are in no order. */
static int count_races(const ink_cuda_lowered *l, const bytes_map *map) {
    int32_t done[2] = {-1, -1}; /* by lane: the last launch of the other one that is over */
    int races = 0;
    for (int32_t i = 0; i < l->n_launches; i++) {
        const ink_cuda_launch *launch = &l->launches[i];
        if (launch->after > done[launch->lane]) {
            assert_true(l->launches[launch->after].awaited);
            assert_int_not_equal(l->launches[launch->after].lane, launch->lane);
            done[launch->lane] = launch->after;
        }
        for (int32_t j = 0; j < i; j++) {
            if (l->launches[j].lane == launch->lane || j <= done[launch->lane]) continue;
            if (touch_same(map, i, j)) races++;
        }
    }
    return races;
}

static void test_lanes_are_in_order(void **state) {
    (void)state;
    const ink_transformer_config config = config_of(blocks, 2, 16);
    model m;
    ink_cuda_lowered l;
    bytes_map map;
    open_model(&m, &config, 5, 16);
    lower(&m, false, &l);
    map_bytes(&m, &l, &map);
    assert_int_equal(count_races(&l, &map), 0);
    /* The test itself: without any one of the waits, something is in no order. */
    int waits = 0;
    for (int32_t i = 0; i < l.n_launches; i++) {
        const int32_t after = l.launches[i].after;
        if (after < 0) continue;
        l.launches[i].after = -1;
        assert_true(count_races(&l, &map) > 0);
        l.launches[i].after = after;
        waits++;
    }
    assert_true(waits >= 2 * blocks - 1);
    ink_cuda_lowered_free(&l);
    free(map.of);
    free(map.slot_begin);
    close_model(&m);
}

/* ---- how often they meet, in the model of 60 blocks at 512 x 512 ---- */

static void test_lanes_meet_seldom(void **state) {
    (void)state;
    enum { layers = 60 };
    ink_transformer_config config = config_of(layers, 24, 128);
    config.in_channels = 64;
    config.out_channels = 16;
    model m;
    ink_cuda_lowered one, two;
    open_model(&m, &config, 64, 32);
    lower(&m, true, &one);
    lower(&m, false, &two);
    int waits[2] = {0}, launches[2] = {0};
    for (int32_t i = 0; i < two.n_launches; i++) {
        launches[two.launches[i].lane]++;
        if (two.launches[i].after >= 0) waits[two.launches[i].lane]++;
        if (two.launches[i].op == INK_OP_ATTENTION) /* over rows that were computed where it reads them */
            assert_true(two.launches[i].in[2].where && !two.launches[i].in[3].where &&
                        !two.launches[i].out[1].where);
        assert_true(one.launches[i].lane == 0 && one.launches[i].after == -1);
    }
    print_message("%d launches, %d beside them; lanes wait %d and %d times; arena %zu instead of %zu bytes\n",
                  launches[0], launches[1], waits[0], waits[1], two.arena_bytes, one.arena_bytes);
    assert_int_equal(one.n_launches, two.n_launches);
    /* Of a block's text: qkv, rotary, out, sum and norm, up, down, sum and norm. */
    assert_true(launches[1] >= 7 * layers - 6);
    /* Before attention and after it. */
    assert_int_equal(waits[0], layers);
    assert_int_equal(waits[1], layers - 1);
    assert_true(two.arena_bytes < 2 * one.arena_bytes);
    int32_t begin = 0, end = 0;
    assert_true(ink_cuda_lanes_section(&two, &begin, &end));
    assert_int_equal(two.launches[begin].op, INK_OP_ATTENTION);
    assert_int_equal(two.launches[end].op, INK_OP_ATTENTION);
    ink_cuda_lowered_free(&one);
    ink_cuda_lowered_free(&two);
    close_model(&m);
}

/* ---- the same result ---- */

static void fill(float *values, size_t n, const char *name, size_t slot) {
    (void)name;
    for (size_t i = 0; i < n; i++) {
        values[i] = (float)((i * 2654435761u + slot * 97) % 1000) / 1000 - 0.4f;
    }
}

/* The latents after some runs. */
static float *run_steps(const model *m, const ink_cuda_settings *settings, size_t *count) {
    step_program p;
    step_program_open(&p, m->graph, settings, fill);
    float *result = step_program_run(&p, 3, steps);
    *count = p.n_latents;
    step_program_close(&p);
    assert_int_equal(fake_leaks(), 0);
    return result;
}

static void test_lanes_change_nothing(void **state) {
    (void)state;
    const ink_transformer_config config = config_of(blocks, 2, 16);
    model m;
    open_model(&m, &config, 5, 16);
    size_t count = 0;
    float *expected = run_steps(&m, &(ink_cuda_settings){.precision = "bf16", .one_stream = true}, &count);
    double size = 0;
    for (size_t i = 0; i < count; i++) {
        size += (double)expected[i] * (double)expected[i];
    }
    assert_true(size > 0 && size < 1e12);
    const ink_cuda_settings settings[] = {{.precision = "bf16"}, {.precision = "bf16", .side_processors = 8}};
    for (size_t s = 0; s < sizeof settings / sizeof settings[0]; s++) {
        for (int lane = 0; lane < 2; lane++) {
            fake_prefer_lane(lane);
            float *result = run_steps(&m, &settings[s], &count);
            assert_memory_equal(result, expected, count * sizeof *result);
            free(result);
        }
    }
    fake_prefer_lane(0);
    free(expected);
    close_model(&m);
}

/* ---- what is told of them ---- */

static void count_tracks(void *user, const ink_launch *launch) {
    int *launches = user;
    assert_in_range(launch->track, 0, 1);
    assert_int_equal(strncmp(launch->kind, "beside: ", 8) == 0, launch->track == 1);
    launches[launch->track]++;
}

static void test_tracks_are_told(void **state) {
    (void)state;
    const ink_transformer_config config = config_of(blocks, 2, 16);
    model m;
    step_program p;
    open_model(&m, &config, 5, 16);
    step_program_open(&p, m.graph, &(ink_cuda_settings){.side_processors = 8}, NULL);
    int launches[2] = {0};
    const ink_profile profile = {count_tracks, launches};
    assert_int_equal(ink_program_profile(p.program, 0, NULL, &profile, NULL), INK_OK);
    assert_true(launches[1] >= 7 * blocks - 6 && launches[0] >= 8 * blocks);
    step_program_close(&p);
    assert_int_equal(fake_leaks(), 0);
    close_model(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_are_in_order),
        cmocka_unit_test(test_lanes_meet_seldom),
        cmocka_unit_test(test_lanes_change_nothing),
        cmocka_unit_test(test_tracks_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
