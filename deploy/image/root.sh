#!/bin/sh
# Lays out the file system of the image: a program of hikyaku, the libraries that it needs and nothing else that could be run.
#
#   root.sh PROGRAM PACKAGES ROOT
#
# PACKAGES is the folder of packages.sh. Needs root, for the owner of hikyaku's files.
set -eu

fail() {
    echo "root.sh: $1" >&2
    exit 1
}

program=$1 packages=$2 root=$3
here=$(cd "$(dirname "$0")" && pwd)
unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
mkdir -p "$root"

# What scanners for known holes look at, and the licences.
for package in "$packages"/*.deb; do
    name=$(dpkg-deb --field "$package" Package)
    dpkg-deb --extract "$package" "$unpacked"
    mkdir -p "$root/var/lib/dpkg/status.d"
    dpkg-deb --field "$package" >"$root/var/lib/dpkg/status.d/$name"
    install -D -m 644 "$unpacked/usr/share/doc/$name/copyright" "$root/usr/share/doc/$name/copyright"
done
install -D -m 644 "$here/../../LICENSE" "$root/usr/share/doc/hikyaku/copyright"
install -D -m 644 "$unpacked/usr/lib/os-release" "$root/etc/os-release"

install -D -m 755 "$program" "$root/usr/local/bin/hikyaku"

# The libraries that a file needs, theirs too, where the loader looks for them.
libraries=$(cd "$unpacked" && dirname "$(find . -name libc.so.6)")
copy_needed() {
    readelf --dynamic "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | while read -r name; do
        [ ! -e "$root/$libraries/$name" ] || continue
        [ -e "$unpacked/$libraries/$name" ] || fail "$1 needs $name, which no package of packages.sh has: add the one that does."
        install -D -m 755 "$unpacked/$libraries/$name" "$root/$libraries/$name"
        copy_needed "$root/$libraries/$name"
    done
}
copy_needed "$program"
loader=$(readelf --program-headers "$program" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
[ -e "$root/$libraries/${loader##*/}" ] || fail "the program's loader, $loader, is not that of libc6: it was compiled for another architecture or C library."
mkdir -p "$root${loader%/*}"
ln -s "/${libraries#./}/${loader##*/}" "$root$loader"

# Every authority of Debian's: receivers' certificates are checked against these.
mkdir -p "$root/etc/ssl/certs"
cat "$unpacked"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"

# Names of hosts as elsewhere on Debian: what stands in /etc/hosts first, then DNS.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
cat >"$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/usr/sbin/nologin
hikyaku:x:10001:10001:hikyaku:/var/lib/hikyaku:/usr/sbin/nologin
END
printf 'root:x:0:\nhikyaku:x:10001:\n' >"$root/etc/group"

# The only place that hikyaku writes to, and one for `hikyaku demo`.
install -d -o 10001 -g 10001 -m 700 "$root/var/lib/hikyaku"
install -d -m 1777 "$root/tmp"
