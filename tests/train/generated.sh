#!/bin/bash
# generated -- the C of every example is what an embedding program may take: the same bytes each time, no warning from gcc
# or clang, no data of its own, and no symbols but its own and those of any C program. Threads that share the work on one
# sample give the same bits, and predictions those of the weights there are, however these got there. And examples/embed works.
# With "full" also of the large ones.
. "$(dirname "$0")/../common.sh"
flags='-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Werror -Wno-psabi -ffp-contract=off'
libm='tanh|exp|expm1|log|log1p|pow|sqrt|sin|cos|tan|atan|erf|fabs|floor|ceil|trunc|nearbyint'
foreign="^(memcpy|memmove|memset|memcmp|strlen|strcmp|__cpu_model|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|($libm)f?|(omp_|GOMP_|__kmpc_).*)$"

warns_not() { # model.c, then its header in C++
    if command -v gcc >/dev/null; then
        gcc $flags -O1 -march=native -fopenmp -c -o "$work/m.o" "$1" || return 1
    fi
    if command -v clang >/dev/null; then
        clang $flags -march=native -fsyntax-only "$1" || return 1
    fi
    if command -v g++ >/dev/null; then
        g++ -std=c++98 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ "${1%.c}.h" || return 1
    fi
}
keeps_to_itself() { # OBJECT PREFIX
    nm "$1" | awk -v prefix="$2_" -v foreign="$foreign" '
        NF == 2 { if ($2 !~ foreign) { print; bad = 1 } next }
        $2 == "T" { if (index($3, prefix) != 1) { print; bad = 1 } next }
        $2 !~ /^[trN]$/ { print; bad = 1 }
        END { exit bad }'
}

mkdir "$work/1" "$work/2"
for nn in examples/*/*.nn; do
    case $nn in # those of many layers take gcc and clang minutes
    examples/imagenet/* | */resnet.nn) [ "${1:-}" = full ] || continue ;;
    esac
    name=$(basename "$(dirname "$nn")")_$(basename "$nn" .nn)
    c=$work/1/$name.c
    check "$nn: nnc -S" "$nnc" -S "$nn" -o "$c"
    [ -e "$c" ] || continue
    "$nnc" -S "$nn" -o "$work/2/$name.c"
    check "$nn: other bytes the second time" diff -q "$work/1" "$work/2"
    check "$nn: warnings" warns_not "$c"
    prefix=$(sed -n 's/^int \([a-z0-9_]*\)_save(.*/\1/p' "${c%.c}.h")
    check "$nn: symbols" keeps_to_itself "$work/m.o" "$prefix"
done

cat >"$work/net.nn" <<'END'
data pictures = cifar10("data")

model Net of image: 3x32x32 {
    image -> conv(48, 3, pad = 1) -> relu -> conv(48, 3, pad = 1) -> relu -> maxpool(2) -> conv(64, 3) -> relu -> flatten -> dense(10)
}

train Net on pictures {
    loss      = cross_entropy
    optimizer = sgd(lr = 0.1)
    batch     = 16
}
END
cat >"$work/one.c" <<'END'
#include "net.h"
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    static float image[3 * 32 * 32], output[10];
    void *net = aligned_alloc(NET_ALIGN, (NET_BYTES + 63) / 64 * 64), *scratch = aligned_alloc(NET_ALIGN, (NET_PREDICT_BYTES + 63) / 64 * 64);

    net_init(net, 1);
    for (int i = 0; i < 3 * 32 * 32; i++)
        image[i] = (float)(i % 97) / 48 - 1;
    for (int again = 0; again < 20; again++) {
        net_predict(net, scratch, image, 1, output);
        for (int i = 0; i < 10; i++)
            printf("%a\n", (double)output[i]);
    }
    return 0;
}
END
check "one sample: nnc -S" "$nnc" -S "$work/net.nn" -o "$work/net.c"
check "one sample has no threads" grep -q predict_one_thread "$work/net.c"
check "one sample: cc" cc -O1 -march=native -ffp-contract=off -Wno-psabi -fopenmp -o "$work/one" "$work/one.c" "$work/net.c" -lm
for threads in 1 2 3; do
    OMP_NUM_THREADS=$threads "$work/one" >"$work/one.$threads"
    check "one sample: other bits from $threads threads" cmp "$work/one.1" "$work/one.$threads"
done

# What follows from the weights alone is made by load; where they changed since, or were never loaded, by predict.
cat >"$work/derived.c" <<'END'
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float image[16 * 3 * 32 * 32];
static int32_t label[16];
static unsigned char *scratch, *file;

static void *context(size_t bytes) { return memset(aligned_alloc(NET_ALIGN, (bytes + 63) / 64 * 64), 0x5a, bytes); }

static void predict(const void *net, float *output)
{
    memset(scratch, 0x5a, NET_PREDICT_BYTES);
    net_predict(net, scratch, image, 2, output);
}

/* The weights of `net` in a context of their own, which is not written to. */
static int same_when_loaded(const void *net)
{
    float one[20], other[20];
    void *fresh = context(NET_WEIGHT_BYTES), *copy = malloc(NET_WEIGHT_BYTES);

    net_save(net, file, NET_FILE_BYTES);
    net_load(fresh, file, NET_FILE_BYTES);
    memcpy(copy, fresh, NET_WEIGHT_BYTES);
    predict(net, one);
    predict(fresh, other);
    return memcmp(one, other, sizeof one) == 0 && memcmp(fresh, copy, NET_WEIGHT_BYTES) == 0;
}

int main(void)
{
    const net_batch batch = {image, label};
    unsigned char *net = context(NET_BYTES);
    float before[20], after[20];

    scratch = context(NET_PREDICT_BYTES);
    file = malloc(NET_FILE_BYTES);
    for (int i = 0; i < 16 * 3 * 32 * 32; i++)
        image[i] = (float)(i % 97) / 48 - 1;
    for (int i = 0; i < 16; i++)
        label[i] = i % 10;
    net_init(net, 1);
    net_scalars(net)[NET_SCALAR_BASE_LR] = 1e-4;
    int good = same_when_loaded(net);
    net_step(net, &batch, 16);
    good += same_when_loaded(net);
    net_save(net, file, NET_FILE_BYTES);
    net_load(net, file, NET_FILE_BYTES);
    good += same_when_loaded(net);
    predict(net, before);
    net_step(net, &batch, 16);
    predict(net, after);
    good += memcmp(before, after, sizeof before) != 0;
    net_load(net, file, NET_FILE_BYTES);
    predict(net, after);
    good += memcmp(before, after, sizeof before) == 0;
    net_step(net, &batch, 16);
    good += same_when_loaded(net);
    net_init(net, 2);
    good += same_when_loaded(net);
    printf("%d\n", good);
    return good != 7;
}
END
check "one sample: nothing is derived" grep -q "net_derived" "$work/net.c"
check "one sample: cc" cc -O1 -march=native -ffp-contract=off -Wno-psabi -fopenmp -o "$work/derived" "$work/derived.c" "$work/net.c" -lm
check "one sample: what load makes, after init, step, load, load and step, init" "$work/derived"

make -s -C examples/embed NNC="$nnc" B="$work/embed" >"$work/answers" 2>"$work/said"
check "examples/embed" awk '/xor/ { n++; if (($1 != $3) != ($5 > 0.9) || ($1 == $3) != ($5 < 0.1)) exit 1 } END { exit n != 4 }' "$work/answers"
echo "generated: $passed passed, $failed failed"
[ $failed -eq 0 ]
