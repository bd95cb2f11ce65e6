#!/usr/bin/env python3
"""Writes tests/golden/ops.safetensors: small cases of every operation, computed by torch and diffusers.

The plain-C reference defines the operations for the other backends; these numbers are what keeps the
definition itself equal to the models' own code. Everything is computed in float64 from inputs that are exact
in their storage type and rounded once, except where the reference's float32 roundings are the point (rotary
angles, timestep embeddings, the scheduler, 8-bit pixels).

usage: make_op_golden.py [output file]; needs torch, diffusers, transformers, safetensors, numpy
Made with torch 2.15, diffusers 0.42.
"""

import os
import pathlib
import sys

# torch's vector functions are off by a unit in the last place here and there, depending on the processor.
os.environ["ATEN_CPU_CAPABILITY"] = "default"

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.autoencoders.autoencoder_kl_qwenimage import (
    QwenImageCausalConv3d,
    QwenImageResample,
    QwenImageRMS_norm,
)
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope, apply_rotary_emb_qwen
from diffusers.pipelines.qwenimage.pipeline_qwenimage import QwenImagePipeline
from safetensors.torch import save_file
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb

torch.set_num_threads(1)
torch.manual_seed(20)
tensors = {}


def put(name, value):
    """Stores a tensor; float64 results become float32."""
    value = value.detach()
    if value.dtype == torch.float64:
        value = value.float()
    tensors[name] = value.contiguous().clone()
    return value


def random(name, *shape, dtype=torch.float32, scale=1.0):
    """A random input that is exact in `dtype`; returns it in float64 to compute with."""
    return put(name, (torch.randn(*shape) * scale).to(dtype)).double()


def ints(name, values):
    return put(name, torch.tensor(values, dtype=torch.int32)).long()


def last(x):
    """[1, C, Y, X] or [1, C, 1, Y, X] -> [Y, X, C]"""
    return x.reshape(x.shape[1], x.shape[-2], x.shape[-1]).permute(1, 2, 0)


def first(x):
    """[Y, X, C] -> [1, C, Y, X]"""
    return x.permute(2, 0, 1)[None]


def matrices():
    table = random("embed_rows.table", 11, 24, dtype=torch.bfloat16)
    put("embed_rows.out", F.embedding(ints("embed_rows.ids", [3, 0, 10, 3, 7]), table))

    for name, dtype, act in [
        ("none", torch.bfloat16, lambda z: z),
        ("silu", torch.float16, F.silu),
        ("gelu", torch.float32, lambda z: F.gelu(z, approximate="tanh")),
    ]:
        x = random(f"linear.{name}.x", 13, 37, scale=2)
        w = random(f"linear.{name}.weight", 21, 37, dtype=dtype, scale=0.3)
        b = random(f"linear.{name}.bias", 21, dtype=dtype)
        put(f"linear.{name}.out", act(F.linear(x, w, b)))
    x = random("linear.1x1.x", 3, 5, 12)
    w = random("linear.1x1.weight", 6, 12, 1, 1, 1)
    put("linear.1x1.out", last(F.conv3d(first(x)[:, :, None], w)))


def set_weights(module, weight, bias):
    module = module.double()
    module.weight.data.copy_(weight)
    module.bias.data.copy_(bias)


def convolutions():
    x = random("conv2d.causal.x", 5, 7, 6)
    w = random("conv2d.causal.weight", 8, 6, 3, 3, 3, dtype=torch.bfloat16)
    b = random("conv2d.causal.bias", 8, dtype=torch.bfloat16)
    conv = QwenImageCausalConv3d(6, 8, 3, padding=1)
    set_weights(conv, w, b)
    put("conv2d.causal.out", last(conv(first(x)[:, :, None])))

    # Odd sizes, where padding after the end differs from padding before it.
    for mode, outputs in [("downsample2d", 6), ("upsample2d", 3)]:
        x = random(f"conv2d.{mode}.x", 5, 7, 6)
        w = random(f"conv2d.{mode}.weight", outputs, 6, 3, 3, dtype=torch.float16)
        b = random(f"conv2d.{mode}.bias", outputs, dtype=torch.float32)
        module = QwenImageResample(6, mode).double()
        set_weights(module.resample[1], w, b)
        put(f"conv2d.{mode}.out", last(module(first(x)[:, :, None])))

    x = random("conv2d.odd.x", 9, 6, 5)
    w = random("conv2d.odd.weight", 4, 5, 5, 2)
    put("conv2d.odd.out", last(F.conv2d(F.pad(first(x), (1, 0, 2, 3)), w, stride=2)))


