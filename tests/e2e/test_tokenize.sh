#!/bin/sh
# inkstone tokenize gives one array for each line, whatever is in it.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# tokens TEXT ARGUMENTS...: the ids of a text with escapes.
tokens() {
    text=$1
    shift
    # shellcheck disable=SC2059 # the escapes are meant
    printf "$text" | "$INKSTONE" tokenize --tokenizer "$tiny" "$@" >out 2>err || fail "tokenize '$text'"
}
lines_are() {
    [ "$(wc -l <out)" -eq "$1" ] || fail "$(wc -l <out) lines instead of $1"
    if grep -v -q '^\[\([0-9][0-9]*\(, [0-9][0-9]*\)*\)\{0,1\}\]$' out; then fail "a line is no array of numbers"; fi
}

tokens 'a cat\na dog\n'
lines_are 2
[ "$(sed -n 1p out)" != "$(sed -n 2p out)" ] || fail "a cat is a dog"
mv out with-template
tokens 'a cat\na dog\n' --no-template
lines_are 2
differ out with-template
mv out plain

# The folder of the tokenizer itself, and a last line without a newline.
printf 'a cat\na dog' | "$INKSTONE" tokenize --tokenizer="$tiny/tokenizer" --no-template >out || fail "tokenizer folder"
same out plain

tokens ''
[ ! -s out ] || fail "no line gives output"
tokens '\n\n\n' --no-template
lines_are 3
[ "$(head -n 1 out)" = "[]" ] || fail "an empty line has tokens"

# Only a newline ends a line: a carriage return and a NUL byte belong to the text.
tokens 'a\r\nb\000c\nd\013e\377f\n' --no-template
lines_are 3
mv out odd
tokens 'a\nb\nd\n' --no-template
for line in 1 2 3; do
    [ "$(sed -n ${line}p odd)" != "$(sed -n ${line}p out)" ] || fail "line $line was cut"
done

# A long line, and many lines in memory that does not grow.
awk 'BEGIN { for (i = 0; i < 200000; i++) printf "cat "; print "" }' >long
"$INKSTONE" tokenize --tokenizer "$tiny" --no-template <long >out 2>err || fail "a long line"
lines_are 1
awk 'BEGIN { for (i = 0; i < 1000000; i++) print "a cat " i }' >many
case ${INK_SANITIZE:-} in
"") # sanitizers need more memory than the limit, and time
    limited() { # KILOBYTES FILE
        # shellcheck disable=SC3045 # a shell that does not know it goes without
        (
            ulimit -v "$1" 2>/dev/null
            "$INKSTONE" tokenize --tokenizer "$tiny" --no-template <"$2" >out 2>err
        )
    }
    # What is enough for a hundred lines must do, with a little more, for a million.
    head -n 100 many >few
    limit=8000
    until limited "$limit" few; do
        limit=$((limit + 2000))
        [ "$limit" -lt 500000 ] || fail "a hundred lines"
    done
    limited $((limit + 4000)) many || fail "a million lines need more memory than a hundred"
    [ "$(wc -l <out)" -eq 1000000 ] || fail "$(wc -l <out) lines instead of a million"
    ;;
esac

# Readers and disks that take no more, and an input that cannot be read.
{
    "$INKSTONE" tokenize --tokenizer "$tiny" <many 2>err
    echo $? >status
} | head -n 1 >first
[ "$(cat status)" -eq 1 ] || fail "a reader that is gone went unnoticed"
says "its reader is gone"
[ "$(wc -l <first)" -eq 1 ] || fail "no line before the reader went away"
if [ -c /dev/full ]; then
    echo "a cat" | "$INKSTONE" tokenize --tokenizer "$tiny" >/dev/full 2>err
    [ $? -eq 1 ] || fail "a full disk went unnoticed"
    says "cannot write to standard output"
fi
"$INKSTONE" tokenize --tokenizer "$tiny" <. >out 2>err
[ $? -eq 1 ] || fail "standard input that cannot be read went unnoticed"
says "cannot read standard input"

# Without --tokenizer it is that of the model.
echo "a cat" | INKSTONE_MODEL=$tiny "$INKSTONE" tokenize --no-template >out || fail "INKSTONE_MODEL"
[ "$(cat out)" = "$(head -n 1 plain)" ] || fail "INKSTONE_MODEL has another tokenizer"
