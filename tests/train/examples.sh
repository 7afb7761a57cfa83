#!/bin/bash
# examples.sh -- the examples that need no data from elsewhere are compiled and trained, and must reach what they say.
#
# A row: the example, what trainer prints, the least (or, after <, the most) it must be, options of the trainer, and
# before it, those of nnc.
set -u
cd "$(dirname "$0")/../.."
nnc=$PWD/build/nnc
root=$PWD/examples
work=$(mktemp -d "${TMPDIR:-/tmp}/nnc-examples-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
passed=0 failed=0

row() { # row EXAMPLE WHAT BOUND [TRAINER OPTIONS]
    local model=$1 what=$2 bound=$3 out value
    shift 3
    local name
    name=$(basename "$model")
    # shellcheck disable=SC2086 # options are words
    if ! "$nnc" ${options:-} "$root/$model.nn" -o "$name" >"$name.log" 2>&1; then
        echo "$model: does not compile"
        cat "$name.log"
        failed=$((failed + 1))
        return
    fi
    out=$(timeout 120 ./"$name" "$@" 2>&1)
    value=$(echo "$out" | sed -nE "s/^$what: ([-0-9.e+]+).*/\1/p" | tail -n 1)
    [ -z "$value" ] && value=$(echo "$out" | grep -a '^epoch' | tail -n 1 | sed -nE "s/.*[| ]$what ([-0-9.e+]+).*/\1/p")
    if awk -v v="$value" -v b="$bound" 'BEGIN { less = substr(b, 1, 1) == "<"; sub("<", "", b); exit !(v != "" && (less ? v + 0 <= b + 0 : v + 0 >= b + 0)) }'; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$model: $what is '$value', not $bound"
        echo "$out" | tail -n 12
    fi
}

row xor/xor accuracy 1
row perceptron/perceptron errors '<0'
row anscombe/anscombe r2 0.66
row anscombe/exact r2 0.66
row iris/iris 'test accuracy' 0.9
row digits/digits 'test accuracy' 0.95
row playground/spiral 'test accuracy' 0.97
row playground/circle 'test accuracy' 0.97
row playground/gauss 'test accuracy' 0.97
row playground/xor 'test accuracy' 0.95
options="-D problem=xor -D x1_x2=true -D use_x1=false -D use_x2=false -D hidden=[2] -D activation=relu -D regularization=L1" \
    row playground/playground 'test accuracy' 0.99
options="-D problem=spiral -D sin_x1=true -D sin_x2=true -D hidden=8x8x8 -D lambda=2e-4 -D epochs=2000" \
    row playground/playground 'test loss' '<0.01' --restarts=5
row custom/custom 'test accuracy' 0.93
if [ -r /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz ]; then
    row fashion/fashion 'test accuracy' 0.8 --epochs=1
    row fashion/lenet5 'test accuracy' 0.8 --epochs=1
else
    echo "examples of Fashion-MNIST skipped: Debian's dataset-fashion-mnist is not installed"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
