#!/bin/bash
# Fuzzes one target with libFuzzer, or all of them one after another:  fuzz/run.sh TARGET|all [RUNS]
# Needs clang.  What is found lands in build/fuzz/found/; replay it with build/asan/fuzz/TARGET FILE.
set -eu
cd "$(dirname "$0")/.."
target=${1:?usage: fuzz/run.sh TARGET|all [RUNS]}
runs=${2:-100000}
build=${BUILD:-build/fuzz}
command -v "${CLANG:-clang}" >/dev/null || { echo "fuzz/run.sh: needs clang with libFuzzer (Debian: clang libclang-rt-14-dev)" >&2; exit 2; }

flags="-O2 -g -fsanitize=address,undefined -fno-sanitize-recover=all"
make -s -j2 -f tests/c/build.mk BUILD="$build" CC="${CLANG:-clang}" CFLAGS="$flags -fsanitize=fuzzer-no-link" \
    LDFLAGS=-fsanitize=fuzzer FUZZ_MAIN= fuzzers

[ "$target" = all ] && targets=$(cd fuzz && ls fuzz_*.c | sed 's/\.c$//') || targets=$target
failed=0
for t in $targets; do
    mkdir -p "$build/corpus/$t" "$build/found"
    start=$(date +%s)
    if "$build/fuzz/$t" -runs="$runs" -max_len="${MAX_LEN:-4096}" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
            -artifact_prefix="$build/found/$t-" "$build/corpus/$t" "fuzz/corpus/$t" >"$build/$t.log" 2>&1; then
        done_runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$build/$t.log")
        echo "$t: $done_runs executions, 0 crashes, $(($(date +%s) - start)) s"
    else
        echo "$t: FAILED, see $build/$t.log"
        grep -m 3 -E 'not true|runtime error|ERROR: ' "$build/$t.log" || true
        failed=1
    fi
done
exit $failed
