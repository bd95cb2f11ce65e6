"""A small network that names the thing in a 64 x 64 picture: the second opinion of evaluate.py. It never sees a
picture that the model drew.

    python tools/train/classifier.py --data build/train --out build/train/classifier
"""

import argparse
import pathlib
import random
import time

import torch
import torch.nn.functional as F
from torch import nn

import checkpoint
from render import Renderer
from scenes import BACKGROUNDS, LAST_COLOR, SIZES

SIDE = 64


class Classifier(nn.Module):
    def __init__(self, classes, width=32):
        super().__init__()
        layers, inputs = [], 3
        for outputs in (width, 2 * width, 4 * width, 6 * width):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2 if inputs > 3 else 1, padding=1, bias=False),
                       nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        self.features = nn.Sequential(nn.AvgPool2d(2), *layers)
        self.head = nn.Linear(inputs * 16, classes)

    def forward(self, pictures):
        """[n, 3, 64, 64] in 0 ... 1 -> [n, classes]"""
        return self.head(self.features(pictures).flatten(1))


def crops(renderer, emoji, style, size, background):
    """Things of one size and style on plain backgrounds, enlarged to 64 x 64. background [n, 3] in 0 ... 255"""
    sprite = renderer.sprites(emoji, style, size)
    picture = background[:, None, None] * (1 - sprite[..., 3:] / 255) + sprite[..., :3]
    return resize(picture.permute(0, 3, 1, 2) / 255)


def resize(pictures):
    if pictures.shape[-1] == SIDE:
        return pictures
    return F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


def disturb(x):
    """Shifts by up to two pixels, noise, blur and changes of brightness and contrast."""
    n = len(x)
    x = torch.roll(x, (random.randint(-2, 2), random.randint(-2, 2)), (2, 3))
    blurred = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear", align_corners=False)
    x = torch.lerp(x, blurred, torch.rand(n, 1, 1, 1))
    x = (x - 0.5) * (0.9 + 0.2 * torch.rand(n, 1, 1, 1)) + 0.5 + 0.05 * torch.randn(n, 1, 1, 1)
    return (x + 0.06 * torch.rand(n, 1, 1, 1) * torch.randn_like(x)).clamp(0, 1)


def main():
    start = time.time()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("build/train"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/train/classifier"))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=9)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    random.seed(options.seed)
    renderer = Renderer(options.data, "cpu")
    network = Classifier(renderer.count)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, options.steps)
    colors = torch.tensor(list(BACKGROUNDS.values())).float()
    right = 0.0
    for step in range(1, options.steps + 1):
        emoji = torch.randint(renderer.count, (options.batch,))
        style = random.randint(1, LAST_COLOR) if random.random() < 0.25 else 0
        white = torch.rand(options.batch) < 0.6
        background = colors[torch.where(white, 0, torch.randint(len(colors), (options.batch,)))]
        x = disturb(crops(renderer, emoji, style, random.choices(range(len(SIZES)), (4, 1, 3, 2))[0], background))
        scores = network(x)
        loss = F.cross_entropy(scores, emoji, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        right += float((scores.argmax(1) == emoji).float().mean())
        if step % 100 == 0:
            print(f"[{time.time() - start:6.1f}] step {step}  loss {float(loss):.3f}  right {right / 100:.4f}", flush=True)
            right = 0.0
    checkpoint.save(options.out, "classifier", network.state_dict(), {"classes": renderer.count, "steps": options.steps})


if __name__ == "__main__":
    main()
