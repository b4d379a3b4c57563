# The commands that people type. `just` lists them; each works without just, too.

[private]
default:
    @just --list --unsorted

# the main job: a market, four providers, a buyer, a film
demo *args:
    cargo run --release -- demo {{ args }}

# what has to hold before a change is taken, all of it
ci:
    bash .ci/run

# the tests
test *args:
    cargo test --workspace {{ args }}

# real Lightning nodes on a real chain; builds bitcoind the first time
regtest *args:
    scripts/regtest {{ args }}

# quick answers while writing: format, then the compiler, clippy and tidy
check:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings
    cargo xtask tidy

# review changed snapshots (cargo install cargo-insta)
snapshots:
    cargo insta test --workspace --review

# simulated markets with faults and cheats; a failing seed replays: `just sim --seed 7 --trace`
sim *args="--seeds 1000":
    cargo run -p sim --release -- {{ args }}

# our numbers beside those of others
bench *args:
    scripts/bench.sh {{ args }}

# look for inputs that break a reader: statement, journal_segment, job_file, l402_token, l402_header or invoice
# (cargo install cargo-fuzz)
fuzz target seconds="60":
    cargo +nightly fuzz run {{ target }} -- -max_total_time={{ seconds }}

# what the workspace leaves out still compiles: benchmarks and fuzz targets
outside:
    cargo check --manifest-path benches/Cargo.toml --all-targets
    cargo check --manifest-path fuzz/Cargo.toml

# licences, sources and known flaws of dependencies (cargo install cargo-deny)
deny:
    cargo deny check

# our L402 with clients and servers that others wrote (installs them from PyPI and npm)
l402-peers:
    scripts/l402-peers.sh

# the documentation of the code
docs:
    cargo doc --workspace --no-deps --open

# compile the example's program to WebAssembly again
example:
    examples/pathtrace/build.sh

# an archive to give away: binary, manual pages, completions, checksums
release:
    scripts/release.sh
