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
check "the broker has taken the socket, and says so" grep -q "listening on $socket, from the service manager" "$work/log"
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

# What would be lost keeps it: nobody is connected, but something is published.
activate --seqpacket "$socket" --idle-exit 200ms
check "put into a broker that leaves when idle" "$ctl" put kept "$sealbufd"
sleep 1
check "it does not leave while a published buffer would be lost" kill -0 "$broker"
check "the buffer is there" "$ctl" get kept --output /dev/null
check "remove it" "$ctl" remove kept
await_end
report "$status" "then it leaves, with status 0" "$work/log"
rm -f -- "$socket"

# Several at once, told apart by their names. Whichever is connected to starts the broker.
systemd-socket-activate --seqpacket --fdname=system:admin -l "$socket" -l "$work/second" "$sealbufd" >"$work/log" 2>&1 &
broker=$!
await 5 grep -q "Listening on $work/second" "$work/log"
check "the second of two sockets starts the broker" "$ctl" --socket "$work/second" ping
check "the first one is served, too" "$ctl" ping
check "the log tells them apart" grep -q "listening on $socket,.*'system'" "$work/log"
check "by their names" grep -q "listening on $work/second,.*'admin'" "$work/log"
"$PYTHON" - "$work/second" <<'END' 2>/dev/null
import socket, sys
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.connect(sys.argv[1])
client.send(b'x' * 100)
client.recv(4096)
END
check "and a client that is dropped says by which it came" await 5 grep -q "socket admin: dropped" "$work/log"
check "put by one" "$ctl" --socket "$work/second" put both "$sealbufd"
check "get by the other" "$ctl" get both --output /dev/null
kill -TERM "$broker"
await_end
report "$status" "SIGTERM ends it, with status 0" "$work/log"
rm -f -- "$socket" "$work/second"

# wrong KIND CLIENT PATTERN OPTION ADDRESS: a socket unit with a wrong setting; the client is a line of Python that makes
# the activator start the broker.
wrong() {
    activate "$4" "$5"
    "$PYTHON" -c "import socket; $2" 2>/dev/null
    await_end
    report "$((status == 1 ? 0 : 1))" "$1: exit status 1" "$work/log"
    check "the message says which one, what is wrong, and what to do" grep -Eq "named '.*'.*$3" "$work/log"
    rm -f -- "$socket"
}
path="'$socket'"
wrong "a stream socket" "socket.socket(socket.AF_UNIX).connect($path)" \
    'SOCK_SEQPACKET; write ListenSequentialPacket= for ListenStream=' "" "$socket"
wrong "a datagram socket" "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'x', $path)" \
    'SOCK_SEQPACKET; write ListenSequentialPacket= for ListenDatagram=' --datagram "$socket"
port=$((20000 + $$ % 10000)) # another one in each run
wrong "an internet socket" "socket.create_connection(('127.0.0.1', $port))" \
    'no Unix socket.*ListenSequentialPacket= a path' "" "127.0.0.1:$port"
# With --accept the activator stays, and starts a broker for each connection.
systemd-socket-activate --seqpacket --accept -l "$socket" "$sealbufd" >"$work/log" 2>&1 &
broker=$!
await 5 grep -q 'Listening on' "$work/log"
"$PYTHON" -c "import socket; socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect($path)"
check "a connection instead of a socket to listen on: Accept=yes is the reason" await 5 grep -q \
    'not listening; remove Accept=yes' "$work/log"
kill "$broker"
wait "$broker" 2>/dev/null
broker=
rm -f -- "$socket"

# Two places to listen at contradict each other.
activate --seqpacket "$socket" --socket "$work/other"
"$ctl" ping >/dev/null 2>&1
await_end
report "$((status == 1 ? 0 : 1))" "--socket besides a passed socket: exit status 1" "$work/log"
check "the message says so" grep -q -- '--socket names another' "$work/log"

done_testing
