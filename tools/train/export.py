"""Writes the trained networks as a folder that Inkstone and diffusers' QwenImagePipeline load.

    python tools/train/export.py --vae build/train/vae --flow build/train/flow --tokenizer build/train/tokenizer \
        --out models/emoji

Needs diffusers and transformers. What a small model does not use stays in the files as zeros, because the classes
have it: older time slices of the VAE's kernels, its attention in the middle, a vision tower of one layer.
"""

import argparse
import json
import pathlib
import shutil
import tempfile

import torch
from diffusers import (AutoencoderKLQwenImage, FlowMatchEulerDiscreteScheduler, QwenImagePipeline,
                       QwenImageTransformer2DModel)
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

import checkpoint

DEFAULTS = {"width": 128, "height": 128, "steps": 8, "guidance": 2.5, "negative_prompt": " "}


def make_vae(folder):
    tensors, facts = checkpoint.load(folder, "vae")
    mean, spread = tensors.pop("latents_mean"), tensors.pop("latents_std")
    module = AutoencoderKLQwenImage(
        base_dim=facts["base_dim"], z_dim=16, dim_mult=list(facts["dim_mult"]), num_res_blocks=1, attn_scales=[],
        temperal_downsample=[False, True, True], latents_mean=mean.tolist(), latents_std=spread.tolist())
    unused = set(tensors)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if name in tensors:
                unused.remove(name)
                p.zero_()
                target = p[:, :, -1] if p.ndim == 5 else p  # a single picture meets the last time slice
                target.copy_(tensors[name].reshape(target.shape))
            elif ".time_conv." in name or ".attentions." in name:
                p.fill_(1.0) if name.endswith("gamma") else p.zero_()
            else:
                raise ValueError(f"the checkpoint has no {name}")
    assert not unused, unused
    return module


def make_transformer(tensors, facts):
    prefix = "transformer."
    state = {name[len(prefix):]: t for name, t in tensors.items() if name.startswith(prefix)}
    module = QwenImageTransformer2DModel(
        patch_size=2, in_channels=64, out_channels=16, num_layers=facts["layers"], attention_head_dim=32,
        num_attention_heads=facts["width"] // 32, joint_attention_dim=state["txt_norm.weight"].numel(),
        guidance_embeds=False, axes_dims_rope=(8, 12, 12))
    module.load_state_dict(state, strict=True)
    return module


def make_text_encoder(tensors, facts, added):
    prefix = "text_encoder."
    state = {name[len(prefix):]: t for name, t in tensors.items() if name.startswith(prefix)}
    vocabulary, width = state["embed_tokens.weight"].shape
    head_dim = width // 4
    kv_heads = state["layers.0.self_attn.k_proj.weight"].shape[0] // head_dim
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": width, "intermediate_size": state["layers.0.mlp.gate_proj.weight"].shape[0],
            "num_hidden_layers": facts["text_layers"], "num_attention_heads": 4, "num_key_value_heads": kv_heads,
            "vocab_size": vocabulary, "rms_norm_eps": 1e-6, "max_position_embeddings": 4096, "rope_theta": 1e6,
            "tie_word_embeddings": True, "bos_token_id": added["<|endoftext|>"], "eos_token_id": added["<|im_end|>"],
            "pad_token_id": added["<|endoftext|>"],
            "rope_scaling": {"type": "default", "rope_type": "default", "rope_theta": 1e6,
                             "mrope_section": [head_dim // 8, head_dim * 3 // 16, head_dim * 3 // 16]}},
        vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 1, "out_hidden_size": width,
                       "fullatt_block_indexes": [0], "window_size": 112, "patch_size": 14, "spatial_merge_size": 2,
                       "temporal_patch_size": 2},
        vocab_size=vocabulary, tie_word_embeddings=True, vision_start_token_id=added["<|vision_start|>"],
        vision_end_token_id=added["<|vision_end|>"], image_token_id=added["<|image_pad|>"],
        video_token_id=added["<|video_pad|>"])
    module = Qwen2_5_VLForConditionalGeneration(config)
    unused = set(state)
    with torch.no_grad():
        for name, p in module.named_parameters():
            if "language_model." in name:
                own = name.split("language_model.")[1]
                p.copy_(state[own])
                unused.remove(own)
            else:
                p.fill_(1.0) if p.ndim == 1 and name.endswith("weight") else p.zero_()
    assert not unused, unused
    return module


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vae", type=pathlib.Path, default=pathlib.Path("build/train/vae"))
    parser.add_argument("--flow", type=pathlib.Path, default=pathlib.Path("build/train/flow"))
    parser.add_argument("--tokenizer", type=pathlib.Path, default=pathlib.Path("build/train/tokenizer"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("models/emoji"))
    parser.add_argument("--dtype", choices=["bfloat16", "float32"], default="bfloat16")
    options = parser.parse_args()
    tensors, facts = checkpoint.load(options.flow, "flow")
    added = json.loads((options.tokenizer / "added_tokens.json").read_text())
    pipeline = QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            num_train_timesteps=1000, shift=1.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9,
            base_image_seq_len=256, max_image_seq_len=8192, shift_terminal=0.02, time_shift_type="exponential"),
        vae=make_vae(options.vae), text_encoder=make_text_encoder(tensors, facts, added),
        tokenizer=Qwen2Tokenizer.from_pretrained(options.tokenizer), transformer=make_transformer(tensors, facts))
    dtype = getattr(torch, options.dtype)
    with tempfile.TemporaryDirectory() as scratch:
        for module in (pipeline.vae, pipeline.text_encoder, pipeline.transformer):
            module.to(dtype)
        pipeline.save_pretrained(scratch)
        options.out.mkdir(parents=True, exist_ok=True)
        for part in ("scheduler", "text_encoder", "transformer", "vae", "tokenizer"):
            shutil.rmtree(options.out / part, ignore_errors=True)
        for part in ("scheduler", "text_encoder", "transformer", "vae"):
            shutil.copytree(pathlib.Path(scratch) / part, options.out / part)
        for file in options.out.rglob("*.safetensors"):
            file.chmod(0o644)  # safetensors writes them for the owner alone
        shutil.copy(pathlib.Path(scratch) / "model_index.json", options.out)
    shutil.copytree(options.tokenizer, options.out / "tokenizer")
    (options.out / "inkstone.json").write_text(json.dumps(DEFAULTS, indent=2) + "\n")
    total = sum(file.stat().st_size for file in options.out.rglob("*") if file.is_file())
    print(f"{options.out}: {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
