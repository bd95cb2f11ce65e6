#!/bin/sh
# Man pages and completions know every option that the command knows, and no other.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

run 0 "$INKSTONE" completions options
mv out options
[ "$(wc -l <options)" -gt 50 ] || fail "the command lists few options"

for pair in bash:inkstone.bash zsh:_inkstone fish:inkstone.fish; do
    run 0 "$INKSTONE" completions "${pair%%:*}"
    cmp out "$INK_SOURCE_DIR/completions/${pair#*:}" ||
        fail "completions/${pair#*:} is old; make it with 'inkstone completions ${pair%%:*}'"
done
run 2 "$INKSTONE" completions csh

# Each option as it is written in a page: "Fl p" or "Fl -prompt", and with what it takes.
while read -r command option _; do
    page=$INK_SOURCE_DIR/docs/man/inkstone-$command.1
    grep -q "Fl ${option#-}\( \|\$\)" "$page" || fail "inkstone-$command.1 lacks $option"
    run 0 "$INKSTONE" help "$command"
    grep -q -e "$option\([ ,)]\|\$\)" out || fail "the help of $command lacks $option"
done <options
for command in generate inspect study verify tokenize bench; do
    page=$INK_SOURCE_DIR/docs/man/inkstone-$command.1
    sed -n '/^\.\(It\|Op\|Fl\)/p' "$page" | tr ' ' '\n' | grep -A1 '^Fl$' | grep -v -e '^Fl$' -e '^--$' |
        sort -u | while read -r name; do
        grep -q "^$command -$name " options || fail "inkstone-$command.1 has -$name, which is no option"
    done || exit 1
done
for page in "$INK_SOURCE_DIR"/docs/man/*.1; do
    name=$(basename "$page" .1)
    grep -q "^\.Nm $name\$" "$page" || fail "$name.1 does not name itself"
    [ "$name" = inkstone ] || grep -q "Xr $name 1" "$INK_SOURCE_DIR/docs/man/inkstone.1" ||
        fail "inkstone.1 does not lead to $name"
    if command -v mandoc >/dev/null; then
        mandoc -Tlint -Wwarning "$page" >out 2>&1 || fail "mandoc: $(cat out)"
    fi
    if command -v groff >/dev/null; then
        groff -mdoc -ww -z "$page" >out 2>&1
        [ ! -s out ] || fail "groff: $(cat out)"
    fi
done

# The shells take the files.
if command -v bash >/dev/null; then bash -n "$INK_SOURCE_DIR/completions/inkstone.bash" || fail bash; fi
if command -v zsh >/dev/null; then zsh -n "$INK_SOURCE_DIR/completions/_inkstone" || fail zsh; fi
if command -v fish >/dev/null; then fish --no-execute "$INK_SOURCE_DIR/completions/inkstone.fish" || fail fish; fi
if command -v bash >/dev/null; then
    # shellcheck disable=SC2016 # the inner shell expands
    bash -c 'compopt() { :; }; . "$1"; COMP_WORDS=(inkstone generate --preset q); COMP_CWORD=3; _inkstone
        [ "${COMPREPLY[*]}" = quality ]' bash "$INK_SOURCE_DIR/completions/inkstone.bash" || fail "completion of a value"
fi
