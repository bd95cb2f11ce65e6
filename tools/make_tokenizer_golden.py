#!/usr/bin/env python3
"""Golden token ids from Hugging Face `tokenizers`, and a random comparison with it.

    make_tokenizer_golden.py golden FOLDER > tests/golden/tokenizer.json
    make_tokenizer_golden.py fuzz N FOLDER COMMAND...

FOLDER holds tokenizer.json, or vocab.json, merges.txt and tokenizer_config.json, of a Qwen2 tokenizer. `fuzz`
makes N random texts, feeds them to COMMAND one a line (without line feeds) and compares the JSON arrays that it
prints. SEED in the environment chooses other texts. For example:

    FOLDER=models/qwen-image/tokenizer
    make_tokenizer_golden.py fuzz 20000 $FOLDER build/inkstone tokenize --no-template --tokenizer $FOLDER

Needs tokenizers.
"""
import json
import os
import random
import subprocess
import sys

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def load(folder):
    """The tokenizer of a folder as the reference runs it."""
    whole = os.path.join(folder, "tokenizer.json")
    if os.path.exists(whole):
        tokenizer = Tokenizer.from_file(whole)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer
    tokenizer = Tokenizer(models.BPE.from_file(os.path.join(folder, "vocab.json"), os.path.join(folder,
        "merges.txt")))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    with open(os.path.join(folder, "tokenizer_config.json"), encoding="utf-8") as file:
        listed = json.load(file)["added_tokens_decoder"]
    for number, entry in sorted(listed.items(), key=lambda item: int(item[0])):
        tokenizer.add_tokens([AddedToken(entry["content"], **{flag: entry[flag] for flag in FLAGS})])
        assert tokenizer.token_to_id(entry["content"]) == int(number)
    return tokenizer


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


# Golden texts

TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\r", "\r\n", "\r\n\r\n", "\t", "\t\t\t", " \n", "\n ", " \n ",
    "\v\f", "a", "A",
    "Hello world", " Hello world", "hello  world", "hello   world   ", "  two  spaces ", "a red rose",
    "A cat holding a sign that says hello world",
    "A photo of a cat, sitting on a windowsill; soft light (golden hour), 85mm, f/1.8 -- ultra detailed!",
    # contractions
    "don't DON'T I'LL we've they're I'd it's 'S 'T 'RE 'VE 'M 'LL 'D", "'s't're've'm'll'd",
    "'\u017f 'l 'r 'v'",
    "don\u2019t it\u2019s", "'twas the '90s", "o'clock's", "''s", "' s",
    # digits
    "123 4.5", "1234567890", "1,000,000", "3.14159e-10", "\u00b2\u00b3\u00b9 \u00bd \u2167 \u2460",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \uff11\uff12\uff13", "x2y3", "0x1F600", "16:9 1024x1024",
    # Latin and its marks, both ways of writing them
    "caf\u00e9", "cafe\u0301", "na\u00efve fa\u00e7ade", "nai\u0308ve fac\u0327ade",
    "a\u0323\u0302 a\u0302\u0323 \u1ead",
    "\u00c5\u212b A\u030a", "\u1e9b\u0323 \u017f\u0323\u0307", "Vi\u1ec7t Nam, ti\u1ebfng Vi\u1ec7t",
    "\u0301 \u0301a",
    "stra\u00dfe STRASSE \ufb01sh \ufb06", "\u01c4 \u01c5 \u01c6", "\u0130stanbul \u0131",
    "q\u0307\u0323 q\u0323\u0307",
    "Z\u0351\u036b\u0343\u036a\u0302\u0352\u031a\u0301a\u0300\u0301\u0302\u0303\u0304lgo",
    "\u2126 \u212a \u2329\u232a",
    # Greek, Cyrillic, Armenian, Georgian
    "\u0391\u03b8\u03ae\u03bd\u03b1 \u1f00\u03c1\u03c7\u03ae \u1fb3 \u03b1\u0345",
    "\u041f\u0440\u0438\u0432\u0435\u0442, "
    "\u043c\u0438\u0440! \u0451\u043b\u043a\u0430 \u0435\u0308", "\u0548\u0582\u0580\u0561\u056d",
    "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0",
    # Hebrew, Arabic, Syriac, N'Ko
    "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\ufb2a\ufb2c\u05c1",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0642\u0650\u0637\u0651\u064e\u0629\u064c", "\u0627\u0653 \u0622",
    "\u0627\u0644\u0644\u0651\u064e\u0647 \ufdf2 \ufefb", "\u0710\u0711", "\u07d2\u07de\u07cf",
    # Indic
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\u0915\u093c \u0958 \u0921\u093c", "\u09ac\u09be\u0982\u09b2\u09be \u09c7\u09be",
    "\u0ba4\u0bae\u0bbf\u0bb4\u0bcd \u0bca \u0bc6\u0bbe", "\u0c24\u0c46\u0c32\u0c41\u0c17\u0c41",
    "\u0d2e\u0d32\u0d2f\u0d3e\u0d33\u0d02", "\u0dc3\u0dd2\u0d82\u0dc4\u0dbd",
    # South-East Asia, Tibet, Ethiopia, Mongolia
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u0e41\u0e21\u0e27 \u0e19\u0e49\u0e33", "\u0eaa\u0eb0\u0e9a\u0eb2\u0e8d\u0e94\u0eb5",
    "\u1019\u103c\u1014\u103a\u1019\u102c", "\u1781\u17d2\u1798\u17c2\u179a",
    "\u0f56\u0f7c\u0f51\u0f0b\u0f61\u0f72\u0f42 \u0f43 \u0f73",
    "\u12a0\u121b\u122d\u129b", "\u182e\u1823\u1829\u182d\u1823\u182f\u180e\u1820",
    # Chinese, Japanese, Korean
    "\u4e00\u53ea\u732b",
    "\u4e00\u53ea\u6234\u7740\u5e3d\u5b50\u7684\u732b\uff0c\u5750\u5728\u7a97\u53f0\u4e0a\u3002",
    "\u4f4e\u5206\u8fa8\u7387\uff0c\u4f4e\u753b\u8d28\uff0c\u80a2\u4f53\u7578\u5f62",
    "\u7e41\u9ad4\u4e2d\u6587\u300c\u5f15\u865f\u300d", "\u8c48\uf900 \u795e\ufa19",
    "\u3053\u3093\u306b\u3061\u306f\u4e16\u754c\u3001\u30cf\u30ed\u30fc\u30ef\u30fc\u30eb\u30c9",
    "\u304b\u3099\u304d\u3099 \u30cf\u309a \u309b",
    "\uff76\uff9e \uff8a\uff9f", "\u3300 \u32ff \u337f", "\uc548\ub155\ud558\uc138\uc694 \uc138\uacc4",
    "\u1112\u1161\u11ab\u1100\u1173\u11af", "\u1112\u1161 \u11ab \uac00\u11a8 \uac01\u11a8",
    "\u3131\u314f \u3147\u314b\u314b", "\U00020000\U0002a6d6 \U0002f800 \U00030000 \U00031350 \U0002ebf0",
    # emoji
    "\U0001f60a $2", "\U0001f431", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 family",
    "\U0001f44d\U0001f3fd\U0001f44d\U0001f3ff", "\u2764\ufe0f \u2764 \u263a\ufe0f",
    "\U0001f1e9\U0001f1ea\U0001f1ef\U0001f1f5", "1\ufe0f\u20e3 #\ufe0f\u20e3",
    "\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001fae8 \U0001fac6",
    "cat\U0001f431cat \U0001f431\U0001f431\n",
    # signs
    "!!! ??? ... --- ===", "$100 \u20ac5 \u00a37 \u00a59", "a+b=c; x<y>z & \"quoted\" 'single' `tick`",
    "C:\\path\\file.txt", "https://example.org/a?b=c&d=e#f",
    "foo_bar-baz.qux@example.org", "/* comment */ // x\n\tint main(void) { return 0; }\n",
    "\u2018\u2019\u201c\u201d\u2026\u2013\u2014", "\u2200x\u2208\u211d: x\u00b2\u22650",
    "<|", "<|im_start", "|>", "<<|im_end|>>",
    # white space
    "a\u00a0b", "a\u3000b", "\u2003\u2003x", "a\u2028b\u2029c", "a\u0085b", "a\u200bb\ufeffc", "a\u180eb",
    "\x1c\x1d\x1e\x1f", "a \r\n b", "a\n\n\n b", "   \n   \n   x", "\u1680\u202f\u205f x",
    "tab\tand\t\tspace  \t x", "end of line   \n", "        deep indentation", " \u0301", "\u00a0\u0301",
    # controls, private and unassigned characters, the last one
    "\x01\x02\x7f\x80\x9f", "a\x00b", "\x00", "\ue000\uf8ff\U000f0000\U0010ffff", "\ufffd\ufffe\uffff",
    "\u0378 \U000e0080", "\u202eabc\u202c", "\u061c\u200e\u200f",
    # characters younger than some versions of Unicode
    "\u07fd\u0301 \u08ca\u0300 \u1ac1\u0323", "\U00011938 \U00011935\U00011930",
    "\ua7dc\u019b \u1c89\u1c8a \U00010d50\U00010d70", "\U0001e5d0\U0001e5f1", "\U00016d43\U00016d67",
    "a\U0001e4ec\u0301\u0323 a\u0898\u0323",
    # added tokens in the text
    "<|im_start|>user\nhi<|im_end|>\n", "<|im_end|>", "a<|im_end|>b", " <|im_end|> ",
    "<|im_start|><|im_start|>", "<tool_call>{\"a\": 1}</tool_call>",
    "<|im_end|>\u0338", "<|im_end|>\u0301x", "e<|im_end|>\u0301", "<|endoftext|>\n\n<|endoftext|>",
    "<think>no token here</think>", "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "<|IM_END|>",
    "<|image_pad|><|video_pad|><|vision_start|><|vision_end|><|box_start|>", "<|im_end|>'s", "'<|im_end|>s",
    "\n<|im_end|>\n", "x \n<|im_end|>",
]

