#!/bin/bash
# SPDX-License-Identifier: MIT
# sealbufctl from end to end: every command, option and exit status, against a private broker. Prints TAP.
#
# What stands in single quotes here is meant for an inner shell:
# shellcheck disable=SC2016

# shellcheck source=tests/integration/ctl_tools.sh
. "$(dirname "$0")/ctl_tools.sh"

# ---- The tester's own tools ------------------------------------------------------------------------------------------

# As a signal finds it that a terminal sends: a script's background jobs have these ignored.
as_foreground() {
    exec env --default-signal=INT,QUIT,HUP,TERM "$@"
}

# ---- Without a broker ------------------------------------------------------------------------------------------------

test_usage() {
    local command

    expect 2 "no command is a usage error" "$ctl"
    says err 'command is missing' "... and says so"
    expect 2 "an unknown command is a usage error" "$ctl" publish x
    says err "no command 'publish'" "... and is named"
    expect 2 "an unknown long option is a usage error" "$ctl" list --frobnicate
    says err "'--frobnicate'" "... and is named"
    expect 2 "an unknown short option is a usage error" "$ctl" list -q
    says err "'-q'" "... and is named"
    expect 2 "an option without its argument is a usage error" "$ctl" put x --mode
    says err '--mode needs an argument, MODE' "... and is named"
    expect 2 "an argument too many for an option is a usage error" "$ctl" list --json=yes
    says err '--json takes no argument' "... and is named"
    expect 2 "an option of another command is a usage error" "$ctl" list --mode 600
    says err 'list takes no --mode' "... and is named"
    expect 2 "put without a name" "$ctl" put
    says err 'put needs a NAME; use: sealbufctl put NAME \[FILE\]' "... shows the usage"
    expect 2 "put with an operand too many" "$ctl" put a b c
    says err "put does not take 'c'" "... names it"
    for command in get exec share revoke stat remove; do
        expect 2 "$command without a name" "$ctl" $command
    done
    expect 2 "list with two prefixes" "$ctl" list a b
    expect 2 "ping with an operand" "$ctl" ping a
    expect 2 "exec without --" "$ctl" exec a cat
    says err "behind '--'" "... explains it"
    expect 2 "exec without a command" "$ctl" exec a --
    expect 2 "exec with several names and {}" "$ctl" exec a b -- cat {}
    says err '\{a\}' "... shows what to write"
    expect 2 "--all and --owner contradict each other" "$ctl" list --all --owner 0
}

test_values() {
    local option value

    while read -r option value; do
        expect 2 "put --$option '$value' is refused" "$ctl" put x "--$option" "$value" </dev/null
        says err "^sealbufctl: --$option: '$value' is not " "... in words"
    done <<'END'
seals frozen
seals shrink;grow
mode 999
mode 0777
mode 0
mode 1600
mode -1
meta novalue
meta =value
END
    expect 2 "--require takes known seals only" "$ctl" get x --require shrnk
    says err "^sealbufctl: --require: 'shrnk'" "... in words"
    for value in nobody-has-this-name 4294967295 -1 1x ''; do
        expect 2 "--owner '$value' is refused" "$ctl" get x --owner "$value"
        says err "no user '$value'" "... in words"
    done
    for value in 0 -1 x 1000001; do
        expect 2 "--count $value is refused" "$ctl" ping --count "$value"
    done
    expect 2 "--output needs a name" "$ctl" get x -o ''
    expect 2 "--socket needs a path" "$ctl" ping --socket ''
}

test_help() {
    local command

    expect 0 "--help" "$ctl" --help
    for command in put get exec share revoke list stat remove stats ping; do
        says out "^  $command " "... has $command"
    done
    for command in put get exec share revoke list stat remove stats ping; do
        expect 0 "$command --help" "$ctl" $command --help
        says out "^Usage: sealbufctl $command" "... is about $command"
    done
    expect 0 "-h before the command" "$ctl" -h get
    says out '--require LIST' "... shows the command's options"
    expect 0 "--version" "$ctl" --version
    says out '^sealbufctl [0-9]+\.[0-9]+' "... prints it"
    expect 0 "-V" "$ctl" -V
}

test_manual() {
    local manual option status
    manual=$(dirname "${BASH_SOURCE[0]}")/../../docs/sealbufctl.1

    for option in $("$ctl" --help | grep -oE '^ +(-.,)? *--[a-z-]+' | sed 's/.*--//'); do
        check "the manual has --$option" grep -Eq "^\.It .*Fl -$option( |\$)" "$manual"
    done
    for status in 0 1 2 3 4 5 6 7 126 127; do
        check "the manual has exit status $status" grep -qx ".It $status" "$manual"
    done
}

# Somebody listens, but it is no broker: it hangs up at once.
hang_up() {
    "$PYTHON" - "$work/liar" <<'END' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.bind(sys.argv[1])
s.listen()
s.accept()[0].close()
END
    local liar=$!
    await 10 test -S "$work/liar"
    expect 5 "a broker that hangs up is status 5" timeout 20 "$ctl" ping --socket "$work/liar"
    kill "$liar" 2>/dev/null
    wait "$liar" 2>/dev/null
}

test_unreachable() {
    local command

    for command in "put x /dev/null" "get x" "exec x -- true" "share x" "revoke x" list "stat x" "remove x" stats ping; do
        # shellcheck disable=SC2086 # words on purpose
        expect 5 "no broker: '$command' is status 5" "$ctl" --socket "$work/nobody" $command
    done
    says err "^sealbufctl: cannot connect to '$work/nobody': .*; start sealbufd" "... with the address and a remedy"
    expect 5 "no broker at \$SEALBUF_SOCKET" env SEALBUF_SOCKET="$work/nowhere" "$ctl" ping
    says err "'$work/nowhere'" "... names the address"
    hang_up
}

# ---- Content ---------------------------------------------------------------------------------------------------------

make_contents() {
    : >"$work/0"
    printf x >"$work/1"
    head -c 4097 /dev/urandom >"$work/4097"
    head -c $((64 << 20)) /dev/urandom >"$work/64M"
    printf 'null\0byte\n\377\376 and no newline at the end' >"$work/binary"
}

