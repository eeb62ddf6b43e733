#!/bin/bash
# SPDX-License-Identifier: MIT
# Socket activation as the service manager does it, with systemd-socket-activate: the first client starts the broker.
# Prints TAP.

# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
sealbufd=$(readlink -f -- "$SEALBUFD")
ctl=$(readlink -f -- "$SEALBUFCTL")

command -v systemd-socket-activate >/dev/null || skip_all "systemd-socket-activate is missing"
[ -x "$ctl" ] || skip_all "sealbufctl is missing"
ldd "$sealbufd" 2>/dev/null | grep -q libsystemd || skip_all "sealbufd is built without systemd"

socket=$work/socket
export SEALBUF_SOCKET=$socket

# The activator becomes the broker: its status is the broker's.
activate() { # TYPE-OPTION ADDRESS [BROKER'S OPTION...]
    local type=$1 address=$2
    shift 2
    # shellcheck disable=SC2086 # no type is no argument
    systemd-socket-activate $type -l "$address" "$sealbufd" "$@" >"$work/log" 2>&1 &
    broker=$!
    for _ in {1..100}; do
        grep -q 'Listening on' "$work/log" && return
        sleep 0.05
    done
}

await_end() { # waits for its end, 10 s at most; how it ended is in $status
    for _ in {1..200}; do
        kill -0 "$broker" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$broker" 2>/dev/null
    wait "$broker"
    status=$?
    broker=
}

is_waiting() {
    ! grep -q sealbufd: "$work/log"
}

round_trip() {
    "$ctl" get activated | cmp - "$sealbufd"
}

activate --seqpacket "$socket"
check "nothing is started before there is a client" is_waiting
check "the first client starts the broker, and is answered" "$ctl" ping
check "the broker has taken the socket" grep -q 'listening on 1 socket from the service manager' "$work/log"
check "put" "$ctl" put activated "$sealbufd"
check "get gives what was put" round_trip
check "the next client is served, too" "$ctl" remove activated
kill -TERM "$broker"
await_end
report "$status" "SIGTERM ends it, with status 0" "$work/log"
check "it says that it stops" grep -q stopping "$work/log"
check "the socket, which is not its own, stays" test -S "$socket"
rm -f -- "$socket"

activate --seqpacket "$socket" --idle-exit 200ms
check "ping a broker that leaves when idle" "$ctl" ping
await_end
report "$status" "it leaves with status 0 when nobody is there any more" "$work/log"
rm -f -- "$socket"

# The type that a unit with ListenStream= would give. The client is somebody who connects.
activate "" "$socket"
"$PYTHON" -c 'import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])' "$socket" 2>/dev/null
await_end
report "$((status == 1 ? 0 : 1))" "a stream socket: exit status 1" "$work/log"
check "the message says what is wrong, and what to do" grep -q 'SOCK_SEQPACKET.*ListenSequentialPacket=' "$work/log"
rm -f -- "$socket"

# Two places to listen at contradict each other.
activate --seqpacket "$socket" --socket "$work/other"
"$ctl" ping >/dev/null 2>&1
await_end
report "$((status == 1 ? 0 : 1))" "--socket besides a passed socket: exit status 1" "$work/log"
check "the message says so" grep -q -- '--socket names another' "$work/log"

done_testing
