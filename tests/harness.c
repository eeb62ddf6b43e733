/* SPDX-License-Identifier: MIT */
/*
 * Check runs each test in a process of its own (CK_FORK=yes), so what a test has to tell besides "passed" and "failed"
 * goes through shared memory: which test it is, by counting the set-ups, and why it was skipped. The lines come from
 * Check's own TAP protocol, into which the skips are written afterwards.
 */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TESTS_AT_MOST     1024
#define WAIT_MS           10000
#define MAX_ARGUMENTS     32
#define BROKER_READY_FD   3
#define BROKER_READY_TEXT "3"

struct broker broker;

static struct protocol {
    unsigned tests; /* that were set up */
    char skipped[TESTS_AT_MOST][128];
} * protocol;

static unsigned descriptors_before;

static unsigned count_descriptors(const char *path)
{
    DIR *directory = opendir(path);
    unsigned count = 0;

    ck_assert_msg(directory, "cannot read %s", path);
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

unsigned descriptors_open(void)
{
    return count_descriptors("/proc/self/fd") - 1; /* the directory's own */
}

/* What the kernel says itself (Linux 6.2), also of processes that one may not look into; 0 where it does not. */
static unsigned descriptors_told(const char *path)
{
    struct stat st;

    ck_assert_msg(stat(path, &st) == 0, "cannot look at %s", path);
    return (unsigned)st.st_size;
}

static void count_before(void)
{
    protocol->tests++;
    descriptors_before = descriptors_open();
}

/* Says which, as a number alone helps nobody to find a leak. */
static void compare_after(void)
{
    unsigned after = descriptors_open();

    if (after == descriptors_before)
        return;
    for (int fd = 3; fd < 64; fd++) {
        char path[32], target[128];
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof(target));
        if (length > 0)
            printf("# %d is %.*s\n", fd, (int)length, target);
    }
    ck_abort_msg("%u descriptors were open before the test, %u are after it", descriptors_before, after);
}

static void start_broker(void)
{
    broker_start(&broker, NULL);
}

static void stop_broker(void)
{
    broker_stop(&broker);
}

TCase *harness_tcase(Suite *suite, const char *name)
{
    TCase *tcase = tcase_create(name);

    if (!protocol) {
        protocol = mmap(NULL, sizeof(*protocol), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (protocol == MAP_FAILED)
            abort();
    }
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, count_before, compare_after);
    suite_add_tcase(suite, tcase);
    return tcase;
}

/* Check calls the tear-downs in reverse order: the broker is gone when the descriptors are counted. */
TCase *harness_tcase_with_broker(Suite *suite, const char *name)
{
    TCase *tcase = harness_tcase(suite, name);

    tcase_add_checked_fixture(tcase, start_broker, stop_broker);
    return tcase;
}

void harness_note_skip(const char *reason)
{
    if (protocol->tests > 0 && protocol->tests <= TESTS_AT_MOST)
        snprintf(protocol->skipped[protocol->tests - 1], sizeof(protocol->skipped[0]), "%s", reason);
}

/* Copies Check's protocol, its line of test n with what is known of the skip: false where it is not as expected. */
static bool print_protocol(FILE *tap)
{
    char line[4096];
    unsigned number;
    bool plan = false;

    while (fgets(line, sizeof(line), tap)) {
        line[strcspn(line, "\n")] = '\0';
        plan = plan || strncmp(line, "1..", 3) == 0;
        const char *skipped = "";
        if (sscanf(line, "ok %u ", &number) == 1 && number >= 1 && number <= TESTS_AT_MOST)
            skipped = protocol->skipped[number - 1];
        printf("%s%s%s\n", line, skipped[0] ? " # SKIP " : "", skipped);
    }
    return plan;
}

