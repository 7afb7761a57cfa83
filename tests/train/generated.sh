#!/bin/bash
# generated -- the C of every example is what an embedding program may take: the same bytes each time, no warning from gcc
# or clang, no data of its own, and no symbols but its own and those of any C program. And examples/embed works.
# With "full" also of the large ones.
cd "$(dirname "$0")/../.." || exit 2
nnc=$(realpath "${NNC:-build/nnc}")
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
flags='-std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Werror -Wno-psabi -ffp-contract=off'
libm='tanh|exp|expm1|log|log1p|pow|sqrt|sin|cos|tan|atan|erf|fabs|floor|ceil|trunc|nearbyint'
foreign="^(memcpy|memmove|memset|memcmp|strlen|strcmp|__cpu_model|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|($libm)f?|(omp_|GOMP_|__kmpc_).*)$"

check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "generated: $what"
        head -5 "$work/said"
    fi
}
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

make -s -C examples/embed NNC="$nnc" B="$work/embed" >"$work/answers" 2>"$work/said"
check "examples/embed" awk '/xor/ { n++; if (($1 != $3) != ($5 > 0.9) || ($1 == $3) != ($5 < 0.1)) exit 1 } END { exit n != 4 }' "$work/answers"
echo "generated: $passed passed, $failed failed"
[ $failed -eq 0 ]
