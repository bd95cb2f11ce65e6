/*
 * Attention over segments, each with MLX's own attention and no mask but "causal".
 */
#include "backend/mlx/record.h"

#include <algorithm>
#include <cmath>

namespace ink {

/* Scores that may exist at once where MLX has no kernel that avoids them: 64 MiB of f32. */
static const int64_t max_scores = int64_t(1) << 24;

/* Does MLX have a fused kernel, which accumulates in f32 and never builds the scores? */
static bool is_fused(const settings &how, int head_dim) {
    return how.metal && (head_dim == 64 || head_dim == 80 || head_dim == 128);
}

/* q [1, H, S, D], k and v [1, KVH, S, D] -> [1, H, S, D]; values are finite. Elsewhere than in a fused
 * kernel: in f32, and a block of queries at a time. */
static mx::array attend(const settings &how, const mx::array &q, const mx::array &k, const mx::array &v,
                        float scale, bool causal) {
    const std::string mask = causal ? "causal" : "";
    const int length = q.shape(2);
    if (is_fused(how, q.shape(3))) return mx::fast::scaled_dot_product_attention(q, k, v, scale, mask);
    const mx::array q32 = mx::astype(q, mx::float32), k32 = mx::astype(k, mx::float32),
                    v32 = mx::astype(v, mx::float32);
    const int64_t scores_per_row = int64_t(q.shape(1)) * length;
    const int block = to_int(std::clamp<int64_t>(max_scores / scores_per_row, 1, length));
    std::vector<mx::array> blocks;
    for (int begin = 0; begin < length; begin += block) {
        const int end = std::min(begin + block, length);
        /* The last query of a causal block sees the keys up to its own; MLX aligns the mask to the ends. */
        const int visible = causal ? end : length;
        const auto part = [](const mx::array &x, int from, int to) {
            return mx::slice(x, {0, 0, from, 0}, {1, x.shape(1), to, x.shape(3)});
        };
        blocks.push_back(mx::fast::scaled_dot_product_attention(part(q32, begin, end), part(k32, 0, visible),
                                                                part(v32, 0, visible), scale, mask));
    }
    const mx::array out = blocks.size() == 1 ? blocks[0] : mx::concatenate(blocks, 2);
    return mx::astype(out, q.dtype());
}

/* 0 where x is finite, and elsewhere not finite. */
static mx::array what_is_not_finite(const mx::array &x) {
    return mx::subtract(x, mx::where(mx::isfinite(x), x, mx::zeros_like(x)));
}

/* The same where rows see no finite key: [1, KVH, S, 1]. */
static mx::array without_finite_key(const mx::array &k) {
    const mx::array usable = mx::all(mx::isfinite(k), 3, true);
    const mx::array seen = mx::cumsum(mx::astype(usable, mx::int32), 2);
    return mx::where(mx::greater(seen, mx::array(0)), mx::array(0.0f), mx::array(NAN));
}

/* What a row must not see, MLX gives a small finite score and multiplies by 0. But 0 times NaN is NaN, and
 * where all that the row may see scores -inf, the small score wins. So values are made finite first, and what
 * was lost is added to the rows which see it: running sums are 0 before the first and not finite from there
 * on.
 */
static mx::array attend_causal(const settings &how, const mx::array &q, const mx::array &k,
                               const mx::array &v, float scale) {
    const mx::array lost = what_is_not_finite(v);
    const mx::array out = attend(how, q, k, mx::where(mx::isfinite(v), v, mx::zeros_like(v)), scale, true);
    const int heads = v.shape(1), length = v.shape(2), dim = v.shape(3);
    const auto by_key_head = [&](const mx::array &x, int width) {
        return mx::reshape(x, {heads, -1, length, width});
    };
    mx::array whole = mx::add(by_key_head(out, dim), by_key_head(mx::cumsum(lost, 2), dim));
    whole = mx::add(whole, by_key_head(mx::sum(what_is_not_finite(q), 3, true), 1));
    whole = mx::add(whole, by_key_head(without_finite_key(k), 1));
    return mx::astype(mx::reshape(whole, out.shape()), out.dtype());
}

/* A stretch of rows of one stream's output. */
struct stretch {
    int64_t begin;
    mx::array rows;
};

/* The stretches in order, with zeros where no segment is. */
static mx::array assemble(std::vector<stretch> parts, int64_t total, int width, mx::Dtype dtype) {
    std::sort(parts.begin(), parts.end(),
              [](const stretch &a, const stretch &b) { return a.begin < b.begin; });
    std::vector<mx::array> pieces;
    int64_t at = 0;
    const auto fill_to = [&](int64_t row) {
        if (row > at) pieces.push_back(mx::zeros({to_int(row - at), width}, dtype));
        at = row;
    };
    for (const stretch &part : parts) {
        fill_to(part.begin);
        pieces.push_back(part.rows);
        at += part.rows.shape(0);
    }
    fill_to(total);
    return pieces.size() == 1 ? pieces[0] : mx::concatenate(pieces, 0);
}

void recorder::record_attention(const call &c) {
    const auto &p = c.node->params.attention;
    const int head_dim = to_int(p.head_dim), width = to_int(p.heads * p.head_dim);
    std::vector<mx::array> in; /* q, k, v of every stream */
    for (int i = 0; i < 3 * p.streams; i++) {
        in.push_back(as_matrix(act(input(c, i)), shape(c, i)));
    }
    std::vector<std::vector<stretch>> out(static_cast<size_t>(p.streams));
    for (int64_t n = 0; n < p.n_segments; n++) {
        const ink_segment &segment = p.segments[n];
        const auto sequence =
            [&](int which) { /* 0 q, 1 k, 2 v -> [1, heads, S, D] */
                             std::vector<mx::array> parts;
                             for (int s = 0; s < p.streams; s++) {
                                 if (segment.length[s] > 0)
                                     parts.push_back(rows(in[static_cast<size_t>(3 * s + which)],
                                                          segment.begin[s], segment.length[s]));
                             }
                             const mx::array joined =
                                 parts.size() == 1 ? parts[0] : mx::concatenate(parts, 0);
                             return mx::expand_dims(
                                 mx::transpose(mx::reshape(joined, {joined.shape(0), -1, head_dim}),
                                               {1, 0, 2}),
                                 0);
            };
        const mx::array q = sequence(0), k = sequence(1), v = sequence(2);
        const mx::array attended =
            p.causal ? attend_causal(how_, q, k, v, p.scale) : attend(how_, q, k, v, p.scale, false);
        const mx::array flat = mx::reshape(mx::transpose(attended, {0, 2, 1, 3}), {-1, width});
        int64_t row = 0;
        for (int s = 0; s < p.streams; s++) {
            if (segment.length[s] > 0)
                out[static_cast<size_t>(s)].push_back({segment.begin[s], rows(flat, row, segment.length[s])});
            row += segment.length[s];
        }
    }
    for (int s = 0; s < p.streams; s++) {
        const ink_shape matrix = shape(c, 3 * s);
        output(c, s,
               assemble(std::move(out[static_cast<size_t>(s)]), ink_shape_rows(&matrix), width,
                        how_.activation));
    }
}

} // namespace ink
