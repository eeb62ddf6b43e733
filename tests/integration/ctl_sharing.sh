#!/bin/bash
# SPDX-License-Identifier: MIT
# sealbufctl from one user to another: tokens, groups, hand-over, accounts; and names that a terminal must not see.
# Prints TAP.
#
# What stands in single quotes here is meant for an inner shell:
# shellcheck disable=SC2016

# shellcheck source=tests/integration/ctl_tools.sh
. "$(dirname "$0")/ctl_tools.sh"

# A uid and groups that nobody else has.
other=54321
group=54322

as_other() { # COMMAND...: with that uid, in no group but its own
    setpriv --reuid "$other" --regid "$other" --clear-groups -- "$@"
}
as_member() { # COMMAND...: with that uid, in that group, too
    setpriv --reuid "$other" --regid "$other" --groups "$group" -- "$@"
}

can_be_other=true
[ "$(id -u)" -eq 0 ] && as_other "$ctl" --version >/dev/null 2>&1 || can_be_other=false

# as_others FUNCTION: tests that are others.
as_others() {
    if $can_be_other; then
        "$1"
    else
        skip "$1" "this process cannot be another user that runs $ctl"
    fi
}

# share NAME [OPTION...]: its token goes to $work/token.
share() {
    "$ctl" share "$@" >"$work/token"
}

# A secret must not be in what people get to read.
hides_token() { # FILE DESCRIPTION
    ! grep -qF -- "$(cat "$work/token")" "$work/$1"
    report $? "$2" "$work/$1"
}

# ---- The command line ------------------------------------------------------------------------------------------------

test_usage() {
    local value good=0123456789abcdef0123456789abcdef0123456789abcdef

    for value in '' 0123 "${good}0" "${good%?}" "${good%?}G" "${good^^}" " $good" "$good "; do
        expect 2 "--token '$value' is refused" "$ctl" get --token "$value"
        says err '^sealbufctl: --token: this is not a token; ' "... in words"
        printf %s "$value" >"$work/bad"
        expect 2 "--token-file, one that has '$value', is refused" "$ctl" get --token-file "$work/bad"
        says err "^sealbufctl: --token-file: what '.*' has is not a token; " "... in words"
    done
    printf '%s' "${good^^}" >"$work/token"
    expect 2 "a token that is nearly one" "$ctl" get --token "${good^^}"
    hides_token err "... is not repeated"
    expect 1 "--token-file, one that is not there" "$ctl" get --token-file "$work/missing"
    says err "'$work/missing': No such file or directory; " "... is named"
    head -c 1M /dev/zero >"$work/zeros"
    expect 2 "--token-file, one that has no end" timeout 20 "$ctl" get --token-file /dev/zero
    expect 2 "a token and a name" "$ctl" get x --token $good
    says err "leave out 'x'" "... contradict each other"
    expect 2 "a token and an owner" "$ctl" get --token $good --owner 0
    expect 2 "a token and a file that has one" "$ctl" get --token $good --token-file "$work/bad"
    expect 2 "put takes no token" "$ctl" put x --token $good
    for value in 0 -1 1.5 x 4294967296; do
        expect 2 "--uses $value is refused" "$ctl" share x --uses "$value"
        says err "^sealbufctl: --uses: '$value' is not " "... in words"
    done
    for value in 0 0s -1s s 1x 1week 1.5h '1 h' 99999999999999999999 9999999999999999d; do
        expect 2 "--expire '$value' is refused" "$ctl" share x --expire "$value"
        says err "^sealbufctl: --expire: '$value' is not a duration; " "... in words"
    done
    for value in nobody-has-this-group 4294967295 -1 ''; do
        expect 2 "--group '$value' is refused" "$ctl" put x --group "$value" --mode 0640
        says err "^sealbufctl: --group: there is no group '$value'; " "... in words"
    done
    expect 2 "--group with a mode that gives it nothing" "$ctl" put x --group 0 /dev/null
    says err '--mode 0640' "... shows what to write"
    expect 2 "revoke without anything" "$ctl" revoke
}

# ---- Tokens ----------------------------------------------------------------------------------------------------------

