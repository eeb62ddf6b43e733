#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The examples of docs/examples that are for reading: each is compiled by the command that its comment gives, with what
# is installed for others and nothing else, and run against a broker. TAP on standard output. Wants in the environment
# what tests/tap.sh does, and CC.
#
# What stands in single quotes here is meant for an inner shell:
# shellcheck disable=SC2016

# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
examples=$top_srcdir/docs/examples
[ -e "$top_builddir/.libs/libsealbuf.so" ] || skip_all "there is no shared library in $top_builddir/.libs"
command -v pkg-config >/dev/null || skip_all "there is no pkg-config"

# As if it were installed: both headers, the library, its .pc file.
stage() {
    mkdir -p "$work/include" "$work/pkgconfig"
    cp "$top_srcdir/client/sealbuf.h" "$top_srcdir/proto/sealbuf-protocol.h" "$work/include/"
    sed -e "s,^includedir=.*,includedir=$work/include," -e "s,^libdir=.*,libdir=$(readlink -f "$top_builddir/.libs")," \
        "$top_builddir/client/libsealbuf.pc" >"$work/pkgconfig/libsealbuf.pc"
    export PKG_CONFIG_PATH=$work/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
    LD_LIBRARY_PATH=$(readlink -f "$top_builddir/.libs")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH SEALBUF_SOCKET=$work/socket
}

# A library with sanitizers wants a program with the same ones.
sanitizers() {
    case $(nm -D "$top_builddir/.libs/libsealbuf.so" 2>/dev/null) in
    *__asan_*) echo -fsanitize=address,undefined ;;
    *__tsan_*) echo -fsanitize=thread ;;
    *__ubsan_*) echo -fsanitize=undefined ;;
    esac
}
# What the comments call the compiler.
# shellcheck disable=SC2317,SC2046,SC2086 # it is called by eval; several words, or none
cc() {
    ${CC:-/usr/bin/cc} -Wall -Wextra -Werror $(sanitizers) "$@"
}

compile() { # NAME
    local command
    command=$(sed -nE 's/^ \*     (cc -o .*)$/\1/p' "$examples/$1.c")
    [ -n "$command" ] || { echo "$1.c does not say how to compile it" && return 1; }
    echo "$command"
    cp "$examples/$1.c" "$work/"
    (cd "$work" && eval "$command")
}

