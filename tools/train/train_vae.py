"""Trains the VAE on random scenes.

    python tools/train/train_vae.py --data build/train --out build/train/vae --seconds 420

Loss: L1, squared error, L1 of the gradients and of the picture at half and quarter size. There is no KL term: noise of
a random share (up to --noise) of each channel's spread is added to the latents, which fixes the signal-to-noise
ratio and makes the decoder forgive the small errors of the transformer.
"""

import argparse
import multiprocessing
import pathlib
import random
import time

import numpy as np
import torch
import torch.nn.functional as F

import checkpoint
from optimizer import Graphed, Optimizer
from render import Renderer, batch_from_scenes, save_sheet
from scenes import CANVASES, Scene, Thing, place, random_scene
from vae import Vae, VaeConfig


def log(start, *words):
    print(f"[{time.time() - start:7.1f}]", *words, flush=True)


def scene_batch(job):
    seed, count, emoji_count, canvas = job
    source = random.Random(seed)
    batch = batch_from_scenes([random_scene(source, emoji_count, canvas) for _ in range(count)])
    return {name: values.numpy() for name, values in batch.items()}


def make_pool(renderer, pictures, seed, processes):
    """[pictures, 128, 128, 3] u8 on the device: five of six are whole pictures, the others cut out of larger ones."""
    size = 1000
    jobs = [(seed * 100_003 + i, size, renderer.count, 0 if i % 6 else 1 + i // 6 % 3)
            for i in range(-(-pictures // size))]
    pool = torch.empty(len(jobs) * size, 128, 128, 3, dtype=torch.uint8, device=renderer.device)
    source = random.Random(seed)
    with multiprocessing.get_context("fork").Pool(processes) as workers:
        for i, arrays in enumerate(workers.imap(scene_batch, jobs)):
            canvas = jobs[i][3]
            batch = {name: torch.from_numpy(values).to(renderer.device) for name, values in arrays.items()}
            drawn = renderer(batch, canvas)
            width, height = CANVASES[canvas]
            x = source.randrange(0, width - 127, 16)
            y = source.randrange(0, height - 127, 16)
            pool[i * size:(i + 1) * size] = drawn[:, y:y + 128, x:x + 128]
    return pool


def single_pictures(renderer, canvas=0, step=1):
    """Every picture alone on white."""
    scenes = [Scene(canvas, place(canvas, [Thing(i)])) for i in range(0, renderer.count, step)]
    parts = [renderer(batch_from_scenes(scenes[i:i + 256], renderer.device), canvas)
             for i in range(0, len(scenes), 256)]
    return torch.cat(parts)


def load_vae(folder, device):
    """(vae, mean [1, 16, 1, 1], spread)"""
    tensors, facts = checkpoint.load(folder, "vae")
    vae = Vae(VaeConfig(facts["base_dim"], tuple(facts["dim_mult"])))
    mean, spread = (tensors.pop(name).view(1, -1, 1, 1).to(device) for name in ("latents_mean", "latents_std"))
    vae.load_state_dict(tensors)
    return vae.eval().to(device, memory_format=torch.channels_last), mean, spread


def to_network(pictures):
    x = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
    return x.contiguous(memory_format=torch.channels_last)


def picture_loss(error):
    gradient = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    half = F.avg_pool2d(error, 2)
    pyramid = half.abs().mean() + F.avg_pool2d(half, 2).abs().mean()
    return error.abs().mean() + 5 * error.square().mean() + 0.5 * gradient + 0.25 * pyramid


class TrainingLoss(torch.nn.Module):
    def __init__(self, vae, noise):
        super().__init__()
        self.vae, self.noise = vae, noise

    def forward(self, x, level, latent_noise):
        """level [n, 1, 1, 1] in 0 ... 1. -> (loss, mean square error)"""
        latents = self.vae.encode(x)
        spread = (latents.var((0, 2, 3), keepdim=True) + 1e-6).sqrt()
        error = self.vae.decode(latents + self.noise * level * latent_noise * spread) - x
        return picture_loss(error) + 1e-3 * spread.log().square().mean(), error.square().mean()


def psnr(decoded, pictures):
    """Decibels, mean over the pictures; both in -1 ... 1."""
    error = (decoded.clamp(-1, 1) - pictures).square().mean((1, 2, 3)).clamp_min(1e-10)
    return float((10 * torch.log10(4 / error)).mean())


@torch.no_grad()
def evaluate(vae, renderer, amp, step):
    """PSNR of single pictures, as they are and with noisy latents, and on the largest canvas."""
    results = {}
    for name, canvas, stride in (("128x128", 0, step), ("256x256", 3, 8 * step)):
        pictures = single_pictures(renderer, canvas, stride)
        for noise in (0.0, 0.1, 0.2):
            values = []
            for part in pictures.split(64):
                x = to_network(part)
                with amp():
                    z = vae.encode(x)
                    spread = z.std((0, 2, 3), keepdim=True)
                    values.append(psnr(vae.decode(z + noise * spread * torch.randn_like(z)), x) * len(part))
            results[f"psnr {name}, noise {noise}"] = round(sum(values) / len(pictures), 2)
    return results


def split_parameters(vae):
    """Muon takes the inner convolutions; edges, norms and biases go to AdamW."""
    hidden, others = [], []
    for name, p in vae.named_parameters():
        inner = p.ndim == 4 and min(p.shape[0], p.shape[1]) >= 16 and "conv_out" not in name and "quant" not in name
        (hidden if inner else others).append(p)
    return hidden, others


def train(options, device, start):
    torch.manual_seed(options.seed)
    amp = lambda: torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda")
    renderer = Renderer(options.data, device)
    log(start, "sprites", renderer.count)
    pool = make_pool(renderer, options.pool, options.seed, options.processes)
    log(start, "pool", tuple(pool.shape))
    vae = Vae(VaeConfig(options.base, tuple(options.multiples))).to(device, memory_format=torch.channels_last)
    stored, _ = checkpoint.load(options.out, "vae")
    if stored:
        vae.load_state_dict({k: v for k, v in stored.items() if not k.startswith("latents_")})
        log(start, "goes on from the checkpoint")
    hidden, others = split_parameters(vae)
    if options.muon_rate == 0:
        hidden, others = [], hidden + others
    optimizer = Optimizer(hidden, others, options.muon_rate, options.adam_rate, 1e-3, (0.9, 0.99))
    average = [p.detach().clone() for p in optimizer.parameters]
    loss_module = TrainingLoss(vae, options.noise)
    if device.type == "cuda":
        loss_module = torch.compile(loss_module, dynamic=False)
    sums = torch.zeros(2, device=device)
    latent = 128 // 8

    def step():
        optimizer.zero_grad()
        x = to_network(pool[torch.randint(len(pool), (options.batch,), device=device)])
        level = torch.rand(options.batch, 1, 1, 1, device=device)
        noise = torch.randn(options.batch, vae.config.z_dim, latent, latent, device=device)
        with amp():
            loss, square = loss_module(x, level, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(optimizer.parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, optimizer.parameters, 0.002)
            sums.add_(torch.stack([loss.detach(), square.detach()]))

    run = Graphed(step, device)
    begin, count = time.time(), 0
    total = max(5.0, options.seconds - (begin - start))
    log(start, f"captured; {total:.0f} s of training")
    sums.zero_()
    while (progress := (time.time() - begin) / total) < 1 and count < options.most_steps:
        warm = min(1, (count + 1) / 200)
        optimizer.factor.fill_(warm * (1 if progress < 0.3 else max(0.005, (1 - progress) / 0.7)))
        run()
        count += 1
        if count % 20 == 0 and device.type == "cuda":
            torch.cuda.synchronize()
        if count % options.log_every == 0:
            loss, square = (sums / options.log_every).tolist()
            rate = count * options.batch / (time.time() - begin)
            log(start, f"step {count}  loss {loss:.4f}  psnr of the mean {10 * np.log10(4 / square):.2f}  {rate:.0f}/s")
            sums.zero_()
    with torch.no_grad():
        for p, a in zip(optimizer.parameters, average):
            p.copy_(a)
        latents = []
        with amp():
            for part in pool[:20000].split(500):
                latents.append(vae.encode(to_network(part)))
        latents = torch.cat(latents)
    facts = {"steps": count, "seconds": round(time.time() - begin), "batch": options.batch,
             "base_dim": options.base, "dim_mult": list(options.multiples), **evaluate(vae, renderer, amp, options.evaluate_every)}
    log(start, facts)
    tensors = dict(vae.state_dict())
    tensors["latents_mean"], tensors["latents_std"] = latents.mean((0, 2, 3)), latents.std((0, 2, 3))
    checkpoint.save(options.out, "vae", tensors, facts)
    sample = single_pictures(renderer, 0, 40)[:32]
    with torch.no_grad(), amp():
        decoded = vae.decode(vae.encode(to_network(sample)))
    drawn = ((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
    save_sheet(torch.stack([sample, drawn], 1).flatten(0, 1), pathlib.Path(options.out) / "vae.png", 16)
    log(start, "done")


def main():
    start = time.time()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("build/train"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/train/vae"))
    parser.add_argument("--seconds", type=float, default=420, help="from the start of the program to the last step")
    parser.add_argument("--most-steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--pool", type=int, default=240_000, help="pictures rendered beforehand")
    parser.add_argument("--base", type=int, default=24)
    parser.add_argument("--multiples", type=int, nargs="+", default=[1, 2, 3, 3])
    parser.add_argument("--noise", type=float, default=0.15)
    parser.add_argument("--muon-rate", type=float, default=0.01, help="0: AdamW alone")
    parser.add_argument("--adam-rate", type=float, default=2e-3)
    parser.add_argument("--log-every", type=int, default=250)
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--evaluate-every", type=int, default=1, help="evaluate on every n-th picture")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    train(options, device, start)


if __name__ == "__main__":
    main()
