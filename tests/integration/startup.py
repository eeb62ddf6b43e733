#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How a broker comes to its address, beside others that want it; and that it does not leave while it has work."""
import contextlib
import errno
import os
import resource
import shutil
import socket
import stat
import subprocess
import tempfile
import time

import sealbuf_wire as wire
from manager import Manager
from testbed import SEALBUFD, Broker, Suite, equal, eventually
from tracer import frozen_workers, kill_traced, let_go, run_until, trace_me

suite = Suite()
MIB = 1 << 20
TAKEN = 'another broker serves'


class Starter:
    """A broker that may start or not."""

    def __init__(self, path, traced=False):
        self.log_path = tempfile.mkstemp(prefix='log-', dir=os.path.dirname(path))
        self.ready, far = os.pipe()
        with open(self.log_path[0], 'wb') as log:
            self.process = subprocess.Popen(
                [SEALBUFD, '--socket', path, '--ready-fd', str(far)], pass_fds=[far], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, preexec_fn=trace_me if traced else None)
        os.close(far)

    def is_ready(self):
        """Waits until it is, or has ended."""
        return os.read(self.ready, 1) == b'\n'

    def log(self):
        with open(self.log_path[1], encoding='utf-8') as log:
            return log.read()

    def end(self):
        """Its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(20)

    def close(self):
        kill_traced(self.process)
        os.close(self.ready)


@contextlib.contextmanager
def folder():
    """For a socket, and for brokers, which are gone at the end: (path of the socket, function that starts one)."""
    directory = tempfile.mkdtemp(prefix='sealbuf-test-')
    path, started = os.path.join(directory, 'socket'), []

    def start(**options):
        started.append(Starter(path, **options))
        return started[-1]

    try:
        yield path, start
    finally:
        for each in started:
            each.close()
        shutil.rmtree(directory)


def has_open(pid, path):
    with contextlib.suppress(FileNotFoundError):
        for fd in os.listdir('/proc/%d/fd' % pid):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink('/proc/%d/fd/%s' % (pid, fd)) == path:
                    return True
    return False


def serving(path):
    """The pid of the broker that answers there."""
    with wire.Client(path) as client:
        return client.stats()['pid']


@suite.test
def what_is_no_socket_stays(*_):
    """a file, folder, pipe or symbolic link at the address is left alone, and the broker says why it does not start"""
    def put_file(path):
        with open(path, 'wb') as file:
            file.write(b'precious')

    def put_link(path):
        put_file(path + '.target')
        os.symlink(path + '.target', path)

    def put_link_to_socket(path):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
            stale.bind(path + '.target')
        os.symlink(path + '.target', path)

    for put in (put_file, os.mkdir, os.mkfifo, put_link, put_link_to_socket):
        with folder() as (path, start):
            put(path)
            before, names = os.lstat(path), sorted(os.listdir(os.path.dirname(path)))
            broker = start()
            equal(broker.is_ready(), False, 'whether it started')
            equal(broker.end(), 1, 'exit status')
            equal('a file that is no socket is there' in broker.log() and path in broker.log(), True, broker.log())
            after = os.lstat(path)
            equal((after.st_ino, stat.S_IFMT(after.st_mode), after.st_size, after.st_mtime_ns),
                  (before.st_ino, stat.S_IFMT(before.st_mode), before.st_size, before.st_mtime_ns), 'what was there')
            left = set(os.listdir(os.path.dirname(path))) - {os.path.basename(broker.log_path[1])}
            equal(sorted(left), names, 'files in the folder')


@suite.test
def lock_is_no_link(*_):
    """a symbolic link in place of the lock file is not followed"""
    with folder() as (path, start):
        victim = path + '.victim'
        os.symlink(victim, path + '.lock')
        broker = start()
        equal((broker.is_ready(), broker.end()), (False, 1), 'started, exit status')
        equal('cannot make the lock file' in broker.log(), True, broker.log())
        equal((os.path.lexists(victim), os.path.islink(path + '.lock')), (False, True), 'victim, link')


@suite.test
def one_of_many(*_):
    """of many brokers that are started at once for one address, one serves, also beside what a killed one has left"""
    with folder() as (path, start):
        for round_ in range(6):
            brokers = [start() for _ in range(8)]
            ready = [broker for broker in brokers if broker.is_ready()]
            equal(len(ready), 1, 'brokers that serve in round %d' % round_)
            equal(serving(path), ready[0].process.pid, 'pid')
            for broker in brokers:
                if broker is not ready[0]:
                    equal(broker.end(), 1, 'exit status')
                    equal(TAKEN in broker.log(), True, 'reason: ' + broker.log())
            equal(serving(path), ready[0].process.pid, 'pid once the others have gone')
            if round_ % 2:
                equal(ready[0].end(), 0, 'exit status')
                equal(os.path.exists(path), False, 'whether the socket is still there')
            else:
                ready[0].process.kill()
                ready[0].process.wait()
                equal(os.path.exists(path), True, 'whether the socket is still there')


@suite.test
def lock_of_who_has_gone(*_):
    """a broker that gets the lock of a file that was removed meanwhile does not take it for that of the address"""
    with folder() as (path, start):
        first = start()
        equal(first.is_ready(), True, 'whether the first one started')
        late = start(traced=True)
        run_until(late.process.pid, lambda: has_open(late.process.pid, path + '.lock'))
        # It has opened the lock file, and not yet locked it. That file goes, and another one comes.
        equal(first.end(), 0, 'exit status of the first one')
        second = start()
        equal(second.is_ready(), True, 'whether the second one started')
        let_go(late.process.pid)
        equal(late.is_ready(), False, 'whether the late one started')
        equal(late.process.wait(20), 1, 'exit status of the late one')
        equal(TAKEN in late.log(), True, 'reason: ' + late.log())
        equal(serving(path), second.process.pid, 'who serves')
        equal(second.end(), 0, 'exit status of the second one')


IDLE_EXIT = '1s'  # in which a client can come, also where the machine is busy


def check_stays_while(broker, prepare):
    """With workers that stand still, prepare() gives them something to do: the broker leaves once it is done."""
    try:
        with contextlib.ExitStack() as stack:
            with broker.connect():  # it does not leave meanwhile
                stack.enter_context(frozen_workers(broker))
                prepare()
            time.sleep(2.5)
            equal('leaving' in broker.log(), False, 'whether it is leaving')
            equal(broker.process.poll(), None, 'exit status')
        equal(broker.process.wait(20), 0, 'exit status')
        equal('leaving' in broker.log(), True, 'whether it says that it is leaving')
        shutil.rmtree(broker.directory)
    except BaseException:
        kill_traced(broker.process)
        broker.show_log()
        shutil.rmtree(broker.directory)
        raise


@suite.test
def idle_exit_waits_for_jobs(*_):
    """--idle-exit: while a worker adds a seal the broker does not leave, though who asked for it has gone"""
    broker = Broker('--idle-exit', IDLE_EXIT)

    def ask_and_go():
        with broker.connect() as client, broker.connect() as other:
            buffer = client.create(4096)
            os.close(buffer['fd'])
            client.start(wire.SEAL, [{'id': buffer['id'], 'seals': wire.WRITE}])
            eventually(lambda: other.stats()['jobs'] == 1, what='the job is there')

    check_stays_while(broker, ask_and_go)


@suite.test
def idle_exit_waits_for_closes(*_):
    """--idle-exit: while a worker frees the memory of a buffer the broker does not leave"""
    broker = Broker('--idle-exit', IDLE_EXIT)

    def fill_and_go():
        with broker.connect() as client:
            buffer = client.create(MIB)
            os.pwrite(buffer['fd'], b'x' * MIB, 0)
            os.close(buffer['fd'])

    check_stays_while(broker, fill_and_go)


@suite.test
def says_why(*_):
    """whatever a broker has no descriptor for when it starts, it says so before it ends"""
    def start(free, environment):
        """With so many descriptors that are free; None where it is ready, else what it says."""
        directory = tempfile.mkdtemp(prefix='sealbuf-test-')
        ready, far = os.pipe()
        taken = [os.open(os.devnull, os.O_RDONLY) for _ in range(512 - 4 - free)]
        try:
            with subprocess.Popen(
                    [SEALBUFD, '--config', os.devnull, '--socket', directory + '/socket', '--ready-fd', str(far)],
                    pass_fds=[far, *taken], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    env={**os.environ, **environment},
                    preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))) as broker:
                os.close(far)
                if os.read(ready, 1):
                    broker.terminate()
                    return None
                return broker.stderr.read().decode()
        finally:
            for fd in (ready, *taken):
                os.close(fd)
            shutil.rmtree(directory)
    with Manager() as manager:
        failures = 0
        for free in range(4, 60):
            said = start(free, manager.environment)
            if said is None:
                break
            failures += 1
            equal(os.strerror(errno.EMFILE) in said, True, 'it says why, with %d free; it says %r' % (free, said))
        equal(failures > 5 and said is None, True, 'it failed %d times, and then it started' % failures)


if __name__ == '__main__':
    suite.main()
