#!/bin/bash
# SPDX-License-Identifier: MIT
# What it costs that a name survives the broker: tests/bench/bench --survival under a real systemd, in a container. Prints
# its table, as comments of TAP. Not one of the tests: see docs/performance.md.
#
#     bench.sh [OPTION OF THE BENCH...]
#
# Environment: see boot_tools.sh.

# shellcheck source=tests/systemd/boot_tools.sh
. "$(dirname -- "$0")/boot_tools.sh"
boot_needs "$@"
boot 600 bench_inside.sh "$@"
