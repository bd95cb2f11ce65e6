#!/bin/sh
# The public header must compile alone, as every language its users write.
set -eu
cd "$(dirname "$0")/.."

tried=0
for compiler in gcc clang; do
    command -v $compiler >/dev/null 2>&1 || continue
    for standard in c99 c11 c17 c++11 c++17 c++20; do
        case $standard in c++*) language=c++ ;; *) language=c ;; esac
        printf '#include "inkstone.h"\n#include "inkstone.h"\nink_model_options options;\n' |
            $compiler -x $language -std=$standard -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only -
        tried=$((tried + 1))
    done
done
if [ $tried -eq 0 ]; then
    echo "neither gcc nor clang was found, so the header was not checked" >&2
    exit 1
fi
echo "inkstone.h compiles alone: $tried combinations of compiler and language"
