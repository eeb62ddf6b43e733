#!/bin/bash
# SPDX-License-Identifier: MIT
# What boot.sh runs in its container, as a service of the systemd that has booted there. Prints TAP.

# shellcheck source=tests/systemd/inside_tools.sh
. "$(dirname -- "$0")/inside_tools.sh"

# ---- The install, as a package would do it ---------------------------------------------------------------------------

install_stage
mkdir -p /run/user/0 # what the service manager of a user needs
units=$(cd /stage && find . -path '*/system/sealbufd.*' -printf '/%P\n')
user_units=$(cd /stage && find . -path '*/user/sealbufd.*' -printf '/%P\n')

verify() { # MANAGER UNIT...: exit status 0, and not a word about ours
    # The manual may have been left out of the install.
    HOME=/root XDG_RUNTIME_DIR=/run/user/0 systemd-analyze --man=no "$1" verify "${@:2}" >/tmp/verify 2>&1
    local result=$?
    cat /tmp/verify
    ! grep -q sealbuf /tmp/verify && return "$result"
}

check "systemd-sysusers makes the user" systemd-sysusers
check "the user is there" getent passwd sealbuf
check "systemd-tmpfiles makes the folder" systemd-tmpfiles --create
check "the folder is root's" test "$(stat -c '%U %a' /run/sealbuf)" = "root 755"
# shellcheck disable=SC2086 # one word each
check "systemd-analyze finds nothing wrong with the system's units" verify --system $units
# shellcheck disable=SC2086
check "systemd-analyze finds nothing wrong with the user's units" verify --user $user_units

# ---- The first client starts it --------------------------------------------------------------------------------------

systemctl daemon-reload
check "the socket unit starts" systemctl start sealbufd.socket
check "the service waits for a client" property_is sealbufd.service ActiveState inactive
check "everybody may connect" test "$(stat -c %a /run/sealbuf/socket)" = 666
check "the first client, nobody in particular, is answered" as_nobody sealbufctl ping
check "the service is active now" property_is sealbufd.service ActiveState active
check "ping as root" sealbufctl ping

pid=$(property sealbufd.service MainPID)
field() { # NAME: of the broker's /proc status
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"
}
runs_as_sealbuf() {
    local uid
    uid=$(id -u sealbuf)
    [ "$(field Uid)" = "$(printf '%s\t%s\t%s\t%s' "$uid" "$uid" "$uid" "$uid")" ] && [ "$uid" -ne 0 ]
}
has_no_capabilities() {
    local set
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        [ "$(field "$set")" = 0000000000000000 ] || return 1
    done
}
check "it runs as user sealbuf" runs_as_sealbuf
check "it has no capabilities, and can get none" has_no_capabilities
check "no new privileges, system calls filtered" test "$(field NoNewPrivs) $(field Seccomp)" = "1 2"

# ---- From one to another ---------------------------------------------------------------------------------------------

dd if=/dev/urandom of=/tmp/content bs=1M count=4 status=none
chmod 644 /tmp/content
same() {
    "$@" | cmp - /tmp/content
}
check "root puts for all" sealbufctl put --mode 0644 of/root /tmp/content
check "another user gets it" same as_nobody sealbufctl get --owner root of/root
check "another user puts" as_nobody sealbufctl put of/nobody /tmp/content
check "gets it back" same as_nobody sealbufctl get of/nobody
check "root gets it, too" same sealbufctl get --owner "$NOBODY" of/nobody
check "root puts for itself" sealbufctl put secret /tmp/content
as_nobody sealbufctl get --owner root secret >/dev/null 2>/tmp/check
report "$(($? == 4 ? 0 : 1))" "another user is denied it: exit status 4" /tmp/check
check "it is the broker of before still" property_is sealbufd.service MainPID "$pid"

# ---- The journal -----------------------------------------------------------------------------------------------------

bad_client() {
    python3 - <<'END'
import socket
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.connect('/run/sealbuf/socket')
client.send(b'GET / HTTP/1.1\r\n\r\n' * 10)
client.recv(4096)
END
}
in_journal() { # PATTERN...: one entry of the broker's has all of them
    local entries pattern
    for _ in {1..50}; do
        journalctl --sync
        entries=$(journalctl --unit=sealbufd.service --output=json)
        for pattern in "$@"; do
            entries=$(grep -- "$pattern" <<<"$entries")
        done
        [ -z "$entries" ] || return 0
        sleep 0.1
    done
    journalctl --unit=sealbufd.service --output=json | tail -n 3
    return 1
}
bad_client >/dev/null 2>&1
check "a bad client is in the journal, with its uid" in_journal dropped '"SEALBUF_[A-Z]*UID":"0"'
check "and with its pid" in_journal dropped '"SEALBUF_[A-Z]*PID":"[1-9]'
check "a good client does not notice" as_nobody sealbufctl ping
check "the broker's own sandbox is in place, too" in_journal '"sandboxed: \|built without libseccomp'

# ---- The configuration -----------------------------------------------------------------------------------------------

