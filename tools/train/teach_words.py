"""Teaches the text encoder bare words: "ghost" shall mean what "a ghost" means.

    python tools/train/teach_words.py --flow build/train/flow --out build/train/flow-words --seconds 90

A word at the beginning of a prompt has other tokens than after a space, and mostly more of them. The model as it is
says what velocity belongs to the prompt with an article; a copy of its text encoder learns to get the same velocity
with the bare word, and to keep its answers to all other prompts. Nothing but the text encoder changes. There is no
noise in what is to be learned, so that a minute on a GPU is enough.
"""

import argparse
import copy
import pathlib
import random
import time

import torch
import torch.nn.functional as F

import checkpoint
import nouns as noun_lists
from english import is_plural, with_article
from optimizer import Graphed
from render import Renderer, batch_from_scenes
from samples import PromptEncoder, SampleMaker
from scenes import Scene, Thing
from train_flow import Model, draw_sigmas, encode
from train_vae import load_vae, log

LONGEST = 32  # tokens of a prompt and the template's end


def word_pairs(nouns, source):
    """[(picture, bare words, words as they are known)]"""
    pairs = []
    for i, noun in enumerate(nouns):
        for k, name in enumerate(noun.en):
            known = f"a picture of {name}" if is_plural(name) else with_article(name)
            forms = {name, name.capitalize(), name.lower()}
            pairs += [(i, form, known) for form in sorted(forms)]
            if k == 0:  # the official name once more, and shouted now and then
                pairs.append((i, name, known))
                if source.random() < 0.3:
                    pairs.append((i, name.upper(), known))
    return pairs


class Words:
    """Every pair of prompts, with the picture's latents. Pairs are drawn the more often the less they are known."""

    def __init__(self, data, encoder, latents, device):
        pairs = word_pairs(noun_lists.load(data), random.Random(1))
        fits = [p for p in pairs if max(len(encoder.suffix(p[1])), len(encoder.suffix(p[2]))) <= LONGEST]
        tensors = (torch.tensor([p[0] for p in fits]), *encoder.batch([p[1] for p in fits], LONGEST),
                   *encoder.batch([p[2] for p in fits], LONGEST))
        self.picture, self.ids, self.lengths, self.known_ids, self.known_lengths = (t.to(device) for t in tensors)
        self.latents = latents
        self.loss = torch.full((len(self.picture),), 0.05, device=device)  # of each pair, when it was last drawn
        self.drawn = None

    def batch(self, count):
        """(latents, ids, lengths, ids as known, lengths)"""
        sums = self.loss.clamp_min(0.002).cumsum(0)
        k = torch.searchsorted(sums, torch.rand(count, device=sums.device) * sums[-1]).clamp_max(len(sums) - 1)
        self.drawn = k
        return (self.latents[self.picture[k]], self.ids[k], self.lengths[k], self.known_ids[k], self.known_lengths[k])

    def learn(self, losses):
        """Notes how well the pairs that were drawn last are known."""
        self.loss.index_copy_(0, self.drawn, self.loss[self.drawn].lerp(losses, 0.3))


class Others:
    """Prompts of every kind, which keep their meaning."""

    def __init__(self, samples, latents, device):
        self.ids, self.lengths, self.latents = samples["ids"].to(device).long(), samples["lengths"].to(device).long(), latents

    def batch(self, count):
        k = torch.randint(len(self.ids), (count,), device=self.ids.device)
        prompt = torch.randint(self.ids.shape[1], (count,), device=self.ids.device)
        ids, lengths = self.ids[k, prompt], self.lengths[k, prompt]
        return self.latents[k], ids, lengths, ids, lengths


class Teacher:
    def __init__(self, model, encoder, device):
        self.transformer, self.known = model.transformer.requires_grad_(False), model.text_encoder.requires_grad_(False)
        self.learner = copy.deepcopy(self.known).requires_grad_(True)
        self.prefix = torch.tensor(encoder.prefix, device=device)
        self.numbers = torch.arange(self.known.config.vocabulary, device=device)
        self.places = torch.arange(LONGEST, device=device)[None]

    def velocity(self, text_encoder, noisy, ids, lengths, sigma):
        one_hot = (ids[..., None] == self.numbers).float()
        text = text_encoder.forward_after(self.prefix, one_hot)
        return self.transformer(noisy, text, self.places < lengths[:, None], sigma, (8, 8)).float()

    def loss(self, latents, ids, lengths, known_ids, known_lengths):
        """per prompt"""
        latents = latents.float()
        sigma = draw_sigmas(len(latents), latents.device)
        noisy = latents + sigma.view(-1, 1, 1) * (torch.randn_like(latents) - latents)
        with torch.no_grad():
            wanted = self.velocity(self.known, noisy, known_ids, known_lengths, sigma)
        return F.mse_loss(self.velocity(self.learner, noisy, ids, lengths, sigma), wanted, reduction="none").mean((1, 2))


