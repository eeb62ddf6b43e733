#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# The documents say what there is: every page is clean mdoc; every public function is documented in exactly one page,
# every option in its program's page, every error code with its number, cause and remedy; every test that security.md
# names exists. (The keys and defaults of sealbufd.conf(5) are for config.py.)
#
# TAP on standard output. Wants in the environment: SEALBUFD, SEALBUFCTL, top_srcdir, top_builddir.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"
docs=$top_srcdir/docs
header=$top_srcdir/client/sealbuf.h

# page NAME: as text, a paragraph a line, without overstriking.
page() {
    mandoc -Tascii -O width=1000 "$docs/$1" | sed 's/.\x08//g'
}

# says_nothing COMMAND...: succeeds, without a word.
says_nothing() {
    "$@" 2>&1 | tee "$work/said"
    [ ! -s "$work/said" ]
}

functions() {
    sed -nE '/^SEALBUF_API/s/.*[ *](sealbuf_[a-z_]+)\(.*/\1/p' "$header"
}

# Pages whose NAME section has the function.
pages_of() {
    grep -lE "^\.Nm $1( ,)?\$" "$docs"/*.3
}

every_function_in_one_page() {
    local function pages wrong=0
    [ "$(functions | wc -l)" -ge 50 ] || { echo "only $(functions | wc -l) functions were found in $header" && return 1; }
    for function in $(functions); do
        pages=$(pages_of "$function" | wc -l)
        if [ "$pages" -ne 1 ]; then
            echo "$function is in the NAME section of $pages pages"
            wrong=1
        elif ! grep -qE "^\.(Fn|Fo) $function( |\$)" "$(pages_of "$function")"; then
            echo "$function is not in the synopsis of $(pages_of "$function")"
            wrong=1
        fi
    done
    return "$wrong"
}

# Synopses are copied from the header: the types and names of the arguments are the same.
synopses_as_in_the_header() {
    sed -e '/^#/d' -e 's/[[:space:]]\+/ /g' "$header" | tr '\n' ' ' | grep -oE 'SEALBUF_API [^;]*;' |
        sed -E 's/SEALBUF_API //; s/ +/ /g; s/;$//; s/ \*/ */g' | sort >"$work/declared"
    for each in "$docs"/sealbuf_*.3; do
        awk '
            function done() { print type (type ~ /\*$/ ? "" : " ") name "(" arguments ")" }
            function rest(   i, n, part) { # the quoted arguments of .Fn
                n = split($0, part, "\""); arguments = ""
                for (i = 2; i <= n; i += 2) arguments = arguments (arguments ? ", " : "") part[i]
                if (arguments == "") arguments = "void"
            }
            /^\.Sh/ { synopsis = /SYNOPSIS/ }
            !synopsis { next }
            /^\.Ft/ { type = substr($0, 5) }
            /^\.Fn/ { name = $2; rest(); done() }
            /^\.Fo/ { name = $2; arguments = "" }
            /^\.Fa/ { gsub(/^\.Fa "|"$/, ""); arguments = arguments (arguments ? ", " : "") $0 }
            /^\.Fc/ { done() }' "$each"
    done | grep -v '^typedef' | sort >"$work/documented"
    diff "$work/declared" "$work/documented"
}

