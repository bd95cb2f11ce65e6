"""Draws sets of prompts with Inkstone and counts how many pictures show what was asked.

    python tools/train/evaluate.py draw --inkstone build/inkstone --model models/emoji --out build/train/pictures
    python tools/train/evaluate.py judge --pictures build/train/pictures --out build/train/numbers.json

Every prompt is drawn once, with seed 1 and the model's defaults; with `--every 10` only every tenth is. A picture is right if each of its things, cut out
where the training pictures have it and brought to 64 x 64, is nearest to the right one of all training pictures of
that size on that background; and, counted apart, if the classifier of classifier.py names it.
"""

import argparse
import concurrent.futures
import dataclasses
import itertools
import json
import pathlib
import random
import re
import subprocess

import nouns as noun_lists
from captions import load_phrasings
from english import NUMBERS, is_plural, plural, with_article
from chinese import COLORS as CHINESE_COLORS, NUMBERS as CHINESE_NUMBERS, make_classifiers
from intents import GROUP_WEIGHTS, Chooser, Group, Intent, color_is_held_out, pair_is_held_out
from scenes import BACKGROUNDS, CANVASES, STYLES

SEED = 1


@dataclasses.dataclass
class Question:
    """A prompt and the scene it should give; `allowed`: per group, the pictures that will do."""

    set: str
    prompt: str
    intent: Intent
    allowed: list
    canvas: int = 0


def article(name):
    return name if is_plural(name) else with_article(name)


class Questions:
    def __init__(self, data):
        self.nouns = noun_lists.load(data)
        self.index = {noun.en[0]: i for i, noun in enumerate(self.nouns)}
        self.chooser = Chooser(self.nouns)
        self.weights = list(itertools.accumulate(GROUP_WEIGHTS.get(noun.group, 1.0) for noun in self.nouns))
        self.measure_words = make_classifiers(self.nouns)
        self.random = random.Random(2026)
        self.all = []

    def emoji(self):
        """Any picture; not as training draws them, so that questions stay the same when training changes."""
        return self.random.choices(range(len(self.nouns)), cum_weights=self.weights)[0]

    def add(self, name, prompt, groups, canvas=0, allowed=None, **rest):
        intent = Intent(groups, **rest)
        self.all.append(Question(name, prompt, intent, allowed or [[g.emoji] for g in groups], canvas))

    def names(self):
        for i, noun in enumerate(self.nouns):
            self.add("names, English", noun.en[0], [Group(i)])
            self.add("names, Chinese", noun.zh[0], [Group(i)])

    def many(self, name, number, pictures, chinese, canvas=0, held_out=False):
        """Pictures with `number` different things; the pairs held out only, or none of them."""
        for _ in range(pictures):
            while True:
                things = [self.emoji() for _ in range(number)]
                pairs = [(a, b) for k, a in enumerate(things) for b in things[k + 1:]]
                if all(a != b and pair_is_held_out(a, b) == held_out for a, b in pairs):
                    break
            if chinese:
                words = [self.nouns[i].zh[0] for i in things]
                prompt = "、".join(words[:-1]) + "和" + words[-1]
            else:
                words = [article(self.nouns[i].en[0]) for i in things]
                prompt = ", ".join(words[:-1]) + " and " + words[-1]
            self.add(name, prompt, [Group(i) for i in things], canvas)

    def counts(self, per_count):
        for count in range(1, 7):
            for k in range(per_count):
                i = self.emoji()
                if k % 3 == 2:
                    prompt = CHINESE_NUMBERS[count] + self.measure_words[i][0] + self.nouns[i].zh[0].lstrip("一")
                else:
                    name = self.nouns[i].en[0]
                    prompt = f"{NUMBERS[count]} {name if count == 1 else plural(name)}"
                self.add(f"counts, {count}", prompt, [Group(i, 0, count)])

    def backgrounds(self, per_color):
        for color in BACKGROUNDS:
            for k in range(per_color):
                i = self.emoji()
                if k % 3 == 2:
                    prompt = f"{self.nouns[i].zh[0]}，{CHINESE_COLORS[color]}背景"
                else:
                    prompt = f"{article(self.nouns[i].en[0])} on {with_article(color)} background"
                self.add("backgrounds", prompt, [Group(i)], top=color)

    def colors(self, number):
        """Colours that were never paired with the thing in training."""
        unseen = [(i, s) for i in self.chooser.colored for s in self.chooser.colors[i] if color_is_held_out(i, s)]
        for k, (i, style) in enumerate(self.random.sample(unseen, number)):
            if k % 3 == 2:
                prompt = f"{CHINESE_COLORS[STYLES[style]]}的{self.nouns[i].zh[0]}"
            else:
                prompt = with_article(f"{STYLES[style]} {self.nouns[i].en[0]}")
            self.add("unseen colours", prompt, [Group(i, style)])

    def phrasings(self):
        for prompt, expected in load_phrasings():
            groups, allowed = [], []
            for item in expected.split(" + "):
                count, color, names = re.fullmatch(r"(?:(\d) )?(?:(\w+): )?(.+)", item).groups()
                pictures = [self.index[name] for name in names.split("|")]
                groups.append(Group(pictures[0], STYLES.index(color) if color else 0, int(count or 1)))
                allowed.append(pictures)
            match = re.search(r"(dark blue|sky blue|light green|yellow|pink|orange) background", prompt)
            top = match.group(1) if match else ""
            top = "dark blue" if "background is dark blue" in prompt else top
            top = {"蓝色背景": "blue", "粉色背景": "pink"}.get(prompt[:4], top)
            relation = "stack" if "above" in prompt else ""
            self.add("free phrasings", prompt, groups, allowed=allowed, top=top, relation=relation)

    def sizes(self, number):
        """Other canvases: single things, and as many as stand there at full size."""
        for canvas in (1, 2, 3):
            label = "{}x{}".format(*CANVASES[canvas])
            for _ in range(number):
                i = self.emoji()
                self.add(f"{label}, one thing", article(self.nouns[i].en[0]), [Group(i)], canvas)
            self.many(f"{label}, {4 if canvas == 3 else 2} things", 4 if canvas == 3 else 2, number, False, canvas)

    def make(self, every=1):
        """{number: question}, every so many of them"""
        self.names()
        self.many("held-out pairs, English", 2, 120, False, held_out=True)
        self.many("held-out pairs, Chinese", 2, 120, True, held_out=True)
        self.many("triples", 3, 60, False)
        self.many("triples", 3, 30, True)
        self.many("quads", 4, 60, False)
        self.many("quads", 4, 30, True)
        self.counts(40)
        self.backgrounds(6)
        self.colors(200)
        self.phrasings()
        self.sizes(40)
        return {i: question for i, question in enumerate(self.all) if i % every == 0}


