#!/bin/bash
# SPDX-License-Identifier: MIT
# What service.sh runs in its container, as a service of the systemd that has booted there: hardening, several sockets,
# the status line, the journal's catalogue, the watchdog, the end of a broker that was killed, a user's manager. TAP.

# shellcheck source=tests/systemd/inside_tools.sh
. "$(dirname -- "$0")/inside_tools.sh"
install_stage
systemd-sysusers && systemd-tmpfiles --create

await() { # SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || {
            "$@"
            return 1
        }
        sleep 0.05
    done
}

property_matches() { # UNIT PROPERTY PATTERN
    local is
    is=$(property "$1" "$2")
    [[ $is =~ $3 ]] || {
        echo "$2 of $1 is '$is', which does not match '$3'"
        return 1
    }
}

# entry_with PATTERN...: one entry of the broker's has all of them.
entry_with() {
    local entries pattern
    journalctl --sync
    entries=$(journalctl --unit=sealbufd.service --output=json)
    for pattern in "$@"; do
        entries=$(grep -- "$pattern" <<<"$entries")
    done
    [ -n "$entries" ]
}
in_journal() {
    await 5 entry_with "$@" && return
    journalctl --unit=sealbufd.service --output=json | tail -n 3
    return 1
}
message_id() { # NAME: of daemon/message_id.h, as "MESSAGE_ID":"number"
    case $1 in
    started) echo '"MESSAGE_ID":"20250ae5b9614fafa996a703c5a85a76"' ;;
    restored) echo '"MESSAGE_ID":"e3571b99ef084ca8b887917c64edc8cc"' ;;
    stopping) echo '"MESSAGE_ID":"b2f363f20c8b4f96b10ed562762b0c6d"' ;;
    dropped) echo '"MESSAGE_ID":"53cd90295a394ed0b4613afccebf403d"' ;;
    limit) echo '"MESSAGE_ID":"eafb2ad10f83494e9720f957d2037dee"' ;;
    refused) echo '"MESSAGE_ID":"f029b10915654e6fa1ff187703fcbecd"' ;;
    late) echo '"MESSAGE_ID":"f6847a6dd51242b89d0f0b4f96885d80"' ;;
    removed) echo '"MESSAGE_ID":"7e3f136001de49669529a2c9409afad1"' ;;
    esac
}

other_broker_than() { # PID: another one is there, and answers
    local pid
    pid=$(property sealbufd.service MainPID)
    [ "$pid" != "$1" ] && [ "$pid" -gt 0 ] && as_nobody sealbufctl ping >/dev/null
}

# ---- Hardening -------------------------------------------------------------------------------------------------------

check "systemd-analyze security: 1.0 or less" systemd-analyze security --no-pager --threshold=10 sealbufd.service
check "nothing is said of the units, also not of settings that are unknown" test -z \
    "$(systemd-analyze --man=no verify /lib/systemd/system/sealbufd.service 2>&1 | grep -i sealbuf)"

# ---- Two sockets -----------------------------------------------------------------------------------------------------

drop_in sealbufd-admin.socket group '[Socket]\nSocketGroup=adm\nSocketMode=0660'
systemctl daemon-reload
check "two sockets start" systemctl start sealbufd.socket sealbufd-admin.socket
check "each has its mode" test "$(stat -c '%a %G' /run/sealbuf/socket /run/sealbuf/admin | tr '\n' ' ')" = \
    "666 root 660 adm "
as_nobody sealbufctl --socket /run/sealbuf/admin ping >/dev/null 2>&1
report $(($? ? 0 : 1)) "who is not in the group cannot connect to the second one"
check "who is starts the broker there" setpriv --reuid="$NOBODY" --regid="$NOBODY" --groups=adm -- \
    sealbufctl --socket /run/sealbuf/admin ping
pid=$(property sealbufd.service MainPID)
check "the first one is served, too" as_nobody sealbufctl ping
check "by the same broker" property_is sealbufd.service MainPID "$pid"
check "the journal tells the first one by its name" in_journal "listening on /run/sealbuf/socket.*'system'"
check "and the second one" in_journal "listening on /run/sealbuf/admin.*'admin'"
check "the start is in the journal, with its MESSAGE_ID" in_journal "$(message_id started)"
for door in socket admin; do
    python3 - "/run/sealbuf/$door" <<'END' >/dev/null 2>&1
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.connect(sys.argv[1])
client.send(b'GET / HTTP/1.1\r\n\r\n' * 10)
client.recv(4096)
END
done
check "a client that was dropped, and by which socket it came" in_journal "$(message_id dropped)" \
    '"SEALBUF_SOCKET":"admin"' '"SEALBUF_UID":"0"'
