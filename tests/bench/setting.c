/* SPDX-License-Identifier: MIT */
#include "setting.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "complain.h"
#include "cpus.h"
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

/* Each live buffer is a descriptor of the broker's; what the limit does not allow, the stage does without. */
static void raise_descriptor_limit(void)
{
    struct rlimit table;

    if (getrlimit(RLIMIT_NOFILE, &table) == 0 && table.rlim_cur < table.rlim_max) {
        table.rlim_cur = table.rlim_max;
        setrlimit(RLIMIT_NOFILE, &table);
    }
}

static int choose_cpus(struct setting *setting)
{
    if (setting->cpu < 0)
        setting->cpu = cpus_last();
    if (setting->cpu < 0)
        return complain("the CPUs that this process may run on: %s", strerror(-setting->cpu));
    setting->other_cpu = cpus_other_than(setting->cpu);
    return cpus_pin(setting->cpu);
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
    if (choose_cpus(setting) < 0)
        return -1;
    setting->clock_ns = samples_clock_cost();
    return 0;
}
