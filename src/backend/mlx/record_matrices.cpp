/*
 * Products with weights: rows of an embedding table, linear layers, convolutions.
 */
#include "backend/mlx/record.h"

namespace ink {

void recorder::record_embed_rows(const call &c) {
    const mx::array ids = input(c, 1);
    const quantized_matrix *q = constants_.quantized(c.node->inputs[0]);
    if (q) {
        const auto some = [&](const mx::array &of) { return mx::take(of, ids, 0); };
        return output(
            c, 0, act(mx::dequantize(some(q->numbers), some(q->scales), some(q->biases), q->group, q->bits)));
    }
    const mx::array table = input(c, 0);
    output(c, 0, act(mx::take(mx::reshape(table, {table.shape(0), -1}), ids, 0)));
}

/* In f32, so that the cube keeps its digits. */
static mx::array gelu_tanh(const mx::array &x) {
    const mx::array z = mx::astype(x, mx::float32);
    const mx::array cube = mx::multiply(z, mx::multiply(z, z));
    const mx::array inner = mx::add(z, mx::multiply(mx::array(0.044715f), cube));
    const mx::array t = mx::tanh(mx::multiply(mx::array(0.79788456080286535588f), inner)); /* sqrt(2/pi) */
    return mx::multiply(mx::multiply(mx::array(0.5f), z), mx::add(mx::array(1.0f), t));
}

/* x W^T + bias */
mx::array recorder::product(const call &c, const mx::array &x) const {
    const quantized_matrix *q = constants_.quantized(c.node->inputs[1]);
    if (q) {
        const mx::array y =
            mx::quantized_matmul(x, q->numbers, q->scales, q->biases, true, q->group, q->bits);
        return has(c, 2) ? mx::add(y, input(c, 2)) : y;
    }
    const mx::array weight = mx::transpose(input(c, 1)); /* a view: no second copy of it is made */
    return has(c, 2) ? mx::addmm(input(c, 2), x, weight) : mx::matmul(x, weight);
}

void recorder::record_linear(const call &c) {
    const mx::array x = as_matrix(act(input(c, 0)), shape(c, 0));
    const mx::array y = product(c, x);
    switch (c.node->params.linear.activation) {
    case INK_ACT_SILU:
        return output(c, 0, act(silu(mx::astype(y, mx::float32))));
    case INK_ACT_GELU_TANH:
        return output(c, 0, act(gelu_tanh(y)));
    default:
        return output(c, 0, y);
    }
}

void recorder::record_conv2d(const call &c) {
    const auto &p = c.node->params.conv;
    mx::array x = act(input(c, 0));
    if (p.upsample == 2) x = mx::repeat(mx::repeat(x, 2, 0), 2, 1);
    const int stride = to_int(p.stride);
    const std::vector<int> strides = {stride, stride}, pad_low = {to_int(p.pad_top), to_int(p.pad_left)},
                           pad_high = {to_int(p.pad_bottom), to_int(p.pad_right)}, no_dilation = {1, 1};
    const mx::array y = mx::conv_general(mx::expand_dims(x, 0), input(c, 1), strides, pad_low, pad_high,
                                         no_dilation, no_dilation);
    output(c, 0, has(c, 2) ? mx::add(y, input(c, 2)) : y);
}

} // namespace ink
