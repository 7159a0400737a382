#!/bin/sh
# Runs the compiler with the coverage that libFuzzer reads (RUSTC_WORKSPACE_WRAPPER). Cargo calls it for the crates of
# the workspace only: dependencies are those of the ordinary build, and the fuzzer follows our code rather than theirs.
exec "$@" \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cdebug-assertions=on -Cdebuginfo=0
