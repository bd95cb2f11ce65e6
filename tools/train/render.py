"""Draws scenes: every object is a sprite of its size and style, pasted at whole pixels."""

import io
import pathlib

import numpy as np
import torch
from PIL import Image

from scenes import CANVASES, FIRST_COLOR, LAST_COLOR, MONOCHROME, SILHOUETTE, SIZES, STYLES

MOST_THINGS = 6

# Hue in degrees, saturation and lightness that a recoloured thing takes on.
TINTS = {
    "red": (2, 0.82, 0.50), "orange": (28, 0.95, 0.55), "yellow": (48, 0.95, 0.60), "green": (130, 0.55, 0.45),
    "blue": (217, 0.80, 0.50), "purple": (272, 0.55, 0.50), "pink": (335, 0.85, 0.74), "brown": (22, 0.45, 0.36),
    "black": (0, 0.0, 0.16), "white": (0, 0.0, 0.93), "gray": (0, 0.0, 0.58), "light blue": (205, 0.75, 0.76),
}


def load_glyphs(folder):
    """[pictures, 128, 128, 4] u8, alpha not multiplied."""
    stored = np.load(pathlib.Path(folder) / "glyphs.npz")
    pictures = []
    for begin, end in zip(stored["offsets"][:-1], stored["offsets"][1:]):
        picture = Image.open(io.BytesIO(stored["bytes"][begin:end].tobytes())).convert("RGBA")
        left = (picture.width - 128) // 2
        pictures.append(np.asarray(picture.crop((left, 0, left + 128, 128))))
    return np.stack(pictures)


def make_sprites(glyphs, size):
    """[pictures, size, size, 4] u8 with multiplied alpha, resized as Pillow does with Lanczos."""
    sprites = np.empty((len(glyphs), size, size, 4), np.uint8)
    for i, glyph in enumerate(glyphs):
        premultiplied = Image.fromarray(glyph).convert("RGBa")
        sprites[i] = np.asarray(premultiplied.resize((size, size), Image.Resampling.LANCZOS))
    return sprites


def hsl_from_rgb(rgb):
    high, low = rgb.amax(-1), rgb.amin(-1)
    lightness, chroma = (high + low) / 2, high - low
    saturation = chroma / (1 - (2 * lightness - 1).abs()).clamp_min(1e-3)
    return saturation.clamp(0, 1), lightness


def rgb_from_hsl(hue, saturation, lightness):
    """hue: degrees, a number; the others tensors."""
    spread = saturation * torch.minimum(lightness, 1 - lightness)
    channels = []
    for offset in (0, 8, 4):
        k = (offset + hue / 30) % 12
        channels.append(lightness - spread * max(-1.0, min(k - 3, 9 - k, 1.0)))
    return torch.stack(channels, -1)


def tint(sprites, name):
    """Recolours: coloured parts take the tint's hue and move to its lightness, black and white parts stay; a thing
    with next to no colour is tinted wherever it is neither black nor white. sprites f32 in 0 ... 1."""
    hue, tint_saturation, tint_lightness = TINTS[name]
    alpha = sprites[..., 3:]
    rgb = (sprites[..., :3] / alpha.clamp_min(1e-3)).clamp(0, 1)
    saturation, lightness = hsl_from_rgb(rgb)
    middle = (1 - (2 * lightness - 1).abs()).clamp(0, 1)
    colored = (saturation * middle.sqrt() * 2.5).clamp(0, 1)
    covered = alpha[..., 0]
    share = (colored * covered).sum((1, 2)) / covered.sum((1, 2)).clamp_min(1)
    plain = (1 - share / 0.3).clamp(0, 1).view(-1, 1, 1)  # 1 for things without colour
    weight = torch.maximum(colored, plain * (middle * 1.6).clamp(0, 1))
    # White things have no middle: let nearly everything of them take part.
    weight = torch.maximum(weight, plain * (lightness > 0.55).float() * 0.85)
    mean = (lightness * weight * covered).sum((1, 2)) / (weight * covered).sum((1, 2)).clamp_min(1)
    moved = (tint_lightness + (lightness - mean.view(-1, 1, 1)) * 0.7).clamp(0.04, 0.97)
    color = rgb_from_hsl(hue, torch.full_like(lightness, tint_saturation), moved)
    mixed = rgb + (color - rgb) * weight[..., None]
    return torch.cat([mixed * alpha, alpha], -1)


