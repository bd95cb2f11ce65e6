#!/bin/sh
# clang-tidy over the sources of a configured build folder, and shellcheck over the scripts. Findings are errors.
#
# usage: check_lint.sh BUILD_FOLDER
set -eu
cd "$(dirname "$0")/.."
build=$1

tidy=clang-tidy
command -v clang-tidy-14 >/dev/null 2>&1 && tidy=clang-tidy-14
jobs=$(nproc 2>/dev/null || sysctl -n hw.ncpu)

# What this build compiles and git knows. The tool still counts the warnings it hides; nobody wants to read that.
findings=$(sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$build/compile_commands.json" | sort -u |
    grep -v '\.cpp$' | xargs -n 4 -P "$jobs" "$tidy" --quiet -p "$build" 2>&1 |
    grep -vE '^[0-9]+ warnings? |^Suppressed |^Use -(header|system)') || true
if [ -n "$findings" ]; then
    printf '%s\n' "$findings" >&2
    exit 1
fi

git ls-files -z -- '*.sh' draw check .ci/run | xargs -0 shellcheck -x
