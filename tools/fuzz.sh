#!/bin/sh
# Runs every fuzz target for some seconds, as many at a time as there are processors. What a target finds is
# left in BUILD_FOLDER/findings; new inputs are kept in BUILD_FOLDER/corpus for the next run.
#
# usage: fuzz.sh BUILD_FOLDER SECONDS
set -eu
cd "$(dirname "$0")/.."
build=$1
seconds=$2
jobs=$(nproc 2>/dev/null || sysctl -n hw.ncpu)

mkdir -p "$build/findings" "$build/corpus"
set -- "$build"/fuzz/fuzz_*
if [ ! -x "$1" ]; then
    echo "there is no fuzz target in $build/fuzz" >&2
    exit 1
fi

# One target: seeds are in tests/fuzz/corpus/NAME or tests/fuzz/seeds/NAME, words in tests/fuzz/NAME.dict.
cat >"$build/fuzz_one.sh" <<'ONE'
build=$1 seconds=$2 target=$3
name=$(basename "$target")
name=${name#fuzz_}
mkdir -p "$build/corpus/$name"
set -- "$build/corpus/$name"
for seeds in "tests/fuzz/corpus/$name" "tests/fuzz/seeds/$name"; do
    [ -d "$seeds" ] && set -- "$@" "$seeds"
done
[ -f "tests/fuzz/$name.dict" ] && set -- "-dict=tests/fuzz/$name.dict" "$@"
log=$build/fuzz_$name.log
if "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3072 -max_len=65536 \
    -artifact_prefix="$build/findings/$name-" "$@" >"$log" 2>&1; then
    echo "fuzz $name: $(sed -n 's/^Done \([0-9]*\) runs.*/\1 inputs, nothing found/p' "$log")"
else
    tail -n 60 "$log" >&2
    echo "fuzz $name: FAILED, see $build/findings" >&2
    exit 1
fi
ONE
printf '%s\n' "$@" | xargs -P "$jobs" -I '{}' sh "$build/fuzz_one.sh" "$build" "$seconds" '{}'
