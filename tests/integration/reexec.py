#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Upgrade in place: the broker executes its program anew, and nobody notices anything but that a moment passes.

Around every test of the suite: the broker has as many descriptors as before, and accounts for as much as before.
"""
import contextlib
import fcntl
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time

import sealbuf_wire as wire
from hostile_peers import pin
from manager import Manager
from sealbuf_wire import IMMUTABLE, WRITE
from testbed import (SEALBUFD, Broker, Skip, Suite, equal, eventually, fetch, in_child, make, need_root, need_systemd, process,
                     refused)

DONE, FAILED = 're-executed: ', 'not re-executed, '
ALICE = 61001
FORMAT = 2  # of the handover
suite = Suite()


def lines(broker, text):
    return [line for line in broker.log().splitlines() if text in line]


def reexec(broker, how=None):
    """Re-executes it by a signal, or as `how` does, and waits until the log says that it is done."""
    before = len(lines(broker, DONE)), len(lines(broker, FAILED))
    if how:
        how()
    else:
        broker.process.send_signal(signal.SIGUSR2)
    eventually(lambda: (len(lines(broker, DONE)), len(lines(broker, FAILED))) != before, 30, 'the end of a re-exec')
    equal(len(lines(broker, FAILED)), before[1], 'failures: %s' % lines(broker, FAILED)[-1:])


def fail_to_reexec(broker, why):
    """It must fail, and say why, in the reply and in the log; and everything goes on."""
    with broker.connect() as client:
        name = 'before/%d' % time.monotonic_ns()
        make(client, b'before', name)
        before = client.stats()
        try:
            client.reexec()
        except wire.Refused as error:
            equal(error.name, 'INTERNAL', 'error')
            equal(why in error.text, True, 'sentence %r' % error.text)
        else:
            raise AssertionError('it was re-executed')
        equal(why in lines(broker, FAILED)[-1], True, 'line %r' % lines(broker, FAILED)[-1])
        equal(client.stats()['pid'], before['pid'], 'pid')
        equal(fetch(client, name)[1], b'before', 'content')
        client.remove(name)
    equal(broker.process.poll(), None, 'exit status')


class Installed(Broker):
    """A broker whose program is a copy, which can be replaced."""

    def command(self, program):
        self.program = os.path.join(self.directory, 'installed')
        shutil.copy(program, self.program)
        return super().command(self.program)

    def install(self, content):
        """As packages do: beside it, and then in its place."""
        beside = self.program + '.new'
        with open(beside, 'wb') as file:
            file.write(content)
        os.chmod(beside, 0o755)
        os.rename(beside, self.program)

    def install_again(self):
        with open(SEALBUFD, 'rb') as file:
            self.install(file.read())

    def install_impostor(self, behaviour):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'impostor.c')
        subprocess.run([*os.environ.get('CC', 'cc').split(), '-DBEHAVIOUR=%s' % behaviour, '-o', self.program + '.new',
                        source], check=True)
        os.rename(self.program + '.new', self.program)


# ---- Who is there notices nothing ------------------------------------------------------------------------------------


def work(broker, number, stop, done):
    """Pipelines of everything, each reply in its place and exactly once; counts them."""
    with broker.connect() as client:
        rounds = 0
        while not stop.is_set():
            name = 'work/%d/%d' % (number, rounds % 3)
            content = b'%d %d' % (number, rounds)
            buffer = client.create(len(content))
            os.pwrite(buffer['fd'], content, 0)
            os.close(buffer['fd'])
            publish = {'id': buffer['id'], 'name': name, 'mode': 0o600, 'flags': wire.PUBLISH_REPLACE, 'seals': IMMUTABLE}
            serials = [client.start(wire.PUBLISH, [publish]), client.start(wire.PING),
                       client.start(wire.GET, [{'name': name, 'seals': IMMUTABLE}] * 3),
                       client.start(wire.LIST, [{'prefix': 'work/', 'owner': wire.SELF}]), client.start(wire.STATS),
                       client.start(wire.STAT, [{'id': buffer['id']}])]
            for serial in serials:
                with client.finish(serial) as reply:
                    for record in reply.records:
                        equal(record.get('status', 0), 0, 'status')
                    for fd in reply.fds:
                        equal(os.pread(fd, 100, 0), content, 'content')
            rounds += 1
        for i in range(min(rounds, 3)):
            client.remove('work/%d/%d' % (number, i))
        done[number] = rounds


@suite.test
def pipelines(broker, bystander):
    """20 re-execs while 4 clients have pipelines of requests under way: each is answered once, nobody is disconnected"""
    stop, done = threading.Event(), {}
    before, descriptors = bystander.client.stats(), broker.descriptors()
    threads = [threading.Thread(target=work, args=(broker, i, stop, done)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            reexec(broker)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    equal(sorted(done), [0, 1, 2, 3], 'clients that came to their end')
    equal(min(done.values()) > 0, True, 'rounds: %r' % done)
    after = bystander.client.stats()
    equal(after['pid'], before['pid'], 'pid')
    equal(after['uptime_ns'] > before['uptime_ns'], True, 'the uptime goes on')
    equal(after['requests'] >= before['requests'] + sum(done.values()) * 7, True, 'the counters go on')
    equal(after['disconnects'], before['disconnects'], 'disconnects')
    eventually(lambda: broker.descriptors() == descriptors, what='no descriptor is left behind by 20 re-execs')


@suite.test
def what_is_there(broker, bystander):
    """held buffers, names, generations, modes, tokens, their uses and times, ids, instance and limits are the same"""
    with broker.connect() as client:
        instance = client.greeting['instance']
        held = client.create(4096, label='held', metadata=b'a=b\0')
        os.pwrite(held['fd'], b'held', 0)
        growing = client.create(10, flags=wire.CREATE_GROWABLE)
        for _ in range(3):
            named = make(client, b'named', 'there/named', mode=0o644, flags=wire.PUBLISH_REPLACE, seals=IMMUTABLE)
        client.publish(named['id'], 'there/again', seals=IMMUTABLE)
        token = client.one(wire.SHARE, name='there/named', uses=3)['token']
        short = client.one(wire.SHARE, name='there/named', expire_ms=1500)['token']
        os.close(client.get(token=token)['fd'])
        looks = [lambda: client.stat(id=held['id']), lambda: client.stat(id=growing['id']),
                 lambda: client.stat('there/named'), lambda: client.list(prefix='there/'), bystander.accounts]
        before = [look() for look in looks]
        reexec(broker)
        equal([look() for look in looks], before, 'what there is to say of them')
        os.ftruncate(growing['fd'], 20)
        equal(client.stat(id=growing['id'])['size'], 20, 'size of one that can grow')
        with client.call(wire.GET, [{'id': held['id'], 'flags': wire.GET_WRITABLE}]) as reply:
            equal(os.fstat(reply.fds[0]).st_ino, os.fstat(held['fd']).st_ino, 'inode')
        os.close(client.get(token=token)['fd'])
        reexec(broker)
        os.close(client.get(token=token)['fd'])
        with refused('TOKEN'):
            client.get(token=token)
        time.sleep(1.6)
        with refused('TOKEN'):
            client.get(token=short)
        again = client.create(1)
        equal(again['id'] > growing['id'], True, 'ids go on')
        equal(client.publish(again['id'], 'there/named', flags=wire.PUBLISH_REPLACE)['generation'], 4, 'generation')
        with broker.connect() as other:
            equal(other.greeting['instance'], instance, 'instance')
        for fd in (held['fd'], growing['fd'], again['fd']):
            os.close(fd)
        client.remove('there/named')
        client.remove('there/again')


@suite.test
def who_goes(broker, bystander):
    """what a connection held goes with it after a re-exec as before"""
    before = bystander.accounts()
    with broker.connect() as client:
        for _ in range(20):
            os.close(client.create(4096)['fd'])
        reexec(broker)
        equal(bystander.accounts()['buffers'], before['buffers'] + 20, 'buffers')
    eventually(lambda: bystander.accounts() == before, what='all of them have gone')


@suite.test
def does_not_read(broker, _):
    """replies that nobody has read, and requests behind them, are answered in their order, with their descriptors"""
    with broker.connect() as client:
        make(client, b'content', 'unread', seals=IMMUTABLE)
        serials = []
        client.socket.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while len(serials) < 3000:
                serials.append(client.start(wire.GET, [{'name': 'unread', 'flags': wire.GET_DETAILS}] * 20))
        client.socket.settimeout(20)
        for _ in range(3):
            reexec(broker)
        for serial in serials:
            with client.finish(serial) as reply:
                equal(len(reply.fds), 20, 'descriptors')
                equal(os.pread(reply.fds[19], 100, 0), b'content', 'content')
        client.remove('unread')


@suite.test
def sealing(broker, _):
    """a request for which a worker is busy is served anew by the next program, and answered once"""
    with broker.connect() as client, broker.connect() as other:
        buffer = client.create(1 << 20)
        os.pwrite(buffer['fd'], b'x' * 65536, 0)
        ends = pin(buffer['fd'])
        serial, behind = client.start(wire.SEAL, [{'id': buffer['id'], 'seals': WRITE}]), client.start(wire.PING)
        reexec(broker)
        other.ping()
        with client.finish(serial) as reply:
            equal(wire.NAME_OF.get(reply.records[0]['status']), 'BUSY', 'status')
        client.finish(behind).close()
        for fd in ends:
            os.close(fd)
        for _ in range(20):  # with and without a pin that goes meanwhile
            ends = pin(buffer['fd'])
            serial = client.start(wire.SEAL, [{'id': buffer['id'], 'seals': WRITE}])
            broker.process.send_signal(signal.SIGUSR2)
            time.sleep(0.01)
            for fd in ends:
                os.close(fd)
            with client.finish(serial) as reply:
                status = wire.NAME_OF.get(reply.records[0]['status'], 'OK')
                equal(status in ('OK', 'BUSY'), True, status)
        eventually(lambda: len(lines(broker, "re-executing '")) == len(lines(broker, DONE)) + len(lines(broker, FAILED)),
                   20, 'the last re-exec is over')
        client.seal(buffer['id'], WRITE)
        os.close(buffer['fd'])


@suite.test
def claims(broker, _):
    """a buffer that is being taken is still being taken: it is gone once the taker reads, and back if it does not"""
    with broker.connect() as client, broker.connect() as taker:
        make(client, b'prize', 'take/read', flags=wire.PUBLISH_TAKE, seals=IMMUTABLE)
        make(client, b'prize', 'take/unread', flags=wire.PUBLISH_TAKE, seals=IMMUTABLE)
        serial = taker.start(wire.GET, [{'name': 'take/read'}])
        hasty = broker.connect()
        hasty.start(wire.GET, [{'name': 'take/unread'}])
        eventually(lambda: client.list(prefix='take/') == [], what='both are being taken')
        reexec(broker)
        equal(client.list(prefix='take/'), [], 'names')
        with refused('NOT_FOUND'):
            client.get('take/read')
        with taker.finish(serial) as reply:
            equal(os.pread(reply.fds[0], 100, 0), b'prize', 'content')
        hasty.close()
        eventually(lambda: [r['name'] for r in client.list(prefix='take/')] == ['take/unread'], what='it is back')
        with refused('NOT_FOUND'):
            client.get('take/read')
        client.remove('take/unread')


@suite.test
def many(broker, bystander):
    """500 connections with 8 buffers each: all of them are there, and nobody waited for a second"""
    before = bystander.accounts()
    clients = [broker.connect() for _ in range(500)]
    ids = []
    for client in clients:
        with client.call(wire.CREATE, [{'size': 100}] * 8) as reply:
            ids.append([record['id'] for record in reply.records])
    slowest, stop = [0.0], threading.Event()

    def watch():
        while not stop.is_set():
            began = time.monotonic()
            bystander.client.ping()
            slowest[0] = max(slowest[0], time.monotonic() - began)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        reexec(broker)
        reexec(broker)
    finally:
        stop.set()
        thread.join()
    print('# the slowest ping: %.1f ms' % (slowest[0] * 1000))
    equal(slowest[0] < 1, True, 'the slowest ping, %.3f s,' % slowest[0])
    for client, held in zip(clients, ids):
        with client.call(wire.STAT, [{'id': i} for i in held]) as reply:
            equal([record['status'] for record in reply.records], [0] * 8, 'statuses')
        client.close()
    eventually(lambda: bystander.accounts() == before, what='all of them have gone')


def fill_with_names(client, count):
    """count names of few buffers."""
    for first in range(0, count, 250):
        buffer = client.create(0)
        os.close(buffer['fd'])
        records = [{'id': buffer['id'], 'name': 'n%d' % (first + i), 'mode': 0o600} for i in range(250)]
        with client.call(wire.PUBLISH, records) as reply:
            equal({record['status'] for record in reply.records}, {0}, 'statuses')


@suite.test
def long_requests(*_):
    """600 LISTs that are under way hold up neither the re-exec nor anybody else, and each is answered once"""
    need_root()
    request = [{'owner': wire.SELF, 'flags': wire.LIST_ALL_OWNERS, 'prefix': 'nothing'}]
    with Broker('--limit', 'names=400000', '--limit', 'uid-requests=5000', '--limit', 'requests=20000',
                limits={resource.RLIMIT_NOFILE: 8192}) as broker:
        ready, told = os.pipe()

        def hog():
            os.setresgid(ALICE, ALICE, ALICE)
            os.setresuid(ALICE, ALICE, ALICE)
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(broker.connect(timeout=60)) for _ in range(600)]
                fill_with_names(clients[0], 20000)
                for _ in range(3):
                    for client in clients:
                        client.start(wire.LIST, request)
                os.write(told, b'x')
                for _ in range(3):
                    for client in clients:
                        client.receive().close()
                for client in clients:
                    client.ping()
                os.write(told, b'x')
                time.sleep(60)
        with process(hog), broker.connect(timeout=60) as client, broker.connect(timeout=60) as administrator:
            os.read(ready, 1)
            slowest, serial, pings = 0, administrator.start(wire.REEXEC), 0
            while not select.select([administrator.socket], [], [], 0)[0]:
                began = time.monotonic()
                client.ping()
                slowest, pings = max(slowest, time.monotonic() - began), pings + 1
            administrator.finish(serial).close()
            print('# the slowest of %d pings: %.1f ms; %s' % (pings, slowest * 1000, lines(broker, DONE)[-1]))
            equal(slowest < 1, True, 'the slowest ping, %.3f s,' % slowest)
            os.read(ready, 1)
        os.close(ready)
        os.close(told)


@suite.test
def silent(broker, _):
    """connections without HELLO go on, and those that end meanwhile end"""
    before = broker.descriptors()
    quiet = broker.connect(hello=False)
    gone = [broker.connect() for _ in range(20)]
    with broker.stopped():
        broker.process.send_signal(signal.SIGUSR2)
        for client in gone:
            client.start(wire.CREATE, [{'size': 1}] * 50)
            client.close()
        latecomer = wire.socket.socket(wire.socket.AF_UNIX, wire.socket.SOCK_SEQPACKET)
        latecomer.connect(broker.path)
    eventually(lambda: len(lines(broker, "re-executing '")) == len(lines(broker, DONE)), 20, 'the re-exec is over')
    quiet.hello()
    quiet.ping()
    quiet.close()
    latecomer.close()
    eventually(lambda: broker.descriptors() == before, what='they have gone')


@suite.test
def signals(broker, bystander):
    """signals that come meanwhile neither end it nor get lost"""
    for _ in range(5):
        before, hangups = len(lines(broker, DONE)), len(lines(broker, 'the configuration has been read again'))
        broker.process.send_signal(signal.SIGUSR2)
        while len(lines(broker, DONE)) == before:
            broker.process.send_signal(signal.SIGHUP)
            broker.process.send_signal(signal.SIGUSR2)
            time.sleep(0.001)
        eventually(lambda: len(lines(broker, 'the configuration has been read again')) > hangups, what='SIGHUP')
        eventually(lambda: len(lines(broker, "re-executing '")) == len(lines(broker, DONE)), 20, 'the last one is over')
        bystander.served()
    equal(len(lines(broker, 'anew already')) > 0, True, 'lines that say that it is under way')


@suite.test
def each_signal(*_):
    """a signal that comes at any moment of a re-exec is handled once, by the old program or by the new one"""
    with Broker('--limit', 'names=200000') as broker, broker.connect() as client:
        fill_with_names(client, 20000)  # so that it takes a while
        done = reloads = 0
        for i in range(60):
            began = time.monotonic()
            broker.process.send_signal(signal.SIGUSR2)
            if i == 0:
                while not lines(broker, DONE):
                    time.sleep(0.001)
                took = time.monotonic() - began
            else:
                time.sleep(took * i / 60)
                broker.process.send_signal(signal.SIGHUP)
                reloads += 1
            done += 1
            eventually(lambda: len(lines(broker, DONE)) == done, 20, 'the end of it')
            eventually(lambda: len(lines(broker, 'the configuration has been read again')) == reloads, what='SIGHUP')


# ---- By request ------------------------------------------------------------------------------------------------------


@suite.test
def by_request(broker, bystander):
    """REEXEC is answered by the next program, with the requests behind it; a second one meanwhile is BUSY"""
    with broker.connect() as client:
        before = len(lines(broker, DONE))
        serial, behind = client.start(wire.REEXEC), client.start(wire.STATS)
        client.finish(serial).close()
        equal(len(lines(broker, DONE)), before + 1, 'it was done before it was answered')
        with client.finish(behind) as reply:
            equal(reply.records[0]['pid'], broker.pid, 'pid')
        with broker.stopped():
            one, other = client.start(wire.REEXEC), bystander.client.start(wire.REEXEC)
        outcomes = []
        for who, number in ((client, one), (bystander.client, other)):
            try:
                who.finish(number).close()
                outcomes.append('OK')
            except wire.Refused as error:
                outcomes.append(error.name)
        equal(sorted(outcomes), ['BUSY', 'OK'], 'outcomes')
        impatient = broker.connect()
        impatient.start(wire.REEXEC)
        impatient.close()
    eventually(lambda: len(lines(broker, "re-executing '")) == len(lines(broker, DONE)), 20, 'the last one is over')


@suite.test
def others(broker, _):
    """REEXEC is for administrators: others get DENIED"""
    need_root()

    def ask():
        with broker.connect() as client:
            try:
                client.reexec()
            except wire.Refused as error:
                return error.name, 'member of admin-group' in error.text
        return 'OK', False
    equal(in_child(ask, ALICE, ALICE), ('DENIED', True), 'outcome for another user, and whether it says what to do')


@suite.test
def by_the_tool(*_):
    """sealbufctl admin reexec says which version goes on, or why it does not"""
    tool = os.environ.get('SEALBUFCTL', os.path.join(os.path.dirname(SEALBUFD), 'sealbufctl'))

    def run(*arguments):
        done = subprocess.run([tool, 'admin', *arguments, '--socket', broker.path], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False, timeout=30)
        return done.returncode, done.stdout.decode(), done.stderr.decode()
    with Installed() as broker:
        status, out, err = run('reexec')
        equal((status, 'goes on as process %d\n' % broker.pid in out, err), (0, True, ''), 'outcome, %r' % out)
        equal(len(lines(broker, DONE)), 1, 're-execs')
        broker.install(b'text')
        status, out, err = run('reexec')
        equal((status, out, 'cannot execute' in err), (1, '', True), 'outcome, %r' % err)
        equal(run('dance')[0], 2, 'status for what there is not')
        broker.install_impostor('hang()')
        with subprocess.Popen([tool, 'admin', 'reexec', '--socket', broker.path], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as waiting:
            eventually(lambda: len(lines(broker, "re-executing '")) == 3, what='it is under way')
            broker.process.kill()
            equal(b'cannot tell whether the program was executed anew' in waiting.communicate()[1], True, 'sentence')
        broker.process.wait()
        broker.show_log = broker.stop = lambda: shutil.rmtree(broker.directory)


def trial_of(broker):
    """The pid of the child that is on trial, or None."""
    with open('/proc/%d/task/%d/children' % (broker.pid, broker.pid), encoding='ascii') as children:
        return next(map(int, children.read().split()), None)


def has_ended(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='ascii') as stat:
            return stat.read().rpartition(') ')[2][0] in 'ZX'
    except (FileNotFoundError, ProcessLookupError):
        return True


@suite.test
def trials_end(*_):
    """a trial ends with its broker; and one that is ended from outside is no error, since a service may be stopping"""
    broker = Installed()
    try:
        broker.install_impostor('hang()')
        broker.process.send_signal(signal.SIGUSR2)
        eventually(lambda: trial_of(broker), what='the trial has begun')
        os.kill(trial_of(broker), signal.SIGTERM)
        eventually(lambda: lines(broker, FAILED), what='it was noticed')
        equal('as is done to all processes of a service that stops' in lines(broker, FAILED)[0], True, 'the line')
        broker.process.send_signal(signal.SIGUSR2)
        eventually(lambda: trial_of(broker), what='another trial has begun')
        trial = trial_of(broker)
        time.sleep(0.1)  # it may not have executed anything yet
    finally:
        broker.process.kill()
        broker.process.wait()
        shutil.rmtree(broker.directory)
    eventually(lambda: has_ended(trial), what='the trial has ended')


@suite.test
def tells_nobody(*_):
    """a program on trial is not told where the service manager and its watchdog are"""
    need_systemd()
    with Manager() as manager, Installed(environment={**manager.environment, 'WATCHDOG_USEC': '60000000'}) as broker:
        broker.install_impostor('exit(getenv("NOTIFY_SOCKET") || getenv("WATCHDOG_USEC") ? 4 : 3)')
        fail_to_reexec(broker, 'exited with status 3')


@contextlib.contextmanager
def lingering():
    """A TCP socket whose last close waits for years; the caller's."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(('127.0.0.1', 0)))
        sender = stack.enter_context(socket.create_connection(listener.getsockname()))
        stack.enter_context(listener.accept()[0])
        sender.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sender.send(b'x' * 65536)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 30000))
        yield sender


