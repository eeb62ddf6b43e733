/* SPDX-License-Identifier: MIT */
#include "stalls_report.h"

#include <stdio.h>

#include "pinger.h"

static double microseconds(uint64_t ns)
{
    return (double)ns / 1000;
}

static void print_times(const struct series *series)
{
    printf("  %7.1f %8.1f %8.1f", microseconds(series_percentile(series, 50)), microseconds(series_p99(series)),
           microseconds(series_percentile(series, 100)));
}

static void print_stall(const struct stall *stall)
{
    static const char *const words[] = {[STALL_NONE] = "yes", [STALL_BY_MACHINE] = "bare", [STALL_BY_BROKER] = "NO"};

    printf("%-46s", stall->load->meaning);
    if (stall->skipped) {
        printf("  skipped: it needs other users, and so root\n");
        return;
    }
    print_times(&stall->quiet);
    print_times(&stall->loaded);
    printf("  %6.2f %-4s %6.2f\n", stall_ratio(&stall->quiet, &stall->loaded), words[stall_judge(stall)],
           stall_ratio(&stall->bare_quiet, &stall->bare_loaded));
}

/* That they have really done it. */
static void print_rate(const struct stall *stall)
{
    printf("%-46s  %.0f %s a second%s%s\n", stall->load->meaning, stall->rate, stall->load->unit,
           stall->note[0] ? "; " : "", stall->note);
}

static void print_surroundings(const struct stall_plan *plan)
{
    if (plan->broker_cpu == plan->cpu)
        printf("CPUs        all on CPU %d: the ratios say little\n", plan->cpu);
    else if (plan->together)
        printf("CPUs        the broker and the innocent client on CPU %d, the load on CPU %d\n", plan->broker_cpu,
               plan->cpu);
    else
        printf("CPUs        the broker on CPU %d, the innocent client and the load on CPU %d\n", plan->broker_cpu,
               plan->cpu);
    printf("users       %s\n", plan->several_users
                                   ? "the broker, the innocent client and the load are three"
                                   : "one for all, since the bench cannot become others: the broker is fair to users");
    printf("priority    %s\n",
           plan->realtime ? "real-time for the broker's loop and the innocent client: other processes do not count"
                          : "normal; SCHED_IDLE for the load: other processes of the machine count");
}

void stalls_print_table(const struct stalls *stalls, const struct stall_plan *plan)
{
    printf("\nNo client stalls another: an innocent client's ping every %u us, in quiet and under a load\n",
           PING_INTERVAL_NS / 1000);
    print_surroundings(plan);
    printf("rounds      %u of %u pings in quiet and %u under the load; p99 is that of the round in the middle\n",
           stalls->rounds, stalls->run, stalls->run);
    if (stalls->repeated)
        printf("            %u more are not counted: the hypervisor took a CPU away meanwhile\n", stalls->repeated);
    printf("took        %.1f s\n\n", (double)stalls->took_ns / 1e9);
    printf("%-46s  %7s %8s %8s  %7s %8s %8s  %-11s %6s\n", "", "quiet", "quiet", "quiet", "loaded", "loaded", "loaded",
           " p99 ratio", "bare");
    printf("%-46s  %7s %8s %8s  %7s %8s %8s  %-11s %6s\n", "microseconds", "p50", "p99", "max", "p50", "p99", "max",
           "at most 2?", "ratio");
    for (unsigned i = 0; i < stalls->count; i++)
        if (stalls->stall[i].wanted)
            print_stall(&stalls->stall[i]);
    printf("\nbare: it is above 2, but so it is for the bare server, which nobody else uses: the machine's doing\n");
    printf("\nWhat the loads did:\n");
    for (unsigned i = 0; i < stalls->count; i++)
        if (stalls->stall[i].wanted && !stalls->stall[i].skipped)
            print_rate(&stalls->stall[i]);
}

static void json_series(const char *key, const struct series *series)
{
    printf("\"%s\": {\"p50\": %llu, \"p90\": %llu, \"p99\": %llu, \"max\": %llu}, ", key,
           (unsigned long long)series_percentile(series, 50), (unsigned long long)series_percentile(series, 90),
           (unsigned long long)series_p99(series), (unsigned long long)series_percentile(series, 100));
}

static void json_stall(const struct stall *stall)
{
    static const char *const words[] = {
        [STALL_NONE] = "", [STALL_BY_MACHINE] = "machine", [STALL_BY_BROKER] = "broker"};

    printf("{\"key\": \"%s\", \"size\": \"%s\", \"unit\": \"%s\", \"rate\": %.1f, \"times\": %zu, ", stall->load->key,
           stall->note, stall->load->unit, stall->rate, stall->loaded.samples.count);
    json_series("quiet_ns", &stall->quiet);
    json_series("loaded_ns", &stall->loaded);
    json_series("bare_quiet_ns", &stall->bare_quiet);
    json_series("bare_loaded_ns", &stall->bare_loaded);
    printf("\"ratio\": %.3f, \"bare_ratio\": %.3f, \"stalled_by\": \"%s\"}", stall_ratio(&stall->quiet, &stall->loaded),
           stall_ratio(&stall->bare_quiet, &stall->bare_loaded), words[stall_judge(stall)]);
}

static const char *yes_or_no(bool value)
{
    return value ? "true" : "false";
}

void stalls_print_json(const struct stalls *stalls, const struct stall_plan *plan)
{
    const char *separator = "";

    printf(",\n  \"stalls\": {\n    \"broker_cpu\": %d,\n    \"together\": %s,\n    \"realtime\": %s,\n",
           plan->broker_cpu, yes_or_no(plan->together), yes_or_no(plan->realtime));
    printf("    \"several_users\": %s,\n    \"small\": %s,\n    \"rounds\": %u,\n    \"repeated\": %u,\n    "
           "\"seconds\": %.3f,\n    \"loads\": [",
           yes_or_no(plan->several_users), yes_or_no(plan->small), stalls->rounds, stalls->repeated,
           (double)stalls->took_ns / 1e9);
    for (unsigned i = 0; i < stalls->count; i++) {
        const struct stall *stall = &stalls->stall[i];
        if (!stall->wanted || stall->skipped)
            continue;
        printf("%s\n      ", separator);
        json_stall(stall);
        separator = ",";
    }
    printf("\n    ]\n  }");
}
