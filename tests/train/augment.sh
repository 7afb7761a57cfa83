#!/bin/bash
# augment -- training on augmented pictures gives the same figures for any number of threads, on one processor, and when it is
# killed and resumed; a folder of pictures trains, and predict reads them.
cd "$(dirname "$0")/../.." || exit 2
nnc=$(realpath "${NNC:-build/nnc}")
squeezenet=$(realpath examples/imagenet/squeezenet.nn)
images=$(realpath tests/unit/images.h)
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
passed=0 failed=0

check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@" >said 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "augment: $what"
        head -5 said
    fi
}

# IDX files of 768 pictures of 28 x 28, whose brightness tells the class, half hidden in a pattern.
awk 'BEGIN {
    printf "\\0\\0\\010\\003\\0\\0\\003\\0\\0\\0\\0\\034\\0\\0\\0\\034"
    for (i = 0; i < 768; i++) for (k = 0; k < 784; k++) { r = (r * 1103 + 12345) % 65536; printf "\\%03o", 20 * (i % 4) + int(r / 400) }
}' >pattern
printf "$(cat pattern)" >images
printf "$(awk 'BEGIN { printf "\\0\\0\\010\\001\\0\\0\\003\\0"; for (i = 0; i < 768; i++) printf "\\%03o", i % 4 }')" >labels
cat >net.nn <<'END'
data shapes = idx("images", "labels") {
    image = image / 255
    augment = pad(2) -> random_crop(28) -> random_flip -> rotate(10) -> scale(0.9, 1.1) -> shift(1) -> cutout(5) -> jitter(0.1) -> noise(0.02) -> mixup(0.2)
    valid = 128
}
model Net of image[1, 28, 28] = image -> conv(4, 5, stride = 2) -> relu -> flatten -> dense(4)
train Net on shapes {
    loss = cross_entropy
    optimizer = adam(0.003)
    metrics = accuracy
    batch = 64
    epochs = 6
}
END
figures() { rev "runs/$1/log.csv" | cut -d, -f4- | rev; } # the last three columns are times
same() { [ "$(figures "$1")" = "$(figures "$2")" ] && [ "$(wc -l <"runs/$1/log.csv")" = 7 ]; }
learns() { tail -n 1 runs/one/log.csv | awk -F, '{ best = $5 } END { exit !(best > 0.6) }'; }
check "nnc" "$nnc" net.nn -o net
check "one thread" ./net --run=one --threads=1
check "two threads" ./net --run=two --threads=2
check "three threads" ./net --run=three --threads=3
check "one processor" taskset -c "$(taskset -cp $$ | sed 's/.*[ ,-]//')" ./net --run=alone --threads=2
for run in two three alone; do
    check "$run is not one" same one $run
done
check "it learns" learns
check "waiting is in the log" grep -q ',waiting$' runs/one/log.csv
./net --run=killed --threads=2 >said 2>&1 &
for _ in $(seq 200); do # in the midst of an epoch
    [ "$(cat runs/killed/log.csv 2>/dev/null | wc -l)" -ge 3 ] && break
    sleep 0.02
done
kill -TERM $!
wait $!
check "resume" ./net resume killed --threads=1
check "resumed is not one" same one killed

# A folder of pictures, from the files of the unit test; it is cut smaller, and what is not augmented likewise.
mkdir -p photos/light photos/dark
awk '/^static const uint8_t file_/ { n = $4; gsub(/[^0-9]/, "", n); text = ""; next }
     /^};/ && n != "" { print text > ("file" n); n = "" }
     n != "" { m = split($0, b, ","); for (i = 1; i < m; i++) text = text sprintf("\\%03o", b[i]) }' "$images"
for n in 0 1 2 3 4 5 6 7 8 9; do
    printf "$(cat file$n)" >photos/light/$n.$([ $n -lt 6 ] && echo png || echo jpg)
done
cp photos/light/[0-6].* photos/dark
cat >photos.nn <<'END'
data photos = folder("photos", size = 24x24) {
    image = image / 255
    augment = random_crop(16) -> random_flip -> jitter(0.2)
}
model Net of image = image -> conv(4, 3) -> relu -> globalavgpool -> dense(2)
train Net on photos {
    loss = cross_entropy
    optimizer = sgd(0.1)
    batch = 4
    epochs = 2
}
END
check "nnc photos" "$nnc" photos.nn -o photos_net
check "train photos" ./photos_net --run=photos
./photos_net predict photos/light/3.png photos/light/6.jpg photos/dark --weights=runs/photos/best.safetensors >csv 2>said
check "predict" [ "$(wc -l <csv)" = 10 ]
check "each file is named" grep -q '^photos/light/6.jpg,\(dark\|light\),0\.' csv
check "so are those of a folder" grep -q '^photos/dark/4.png,' csv

# A net of examples/imagenet, as it is but for the size, learns from a folder and names what it sees.
check "nnc squeezenet" "$nnc" "$squeezenet" -D size=64 -D classes=2 -D batch=16 -o squeezenet
check "train squeezenet" ./squeezenet --data imagenet=photos --run=squeezenet --epochs=1
./squeezenet predict --weights=runs/squeezenet/last.safetensors photos/light/6.jpg >csv 2>said
check "squeezenet says what it sees" grep -qE '^photos/light/6.jpg,(dark|light),0\.' csv

echo broken >photos/dark/3.png
check "a picture that is broken" grep -q 'photos/dark/3.png is neither' <(./photos_net --run=broken 2>&1)
echo "augment: $passed passed, $failed failed"
[ $failed -eq 0 ]
