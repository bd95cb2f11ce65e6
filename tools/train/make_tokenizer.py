"""Trains the tokenizer: Qwen2's byte-level BPE with a small vocabulary, on prompts as training will see them.

    python tools/train/make_tokenizer.py --data build/train --out build/train/tokenizer

Writes vocab.json, merges.txt, added_tokens.json, tokenizer.json and tokenizer_config.json. The words of the prompt
template weigh much, so that each of them becomes one token and the template stays short.
"""

import argparse
import json
import pathlib
import random
import re

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import nouns as noun_lists
from captions import Captions

SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ("<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> "
           "<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>").split()
NOT_SPECIAL = ("<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> "
               "<|file_sep|>").split()
# ref: diffusers pipeline_qwenimage.py, prompt_template_encode
TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n")


def corpus(captions, prompts, seed):
    """Lines to learn from."""
    source = random.Random(seed)
    for _ in range(prompts):
        yield captions.sample(source)[0]
    for noun in captions.nouns:
        for words in (noun.en, noun.zh):
            for name in words:
                for _ in range(6):
                    yield f"a {name}" if name.isascii() else name
        for word in noun.keywords_en + noun.keywords_zh:
            yield f"a {word}" if word.isascii() else word
    template = re.sub(r"<\|\w+\|>|\{\}", "\x00", TEMPLATE)
    for part in filter(None, template.split("\x00")):
        for _ in range(prompts):
            yield part


def train(captions, size, prompts, seed):
    tokenizer = Tokenizer(models.BPE(continuing_subword_prefix="", end_of_word_suffix=""))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=size - len(SPECIAL) - len(NOT_SPECIAL), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(corpus(captions, prompts, seed), trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in NOT_SPECIAL])
    return tokenizer


def write(tokenizer, folder):
    folder.mkdir(parents=True, exist_ok=True)
    description = json.loads(tokenizer.to_str())
    model = description["model"]
    dump = lambda name, value: (folder / name).write_text(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    dump("tokenizer.json", description)
    dump("vocab.json", model["vocab"])
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    added = {token["content"]: token["id"] for token in description["added_tokens"]}
    dump("added_tokens.json", added)
    fields = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")
    dump("tokenizer_config.json", {
        "add_bos_token": False, "add_prefix_space": False, "additional_special_tokens": SPECIAL[1:],
        "added_tokens_decoder": {str(t["id"]): {f: t[f] for f in fields} for t in description["added_tokens"]},
        "bos_token": None, "clean_up_tokenization_spaces": False, "eos_token": "<|im_end|>", "errors": "replace",
        "model_max_length": 131072, "pad_token": "<|endoftext|>", "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer", "unk_token": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("build/train"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/train/tokenizer"))
    parser.add_argument("--vocabulary", type=int, default=2560, help="all tokens, the special ones included")
    parser.add_argument("--prompts", type=int, default=150_000)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    captions = Captions(noun_lists.load(options.data))
    tokenizer = train(captions, options.vocabulary, options.prompts, options.seed)
    write(tokenizer, options.out)
    source = random.Random(options.seed + 1)
    lengths = sorted(len(tokenizer.encode(captions.sample(source)[0]).ids) for _ in range(5000))
    prefix = len(tokenizer.encode(TEMPLATE.split("{}")[0]).ids)
    print(f"{tokenizer.get_vocab_size()} tokens; the template begins with {prefix}; tokens of a prompt: mean "
          f"{sum(lengths) / len(lengths):.1f}, half {lengths[2500]}, 90 % {lengths[4500]}, 99 % {lengths[4950]}")


if __name__ == "__main__":
    main()
