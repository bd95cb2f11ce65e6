#!/bin/sh
# Fails if a C file is not formatted as .clang-format says. The version counts: newer ones format differently.
#
# usage: check_format.sh [--fix]
set -eu
cd "$(dirname "$0")/.."

formatter=
for candidate in clang-format-14 clang-format; do
    if command -v $candidate >/dev/null 2>&1 && $candidate --version | grep -q 'version 14\.'; then
        formatter=$candidate
        break
    fi
done
if [ -z "$formatter" ]; then
    echo "clang-format 14 is missing: tools/install_dependencies.sh --develop installs it" >&2
    exit 1
fi

mode='--dry-run -Werror'
[ "${1:-}" = --fix ] && mode=-i
# shellcheck disable=SC2086  # two words
git ls-files -z -- '*.c' '*.h' '*.cpp' '*.cu' '*.cuh' | xargs -0 $formatter --style=file $mode
