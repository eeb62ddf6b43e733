#!/bin/bash
# SPDX-License-Identifier: MIT
# sealbufctl and live data: generations, history, waiting, watching, leases, batches, metadata. Prints TAP.
#
# What stands in single quotes here is meant for an inner shell:
# shellcheck disable=SC2016

# shellcheck source=tests/integration/ctl_tools.sh
. "$(dirname "$0")/ctl_tools.sh"

# A uid that nobody else has.
other=54321
as_other() { # COMMAND...
    setpriv --reuid "$other" --regid "$other" --clear-groups -- "$@"
}

# put NAME TEXT [OPTION...]
put() {
    printf '%s\n' "$2" | "$ctl" put "$1" "${@:3}"
}

# waits NUMBER: so many GETs of ours wait.
waits() {
    "$ctl" stats --json | "$PYTHON" -c 'import json, sys; sys.exit(json.load(sys.stdin)["user"]["waits"]["used"] != int(sys.argv[1]))' "$1"
}

is_gone() { # NAME
    "$ctl" stat "$1" >/dev/null 2>&1
    [ $? -eq 3 ]
}

has_line() { # FILE PATTERN
    grep -Eqx -- "$2" "$work/$1"
}

# ---- The command line ------------------------------------------------------------------------------------------------

test_usage() {
    local value
    for value in -1 x 1.5 '' 256; do
        expect 2 "--keep '$value' is refused" "$ctl" put x --keep "$value" /dev/null
        says err "^sealbufctl: --keep: '$value' is not " "... in words"
    done
    for value in -1 x '' 99999999999999999999; do
        expect 2 "--newer-than '$value' is refused" "$ctl" get x --newer-than "$value"
        says err "^sealbufctl: --newer-than: '$value' is not a generation; " "... in words"
    done
    expect 2 "--generation 0 is refused" "$ctl" get x --generation 0
    expect 2 "--wait=0 is refused" "$ctl" get x --wait=0
    says err "^sealbufctl: --wait: '0' is not a duration; " "... in words"
    expect 2 "--wait and --no-wait" "$ctl" get x --wait --no-wait --newer-than 1
    expect 2 "--wait and --generation" "$ctl" get x --wait --generation 1
    expect 2 "a token and --wait" "$ctl" get --token 0123456789abcdef0123456789abcdef0123456789abcdef --wait
    expect 2 "get of several without --output-dir" "$ctl" get x y
    says err '--output-dir DIR NAME' "... shows what to write"
    expect 2 "get --atomic without --output-dir" "$ctl" get x --atomic
    expect 2 "-o and --output-dir" "$ctl" get x -o "$work/x" --output-dir "$work"
    expect 2 "--generation of several names" "$ctl" get x y --output-dir "$work" --generation 1
    expect 2 "put --atomic without NAME=FILE" "$ctl" put --atomic x y=z
    says err "'x' is not NAME=FILE" "... says which"
    expect 2 "--take and --keep" "$ctl" put x /dev/null --take --keep 1
    expect 2 "touch without a lease" "$ctl" touch x
    expect 2 "touch with both" "$ctl" touch x --expire 1s --no-expire
    expect 2 "remove --if-generation of several" "$ctl" remove x y --if-generation 1
    expect 2 "remove --if-generation 0" "$ctl" remove x --if-generation 0
    expect 2 "watch --exec without a command" "$ctl" watch x --exec
    expect 2 "watch --keep-going without --exec" "$ctl" watch x --keep-going
    expect 2 "watch --exact without a name" "$ctl" watch --exact
    expect 127 "watch --exec of what is not there" "$ctl" watch --exec no-such-command {}
    expect 2 "put --atomic of standard input, twice" "$ctl" put --atomic x=- y=- </dev/null
    says err "standard input can be read only once; give 'x=-' or 'y=-' another FILE" "... says which"
    for value in 200ms 30; do
        expect 2 "--wait $value is refused" timeout 20 "$ctl" get --output-dir "$work" --wait "$value" x
        says err "^sealbufctl: --wait: '$value' behind it is a NAME, .* --wait=$value" "... with what to write"
    done
    for value in "--newer-than 1" "--generation 1"; do
        # shellcheck disable=SC2086 # several words
        expect 2 "--first and $value" "$ctl" get --first x $value
        says err '^sealbufctl: --first is of a prefix, ' "... in words"
    done
    for value in get exec; do
        awk -v command="$value" '$1 == ".Nm" { inside = 0 } $1 == ".Cm" && $2 == command { inside = 1 } inside
            /^\.Sh DESCRIPTION/ { exit }' "$top_srcdir/docs/sealbufctl.1" >"$work/synopsis"
        check "the synopsis of $value says so" grep -q 'Fl -newer-than .* | Fl -generation Ar N | Fl -first$' "$work/synopsis"
    done
    # shellcheck disable=SC2046 # words are wanted
    expect 2 "put --atomic of 254" "$ctl" put --atomic $(printf 'n%d=/dev/null ' {1..254})
    says err '253 is the most' "... says how many there may be"
}

