#!/bin/sh
# Where a model is found.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

model_is() {
    grep -q "^model: .*$1\$" out || fail "the model is not $1: $(head -n 1 out)"
}

# -m before INKSTONE_MODEL before the model that comes with inkstone.
run 0 env INKSTONE_MODEL="$tiny" "$INKSTONE" inspect
model_is /tiny-random
run 0 env INKSTONE_MODEL=no-such-folder "$INKSTONE" inspect -m "$tiny"
model_is /tiny-random
run 1 env INKSTONE_MODEL=no-such-folder "$INKSTONE" inspect
says "no-such-folder"

# The model of the source tree, seen from a build folder in it, and of the installed tree.
for place in tree/build tree/build/debug installed/bin; do
    mkdir -p "$place"
    cp "$INKSTONE" "$place/inkstone"
done
mkdir -p tree/models installed/share/inkstone/models
ln -s "$tiny" tree/models/emoji
ln -s "$tiny" installed/share/inkstone/models/emoji
for place in tree/build tree/build/debug installed/bin; do
    run 0 "$place/inkstone" inspect
    model_is /tiny-random
    run 0 env INKSTONE_MODEL= "$place/inkstone" inspect
    model_is /tiny-random
done
rm tree/models/emoji
if ! "$INKSTONE" inspect >/dev/null 2>&1; then # none is installed on this machine
    run 1 tree/build/inkstone inspect
    says "name one with -m or in INKSTONE_MODEL"
fi

# The cache of Hugging Face, wherever its variables say.
commit=0123456789abcdef0123456789abcdef01234567
repository=models--Some--Tiny-Model
mkdir -p "cache/hub/$repository/snapshots" "cache/hub/$repository/refs" home/.cache
ln -s "$tiny" "cache/hub/$repository/snapshots/$commit"
printf '%s' "$commit" >"cache/hub/$repository/refs/main"
ln -s "$work/cache" home/.cache/huggingface
ln -s "$work/cache" cache/huggingface
for variable in HF_HUB_CACHE="$work/cache/hub" HF_HOME="$work/cache" XDG_CACHE_HOME="$work/cache" \
    HOME="$work/home"; do
    run 0 env HOME=/nonexistent "$variable" "$INKSTONE" inspect Some/Tiny-Model
    model_is "/$commit"
done
run 1 env HOME=/nonexistent "$INKSTONE" inspect Some/Tiny-Model
says "Some/Tiny-Model"
run 1 env HF_HOME="$work/cache" "$INKSTONE" inspect Some/Other-Model
says "Some/Other-Model"

# A picture tells the name of such a model, not the path.
run 0 env HF_HOME="$work/cache" "$INKSTONE" generate -m Some/Tiny-Model --size 32x32 --steps 1 -g 1 -p x \
    -o files/a.png
is_png files/a.png 32x32
grep -q "\"model\":\"Some/Tiny-Model@$commit\"" chunks || fail "the name of the model: $(cat chunks)"

# The defaults of a folder, and options that go before them.
cp -R "$tiny" defaults
echo '{"width": 48, "height": 32, "steps": 2, "guidance": 1.5, "negative_prompt": "grey"}' >defaults/inkstone.json
run 0 "$INKSTONE" generate -m defaults -p x --seed 1 -o files/b.png
is_png files/b.png 48x32
grep -q '"negative_prompt":"grey","width":48,"height":32,"steps":2,"guidance":1.5,' chunks || fail "$(cat chunks)"
run 0 "$INKSTONE" generate -m defaults -p x --seed 1 -W 32 --preset preview -g 1 -o files/b.png
is_png files/b.png 32x32
grep -q '"negative_prompt":null,"width":32,"height":32,"steps":6,"guidance":1.0,' chunks || fail "$(cat chunks)"

# Folders that are no model, or lack a part.
mkdir empty
run 1 "$INKSTONE" generate -m empty -p x
says "empty"
for part in tokenizer scheduler vae transformer text_encoder; do
    rm -rf lacking
    cp -R "$tiny" lacking
    rm -rf "lacking/$part"
    run 1 "$INKSTONE" generate -m lacking -p x -o files/c.png
    says "$part"
done
