#!/usr/bin/env python3
"""Writes a golden file: what diffusers and transformers compute from a model folder, stage by stage, in float32 on
the CPU. `inkstone verify` compares with it. The format is described in docs/golden.md.

usage: dump_golden.py MODEL OUTPUT [--small]; needs torch, diffusers, transformers, safetensors, numpy
"""

import argparse
import json

import numpy as np
import torch
from diffusers import QwenImagePipeline
from safetensors.torch import save_file

DROP = 34  # tokens of the template before the prompt
PROMPTS = [
    "a fluffy cat",
    'A coffee shop entrance with a chalkboard sign reading "Qwen Coffee \U0001f60a $2 per cup", ultra HD',
    "\u4e00\u53ea\u6bdb\u8338\u8338\u7684\u732b\uff0c\u5750\u5728\u7a97\u53f0\u4e0a\u3002",
    "",
]
NEGATIVE = " "
SCHEDULES = [(512, 512, 20), (512, 512, 10), (1024, 1024, 10), (1328, 1328, 50), (1664, 928, 4), (256, 256, 1)]


def encode(pipe, text):
    """Token ids, and all hidden states of one prompt."""
    filled = pipe.prompt_template_encode.format(text)
    ids = pipe.tokenizer(filled, max_length=1024 + DROP, truncation=True, return_tensors="pt").input_ids
    states = pipe.text_encoder(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    return ids[0], [h[0] for h in states.hidden_states]


def dump_text(pipe, out):
    for k, prompt in list(enumerate(PROMPTS)) + [(None, NEGATIVE)]:
        name = "negative" if k is None else f"prompt{k}"
        ids, hidden = encode(pipe, prompt)
        out[f"{name}.input_ids"] = ids.int()
        out[f"{name}.embeds"] = hidden[-1][DROP:]
        if k == 0:
            for layer, values in enumerate(hidden):
                out[f"{name}.hidden.{layer}"] = values
    embeds, mask = pipe._get_qwen_prompt_embeds(PROMPTS[:2])
    out["batch.embeds"] = embeds
    out["batch.mask"] = (torch.ones(embeds.shape[:2]) if mask is None else mask).int()


def schedule(pipe, tokens, steps):
    c = pipe.scheduler.config
    slope = (c.max_shift - c.base_shift) / (c.max_image_seq_len - c.base_image_seq_len)
    mu = tokens * slope + c.base_shift - slope * c.base_image_seq_len
    pipe.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    return pipe.scheduler.sigmas.clone()


def dump_schedules(pipe, out):
    side = pipe.vae_scale_factor * 2
    for width, height, steps in SCHEDULES:
        out[f"sigmas.{width}x{height}.{steps}"] = schedule(pipe, (width // side) * (height // side), steps)


def watch(module, store, *names):
    """Stores what a module returns: one name per returned value."""
    def hook(_module, _inputs, returned):
        values = returned if isinstance(returned, tuple) else (returned,)
        for name, value in zip(names, values):
            store[f"forward.{name}"] = value[0] if value.ndim > 1 and value.shape[0] == 1 else value
    return module.register_forward_hook(hook)


def dump_forward(pipe, out, generator):
    net, rows, columns = pipe.transformer, 5, 4
    latents = torch.randn(1, rows * columns, net.config.in_channels, generator=generator)
    embeds = out["prompt0.embeds"][None]
    first = net.transformer_blocks[0]
    hooks = [watch(getattr(net, name), out, name)
             for name in ("img_in", "txt_norm", "txt_in", "time_text_embed", "norm_out", "proj_out")]
    for b, block in enumerate(net.transformer_blocks):
        hooks.append(watch(block, out, f"transformer_blocks.{b}.txt", f"transformer_blocks.{b}.img"))
    for name in ("img_mod", "txt_mod", "img_mlp", "txt_mlp"):
        hooks.append(watch(getattr(first, name), out, f"transformer_blocks.0.{name}"))
    hooks.append(watch(first.attn, out, "transformer_blocks.0.attn.img", "transformer_blocks.0.attn.txt"))
    timestep = torch.tensor([0.731])
    result = net(hidden_states=latents, encoder_hidden_states=embeds,
                 encoder_hidden_states_mask=torch.ones(embeds.shape[:2], dtype=torch.long), timestep=timestep,
                 img_shapes=[[(1, rows, columns)]], return_dict=False)[0]
    for hook in hooks:
        hook.remove()
    image, text = net.pos_embed([(1, rows, columns)], max_txt_seq_len=embeds.shape[1], device=latents.device)
    out["forward.rope.img_angle"], out["forward.rope.txt_angle"] = image.angle(), text.angle()
    out["forward.output"] = result[0]
    out["forward.latents"], out["forward.timestep"] = latents[0], timestep
    out["forward.grid"] = torch.tensor([1, rows, columns], dtype=torch.int32)


def dump_vae(pipe, out, generator, rows, columns):
    vae = pipe.vae
    scale = pipe.vae_scale_factor
    latents = torch.randn(vae.config.z_dim, rows, columns, generator=generator)
    image = torch.rand(3, rows * scale, columns * scale, generator=generator) * 2 - 1
    out["vae.decode.latents"] = latents
    out["vae.decode.image"] = vae.decode(latents[None, :, None]).sample[0, :, 0]
    out["vae.encode.image"] = image
    moments = vae.encode(image[None, :, None]).latent_dist
    out["vae.encode.mean"], out["vae.encode.logvar"] = moments.mean[0, :, 0], moments.logvar[0, :, 0]


def dump_run(pipe, out, index, run):
    side = pipe.vae_scale_factor * 2
    generator = torch.Generator().manual_seed(run["seed"])
    height, width = run["height"] // side * 2, run["width"] // side * 2
    channels = pipe.transformer.config.in_channels // 4
    noise = torch.randn(1, 1, channels, height, width, generator=generator)
    out[f"run{index}.noise"] = pipe._pack_latents(noise, 1, channels, height, width)[0]

    def keep(_pipe, step, _timestep, values):
        out[f"run{index}.latents.{step}"] = values["latents"][0].clone()
        return values

    image = pipe(prompt=run["prompt"], negative_prompt=NEGATIVE, true_cfg_scale=run["cfg"], width=run["width"],
                 height=run["height"], num_inference_steps=run["steps"], output_type="np",
                 generator=torch.Generator().manual_seed(run["seed"]), callback_on_step_end=keep).images[0]
    out[f"run{index}.image"] = torch.from_numpy(image)
    out[f"run{index}.pixels"] = torch.from_numpy((image * 255).round().astype("uint8"))


def dump_noise(out):
    for seed in (0, 42, 1 << 31):
        for n in (1, 15, 16, 17, 100, 4096):
            out[f"randn.seed{seed}.{n}"] = torch.randn(n, generator=torch.Generator().manual_seed(seed))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("--small", action="store_true", help="smallest pictures, no noise: a file to be committed")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    pipe = QwenImagePipeline.from_pretrained(arguments.model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(7)
    side, out = pipe.vae_scale_factor * 2, {}
    sizes = [(3, 2), (2, 3), (1, 1)] if arguments.small else [(4, 4), (6, 4), (3, 5)]
    runs = [{"prompt": PROMPTS[k], "width": w * side, "height": h * side, "steps": steps, "cfg": cfg, "seed": 11 + k}
            for k, ((w, h), steps, cfg) in enumerate(zip(sizes, (4, 6, 3), (4.0, 2.5, 1.0)))]
    dump_text(pipe, out)
    dump_schedules(pipe, out)
    dump_forward(pipe, out, generator)
    dump_vae(pipe, out, generator, *((3, 4) if arguments.small else (6, 8)))
    for index, run in enumerate(runs):
        dump_run(pipe, out, index, run)
    if not arguments.small:
        dump_noise(out)
    metadata = {"prompts": json.dumps(PROMPTS), "negative": json.dumps(NEGATIVE), "runs": json.dumps(runs),
                "torch": torch.__version__}
    save_file({k: v.clone().contiguous() for k, v in out.items()}, arguments.output, metadata=metadata)


if __name__ == "__main__":
    main()
