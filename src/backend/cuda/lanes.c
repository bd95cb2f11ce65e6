#include "backend/cuda/lanes.h"

/* Products of so few rows read weights for longer than they compute. */
enum { few_rows = 512, times_more = 4 };

/* ---- what a launch touches ---- */

/* Rows of bytes at equal distances, in the arena, in a storage or in a slot. */
typedef struct area {
    ink_cuda_where where;
    int32_t index;
    int64_t begin, end; /* from the first byte to behind the last */
    int64_t stride, width;
} area;

/* As long as storages have no place, they are places of their own. */
static area area_of(const ink_cuda_lowered *l, const ink_cuda_operand *o, bool placed) {
    const int64_t size = (int64_t)ink_dtype_bytes(o->dtype);
    area a = {.where = o->where, .index = o->index};
    if (o->where != INK_CUDA_IN_ARENA && o->where != INK_CUDA_IN_SLOT) return a;
    if (o->where == INK_CUDA_IN_SLOT && o->per_step) { /* any of its rows */
        a.end = a.stride = a.width = INT64_MAX;
        return a;
    }
    a.stride = o->stride * size;
    a.width = o->columns * size;
    a.begin = o->offset * size;
    if (o->where == INK_CUDA_IN_ARENA && placed) {
        a.begin += (int64_t)l->storages[o->index].offset;
        a.index = 0;
    }
    a.end = o->rows > 0 ? a.begin + (o->rows - 1) * a.stride + a.width : a.begin;
    if (o->dtype == INK_F8_E4M3 && o->where == INK_CUDA_IN_ARENA) { /* scales follow the elements */
        a.end += (int64_t)l->storages[o->index].bytes;
        a.stride = 0;
    }
    return a;
}

static bool overlap(const area *a, const area *b) {
    if (a->where != b->where || a->index != b->index) return false;
    if (a->where != INK_CUDA_IN_ARENA && a->where != INK_CUDA_IN_SLOT) return false; /* weights */
    if (a->begin >= b->end || b->begin >= a->end) return false;
    if (a->stride != b->stride || a->stride <= 0) return true;
    /* Columns of one matrix: they are apart if neither reaches the other within a row. */
    const int64_t distance = (b->begin % a->stride - a->begin % a->stride + a->stride) % a->stride;
    return distance < a->width || distance + b->width > a->stride;
}

enum { most_operands = ink_cuda_max_in + ink_cuda_max_out };

typedef struct touched {
    area areas[most_operands];
    bool written[most_operands];
    int n;
} touched;

static void touch(const ink_cuda_lowered *l, touched *t, const ink_cuda_operand *o, bool written,
                  bool placed) {
    if (o->where != INK_CUDA_IN_ARENA && o->where != INK_CUDA_IN_SLOT) return;
    t->written[t->n] = written;
    t->areas[t->n++] = area_of(l, o, placed);
}

static touched touched_by(const ink_cuda_lowered *l, int32_t i, bool placed) {
    const ink_cuda_launch *launch = &l->launches[i];
    touched t = {.n = 0};
    for (int k = 0; k < ink_cuda_max_in; k++) {
        /* The table that a step's row is stored into is its first input. */
        touch(l, &t, &launch->in[k], launch->op == INK_OP_STORE_STEP && k == 0, placed);
    }
    for (int k = 0; k < ink_cuda_max_out; k++) {
        touch(l, &t, &launch->out[k], true, placed);
    }
    return t;
}

static bool conflict(const ink_cuda_lowered *l, int32_t i, int32_t j, bool placed) {
    const touched a = touched_by(l, i, placed), b = touched_by(l, j, placed);
    for (int x = 0; x < a.n; x++) {
        for (int y = 0; y < b.n; y++) {
            if ((a.written[x] || b.written[y]) && overlap(&a.areas[x], &b.areas[y])) return true;
        }
    }
    return false;
}

bool ink_cuda_lanes_conflict(const ink_cuda_lowered *l, int32_t i, int32_t j) {
    return conflict(l, i, j, true);
}

/* ---- who goes to lane 1 ---- */

/* Operations that take every row for itself. */
static bool is_by_rows(ink_op op) {
    if (op == INK_CUDA_QUANTISE) return true;
    switch (op) {
    case INK_OP_LINEAR:
    case INK_OP_RMS_NORM:
    case INK_OP_LAYER_NORM_MODULATE:
    case INK_OP_HEAD_NORM_ROTARY:
    case INK_OP_GATED_ADD:
    case INK_OP_ADD:
    case INK_OP_SILU:
    case INK_OP_SILU_MUL:
    case INK_CUDA_CONVERT:
        return true;
    default:
        return false;
    }
}

