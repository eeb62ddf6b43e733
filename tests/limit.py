#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs a test, and sees to it that it ends and that nothing of it stays.

    limit.py COMMAND [ARGUMENT]...

What a test has started, of whatever session or group it is, is a descendant of this process, which takes the orphans
upon itself. After $TEST_LIMIT_SECONDS (600) it shows what they all are doing, and kills them. It kills, too, what is left
when the test itself has ended, and calls that an error: automake's driver waits for the end of the test's output, which
a process that has it open can put off for ever.

The exit status is the test's own; 128 and the signal's number where it died of one; 99 where there is an error.
Start it with -S -E: it needs nothing but the standard library, and is in front of every test.
"""
import ctypes
import os
import signal
import sys
import time

LIMIT_SECONDS = 600
GRACE_SECONDS = 10   # at most, for those that have been told to end, and do
KILL_SECONDS = 30    # for the kernel to make an end of those that were killed
ERROR = 99
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

libc = ctypes.CDLL(None, use_errno=True)


def say(text):
    """As comments of the test's protocol, or as its last word."""
    data = ''.join(line + '\n' for line in text.splitlines()).encode(errors='replace')
    try:
        while data:
            data = data[os.write(1, data):]
    except OSError:
        pass  # nobody listens any more


def contents(path):
    try:
        with open(path, 'rb') as file:
            return file.read().decode(errors='replace')
    except OSError:
        return ''


class Process:
    """One that there was a moment ago."""

    def __init__(self, pid, stat):
        self.pid = pid
        self.name, _, rest = stat.partition('(')[2].rpartition(')')
        self.state, parent = rest.split()[:2]
        self.parent = int(parent)

    def describe(self):
        command = contents('/proc/%d/cmdline' % self.pid).replace('\0', ' ').strip() or '(%s)' % self.name
        waits = contents('/proc/%d/wchan' % self.pid).strip('0\n')
        return '%d %s %s: %s' % (self.pid, self.state, waits or '-', ''.join(c if c.isprintable() else '?' for c in command))


def children_of_all():
    """{parent: [Process]}, of the whole machine."""
    families = {}
    for name in os.listdir('/proc'):
        stat = name.isdigit() and contents('/proc/%s/stat' % name)
        if stat:
            process = Process(int(name), stat)
            families.setdefault(process.parent, []).append(process)
    return families


def descendants():
    """[(depth, Process)], each after its parent; without the dead that nobody has waited for."""
    families, found = children_of_all(), []

    def visit(pid, depth):
        for process in families.get(pid, ()):
            if process.state not in 'ZX':
                found.append((depth, process))
            visit(process.pid, depth + 1)

    visit(os.getpid(), 0)
    return found


def show(processes):
    for depth, process in processes:
        say('# %s%s' % ('  ' * depth, process.describe()))


def reap():
    """Waits for all the dead. Returns {pid: status}, or None where there are no children at all any more."""
    dead = {}
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return dead
            dead[pid] = status
    except ChildProcessError:
        return dead or None


def kill_all():
    """The children of the killed become ours; so this ends when there are none."""
    end = time.monotonic() + KILL_SECONDS
    while reap() is not None:
        left = descendants()
        if time.monotonic() > end:
            say('# these survive SIGKILL:')
            show(left)
            return
        for _, process in left:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except OSError:
                pass  # it was quicker, or is not ours to kill
        time.sleep(0.005)


def start(command):
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, *ENDING})
    pid = os.fork()
    if pid:
        return pid
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, *ENDING})
        # So that a test in Python tells where it was when it is aborted.
        os.execvpe(command[0], command, {**os.environ, 'PYTHONFAULTHANDLER': '1'})
    except OSError as error:
        say('Bail out! cannot run %s: %s' % (command[0], error))
    finally:
        os._exit(127)


def wait_for(test, seconds):
    """Its status, or None at the end of the time. A signal that is to end this process ends all of them."""
    end = time.monotonic() + seconds
    while True:
        dead = reap() or {}
        if test in dead:
            return dead[test]
        left = end - time.monotonic()
        if left <= 0:
            return None
        came = signal.sigtimedwait({signal.SIGCHLD, *ENDING}, left)
        if came and came.si_signo in ENDING:
            kill_all()
            sys.exit(128 + came.si_signo)


def stop(test, name, seconds):
    say('\n# what there is of %s after %g seconds, by process, state, and where in the kernel it waits:' % (name, seconds))
    show(descendants())
    os.kill(test, signal.SIGABRT)
    wait_for(test, 1)
    kill_all()
    say('Bail out! %s took more than %g seconds' % (name, seconds))
    return ERROR


def clear_up(name, seconds):
    """Whether nothing was left."""
    end = time.monotonic() + min(GRACE_SECONDS, seconds)
    while reap() is not None and descendants() and time.monotonic() < end:
        time.sleep(0.005)
    left = descendants()
    if left:
        say('# left behind by %s:' % name)
        show(left)
    kill_all()
    if left:
        say('Bail out! %s has ended and left %d processes behind' % (name, len(left)))
    return not left


def main(command):
    seconds = float(os.environ.get('TEST_LIMIT_SECONDS') or LIMIT_SECONDS)
    name = command[-1]
    test = start(command)
    status = wait_for(test, seconds)
    if status is None:
        return stop(test, name, seconds)
    if not clear_up(name, seconds):
        return ERROR
    status = os.waitstatus_to_exitcode(status)
    return status if status >= 0 else 128 - status


if __name__ == '__main__':
    if len(sys.argv) < 2:
        sys.exit('usage: limit.py COMMAND [ARGUMENT]...')
    sys.exit(main(sys.argv[1:]))
