# common.sh -- what the shell tests share: the compiler, a folder that goes when the test ends, and a count of what passed.
# To be read by them:  . "$(dirname "$0")/../common.sh"
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
nnc=$(realpath "${NNC:-build/nnc}")
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() { # check WHAT COMMAND...
    local what=$1
    shift
    if "$@" >"$work/said" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$(basename "$0" .sh): $what"
        tail -n 5 "$work/said"
    fi
}
