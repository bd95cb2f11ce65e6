#include "backend/mlx/operands.h"

#include <limits>
#include <new>
#include <stdexcept>
#include <unistd.h>

namespace ink {

mx::Dtype dtype_of(ink_dtype dtype) {
    switch (dtype) {
    case INK_F32:
        return mx::float32;
    case INK_BF16:
        return mx::bfloat16;
    case INK_F16:
        return mx::float16;
    case INK_I8:
        return mx::int8;
    case INK_I16:
        return mx::int16;
    case INK_I32:
        return mx::int32;
    case INK_I64:
        return mx::int64;
    case INK_U8:
        return mx::uint8;
    case INK_U16:
        return mx::uint16;
    case INK_U32:
        return mx::uint32;
    case INK_U64:
        return mx::uint64;
    case INK_BOOL:
        return mx::bool_;
    default:
        throw std::invalid_argument(std::string("MLX has no element type ") + ink_dtype_name(dtype));
    }
}

mx::Shape shape_of(const ink_shape &shape) {
    mx::Shape out;
    for (int i = 0; i < shape.rank; i++) {
        if (shape.dim[i] > std::numeric_limits<mx::ShapeElem>::max()) {
            char text[INK_SHAPE_TEXT_BYTES];
            throw std::invalid_argument(std::string("a tensor of shape ") + ink_shape_text(&shape, text) +
                                        " is larger than MLX can count");
        }
        out.push_back(static_cast<mx::ShapeElem>(shape.dim[i]));
    }
    return out;
}

void check_fits(ink_dtype dtype, const ink_shape &shape) {
    const double bytes =
        static_cast<double>(ink_shape_count(&shape)) * static_cast<double>(ink_dtype_bytes(dtype));
    const size_t limit = mx::get_memory_limit();
    if (bytes > static_cast<double>(limit)) {
        char own[INK_SHAPE_TEXT_BYTES], most[ink_bytes_text_size];
        throw too_large(std::string("a tensor ") + ink_shape_text(&shape, own) + " of " +
                        ink_dtype_name(dtype) + " is larger than the " +
                        ink_bytes_text(static_cast<int64_t>(limit), most) +
                        " that MLX may use; draw a smaller picture or fewer at once, or raise max ram if it "
                        "is set");
    }
    shape_of(shape);
    dtype_of(dtype);
}

static void keep(void *) {} /* the memory belongs to the weights */

mx::array array_over(const void *data, ink_dtype dtype, const ink_shape &shape, bool page_views) {
    /* MLX takes a pointer to memory that it may write; these arrays are held by the program, and MLX only
     * reuses the memory of arrays that nobody holds and that it allocated itself. */
    void *memory = const_cast<void *>(data);
    const size_t bytes = static_cast<size_t>(ink_shape_count(&shape)) * ink_dtype_bytes(dtype);
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t before = reinterpret_cast<uintptr_t>(data) % page;
    const size_t span = (before + bytes + page - 1) / page * page;
    const size_t unit = ink_dtype_bytes(dtype);
    if (!page_views || before % unit != 0 ||
        span / unit > static_cast<size_t>(std::numeric_limits<mx::ShapeElem>::max())) {
        return mx::array(memory, shape_of(shape), dtype_of(dtype), keep);
    }
    const mx::array pages(static_cast<char *>(memory) - before, {static_cast<int>(span / unit)},
                          dtype_of(dtype), keep);
    const int first = static_cast<int>(before / unit);
    const mx::array part = mx::slice(pages, {first}, {first + static_cast<int>(bytes / unit)});
    return mx::reshape(part, shape_of(shape));
}

mx::array array_copy(const void *data, ink_dtype dtype, const ink_shape &shape) {
    const size_t bytes = static_cast<size_t>(ink_shape_count(&shape)) * ink_dtype_bytes(dtype);
    mx::allocator::Data memory = mx::allocator::malloc(bytes);
    if (!memory.buffer().raw_ptr()) throw std::bad_alloc(); /* MLX on the CPU does not look */
    std::memcpy(memory.buffer().raw_ptr(), data, bytes);
    return mx::array(std::move(memory), shape_of(shape), dtype_of(dtype));
}

/* [O, I, KY, KX] or [O, I, KT, KY, KX] -> [O, KY, KX, I] */
static mx::array channels_last(const mx::array &weight) {
    mx::array w = weight;
    if (w.ndim() == 5) {
        const int times = w.shape(2);
        mx::Shape begin(5, 0), end = w.shape();
        begin[2] = times - 1;
        w = mx::squeeze(mx::slice(w, begin, end), 2);
    }
    return mx::contiguous(mx::transpose(w, {0, 2, 3, 1}));
}

mx::array in_form(const mx::array &x, form wanted, mx::Dtype activation) {
    switch (wanted) {
    case form::vector:
        return mx::astype(mx::reshape(x, {-1}), activation);
    case form::matrix:
        return mx::astype(mx::reshape(x, {x.shape(0), -1}), activation);
    case form::kernel:
        return mx::astype(channels_last(x), activation);
    default:
        return x;
    }
}

form form_of_input(ink_op op, int i) {
    switch (op) {
    case INK_OP_LINEAR:
        return i == 1 ? form::matrix : i == 2 ? form::vector : form::as_is;
    case INK_OP_CONV2D:
        return i == 1 ? form::kernel : i == 2 ? form::vector : form::as_is;
    case INK_OP_RMS_NORM:
    case INK_OP_CHANNEL_NORM:
    case INK_OP_HEAD_NORM_ROTARY:
        return i == 1 ? form::vector : form::as_is;
    default:
        return form::as_is;
    }
}

void operands::add_quantized(const ink_quantized &q, int32_t id, const settings &how) {
    if (quantized_.count(id)) return;
    const auto over = [&](const ink_weight *w) {
        return array_over(w->data, w->dtype, w->shape, how.page_views);
    };
    /* The products come out in the type of the scales. */
    const mx::array scales = mx::astype(over(q.scales), how.activation),
                    biases = mx::astype(over(q.biases), how.activation);
    const quantized_matrix made = {over(q.numbers), scales, biases, static_cast<int>(q.group), q.bits};
    quantized_.emplace(id, made);
    bytes_ += made.numbers.nbytes() + scales.nbytes() + biases.nbytes();
}

void operands::add(const ink_graph *graph, const settings &how, ink_value value, form wanted) {
    if (!value.id || fixed_.count({value.id, wanted})) return;
    const ink_value_info *info = ink_graph_value(graph, value.id);
    if (info->kind != INK_VALUE_WEIGHT && info->kind != INK_VALUE_CONSTANT) return;
    if (info->quantized) return add_quantized(*info->quantized, value.id, how);
    /* A graph may be freed while lazy arrays still need its constants; weights live as long as the model. */
    const mx::array raw = info->kind == INK_VALUE_WEIGHT
                              ? array_over(info->data, info->dtype, info->shape, how.page_views)
                              : array_copy(info->data, info->dtype, info->shape);
    const mx::array made = in_form(raw, wanted, how.activation);
    fixed_.emplace(std::make_pair(value.id, wanted), made);
    bytes_ += made.nbytes();
}

static const int32_t *rows_of(const ink_node *node, int64_t rows, int64_t *count) {
    *count = rows;
    switch (node->op) {
    case INK_OP_LAYER_NORM_MODULATE:
        return node->params.modulate.row_groups;
    case INK_OP_GATED_ADD:
        return node->params.gated_add.row_groups;
    case INK_OP_GATHER_ROWS:
        *count = node->params.gather.count;
        return node->params.gather.rows;
    default:
        return nullptr;
    }
}

operands::operands(const ink_graph *graph, const settings &how) {
    for (int32_t n = 0; n < ink_graph_node_count(graph); n++) {
        const ink_node *node = ink_graph_node(graph, n);
        for (int i = 0; i < node->n_inputs; i++) {
            add(graph, how, node->inputs[i], form_of_input(node->op, i));
        }
        const ink_shape shape = ink_value_shape(graph, node->inputs[0]);
        int64_t count;
        const int32_t *rows = rows_of(node, ink_shape_rows(&shape), &count);
        if (rows) rows_.emplace(n, array_copy(rows, INK_I32, ink_shape1(count)));
    }
    /* Once, here: an array that is not evaluated would be computed again in every run. */
    std::vector<mx::array> all;
    for (const auto &entry : fixed_) {
        all.push_back(entry.second);
    }
    for (const auto &entry : quantized_) {
        all.insert(all.end(), {entry.second.numbers, entry.second.scales, entry.second.biases});
    }
    mx::eval(all);
}

const mx::array &operands::fixed(ink_value value, form wanted) const {
    return fixed_.at({value.id, wanted});
}

const quantized_matrix *operands::quantized(ink_value value) const {
    const auto found = quantized_.find(value.id);
    return found == quantized_.end() ? nullptr : &found->second;
}

const mx::array &operands::rows(int32_t node) const {
    return rows_.at(node);
}

bool operands::has_rows(int32_t node) const {
    return rows_.count(node) != 0;
}

} // namespace ink