# ---- Generations -----------------------------------------------------------------------------------------------------

test_generations() {
    check "put --keep 2" put gen one --keep 2
    check "... replaced" put gen two --keep 2 --replace
    check "... and again" put gen three --keep 2 --replace
    for value in 1:one 2:two 3:three; do
        expect 0 "get --generation ${value%:*}" "$ctl" get gen --generation "${value%:*}"
        says out "^${value#*:}\$" "... is that one"
    done
    expect 0 "stat" "$ctl" stat gen
    says out '^Generation: +3 \(kept from 1 on\)$' "... tells which there are"
    expect 0 "stat --generation" "$ctl" stat gen --generation 2 --json
    json "$work/out" "j[0]['generation'] == 2" "... is of that one"
    expect 0 "list" "$ctl" list gen
    says out ' 1-3 .* gen$' "... shows which there are, on one line"
    check "... and no other" test "$(wc -l <"$work/out")" -eq 2
    check "a fourth" put gen four --keep 2 --replace
    expect 8 "the first is status 8" "$ctl" get gen --generation 1
    says err "'gen' is at generation 4" "... in words"
    expect 8 "one that is not there yet, too" "$ctl" get gen --generation 9
    expect 0 "exec --generation" "$ctl" exec gen --generation 3 -- sh -c 'cat "$0"; echo "$SEALBUF_NAME $SEALBUF_GENERATION"' {}
    check "... has it, and says so to the command" test "$(tr '\n' ' ' <"$work/out")" = "three gen 3 "
    check "without --keep" put gen five --replace
    expect 8 "... no former one is left" "$ctl" get gen --generation 4
}

test_comparison() {
    local status generation=0 won=0
    expect 0 "put --if-generation 0 of a name that is not bound" put compared one --if-generation 0 --json
    json "$work/out" "j['generation'] == 1" "... is generation 1"
    expect 8 "... of one that is" put compared two --if-generation 0
    says err "'compared': it is at generation 1, not 0; " "... says what it is at"
    expect 8 "... of another generation" put compared two --if-generation 7
    expect 0 "... of this one" put compared two --if-generation 1 --json
    json "$work/out" "j['generation'] == 2" "... raises it"
    expect 8 "... of what is not there" put nothing two --if-generation 1
    says err "'nothing': it is not bound" "... says so"
    # Producers that race: each generation has one winner.
    for _ in 1 2 3 4 5 6 7 8; do
        put compared raced --if-generation 2 2>/dev/null &
        racers+=($!)
    done
    for racer in "${racers[@]}"; do
        wait "$racer"
        status=$?
        case $status in 0) won=$((won + 1)) ;; 8) ;; *) generation=$status ;; esac
    done
    check "of eight that race, one wins, and the others are told" test "$won,$generation" = 1,0
    check "... and its generation is the next one" is_field compared "j['generation']" 3
    expect 8 "remove --if-generation of another" "$ctl" remove compared --if-generation 2
    check "... removes nothing" is_field compared "j['generation']" 3
    expect 0 "remove --if-generation of this one" "$ctl" remove compared --if-generation 3
    check "... does" is_gone compared
}
racers=()

# ---- Waiting ---------------------------------------------------------------------------------------------------------