no_function_that_there_is_not() {
    local function wrong=0
    while read -r function; do
        functions | grep -qx "$function" || { echo "$function is not in sealbuf.h" && wrong=1; }
    done < <(sed -nE 's/^\.Nm (sealbuf_[a-z_]+).*/\1/p' "$docs"/*.3 | sort -u)
    return "$wrong"
}

# options_in PAGE WORD...: every option is at the head of a paragraph, perhaps behind its short form; every other word is
# somewhere.
options_in() {
    local wrong=0 word before
    page "$1" >"$work/page" || return
    shift
    [ $# -ge 4 ] || { echo "the help shows only $# options" && return 1; }
    for word in "$@"; do
        before='(^|[^a-zA-Z0-9-])'
        [ "${word#-}" = "$word" ] || before='^ *(-[a-zA-Z]( [^ ,]+)?, *)?'
        grep -qE -e "$before$word([^a-zA-Z0-9-]|\$)" "$work/page" || { echo "$word is not in the page" && wrong=1; }
    done
    return "$wrong"
}

# The options that a program's help shows at the beginnings of its lines.
options_of() {
    "$1" --help | sed -nE 's/^ +(-[a-zA-Z])?,? *(--[a-z-]+)?( .*|$)/\1 \2/p'
}

limits_of_broker() {
    "$SEALBUFD" --help | sed -nE '/^Limits:/,/^$/s/^  ([a-z-]+) .*/\1/p'
}

commands_of_tool() {
    "$SEALBUFCTL" --help | sed -nE '/^  [a-z]/s/^  ([a-z]+) .*/\1/p'
}

# NUMBER|NAME of each code.
codes() {
    sed -nE 's/^ *SEALBUF_ERR_([A-Z_]+) = ([0-9]+),.*/\2|\1/p' "$top_srcdir/proto/sealbuf-protocol.h"
}

errors_as_in_the_header() {
    codes | sort >"$work/declared"
    sed -nE 's/^\.It Er ([0-9]+) ([A-Z_]+)$/\1|\2/p' "$docs/sealbuf-errors.7" | sort >"$work/documented"
    [ "$(wc -l <"$work/declared")" -ge 30 ] || { echo "this test does not understand the header any more" && return 1; }
    diff "$work/declared" "$work/documented"
}

# NAME|cause|remedy of each entry of the table: its strings joined, its lines too.
table_of_errors() {
    tr '\n' ' ' <"$top_srcdir/proto/errors.c" | sed -E 's/" +"//g' |
        grep -oE 'ENTRY\([A-Z_]+, *"[^"]*", *"[^"]*"\)' |
        sed -E 's/ENTRY\(([A-Z_]+), *"([^"]*)", *"([^"]*)"\)/\1|\2|\3/'
}

causes_and_remedies() {
    local name cause remedy wrong=0
    page sealbuf-errors.7 >"$work/page" || return
    table_of_errors >"$work/table"
    [ "$(wc -l <"$work/table")" -eq "$(codes | wc -l)" ] || { echo "this test does not understand errors.c" && return 1; }
    while IFS='|' read -r name cause remedy; do
        grep -qF -e "Cause: $cause." "$work/page" || { echo "$name: no cause '$cause'" && wrong=1; }
        grep -qF -e "Remedy: $remedy." "$work/page" || { echo "$name: no remedy '$remedy'" && wrong=1; }
    done <"$work/table"
    return "$wrong"
}

# `FILE: TEST` in security.md, against the functions of that file.
tests_of_promises() {
    local file name wrong=0 count=0
    # shellcheck disable=SC2016 # backticks are meant
    while read -r file name; do
        count=$((count + 1))
        file=${file%:}
        [ -e "$top_srcdir/tests/systemd/$file" ] && file=../systemd/$file
        file=$top_srcdir/tests/integration/$file
        grep -qE "^( *def $name\(|START_TEST\($name\)|$name\(\))" "$file" || { echo "there is no $name in $file" && wrong=1; }
    done < <(grep -oE '`[a-z_]+\.(py|c|sh): [a-z_0-9]+`' "$docs/security.md" | tr -d '`' | sort -u)
    [ "$count" -ge 20 ] || { echo "only $count tests were found in security.md" && return 1; }
    return "$wrong"
}

check "every public function is in exactly one page" every_function_in_one_page
check "the synopses are those of sealbuf.h" synopses_as_in_the_header
check "no page has a function that there is not" no_function_that_there_is_not
check "sealbuf-errors.7 has every code with its number" errors_as_in_the_header
check "the tests that security.md names are there" tests_of_promises
if command -v mandoc >/dev/null; then
    for each in "$docs"/*.[1-8]; do
        check "${each##*/} is clean mdoc" says_nothing mandoc -Tlint -Wwarning "$each"
    done
    # shellcheck disable=SC2046 # words are wanted
    {
        check "sealbufd.8 has every option of --help" options_in sealbufd.8 $(options_of "$SEALBUFD")
        check "sealbufd.conf.5 has every limit of --help" options_in sealbufd.conf.5 $(limits_of_broker)
        check "sealbufctl.1 has every option and command of --help" \
            options_in sealbufctl.1 $(options_of "$SEALBUFCTL") $(commands_of_tool)
    }
    check "sealbuf-errors.7 has the causes and remedies of proto/errors.c" causes_and_remedies
else
    skip "the pages are clean mdoc, and have every option and error" "mandoc is not installed"
fi
done_testing
