#!/usr/bin/env bash
# Measures on this machine: ./run.sh [devices|verify|sweep|benches ...], all four if none is named.
# Results go to $OUT (default ./out). DEVICE (default cuda:0) is measured, BUDGET (default 5m) bounds the sweep.
set -uo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
out="${OUT:-$PWD/out}"
device="${DEVICE:-cuda:0}"
mkdir -p "$out" || exit 2
out="$(cd "$out" && pwd)"
failed=()

# A failed step is told at the end: the others' results are wanted all the same.
step() {
    local name="$1"
    shift
    printf '== %s\n' "$name"
    "$@" 2>&1 | tee "$out/$name.log" || failed+=("$name")
}

benches() {
    local bench status=0
    for bench in "$here"/bench-*; do
        CRITERION_HOME="$out/criterion" "$bench" --bench || status=1
    done
    return "$status"
}

[ $# -gt 0 ] || set -- devices verify sweep benches
for name in "$@"; do
    case "$name" in
        devices) step devices "$here/gemmscope" devices ;;
        verify) step verify "$here/gemmscope" verify --device "$device" ;;
        sweep) step sweep "$here/gemmscope" sweep --device "$device" --budget "${BUDGET:-5m}" --out "$out/sweep" ;;
        benches) step benches benches ;;
        *)
            echo "no such step: $name; there are devices, verify, sweep, benches" >&2
            exit 2
            ;;
    esac
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}; see the logs in $out" >&2
    exit 1
fi
echo "done: $out"
