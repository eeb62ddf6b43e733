# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the scripts share that boot_tools.sh runs in its container, as a service of the systemd that has booted there:
# TAP, questions to the service manager, the install. To be sourced.
set -u
export LC_ALL=C
export NOBODY=65534
count=0

report() { # RESULT DESCRIPTION [FILE...]: the files explain a failure
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
        return
    fi
    echo "not ok $count - $2"
    tail -n 10 -- "${@:3}" 2>/dev/null | tr -cd '[:print:]\n' | sed 's/^/# /'
}

check() { # DESCRIPTION COMMAND...: the command must succeed
    local description=$1
    shift
    "$@" >/tmp/check 2>&1
    report $? "$description" /tmp/check
}

as_nobody() {
    setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups -- "$@"
}

property() { # UNIT PROPERTY
    systemctl show --value --property="$2" "$1"
}

property_is() { # UNIT PROPERTY VALUE
    local is
    is=$(property "$1" "$2")
    [ "$is" = "$3" ] || {
        echo "$2 of $1 is '$is', not '$3'"
        return 1
    }
}

# drop_in UNIT NAME TEXT: \n in the text are newlines. Takes effect with the next daemon-reload.
drop_in() {
    mkdir -p "/etc/systemd/system/$1.d" && printf '%b\n' "$3" >"/etc/systemd/system/$1.d/$2.conf"
}

# The install, as a package manager would put it in: /lib may be a link, and stays one.
install_stage() {
    # This must not be the machine's own root: what follows writes to it.
    if [ "$(systemd-detect-virt --container)" != systemd-nspawn ] || [ ! -d /stage ] || [ ! -d /out ] ||
        [ "$(findmnt --noheadings --output FSTYPE /)" != overlay ]; then
        echo "1..0 # SKIP is run in the container of boot_tools.sh"
        exit 0
    fi
    tar -C /stage -cf - . | tar -C / --keep-directory-symlink --no-overwrite-dir -xf -
    ldconfig
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
}
