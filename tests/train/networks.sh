#!/bin/bash
# networks -- the networks of examples/ say what PyTorch says, given the same weights and image, to 1e-4 of the largest
# output: tests/numeric/networks.py made the goldens. With "full" at the size they were published for, 224 x 224.
cd "$(dirname "$0")/../.." || exit 2
nnc=$(realpath "${NNC:-build/nnc}")
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
cc=${CC:-$(command -v clang || command -v cc)}

compare() { # compare GOLDEN: the model without its train section, so that predict gives the output itself
    local golden=$1 name file options pixels size prefix at
    name=$(basename "$golden" .txt)
    at=$work/$name
    file=$(sed -n 's/^file //p' "$golden")
    options=$(sed -n 's/^options //p' "$golden")
    size=$(sed -n 's/^options.*size=\([0-9]*\).*/\1/p' "$golden")
    case $file in
    cifar10/*) pixels=3*32*32 ;;
    unet/*) pixels=64*64 ;;
    *) pixels=3*${size:-224}*${size:-224} ;;
    esac
    mkdir "$at" || return
    sed '/^train /,$d' "examples/$file.nn" >"$at/model.nn"
    "$nnc" "$at/model.nn" -S -o "$at/model.c" ${options:+-D ${options// / -D }} 2>"$at/said" || return
    prefix=$(sed -n 's/^int \([a-z0-9_]*\)_save(.*/\1/p' "$at/model.h")
    $cc -std=c11 -O1 -w -march=native -ffp-contract=off -fopenmp -DMODEL='"model.h"' -DPREFIX="$prefix" -DUPPER="${prefix^^}" \
        -DPIXELS="$pixels" -DOUTPUTS="$(grep -c '^output' "$golden")" -I"$at" tests/numeric/networks.c "$at/model.c" \
        -lm -o "$at/run" 2>"$at/said" || return
    "$at/run" "$golden" && touch "$at/good"
    rm -f "$at/run" "$at/model.c"
}

goldens=()
for golden in tests/numeric/golden/networks/*.txt; do
    case $golden in
    *-224.txt) [ "${1:-}" = full ] && goldens+=("$golden") ;;
    *) [ "${1:-}" = full ] || goldens+=("$golden") ;;
    esac
done
running=0
for golden in "${goldens[@]}"; do # two at a time: what takes long is the C compiler
    [ $((running++)) -lt 2 ] || wait -n
    compare "$golden" &
done
wait
for golden in "${goldens[@]}"; do
    name=$(basename "$golden" .txt)
    if [ -e "$work/$name/good" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "networks: $golden"
        head -5 "$work/$name/said"
    fi
done
echo "networks: $passed passed, $failed failed"
[ $failed -eq 0 ]
