/*
 * The schedule of products for Hopper: every tile is computed once, sums of parts find each other, and no
 * cluster has much more to do than another.
 */
#include "backend/cuda/linear_schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { clusters = 66, slots = 100, most_groups = 2 };

typedef struct shape {
    int n_groups;
    int64_t rows[most_groups], columns;
    int boxes;
} shape;

static ink_hopper_schedule make(const shape *s, int most_slots) {
    ink_hopper_schedule schedule;
    assert_int_equal(ink_hopper_schedule_make(s->n_groups, s->rows, s->columns, s->boxes, clusters,
                                              most_slots, &schedule, NULL),
                     INK_OK);
    assert_true(schedule.slots <= most_slots);
    return schedule;
}

/* How often each block's tile is computed at each box. */
static void check_once(const shape *s, const ink_hopper_schedule *schedule) {
    for (int g = 0; g < s->n_groups; g++) {
        const int64_t high = (s->rows[g] + ink_hopper_tile_rows - 1) / ink_hopper_tile_rows,
                      wide = (s->columns + ink_hopper_tile_columns - 1) / ink_hopper_tile_columns;
        unsigned char *times = calloc((size_t)(high * wide), (size_t)s->boxes);
        assert_non_null(times);
        for (int i = 0; i < schedule->n_items; i++) {
            const ink_hopper_linear_item *item = &schedule->items[i];
            if (item->group != g) continue;
            assert_true(item->begin >= 0 && item->begin < item->end && item->end <= s->boxes);
            for (int rank = 0; rank < ink_hopper_cluster; rank++) {
                const int64_t y = item->row / ink_hopper_tile_rows, x = item->tile + rank;
                for (int k = item->begin; k < item->end && y < high && x < wide; k++) {
                    times[(y * wide + x) * s->boxes + k]++;
                }
            }
        }
        for (int64_t i = 0; i < high * wide * s->boxes; i++) {
            assert_int_equal(times[i], 1);
        }
        free(times);
    }
}

static bool same_tile(const ink_hopper_linear_item *a, const ink_hopper_linear_item *b) {
    return a->group == b->group && a->row == b->row && a->tile == b->tile;
}

/* There are no slots but those that are counted. Each is left by one and added by one, which is of the same
 * tile, and in its cluster nothing that is left comes after something that waits. */
static void check_slots(const shape *s, const ink_hopper_schedule *schedule) {
    for (int i = 0; i < schedule->n_items; i++) {
        const ink_hopper_linear_item *item = &schedule->items[i];
        const int used = item->begin > 0 ? 1 : item->slots;
        assert_true(item->slot >= 0 && used >= 0 && (used == 0 || item->slot + used <= schedule->slots));
    }
    for (int slot = 0; slot < schedule->slots; slot++) {
        const ink_hopper_linear_item *left = NULL, *added = NULL;
        for (int i = 0; i < schedule->n_items; i++) {
            const ink_hopper_linear_item *item = &schedule->items[i];
            if (item->begin > 0 && item->slot == slot) {
                assert_null(left);
                left = item;
            }
            if (item->begin == 0 && slot >= item->slot && slot < item->slot + item->slots) {
                assert_null(added);
                added = item;
            }
        }
        assert_true(left && added && same_tile(left, added));
    }
    for (int c = 0; c < schedule->clusters; c++) {
        bool waits = false;
        for (int i = schedule->starts[c]; i < schedule->starts[c + 1]; i++) {
            assert_false(waits && schedule->items[i].begin > 0);
            waits = waits || schedule->items[i].slots > 0;
        }
    }
    (void)s;
}

/* The longest list over the mean. */
static double imbalance(const shape *s, const ink_hopper_schedule *schedule) {
    double all = 0, longest = 0;
    assert_int_equal(schedule->starts[0], 0);
    assert_int_equal(schedule->starts[clusters], schedule->n_items);
    for (int c = 0; c < clusters; c++) {
        double own = 0;
        for (int i = schedule->starts[c]; i < schedule->starts[c + 1]; i++) {
            const ink_hopper_linear_item *item = &schedule->items[i];
            own += (item->end - item->begin) * (s->rows[item->group] <= 128 ? 0.5 : 1);
        }
        all += own;
        if (own > longest) longest = own;
    }
    return longest * clusters / all;
}

static void check(const shape *s, double most) {
    ink_hopper_schedule schedule = make(s, slots);
    check_once(s, &schedule);
    check_slots(s, &schedule);
    const double ratio = imbalance(s, &schedule);
    if (!(ratio <= most)) fail_msg("%d boxes, %d columns: %g", s->boxes, (int)s->columns, ratio);
    ink_hopper_schedule_free(&schedule);
    schedule = make(s, 0);
    check_once(s, &schedule);
    assert_int_equal(schedule.slots, 0);
    ink_hopper_schedule_free(&schedule);
}

/* What the sizes of the model leave idle, at most. */
static void test_sizes_of_the_model(void **state) {
    (void)state;
    static const struct {
        int64_t rows[most_groups];
        double most[4];
    } sizes[] = {{{1024, 64}, {1.08, 1.23, 1.04, 1.11}},
                 {{2048, 128}, {1.03, 1.14, 1.04, 1.06}},
                 {{4096, 64}, {1.01, 1.01, 1.01, 1.01}},
                 {{8192, 128}, {1.02, 1.02, 1.02, 1.02}},
                 {{6889, 64}, {1.01, 1.06, 1.02, 1.06}}};
    static const int64_t layers[][2] = {{9216, 48}, {3072, 48}, {12288, 48}, {3072, 192}};
    for (size_t r = 0; r < sizeof sizes / sizeof sizes[0]; r++) {
        for (size_t k = 0; k < sizeof layers / sizeof layers[0]; k++) {
            const shape s = {2, {sizes[r].rows[0], sizes[r].rows[1]}, layers[k][0], (int)layers[k][1]};
            check(&s, sizes[r].most[k]);
        }
    }
}

static void test_any_size(void **state) {
    (void)state;
    uint64_t seed = 1;
    for (int i = 0; i < 200; i++) {
        int64_t draw[4];
        for (int k = 0; k < 4; k++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            draw[k] = (int64_t)(seed >> 33);
        }
        const shape s = {1 + i % 2,
                         {1 + draw[0] % 3000, 1 + draw[1] % 300},
                         8 * (1 + draw[2] % 600),
                         1 + (int)(draw[3] % 100)};
        check(&s, 1e9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes_of_the_model),
                                       cmocka_unit_test(test_any_size)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
