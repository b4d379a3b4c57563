#!/usr/bin/env bash
# Builds what is given to people: an archive with the binary, manual pages, completions, units and licences, and
# SHA256SUMS beside it.
#
#   scripts/release.sh [TARGET]     default: static for this machine where that can be built, else for its C library
#
# Static means musl: it needs `rustup target add x86_64-unknown-linux-musl` (or aarch64-…) and `apt-get install musl-tools`.
set -euo pipefail
cd "$(dirname "$0")/.."

host=$(rustc --version --verbose | sed -n 's/^host: //p')
target=${1:-}
if [ -z "$target" ]; then
    static=${host%-gnu}-musl
    if [ -d "$(rustc --print sysroot)/lib/rustlib/$static" ] && command -v musl-gcc > /dev/null; then
        target=$static
    else
        target=$host
        echo "release: NOT static, $static or musl-gcc is missing; it will need this system's C library" >&2
    fi
fi

version=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"name":"cli","version":"\([^"]*\)".*/\1/')
name=grist-$version-$target
out=${CARGO_TARGET_DIR:-target}/release-archives
mkdir -p "$out"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# Nothing of this machine ends up in the binary: its paths are mapped to fixed names.
export CARGO_ENCODED_RUSTFLAGS
CARGO_ENCODED_RUSTFLAGS=$(printf -- '--remap-path-prefix=%s=/grist\037--remap-path-prefix=%s=/cargo' \
    "$PWD" "${CARGO_HOME:-$HOME/.cargo}")
CARGO_PROFILE_RELEASE_STRIP=symbols cargo build --release --locked --package cli --features ldk --target "$target"
binary=${CARGO_TARGET_DIR:-target}/$target/release/grist

mkdir -p "$folder/$name"/{completions,man,packaging}
cp "$binary" "$folder/$name/"
cp README.md CHANGELOG.md SECURITY.md LICENSE LICENSE-APACHE LICENSE-MIT "$folder/$name/"
cp packaging/*.service "$folder/$name/packaging/"
# They come from the program itself, so it has to run here.
if [ "${target%%-*}" = "${host%%-*}" ]; then
    for shell in bash elvish fish powershell zsh; do
        "$binary" completions "$shell" > "$folder/$name/completions/grist.$shell"
    done
    "$binary" --quiet man "$folder/$name/man"
else
    echo "release: NO manual pages and completions, $target does not run on $host" >&2
fi

# The same files give the same archive: fixed order, owner and time (that of the commit).
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" \
    -C "$folder" -cf - "$name" | gzip --no-name --best > "$out/$name.tar.gz"
(cd "$out" && sha256sum -- *.tar.gz > SHA256SUMS)

case $(ldd "$binary" 2>&1 || true) in
    *"statically linked"* | *"not a dynamic executable"*) kind=static ;;
    *) kind=dynamic ;;
esac
echo "$out/$name.tar.gz: $(wc -c < "$out/$name.tar.gz") bytes, $kind binary of $(wc -c < "$binary") bytes"
cat "$out/SHA256SUMS"
