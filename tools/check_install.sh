#!/bin/sh
# Installs into an empty folder and uses what is there as others would: pkg-config, find_package, the command.
# The folder is moved first, for packages are made in one place and used in another.
#
# usage: check_install.sh [BUILD...]   BUILD: folders with finished builds, of CMAKE_INSTALL_LIBDIR=lib; by
#                                      default a static and a shared one are made
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

try() {
    name=$1
    build=$2
    cmake --install "$build" --prefix "$folder/first"
    mv "$folder/first" "$folder/$name"
    prefix=$folder/$name
    for file in bin/inkstone include/inkstone.h share/inkstone/models/emoji/model_index.json \
        share/man/man1/inkstone.1 share/bash-completion/completions/inkstone; do
        [ -s "$prefix/$file" ] || { echo "$file was not installed"; exit 1; }
    done

    # shellcheck disable=SC2046  # lists of flags
    cc examples/draw.c -o "$folder/draw" \
        $(PKG_CONFIG_PATH=$prefix/lib/pkgconfig pkg-config --cflags --libs inkstone)
    LD_LIBRARY_PATH=$prefix/lib "$folder/draw" models/emoji 'a cat' "$folder/one.png"

    mkdir -p "$folder/user-$name"
    cat >"$folder/user-$name/CMakeLists.txt" <<LISTS
cmake_minimum_required(VERSION 3.21)
project(user LANGUAGES C)
find_package(inkstone 0.1 REQUIRED)
add_executable(draw $(pwd)/examples/draw.c)
target_link_libraries(draw PRIVATE inkstone::inkstone)
LISTS
    cmake -S "$folder/user-$name" -B "$folder/user-$name/build" -DCMAKE_PREFIX_PATH="$prefix"
    cmake --build "$folder/user-$name/build"
    LD_LIBRARY_PATH=$prefix/lib "$folder/user-$name/build/draw" models/emoji 'a cat' "$folder/two.png"

    # The command finds the model that was installed with it.
    (cd "$folder" && LD_LIBRARY_PATH=$prefix/lib "$prefix/bin/inkstone" generate -q -p 'a cat' --seed 1 -o three.png)
    # What was built with it finds its other library: MLX lies where it lay when this was built.
    if LD_LIBRARY_PATH=$prefix/lib "$prefix/bin/inkstone" version | grep -q ' mlx'; then
        LD_LIBRARY_PATH=$prefix/lib "$prefix/bin/inkstone" generate -q --backend mlx -p 'a cat' --size 32x32 \
            --steps 1 --seed 1 -o "$folder/mlx.png"
        rm "$folder/mlx.png"
    fi
    cmp "$folder/one.png" "$folder/two.png"
    [ -s "$folder/three.png" ]
    rm "$folder/one.png" "$folder/two.png" "$folder/three.png"
}

if [ $# -gt 0 ]; then
    for build in "$@"; do
        try "$(basename "$build")" "$build"
    done
    echo "installed, moved and used: $*"
    exit
fi
cmake --preset release -DCMAKE_INSTALL_LIBDIR=lib
cmake --build --preset release --parallel --target inkstone_cli inkstone
try release build
cmake --preset shared -DCMAKE_INSTALL_LIBDIR=lib
cmake --build --preset shared --parallel --target inkstone_cli inkstone
try shared build-shared
echo "installed, moved and used: static and shared"
