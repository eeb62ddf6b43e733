# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of sealbufctl share, on top of tests/tap.sh. To be sourced.

# shellcheck source=tests/tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"
export TZ=UTC0
ctl=$(readlink -f -- "$SEALBUFCTL")
# The broker of these tests; other users may connect, too.
# shellcheck disable=SC2034 # the tests use it
as_broker=("$SEALBUFD" --socket-mode 0666)

# A test that goes wrong must not take all the memory of the machine: no memfd of ours grows beyond 4 GiB.
ulimit -f 4194304

# json FILE EXPRESSION DESCRIPTION: it is JSON, and the expression on it, j, is true.
json() {
    "$PYTHON" -m json.tool "$1" >"$work/json" 2>"$work/json.err" &&
        "$PYTHON" -c 'import json, sys; j = json.load(open(sys.argv[1])); sys.exit(0 if eval("(" + sys.argv[2] + ")") else 1)' \
            "$work/json" "$2" 2>>"$work/json.err"
    report $? "$3" "$work/json.err" "$1"
}

# field NAME EXPRESSION: of what stat says about NAME, j.
field() { # NAME EXPRESSION [OPTION...]
    "$ctl" stat "$1" --json "${@:3}" | "$PYTHON" -c 'import json, sys; j = json.load(sys.stdin)[0]; print(eval(sys.argv[1]))' "$2"
}
is_field() { # NAME EXPRESSION VALUE [OPTION...]
    local got
    got=$(field "$1" "$2" "${@:4}")
    [ "$got" = "$3" ] || { echo "$2 of $1 is '$got', not '$3'" >&2 && return 1; }
}

# holds NAME FILE: the buffer's content is the file's.
holds() {
    "$ctl" get --require none "$1" | cmp - "$2"
}