test_round_trips() {
    local size

    for size in 0 1 4097 binary 64M; do
        expect 0 "put of a file: $size" "$ctl" put "file/$size" "$work/$size"
        silent out "... prints nothing"
        check "... and get gives it back" holds "file/$size" "$work/$size"
        check "put of a pipe: $size" sh -c 'cat "$2" | "$1" put "pipe/$3"' - "$ctl" "$work/$size" "$size"
        check "... and get gives it back" holds "pipe/$size" "$work/$size"
        check "put of a redirection: $size" sh -c '"$1" put "stdin/$3" - <"$2"' - "$ctl" "$work/$size" "$size"
        check "... and get gives it back" holds "stdin/$size" "$work/$size"
        check "get -o: $size" "$ctl" get "file/$size" -o "$work/got"
        check "... gives it back" cmp "$work/got" "$work/$size"
        check "get to a redirection: $size" sh -c '"$1" get "file/$2" >"$3"' - "$ctl" "$size" "$work/got"
        check "... gives it back" cmp "$work/got" "$work/$size"
        check "stat has the exact size: $size" is_field "pipe/$size" "j['size']" "$(stat -c %s "$work/$size")"
    done
    rm -f "$work/got"
}

test_sources() {
    check "a file of /proc that claims to be empty" "$ctl" put proc /proc/version
    check "... is read to its end" holds proc /proc/version
    check "/dev/null" "$ctl" put null /dev/null
    check "... is empty" is_field null "j['size']" 0
    expect 1 "a directory is refused" "$ctl" put directory "$work"
    says err "'$work': Is a directory; " "... in words"
    expect 1 "a file that does not exist" "$ctl" put missing "$work/missing"
    says err "'$work/missing': No such file or directory; " "... in words"
    expect 3 "... and nothing is published" "$ctl" stat missing
    printf 'first\nsecond\nthird\n' >"$work/lines"
    check "a redirection is taken from where it stands" bash -c \
        '{ read -r _; "$1" put lines; cat; } <"$2" >"$3"' - "$ctl" "$work/lines" "$work/rest"
    check "... not from its start" holds lines <(printf 'second\nthird\n')
    check "... and is used up, as by cat" test ! -s "$work/rest"
    expect 1 "no standard input" sh -c '"$1" put closed <&-' - "$ctl"
    says err "standard input': Bad file descriptor; " "... is an error in words"
    expect 1 "a content beyond the limit of file sizes" bash -c 'ulimit -f 1024; "$1" put limited <"$2"' - "$ctl" \
        "$work/64M"
    says err 'File too large; ' "... is an error, not a signal"
    expect 3 "... and nothing is published" "$ctl" stat limited
}

test_names() {
    local name

    for name in '' ../x a//b /a a/ . $'esc\033[31m' $'line\nbreak' $'bad\377utf8' "$(printf '%256s' x)"; do
        expect 2 "the name $(printf %q "${name:0:20}") is refused" "$ctl" put "$name" "$work/1"
        [ "$(tr -d '[:print:]' <"$work/err" | wc -lc | tr -s ' ')" = " 1 1" ]
        report $? "... in one line without a control character"
    done
    check "a name of 255 bytes" "$ctl" put "$(printf '%255s' x)" "$work/1"
    check "... and its removal" "$ctl" remove "$(printf '%255s' x)"
    check "a name that begins with a dash" "$ctl" put -- -dash "$work/1"
    check "... is found behind --" "$ctl" stat -- -dash
    check "... and removed" "$ctl" remove -- -dash
    check "a name with blanks and UTF-8" "$ctl" put 'bl änk' "$work/1"
    check "... is there" holds 'bl änk' "$work/1"
}

# ---- The options of put ----------------------------------------------------------------------------------------------

# The raw bits, without the kernel's own EXEC.
seals_are() { # NAME BITS
    is_field "$1" "j['seals_raw'] & ~0x20" "$(($2))"
}

test_seals() {
    local list bits way

    check "without --seals it is immutable: a file" seals_are file/4097 0x0e
    check "without --seals it is immutable: a stream" seals_are pipe/4097 0x0e
    while read -r list bits; do
        for way in file stream; do
            if [ $way = file ]; then
                expect 0 "put --seals $list, a file" "$ctl" put "s/$list" "$work/4097" --seals "$list"
            else
                expect 0 "put --seals $list, a stream" sh -c 'cat "$3" | "$1" --seals "$2" put "s/$2" --replace' - \
                    "$ctl" "$list" "$work/4097"
            fi
            check "... applies these and no others" seals_are "s/$list" "$bits"
            check "... to the content" holds "s/$list" "$work/4097"
        done
    done <<'END'
none 0
shrink 0x02
grow 0x04
write 0x08
shrink|grow 0x06
shrink,future_write 0x12
immutable,seal 0x0f
END
    check "--seals none does not take EXEC away" is_field s/none "j['executable']" False
}

# The file offset of the description that the broker hands to writers.
offset_is() { # NAME OFFSET
    local fd label
    label=$(field "$1" "j['label']")
    for fd in "/proc/$broker/fd/"*; do
        [ "$(readlink "$fd")" = "/memfd:$label (deleted)" ] || continue
        grep -qx "pos:[[:space:]]*$2" "/proc/$broker/fdinfo/${fd##*/}" || return 1
        return 0
    done
    return 1
}

test_put_options() {
    check "without --mode it is 0600" is_field file/1 "j['mode']" 0600
    check "put --mode" "$ctl" put --mode 0644 mode "$work/1"
    check "... sets it" is_field mode "j['mode']" 0644
    check "put --label" "$ctl" put label "$work/1" --label 'the label'
    check "... sets it" is_field label "j['label']" 'the label'
    expect 0 "... for /proc" "$ctl" exec label -- readlink {}
    says out '^/memfd:the label \(deleted\)$' "... to show"
    if [ -r "/proc/$broker/fd" ]; then
        check "... and the offset that its writers share is at the start" offset_is label 0
    else
        skip "... and the offset that its writers share is at the start" "only root can look at the broker's descriptors"
    fi
    expect 2 "a label with a control character is refused" "$ctl" put badlabel "$work/1" --label $'a\tb'
    check "put --meta, several times, before and behind" \
        "$ctl" --meta one=1 put meta --meta two=2=2 "$work/1" --meta $'raw=\377\001' --meta empty= --meta one=again
    check "... sets them" is_field meta "sorted(j['metadata'].items(), key=str)" \
        "[('empty', ''), ('one', '1'), ('raw', {'hex': 'ff01'}), ('two', '2=2')]"
    expect 0 "... and stat shows them" "$ctl" stat meta
    says out '^Metadata: +two=2=2$' "... as they are"
    says out '^Metadata: +raw=\\xff\\x01$' "... without control characters"
    expect 2 "more than 4096 bytes of metadata are refused" "$ctl" put toomuch "$work/1" --meta "k=$(printf '%4096s' x)"
}

