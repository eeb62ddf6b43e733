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

#endif
