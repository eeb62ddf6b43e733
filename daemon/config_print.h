/* SPDX-License-Identifier: MIT */
/* The configuration as the broker would use it, for --check-config: a file that says the same, and who has said it. */
#ifndef DAEMON_CONFIG_PRINT_H
#define DAEMON_CONFIG_PRINT_H

#include "draft.h"

/* On standard output. A negative errno where that cannot be written to. */
int config_print(const struct draft *draft);

#endif
