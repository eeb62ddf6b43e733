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

part() { # SCRIPT [ARGUMENT...]: whose tests are counted with ours
    python3 -B "/tests/systemd/$1" --tests-before "$count" "${@:2}" | tee /tmp/part | grep -v '^1\.\.'
    count=$((count + $(grep -cE '^(not )?ok ' /tmp/part)))
    grep -q '^1\.\.' /tmp/part || echo "Bail out! $1 did not come to its end"
}

check "the service waits for a client" property_is sealbufd.service ActiveState inactive
check "the first client starts the broker" as_nobody sealbufctl ping
part storm.py "$@"

drop_in sealbufd.service small '[Service]\nFileDescriptorStoreMax=64'
systemctl daemon-reload
check "stop" systemctl stop sealbufd.service
check "start with a store of 64 descriptors" systemctl start sealbufd.service
part full_store.py "$@"
echo "1..$count"
