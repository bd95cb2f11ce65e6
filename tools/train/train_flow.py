"""Trains the text encoder and the transformer together, by flow matching on latents of the trained VAE.

    python tools/train/train_flow.py --data build/train --vae build/train/vae --tokenizer build/train/tokenizer \
        --out build/train/flow --seconds 540

The target is noise - latents at latents + sigma (noise - latents). The whole step (drawing the batch, forward,
backward, clipping, optimizer, averaging) is one CUDA graph per shape of batch. With a checkpoint in --resume training
goes on from it, with a learning rate that warms up and decays anew.
"""

import argparse
import dataclasses
import pathlib
import random
import time

import torch
import torch.nn.functional as F

import checkpoint
import sampling
from optimizer import Graphed, Optimizer
from render import Renderer
from samples import PROMPTS_PER_SCENE, PromptEncoder, SampleMaker
from scenes import CANVASES
from text_encoder import TextEncoder, TextEncoderConfig
from train_vae import load_vae, log, to_network
from transformer import Transformer, TransformerConfig, pack


@dataclasses.dataclass(frozen=True)
class Bucket:
    """Samples of one shape: canvas, range of prompt lengths, share of the steps, batch relative to --batch."""

    canvas: int
    fewest: int
    most: int
    scenes: float  # relative to --scenes
    share: float
    batch: float


BUCKETS = {
    "128x128": Bucket(0, 0, 32, 1.0, 0.44, 1.0),
    "128x128 long": Bucket(0, 28, 64, 0.1, 0.04, 0.5),
    "256x128": Bucket(1, 0, 32, 0.35, 0.16, 0.5),
    "128x256": Bucket(2, 0, 32, 0.35, 0.16, 0.5),
    "256x256": Bucket(3, 0, 32, 0.35, 0.20, 0.3125),
}


@torch.no_grad()
def encode(vae, mean, spread, renderer, samples, canvas, amp, out, batch=1024):
    """Latents of the scenes into out [scenes, tokens, 64] on the device."""
    names = ("emoji", "style", "size", "x", "y", "number", "top", "bottom")
    for begin in range(0, len(out), batch):
        part = {name: samples[name][begin:begin + batch].to(renderer.device) for name in names}
        pictures = renderer(part, canvas)
        with amp():
            latents = vae.encode(to_network(pictures))
        out[begin:begin + batch] = pack((latents - mean) / spread).to(out.dtype)


