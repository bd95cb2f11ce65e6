/*
 * The benchmark's arithmetic: medians, sums by kind, the roof.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pipeline/bench_kinds.h"
#include "pipeline/bench_timing.h"

#include <math.h>
#include <stdio.h>

static void the_median_is_the_middle(void **state) {
    (void)state;
    double one[] = {3}, odd[] = {9, 1, 5}, even[] = {4, 100, 2, 1};
    assert_true(ink_median(one, 1) == 3);
    assert_true(ink_median(odd, 3) == 5);
    assert_true(odd[0] == 1 && odd[2] == 9); /* sorted */
    assert_true(ink_median(even, 4) == 3);
}

static void made_up_activations_look_like_ones(void **state) {
    (void)state;
    enum { n = 100001 };
    static float values[n];
    ink_fill_activations(values, n);
    double sum = 0, squares = 0, neighbours = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
        if (i > 0) neighbours += (double)values[i] * (double)values[i - 1];
    }
    assert_true(fabs(sum / n) < 0.02);
    assert_true(fabs(squares / n - 1) < 0.02);
    assert_true(fabs(neighbours / n) < 0.02);
}

static void the_roof_is_what_takes_longer(void **state) {
    (void)state;
    const ink_roof roof = {.flops = 100, .bytes = 10}, none = {0};
    assert_true(ink_roof_seconds(&roof, 500, 20) == 5);
    assert_true(ink_roof_seconds(&roof, 500, 80) == 8);
    assert_true(ink_roof_seconds(&roof, 0, 0) == 0);
    assert_true(ink_roof_seconds(&none, 500, 80) == 0);
}

static void add(ink_kinds *kinds, int run, const char *kind, double seconds, double flops, double bytes) {
    ink_kinds_add(
        kinds, run,
        &(ink_launch){.kind = kind, .label = "", .seconds = seconds, .flops = flops, .bytes = bytes});
}

static void kinds_are_summed_per_run(void **state) {
    (void)state;
    const ink_roof roof = {.flops = 100, .bytes = 10};
    ink_kinds kinds;
    ink_kinds_init(&kinds, 3, &roof);
    /* Two launches of a product: sums of 3, 30 and 5 seconds, whose median is 5. */
    static const double first[3] = {1, 10, 2}, second[3] = {2, 20, 3};
    for (int run = 0; run < 3; run++) {
        add(&kinds, run, "linear", first[run], 200, 1);
        add(&kinds, run, "copy", 7, 0, 40);
        add(&kinds, run, "linear", second[run], 100, 50);
    }
    ink_bench_kind *list;
    size_t count;
    assert_int_equal(ink_kinds_finish(&kinds, &list, &count, NULL), INK_OK);
    ink_kinds_fini(&kinds);
    assert_int_equal(count, 2);
    assert_string_equal(list[0].name, "copy"); /* the slowest first */
    assert_int_equal(list[0].launches, 1);
    assert_true(list[0].seconds == 7 && list[0].flops == 0 && list[0].bytes == 40);
    assert_true(list[0].roof_seconds == 4);
    assert_string_equal(list[1].name, "linear");
    assert_int_equal(list[1].launches, 2);
    assert_true(list[1].seconds == 5 && list[1].flops == 300 && list[1].bytes == 51);
    /* One is limited by arithmetic (2 s), one by memory (5 s). */
    assert_true(list[1].roof_seconds == 7);
    ink_kinds_free(list, count);
}

static void many_kinds_and_none(void **state) {
    (void)state;
    const ink_roof none = {0};
    ink_kinds kinds;
    ink_bench_kind *list;
    size_t count = 1;
    ink_kinds_init(&kinds, 2, &none);
    assert_int_equal(ink_kinds_finish(&kinds, &list, &count, NULL), INK_OK);
    assert_int_equal(count, 0);
    ink_kinds_free(list, count);
    ink_kinds_fini(&kinds);

    ink_kinds_init(&kinds, 2, &none);
    for (int run = 0; run < 2; run++) {
        for (int k = 0; k < 100; k++) {
            char name[16];
            snprintf(name, sizeof name, "kind %d", k);
            add(&kinds, run, name, k + 2 * run, 0, 0);
        }
    }
    assert_int_equal(ink_kinds_finish(&kinds, &list, &count, NULL), INK_OK);
    assert_int_equal(count, 100);
    for (size_t k = 0; k < count; k++) {
        assert_true(list[k].seconds == 99 - (double)k + 1);
        assert_true(list[k].roof_seconds == 0);
    }
    ink_kinds_free(list, count);
    /* What was not handed out is freed here. */
    add(&kinds, 0, "left", 1, 1, 1);
    ink_kinds_fini(&kinds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_median_is_the_middle),      cmocka_unit_test(made_up_activations_look_like_ones),
        cmocka_unit_test(the_roof_is_what_takes_longer), cmocka_unit_test(kinds_are_summed_per_run),
        cmocka_unit_test(many_kinds_and_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