static void choose_few_rows(ink_cuda_lowered *l) {
    int64_t most = 0;
    for (int32_t i = 0; i < l->n_launches; i++) {
        const ink_cuda_launch *launch = &l->launches[i];
        if (launch->op == INK_OP_LINEAR && launch->in[0].rows > most) most = launch->in[0].rows;
    }
    for (int32_t i = 0; i < l->n_launches; i++) {
        ink_cuda_launch *launch = &l->launches[i];
        const int64_t rows = launch->out[0].rows;
        launch->lane = is_by_rows(launch->op) && rows <= few_rows && rows * times_more <= most;
    }
}

/* ---- waiting ---- */

/* For each launch, the last one of the other lane before it that it must not run beside, unless its lane has
 * waited for that or a later one already. */
static void find_waits(ink_cuda_lowered *l, bool placed) {
    int32_t waited[2] = {-1, -1};
    for (int32_t i = 0; i < l->n_launches; i++) {
        ink_cuda_launch *launch = &l->launches[i];
        launch->after = -1;
        for (int32_t j = i - 1; j > waited[launch->lane]; j--) {
            if (l->launches[j].lane == launch->lane || !conflict(l, i, j, placed)) continue;
            launch->after = waited[launch->lane] = j;
            break;
        }
    }
}

static void go_to_one_lane(ink_cuda_lowered *l) {
    for (int32_t i = 0; i < l->n_launches; i++) {
        l->launches[i].lane = 0;
        l->launches[i].after = -1;
    }
}

/* A chain between two meetings is worth another stream, and what happens but once is not. */
static bool meets_often(const ink_cuda_lowered *l) {
    int meetings = 0;
    for (int32_t i = 0; i < l->n_launches; i++) {
        if (l->launches[i].lane == 0 && l->launches[i].after >= 0) meetings++;
    }
    return meetings >= 2;
}

static void reserve(ink_cuda_lowered *l, const ink_cuda_operand *o, int32_t first, int32_t last) {
    if (o->where != INK_CUDA_IN_ARENA) return;
    ink_plan_storage *storage = &l->storages[o->index];
    if (first < storage->first) storage->first = first;
    if (last > storage->last) storage->last = last;
}

/* Launch i of lane 1 may run beside those of lane 0 in [first, last]. */
static void reserve_all(ink_cuda_lowered *l, int32_t i, int32_t first, int32_t last) {
    for (int k = 0; k < ink_cuda_max_in; k++) {
        reserve(l, &l->launches[i].in[k], first, last);
    }
    for (int k = 0; k < ink_cuda_max_out; k++) {
        reserve(l, &l->launches[i].out[k], first, last);
    }
}

/* What lane 1 uses keeps its place as long as lane 0 may be at a launch that is listed elsewhere: from the
 * last launch that lane 1 has waited for to the next that waits for lane 1. */
static void keep_apart(ink_cuda_lowered *l) {
    int32_t waited = -1, open = 0;
    for (int32_t i = 0; i < l->n_launches; i++) {
        const ink_cuda_launch *launch = &l->launches[i];
        if (launch->lane == 1) {
            if (launch->after >= 0) waited = launch->after;
            reserve_all(l, i, waited + 1, i);
        }
        for (; launch->lane == 0 && open <= launch->after; open++) {
            if (l->launches[open].lane == 1) reserve_all(l, open, open, i - 1);
        }
    }
    for (; open < l->n_launches; open++) { /* the end of a run is waited for */
        if (l->launches[open].lane == 1) reserve_all(l, open, open, l->n_launches - 1);
    }
}

void ink_cuda_lanes_choose(ink_cuda_lowered *l) {
    choose_few_rows(l);
    find_waits(l, false);
    if (meets_often(l))
        keep_apart(l);
    else
        go_to_one_lane(l);
}

void ink_cuda_lanes_order(ink_cuda_lowered *l) {
    find_waits(l, true);
    for (int32_t i = 0; i < l->n_launches; i++) {
        l->launches[i].awaited = false;
    }
    for (int32_t i = 0; i < l->n_launches; i++) {
        if (l->launches[i].after >= 0) l->launches[l->launches[i].after].awaited = true;
    }
}

/* ---- a part of a program that is like the others ---- */

static bool writes_slots(const ink_cuda_lowered *l, int32_t i) {
    const touched t = touched_by(l, i, true);
    for (int k = 0; k < t.n; k++) {
        if (t.written[k] && t.areas[k].where == INK_CUDA_IN_SLOT) return true;
    }
    return false;
}

bool ink_cuda_lanes_section(const ink_cuda_lowered *l, int32_t *begin, int32_t *end) {
    int32_t last = -1, nearest = INT32_MAX;
    for (int32_t i = 0; i < l->n_launches; i++) {
        const bool meets = l->launches[i].lane == 0 && l->launches[i].after >= 0;
        const int32_t distance = i < l->n_launches / 2 ? l->n_launches / 2 - i : i - l->n_launches / 2;
        if (meets && last >= 0 && distance < nearest) {
            nearest = distance;
            *begin = last;
            *end = i;
        }
        if (writes_slots(l, i))
            last = -1;
        else if (meets)
            last = i;
    }
    return nearest < INT32_MAX;
}
