/* SPDX-License-Identifier: MIT */
/* sealbufd: puts a broker together, runs it, and takes it apart again. */
#include <assert.h>
#include <config-build.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "broker.h"
#include "cleanup.h"
#include "clock.h"
#include "command_line.h"
#include "config_print.h"
#include "draft.h"
#include "handover.h"
#include "idle.h"
#include "listener.h"
#include "log.h"
#include "message_id.h"
#include "notify.h"
#include "peer.h"
#include "reexec.h"
#include "reload.h"
#include "restore.h"
#include "sandbox.h"
#include "service.h"
#include "status.h"

/* Threads that wait: for seals, for the pages of big buffers, for what clients send that is no memfd. */
#define SEALERS         16
#define CLOSERS         2
#define FOREIGN_CLOSERS 1

/* Exit codes: sealbufd(8). */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static void stop_loop(const struct broker *broker, int signal_number)
{
    log_about(LOG_INFO, &(struct log_subject){.message_id = MESSAGE_ID_STOPPING}, "%s: stopping",
              strsignal(signal_number));
    event_base_loopbreak(broker->loop);
}

static void execute_anew(const struct broker *broker, int signal_number)
{
    if (reexec_start(broker->reexec) < 0)
        log_line(LOG_NOTICE, "%s: the program is being executed anew already", strsignal(signal_number));
}

static void on_signal(evutil_socket_t fd, short what, void *argument)
{
    struct broker *broker = argument;
    struct signalfd_siginfo info;

    (void)what;
    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return;
    switch (info.ssi_signo) {
    case SIGHUP:
        reload_configuration(broker);
        break;
    case SIGUSR2:
        execute_anew(broker, SIGUSR2);
        break;
    default:
        stop_loop(broker, (int)info.ssi_signo);
        break;
    }
}

/* The loop has one thread, so it needs no locks; and what may block is none of its business. */
static struct event_base *new_loop(void)
{
    struct event_config *config = event_config_new();

    if (!config)
        return NULL;
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    event_config_set_max_dispatch_interval(config, NULL, OTHERS_AT_ONCE, PRIORITY_OTHER);
    struct event_base *loop = event_base_new_with_config(config);
    event_config_free(config);
    if (loop)
        event_base_priority_init(loop, PRIORITIES);
    return loop;
}

/* Of a failure that has been logged where it happened. That there is no memory, or no descriptor, start() tells. */
#define LOGGED (-ECANCELED)

static int unless_logged(int r)
{
    return r == 0 || r == -ENOMEM || r == -EMFILE || r == -ENFILE ? r : LOGGED;
}

/* Whoever loses the ledger loses all names, so without it nothing else need be kept. */
static void store_ledger(struct broker *broker)
{
    if (!broker->store.is_there || broker->ledger_is_stored)
        return;
    int r = store_put(&broker->store, LEDGER_NAME, ledger_fd(broker->ledger));
    if (r == 0)
        return;
    log_line(LOG_WARNING,
             "the service manager does not keep the ledger: %s; nothing that is published survives the broker; see "
             "FileDescriptorStoreMax= of the unit",
             strerror(-r));
    broker->store.is_there = false;
}

/* All that is no socket to listen on was kept of an earlier broker, or is nobody's. */
static int restore_passed(struct broker *broker, struct passed *passed, int count)
{
    CLEANUP(cleanup_free)
    struct inherited *inherited = calloc((size_t)count + 1, sizeof(*inherited));
    struct held_buffers held = LIST_HEAD_INITIALIZER(held);
    size_t kept = 0;

    if (!inherited)
        return -ENOMEM;
    for (int i = 0; i < count; i++)
        if (!service_is_socket(&passed[i]))
            inherited[kept++] = (struct inherited){passed[i].name, take_fd(&passed[i].fd)};
    int r = store_open(&broker->store, broker->loop, &broker->buffers, kept > 0);
    if (r == 0)
        r = restore(broker, inherited, kept, &held);
    if (r == 0)
        store_ledger(broker);
    return r;
}

static int take_passed(struct broker *broker)
{
    struct passed *passed = NULL;
    int count = service_passed(&passed);

    if (count < 0) {
        log_line(LOG_ERR, "cannot take what the service manager passes: %s", strerror(-count));
        return count;
    }
    int r = restore_passed(broker, passed, count);
    if (r == 0)
        r = listeners_open(broker, passed, count);
    service_passed_free(passed, count);
    return r;
}