only_public_headers() {
    ! grep -E '^#include "' "$examples"/*.c
}

has_line() { # FILE PATTERN
    grep -Eqx -- "$2" "$1"
}
# has_lines FILE NUMBER PATTERN
has_lines() {
    [ "$(grep -Ecx -- "$3" "$1")" -eq "$2" ]
}

# all_end PROCESS...: each with status 0.
all_end() {
    local process
    for process; do
        wait "$process" || return
    done
}

test_config() {
    local reader readers=()
    for reader in 1 2 3; do
        "$work/config" follow 3 >"$work/follow.$reader" 2>&1 &
        readers+=($!)
    done
    check "config: set" "$work/config" set 'colour = blue'
    for reader in 1 2 3; do
        check "config: reader $reader, which waited, has it" await 20 has_line "$work/follow.$reader" 'generation 1: colour = blue'
    done
    check "config: set again" "$work/config" set 'colour = green'
    for reader in 1 2 3; do
        check "config: reader $reader has it" await 20 has_line "$work/follow.$reader" 'generation 2: colour = green'
    done
    expect 0 "config: set once more" "$work/config" set ''
    says out '^set generation 3$' "... is the third"
    check "config: all readers end well" all_end "${readers[@]}"
    check "... with that" has_line "$work/follow.1" 'generation 3: '
    check "... and nothing else" test "$(wc -l <"$work/follow.1")" -eq 3
}

test_frame_ring() {
    local consumers=()
    "$work/frame_ring" consume >"$work/consume.1" 2>&1 &
    consumers+=($!)
    "$work/frame_ring" consume >"$work/consume.2" 2>&1 &
    consumers+=($!)
    expect 0 "frame_ring: produce" "$work/frame_ring" produce 300
    says out '^produced 300 frames$' "... all of them"
    check "frame_ring: the consumers end" all_end "${consumers[@]}"
    for consumer in 1 2; do
        check "... $consumer has seen frames, and none that is broken" has_line "$work/consume.$consumer" \
            'of 300 frames: [1-9][0-9]* seen, [0-9]+ lost, 0 broken'
    done
    expect 3 "... and the name went with the producer" "$SEALBUFCTL" stat frames/ring
}

# What a producer that is killed has not finished, and what was never a ring.
test_frame_ring_ends() {
    local consumer producer
    "$work/frame_ring" produce 1000000 >"$work/produce" 2>&1 &
    producer=$!
    others+=("$producer")
    "$work/frame_ring" consume >"$work/consume" 2>"$work/consume.err" &
    consumer=$!
    others+=("$consumer")
    check "frame_ring: a producer without an end" await 20 "$SEALBUFCTL" stat frames/ring
    check "... and a consumer" await 20 is_watched
    kill -KILL "$producer"
    wait "$producer" 2>/dev/null
    check "... which ends, too, when that is killed" await 60 has_line "$work/consume.err" \
        'frame_ring: the producer has gone, and has not finished'
    wait "$consumer"
    check "... with status 1" test $? -eq 1
    check "... and has seen all that there was" has_line "$work/consume" \
        'of [1-9][0-9]* frames: [1-9][0-9]* seen, [0-9]+ lost, 0 broken'
    check "frame_ring: something else of that name" sh -c 'echo no | "$0" put frames/ring --seals shrink,grow,future_write' \
        "$SEALBUFCTL"
    expect 1 "... is status 1" timeout 60 "$work/frame_ring" consume
    says err "'frames/ring' is no ring of frames$" "... in words"
    check "... and goes" "$SEALBUFCTL" remove frames/ring
}
is_watched() {
    "$SEALBUFCTL" stats --json | "$PYTHON" -c 'import json, sys; sys.exit(json.load(sys.stdin)["user"]["watches"]["used"] != 1)'
}

test_tamper() {
    check "tamper: a buffer" sh -c 'echo content | "$0" put tampered' "$SEALBUFCTL"
    "$SEALBUFCTL" exec tampered -- "$work/tamper" '{}' >"$work/tampered" 2>&1
    check "tamper: nothing succeeds" test $? -eq 0
    check "... of several attempts" has_line "$work/tampered" ' +write\(2\) +Operation not permitted'
}

test_handoff() {
    check "handoff: a buffer" sh -c 'echo content | "$0" put handed' "$SEALBUFCTL"
    expect 0 "handoff: both ways" "$work/handoff" handed "$(id -u)"
    says out '^  handing over 8 bytes, verified and mapped +[0-9.]+ us$' "... with a time each"
}

# A second broker, which allows one watch. It is taken.
test_loop_refused() { # NAME
    expect 1 "$1: a watch too many ends it" env SEALBUF_SOCKET="$work/small" timeout 60 "$work/$1" x/ 1
    says err "^$1: .*watches.*; " "... with the broker's sentence"
}
start_small() {
    "$SEALBUFD" --socket "$work/small" --limit uid-watches=1 2>>"$work/log" &
    others+=("$!")
    await 20 "$SEALBUFCTL" -s "$work/small" ping >/dev/null || return
    "$SEALBUFCTL" -s "$work/small" watch >"$work/small-lines" 2>&1 &
    others+=("$!")
    await 20 has_line "$work/small-lines" sync
}

test_worker_pool() {
    local worker workers=()
    for worker in 1 2 3; do
        "$work/worker_pool" work 3000 >"$work/worker.$worker" 2>&1 &
        workers+=($!)
    done
    expect 0 "worker_pool: submit" "$work/worker_pool" submit 60
    check "worker_pool: the workers end, one after the other" all_end "${workers[@]}"
    cat "$work"/worker.? >"$work/done"
    check "... every job was done" has_lines "$work/done" 60 'jobs/[0-9]{6}: did the work of job [0-9]+'
    check "... by one of them" test "$(grep -E '^jobs/' "$work/done" | sort -u | wc -l)" -eq 60
    check "... each of which says so" has_lines "$work/done" 3 'worked on [0-9]+ jobs'
    check "... and nothing is left" test -z "$("$SEALBUFCTL" list jobs/)"
}

test_loop() { # NAME
    local loop
    check "$1: there is something" "$SEALBUFCTL" put "$1/there" /dev/null
    "$work/$1" "$1/" 4 >"$work/loop" 2>&1 &
    loop=$!
    check "$1: shows it" await 20 has_line "$work/loop" "present $1/there"
    check "... and that this is all" await 20 has_line "$work/loop" 'sync '
    check "$1: something comes" "$SEALBUFCTL" put "$1/new" /dev/null
    check "... is replaced" "$SEALBUFCTL" put "$1/new" /dev/null --replace
    check "... and goes" "$SEALBUFCTL" remove "$1/new"
    check "$1 ends well, by itself" wait "$loop"
    check "... and has told it in its order" test "$(tr '\n' ';' <"$work/loop")" = \
        "present $1/there;sync ;published $1/new;replaced $1/new;removed $1/new;"
}

stage
check "the examples include public headers only" only_public_headers
check "a private broker starts" start_broker "$SEALBUFD"
for example in config frame_ring worker_pool tamper handoff; do
    check "$example.c compiles as it says, without a warning" compile "$example"
    "test_$example"
done
test_frame_ring_ends
check "a broker that allows one watch, which is taken" start_small
for example in loop_epoll loop_libevent loop_sdevent; do
    if [ "$example" = loop_sdevent ] && ! pkg-config --exists libsystemd; then
        skip "$example" "there is no libsystemd"
        continue
    fi
    check "$example.c compiles as it says, without a warning" compile "$example"
    test_loop "$example"
    test_loop_refused "$example"
done
check "the broker ends, and every account is at zero" stop_broker
done_testing
