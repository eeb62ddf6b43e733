#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Of limit.py, through which all the tests run.
# shellcheck source=tests/tap.sh
. "$(dirname "$0")/../tap.sh"

limit=("$PYTHON" -S -E "$top_srcdir/tests/limit.py")

# The tests' own processes sleep for a time that nobody else does.
asleep() {
    pgrep -fx "sleep 86399\.$$" >/dev/null
}
sleeper="sleep 86399.$$"

# limited SECONDS SCRIPT: its standard output through a pipe to its end, as automake's driver takes it; the status.
limited() {
    TEST_LIMIT_SECONDS=$1 "${limit[@]}" bash -c "$2" the-test | cat
    return "${PIPESTATUS[0]}"
}

expect 0 "A test that is well" limited 60 'echo "ok 1 - it"; echo 1..1'
says out '^ok 1 - it$' "and what it prints"
[ "$(wc -l <"$work/out")" -eq 2 ]
report $? "nothing else" "$work/out"
expect 3 "A status is passed on" limited 60 'exit 3'
expect $((128 + 11)) "and a signal" limited 60 'kill -SEGV $$'
expect 127 "A command that there is not" "${limit[@]}" "$work/there-is-not"
# shellcheck disable=SC2016 # it is that shell's
expect 0 "There is nothing to read" limited 60 '[ "$(wc -c)" -eq 0 ]'
# shellcheck disable=SC2016 # it is that shell's
expect 0 "What Python ignores, SIGPIPE and SIGXFSZ, is not ignored in the test" limited 60 \
    'ignored=0x$(sed -n "s/^SigIgn:\t//p" /proc/$$/status) && [ $((ignored & 0x1001000)) -eq 0 ]'

expect 0 "A process that ends soon after the test is none that is left" limited 60 '(setsid sleep 0.2 &)'

expect 99 "One that stays, and has the output open, makes the test fail" limited 2 "(setsid $sleeper &); echo 1..0"
says out '^Bail out! the-test has ended and left 1 processes behind$' "which is said"
says out "^# [0-9]+ S [^ ]+: $sleeper\$" "with what it was"
! asleep
report $? "It is gone"

expect 99 "A test that hangs is ended" limited 1 "setsid $sleeper & (setsid $sleeper &) ; $sleeper"
says out '^Bail out! the-test took more than 1 seconds$' "which is said"
[ "$(grep -cE "^# +[0-9]+ S [^ ]+: $sleeper\$" "$work/out")" -eq 3 ]
report $? "with the three that did not end" "$work/out"
! asleep
report $? "They are gone"

TEST_LIMIT_SECONDS=1 "${limit[@]}" "$PYTHON" -c 'import time; time.sleep(1000)' >"$work/out" 2>"$work/err"
says err 'line 1 in <module>' "One in Python tells where it hung"

"${limit[@]}" bash -c "setsid $sleeper & wait" >"$work/out" &
others=($!)
check "A test is under way" await 60 asleep
kill "${others[0]}"
wait "${others[0]}"
[ $? -eq $((128 + 15)) ]
report $? "SIGTERM ends it with that"
others=()
! asleep
report $? "and with it all that is below"
done_testing