check "and another one" in_journal "$(message_id dropped)" '"SEALBUF_SOCKET":"system"'
check "a socket's name gives no rights" test "$(setpriv --reuid="$NOBODY" --regid="$NOBODY" --groups=adm -- \
    sealbufctl --socket /run/sealbuf/admin stats --all 2>&1 | grep -ci 'denied\|administrator')" -gt 0

# ---- Notification ----------------------------------------------------------------------------------------------------

head -c 2097152 /dev/urandom >/tmp/content
chmod 644 /tmp/content
check "put" sealbufctl put --mode 0644 of/root /tmp/content
check "put by another user" as_nobody sealbufctl put of/nobody /tmp/content
check "systemctl status shows what the broker holds" await 5 property_matches sealbufd.service StatusText \
    '^2 buffers of 4\.0 MiB, 2 names, [0-9]+ clients?$'
check "remove for another" sealbufctl remove --owner "$NOBODY" of/nobody
check "and that it holds less" await 5 property_matches sealbufd.service StatusText '^1 buffer of 2\.0 MiB, 1 name,'
check "an administrator's removal is in the journal, with name, id and owner" in_journal "$(message_id removed)" \
    '"SEALBUF_NAME":"of/nobody"' '"SEALBUF_ID":"[0-9]' "\"SEALBUF_OWNER\":\"$NOBODY\"" '"SEALBUF_UID":"0"'

# ---- The catalogue ---------------------------------------------------------------------------------------------------

check "journalctl --update-catalog" journalctl --update-catalog
explained() {
    journalctl --unit=sealbufd.service --catalog --no-pager >/tmp/explained
    grep -e "$1" /tmp/explained
}
check "journalctl -x explains what happened" explained '-- Subject: Client of uid 0 was dropped'
check "with the fields of the entry" explained 'The name of/nobody was removed by an administrator'
unexplained() { # MESSAGE_IDs of the broker's entries without a text
    local id
    for id in $(journalctl _COMM=sealbufd --output=json | grep -o '"MESSAGE_ID":"[0-9a-f]*"' | cut -d '"' -f 4 |
        sort -u); do
        journalctl --dump-catalog "$id" 2>/dev/null | grep -q '^Subject:' || echo "$id"
    done
}
check "each of the broker's MESSAGE_IDs is explained" test -z "$(unexplained)"

# ---- Limits and configuration ----------------------------------------------------------------------------------------

etc=$(sealbufd --help | sed -n '/^Configuration:/{n;s/^ *//p}')
configure() { # TEXT
    mkdir -p "$etc/sealbufd.conf.d" && printf '%b' "$1" >"$etc/sealbufd.conf.d/limits.conf"
}
configure '[limits]\nuid-names = none\n'
systemctl reload sealbufd.service
check "a configuration that is refused has a MESSAGE_ID" in_journal "$(message_id refused)" "limits.conf:2: uid-names"
check "the service is active again after it" property_is sealbufd.service ActiveState active
configure '[limits]\nuid-names = 1\n'
systemctl reload sealbufd.service
as_nobody sealbufctl put a /tmp/content
for _ in 1 2 3; do
    as_nobody sealbufctl put b /tmp/content >/dev/null 2>&1
done
check "a limit that was met, with the uid" in_journal "$(message_id limit)" "\"SEALBUF_UID\":\"$NOBODY\"" 'uid-names=1'
check "once, not each time" test "$(journalctl --unit=sealbufd.service --output=json | grep -c "$(message_id limit)")" = 1
rm "$etc/sealbufd.conf.d/limits.conf"
systemctl reload sealbufd.service

# ---- The watchdog ----------------------------------------------------------------------------------------------------

check "the unit has a watchdog" property_is sealbufd.service WatchdogUSec 30s
drop_in sealbufd.service watchdog '[Service]\nWatchdogSec=2s'
systemctl daemon-reload
systemctl restart sealbufd.service
pid=$(property sealbufd.service MainPID)
sleep 3
check "a loop that runs is left alone" property_is sealbufd.service MainPID "$pid"
kill -STOP "$pid"
sleep 0.8 # it was fed a second ago at most
kill -CONT "$pid"
check "a loop that stood still for a while is logged" in_journal "$(message_id late)"
check "and left alone" property_is sealbufd.service MainPID "$pid"
kill -STOP "$pid"
check "a loop that stands still is ended, and another broker serves" await 10 other_broker_than "$pid"
check "it was the watchdog" test -n "$(journalctl --unit=sealbufd.service | grep -i 'watchdog timeout')"
rm -r /etc/systemd/system/sealbufd.service.d
systemctl daemon-reload
systemctl restart sealbufd.service