@suite.test
def lingers(broker, _):
    """a socket that would linger for years when it is closed, sent by a client, delays nothing"""
    record = wire.encode_message(wire.ADOPT, [wire.encode_record(wire.ADOPT_REQUEST, {})], 77, 1)
    with broker.connect() as client, lingering() as sender:
        with broker.stopped():  # so that the broker closes it last
            client.send(record, [sender.fileno()])
            sender.close()
        with client.receive() as reply:
            equal(reply.records[0]['status'] != 0, True, 'it is refused')
        reexec(broker)


@suite.test
def lingers_unread(broker, _):
    """nor does it where it is behind a message that has ended the connection, and was never read"""
    record = wire.encode_message(wire.ADOPT, [wire.encode_record(wire.ADOPT_REQUEST, {})], 77, 1)
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            client, sender = broker.connect(), stack.enter_context(lingering())
            with broker.stopped():
                client.socket.send(b'what is no message')
                client.socket.send(record[:20])
                client.send(record, [sender.fileno()])
                sender.close()
            client.close()
        reexec(broker)


# ---- Other programs --------------------------------------------------------------------------------------------------


@suite.test
def replaced(*_):
    """the program that takes over is the one that is at the path now"""
    with Installed() as broker, broker.connect() as client:
        for _ in range(2):
            broker.install_again()
            inode = os.stat(broker.program).st_ino
            client.reexec()
            if os.geteuid() == 0:
                equal(os.stat('/proc/%d/exe' % broker.pid).st_ino, inode, 'inode of what is executed')
        with open('/proc/%d/comm' % broker.pid, encoding='ascii') as comm:
            equal(comm.read(), 'installed\n', 'name of the process')
        os.unlink(broker.program)
        fail_to_reexec(broker, 'cannot open')
        broker.install_again()
        client.reexec()


