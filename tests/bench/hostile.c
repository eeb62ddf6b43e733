/* SPDX-License-Identifier: MIT */
#include "hostile.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "complain.h"
#include "cpus.h"
#include "realtime.h"
#include "users.h"

#define PATIENCE_S 60

enum command { GO = 'g', REST = 'r' };

struct report {
    uint64_t done;
    char note[80];
};

struct life {
    const struct load *load;
    struct hostile hostile;
    int cpu, control;
    int commander; /* the other end of it, which is the bench's */
};

static int take_place(const struct life *life)
{
    if (cpus_pin(life->cpu) < 0)
        return -1;
    if (life->hostile.yields)
        realtime_yield();
    return life->hostile.is_another ? users_become(HOSTILE_UID) : 0;
}

static bool is_told(int control)
{
    char command;
    return recv(control, &command, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

static int report(const struct life *life)
{
    struct report report = {.done = life->hostile.done};

    memcpy(report.note, life->hostile.note, sizeof(report.note));
    return send(life->control, &report, sizeof(report), MSG_NOSIGNAL) == sizeof(report) ? 0 : -1;
}

static int go(struct life *life)
{
    const struct load *load = life->load;

    if ((load->begin && load->begin(&life->hostile) < 0) || report(life) < 0)
        return -1;
    while (!is_told(life->control))
        if (load->step(&life->hostile) < 0)
            return -1;
    return 0;
}

static int live(void *argument)
{
    struct life *life = argument;
    const struct load *load = life->load;
    char command;
    int r;

    signal(SIGPIPE, SIG_IGN);
    close(life->commander);
    r = take_place(life);
    if (r == 0)
        r = load->prepare(&life->hostile);
    if (r == 0)
        r = report(life);
    while (r == 0 && recv(life->control, &command, 1, 0) == 1) {
        if (command == GO) {
            r = go(life);
            continue;
        }
        r = load->rest(&life->hostile);
        if (r == 0)
            r = report(life);
    }
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int hear(struct hostile_process *process)
{
    struct report report;
    ssize_t n = recv(process->control, &report, sizeof(report), 0);

    if (n < 0)
        return complain("the load '%s': nothing heard of it for %d s", process->load->key, PATIENCE_S);
    if (n != sizeof(report))
        return complain("the load '%s' could not go on", process->load->key);
    process->done = report.done;
    memcpy(process->note, report.note, sizeof(process->note));
    return 0;
}

static int tell(struct hostile_process *process, char command)
{
    if (send(process->control, &command, 1, MSG_NOSIGNAL) != 1)
        return complain("the load '%s' has ended", process->load->key);
    return hear(process);
}

int hostile_start(struct hostile_process *process, const struct load *load, const struct hostile *hostile, int cpu)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    struct life life = {.load = load, .hostile = *hostile, .cpu = cpu};
    int pair[2];

    *process = (struct hostile_process){.load = load, .control = -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return complain("a socket to command a load: %s", strerror(errno));
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    process->control = life.commander = pair[0];
    life.control = pair[1];
    pid_t pid = child_start(live, &life);
    close(pair[1]);
    if (pid < 0)
        return complain("the process of a load: %s; ulimit -u says how many there may be", strerror(-pid));
    process->pid = pid;
    return hear(process);
}

int hostile_go(struct hostile_process *process)
{
    return tell(process, GO);
}

int hostile_rest(struct hostile_process *process)
{
    return tell(process, REST);
}

void hostile_stop(struct hostile_process *process)
{
    if (process->control >= 0)
        close(process->control);
    child_stop(process->pid);
    *process = (struct hostile_process){.control = -1};
}