test_replace() {
    check "a name to replace" "$ctl" put again "$work/1"
    expect 6 "a name that exists is status 6" "$ctl" put again "$work/4097"
    says err "'again': the name is bound already; .*--replace" "... and the remedy is named"
    check "... and keeps its content" holds again "$work/1"
    mkfifo "$work/silent"
    expect 6 "... found out before the content is waited for" \
        sh -c 'timeout 10 "$1" put again 0<>"$2"' - "$ctl" "$work/silent"
    expect 0 "put --replace" "$ctl" put again "$work/4097" --replace
    check "... replaces the content" holds again "$work/4097"
    check "... and raises the generation" is_field again "j['generation']" 2
    check "put --replace of a new name" "$ctl" put --replace fresh "$work/1"
    expect 6 "a name that is taken while the content comes" taken_meanwhile
    says err '--replace' "... is status 6 at the end, too"
}

# write_to FIFO PID: opens the fifo as descriptor 9, and waits until this process has it open, too: but not for ever, as it
# may have failed.
write_to() {
    exec 9<>"$1"
    await 20 has_open "$2" "$1"
}
has_open() { # PID PATH
    readlink "/proc/$1/fd/"* | grep -qxF -- "$2"
}

taken_meanwhile() {
    local status writer
    mkfifo "$work/slow"
    "$ctl" put meanwhile "$work/slow" &
    writer=$!
    write_to "$work/slow" $writer
    printf 'the content' >&9
    "$ctl" put meanwhile "$work/1"
    exec 9>&-
    wait $writer
    status=$?
    rm "$work/slow"
    return $status
}

# ---- What goes wrong in the middle -----------------------------------------------------------------------------------

# In the middle of a copy into a memfd: its offset has left the start.
is_copying() { # PID
    local fd position
    for fd in "/proc/$1/fd/"*; do
        case $(readlink "$fd") in
        /memfd:*)
            read -r _ position <"/proc/$1/fdinfo/${fd##*/}"
            [ "$position" -gt 0 ] && return 0
            ;;
        esac
    done
    return 1
}

# interrupted_put COMMAND...: begins to put a big file, stops in the middle, runs the command with the process' id behind
# it, goes on. The status is put's; 99 where the copy was too fast to be caught.
interrupted_put() {
    local pid status stopped
    truncate -s 1G "$work/big"
    as_foreground "$ctl" put interrupted "$work/big" &
    pid=$!
    await 20 is_copying $pid && kill -STOP $pid && sleep 0.1
    is_copying $pid
    stopped=$?
    "$@" $pid
    kill -CONT $pid
    wait $pid
    status=$?
    rm -f "$work/big"
    [ $stopped -eq 0 ] || return 99
    return $status
}
shrink_big() { truncate -s 100M "$work/big"; }
grow_big() { truncate -s +1 "$work/big"; }
write_big() { printf x | dd of="$work/big" conv=notrunc status=none; }
interrupt() { kill -INT "$1"; }

buffers() {
    "$ctl" stats --json | "$PYTHON" -c 'import json, sys; print(json.load(sys.stdin)["buffers"]["used"])'
}
buffers_are() {
    [ "$(buffers)" = "$1" ]
}

test_changes() {
    local before
    before=$(buffers)

    expect 1 "a file that shrinks while it is copied" interrupted_put shrink_big
    says err "'$work/big': it shrank while it was copied.* of 1073741824 bytes; nothing was published; " "... is an error that says so"
    expect 1 "a file that grows while it is copied" interrupted_put grow_big
    says err "'$work/big': it grew while it was copied; nothing was published; " "... is an error that says so"
    expect 1 "a file that is written to while it is copied" interrupted_put write_big
    says err "'$work/big': it was written to while it was copied; " "... is an error that says so"
    expect 130 "put, interrupted" interrupted_put interrupt
    expect 3 "nothing of them was published" "$ctl" stat interrupted
    check "... and no buffer is left" await 10 buffers_are "$before"
}

# Ends get -o with a signal once its temporary file is there; the status is get's.
interrupted_get() { # SIGNAL
    local pid
    as_foreground "$ctl" get big -o "$work/dir/file" &
    pid=$!
    await 20 has_temporary
    kill "-$1" $pid
    wait $pid
}
has_temporary() { compgen -G "$work/dir/.sealbufctl-*" >/dev/null; }
has_only() { # FILE: nothing else is in the directory
    [ "$(ls -A "$work/dir")" = "$1" ]
}

test_half_files() {
    mkdir "$work/dir"
    head -c 512M /dev/zero | "$ctl" put big
    echo old >"$work/dir/file"
    expect 130 "get -o, interrupted" interrupted_get INT
    expect 143 "get -o, terminated" interrupted_get TERM
    check "... leaves no other file" has_only file
    check "... and the file as it was" grep -qx old "$work/dir/file"
    expect 1 "get -o on a full disk" bash -c 'ulimit -f 1024; "$1" get big -o "$2"' - "$ctl" "$work/dir/file"
    says err "'$work/dir/file'|$work/dir/file: File too large; " "... is an error that names the file"
    check "... leaves no other file" has_only file
    check "... and the file as it was" grep -qx old "$work/dir/file"
    expect 3 "get -o of a name that does not exist" "$ctl" get nothing -o "$work/dir/file"
    check "... leaves the file as it was" grep -qx old "$work/dir/file"
    expect 3 "get -o of it to a new file" "$ctl" get nothing -o "$work/dir/new"
    check "... makes none" has_only file
    check "its name is removed" "$ctl" remove big
}

# One that is killed and started again, while a put is half way: the put goes on where it was.
test_restarted_broker() {
    local writer

    mkfifo "$work/slow"
    "$ctl" put lost "$work/slow" 2>"$work/err" &
    writer=$!
    write_to "$work/slow" $writer
    printf 'the ' >&9
    await 10 is_copying $writer
    kill -KILL "$broker"
    wait "$broker" 2>/dev/null
    printf 'content' >&9
    start_broker "${as_broker[@]}" 9>&- # or the stream would not end
    exec 9>&-
    check "the broker is started again in the middle of a put: it goes on" wait $writer
    printf 'the content' >"$work/expected"
    check "... and publishes what was put" holds lost "$work/expected"
    check "... and says nothing of it" test ! -s "$work/err"
    rm "$work/slow" "$work/expected"
    check "its name is removed" "$ctl" remove lost
}