static int start(struct broker *broker, const struct config *config, struct takeover *takeover)
{
    broker->started_ns = clock_monotonic_ns();
    if (!broker->is_trial)
        notify_open();
    LIST_INIT(&broker->peers);
    TAILQ_INIT(&broker->in_flight);
    credentials_learn_namespace();
    quota_init(&broker->quota, &config->limits, credentials_uid_is_known(geteuid()) ? geteuid() : (uid_t)-1);
    buffers_init(&broker->buffers, &broker->quota, &broker->reaper, &broker->store);
    registry_init(&broker->registry, broker);
    int r = memfd_devices_probe(&broker->devices);
    if (r < 0) {
        log_line(LOG_ERR, "this kernel makes no memfds: %s", strerror(-r));
        return LOGGED;
    }
    int probe = memfd_create_spec(&(struct memfd_spec){.label = "sealbuf-probe"});
    if (probe >= 0)
        memfd_get_seals(probe, &broker->birth_seals);
    close_quietly(probe);
    broker->own_descriptors = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (broker->own_descriptors < 0)
        log_line(LOG_WARNING,
                 "cannot open /proc/self/fd, so nobody can get a buffer for reading only, nor adopt one: %s",
                 strerror(errno));
    broker->loop = new_loop();
    if (!broker->loop)
        return -ENOMEM;
    turns_init(broker);
    deadlines_init(&broker->deadlines, broker->loop);
    changes_init(&broker->changes, broker->loop);
    watches_init(&broker->watches, broker->loop);
    tokens_init(&broker->tokens, &broker->quota, &broker->deadlines);
    broker->workers = workers_start(broker->loop, SEALERS);
    broker->reaper.workers = workers_start(broker->loop, CLOSERS);
    broker->reaper.foreign = workers_start(broker->loop, FOREIGN_CLOSERS);
    broker->reaper.quota = &broker->quota;
    if (!broker->workers || !broker->reaper.workers || !broker->reaper.foreign)
        return -errno;
    assert(broker->command_line);
    broker->reexec = reexec_new(broker, broker->command_line->argv, takeover);
    if (!broker->reexec)
        return -ENOMEM;
    int restored = takeover ? takeover_restore(takeover, broker) : take_passed(broker);
    return unless_logged(restored);
}

/* After a takeover, whoever waited for --ready-fd has been told, and its number means something else by now. */
static void announce(struct broker *broker, const struct config *config, struct takeover *takeover)
{
    if (takeover)
        reexec_done(broker->reexec, takeover);
    else
        log_about(LOG_INFO, &(struct log_subject){.message_id = MESSAGE_ID_STARTED},
                  "ready: sealbufd %s, instance %016llx", PACKAGE_VERSION,
                  (unsigned long long)ledger_instance(broker->ledger));
    notify_ready();
    status_watch(broker);
    if (takeover || config->ready_fd < 0)
        return;
    if (write(config->ready_fd, "\n", 1) != 1)
        log_line(LOG_WARNING, "cannot tell descriptor %d that the broker is ready: %s", config->ready_fd,
                 strerror(errno));
    close(config->ready_fd);
}

/*
 * Signals are blocked for good, and read: one that has not been handled is pending, and stays so when the program is
 * executed anew, so that none is lost, and none is deadly.
 */
static int watch_signals(struct broker *broker, struct event *signals)
{
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGHUP);
    sigaddset(&ours, SIGUSR2);
    sigprocmask(SIG_BLOCK, &ours, NULL);
    int fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    event_assign(signals, broker->loop, fd, EV_READ | EV_PERSIST, on_signal, broker);
    event_priority_set(signals, PRIORITY_FEW);
    event_add(signals, NULL);
    return 0;
}

static int run(struct broker *broker, const struct config *config, struct takeover *takeover)
{
    struct event signals;

    int r = watch_signals(broker, &signals);
    if (r < 0) {
        log_line(LOG_ERR, "cannot start: no descriptor to read signals from: %s", strerror(-r));
        return r;
    }
    notify_attach(broker->loop);
    broker->idle = config->idle_exit_ms ? idle_watch(broker) : NULL;
    if (takeover && takeover->header.filtered)
        sandbox_go_on();
    else
        sandbox_enter(config); /* nothing below opens anything but what clients ask for */
    announce(broker, config, takeover);
    if (takeover)
        takeover_end(takeover);
    r = event_base_dispatch(broker->loop) < 0 ? -EIO : 0;
    idle_free(broker->idle);
    status_end(broker);
    event_del(&signals);
    close(event_get_fd(&signals));
    return r;
}

static void forget_names(struct broker *broker)
{
    struct name *name;

    while ((name = RB_ROOT(&broker->registry.names)))
        registry_unbind(&broker->registry, name, SEALBUF_CHANGE_REMOVED);
}

