#!/usr/bin/env bash
# Takes Gristmill's numbers, each beside a peer in the same run, and prints one table for each.
#
#   scripts/bench.sh [all|engine|durable|tasks|latency|footprint|econ|l402]...
#
# A peer that is missing is installed where that needs no more than apt-get or pip; where it does not work, the table says
# so. Run it on a machine that does nothing else: the line above each table names its load.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=("${@:-all}")
wants() { [[ " ${wanted[*]} " == *" all "* || " ${wanted[*]} " == *" $1 "* ]]; }

export CARGO_TARGET_DIR="$PWD/target"
# Both sides of every comparison get huge pages for their heaps.
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
cache="${XDG_CACHE_HOME:-$HOME/.cache}/gristmill-bench"

bench() {
    cargo build --quiet --release --manifest-path benches/Cargo.toml --package "$1" --bin "$2"
    "$CARGO_TARGET_DIR/release/$2"
}

grist() {
    [[ -n "${GRIST:-}" ]] || cargo build --quiet --release
    export GRIST="${GRIST:-$PWD/target/release/grist}"
}

postgres() {
    compgen -G "/usr/lib/postgresql/*/bin/initdb" > /dev/null || apt-get install --yes --quiet postgresql > /dev/null ||
        echo "PostgreSQL is not here and cannot be installed" >&2
}

ray() {
    [[ -x "$cache/ray/bin/python" ]] && "$cache/ray/bin/python" -c 'import ray' 2> /dev/null && return
    python3 -m venv "$cache/ray" && "$cache/ray/bin/pip" install --quiet ray ||
        echo "Ray is not here and cannot be installed" >&2
}

pymacaroons() {
    mkdir -p "$cache"
    [[ -x "$cache/pymacaroons/bin/python" ]] && "$cache/pymacaroons/bin/python" -c 'import pymacaroons' 2> /dev/null && return
    python3 -m venv "$cache/pymacaroons" && "$cache/pymacaroons/bin/pip" install --quiet pymacaroons==0.13.0 ||
        echo "pymacaroons is not here and cannot be installed" >&2
}

numpy_python() {
    mkdir -p "$cache"
    [[ -x "$cache/numpy/bin/python" ]] && "$cache/numpy/bin/python" -c 'import numpy' 2> /dev/null && return
    if python3 -m venv "$cache/numpy" && "$cache/numpy/bin/pip" install --quiet numpy; then return; fi
    echo "numpy is not here and cannot be installed" >&2
    return 1
}

# An image with nothing but a static program that ends at once, and how podman runs it here: plainly, or where the kernel's
# control groups or limits are not what it expects, with less of them.
podman_run() {
    command -v podman > /dev/null && command -v cc > /dev/null || return 0
    local folder limits image=localhost/gristmill-nothing
    folder="$(mktemp -d)"
    echo 'int main(void) { return 0; }' > "$folder/nothing.c"
    cc -static -O2 -o "$folder/nothing" "$folder/nothing.c"
    tar -C "$folder" -c nothing | podman import --quiet - "$image" > /dev/null
    rm -r "$folder"
    limits="--rm --network=none --ulimit nofile=1024:1024 --ulimit nproc=1000:1000"
    for PODMAN_RUN in "podman run --rm --network=none" "podman run $limits" \
        "podman --runtime runc --cgroup-manager=cgroupfs run $limits"; do
        PODMAN_RUN+=" $image /nothing"
        # The words of the command, and no others.
        # shellcheck disable=SC2086
        if $PODMAN_RUN 2> /dev/null; then
            export PODMAN_RUN
            return
        fi
    done
    unset PODMAN_RUN
    echo "podman cannot run an image here" >&2
}

if wants engine; then
    bench engine engine
fi
if wants durable; then
    postgres
    bench venue durable
fi
if wants tasks; then
    grist
    ray
    if "$cache/ray/bin/python" -c 'import ray' 2> /dev/null; then export RAY_PYTHON="$cache/ray/bin/python"; fi
    bench processes tasks
fi
if wants latency; then
    grist
    podman_run
    bench processes latency
    cargo run --quiet --release --package runner --bin runner-worker < /dev/null > /dev/null 2>&1 || true
    cargo run --quiet --release --package runner --example start_cost
fi
if wants footprint; then
    grist
    bench venue footprint
fi
if wants econ; then
    if numpy_python; then
        for what in monte_carlo yuma; do
            cargo run --quiet --release --package econ --example "${what}_speed" > "$cache/$what.json"
            "$cache/numpy/bin/python" "benches/econ/$what.py" "$cache/$what.json"
            echo
        done
    fi
fi
if wants l402; then
    pymacaroons
    if "$cache/pymacaroons/bin/python" -c 'import pymacaroons' 2> /dev/null; then
        export PYMACAROONS_PYTHON="$cache/pymacaroons/bin/python"
    fi
    bench l402 l402
fi
