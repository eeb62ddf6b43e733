#!/bin/bash
# SPDX-License-Identifier: MIT
# What survival.sh runs in its container, as a service of the systemd that has booted there. Prints TAP. The arguments
# are storm.py's.

# shellcheck source=tests/systemd/inside_tools.sh
. "$(dirname -- "$0")/inside_tools.sh"
install_stage
systemd-sysusers && systemd-tmpfiles --create
# Hundreds of ends in a minute are what is tested here.
drop_in sealbufd.service often '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=5ms\nWatchdogSec=1s'
drop_in sealbufd.socket often '[Socket]\nTriggerLimitIntervalSec=0'
systemctl daemon-reload
systemctl start sealbufd.socket

check "the first client starts the broker" as_nobody sealbufctl ping
python3 -B /tests/systemd/storm.py --tests-before "$count" "$@"
