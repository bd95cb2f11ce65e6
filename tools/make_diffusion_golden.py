#!/usr/bin/env python3
"""Writes tests/golden/diffusion.txt: what torch.randn draws on the CPU for many seeds and sizes, and what the scheduler
of diffusers makes of many configurations, each as a hash of the float32 bits (FNV-1a of 64 bits over the bytes of
each word, the lowest first).

One case a line:
    noise TYPE SEED COUNT HASH
    schedule BASE_SHIFT MAX_SHIFT BASE_TOKENS MAX_TOKENS TERMINAL SHIFT TYPE TOKENS STEPS HASH
TYPE of noise is f32 or bf16 (only below 16 numbers, where every torch draws the same); of a schedule exponential,
linear or static.

usage: make_diffusion_golden.py OUTPUT; needs torch (x86 with AVX2), diffusers, numpy
"""

import argparse

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler

# Negative seeds and those above 32 bits too: torch reads them modulo 2^64 and uses the low half.
SEEDS = [0, 1, 42, 1234, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 7, 2**63, 2**64 - 1, -1, -5, -(2**31), -(2**63)]
SIZES = [1, 2, 3, 14, 15, 16, 17, 31, 32, 33, 100, 4096, 65541]
# base shift, max shift, base tokens, max tokens, terminal, shift, type
SCHEDULERS = [
    (0.5, 0.9, 256, 8192, 0.02, 1.0, "exponential"),
    (0.5, 1.15, 256, 4096, 0, 1.0, "exponential"),
    (0.5, 0.9, 256, 8192, 0.02, 1.0, "linear"),
    (0.5, 0.9, 256, 8192, 0, 3.0, "static"),
    (0.5, 0.9, 256, 8192, 0.1, 1.7, "static"),
]
TOKENS = [6, 64, 1024, 6889]
STEPS = [2, 3, 4, 8, 10, 20, 50, 999]


def fnv1a(values):
    value = 0xCBF29CE484222325
    for byte in values.astype("<f4").tobytes():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def noise_lines():
    for seed in SEEDS + np.random.default_rng(5).integers(0, 2**63, 9).tolist():
        for n in SIZES:
            for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
                if name == "bf16" and n >= 16:
                    continue
                drawn = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=dtype)
                yield f"noise {name} {seed % 2**64} {n} {fnv1a(drawn.float().numpy()):016x}"


def schedule_lines():
    for base_shift, max_shift, base, most, terminal, shift, kind in SCHEDULERS:
        dynamic = kind != "static"
        scheduler = FlowMatchEulerDiscreteScheduler(
            base_shift=base_shift, max_shift=max_shift, base_image_seq_len=base, max_image_seq_len=most, shift=shift,
            shift_terminal=terminal or None, use_dynamic_shifting=dynamic,
            time_shift_type=kind if dynamic else "exponential")
        slope = (max_shift - base_shift) / (most - base)
        for tokens in TOKENS:
            for steps in STEPS:
                mu = tokens * slope + (base_shift - slope * base) if dynamic else None
                scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
                yield (f"schedule {base_shift} {max_shift} {base} {most} {terminal} {shift} {kind} {tokens} {steps} "
                       f"{fnv1a(scheduler.sigmas.numpy()):016x}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    lines = [*noise_lines(), *schedule_lines()]
    with open(parser.parse_args().output, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
