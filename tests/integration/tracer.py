# SPDX-License-Identifier: MIT
"""ptrace(2), so that a test can hold a thread where it wants it, instead of hoping that it is there just now."""
import contextlib
import ctypes
import os
import signal
import time

import sealbuf_wire as wire
from testbed import Skip, eventually

PTRACE_TRACEME, PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SEIZE, PTRACE_INTERRUPT = 0, 17, 24, 0x4206, 0x4207
PTRACE_SINGLESTEP = 9
WAIT_ALL = 0x40000000  # __WALL: for threads, too
MOST_CALLS = 20000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) < 0:
        raise OSError(ctypes.get_errno(), 'ptrace')


def trace_me():
    """For a child, before it executes a program: it then stops until somebody lets it go on."""
    libc.ptrace(PTRACE_TRACEME, 0, None, None)


def run_until(pid, condition):
    """Lets a process that did trace_me() go on from one system call to the next, until condition()."""
    os.waitpid(pid, 0)
    go_on_until(pid, condition)


def go_on_until(pid, condition):
    """The same for one that is held."""
    for _ in range(MOST_CALLS):
        if condition():
            return
        ptrace(PTRACE_SYSCALL, pid)
        _, status = os.waitpid(pid, WAIT_ALL)
        if not os.WIFSTOPPED(status):
            break
    raise AssertionError('the process never came where it was to be held')


def step(pid, steps, has_come=lambda: False):
    """Lets a process that is held go on by so many instructions, or until has_come(); how many that were."""
    for done in range(steps):
        if done % 64 == 0 and has_come():
            return done
        ptrace(PTRACE_SINGLESTEP, pid)
        os.waitpid(pid, WAIT_ALL)
    return steps


def let_go(tid):
    ptrace(PTRACE_DETACH, tid)


def attach(tid):
    try:
        ptrace(PTRACE_SEIZE, tid)
    except OSError as error:
        raise Skip('ptrace(2) is not allowed here: %s' % error) from error
    ptrace(PTRACE_INTERRUPT, tid)
    os.waitpid(tid, WAIT_ALL)


def warm_up(broker):
    """Gives each kind of worker of a broker a job, as their threads start with the first one, and lets them finish."""
    with broker.connect() as client:
        big = client.create(1 << 20)
        os.pwrite(big['fd'], bytes(1 << 20), 0)
        os.close(big['fd'])
        client.seal(big['id'], wire.WRITE)
        client.remove(id=big['id'])
        eventually(lambda: client.stats()['jobs'] == 0, what='the workers have come to rest')


def threads_of(pid):
    """All but the first one."""
    return [int(name) for name in os.listdir('/proc/%d/task' % pid) if int(name) != pid]


def sleeps(pid, tid):
    with open('/proc/%d/task/%d/stat' % (pid, tid), encoding='ascii') as stat:
        return stat.read().rpartition(')')[2].split()[0] == 'S'


@contextlib.contextmanager
def frozen_workers(broker):
    """The broker's loop runs on, its workers stand still: the next job that each kind of them gets stays undone."""
    warm_up(broker)
    time.sleep(0.1)  # they have given their locks back
    held = []
    try:
        for tid in threads_of(broker.pid):
            eventually(lambda t=tid: sleeps(broker.pid, t), what='thread %d waits for work' % tid)
            attach(tid)
            held.append(tid)
        yield
    finally:
        for tid in held:
            try:
                let_go(tid)
            except OSError:  # it was killed; who waits for the process waits until its tracer has noticed that
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(tid, WAIT_ALL | os.WNOHANG)


def kill_traced(process):
    """Also where it stands still."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait()
