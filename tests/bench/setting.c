/* SPDX-License-Identifier: MIT */
#include "setting.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "complain.h"
#include "samples.h"

/* The first line of /proc/cpuinfo that names a model: not every architecture has one. */
static void read_cpu_model(char *model, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");

    snprintf(model, size, "unknown");
    while (file && fgets(line, sizeof(line), file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        snprintf(model, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
        model[strcspn(model, "\n")] = '\0';
        break;
    }
    if (file)
        fclose(file);
}

static int last_cpu(const cpu_set_t *allowed)
{
    int cpu = CPU_SETSIZE - 1;

    while (cpu > 0 && !CPU_ISSET(cpu, allowed))
        cpu--;
    return cpu;
}

static int pin(int *cpu)
{
    cpu_set_t set;

    if (*cpu < 0) {
        if (sched_getaffinity(0, sizeof(set), &set) < 0)
            return complain("the CPUs that this process may run on: %s", strerror(errno));
        *cpu = last_cpu(&set);
    }
    CPU_ZERO(&set);
    CPU_SET(*cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        return complain("CPU %d: %s; choose another one with --cpu (taskset -pc $$ lists them)", *cpu, strerror(errno));
    return 0;
}

/* Each live buffer is a descriptor of the broker's; what the limit does not allow, the stage does without. */
static void raise_descriptor_limit(void)
{
    struct rlimit table;

    if (getrlimit(RLIMIT_NOFILE, &table) == 0 && table.rlim_cur < table.rlim_max) {
        table.rlim_cur = table.rlim_max;
        setrlimit(RLIMIT_NOFILE, &table);
    }
}

int setting_prepare(struct setting *setting, int cpu, const char *broker)
{
    struct utsname name;

    *setting = (struct setting){.cpu = cpu};
    snprintf(setting->broker, sizeof(setting->broker), "%s", broker);
    snprintf(setting->kernel, sizeof(setting->kernel), "unknown");
    if (uname(&name) == 0)
        snprintf(setting->kernel, sizeof(setting->kernel), "%s %s", name.sysname, name.release);
    read_cpu_model(setting->cpu_model, sizeof(setting->cpu_model));
    raise_descriptor_limit();
    if (pin(&setting->cpu) < 0)
        return -1;
    setting->clock_ns = samples_clock_cost();
    return 0;
}