@torch.no_grad()
def encode_scenes(samples, count, vae, mean, spread, renderer, amp):
    out = torch.zeros(count, 64, 64, dtype=torch.bfloat16, device=renderer.device)
    encode(vae, mean, spread, renderer, samples, 0, amp, out, 256)
    return out


def teach(teacher, words, others, options, amp, start):
    parameters = list(teacher.learner.parameters())
    device = parameters[0].device
    on_device = device.type == "cuda"
    rate = torch.zeros((), device=device)
    optimizer = torch.optim.AdamW(parameters, rate if on_device else 0.0, betas=(0.9, 0.99), weight_decay=0.0,
                                  fused=on_device, capturable=on_device)
    sums = torch.zeros(2, device=device)
    half = options.batch // 2

    def step():
        for p in parameters:
            p.grad = None
        both = [torch.cat(tensors) for tensors in zip(words.batch(half), others.batch(half))]
        with amp():
            values = teacher.loss(*both)
        losses = torch.stack([values[:half].mean(), values[half:].mean()])
        (losses[0] + 2 * losses[1]).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            words.learn(values[:half])
            sums.add_(losses)

    run = Graphed(step, device)
    sums.zero_()
    begin, count = time.time(), 0
    total = max(2.0, options.seconds - (begin - start))
    while (progress := (time.time() - begin) / total) < 1 and count < options.most_steps:
        now = options.rate * min(1, (count + 1) / 50) * (1 - progress)
        rate.fill_(now)
        for group in optimizer.param_groups if not on_device else ():
            group["lr"] = now
        run()
        count += 1
        if count % options.log_every == 0:
            mean = (sums / options.log_every).tolist()
            log(start, f"step {count}  {(time.time() - begin) / count * 1e3:.0f} ms  words drawn {mean[0]:.5f}  all words "
                       f"{float(words.loss.mean()):.5f}  others {mean[1]:.5f}")
            sums.zero_()
    return count


def main():
    start = time.time()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("build/train"))
    parser.add_argument("--vae", type=pathlib.Path, default=pathlib.Path("build/train/vae"))
    parser.add_argument("--tokenizer", type=pathlib.Path, default=pathlib.Path("build/train/tokenizer"))
    parser.add_argument("--flow", type=pathlib.Path, default=pathlib.Path("build/train/flow"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/train/flow-words"))
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--most-steps", type=int, default=10**9)
    parser.add_argument("--batch", type=int, default=768)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--scenes", type=int, default=20000, help="of the other prompts")
    parser.add_argument("--processes", type=int, default=15)
    parser.add_argument("--log-every", type=int, default=100)
    options = parser.parse_args()
    torch.manual_seed(1)
    maker = SampleMaker({"128x128": (options.scenes, 0, 0, LONGEST)}, str(options.data), str(options.tokenizer), 77,
                        options.processes, min(500, options.scenes))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    amp = lambda: torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda")
    tensors, facts = checkpoint.load(options.flow, "flow")
    options.width, options.layers, options.text_layers = facts["width"], facts["layers"], facts["text_layers"]
    encoder = PromptEncoder(options.tokenizer)
    model = Model(encoder, options).to(device)
    model.load_state_dict(tensors)
    renderer = Renderer(options.data, device)
    vae, mean, spread = load_vae(options.vae, device)
    singles = batch_from_scenes([Scene(0, [Thing(i)]) for i in range(renderer.count)])
    words = Words(options.data, encoder, encode_scenes(singles, renderer.count, vae, mean, spread, renderer, amp), device)
    samples = maker.get("128x128")
    maker.pool.close()
    others = Others(samples, encode_scenes(samples, options.scenes, vae, mean, spread, renderer, amp), device)
    log(start, f"{len(words.picture)} pairs of words, {options.scenes} other scenes")
    teacher = Teacher(model, encoder, device)
    count = teach(teacher, words, others, options, amp, start)
    model.text_encoder = teacher.learner
    checkpoint.save(options.out, "flow", model.state_dict(), {**facts, "steps for words": count})
    log(start, "done")


if __name__ == "__main__":
    main()
