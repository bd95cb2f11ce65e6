#!/bin/sh
# inkstone study compares step counts in a table and a sheet, and lays prompts out with a single count.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

study() {
    "$INKSTONE" study -m "$INK_SOURCE_DIR/models/emoji" --size 32x32 -g 1 "$@"
}
printf '  a cat face \r\n\n \t\n\345\217\266\345\255\220\na red apple' >prompts

# A row of the table for each number, in its order; the largest, wherever it stands, is the reference.
run 0 study --prompts prompts --steps 2,6,1 --seed 7 -o files/sheet.png
prints "pictures: 3 prompts, 32 x 32, guidance 1, seed 7"
prints "model: emoji"
says "seed: 7"
says "prompt 3 of 3: a red apple"
grep '^ *[0-9][0-9]* ' out | awk '{ print $1 }' | tr '\n' ' ' >order
[ "$(cat order)" = "2 6 1 " ] || fail "the rows are $(cat order)"
grep -q '^    6 .*the reference$' out || fail "the reference"
grep -q '^    2  *[0-9.]*  *[0-9.]*  *[0-9]*\.[0-9]*  *[0-9]*\.[0-9]*  *[-0-9.]*  *[-0-9.]*$' out || fail "the row of 2 steps"
# What the letters of the sheet do not hold is explained, and nothing else.
[ "$(grep '^#' out)" = "$(printf '#2  \345\217\266\345\255\220')" ] || fail "the legend"
# 3 columns and 3 rows; a caption of 5 letters a line takes 3 lines.
is_png files/sheet.png 120x287
files_are sheet.png

# The same again gives the same bytes; another seed, other ones. The list may come from a pipe.
study --prompts - --steps 2,6,1 --seed 7 -q -o files/again.png <prompts >out 2>err || fail "standard input"
[ "$(cat err)" = "inkstone: seed: 7" ] || fail "-q tells more than the seed"
prints "the reference"
same files/sheet.png files/again.png
run 0 study --prompts prompts --steps 2,6,1 --seed 8 -o files/again.png
differ files/sheet.png files/again.png

# JSON: the numbers of every picture, and prompts as they are.
run 0 study --prompts prompts --steps 2,1 --seed 7 --json -o files/again.png
for words in '"steps": 2' '"reference": true' '"psnr": null' '"seconds_per_step": ' '"prompt": 3' \
    "\"$(printf '\345\217\266\345\255\220')\"" '"a cat face"'; do
    prints "$words"
done
[ "$(grep -c '"denoise_seconds"' out)" -eq 8 ] || fail "not 6 pictures and 2 rows"
if grep -q 's/picture' out; then fail "--json prints a table"; fi

# A single number: prompts side by side, their words below.
run 0 study --prompts prompts --steps 1 --seed 7 -o files/grid.png
is_png files/grid.png 120x69
prints "the reference"
run 0 study --prompts prompts --steps 1 --seed 7 --columns 1 -o files/grid.png
is_png files/grid.png 44x195
run 0 study --prompts prompts --steps 1 --seed 7 --columns 9 --shrink 2 -o files/grid.png
is_png files/grid.png 72x75
# Without -o nothing is overwritten.
cp files/grid.png output.png
run 0 study --prompts prompts --steps 1 --seed 7
is_png output-2.png 120x69
rm files/* output*

# Lists that are wrong.
refused() {
    words=$1
    shift
    run 2 study -o files/no.png "$@"
    says "$words"
    prints_nothing
    files_are ""
}
refused "there are no prompts" --steps 1
for list in "" "," "4,,2" "4,2," "0" "-1" "1001" "4;2" "4, 2" "x" "99999999999999999999"; do
    refused "is no number of steps" --prompts prompts --steps "$list"
done
refused "4 is twice in '4,2,4'" --prompts prompts --steps 4,2,4
refused "at most 32 numbers" --prompts prompts --steps "$(seq -s , 1 33)"
refused "--columns goes with a single number" --prompts prompts --steps 2,1 --columns 2
refused "standard output takes the table" --prompts prompts --steps 1 -o -
refused "'files/a.jpg' names another format" --prompts prompts --steps 1 -o files/a.jpg
refused "cannot be shrunk 5 times" --prompts prompts --steps 1 --shrink 5
refused "multiple of 16" --prompts prompts --steps 1 --size 33x32
printf ' \n\n' >empty
refused "there is no prompt in empty" --prompts empty --steps 1
run 1 study --prompts absent --steps 1 -o files/no.png
says "cannot read the prompts in absent"
run 1 study --prompts files --steps 1 -o files/no.png
says "cannot use files as the list of prompts"
printf 'a\000b\n' >nul
run 1 study --prompts nul --steps 1 -o files/no.png
says "NUL"
run 1 study --prompts prompts --steps 1 -o absent/no.png
says "the folder absent does not exist"
files_are ""

# An interruption leaves nothing.
(
    i=0
    while ! grep -q "prompt 1" err && [ $i -lt 600 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    kill -s INT "$(cat pid)"
) &
# In the foreground, for a shell makes its background jobs deaf to SIGINT.
# shellcheck disable=SC2016 # the inner shell expands
sh -c 'echo $$ >pid && exec "$@"' sh "$INKSTONE" study -m "$tiny" --prompts prompts --steps 1000,999 --size 64x64 \
    -o files/sheet.png >out 2>err
got=$?
wait
[ "$got" -eq 130 ] || fail "status $got after SIGINT instead of 130"
says "interrupted"
prints_nothing
files_are ""