# Another broker, which ends and stays away. That takes the time-out of half a minute: it passes while others are tested.
lost_broker() {
    "$SEALBUFD" --socket "$work/mortal" 2>>"$work/log" &
    mortal=$!
    others+=("$mortal")
    await 10 "$ctl" -s "$work/mortal" ping >/dev/null
    mkfifo "$work/lost"
    "$ctl" -s "$work/mortal" put lost "$work/lost" 2>"$work/lost_err" &
    lost_writer=$!
    write_to "$work/lost" $lost_writer
    printf 'the content' >&9
    await 10 is_copying $lost_writer
    kill "$mortal"
    wait "$mortal"
    exec 9>&-
    others=()
}

test_lost_broker() {
    local status

    wait "$lost_writer"
    status=$?
    rm "$work/lost"
    [ $status -eq 5 ]
    report $? "the broker ends in the middle of a put, and stays away: status 5" "$work/lost_err"
    check "... and a sentence that says so" grep -q "'lost': the broker went away, and is not back within " "$work/lost_err"
}

# A second broker, with small limits, for these alone.
test_limits() {
    local small=$work/small pid

    "$SEALBUFD" --socket "$small" --limit buffer-size=64M --limit uid-bytes=100M 2>>"$work/log" &
    pid=$!
    others+=("$pid")
    await 10 "$ctl" -s "$small" ping >/dev/null
    (cat "$work/64M" && printf x) >"$work/65M"
    check "a stream as big as a buffer may be" sh -c 'cat "$2" | "$1" -s "$3" put most' - "$ctl" "$work/64M" "$small"
    check "... is published" is_field most "j['size']" $((64 << 20)) -s "$small"
    check "... and removed" "$ctl" -s "$small" remove most
    expect 1 "a stream of one byte more" sh -c 'cat "$2" | "$1" -s "$3" put more' - "$ctl" "$work/65M" "$small"
    says err "'more': 'standard input' has more than the 67108864 bytes that the broker's limits allow; " "... is an error"
    expect 1 "a device without an end" timeout 60 "$ctl" -s "$small" put more /dev/zero
    says err "'more': '/dev/zero' has more than the 67108864 bytes" "... is an error"
    expect 1 "a file of one byte more" "$ctl" -s "$small" put more "$work/65M"
    says err "'more': .*; " "... is an error"
    expect 3 "nothing of them is published" "$ctl" -s "$small" stat more
    check "half of what one's buffers may have" "$ctl" -s "$small" put half "$work/64M"
    expect 1 "a stream of more than the other half" sh -c 'cat "$2" | "$1" -s "$3" put more' - "$ctl" "$work/64M" "$small"
    says err "^sealbufctl: cannot put 'more': .*; " "... is an error"
    kill "$pid"
    wait "$pid" 2>/dev/null
    others=()
    rm "$work/65M"
}

# ---- Where get writes to ---------------------------------------------------------------------------------------------

# A third broker, which lets a user connect once: who comes second is told what the limit is.
test_connection_limit() {
    local one=$work/one holder pid

    "$SEALBUFD" --socket "$one" --limit uid-connections=1 2>>"$work/log" &
    pid=$!
    others+=("$pid")
    await 10 "$ctl" -s "$one" ping >/dev/null
    mkfifo "$work/held"
    "$ctl" -s "$one" put held "$work/held" &
    holder=$!
    write_to "$work/held" $holder
    await 10 refused_by "$one"
    expect 5 "one connection too many" "$ctl" -s "$one" ping
    says err "^sealbufctl: cannot connect to '$one': uid $(id -u) .*uid-connections=1" "... with the user and the limit"
    exec 9>&-
    check "the one that is there is served" wait "$holder"
    kill "$pid"
    wait "$pid"
}

refused_by() {
    ! "$ctl" -s "$1" ping >/dev/null 2>&1
}

test_sinks() {
    local target=$work/sinks/file
    mkdir "$work/sinks"

    check "get -o of a new file" sh -c 'umask 027; "$1" get file/4097 -o "$2"' - "$ctl" "$target"
    check "... obeys the umask" test "$(stat -c %a "$target")" = 640
    chmod 604 "$target"
    check "get -o of an old file" "$ctl" get file/64M --output "$target"
    check "... keeps its mode" test "$(stat -c %a "$target")" = 604
    check "... and replaces its content" cmp "$target" "$work/64M"
    ln -s file "$work/sinks/link"
    check "get -o of a symbolic link" "$ctl" get file/1 -o "$work/sinks/link"
    check "... writes to what it points to" cmp "$target" "$work/1"
    check "... and it stays a link" test -L "$work/sinks/link"
    mkfifo "$work/sinks/fifo"
    cat "$work/sinks/fifo" >"$work/sinks/read" &
    check "get -o of a fifo" timeout 20 "$ctl" get file/64M -o "$work/sinks/fifo"
    wait $!
    check "... writes to it" cmp "$work/sinks/read" "$work/64M"
    check "... and it stays one" test -p "$work/sinks/fifo"
    check "get -o -" sh -c '"$1" get file/1 -o - >"$2"' - "$ctl" "$target"
    check "... is standard output" cmp "$target" "$work/1"
    check "get -o /dev/stdout" sh -c '{ echo before; "$1" get file/1 -o /dev/stdout; echo; } >"$2"' - "$ctl" "$target"
    check "... is standard output, where it stands" cmp "$target" <(printf 'before\nx\n')
    check "get -o /dev/fd/5, to append" sh -c '"$1" get file/1 -o /dev/fd/5 5>>"$2"' - "$ctl" "$target"
    check "... is that descriptor" cmp "$target" <(printf 'before\nx\nx')
    expect 1 "get -o /dev/fd/3, which nobody opened" sh -c 'exec 3>&-; "$1" get file/1 -o /dev/fd/3' - "$ctl"
    says err "Bad file descriptor" "... is an error"
    check "get to a file opened to append" sh -c '"$1" get file/64M >>"$2"' - "$ctl" "$target"
    check "... appends" test "$(stat -c %s "$target")" = $((10 + (64 << 20)))
    expect 1 "get -o of a directory" "$ctl" get file/1 -o "$work/sinks"
    says err "Is a directory; " "... is an error"
    expect 1 "get -o in a directory that does not exist" "$ctl" get file/1 -o "$work/no/file"
    says err "'$work/no/file': No such file or directory; " "... is an error"
    check "nothing else is left there" test "$(cd "$work/sinks" && echo .[!.]* ./*)" = ".[!.]* ./fifo ./file ./link ./read"
}

