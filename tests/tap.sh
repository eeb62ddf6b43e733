# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What the tests in shell share: TAP on standard output, a directory of their own, $work, and a private broker. Both go
# when the script ends. To be sourced.
#
#     . "$(dirname "$0")/../tap.sh"
#     check "the broker starts" start_broker "$SEALBUFD"
#     check "it answers" "$SEALBUFCTL" ping
#     done_testing
#
# From the environment, by default as in a build in the source tree: top_srcdir, top_builddir, SEALBUFD, SEALBUFCTL,
# PYTHON.
set -u
export LC_ALL=C
: "${top_srcdir:=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}" "${top_builddir:=$top_srcdir}"
: "${SEALBUFD:=$top_builddir/sealbufd}" "${SEALBUFCTL:=$top_builddir/sealbufctl}" "${PYTHON:=python3}"
# Nothing of the surroundings may decide who talks to whom.
unset SEALBUF_SOCKET XDG_RUNTIME_DIR LISTEN_FDS LISTEN_PID LISTEN_FDNAMES NOTIFY_SOCKET JOURNAL_STREAM

count=0
failures=0
broker=
# Processes that end with the script, besides the broker.
others=()
work=$(mktemp -d "${TMPDIR:-/tmp}/sealbuf-test.XXXXXX") || exit 99

# By SIGKILL, which a process that is stopped heeds, too.
tidy_up() {
    local process
    for process in $broker "${others[@]}"; do
        kill -KILL "$process" && wait "$process"
    done 2>/dev/null
    rm -rf -- "$work"
}
trap tidy_up EXIT

# A test that is misspelt must not be one that is left out.
# shellcheck disable=SC2317 # bash calls it
command_not_found_handle() {
    echo "Bail out! there is no command '$1'"
    return 127
}

# report RESULT DESCRIPTION [FILE...]: one test; the files explain a failure.
report() {
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
        return
    fi
    failures=$((failures + 1))
    echo "not ok $count - $2"
    tail -q -n 30 -- "${@:3}" 2>/dev/null | tr -c '[:print:]\n' '?' | sed 's/^/# /'
}

skip() { # DESCRIPTION REASON
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

skip_all() { # REASON
    echo "1..0 # SKIP $1"
    exit 0
}

# The plan; and the status of the script, where this is its last command.
done_testing() {
    echo "1..$count"
    [ "$failures" -eq 0 ]
}

# check DESCRIPTION COMMAND...: the command must succeed; what it prints is shown where it does not.
check() {
    local description=$1
    shift
    "$@" >"$work/check" 2>&1
    report $? "$description" "$work/check"
}

# expect STATUS DESCRIPTION COMMAND...: it must end with this status; what it printed is in $work/out and $work/err.
expect() {
    local wanted=$1 description=$2 got
    shift 2
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ "$got" -eq "$wanted" ] || echo "# status $got instead of $wanted"
    [ "$got" -eq "$wanted" ]
    report $? "$description" "$work/err" "$work/out"
}

# What the last `expect` printed: must it match, or be nothing?
says() { # FILE PATTERN DESCRIPTION
    grep -Eq -- "$2" "$work/$1"
    report $? "$3" "$work/$1"
}
silent() { # FILE DESCRIPTION
    [ ! -s "$work/$1" ]
    report $? "$2" "$work/$1"
}

await() { # SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.01
    done
}

# start_broker COMMAND...: the program and its options, besides the socket's, $work/socket. Waits until it is ready; its
# process is $broker, and what it says is in $work/log.
start_broker() {
    rm -f -- "$work/ready"
    mkfifo "$work/ready"
    "$@" --socket "$work/socket" --ready-fd 3 3>"$work/ready" 2>>"$work/log" &
    broker=$!
    # Where it ends before it is ready, this is the end of the file.
    [ "$(head -c 1 "$work/ready" | wc -c)" -eq 1 ] && return
    cat "$work/log"
    return 1
}

# The status is the broker's.
stop_broker() {
    local process=$broker
    broker=
    kill "$process"
    wait "$process" 2>/dev/null
}
