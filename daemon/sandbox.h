/* SPDX-License-Identifier: MIT */
/*
 * The broker's own skin. A broker holds read-write descriptors of everybody's buffers, and reads what anybody sends it.
 * So before it serves the first client it gives up for good whatever it will not need: nobody may look into its memory,
 * nothing that it could execute gives it privileges, it has no capabilities, and the kernel refuses it the system calls
 * that are not its work (filter.h). Beside what a unit of the service manager does, not instead of it.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#include <stdbool.h>

#include "config.h"

/*
 * To be called when everything is open, and before any thread is started: threads inherit it. What this kernel or this
 * build does not have is logged, and the broker goes on without it.
 */
void sandbox_enter(const struct config *config);

/*
 * A program that takes over from another one in its process (reexec.h) is in its sandbox: capabilities, privileges and
 * the filter go on over execve(2), and a second filter would only cost time. But its memory can be looked into again:
 * sandbox_hide at the very beginning, whatever is configured; sandbox_go_on in place of sandbox_enter.
 */
void sandbox_hide(void);
void sandbox_go_on(void);
/* Whether system calls are filtered, for the program that takes over. */
bool sandbox_is_filtered(void);

#endif
