"""Intents in English."""

import re

from scenes import FIRST_COLOR, LAST_COLOR, MONOCHROME, SILHOUETTE, STYLES

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six")
# Adjectives and appositions that change nothing in the picture.
ADJECTIVES = (
    "cute|funny|beautiful|pretty|lovely|nice|happy|fluffy|adorable|little|big|large|huge|giant|great|simple|sweet|"
    "wonderful|amazing|gorgeous|elegant|friendly|sleepy|angry|lonely|brave|clever|wise|old|new|young|modern|fresh|shiny|"
    "delicious|tasty|fancy|cool|smart|magical|mysterious|majestic|fierce|wild|lazy|proud|hungry|single|lonely|classic|"
    "realistic|detailed|colorful|typical|perfect|super cute|very cute|really nice|very big|cheerful|crazy|silly|strange|"
    "famous|fantastic|splendid|quiet|noisy|fast|slow|strong|soft|warm|wooden|plastic|toy|cartoon|spooky").split("|")
OPENINGS = (  # {} takes a noun phrase with its article
    "a picture of {}|a picture of {}|an image of {}|a photo of {}|a drawing of {}|an illustration of {}|a painting of {}|"
    "an icon of {}|an emoji of {}|a cartoon of {}|a sketch of {}|a sticker of {}|clip art of {}|a logo with {}|"
    "draw {}|draw {}|please draw {}|draw me {}|paint {}|paint me {}, please|show me {}|show {}|please show me {}|I want {}|I want to see {}|"
    "I'd like {}|I would like a picture of {}|can you draw {}?|can you draw {} for me?|could you make {}?|make {}|"
    "make a picture of {}|make me {}|create {}|create an image of {}|generate {}|generate a picture of {}|there is {}|"
    "there is {} in the picture|this is {}|here is {}|look, {}!|{}, please|{} please|just {}|only {}|{} and nothing else|"
    "a picture that shows {}|a picture with {}|a picture with {} in it|a photograph of {}|give me {}|imagine {}|"
    "let's see {}|let me see {}|I love {}|I like {}|I need {}|I need an image of {}|we see {}|you can see {}|my child wants {}|"
    "my dream is {}|today I saw {}|{} is what I want|a nice picture of {} for my mother|a close-up of {}|a portrait of {}|"
    "a 3d render of {}|a vector graphic of {}|a poster with {}|a postcard with {}|the image shows {}|hello, please draw {}|"
    "hi! can I have {}?|what does {} look like?|a cute picture of {}").split("|")
BARE_OPENINGS = (  # {} takes a noun without article
    "{} emoji|{} icon|the {}|my {}|one {}|your {}|a single {}|emoji {}|{} picture|{} image|{} drawing|{} symbol|another {}|"
    "this {}|some {}|every {}|our {}|my favorite {}|the best {}|{} clipart|{} logo|{} sticker").split("|")
FILLERS = (
    "digital art|high quality|highly detailed|cute|flat design|cartoon style|clean vector art|simple|4k|8k|centered|"
    "minimalist|colorful|Ultra HD, 4K, cinematic composition|masterpiece|best quality|sharp focus|trending on artstation|"
    "studio lighting|soft light|watercolor|oil painting|pixel perfect|professional|beautiful lighting|in high resolution|"
    "isolated|sticker style|emoji style|fine lines|bold outlines|vivid colors|pastel colors|award winning|very detailed|"
    "concept art|isometric|front view|side view|close-up|no text|for children|in a cute style|in the style of a cartoon|"
    "simple shapes|icon design|flat vector illustration|hand drawn|photorealistic|ultra realistic|dramatic lighting|"
    "fantasy art|HDR|intricate|smooth|kawaii|modern design|plain|clean|nothing else|everybody likes it|it is lovely|"
    "with great care|as you know it|with a lot of love|like in a children's book|made for a website").split("|")
SCENERY = (
    "in the park|at night|in the morning|at sunset|outside|in the garden|on a summer day|in winter|in the wild|at home|"
    "in the sky|in the forest|by the sea|on the table|in the city|in the kitchen|on the street|in space|in the water|"
    "in the grass|in the rain|in my room|far away|in the museum|in a fairy tale").split("|")
TAILS = (
    "that is sleeping|looking at you|who is happy|standing there|that I like|of my dreams|with a smile|seen from the side|"
    "that everybody knows|having fun|waiting for you|in love|that looks great|dancing|running|sitting|for you|today").split("|")