@suite.test
def impostors(*_):
    """a program that cannot take over leaves the one that runs as it was, with a line that says why"""
    with Installed() as broker:
        broker.connect().close()
        eventually(lambda: 'ready: ' in broker.log(), what='it is ready')
        time.sleep(0.1)
        before = broker.descriptors()
        for behaviour, why in (('abort()', 'killed by signal'),
                               ('exit(3)', "exited with status 3; the broker's log, before this line, says why"),
                               ('exit(0)', 'without having taken over'), ('hang()', 'not done within 10 seconds')):
            broker.install_impostor(behaviour)
            fail_to_reexec(broker, why)
        for content in (b'', b'#!/bin/sh\nexit 0\n', b'text', b'\x7fELF' + b'\0' * 100):
            broker.install(content)
            fail_to_reexec(broker, 'cannot execute')
            equal('; install a sealbufd there and try again' in lines(broker, FAILED)[-1], True, 'it says what to do')
            equal('it is a script, or its interpreter is missing' in lines(broker, FAILED)[-1], content[:2] == b'#!',
                  'it knows a script')
        eventually(lambda: broker.descriptors() == before, what='nothing of them is left')
        equal(os.listdir('/proc/%d/task/%d' % (broker.pid, broker.pid)) != [], True, 'it is there')
        with open('/proc/%d/task/%d/children' % (broker.pid, broker.pid), encoding='ascii') as children:
            equal(children.read(), '', 'children')
        broker.install_again()
        with broker.connect() as client:
            client.reexec()


