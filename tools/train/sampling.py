"""Draws with the networks in training, as QwenImagePipeline does, to look at them before they are exported."""

import math

import numpy as np
import torch

from captions import load_phrasings
from render import save_sheet
from scenes import CANVASES
from transformer import unpack

LOOK = """a cat|a dog|a red apple|a rocket|a pizza|a robot|a sunflower|a panda|一只猫|一个红苹果|月亮|音乐|music|fruit|a happy face|a sad face
a red apple on a light blue background|a cactus on a yellow background|a guitar on a black background|two cats|three stars|five hearts|six bananas|一只蓝色的狗
a cat and a red apple|a dog next to a house|the sun above a mountain|a robot and a rocket|a banana, a star and a guitar|a cat, a dog, an apple and a car|猫和狗|左边是太阳，右边是月亮
a blue cat|a green elephant|a purple house|a pink car|a red chair|a yellow fish|a small rocket|a tiny bee|a bee in the top left corner|a black and white parrot|silhouette of a cat|an owl on a pink to orange gradient background"""


def make_sigmas(steps, tokens):
    """ref: diffusers scheduling_flow_match_euler_discrete.py with this model's scheduler_config.json"""
    mu = 0.5 + (tokens - 256) * (0.9 - 0.5) / (8192 - 256)
    s = np.linspace(1.0, 1 / steps, steps)
    s = math.exp(mu) / (math.exp(mu) + (1 / s - 1))
    if steps > 1:
        s = 1 - (1 - s) * (1 - 0.02) / (1 - s[-1])
    return np.append(s, 0.0)


class Sampler:
    def __init__(self, model, encoder, vae, mean, spread, device):
        self.model, self.encoder, self.vae, self.mean, self.spread = model, encoder, vae, mean, spread
        self.device = device
        self.prefix = torch.tensor(encoder.prefix)

    def encode(self, prompts):
        """(hidden states [n, t, width], mask [n, t])"""
        ids, lengths = self.encoder.batch(prompts)
        ids, lengths = ids.to(self.device), lengths.to(self.device)
        full = torch.cat([self.prefix.to(self.device).expand(len(ids), -1), ids], 1)
        text = self.model.text_encoder(full)[:, len(self.prefix):]
        return text, torch.arange(ids.shape[1], device=self.device)[None] < lengths[:, None]

    @torch.no_grad()
    def __call__(self, prompts, canvas=0, steps=8, guidance=2.5, seed=0):
        """[n, height, width, 3] u8"""
        width, height = CANVASES[canvas]
        grid = (height // 16, width // 16)
        x = torch.randn(len(prompts), grid[0] * grid[1], 64, generator=torch.Generator().manual_seed(seed))
        x = x.to(self.device)
        text, mask = self.encode(prompts)
        empty, empty_mask = self.encode([" "] * len(prompts))
        sigmas = make_sigmas(steps, len(x[0]))
        for now, following in zip(sigmas[:-1], sigmas[1:]):
            sigma = torch.full((len(x),), float(now), device=self.device)
            v = self.model.transformer(x, text, mask, sigma, grid)
            if guidance > 1:
                u = self.model.transformer(x, empty, empty_mask, sigma, grid)
                combined = u + guidance * (v - u)
                v = combined * (v.norm(dim=-1, keepdim=True) / combined.norm(dim=-1, keepdim=True))
            x = x + float(following - now) * v
        latents = unpack(x, grid) * self.spread + self.mean
        pictures = self.vae.decode(latents.contiguous(memory_format=torch.channels_last)).clamp(-1, 1)
        return ((pictures + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


def write_sheets(sampler, folder):
    prompts = [prompt for line in LOOK.split("\n") for prompt in line.split("|")]
    save_sheet(sampler(prompts), folder / "look-128x128.png", 8)
    save_sheet(sampler([prompt for prompt, _ in load_phrasings()]), folder / "phrasings.png", 10)
    for canvas in (1, 2, 3):
        width, height = CANVASES[canvas]
        save_sheet(sampler(prompts[16:32], canvas), folder / f"look-{width}x{height}.png", 4 if canvas == 1 else 8)
