#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the service manager is told, with this test in its place: states, the status line, the watchdog; and that a
manager that does not listen, or a table of descriptors that is full, holds nothing up."""
import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import sealbuf_wire as wire
from configuring import Folder
from lives import Lives
from testbed import PROMPT_SECONDS, Broker, Suite, equal, eventually, make, skip_all_without_systemd

suite = Suite()
WATCHDOG_SECONDS = 0.4


class Manager:
    """A socket for what is told. `messages` are what has come until now: [(monotonic time, {key: value})].

    A thread reads it, or the broker's start would wait. What comes along is closed: this manager keeps nothing.
    """

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix='sealbuf-test-')
        self.path = os.path.join(self.directory, 'notify')
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setblocking(False)
        self.messages = []
        self.lock, self.is_deaf, self.ended = threading.Lock(), False, threading.Event()
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def look(self):
        with self.lock:
            with contextlib.suppress(BlockingIOError):
                while not self.is_deaf:
                    lines = self.socket.recv(4096).decode().splitlines()
                    self.messages.append((time.monotonic(), dict(line.split('=', 1) for line in lines)))
            return list(self.messages)

    def listen(self):
        while not self.ended.wait(0.005):
            self.look()

    def of(self, key):
        """What was told of this, in order."""
        return [message[key] for _, message in self.look() if key in message]

    def times_of(self, key):
        return [at for at, message in self.look() if key in message]

    def fill(self):
        """Its queue, as others do it, and reads nothing from now on."""
        with self.lock:
            self.is_deaf = True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            for _ in range(100000):
                try:
                    other.sendto(b'FULL=1', self.path)
                except BlockingIOError:
                    return
        raise AssertionError('the queue has no end')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.socket.close()
        shutil.rmtree(self.directory)


class Watched(Broker):
    """Its watchdog is for whatever process it becomes."""

    def command(self, program):
        return ['sh', '-c', 'WATCHDOG_PID=$$ exec "$0" "$@"', *super().command(program)]


@contextlib.contextmanager
def managed(*arguments, watchdog=WATCHDOG_SECONDS, **options):
    """watchdog: in seconds; None: there is none."""
    with Manager() as manager:
        environment = {'NOTIFY_SOCKET': manager.path}
        if watchdog:
            environment['WATCHDOG_USEC'] = str(int(watchdog * 1e6))
        with Watched(*arguments, environment=environment, **options) as broker:
            yield manager, broker


@suite.test
def states(*_):
    """READY once it serves, RELOADING with the clock's time and READY around a reload, STOPPING at the end"""
    with Folder() as folder:
        path = folder.write('c', '[limits]\nuid-names = 3\n')
        with managed('--config', path) as (manager, broker):
            eventually(lambda: manager.of('READY') == ['1'], what='READY')
            equal(manager.of('RELOADING') + manager.of('STOPPING'), [], 'other states')
            before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            broker.process.send_signal(signal.SIGHUP)
            eventually(lambda: manager.of('READY') == ['1', '1'], what='READY after a reload')
            after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            reloads = [(message, i) for i, (_, message) in enumerate(manager.messages) if 'RELOADING' in message]
            equal(len(reloads), 1, 'RELOADING')
            equal(before <= int(reloads[0][0]['MONOTONIC_USEC']) <= after, True, 'the stamp is from between')
            ready = [i for i, (_, message) in enumerate(manager.messages) if 'READY' in message]
            equal(ready[0] < reloads[0][1] < ready[1], True, 'the order')
            broker.stop()
            equal(manager.of('STOPPING'), ['1'], 'STOPPING')
            broker.stop = lambda *_: None


@suite.test
def status(*_):
    """STATUS is a line about buffers, bytes and clients; it is told when it has changed, and once a second at most"""
    with managed() as (manager, broker):
        eventually(lambda: manager.of('STATUS') == ['0 buffers of 0 B, 0 names, 0 clients'], what='the first line')
        with broker.connect() as client:
            make(client, b'x' * 3 * 1024 * 1024, 'three')
            make(client, b'x' * 512 * 1024, 'half')
            eventually(lambda: manager.of('STATUS')[-1] == '2 buffers of 3.5 MiB, 2 names, 1 client', what='buffers')
            end = time.monotonic() + 2.5
            while time.monotonic() < end:
                make(client, b'x', 'busy')
                client.remove('busy')
                manager.look()
                time.sleep(0.002)
            client.remove('three')
            client.remove('half')
        eventually(lambda: manager.of('STATUS')[-1] == '0 buffers of 0 B, 0 names, 0 clients', what='the last line')
        at = manager.times_of('STATUS')
        equal(min(b - a for a, b in zip(at[1:], at[2:])) > 0.9, True, 'a second between two lines: %r' % at)
        lines = manager.of('STATUS')
        equal(any(a == b for a, b in zip(lines, lines[1:])), False, 'a line that is told twice: %r' % lines)
        time.sleep(1.5)
        equal(manager.of('STATUS'), lines, 'lines while nothing happens')