test_tokens() {
    check "a buffer to share" "$ctl" put shared "$work/content"
    expect 0 "share" "$ctl" share shared
    cp "$work/out" "$work/token"
    check "... prints a token alone" grep -Eqx '[0-9a-f]{48}' "$work/out"
    check "... on one line" test "$(wc -l <"$work/out")" -eq 1
    silent err "... and nothing else"
    expect 0 "get --token-file" "$ctl" get --token-file "$work/token"
    check "... gives the content" cmp "$work/out" "$work/content"
    expect 0 "get --token-file -" "$ctl" get --token-file - <"$work/token"
    check "... gives the content" cmp "$work/out" "$work/content"
    tr -d '\n' <"$work/token" >"$work/bare"
    expect 0 "a file without a newline" "$ctl" get --token-file "$work/bare"
    expect 0 "get --token" "$ctl" get --token "$(cat "$work/token")"
    check "... gives the content" cmp "$work/out" "$work/content"
    expect 0 "get --token-file -o" "$ctl" get --token-file "$work/token" -o "$work/got" --json
    check "... gives the content" cmp "$work/got" "$work/content"
    json "$work/out" "j['size'] == 6 and j['owner'] == $(id -u) and
        all(j[key] is None for key in ('name', 'generation', 'mode', 'group'))" \
        "... and tells of the buffer, and null of its name"
    expect 0 "exec --token-file" "$ctl" exec --token-file "$work/token" -- cat {}
    check "... gives the content" cmp "$work/out" "$work/content"
    expect 0 "exec --token-file - leaves the rest of standard input" sh -c \
        '{ cat "$2"; } | "$1" exec --token-file - -- sh -c "cat \"\$0\" -" {}' - "$ctl" "$work/token"
    check "... to the command" cmp "$work/out" "$work/content"
    expect 7 "a token of a buffer without the seals that are required" "$ctl" get --token-file "$work/token" --require seal
    expect 3 "share of a name that does not exist" "$ctl" share nothing
    expect 0 "share --json" "$ctl" share shared --json --uses 7 --expire 90s --writable
    json "$work/out" "j['name'] == 'shared' and len(j['token']) == 48 and j['uses'] == 7 and j['expire_ms'] == 90000 and
        j['writable'] is True and j['take'] is False" "... has all of it"
    expect 0 "share --json without any" "$ctl" share shared --json
    json "$work/out" "j['uses'] is None and j['expire_ms'] is None and j['writable'] is False" "... has null for them"
}

test_ends_of_tokens() {
    share shared --uses 2
    check "--uses 2: once" "$ctl" get --token-file "$work/token"
    check "--uses 2: twice" "$ctl" get --token-file "$work/token"
    expect 4 "--uses 2: three times is status 4" "$ctl" get --token-file "$work/token"
    says err 'the token is not valid: .*; ask who shared' "... in words"
    hides_token err "... that do not have the token"
    share shared --expire 300ms
    check "--expire 300ms: at once" "$ctl" get --token-file "$work/token"
    sleep 0.5
    expect 4 "--expire 300ms: later" "$ctl" get --token-file "$work/token"
    share shared
    expect 0 "revoke --token-file" "$ctl" revoke --token-file "$work/token"
    silent out "... prints nothing"
    expect 4 "... makes it worthless" "$ctl" get --token-file "$work/token"
    expect 4 "revoke of what is worthless" "$ctl" revoke --token-file "$work/token"
    hides_token err "... does not have the token in its words"
    expect 4 "revoke --json of what is worthless" "$ctl" revoke --token-file "$work/token" --json
    json "$work/out" "len(j) == 1 and j[0]['error'] == 'TOKEN' and j[0]['message'] and 'name' not in j[0]" "... says so"
    says err '^sealbufctl: cannot revoke the token: ' "... also in words"
    share shared
    expect 0 "revoke --token --json" "$ctl" revoke --token "$(cat "$work/token")" --json
    json "$work/out" "j == [{'revoked': True}]" "... says so"
    share shared
    expect 3 "revoke of names, one of which is missing" "$ctl" revoke nothing shared --json
    json "$work/out" "j[0]['error'] == 'NOT_FOUND' and j[1] == {'name': 'shared', 'revoked': True}" "... does the others"
    says err "cannot revoke the tokens of 'nothing': " "... and says which"
    expect 4 "... whose tokens are worthless" "$ctl" get --token-file "$work/token"
    share shared
    check "a name is removed" "$ctl" remove shared
    expect 4 "... and its token goes with the buffer" "$ctl" get --token-file "$work/token"
}

