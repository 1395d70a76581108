#!/bin/sh
# Downloads the packages of Debian 12 that the image has parts of, as Debian's security team has them today:
#
#   packages.sh ARCHITECTURE FOLDER
#
# ARCHITECTURE is amd64 or arm64. It has lists of its own in FOLDER; those of the system stay as they are.
set -eu

mkdir -p "$2/lists/partial" "$2/cache/archives/partial"
cd "$2"
set -- --quiet=2 --option APT::Architecture="$1" --option APT::Architectures="$1" --option APT::Sandbox::User=root \
    --option Dir::State::Lists="$PWD/lists" --option Dir::Cache="$PWD/cache"
apt-get "$@" update
# os-release; certificates; the C library with its loader; what unwinds a panic, and its licence.
apt-get "$@" download base-files ca-certificates libc6 gcc-12-base libgcc-s1
rm -r lists cache
