# bash completion for inkstone; made by 'inkstone completions bash'; change src/cli/options.c instead

# shellcheck shell=bash disable=SC2207
_inkstone_generate() {
  case $prev in
    --prompt | -p) ;;
    --negative-prompt | -n) ;;
    --width | -W) ;;
    --height | -H) ;;
    --size) ;;
    --steps) ;;
    --preset) COMPREPLY=($(compgen -W 'quality balanced fast preview' -- "$cur")) ;;
    --guidance | -g) ;;
    --cfg-scale) ;;
    --true-cfg-scale) ;;
    --seed) ;;
    --noise) COMPREPLY=($(compgen -W 'f32 bf16' -- "$cur")) ;;
    --batch | -b) ;;
    --batch-count) ;;
    --output | -o) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
    --trace) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
    --model | -m) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")) ;;
    --backend) ;;
    --cpu-level) COMPREPLY=($(compgen -W 'scalar avx2 avx512' -- "$cur")) ;;
    --threads | -t) ;;
    --precision) COMPREPLY=($(compgen -W 'f32 bf16 fp8' -- "$cur")) ;;
    --fused-modulate) COMPREPLY=($(compgen -W 'auto on off' -- "$cur")) ;;
    --max-ram) ;;
    --max-vram) ;;
    --progress-every) ;;
    *)
      COMPREPLY=($(compgen -W ' --prompt -p --negative-prompt -n --width -W --height -H --size --steps --preset --guidance -g --cfg-scale --true-cfg-scale --seed --noise --batch -b --batch-count --output -o --no-metadata --trace --model -m --synthetic --backend --cpu-level --threads -t --precision --fused-modulate --max-ram --max-vram --progress-every --quiet -q --verbose -v --help -h' -- "$cur")) ;;
  esac
}

_inkstone_inspect() {
  case $prev in
    --prompt | -p) ;;
    --negative-prompt | -n) ;;
    --width | -W) ;;
    --height | -H) ;;
    --size) ;;
    --steps) ;;
    --guidance | -g) ;;
    --cfg-scale) ;;
    --true-cfg-scale) ;;
    --seed) ;;
    --noise) COMPREPLY=($(compgen -W 'f32 bf16' -- "$cur")) ;;
    --blocks) ;;
    --model | -m) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")) ;;
    --backend) ;;
    --cpu-level) COMPREPLY=($(compgen -W 'scalar avx2 avx512' -- "$cur")) ;;
    --threads | -t) ;;
    --precision) COMPREPLY=($(compgen -W 'f32 bf16 fp8' -- "$cur")) ;;
    --fused-modulate) COMPREPLY=($(compgen -W 'auto on off' -- "$cur")) ;;
    --max-ram) ;;
    --max-vram) ;;
    *)
      if [[ $cur != -* ]]; then compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")); return; fi
      COMPREPLY=($(compgen -W ' --prompt -p --negative-prompt -n --width -W --height -H --size --steps --guidance -g --cfg-scale --true-cfg-scale --seed --noise --blocks --json --model -m --synthetic --backend --cpu-level --threads -t --precision --fused-modulate --max-ram --max-vram --quiet -q --verbose -v --help -h' -- "$cur")) ;;
  esac
}

_inkstone_study() {
  case $prev in
    --prompts) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
    --negative-prompt | -n) ;;
    --width | -W) ;;
    --height | -H) ;;
    --size) ;;
    --steps) ;;
    --guidance | -g) ;;
    --cfg-scale) ;;
    --true-cfg-scale) ;;
    --seed) ;;
    --noise) COMPREPLY=($(compgen -W 'f32 bf16' -- "$cur")) ;;
    --output | -o) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
    --columns) ;;
    --shrink) ;;
    --model | -m) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")) ;;
    --backend) ;;
    --cpu-level) COMPREPLY=($(compgen -W 'scalar avx2 avx512' -- "$cur")) ;;
    --threads | -t) ;;
    --precision) COMPREPLY=($(compgen -W 'f32 bf16 fp8' -- "$cur")) ;;
    --fused-modulate) COMPREPLY=($(compgen -W 'auto on off' -- "$cur")) ;;
    --max-ram) ;;
    --max-vram) ;;
    --progress-every) ;;
    *)
      COMPREPLY=($(compgen -W ' --prompts --negative-prompt -n --width -W --height -H --size --steps --guidance -g --cfg-scale --true-cfg-scale --seed --noise --output -o --columns --shrink --json --model -m --synthetic --backend --cpu-level --threads -t --precision --fused-modulate --max-ram --max-vram --progress-every --quiet -q --verbose -v --help -h' -- "$cur")) ;;
  esac
}

_inkstone_verify() {
  case $prev in
    --golden) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
    --tolerance) ;;
    --model | -m) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")) ;;
    --backend) ;;
    --cpu-level) COMPREPLY=($(compgen -W 'scalar avx2 avx512' -- "$cur")) ;;
    --threads | -t) ;;
    --precision) COMPREPLY=($(compgen -W 'f32 bf16 fp8' -- "$cur")) ;;
    --fused-modulate) COMPREPLY=($(compgen -W 'auto on off' -- "$cur")) ;;
    --max-ram) ;;
    --max-vram) ;;
    *)
      COMPREPLY=($(compgen -W ' --golden --tolerance --model -m --backend --cpu-level --threads -t --precision --fused-modulate --max-ram --max-vram --quiet -q --verbose -v --help -h' -- "$cur")) ;;
  esac
}

_inkstone_tokenize() {
  case $prev in
    --tokenizer) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")) ;;
    *)
      COMPREPLY=($(compgen -W ' --tokenizer --no-template --help -h' -- "$cur")) ;;
  esac
}

_inkstone_bench() {
  case $prev in
    --width | -W) ;;
    --height | -H) ;;
    --size) ;;
    --steps) ;;
    --guidance | -g) ;;
    --cfg-scale) ;;
    --true-cfg-scale) ;;
    --layers) ;;
    --tokens) ;;
    --parts) ;;
    --pictures) ;;
    --trace) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")) ;;
    --model | -m) compopt -o filenames; COMPREPLY=($(compgen -d -- "$cur")) ;;
    --backend) ;;
    --cpu-level) COMPREPLY=($(compgen -W 'scalar avx2 avx512' -- "$cur")) ;;
    --threads | -t) ;;
    --precision) COMPREPLY=($(compgen -W 'f32 bf16 fp8' -- "$cur")) ;;
    --fused-modulate) COMPREPLY=($(compgen -W 'auto on off' -- "$cur")) ;;
    --max-ram) ;;
    --max-vram) ;;
    *)
      COMPREPLY=($(compgen -W ' --width -W --height -H --size --steps --guidance -g --cfg-scale --true-cfg-scale --layers --tokens --parts --pictures --trace --json --model -m --synthetic --backend --cpu-level --threads -t --precision --fused-modulate --max-ram --max-vram --quiet -q --verbose -v --help -h' -- "$cur")) ;;
  esac
}

_inkstone() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if [[ $cur == = ]]; then cur=; fi
  if [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W 'generate inspect study verify tokenize bench help version' -- "$cur"))
    return
  fi
  case ${COMP_WORDS[1]} in
    generate) _inkstone_generate ;;
    inspect) _inkstone_inspect ;;
    study) _inkstone_study ;;
    verify) _inkstone_verify ;;
    tokenize) _inkstone_tokenize ;;
    bench) _inkstone_bench ;;
    help) COMPREPLY=($(compgen -W 'generate inspect study verify tokenize bench help version' -- "$cur")) ;;
  esac
}

complete -F _inkstone inkstone
