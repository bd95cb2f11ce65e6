#!/bin/sh
# Checks the laws of docs/architecture.md that text can show: which room includes which, that backends stay in
# their folders, that the networks know no backend, and that files and functions stay short.
#
# usage: check_structure.sh [FOLDER]    FOLDER: the tree to check, this one by default
set -eu
cd "${1:-$(dirname "$0")/..}"

findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
find src -name '*.c' -o -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' | sort >"$findings.files"
trap 'rm -f "$findings" "$findings.files"' EXIT
if ! grep -q . "$findings.files"; then
    echo "there are no sources in $(pwd)/src" >&2
    exit 1
fi
others=$(for folder in include tests bench examples; do
    [ -d $folder ] && find $folder -name '*.c' -o -name '*.h' -o -name '*.cpp'
done | sort)

# What each room may include: rooms, or single headers. A room that is not listed is a finding.
allowed() {
    case $1 in
    base) echo base ;;
    weights | text | diffusion | image) echo "base $1" ;;
    graph) echo "base weights graph" ;;
    models) echo "base weights graph models" ;;
    backend) echo "base weights graph backend/backend.h" ;;
    backend/*) echo "base weights graph backend/backend.h backend/host $1" ;;
    pipeline) echo "base weights graph backend/backend.h text models diffusion image pipeline" ;;
    cli) echo "base cli" ;;
    server) echo "base server" ;;
    esac
}

backends=$(for folder in src/backend/*/; do basename "$folder"; done | grep -v '^host$')

# room_of src/backend/cpu/pack.h -> backend/cpu
room_of() { dirname "${1#src/}"; }

check_includes() {
    while read -r file; do
        room=$(room_of "$file")
        rooms=$(allowed "$room")
        [ -n "$rooms" ] || echo "$file: the room '$room' is unknown; add it to tools/check_structure.sh and docs/architecture.md"
        sed -n 's/^ *# *include *"\([^"]*\)".*/\1/p' "$file" | while read -r header; do
            [ "$header" = inkstone.h ] && continue
            found=false
            # A backend's own libraries are its own matter.
            case $room in backend/*) [ -e "src/$header" ] || continue ;; esac
            for one in $rooms; do
                if [ "$header" = "$one" ] || [ "$(dirname "$header")" = "$one" ]; then found=true; fi
            done
            # backend.c lists the backends of this build: it may see how each is made.
            if [ "$file" = src/backend/backend.c ]; then
                for backend in $backends; do
                    [ "$header" = "backend/$backend/$backend.h" ] && found=true
                done
            fi
            $found || echo "$file: includes $header, which $room may not know"
        done
    done <"$findings.files"
}

check_backends_stay_inside() {
    for backend in $backends; do
        # Outside, a backend is its one header and the functions of that; those only in backend.c and in tests.
        grep -vE "^src/backend/($backend/|backend\.c$)" "$findings.files" | xargs grep -nE "ink_${backend}_|INK_$(
            echo "$backend" | tr '[:lower:]' '[:upper:]')_" /dev/null |
            sed "s/^\([^:]*:[0-9]*\):.*/\1: names the backend '$backend' outside of its folder/"
        # shellcheck disable=SC2086  # a list of files
        grep -nE "# *include *\"backend/$backend/" $others /dev/null | grep -v "backend/$backend/$backend\.h\"" |
            sed "s/^\([^:]*:[0-9]*\):.*/\1: includes a private header of the backend '$backend'/"
    done
    grep -v '^src/backend/[^/]*/' "$findings.files" |
        xargs grep -nE '# *include *<(immintrin|arm_neon|x86intrin|cuda|cublas|mlx|Metal)' /dev/null |
        sed 's/^\([^:]*:[0-9]*\):.*/\1: a header of one kind of hardware outside of src\/backend/'
}

check_models_know_no_backend() {
    grep -niE 'backend|cpu|gpu|cuda|mlx|metal|avx|neon' src/models/* /dev/null |
        sed 's/^\([^:]*:[0-9]*\):.*/\1: src\/models records graphs and must not name a backend or a processor/'
}

check_examples() {
    for file in examples/*.c; do
        [ -f "$file" ] || continue
        grep -n '# *include *"' "$file" /dev/null | sed 's/^\([^:]*:[0-9]*\):.*/\1: examples use <inkstone.h> only/'
    done
}

# A file says at its top what it is; a .c file may leave that to its own header, included first.
check_header_comments() {
    # shellcheck disable=SC2086
    for file in $(cat "$findings.files") $others; do
        [ "$(head -c 2 "$file")" = '/*' ] && continue
        own=$(sed -n 's/^ *# *include *["<]\([^">]*\)[">].*/\1/p' "$file" | head -n 1)
        case $file in
        *.h) ;;
        *)
            for place in src tests "$(dirname "$file")"; do
                [ -f "$place/$own" ] && [ "$(head -c 2 "$place/$own")" = '/*' ] && continue 2
            done
            ;;
        esac
        echo "$file: does not begin with a comment that says what it is"
    done
}

check_lengths() {
    # shellcheck disable=SC2016  # awk's own $
    xargs awk <"$findings.files" '
        FNR == 1 { start = 0 }
        /^[A-Za-z_]/ && !/^[A-Za-z_0-9]+:/ { if (!start) start = FNR; name = start == FNR ? $0 : name }
        /;$/ && /^[A-Za-z_}]/ { start = 0 }
        /^}$/ {
            if (start && FNR - start + 1 > 80) {
                sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
                print FILENAME ":" start ": " name " has " FNR - start + 1 " lines; 80 are the limit"
            }
            start = 0
        }'
    # shellcheck disable=SC2046,SC2086  # lists of files
    wc -l $(grep -v '_tables\.c$' "$findings.files") $others |
        awk '$2 != "total" && $1 > 500 { print $2 ": has " $1 " lines; 500 are the limit" }'
}

{
    check_includes
    check_backends_stay_inside
    check_models_know_no_backend
    check_examples
    check_header_comments
    check_lengths
} >"$findings" || true

if [ -s "$findings" ]; then
    sort -u "$findings" >&2
    echo "check_structure: $(sort -u "$findings" | wc -l | tr -d ' ') findings" >&2
    exit 1
fi
echo "check_structure: $(wc -l <"$findings.files" | tr -d ' ') files, nothing found"
