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

backends=$(for folder in src/backend/*/; do basename "$folder"; done | grep -v '^host$')

# Which room includes which. A room that is not listed is a finding.
check_includes() {
    # shellcheck disable=SC2016  # awk's own $
    xargs awk <"$findings.files" '
        BEGIN {
            may["base"] = "base"
            may["weights"] = "base weights"
            may["text"] = "base text"
            may["diffusion"] = "base diffusion"
            may["image"] = "base image"
            may["graph"] = "base weights graph"
            may["models"] = "base weights graph models"
            may["backend"] = "base weights graph backend/backend.h backend/plugin.h"
            may["pipeline"] = "base weights graph backend/backend.h text models diffusion image pipeline"
            may["cli"] = "base image/compare.h image/caption.h image/sheet.h image/save.h cli"
            may["server"] = "base server"
            for (i = 1; i < ARGC; i++) there[ARGV[i]] = 1
        }
        function folder_of(path) {
            return sub(/\/[^\/]*$/, "", path) ? path : "."
        }
        FNR == 1 {
            room = folder_of(substr(FILENAME, 5))
            rooms = room in may ? may[room] : ""
            in_backend = room ~ /^backend\/./
            if (in_backend) rooms = may["backend"] " backend/host " room
            if (rooms == "")
                print FILENAME ": the room " room " is unknown; add it here and to docs/architecture.md"
        }
        /^[ \t]*#[ \t]*include[ \t]*["<]/ {
            split($0, parts, /["<>]/)
            header = parts[2]
            if (header == "inkstone.h") next
            if (header ~ /(^|\/)\.\.?\//) {
                print FILENAME ": includes " header "; headers are named from src/, so that rooms can be told"
                next
            }
            # The compiler finds our headers in both notations. What is not ours is the system and libraries;
            # those of a backend are its own matter in either notation.
            ours = ("src/" header) in there
            if (!ours && (in_backend || $0 ~ /include[ \t]*</)) next
            # backend.c lists the backends of this build: it may see how each is made.
            folder = folder_of(header)
            name = substr(folder, 9)
            if (FILENAME == "src/backend/backend.c" && header == "backend/" name "/" name ".h") next
            if (index(" " rooms " ", " " folder " ") == 0 && index(" " rooms " ", " " header " ") == 0)
                print FILENAME ": includes " header ", which " room " may not know"
        }'
}

check_backends_stay_inside() {
    for backend in $backends; do
        # Outside, a backend is its one header and the functions of that; those only in backend.c and in tests.
        # tests/<backend> and bench/<backend> are inside; the reference's kernels are the oracle of tests.
        grep -vE "^src/backend/($backend/|backend\.c$)" "$findings.files" | xargs grep -nE "ink_${backend}_|INK_$(
            echo "$backend" | tr '[:lower:]' '[:upper:]')_" /dev/null |
            sed "s/^\([^:]*:[0-9]*\):.*/\1: names the backend '$backend' outside of its folder/"
        # shellcheck disable=SC2086  # a list of files
        grep -nE "# *include *[\"<]backend/$backend/" $others /dev/null | grep -v "backend/$backend/$backend\.h[\">]" |
            grep -vE "^(tests|bench)/$backend/" | grep -v "^tests/.*backend/reference/kernels\.h" |
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
    rooms=$(cd src && printf '%s|' */ | tr -d '/')
    rooms=${rooms%|}
    for file in examples/*.c; do
        [ -f "$file" ] || continue
        grep -nE "# *include *(\"|<($rooms)/)" "$file" /dev/null | sed 's/^\([^:]*:[0-9]*\):.*/\1: examples use <inkstone.h> only/'
    done
}

# A file says at its top what it is; a .c file may leave that to its own header, included first.
check_header_comments() {
    # shellcheck disable=SC2016,SC2086
    { cat "$findings.files"; printf '%s\n' $others; } | xargs awk '
        function folder_of(path) {
            return sub(/\/[^\/]*$/, "", path) ? path : "."
        }
        FNR == 1 {
            file[++n] = FILENAME
            commented[FILENAME] = /^\/\*/
        }
        /^[ \t]*#[ \t]*include/ && !(FILENAME in own) {
            split($0, parts, /["<>]/)
            own[FILENAME] = parts[2]
        }
        END {
            for (i = 1; i <= n; i++) {
                f = file[i]
                if (commented[f]) continue
                if (f !~ /\.h$/ && (commented["src/" own[f]] || commented["tests/" own[f]] ||
                                    commented[folder_of(f) "/" own[f]])) continue
                print f ": does not begin with a comment that says what it is"
            }
        }'
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