@suite.test
def configuration(*_):
    """a configuration that is wrong leaves the program that runs as it was; one that is right is read anew"""
    with contextlib.ExitStack() as stack:
        path = '/tmp/sealbuf-reexec-%d.conf' % os.getpid()
        stack.callback(os.unlink, path)

        def write(text):
            with open(path, 'w', encoding='ascii') as file:
                file.write(text)
        write('[limits]\nuid-names = 5\n')
        broker = stack.enter_context(Broker('--config', path))
        write('[limits]\nuid-names = many\n')
        fail_to_reexec(broker, 'exited with status 2')
        equal('uid-names' in broker.log(), True, 'the log tells of the key')
        write('[limits]\nuid-names = 7\n')
        with broker.connect() as client:
            client.reexec()
            equal(client.stats()['uid_names_limit'], 7, 'limit')
            for i in range(7):
                make(client, b'x', 'limit/%d' % i)
            write('[limits]\nuid-names = 3\n')
            client.reexec()
            equal(client.stats()['uid_names'], 7, 'names that are there')
            with refused('LIMIT'):
                make(client, b'x', 'limit/more')


def run_with(handover, *options):
    """Starts a program that is to take over from this: its exit status, and what it says."""
    fd = os.memfd_create('handover', os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, handover)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, IMMUTABLE)
        done = subprocess.run([SEALBUFD, '--config', os.devnull, *options], pass_fds=[fd], stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, env={**os.environ, 'SEALBUFD_HANDOVER': str(fd)},
                              check=False, timeout=20)
        return done.returncode, done.stderr.decode()
    finally:
        os.close(fd)


