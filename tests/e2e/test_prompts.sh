#!/bin/sh
# Prompts of every kind.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# An empty prompt draws something, with a warning.
run 0 draw -p "" -o files/a.png
says "warning: the prompt is empty"
is_png files/a.png 32x32
run 0 draw -p - -o files/a.png
says "warning: the prompt is empty"
run 0 draw -p "a cat" -o files/a.png
if grep -q warning err; then fail "a warning about nothing"; fi

# 100,000 characters are cut as the reference does, with a warning, and what is cut does not matter.
long=$(awk 'BEGIN { for (i = 0; i < 20000; i++) printf "cats " }')
[ ${#long} -eq 100000 ] || fail "the prompt has ${#long} characters"
run 0 draw --no-metadata -p "$long" --seed 1 -o files/b.png
says "warning: "
is_png files/b.png 32x32
run 0 draw --no-metadata -p "${long}dogs" --seed 1 -o files/c.png
same files/b.png files/c.png
printf '%s' "$long" | draw --no-metadata -p - --seed 1 -o files/d.png 2>err || fail "long prompt from standard input"
same files/b.png files/d.png
run 0 draw --no-metadata -q -p "$long" --seed 1 -o files/c.png
[ "$(cat err)" = "inkstone: seed: 1" ] || fail "-q tells more than the seed"

# Bytes that are no text.
run 0 draw -p "$(printf '\377\376\300\200')" -o files/e.png
printf 'a\000b' | draw -p - -o files/f.png >out 2>err
[ $? -eq 1 ] || fail "a NUL byte went unnoticed"
says "NUL byte"
draw -p - -o files/f.png <. >out 2>err
[ $? -eq 1 ] || fail "standard input that cannot be read went unnoticed"
says "cannot use standard input"
[ ! -e files/f.png ] || fail "a picture was written"
head -c 17000000 /dev/zero | tr '\000' x | draw -p - -o files/f.png >out 2>err
[ $? -eq 1 ] || fail "a prompt without end went unnoticed"
says "16 MiB"

# What controls a terminal is never printed as it is.
escape=$(printf '\033')
unescaped() {
    if grep -q "$escape" err; then fail "an escape sequence reached the terminal"; fi
}
run 2 draw -p "${escape}[2J" "${escape}[31m" -o files/g.png
says '\x1b[31m'
unescaped
run 2 draw -p x "--${escape}[31m"
says '\x1b[31m'
unescaped
run 1 draw -p x -m "${escape}[31m"
says '[31m'
unescaped
run 0 draw -p x -o "files/${escape}[2J$(printf '\342\200\256')g.png"
says 'files/\x1b[2J\u202eg.png'
unescaped
run 0 draw -v -p "${escape}[2J" -n "${escape}[2J" -g 2 -o files/h.png
unescaped