def norms():
    x = random("rms_norm.x", 7, 40, scale=3)
    put("rms_norm.out", F.rms_norm(x, [40], random("rms_norm.weight", 40, dtype=torch.bfloat16), eps=1e-6))

    x = random("channel_norm.x", 4, 5, 12)
    gamma = random("channel_norm.weight", 12, 1, 1, 1, dtype=torch.bfloat16)
    norm = QwenImageRMS_norm(12, images=False).double()
    norm.gamma.data.copy_(gamma)
    z = norm(first(x)[:, :, None])
    put("channel_norm.out", last(z))
    put("channel_norm.silu", last(F.silu(z)))

    x = random("modulate.x", 6, 32)
    mod = random("modulate.mod", 2, 96)
    groups = torch.tensor([0, 0, 1, 0, 1, 1])
    shift, scale, gate = (part[groups] for part in mod.chunk(3, dim=-1))
    put("modulate.out", F.layer_norm(x, [32], eps=1e-6) * (1 + scale) + shift)
    put("gated_add.out", x + gate * random("gated_add.y", 6, 32))


def elements():
    x, y = random("silu.x", 3, 50, scale=4), random("silu.y", 3, 50)
    put("silu.out", F.silu(x))
    put("silu.mul", F.silu(x) * y)
    put("silu.add", x.float() + y.float())

    z = random("affine.x", 4, 5, 16)
    mean, std = random("affine.offset", 16), random("affine.scale", 16).abs()
    tensors["affine.scale"] = std.float()
    put("affine.out", z / (1 / std) + mean)

    image = random("picture.x", 6, 7, 3)
    put("picture.clamped", VaeImageProcessor.denormalize(image))
    # Every level, exactly between levels, and a little beside.
    levels = torch.arange(256, dtype=torch.float32)
    between = (levels[:255] + 0.5) / 255
    levels = torch.cat([levels / 255, between, between.nextafter(levels[:255])])
    put("to_u8.x", levels[:765].reshape(5, 51, 3))
    pil = VaeImageProcessor.numpy_to_pil(tensors["to_u8.x"].numpy())[0]
    put("to_u8.out", torch.from_numpy(np.array(pil)))

    x = random("stats.x", 3, 3000)
    tensors["stats.x"][1, 7], tensors["stats.x"][2, 9] = float("nan"), float("-inf")
    x = tensors["stats.x"].double()
    x = x[x.isfinite()]
    put("stats.out", torch.tensor([x.min(), x.max(), x.square().mean().sqrt(), 2], dtype=torch.float64))


def attention():
    heads, d = 4, 16
    # Two segments over two streams: text rows 0-4 and 5-11, image rows 0-8 and 9-14.
    parts = {
        (s, n): random(f"attention.joint.{n}{s}", rows, heads * d)
        for s, rows in ((0, 12), (1, 15))
        for n in "qkv"
    }
    outs = [torch.zeros(12, heads * d).double(), torch.zeros(15, heads * d).double()]
    for text, image in [(slice(0, 5), slice(0, 9)), (slice(5, 12), slice(9, 15))]:
        q, k, v = (
            torch.cat([parts[0, n][text], parts[1, n][image]]).unflatten(-1, (heads, d)).transpose(0, 1)
            for n in "qkv"
        )
        out = F.scaled_dot_product_attention(q, k, v).transpose(0, 1).flatten(1)
        outs[0][text], outs[1][image] = out[: text.stop - text.start], out[text.stop - text.start :]
    put("attention.joint.out0", outs[0])
    put("attention.joint.out1", outs[1])

    # Causal, six query heads on two key/value heads, rows 0-6 and 7-15, as the text encoder's.
    q = random("attention.causal.q", 16, 6 * d)
    k, v = random("attention.causal.k", 16, 2 * d), random("attention.causal.v", 16, 2 * d)
    out = torch.zeros(16, 6 * d, dtype=torch.float64)
    for rows in (slice(0, 7), slice(7, 16)):
        a, b, c = (t[rows].unflatten(-1, (-1, d)).transpose(0, 1)[None] for t in (q, k, v))
        attended = F.scaled_dot_product_attention(a, b, c, is_causal=True, enable_gqa=True)
        out[rows] = attended[0].transpose(0, 1).flatten(1)
    put("attention.causal.out", out)


