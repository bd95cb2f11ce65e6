/*
 * How attention is dealt out to blocks: every tile of every item is computed once, parts find whoever adds
 * them, nobody waits for what has not begun, and no block has much more to do than another.
 */
#include "backend/cuda/attention_cuts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { multiprocessors = 132, most_items = 4000 };

/* Items of up to three lengths, longest first. */
typedef struct shape {
    size_t n[3];
    int32_t tiles[3];
} shape;

/* Pictures of 512, 512 with guidance, 1024, 1328 pixels; prompts of different length; few items, very few,
 * and as many as multiprocessors; one tile each. */
static const shape shapes[] = {{{216}, {8}},
                               {{432}, {8}},
                               {{780}, {29}},
                               {{1320}, {49}},
                               {{240, 216}, {10, 8}},
                               {{72}, {9}},
                               {{5, 7, 3}, {40, 2, 1}},
                               {{1}, {1}},
                               {{1}, {100}},
                               {{132}, {20}},
                               {{133}, {20}},
                               {{131}, {20}},
                               {{300}, {1}},
                               {{150, 150}, {30, 1}},
                               {{140, 1, 200}, {7, 5, 2}}};

static size_t list_tiles(const shape *s, int32_t *tiles) {
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        for (size_t k = 0; k < s->n[i]; k++) {
            tiles[n++] = s->tiles[i];
        }
    }
    assert_in_range(n, 1, most_items);
    return n;
}

/* Of a shape, whose tiles are written too. */
static ink_cuda_attention_cuts cut(const shape *s, int32_t *tiles, size_t *n) {
    ink_cuda_attention_cuts cuts;
    *n = list_tiles(s, tiles);
    assert_int_equal(ink_cuda_attention_cut(tiles, *n, multiprocessors, &cuts, NULL), INK_OK);
    return cuts;
}

static bool leaves(const ink_cuda_attention_piece *piece) {
    return piece->first > 0;
}

static void check_once(const ink_cuda_attention_cuts *cuts, const int32_t *tiles, size_t n) {
    int64_t done[most_items] = {0};
    for (int32_t i = 0; i < cuts->starts[cuts->blocks]; i++) {
        const ink_cuda_attention_piece *p = &cuts->pieces[i];
        assert_in_range(p->item, 0, n - 1);
        assert_true(p->first >= 0 && p->first < p->end && p->end <= tiles[p->item]);
        done[p->item] += p->end - p->first;
        for (int32_t k = 0; k < i; k++) { /* with the sum, no overlap means once */
            const ink_cuda_attention_piece *q = &cuts->pieces[k];
            assert_true(q->item != p->item || q->end <= p->first || p->end <= q->first);
        }
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(done[i], tiles[i]);
    }
}

/* The piece that leaves this part, and its block; each is left once. */
static const ink_cuda_attention_piece *find_part(const ink_cuda_attention_cuts *cuts, int32_t part,
                                                 int *block) {
    const ink_cuda_attention_piece *found = NULL;
    for (int b = 0; b < cuts->blocks; b++) {
        for (int32_t i = cuts->starts[b]; i < cuts->starts[b + 1]; i++) {
            if (!leaves(&cuts->pieces[i]) || cuts->pieces[i].part != part) continue;
            assert_null(found);
            found = &cuts->pieces[i];
            *block = b;
        }
    }
    assert_non_null(found);
    return found;
}

static void check_parts(const ink_cuda_attention_cuts *cuts, const int32_t *tiles) {
    int left = 0, added = 0;
    for (int b = 0; b < cuts->blocks; b++) {
        for (int32_t i = cuts->starts[b]; i < cuts->starts[b + 1]; i++) {
            const ink_cuda_attention_piece *p = &cuts->pieces[i];
            if (leaves(p)) {
                assert_int_equal(i, cuts->starts[b]);
                assert_in_range(p->part, 0, cuts->parts - 1);
                left++;
                continue;
            }
            int64_t there = p->end;
            for (int32_t k = 0; k < p->parts; k++) {
                int from;
                const ink_cuda_attention_piece *q = find_part(cuts, p->part + k, &from);
                assert_int_equal(q->item, p->item);
                assert_true(from < b);
                there += q->end - q->first;
            }
            assert_int_equal(there, tiles[p->item]);
            if (p->parts > 0) assert_int_equal(i, cuts->starts[b + 1] - 1);
            added += p->parts;
        }
    }
    assert_int_equal(left, added);
}

static int64_t longest(const ink_cuda_attention_cuts *cuts) {
    int64_t most = 0;
    for (int b = 0; b < cuts->blocks; b++) {
        int64_t own = 0;
        assert_true(cuts->starts[b] < cuts->starts[b + 1]);
        for (int32_t i = cuts->starts[b]; i < cuts->starts[b + 1]; i++) {
            own += cuts->pieces[i].end - cuts->pieces[i].first;
        }
        if (own > most) most = own;
    }
    return most;
}

static void test_cuts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        int32_t tiles[most_items];
        size_t n;
        ink_cuda_attention_cuts cuts = cut(&shapes[i], tiles, &n);
        assert_in_range(cuts.blocks, 1, multiprocessors);
        check_once(&cuts, tiles, n);
        check_parts(&cuts, tiles);
        ink_cuda_attention_cuts_free(&cuts);
    }
}

/* Of the longest block, in tiles. Whole items would give 16, 32, 174 and 20 + 20. */
static void test_even(void **state) {
    (void)state;
    static const struct {
        shape of;
        int64_t most;
    } cases[] = {
        {{{216}, {8}}, 16 - 1}, {{{432}, {8}}, 32 - 4}, {{{780}, {29}}, 174 - 1}, {{{133}, {20}}, 40 - 17}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t tiles[most_items];
        size_t n;
        ink_cuda_attention_cuts cuts = cut(&cases[i].of, tiles, &n);
        assert_true(longest(&cuts) <= cases[i].most);
        ink_cuda_attention_cuts_free(&cuts);
    }
}

/* Where it would not pay, or not much, nothing is cut. */
static void test_whole(void **state) {
    (void)state;
    static const shape cases[] = {{{1320}, {49}}, {{132}, {20}}, {{300}, {1}}, {{131}, {20}}, {{72}, {3}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int32_t tiles[most_items];
        size_t n;
        ink_cuda_attention_cuts cuts = cut(&cases[i], tiles, &n);
        assert_int_equal(cuts.parts, 0);
        assert_int_equal(cuts.starts[cuts.blocks], n);
        ink_cuda_attention_cuts_free(&cuts);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cuts), cmocka_unit_test(test_even),
                                       cmocka_unit_test(test_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
