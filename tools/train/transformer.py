"""The multimodal diffusion transformer of Qwen-Image with the parameter names of diffusers'
QwenImageTransformer2DModel, for pictures of one frame."""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn

from text_encoder import RmsNorm


@dataclasses.dataclass
class TransformerConfig:
    width: int = 192
    layers: int = 5
    head_dim: int = 32
    axes: tuple = (8, 12, 12)
    text_width: int = 128
    channels: int = 64  # of a token: 16 latent channels of 2 x 2 latents


class FeedForward(nn.Module):
    def __init__(self, width):
        super().__init__()
        first = nn.Module()
        first.proj = nn.Linear(width, 4 * width)
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x):
        return self.net[2](F.gelu(self.net[0].proj(x), approximate="tanh"))


def rotate_pairs(x, cos, sin):
    pairs = x.float().unflatten(-1, (-1, 2))
    a, b = pairs[..., 0], pairs[..., 1]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2).to(x.dtype)


class JointAttention(nn.Module):
    def __init__(self, width, head_dim):
        super().__init__()
        self.head_dim = head_dim
        for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            setattr(self, name, nn.Linear(width, width))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            setattr(self, name, RmsNorm(head_dim))

    def forward(self, image, text, cos, sin, mask):
        split = lambda y: y.unflatten(-1, (-1, self.head_dim))
        q = torch.cat([self.norm_added_q(split(self.add_q_proj(text))), self.norm_q(split(self.to_q(image)))], 1)
        k = torch.cat([self.norm_added_k(split(self.add_k_proj(text))), self.norm_k(split(self.to_k(image)))], 1)
        v = torch.cat([split(self.add_v_proj(text)), split(self.to_v(image))], 1)
        q, k = rotate_pairs(q, cos, sin).to(v.dtype), rotate_pairs(k, cos, sin).to(v.dtype)
        out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
        out = out.transpose(1, 2).flatten(2)
        return self.to_out[0](out[:, text.shape[1]:]), self.to_add_out(out[:, :text.shape[1]])


class Block(nn.Module):
    def __init__(self, width, head_dim):
        super().__init__()
        self.width = width
        self.img_mod = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.txt_mod = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        self.attn = JointAttention(width, head_dim)
        self.img_mlp, self.txt_mlp = FeedForward(width), FeedForward(width)

    def forward(self, image, text, condition, cos, sin, mask):
        norm = lambda y: F.layer_norm(y, (self.width,), eps=1e-6)
        i = self.img_mod(condition).unsqueeze(1).chunk(6, -1)  # shift, scale, gate of attention, then of the MLP
        t = self.txt_mod(condition).unsqueeze(1).chunk(6, -1)
        a, b = self.attn(norm(image) * (1 + i[1]) + i[0], norm(text) * (1 + t[1]) + t[0], cos, sin, mask)
        image, text = image + i[2] * a, text + t[2] * b
        image = image + i[5] * self.img_mlp(norm(image) * (1 + i[4]) + i[3])
        text = text + t[5] * self.txt_mlp(norm(text) * (1 + t[4]) + t[3])
        return image, text


def rotary_tables(axes, grid_height, grid_width, text_tokens, theta=10000.0):
    """cos and sin [1, text + image tokens, 1, head_dim / 2]"""
    angle = lambda position, dim: torch.outer(position.float(), 1 / theta ** (torch.arange(0, dim, 2).float() / dim))
    centred = lambda n: torch.arange(-(n - n // 2), n // 2)
    rows = centred(grid_height).view(-1, 1).expand(-1, grid_width).reshape(-1)
    columns = centred(grid_width).view(1, -1).expand(grid_height, -1).reshape(-1)
    image = torch.cat([angle(torch.zeros_like(rows), axes[0]), angle(rows, axes[1]), angle(columns, axes[2])], 1)
    positions = torch.arange(text_tokens) + max(grid_height // 2, grid_width // 2)
    text = torch.cat([angle(positions, dim) for dim in axes], 1)
    angles = torch.cat([text, image])[None, :, None]
    return angles.cos(), angles.sin()


class Transformer(nn.Module):
    def __init__(self, config=TransformerConfig()):
        super().__init__()
        self.config = c = config
        embedder = nn.Module()
        embedder.linear_1, embedder.linear_2 = nn.Linear(256, c.width), nn.Linear(c.width, c.width)
        self.time_text_embed = nn.Module()
        self.time_text_embed.timestep_embedder = embedder
        self.txt_norm = RmsNorm(c.text_width)
        self.img_in, self.txt_in = nn.Linear(c.channels, c.width), nn.Linear(c.text_width, c.width)
        self.transformer_blocks = nn.ModuleList([Block(c.width, c.head_dim) for _ in range(c.layers)])
        self.norm_out = nn.Module()
        self.norm_out.linear = nn.Linear(c.width, 2 * c.width)
        self.proj_out = nn.Linear(c.width, c.channels)
        self.tables = {}
        self.reset()

    @torch.no_grad()
    def reset(self):
        for name, p in self.named_parameters():
            if p.ndim == 2:
                silent = "mod.1" in name or name in ("proj_out.weight", "norm_out.linear.weight")
                nn.init.zeros_(p) if silent else nn.init.xavier_uniform_(p)
            elif name.endswith("bias"):
                nn.init.zeros_(p)
        for name, p in self.unread_parameters():
            p.requires_grad_(False)
            if "norm" not in name:
                p.zero_()

    def unread_parameters(self):
        """The last block's text output is never read, nor is what only it depends on."""
        for name, p in self.transformer_blocks[-1].named_parameters():
            if name.startswith("txt_mlp") or "to_add_out" in name or "add_q_proj" in name or "norm_added_q" in name:
                yield name, p

    def rotary(self, grid, text_tokens, device):
        key = (grid, text_tokens, device)
        if key not in self.tables:
            self.tables[key] = tuple(t.to(device) for t in rotary_tables(self.config.axes, *grid, text_tokens))
        return self.tables[key]

    def forward(self, latents, text, mask, sigma, grid):
        """latents [n, rows * columns, 64]; text [n, t, text_width]; mask [n, t] true where there is text, or None;
        sigma [n] in 0 ... 1; grid (rows, columns). -> velocity like latents"""
        cos, sin = self.rotary(grid, text.shape[1], latents.device)
        rates = torch.exp(-math.log(10000) * torch.arange(128, device=latents.device).float() / 128)
        angles = sigma.float()[:, None] * 1000 * rates[None]
        embedder = self.time_text_embed.timestep_embedder
        condition = embedder.linear_2(F.silu(embedder.linear_1(torch.cat([angles.cos(), angles.sin()], -1))))
        image, words = self.img_in(latents), self.txt_in(self.txt_norm(text))
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), latents.shape[1])], 1)[:, None, None, :]
        for block in self.transformer_blocks:
            image, words = block(image, words, condition, cos, sin, mask)
        scale, shift = self.norm_out.linear(F.silu(condition)).unsqueeze(1).chunk(2, -1)
        return self.proj_out(F.layer_norm(image, (image.shape[-1],), eps=1e-6) * (1 + scale) + shift)


def pack(latents):
    """[n, 16, h, w] -> [n, h / 2 * w / 2, 64]"""
    n, channels, h, w = latents.shape
    x = latents.view(n, channels, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(n, h // 2 * (w // 2), channels * 4)


def unpack(tokens, grid):
    n, _, columns = tokens.shape
    x = tokens.view(n, *grid, columns // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(n, columns // 4, grid[0] * 2, grid[1] * 2)