# Runs the tool with a pipe that is non-blocking on its side, and that it has to wait for.
impatiently() { # get|put NAME FILE
    CTL=$ctl "$PYTHON" - "$@" <<'END'
import os, subprocess, sys, time
verb, name, file = sys.argv[1:]
content = open(file, 'rb').read()
read, write = os.pipe()
os.set_blocking(write if verb == 'get' else read, False)
streams = {'stdout': write} if verb == 'get' else {'stdin': read}
child = subprocess.Popen([os.environ['CTL'], verb, name], **streams)
time.sleep(0.3)
if verb == 'get':
    os.close(write)
    same = open(read, 'rb').read() == content
else:
    os.close(read)
    with open(write, 'wb') as stream:
        stream.write(content[:1000])
        stream.flush()
        time.sleep(0.3)
        stream.write(content[1000:])
    same = True
sys.exit(child.wait() or not same)
END
}

test_impatience() {
    check "get to a non-blocking pipe that is full" impatiently get file/64M "$work/64M"
    check "put of a non-blocking pipe that is empty" impatiently put impatient "$work/64M"
    check "... waits for the content" holds impatient "$work/64M"
}

closed_pipe() { # COMMAND...: its status, with a reader that has gone
    "$@" | :
    return "${PIPESTATUS[0]}"
}

test_output_errors() {
    local command

    for command in "get file/1" list "list --json" "stat file/1" stats "stats --json" ping "ping --json" --help --version; do
        # shellcheck disable=SC2086 # words on purpose
        expect 1 "'$command' to a full disk is status 1" sh -c '"$@" >/dev/full' - "$ctl" $command
        says err "No space left on device; " "... and says so"
    done
    expect 1 "a closed standard output" sh -c '"$1" list >&-' - "$ctl"
    says err "cannot write to standard output: Bad file descriptor; " "... is an error that says so"
    expect 1 "get -o with a closed standard output" sh -c '"$1" get file/1 -o /dev/null --json >&-' - "$ctl"
    says err "cannot write to standard output: Bad file descriptor; " "... does not take the file for it"
    expect 1 "get to a reader that has gone" closed_pipe "$ctl" get file/64M
    silent err "... is no news"
    expect 1 "list to a reader that has gone" closed_pipe sh -c 'sleep 0.2; exec "$1" list' - "$ctl"
    silent err "... is no news"
    expect 1 "a long output to a reader that has gone" closed_pipe sh -c \
        'sleep 0.2; exec "$1" ping --count 20000' - "$ctl"
    silent err "... is no news"
}

# ---- What is required ------------------------------------------------------------------------------------------------

# What the owner of an unsealed buffer can do to it: its mode is 0444 until somebody changes that.
change() { # NAME COMMAND...: with {} for its path
    local name=$1
    shift
    "$ctl" exec "$name" --require none -- sh -c 'chmod 600 "$0" && exec "$@"' {} "$@"
}

# get into a fifo, from which we read a byte before the command and the rest, into $work/rest, behind it.
get_around() { # NAME COMMAND...
    local reader
    rm -f "$work/fifo"
    mkfifo "$work/fifo"
    "$ctl" get "$1" --require none >"$work/fifo" &
    reader=$!
    exec 9<"$work/fifo"
    head -c 1 <&9 >"$work/rest"
    shift
    "$@" 9<&-
    cat <&9 >>"$work/rest"
    exec 9<&-
    wait $reader
}

test_unsealed() {
    "$ctl" put shrinking "$work/64M" --seals none
    expect 1 "a buffer that shrinks while get copies it" get_around shrinking change shrinking truncate -s 1000000 {}
    says err "'shrinking': it shrank while it was copied, .* of 67108864 bytes; " "... is an error that says so"
    printf '%32768s' '' | tr ' ' a >"$work/a"
    "$ctl" put changing "$work/a" --seals none
    expect 0 "a buffer that changes once get has read it" get_around changing \
        change changing dd if=/dev/zero of={} conv=notrunc status=none bs=32768 count=1
    check "... does not change what the reader finds" cmp "$work/rest" "$work/a"
    check "... although it did change" holds changing <(head -c 32768 /dev/zero)
}

test_require() {
    local command

    check "an unsealed buffer" "$ctl" put loose "$work/4097" --seals none
    expect 7 "get requires it to be immutable" "$ctl" get loose
    silent out "... and gives nothing"
    says err "^sealbufctl: cannot get 'loose': .*; " "... with cause and remedy"
    expect 7 "get --require shrink" "$ctl" get loose --require shrink
    expect 0 "get --require none" "$ctl" --require none get loose
    check "... gives it" cmp "$work/out" "$work/4097"
    expect 7 "exec requires it to be immutable" "$ctl" exec loose -- cat {}
    expect 7 "exec --require write" "$ctl" exec --require write loose -- cat {}
    expect 0 "exec --require none" "$ctl" exec loose --require none -- cat {}
    check "... gives it" cmp "$work/out" "$work/4097"
    expect 0 "more seals than required are no hindrance" "$ctl" get file/1 --require shrink,grow
    for command in "get nothing" "exec nothing -- true" "stat nothing" "remove nothing"; do
        # shellcheck disable=SC2086 # words on purpose
        expect 3 "'$command' is status 3" "$ctl" $command
        says err "'nothing': .*; " "... with name, cause and remedy"
    done
}

# ---- exec ------------------------------------------------------------------------------------------------------------

