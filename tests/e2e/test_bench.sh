#!/bin/sh
# inkstone bench times stages and kinds of operations; --trace writes a timeline, also of generate.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

bench() {
    "$INKSTONE" bench -m "$tiny" --size 32x32 --steps 2 --tokens 5 "$@"
}
stages="text,prepare,step,decode"

# Tables: a head, and for every stage its time and a row for each kind.
run 0 bench
prints "model: tiny-random, 3 transformer blocks"
prints "picture: 32 x 32, guidance 4 (2 passes), prompts of 5 tokens, schedule of 2 steps"
grep -q '^roof: [0-9.]* GFLOP/s (product of [0-9]* x [0-9]* matrices), [0-9.]* GB/s (copy of [0-9]* MB)$' out || fail "roof"
for stage in "text encoding" preparation "denoising step" decoding; do
    grep -q "^$stage: [0-9.]* ms ([0-9.]* to [0-9.]* in 2 runs), the first with compiling [0-9.]* ms\$" out ||
        fail "no line about $stage"
done
number='[0-9][0-9.]*'
grep -q "^  attention  *[1-9][0-9]*  *$number  *$number%  *$number  *$number  *$number  *$number  *$number%\$" out ||
    fail "no row of attention"
grep -q "^  store  *[1-9][0-9]*  *$number  *$number%  *-  *-  *$number  *$number  *$number%\$" out ||
    fail "no row of store"
[ "$(grep -c '^  all of them ' out)" -eq 4 ] || fail "not four sums"
says "with cpu"
says "timing: decoding"
run 0 bench -q --parts step,text
[ ! -s err ] || fail "-q says something"
[ "$(grep -c '^  all of them ' out)" -eq 2 ] || fail "not the two stages that were asked for"
grep -q "^  linear .* -\$" out || fail "a share of the roof, which was not measured"
if grep -q "^roof" out; then fail "the roof was not asked for"; fi
run 0 bench --parts step --layers 1 -g 1
prints "1 transformer block"
prints "guidance 1 (1 pass)"

# JSON: the same numbers; what was not measured is null.
run 0 bench --json --parts "$stages" --synthetic
for words in '"format": 1,' '"version": ' '"model": "tiny-random"' '"synthetic": true' '"layers": 3' '"width": 32' \
    '"passes": 2' '"tokens": 5' '"steps": 2' '"roof": null' '"stage": "text"' '"stage": "prepare"' '"stage": "step"' \
    '"stage": "decode"' '"seconds": ' '"fastest_seconds": ' '"slowest_seconds": ' '"first_seconds": ' \
    '"program_bytes": ' '"kind": "linear"' '"launches": ' '"flops_per_second": ' '"bytes_per_second": ' \
    '"of_roof": null'; do
    prints "$words"
done
if grep -q "operation  " out; then fail "--json prints a table"; fi
run 0 bench --json --parts roof,decode
prints '"matrix_side": '
grep -q '"of_roof": [0-9]' out || fail "no share of the roof"
if command -v jq >/dev/null; then
    jq -e '.stages[0].operations | length > 3 and all(.seconds >= 0 and .launches > 0)' out >jq.out || fail "JSON"
fi

# check_trace FILE: every line is what a line of a trace may be.
check_trace() {
    text='"([^"\\]|\\u[0-9a-f]{4})*"' time='-?[0-9]+\.[0-9]{3}'
    sed '1d;$d' "$1" | grep -vE \
        -e "^\{\"name\":$text,\"cat\":\"stage\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":$time,\"dur\":$time\},\$" \
        -e "^\{\"name\":$text,\"cat\":\"(text|prepare|denoise|decode)\",\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":$time,\"dur\":$time,\"args\":\{\"label\":$text,\"run\":[0-9]+,\"flops\":[0-9]+,\"bytes\":[0-9]+\}\},\$" \
        -e "^\{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":[12],\"args\":\{\"name\":$text\}\},\$" \
        -e '^\{"name":"process_name","ph":"M","pid":1,"args":\{"name":"inkstone"\}\}$' -e '^\],$' >bad &&
        fail "no line of a trace: $(head -n 1 bad)"
    [ "$(head -n 1 "$1")" = '{"displayTimeUnit":"ms","traceEvents":[' ] || fail "the first line of $1"
    tail -n 1 "$1" | grep -qE "^\"otherData\":\{\"version\":$text,\"backend\":$text\}\}\$" || fail "the last line of $1"
    if command -v jq >/dev/null; then jq -e '.traceEvents | length > 10' "$1" >jq.out || fail "$1 is no JSON"; fi
}