@suite.test
def watchdog(*_):
    """WATCHDOG comes from the loop, at half of its time, and does not come from a process that is stopped"""
    with managed() as (manager, broker):
        eventually(lambda: len(manager.of('WATCHDOG')) >= 6, what='the loop is alive')
        at = manager.times_of('WATCHDOG')[1:]  # the first one does not come from the timer
        equal(max(b - a for a, b in zip(at, at[1:])) < WATCHDOG_SECONDS, True, 'in time: %r' % at)
        equal((at[-1] - at[0]) / (len(at) - 1) > WATCHDOG_SECONDS * 0.25, True, 'and not too often: %r' % at)
        with broker.stopped():
            manager.look()
            before = len(manager.messages)
            time.sleep(WATCHDOG_SECONDS * 2)
            equal(len(manager.look()), before, 'messages of a process that is stopped')
        eventually(lambda: 'the loop stood still for' in broker.log(), what='the log tells')
        before = len(manager.of('WATCHDOG'))
        eventually(lambda: len(manager.of('WATCHDOG')) > before, what='and it goes on')


@suite.test
def watchdog_at_once(*_):
    """The first WATCHDOG comes before READY: a program that takes the place of another one is watched from its start"""
    with managed(watchdog=60) as (manager, broker):
        eventually(lambda: manager.of('READY'), what='READY')
        told = [set(message) & {'READY', 'WATCHDOG'} for _, message in manager.look()]
        equal([keys for keys in told if keys][0], {'WATCHDOG'}, 'the first message')


@suite.test
def stands_still(*_):
    """A loop that stands still for a quarter of the watchdog's time is logged, with no more time than it was"""
    def told(broker):
        lines = re.findall(r'stood still for at least ([0-9.]+) s; after 2.0 s', broker.log())
        return max((float(seconds) for seconds in lines), default=0)

    for pause in (0.6, 1.1):
        with managed(watchdog=2) as (manager, broker):
            eventually(lambda: len(manager.of('WATCHDOG')) > 1, what='the timer has just fed')
            began = time.monotonic()
            with broker.stopped():
                time.sleep(pause)
            eventually(lambda: told(broker) >= pause - 2 / 8 - 0.05, what='a line after %.1f s' % pause)
            passed = time.monotonic() - began
            equal(told(broker) <= passed + 0.05, True, 'told %.1f, it was %.2f' % (told(broker), passed))


@suite.test
def told_late(*_):
    """What a full queue did not take is told when there is room, also without a watchdog, which would tell it"""
    with managed(watchdog=None) as (manager, broker):
        eventually(lambda: manager.of('READY'), what='READY')
        manager.fill()
        broker.process.send_signal(signal.SIGHUP)
        eventually(lambda: 'has been read again' in broker.log(), what='a reload')
        time.sleep(0.3)
        manager.messages, manager.is_deaf = [], False
        eventually(lambda: manager.of('READY'), what='READY again')
        equal([key for _, message in manager.look() for key in message if key in ('RELOADING', 'READY')],
              ['RELOADING', 'READY'], 'the states')


class Replaced(Watched):
    """Its program takes some time to fail when it is executed anew."""

    def command(self, program):
        self.program = shutil.copy(program, os.path.join(self.directory, 'sealbufd'))
        return super().command(self.program)

    def install(self):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'impostor.c')
        compiler = os.environ.get('CC', 'cc').split()
        subprocess.run([*compiler, '-DBEHAVIOUR=sleep(2)', '-o', self.program + '.new', source], check=True)
        os.rename(self.program + '.new', self.program)


@suite.test
def ready_is_taken_back(*_):
    """READY that was not told before the next RELOADING is not told before that is over"""
    with Manager() as manager, Replaced(environment={'NOTIFY_SOCKET': manager.path}) as broker:
        eventually(lambda: manager.of('READY'), what='READY')
        broker.install()
        manager.fill()
        broker.process.send_signal(signal.SIGHUP)  # of which READY waits
        eventually(lambda: 'has been read again' in broker.log(), what='a reload')
        broker.process.send_signal(signal.SIGUSR2)
        eventually(lambda: 're-executing' in broker.log(), what='a trial')
        manager.messages, manager.is_deaf = [], False
        eventually(lambda: manager.of('RELOADING'), what='RELOADING')
        time.sleep(0.5)
        equal(manager.of('READY'), [], 'READY while the program is tried')
        eventually(lambda: manager.of('READY'), 20, 'READY when that has failed')