def restyle(sprites, style):
    """sprites f32 in 0 ... 1, multiplied alpha."""
    if FIRST_COLOR <= style <= LAST_COLOR:
        return tint(sprites, STYLES[style])
    if style == MONOCHROME:
        luminance = sprites[..., :3] @ sprites.new_tensor([0.299, 0.587, 0.114])
        return torch.cat([luminance[..., None].expand(*luminance.shape, 3), sprites[..., 3:]], -1)
    if style == SILHOUETTE:
        alpha = sprites[..., 3:]
        return torch.cat([alpha * 0.12, alpha * 0.12, alpha * 0.13, alpha], -1)
    return sprites


class Renderer:
    """Holds every plain sprite on the device, 120 MB; on a GPU also those of every other style, which elsewhere are
    made when they are asked for."""

    def __init__(self, folder, device):
        glyphs = load_glyphs(folder)
        self.device = torch.device(device)
        self.count = len(glyphs)
        styles = range(len(STYLES)) if self.device.type == "cuda" else (0,)
        self.atlas = []  # [size][style] -> [pictures, size, size, 4] u8
        for size in SIZES:
            plain = torch.from_numpy(make_sprites(glyphs, size)).to(device)
            by_style = {}
            for style in styles:
                parts = [restyle(part.float() / 255, style) for part in plain.split(256)]
                by_style[style] = (torch.cat(parts) * 255).round().to(torch.uint8) if style else plain
            self.atlas.append(by_style)

    def background(self, top, bottom, width, height):
        """top, bottom [n, 3] u8 -> [n, height, width, 3] f32 in 0 ... 255"""
        ramp = (torch.arange(height, device=self.device, dtype=torch.float32) / (height - 1)).view(1, -1, 1, 1)
        top, bottom = top.float()[:, None, None], bottom.float()[:, None, None]
        return (top + (bottom - top) * ramp).expand(-1, -1, width, -1).contiguous()

    def sprites(self, emoji, style, size):
        """[n, side, side, 4] f32 in 0 ... 255, multiplied alpha"""
        by_style = self.atlas[size]
        if style in by_style:
            return by_style[style][emoji].float()
        return (restyle(by_style[0][emoji].float() / 255, style) * 255).round()

    def paste(self, picture, chosen, emoji, style, size, x, y):
        """Draws a sprite of one size and style over each of the pictures `chosen` (indices)."""
        side = SIZES[size]
        steps = torch.arange(side, device=self.device)
        rows = (y - side // 2).view(-1, 1, 1) + steps.view(1, -1, 1)
        columns = (x - side // 2).view(-1, 1, 1) + steps.view(1, 1, -1)
        sprite = self.sprites(emoji, style, size)
        where = (chosen.view(-1, 1, 1), rows, columns)
        picture[where] = picture[where] * (1 - sprite[..., 3:] / 255) + sprite[..., :3]

    def __call__(self, batch, canvas):
        """batch: tensors on the device, `emoji`, `style`, `size`, `x`, `y` [n, 6], `number` [n], `top`, `bottom`
        [n, 3]. -> [n, height, width, 3] u8"""
        width, height = CANVASES[canvas]
        picture = self.background(batch["top"], batch["bottom"], width, height)
        for k in range(MOST_THINGS):
            kinds = batch["style"][:, k].long() * len(SIZES) + batch["size"][:, k].long()
            kinds = torch.where(batch["number"] > k, kinds, -1)
            for kind in torch.unique(kinds).tolist():
                if kind < 0:
                    continue
                chosen = (kinds == kind).nonzero()[:, 0]
                self.paste(picture, chosen, batch["emoji"][chosen, k].long(), kind // len(SIZES), kind % len(SIZES),
                           batch["x"][chosen, k].long(), batch["y"][chosen, k].long())
        return picture.round().clamp(0, 255).to(torch.uint8)


def batch_from_scenes(scenes, device="cpu"):
    """Tensors for Renderer. The scenes must share a canvas."""
    arrays = {name: np.zeros((len(scenes), MOST_THINGS), np.int16) for name in ("emoji", "style", "size", "x", "y")}
    for i, scene in enumerate(scenes):
        for k, thing in enumerate(scene.things):
            for name, values in arrays.items():
                values[i, k] = getattr(thing, name)
    arrays["number"] = np.array([len(scene.things) for scene in scenes], np.int16)
    arrays["top"] = np.array([scene.top for scene in scenes], np.uint8)
    arrays["bottom"] = np.array([scene.bottom for scene in scenes], np.uint8)
    return {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}


def save_sheet(pictures, path, columns):
    """pictures [n, h, w, 3] u8, written side by side as one PNG."""
    pictures = pictures.cpu().numpy()
    n, height, width, _ = pictures.shape
    rows = -(-n // columns)
    sheet = np.full((rows * (height + 2), columns * (width + 2), 3), 128, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + 2), i % columns * (width + 2)
        sheet[y:y + height, x:x + width] = picture
    Image.fromarray(sheet).save(path)
