#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Shows what sealbuf is for, on this machine, with real bytes: installs what is missing, builds, starts a private broker,
# hands a big file from one process to another one of another user, and lets that one try to change it.
#
#     ./demo.sh [FILE]
set -eu
cd "$(dirname "$0")"
# shellcheck source=tests/setup.sh
. tests/setup.sh

build=$PWD/build/demo
work=$(mktemp -d "${TMPDIR:-/tmp}/sealbuf-demo.XXXXXX")
broker=

# shellcheck disable=SC2317 # called by trap
clean_up() {
    if [ -n "$broker" ]; then
        kill "$broker" 2>/dev/null || true
        wait "$broker" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap clean_up EXIT

# A file of some hundred megabytes that this machine has; else the first 300 MB of an archive of its /usr.
choose_file() {
    local found
    found=$(find /usr /opt /boot -xdev -type f -size +99M -size -1000M -readable -printf '%s %p\n' 2>/dev/null |
        sort -n | tail -n 1 | cut -d ' ' -f 2-) || true
    if [ -z "$found" ]; then
        found=$work/usr.tar
        (tar -cf - /usr 2>/dev/null || true) | head -c 300000000 >"$found"
    fi
    printf '%s\n' "$found"
}

# Runs a command as another user where this one is root.
as_other=()
other="another process of the same user"
if [ "$(id -u)" -eq 0 ]; then
    as_other=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    other="another process, of user 65534 (nobody)"
fi

install_missing "${build_packages[@]}"
build "$build" CFLAGS="-O2 -g" || die "the build failed"

# The second user may not be let into this folder: what it runs goes where it may read.
say "Installing into a private folder"
(cd "$build" && quietly install.out make install DESTDIR="$work/root")
find "$work" -type d -exec chmod 755 {} +
prefix=$work/root/usr/local
cp "$build/docs/examples/.libs/handoff" "$build/docs/examples/tamper" "$prefix/bin/" 2>/dev/null ||
    cp "$build/docs/examples/handoff" "$build/docs/examples/tamper" "$prefix/bin/"
export LD_LIBRARY_PATH=$prefix/lib PATH=$prefix/bin:$PATH SEALBUF_SOCKET=$work/socket

say "Starting a private broker at $SEALBUF_SOCKET"
mkfifo "$work/ready"
"$prefix/sbin/sealbufd" --socket "$SEALBUF_SOCKET" --ready-fd 3 3>"$work/ready" &
broker=$!
head -c 1 "$work/ready" >/dev/null
sealbufctl ping

file=${1:-$(choose_file)}
[ -r "$file" ] || die "cannot read '$file'; name a file that you may read"
say "One process puts $file ($(stat -Lc %s "$file") bytes) as 'demo/file', readable for everybody"
sealbufctl put demo/file "$file" --mode 0644 --replace --meta "source=$(basename "$file")"
sealbufctl list

say "It is gone now; $other maps and checksums what it left"
theirs=$("${as_other[@]}" "$prefix/bin/sealbufctl" exec --owner "$(id -u)" demo/file -- sha256sum {} | cut -d ' ' -f 1)
ours=$(sha256sum <"$file" | cut -d ' ' -f 1)
printf '  the file    %s\n  the buffer  %s\n' "$ours" "$theirs"
[ "$ours" = "$theirs" ] || die "the checksums differ"

say "It tries to change it, in every way that there is"
"${as_other[@]}" "$prefix/bin/sealbufctl" exec --owner "$(id -u)" demo/file -- "$prefix/bin/tamper" {} ||
    die "an attempt succeeded"
say "And so does its owner"
sealbufctl exec demo/file -- "$prefix/bin/tamper" {} || die "an attempt succeeded"

say "What handing it over takes, beside a copy of it through a socket"
"${as_other[@]}" "$prefix/bin/handoff" demo/file "$(id -u)"

say "Done. The broker ends, and takes nothing along that somebody still holds."
