#!/bin/sh
# The model that comes with inkstone draws a picture with its own defaults.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "$0")/lib.sh"

run 0 "$INKSTONE" generate -m "$INK_SOURCE_DIR/models/emoji" -p "cat face" --seed 1 -o files/cat.png
is_png files/cat.png 128x128
# A face on white compresses well, noise and a black picture would not and would too well.
size=$(wc -c <files/cat.png)
[ "$size" -gt 3000 ] || fail "$size bytes are hardly a picture"
[ "$size" -lt 30000 ] || fail "$size bytes are hardly a picture"
