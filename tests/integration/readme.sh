#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What README.md shows works: its C program is compiled and run, its shell session is typed in. And C++ can include the
# header. TAP on standard output. Wants in the environment: CC, CXX (both optional), SEALBUFD, SEALBUFCTL, top_srcdir,
# top_builddir.
set -u

: "${top_srcdir:=$(cd "$(dirname "$0")/../.." && pwd)}" "${top_builddir:=$top_srcdir}"
: "${SEALBUFD:=$top_builddir/sealbufd}" "${SEALBUFCTL:=$top_builddir/sealbufctl}" "${CC:=cc}"
readme=$top_srcdir/README.md
includes=("-I$top_srcdir/client" "-I$top_srcdir/proto")
work=$(mktemp -d "${TMPDIR:-/tmp}/sealbuf-readme.XXXXXX") || exit 1
broker=
number=0 failures=0

# shellcheck disable=SC2317 # called by trap
clean_up() {
    if [ -n "$broker" ]; then
        kill "$broker" 2>/dev/null
        wait "$broker" 2>/dev/null
    fi
    rm -rf "$work"
}
trap clean_up EXIT

# test_case NAME COMMAND...: ok where the command succeeds; what it printed is shown where it does not.
test_case() {
    local name=$1
    shift
    number=$((number + 1))
    if "$@" >"$work/output" 2>&1; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$work/output"
        failures=$((failures + 1))
    fi
}

skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# block LANGUAGE: what README.md has in blocks of this language.
block() {
    awk -v start="\`\`\`$1" '/^```/ { inside = $0 == start; next } inside' "$readme"
}

# A library with sanitizers wants a program with the same ones.
sanitizers() {
    local symbols
    symbols=$(nm -D "$top_builddir/.libs/libsealbuf.so" 2>/dev/null)
    case $symbols in
    *__asan_*) echo -fsanitize=address,undefined ;;
    *__tsan_*) echo -fsanitize=thread ;;
    *__ubsan_*) echo -fsanitize=undefined ;;
    esac
}

compile() {
    # shellcheck disable=SC2046,SC2086 # several words, or none
    $CC -Wall -Wextra -Werror $(sanitizers) -o "$work/greet" "$work/greet.c" "${includes[@]}" \
        -L"$top_builddir/.libs" -lsealbuf -Wl,-rpath,"$top_builddir/.libs"
}

# Starts a private broker, and waits for it.
start_broker() {
    mkfifo "$work/ready"
    "$SEALBUFD" --socket "$work/socket" --ready-fd 3 3>"$work/ready" 2>"$work/log" &
    broker=$!
    # Where it ends before it is ready, this is the end of the file.
    [ "$(head -c 1 "$work/ready" | wc -c)" -eq 1 ]
}

# greet EXPECTED [ARGUMENT]...: the program prints this line, or nothing.
greet() {
    local expected=$1 got
    shift
    got=$(SEALBUF_SOCKET=$work/socket "$work/greet" "$@") || return
    [ "$got" = "$expected" ] || { echo "it printed '$got', expected '$expected'"; return 1; }
}

greet_fails() {
    local got
    if got=$(SEALBUF_SOCKET=$1 "$work/greet" 2>&1); then
        echo "it succeeded, and printed '$got'"
        return 1
    fi
    case $got in
    *"$2"*) ;;
    *) echo "it said '$got', expected '$2'" && return 1 ;;
    esac
}

# The commands of the session, as a script in which every one must succeed, but for the one that README shows failing.
# shellcheck disable=SC2016 # it is the script that expands them
session() {
    echo 'trap "kill \$(jobs -p) 2>/dev/null || :" EXIT'
    block console | sed -n 's/^\$ //p' | while IFS= read -r line; do
        case $line in
        'sealbufd &') echo 'sealbufd & for _ in {1..100}; do [ -S "$SEALBUF_SOCKET" ] && break; sleep 0.1; done' ;;
        *truncate*) echo "if $line; then exit 1; fi" ;;
        'kill %1') echo 'kill $! && wait $!' ;;
        *) echo "$line" ;;
        esac
    done
}

run_session() {
    mkdir -p "$work/bin" "$work/home"
    # As root the default address is the system's: not for a test.
    # shellcheck disable=SC2016 # it is the script that expands them
    printf '#!/bin/sh\nexec "%s" --socket "$SEALBUF_SOCKET" "$@"\n' "$SEALBUFD" >"$work/bin/sealbufd"
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$SEALBUFCTL" >"$work/bin/sealbufctl"
    chmod 755 "$work/bin/sealbufd" "$work/bin/sealbufctl"
    head -c 1000000 /dev/urandom >"$work/home/left.raw"
    session >"$work/session"
    [ "$(wc -l <"$work/session")" -ge 8 ] || { echo "README.md has no session" && return 1; }
    (
        cd "$work/home" || exit 1
        export PATH="$work/bin:$PATH" SEALBUF_SOCKET="$work/session-socket"
        bash -eux "$work/session"
    )
}

same_checksums() {
    [ "$(grep -cE '^[0-9a-f]{64}  ' "$work/session-output")" -eq 2 ] &&
        [ "$(sed -nE 's/^([0-9a-f]{64})  .*/\1/p' "$work/session-output" | sort -u | wc -l)" -eq 1 ]
}

cpp_includes() {
    printf '#include <sealbuf.h>\nint main() { return sealbuf_connect(nullptr, nullptr) == 0; }\n' >"$work/program.cc"
    # shellcheck disable=SC2086 # several words
    $1 -fsyntax-only -Wall -Wextra -Werror "${includes[@]}" "$work/program.cc"
}

block c >"$work/greet.c"
test_case "README.md has a C program of at most 35 lines" test "$(wc -l <"$work/greet.c")" -ge 10 -a \
    "$(wc -l <"$work/greet.c")" -le 35
if [ -e "$top_builddir/.libs/libsealbuf.so" ]; then
    test_case "the program compiles without a warning" compile
    test_case "a private broker starts" start_broker
    test_case "nothing is there before" greet_fails "$work/socket" "has published nothing as 'greeting'"
    test_case "one process publishes" greet "" "hello, world"
    test_case "another one gets it" greet "hello, world"
    test_case "publishing again replaces it" greet "" "again"
    test_case "and is seen" greet "again"
    test_case "without a broker it says so" greet_fails "$work/nowhere" "no broker answers"
    test_case "every command of the shell session does what README.md shows" run_session
    cp "$work/output" "$work/session-output"
    test_case "the checksums of file and buffer in the session are the same" same_checksums
else
    skip "the program compiles and runs" "there is no shared library in $top_builddir/.libs"
fi
if command -v "${CXX:-c++}" >/dev/null; then
    test_case "C++ can include sealbuf.h" cpp_includes "${CXX:-c++}"
else
    skip "C++ can include sealbuf.h" "there is no C++ compiler"
fi
echo "1..$number"
[ "$failures" -eq 0 ]
