#!/bin/sh
# Compiles hikyaku for an image, on Debian 12:
#
#   build.sh prepare ARCHITECTURE           installs what compiles for it, where that is another one than this machine's
#   build.sh compile ARCHITECTURE FILE      compiles, and puts the program there
#
# ARCHITECTURE is amd64 or arm64: what Docker and Debian call it. Nothing is emulated: the compiler runs on this machine.
set -eu

fail() {
    echo "build.sh: $1" >&2
    exit 1
}

[ -n "${2:-}" ] || fail "which architecture? Docker says it only when it builds with BuildKit (Docker 23 or later, or docker buildx)."
case $2 in
amd64) rust=x86_64-unknown-linux-gnu gnu=x86_64-linux-gnu package=gcc-x86-64-linux-gnu ;;
arm64) rust=aarch64-unknown-linux-gnu gnu=aarch64-linux-gnu package=gcc-aarch64-linux-gnu ;;
*) fail "$2 is not amd64 or arm64." ;;
esac
is_other=true
[ "$(dpkg --print-architecture)" != "$2" ] || is_other=false

case $1 in
prepare)
    $is_other || exit 0
    apt-get update
    apt-get install --yes --no-install-recommends "$package" "libc6-dev-$2-cross"
    rustup target add "$rust"
    ;;
compile)
    if $is_other; then
        # For cargo, and for the C of SQLite, ring and mimalloc.
        capitals=$(echo "$rust" | tr a-z- A-Z_)
        export "CARGO_TARGET_${capitals}_LINKER=$gnu-gcc" "CC_$(echo "$rust" | tr - _)=$gnu-gcc"
    fi
    cargo build --release --locked --bin hikyaku --target "$rust"
    cp "target/$rust/release/hikyaku" "$3"
    ;;
*) fail "$1 is not prepare or compile." ;;
esac