test_exec() {
    local open_files='cd /proc/self/fd && n=0; for fd in *; do [ -e $fd ] && n=$((n + 1)); done; echo $n'

    expect 0 "exec: {} is the content" "$ctl" exec file/4097 -- cat {}
    check "... all of it" cmp "$work/out" "$work/4097"
    expect 0 "exec: {NAME} is, too" "$ctl" exec file/4097 -- cat '{file/4097}'
    check "... all of it" cmp "$work/out" "$work/4097"
    expect 0 "exec: several names" "$ctl" exec file/1 file/4097 -- cat '{file/4097}' '{file/1}'
    check "... each is its own" cmp "$work/out" <(cat "$work/4097" "$work/1")
    expect 0 "exec: inside of arguments" "$ctl" exec file/1 -- echo '--a={}:{file/1}' '{other}' '{' '}{'
    says out '^--a=(/proc/self/fd/[0-9]+):\1 \{other\} \{ \}\{$' "... only what it should"
    expect 0 "exec: options behind -- are the command's" "$ctl" exec file/1 --require shrink -- echo --json -o
    says out '^--json -o$' "... untouched"
    expect 42 "exec: the status is the command's" "$ctl" exec file/1 -- sh -c 'exit 42'
    expect 127 "exec: a command that does not exist is 127" "$ctl" exec file/1 -- "$work/missing"
    says err "'$work/missing': No such file or directory; " "... and named"
    expect 126 "exec: a command that cannot be run is 126" "$ctl" exec file/1 -- "$work/1"
    says err "'$work/1': Permission denied; " "... and named"
    expect 126 "exec: a folder cannot be run" "$ctl" exec file/1 -- "$work"
    expect 127 "exec: a command that is in no folder of \$PATH" env PATH="$work/nowhere::$work:$PATH" "$ctl" exec file/1 -- no-such-command
    expect 126 "exec: a file that is in a folder of \$PATH, and no program" env PATH="$work/nowhere:$work:$PATH" "$ctl" exec file/1 -- 1
    expect 127 "exec: a command without a name" "$ctl" exec file/1 -- ''
    expect 0 "exec: without a \$PATH" env -u PATH "$ctl" exec file/1 -- cat {}
    check "a name that hands over" "$ctl" put handed --take "$work/1"
    expect 127 "exec: a misspelt command" "$ctl" exec handed -- "$work/missing"
    check "... loses nothing" cmp <("$ctl" get handed) "$work/1"
    expect 3 "exec: one name that does not exist" "$ctl" exec file/1 nothing -- touch "$work/ran"
    check "... keeps the command from running" test ! -e "$work/ran"
    expect 0 "exec: one descriptor more" "$ctl" exec file/1 -- bash -c "$open_files"
    check "... than without it is inherited" test "$(cat "$work/out")" = $(($(bash -c "$open_files") + 1))
    expect 0 "exec: a closed standard input stays closed" sh -c '"$1" exec file/1 -- sh -c "! test -e /proc/self/fd/0" <&-' - "$ctl"
}

# The signals that the tool ignores for itself, 13 and 25, in a mask of /proc.
test_exec_signals() {
    expect 0 "exec: SIGPIPE and SIGXFSZ" bash -c 'trap "" PIPE XFSZ; "$1" exec file/1 -- grep SigIgn /proc/self/status' - "$ctl"
    check "... are the defaults again" eval '[ $((0x$(cut -f 2 "$work/out") & 0x1001000)) -eq 0 ]'
}

tamper() { # WHAT COMMAND...: must fail with the buffer's path in place of {}, and leave the content alone
    local what=$1
    shift
    expect 1 "tampering: $what" "$ctl" exec file/4097 -- "$@"
    check "... leaves the content alone" holds file/4097 "$work/4097"
}

# python CODE: runs it with `path` set to the buffer's; an OSError is status 1.
tamper_python() { # WHAT CODE
    tamper "$1" "$PYTHON" -c "
import ctypes, fcntl, mmap, os, sys
path = sys.argv[1]
fd = int(path.rsplit('/', 1)[1])
try:
    $2
except OSError:
    sys.exit(1)" {}
}

test_tampering() {
    expect 2 "tampering: the shell's > on it" "$ctl" exec file/4097 -- sh -c 'echo x > {}'
    check "... leaves the content alone" holds file/4097 "$work/4097"
    tamper "the shell's >> on it" bash -c 'echo x >> {}'
    tamper "truncate on it" truncate -s 0 {}
    tamper_python "write(2) to the descriptor" 'os.pwrite(fd, b"x", 0)'
    tamper_python "reopened for writing" 'os.write(os.open(path, os.O_RDWR), b"x")'
    tamper_python "mapped for writing" 'mmap.mmap(os.open(path, os.O_RDWR), 4096)'
    tamper_python "grown" 'os.ftruncate(os.open(path, os.O_RDWR), 8192)'
    tamper_python "shrunk" 'os.ftruncate(os.open(path, os.O_RDWR), 0)'
    tamper_python "a seal added through what was inherited" 'fcntl.fcntl(fd, 1033, 1)'
    expect 0 "the inherited descriptor" "$ctl" exec file/4097 -- "$PYTHON" -c \
        'import fcntl, sys; fd = int(sys.argv[1].rsplit("/", 1)[1]); print(fcntl.fcntl(fd, fcntl.F_GETFL) & 3, fcntl.fcntl(fd, 1034) & 14)' {}
    says out '^0 14$' "... is read-only, and the kernel holds the seals"
}

# ---- Names -----------------------------------------------------------------------------------------------------------

test_list() {
    local name
    for name in l/b l/a l/a/c m; do
        "$ctl" put "$name" "$work/4097"
    done
    expect 0 "list PREFIX" "$ctl" list l/
    says out '^ *SIZE +SEALS +MODE +SURVIVES +LEASE +GEN +OWNER +PUBLISHED +NAME$' "... has a head"
    says out "^ *4.0 KiB +shrink\|grow\|write(\|exec)? +0600 +no +- +1 +$(id -un) +20..-..-..T..:..:..\+00:00 +l/a\$" "... has what is there"
    check "... in bytewise order, nothing else" test "$(sed 1d "$work/out" | awk '{print $NF}' | tr '\n' ' ')" = "l/a l/a/c l/b "
    expect 0 "list without a prefix" "$ctl" list
    says out ' m$' "... has all"
    expect 0 "list of a prefix that nothing has" "$ctl" list nothing/
    silent out "... is empty"
    expect 0 "list --json" "$ctl" --json list l/
    json "$work/out" "[(b['name'], b['size'], b['owner']) for b in j] == [(n, 4097, $(id -u)) for n in ('l/a', 'l/a/c', 'l/b')]" "... is JSON"
    expect 0 "list --json of nothing" "$ctl" list nothing/ --json
    json "$work/out" "j == []" "... is an empty array"
    expect 0 "list --owner, by name" "$ctl" list l/ --owner "$(id -un)"
    says out ' l/a$' "... has one's own"
    expect 0 "list --owner, another one" "$ctl" list --owner 54321
    silent out "... has nothing"
    expect 0 "list --all" "$ctl" list --all l/
    says out ' l/a$' "... has one's own, too"
}

