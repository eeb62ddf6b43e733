#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What README.md shows works: its C program is compiled and run, its shell session is typed in. And the header: C++ can
# include it, and its structs can grow. TAP on standard output. Wants in the environment what tests/tap.sh does, and CC
# and CXX, both optional.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
: "${CC:=cc}"
readme=$top_srcdir/README.md
includes=("-I$top_srcdir/client" "-I$top_srcdir/proto")

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
        *'/dev/null --if-generation 1') echo "status=0; $line || status=\$?; [ \$status -eq 8 ]" ;;
        'sealbufd &') echo 'sealbufd & broker=$!; for _ in {1..100}; do [ -S "$SEALBUF_SOCKET" ] && break; sleep 0.1; done' ;;
        *truncate*) echo "if $line; then exit 1; fi" ;;
        # What comes next is to be seen by it, and what it says to be there before the end.
        'sealbufctl watch '*) 
            echo "$line watch=\$!; for _ in {1..300}; do grep -q '^present routes' '$work/check' && break; sleep 0.1; done" ;;
        'kill %1') echo '[ -z "${watch-}" ] || wait $watch; kill $broker && wait $broker' ;;
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
    echo 1 2 3 >"$work/home/ids.col"
    echo a b c >"$work/home/names.col"
    session >"$work/session"
    [ "$(wc -l <"$work/session")" -ge 8 ] || { echo "README.md has no session" && return 1; }
    (
        cd "$work/home" || exit 1
        export PATH="$work/bin:$PATH" SEALBUF_SOCKET="$work/session-socket"
        bash -eux "$work/session"
    )
}

# What README.md shows of live data, in the order of what each line is about: two of them come from the background.
shows_live_data() {
    local line
    for line in 'route 2' 'route 1' 'present routes: route 2' 'published result: the answer' page jobs/1 \
        "sealbufctl: cannot put 'routes': it is at generation 2, not 1; get that, and try again with its number"; do
        grep -qxF -e "$line" "$readme" || { echo "README.md does not show '$line'" && return 1; }
        grep -qxF -e "$line" "$work/session-output" || { echo "the session did not print '$line'" && return 1; }
    done
    cmp "$work/home/copy/table/ids" "$work/home/ids.col"
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

# A hole in a struct has anything in it: a member that takes its place one day would find that there.
no_hole_in_structs() {
    echo '#include <sealbuf.h>' >"$work/structs.c"
    # shellcheck disable=SC2086 # several words
    $CC -fsyntax-only -Wpadded -Werror "${includes[@]}" "$work/structs.c"
}

# But for those of tables, which cannot be broken.
no_long_lines() {
    ! awk 'length > 120 && !/^\|/ { print FNR ": " $0 }' "$readme" | grep .
}

check "README.md has no line of more than 120 characters" no_long_lines
block c >"$work/greet.c"
check "README.md has a C program of at most 35 lines" test "$(wc -l <"$work/greet.c")" -ge 10 -a \
    "$(wc -l <"$work/greet.c")" -le 35
if [ -e "$top_builddir/.libs/libsealbuf.so" ]; then
    check "the program compiles without a warning" compile
    check "a private broker starts" start_broker "$SEALBUFD"
    check "nothing is there before" greet_fails "$work/socket" "has published nothing as 'greeting'"
    check "one process publishes" greet "" "hello, world"
    check "another one gets it" greet "hello, world"
    check "publishing again replaces it" greet "" "again"
    check "and is seen" greet "again"
    check "without a broker it says so" greet_fails "$work/nowhere" "no broker answers"
    check "every command of the shell session does what README.md shows" run_session
    cp "$work/check" "$work/session-output"
    check "the session prints what README.md shows of live data" shows_live_data
    check "the checksums of file and buffer in the session are the same" same_checksums
else
    skip "the program compiles and runs" "there is no shared library in $top_builddir/.libs"
fi
# Elsewhere a size is as long as a pointer, and alignment is another one.
if [ "$(getconf LONG_BIT)" -eq 64 ]; then
    check "no struct of sealbuf.h has a hole" no_hole_in_structs
else
    skip "no struct of sealbuf.h has a hole" "this machine has no pointers of 64 bits"
fi
if command -v "${CXX:-c++}" >/dev/null; then
    check "C++ can include sealbuf.h" cpp_includes "${CXX:-c++}"
else
    skip "C++ can include sealbuf.h" "there is no C++ compiler"
fi
done_testing
