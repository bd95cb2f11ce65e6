"""The language model of Qwen2.5-VL for text alone, with the parameter names of transformers' module."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class TextEncoderConfig:
    vocabulary: int = 2560
    width: int = 128
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    mlp: int = 256
    theta: float = 1e6
    longest: int = 1200


class RmsNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x):
        y = x.float()
        return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


def rotate_halves(x, cos, sin):
    a, b = x.float().chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(x.dtype)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = c.heads, c.kv_heads, c.width // c.heads
        kv = c.kv_heads * self.head_dim
        self.input_layernorm, self.post_attention_layernorm = RmsNorm(c.width), RmsNorm(c.width)
        self.self_attn = nn.ModuleDict({
            "q_proj": nn.Linear(c.width, c.width), "k_proj": nn.Linear(c.width, kv), "v_proj": nn.Linear(c.width, kv),
            "o_proj": nn.Linear(c.width, c.width, bias=False)})
        self.mlp = nn.ModuleDict({
            "gate_proj": nn.Linear(c.width, c.mlp, bias=False), "up_proj": nn.Linear(c.width, c.mlp, bias=False),
            "down_proj": nn.Linear(c.mlp, c.width, bias=False)})

    def forward(self, x, cos, sin, past, mask):
        """past: keys and values [1, kv_heads, p, head_dim] of tokens before these, or None. -> (x, keys, values)"""
        n, length, width = x.shape
        y, attention = self.input_layernorm(x), self.self_attn
        split = lambda z: z.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        q = rotate_halves(split(attention["q_proj"](y)), cos, sin)
        k = rotate_halves(split(attention["k_proj"](y)), cos, sin)
        v = split(attention["v_proj"](y)).to(k.dtype)
        keys, values = k, v
        if past is not None:
            keys = torch.cat([past[0].expand(n, -1, -1, -1), k], 2)
            values = torch.cat([past[1].expand(n, -1, -1, -1), v], 2)
        repeat = self.heads // self.kv_heads
        z = F.scaled_dot_product_attention(q, keys.repeat_interleave(repeat, 1), values.repeat_interleave(repeat, 1),
                                           attn_mask=mask)
        x = x + attention["o_proj"](z.transpose(1, 2).reshape(n, length, width))
        y, mlp = self.post_attention_layernorm(x), self.mlp
        return x + mlp["down_proj"](F.silu(mlp["gate_proj"](y)) * mlp["up_proj"](y)), k, v


class TextEncoder(nn.Module):
    def __init__(self, config=TextEncoderConfig()):
        super().__init__()
        self.config = c = config
        self.embed_tokens = nn.Embedding(c.vocabulary, c.width)
        self.layers = nn.ModuleList([Layer(c) for _ in range(c.layers)])
        self.norm = RmsNorm(c.width)
        head_dim = c.width // c.heads
        rates = 1 / c.theta ** (torch.arange(0, head_dim, 2).float() / head_dim)
        angles = torch.outer(torch.arange(c.longest).float(), rates)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.reset()

    @torch.no_grad()
    def reset(self):
        nn.init.normal_(self.embed_tokens.weight, std=4 / self.config.width ** 0.5)
        for name, p in self.named_parameters():
            if p.ndim == 2 and "embed" not in name:
                quiet = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=p.shape[1] ** -0.5 * (0.3 if quiet else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def _run(self, x, start, past):
        length = x.shape[1]
        rows = torch.arange(start, start + length, device=x.device)
        columns = torch.arange(0 if past else start, start + length, device=x.device)
        mask = columns[None] <= rows[:, None]
        cos, sin = self.cos[start:start + length], self.sin[start:start + length]
        kept = []
        for i, layer in enumerate(self.layers):
            x, k, v = layer(x, cos, sin, past[i] if past else None, mask)
            kept.append((k, v))
        return self.norm(x), kept

    def forward(self, ids):
        """[n, length] -> [n, length, width]"""
        return self._run(self.embed_tokens(ids), 0, None)[0]

    def forward_after(self, prefix, one_hot):
        """The rows after a prefix that all prompts share: its keys and values are computed once. The prompts come as
        one-hot rows, whose product with the embeddings has a backward pass without sorting."""
        _, past = self._run(self.embed_tokens(prefix)[None], 0, None)
        x = (one_hot @ self.embed_tokens.weight.to(one_hot.dtype)).float()
        return self._run(x, len(prefix), past)[0]