test_waits() {
    local waiter
    expect 9 "get --wait=300ms of what does not come is status 9" "$ctl" get awaited --wait=300ms
    says err "^sealbufctl: cannot get 'awaited': " "... in words"
    silent out "... and nothing else"
    "$ctl" get awaited --wait >"$work/waited" 2>&1 &
    waiter=$!
    check "get --wait waits" await 20 waits 1
    check "... something comes" put awaited one
    check "... and it ends" wait "$waiter"
    check "... with that" has_line waited one
    expect 8 "get --newer-than --no-wait does not wait" "$ctl" get awaited --newer-than 1 --no-wait
    expect 9 "get --newer-than --wait=300ms waits for so long" "$ctl" get awaited --newer-than 1 --wait=300ms
    "$ctl" get awaited --newer-than 1 -o "$work/waited" --json >"$work/waited.json" 2>&1 &
    waiter=$!
    check "get --newer-than waits" await 20 waits 1
    check "... a newer one comes" put awaited two --replace
    check "... and it ends" wait "$waiter"
    check "... with that" has_line waited two
    json "$work/waited.json" "j['generation'] == 2" "... and says which it is"
    expect 0 "get --newer-than an older one" "$ctl" get awaited --newer-than 1
    says out '^two$' "... has the current one at once"
    "$ctl" exec awaited --newer-than 2 -- cat {} >"$work/waited" 2>&1 &
    waiter=$!
    check "exec --newer-than waits" await 20 waits 1
    check "... a newer one comes" put awaited three --replace
    check "... and the command runs" wait "$waiter"
    check "... with that" has_line waited three
    "$ctl" get never --wait &
    waiter=$!
    check "one waits" await 20 waits 1
    kill "$waiter"
    wait "$waiter" 2>/dev/null
    check "... and with its end, the wait is gone" await 20 waits 0
}

test_first() {
    local worker workers=()
    mkdir -p "$work/first"
    expect 3 "get --first where there is none" "$ctl" get --first jobs/
    for worker in 1 2 3; do
        "$ctl" get --first jobs/ --wait=60s --output-dir "$work/first" >"$work/worker.$worker" 2>&1 &
        workers+=($!)
    done
    check "get --first --wait waits" await 20 waits 3
    for worker in a b c; do
        check "job $worker" put "jobs/$worker" "job $worker" --take
    done
    check "... every worker gets one" all_end "${workers[@]}"
    check "... each another one, and says which" test "$(sort "$work"/worker.? | tr '\n' ' ')" = "jobs/a jobs/b jobs/c "
    check "... with its content" test "$(cat "$work"/first/jobs/? | tr '\n' ' ')" = "job a job b job c "
    check "... and nothing is left" test -z "$("$ctl" list jobs/)"
    check "a name" put jobs/d d
    expect 0 "get --first to standard output" "$ctl" get --first jobs/
    says out '^d$' "... has the content there"
    says err '^jobs/d$' "... and the name on standard error"
}
all_end() { # PROCESS...
    local process
    for process; do
        wait "$process" || return
    done
}

# ---- Watching --------------------------------------------------------------------------------------------------------

# watch FILE [OPTION...]: in the background, its process is $watcher.
watch() {
    "$ctl" watch "${@:2}" >"$work/$1" 2>"$work/$1.err" &
    watcher=$!
    others+=("$watcher")
}
events() { # FILE EXPECTED: "EVENT NAME;..."
    local got
    got=$(awk '{print $1 ($NF == $1 ? "" : " " $NF)}' "$work/$1" | tr '\n' ';')
    [ "$got" = "$2" ] || { echo "it told '$got', not '$2'" && return 1; }
}

