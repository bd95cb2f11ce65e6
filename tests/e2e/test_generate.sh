#!/bin/sh
# inkstone generate draws what is asked for, and the same thing twice.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

# A picture, nothing on standard output, and the seed told.
run 0 draw -p "a cat" --seed 5 -o files/a.png
prints_nothing
says "seed: 5"
says "wrote files/a.png (32 x 32, seed 5)"
files_are a.png
is_png files/a.png 32x32

# The same seed gives the same bytes, with any number of threads; another seed another picture.
for threads in 1 2 3; do
    run 0 draw -p "a cat" --seed 5 -t "$threads" -o files/b.png
    same files/a.png files/b.png
done
run 0 draw -p "a cat" --seed 6 -o files/b.png
differ files/a.png files/b.png
run 0 draw -p "a dog" --seed 5 --no-metadata -o files/b.png
run 0 draw -p "a cat" --seed 5 --no-metadata -o files/c.png
differ files/b.png files/c.png
rm files/*

# What has no effect is said, and has none.
run 0 draw -p "a cat" --seed 5 --backend cpu -o files/a.png
run 0 draw -p "a cat" --seed 5 --backend cpu --max-ram 1.5G --fused-modulate on -o files/b.png
says "max ram does nothing here: it sets limits of the backend mlx, and 'cpu' has none"
says "fused modulate does nothing here"
same files/a.png files/b.png
rm files/*

# A seed that is absent or negative is drawn by lot, and told so that the picture can be drawn again.
run 0 draw -p "a cat" -o files/a.png
seed=$(sed -n 's/^inkstone: seed: \([0-9][0-9]*\)$/\1/p' err)
[ -n "$seed" ] || fail "no seed is told"
run 0 draw -p "a cat" --seed "$seed" -o files/b.png
same files/a.png files/b.png
run 0 draw -p "a cat" --seed -1 -o files/c.png
grep -q '^inkstone: seed: [0-9][0-9]*$' err || fail "no seed is told"
differ files/a.png files/c.png
rm files/*

# A batch takes the seeds from the first on, and each picture is what it is alone.
run 0 draw -p "a cat" --seed 7 -b 3 -o files/cat.png
prints_nothing
says "seeds: 7 to 9"
files_are cat-1.png cat-2.png cat-3.png
run 0 draw -p "a cat" --seed 8 --no-metadata -o files/alone.png
run 0 draw -p "a cat" --seed 7 -b 2 --no-metadata -o files/both.png
same files/both-2.png files/alone.png
differ files/both-1.png files/alone.png
rm files/*
run 0 draw -p "a cat" -b 2 -o files/cat-%03d.x.png
run 0 draw -p "a cat" -b 2 -o files/%%-%d.png
run 0 draw -p "a cat" -b 2 -o files/plain.v2
run 0 draw -p "a cat" -o files/one%02d
files_are cat-001.x.png cat-002.x.png %-1.png %-2.png plain-1.v2 plain-2.v2 one01
rm files/*

# Without -o nothing is overwritten; with it the file is replaced.
(
    cd files || exit 1
    draw -p "a cat" 2>/dev/null && draw -p "a cat" -b 2 2>/dev/null
) || fail "drawing without -o"
files_are output.png output-2.png output-3.png
rm files/*
echo old >files/a.png
run 0 draw -p "a cat" -o files/a.png
is_png files/a.png 32x32

# Standard output, and a prompt from standard input.
run 0 draw -p "a cat" --seed 5 -o files/a.png
run 0 draw -p "a cat" --seed 5 -o -
same out files/a.png
printf 'a cat\n' | draw -p - --seed 5 -o files/b.png 2>err || fail "prompt from standard input"
same files/a.png files/b.png
printf 'a cat\n\n' | draw -p - --seed 5 -o files/b.png 2>err || fail "prompt from standard input"
differ files/a.png files/b.png

# Ways to write options.
run 0 "$INKSTONE" generate "-m$tiny" --prompt="a cat" -W32 -H 32 --steps=1 --cfg-scale 1 --seed=5 -qo files/c.png
[ "$(cat err)" = "inkstone: seed: 5" ] || fail "-q prints more or less than the seed"
same files/a.png files/c.png
run 0 draw --prompt "a cat" --seed 5 --true-cfg-scale=1.0 --output files/c.png --
same files/a.png files/c.png
run 0 draw -p "a dog" -p "a cat" --seed 5 -o files/c.png
same files/a.png files/c.png

# Guidance, negative prompt, noise, preset, steps and size have an effect.
draw2() { "$INKSTONE" generate -m "$tiny" -p "a cat" --seed 5 --no-metadata "$@"; }
run 0 draw2 -W 32 -H 48 --steps 2 -g 1 -o files/1.png
is_png files/1.png 32x48
run 0 draw2 --size 32X48 --steps 2 -g 4 -o files/2.png
differ files/1.png files/2.png
run 0 draw2 --size 32x48 --steps 2 -g 4 -n "blurred" -o files/3.png
differ files/2.png files/3.png
run 0 draw2 --size 32x48 --steps 2 -g 1 --noise bf16 -o files/4.png
differ files/1.png files/4.png
run 0 draw2 --size 32x48 --preset preview -g 1 -o files/5.png
run 0 draw2 --size 32x48 --steps 6 -g 1 -o files/6.png
same files/5.png files/6.png
run 0 draw2 --size 32x48 --preset preview --steps 2 -g 1 -o files/7.png
same files/1.png files/7.png

# Weights that are made up need the configuration only.
cp -R "$tiny" config-only
find config-only -name '*.safetensors*' -exec rm {} +
run 1 "$INKSTONE" generate -m config-only --size 32x32 --steps 1 -p x -o files/s.png
run 0 "$INKSTONE" generate -m config-only --synthetic --size 32x32 --steps 1 -p x -o files/s.png
is_png files/s.png 32x32

# Every backend of this build, and every level of the CPU that it accepts, draws.
for backend in $("$INKSTONE" version | sed -n 's/^backends://p'); do
    run 0 draw -p "a cat" --backend "$backend" -o files/backend.png
    is_png files/backend.png 32x32
done
run 0 draw -p "a cat" --cpu-level scalar -o files/level.png
is_png files/level.png 32x32
