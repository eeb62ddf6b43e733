/* SPDX-License-Identifier: MIT */
/*
 * Executing a program with a handover: in a child that tries it, and in this process. The program is a descriptor, so
 * that it is one and the same file both times, whatever becomes of its path meanwhile.
 */
#ifndef DAEMON_TRIAL_H
#define DAEMON_TRIAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define TRIAL_CAUSE 160

struct handover;

struct trial {
    pid_t pid;
    int pidfd; /* readable once it has ended */
    int report;
    uint64_t nonce;   /* what it is to report */
    bool was_stopped; /* from outside, as the broker is about to be */
};

void trial_init(struct trial *trial);
/* Starts it, with the descriptors of the handover. 0, or a negative errno of the execution or what it needs. */
int trial_begin(struct trial *trial, int program, char **argv, const struct handover *handover);
/* Of one that has ended; else cause says how it did. */
bool trial_has_worked(struct trial *trial, char cause[TRIAL_CAUSE]);
/* Kills it, if it is still there. */
void trial_end(struct trial *trial);

/* What a program is to inherit, or, again, not. */
void trial_pass_on(const struct handover *handover, bool inherit);
/*
 * The environment of such a program: ours, but for what the service manager said to us alone. `report`: where a trial
 * tells that it has worked, else -1; `listen_pid` is then for a program that knows nothing of handovers. NULL: no
 * memory.
 */
char **trial_environment(int handover, int report, char *listen_pid);
void trial_environment_free(char **environment);
/* Executes it here. Returns a negative errno where that fails. */
int trial_execute(int program, char **argv, char **environment);

#endif