/* Everything that was charged must come back: what does not was lost on the way, and that is a bug to be seen. */
static int check_accounts(const struct broker *broker)
{
    if (quota_is_empty(&broker->quota) && broker->reaper.pending == 0)
        return 0;
    for (unsigned i = 0; i < COUNTED_RESOURCES; i++)
        if (broker->quota.held[i])
            log_line(LOG_CRIT, "not zero at the end: %llu %s", (unsigned long long)broker->quota.held[i],
                     limits_key(i));
    log_line(LOG_CRIT, "accounts are not zero at the end; %llu closes and %llu sealings are left",
             (unsigned long long)broker->reaper.pending, (unsigned long long)broker->quota.held[RESOURCE_SEALING]);
    return -EBADE;
}

static int stop(struct broker *broker)
{
    struct peer *peer;

    notify_stopping();
    reexec_free(broker->reexec);
    listeners_close(broker);
    while ((peer = LIST_FIRST(&broker->peers)))
        peer_destroy(peer);
    ledger_detach(broker->ledger); /* from here on there is only this process to be forgotten */
    store_leave(&broker->store);   /* names and what they hold go in here, not in the store */
    forget_names(broker);
    workers_stop(broker->workers);
    workers_stop(broker->reaper.workers);
    workers_abandon(broker->reaper.foreign);
    notify_close();
    if (broker->loop)
        event_base_free(broker->loop);
    close_quietly(broker->own_descriptors);
    ledger_close(broker->ledger);
    return check_accounts(broker);
}

/* What a file or the command line says is wrong, or what the machine has does not suffice. */
static int exit_code_of(int r)
{
    return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

static int check_config(const struct command_line *line)
{
    struct draft draft;

    int r = config_load(&draft, line);
    if (r == 0)
        r = config_print(&draft);
    draft_free(&draft);
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int load(struct config *config, const struct command_line *line)
{
    struct draft draft;

    int r = config_load(&draft, line);
    if (r == -ENOMEM)
        log_line(LOG_ERR, "cannot read the configuration: %s", strerror(-r));
    *config = draft.config;
    config_init(&draft.config); /* which has been handed over */
    draft_free(&draft);
    return r;
}

/* What was restored belongs to another process: nothing of it may be taken apart. */
static void end_trial(const struct takeover *takeover, int r)
{
    if (r == 0 && (r = takeover_report(takeover)) < 0)
        log_line(LOG_ERR, "cannot tell the broker that the trial has worked: %s", strerror(-r));
    _exit(r < 0 ? EXIT_FAILED : EXIT_OK);
}

static int serve(struct config *config, const struct command_line *line, struct takeover *takeover)
{
    static struct broker broker = {.own_descriptors = -1};

    broker.config = config;
    broker.command_line = line;
    broker.takes_over = takeover != NULL;
    broker.is_trial = takeover_is_trial(takeover);
    int r = start(&broker, config, takeover);
    if (r < 0 && r != LOGGED)
        log_line(LOG_ERR, "cannot start: %s; see memory limits and RLIMIT_NOFILE", strerror(-r));
    if (broker.is_trial)
        end_trial(takeover, r);
    if (r == 0)
        r = run(&broker, config, takeover);
    int s = stop(&broker);
    libevent_global_shutdown();
    return r < 0 || s < 0 ? EXIT_FAILED : EXIT_OK;
}

static int load_and_serve(const struct command_line *line, struct takeover *takeover)
{
    struct config config;

    int r = load(&config, line);
    log_start(takeover_is_trial(takeover) ? LOG_ERR : config.log_level);
    /* A client that goes away is no reason to die, nor is a size beyond RLIMIT_FSIZE (SIGXFSZ): both come as errors. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    int status = r < 0 ? exit_code_of(r) : serve(&config, line, takeover);
    config_release(&config);
    return status;
}

/* NULL: it takes over from nobody. Its name is that of the command again, and not the number of a descriptor. */
static struct takeover *begin_takeover(struct takeover *takeover)
{
    log_start(LOG_INFO);
    int r = takeover_begin(takeover);
    if (r < 0)
        exit(EXIT_FAILED);
    if (r == 0)
        return NULL;
    sandbox_hide();
    prctl(PR_SET_NAME, program_invocation_short_name, 0, 0, 0);
    return takeover;
}

int main(int argc, char **argv)
{
    struct takeover room, *takeover = begin_takeover(&room);
    struct command_line line;
    int status = EXIT_OK;

    switch (command_line_parse(&line, argc, argv)) {
    case COMMAND_DONE:
        status = fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
        break;
    case COMMAND_WRONG:
        status = EXIT_USAGE;
        break;
    case COMMAND_RUN:
        status = line.check_config ? check_config(&line) : load_and_serve(&line, takeover);
        break;
    }
    command_line_free(&line);
    return status;
}