def draw_one(job):
    """Draws one question; pictures that are there already are kept."""
    inkstone, model, path, question, extra = job
    if path.exists():
        return
    width, height = CANVASES[question.canvas]
    subprocess.run([inkstone, "generate", "-q", "-m", model, "-t", "1", "--seed", str(SEED), "--size", f"{width}x{height}",
                    "-p", "-", "-o", path, *extra], input=question.prompt.encode(), check=True)


def draw(options):
    options.out.mkdir(parents=True, exist_ok=True)
    jobs = [(options.inkstone, options.model, options.out / f"{i:05}.png", question, options.extra)
            for i, question in Questions(options.data).make(options.every).items()]
    with concurrent.futures.ThreadPoolExecutor(options.processes) as pool:
        for i, _ in enumerate(pool.map(draw_one, jobs)):
            if i % 200 == 0:
                print(f"{i} of {len(jobs)}", flush=True)


def judge(options):
    from judge import Judge  # torch is only needed here

    numbers = Judge(options.data, options.classifier).report(Questions(options.data).make(options.every),
                                                                 options.pictures)
    options.out.write_text(json.dumps(numbers, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for name, row in numbers["sets"].items():
        print(f"{name:28} {row['pictures']:5}  " + "  ".join(f"{k} {v}" for k, v in row.items() if k not in ("pictures", "wrong")))
    print({k: v for k, v in numbers.items() if k != "sets"})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("draw", draw), ("judge", judge)):
        command = commands.add_parser(name)
        command.set_defaults(run=function)
        command.add_argument("--data", type=pathlib.Path, default=pathlib.Path("build/train"))
        command.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th prompt")
        if name == "draw":
            command.add_argument("--inkstone", default="build/inkstone")
            command.add_argument("--model", default="models/emoji")
            command.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/train/pictures"))
            command.add_argument("--processes", type=int, default=2)
            command.add_argument("extra", nargs="*", help="further options of inkstone generate, after --")
        else:
            command.add_argument("--classifier", type=pathlib.Path, default=pathlib.Path("build/train/classifier"))
            command.add_argument("--pictures", type=pathlib.Path, default=pathlib.Path("build/train/pictures"))
            command.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/train/numbers.json"))
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