HEAD_ENDS = re.compile(r" (of|with|without|in|on|at|and|facing|showing|pointed|pointing|wearing|behind|from|to|over|"
                       r"holding|surfing|dancing|running|walking|standing|kneeling) ")
IRREGULAR = {
    "man": "men", "woman": "women", "person": "people", "child": "children", "mouse": "mice", "leaf": "leaves",
    "knife": "knives", "goose": "geese", "foot": "feet", "tooth": "teeth", "fish": "fish", "sheep": "sheep",
    "deer": "deer", "wolf": "wolves", "loaf": "loaves", "sushi": "sushi", "bison": "bison", "ox": "oxen",
    "scarf": "scarves", "calf": "calves", "policeman": "policemen", "fireman": "firemen", "snowman": "snowmen",
}


def split_head(name):
    match = HEAD_ENDS.search(f" {name} ")
    end = match.start() - 1 if match and match.start() > 1 else len(name)
    return name[:end], name[end:]


def is_plural(name):
    head = split_head(name)[0].lower()
    return head.endswith("s") and not head.endswith(("ss", "us", "is", "lens", "gas", "bus", "cactus", "octopus"))


def plural(name):
    if is_plural(name):
        return name
    head, rest = split_head(name)
    before, _, last = head.rpartition(" ")
    lower = last.lower()
    if lower in IRREGULAR:
        last = IRREGULAR[lower]
    elif lower.endswith(("s", "x", "ch", "sh", "z")):
        last += "es"
    elif lower.endswith("y") and lower[-2:-1] not in "aeiou":
        last = last[:-1] + "ies"
    else:
        last += "s"
    return (f"{before} " if before else "") + last + rest


def with_article(phrase):
    first = phrase[0].lower()
    vowel = first in "aeiou" and not phrase.lower().startswith(("uni", "one", "eu", "us", "ut", "ufo"))
    return ("an " if vowel or phrase.startswith(("X-ray", "x-ray", "8")) else "a ") + phrase