def header(needs):
    return struct.pack('<I', 1) + wire.frame(
        struct.pack('<QIIQQQIIII', 0x7265766f646e6168, needs, needs, 1, 0, 0, 0, 0, 0, 5), b'9.9.9')


@suite.test
def other_formats(*_):
    """a handover of a newer format, or of none, is refused in a sentence; and what is cut off never crashes"""
    status, said = run_with(header(FORMAT + 1))
    equal((status, 'format %d' % (FORMAT + 1) in said and '9.9.9' in said), (1, True), 'of a newer format: %s' % said)
    for handover in (b'', b'noise' * 100, header(FORMAT)[:20], header(FORMAT), header(FORMAT) + struct.pack('<I', 99),
                     header(FORMAT) + struct.pack('<I', 2) + wire.frame(struct.pack('<IIII', 77, 0, 0, 0))):
        status, said = run_with(handover)
        equal(status, 1, 'exit status with %r: %s' % (handover[:40], said))
        equal(len(said) > 20, True, 'it says why')


# ---- With a service manager ------------------------------------------------------------------------------------------


@suite.test
def stored(*_):
    """what the service manager keeps, and what is on its way there or out of it, goes on"""
    need_systemd()
    with Manager() as manager, Broker(environment=manager.environment) as broker, broker.connect() as client:
        make(client, b'stored', 'stored', seals=IMMUTABLE)
        make(client, b'volatile', 'volatile', flags=wire.PUBLISH_VOLATILE)
        token = client.one(wire.SHARE, name='stored', uses=10)['token']
        before, names = [client.stat('stored'), client.stat('volatile'), client.list()], manager.names()
        equal(before[0]['flags'] & wire.INFO_SURVIVES, wire.INFO_SURVIVES, 'it survives')
        for _ in range(5):
            client.reexec()
        equal([client.stat('stored'), client.stat('volatile'), client.list()], before, 'what there is to say of them')
        equal(manager.names(), names, 'what is kept')
        equal(fetch(client, token=token)[1], b'stored', 'content')
        equal(lines(broker, 'dropped'), [], 'lines that something was dropped')
        equal(lines(broker, 'restored '), [], 'lines that something was restored, as after a crash')
        for _ in range(5):  # whatever the manager is about
            ids = [make(client, b'%d' % i)['id'] for i in range(20)]
            serial = client.start(wire.PUBLISH, [{'id': n, 'name': 'n/%d' % i, 'mode': 0o600}
                                                 for i, n in enumerate(ids)])
            broker.process.send_signal(signal.SIGUSR2)
            with client.finish(serial) as reply:
                equal({record['status'] for record in reply.records}, {0}, 'statuses')
            with client.call(wire.REMOVE, [{'name': 'n/%d' % i} for i in range(20)]) as reply:
                equal({record['status'] for record in reply.records}, {0}, 'statuses')
            eventually(lambda: len(lines(broker, "re-executing '")) == len(lines(broker, DONE)), 20, 'it is over')
        eventually(lambda: sorted(set(manager.names()) - {'canary'}) == sorted(set(names) - {'canary'}), 20,
                   lambda: 'what was removed is kept no more: %r' % manager.names())
        def told():
            return [text.split('\n')[0] for text in manager.texts() if text.startswith(('RELOADING=1', 'READY=1'))]
        # It may come behind the last line of the log.
        eventually(lambda: told().count('READY=1') == 11 and told()[-1] == 'READY=1',
                   what=lambda: 'the last READY: %r' % told())
        states = told()
        equal((states[-1], states.count('READY=1'), states.count('RELOADING=1') > 4), ('READY=1', 11, True),
              'what the manager hears: %r' % states)


