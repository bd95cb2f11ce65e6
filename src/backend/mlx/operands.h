/*
 * Values that do not change between runs, as MLX arrays: weights and constants in the form that an operation
 * wants them, and the index tables of nodes. Made once per program.
 */
#ifndef INK_BACKEND_MLX_OPERANDS_H
#define INK_BACKEND_MLX_OPERANDS_H

#include "backend/mlx/common.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace ink {

enum class form {
    as_is,  /* the value's own dtype and shape */
    vector, /* [count], activation type */
    matrix, /* [outputs, inputs], activation type */
    kernel  /* [O, KY, KX, I], activation type: the last time slice of a convolution's weight */
};

mx::Dtype dtype_of(ink_dtype dtype);        /* std::invalid_argument for types that MLX does not have */
mx::Shape shape_of(const ink_shape &shape); /* std::invalid_argument for dims that MLX cannot count */

/* Throws what the two above throw, and too_large for a tensor that is larger than all memory that MLX
 * may use: on the CPU it would not notice that an allocation fails. */
void check_fits(ink_dtype dtype, const ink_shape &shape);

/* An array over `data`, without a copy where MLX can, else with one. With page_views the array is a view of
 * the memory pages around it: Metal takes foreign memory only in whole pages. */
mx::array array_over(const void *data, ink_dtype dtype, const ink_shape &shape, bool page_views);

/* An array with its own copy of `data`. */
mx::array array_copy(const void *data, ink_dtype dtype, const ink_shape &shape);

/* `x` in another form. */
mx::array in_form(const mx::array &x, form wanted, mx::Dtype activation);

/* A weight that stays small integers; see weights/quantized.h. */
struct quantized_matrix {
    mx::array numbers, scales, biases;
    int group, bits;
};

class operands {
  public:
    /* Makes and evaluates everything that the graph's nodes need. */
    operands(const ink_graph *graph, const settings &how);

    /* A weight or constant in the form that was asked for when the graph was walked. */
    const mx::array &fixed(ink_value value, form wanted) const;
    /* The three arrays of a quantised weight; nullptr for any other value. */
    const quantized_matrix *quantized(ink_value value) const;
    /* Row groups or gathered rows of a node, i32. */
    const mx::array &rows(int32_t node) const;
    bool has_rows(int32_t node) const;

    size_t bytes() const { return bytes_; }

  private:
    void add_quantized(const ink_quantized &q, int32_t id, const settings &how);
    void add(const ink_graph *graph, const settings &how, ink_value value, form wanted);

    std::map<std::pair<int32_t, form>, mx::array> fixed_;
    std::map<int32_t, quantized_matrix> quantized_;
    std::map<int32_t, mx::array> rows_;
    size_t bytes_ = 0;
};

/* The form in which operation `op` reads its input `i`. */
form form_of_input(ink_op op, int i);

} // namespace ink

#endif