# A trace of a benchmark: one run of every stage, as many operations as the tables count.
run 0 bench --parts "$stages" --trace files/bench.json
check_trace files/bench.json
files_are bench.json
launches=$(awk '$1 == "all" { n += $4 } END { print n }' out)
[ "$(grep -c '"label"' files/bench.json)" -eq "$launches" ] || fail "the trace has not $launches operations"
says "wrote files/bench.json ($launches operations)"
grep -q '"label":"transformer_blocks.2.attn.to_out.0"' files/bench.json || fail "no operation of the last block"
for piece in "text 1" "denoise 1" "decode 3"; do
    grep -q "^{\"name\":\"$piece\",\"cat\":\"stage\"" files/bench.json || fail "no $piece"
done

# Of a picture: all steps, and the picture is the one that is drawn without it.
run 0 draw -p "a cat" --seed 3 --steps 3 -o files/plain.png
run 0 draw -p "a cat" --seed 3 --steps 3 -o files/traced.png --trace files/draw.json
same files/plain.png files/traced.png
check_trace files/draw.json
for step in 0 1 2; do
    grep '"cat":"denoise"' files/draw.json | grep -q "\"run\":$step," || fail "step $step"
done
grep -q '^{"name":"denoise 3","cat":"stage"' files/draw.json || fail "no span of step 3"
files_are bench.json draw.json plain.png traced.png
# What was there is replaced, or stays if the run fails.
run 0 draw -p "a cat" --trace files/bench.json -o files/plain.png
check_trace files/bench.json
echo old >files/bench.json
run 2 draw -p "a cat" --trace files/bench.json -W 33 -o files/plain.png
grep -q '^old$' files/bench.json || fail "a run that failed changed the trace"
rm files/*

# Places where nothing can be written are noticed before any work is done.
run 1 bench --trace missing/trace.json
says "cannot write missing/trace.json: the folder missing does not exist"
prints_nothing
run 1 draw -p "a cat" --trace files -o files/cat.png
says "it is a folder"
if grep -q "seed:" err; then fail "drawn for nothing"; fi
files_are ""
if [ -c /dev/full ]; then
    run 1 bench --parts prepare --trace /dev/full
    says "the disk is full"
    prints "preparation: "
    run 1 draw -p "a cat" --trace /dev/full -o files/cat.png
    is_png files/cat.png 32x32
    rm files/cat.png
    bench --parts prepare >/dev/full 2>err
    [ $? -eq 1 ] || fail "a full disk went unnoticed"
fi

# What is wrong.
refused() {
    words=$1
    shift
    run 2 bench --trace files/no.json "$@"
    says "$words"
    prints_nothing
    files_are ""
}
for list in "" "," "step," "steps" "text;step" "text, step" "all"; do
    refused "is none of: roof, text, prepare, step, decode" --parts "$list"
done
refused "the transformer has 3" --layers 4
refused "0 is out of range: 1 to 1000" --layers 0
refused "0 is out of range: 1 to 512" --tokens 0
refused "513 is out of range: 1 to 512" --tokens 513
refused "0 is out of range: 1 to 1000" --steps 0
refused "is not a whole number" --steps 2.5
refused "multiple of 16" --size 33x32
refused "is not a size" --size 32
refused "none of:" --precision f64
refused "there is no option --prompt" --prompt "a cat"
refused "belongs to no option" "$tiny"
run 2 bench --trace ""
says "--trace needs the name of a file"
run 2 bench --trace -
says "--trace needs the name of a file"
run 1 bench --backend frobnicate
says "frobnicate"
for backend in cpu reference; do
    run 1 bench --backend $backend --precision fp8
    says "'$backend' computes in f32 alone and cannot do 'fp8'"
done

# An interruption leaves nothing.
(
    i=0
    while ! grep -q "timing: denoising step" err && [ $i -lt 600 ]; do
        sleep 0.1
        i=$((i + 1))
    done
    kill -s INT "$(cat pid)"
) &
# shellcheck disable=SC2016 # the inner shell expands
sh -c 'echo $$ >pid && exec "$@"' sh "$INKSTONE" bench -m "$tiny" --size 64x64 --parts step --steps 1000 -g 4 \
    --trace files/trace.json >out 2>err
got=$?
wait
[ "$got" -eq 130 ] || fail "status $got after SIGINT instead of 130"
says "interrupted"
prints_nothing
files_are ""