test_watch() {
    check "something is there" put watched/old one
    check "something else, too" put elsewhere one
    watch lines watched/ --count 6
    check "watch shows what there is" await 20 has_line lines 'present +4 B +1  watched/old'
    check "... and that this is all" await 20 has_line lines sync
    check "published" put watched/new two
    check "replaced" put watched/new three --replace
    check "elsewhere" put elsewhere two --replace
    check "removed" "$ctl" remove watched/new
    check "with a lease" put watched/brief two --expire 100ms --volatile
    check "watch --count ends, by itself" wait "$watcher"
    check "... and has told it all, in its order" events lines \
        "present watched/old;sync;published watched/new;replaced watched/new;removed watched/new;published watched/brief;expired watched/brief;"
    silent lines.err "... and nothing else"
    watch lines watched --exact --no-snapshot --json --count 2
    check "watch --no-snapshot" await 20 has_line lines '\{"event":"sync"\}'
    check "published, with metadata" put watched one --meta shape=2x3 --mode 0644
    check "and below it" put watched/x one
    check "replaced" put watched two --replace
    check "watch --exact ends" wait "$watcher"
    sed -n 2p "$work/lines" >"$work/line"
    json "$work/line" "j['event'] == 'published' and j['name'] == 'watched' and j['generation'] == 1 and j['size'] == 4 and
        j['mode'] == '0644' and j['owner'] == $(id -u)" "... has told it in JSON, one object a line"
    check "... three in all" test "$(wc -l <"$work/lines")" -eq 3
    watch lines watched/
    check "a watch" await 20 has_line lines sync
    kill "$watcher"
    wait "$watcher" 2>/dev/null
    check "... ends by SIGTERM" test $? -eq 143
    check "a watch whose reader goes, ends, though nothing happens" \
        timeout 20 bash -c '"$0" watch watched/ | head -n 1' "$ctl"
}
test_watch_exec() {
    watch ran ran/ --no-snapshot --count 3 --exec sh -c 'echo "$SEALBUF_EVENT $SEALBUF_NAME $SEALBUF_GENERATION $SEALBUF_SIZE $1: $(cat)"' sh '<{}>'
    check "watch --exec" await 20 watches 1
    sleep 0.2
    check "published" put ran/a one
    check "replaced" put ran/a three --replace
    check "removed" "$ctl" remove ran/a
    check "... ends well" wait "$watcher"
    check "... has run the command for each, with the buffer as its standard input" test "$(cat "$work/ran")" = \
        "published ran/a 1 4 <ran/a>: one
replaced ran/a 2 6 <ran/a>: three
removed ran/a 2 6 <ran/a>: "
    silent ran.err "... and printed nothing itself"
    check "two names" put ran/a one
    check "... to fail with" put ran/b one
    expect 3 "a command that fails ends the watch with its status" "$ctl" watch ran/ --exec sh -c 'echo x; exit 3'
    check "... at once" test "$(wc -l <"$work/out")" -eq 1
    expect 3 "--keep-going goes on" "$ctl" watch ran/ --count 2 --keep-going --exec sh -c 'echo x; exit 3'
    check "... to the end" test "$(wc -l <"$work/out")" -eq 2
    expect 137 "a command that is killed is 128 and the signal" "$ctl" watch ran/ --exec sh -c 'kill -9 $$'
    watch ran ran/a --exec sh -c 'trap "echo told; kill \$!; exit" TERM; sleep 60 & echo up; wait'
    check "a command that runs" await 20 has_line ran up
    kill "$watcher"
    wait "$watcher" 2>/dev/null
    check "... SIGTERM of the watch ends it, too" test $? -eq 143
    check "... by that signal" has_line ran told
}

# While a command runs, more happens than the broker keeps.
test_overflow() {
    local i batch=()
    for i in {1..200}; do
        batch+=("flood/$i=/dev/null")
    done
    watch ran flood/ --no-snapshot --exec sh -c 'while [ ! -e "$0" ]; do sleep 0.05; done; echo "$SEALBUF_EVENT"' \
        "$work/gate"
    check "a watch" await 20 watches 1
    check "something that it works on for long" put flood/0 one
    for i in {1..40}; do
        "$ctl" put --atomic --replace "${batch[@]}" || break
    done 2>"$work/err"
    silent err "... while 200 names are replaced 40 times"
    : >"$work/gate"
    check "... it is told of all that there is now" await 60 are_present 201
    check "... having been told that something was lost" grep -q '^sealbufctl: events were lost, as more has happened ' "$work/ran.err"
    check "... and so of less than has happened" test "$(wc -l <"$work/ran")" -lt 8000
    kill "$watcher"
    wait "$watcher" 2>/dev/null
    check "... they go in one step" "$ctl" remove --atomic "${batch[@]%=*}"
}
are_present() { # NUMBER
    [ "$(grep -cx present "$work/ran")" -eq "$1" ]
}
watches() {
    "$ctl" stats --json | "$PYTHON" -c 'import json, sys; sys.exit(json.load(sys.stdin)["user"]["watches"]["used"] != int(sys.argv[1]))' "$1"
}

# The tool cannot know which of both reasons it was: here, that more has happened would be untrue.
test_watch_over_restart() {
    watch ran restarted/ --no-snapshot --exec echo '{}'
    check "a watch" await 20 watches 1
    check "something comes" put restarted/one one --volatile
    check "... and is told" await 20 has_line ran restarted/one
    check "the broker ends" stop_broker
    check "... and is started again" start_broker "${as_broker[@]}"
    check "something comes again" put restarted/two two --volatile
    check "... and is told" await 60 has_line ran restarted/two
    check "... after what is true of the time between" grep -Eqx \
        'sealbufctl: events were lost, as more .*, or as it was started again; what is there now follows' "$work/ran.err"
    kill "$watcher"
    wait "$watcher" 2>/dev/null
}

