#!/bin/sh
# Builds Inkstone with the MLX backend and runs its tests, in a folder of its own: MLX comes from PyPI into a
# Python environment there, unless the python3 in PATH already has it. A few minutes on two cores.
#
# usage: tools/test_mlx.sh [FOLDER]     (default: build-mlx beside the sources; it is kept for the next time)
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=${1:-$root/build-mlx}
jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

has_mlx() {
    "$1" -c 'import mlx.core' 2>/dev/null
}

mkdir -p "$folder"
python=python3
if ! has_mlx "$python"; then
    python=$folder/python/bin/python3
    [ -x "$python" ] || python3 -m venv "$folder/python"
    package='mlx[cpu]'
    [ "$(uname -s)" = Darwin ] && package=mlx
    has_mlx "$python" || "$python" -m pip install --quiet --disable-pip-version-check "$package"
fi
# CMake asks the first python3 in PATH where MLX is.
PATH=$(dirname -- "$("$python" -c 'import sys; print(sys.executable)')"):$PATH
export PATH

cmake -S "$root" -B "$folder/build" -DINK_MLX=ON -DINK_CUDA=OFF -DINK_BENCH=ON -DINK_TESTS=ON \
    -DCMAKE_INSTALL_LIBDIR=lib
cmake --build "$folder/build" --parallel "$jobs" --target inkstone_cli mlx_tests bench_mlx_lazy
"$folder/build/inkstone" --version | grep -q 'mlx' || {
    echo "inkstone --version does not name the mlx backend" >&2
    exit 1
}
ctest --test-dir "$folder/build" --label-regex '^mlx$' --output-on-failure --no-tests=error
"$root/tools/check_install.sh" "$folder/build"
