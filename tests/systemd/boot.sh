#!/bin/bash
# SPDX-License-Identifier: MIT
# The units under a real systemd: boots this machine's own root in a container, over an overlay that is forgotten, with
# the install put in, and looks at what the service manager makes of it: boot_inside.sh does, in there. Prints TAP.
#
# Environment: STAGE, an install (DESTDIR); else one is made from top_builddir.

set -u
export LC_ALL=C
builddir=${abs_top_builddir:-${top_builddir:-.}}
here=$(dirname -- "$(readlink -f -- "$0")")
TIME=120

skip_all() {
    echo "1..0 # SKIP $1"
    exit 0
}
[ "$(id -u)" -eq 0 ] || skip_all "needs root"
for program in systemd-nspawn unshare timeout setpriv; do
    command -v "$program" >/dev/null || skip_all "$program is missing"
done
grep -qE '__(asan|tsan)_init' "$builddir/sealbufd" &&
    skip_all "a sanitizer's runtime does not work under the unit's sandbox"
ldd "$builddir/sealbufd" 2>/dev/null | grep -q libsystemd || skip_all "sealbufd is built without systemd"
[ -x /lib/systemd/systemd ] || skip_all "there is no systemd to boot"
# The mounts of this script go with it, whatever happens.
if [ -z "${SEALBUF_OWN_MOUNTS-}" ]; then
    unshare --mount true 2>/dev/null || skip_all "no mount namespaces"
    SEALBUF_OWN_MOUNTS=1 exec unshare --mount --propagation private -- "$BASH" "$here/boot.sh"
fi

work=$(mktemp -d) || exit 99
root=$work/root out=$work/out stage=${STAGE:-$work/stage}
tidy_up() {
    umount "$root" 2>/dev/null
    # Never through a mount that is still there.
    mountpoint -q "$root" || rm -rf -- "$work"
}
trap tidy_up EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
mkdir "$root" "$out"

if [ -z "${STAGE-}" ]; then
    if ! make -C "$builddir" install DESTDIR="$stage" >"$work/install" 2>&1; then
        tail -n 20 "$work/install" | sed 's/^/# /'
        echo "Bail out! make install failed"
        exit 99
    fi
fi

[ -e "$stage/lib/systemd/system/sealbufd.service" ] || [ -e "$stage/usr/lib/systemd/system/sealbufd.service" ] ||
    skip_all "configured to install the units where systemd does not look for them"

cat >"$work/boot.service" <<END
[Unit]
Description=Test of the sealbuf units
After=systemd-journald.service
[Service]
Type=oneshot
ExecStart=/bin/bash /test/boot_inside.sh
ExecStopPost=/bin/systemctl poweroff --force
StandardOutput=file:/out/tap
StandardError=file:/out/errors
END

mount --bind / "$root" || skip_all "bind mounts are not allowed"
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout --kill-after=5 "$TIME" systemd-nspawn --quiet --register=no --keep-unit \
    --volatile=overlay --directory="$root" --boot --console=pipe --private-network \
    --bind="$out:/out" --bind-ro="$stage:/stage" --bind-ro="$here:/test" \
    --bind-ro="$work/boot.service:/etc/systemd/system/sealbuf-boot.service" \
    systemd.unit=sealbuf-boot.service </dev/null >"$work/console" 2>&1

if [ ! -e "$out/tap" ]; then
    tail -n 20 "$work/console" | tr -cd '[:print:]\n' | sed 's/^/# /'
    skip_all "systemd does not boot in a container here"
fi
cat "$out/tap"
[ ! -s "$out/errors" ] || tr -cd '[:print:]\n' <"$out/errors" | tail -n 30 | sed 's/^/# /'
if ! grep -q '^1\.\.' "$out/tap"; then
    tail -n 20 "$work/console" | tr -cd '[:print:]\n' | sed 's/^/# /'
    echo "Bail out! the test in the container did not come to its end within $TIME seconds"
    exit 99
fi
! grep -q '^not ok' "$out/tap"
