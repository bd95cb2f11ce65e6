"""What a picture is made of: a canvas, a background and objects on a grid. No words, no pixels.

Objects come in four sizes and stand where their edges fall on the same phase of the 8-pixel grid of the VAE, so
that a network learns every object once per size and not once per pixel of displacement.
"""

import dataclasses

SIZES = (112, 80, 56, 40)  # pixels; objects are square
FULL, LARGE, HALF, THIRD = range(4)

CANVASES = ((128, 128), (256, 128), (128, 256), (256, 256))  # width, height

# How an object may look. Index 0 is as it is in the font; then colours, then styles.
STYLES = ("plain", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray",
          "light blue", "monochrome", "silhouette")
FIRST_COLOR, LAST_COLOR = 1, 12
MONOCHROME, SILHOUETTE = 13, 14

BACKGROUNDS = {  # name: red, green, blue
    "white": (255, 255, 255), "black": (16, 16, 18), "gray": (150, 152, 156), "light gray": (214, 216, 220),
    "dark gray": (72, 74, 80), "red": (222, 52, 48), "light blue": (173, 216, 240), "blue": (48, 104, 220),
    "sky blue": (112, 190, 245), "dark blue": (22, 40, 110), "navy blue": (16, 28, 78), "green": (60, 168, 80),
    "light green": (176, 228, 170), "dark green": (18, 84, 48), "mint": (178, 240, 214), "yellow": (252, 214, 60),
    "light yellow": (255, 244, 180), "orange": (250, 146, 48), "pink": (250, 160, 196),
    "light pink": (253, 218, 230), "hot pink": (240, 64, 146), "purple": (134, 74, 190),
    "lavender": (214, 200, 244), "brown": (128, 84, 54), "beige": (240, 226, 198), "cream": (255, 248, 226),
    "teal": (30, 148, 150), "turquoise": (72, 210, 202), "gold": (222, 176, 62), "peach": (255, 206, 170),
}
WHITE = BACKGROUNDS["white"]


@dataclasses.dataclass
class Thing:
    emoji: int       # index of the picture
    style: int = 0   # index in STYLES
    size: int = FULL  # index in SIZES
    x: int = 64      # centre, in pixels
    y: int = 64


@dataclasses.dataclass
class Scene:
    canvas: int  # index in CANVASES
    things: list
    top: tuple = WHITE     # background at the top, and at the bottom: a vertical gradient if they differ
    bottom: tuple = WHITE


def _grid(xs, ys):
    return [(x, y) for y in ys for x in xs]


def _turn(places):
    return sorted(((y, x) for x, y in places), key=lambda place: (place[1], place[0]))


_QUINCUNX_SMALL = [(24, 24), (104, 24), (64, 64), (24, 104), (104, 104)]
_QUINCUNX_WIDE = [(48, 32), (208, 32), (128, 64), (48, 96), (208, 96)]
_QUINCUNX_LARGE = [(48, 48), (208, 48), (128, 128), (48, 208), (208, 208)]

# [canvas][number of things]: size and centres, in reading order.
LAYOUTS = (
    {1: (FULL, [(64, 64)]), 2: (HALF, [(32, 64), (96, 64)]), 3: (HALF, [(64, 32), (32, 96), (96, 96)]),
     4: (HALF, _grid((32, 96), (32, 96))), 5: (THIRD, _QUINCUNX_SMALL), 6: (THIRD, _grid((24, 64, 104), (40, 88)))},
    {1: (FULL, [(128, 64)]), 2: (FULL, [(64, 64), (192, 64)]), 3: (LARGE, [(48, 64), (128, 64), (208, 64)]),
     4: (HALF, _grid((32, 96, 160, 224), (64,))), 5: (HALF, _QUINCUNX_WIDE),
     6: (HALF, _grid((48, 128, 208), (32, 96)))},
    {1: (FULL, [(64, 128)]), 2: (FULL, [(64, 64), (64, 192)]), 3: (LARGE, [(64, 48), (64, 128), (64, 208)]),
     4: (HALF, _grid((64,), (32, 96, 160, 224))), 5: (HALF, _turn(_QUINCUNX_WIDE)),
     6: (HALF, _grid((32, 96), (48, 128, 208)))},
    {1: (FULL, [(128, 128)]), 2: (FULL, [(64, 128), (192, 128)]), 3: (FULL, [(128, 64), (64, 192), (192, 192)]),
     4: (FULL, _grid((64, 192), (64, 192))), 5: (LARGE, _QUINCUNX_LARGE),
     6: (LARGE, _grid((48, 128, 208), (80, 176)))},
)
# Two things where the prompt says how they stand, whatever the canvas.
SIDE_BY_SIDE = ((HALF, [(32, 64), (96, 64)]), (FULL, [(64, 64), (192, 64)]), (HALF, [(32, 128), (96, 128)]),
                (FULL, [(64, 128), (192, 128)]))
STACKED = ((HALF, [(64, 32), (64, 96)]), (HALF, [(128, 32), (128, 96)]), (FULL, [(64, 64), (64, 192)]),
           (FULL, [(128, 64), (128, 192)]))


def place(canvas, things, layout=None):
    """Gives the things their sizes and places: those of LAYOUTS for their number, or of `layout`."""
    size, centres = layout or LAYOUTS[canvas][len(things)]
    for thing, (x, y) in zip(things, centres, strict=True):
        thing.size, thing.x, thing.y = size, x, y
    return things


def place_single(canvas, thing, size, column, row):
    """One thing in the middle (0), or towards an edge (-1, 1) of the canvas."""
    width, height = CANVASES[canvas]
    margin = 32 if SIZES[size] <= 64 else 64
    thing.size = size
    thing.x = (margin, width // 2, width - margin)[column + 1]
    thing.y = (margin, height // 2, height - margin)[row + 1]
    return [thing]


def random_scene(random, emoji_count, canvas):
    """Any things anywhere in a layout: what the VAE learns from."""
    number = random.choices((1, 2, 3, 4, 5, 6), (50, 16, 9, 12, 6, 7))[0]
    same = random.random() < 0.2
    first = random.randrange(emoji_count)
    things = []
    for _ in range(number):
        style = 0 if random.random() < 0.8 else random.randrange(len(STYLES))
        things.append(Thing(first if same else random.randrange(emoji_count), style))
    layout = None
    if number == 2 and random.random() < 0.3:
        layout = STACKED[canvas]
    place(canvas, things, layout)
    if number == 1 and random.random() < 0.15:
        place_single(canvas, things[0], random.choice((HALF, THIRD)), random.randint(-1, 1), random.randint(-1, 1))
    colors = list(BACKGROUNDS.values())
    kind = random.random()
    top = bottom = WHITE
    if kind >= 0.5:
        top = bottom = random.choice(colors)
    if kind >= 0.92:
        bottom = random.choice(colors)
    return Scene(canvas, things, top, bottom)
