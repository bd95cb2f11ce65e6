#!/usr/bin/env python3
"""Makes a small random Qwen-Image checkpoint with chosen dimensions, in the Hugging Face layout.

The networks are the classes of diffusers and transformers, so what they compute is the reference. Weights are of
useful size: matrices keep the scale of what passes through them, biases and gains are not trivial, so that an error
anywhere shows at the output.

usage: make_tiny_model.py OUTPUT [--preset NAME] [--seed N]; presets are listed below
needs torch, diffusers, transformers, safetensors
"""

import argparse
import json
import pathlib
import shutil

import torch
from diffusers import AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImageTransformer2DModel
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOKENIZER = ROOT / "models/emoji/tokenizer"

# text: hidden, layers, heads, key/value heads, mlp; transformer: heads, head size, layers, axes; VAE: base, blocks,
# multipliers, latent channels. `flat` writes text_encoder/config.json and tensor names as older transformers did.
PRESETS = {
    "odd": dict(text=(84, 2, 7, 7, 52), net=(1, 64, 2, (16, 24, 24)), vae=(12, 1, (1, 2, 3), 8), dtype="bf16",
                flat=True, shard="100KB"),
    "head128": dict(text=(128, 2, 4, 1, 96), net=(2, 128, 2, (16, 56, 56)), vae=(16, 2, (1, 2, 4, 4), 16),
                    dtype="bf16", flat=False, shard="10GB"),
    "kv7": dict(text=(448, 3, 7, 7, 300), net=(3, 64, 3, (8, 28, 28)), vae=(24, 1, (1, 2, 2, 4), 16), dtype="f32",
                flat=False, shard="2MB"),
    "kv1": dict(text=(96, 2, 6, 1, 64), net=(5, 32, 1, (8, 12, 12)), vae=(8, 3, (1, 3), 4), dtype="f16", flat=True,
                shard="10GB"),
}
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def randomise(module, generator):
    for name, p in module.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        if name.endswith("bias"):
            p.data = 0.1 * noise
        elif p.ndim == 1 or name.endswith("gamma"):
            p.data = 1 + 0.2 * noise
        else:
            p.data = noise / (p[0].numel() ** 0.5)
    return module


def text_encoder(vocab, text, generator):
    hidden, layers, heads, kv_heads, mlp = text
    half = hidden // heads // 2
    sections = [half - 2 * (half // 3), half // 3, half // 3]
    config = Qwen2_5_VLConfig(
        text_config=dict(hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                         num_key_value_heads=kv_heads, intermediate_size=mlp, vocab_size=vocab,
                         rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": sections},
                         tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, pad_token_id=0),
        vision_config=dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=1, out_hidden_size=hidden,
                           fullatt_block_indexes=[0]),
        tie_word_embeddings=True)
    return randomise(Qwen2_5_VLForConditionalGeneration(config), generator)


def transformer(hidden, net, latent_channels, generator):
    heads, head_size, layers, axes = net
    model = QwenImageTransformer2DModel(
        patch_size=2, in_channels=4 * latent_channels, out_channels=latent_channels, num_layers=layers,
        attention_head_dim=head_size, num_attention_heads=heads, joint_attention_dim=hidden, axes_dims_rope=axes)
    return randomise(model, generator)


def vae(sizes, generator):
    base, blocks, multipliers, latent_channels = sizes
    mean = (0.5 * torch.randn(latent_channels, generator=generator)).tolist()
    std = (1 + torch.rand(latent_channels, generator=generator)).tolist()
    model = AutoencoderKLQwenImage(
        base_dim=base, z_dim=latent_channels, dim_mult=list(multipliers), num_res_blocks=blocks,
        temperal_downsample=[False] + [True] * (len(multipliers) - 2), latents_mean=mean, latents_std=std)
    return randomise(model, generator)


def flatten(folder):
    """Text settings at the top level and names without "language_model", as transformers wrote before 4.52."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    inner = config.pop("text_config")
    rope = inner.pop("rope_parameters")
    inner.update(rope_theta=rope["rope_theta"],
                 rope_scaling={"type": "default", "mrope_section": rope["mrope_section"]})
    config.update({k: v for k, v in inner.items() if k not in ("model_type", "layer_types")})
    path.write_text(json.dumps(config, indent=2) + "\n")
    for file in folder.glob("*.safetensors"):
        tensors = {name.replace("model.language_model.", "model.").replace("model.visual.", "visual."): tensor
                   for name, tensor in load_file(file).items()}
        save_file(tensors, file, metadata={"format": "pt"})
    for file in folder.glob("*.index.json"):
        file.write_text(file.read_text().replace("model.language_model.", "model.").replace("model.visual.", "visual."))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--preset", choices=PRESETS, default="odd")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    preset, out = PRESETS[arguments.preset], arguments.output
    generator = torch.Generator().manual_seed(arguments.seed)
    vocab = len(json.loads((TOKENIZER / "vocab.json").read_text())) + 64
    dtype, shard = DTYPES[preset["dtype"]], preset["shard"]

    parts = {
        "text_encoder": text_encoder(vocab, preset["text"], generator),
        "transformer": transformer(preset["text"][0], preset["net"], preset["vae"][3], generator),
        "vae": vae(preset["vae"], generator),
    }
    for name, model in parts.items():
        model.to(dtype).save_pretrained(out / name, max_shard_size=shard)
    if preset["flat"]:
        flatten(out / "text_encoder")
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, base_image_seq_len=256, max_image_seq_len=8192,
        shift_terminal=0.02, time_shift_type="exponential")
    scheduler.save_pretrained(out / "scheduler")
    shutil.copytree(TOKENIZER, out / "tokenizer", dirs_exist_ok=True)
    index = json.loads((ROOT / "models/emoji/model_index.json").read_text())
    (out / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


if __name__ == "__main__":
    main()
