#include "backend/cuda/beside.h"

#include "backend/cuda/divide.h"
#include "backend/cuda/linear_thin_plan.h"

/* What a multiprocessor computes: of products beside others, and of the others, in bf16 and e4m3. Measured on
 * an H200 that computes whole steps. */
static const double beside_flops_per_second = 5.9e12, flops_per_second = 5.6e12,
                    fp8_flops_per_second = 9.5e12;
/* Of products beside others, for each tile: what storing it takes, most of it while the next multiplies. */
static const double seconds_to_store = 2.5e-6;
/* Before a product's first tile. */
static const double seconds_to_begin = 5e-6;
/* What the whole device takes in of W where it has nothing else to do. */
static const double bytes_per_second_in_turn = 2.1e12;
/* Two with more than one band of rows were not seen to pay, when those did not take turns yet. */
enum { fewest_beside = 2, fewest_with_more = 4, most_beside = 4, most_beside_fp8 = 8, beside_step = 2 };

static double weights_of(const ink_cuda_launch *l) {
    return (double)l->in[0].columns * (double)l->out[0].columns;
}

/* Of one tile of a product beside others, by one multiprocessor. */
static double seconds_of_tile(const ink_cuda_launch *l) {
    const int64_t bands = ink_divide_up(l->in[0].rows, ink_thin_band_rows);
    return 2.0 * (double)(bands * ink_thin_band_rows * ink_beside_width) * (double)l->in[0].columns /
               beside_flops_per_second +
           seconds_to_store;
}

/* Of a product of many rows by so many multiprocessors, which compute as many tiles at a time, of the kind
 * that suits it best. */
static double seconds_of(const ink_cuda_launch *l, int multiprocessors) {
    static const struct {
        int rows, columns;
    } tiles[] = {{128, 256}, {256, 128}, {128, 192}, {192, 128}, {128, 128}};
    const double rate = l->in[0].dtype == INK_F8_E4M3 ? fp8_flops_per_second : flops_per_second;
    double least = 0;
    for (size_t i = 0; i < sizeof tiles / sizeof tiles[0]; i++) {
        const int64_t n =
            ink_divide_up(l->in[0].rows, tiles[i].rows) * ink_divide_up(l->out[0].columns, tiles[i].columns);
        const double seconds =
            2.0 * (double)(ink_divide_up(n, multiprocessors) * tiles[i].rows * tiles[i].columns) *
            (double)l->in[0].columns / rate;
        if (i == 0 || seconds < least) least = seconds;
    }
    return least;
}

/* All products of a program. */
typedef struct product_costs {
    double bytes;   /* of W of those that run beside others */
    double seconds; /* that one multiprocessor takes for their tiles */
    int products;   /* of them */
    bool more;      /* some have more than one band of rows */
    bool fp8;       /* others are of e4m3 */
} product_costs;

/* False if there is no kernel of ours for some that would run beside others. */
static bool add_cost(const ink_cuda_launch *l, product_costs *costs) {
    if (!l->beside) {
        costs->fp8 = costs->fp8 || l->in[0].dtype == INK_F8_E4M3;
        return true;
    }
    costs->products++;
    costs->more = costs->more || l->in[0].rows > ink_thin_band_rows;
    costs->bytes += weights_of(l) * sizeof(uint16_t);
    costs->seconds += seconds_of_tile(l) * (double)ink_divide_up(l->out[0].columns, ink_beside_width);
    return l->in[0].dtype == INK_BF16 && l->out[0].dtype == INK_BF16;
}

/* Of all products that do not run beside others. */
static double seconds_of_others(const ink_cuda_lowered *l, int multiprocessors) {
    double seconds = 0;
    for (int32_t i = 0; i < l->n_launches; i++) {
        const ink_cuda_launch *product = &l->launches[i];
        if (product->op == INK_OP_LINEAR && !product->beside) seconds += seconds_of(product, multiprocessors);
    }
    return seconds;
}

