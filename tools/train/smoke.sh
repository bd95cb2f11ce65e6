#!/bin/sh
# Runs every step of the training in miniature on the CPU, in a folder of its own: do the steps fit together?
# usage: tools/train/smoke.sh [PYTHON] [INKSTONE]
set -eu
python=${1:-python3}
inkstone=${2:-build/inkstone}
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

tool() {
    script=$1
    shift
    "$python" "tools/train/$script.py" "$@"
}

tool prepare_data --out "$folder"
tool make_tokenizer --data "$folder" --out "$folder/tokenizer" --prompts 2000 --vocabulary 1024
tool train_vae --data "$folder" --out "$folder/vae" --base 8 --batch 4 --pool 1000 --most-steps 3 --processes 2 \
    --evaluate-every 300
for resume in "" "--resume $folder/flow"; do
    # shellcheck disable=SC2086 # two words or none
    tool train_flow --data "$folder" --vae "$folder/vae" --tokenizer "$folder/tokenizer" --out "$folder/flow" $resume \
        --scenes 64 --batch 4 --width 64 --layers 2 --most-steps 3 --processes 2
done
tool teach_words --data "$folder" --vae "$folder/vae" --tokenizer "$folder/tokenizer" --flow "$folder/flow" \
    --out "$folder/words" --scenes 8 --batch 4 --most-steps 2 --processes 1
tool export --vae "$folder/vae" --flow "$folder/words" --tokenizer "$folder/tokenizer" --out "$folder/model"
"$inkstone" generate -q -m "$folder/model" -p "a cat" -o "$folder/cat.png"
tool classifier --data "$folder" --out "$folder/classifier" --steps 2 --batch 8
echo "every step of the training runs"
