/* SPDX-License-Identifier: MIT */
/*
 * The system calls that a broker needs once it serves clients, and with which arguments. The kernel refuses it all
 * others: seccomp(2), by libseccomp.
 */
#ifndef DAEMON_FILTER_H
#define DAEMON_FILTER_H

#include <stdbool.h>

/* For this thread and all that it starts, for good. False: there is none; why has been logged. */
bool filter_load(void);

#endif
