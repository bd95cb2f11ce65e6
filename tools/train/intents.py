"""What somebody may want to see, without words: drawn at random for training, and its scene."""

import dataclasses

from scenes import (BACKGROUNDS, FIRST_COLOR, HALF, LAST_COLOR, MONOCHROME, SIDE_BY_SIDE, SILHOUETTE, STACKED, STYLES,
                    THIRD, WHITE, Scene, Thing, place, place_single)

COLOR_NAMES = list(BACKGROUNDS)
# Words for places: (column, row) of place_single.
CORNERS = {"top left": (-1, -1), "top right": (1, -1), "bottom left": (-1, 1), "bottom right": (1, 1),
           "left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
FAVOURITES = ("cat", "cat face", "dog", "dog face")  # what people try first
GROUP_WEIGHTS = {"Animals & Nature": 1.3, "Food & Drink": 1.3, "People & Body": 0.8, "Symbols": 0.7, "Flags": 0.7}


@dataclasses.dataclass
class Group:
    """`count` equal things."""

    emoji: int
    style: int = 0
    count: int = 1


@dataclasses.dataclass
class Intent:
    groups: list
    relation: str = ""    # "": none is said; "side": the first is on the left; "stack": the first is on top
    size: str = ""        # "small", "tiny"
    corner: str = ""      # a key of CORNERS
    top: str = ""         # colour of the background, "" if none is said
    bottom: str = ""      # the other end of a gradient

    @property
    def number(self):
        return sum(group.count for group in self.groups)


def _mix(a, b):
    """A fixed pseudo-random number of two small ones, the same on every machine and in every version of Python."""
    x = (a * 0x9E3779B1 + b * 0x85EBCA77 + 0xC2B2AE3D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    return x ^ (x >> 13)


def pair_is_held_out(a, b):
    """One pair in ten is never in the training data."""
    return _mix(min(a, b), max(a, b)) % 10 == 0


def color_is_held_out(emoji, style):
    """One combination of thing and colour in ten is never in the training data."""
    return FIRST_COLOR <= style <= LAST_COLOR and _mix(emoji + 5000, style) % 10 == 0


class Chooser:
    """Draws intents. `nouns`: see nouns.py."""

    def __init__(self, nouns):
        self.indices = range(len(nouns))
        self.weights = []
        total = 0.0
        for noun in nouns:
            # What has several names is what people ask for.
            weight = 4.0 if noun.en[0] in FAVOURITES else 1.5 if len(noun.en) > 1 else 1.0
            total += GROUP_WEIGHTS.get(noun.group, 1.0) * weight
            self.weights.append(total)
        names = {name.lower() for noun in nouns for name in noun.en + noun.keywords_en}
        # Colours that a thing may be asked in: not where "green apple" is a picture of its own.
        self.colors = []
        for i, noun in enumerate(nouns):
            allowed = []
            if noun.has_color:
                for style in range(FIRST_COLOR, LAST_COLOR + 1):
                    clash = any(f"{STYLES[style]} {name}".lower() in names for name in noun.en)
                    allowed += [] if clash else [style]
            self.colors.append(allowed)
        self.colored = [i for i in self.indices if self.colors[i]]

    def emoji(self, random):
        return random.choices(self.indices, cum_weights=self.weights)[0]

    def different(self, random, number):
        """`number` different pictures, no two of them a pair that is held out."""
        chosen = []
        while len(chosen) < number:
            i = self.emoji(random)
            if all(i != j and not pair_is_held_out(i, j) for j in chosen):
                chosen.append(i)
        return chosen

    def style(self, random, emoji):
        """A colour for it that is not held out, or plain."""
        colors = self.colors[emoji]
        style = random.choice(colors) if colors else 0
        return 0 if color_is_held_out(emoji, style) else style

    def group(self, random, emoji, count=1, color=0.12):
        return Group(emoji, self.style(random, emoji) if random.random() < color else 0, count)

    def intent(self, random):
        kind = random.random()
        if kind < 0.40:
            intent = Intent([Group(self.emoji(random))])
        elif kind < 0.53:
            emoji = random.choice(self.colored)
            intent = Intent([self.group(random, emoji, 1, 1.0)])
        elif kind < 0.61:
            intent = self.special(random)
        elif kind < 0.74:
            count = random.choices((1, 2, 3, 4, 5, 6), (1, 2, 2.5, 2.5, 5, 5))[0]
            intent = Intent([self.group(random, self.emoji(random), count, 0.08)])
        elif kind < 0.89:
            relation = random.choices(("", "side", "stack"), (6, 2, 2))[0]
            intent = Intent([self.group(random, i) for i in self.different(random, 2)], relation)
        elif kind < 0.97:
            number = 3 if random.random() < 0.55 else 4
            intent = Intent([self.group(random, i, 1, 0.06) for i in self.different(random, number)])
        else:
            first, second = random.choice(((1, 2), (1, 3), (2, 1), (2, 2), (3, 1)))
            a, b = self.different(random, 2)
            intent = Intent([self.group(random, a, first, 0.05), self.group(random, b, second, 0.05)])
        self.add_background(random, intent)
        return intent

    def special(self, random):
        """One thing that is small, at an edge, or drawn in another manner."""
        group = Group(self.emoji(random))
        kind = random.random()
        if kind < 0.2:
            return Intent([group], size="small")
        if kind < 0.32:
            return Intent([group], size="tiny")
        if kind < 0.6:
            return Intent([group], corner=random.choice(list(CORNERS)))
        group.style = MONOCHROME if kind < 0.82 else SILHOUETTE
        return Intent([group])

    @staticmethod
    def add_background(random, intent):
        kind = random.random()
        if kind >= 0.54:
            intent.top = random.choice(COLOR_NAMES)
        if kind >= 0.95:
            intent.bottom = random.choice(COLOR_NAMES)


def scene_of(intent, canvas):
    """The one picture of an intent on a canvas."""
    things = [Thing(group.emoji, group.style) for group in intent.groups for _ in range(group.count)]
    if intent.corner:
        place_single(canvas, things[0], HALF, *CORNERS[intent.corner])
    elif intent.size:
        place_single(canvas, things[0], HALF if intent.size == "small" else THIRD, 0, 0)
    else:
        layout = {"side": SIDE_BY_SIDE, "stack": STACKED}.get(intent.relation)
        place(canvas, things, layout and layout[canvas])
    top = BACKGROUNDS[intent.top] if intent.top else WHITE
    return Scene(canvas, things, top, BACKGROUNDS[intent.bottom] if intent.bottom else top)
