#!/bin/bash
# phases -- training in phases: what is frozen stays and costs nothing, weights come from a file, a training that is
# stopped in its second phase goes on to the same bits; and data that is drawn or paired.
. "$(dirname "$0")/../common.sh"
digits=$(realpath examples/digits)
cd "$work" || exit 2

says() { # says TEXT COMMAND...: fails, and says so
    local text=$1
    shift
    "$@" >output 2>&1 && return 1
    grep -qF -- "$text" output || { cat output; return 1; }
}
section() { sed -n "/^graph $1,/,/^\$/p" graph; }
cp "$digits"/*.gz .

cat >lender.nn <<'END'
data digits = idx("digits-images.idx.gz", "digits-labels.idx.gz") {
    image = image / 16 -> reshape(1x8x8)
    test  = 20%
}
layer cbr(c) = conv(c, 3, pad = same, bias = false) -> batchnorm -> relu
model Lender of image: 1x8x8 {
    features = cbr(8) -> maxpool(2) -> cbr(16)
    image -> features -> flatten -> dense(10)
}
train Lender on digits {
    loss      = cross_entropy
    optimizer = adam(lr = 1e-2)
    batch     = 32
    epochs    = 2
    metrics   = accuracy
}
END
borrower() { # borrower TRAIN: a model with the lender's layer in it
    cat <<END
import "lender.nn"
data digits = idx("digits-images.idx.gz", "digits-labels.idx.gz") {
    image = image / 16 -> reshape(1x8x8)
    test  = 20%
}
model Borrower of image: 1x8x8 {
    body = Lender.features
    image -> body -> flatten -> dropout(0.1) -> dense(10)
}
train Borrower on digits {
    loss    = cross_entropy
    batch   = 4
    metrics = accuracy
$1
}
END
}
load='    init = load("lender.safetensors", into = body)'
head='    head {
        freeze    = body
        optimizer = adam(lr = 1e-3)
        epochs    = 2
    }'
all='    all {
        optimizer = sgd(lr = 1e-3, momentum = 0.9)
        schedule  = cosine
        epochs    = 8
    }'
borrower "$load
    freeze = body
    optimizer = adam(lr = 1e-3)
    epochs = 2" >frozen.nn
borrower "$load
$head
$all" >both.nn
borrower "$load
    freeze = bodi
    optimizer = adam" >misspelt.nn
borrower "    init = load(\"lender.safetensors\")
    optimizer = adam" >whole.nn
borrower "    odd { batch = 3 }" >odd.nn

check "the lender" "$nnc" lender.nn -o lender
check "the lender trains" ./lender --run=lender --threads=1
check "and gives its weights" ./lender export --run=lender lender.safetensors
check "frozen.nn" "$nnc" frozen.nn -o frozen
check "both.nn" "$nnc" both.nn -o both
check "what is frozen trains not" ./frozen --run=frozen --threads=1
check "but the rest" ./frozen export --run=frozen frozen.safetensors

# The frozen weights are those of the file: their bytes stand in both, one after the other, in the order of their names.
tensor() { # tensor FILE NAME: its bytes
    local n begin end
    n=$(od -An -tu8 -N8 "$1" | tr -d ' ')
    read -r begin end < <(head -c $((8 + n)) "$1" | tail -c "$n" |
        sed -E "s/.*\"$2\":\{[^}]*\"data_offsets\":\[([0-9]+),([0-9]+)\].*/\1 \2/")
    tail -c +$((9 + n + begin)) "$1" | head -c $((end - begin))
}
for name in cbr1.conv1.weight cbr2.batchnorm1.weight cbr2.batchnorm1.running_mean; do
    tensor lender.safetensors features.$name >a
    tensor frozen.safetensors body.$name >b
    check "$name is as it was" cmp a b
    check "$name is something" test -s a
done

"$nnc" both.nn --emit=graph -o graph
check "no gradient of what is frozen" bash -c "! grep -q 'd\.body\|next.running' <<<'$(section step)'"
check "gradients of all" grep -q 'd\.body\.cbr1' <<<"$(section step_all)"
check "the header has both steps" bash -c "'$nnc' both.nn -S -o both.c && grep -q 'borrower_step_all(void' both.h"
check "an unknown layer" says "did you mean 'body'?" "$nnc" misspelt.nn --emit=graph
check "a setting of the whole" says "'batch' holds for the whole training" "$nnc" odd.nn --emit=graph
check "whole.nn" "$nnc" whole.nn -o whole
check "a file that does not fit" says "does not hold the weights of Borrower" ./whole --threads=1

check "two phases" ./both --run=straight --threads=1
check "its log names the phases" bash -c "cut -d, -f1,2 runs/straight/log.csv | tr '\n' ' ' | grep -q 'head,2 all,3'"
./both --run=stopped --threads=1 >said 2>&1 &
for ((i = 0; i < 1000; i++)); do
    [ "$(grep -c '^all' runs/stopped/log.csv 2>/dev/null)" -ge 1 ] 2>/dev/null && break
    sleep 0.02
done
kill -INT $!
wait $!
status=$?
[ $status -eq 130 ] && check "it goes on" ./both resume stopped --threads=1 # else it was over before it could be stopped
check "the same weights after a stop in phase 2" bash -c "for r in straight stopped; do ./both export --run=\$r \$r.st; done; cmp straight.st stopped.st"

