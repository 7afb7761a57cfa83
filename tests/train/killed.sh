#!/bin/bash
# killed.sh [full] -- a trainer is killed again and again, mostly while it saves: its checkpoints stay whole, and what is
# resumed ends with the bits, and the log, of a training that was never stopped.
#
# TERM makes it save; KILL follows a few milliseconds later, at another moment each time.
rounds=15
[ "$1" = full ] && rounds=400
. "$(dirname "$0")/../common.sh"
cd "$work" || exit 2
torn=0

cat >net.nn <<'END_NN'
data d = points.spiral(1000, noise = 0.1) {
    x     = [x1, x2]
    valid = 20%
}
model Net of x[2] = x -> dense(300) -> tanh -> dense(300) -> tanh -> dense(1)
train Net on d {
    loss      = mse
    optimizer = adam(lr = 1e-3)
    batch     = 40
    epochs    = 40
}
END_NN
"$nnc" net.nn -o net || exit 1
./net --run=whole --threads=1 >/dev/null 2>&1 || exit 1
./net --run=killed --threads=1 >/dev/null 2>&1 &
for ((i = 0; i < 100; i++)); do
    [ -e runs/killed/last.safetensors ] && break
    sleep 0.05
done
RANDOM=1
for ((i = 0; i < rounds; i++)); do
    sleep 0.0$((10 + RANDOM % 60))
    kill -TERM $! 2>/dev/null
    sleep 0.00$((RANDOM % 10))$((RANDOM % 10))
    kill -KILL $! 2>/dev/null
    wait $! 2>/dev/null
    ls runs/killed/*.tmp.* >/dev/null 2>&1 && torn=$((torn + 1))
    for file in runs/killed/*.safetensors; do
        check "round $i, $file" ./net eval --weights="$file" --threads=1
    done
    rm -f going
    ./net resume killed --threads=1 >/dev/null 2>going &
    for ((w = 0; w < 100; w++)); do # a busy machine takes its time
        [ -s going ] && break
        sleep 0.02
    done
done
wait $!
grep -q 'is finished' going || ./net resume killed --threads=1 >/dev/null 2>&1
for file in best.safetensors last.safetensors; do
    check "$file is that of a training never stopped" cmp runs/whole/$file runs/killed/$file
done
figures() { cut -d, -f1-3 "runs/$1/log.csv"; }
check "log.csv" diff <(figures whole) <(figures killed)
check "nothing is left behind" test "$(ls runs/killed | tr '\n' ' ')" = "best.safetensors config.json last.safetensors log.csv "
# Where nothing can be written, it is said, and nothing half written stays.
check "a file that may not grow" bash -c '(ulimit -f 20; ./net export big) 2>said; [ $? -eq 4 ] && grep -q "cannot write big: File too large" said && [ -z "$(ls big* 2>/dev/null)" ]'
check "a full disk" bash -c 'printf "x1,x2\n1,2\n" | ./net predict >/dev/full 2>said; [ $? -eq 4 ] && grep -q "No space left" said'
check "a run that cannot be made" bash -c 'mkdir other && cd other && echo >runs && ../net --epochs=1 2>../said; [ $? -eq 4 ] && grep -q "cannot make the directory runs" ../said'
echo "killed $rounds times, $torn of them with a file half written"
echo "killed: $passed passed, $failed failed"
[ $failed -eq 0 ]
