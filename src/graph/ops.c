#include "graph/ops.h"

static const struct {
    const char *name;
    int inplace;
} ops[INK_OP_COUNT] = {
    [INK_OP_EMBED_ROWS] = {"embed_rows", -1},
    [INK_OP_LINEAR] = {"linear", -1},
    [INK_OP_RMS_NORM] = {"rms_norm", 0},
    [INK_OP_CHANNEL_NORM] = {"channel_norm", 0},
    [INK_OP_LAYER_NORM_MODULATE] = {"layer_norm_modulate", 0},
    [INK_OP_ADD] = {"add", 0},
    [INK_OP_GATED_ADD] = {"gated_add", 0},
    [INK_OP_SILU] = {"silu", 0},
    [INK_OP_SILU_MUL] = {"silu_mul", 0},
    [INK_OP_HEAD_NORM_ROTARY] = {"head_norm_rotary", 0},
    [INK_OP_ATTENTION] = {"attention", -1},
    [INK_OP_ROTARY_TABLE] = {"rotary_table", -1},
    [INK_OP_TIMESTEP_EMBEDDING] = {"timestep_embedding", -1},
    [INK_OP_GATHER_ROWS] = {"gather_rows", -1},
    [INK_OP_SLICE_COLUMNS] = {"slice_columns", -1},
    [INK_OP_STEP_ROW] = {"step_row", -1},
    [INK_OP_STORE] = {"store", -1},
    [INK_OP_STORE_STEP] = {"store_step", -1},
    [INK_OP_GUIDANCE] = {"guidance", -1},
    [INK_OP_EULER_STEP] = {"euler_step", 0},
    [INK_OP_PACK_PATCHES] = {"pack_patches", -1},
    [INK_OP_UNPACK_PATCHES] = {"unpack_patches", -1},
    [INK_OP_CHANNEL_AFFINE] = {"channel_affine", 0},
    [INK_OP_AFFINE_CLAMP] = {"affine_clamp", 0},
    [INK_OP_CONV2D] = {"conv2d", -1},
    [INK_OP_TO_U8] = {"to_u8", -1},
    [INK_OP_STATS] = {"stats", -1},
};

const char *ink_op_name(ink_op op) {
    return ops[op].name;
}

int ink_op_inplace(ink_op op) {
    return ops[op].inplace;
}
