#include "backend/mlx/program.h"

#include "backend/mlx/record.h"

namespace ink {

static size_t slot_count(const ink_graph *graph) {
    size_t n = 0;
    while (ink_graph_slot(graph, n).id) {
        n++;
    }
    return n;
}

static const ink_value_info *slot_info(const ink_graph *graph, size_t i) {
    return ink_graph_value(graph, ink_graph_slot(graph, i).id);
}

static bool is_store(const ink_node *node) {
    return node->op == INK_OP_STORE || node->op == INK_OP_STORE_STEP;
}

static void find_stored(program &p) {
    for (int32_t n = 0; n < ink_graph_node_count(p.graph); n++) {
        const ink_node *node = ink_graph_node(p.graph, n);
        for (size_t i = 0; is_store(node) && i < p.stored.size(); i++) {
            if (ink_graph_slot(p.graph, i).id == node->inputs[0].id) p.stored[i] = true;
        }
    }
}

std::unique_ptr<program> compile_program(backend &owner, const ink_graph *graph) {
    auto p = std::make_unique<program>();
    p->api = owner.api;
    p->owner = &owner;
    p->graph = graph;
    p->bound.resize(slot_count(graph), nullptr);
    p->stored.resize(p->bound.size(), false);
    find_stored(*p);
    for (int32_t id = 1; id <= ink_graph_value_count(graph); id++) {
        const ink_value_info *info = ink_graph_value(graph, id);
        check_fits(info->dtype, info->quantized ? info->quantized->numbers->shape : info->shape);
    }
    p->constants = std::make_unique<operands>(graph, owner.how);
    const operands *constants = p->constants.get();
    const settings *how = &owner.how;
    p->function = [graph, constants, how](const std::vector<mx::array> &in) {
        recorder r(graph, *constants, *how, std::vector<mx::array>(in.begin(), in.end() - 1), in.back());
        return r.record();
    };
    /* Traced in the first run; later runs replay the trace with the step as an input. */
    if (how->compiled) p->function = mx::compile(p->function);
    return p;
}

ink_status bind_slot(program &p, const char *slot, buffer *b, ink_error *error) {
    for (size_t i = 0; i < p.bound.size(); i++) {
        const ink_value_info *info = slot_info(p.graph, i);
        if (std::strcmp(info->name, slot) != 0) continue;
        if (info->dtype != b->dtype || ink_shape_count(&info->shape) != ink_shape_count(&b->shape)) {
            char want[INK_SHAPE_TEXT_BYTES], got[INK_SHAPE_TEXT_BYTES];
            return ink_fail(error, INK_ERROR_INTERNAL, "slot '%s' is %s %s and cannot take a buffer of %s %s",
                            slot, ink_dtype_name(info->dtype), ink_shape_text(&info->shape, want),
                            ink_dtype_name(b->dtype), ink_shape_text(&b->shape, got));
        }
        p.bound[i] = b;
        return INK_OK;
    }
    return ink_fail(error, INK_ERROR_INTERNAL, "the program has no slot '%s'", slot);
}

/* Every slot must be bound, and the step must exist in the tables that are read with it. */
static ink_status check_run(const program &p, int64_t step, ink_error *error) {
    for (size_t i = 0; i < p.bound.size(); i++) {
        if (!p.bound[i])
            return ink_fail(error, INK_ERROR_INTERNAL, "slot '%s' is not bound", slot_info(p.graph, i)->name);
    }
    for (int32_t n = 0; n < ink_graph_node_count(p.graph); n++) {
        const ink_node *node = ink_graph_node(p.graph, n);
        if (node->op != INK_OP_STEP_ROW && node->op != INK_OP_STORE_STEP) continue;
        const int64_t steps = ink_graph_value(p.graph, node->inputs[0].id)->shape.dim[0];
        if (step < 0 || step >= steps) {
            return ink_fail(error, INK_ERROR_INTERNAL,
                            "step %" PRId64 " does not exist: the table has %" PRId64, step, steps);
        }
    }
    return INK_OK;
}

ink_status run_program(program &p, int64_t step, const ink_run_control *control, ink_error *error) {
    INK_TRY(check_run(p, step, error));
    if (control && control->cancelled && control->cancelled(control->user))
        return ink_fail(error, INK_ERROR_CANCELLED, "the run was cancelled");
    std::vector<mx::array> in;
    for (size_t i = 0; i < p.bound.size(); i++) {
        in.push_back(mx::reshape(*p.bound[i]->value, shape_of(slot_info(p.graph, i)->shape)));
    }
    in.push_back(mx::array(static_cast<int32_t>(step)));
    const std::vector<mx::array> out = p.function(in);
    for (size_t i = 0; i < p.bound.size(); i++) {
        if (!p.stored[i]) continue;
        p.bound[i]->value = mx::reshape(out[i], shape_of(p.bound[i]->shape));
        p.owner->pending.insert(p.bound[i]);
    }
    p.runs++;
    return INK_OK;
}

static std::vector<mx::array> pending_arrays(const backend &owner) {
    std::vector<mx::array> arrays;
    for (const buffer *b : owner.pending) {
        arrays.push_back(*b->value);
    }
    return arrays;
}

void submit_program(program &p) {
    const std::vector<mx::array> arrays = pending_arrays(*p.owner);
    if (arrays.empty()) return;
    mx::async_eval(arrays);
    p.submissions.push_back({p.runs, arrays.front()});
}

int64_t finished_runs(program &p) {
    while (!p.submissions.empty() && p.submissions.front().marker.is_available()) {
        p.finished = p.submissions.front().runs;
        p.submissions.pop_front();
    }
    return p.finished;
}

void evaluate_pending(backend &owner) {
    const std::vector<mx::array> arrays = pending_arrays(owner);
    owner.pending.clear(); /* also if it fails: the arrays of a failed evaluation cannot be had */
    if (!arrays.empty()) mx::eval(arrays);
}

} // namespace ink