WORDS = ["cat", "Stra\u00dfe", "\u732b", "\u043a\u043e\u0442", "\u0642\u0637\u0629", "\u0e41\u0e21\u0e27",
         "\uace0\uc591\uc774", "12", "!?", "\n", " ", "  ", "\t", "\U0001f431", "e\u0301", "'s",
         "<|im_end|>", "-", "\u3002", "\r\n", "A", "the", "\u0928"]


def golden_texts():
    texts = list(TEXTS)
    rng = random.Random(1)
    for _ in range(80):
        count = rng.randint(2, 12)
        texts.append("".join(rng.choice(WORDS) + rng.choice(["", "", " "]) for _ in range(count)))
    texts += [unit * count for unit, count in (
        ("a", 300), (" ", 200), ("\n", 150), ("ab", 150), ("1", 90), ("!", 200), ("\u732b", 60),
        ("\u0301\u0323", 40), ("\U0001f431", 40),
        ("word ", 60), (" \n", 50), ("\u1112\u1161\u11ab", 30), ("'s", 40), ("=", 128), ("\t", 70),
        ("na\u00efve ", 30))]
    return texts


# ref: diffusers pipeline_qwenimage.py, prompt_template_encode
TEMPLATE = ("<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, "
            "spatial relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n"
            "<|im_start|>assistant\n")
PROMPTS = ["", " ", "a red rose", "A cat holding a sign that says hello world", "\u4e00\u53ea\u732b",
           "\nhello", "hello\n", "\n",
           "\n\n\nthree lines above", "  two  spaces ", "123 4.5", "don't DON'T I'LL", "\U0001f60a $2",
           "cafe\u0301",
           "\u0338 joins nothing", "<|im_end|>", "{}", "\u4f4e\u5206\u8fa8\u7387\uff0c\u4f4e\u753b\u8d28",
           "a photo of a cat " * 8]


