# What the tests of the command share. A test sources it with the environment variables
# INKSTONE (the command) and INK_SOURCE_DIR (the project) set.
# shellcheck shell=sh

set -u
: "${INKSTONE:?names the command to test}" "${INK_SOURCE_DIR:?names the project}"
tiny=$INK_SOURCE_DIR/tests/golden/tiny-random
unset INKSTONE_MODEL HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME NO_COLOR
TERM=xterm LC_ALL=C
export TERM LC_ALL

work=$(mktemp -d "${TMPDIR:-/tmp}/inkstone-e2e.XXXXXX") || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 1
mkdir files
: >out
: >err

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    echo "--- standard error of the last command:" >&2
    head -c 2000 err >&2
    exit 1
}

# run STATUS COMMAND...: the command must end with that status; its output is in the files out and err.
run() {
    expected=$1
    shift
    "$@" >out 2>err </dev/null
    got=$?
    [ "$got" -eq "$expected" ] || fail "status $got instead of $expected: $*"
}

# draw ARGUMENTS...: a small picture of the tiny model.
draw() {
    "$INKSTONE" generate -m "$tiny" --size 32x32 --steps 1 -g 1 "$@"
}

# says TEXT: standard error of the last command holds the text.
says() {
    grep -F -q -e "$1" err || fail "standard error does not say '$1'"
}

# prints TEXT: the same for standard output.
prints() {
    grep -F -q -e "$1" out || fail "standard output does not say '$1'"
}

# Standard output of the last command is empty.
prints_nothing() {
    [ ! -s out ] || fail "standard output is not empty"
}

# files_are NAMES...: exactly these are in the folder files, hidden ones included; "" stands for none.
files_are() {
    found=$(cd files && find . ! -name . | sed 's|^\./||' | sort | tr '\n' ' ')
    wanted=$(for name in "$@"; do [ -z "$name" ] || echo "$name"; done | sort | tr '\n' ' ')
    [ "$found" = "$wanted" ] || fail "the folder holds '$found' instead of '$wanted'"
}

# same FILE FILE, differ FILE FILE: whether they hold the same bytes.
same() {
    cmp -s "$1" "$2" || fail "$1 and $2 differ"
}
differ() {
    if cmp -s "$1" "$2"; then fail "$1 and $2 are equal"; fi
}

# png_chunks FILE: a line "TYPE KEY TEXT" for each chunk up to IEND, with the size for IHDR, the text for texts.
# Newlines in texts are shown as |. Fails if the file is no PNG from the first to the last byte.
png_chunks() {
    od -An -v -tu1 "$1" | awk '
        { for (i = 1; i <= NF; i++) b[n++] = $i }
        function u32(at) { return ((b[at] * 256 + b[at + 1]) * 256 + b[at + 2]) * 256 + b[at + 3] }
        function text(from, to,    s, i) {
            s = ""
            for (i = from; i < to; i++) s = s (b[i] == 10 ? "|" : sprintf("%c", b[i]))
            return s
        }
        END {
            if (u32(0) != 2303741511 || u32(4) != 218765834) exit 1
            for (at = 8; at + 12 <= n; at = end + 4) {
                end = at + 8 + u32(at)
                if (end + 4 > n) exit 1
                type = text(at + 4, at + 8)
                data = at + 8
                if (type == "IHDR") print type, u32(data) "x" u32(data + 4)
                else if (type == "tEXt" || type == "iTXt") {
                    for (zero = data; zero < end && b[zero]; zero++) ;
                    # iTXt has two flags and two empty texts before the text
                    print type, text(data, zero), text(zero + (type == "iTXt" ? 5 : 1), end)
                } else print type
                if (type == "IEND") exit end + 4 == n ? 0 : 1
            }
            exit 1
        }'
}

# is_png FILE WxH
is_png() {
    [ -f "$1" ] || fail "$1 is not there"
    png_chunks "$1" >chunks || fail "$1 is no whole PNG"
    grep -q "^IHDR $2\$" chunks || fail "$1 is not $2: $(head -n 1 chunks)"
}