test_take() {
    check "a buffer to hand over" "$ctl" put handed "$work/content" --take --mode 0644
    expect 0 "list" "$ctl" list handed
    says out ' 0644\+take .* handed$' "... shows that it is to be taken"
    expect 0 "stat" "$ctl" stat handed
    says out '^Hand-over: +whoever gets it' "... says so"
    check "... and in JSON" is_field handed "j['take']" True
    expect 1 "get -o where it cannot be written" "$ctl" get handed -o "$work/no-such-directory/x"
    check "... leaves it there" "$ctl" stat handed
    expect 7 "get with seals that it lacks" "$ctl" get handed --require seal
    check "... leaves it there" "$ctl" stat handed
    expect 0 "get" "$ctl" get handed
    check "... gives the content" cmp "$work/out" "$work/content"
    check "... and takes it" await 10 is_gone handed
    check "another one" "$ctl" put handed "$work/content"
    check "... is not for taking" is_field handed "j['take']" False
    share handed --take
    expect 0 "share --take: get" "$ctl" get --token-file "$work/token"
    check "... gives the content" cmp "$work/out" "$work/content"
    check "... and takes it" await 10 is_gone handed
    expect 4 "... for good" "$ctl" get --token-file "$work/token"
}
is_gone() { # NAME
    "$ctl" stat "$1" >/dev/null 2>&1
    [ $? -eq 3 ]
}

# ---- Names that are no words -----------------------------------------------------------------------------------------

test_dashes() {
    check "put of a name that begins with a dash" "$ctl" put -- -dash "$work/content"
    expect 0 "exec -- -NAME -- COMMAND" "$ctl" exec -- -dash -- cat {}
    check "... gives the content" cmp "$work/out" "$work/content"
    check "put of another one" "$ctl" put -- --require "$work/content"
    expect 0 "exec with two of them" "$ctl" exec --json -- -dash --require -- cat '{-dash}' '{--require}'
    check "... gives both contents" cmp "$work/out" <(cat "$work/content" "$work/content")
    expect 0 "the command's own --" "$ctl" exec -- -dash -- echo -- --json
    says out '^-- --json$' "... is left alone"
    expect 2 "exec -- NAME without a command" "$ctl" exec -- -dash
    says err "behind '--'" "... explains it"
    expect 2 "exec -- -- COMMAND" "$ctl" exec -- -- cat
    says err 'exec needs a NAME' "... lacks a name"
    check "they are removed" "$ctl" remove -- -dash --require
}