def reexec_with_work(broker, manager, big):
    """A re-exec while the store and the closers have something to do; returns for how long nobody was served, in ms."""
    done = len(lines(broker, DONE))
    with broker.connect() as first, broker.connect() as second, broker.connect() as third:
        ids = [make(client, b'content')['id'] for client in (first, second)]
        buffers = first.stats()['buffers']
        for _ in range(8 if big else 0):
            buffer = third.create(64 << 20)
            os.posix_fallocate(buffer['fd'], 0, 64 << 20)
            os.close(buffer['fd'])
        with manager.holding():
            serials = []
            for i, client in enumerate((first, second)):
                serials.append(client.start(wire.PUBLISH, [{'id': ids[i], 'name': 'n%d' % i, 'mode': 0o600}]))
                eventually(lambda: manager.barriers, what='the first one is on its way')
            broker.process.send_signal(signal.SIGUSR2)
            time.sleep(0.3)
            eventually(lambda: trial_of(broker) is None, what='the trial is over')
            equal(len(lines(broker, DONE)), done, 're-execs: it waits for the manager')
            third.close()
            time.sleep(0.1)
            manager.answer()
            eventually(lambda: len(lines(broker, DONE)) > done, 5, 'the end of it, which waits for the first one only')
        for client, serial in zip((first, second), serials):
            with client.finish(serial) as reply:
                equal(reply.records[0]['status'], 0, 'status')
        eventually(lambda: first.stats()['buffers'] == buffers, what='what was to be closed has been')
        for i, client in enumerate((first, second)):
            client.remove('n%d' % i)
    return float(lines(broker, DONE)[-1].rpartition(' for ')[2].split()[0])


