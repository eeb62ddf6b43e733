/* SPDX-License-Identifier: MIT */
/* Time in which a CPU of this machine was no CPU, because the hypervisor ran something else on it. */
#ifndef BENCH_STOLEN_H
#define BENCH_STOLEN_H

/* Since the machine has started, on all CPUs, in ticks of sysconf(_SC_CLK_TCK); 0 where nobody counts it (proc(5)). */
unsigned long long stolen_ticks(void);

#endif
