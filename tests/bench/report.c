/* SPDX-License-Identifier: MIT */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "complain.h"
#include "stalls_report.h"

/* What is compared with what, besides sealbuf with the bare server. */
static const struct comparison {
    const char *key, *figure, *beside, *meaning;
} comparisons[] = {
    {"gib_beside_page", "get-1gib", "get", "get of 1 GiB beside one of 4 KiB"},
    {"many_beside_one", "get-many", "get", "get among many live buffers beside one among one"},
};
#define COMPARISONS (sizeof(comparisons) / sizeof(comparisons[0]))

static double nanoseconds(const struct figure *figure, const struct samples *samples, double percent)
{
    return (double)samples_percentile(samples, percent) / figure->spread;
}

static double ratio(const struct figure *figure, double percent)
{
    double bare = nanoseconds(figure, &figure->bare, percent);
    return bare > 0 ? nanoseconds(figure, &figure->sealbuf, percent) / bare : 0;
}

/* One figure's median beside another one's; false where they have not both been taken. */
static bool compare(const struct comparison *comparison, double *sealbuf, double *bare)
{
    const struct figure *a = figures_find(comparison->figure), *b = figures_find(comparison->beside);

    if (!a || !b || !a->wanted || !b->wanted)
        return false;
    *sealbuf = nanoseconds(a, &a->sealbuf, 50) / nanoseconds(b, &b->sealbuf, 50);
    *bare = nanoseconds(a, &a->bare, 50) / nanoseconds(b, &b->bare, 50);
    return true;
}

static int finish_output(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return complain("standard output: %s; the figures are lost", strerror(errno));
}

static void print_setting(const struct setting *setting)
{
    printf("kernel      %s\n", setting->kernel);
    printf("CPU         %s\n", setting->cpu_model);
    printf("broker      %s\n", setting->broker);
}

static void print_figures(const struct figures *figures, const struct setting *setting)
{
    double sealbuf, bare;

    printf("\nWhat it costs: sealbuf beside a bare server\n");
    printf("CPU         both ends pinned to CPU %d\n", setting->cpu);
    printf("rounds      %u, in %.1f s; sealbuf and the bare server take turns\n", figures->rounds,
           (double)figures->took_ns / 1e9);
    printf("clock       each time contains %llu ns of reading it\n", (unsigned long long)setting->clock_ns);
    if (figures->live)
        printf("many live   %u buffers\n", figures->live);
    printf("\n%-28s %7s  %8s %8s  %8s %8s  %6s %6s\n", "", "", "sealbuf", "sealbuf", "bare", "bare", "ratio", "ratio");
    printf("%-28s %7s  %8s %8s  %8s %8s  %6s %6s\n", "microseconds", "times", "p50", "p99", "p50", "p99", "p50", "p99");
    for (const struct figure *f = figures->figure; f < figures->figure + figures->count; f++)
        if (f->wanted)
            printf("%-28s %7zu  %8.2f %8.2f  %8.2f %8.2f  %6.2f %6.2f\n", f->meaning, f->sealbuf.count,
                   nanoseconds(f, &f->sealbuf, 50) / 1000, nanoseconds(f, &f->sealbuf, 99) / 1000,
                   nanoseconds(f, &f->bare, 50) / 1000, nanoseconds(f, &f->bare, 99) / 1000, ratio(f, 50),
                   ratio(f, 99));
    for (const struct comparison *c = comparisons; c < comparisons + COMPARISONS; c++)
        if (compare(c, &sealbuf, &bare))
            printf("%s%-50s  sealbuf %.2f, bare %.2f (p50)\n", c == comparisons ? "\n" : "", c->meaning, sealbuf, bare);
}

int report_table(const struct results *results)
{
    print_setting(results->setting);
    if (results->figures)
        print_figures(results->figures, results->setting);
    if (results->stalls)
        stalls_print_table(results->stalls, results->stall_plan);
    if (results->survival)
        survival_print_table(results->survival, results->setting->cpu);
    return finish_output();
}

static void json_string(const char *key, const char *text)
{
    printf("\"%s\": \"", key);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void json_times(const char *key, const struct figure *figure, const struct samples *samples)
{
    printf("\"%s\": {\"p50\": %.1f, \"p99\": %.1f}", key, nanoseconds(figure, samples, 50),
           nanoseconds(figure, samples, 99));
}

static void json_figure(const struct figure *figure)
{
    printf("    {\"key\": \"%s\", \"times\": %zu, \"buffers\": %u, ", figure->key, figure->sealbuf.count,
           figure->spread);
    json_times("sealbuf_ns", figure, &figure->sealbuf);
    printf(", ");
    json_times("bare_ns", figure, &figure->bare);
    printf(", \"ratio\": {\"p50\": %.3f, \"p99\": %.3f}}", ratio(figure, 50), ratio(figure, 99));
}

static void json_figures(const struct figures *figures, const struct setting *setting)
{
    const char *separator = "";
    double sealbuf, bare;

    printf(",\n  \"rounds\": %u,\n  \"seconds\": %.3f,\n  \"clock_ns\": %llu,\n  \"many_live\": %u,\n", figures->rounds,
           (double)figures->took_ns / 1e9, (unsigned long long)setting->clock_ns, figures->live);
    printf("  \"figures\": [");
    for (const struct figure *f = figures->figure; f < figures->figure + figures->count; f++)
        if (f->wanted) {
            printf("%s\n", separator);
            json_figure(f);
            separator = ",";
        }
    printf("\n  ],\n  \"comparisons\": [");
    separator = "";
    for (const struct comparison *c = comparisons; c < comparisons + COMPARISONS; c++)
        if (compare(c, &sealbuf, &bare)) {
            printf("%s\n    {\"key\": \"%s\", \"sealbuf\": %.3f, \"bare\": %.3f}", separator, c->key, sealbuf, bare);
            separator = ",";
        }
    printf("\n  ]");
}

int report_json(const struct results *results)
{
    printf("{\n  ");
    json_string("kernel", results->setting->kernel);
    printf(",\n  ");
    json_string("cpu_model", results->setting->cpu_model);
    printf(",\n  ");
    json_string("broker", results->setting->broker);
    printf(",\n  \"cpu\": %d", results->setting->cpu);
    if (results->figures)
        json_figures(results->figures, results->setting);
    if (results->stalls)
        stalls_print_json(results->stalls, results->stall_plan);
    if (results->survival)
        survival_print_json(results->survival);
    printf("\n}\n");
    return finish_output();
}