/* The bytes of W that need not be waited for if so many columns of all products run beside others. */
static double divided_bytes(const ink_cuda_lowered *l, int processors, int multiprocessors) {
    double bytes = 0;
    for (int32_t i = 0; i < l->n_launches; i++) {
        const ink_cuda_launch *product = &l->launches[i];
        if (product->op != INK_OP_LINEAR || !product->beside) continue;
        bytes += (double)ink_cuda_beside_columns(l, i, processors, multiprocessors) *
                 (double)product->in[0].columns * sizeof(uint16_t);
    }
    return bytes;
}

ink_cuda_beside ink_cuda_beside_find(const ink_cuda_lowered *lowered, int major, int minor,
                                     int multiprocessors) {
    ink_cuda_beside best = {0};
    double most_saved = 0; /* seconds */
    product_costs c = {0};
    for (int32_t i = 0; i < lowered->n_launches; i++) {
        const ink_cuda_launch *l = &lowered->launches[i];
        if (l->op == INK_OP_LINEAR && !add_cost(l, &c)) return best;
    }
    if (c.bytes <= 0 || major != 9 || minor != 0) return best;
    const double alone = seconds_of_others(lowered, multiprocessors);
    for (int n = c.more ? fewest_with_more : fewest_beside; n <= (c.fp8 ? most_beside_fp8 : most_beside);
         n += beside_step) {
        const double time = seconds_of_others(lowered, multiprocessors - n);
        const bool divided = c.seconds / n + c.products * seconds_to_begin > time;
        if (divided && c.fp8) continue; /* measured: what remains in turn takes longer than what is saved */
        const double bytes = divided ? divided_bytes(lowered, n, multiprocessors) : c.bytes,
                     saved = bytes / bytes_per_second_in_turn - (time - alone);
        if (saved <= most_saved) continue;
        most_saved = saved;
        best = (ink_cuda_beside){n, divided};
    }
    return best;
}

/* ---- divided products ---- */

/* The launch that makes what product i multiplies; -1: none. */
static int32_t maker_of(const ink_cuda_lowered *l, int32_t i) {
    const ink_cuda_operand *x = &l->launches[i].in[0];
    int32_t k = i - 1;
    while (k >= 0 && !ink_cuda_same_place(x, &l->launches[k].out[0]) &&
           !ink_cuda_same_place(x, &l->launches[k].out[1])) {
        k--;
    }
    return k;
}

/* The launch that takes the result of product i, or the number of launches. */
static int32_t taker_of(const ink_cuda_lowered *l, int32_t i) {
    for (int32_t k = i + 1; k < l->n_launches; k++) {
        for (int j = 0; j < ink_cuda_max_in; j++) {
            if (ink_cuda_same_place(&l->launches[i].out[0], &l->launches[k].in[j])) return k;
        }
    }
    return l->n_launches;
}

/* What others take between the maker and the taker of a product's factor and result. */
static double seconds_meanwhile(const ink_cuda_lowered *l, int32_t i, int multiprocessors) {
    const int32_t maker = maker_of(l, i), taker = taker_of(l, i);
    /* After attention a product begins early, where that leaves room; a product takes the result at once. */
    if (maker < 0 || l->launches[maker].op == INK_OP_ATTENTION || taker == l->n_launches ||
        l->launches[taker].op == INK_OP_LINEAR)
        return 0;
    double seconds = 0;
    for (int32_t k = maker + 1; k < taker; k++) {
        const ink_cuda_launch *other = &l->launches[k];
        if (other->op == INK_OP_LINEAR && !other->beside) seconds += seconds_of(other, multiprocessors);
    }
    return seconds;
}

int64_t ink_cuda_beside_columns(const ink_cuda_lowered *lowered, int32_t i, int processors,
                                int multiprocessors) {
    const ink_cuda_launch *l = &lowered->launches[i];
    const double others = seconds_meanwhile(lowered, i, multiprocessors - processors);
    if (others <= 0) return 0;
    /* About one half remains, and is waited for too. */
    const double seconds = others + weights_of(l) * sizeof(uint16_t) / 2 / bytes_per_second_in_turn;
    const int64_t rounds = (int64_t)(seconds / seconds_of_tile(l)),
                  columns = rounds * processors * ink_beside_width;
    return columns < l->out[0].columns ? columns : l->out[0].columns;
}