class Model(torch.nn.Module):
    """What is trained."""

    def __init__(self, encoder, options):
        super().__init__()
        vocabulary = -(-encoder.size // 64) * 64
        self.text_encoder = TextEncoder(TextEncoderConfig(vocabulary, layers=options.text_layers))
        self.transformer = Transformer(TransformerConfig(options.width, options.layers))

    def split_parameters(self):
        hidden, others = [], []
        for name, p in self.named_parameters():
            if not p.requires_grad:
                continue
            inner = p.ndim == 2 and (".transformer_blocks." in name or ".layers." in name) and "_mod." not in name
            (hidden if inner else others).append(p)
        return hidden, others


class Pool:
    """The data of one bucket on the device. It is filled later, so that graphs can be captured while samples are made."""

    def __init__(self, bucket, scenes, device):
        width, height = CANVASES[bucket.canvas]
        self.bucket, self.grid = bucket, (height // 16, width // 16)
        self.latents = torch.zeros(scenes, self.grid[0] * self.grid[1], 64, dtype=torch.bfloat16, device=device)
        self.ids = torch.zeros(scenes, PROMPTS_PER_SCENE, bucket.most, dtype=torch.int16, device=device)
        self.lengths = torch.zeros(scenes, PROMPTS_PER_SCENE, dtype=torch.long, device=device)

    def fill(self, samples, encode_into):
        self.ids.copy_(samples["ids"])
        self.lengths.copy_(samples["lengths"])
        encode_into(samples, self.bucket.canvas, self.latents)


def draw_sigmas(count, device):
    """Mostly logit-normal, moved towards noise as the sampler's schedule is; a fifth uniform."""
    s = torch.sigmoid(torch.randn(count, device=device))
    s = 1.633 * s / (1 + 0.633 * s)
    return torch.where(torch.rand(count, device=device) < 0.2, torch.rand(count, device=device), s)


class Trainer:
    def __init__(self, model, encoder, pools, options, device):
        self.model, self.pools, self.options, self.device = model, pools, options, device
        self.encoder = encoder
        self.optimizer = Optimizer(*model.split_parameters(), options.muon_rate, options.adam_rate, 0.01)
        self.average = [p.detach().clone() for p in self.optimizer.parameters]
        self.loss_sum = {name: torch.zeros((), device=device) for name in pools}
        self.prefix = torch.tensor(encoder.prefix, device=device)
        self.numbers = torch.arange(model.text_encoder.config.vocabulary, device=device, dtype=torch.int16)
        self.amp = lambda: torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda")

    def batch(self, pool, count, empty, empty_lengths):
        chosen = torch.randint(len(pool.latents), (count,), device=self.device)
        prompt = torch.randint(PROMPTS_PER_SCENE, (count,), device=self.device)
        ids, lengths = pool.ids[chosen, prompt], pool.lengths[chosen, prompt]
        chance = torch.rand(count, device=self.device)
        which = (chance < 0.02).long()  # of the dropped prompts a fifth is "", the others " "
        ids = torch.where(chance[:, None] < 0.1, empty[which], ids)
        lengths = torch.where(chance < 0.1, empty_lengths[which], lengths)
        return pool.latents[chosen].float(), ids, lengths

    def make_step(self, name):
        pool = self.pools[name]
        count = max(1, int(self.options.batch * pool.bucket.batch))
        length = pool.bucket.most
        empty, empty_lengths = self.encoder.batch([" ", ""], length)
        empty, empty_lengths = empty.to(self.device, torch.int16), empty_lengths.to(self.device)
        places = torch.arange(length, device=self.device)[None]
        parameters = self.optimizer.parameters

        def step():
            self.optimizer.zero_grad()
            latents, ids, lengths = self.batch(pool, count, empty, empty_lengths)
            sigma = draw_sigmas(count, self.device)
            noise = torch.randn_like(latents)
            noisy = latents + sigma.view(-1, 1, 1) * (noise - latents)
            with self.amp():
                one_hot = (ids[..., None] == self.numbers).to(torch.bfloat16 if self.device.type == "cuda" else torch.float32)
                text = self.model.text_encoder.forward_after(self.prefix, one_hot)
                velocity = self.model.transformer(noisy, text, places < lengths[:, None], sigma, pool.grid)
                loss = F.mse_loss(velocity.float(), noise - latents)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            self.optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(self.average, parameters, 5e-4)
                self.loss_sum[name].add_(loss.detach())

        return step

    def state(self):
        return [p.detach().clone() for p in self.optimizer.parameters]

    @torch.no_grad()
    def reset(self, state):
        """Forgets what the warm-up of the graphs did."""
        for p, a, s in zip(self.optimizer.parameters, self.average, state):
            p.copy_(s)
            a.copy_(s)
        for momentum in self.optimizer.momenta.values():
            momentum.zero_()
        for values in self.optimizer.adam.state.values():
            for value in values.values():
                if torch.is_tensor(value):
                    value.zero_()

    def rate(self, count, progress):
        warm = min(1, (count + 1) / 300)
        hold = self.options.hold
        return warm * (1 if progress < hold else max(0.005, (1 - progress) / (1 - hold)))

    def capture(self, start):
        """The steps by bucket. Changes nothing."""
        state = self.state()
        self.optimizer.factor.fill_(0.0)
        runs = {}
        for name in self.pools:
            runs[name] = Graphed(self.make_step(name), self.device, 3)
            log(start, f"captured {name}")
        self.reset(state)
        return runs

    def train(self, start, runs):
        begin, count, seen = time.time(), 0, 0
        total = max(3.0, self.options.seconds - (begin - start))
        log(start, f"{total:.0f} s of training")
        names = list(self.pools)
        shares = [self.pools[name].bucket.share for name in names]
        source = random.Random(self.options.seed)
        done = dict.fromkeys(names, 0)
        for value in self.loss_sum.values():
            value.zero_()
        while (progress := (time.time() - begin) / total) < 1 and count < self.options.most_steps:
            self.optimizer.factor.fill_(self.rate(count, progress))
            name = source.choices(names, shares)[0]
            runs[name]()
            count += 1
            done[name] += 1
            seen += int(self.options.batch * self.pools[name].bucket.batch)
            if count % 40 == 0 and self.device.type == "cuda":
                torch.cuda.synchronize()
            if count % self.options.log_every == 0:
                losses = {n: round(float(self.loss_sum[n]) / max(1, done[n]), 4) for n in names}
                log(start, f"step {count}  {(time.time() - begin) / count * 1e3:.2f} ms  {progress:.2f}  {losses}")
                for n in names:
                    self.loss_sum[n].zero_()
                    done[n] = 0
        with torch.no_grad():
            for p, a in zip(self.optimizer.parameters, self.average):
                p.copy_(a)
        return {"steps": count, "samples": seen, "seconds": round(time.time() - begin)}


def compile_blocks(model):
    torch._dynamo.config.cache_size_limit = 256
    torch._dynamo.config.accumulated_cache_size_limit = 1024
    for block in (*model.transformer.transformer_blocks, *model.text_encoder.layers):
        block.compile(dynamic=False)


def main():
    start = time.time()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("build/train"))
    parser.add_argument("--vae", type=pathlib.Path, default=pathlib.Path("build/train/vae"))
    parser.add_argument("--tokenizer", type=pathlib.Path, default=pathlib.Path("build/train/tokenizer"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/train/flow"))
    parser.add_argument("--resume", type=pathlib.Path, help="folder with a checkpoint to go on from")
    parser.add_argument("--seconds", type=float, default=540, help="from the start of the program to the last step")
    parser.add_argument("--most-steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--scenes", type=int, default=300_000, help="of 128 x 128, rendered and encoded beforehand")
    parser.add_argument("--width", type=int, default=192)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--text-layers", type=int, default=3)
    parser.add_argument("--muon-rate", type=float, default=0.02)
    parser.add_argument("--adam-rate", type=float, default=2e-3)
    parser.add_argument("--hold", type=float, default=0.35, help="share of the time before the rate decays")
    parser.add_argument("--log-every", type=int, default=500)
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--buckets", nargs="+", default=list(BUCKETS), choices=list(BUCKETS))
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    buckets = {name: BUCKETS[name] for name in options.buckets}
    kinds = {name: (max(64, int(options.scenes * b.scenes)), b.canvas, b.fewest, b.most) for name, b in buckets.items()}
    maker = SampleMaker(kinds, str(options.data), str(options.tokenizer), options.seed, options.processes,
                        min(2000, options.scenes))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(options.seed)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    renderer = Renderer(options.data, device)
    vae, mean, spread = load_vae(options.vae, device)
    encoder = PromptEncoder(options.tokenizer)
    model = Model(encoder, options).to(device)
    stored, facts = checkpoint.load(options.resume, "flow") if options.resume else (None, None)
    if stored:
        model.load_state_dict(stored)
        log(start, "goes on from", facts)
    amp = lambda: torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda")
    pools = {name: Pool(bucket, kinds[name][0], device) for name, bucket in buckets.items()}
    if device.type == "cuda":
        compile_blocks(model)
    trainer = Trainer(model, encoder, pools, options, device)
    runs = trainer.capture(start)
    encode_into = lambda samples, canvas, out: encode(vae, mean, spread, renderer, samples, canvas, amp, out)
    for name, pool in pools.items():
        pool.fill(maker.get(name), encode_into)
        log(start, f"encoded {name}, spread of the latents {float(pool.latents.float().std()):.3f}")
    maker.pool.close()
    result = trainer.train(start, runs)
    previous = facts or {"steps": 0, "samples": 0, "seconds": 0}
    result = {key: value + previous[key] for key, value in result.items()}
    result.update(width=options.width, layers=options.layers, text_layers=options.text_layers,
                  vocabulary=model.text_encoder.config.vocabulary)
    checkpoint.save(options.out, "flow", model.state_dict(), result)
    log(start, result)
    for block in (*model.transformer.transformer_blocks, *model.text_encoder.layers):
        block._compiled_call_impl = None
    sampling.write_sheets(sampling.Sampler(model.eval(), encoder, vae, mean, spread, device), options.out)
    log(start, "done")


if __name__ == "__main__":
    main()
