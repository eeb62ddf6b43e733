#!/bin/bash
# SPDX-License-Identifier: MIT
# The units under a real systemd: boots one in a container, with the install put in, and looks at what the service
# manager makes of it: boot_inside.sh does, in there. Prints TAP.
#
# Environment: see boot_tools.sh.

# shellcheck source=tests/systemd/boot_tools.sh
. "$(dirname -- "$0")/boot_tools.sh"
boot_needs "$@"
boot 120 boot_inside.sh
