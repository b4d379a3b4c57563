#!/usr/bin/env bash
# Installs what some tests need beyond Rust and a C compiler. A test that misses its tool says so and passes, so that
# the tests run everywhere; this script is there so that they do not have to.
set -euo pipefail

# C programs are compiled for WASI and run in the sandbox (crates/runner/tests/real_programs.rs); tidy asks git.
packages=(clang git libclang-rt-14-dev-wasm32 lld mount wasi-libc)

missing=()
for package in "${packages[@]}"; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2> /dev/null || true)
    [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
    echo "packages: all there"
elif ! command -v apt-get > /dev/null || [ "$(id -u)" != 0 ]; then
    echo "packages: NOT installed (needs Debian and root): ${missing[*]}" >&2
else
    export DEBIAN_FRONTEND=noninteractive
    if apt-get -qq update && apt-get -qq install --no-install-recommends -y "${missing[@]}" > /dev/null; then
        echo "packages: installed ${missing[*]}"
    else
        echo "packages: NOT installed: ${missing[*]}; the tests that need them will say so" >&2
    fi
fi

# Rust programs are compiled for WASI too, and the shipped module of the example is compared with its source.
if [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-wasip1" ]; then
    echo "target wasm32-wasip1: there"
elif command -v rustup > /dev/null && rustup --quiet target add wasm32-wasip1; then
    echo "target wasm32-wasip1: installed"
else
    echo "target wasm32-wasip1: NOT installed; the tests that need it will say so" >&2
fi