# A second broker, with small limits, for these alone.
test_small_limits() {
    local small=$work/small pid name

    "$SEALBUFD" --socket "$small" --limit bytes=1M --limit uid-bytes=64K --limit uid-watches=1 2>>"$work/log" &
    pid=$!
    others+=("$pid")
    await 10 "$ctl" -s "$small" ping >/dev/null
    head -c 20000 /dev/zero >"$work/20000"
    head -c 30000 /dev/zero >"$work/30000"
    for name in a b c; do
        check "evictable: $name" "$ctl" -s "$small" put "$name" "$work/20000" --evictable
    done
    expect 0 "a stream that has room if one of them goes" sh -c 'cat "$2" | "$1" -s "$3" put d' - "$ctl" "$work/30000" "$small"
    check "... is published, all of it" is_field d "j['size']" 30000 -s "$small"
    expect 3 "... and the least recently used one is gone" "$ctl" -s "$small" stat a
    expect 1 "a stream that has none" sh -c 'cat "$2" "$2" "$2" | "$1" -s "$3" put e' - "$ctl" "$work/30000" "$small"
    says err "^sealbufctl: cannot put 'e': " "... is refused"
    expect 0 "... and the others are still there" "$ctl" -s "$small" stat d
    "$ctl" -s "$small" watch nothing/ >"$work/lines" 2>&1 &
    watcher=$!
    others+=("$watcher")
    check "one watch" await 20 has_line lines sync
    expect 1 "one more than there may be" "$ctl" -s "$small" watch
    says err '^sealbufctl: cannot watch all names: ' "... says what it could not watch"
    expect 1 "... of a prefix" "$ctl" -s "$small" watch p/
    says err "^sealbufctl: cannot watch 'p/': " "... too"
    kill "$watcher" "$pid"
    wait "$watcher" "$pid" 2>/dev/null
}

test_watch_others() {
    if [ "$(id -u)" -ne 0 ] || ! as_other "$ctl" --version >/dev/null 2>&1; then
        skip "watch --owner" "this process cannot be another user that runs $ctl"
        return
    fi
    chmod 711 "$work"
    check "open to all" put shown/open one --mode 0644
    check "not open" put shown/shut one
    as_other "$ctl" watch --owner "$(id -u)" shown/ --count 4 >"$work/lines" 2>&1 &
    watcher=$!
    others+=("$watcher")
    check "watch --owner" await 20 has_line lines sync
    check "another one that is shut" put shown/also-shut one
    check "what is shut is opened" put shown/shut two --replace --mode 0644
    check "what is open is replaced" put shown/open two --replace --mode 0644
    check "what is open is shut" put shown/open three --replace
    check "... ends" wait "$watcher"
    check "... and has told what may be read, and no more" events lines \
        "present shown/open;sync;published shown/shut;replaced shown/open;removed shown/open;"
}

# ---- Leases ----------------------------------------------------------------------------------------------------------

test_leases() {
    check "put --expire" put leased one --expire 1h --volatile
    expect 0 "list" "$ctl" list leased
    says out ' (60 min|1\.0 h) .* leased$' "... shows what is left"
    expect 0 "stat" "$ctl" stat leased
    says out '^Lease: +(60 min|1\.0 h) left$' "... too"
    check "... and in JSON" is_field leased "3500000 < j['expire_ms'] <= 3600000" True
    check "touch --no-expire" "$ctl" touch leased --no-expire
    check "... ends the lease" is_field leased "j['expire_ms']" None
    expect 0 "touch --json" "$ctl" touch leased --expire 200ms --json
    json "$work/out" "j == [{'name': 'leased', 'expire_ms': 200}]" "... says so"
    check "... and then it is gone" await 20 is_gone leased
    expect 3 "touch of what is gone is status 3" "$ctl" touch leased --expire 1s
    check "put --evictable" put cached one --evictable --volatile
    check "... is" is_field cached "j['evictable']" True
    expect 0 "list" "$ctl" list cached
    says out ' -\+evictable .* cached$' "... shows it"
}

# ---- Batches ---------------------------------------------------------------------------------------------------------

