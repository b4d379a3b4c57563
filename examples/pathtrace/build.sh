#!/bin/sh
# Rebuilds pathtrace.wasm from program/. The bytes depend on the sources, Cargo.lock and the Rust version alone, not on
# where the checkout, Cargo's home or the toolchain lie: those paths are mapped to fixed names.
#
#   ./build.sh           build, replace pathtrace.wasm, print its digest
#   ./build.sh --check   build, compare with the shipped file; exit 0 same, 1 different,
#                        3 cannot tell (no wasm32-wasip1 target, or another Rust than the shipped file's)
set -eu

RUST_VERSION=1.95.0

here=$(cd "$(dirname "$0")" && pwd -P)
mode=${1:-build}
case $mode in build | --check) ;; *) echo "usage: $0 [--check]" >&2; exit 2 ;; esac

version=$(rustc --version | cut -d ' ' -f 2)
sysroot=$(rustc --print sysroot)
if [ ! -d "$sysroot/lib/rustlib/wasm32-wasip1" ]; then
    echo "build.sh: the target is missing; install it with: rustup target add wasm32-wasip1" >&2
    exit 3
fi
if [ "$version" != "$RUST_VERSION" ]; then
    echo "build.sh: this is Rust $version; the shipped file was built with $RUST_VERSION, others give other bytes" >&2
    if [ "$mode" = --check ]; then exit 3; fi
fi

target=${CARGO_TARGET_DIR:-$here/program/target}
# Flags with a separator that no path contains, so that paths may contain spaces.
separator=$(printf '\037')
flags="-Ctarget-feature=+simd128"
for map in "$here/program=/pathtrace" "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$sysroot/lib/rustlib/src/rust=/rust"; do
    flags="$flags${separator}--remap-path-prefix=$map"
done
unset RUSTFLAGS CARGO_BUILD_RUSTFLAGS RUSTC_WRAPPER
CARGO_ENCODED_RUSTFLAGS=$flags CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$target \
    cargo build --quiet --release --locked --target wasm32-wasip1 --manifest-path "$here/program/Cargo.toml"
built=$target/wasm32-wasip1/release/pathtrace.wasm

if [ "$mode" = --check ]; then
    if cmp -s "$built" "$here/pathtrace.wasm"; then
        echo "pathtrace.wasm matches its source"
        exit 0
    fi
    echo "build.sh: pathtrace.wasm does not match its source; run ./build.sh and commit the result" >&2
    exit 1
fi
cp "$built" "$here/pathtrace.wasm"
chmod 644 "$here/pathtrace.wasm"
echo "pathtrace.wasm: $(wc -c < "$here/pathtrace.wasm") bytes"
echo "sha256 $(sha256sum "$here/pathtrace.wasm" | cut -d ' ' -f 1)"
if command -v b3sum > /dev/null; then
    echo "blake3 $(b3sum --no-names "$here/pathtrace.wasm")"
fi
