#!/bin/sh
# The tree keeps the laws that tools/check_structure.sh checks, and that script finds what it is there to find:
# each law is broken once in a copy.
set -eu
check=$INK_SOURCE_DIR/tools/check_structure.sh
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

"$check" "$INK_SOURCE_DIR"

n=0
# plant FILE TEXT WORDS: with TEXT at the end of FILE the check must fail and say WORDS.
plant() {
    rm -rf "$copy/tree"
    mkdir "$copy/tree"
    cp -r "$INK_SOURCE_DIR/include" "$INK_SOURCE_DIR/src" "$INK_SOURCE_DIR/examples" "$copy/tree/"
    printf '%b\n' "$2" >>"$copy/tree/$1"
    if "$check" "$copy/tree" >"$copy/out" 2>&1; then
        echo "not found: '$2' in $1" >&2
        exit 1
    fi
    if ! grep -q "^$1.*$3" "$copy/out"; then
        echo "'$2' in $1 was found, but not as '$3':" >&2
        cat "$copy/out" >&2
        exit 1
    fi
    n=$((n + 1))
}

plant src/models/transformer.c '/* fast on cuda */' 'must not name a backend'
plant src/models/vae.c '#include "backend/backend.h"' 'may not know'
plant src/graph/graph.c '#include "backend/backend.h"' 'may not know'
plant src/graph/graph.c '#include "models/vae.h"' 'may not know'
plant src/text/tokenizer.c '#include "weights/weights.h"' 'may not know'
plant src/backend/reference/norms.c '#include "backend/cpu/cpu.h"' 'may not know'
plant src/backend/backend.c '#include "backend/cpu/levels.h"' 'may not know'
plant src/pipeline/generate.c '#include "backend/cpu/cpu.h"' 'may not know'
plant src/pipeline/generate.c 'static ink_cpu_level level;' "names the backend 'cpu'"
plant src/cli/main.c 'int level = INK_CPU_AVX2;' "names the backend 'cpu'"
# The other ways to write an include.
plant src/graph/graph.c '#include <models/vae.h>' 'may not know'
plant src/cli/main.c '#include <weights/weights.h>' 'may not know'
plant src/pipeline/generate.c '#include <backend/cpu/cpu.h>' 'may not know'
plant src/backend/reference/norms.c '#include <backend/cpu/kernels.h>' 'may not know'
plant src/backend/cpu/cpu.c '#include "../mlx/mlx.h"' 'named from src'
plant src/base/arena.c '#include <immintrin.h>' 'one kind of hardware'
plant src/pipeline/stray.c 'int x;' 'does not begin with a comment'
mkdir_room=src/sound
plant_room() {
    rm -rf "$copy/tree"
    mkdir -p "$copy/tree/$mkdir_room"
    printf '/* A room nobody knows. */\n' >"$copy/tree/$mkdir_room/wave.c"
    if "$check" "$copy/tree" >"$copy/out" 2>&1 || ! grep -q 'is unknown' "$copy/out"; then
        echo "a new room was not noticed" >&2
        exit 1
    fi
    n=$((n + 1))
}
plant_room
plant examples/draw.c '#include "base/status.h"' 'use <inkstone.h> only'
plant examples/draw.c '#include <base/status.h>' 'use <inkstone.h> only'
lines=$(awk 'BEGIN { for (i = 0; i < 90; i++) printf "    x++;\\n" }')
plant src/base/arena.c "int long_one(int x) {\n${lines}    return x;\n}" 'long_one has 93 lines'
lines=$(awk 'BEGIN { for (i = 0; i < 501; i++) printf "/* */\\n" }')
plant src/base/arena.c "$lines" 'lines; 500 are the limit'

echo "$n planted faults were found"