def rotary():
    # The image's rows and columns are centred; text positions continue behind, equal on all axes.
    height, width, text = 5, 4, 7
    rope = QwenEmbedRope(theta=10000, axes_dim=[16, 56, 56], scale_rope=True)
    image_angles, text_angles = rope([[(1, height, width)]], max_txt_seq_len=text)
    positions = [
        [0, y - (height - height // 2), x - (width - width // 2)] for y in range(height) for x in range(width)
    ]
    positions += [[max(height // 2, width // 2) + i] * 3 for i in range(text)]
    ints("rotary_table.positions", positions)
    table = put("rotary_table.out", torch.view_as_real(torch.cat([image_angles, text_angles])))

    far = torch.tensor([0, 1, 1023, 4095])
    ints("rotary_table.far.positions", [[int(p)] * 3 for p in far])
    put("rotary_table.far.out", torch.view_as_real(rope.pos_freqs[far]))

    # The text encoder's: one axis, another theta.
    inverse = 1.0 / (1000000.0 ** (torch.arange(0, 32, 2, dtype=torch.int64).float() / 32))
    angles = torch.arange(9).float()[:, None] * inverse[None]
    ints("rotary_table.text.positions", [[i] for i in range(9)])
    half = put("rotary_table.text.out", torch.stack([angles.cos(), angles.sin()], dim=-1))

    x = random("head_norm_rotary.x", 27, 2 * 128)
    gain = random("head_norm_rotary.weight", 128, dtype=torch.bfloat16)
    normed = F.rms_norm(x.unflatten(-1, (2, 128)), [128], gain, eps=1e-6)
    put("head_norm_rotary.normed", normed.flatten(1))
    pairs, turns = (torch.view_as_complex(t) for t in (normed.reshape(27, 2, 64, 2), table.double()))
    turned = torch.view_as_real(pairs * turns[:, None]).flatten(2)
    ours = apply_rotary_emb_qwen(normed.float()[None], torch.view_as_complex(table), use_real=False)[0]
    assert (turned - ours).abs().max() < 1e-5, "the formula is not the reference's"
    put("head_norm_rotary.adjacent", turned.flatten(1))

    q = random("head_norm_rotary.q", 9, 3 * 32)
    cosine, sine = (torch.cat([half[..., i], half[..., i]], dim=-1).double()[None] for i in (0, 1))
    heads = q.unflatten(-1, (3, 32)).transpose(0, 1)[None]
    turned = apply_rotary_pos_emb(heads, heads, cosine, sine)[0][0]
    put("head_norm_rotary.half", turned.transpose(0, 1).flatten(1))


def loop():
    t = put("timestep.t", torch.tensor([1.0, 0.9681666, 0.731, 0.5, 0.02, 0.0]))
    options = {"flip_sin_to_cos": True, "downscale_freq_shift": 0, "scale": 1000}
    put("timestep.out", get_timestep_embedding(t, 256, **options))

    v = random("guidance.v", 10, 24)
    p, u = v[:5], v[5:]
    put("guidance.scale", torch.tensor([4.0]))
    combined = u + 4 * (p - u)
    put("guidance.plain", combined)
    put("guidance.rescaled", combined * (p.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True)))

    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=False, shift=1.0)
    scheduler.set_timesteps(sigmas=[1.0, 0.6, 0.25])
    x, change = random("euler.x", 5, 24).float(), random("euler.v", 5, 24).float()
    put("euler.dt", (scheduler.sigmas[1] - scheduler.sigmas[0])[None])
    put("euler.out", scheduler.step(change, scheduler.timesteps[0], x).prev_sample)


def moving():
    x = random("patches.x", 6, 8, 5).float()
    packed = QwenImagePipeline._pack_latents(first(x).contiguous(), 1, 5, 6, 8)
    put("patches.packed", packed[0])
    put("patches.unpacked", last(QwenImagePipeline._unpack_latents(packed, 48, 64, 8)[:, :, 0]))

    x = random("rows.x", 6, 10).float()
    put("rows.gathered", x[[5, 0, 0, 3]])
    put("rows.sliced", x[:, 3:8])
    put("rows.step", x[4])
    slot = torch.zeros(8, 12)
    slot[1:7, 2:12] = x
    put("rows.stored", slot)
    slot = torch.zeros(3, 6, 10)
    slot[2] = x
    put("rows.stored_step", slot)


def main():
    for part in (matrices, convolutions, norms, elements, attention, rotary, loop, moving):
        part()
    root = pathlib.Path(__file__).resolve().parent.parent
    path = sys.argv[1] if len(sys.argv) > 1 else root / "tests" / "golden" / "ops.safetensors"
    versions = f"torch {torch.__version__}"
    save_file(dict(sorted(tensors.items())), path, metadata={"made_with": versions.split("+")[0]})
    print(f"{path}: {len(tensors)} tensors, {pathlib.Path(path).stat().st_size} bytes")


if __name__ == "__main__":
    main()
