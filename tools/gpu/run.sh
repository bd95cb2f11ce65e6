#!/bin/sh
# Everything that needs a device, in one call: tests, golden tensors, compute-sanitizer, benchmarks. Takes the
# programs that tools/gpu/pack.sh put into .gpu. Prints a line for each step and writes the logs to $OUT.
#
# usage: tools/gpu/run.sh [STEP...]     STEP: tests verify sanitize attention linear ways trace bench forward picture
#                                             limit baseline (default: all)
#   OUT          folder for logs (default: a new one under /tmp)
#   SIZES        of the benchmark ("512x512 1024x1024 1328x1328")
#   BENCH        more options for inkstone bench
#   DIFFUSERS    folder with the Python package diffusers, if it is not installed (baseline)
#   TIME_LIMIT   seconds that a single program may take (240)
set -u

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cd "$root" || exit 1
all='tests verify sanitize attention linear ways trace bench forward picture limit baseline'
steps=${*:-$all}
out=${OUT:-$(mktemp -d)}
limit=${TIME_LIMIT:-240}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
failures=0

tar -C "$work" -xzf .gpu/inkstone.tar.gz || exit 1
bin=$work/inkstone

# cuBLASLt and cuDNN, wherever a Python package or the toolkit put them; those of one place go together.
folders=$bin/lib
for name in libcudnn.so.9 libcublasLt.so.13 libcupti.so.13; do
    for base in /opt /usr/local /usr/lib /root; do
        found=$(find "$base" -name "$name" 2>/dev/null | head -n 1)
        [ -n "$found" ] && folders=$folders:$(dirname "$found") && break
    done
done
LD_LIBRARY_PATH=$folders${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH

# step NAME COMMAND...: one program, its log in $out/NAME.log; its last lines are shown if it fails.
step() {
    name=$1
    shift
    begin=$(date +%s)
    timeout "$limit" "$@" >"$out/$name.log" 2>&1
    code=$?
    seconds=$(($(date +%s) - begin))
    case $code in
    0) printf '%-40s ok      %4d s\n' "$name" "$seconds" ;;
    77) printf '%-40s skipped %4d s  %s\n' "$name" "$seconds" "$(tail -n 1 "$out/$name.log")" ;;
    *)
        printf '%-40s FAILED  %4d s  (exit %d)\n' "$name" "$seconds" "$code"
        grep -E 'ERROR|error|FAILED|Failure|fail' "$out/$name.log" | head -n 12 | cut -c 1-300
        tail -n 4 "$out/$name.log" | cut -c 1-300
        failures=$((failures + 1))
        ;;
    esac
}

run_tests() {
    for test in "$bin"/tests/test_*; do
        step "$(basename "$test")" "$test"
    done
}

models='tests/golden/tiny-random tests/golden/tiny-odd models/emoji'
golden_of() {
    case $1 in models/emoji) echo tests/golden/emoji.safetensors ;; *) echo "$1/golden.safetensors" ;; esac
}