test_stat() {
    expect 0 "stat" "$ctl" stat file/4097
    says out '^Size: +4097 \(4.0 KiB\)$' "... has the exact size"
    says out '^Seals: +shrink\|grow\|write' "... has the seals"
    says out "^Owner: +$(id -un) \($(id -u)\)\$" "... has the owner"
    says out '^Published: +20..-..-..T..:..:..\+00:00$' "... has the time"
    expect 3 "stat of several, one of which is missing" "$ctl" stat nothing file/1 file/4097
    check "... shows the others" test "$(grep -c '^Name:' "$work/out")" = 2
    expect 3 "stat --json of them" "$ctl" stat file/1 nothing --json
    json "$work/out" "j[0]['seals'][:3] == ['shrink', 'grow', 'write'] and j[0]['seals_raw'] & 14 == 14 and
        j[0]['size'] == 1 and j[1]['name'] == 'nothing' and j[1]['error'] == 'NOT_FOUND'" "... has both"
}

test_volatile() {
    check "put --volatile" "$ctl" put volatile --volatile "$work/1"
    check "put --or-volatile" "$ctl" put or/volatile --or-volatile "$work/1"
    expect 0 "stat" "$ctl" stat volatile or/volatile
    check "... says that they do not survive the broker" test "$(grep -c '^Survives: *no$' "$work/out")" = 2
    expect 0 "stat --json" "$ctl" stat volatile --json
    json "$work/out" "j[0]['survives'] is False" "... says so, too"
    expect 2 "put with both" "$ctl" put both --volatile --or-volatile "$work/1"
    says err 'exclude each other; give one of them' "... says that they exclude each other"
    expect 0 "put --json" "$ctl" put or/volatile --replace --json "$work/1"
    json "$work/out" "j['survives'] is False" "... tells that it does not survive, without a store"
    check "remove of both" "$ctl" remove volatile or/volatile
}

test_remove() {
    expect 3 "remove of several, the second of which is missing" "$ctl" remove l/a nothing l/b
    expect 3 "... removes the first" "$ctl" stat l/a
    expect 3 "... and the last" "$ctl" stat l/b
    expect 0 "... and no other" "$ctl" stat l/a/c
    expect 3 "remove --json" "$ctl" remove --json l/a/c nothing
    json "$work/out" "j[0] == {'name': 'l/a/c', 'removed': True} and j[1]['error'] == 'NOT_FOUND'" "... has both"
    check "a buffer that somebody has" "$ctl" put kept "$work/4097"
    expect 0 "... outlives its name" "$ctl" exec kept -- sh -c '"$0" remove kept && cat "$1"' "$ctl" {}
    check "... with its content" cmp "$work/out" "$work/4097"
}

test_figures() {
    local before
    before=$(buffers)
    "$ctl" put counted "$work/1"
    expect 0 "stats --json" "$ctl" stats --json
    json "$work/out" "j['buffers']['used'] == $before + 1 and j['user']['uid'] == $(id -u) and j['pid'] == $broker and
        j['names']['used'] == j['user']['names']['used'] and j['version']" "... has the figures"
    expect 0 "stats" "$ctl" stats
    says out "^Broker: +sealbufd .* process $broker, up " "... has the broker"
    says out "^buffers +$((before + 1)) +[0-9]+\$" "... has the figures"
    says out "^stored +0 +0\$" "... without a store, none may be stored"
    expect 0 "ping" "$ctl" ping
    says out "^$work/socket answered in [0-9.]+ [mu]?s\$" "... has the time"
    expect 0 "ping --count" "$ctl" ping --count 3
    check "... has one line each" test "$(grep -c answered "$work/out")" = 3
    says out '^3 round trips: least [0-9.]+ [mu]?s, median [0-9.]+ [mu]?s, most [0-9.]+ [mu]?s$' "... and a summary"
    expect 0 "ping --json" "$ctl" --count 5 ping --json
    json "$work/out" "j['count'] == 5 and 0 < j['least_ns'] <= j['median_ns'] <= j['most_ns'] and
        j['address'] == '$work/socket'" "... is JSON"
}

test_json() {
    expect 0 "put --json" "$ctl" put json "$work/4097" --json
    json "$work/out" "j['name'] == 'json' and j['size'] == 4097 and j['generation'] == 1 and j['id'] > 0 and
        j['seals'][:3] == ['shrink', 'grow', 'write'] and j['seals_raw'] & 14 == 14" "... says what was published"
    expect 0 "get -o --json" "$ctl" get json -o "$work/got" --json
    json "$work/out" "j['name'] == 'json' and j['size'] == 4097" "... says on standard output what was got"
    expect 0 "get --json" "$ctl" get json --json
    check "... leaves standard output to the content" cmp "$work/out" "$work/4097"
    json "$work/err" "j['name'] == 'json' and j['size'] == 4097" "... and says it on standard error"
    expect 0 "exec --json" "$ctl" exec json --json -- echo {}
    json "$work/err" "j[0]['name'] == 'json' and '/proc/self/fd/%d\n' % j[0]['fd'] == open('$work/out').read()" \
        "... says the descriptor's number on standard error"
}

test_both_orders() {
    check "options before all" "$ctl" --socket "$work/socket" --mode 640 --label first put orders "$work/1"
    check "options between" "$ctl" put --replace -s "$work/socket" --label=second orders --mode=640 "$work/1"
    check "options behind all" "$ctl" put orders "$work/1" --replace --mode 640 --label third --socket "$work/socket"
    check "... all arrived" is_field orders "(j['generation'], j['label'], j['mode'])" "(3, 'third', '0640')"
    expect 5 "--socket goes before the environment" "$ctl" get orders --socket "$work/nobody"
    expect 0 "-o before get" "$ctl" -o "$work/got" get orders
    check "... is where it goes" cmp "$work/got" "$work/1"
}

# ---- Others ----------------------------------------------------------------------------------------------------------

as_other() {
    setpriv --reuid 54321 --regid 54321 --clear-groups -- "$@"
}

