#!/bin/sh
# What the PNG says about itself.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

has() {
    grep -F -x -q -e "$1" chunks || fail "no chunk '$1' in: $(cat chunks)"
}
holds() {
    grep -F -q -e "$1" chunks || fail "no chunk with '$1' in: $(cat chunks)"
}
version=$("$INKSTONE" version | sed -n '1s/^inkstone //p')
backend=$("$INKSTONE" version | sed -n 's/^backends: \([a-z]*\).*/\1/p')

run 0 draw -p "a cat" --seed 5 -o files/a.png
is_png files/a.png 32x32
has "tEXt parameters a cat|Steps: 1, Sampler: Euler, CFG scale: 1, Seed: 5, Size: 32x32, Model: tiny-random, Version: inkstone $version"
has "tEXt Software inkstone $version"
for part in '"prompt":"a cat"' '"negative_prompt":null' '"width":32' '"height":32' '"steps":1' '"guidance":1.0' \
    '"seed":5' '"noise":"f32"' '"model":"tiny-random"' "\"backend\":\"$backend\"" "\"version\":\"$version\"" \
    '"precision":"f32"' '"batch_index":0' '"batch_count":1' '"synthetic":false'; do
    grep -q "^tEXt inkstone .*$part" chunks || fail "the record lacks $part"
done
if grep -q "$(dirname "$tiny")" chunks; then fail "the path of the model is in the picture"; fi

run 0 draw -p "a cat" --seed 5 --no-metadata -o files/b.png
is_png files/b.png 32x32
if grep -q "[ti][TE]X" chunks; then fail "--no-metadata leaves metadata"; fi
if grep -q "a cat" files/b.png; then fail "--no-metadata leaves the prompt"; fi

# Each picture of a batch tells its own seed.
run 0 draw -p "a cat" --seed 5 -b 2 -o files/c.png
is_png files/c-2.png 32x32
holds "Seed: 6,"
holds '"seed":6'
holds '"batch_index":1'
holds '"batch_count":2'

# What repeats a picture: guidance with a fraction, negative prompt, noise.
run 0 draw -p "a cat" -n "blurred, grey" -g 2.3 --noise bf16 --seed 5 -o files/d.png
is_png files/d.png 32x32
has "tEXt parameters a cat|Negative prompt: blurred, grey|Steps: 1, Sampler: Euler, CFG scale: 2.3, Seed: 5, Size: 32x32, Model: tiny-random, Version: inkstone $version"
holds '"negative_prompt":"blurred, grey"'
holds '"guidance":2.3'
holds '"noise":"bf16"'

# Anything beyond ASCII is in iTXt, which is UTF-8; bytes that are not UTF-8 become U+FFFD.
run 0 draw -p "$(printf '\347\214\253 \303\251')" -o files/e.png
is_png files/e.png 32x32
holds "iTXt parameters $(printf '\347\214\253 \303\251')|"
holds "iTXt inkstone {"
run 0 draw -p "$(printf 'a\377b')" -o files/f.png
is_png files/f.png 32x32
holds "iTXt parameters $(printf 'a\357\277\275b')|"

# Quotes, lines and control characters do not break the record.
run 0 draw -p "$(printf 'say "hi"\\ \n\033[31mred')" -o files/g.png
is_png files/g.png 32x32
holds '"prompt":"say \"hi\"\\ \n\u001B[31mred"'

# The name of a model with a comma is quoted, for the line is split at commas.
mkdir models
ln -s "$tiny" "models/a, b"
run 0 "$INKSTONE" generate -m "models/a, b" --size 32x32 --steps 1 -g 1 -p x -o files/h.png
is_png files/h.png 32x32
holds 'Model: "a, b", Version'
