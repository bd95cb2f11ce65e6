"""Reads the emoji font and the Unicode names from Debian's packages and writes what training needs.

    apt-get install fonts-noto-color-emoji unicode-cldr-core unicode-data
    python tools/train/prepare_data.py --out build/train

Writes <out>/emoji.json (one record per picture: character, names, keywords, group) and <out>/glyphs.npz (the
pictures as they are in the font: PNG, 136 x 128).

Left out, because they are variants of one picture, pictures of letters, or say nothing without context: skin
tones, most flags, keycaps, letters, arrows, the zodiac, families, and the neutral one of three where a man and a
woman exist.
"""

import argparse
import io
import json
import pathlib
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
EMOJI_TEST = "/usr/share/unicode/emoji/emoji-test.txt"
CLDR = "/usr/share/unicode/cldr/common"

DROPPED_SUBGROUPS = {
    "transport-sign", "arrow", "religion", "zodiac", "av-symbol", "gender", "keycap", "alphanum", "currency",
    "family", "person-symbol",
}
KEPT_NAMES = set(
    "couple with heart|kiss|people holding hands|footprints|recycling symbol|check mark button|cross mark|"
    "trident emblem|fleur-de-lis|peace symbol|yin yang|star of David|warning|radioactive|biohazard|no entry|"
    "prohibited|sparkle|heavy dollar sign|red question mark|red exclamation mark|infinity|plus|minus|multiply|"
    "divide|play button|musical note|hollow red circle|check mark|ATM sign|wheelchair symbol|cinema|antenna bars|"
    "children crossing|male sign|female sign|medical symbol|eight-spoked asterisk|star and crescent|atom symbol"
    .split("|"))
KEPT_FLAGS = {
    "chequered flag", "triangular flag", "rainbow flag", "pirate flag", "black flag", "white flag", "crossed flags",
}
# CLDR of the same Debian release has no Chinese names for the newest emoji.
CHINESE_NAMES = {
    "shaking face": "颤抖的脸", "pink heart": "粉色的心", "light blue heart": "浅蓝色的心", "grey heart": "灰色的心",
    "leftwards pushing hand": "向左推的手", "rightwards pushing hand": "向右推的手", "moose": "驼鹿", "donkey": "驴",
    "wing": "翅膀", "black bird": "黑鸟", "goose": "鹅", "jellyfish": "水母", "hyacinth": "风信子",
    "ginger root": "姜", "pea pod": "豌豆荚", "folding hand fan": "折扇", "hair pick": "发叉", "maracas": "沙槌",
    "flute": "长笛",
}


def read_ligatures(font):
    """{sequence of glyph names: glyph name} of the font's ligature substitutions."""
    ligatures = {}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            if table.LookupType == 7:
                table = table.ExtSubTable
            if table.LookupType != 4:
                continue
            for first, entries in table.ligatures.items():
                for entry in entries:
                    ligatures[(first, *entry.Component)] = entry.LigGlyph
    return ligatures


class EmojiFont:
    def __init__(self, path):
        font = TTFont(path)
        self.characters = font.getBestCmap()
        self.pictures = font["CBDT"].strikeData[0]
        self.ligatures = read_ligatures(font)

    def png(self, codepoints):
        """The PNG of a sequence of code points, or None. The variation selector may be missing in the font."""
        for points in (codepoints, [c for c in codepoints if c != 0xFE0F]):
            glyphs = tuple(self.characters.get(c) for c in points)
            if None in glyphs:
                continue
            name = glyphs[0] if len(glyphs) == 1 else self.ligatures.get(glyphs)
            if name in self.pictures:
                return self.pictures[name].imageData
        return None


def read_annotations(language):
    """({character: name}, {character: [keyword]})"""
    names, keywords = {}, {}
    for folder in ("annotations", "annotationsDerived"):
        for entry in ElementTree.parse(f"{CLDR}/{folder}/{language}.xml").iter("annotation"):
            character = entry.get("cp").replace("\ufe0f", "")
            if entry.get("type") == "tts":
                names[character] = entry.text
            else:
                keywords[character] = [word.strip() for word in entry.text.split("|")]
    return names, keywords


def read_emoji_test():
    """Yields (code points, character, name, group, subgroup) of the fully qualified emoji."""
    group = subgroup = None
    for line in open(EMOJI_TEST, encoding="utf-8"):
        if line.startswith("# group:"):
            group = line.split(":")[1].strip()
        elif line.startswith("# subgroup:"):
            subgroup = line.split(":")[1].strip()
        elif "; fully-qualified" in line:
            codepoints = [int(point, 16) for point in line.split(";")[0].split()]
            character, name = re.match(r".*# (\S+) E[\d.]+ (.*)$", line.strip()).groups()
            yield codepoints, character, name, group, subgroup


def is_wanted(name, group, subgroup, all_names):
    if name in KEPT_NAMES:
        return True
    if group == "Component" or subgroup in DROPPED_SUBGROUPS or name == "moon viewing ceremony":
        return False
    if group == "Flags":
        return name in KEPT_FLAGS
    if group == "Symbols":
        return subgroup == "geometric" and not re.search("medium|small|button|radio", name)
    if subgroup in ("person-gesture", "person-activity", "person-sport"):
        return not re.match(r"(man|woman|men|women)\b", name) or name in ("man dancing", "woman dancing")
    if subgroup in ("person-role", "person-fantasy"):
        gendered = {f"man {name}", f"men {name}", f"man {name[7:]}"} & all_names
        return bool(re.match(r"(man|woman|men|women) ", name)) or not gendered or name == "ninja"
    if re.search("-thirty|o’clock", name):
        return name in ("three o’clock", "ten o’clock")
    return True


def straighten(text):
    return text.replace("’", "'").replace("“", '"').replace("”", '"')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/train"))
    options = parser.parse_args()
    font = EmojiFont(FONT)
    names, keywords = {}, {}
    for language in ("en", "zh"):
        names[language], keywords[language] = read_annotations(language)
    candidates = list(read_emoji_test())
    all_names = {name for _, _, name, _, _ in candidates}
    records, pictures, seen = [], [], set()
    for codepoints, character, name, group, subgroup in candidates:
        if any(0x1F3FB <= point <= 0x1F3FF for point in codepoints) or not is_wanted(name, group, subgroup, all_names):
            continue
        png = font.png(codepoints)
        if png is None:
            continue
        pixels = Image.open(io.BytesIO(png)).convert("RGBA").tobytes()
        if pixels in seen:
            continue
        seen.add(pixels)
        plain = character.replace("\ufe0f", "")
        records.append({
            "character": character, "group": group, "subgroup": subgroup,
            "en": straighten(names["en"].get(plain, name)),
            "zh": names["zh"].get(plain) or CHINESE_NAMES[name],
            "keywords_en": [straighten(word) for word in keywords["en"].get(plain, [])],
            "keywords_zh": keywords["zh"].get(plain, []),
        })
        pictures.append(png)
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "emoji.json", "w", encoding="utf-8") as file:
        json.dump(records, file, ensure_ascii=False, indent=0)
    offsets = np.cumsum([0] + [len(png) for png in pictures])
    np.savez(options.out / "glyphs.npz", bytes=np.frombuffer(b"".join(pictures), np.uint8), offsets=offsets)
    print(f"{len(records)} pictures, {offsets[-1] / 1e6:.1f} MB, in {options.out}")


if __name__ == "__main__":
    main()
