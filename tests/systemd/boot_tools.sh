# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the tests under a real systemd share: boots this machine's own root in a container, over an overlay that is
# forgotten, with the install put in, and runs a script in there, as a service of the systemd that has booted; see
# inside_tools.sh. To be sourced by a script that has been given "$@" of its own. It ends with the status of the test.
#
#     . "$(dirname -- "$0")/boot_tools.sh"
#     boot_needs "$@"
#     boot 120 boot_inside.sh [ARGUMENT...]
#
# Environment: STAGE, an install (DESTDIR); else one is made from top_builddir.
set -u
export LC_ALL=C
builddir=${abs_top_builddir:-${top_builddir:-.}}
here=$(dirname -- "$(readlink -f -- "$0")")

skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}

# boot_needs ARGUMENT...: skips where systemd cannot be booted. Starts the script once more, with these arguments, in a
# mount namespace: so the mounts go with it, whatever happens.
boot_needs() {
    local program
    [ "$(id -u)" -eq 0 ] || skip_all "needs root"
    for program in systemd-nspawn unshare timeout setpriv; do
        command -v "$program" >/dev/null || skip_all "$program is missing"
    done
    grep -qE '__(asan|tsan)_init' "$builddir/sealbufd" &&
        skip_all "a sanitizer's runtime does not work under the unit's sandbox"
    ldd "$builddir/sealbufd" 2>/dev/null | grep -q libsystemd || skip_all "sealbufd is built without systemd"
    [ -x /lib/systemd/systemd ] || skip_all "there is no systemd to boot"
    if [ -z "${SEALBUF_OWN_MOUNTS-}" ]; then
        unshare --mount true 2>/dev/null || skip_all "no mount namespaces"
        SEALBUF_OWN_MOUNTS=1 exec unshare --mount --propagation private -- "$BASH" "$0" "$@"
    fi
}

tidy_up() {
    umount "$root" 2>/dev/null
    leave_control_group
    # Never through a mount that is still there.
    mountpoint -q "$root" || mountpoint -q "$work/cgroup" || rm -rf -- "$work"
}

bail_out() { # REASON
    echo "Bail out! $1"
    exit 99
}

show_console() {
    tail -n 20 "$work/console" | tr -cd '[:print:]\n' | sed 's/^/# /'
}

prepare_stage() {
    if [ -z "${STAGE-}" ] && ! env -u MAKEFLAGS -u MAKELEVEL make -C "$builddir" install DESTDIR="$stage" >"$work/install" 2>&1; then
        tail -n 20 "$work/install" | sed 's/^/# /'
        bail_out "make install failed"
    fi
    [ -e "$stage/lib/systemd/system/sealbufd.service" ] || [ -e "$stage/usr/lib/systemd/system/sealbufd.service" ] ||
        skip_all "configured to install the units where systemd does not look for them"
}

write_boot_unit() { # SCRIPT ARGUMENT...
    cat >"$work/boot.service" <<END
[Unit]
Description=Test of the sealbuf units
After=systemd-journald.service
[Service]
Type=oneshot
ExecStart=/bin/bash /tests/systemd/$*
ExecStopPost=/bin/systemctl poweroff --force
StandardOutput=file:/out/tap
StandardError=file:/out/errors
END
}

# Two containers in one control group would take each other's services for their own. So each gets a group of its own,
# where the system has control groups of version 2.
make_control_group() {
    local top
    top=$work/cgroup
    mkdir "$top"
    mount -t cgroup2 none "$top" 2>/dev/null || return
    group=$top$(sed -n 's/^0:://p' /proc/self/cgroup)/sealbuf-test-$$
    mkdir "$group" 2>/dev/null || group=''
}

leave_control_group() {
    [ -z "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
    umount "$work/cgroup" 2>/dev/null
}

in_control_group() { # COMMAND...
    # shellcheck disable=SC2016 # it is that shell's
    "$BASH" -c '[ -z "$1" ] || echo $$ >"$1/cgroup.procs"; exec "${@:2}"' - "$group" "$@"
}

# What is in the container besides the root: the tests as /tests, the install as /stage, the build as /build (for what
# is not installed), and /out, for the results.
run_container() { # SECONDS
    mount --bind / "$root" || skip_all "bind mounts are not allowed"
    make_control_group
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 in_control_group timeout --kill-after=5 "$1" systemd-nspawn --quiet --register=no --keep-unit \
        --volatile=overlay --directory="$root" --boot --console=pipe --private-network \
        --bind="$out:/out" --bind-ro="$stage:/stage" --bind-ro="${here%/*}:/tests" \
        --bind-ro="$(readlink -f -- "$builddir"):/build" \
        --bind-ro="$work/boot.service:/etc/systemd/system/sealbuf-boot.service" \
        systemd.unit=sealbuf-boot.service </dev/null >"$work/console" 2>&1
}

# boot SECONDS SCRIPT [ARGUMENT...]: runs this script of this folder in the container, and shows what came out.
boot() {
    local seconds=$1
    shift
    work=$(mktemp -d) || exit 99
    root=$work/root out=$work/out group='' stage=${STAGE:-$work/stage}
    trap tidy_up EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    mkdir "$root" "$out"
    prepare_stage
    write_boot_unit "$@"
    run_container "$seconds"
    if [ ! -e "$out/tap" ]; then
        show_console
        skip_all "systemd does not boot in a container here"
    fi
    cat "$out/tap"
    [ ! -s "$out/errors" ] || tr -cd '[:print:]\n' <"$out/errors" | tail -n 30 | sed 's/^/# /'
    if ! grep -q '^1\.\.' "$out/tap"; then
        show_console
        bail_out "the test in the container did not come to its end within $seconds seconds"
    fi
    ! grep -q '^not ok' "$out/tap"
}
