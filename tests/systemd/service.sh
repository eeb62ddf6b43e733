#!/bin/bash
# SPDX-License-Identifier: MIT
# What the service manager is told, and what it does for the broker: boots a real systemd in a container, with the
# install put in: see service_inside.sh. Prints TAP.
#
# Environment: see boot_tools.sh.

# shellcheck source=tests/systemd/boot_tools.sh
. "$(dirname -- "$0")/boot_tools.sh"
boot_needs "$@"
boot 120 service_inside.sh
