# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What demo.sh and check.sh share: saying what is done, installing what is missing, building. To be sourced.

say() {
    printf '\n==> %s\n' "$*"
}

die() {
    printf '%s: %s\n' "$(basename "$0")" "$*" >&2
    exit 1
}

# What a build needs, and what the tests need besides.
# shellcheck disable=SC2034 # they are used by who sources this
build_packages=(autoconf autoconf-archive automake gcc libbsd-dev libc6-dev libevent-dev libinih-dev libjansson-dev
    libseccomp-dev libsystemd-dev libtool make pkg-config zlib1g-dev)
# shellcheck disable=SC2034
check_packages=(check clang clang-format clang-tidy cppcheck g++ git libclang-rt-14-dev libsubunit-dev mandoc procps
    python3 shellcheck systemd systemd-container util-linux xz-utils)

# install_missing PACKAGE...: installs those that are not there, as root or by sudo.
install_missing() {
    local package missing=() root=()

    command -v dpkg-query >/dev/null || {
        say "Not a Debian system: expecting these, or their like, to be installed: $*"
        return
    }
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${#missing[@]} packages: ${missing[*]}"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "cannot install packages: neither root nor sudo; install them and try again"
        root=(sudo)
    fi
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null ||
        die "apt-get update failed; look at /etc/apt/sources.list and the network"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" \
        >/dev/null || die "apt-get install failed: ${missing[*]}"
}

# quietly LOG COMMAND...: runs it with its output in LOG; shows the end of that where it fails.
quietly() {
    local log=$1
    shift
    "$@" >"$log" 2>&1 && return
    printf '%s: this failed, its output is in %s and ends with:\n    %s\n' "$(basename "$0")" "$log" "$*" >&2
    tail -n 30 "$log" >&2
    return 1
}

# The configure script, made anew where its sources are newer.
prepare_configure() {
    local source=$1
    if [ -x "$source/configure" ] && [ "$source/configure" -nt "$source/configure.ac" ] &&
        [ "$source/Makefile.in" -nt "$source/Makefile.am" ]; then
        return
    fi
    say "Making ./configure (autoreconf)"
    mkdir -p "$source/build" "$source/m4"
    quietly "$source/build/autoreconf.log" autoreconf -fi "$source"
}

# build DIRECTORY [CONFIGURE ARGUMENT]...: an out-of-tree build of the tree that this file is in.
build() {
    local source directory=$1
    source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    shift
    prepare_configure "$source" || return
    mkdir -p "$directory"
    say "Building in ${directory#"$PWD"/}${*:+ ($*)}"
    (cd "$directory" && quietly configure.out "$source/configure" "$@" &&
        quietly make.out make -j "$(nproc)")
}