class English:
    def __init__(self, nouns):
        self.nouns = nouns
        self.names = {name.lower() for noun in nouns for name in noun.en}

    def noun(self, random, emoji):
        noun, chance = self.nouns[emoji], random.random()
        if len(noun.en) > 1 and chance < 0.38:
            return random.choice(noun.en[1:])
        if noun.keywords_en and chance > 0.92:
            return random.choice(noun.keywords_en)
        return noun.en[0]

    def styled(self, random, group, words=""):
        """The noun with its adjectives, without article."""
        noun = self.noun(random, group.emoji)
        if FIRST_COLOR <= group.style <= LAST_COLOR:
            color = STYLES[group.style]
            color = "grey" if color == "gray" and random.random() < 0.4 else color
            chance = random.random()
            noun = f"{color} {noun}" if chance < 0.85 else f"{color}-colored {noun}" if chance < 0.93 else f"{noun} in {color}"
        elif group.style == MONOCHROME:
            noun = random.choice(("black and white {}", "black-and-white {}", "grayscale {}", "monochrome {}",
                                  "{} in black and white")).format(noun)
        elif group.style == SILHOUETTE:
            noun = random.choice(("silhouette of {a}", "shadow of {a}", "silhouette {}", "{} silhouette")).format(
                noun, a=noun if is_plural(noun) else with_article(noun))
        if random.random() < 0.12:
            described = f"{random.choice(ADJECTIVES)} {noun}"
            if described.lower() not in self.names:  # an "old" man is another picture
                noun = described
        return f"{words} {noun}" if words else noun

    def phrase(self, random, group, words=""):
        """A group with its article or number."""
        name = self.styled(random, group, words)
        if group.count > 1:
            many = plural(name)
            chance = random.random()
            number = NUMBERS[group.count] if chance < 0.8 else str(group.count)
            if group.count == 2 and chance < 0.12:
                return random.choice(("a pair of ", "a couple of ")) + many
            if chance < 0.06:
                return f"a group of {number} {many}"
            return f"{number} {many}"
        if is_plural(name):
            return name
        chance = random.random()
        return with_article(name) if chance < 0.86 else f"the {name}" if chance < 0.9 else f"one {name}" if chance < 0.92 else name

    def join(self, random, phrases):
        if len(phrases) == 2:
            a, b = phrases
            return random.choice(("{} and {}",) * 8 + ("{} next to {}", "{} beside {}", "{}, {}", "{} with {}",
                                                      "{} together with {}", "both {} and {}", "{} plus {}")).format(a, b)
        chance, last = random.random(), phrases[-1]
        if chance < 0.7:
            return ", ".join(phrases[:-1]) + (" and " if chance < 0.45 else ", and ") + last
        return ", ".join(phrases) if chance < 0.85 else " and ".join(phrases)

    def related(self, random, relation, a, b):
        if relation == "side":
            return random.choice((
                "{a} to the left of {b}", "{a} left of {b}", "{b} to the right of {a}", "{b} right of {a}",
                "{a} on the left and {b} on the right", "on the left {a}, on the right {b}", "{a} on the left, {b} on the right",
                "left: {a}, right: {b}", "on the left there is {a} and on the right there is {b}")).format(a=a, b=b)
        return random.choice((
            "{a} above {b}", "{a} on top of {b}", "{a} over {b}", "{b} below {a}", "{b} under {a}", "{b} beneath {a}",
            "{a} above and {b} below", "{a} at the top and {b} at the bottom", "{b} with {a} above it")).format(a=a, b=b)

    def subject(self, random, intent):
        """(words, whether they may be put into an opening)"""
        first = intent.groups[0]
        if len(intent.groups) > 1:
            phrases = [self.phrase(random, group) for group in intent.groups]
            return (self.related(random, intent.relation, *phrases) if intent.relation else self.join(random, phrases)), True
        if intent.size:
            return self.phrase(random, first, random.choice(("small", "very small") if intent.size == "small" else ("tiny", "very tiny"))), True
        if intent.corner:
            where = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
            place = where.get(intent.corner, f"in the {intent.corner} corner")
            return f"{self.phrase(random, first)} {place}", True
        chance = random.random()
        if first.count == 1 and chance < 0.12:
            return random.choice(BARE_OPENINGS).format(self.styled(random, first)), False
        if first.count == 1 and chance < 0.36:
            return self.styled(random, first), False  # the first word has other tokens than after a space
        return self.phrase(random, first), True

    def background(self, random, intent, words):
        color, c = with_article(intent.top), intent.top
        if intent.bottom:
            return random.choice((
                f"{words} on {color} to {intent.bottom} gradient background",
                f"{words}, gradient background from {c} to {intent.bottom}",
                f"{words} with {color} and {intent.bottom} gradient background",
                f"{words}, {c} to {intent.bottom} gradient")), True
        chance = random.random()
        if chance < 0.4:
            return f"{words} on {color} background", True
        return random.choice((
            (f"{words}, {c} background", True), (f"{words} with {color} background", True),
            (f"{words} against {color} background", True), (f"{words} on {c}", True),
            (f"{words} in front of {color} background", True), (f"{words}, {c} backdrop", True),
            (f"{words} on a plain {c} background", True), (f"{c} background, {words}", False),
            (f"{words}. The background is {c}", False), (f"the background is {c}, {words}", False),
            (f"{words} before {color} background", True), (f"{words}, background {c}", True)))

    def decorate(self, random, words):
        if random.random() < 0.05:
            words += " " + random.choice(SCENERY if random.random() < 0.6 else TAILS)
        if random.random() < 0.16:
            number = random.choice((1, 1, 1, 2, 2, 3, 4, 5))
            words += ", " + ", ".join(random.sample(FILLERS, number))
        return words

    def finish(self, random, words):
        chance = random.random()
        if chance < 0.07:
            words = words.lower()
        elif chance < 0.13:
            words = words.upper()
        elif chance < 0.17:
            words = words.title()
        elif chance < 0.36:
            words = words[0].upper() + words[1:]
        if words[-1] not in "?!." and random.random() < 0.12:
            words += random.choice("..!")
        if random.random() < 0.02:
            at = random.randrange(1, max(2, len(words) - 1))
            words = words[:at] + words[at + 1:at + 2] + words[at:at + 1] + words[at + 2:]
        return words

    def say(self, random, intent):
        words, may_open = self.subject(random, intent)
        opening = random.choice(OPENINGS) if may_open and random.random() < 0.36 else "{}"
        if random.random() < 0.5:
            words = opening.format(words)
            if intent.top:
                words, _ = self.background(random, intent, words)
        elif intent.top:
            words, whole = self.background(random, intent, words)
            words = opening.format(words) if whole else words
        else:
            words = opening.format(words)
        return self.finish(random, self.decorate(random, words))
