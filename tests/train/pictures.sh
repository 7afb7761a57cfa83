#!/bin/bash
# pictures -- a folder of pictures trains, and predict reads them; whether they stay in memory or are read each time, by however
# many threads, killed and resumed or not, the figures are the same; what cannot be read stops the training, and nothing is lost.
. "$(dirname "$0")/../common.sh"
squeezenet=$(realpath examples/imagenet/squeezenet.nn)
images=$(realpath tests/unit/images.h)
cd "$work" || exit 2

# From the files of the unit test; pictures are cut smaller, and what is not augmented likewise.
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

# What it says comes next can be typed as it stands.
mkdir "it's them"
cp -r photos/light photos/dark "it's them"
./photos_net --data="it's them" --run=named 2>said | sed -n 's/^  \(.* predict .*\)/\1/p' >next
check "names with blanks in what comes next" bash -c '[ -s next ] && . ./next'
rm -rf "it's them"

echo broken >photos/dark/3.png
check "a picture that is broken" grep -q 'photos/dark/3.png is neither' <(./photos_net --run=broken 2>&1)
cp photos/light/3.png photos/dark/3.png

# More of them, which stay in memory or are read each time.
for n in $(seq 10 59); do
    end=$([ $((n % 10)) -lt 6 ] && echo png || echo jpg)
    cp photos/light/$((n % 10)).$end photos/$([ $((n % 3)) -eq 0 ] && echo light || echo dark)/$n.$end
done
cat >large.nn <<'END'
option accumulated = 1
data photos = folder("photos", size = 24x24) {
    image = image -> standardize
    augment = random_crop(16) -> random_flip -> jitter(0.2) -> mixup(0.2)
    valid = 15
}
model Net of image = image -> conv(4, 3) -> relu -> globalavgpool -> dense(2)
train Net on photos {
    loss = cross_entropy
    optimizer = adam(0.01)
    metrics = accuracy
    batch = 4
    accumulate = accumulated
    epochs = 6
}
END
figures() { rev "runs/$1/log.csv" | cut -d, -f4- | rev; } # the last three columns are times
same() { [ "$(figures "$1")" = "$(figures "$2")" ] && cmp "runs/$1/best.safetensors" "runs/$2/best.safetensors"; }
check "nnc large" "$nnc" large.nn -o large
check "kept" ./large --run=kept --threads=1
check "an epoch a row" [ "$(wc -l <runs/kept/log.csv)" = 7 ]
for threads in 1 2 3; do
    check "read each time" ./large --run=read$threads --threads=$threads --cache=0
    check "some kept" ./large --run=some$threads --threads=$threads --cache=50kB
    check "read is not kept" same kept read$threads
    check "some is not kept" same kept some$threads
done
check "what stays is said" grep -q '28 pictures stay in memory once they are read (--cache), 39 are read each time' <(./large --run=said --cache=50kB --steps=1 2>&1)
check "a size that is none" grep -q 'wants a size such as 500MB' <(./large --cache=much 2>&1)
check "long" ./large --run=long --epochs=200
./large --run=killed --threads=2 --cache=0 --epochs=200 >killed 2>&1 &
for _ in $(seq 200); do # in the midst of an epoch
    [ "$(cat runs/killed/log.csv 2>/dev/null | wc -l)" -ge 2 ] && break
    sleep 0.02
done
kill -TERM $!
wait $!
check "resume" ./large resume killed --threads=1
check "resumed is not long" same long killed

# One is cut short behind its header: standardize meets it before anything has begun, else the training does, and when it is
# mended goes on as if nothing had been.
cp photos/dark/37.jpg whole.jpg
head -c -60 whole.jpg >photos/dark/37.jpg
check "measuring" grep -q '/photos/dark/37.jpg is no JPEG picture that can be read: it is cut short$' <(./large --run=none 2>&1)
check "nothing has begun" [ ! -e runs/none ]
cp whole.jpg photos/dark/37.jpg
sed -i 's|image -> standardize|image / 255|' large.nn
for accumulated in 1 2; do
    check "nnc" "$nnc" large.nn -D accumulated=$accumulated -o large
    check "whole" ./large --run=whole$accumulated
    for file in light/6.jpg dark/37.jpg light/48.jpg; do
        run=$accumulated.$(basename $file .jpg)
        cp photos/$file whole.jpg
        head -c -60 whole.jpg >photos/$file
        ./large --run=$run --threads=2 >broken 2>&1
        check "status $?" [ $? -eq 4 ]
        check "it is named" grep -q "photos/$file is no JPEG picture that can be read: it is cut short; \(stopped after epoch 0, step .*; saved in runs/$run. Go on with: ./large resume $run\|runs/$run/last.safetensors is from before\)" broken
        cp whole.jpg photos/$file
        check "resume" ./large resume $run
        check "mended is not whole" same whole$accumulated $run
    done
done
head -c -60 whole.jpg >photos/light/6.jpg
check "predict" grep -q "photos/light/6.jpg is no JPEG" <(./large predict --weights=runs/whole2/best.safetensors photos/light 2>&1 >/dev/null)
echo "pictures: $passed passed, $failed failed"
[ $failed -eq 0 ]
