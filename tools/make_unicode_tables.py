#!/usr/bin/env python3
"""Writes src/text/unicode_tables.c: the Unicode classes that Hugging Face `tokenizers` works with.

Token ids depend on which characters are letters, numbers and combining marks, and every library that
could answer follows its own version of Unicode. The tables are asked of `tokenizers` itself, so that ids are
equal whatever versions of PCRE2 and utf8proc Inkstone is built with.

Usage: make_unicode_tables.py > src/text/unicode_tables.c   (needs tokenizers; then run clang-format)
"""
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

CODES = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
YPOGEGRAMMENI = "\u0345"  # combining class 240, the highest there is


def members(pattern):
    """Code points that `pattern`, of one character, matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set(CODES)
    for i in range(0, len(CODES), 4096):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, CODES[i:i + 4096]))):
            found.difference_update(map(ord, piece))
    return found


def parts_of_words():
    """Code points that an added token with single_word may not stand beside."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_tokens([AddedToken("!", single_word=True)])
    encodings = tokenizer.encode_batch([chr(c) + "!" for c in CODES])
    return {c for c, encoding in zip(CODES, encodings) if c != ord("!") and not encoding.ids}


def active_in_nfc():
    """Code points that decompose, are reordered, or are composed with what stands before them."""
    nfc, nfd = normalizers.NFC().normalize_str, normalizers.NFD().normalize_str
    active = {ord(YPOGEGRAMMENI)}
    for c in CODES:
        apart = nfd(chr(c))
        if apart != chr(c):
            active.add(c)
            active.update(map(ord, apart[1:]))
            if nfd(YPOGEGRAMMENI + apart) != YPOGEGRAMMENI + apart:
                active.add(ord(apart[0]))
        elif nfc(chr(c)) != chr(c) or nfd(YPOGEGRAMMENI + chr(c)) != YPOGEGRAMMENI + chr(c):
            active.add(c)
    return active


def ranges(codes):
    out = []
    for c in sorted(codes):
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def table(name, codes):
    rows = ranges(codes)
    body = ", ".join(f"{{0x{a:X}, 0x{b:X}}}" for a, b in rows)
    return (f"static const ink_code_range {name}_ranges[] = {{{body}}};\n"
            f"const ink_code_set ink_{name} = {{{name}_ranges, {len(rows)}}};\n")


def main():
    print(f"""/*
 * Classes of Unicode characters as Hugging Face tokenizers {tokenizers.__version__} has them: made by
 * tools/make_unicode_tables.py, not by hand.
 */
#include "text/unicode.h"
""")
    print("/* General category L */\n" + table("letters", members(r"\p{L}")))
    print("/* General category N */\n" + table("numbers", members(r"\p{N}")))
    print("/* Property White_Space */\n" + table("spaces", members(r"\s")))
    print("/* What a token of a single word may not stand beside */\n" + table("words", parts_of_words()))
    print("/* Decomposed, reordered or composed with the character before by NFC */\n"
          + table("nfc_active", active_in_nfc()), end="")


main()
