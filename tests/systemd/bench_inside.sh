#!/bin/bash
# SPDX-License-Identifier: MIT
# What bench.sh runs in its container, as a service of the systemd that has booted there.

# shellcheck source=tests/systemd/inside_tools.sh
. "$(dirname -- "$0")/inside_tools.sh"
install_stage
systemd-sysusers && systemd-tmpfiles --create
drop_in sealbufd.service often '[Unit]\nStartLimitIntervalSec=0'
systemctl daemon-reload
systemctl start sealbufd.socket

# Beside libtool's wrapper is the program itself; it runs with the library that was installed.
bench=/build/tests/bench/.libs/bench
[ -x "$bench" ] || bench=/build/tests/bench/bench
"$bench" --survival /run/sealbuf/socket "$@" >/tmp/bench 2>&1
result=$?
sed 's/^/# /' /tmp/bench
report "$result" "bench --survival" /tmp/bench
journalctl --unit=sealbufd.service --output=cat --lines=20 | sed 's/^/# log: /'
echo "1..$count"
