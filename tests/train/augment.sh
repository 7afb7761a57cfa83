#!/bin/bash
# augment -- training on augmented pictures gives the same figures for any number of threads, on one processor, and when it is
# killed and resumed.
. "$(dirname "$0")/../common.sh"
cd "$work" || exit 2

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
echo "augment: $passed passed, $failed failed"
[ $failed -eq 0 ]
