/* SPDX-License-Identifier: MIT */
/* The command of `watch --exec`: runs once for each event, and is waited for. */
#ifndef CTL_CHILD_H
#define CTL_CHILD_H

#include <sealbuf.h>

/*
 * In each argument, `{}` becomes the name. Standard input is the buffer's descriptor, or /dev/null where the change has
 * none; the environment says the rest: SEALBUF_EVENT and others. Returns the command's exit status, or 128 and the
 * signal that it died of.
 *
 * SIGHUP, SIGINT and SIGTERM that come meanwhile end this process when the command has ended, and not before; SIGHUP
 * and SIGTERM are passed on to it. (SIGINT comes from a terminal, which sends it to both.)
 */
int child_run(char *const *program, const char *event, const struct sealbuf_change *change);

#endif