etc=$(sealbufd --help | sed -n '/^Configuration:/{n;s/^ *//p}')
configure() { # TEXT
    mkdir -p "$etc/sealbufd.conf.d" && printf '%b' "$1" >"$etc/sealbufd.conf.d/limits.conf"
}
configure '[limits]\nuid-names = none\n'
check "systemctl reload with a file that is wrong" systemctl reload sealbufd.service
check "file and line are in the journal" in_journal '"PRIORITY":"3"' "$etc/sealbufd.conf.d/limits.conf:2: uid-names"
check "the broker goes on" property_is sealbufd.service ActiveState active
configure '[limits]\nuid-names = 4321\n'
check "systemctl reload with a file that is right" systemctl reload sealbufd.service
check "what has changed is in the journal" in_journal "uid-names is '4321' now"
check "the broker goes on" property_is sealbufd.service ActiveState active
check "it is the broker of before still" property_is sealbufd.service MainPID "$pid"
check "a name from before is there still" same sealbufctl get secret
check "the configuration is as its user reads it" setpriv --reuid=sealbuf --regid=sealbuf --clear-groups -- \
    sealbufd --check-config

# ---- What survives ---------------------------------------------------------------------------------------------------

stored() { # NUMBER: so many descriptors the service manager keeps, soon
    local is
    for _ in {1..50}; do
        is=$(property sealbufd.service NFileDescriptorStore)
        [ "$is" != "$1" ] || return 0
        sleep 0.1
    done
    echo "$is are kept, not $1"
    return 1
}
survives() { # NAME yes|no
    sealbufctl stat "$1" | grep "^Survives: *$2"
}
kill_broker() {
    kill -KILL "$(property sealbufd.service MainPID)"
}
# In the store are what was put above, and the ledger.
check "the service manager keeps three buffers and the ledger" stored 4
check "what is put survives" survives secret "a crash"
check "what is put with --volatile" sealbufctl put --volatile volatile /tmp/content
check "is not kept" stored 4
check "and does not survive" survives volatile no
check "kill -9" kill_broker
check "the next client is answered" sealbufctl ping
check "by another broker" test "$(property sealbufd.service MainPID)" != "$pid"
check "a name is back" same sealbufctl get secret
check "another user's, too" same as_nobody sealbufctl get of/nobody
check "the volatile one is gone" test "$(sealbufctl list | grep -c volatile)" = 0
check "the service manager keeps as many as before" stored 4
check "systemctl restart" systemctl restart sealbufd.service
check "a name is back" same sealbufctl get secret
check "what is removed" sealbufctl remove secret
check "is kept no more" stored 3
check "what is replaced" sealbufctl put --replace of/root /tmp/content
check "is kept no more, either" stored 3
check "the others are removed" as_nobody sealbufctl remove of/nobody
check "by their owners" sealbufctl remove of/root
check "nothing but the ledger is kept" stored 1

small_store() { # NUMBER
    drop_in sealbufd.service store "[Service]\nFileDescriptorStoreMax=$1"
    systemctl daemon-reload
}
small_store 4
check "a store of four: ledger, canary, two buffers" systemctl restart sealbufd.service
check "one" sealbufctl put one /tmp/content
check "two" sealbufctl put two /tmp/content
sealbufctl put three /tmp/content 2>/tmp/refusal
report "$(($? == 1 ? 0 : 1))" "the third one is refused" /tmp/refusal
check "with the cause and what to do" grep 'store is full.*FileDescriptorStoreMax=' /tmp/refusal
check "or put volatile" sealbufctl put --or-volatile three /tmp/content
check "which does not survive" survives three no
check "nothing is kept that should not be" stored 3
check "there is room again" sealbufctl remove one
check "for another one" sealbufctl put four /tmp/content
check "kill -9 with a full store" kill_broker
check "what was kept is back" same sealbufctl get two
check "and the other one" same sealbufctl get four
check "all is removed" sealbufctl remove two four
check "but the ledger" stored 1
small_store 0
check "no store" systemctl restart sealbufd.service
check "the log says so" in_journal 'FileDescriptorStoreMax='
check "what is put is volatile" sealbufctl put volatile /tmp/content
check "and says so" survives volatile no
rm /etc/systemd/system/sealbufd.service.d/store.conf
systemctl daemon-reload
check "the store is back" systemctl restart sealbufd.service
check "and keeps the ledger" stored 1

# ---- The end ---------------------------------------------------------------------------------------------------------

# While the socket is there, the service manager remembers how the service has ended.
check "systemctl stop sealbufd.service" systemctl stop sealbufd.service
check "it has ended by itself" property_is sealbufd.service ExecMainCode 1
check "with status 0" property_is sealbufd.service ExecMainStatus 0
check "which is a success" property_is sealbufd.service Result success
check "systemctl stop sealbufd.socket" systemctl stop sealbufd.socket
check "the socket is gone" test ! -e /run/sealbuf/socket
check "nothing of ours has failed" test -z "$(systemctl list-units --failed --no-legend 'sealbuf*')"
echo "1..$count"
