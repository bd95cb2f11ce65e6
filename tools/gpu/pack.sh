#!/bin/sh
# Makes .gpu/inkstone.tar.gz: the command, the CUDA plug-in, the tests that need a device, and the libraries they
# stand on, built here. For machines that have a device and CUDA's libraries, and nothing to build with.
#
# usage: tools/gpu/pack.sh [BUILD_FOLDER]     (default: build-gpu; it is kept for the next time)
#   JOBS=1          how many compilers at a time
#   ARCHITECTURES   what CUDA code is compiled for (90a)
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
build=${1:-$root/build-gpu}
pack=$(mktemp -d)
trap 'rm -rf "$pack"' EXIT

cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DINK_CUDA=ON -DINK_TESTS=ON -DINK_BENCH=OFF \
    -DINK_CUDA_ARCHITECTURES="${ARCHITECTURES:-90a}"
tests=$(for source in "$root"/tests/cuda/test_*.c; do basename "$source" .c; done)
# shellcheck disable=SC2086  # a list of names
cmake --build "$build" --parallel "${JOBS:-1}" --target inkstone_cli inkstone_cuda bench_cuda_attention \
    bench_cuda_linear bench_cuda_step $tests

mkdir -p "$pack/inkstone/tests" "$pack/inkstone/lib"
cp "$build/inkstone" "$build/libinkstone-cuda.so" "$pack/inkstone/"
for test in $tests; do
    cp "$build/tests/cuda/$test" "$pack/inkstone/tests/"
done
cp "$build"/bench/bench_cuda_attention "$build"/bench/bench_cuda_linear "$build"/bench/bench_cuda_step "$pack/inkstone/"
strip "$pack/inkstone/inkstone" "$pack/inkstone/libinkstone-cuda.so" "$pack"/inkstone/bench_cuda_* \
    "$pack"/inkstone/tests/*
# Without CUPTI, steps cannot be traced.
cached() {
    sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"
}
cupti=$(cached CUDA_cupti_LIBRARY)
headers=$(cached CUDAToolkit_CUPTI_INCLUDE_DIR)
if [ -f "$headers/cupti.h" ] && [ -f "$cupti" ]; then
    cc -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -shared -fPIC -isystem "$headers" "$root/tools/gpu/kernel_trace.c" \
        -o "$pack/inkstone/libkernel_trace.so" "$cupti"
fi
# The system's own libraries, and CUDA's, are there.
ldd "$pack/inkstone/inkstone" "$pack"/inkstone/tests/* | sed -n 's/^.* => \(\/[^ ]*\) .*/\1/p' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libgcc_s|libstdc\+\+)\.so|/libcu(blas|da|dart|dnn)' |
    while read -r library; do
        cp -L "$library" "$pack/inkstone/lib/"
    done
mkdir -p "$root/.gpu"
tar -C "$pack" -czf "$root/.gpu/inkstone.tar.gz" inkstone
ls -l "$root/.gpu/inkstone.tar.gz"
