#!/bin/sh
# The library holds no variable that changes, calls nothing that prints, ends the process or reads the
# environment, and every name it exports begins with ink_. The check is shown to find each of these.
set -eu
check=$INK_SOURCE_DIR/tools/check_symbols.sh

[ "$(uname -s)" = Linux ] || { echo "reads ELF files only"; exit 77; }
if nm "$INK_LIBRARY" 2>/dev/null | grep -qE '__(asan|tsan|ubsan|gcov)_|__sanitizer_cov'; then
    echo "what sanitizers and coverage add to a library is theirs"
    exit 77
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cc=${CC:-cc}
cxx=${CXX:-c++}

asserts=
[ "${INK_BUILD_TYPE:-Release}" = Release ] || asserts=--asserts
"$check" $asserts "$INK_LIBRARY"
# The same as a shared library, whatever this build makes of it.
case $INK_LIBRARY in *.a)
    $cc -shared -o "$folder/libinkstone.so" -Wl,--whole-archive "$INK_LIBRARY" -Wl,--no-whole-archive
    "$check" $asserts "$folder/libinkstone.so"
    ;;
esac

n=0
# plant CODE WORDS: a library with this code must be refused with these words.
plant() {
    printf '%s\n' "$1" >"$folder/fault.c"
    $cc -std=gnu11 -w -O2 -DNDEBUG -fPIC -c "$folder/fault.c" -o "$folder/fault.o"
    rm -f "$folder/fault.a"
    ar rc "$folder/fault.a" "$folder/fault.o"
    if "$check" "$folder/fault.a" >"$folder/out" 2>&1 || ! grep -q "$2" "$folder/out"; then
        echo "not found as '$2': $1" >&2
        cat "$folder/out" >&2
        exit 1
    fi
    n=$((n + 1))
}
head='#include <stdio.h>
#include <stdlib.h>
'
plant 'static int n; int ink_f(void) { return ++n; }' 'has the variable n in .bss'
plant 'static int n = 3; int ink_f(void) { return ++n; }' 'has the variable n in .data'
plant 'int ink_n;' 'has the variable ink_n'
plant '__thread int ink_n; int ink_f(void) { return ++ink_n; }' 'has the variable ink_n'
plant 'int ink_f(void) { static _Thread_local int n = 1; return ++n; }' 'has the variable n'
plant 'static const char *names[] = {"a"}; const char **ink_f(void) { return names; }' 'has the variable names'
plant "$head void ink_f(void) { exit(1); }" 'uses exit'
plant "$head void ink_f(void) { abort(); }" 'uses abort'
plant "$head"' void ink_f(int x) { printf("%d", x); }' 'uses printf'
plant "$head"' void ink_f(void) { printf("x\n"); }' 'uses puts'
plant "$head"' void ink_f(int x) { fprintf(stderr, "%d", x); }' 'uses stderr'
plant "$head"' char *ink_f(void) { return getenv("HOME"); }' 'uses getenv'
plant '#include <string.h>
char *ink_f(int x) { return strerror(x); }' 'uses strerror'
plant 'int helper(void) { return 1; }' 'exports helper'
plant '#undef NDEBUG
#include <assert.h>
void ink_f(int x) { assert(x); }' 'uses __assert_fail'

# The same in C++, where names are longer and some are nobody's alone.
if echo 'namespace ink { template <class T> T f(T x) { return x + 1; } int g(int x) { return f(x); } }' \
    >"$folder/good.cpp" && $cxx -O0 -fPIC -c "$folder/good.cpp" -o "$folder/good.o" 2>/dev/null; then
    ar rc "$folder/good-cpp.a" "$folder/good.o"
    "$check" "$folder/good-cpp.a" >/dev/null
    for pair in 'int helper(int x) { return x; }|exports _Z6helperi' \
        'namespace ink { int f() { static int n; return ++n; } }|has the variable _ZZN3ink1fEvE1n' \
        'namespace ink { struct s { s(); int n; }; const s &f() { static const s x; return x; } }|has the variable _Z'; do
        printf '%s\n' "${pair%|*}" >"$folder/fault.cpp"
        $cxx -w -O2 -fPIC -c "$folder/fault.cpp" -o "$folder/fault.o"
        rm -f "$folder/fault.a"
        ar rc "$folder/fault.a" "$folder/fault.o"
        if "$check" "$folder/fault.a" >"$folder/out" 2>&1 || ! grep -q "${pair#*|}" "$folder/out"; then
            echo "not found in C++: ${pair%|*}" >&2
            exit 1
        fi
        n=$((n + 1))
    done
fi

# What is constant is none of these, even if it holds addresses.
printf 'static const char *const names[] = {"a"}; const char *ink_f(int i) { return names[i]; }\n' >"$folder/good.c"
$cc -O2 -fPIC -c "$folder/good.c" -o "$folder/good.o"
ar rc "$folder/good.a" "$folder/good.o"
"$check" "$folder/good.a" >/dev/null

echo "$n planted faults were found"
