/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "survival.h"

static double each_us(const struct survival_figure *figure, const struct samples *samples, double percent)
{
    return (double)samples_percentile(samples, percent) / figure->spread / 1e3;
}

static double ms(const struct samples *samples, double percent)
{
    return (double)samples_percentile(samples, percent) / 1e6;
}

void survival_print_table(const struct survival *survival, int cpu)
{
    printf("\nWhat it costs that a name survives the broker\n");
    printf("CPUs        the bench on CPU %d; the broker and the service manager run where they like\n", cpu);
    printf("took        %.1f s\n\n", (double)survival->took_ns / 1e9);
    printf("%-28s %7s  %8s %8s  %8s %8s\n", "", "", "volatile", "volatile", "survives", "survives");
    printf("%-28s %7s  %8s %8s  %8s %8s\n", "publish, microseconds", "times", "p50", "p99", "p50", "p99");
    for (const struct survival_figure *f = survival->figure; f < survival->figure + SURVIVAL_KINDS; f++)
        printf("%-28s %7zu  %8.2f %8.2f  %8.2f %8.2f\n", f->meaning, f->survives.count, each_us(f, &f->fleeting, 50),
               each_us(f, &f->fleeting, 99), each_us(f, &f->survives, 50), each_us(f, &f->survives, 99));
    printf("\n%u buffers, killed %zu times. To the first answer, in milliseconds (p50, and the longest):\n",
           survival->buffers, survival->back.count);
    printf("%-28s %8.1f %8.1f\n", "from kill -9", ms(&survival->back, 50), ms(&survival->back, 100));
    printf("%-28s %8.1f %8.1f\n", "from the broker's start", ms(&survival->restore, 50), ms(&survival->restore, 100));
}

static void json_times(const char *key, const struct survival_figure *figure, const struct samples *samples)
{
    printf("\"%s\": {\"p50\": %.1f, \"p99\": %.1f}", key, each_us(figure, samples, 50) * 1e3,
           each_us(figure, samples, 99) * 1e3);
}

static void json_wait(const char *key, const struct samples *samples)
{
    printf("\"%s\": {\"p50\": %llu, \"max\": %llu}", key, (unsigned long long)samples_percentile(samples, 50),
           (unsigned long long)samples_percentile(samples, 100));
}

void survival_print_json(const struct survival *survival)
{
    printf(",\n  \"survival\": {\n    \"seconds\": %.3f,\n    \"publish\": [", (double)survival->took_ns / 1e9);
    for (unsigned kind = 0; kind < SURVIVAL_KINDS; kind++) {
        const struct survival_figure *f = &survival->figure[kind];
        printf("%s\n      {\"key\": \"%s\", \"times\": %zu, ", kind ? "," : "", f->key, f->survives.count);
        json_times("volatile_ns", f, &f->fleeting);
        printf(", ");
        json_times("survives_ns", f, &f->survives);
        printf("}");
    }
    printf("\n    ],\n    \"buffers\": %u,\n    \"kills\": %zu,\n    ", survival->buffers, survival->back.count);
    json_wait("from_kill_ns", &survival->back);
    printf(",\n    ");
    json_wait("from_start_ns", &survival->restore);
    printf("\n  }");
}