def make_golden(folder):
    tokenizer = load(folder)

    def rows(texts, template="{}"):
        pairs = [[text, ids(tokenizer, template.replace("{}", text, 1))] for text in texts]
        return ",\n".join(json.dumps(pair, separators=(",", ":")) for pair in pairs)

    print(f'{{"made_by": "tools/make_tokenizer_golden.py, tokenizers {tokenizers.__version__}",\n"texts": [')
    print(rows(golden_texts()) + '\n],\n"prompts": [\n' + rows(PROMPTS, TEMPLATE) + "\n]}")


# Random comparison

BLOCKS = [(0x20, 0x7E), (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x300, 0x36F), (0x370, 0x5FF), (0x600,
          0x8FF), (0x900, 0xDFF), (0xE00, 0x12FF), (0x1100, 0x11FF),
          (0x1AB0, 0x1AFF), (0x1DC0, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x20D0, 0x2BFF), (0x3000,
          0x30FF), (0x4E00, 0x9FFF), (0xA600, 0xABFF), (0xAC00, 0xD7A3),
          (0xF900, 0xFB4F), (0xFE00, 0xFFFF), (0x10000, 0x11FFF), (0x16000, 0x16FFF), (0x1D100, 0x1D1FF),
          (0x1E000, 0x1EFFF), (0x1F000, 0x1FAFF), (0x20000, 0x323AF),
          (0xE0000, 0xE01FF), (0, 0x10FFFF)]
PARTS = ["'s", "'LL", "'Re", "\r", "\n", "\r\n", " ", "  ", "\t", "\u3000", "\u0085", "\u180e", "\u2028",
         "\x00", "<|im_end|>", "<|im_start|>", "<tool_call>", "<|", "|>", "the", " the", "ing", "123",
         "\u0301", "\u0323", "\u0338", "\u0345", "\u1161", "\u11a8", "\uac00", "\u093c", "\u09be", "\u3099",
         "\u200d", "\ufe0f", "..", "--", "_", "\u017f", "\u212a"]


def random_code(rng):
    while True:
        low, high = rng.choice(BLOCKS)
        code = rng.randint(low, high)
        if not 0xD800 <= code <= 0xDFFF:
            return chr(code)


def random_text(rng):
    kind = rng.random()
    count = rng.randint(0, 40)
    if kind < 0.35:
        return "".join(random_code(rng) for _ in range(count))
    if kind < 0.7:
        return "".join(rng.choice(PARTS) if rng.random() < 0.5 else random_code(rng) for _ in range(count))
    if kind < 0.85:
        low, high = rng.choice(BLOCKS[:-1])
        return "".join(chr(rng.randint(low, high)) if rng.random() < 0.8 else " " for _ in range(count))
    return "".join(rng.choice(PARTS + WORDS) for _ in range(count))


def fuzz(count, folder, command):
    tokenizer = load(folder)
    rng = random.Random(int(os.environ.get("SEED", "1")))
    texts = [random_text(rng).replace("\n", " ").rstrip("\r") for _ in range(count)]
    done = subprocess.run(command, input="".join(text + "\n" for text in texts).encode(),
        stdout=subprocess.PIPE, check=True)
    lines = done.stdout.decode().splitlines()
    if len(lines) != count:
        sys.exit(f"{count} texts, but {len(lines)} answers")
    wrong = 0
    for text, line in zip(texts, lines):
        expected = ids(tokenizer, text)
        if json.loads(line) != expected:
            wrong += 1
            if wrong <= 10:
                print(f"{ascii(text)}\n  expected {expected}\n  got      {line}")
    print(f"{count} texts, {wrong} different")
    sys.exit(wrong > 0)


def main():
    if sys.argv[1:2] == ["golden"] and len(sys.argv) == 3:
        make_golden(sys.argv[2])
    elif sys.argv[1:2] == ["fuzz"] and len(sys.argv) >= 5:
        fuzz(int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