int harness_run(Suite *suite)
{
    char path[] = "/tmp/sealbuf-tap-XXXXXX";
    int fd = mkstemp(path);
    SRunner *runner = srunner_create(suite);

    if (fd < 0)
        return EXIT_FAILURE;
    setvbuf(stdout, NULL, _IOLBF, 0);
    srunner_set_tap(runner, path);
    srunner_run_all(runner, CK_SILENT);
    FILE *tap = fdopen(fd, "r");
    bool complete = tap && print_protocol(tap);
    if (tap)
        fclose(tap);
    unlink(path);
    int failed = srunner_ntests_failed(runner);
    unsigned run = (unsigned)srunner_ntests_run(runner);
    srunner_free(runner);
    if (!complete || protocol->tests != run || run > TESTS_AT_MOST) {
        printf("Bail out! %u tests were run, %u were set up by the harness\n", run, protocol->tests);
        return EXIT_FAILURE;
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* In the child: becomes the broker. */
static void become_broker(const struct broker *started, int ready, const char *const *arguments)
{
    const char *program = getenv("SEALBUFD"), *all[MAX_ARGUMENTS];
    char log[96];
    unsigned n = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a test fails, nobody stops it */
    snprintf(log, sizeof(log), "%s/log", started->directory);
    int output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (output < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(126);
    if (ready == BROKER_READY_FD)
        fcntl(ready, F_SETFD, 0);
    else if (dup2(ready, BROKER_READY_FD) < 0)
        _exit(126);
    all[n++] = program ? program : "./sealbufd";
    all[n++] = "--socket";
    all[n++] = started->path;
    all[n++] = "--ready-fd";
    all[n++] = BROKER_READY_TEXT;
    if (geteuid() != 0 && descriptors_told("/proc/self/fd") == 0)
        all[n++] = "--no-sandbox"; /* else nobody but root could count its descriptors */
    while (arguments && *arguments && n < MAX_ARGUMENTS - 1)
        all[n++] = *arguments++;
    all[n] = NULL;
    unsetenv("LISTEN_FDS");
    unsetenv("NOTIFY_SOCKET");
    unsetenv("JOURNAL_STREAM");
    execvp(all[0], (char *const *)(void *)all);
    _exit(127);
}

/* What the broker has written, as comments. */
static void show_log(const struct broker *running)
{
    char path[96], line[1024];

    snprintf(path, sizeof(path), "%s/log", running->directory);
    FILE *log = fopen(path, "re");
    while (log && fgets(line, sizeof(line), log))
        printf("# broker: %s", line);
    if (log)
        fclose(log);
}

void broker_start(struct broker *started, const char *const *arguments)
{
    strcpy(started->directory, "/tmp/sealbuf-test-XXXXXX");
    ck_assert_msg(mkdtemp(started->directory), "no directory for the broker");
    snprintf(started->path, sizeof(started->path), "%s/socket", started->directory);
    broker_start_again(started, arguments);
}

void broker_start_again(struct broker *started, const char *const *arguments)
{
    int ready[2];
    char newline = 0;

    ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
    started->pid = fork();
    ck_assert_int_ge(started->pid, 0);
    if (started->pid == 0)
        become_broker(started, ready[1], arguments);
    close(ready[1]);
    ssize_t n = read(ready[0], &newline, 1);
    char more; /* never comes: but the end does, once the broker has closed its side, and has its usual descriptors */
    while (n == 1 && read(ready[0], &more, 1) > 0)
        ;
    close(ready[0]);
    if (n != 1 || newline != '\n') {
        show_log(started);
        ck_abort_msg("the broker did not become ready; is $SEALBUFD right?");
    }
    setenv("SEALBUF_SOCKET", started->path, 1);
    started->baseline = broker_descriptors(started);
}

void broker_start_later(struct broker *started, unsigned ms)
{
    fflush(NULL);
    started->pid = fork();
    ck_assert_int_ge(started->pid, 0);
    if (started->pid)
        return;
    sleep_ms(ms);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    become_broker(started, nowhere, NULL);
}

void broker_kill(const struct broker *running)
{
    int status;

    ck_assert_int_eq(kill(running->pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(running->pid, &status, 0), running->pid);
}

unsigned broker_descriptors(const struct broker *running)
{
    char path[48];

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)running->pid);
    unsigned told = descriptors_told(path);
    return told ? told : count_descriptors(path);
}

/* The exit status as waitpid(2) gives it, or -1 where it has not ended within the time. */
static int wait_for_end(pid_t pid)
{
    int status;

    for (int waited = 0; waited < WAIT_MS; waited += 5) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        sleep_ms(5);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
}

static void remove_directory(const struct broker *stopped)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/log", stopped->directory);
    unlink(path);
    ck_assert_msg(rmdir(stopped->directory) == 0, "the broker leaves something in %s", stopped->directory);
}

void broker_stop(struct broker *running)
{
    int status;

    if (waitpid(running->pid, &status, WNOHANG) != 0) {
        show_log(running);
        ck_abort_msg("the broker had ended already, with status 0x%x", (unsigned)status);
    }
    unsigned now = broker_descriptors(running);
    for (int waited = 0; now != running->baseline && waited < WAIT_MS; waited += 5) {
        sleep_ms(5);
        now = broker_descriptors(running);
    }
    kill(running->pid, SIGTERM);
    status = wait_for_end(running->pid);
    unsetenv("SEALBUF_SOCKET");
    if (status != 0 || now != running->baseline)
        show_log(running);
    ck_assert_msg(status == 0, "the broker ended with status 0x%x on SIGTERM", (unsigned)status);
    ck_assert_msg(now == running->baseline, "the broker had %u descriptors at its start, and %u at its end",
                  running->baseline, now);
    remove_directory(running);
}
