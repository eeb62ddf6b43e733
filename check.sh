#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Passes or fails everything that this project promises about itself, on a bare Debian 12 too: installs what is
# missing, builds with gcc and clang, and runs the tests plain and under sanitizers, the analysers, a smoke run of the
# bench, and distcheck. The last line counts. Exit status 0 only where nothing failed.
#
#     ./check.sh                 all of it
#     ./check.sh STEP...         some of it: style plain sanitize threads nosystemd analyse bench dist
set -u
exec </dev/null # so nothing waits for somebody to say something
cd "$(dirname "$0")" || exit 1
# shellcheck source=tests/setup.sh
. tests/setup.sh

passed=0 failed=0 skipped=0
jobs=$(($(nproc) * 2))
started=$SECONDS

# result NAME COMMAND...: a check that passes or fails as one.
result() {
    local name=$1
    shift
    if "$@"; then
        echo "PASS: $name"
        passed=$((passed + 1))
    else
        echo "FAIL: $name"
        failed=$((failed + 1))
    fi
}

# Shows, while make -O check runs, what did not pass, and one line for each test that has ended. make puts the results of
# one together.
progress() {
    local line result name rest test='' ok=0 not_ok=0 left_out=0
    flush() {
        [ -z "$test" ] ||
            echo "    $test: $ok passed$([ $not_ok -eq 0 ] || echo ", $not_ok failed")$([ $left_out -eq 0 ] || echo ", $left_out skipped")"
        test='' ok=0 not_ok=0 left_out=0
    }
    while IFS= read -r line; do
        read -r result name rest <<<"$line"
        case $result in
        PASS: | SKIP: | FAIL: | XPASS: | ERROR:)
            [ "$name" = "$test" ] || flush
            test=$name
            ;;
        *)
            flush
            continue
            ;;
        esac
        case $result in
        PASS:) ok=$((ok + 1)) && continue ;;
        SKIP:) left_out=$((left_out + 1)) ;;
        *) not_ok=$((not_ok + 1)) ;;
        esac
        echo "$line"
    done
    flush
}

# count DIRECTORY: adds up what automake's test driver reports.
count() {
    local log=$1/make-check.out line
    for line in PASS SKIP FAIL XPASS ERROR; do
        local n
        n=$(sed -n "s/^# $line: *//p" "$log" | tail -n 1)
        case $line in
        PASS) passed=$((passed + ${n:-0})) ;;
        SKIP) skipped=$((skipped + ${n:-0})) ;;
        *) failed=$((failed + ${n:-0})) ;;
        esac
    done
    if ! grep -q '^# TOTAL: *[1-9]' "$log"; then
        echo "FAIL: no test ran in $1; see $log"
        failed=$((failed + 1))
    fi
}

