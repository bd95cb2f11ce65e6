/*
 * Cases: products with weights.
 */
#include "cases.h"

static void record_embed_rows(trial *t) {
    const int64_t vocabulary = draw_length(t, 60);
    const ink_value table = new_weight(t, ink_shape2(vocabulary, draw_length(t, 300)), 1);
    ink_embed_rows(t->graph, table, new_ints(t, ink_shape1(draw_length(t, 60)), 0, vocabulary - 1));
}

static ink_activation draw_activation(trial *t) {
    return (ink_activation)draw_int(t, INK_ACT_NONE, INK_ACT_GELU_TANH);
}

/* Mostly small, now and then larger than what a kernel takes at a time. */
static void record_linear(trial *t) {
    const bool large = draw_chance(t, 25);
    const int64_t inputs = draw_length(t, large ? 700 : 140);
    const int64_t rows = large ? draw_length(t, 800) : draw_length(t, 40);
    ink_shape weight = ink_shape2(draw_length(t, large ? 300 : 140), inputs);
    if (draw_chance(t, 4)) {
        weight.rank = (int)draw_int(t, 3, INK_MAX_RANK);
        for (int i = 2; i < weight.rank; i++) {
            weight.dim[i] = 1;
        }
    }
    const ink_value x = new_activation(t, draw_shape(t, rows, inputs), draw_values(t, VALUES_ANY));
    const ink_value w = new_weight(t, weight, draw_chance(t, 5) ? 1e-5f : 1);
    const ink_value bias = draw_chance(t, 3) ? INK_NO_VALUE : new_weight(t, ink_shape1(weight.dim[0]), 2);
    ink_linear(t->graph, x, w, bias, draw_activation(t));
}

/* The slopes of both activations stay below 1.2, and each adds an error relative to its argument. */
static double activation_units(const trial *t) {
    return t->node->params.linear.activation == INK_ACT_NONE ? 0 : 8 * unit();
}

static double tolerate_linear(trial *t, int result, int64_t index, double want) {
    (void)result, (void)want;
    const int64_t inputs = columns_of(&t->in[0]), outputs = columns_of(&t->out[0]);
    const int64_t r = index / outputs, o = index % outputs;
    double magnitude = fabs(w_at(t, 2, o));
    for (int64_t i = 0; i < inputs; i++) {
        magnitude += fabs(x_at(t, 0, r * inputs + i) * w_at(t, 1, o * inputs + i));
    }
    return magnitude * (1.2 * sum_units((double)inputs) + activation_units(t));
}

static void record_conv2d(trial *t) {
    const bool large = draw_chance(t, 25);
    const int64_t usual = draw_chance(t, 3) ? draw_int(t, 1, 7) : 3;
    const int64_t kernel_y = draw_chance(t, 6) ? draw_int(t, 1, 7) : usual, kernel_x = usual;
    ink_conv_options o = {.stride = draw_int(t, 1, 2), .upsample = draw_int(t, 1, 2)};
    o.pad_top = draw_int(t, 0, kernel_y - 1);
    o.pad_bottom = draw_int(t, 0, kernel_y - 1);
    o.pad_left = draw_int(t, 0, kernel_x - 1);
    o.pad_right = draw_int(t, 0, kernel_x - 1);
    /* The smallest picture on which the kernel has a place, and up to some more. */
    int64_t y = (kernel_y - o.pad_top - o.pad_bottom + o.upsample - 1) / o.upsample;
    int64_t x = (kernel_x - o.pad_left - o.pad_right + o.upsample - 1) / o.upsample;
    y = (y < 1 ? 1 : y) + draw_length(t, large ? 40 : 12) - 1;
    x = (x < 1 ? 1 : x) + draw_length(t, large ? 60 : 20) - 1;
    const int64_t inputs = draw_length(t, large ? 100 : 36), outputs = draw_length(t, large ? 40 : 36);
    ink_shape kernel = ink_shape4(outputs, inputs, kernel_y, kernel_x);
    if (draw_chance(t, 2)) {
        kernel = (ink_shape){.rank = 5, .dim = {outputs, inputs, draw_int(t, 1, 3), kernel_y, kernel_x}};
    }
    const ink_value picture =
        new_activation(t, ink_shape3(y, x, inputs), draw_values(t, VALUES_ANY & ~VALUES_OFFSET));
    const ink_value weight = new_weight(t, kernel, 1);
    const ink_value bias = draw_chance(t, 3) ? INK_NO_VALUE : new_weight(t, ink_shape1(outputs), 2);
    ink_conv2d(t->graph, picture, weight, bias, &o);
}

/* The same convolution of magnitudes. */
static double tolerate_conv2d(trial *t, int result, int64_t index, double want) {
    (void)result, (void)want;
    const ink_shape *in = &t->in[0].shape, *w = &t->in[1].shape, *out = &t->out[0].shape;
    const int64_t o = index % out->dim[2], x = index / out->dim[2] % out->dim[1];
    const int64_t y = index / out->dim[2] / out->dim[1];
    const int64_t kernel_y = w->dim[w->rank - 2], kernel_x = w->dim[w->rank - 1];
    const int64_t times = w->rank == 5 ? w->dim[2] : 1, up = t->node->params.conv.upsample;
    double magnitude = fabs(w_at(t, 2, o));
    for (int64_t i = 0; i < in->dim[2]; i++) {
        for (int64_t k = 0; k < kernel_y * kernel_x; k++) {
            const int64_t at_y =
                y * t->node->params.conv.stride + k / kernel_x - t->node->params.conv.pad_top;
            const int64_t at_x =
                x * t->node->params.conv.stride + k % kernel_x - t->node->params.conv.pad_left;
            if (at_y < 0 || at_x < 0 || at_y >= in->dim[0] * up || at_x >= in->dim[1] * up) continue;
            const int64_t tap = ((o * in->dim[2] + i) * times + times - 1) * kernel_y * kernel_x + k;
            magnitude +=
                fabs(x_at(t, 0, (at_y / up * in->dim[1] + at_x / up) * in->dim[2] + i) * w_at(t, 1, tap));
        }
    }
    return magnitude * sum_units((double)(in->dim[2] * kernel_y * kernel_x));
}

case_group cases_matrices(void) {
    static const kernel_case cases[] = {
        {INK_OP_EMBED_ROWS, 40, record_embed_rows, NULL},
        {INK_OP_LINEAR, 150, record_linear, tolerate_linear},
        {INK_OP_CONV2D, 150, record_conv2d, tolerate_conv2d},
    };
    return (case_group){cases, sizeof cases / sizeof cases[0]};
}
