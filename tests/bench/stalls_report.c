/* SPDX-License-Identifier: MIT */
#include "stalls_report.h"

#include <stdio.h>
#include <unistd.h>

#include "pinger.h"

static double microseconds(uint64_t ns)
{
    return (double)ns / 1000;
}

static void print_times(const struct samples *samples, uint64_t p99)
{
    printf(" %7.1f %7.1f %7.1f %8.1f ", microseconds(samples_percentile(samples, 50)),
           microseconds(samples_percentile(samples, 90)), microseconds(p99),
           microseconds(samples_percentile(samples, 100)));
}

static void print_stall(const struct stall *stall)
{
    printf("%-50s", stall->load->meaning);
    if (stall->skipped) {
        printf("  skipped: it needs two users, and so root\n");
        return;
    }
    print_times(&stall->quiet, stall->quiet_p99);
    print_times(&stall->loaded, stall->loaded_p99);
    printf(" %6.2f %-5s  %.0f %s/s%s%s\n", stall_ratio(stall), stall_ratio(stall) <= STALL_RATIO ? "yes" : "NO",
           stall->rate, stall->load->unit, stall->note[0] ? "; " : "", stall->note);
}

void stalls_print_table(const struct stalls *stalls, const struct stall_plan *plan)
{
    printf("\nNo client stalls another: a ping every %u us by an innocent client, in quiet and under a load\n",
           PING_INTERVAL_NS / 1000);
    printf("CPUs        the broker alone on CPU %d, all clients on CPU %d%s\n", plan->broker_cpu, plan->cpu,
           plan->broker_cpu == plan->cpu ? ": the same; ratios say little" : "");
    printf("users       %s\n", geteuid() == 0 ? "the broker, the innocent client and the hostile one are three"
                                              : "all one, since the bench is not root's");
    printf("priority    %s\n", plan->realtime
                                   ? "real-time for the broker's loop and the innocent client: the rest of the machine "
                                     "does not count"
                                   : "normal: what else the machine does counts; the hostile client's is SCHED_IDLE");
    printf("rounds      %u of %u pings in quiet and %u under the load; p99 is the median of the rounds'\n",
           stalls->rounds, stalls->run, stalls->run);
    printf("took        %.1f s\n\n", (double)stalls->took_ns / 1e9);
    printf("%-50s %7s %7s %7s %8s  %7s %7s %7s %8s  %6s\n", "", "quiet", "quiet", "quiet", "quiet", "loaded", "loaded",
           "loaded", "loaded", "p99");
    printf("%-50s %7s %7s %7s %8s  %7s %7s %7s %8s  %6s %-5s\n", "microseconds", "p50", "p90", "p99", "max", "p50",
           "p90", "p99", "max", "ratio", "<= 2");
    for (unsigned i = 0; i < stalls->count; i++)
        if (stalls->stall[i].wanted)
            print_stall(&stalls->stall[i]);
}

static void json_times(const char *key, const struct samples *samples, uint64_t p99)
{
    printf("\"%s\": {\"p50\": %llu, \"p90\": %llu, \"p99\": %llu, \"max\": %llu}", key,
           (unsigned long long)samples_percentile(samples, 50), (unsigned long long)samples_percentile(samples, 90),
           (unsigned long long)p99, (unsigned long long)samples_percentile(samples, 100));
}

void stalls_print_json(const struct stalls *stalls, const struct stall_plan *plan)
{
    const char *separator = "";

    printf(",\n  \"broker_cpu\": %d,\n  \"stall_rounds\": %u,\n  \"stalls\": [", plan->broker_cpu, stalls->rounds);
    for (unsigned i = 0; i < stalls->count; i++) {
        const struct stall *stall = &stalls->stall[i];
        if (!stall->wanted || stall->skipped)
            continue;
        printf("%s\n    {\"key\": \"%s\", \"unit\": \"%s\", \"rate\": %.1f, \"times\": %zu, ", separator,
               stall->load->key, stall->load->unit, stall->rate, stall->quiet.count);
        json_times("quiet_ns", &stall->quiet, stall->quiet_p99);
        printf(", ");
        json_times("loaded_ns", &stall->loaded, stall->loaded_p99);
        printf(", \"ratio\": %.3f}", stall_ratio(stall));
        separator = ",";
    }
    printf("\n  ]");
}
