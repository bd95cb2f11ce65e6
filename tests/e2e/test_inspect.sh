#!/bin/sh
# inkstone inspect tells what a model consists of and what its values do.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

run 0 "$INKSTONE" inspect "$tiny"
for component in text_encoder transformer vae total; do
    grep -q "^$component  *[1-9][0-9]* " out || fail "no parameters of $component"
done
prints "billions"
prints "bf16"
[ ! -s err ] || fail "something is said on standard error"
if grep -q "img_in" out; then fail "values are shown without a prompt"; fi
mv out by-operand
run 0 "$INKSTONE" inspect --model "$tiny"
same out by-operand

# With a prompt: the range after each part, beside those of the full model.
probe() {
    "$INKSTONE" inspect "$tiny" -p "a cat" --size 32x32 --steps 1 "$@"
}
run 0 probe --seed 5
prints "on the full model"
grep -q "^  img_in .* 0   -15 to 16$" out || fail "img_in"
grep -q "^  norm_out .* 0   -16 to 14$" out || fail "norm_out"
grep -q "^  proj_out .* 0   -4.4 to 4.4$" out || fail "proj_out"
grep -q "^  transformer_blocks\.2\.img .* 0   up to about +-5e7 after 60 blocks$" out || fail "the last block"
grep -q "^  transformer_blocks\.0\.txt " out || fail "the first block"
says "seed: 5"
[ "$(grep -c '^step ' out)" -eq 1 ] || fail "not one step"

run 0 probe --blocks 0,2
prints "transformer_blocks.0.img"
prints "transformer_blocks.2.img"
if grep -q "blocks\.1\." out; then fail "--blocks shows more than was asked for"; fi
run 0 probe --blocks 1-2
if grep -q "blocks\.0\." out; then fail "--blocks shows more than was asked for"; fi
run 0 probe --blocks none --steps 2
if grep -q "transformer_blocks" out; then fail "--blocks none shows blocks"; fi
[ "$(grep -c '^step ' out)" -eq 2 ] || fail "not two steps"
run 2 probe --blocks 0-3
says "there is no block 3; the model has 0 to 2"
run 0 probe --blocks 0 -v
prints "transformer_blocks.0.attn.img"

# JSON
run 0 probe --json --blocks 0
prints_json() {
    grep -q "$1" out || fail "the JSON lacks $1"
}
prints_json '"components": \['
prints_json '"name": "transformer_blocks.0.img"'
prints_json '"non_finite": 0'
if grep -q "component  " out; then fail "--json prints a table"; fi

# A value that is not finite is found and told: a transformer with a NaN among its weights.
cp -R "$tiny" broken
shard=$(grep -l '"img_in.weight"' broken/transformer/*.safetensors | head -n 1)
[ -n "$shard" ] || fail "img_in.weight is in no shard"
size=$(wc -c <"$shard")
header=$(head -c 8 "$shard" | od -An -tu1 | awk '{ print $1 + 256 * ($2 + 256 * ($3 + 256 * $4)) }')
at=$(tail -c +9 "$shard" | head -c "$header" | tr '}' '\n' |
    sed -n 's/.*"img_in.weight".*"data_offsets": *\[\([0-9]*\),.*/\1/p')
[ -n "$at" ] || fail "img_in.weight was not found in the header"
at=$((8 + header + at))
{
    head -c "$at" "$shard"
    printf '\300\177' # a NaN as bf16
    tail -c +$((at + 3)) "$shard"
} >damaged
[ "$(wc -c <damaged)" -eq "$size" ] || fail "the damaged file has another size"
mv damaged "$shard"
run 1 "$INKSTONE" inspect broken -p "a cat" --size 32x32 --steps 1
says "values are not finite"
grep -q "^  img_in .* [1-9][0-9]* *-15 to 16$" out || fail "img_in is said to be finite"
run 1 "$INKSTONE" inspect broken -p "a cat" --size 32x32 --steps 1 --json --blocks none
prints_json '"non_finite": [1-9]'

# The same model never gives a black picture.
run 1 "$INKSTONE" generate -m broken -p "a cat" --size 32x32 --steps 2 -o files/black.png
says "step"
files_are ""

# Made-up weights need the configuration only.
rm broken/*/*.safetensors
run 0 "$INKSTONE" inspect broken --synthetic
run 1 "$INKSTONE" inspect broken
