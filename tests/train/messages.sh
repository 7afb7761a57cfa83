#!/bin/bash
# messages -- what trainers say of data that is not where it should be, or not what the loss wants; labels that are no class;
# headings of tables.
. "$(dirname "$0")/../common.sh"
digits=$(realpath examples/digits)
cd "$work" || exit 2

fails() { # fails TEXT COMMAND...: and says so
    local text=$1
    shift
    "$@" >output 2>&1 && return 1
    grep -qF -- "$text" output || { cat output; return 1; }
}
prints() { # prints TEXT COMMAND...: on standard output
    local text=$1
    shift
    "$@" >output 2>err || { cat err; return 1; }
    grep -qF -- "$text" output || { cat output; return 1; }
}

# Files that are elsewhere, one by one and all in one folder.
cat >digits.nn <<'END'
data digits = idx("no/digits-images.idx.gz", "no/digits-labels.idx.gz") {
    image = image / 16 -> reshape(1x8x8)
    test  = 20%
}
model Digits of image: 1x8x8 = image -> flatten -> dense(10)
train Digits on digits {
    loss      = cross_entropy
    optimizer = sgd(lr = 0.1)
    epochs    = 1
    metrics   = by_class
}
END
check "digits: nnc" "$nnc" digits.nn -o digits
check "no file" fails "help: --data images=PATH says where it lies, --data FOLDER where all of them do" ./digits
check "no second file" fails "help: --data labels=PATH says where it lies" ./digits --data "images=$digits/digits-images.idx.gz"
check "files one by one" ./digits --data "images=$digits/digits-images.idx.gz" --data "labels=$digits/digits-labels.idx.gz"
check "a folder" prints " precision     recall         f1" ./digits --data "$digits"
check "no such part" fails "no path 'label'; say --data PATH, --data digits=PATH, or name one of: images, labels" ./digits --data label=x

# Targets that the loss cannot use.
cat >yes.nn <<'END'
data answers = csv("yes.csv") { x = [a, b] }
model Yes of x[2] = x -> dense(1)
train Yes on answers {
    loss      = binary_cross_entropy
    optimizer = sgd(lr = 0.1)
    epochs    = 2
}
END
echo "a,b,label" | tee yes.csv >no.csv
for i in $(seq 40); do
    echo "$((i % 3)),$((i % 5)),$((i % 2))" >>yes.csv
    echo "$((i % 3)),$((i % 5)),$((i % 2 * 2 - 1))" >>no.csv
done
check "yes: nnc" "$nnc" yes.nn -o yes
check "targets 0 and 1" ./yes
check "targets -1 and 1" fails "yes.nn:4:17: binary_cross_entropy: it wants targets from 0 to 1, but label goes from -1 to 1 ($work/no.csv)" ./yes --data no.csv
check "targets -1 and 1 when evaluating" fails "binary_cross_entropy: it wants targets from 0 to 1" ./yes eval --split=train --data no.csv
sed 's/ }$/; label = 2 * label - 1; valid = 20% }/; s/; /\n    /g; s/ }$/\n}/' yes.nn >turned.nn
check "turned: nnc" "$nnc" turned.nn -o turned
check "targets 0 and 1, turned" fails "label goes from 0 to 1 before its transform" ./turned --data yes.csv

# Labels that are no class are passed over: the weights are those of a training without them.
cat >void.nn <<'END'
data points = csv("known.csv") { x = [a, b] }
model Void of x[2] = x -> dense(3)
train Void on points {
    loss      = cross_entropy(ignore = 255)
    optimizer = sgd(lr = 0.1)
    batch     = 100
    epochs    = 5
    metrics   = accuracy, confusion
}
END
echo "a,b,label" | tee known.csv wrong.csv >void.csv
for i in $(seq 40); do
    echo "$((i % 7)),$((i % 5)),$((i % 3))" | tee -a known.csv wrong.csv >>void.csv
    echo "$((i % 5)),$((i % 3)),255" >>void.csv
done
echo "1,2,77" >>wrong.csv
check "void: nnc" "$nnc" void.nn -o void
check "void: known" ./void --run=known
check "void: with others" ./void --run=void --data void.csv
figures() { grep -v '^[a-z]* samples:\|^weights of' output; }
same_weights() { # within rounding: the order of the samples differs
    ./void eval --split=train runs/known >output 2>&1 || return 1
    figures >one
    ./void eval --split=train --data void.csv runs/void >output 2>&1 || return 1
    figures | diff one - || return 1
}
check "void: the same figures" same_weights
check "void: another label" fails "it wants classes from 0 to one less than it has outputs, or the one to ignore, but the data has others" \
    ./void --data wrong.csv

# Words: classes that go in. Nobody reads beyond the table of their vectors.
npy() { # npy SHAPE BYTES: a file of NumPy's, version 1, of bytes
    local dictionary="{'descr': '|u1', 'fortran_order': False, 'shape': ($1), }"
    printf '\x93NUMPY\x01\x00'"\\x$(printf %02x ${#dictionary})"'\x00%s'"$2" "$dictionary"
}
cat >words.nn <<'END'
data words = npy("words.npy", "kinds.npy")
layer embed(D) of word: class(V) -> y[D] {
    param table[V, D] ~ normal
    y[d] = table[word, d]
}
model Words of x: class(4)[2] = x -> embed(3) -> flatten -> dense(2)
train Words on words {
    loss      = cross_entropy
    optimizer = adam(lr = 0.1)
    epochs    = 50
    metrics   = accuracy
}
END
npy '4, 2' '\x00\x01\x01\x02\x02\x03\x03\x00' >words.npy
npy '4, 2' '\x00\x01\x01\x02\x02\x03\x04\x00' >more.npy
npy '4,' '\x00\x00\x01\x01' >kinds.npy
printf '%s\n' a,b 2,3 >row.csv
printf '%s\n' a,b 2,4 >beyond.csv
check "words: nnc" "$nnc" words.nn -o words
check "words: learned" ./words
check "words: a row" prints "row 1" sh -c "./words predict row.csv | sed -n 's/^1,/row 1: /p'"
check "words: too many" fails "x has 4 classes in the model, but 5 in the data" ./words --data x=more.npy
check "words: a row beyond" fails "x has 4 classes in the model, but 5 in the data" ./words predict beyond.csv

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
