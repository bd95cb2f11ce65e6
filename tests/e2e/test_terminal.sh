#!/bin/sh
# Progress: a bar on a terminal, plain lines elsewhere.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
escape=$(printf '\033')
return=$(printf '\r')

# Elsewhere: lines, no control characters.
run 0 draw -p "a cat" --steps 3 -o files/a.png
says "step 3/3  "
grep -q "s/step  ETA " err || fail "no seconds per step"
if grep -q "[$escape$return]" err; then fail "control characters in a file"; fi
if grep -v -q "^inkstone: " err; then fail "a line that does not say who speaks"; fi

run 0 draw -q -p "a cat" -o files/a.png
if grep -q -v "^inkstone: seed: [0-9]*$" err; then fail "-q prints more than the seed"; fi
run 1 draw -q -p "a cat" -o missing/a.png
says "error: "
run 0 draw -v -p "a cat" -o files/a.png
says "tiny-random"
says "drawing "

# On a terminal, which the tool script makes.
if ! script -qec true /dev/null >/dev/null 2>&1; then
    echo "not tested: there is no tool script that makes a terminal"
    exit 0
fi
# on_terminal ENVIRONMENT: what the terminal shows, in the file err.
on_terminal() {
    script -qec "stty columns 80; env $1 '$INKSTONE' generate -m '$tiny' --size 32x32 --steps 3 -g 1 -p 'a cat' \
        -o files/a.png" /dev/null </dev/null >err 2>&1 || fail "on a terminal: $1"
    says "wrote files/a.png"
}
on_terminal TERM=xterm
grep -q "drawing 3/3 \[" err || fail "no bar on a terminal"
grep -q "${escape}\[32m=" err || fail "no colour on a terminal"
grep -q "$return" err || fail "the bar is not rewritten"
on_terminal "TERM=xterm NO_COLOR="
grep -q "$escape" err || fail "an empty NO_COLOR takes the colour away"
on_terminal "TERM=xterm NO_COLOR=1"
grep -q "drawing 3/3 \[==" err || fail "NO_COLOR takes the bar away"
if grep -q "$escape" err; then fail "colour in spite of NO_COLOR"; fi
on_terminal TERM=dumb
says "step 3/3  "
if grep -q "[$escape]" err; then fail "escape sequences on a dumb terminal"; fi
if grep -q "\[==" err; then fail "a bar on a dumb terminal"; fi

# A PNG does not go to a terminal.
script -qec "'$INKSTONE' generate -m '$tiny' -p 'a cat' -o -" /dev/null </dev/null >err 2>&1
[ $? -eq 2 ] || fail "a PNG went to a terminal"
says "standard output is a terminal"
