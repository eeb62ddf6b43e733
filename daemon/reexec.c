/* SPDX-License-Identifier: MIT */
#include "reexec.h"

#include <config-build.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "claim.h"
#include "cleanup.h"
#include "clock.h"
#include "handover.h"
#include "log.h"
#include "message_id.h"
#include "notify.h"
#include "peer.h"
#include "store.h"
#include "trial.h"

/* For how long to wait until descriptors and workers are at rest, then until requests are, and for a trial. */
#define REST_NS       10000000000u
#define FINISH_NS     5000000000u
#define TRIAL_SECONDS 10
#define LOOK_AGAIN_US 2000
#define SENTENCE_SIZE 512

struct reexec {
    struct broker *broker;
    char **argv;
    char program[PATH_MAX]; /* where this one was found when it was first started; empty: nowhere */
    enum { PHASE_NONE, PHASE_BEGIN, PHASE_TRIAL, PHASE_REST, PHASE_FINISH } phase;
    uint64_t until_ns; /* the phase must be over */
    int opened;        /* the program that is tried, and then executed */
    struct trial trial;
    struct event look, trial_ended;
    uint64_t waited_ns;
    int level; /* of the line that it has failed */
    char failure[SENTENCE_SIZE];
};

/* ---- Where the program is ---------------------------------------------------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/*
 * By the path of the command line, if that has one: a link there may lead to another program by the time of an upgrade.
 * Else what the kernel says; a program that has been replaced since it was started is still to be found at its path.
 */
static void find_program(char program[PATH_MAX], const char *argument)
{
    static const char deleted[] = " (deleted)";
    ssize_t length = readlink("/proc/self/exe", program, PATH_MAX - 1);
    size_t ending = sizeof(deleted) - 1;

    if (length < 0)
        length = 0;
    program[length] = '\0';
    if (argument && strchr(argument, '/') && strlen(argument) < PATH_MAX &&
        (length == 0 || same_file(argument, "/proc/self/exe"))) {
        memcpy(program, argument, strlen(argument) + 1);
        return;
    }
    if ((size_t)length > ending && strcmp(program + length - ending, deleted) == 0 && access(program, F_OK) < 0)
        program[(size_t)length - ending] = '\0';
}

static int open_program(const struct reexec *reexec)
{
    if (reexec->program[0])
        return open(reexec->program, O_PATH | O_CLOEXEC);
    errno = ENOENT;
    return -1;
}

/* ---- The phases -------------------------------------------------------------------------------------------------- */

static void enter(struct reexec *reexec, int phase, uint64_t time_ns)
{
    reexec->phase = phase;
    reexec->until_ns = clock_monotonic_ns() + time_ns;
}

static void look_again(struct reexec *reexec)
{
    static const struct timeval time = {.tv_usec = LOOK_AGAIN_US};
    event_add(&reexec->look, &time);
}

static void hold_workers(struct broker *broker, bool hold)
{
    workers_hold(broker->workers, hold);
    workers_hold(broker->reaper.workers, hold);
    store_hold(&broker->store, hold);
}

/*
 * From now on whoever has had a long request finished is not read from until the next program does: so there is an end
 * of them. Those who ask for little are served as ever.
 */
static void rest_peers(struct broker *broker, bool rest)
{
    struct peer *peer;

    broker->is_resting = rest;
    LIST_FOREACH(peer, &broker->peers, link)
        if (!rest && peer->rests)
            peer_wake(peer);
}

/* The broker goes on as it is. */
static void fail(struct reexec *reexec, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct reexec *reexec, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reexec->failure, sizeof(reexec->failure), format, arguments);
    va_end(arguments);
    event_del(&reexec->look);
    trial_end(&reexec->trial);
    close_quietly(take_fd(&reexec->opened));
    hold_workers(reexec->broker, false);
    rest_peers(reexec->broker, false);
    reexec->phase = PHASE_NONE;
    log_about(reexec->level, &(struct log_subject){.message_id = MESSAGE_ID_REEXEC_FAILED},
              "not re-executed, this program goes on: %s", reexec->failure);
    notify_ready();
}

static bool is_in_the_middle(const struct broker *broker)
{
    const struct peer *peer;

    LIST_FOREACH(peer, &broker->peers, link)
        if (peer_is_in_the_middle(peer))
            return true;
    return false;
}

/*
 * Descriptors that clients have sent and that are no memfds may take for ever to be closed (reaper.h), and exec closes
 * whatever is not handed on. There are seldom any, and they are soon gone.
 */
static bool has_foreign(const struct reexec *reexec)
{
    return reexec->broker->quota.held[RESOURCE_FOREIGN] > 0;
}

