"""The VAE of Qwen-Image for single pictures: the layers of diffusers' AutoencoderKLQwenImage with its parameter
names, as 2-D convolutions (a single picture meets only the last time slice of every causal 3-D kernel).

The attention of the middle is left out, which export writes as a layer whose output projection is zero: the network
is then purely convolutional, and what is learnt on 128 x 128 holds for every size.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class VaeConfig:
    base_dim: int = 24
    dim_mult: tuple = (1, 2, 3, 3)
    num_res_blocks: int = 1
    z_dim: int = 16


def norm_silu(x, gamma):
    """silu(gamma * sqrt(C) * x / ||x||) over the channels."""
    y = x.float()
    y = y * torch.rsqrt((y * y).sum(1, keepdim=True).clamp_min(1e-24)) * y.shape[1] ** 0.5
    return F.silu(y * gamma).to(x.dtype)


class ChannelNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, 1, 1))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1 = ChannelNorm(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = ChannelNorm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x):
        y = self.conv1(norm_silu(x, self.norm1.gamma))
        return self.conv2(norm_silu(y, self.norm2.gamma)) + self.conv_shortcut(x)


class Middle(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.resnets = nn.ModuleList([ResidualBlock(channels, channels) for _ in range(2)])

    def forward(self, x):
        return self.resnets[1](self.resnets[0](x))


class Resample(nn.Module):
    """Downsampling pads on the right and at the bottom; upsampling repeats pixels and halves the channels."""

    def __init__(self, channels, up):
        super().__init__()
        if up:
            layers = [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(channels, channels // 2, 3, padding=1)]
        else:
            layers = [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2)]
        self.resample = nn.Sequential(*layers)

    def forward(self, x):
        return self.resample(x)


class Encoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths = [config.base_dim * m for m in (1, *config.dim_mult)]
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        for stage, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:])):
            for _ in range(config.num_res_blocks):
                self.down_blocks.append(ResidualBlock(inputs, outputs))
                inputs = outputs
            if stage != len(config.dim_mult) - 1:
                self.down_blocks.append(Resample(outputs, up=False))
        self.mid_block = Middle(widths[-1])
        self.norm_out = ChannelNorm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.z_dim, 3, padding=1)

    def forward(self, x):
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(norm_silu(self.mid_block(x), self.norm_out.gamma))


class UpBlock(nn.Module):
    def __init__(self, inputs, outputs, blocks, up):
        super().__init__()
        self.resnets = nn.ModuleList([ResidualBlock(inputs if i == 0 else outputs, outputs) for i in range(blocks)])
        self.upsamplers = nn.ModuleList([Resample(outputs, up=True)] if up else [])

    def forward(self, x):
        for layer in (*self.resnets, *self.upsamplers):
            x = layer(x)
        return x


class Decoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        multiples = config.dim_mult[::-1]
        widths = [config.base_dim * m for m in (multiples[0], *multiples)]
        self.conv_in = nn.Conv2d(config.z_dim, widths[0], 3, padding=1)
        self.mid_block = Middle(widths[0])
        self.up_blocks = nn.ModuleList()
        last = len(multiples) - 1
        for stage, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:])):
            inputs = inputs // 2 if stage else inputs
            self.up_blocks.append(UpBlock(inputs, outputs, config.num_res_blocks + 1, stage != last))
        self.norm_out = ChannelNorm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z):
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(norm_silu(x, self.norm_out.gamma))


class Vae(nn.Module):
    def __init__(self, config=VaeConfig()):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quant_conv = nn.Conv2d(2 * config.z_dim, 2 * config.z_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.z_dim, config.z_dim, 1)
        self.decoder = Decoder(config)

    def encode(self, pictures):
        """[n, 3, h, w] in -1 ... 1 -> means of the latents [n, z_dim, h / 8, w / 8]"""
        return self.quant_conv(self.encoder(pictures)).float().chunk(2, 1)[0]

    def decode(self, latents):
        return self.decoder(self.post_quant_conv(latents)).float()
