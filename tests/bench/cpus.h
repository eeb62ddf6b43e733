/* SPDX-License-Identifier: MIT */
/* Which CPU a process runs on. */
#ifndef BENCH_CPUS_H
#define BENCH_CPUS_H

/* The last CPU that this process may run on, or a negative errno. */
int cpus_last(void);
/* The first one that it may run on and that is not `cpu`, or `cpu` where there is no other. */
int cpus_other_than(int cpu);
/* Pins this process, and with it what it starts from now on, to one CPU. -1 where it is not to be had; it has been
   said why. */
int cpus_pin(int cpu);

#endif
