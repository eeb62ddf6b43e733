/* SPDX-License-Identifier: MIT */
#include "cpus.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "complain.h"

int cpus_last(void)
{
    cpu_set_t allowed;
    int cpu = CPU_SETSIZE - 1;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        return -errno;
    while (cpu > 0 && !CPU_ISSET(cpu, &allowed))
        cpu--;
    return cpu;
}

int cpus_other_than(int cpu)
{
    cpu_set_t allowed;

    if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
        return cpu;
    for (int other = 0; other < CPU_SETSIZE; other++)
        if (other != cpu && CPU_ISSET(other, &allowed))
            return other;
    return cpu;
}

int cpus_pin(int cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        return complain("CPU %d: %s; choose another one with --cpu (taskset -pc $$ lists them)", cpu, strerror(errno));
    return 0;
}
