#!/bin/bash
# SPDX-License-Identifier: MIT
# What survives the broker, under a real systemd: boots one in a container, with the install put in, and has the broker
# killed, restarted, re-executed and frozen there in the middle of storms of requests: see survival_inside.sh. Prints
# TAP.
#
#     survival.sh [--seed TEXT] [--kill ROUNDS] [--again ROUNDS] [--restart ROUNDS] [--reexec ROUNDS]
#                 [--disturb ROUNDS] [--freeze ROUNDS]
#
# Environment: SEED, as --seed; STORMS, more options, such as "--kill 5"; TIME, the seconds that it may take; else see boot_tools.sh.

# shellcheck source=tests/systemd/boot_tools.sh
. "$(dirname -- "$0")/boot_tools.sh"
boot_needs "$@"
# shellcheck disable=SC2086 # one word each
boot "${TIME:-540}" survival_inside.sh "${SEED:+--seed $SEED}" ${STORMS-} "$@"