# Of fp8 as measured, with half as much again: the model that ships is small and not kind to rounding.
tolerance_of() {
    case $1-$2 in
    f32-*) echo 1e-4 ;;
    bf16-*) echo 2e-2 ;;
    fp8-models/*) echo 0.25 ;;
    *) echo 8e-2 ;;
    esac
}

run_verify() {
    for model in $models; do
        for precision in f32 bf16 fp8; do
            tolerance=$(tolerance_of $precision "$model")
            step "verify-$(basename "$model")-$precision" "$bin/inkstone" verify --model "$model" \
                --golden "$(golden_of "$model")" --backend cuda --precision $precision --tolerance "$tolerance"
            log=$out/verify-$(basename "$model")-$precision.log
            [ $precision = fp8 ] && grep -E 'forward\.(transformer_blocks\.[0-9]+\.(img|txt)|output) ' "$log"
            tail -n 2 "$log" | cut -c 1-160
        done
    done
    step draw "$bin/inkstone" generate -m models/emoji -p 'a cat face' --seed 1 --backend cuda -o "$out/cat.png"
}

run_sanitize() {
    command -v compute-sanitizer >/dev/null || { echo 'compute-sanitizer is not here'; return; }
    for tool in memcheck racecheck; do
        step "$tool" compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 "$bin/inkstone" generate \
            -m tests/golden/tiny-random -p 'a cat' --steps 2 --size 64x64 --backend cuda -o "$work/a.png"
        # Where sums of parts of K are added, racecheck takes one thread's arrival at a barrier for its own reads
        # alone: of a warp it reports the other 31, which __syncwarp orders before it.
        skip=
        [ "$tool" = racecheck ] && skip=test_divided
        INK_KERNEL_SEED=4 step "$tool-united" compute-sanitizer --tool $tool --error-exitcode 9 --print-limit 20 \
            "$bin/tests/test_cuda_united" $skip
    done
    step memcheck-lanes compute-sanitizer --tool memcheck --error-exitcode 9 --print-limit 20 \
        "$bin/tests/test_cuda_lanes"
}

# Every implementation at the sizes of the models.
run_attention() {
    step attention "$bin/bench_cuda_attention"
    cat "$out/attention.log"
}

# Products of the blocks, the library's and our own.
run_linear() {
    step linear "$bin/bench_cuda_linear"
    cat "$out/linear.log"
}

# A step in several ways, with what each costs in joules.
run_ways() {
    step ways "$bin/bench_cuda_step" models/qwen-image
    cat "$out/ways.log"
}

# When the kernels of a step run, for one pass and for two.
run_trace() {
    [ -f "$bin/libkernel_trace.so" ] || { echo 'the pack has no libkernel_trace.so'; return; }
    for passes in 1 2; do
        name=trace-512-$passes
        step "$name" env CUDA_INJECTION64_PATH="$bin/libkernel_trace.so" KERNEL_TRACE="$work/$name.csv" \
            "$bin/bench_cuda_step" -w bf16 models/qwen-image 512 $passes
        [ ! -s "$work/$name.csv" ] || python3 tools/gpu/kernel_trace.py "$work/$name.csv" >>"$out/$name.log"
        cat "$out/$name.log"
    done
}

run_bench() {
    for size in ${SIZES:-512x512 1024x1024 1328x1328}; do
        # shellcheck disable=SC2086  # a list of options
        step "bench-$size" "$bin/inkstone" bench -m models/qwen-image --synthetic --backend cuda --size "$size" \
            ${BENCH:-}
        cat "$out/bench-$size.log"
    done
}

# One forward of one prompt, in bf16 and fp8: what baseline.py compares with.
run_forward() {
    for size in ${SIZES:-512x512 1024x1024 1328x1328}; do
        for precision in bf16 fp8; do
            name=bench-forward-$size
            [ $precision = bf16 ] || name=$name-$precision
            step "$name" "$bin/inkstone" bench -q -m models/qwen-image --synthetic --backend cuda --size "$size" -g 1 \
                --precision $precision --parts roof,step --json
            mv "$out/$name.log" "$out/$name.json"
        done
    done
}

# From prompt to PNG, 20 steps with guidance: the first picture also compiles and loads.
run_picture() {
    step picture "$bin/inkstone" generate --synthetic -m models/qwen-image -p 'a cat face' --size 1024x1024 --steps 20 \
        -g 4 --seed 1 -b 3 -v --backend cuda -o "$work/picture-%d.png"
    grep -E 'text [0-9.]+ s' "$out/picture.log"
    stat -c '%.3Y' "$work"/picture-?.png | awk 'NR > 1 { printf "picture %d, written %.3f s after the one before\n", NR, $1 - last }
        { last = $1 }'
}

# Weights that come and go.
run_limit() {
    step limit "$bin/inkstone" bench -q -m models/qwen-image --synthetic --backend cuda --size 512x512 --parts step \
        --max-vram 12G
    grep -E 'denoising|device memory' "$out/limit.log"
}

# diffusers on this device, beside what verify and forward wrote.
run_baseline() {
    # shellcheck disable=SC2086  # a list of sizes
    step baseline python3 tools/gpu/baseline.py --ours "$out" --sizes ${SIZES:-512x512 1024x1024 1328x1328} \
        ${DIFFUSERS:+--path "$DIFFUSERS"}
    cat "$out/baseline.log"
}

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null
"$bin/inkstone" --version
for wanted in $steps; do
    case $wanted in
    tests | verify | sanitize | attention | linear | ways | trace | bench | forward | picture | limit | baseline) "run_$wanted" ;;
    *)
        echo "there is no step '$wanted'" >&2
        failures=$((failures + 1))
        ;;
    esac
done
echo "$failures failures; logs in $out"
[ "$failures" -eq 0 ]