test_others() {
    local command

    if [ "$(id -u)" -ne 0 ]; then
        skip "another uid" "only root can be another uid"
        return
    fi
    if ! as_other "$ctl" --version >/dev/null 2>&1; then
        skip "another uid" "another uid cannot run $ctl"
        return
    fi
    chmod 711 "$work"
    check "a private name" "$ctl" put private "$work/4097"
    check "a public name" "$ctl" put public "$work/4097" --mode 0644
    for command in "get private" "exec private -- cat {}" "stat private" "remove public"; do
        # shellcheck disable=SC2086 # words on purpose
        expect 4 "another uid: '$command' is status 4" as_other "$ctl" --owner root $command
        says err "'(private|public)': .*; " "... with name, cause and remedy"
    done
    expect 0 "another uid: get by the owner's name" as_other "$ctl" get public --owner root
    check "... gives it" cmp "$work/out" "$work/4097"
    expect 0 "another uid: get by the owner's uid" as_other "$ctl" --owner 0 get public
    expect 0 "another uid: exec" as_other "$ctl" exec public --owner root -- cat {}
    check "... gives it" cmp "$work/out" "$work/4097"
    expect 0 "another uid: stat" as_other "$ctl" stat public --owner root
    expect 3 "another uid: its own names are its own" as_other "$ctl" get public
    check "another uid: put of the same name" as_other "$ctl" put public </dev/null
    check "... leaves root's alone" holds public "$work/4097"
    expect 0 "another uid: list --owner" as_other "$ctl" list --owner root p
    check "... has what it may read" test "$(awk 'NR > 1 {print $NF}' "$work/out")" = public
    expect 0 "list --all" "$ctl" list --all --json public
    json "$work/out" "sorted(b['owner'] for b in j) == [0, 54321]" "... has those of all owners"
    expect 1 "another uid: tampering" as_other "$ctl" exec public --owner root -- bash -c 'echo x >>{}'
    says err 'Permission denied' "... ends at the file's mode"
    install -d -o 54321 "$work/theirs"
    install -o 54321 -m 444 "$work/1" "$work/theirs/read-only"
    expect 1 "get -o of a read-only file" as_other "$ctl" get public --owner root -o "$work/theirs/read-only"
    says err "'$work/theirs/read-only': Permission denied; " "... is an error that says so"
    check "... leaves it alone" cmp "$work/theirs/read-only" "$work/1"
    check "remove --owner, by root" "$ctl" remove public --owner 54321
}

# progress CODE: runs the tool with a terminal as standard error, prints what the terminal got. It ends when nobody has
# that open any more.
export -f await is_copying
progress() { # SHELL COMMAND, with $ctl
    CTL=$ctl WORK=$work "$PYTHON" - "$1" <<'END'
import os, pty, subprocess, sys
terminal, side = pty.openpty()
child = subprocess.Popen(['bash', '-c', sys.argv[1]], stderr=side, stdout=subprocess.DEVNULL)
os.close(side)
seen = b''
while True:
    try:
        got = os.read(terminal, 4096)
    except OSError:
        break
    if not got:
        break
    seen += got
print(ascii(seen.decode()))
sys.exit(child.wait())
END
}

test_progress() {
    local slow='for i in 1 2 3 4 5 6 7 8; do head -c 1M /dev/zero; sleep 0.25; done'

    expect 0 "a slow put on a terminal" progress "{ $slow; } | \"\$CTL\" put slow"
    says out '[0-9.]+ MiB, [0-9.]+ [KM]iB/s' "... shows bytes and rate"
    says out '\\r +\\r.$' "... and takes them away at the end"
    expect 0 "a slow get on a terminal" progress '"$CTL" get file/64M | { sleep 1.3; head -c 20M >/dev/null; sleep 0.5; cat >/dev/null; }'
    says out '[0-9.]+ MiB of 64 MiB, [0-9]+ %, [0-9.]+ [KM]iB/s' "... shows the share"
    expect 0 "a fast put on a terminal" progress '"$CTL" put fast "$WORK/4097"'
    says out "^''\$" "... shows nothing"
    expect 0 "a put on a terminal, whose broker is killed and started again" progress '
        mkfifo "$WORK/brief.content"
        "$SEALBUFD" --socket "$WORK/brief" 2>/dev/null & broker=$!
        await 20 "$CTL" -s "$WORK/brief" ping
        "$CTL" -s "$WORK/brief" put brief "$WORK/brief.content" & put=$!
        exec 9<>"$WORK/brief.content"
        printf content >&9
        await 20 is_copying $put
        { kill -KILL $broker; wait $broker; } 2>/dev/null
        exec 9>&-
        sleep 0.3
        "$SEALBUFD" --socket "$WORK/brief" 2>/dev/null & broker=$!
        wait $put; result=$?
        kill $broker; wait $broker
        exit $result'
    says out "has gone; waiting for it to come back.*it is back; going on" "... says that it waits, and when it goes on"
    expect 0 "a slow put elsewhere" bash -c "{ $slow; } | \"\$1\" put elsewhere" - "$ctl"
    silent err "... shows nothing"
}

test_big() {
    local available
    available=$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo)

    if [ "$available" -lt 8 ]; then
        skip "3 GiB" "$available GiB of memory are available, 8 are needed"
        return
    fi
    truncate -s 3221225473 "$work/3G"
    printf here | dd of="$work/3G" bs=1 seek=2147483646 conv=notrunc status=none
    printf end | dd of="$work/3G" bs=1 seek=3221225470 conv=notrunc status=none
    check "put of 3 GiB and a byte" "$ctl" put 3G "$work/3G"
    check "... has its size" is_field 3G "j['size']" 3221225473
    check "... and get gives it back" holds 3G "$work/3G"
    check "... and is removed" "$ctl" remove 3G
    rm "$work/3G"
}

test_nothing_left() {
    "$ctl" list --json >"$work/names" && mapfile -t names < <("$PYTHON" -c '
import json, sys
print("\n".join(b["name"] for b in json.load(sys.stdin)))' <"$work/names")
    check "all names are removed" "$ctl" remove -- "${names[@]}"
    check "... and the broker has no buffer left" await 10 buffers_are 0
}

test_usage
test_values
test_help
test_manual
test_unreachable
make_contents
start_broker "${as_broker[@]}" || echo "Bail out! the broker does not start: $(head -n 3 "$work/log")"
export SEALBUF_SOCKET=$work/socket
lost_broker
test_round_trips
test_sources
test_names
test_seals
test_put_options
test_replace
test_changes
test_half_files
test_limits
test_connection_limit
test_sinks
test_impatience
test_output_errors
test_require
test_unsealed
test_exec
test_exec_signals
test_tampering
test_list
test_stat
test_volatile
test_remove
test_figures
test_json
test_both_orders
test_others
test_progress
test_big
test_nothing_left
test_restarted_broker
test_lost_broker
done_testing