test_batches() {
    mkdir -p "$work/into"
    printf one >"$work/1"
    printf two >"$work/2"
    expect 0 "put --atomic" "$ctl" put --atomic table/a="$work/1" table/b="$work/2" --json
    json "$work/out" "[(b['name'], b['generation'], b['size']) for b in j] == [('table/a', 1, 3), ('table/b', 1, 3)]" \
        "... publishes them all"
    expect 6 "put --atomic, where one is there" "$ctl" put --atomic table/c="$work/1" table/b="$work/2"
    check "... publishes none" is_gone table/c
    expect 8 "put --atomic --if-generation, where one is at another" \
        "$ctl" put --atomic table/a="$work/2" table/c="$work/1" --if-generation 1
    check "... publishes none" is_gone table/c
    check "... and replaces none" is_field table/a "j['generation']" 1
    check "put --atomic --replace" "$ctl" put --atomic table/a="$work/2" table/b="$work/1" --replace
    check "... replaces them" test "$("$ctl" get table/a),$("$ctl" get table/b)" = two,one
    expect 0 "get --atomic" "$ctl" get --atomic table/a table/b --output-dir "$work/into"
    check "... gets them" test "$(cat "$work/into/table/a" "$work/into/table/b")" = twoone
    expect 3 "get --atomic where one is missing" "$ctl" get --atomic table/a table/c --output-dir "$work/into" --json
    silent out "... gets none"
    expect 3 "get of several, one of which is missing" "$ctl" get table/c table/b --output-dir "$work/into" --json
    json "$work/out" "j[0]['error'] == 'NOT_FOUND' and j[1]['name'] == 'table/b'" "... gets the others"
    says err "^sealbufctl: cannot get 'table/c': " "... and says which it is not"
    expect 1 "get --output-dir below what is not there" "$ctl" get table/a --output-dir "$work/missing/too"
    says err "^sealbufctl: cannot make '.*/missing/too': .*; give --output-dir " "... in words"
    expect 0 "get --output-dir where there is none" "$ctl" get --atomic table/a --output-dir "$work/missing"
    check "... makes it" test -s "$work/missing/table/a"
    expect 3 "get --atomic where one is missing, again" "$ctl" get --atomic table/a table/c --output-dir "$work/into"
    says err "^sealbufctl: cannot get 'table/c', and so none of them: uid " "... says which it is"
    expect 2 "put --atomic of what cannot be a name" "$ctl" put --atomic table/d="$work/1" table//e="$work/2"
    expect 1 "put --atomic of a name twice" "$ctl" put --atomic table/d="$work/1" table/e="$work/1" table/e="$work/2"
    says err "^sealbufctl: cannot put 'table/e', and so none of them: 'table/e' is the name of two records " "... says which"
    expect 3 "remove --atomic where one is missing" "$ctl" remove --atomic table/a table/c --json
    says err "^sealbufctl: cannot remove 'table/c', and so none of them: uid " "... says which it is"
    json "$work/out" "j[0] == {'name': 'table/a', 'removed': False} and j[1]['name'] == 'table/c' and
        j[1]['error'] == 'NOT_FOUND' and 'removed' not in j[1]" "... in JSON, too"
    check "... removes none" is_field table/a "j['generation']" 2
    expect 0 "remove --atomic" "$ctl" remove --atomic table/a table/b --json
    json "$work/out" "[b['removed'] for b in j] == [True, True]" "... removes them"
    check "... all" test -z "$("$ctl" list table/)"
}

test_metadata() {
    check "put --meta" put described one --meta content-type=text/plain --meta shape=1x4
    expect 0 "list --details" "$ctl" list described --details
    says out ' METADATA +NAME$' "... has a column"
    says out ' content-type=text/plain shape=1x4 +described$' "... with all of it"
    expect 0 "list --json" "$ctl" list described --json
    json "$work/out" "j[0]['metadata'] == {'content-type': 'text/plain', 'shape': '1x4'}" "... has it, too"
}

test_usage
check "a private broker starts" start_broker "${as_broker[@]}"
export SEALBUF_SOCKET=$work/socket
test_generations
test_comparison
test_waits
test_first
test_watch
test_watch_exec
test_overflow
test_watch_over_restart
test_small_limits
test_watch_others
test_leases
test_batches
test_metadata
check "the broker ends, and every account is at zero" stop_broker
done_testing
