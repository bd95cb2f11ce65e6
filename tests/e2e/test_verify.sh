#!/bin/sh
# inkstone verify passes on golden tensors, and fails on anything else.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"
golden=$tiny/golden.safetensors

verify() {
    "$INKSTONE" verify --model "$tiny" "$@"
}

# bytes FILE OFFSET COUNT
bytes() {
    tail -c +$(($2 + 1)) "$1" | head -c "$3"
}

# An intact file passes, line by line.
run 0 verify --golden "$golden"
prints "ok    forward.output"
prints "ok    run0.pixels"
prints " 0 failed, 0 skipped"
count=$(grep -c "^ok " out)
[ "$count" -gt 50 ] || fail "only $count tensors were compared"
prints "$count compared, 0 failed"

# -q prints the summary only.
run 0 verify -q --golden "$golden"
[ "$(wc -l <out)" -eq 1 ] || fail "-q prints more than the summary"
[ ! -s err ] || fail "-q is not silent"

# A tolerance that nothing can keep fails, though what must be equal still is.
run 1 verify --golden "$golden" --tolerance 1e-30
prints "FAIL  forward.output"
grep -q "^ok .*must be equal" out || fail "ids and noise depend on the tolerance"

# One damaged number: the exponent of the last float32 of a tensor in the middle of the data.
size=$(wc -c <"$golden")
header=$(bytes "$golden" 0 8 | od -An -tu1 | awk '{ print $1 + 256 * ($2 + 256 * ($3 + 256 * $4)) }')
offset=$(bytes "$golden" 8 "$header" | tr '}' '\n' |
    sed -n 's/.*"forward.norm_out".*"data_offsets": *\[[0-9]*, *\([0-9]*\)\].*/\1/p')
[ -n "$offset" ] || fail "forward.norm_out was not found in the header"
at=$((8 + header + offset - 1))
for byte in '\300' '\177'; do
    {
        bytes "$golden" 0 "$at"
        # shellcheck disable=SC2059 # the byte is meant to be a format
        printf "$byte"
        bytes "$golden" $((at + 1)) $((size - at - 1))
    } >damaged.safetensors
    [ "$(wc -c <damaged.safetensors)" -eq "$size" ] || fail "the damaged file has another size"
    run 1 verify --golden damaged.safetensors
    prints "FAIL  forward.norm_out"
    prints ", 1 failed, 0 skipped"
done

# A file that ends early, and one that is none.
head -c $((size / 2)) "$golden" >short.safetensors
run 1 verify --golden short.safetensors
says "short.safetensors"
: >empty.safetensors
run 1 verify --golden empty.safetensors
says "empty.safetensors"
run 1 verify --golden .
run 1 verify --golden /dev/null

# Golden tensors that no stage knows prove nothing.
name='{"no.such.tensor":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
# shellcheck disable=SC2059 # the length of the header is octal escapes
{
    printf "\\$(printf '%o' ${#name})\\0\\0\\0\\0\\0\\0\\0"
    printf '%s' "$name"
    printf '\0\0\0\0'
} >unknown.safetensors
run 1 verify --golden unknown.safetensors
prints "0 compared, 0 failed, 1 skipped"
says "nothing was compared"

# The golden file of one model does not fit another.
run 1 "$INKSTONE" verify -m "$INK_SOURCE_DIR/models/emoji" --golden "$golden"

if [ -c /dev/full ]; then
    verify --golden "$golden" >/dev/full 2>err
    [ $? -eq 1 ] || fail "a full disk went unnoticed"
    says "cannot write to standard output"
fi
