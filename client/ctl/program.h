/* SPDX-License-Identifier: MIT */
/* A command that is to be run, looked for before anything is done for it. */
#ifndef CTL_PROGRAM_H
#define CTL_PROGRAM_H

/*
 * Looks where execvp(3) would: 0 where it would find a file that this process may execute; -ENOENT where there is none
 * that this process can see; -EACCES where there is one that it may not execute; another negative errno where the name
 * has a slash and the kernel says so.
 */
int program_find(const char *name);

/* Reports that there is none, if so: 0, or STATUS_NO_COMMAND or STATUS_NOT_EXECUTABLE. */
int program_check(const char *name);

/* Becomes the program. Returns only where it cannot, which is reported, with one of these two. */
int program_run(char **arguments);

#endif