/* The uid that has the most of them. */
static uid_t sender_of_foreign(struct reexec *reexec)
{
    struct account *account, *found = NULL;

    for (account = quota_from(&reexec->broker->quota, 0); account; account = quota_next(account))
        if (!found || account->held[RESOURCE_FOREIGN] > found->held[RESOURCE_FOREIGN])
            found = account;
    return found ? found->uid : (uid_t)-1;
}

/* They are the broker's by now: to end who has sent them changes nothing. */
static void fail_for_foreign(struct reexec *reexec)
{
    fail(reexec,
         "%llu descriptors that clients have sent, of uid %u above all, and that are no memfds, could not be closed; "
         "see what is wrong with the file system behind them (FUSE?) and try again, or restart the broker",
         (unsigned long long)reexec->broker->quota.held[RESOURCE_FOREIGN], (unsigned)sender_of_foreign(reexec));
}

static void on_trial_ended(evutil_socket_t fd, short what, void *argument);

/* r: of execveat(2), or of what was needed before. The program has been opened, so it is no path that does not exist.
 */
static void fail_to_execute(struct reexec *reexec, int r)
{
    if (r == -ENOMEM || r == -EMFILE || r == -ENFILE || r == -EAGAIN || r == -ENOSPC)
        fail(reexec, "cannot hand over to '%s': %s; try again when there is room", reexec->program, strerror(-r));
    else
        fail(reexec, "cannot execute '%s': %s; install a sealbufd there and try again", reexec->program,
             r == -ENOENT ? "it is a script, or its interpreter is missing" : strerror(-r));
}

static void begin_trial(struct reexec *reexec)
{
    struct broker *broker = reexec->broker;
    struct handover handover;

    int r = handover_save(broker, reexec->program, clock_monotonic_ns(), &handover);
    if (r == 0)
        r = trial_begin(&reexec->trial, reexec->opened, reexec->argv, &handover);
    handover_free(&handover);
    if (r < 0) {
        fail_to_execute(reexec, r);
        return;
    }
    enter(reexec, PHASE_TRIAL, TRIAL_SECONDS * 1000000000ull);
    event_assign(&reexec->trial_ended, broker->loop, reexec->trial.pidfd, EV_READ | EV_TIMEOUT, on_trial_ended, reexec);
    event_base_update_cache_time(broker->loop); /* or its time would begin before the handover was written */
    event_add(&reexec->trial_ended, &(struct timeval){.tv_sec = TRIAL_SECONDS});
}

static void on_trial_ended(evutil_socket_t fd, short what, void *argument)
{
    struct reexec *reexec = argument;
    char cause[TRIAL_CAUSE];

    (void)fd;
    if (what & EV_TIMEOUT) {
        fail(reexec, "'%s' was tried, and was not done within %d seconds", reexec->program, TRIAL_SECONDS);
        return;
    }
    if (!trial_has_worked(&reexec->trial, cause)) {
        if (reexec->trial.was_stopped)
            reexec->level = LOG_NOTICE;
        fail(reexec, "'%s' was tried, and %s", reexec->program, cause);
        return;
    }
    trial_end(&reexec->trial);
    hold_workers(reexec->broker, true);
    enter(reexec, PHASE_REST, REST_NS);
    look_again(reexec);
}

/* Does not return where it works. */
static int execute(struct reexec *reexec)
{
    struct broker *broker = reexec->broker;
    struct handover handover;
    char **environment = NULL;
    int r;

    uint64_t stopped_ns = clock_monotonic_ns();
    r = handover_save(broker, reexec->program, stopped_ns, &handover);
    if (r == 0)
        r = (environment = trial_environment(handover.fd, -1, NULL)) ? 0 : -ENOMEM;
    if (r == 0) {
        trial_pass_on(&handover, true);
        r = trial_execute(reexec->opened, reexec->argv, environment);
        trial_pass_on(&handover, false);
    }
    trial_environment_free(environment);
    handover_free(&handover);
    return r;
}

static bool is_busy(const struct broker *broker)
{
    return workers_are_busy(broker->workers) || workers_are_busy(broker->reaper.workers) ||
           store_is_busy(&broker->store);
}

/* Requests that are under way get their turns, among all others; there are no more of them than connections. */
static void finish(struct reexec *reexec)
{
    struct broker *broker = reexec->broker;
    bool over = clock_monotonic_ns() > reexec->until_ns;

    if (!is_busy(broker) && !has_foreign(reexec) && !is_in_the_middle(broker)) {
        fail_to_execute(reexec, execute(reexec));
    } else if (over && has_foreign(reexec)) {
        fail_for_foreign(reexec);
    } else if (over) {
        fail(reexec, "requests of clients took more than %u seconds; try again", (unsigned)(FINISH_NS / 1000000000u));
    } else {
        look_again(reexec);
    }
}