# ---- Killed ----------------------------------------------------------------------------------------------------------

killed_again_and_again() {
    local i pid
    for ((i = 0; i < 12; i++)); do
        pid=$(property sealbufd.service MainPID)
        kill -KILL "$pid"
        await 5 other_broker_than "$pid" || return
    done
}
check "killed 12 times in a row, it is started again each time" killed_again_and_again
same() {
    sealbufctl get of/root | cmp - /tmp/content
}
check "what was published is there still" same
check "what was restored is in the journal, with its MESSAGE_ID" in_journal "$(message_id restored)" 'restored 2 buffers'
check "the sockets are as before" property_is sealbufd.socket ActiveState active
pid=$(property sealbufd.service MainPID)
kill -TERM "$pid"
check "a SIGTERM that is not the service manager's does not end it for good" await 5 other_broker_than "$pid"
check "its end is in the journal" in_journal "$(message_id stopping)" 'Terminated'

# A service manager that is busy for long: tests/integration/notify.py.
check "systemctl daemon-reexec" systemctl daemon-reexec
check "the status line is told to the new one" sealbufctl put of/root/too /tmp/content
check "and shown" await 5 property_matches sealbufd.service StatusText '^3 buffers of 6\.0 MiB, 3 names,'

# ---- Wrong sockets ---------------------------------------------------------------------------------------------------

systemctl stop sealbufd.service sealbufd-admin.socket
drop_in sealbufd-admin.socket type '[Socket]\nListenSequentialPacket=\nListenStream=/run/sealbuf/admin'
drop_in sealbufd.service once '[Service]\nRestart=no'
systemctl daemon-reload
systemctl start sealbufd-admin.socket
systemctl start sealbufd.service >/dev/null 2>&1
check "a stream socket: it does not start, and the journal says which one, and what to write" in_journal \
    "named 'admin'" 'ListenSequentialPacket= for ListenStream='
rm -r /etc/systemd/system/sealbufd-admin.socket.d /etc/systemd/system/sealbufd.service.d
systemctl stop sealbufd-admin.socket
systemctl daemon-reload
systemctl reset-failed sealbufd.service sealbufd.socket
systemctl restart sealbufd.socket
check "without it, it starts" as_nobody sealbufctl ping
systemctl stop sealbufd.service sealbufd.socket

# ---- A user's own ----------------------------------------------------------------------------------------------------

as_user() {
    setpriv --reuid="$NOBODY" --regid="$NOBODY" --clear-groups -- env HOME=/tmp/home \
        XDG_RUNTIME_DIR="/run/user/$NOBODY" DBUS_SESSION_BUS_ADDRESS= "$@"
}
mkdir -p /tmp/home "/run/user/$NOBODY" && chown "$NOBODY:$NOBODY" /tmp/home "/run/user/$NOBODY"
cat >/run/systemd/system/user-manager.service <<END
[Service]
Type=notify
User=$NOBODY
Delegate=pids memory
Slice=user.slice
Environment=HOME=/tmp/home XDG_RUNTIME_DIR=/run/user/$NOBODY
ExecStart=/lib/systemd/systemd --user
KillMode=mixed
TimeoutStopSec=5s
END
systemctl daemon-reload
check "a user's service manager starts" systemctl start user-manager.service
check "its socket unit starts" as_user systemctl --user start sealbufd.socket
check "the first client starts the user's broker" as_user sealbufctl ping
check "which is active" test "$(as_user systemctl --user is-active sealbufd.service)" = active
check "and runs as the user" test "$(stat -c %u "/proc/$(as_user systemctl --user show --value --property=MainPID \
    sealbufd.service)")" = "$NOBODY"
check "in the session's slice" test "$(as_user systemctl --user show --value --property=Slice sealbufd.service)" = \
    session.slice
user_killed() {
    local pid
    pid=$(as_user systemctl --user show --value --property=MainPID sealbufd.service)
    kill -KILL "$pid"
    await 5 as_user sealbufctl ping && await 5 test \
        "$(as_user systemctl --user show --value --property=MainPID sealbufd.service)" != "$pid"
}
check "killed, it is started again" user_killed
as_user systemd-analyze --user security --no-pager sealbufd.service >/tmp/check 2>&1
sed -n 's/.*Overall exposure/# the user unit: overall exposure/p' /tmp/check
systemctl stop user-manager.service

check "nothing of ours has failed" test -z "$(systemctl list-units --failed --no-legend 'sealbuf*')"
echo "1..$count"