# What an optimizer remembers starts anew in each phase: three phases give the weights of three trainings, each begun with
# the weights of the one before. The samples are all alike, because each epoch has its own order.
phased() { # phased FILE SETTINGS
    cat >"$1.nn" <<END
data alike = table(a = [0.5, 0.5, 0.5, 0.5], label = [2, 2, 2, 2]) { x = [a, 1] }
model Net of x[2] = x -> dense(3) -> tanh -> dense(1)
train Net on alike {
    loss  = mse
    batch = 2
$2
}
END
    "$nnc" "$1.nn" -o "$1" && ./"$1" --run="$1" --threads=1 && ./"$1" export --weights=runs/"$1"/last.safetensors "$1.safetensors"
}
part=('optimizer = adam(lr = 0.01)
        epochs = 3' 'optimizer = sgd(lr = 0.01, momentum = 0.9)
        epochs = 4' 'optimizer = adam(lr = 0.02)
        epochs = 5')
check "three phases" phased three "    a { ${part[0]} }
    b { ${part[1]} }
    c { ${part[2]} }"
check "the first alone" phased alone "        ${part[0]}"
check "then the second" phased second "        init = load(\"alone.safetensors\")
        ${part[1]}"
check "then the third" phased third "        init = load(\"second.safetensors\")
        ${part[2]}"
check "an optimizer starts anew" cmp three.safetensors third.safetensors

cat >shapes.nn <<'END'
data pictures = shapes(60, size = 16, noise = 0.1) { test = 20% }
model Seg of image: 1x16x16 = image -> conv(8, 3, pad = same) -> relu -> conv(4, 3, pad = same)
train Seg on pictures {
    loss      = cross_entropy
    optimizer = adam(lr = 1e-2)
    batch     = 8
    epochs    = 20
    metrics   = iou, dice
}
END
cat >pairs.nn <<'END'
data couples = pairs(idx("digits-images.idx.gz", "digits-labels.idx.gz")) {
    image  = image / 16
    image2 = image2 / 16
    test   = 20%
}
layer distance of a[C], b[C] -> d[1] { d[i] = sqrt(1e-8 + sum[c] (a[c] - b[c])^2) }
layer verified of d[1], same -> right { right = if (d[0] < 0.5) == (same > 0.5) then 1 else 0 }
model Twins of image: 8x8, image2: 8x8 {
    twin = flatten -> dense(32) -> relu -> dense(8)
    distance(image -> twin, image2 -> twin)
    assert weights == 2_344
}
train Twins on couples {
    loss      = contrastive
    optimizer = adam(lr = 3e-3)
    batch     = 16
    epochs    = 15
    metrics   = verified
}
END
cat >triplets.nn <<'END'
data three = triplets(idx("digits-images.idx.gz", "digits-labels.idx.gz")) {
    image  = image / 16
    image2 = image2 / 16
    image3 = image3 / 16
    test   = 20%
}
model Three of image: 8x8, image2: 8x8, image3: 8x8 -> a, b, c {
    twin = flatten -> dense(32) -> relu -> dense(8)
    a, b, c = image -> twin, image2 -> twin, image3 -> twin
    assert weights == 2_344
}
train Three on three {
    loss      = triplet(a, b, c)
    optimizer = adam(lr = 3e-3)
    batch     = 16
    epochs    = 10
    predict   = a
}
END
above() { awk -v k="$1:" -v least="$2" '$1 " " $2 == k { n = 1; if (!($3 >= least)) exit 1 } END { exit !n }' result; }
for m in shapes pairs triplets; do
    check "$m.nn" "$nnc" $m.nn -o $m
    check "$m trains" bash -c "./$m --threads=1 >result"
    case $m in
    shapes) check "shapes are found" above "test dice" 0.5 ;;
    pairs) check "pairs are told apart" above "test verified" 0.85 ;;
    triplets) check "triplets part" awk '$1 " " $2 == "test loss:" { exit !($3 < 0.3) }' result ;;
    esac
done

# A file for each input.
one=digits-images.idx.gz
gunzip -c $one >all
{ printf '\0\0\10\3\0\0\0\12\0\0\0\10\0\0\0\10'; head -c 656 all | tail -c 640; } >few # ten of them
check "a file for each input" bash -c "./pairs predict image=few image2=few >same"
check "... a row for each pair, none apart" awk 'NR > 1 && $1 > 0.001 { exit 1 } END { exit NR != 11 }' same
check "... of three" bash -c "./triplets predict image=few image2=few image3=few >three"
check "... ten" [ "$(wc -l <three)" = 11 ]
check "one is missing" says "none for image2: image2=FILE" ./pairs predict image=few
check "one is given twice" says "two files for image" ./pairs predict image=few image=few
check "one of no input" says "one of none: few" ./pairs predict image=few few
check "they differ in length" says "$work/few holds 10 samples, but $work/$one 1797" ./pairs predict image=few image2=$one
check "nothing says which" says "several inputs, and image2 is not in the data ($work/few): name a file for each, image2=FILE" \
    ./pairs predict few
echo "phases: $passed passed, $failed failed"
[ $failed -eq 0 ]
