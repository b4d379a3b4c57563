#!/usr/bin/env bash
# Tries our L402 with clients and servers that others wrote, on loopback only:
#
#   pymacaroons             tokens in both directions, to the byte; a server made with it
#   l402-requests           a Python client that pays by itself
#   @getalby/lightning-tools  a JavaScript client, and the pieces of a server
#   l402                    a JavaScript client for axios
#
#   scripts/l402-peers.sh
#
# They are installed from PyPI and npm into a cache folder, once. GRIST names our program, if it is built already.
# `lsat-js` and `boltwall` are not here: they depend on packages in git repositories.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${XDG_CACHE_HOME:-$HOME/.cache}/gristmill-l402-peers"
python="$cache/venv/bin/python"

if ! "$python" -c 'import pymacaroons, l402_requests' 2> /dev/null; then
    python3 -m venv "$cache/venv"
    "$cache/venv/bin/pip" install --quiet pymacaroons==0.13.0 l402-requests==0.9.0
fi
if [[ ! -d "$cache/npm/node_modules/l402" ]]; then
    mkdir -p "$cache/npm"
    npm install --prefix "$cache/npm" --silent --ignore-scripts --no-audit --no-fund \
        @getalby/lightning-tools@9.0.1 l402@0.5.1
fi

target="${CARGO_TARGET_DIR:-target}"
cargo build --quiet --package pay --features l402-server --example films
if [[ -z "${GRIST:-}" ]]; then
    cargo build --quiet
    GRIST="$target/debug/grist"
fi
GRIST="$(realpath "$GRIST")"
folder="$(mktemp -d)"
trap 'kill $(jobs -p) 2> /dev/null || true; rm -rf "$folder"' EXIT

# Waits for the first line of a server, which is JSON, and prints one of its fields.
field() {
    for _ in $(seq 100); do
        if [[ -s "$1" ]]; then
            "$python" -c 'import json, sys; print(json.loads(open(sys.argv[1]).readline())[sys.argv[2]])' "$1" "$2"
            return
        fi
        sleep 0.1
    done
    echo "$1: no server" >&2
    return 1
}

"$target/debug/examples/films" > "$folder/films.json" &
GRIST_HOME="$folder/operator" "$GRIST" market --json --listen 127.0.0.1:0 --data "$folder/market" \
    --price-offer-stream 1sat > "$folder/market.json" 2> "$folder/market.log" &
export FILMS FILMS_KEYS GRIST_MARKET GRIST GRIST_HOME="$folder/home"
FILMS="$(field "$folder/films.json" address)"
FILMS_KEYS="$(field "$folder/films.json" keys)"
GRIST_MARKET="$(field "$folder/market.json" address)"

"$python" scripts/l402_peers.py
cp scripts/l402_peers.mjs "$cache/npm/"
node "$cache/npm/l402_peers.mjs"
echo "all of them work with ours"