@suite.test
def never_at_rest(*_):
    """a re-exec waits for what the store and the workers have begun with, and leaves all else to the next program"""
    need_systemd()
    with Manager() as manager, Broker(environment=manager.environment) as broker:
        waited = {big: min(reexec_with_work(broker, manager, big) for _ in range(3)) for big in (False, True)}
        print('# nobody was served for %(False).1f ms; with big buffers that are to be freed %(True).1f ms' %
              {str(big): value for big, value in waited.items()})
        equal(waited[True] < waited[False] + 15, True, 'big buffers are not freed while nobody is served')


# ---- Where it runs ---------------------------------------------------------------------------------------------------


@suite.test
def address(*_):
    """the socket and its lock file are those of the program that took over, which removes them at its end"""
    broker = Broker()
    try:
        with broker.connect() as client:
            client.reexec()
            client.reexec()
        second = subprocess.run([SEALBUFD, '--config', os.devnull, '--socket', broker.path], stderr=subprocess.PIPE,
                                check=False, timeout=20)
        equal((second.returncode, b'another broker serves' in second.stderr), (1, True), 'a second broker')
        with broker.connect() as client:
            client.ping()
        broker.process.send_signal(signal.SIGTERM)
        equal(broker.process.wait(20), 0, 'exit status')
        equal([n for n in os.listdir(broker.directory) if n.startswith('socket')], [], 'what is left')
    finally:
        broker.process.kill()
        broker.process.wait()
        shutil.rmtree(broker.directory)


