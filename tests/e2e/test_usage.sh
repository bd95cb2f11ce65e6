#!/bin/sh
# Every mistake on the command line gets a sentence and the right exit status, and nothing is drawn.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# wrong STATUS SENTENCE ARGUMENTS...
wrong() {
    status=$1 sentence=$2
    shift 2
    run "$status" "$INKSTONE" "$@"
    says "inkstone: error: "
    says "$sentence"
    prints_nothing
    [ "$(wc -l <err)" -le 2 ] || fail "more than a sentence: $*"
    [ "$(find . -name '*.png')" = "" ] || fail "a picture was written: $*"
}
g() { # the same for generate, with a model and a prompt
    status=$1 sentence=$2
    shift 2
    wrong "$status" "$sentence" generate -m "$tiny" -p "a cat" "$@"
}

run 0 "$INKSTONE"
prints "usage: inkstone COMMAND"
for word in help --help -h; do
    run 0 "$INKSTONE" "$word"
    prints "usage: inkstone COMMAND"
done
for word in version --version; do
    run 0 "$INKSTONE" "$word"
    grep -q '^inkstone [0-9][0-9]*\.[0-9]' out || fail "no version"
    prints "backends: "
done
for command in generate inspect study verify tokenize bench; do
    run 0 "$INKSTONE" help "$command"
    prints "usage: inkstone $command"
    mv out by-help
    run 0 "$INKSTONE" "$command" --help
    same out by-help
    run 0 "$INKSTONE" "$command" -h
    same out by-help
done

wrong 2 'inkstone generate -p "a cat"' -p "a cat"
wrong 2 "did you mean generate?" genrate
wrong 2 "there is no command 'frobnicate'" frobnicate
wrong 2 "there is no command ''" ""
wrong 2 "there is no command 'x'" help x
wrong 2 "there is no prompt" generate
wrong 2 "there is no prompt" generate -m "$tiny"
wrong 2 "a prompt is given with -p" generate "a cat"
g 2 "put quotes around" "in a hat"
g 2 "--stesp; did you mean --steps?" --stesp 4
g 2 "--negative; did you mean --negative-prompt?" --negative x
g 2 "there is no option --frobnicate" --frobnicate
g 2 "there is no option -x" -x
g 2 "there is no option -x in '-qx'" -qx
g 2 "--golden" --golden x
g 2 "-o needs a value" -o
g 2 "--steps needs a value" --steps
g 2 "--seed needs a value, but --steps follows" --seed --steps 4
g 2 "--quiet takes no value" --quiet=yes
g 2 "contradict" -q -v
for bad in "" abc 4.5 0x10 " 4" "4 " 99999999999999999999 1e3; do
    g 2 "is not a whole number" --steps "$bad"
    g 2 "is not a whole number" --seed "$bad"
done
g 2 "0 is out of range: 1 to 1000" --steps 0
g 2 "1001 is out of range" --steps 1001
g 2 "-1 is out of range" --steps=-1
g 2 "0 is out of range: 1 to 64" -b 0
g 2 "65 is out of range" -b 65
g 2 "1025 is out of range: 0 to 1024" -t 1025
g 2 "-1 is out of range" -t -1
for bad in "" abc nan inf 1x 0x1p3 1,5; do
    g 2 "is not a number" -g "$bad"
done
g 2 "out of range: 0 to 100" -g -1
g 2 "out of range: 0 to 100" -g 100.5
g 2 "none of: quality balanced fast preview" --preset slow
g 2 "none of: quality balanced fast preview" --preset ""
g 2 "none of: quality balanced fast preview" --preset "fast preview"
g 2 "none of: f32 bf16" --noise f16
g 2 "none of: scalar avx2 avx512" --cpu-level sse
for bad in "" G 8Q "8 G" -8G 8,5G 0x8G all; do
    g 2 "is not an amount of memory; write 8G, 1.5G or 512M" --max-ram="$bad"
    wrong 2 "is not an amount of memory" verify -m "$tiny" --golden x --max-ram="$bad"
done
g 2 "'8' has no unit; write 8G or 8M" --max-ram 8
g 2 "1023K is out of range: 1M to 1024T" --max-ram 1023K
g 2 "0G is out of range: 1M to 1024T" --max-ram 0G
g 2 "1025T is out of range" --max-ram 1025T
g 2 "99999999999999999999T is out of range" --max-ram 99999999999999999999T
g 2 "leaves no room" -b 2 --seed 9223372036854775807

# Sizes
g 2 "is out of range" -W 0
g 2 "is out of range" -W -16
g 2 "is out of range" -H 99999
for bad in 512 512x x512 512x512x512 axb 51.2x512 ""; do
    g 2 "is not a size" --size "$bad"
done
g 2 "is out of range" --size 0x512
g 2 "96 and 112" -W 100 -H 64
g 2 "96 and 112" -W 64 -H 97
g 2 "16" -W 8 -H 64

# Names of files
g 2 "%s is no pattern" -o '%s.png'
g 2 "%n is no pattern" -o '%n'
g 2 "% is no pattern" -o '100%'
g 2 "%3 is no pattern" -o '%3d.png'
g 2 "%0 is no pattern" -o '%00d.png'
g 2 "%0 is no pattern" -o '%010d.png'
g 2 "%l is no pattern" -o '%ld.png'
g 2 "%* is no pattern" -o '%*d.png'
g 2 "two numbers" -o '%d-%d.png'
g 2 "another format" -o cat.jpg
g 2 "another format" -o cat.WebP
g 2 "the file name is empty" -o ""
g 2 "takes one picture" -o - -b 2

# Models and backends
wrong 1 "no-such-folder" generate -p x -m no-such-folder
wrong 2 "no path" generate -p x -m ""
g 1 "backend 'frobnicate' is not in this build" --backend frobnicate
wrong 1 "no-such-folder" inspect no-such-folder
wrong 2 "two models" inspect -m a b
wrong 2 "belongs to no option" inspect a b
for bad in "" x "1," ",1" 1-2-3 3-1 1- -1 "0 1"; do
    wrong 2 "is no list" inspect "$tiny" -p x --blocks="$bad"
done
wrong 2 "--golden" verify -m "$tiny"
wrong 1 "no-such-file" verify -m "$tiny" --golden no-such-file
wrong 2 "above 0" verify -m "$tiny" --golden x --tolerance 0
wrong 2 "is not a number" verify -m "$tiny" --golden x --tolerance nan
wrong 1 "no-such-folder" tokenize --tokenizer no-such-folder
wrong 2 "belongs to no option" tokenize "a cat"

# Help that cannot be written is a failure, too.
if [ -c /dev/full ]; then
    "$INKSTONE" help >/dev/full 2>err
    [ $? -eq 1 ] || fail "a full disk went unnoticed"
    says "cannot write to standard output"
fi
