"""Training samples of the flow: scenes as arrays, each with several prompts as token ids. Made in worker processes."""

import multiprocessing
import pathlib
import random

import numpy as np
import torch
from tokenizers import Tokenizer

import nouns as noun_lists
from captions import Captions
from intents import scene_of
from make_tokenizer import TEMPLATE
from render import batch_from_scenes

PROMPTS_PER_SCENE = 4


class PromptEncoder:
    """Prompts to token ids: the template's beginning is shared, the rest is per prompt."""

    def __init__(self, folder):
        self.tokenizer = Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
        self.before, self.after = TEMPLATE.split("{}")
        self.prefix = self.tokenizer.encode(self.before).ids
        self.pad = self.tokenizer.token_to_id("<|endoftext|>")
        self.size = self.tokenizer.get_vocab_size()

    def suffix(self, prompt):
        """The ids after the prefix."""
        ids = self.tokenizer.encode(self.before + prompt + self.after).ids
        assert ids[:len(self.prefix)] == self.prefix
        return ids[len(self.prefix):]

    def batch(self, prompts, length=None):
        """(ids [n, length] i64 padded, lengths [n])"""
        rows = [self.suffix(prompt) for prompt in prompts]
        length = length or max(map(len, rows))
        ids = torch.full((len(rows), length), self.pad)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = torch.tensor(row[:length])
        return ids, torch.tensor([min(len(row), length) for row in rows])


_worker = {}  # one per process, made by its first job


def _make(job):
    """(seed, scenes, canvas, fewest tokens, most tokens, data folder, tokenizer folder) -> arrays"""
    seed, count, canvas, fewest, most, data, tokenizer = job
    if not _worker:
        _worker["captions"] = Captions(noun_lists.load(data))
        _worker["encoder"] = PromptEncoder(tokenizer)
    captions, encoder = _worker["captions"], _worker["encoder"]
    source = random.Random(seed)
    ids = np.full((count, PROMPTS_PER_SCENE, most), encoder.pad, np.int16)
    lengths = np.zeros((count, PROMPTS_PER_SCENE), np.int16)
    scenes = []
    while len(scenes) < count:
        prompt, intent = captions.sample(source)
        if canvas and intent.number == 1 and source.random() < 0.6:
            continue  # one thing stands in the middle; on larger canvases the other places need the practice
        prompts = [prompt] + [captions.say(source, intent) for _ in range(PROMPTS_PER_SCENE + 6)]
        rows = [row for row in map(encoder.suffix, prompts) if fewest <= len(row) <= most][:PROMPTS_PER_SCENE]
        if not rows or (fewest == 0 and len(rows) < PROMPTS_PER_SCENE):
            continue
        for k in range(PROMPTS_PER_SCENE):
            row = rows[k % len(rows)]
            ids[len(scenes), k, :len(row)] = row
            lengths[len(scenes), k] = len(row)
        scenes.append(scene_of(intent, canvas))
    arrays = {name: values.numpy() for name, values in batch_from_scenes(scenes).items()}
    return {**arrays, "ids": ids, "lengths": lengths}


class SampleMaker:
    """Starts making samples at once; `get` waits for them. `kinds`: {name: (scenes, canvas, fewest, most tokens)}"""

    def __init__(self, kinds, data, tokenizer, seed, processes, job_size=2000):
        self.pool = multiprocessing.get_context("fork").Pool(processes)
        self.results = {}
        for k, (name, (scenes, canvas, fewest, most)) in enumerate(kinds.items()):
            jobs = [((seed * 64 + k) * 1_000_003 + i, min(job_size, scenes - begin), canvas, fewest, most, data, tokenizer)
                    for i, begin in enumerate(range(0, scenes, job_size))]
            self.results[name] = self.pool.map_async(_make, jobs, chunksize=1)

    def get(self, name):
        parts = self.results[name].get()
        return {key: torch.from_numpy(np.concatenate([part[key] for part in parts])) for key in parts[0]}