# suite NAME [TESTS=...] [CONFIGURE ARGUMENT]...: builds, runs `make check`, or these of its tests, and counts. Most
# tests wait for something most of the time, so there are more of them at once than CPUs.
suite() {
    local directory=$PWD/build/$1 tests=()
    shift
    case ${1-} in TESTS=*)
        tests=("$1")
        shift
        ;;
    esac
    if ! build "$directory" --enable-werror "$@"; then
        echo "FAIL: build in $directory"
        failed=$((failed + 1))
        return
    fi
    say "Running the tests in ${directory#"$PWD"/}"
    (cd "$directory" && make -O -k check -j "$jobs" "${tests[@]}") 2>&1 | tee "$directory/make-check.out" | progress
    count "$directory"
    (cd "$directory" && for log in tests/*/*.log; do
        grep -qE '^(not ok|Bail out)' "$log" 2>/dev/null && { echo "--- $directory/$log"; tail -n 60 "$log"; }
    done)
}

step_style() {
    say "Checking the formatting of the code and the shell scripts"
    # shellcheck disable=SC2046 # no name in the tree has a blank
    result "clang-format" clang-format --dry-run --Werror $(git ls-files '*.c' '*.h')
    # shellcheck disable=SC2046
    result "shellcheck" shellcheck -x $(git ls-files '*.sh' .ci/run)
}

step_plain() {
    suite gcc CC=gcc CFLAGS="-O2 -g"
}

# Single steps and storms take ten times as long here: in short.
step_sanitize() {
    STEPPED=2 ROUNDS=3 suite sanitize CC=clang CFLAGS="-O1 -g" --enable-sanitizers=address,undefined
}

# The tests of which the broker's threads have a part.
step_threads() {
    # shellcheck disable=SC2016 # it is make's
    suite threads 'TESTS=$(threaded_tests)' CC=clang CFLAGS="-O1 -g" --enable-sanitizers=thread
}

step_nosystemd() {
    suite nosystemd CC=clang CFLAGS="-O2 -g" --without-systemd --without-seccomp
}

tidy() {
    local includes=(-Ibuild/gcc -Iproto -Iclient -Idaemon -Itests)
    # shellcheck disable=SC2046
    quietly build/clang-tidy.out clang-tidy --quiet --warnings-as-errors='*' \
        $(git ls-files 'proto/*.c' 'client/*.c' 'daemon/*.c') -- -std=gnu11 -D_GNU_SOURCE "${includes[@]}"
}

# It does not find sys/queue.h and bsd/sys/tree.h.
cpp_check() {
    local macros=('-DRB_GENERATE_INTERNAL(name,type,field,compare,attribute)=') list
    for list in LIST TAILQ STAILQ; do
        macros+=("-D${list}_FOREACH(entry,list,field)=while ((entry = next_of(list)))")
    done
    macros+=("-DTAILQ_FOREACH_REVERSE(entry,list,head,field)=while ((entry = previous_of(list)))"
        "-DRB_FOREACH(entry,tree,head)=while ((entry = next_of(head)))")
    quietly build/cppcheck.out cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 -j "$(nproc)" \
        --enable=warning,performance,portability --suppress=missingIncludeSystem -D__linux__ -D_GNU_SOURCE \
        -DHAVE_SYSTEMD=1 -DHAVE_SECCOMP=1 -DPACKAGE_VERSION='"0"' "${macros[@]}" -Iproto -Iclient -Idaemon proto client daemon
}

# It does not know the cleanup attribute, and so sees leaks where there are none; LeakSanitizer looks for those.
analyzer() {
    build "$PWD/build/analyzer" CC=gcc CFLAGS="-O2 -g -fanalyzer -Wno-analyzer-malloc-leak" && ! grep -B2 -A8 'Wanalyzer' build/analyzer/make.out
}

step_analyse() {
    [ -e build/gcc/config-build.h ] || build "$PWD/build/gcc" --enable-werror CC=gcc CFLAGS="-O2 -g"
    say "Running clang-tidy, cppcheck and gcc -fanalyzer"
    result "clang-tidy" tidy
    result "cppcheck" cpp_check
    result "gcc -fanalyzer" analyzer
}

step_bench() {
    [ -x build/gcc/sealbufd ] || build "$PWD/build/gcc" --enable-werror CC=gcc CFLAGS="-O2 -g"
    say "Running the bench, quickly: that it runs is what counts here, not its figures"
    (cd build/gcc && make -s tests/bench/bench >/dev/null 2>&1)
    result "bench --quick" ./build/gcc/tests/bench/bench --quick --broker ./build/gcc/sealbufd
}

# All tests run once more, those that take long in short.
distcheck() {
    export STORMS="--kill 5 --again 2 --restart 1 --reexec 2 --disturb 1 --freeze 0" ROUNDS=3 STEPPED=2
    mkdir -p build/dist
    (cd build/dist && quietly configure.out ../../configure && quietly distcheck.out make -j "$jobs" distcheck)
}

step_dist() {
    prepare_configure "$PWD"
    say "Making the tarball, building it, testing it, installing and uninstalling it (make distcheck)"
    result "make distcheck" distcheck
}

steps=("$@")
[ ${#steps[@]} -gt 0 ] || steps=(style plain sanitize threads nosystemd analyse bench dist)
for step in "${steps[@]}"; do
    declare -F "step_$step" >/dev/null || die "there is no step '$step'; see the head of this file"
done
install_missing "${build_packages[@]}" "${check_packages[@]}"
mkdir -p build
for step in "${steps[@]}"; do
    "step_$step"
done
printf '\nTook %d minutes %d seconds.\n' $(((SECONDS - started) / 60)) $(((SECONDS - started) % 60))
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