# Every character of Bidi_Control; they are valid in names, and must not turn round what a terminal shows.
test_directions() {
    local code name byte escaped

    for code in 061c 200e 200f 202a 202b 202c 202d 202e 2066 2067 2068 2069; do
        name=$(LC_ALL=C.UTF-8 printf %b "safe\\u$code/txt.exe")
        escaped=
        for byte in $(printf %s "${name:4}" | "$PYTHON" -c '
import sys
print(*("\\\\x%02x" % b for b in sys.stdin.buffer.read() if b >= 0x80))'); do
            escaped+=$byte
        done
        check "put of a name with U+$code" "$ctl" put "$name" "$work/content"
        expect 0 "list" "$ctl" list safe
        says out " safe$escaped/txt\.exe\$" "... shows it escaped"
        expect 0 "stat" "$ctl" stat "$name"
        says out "^Name: +safe$escaped/txt\.exe\$" "... does, too"
        expect 6 "a failure" "$ctl" put "$name" "$work/content"
        says err "'safe$escaped/txt\.exe'" "... does, too"
        expect 0 "list --json" "$ctl" list safe --json
        json "$work/out" "[ord(c) for c in j[0]['name'] if ord(c) > 127] == [0x$code]" "... has it as it is"
        check "it is removed" "$ctl" remove "$name"
    done
    name=$'\u00e4\u20ac\u2603\u05d0\u0627'
    check "put of a name in several scripts" "$ctl" put "$name" "$work/content"
    expect 0 "list" "$ctl" list
    check "... shows it as it is" grep -qF -- "$name" "$work/out"
    check "it is removed" "$ctl" remove "$name"
}

# ---- Accounts --------------------------------------------------------------------------------------------------------

resources=(bytes buffers names metadata tokens connections requests replies queued-descriptors in-flight stored waits
    watches)

test_accounts() {
    local resource head

    "$ctl" put accounted "$work/content" --label twelve-bytes
    share accounted
    expect 0 "stats" "$ctl" stats
    for resource in "${resources[@]}"; do
        says out "^$resource +[0-9]" "... has $resource"
    done
    says out '^ +HELD +LIMIT$' "... has a head"
    says out '^bytes +6 B +[0-9.]+ [KMGT]iB$' "... has bytes in units that one reads"
    says out '^metadata +21 B ' "... has name and label"
    says out '^tokens +1 +[0-9]+$' "... has the token"
    check "... in columns" test "$(sed '1,/^$/d' "$work/out" | awk '{print length}' | sort -u | wc -l)" -eq 1
    expect 0 "stats --json" "$ctl" stats --json
    json "$work/out" "j['user']['uid'] == $(id -u) and j['user']['user_name'] == '$(id -un)' and
        j['user']['tokens']['used'] == 1 and j['user']['metadata']['used'] == 21 and 'users' not in j and
        all(j['user'][r.replace('-', '_')]['limit'] > 0 for r in '${resources[*]}'.split() if r != 'stored') and
        not j['user']['stored']['limit']" "... has all of it"
    expect 0 "stats --all" "$ctl" stats --all
    head="^user$(printf ' +%s' "${resources[@]}")\$"
    says out "$head" "... has a column for each resource"
    says out "^$(id -un) +6 B +1 +1 +21 B +1 +1 " "... has one's own account"
    says out '^\(all\) +6 B +1 +1 +21 B +1 +1 ' "... has the sums"
    says out '^\(limit\) +[0-9.]+ [KMGT]iB +[0-9]+ ' "... has the limits"
    expect 0 "stats --all --json" "$ctl" stats --all --json
    json "$work/out" "[u['uid'] for u in j['users']] == [$(id -u)] and j['all']['tokens']['used'] == 1 and
        'uid' not in j['all'] and j['users'][0] == j['user']" "... has all of it"
    expect 2 "stats --owner is refused" "$ctl" stats --owner root
    check "it is removed" "$ctl" remove accounted
}

# ---- Others ----------------------------------------------------------------------------------------------------------

test_owner_by_name() {
    check "a buffer of one's own" "$ctl" put mine "$work/content"
    expect 0 "get --owner, by name" "$ctl" get mine --owner "$(id -un)"
    check "... gives the content" cmp "$work/out" "$work/content"
    expect 0 "get --owner, by uid" "$ctl" get mine --owner "$(id -u)"
    expect 3 "get --owner of another one" "$ctl" get mine --owner "$other"
    expect 0 "share --owner, by name" "$ctl" share mine --owner "$(id -un)"
    expect 0 "revoke --owner, by name" "$ctl" revoke mine --owner "$(id -un)"
    check "it is removed" "$ctl" remove mine
}

test_token_of_another() {
    check "a private buffer" "$ctl" put private "$work/content"
    share private
    chmod 644 "$work/token"
    expect 4 "another user: get by name" as_other "$ctl" get private --owner root
    expect 0 "another user: get by token" as_other "$ctl" get --token-file "$work/token"
    check "... gives the content" cmp "$work/out" "$work/content"
    expect 1 "another user: tampering with it" as_other "$ctl" exec --token-file "$work/token" -- bash -c 'echo x >>{}'
    check "... leaves it alone" holds private "$work/content"
    expect 4 "another user: revoke of the token" as_other "$ctl" revoke --token-file "$work/token"
    hides_token err "... does not repeat it"
    expect 4 "another user: revoke of the name" as_other "$ctl" revoke --owner root private
    expect 4 "another user: share of the name" as_other "$ctl" share --owner root private
    check "the token is still good" as_other "$ctl" get --token-file "$work/token"
    share private --take
    expect 0 "another user takes it" as_other "$ctl" get --token-file "$work/token"
    check "... from under its name" await 10 is_gone private
}

# The first folder of $PATH is closed to the user, as some are: that says nothing of the commands that are not in it.
test_closed_folder() {
    local closed=$work/closed path=$work/closed:$PATH

    mkdir "$closed"
    printf '#!/bin/sh\n' >"$closed/hidden"
    cp "$closed/hidden" "$work/plain-file"
    chmod 755 "$closed/hidden"
    chmod 644 "$work/plain-file"
    chmod 700 "$closed"
    check "a buffer to run commands with" "$ctl" put public "$work/content" --mode 0644
    expect 127 "another user: exec of what is nowhere is 127" \
        as_other env PATH="$path" "$ctl" exec public --owner root -- no-such-command
    says err "'no-such-command': No such file or directory; " "... and named"
    expect 126 "another user: exec of what is there, and no program, is 126" \
        as_other env PATH="$path:$work" "$ctl" exec public --owner root -- plain-file
    says err "'plain-file': Permission denied; " "... and named"
    expect 0 "another user: exec of what is in a later folder" \
        as_other env PATH="$path" "$ctl" exec public --owner root -- cat {}
    check "... runs" cmp "$work/out" "$work/content"
    check "it is removed" "$ctl" remove public
}

test_groups() {
    check "put --group" "$ctl" put grouped "$work/content" --mode 0640 --group "$group"
    check "... sets it" is_field grouped "j['group']" "$group"
    expect 4 "another user, not in the group" as_other "$ctl" get grouped --owner root
    expect 0 "another user, in the group" as_member "$ctl" get grouped --owner root
    check "... gets the content" cmp "$work/out" "$work/content"
    check "put --group, by name" "$ctl" put grouped "$work/content" --replace --mode 0640 --group "$(id -gn)"
    check "... sets it" is_field grouped "j['group']" "$(id -g)"
    expect 4 "another user: put --group of one that is not its own" \
        as_other "$ctl" put grouped "$work/content" --mode 0640 --group "$group"
    says err "is not in group $group" "... says so"
    expect 3 "... publishes nothing" as_other "$ctl" stat grouped
    expect 0 "another user: put --group of its own" \
        as_member "$ctl" put grouped "$work/content" --mode 0640 --group "$group"
    check "... publishes" is_field grouped "(j['owner'], j['group'])" "($other, $group)" --owner "$other"
    check "both are removed" sh -c '"$1" remove grouped && "$1" remove grouped --owner "$2"' - "$ctl" "$other"
}

test_accounts_of_others() {
    check "another user's buffer" as_other "$ctl" put theirs "$work/content"
    expect 4 "another user: stats --all is status 4" as_other "$ctl" stats --all
    says err '^sealbufctl: cannot get all accounts: .*administrators' "... in words"
    expect 0 "another user: stats" as_other "$ctl" stats
    says out "^You: +$other \\($other\\)\$" "... is about it"
    says out '^buffers +1 +[0-9]+$' "... has its figures"
    expect 0 "another user: stats --json" as_other "$ctl" stats --json
    json "$work/out" "j['requests'] == 0 and j['buffers']['used'] == 0 and j['buffers']['limit'] > 0 and
        j['user']['buffers']['used'] == 1" "... has no sums of all users"
    expect 0 "stats --all" "$ctl" stats --all
    says out "^$other +6 B +1 +1 " "... has the other user"
    expect 0 "stats --all --json" "$ctl" stats --all --json
    json "$work/out" "[(u['uid'], u['buffers']['used']) for u in j['users']] == [(0, 0), ($other, 1)] and
        j['all']['buffers']['used'] == 1" "... has both, and the sums"
    check "it is removed" "$ctl" remove theirs --owner "$other"
}

printf 'shared' >"$work/content"
chmod 711 "$work"
chmod 644 "$work/content"
test_usage
start_broker "${as_broker[@]}" || echo "Bail out! the broker does not start: $(head -n 3 "$work/log")"
export SEALBUF_SOCKET=$work/socket
test_tokens
test_ends_of_tokens
test_take
test_dashes
test_directions
test_accounts
test_owner_by_name
as_others test_token_of_another
as_others test_closed_folder
as_others test_groups
as_others test_accounts_of_others
check "at the end every account is at zero" stop_broker
done_testing