@suite.test
def much_to_restore(*_):
    """A start that has much to restore says that it goes on before it is ready"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            for i in range(2100):
                make(client, b'x', 'n%d' % i)
        lives.kill()
        said = len(lives.manager.texts())
        lives.start()
        keys = [line.partition('=')[0] for text in lives.manager.texts(said) for line in text.splitlines()]
        equal('EXTEND_TIMEOUT_USEC' in keys[:keys.index('READY')], True, 'told before READY, of %r' % keys)
        lives.stop()


@suite.test
def nobody_listens(*_):
    """A manager whose queue is full holds nobody up; what counts is told when there is room again"""
    with managed() as (manager, broker), broker.connect() as client:
        eventually(lambda: manager.of('READY'), what='READY')
        manager.fill()
        end = time.monotonic() + 2
        worst = 0
        while time.monotonic() < end:
            began = time.monotonic()
            make(client, b'x', 'n', flags=wire.PUBLISH_REPLACE)
            worst = max(worst, time.monotonic() - began)
            broker.process.send_signal(signal.SIGHUP)
        equal(worst < PROMPT_SECONDS, True, 'a client waited %.1f s' % worst)
        client.remove('n')
        make(client, b'x' * 2048, 'last')
        manager.messages, manager.is_deaf = [], False
        eventually(lambda: '1 buffer of 2.0 KiB, 1 name, 1 client' in manager.of('STATUS'), what='the last status')
        eventually(lambda: manager.of('WATCHDOG'), what='the loop is alive')
        states_told = [key for _, message in manager.messages for key in message if key in ('RELOADING', 'READY')]
        equal(states_told[-1:], ['READY'], 'the last state, of %r' % states_told)
        equal(len(states_told) < 50, True, '%d states were kept' % len(states_told))
        client.remove('last')


@suite.test
def stopped_while_nobody_listens(*_):
    """A manager whose queue is full does not keep the broker from ending, either"""
    with managed() as (manager, broker):
        eventually(lambda: manager.of('READY'), what='READY')
        manager.fill()
        began = time.monotonic()
        broker.stop()
        equal(time.monotonic() - began < PROMPT_SECONDS, True, 'the end is prompt')
        broker.stop = lambda *_: None


@suite.test
def table_full(*_):
    """A table of descriptors that is full does not keep the watchdog hungry"""
    with managed() as (manager, broker):
        eventually(lambda: manager.of('WATCHDOG'), what='the loop is alive')
        before = broker.limit_descriptors(3)
        try:
            first = len(manager.of('WATCHDOG'))
            eventually(lambda: len(manager.of('WATCHDOG')) > first + 3, what='the loop is alive still')
        finally:
            broker.limit_descriptors(before)


class Piped(Broker):
    """Its standard error is a pipe that nobody reads, until somebody does."""

    def before_exec(self):
        os.dup2(self.pipe[1], 2)

    def start(self, *arguments):
        self.pipe = os.pipe()
        fcntl.fcntl(self.pipe[1], fcntl.F_SETPIPE_SZ, 4096)
        super().start(*arguments)


@suite.test
def log_is_not_read(*_):
    """A log that nobody reads holds nobody up; who reads again is told how much was lost"""
    with Piped() as broker:
        for _ in range(300):
            broker.process.send_signal(signal.SIGHUP)
            with broker.connect() as client:
                client.ping()
        os.set_blocking(broker.pipe[0], False)
        os.read(broker.pipe[0], 65536)
        broker.process.send_signal(signal.SIGHUP)
        eventually(lambda: select.select([broker.pipe[0]], [], [], 0)[0], what='a line')
        equal(re.search(rb'\d+ lines are lost', os.read(broker.pipe[0], 65536)) is not None, True, 'what was lost')
    for end in broker.pipe:
        os.close(end)


@suite.test
def abstract(*_):
    """An abstract address, as other managers give one; and what is no address is nobody's"""
    with Manager() as manager, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind('\0' + manager.path)
        manager.socket, other = other, manager.socket
        manager.socket.setblocking(False)
        with Broker(environment={'NOTIFY_SOCKET': '@' + manager.path}):
            eventually(lambda: manager.of('READY'), what='READY')
    for address in ('relative', '@', '', '/' + 200 * 'x', '/nowhere/at/all'):
        with Broker(environment={'NOTIFY_SOCKET': address}) as broker, broker.connect() as client:
            client.ping()


@suite.test
def watchdog_of_others(*_):
    """A watchdog that is for another process is not fed"""
    with Manager() as manager:
        environment = {'NOTIFY_SOCKET': manager.path, 'WATCHDOG_USEC': '100000', 'WATCHDOG_PID': '1'}
        with Broker(environment=environment):
            eventually(lambda: manager.of('READY'), what='READY')
            time.sleep(0.5)
            equal(manager.of('WATCHDOG'), [], 'WATCHDOG')


skip_all_without_systemd()
suite.main()