static void rest(struct reexec *reexec)
{
    bool busy = is_busy(reexec->broker);
    bool over = clock_monotonic_ns() > reexec->until_ns;

    if (!busy && !has_foreign(reexec)) {
        rest_peers(reexec->broker, true);
        enter(reexec, PHASE_FINISH, FINISH_NS);
        finish(reexec);
    } else if (over && busy) {
        fail(reexec,
             "a worker was busy for 10 seconds, adding a seal, freeing a big buffer, or waiting for the service "
             "manager; try again");
    } else if (over) {
        fail_for_foreign(reexec);
    } else {
        look_again(reexec);
    }
}

static void begin(struct reexec *reexec)
{
    if (!has_foreign(reexec))
        begin_trial(reexec);
    else if (clock_monotonic_ns() > reexec->until_ns)
        fail_for_foreign(reexec);
    else
        look_again(reexec);
}

static void on_look(evutil_socket_t fd, short what, void *argument)
{
    struct reexec *reexec = argument;

    (void)fd, (void)what;
    if (reexec->phase == PHASE_BEGIN)
        begin(reexec);
    else if (reexec->phase == PHASE_REST)
        rest(reexec);
    else if (reexec->phase == PHASE_FINISH)
        finish(reexec);
}

int reexec_start(struct reexec *reexec)
{
    if (reexec->phase != PHASE_NONE)
        return -EALREADY;
    log_line(LOG_INFO, "re-executing '%s'", reexec->program);
    reexec->failure[0] = '\0';
    reexec->level = LOG_ERR;
    notify_reloading();
    enter(reexec, PHASE_BEGIN, REST_NS);
    reexec->opened = open_program(reexec);
    if (reexec->opened < 0)
        fail(reexec, "cannot open the broker's program '%s': %s; install a sealbufd there and try again",
             reexec->program, strerror(errno));
    else
        look_again(reexec); /* whoever asks is in the middle of a turn */
    return 0;
}

bool reexec_is_under_way(const struct reexec *reexec)
{
    return reexec->phase != PHASE_NONE;
}

const char *reexec_failure(const struct reexec *reexec)
{
    return reexec->failure;
}

uint64_t reexec_waited_ns(const struct reexec *reexec)
{
    return reexec->waited_ns;
}

void reexec_done(struct reexec *reexec, const struct takeover *takeover)
{
    const struct broker *broker = reexec->broker;
    struct span version = takeover->header.version;

    reexec->waited_ns = clock_monotonic_ns() - takeover->header.stopped_ns;
    log_about(LOG_NOTICE, &(struct log_subject){.message_id = MESSAGE_ID_REEXEC},
              "re-executed: sealbufd %s in the place of %.*s, with %llu connection%s and %llu buffer%s, which nobody "
              "served for %llu.%03llu ms",
              PACKAGE_VERSION, (int)version.length, version.data,
              (unsigned long long)broker->quota.held[RESOURCE_CONNECTIONS],
              plural(broker->quota.held[RESOURCE_CONNECTIONS]),
              (unsigned long long)broker->quota.held[RESOURCE_BUFFERS], plural(broker->quota.held[RESOURCE_BUFFERS]),
              (unsigned long long)(reexec->waited_ns / 1000000), (unsigned long long)(reexec->waited_ns / 1000 % 1000));
}

struct reexec *reexec_new(struct broker *broker, char **argv, const struct takeover *takeover)
{
    struct reexec *reexec = calloc(1, sizeof(*reexec));

    if (!reexec)
        return NULL;
    reexec->broker = broker;
    reexec->argv = argv;
    reexec->opened = -1;
    trial_init(&reexec->trial);
    if (takeover && takeover->header.program.length < sizeof(reexec->program))
        memcpy(reexec->program, takeover->header.program.data, takeover->header.program.length);
    else
        find_program(reexec->program, argv[0]);
    event_assign(&reexec->look, broker->loop, -1, 0, on_look, reexec);
    return reexec;
}

void reexec_free(struct reexec *reexec)
{
    if (!reexec)
        return;
    event_del(&reexec->look);
    if (reexec->phase == PHASE_TRIAL)
        event_del(&reexec->trial_ended);
    trial_end(&reexec->trial);
    close_quietly(reexec->opened);
    free(reexec);
}
