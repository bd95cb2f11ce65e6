/*
 * The kernels of one level, put into a table. Included by level_<name>.c, which has defined INK_LEVEL and
 * INK_KERNELS, the name of the function.
 */
#include "backend/cpu/attention.h"
#include "backend/cpu/conv.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/linear.h"
#include "backend/cpu/rows.h"

void INK_KERNELS(ink_kernel_table *table) {
    ink_kernel *k = table->kernel;
    k[INK_OP_LINEAR] = (ink_kernel){.run = linear_run, .scratch_bytes = linear_scratch};
    k[INK_OP_ATTENTION] = (ink_kernel){.run = attention_run, .scratch_bytes = attention_scratch};
    k[INK_OP_CONV2D] = (ink_kernel){.run = conv_run, .scratch_bytes = conv_scratch, .prepare = conv_prepare};
    k[INK_OP_RMS_NORM] = (ink_kernel){.run = rms_norm_run, .scratch_bytes = gain_scratch};
    k[INK_OP_CHANNEL_NORM] = (ink_kernel){.run = channel_norm_run, .scratch_bytes = gain_scratch};
    k[INK_OP_HEAD_NORM_ROTARY] = (ink_kernel){.run = head_run, .scratch_bytes = gain_scratch};
    k[INK_OP_LAYER_NORM_MODULATE] = (ink_kernel){.run = modulate_run};
    k[INK_OP_GATED_ADD] = (ink_kernel){.run = gated_add_run};
    k[INK_OP_GUIDANCE] = (ink_kernel){.run = guidance_run};
    k[INK_OP_CHANNEL_AFFINE] = (ink_kernel){.run = channel_affine_run};
    k[INK_OP_ADD] = (ink_kernel){.run = add_run};
    k[INK_OP_SILU] = (ink_kernel){.run = silu_run};
    k[INK_OP_SILU_MUL] = (ink_kernel){.run = silu_mul_run};
    k[INK_OP_EULER_STEP] = (ink_kernel){.run = euler_run};
    k[INK_OP_AFFINE_CLAMP] = (ink_kernel){.run = affine_clamp_run};
    k[INK_OP_TO_U8] = (ink_kernel){.run = to_u8_run};
    k[INK_OP_STATS] = (ink_kernel){.run = stats_run, .scratch_bytes = stats_scratch};
}
