#!/usr/bin/env python3
"""Draws the same prompt and seed with diffusers (CPU, float32) and with inkstone, and compares the pictures.

Exits 0 if no value differs by more than one level of 255.

usage: compare_with_diffusers.py MODEL [--prompt TEXT]... [--inkstone build/inkstone] [--size WxH] [--steps N]
       [--guidance G] [--negative-prompt TEXT] [--seed N] [--backend NAME]
needs torch, diffusers, transformers, pillow, numpy
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from diffusers import QwenImagePipeline
from PIL import Image


def draw_with_inkstone(a, prompt, folder):
    path = pathlib.Path(folder) / "picture.png"
    command = [a.inkstone, "generate", "-q", "-m", a.model, "-p", prompt, "-n", a.negative_prompt, "-W", str(a.width),
               "-H", str(a.height), "--steps", str(a.steps), "-g", str(a.guidance), "--seed", str(a.seed), "-o",
               str(path)]
    if a.backend:
        command += ["--backend", a.backend]
    subprocess.run(command, check=True)
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def draw_with_diffusers(a, pipe, prompt):
    image = pipe(prompt=prompt, negative_prompt=a.negative_prompt, true_cfg_scale=a.guidance, width=a.width,
                 height=a.height, num_inference_steps=a.steps, generator=torch.Generator().manual_seed(a.seed)).images[0]
    return np.asarray(image).astype(int)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--prompt", action="append")
    parser.add_argument("--inkstone", default="build/inkstone")
    parser.add_argument("--size", help="WxH in pixels; the model's own if absent")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--negative-prompt")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--backend")
    a = parser.parse_args()
    own = pathlib.Path(a.model) / "inkstone.json"
    defaults = json.loads(own.read_text()) if own.exists() else {}
    a.prompt = a.prompt or ["a cat face"]
    a.width, a.height = (int(n) for n in a.size.split("x")) if a.size else (defaults["width"], defaults["height"])
    a.steps = a.steps or defaults["steps"]
    a.guidance = defaults["guidance"] if a.guidance is None else a.guidance
    a.negative_prompt = defaults.get("negative_prompt", " ") if a.negative_prompt is None else a.negative_prompt
    return a


def main():
    a = arguments()
    pipe = QwenImagePipeline.from_pretrained(a.model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    worst = 0
    for prompt in a.prompt:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = draw_with_inkstone(a, prompt, folder), draw_with_diffusers(a, pipe, prompt)
        difference = np.abs(ours - theirs)
        worst = max(worst, int(difference.max()))
        print(f"{prompt!r}: largest difference {difference.max()} of 255, {np.count_nonzero(difference)} of "
              f"{difference.size} values differ")
    sys.exit(0 if worst <= 1 else 1)


if __name__ == "__main__":
    main()
