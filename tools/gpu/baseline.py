#!/usr/bin/env python3
"""diffusers on the same device: the time of one forward of the transformer, and the error of bf16.

usage: baseline.py [--sizes 512x512 1024x1024 1328x1328] [--ours FOLDER] [--path FOLDER]

Time: a full-size QwenImageTransformer2DModel with random weights in bf16, one prompt of 64 tokens; eager with PyTorch's
choice of attention, eager with cuDNN's, and blocks compiled with cuDNN's attention; medians of CUDA events. `--ours`
is a folder with bench-forward-SIZE.json of `inkstone bench --json -g 1`: one forward each.

Error: the tiny checkpoint's forward in bf16 on the device against the float32 golden tensors, beside what
`inkstone verify --precision bf16` wrote into verify-tiny-random-bf16.log of the same folder.

needs torch and diffusers; `--path` is where diffusers lies if it is not installed
"""

import argparse
import json
import pathlib
import re
import statistics
import sys

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKENS = 64


def median_ms(run, most=10, warm=2):
    for _ in range(warm):
        run()
    times = []
    for _ in range(most):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def make_transformer(model_class):
    config = json.loads((ROOT / "models/qwen-image/transformer/config.json").read_text())
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = model_class.from_config({k: v for k, v in config.items() if not k.startswith("_")})
    torch.set_default_dtype(torch.float32)
    return model.eval()


def forward(model, width, height):
    """A function that computes one forward of one prompt."""
    rows, columns = height // 16, width // 16
    inputs = dict(
        hidden_states=torch.randn(1, rows * columns, 64, device="cuda", dtype=torch.bfloat16),
        encoder_hidden_states=torch.randn(1, TOKENS, 3584, device="cuda", dtype=torch.bfloat16),
        encoder_hidden_states_mask=None, timestep=torch.tensor([0.5], device="cuda", dtype=torch.bfloat16),
        img_shapes=[[(1, rows, columns)]], return_dict=False)
    return lambda: model(**inputs)


@torch.no_grad()
def measure(model_class, sizes):
    """{size: {variant: milliseconds}}"""
    model = make_transformer(model_class)
    result = {size: {} for size in sizes}
    for variant in ("eager", "eager, cuDNN attention", "compiled, cuDNN attention"):
        if "cuDNN" in variant:
            model.set_attention_backend("_native_cudnn")
        if variant.startswith("compiled"):
            torch._dynamo.config.cache_size_limit = 64
            model.compile_repeated_blocks(fullgraph=True, dynamic=False)
        for size in sizes:
            try:
                result[size][variant] = median_ms(forward(model, *map(int, size.split("x"))))
            except Exception as problem:  # a variant that does not run here is left out, and said
                print(f"{variant}, {size}: {type(problem).__name__}: {str(problem)[:300]}", flush=True)
            print(f"  {size:10} {variant:26} {result[size].get(variant, float('nan')):8.2f} ms", flush=True)
    return result


def print_times(result, ours):
    print(f"\n{'one forward':12} {'diffusers, fastest':36} {'ours':>10} {'ratio':>7}")
    for size, variants in result.items():
        if not variants:
            continue
        name = min(variants, key=variants.get)
        line = f"{size:12} {variants[name]:8.2f} ms ({name})"
        file = ours / f"bench-forward-{size}.json" if ours else None
        if file and file.exists():
            stage = next(s for s in json.loads(file.read_text())["stages"] if s["stage"] == "step")
            ms = stage["seconds"] * 1e3
            line = f"{line:49} {ms:8.2f} ms {variants[name] / ms:6.2f}"
        print(line)


@torch.no_grad()
def errors(model_class):
    """{golden name: relative L2 error of diffusers in bf16}"""
    from safetensors.torch import load_file

    golden = load_file(ROOT / "tests/golden/tiny-random/golden.safetensors")
    model = model_class.from_pretrained(ROOT / "tests/golden/tiny-random/transformer", torch_dtype=torch.bfloat16)
    model = model.to("cuda").eval()
    found = {}

    def keep(name):
        def hook(_, __, output):
            found[f"{name}.txt"], found[f"{name}.img"] = output
        return hook

    for i, block in enumerate(model.transformer_blocks):
        block.register_forward_hook(keep(f"forward.transformer_blocks.{i}"))
    on_device = lambda name: golden[name].to("cuda", torch.bfloat16)[None]
    rows, columns = golden["forward.grid"].tolist()[1:]
    found["forward.output"] = model(
        hidden_states=on_device("forward.latents"), encoder_hidden_states=on_device("prompt0.embeds"),
        encoder_hidden_states_mask=None, timestep=golden["forward.timestep"].to("cuda", torch.bfloat16),
        img_shapes=[[(1, rows, columns)]], return_dict=False)[0]
    return {name: float((value[0].float().cpu() - golden[name]).norm() / golden[name].norm())
            for name, value in sorted(found.items())}


def print_errors(theirs, ours):
    log = ours / "verify-tiny-random-bf16.log" if ours else None
    text = log.read_text() if log and log.exists() else ""
    print(f"\n{'error of bf16 against float32':40} {'diffusers':>10} {'ours':>10}")
    worse = 0
    for name, value in theirs.items():
        match = re.search(rf"^\w+ +{re.escape(name)} +rel L2 (\S+)", text, re.MULTILINE)
        mine = float(match.group(1)) if match else float("nan")
        worse += not mine <= value
        print(f"{name:40} {value:10.5f} {mine:10.5f}")
    print("ours is no larger anywhere" if not worse else f"ours is larger, or unknown, in {worse} of {len(theirs)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["512x512", "1024x1024", "1328x1328"])
    parser.add_argument("--ours", type=pathlib.Path)
    parser.add_argument("--path")
    options = parser.parse_args()
    if options.path:
        sys.path.insert(0, options.path)
    from diffusers.models.transformers.transformer_qwenimage import QwenImageTransformer2DModel

    print_errors(errors(QwenImageTransformer2DModel), options.ours)
    print_times(measure(QwenImageTransformer2DModel, options.sizes), options.ours)


if __name__ == "__main__":
    main()