@suite.test
def readiness(*_):
    """--ready-fd gets its line once, however often the program is executed anew"""
    ready, far = os.pipe()
    path = '/tmp/sealbuf-ready-%d' % os.getpid()
    with subprocess.Popen([SEALBUFD, '--config', os.devnull, '--socket', path, '--ready-fd', str(far)], pass_fds=[far],
                          stderr=subprocess.DEVNULL) as broker:
        try:
            os.close(far)
            equal(os.read(ready, 10), b'\n', 'what comes when it is ready')
            with wire.Client(path) as client:
                client.reexec()
                client.reexec()
            equal(os.read(ready, 10), b'', 'what comes then')
        finally:
            broker.terminate()
            os.close(ready)


@suite.test
def unusual(*_):
    """without the sandbox, with a low RLIMIT_NOFILE, and where much is logged it works the same"""
    for options in ({}, {'limits': {resource.RLIMIT_NOFILE: 600}}):
        for arguments in ((), ('--no-sandbox',), ('--log-level', 'debug')):
            with Broker(*arguments, **options) as broker, broker.connect() as client:
                made = make(client, b'here', 'here')
                client.reexec()
                client.reexec()
                equal(fetch(client, 'here')[1], b'here', 'content')
                equal(client.stat('here')['id'], made['id'], 'id')
                equal(client.stats()['pid'], broker.pid, 'pid')


@suite.test
def sandboxed(*_):
    """the next program is in the sandbox of the one before, with one filter and not with two, and hides its memory"""
    with Broker() as broker:
        if 'sandboxed: ' not in broker.log():
            raise Skip('there is no sandbox')

        def look():
            with open('/proc/%d/status' % broker.pid, encoding='ascii') as status:
                return [line for line in status if line.split(':')[0] in
                        ('CapInh', 'CapPrm', 'CapEff', 'CapAmb', 'NoNewPrivs', 'Seccomp', 'Seccomp_filters')]
        before, owner = look(), os.stat('/proc/%d/mem' % broker.pid).st_uid
        with broker.connect() as client:
            for _ in range(3):
                client.reexec()
        equal(look(), before, 'what the kernel says of it')
        equal(os.stat('/proc/%d/mem' % broker.pid).st_uid, owner, 'whose its memory is')


if __name__ == '__main__':
    suite.main()
