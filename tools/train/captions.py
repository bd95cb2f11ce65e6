"""Prompts with what they mean: an intent drawn at random, said in English, in Chinese, or in emoji characters."""

import pathlib

from chinese import Chinese
from english import English
from intents import Chooser

PHRASINGS = pathlib.Path(__file__).with_name("free_phrasings.txt")


def load_phrasings(path=PHRASINGS):
    """[(prompt, what must be seen)] of the file of free phrasings."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [tuple(line.split("\t")) for line in lines]


class Captions:
    def __init__(self, nouns):
        self.nouns = nouns
        self.chooser = Chooser(nouns)
        self.english, self.chinese = English(nouns), Chinese(nouns)
        self.forbidden = {prompt.lower() for prompt, _ in load_phrasings()}

    def in_emoji(self, random, intent):
        plain = all(group.style == 0 for group in intent.groups)
        if not plain or intent.relation or intent.size or intent.corner or intent.number > 4:
            return None
        words = random.choice(("", "", " ", "+")).join(
            self.nouns[group.emoji].character for group in intent.groups for _ in range(group.count))
        if intent.top:
            if random.random() < 0.3:
                words, _ = self.chinese.background(random, intent, words)
            else:
                words, _ = self.english.background(random, intent, words)
        return words

    def say(self, random, intent):
        """A prompt for the intent: English mostly, a third Chinese, a few in emoji characters."""
        while True:
            chance = random.random()
            words = self.in_emoji(random, intent) if chance < 0.05 else None
            if words is None:
                words = (self.chinese if chance > 0.68 else self.english).say(random, intent)
            if words.lower() not in self.forbidden:
                return words

    def sample(self, random):
        """(prompt, intent)"""
        intent = self.chooser.intent(random)
        return self.say(random, intent), intent
