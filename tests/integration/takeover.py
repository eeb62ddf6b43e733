#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a program that takes over makes of ledger and handover: nothing is lost, or the one that runs goes on.

tests/integration/reexec.py has what clients see of it.
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
import sys
import tempfile
import time

import sealbuf_wire as wire
from ledger import VERSION, bytes_of, close_all, ledger_of, resigned, slots_of, with_record
from lives import Lives
from manager import Manager
from sealbuf_wire import IMMUTABLE
from testbed import SEALBUFD, Broker, Suite, equal, eventually, fetch, in_child, make, need_root, skip_all_without_systemd

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'systemd'))
from managers import spawn  # noqa: E402

O_CLOEXEC = 0o2000000
LISTENER, LEDGER, NAME, TOKEN, PEER, REPLY = 2, 3, 7, 8, 9, 11  # enum handover_kind
suite = Suite()


@contextlib.contextmanager
def stored_broker():
    """(broker, manager, client), the broker with a store."""
    with Manager() as manager, Broker(environment=manager.environment) as broker, broker.connect() as client:
        yield broker, manager, client


@contextlib.contextmanager
def changed(manager, change):
    """The ledger of the broker that runs, as change(bytes) makes it; afterwards as it was."""
    entries = manager.duplicates()
    ledger = ledger_of(entries)
    before = bytes_of(ledger)
    after = change(before)
    places = [i for i, (a, b) in enumerate(zip(before, after)) if a != b]
    first, last = places[0], places[-1] + 1
    os.pwrite(ledger, after[first:last], first)
    try:
        yield
    finally:
        os.pwrite(ledger, before[first:last], first)
        close_all(entries)


def check_refused(broker, client, why):
    try:
        client.reexec()
    except wire.Refused as error:
        equal(error.name, 'INTERNAL', 'error')
    else:
        raise AssertionError('it was re-executed')
    equal(why in broker.log(), True, 'a line %r in the log: %s' % (why, broker.log()))


def of_kind(place, kind):
    def change(content):
        with_kind = content[:place + 10] + struct.pack('<H', kind) + content[place + 12:]
        return with_record(with_kind, place, lambda record: record)
    return change


def extended(place):
    """With one more field."""
    def is_too_big(content):
        length, = struct.unpack_from('<I', content, place + 12)
        return 32 + length + 8 > 128 << (content[place + 8] & 15)

    def change(record):
        length, fixed = struct.unpack_from('<II', record)
        return struct.pack('<II', length + 8, fixed + 8) + record[8:8 + fixed] + b'\1' * 8 + record[8 + fixed:]

    def extend(content):
        equal(is_too_big(content), False, 'whether it needs another slot')
        return with_record(content, place, change)
    return extend


@suite.test
def other_ledgers(*_):
    """A ledger, or a record in it, that only another version understands: the program that runs goes on, with all of it"""
    with stored_broker() as (broker, manager, client):
        made = client.create(4, metadata=b'k=' + b'v' * 60 + b'\0')  # so that its slot has room for one field more
        os.pwrite(made['fd'], b'kept', 0)
        os.close(made['fd'])
        client.publish(made['id'], 'kept', seals=IMMUTABLE)
        token = client.one(wire.SHARE, name='kept', uses=10)['token']
        entries = manager.duplicates()
        content = bytes_of(ledger_of(entries))
        close_all(entries)
        changes = [(lambda content: resigned(content, VERSION + 1), 'the ledger cannot be opened: it is of a newer version')]
        for place, _ in slots_of(content):
            changes.append((extended(place), 'records that only a newer version'))
            changes.append((of_kind(place, 9), 'records that only a newer version'))
        equal(len(changes), 7, 'changes')
        for change, why in changes:
            with changed(manager, change):
                lines = broker.log().count(why)
                check_refused(broker, client, why)
                equal(broker.log().count(why), lines + 1, 'lines')
            equal(fetch(client, 'kept')[1], b'kept', 'content')
        client.reexec()
        equal(fetch(client, 'kept')[1], b'kept', 'content')
        equal(fetch(client, token=token)[1], b'kept', 'content by its token')
        equal('dropped' in broker.log(), False, 'whether something was dropped: ' + broker.log())


@suite.test
def volatile_name_left(*_):
    """A buffer of which only a volatile name is left, or a token besides, is handed over, and goes with that name"""
    with stored_broker() as (broker, manager, client):
        made = make(client, b'content', 'volatile', flags=wire.PUBLISH_VOLATILE)
        client.publish(made['id'], 'stored')
        token = client.one(wire.SHARE, name='volatile', uses=9)['token']
        client.remove('stored')
        before = client.stat('volatile')
        for _ in range(3):
            client.reexec()
            equal(client.stat('volatile'), before, 'what there is to say of it')
            equal(fetch(client, token=token)[1], b'content', 'content')
        equal('dropped' in broker.log(), False, 'whether something was dropped')
        client.remove('volatile')
        eventually(lambda: manager.buffers() == [], what='it is kept no more')
        equal(client.stats()['uid_buffers'], 0, 'buffers')


@suite.test
def grown_then_sealed(broker, bystander):
    """A held buffer that grew or shrank, and was sealed after that, is handed over with its size, charged for that"""
    for flags, size, then, seal in ((wire.CREATE_GROWABLE, 0, 1 << 20, wire.GROW),
                                    (wire.CREATE_SHRINKABLE, 1 << 20, 0, wire.SHRINK)):
        with broker.connect() as client:
            buffer = client.create(size, flags=flags)
            os.ftruncate(buffer['fd'], then)
            os.close(buffer['fd'])
            client.seal(buffer['id'], seal)
            client.reexec()
            equal(client.stat(id=buffer['id'])['size'], then, 'size')
            equal(client.stats()['uid_bytes'], then, 'bytes')
        eventually(lambda: bystander.accounts()['bytes'] == 0, what='nothing is charged')


@suite.test
def waiting_reply(*_):
    """A reply that waits in the broker is handed over with its descriptor, arrives, and is charged no more"""
    need_root()
    uid = 100000 + os.getpid() % 100000  # the kernel counts descriptors in flight by uid, and does not count root's

    def charged(what):
        with other.call(wire.ACCOUNTS, [{}]) as message:
            return message.records[0][what]

    def limit(soft):
        in_child(lambda: broker.limit_descriptors(soft), uid, uid)
    with Broker(limits={resource.RLIMIT_NOFILE: 2048}, uid=uid) as broker, broker.connect() as other:
        make(other, b'content', 'unread', seals=IMMUTABLE)
        with broker.connect() as client, broker.connect() as waiting:
            serial = client.start(wire.GET, [{'name': 'unread'}] * 150)
            # What is charged is charged before the descriptors are made, and these need the limit that there is now.
            eventually(lambda: select.select([client.socket], [], [], 0)[0], what='the reply is sent')
            equal(charged('in_flight') >= 150, True, 'whether it has all of its descriptors')
            limit(100)
            last = waiting.start(wire.GET, [{'name': 'unread'}])
            eventually(lambda: charged('replies') == 1, what='a reply waits')
            other.reexec()
            limit(2048)
            for who, number, count in ((client, serial, 150), (waiting, last, 1)):
                with who.finish(number) as reply:
                    equal(len(reply.fds), count, 'descriptors')
                    equal(os.pread(reply.fds[-1], 100, 0), b'content', 'content')
            eventually(lambda: charged('replies') == 0, what='nothing is charged')


# ---- Handovers that no broker makes ----------------------------------------------------------------------------------


def record(kind, fixed, *strings):
    """The strings are at its end, each with its length in the fixed part."""
    return struct.pack('<I', kind) + wire.frame(fixed + b''.join(struct.pack('<I', len(s)) for s in strings),
                                                b''.join(strings))


def handover(has_store, records):
    start = record(1, struct.pack('<QIIQQQII', 0x7265766f646e6168, 1, 1, 1, 0, 0, 0, has_store), b'', b'0')
    end = record(15, struct.pack('<Q', len(records) + 1))
    fd = os.memfd_create('handover', os.MFD_ALLOW_SEALING)
    os.write(fd, start + b''.join(records) + end)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, IMMUTABLE)
    return fd


def peer(fd, message=b''):
    return record(PEER, struct.pack('<IIIIIIQIQ', fd, 1, 0, 0, 0, 100000, 0, 0, 0), message, b'')


@contextlib.contextmanager
def taking_over(records, fds, **environment):
    """A program that takes over by these, and for good: there is no trial."""
    fd = handover('NOTIFY_SOCKET' in environment, records)
    with tempfile.TemporaryFile() as log:
        program = subprocess.Popen([SEALBUFD, '--config', os.devnull, '--no-sandbox'], pass_fds=[fd, *fds], stderr=log,
                                   stdout=subprocess.DEVNULL, env={**os.environ, **environment, 'SEALBUFD_HANDOVER': str(fd)})
        os.close(fd)

        def said():
            return os.pread(log.fileno(), 100000, 0).decode()
        try:
            yield program, said
        finally:
            program.kill()
            program.wait()


@suite.test
def in_earnest(*_):
    """Where there is no way back, what cannot be taken over ends its own connection only, and the others are served"""
    with Lives() as lives, tempfile.TemporaryDirectory() as directory:
        lives.start()
        with lives.connect() as client:
            make(client, b'kept', 'kept', seals=IMMUTABLE)
        lives.kill()
        entries = lives.manager.duplicates()
        ledger = ledger_of(entries)
        (name, kept), = [entry for entry in entries if entry[0].startswith('buffer-')]
        path = os.path.join(directory, 'socket')
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, \
                contextlib.ExitStack() as stack:
            listener.bind(path)
            listener.listen()
            listener.setblocking(False)
            broken_far, broken = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            stack.enter_context(broken)
            broken.settimeout(10)
            number = broken_far.fileno()
            records = [record(LISTENER, struct.pack('<II', listener.fileno(), 0), b'', b''),
                       record(LISTENER, struct.pack('<II', 998, 0), b'', b''),
                       record(LEDGER, struct.pack('<IQ', ledger, 0)),
                       record(4, struct.pack('<IQ', kept, int(name[7:], 16))),
                       record(4, struct.pack('<IQ', 997, 77)),
                       record(14, struct.pack('<IQ', 996, 0)),
                       peer(995),
                       peer(number),
                       record(REPLY, b'', b'x' * 32, struct.pack('<I', 999))]
            with taking_over(records, [listener.fileno(), ledger, kept, number]) as (program, said):
                broken_far.close()
                try:
                    with wire.Client(path) as client:
                        equal(fetch(client, 'kept')[1], b'kept', 'content')
                    equal(broken.recv(100), b'', 'what comes to who waits for a reply that was lost')
                except BaseException:
                    print('# ' + said().replace('\n', '\n# '))
                    raise
                equal(program.poll(), None, 'exit status')
                equal(said().count('lost when the broker was executed anew'), 5, 'lines: ' + said())
        # A ledger that it cannot open ends it; it stays as it is, for who can.
        for bad in (None, os.memfd_create('none')):
            records = [] if bad is None else [record(LEDGER, struct.pack('<IQ', bad, 0))]
            with taking_over(records, [] if bad is None else [bad]) as (program, said):
                equal(program.wait(10), 1, 'exit status: ' + said())
                equal('cannot take over: the ledger' in said(), True, 'it says why: ' + said())
            if bad is not None:
                os.close(bad)
        close_all(entries)


@suite.test
def moved(*_):
    """Names and tokens that moved from the handover to the ledger while a program is on trial are no reason to refuse it"""
    with Lives() as lives, contextlib.ExitStack() as stack:
        lives.start()
        with lives.connect() as client:
            number = make(client, b'kept', 'kept', seals=IMMUTABLE)['id']
            client.call(wire.PUBLISH, [{'id': number, 'name': 'name/%d' % i, 'mode': 0o600} for i in range(250)]).close()
            client.call(wire.SHARE, [{'name': 'kept'}] * 60).close()
        lives.kill()
        entries = lives.manager.duplicates()
        ledger, (kept,) = ledger_of(entries), [fd for name, fd in entries if name.startswith('buffer-')]
        report = os.memfd_create('report')
        stack.callback(os.close, report)
        records = [record(LEDGER, struct.pack('<IQ', ledger, 0)), record(4, struct.pack('<IQ', kept, number))]
        for i in range(10):
            records.append(record(NAME, struct.pack('<QQQIIII', number, 1, 0, os.getuid(), 0, 0o600, 0), b'moved/%d' % i))
            records.append(record(TOKEN, struct.pack('<QQIII', number, 0, os.getuid(), 0, 0), bytes([i + 1]) * 24))
        with taking_over(records, [ledger, kept, report], SEALBUFD_TRIAL=str(report)) as (program, said):
            equal((program.wait(20), said()), (0, ''), 'outcome')
            equal(os.pread(report, 8, 0), struct.pack('<Q', 1), 'what it reports')
        close_all(entries)


@suite.test
def nothing_to_wait_for(*_):
    """What the ledger does not tell of is removed from the store, and nobody waits for a manager that does not read"""
    with Lives() as lives, contextlib.ExitStack() as stack:
        lives.start()
        lives.kill()
        entries = lives.manager.duplicates()
        ledger = ledger_of(entries)
        strange = [os.memfd_create('strange', os.MFD_ALLOW_SEALING) for _ in range(4)]
        for fd in strange:
            stack.callback(os.close, fd)
        lives.manager.fill([('ledger', ledger)] + [('buffer-%016x' % (77 + i), fd) for i, fd in enumerate(strange)])
        records = [record(LEDGER, struct.pack('<IQ', ledger, 0))]
        records += [record(4, struct.pack('<IQ', fd, 77 + i)) for i, fd in enumerate(strange)]
        while_deaf = stack.enter_context(contextlib.ExitStack())
        while_deaf.enter_context(lives.manager.deaf())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as noise, contextlib.suppress(BlockingIOError):
            noise.setblocking(False)
            while True:
                noise.sendto(b'X=1', lives.manager.path)
        began = time.monotonic()
        with taking_over(records, [ledger, *strange], NOTIFY_SOCKET=lives.manager.path) as (_, said):
            eventually(lambda: 're-executed: ' in said(), 20, 'it has taken over')
            equal(time.monotonic() - began < 3, True, 'seconds: %.1f' % (time.monotonic() - began))
            while_deaf.close()
            eventually(lambda: lives.manager.buffers() == [], 20, 'they are kept no more')
        close_all(entries)


# ---- Started by a service manager ------------------------------------------------------------------------------------


@suite.test
def passed_socket(*_):
    """A socket that was passed is handed over, standard input is left alone, and the log still tells by which one came who"""
    need_root()
    directory = tempfile.mkdtemp(prefix='sealbuf-test-')
    path, log = os.path.join(directory, 'socket'), os.path.join(directory, 'log')
    with Manager() as manager, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        pid = spawn([os.path.abspath(SEALBUFD), '--config', os.devnull], [('door', listener.fileno())], manager.path, log)

        def said():
            with open(log, encoding='utf-8') as file:
                return file.read().splitlines()
        try:
            with wire.Client(path) as client:
                for n in range(2):
                    client.reexec()
                    with open('/proc/%d/fdinfo/0' % pid, encoding='ascii') as info:
                        flags = next(int(line.split()[1], 8) for line in info if line.startswith('flags:'))
                    equal(flags & O_CLOEXEC, 0, 'close-on-exec of standard input')
                    equal(len([line for line in said() if 'socket door' in line]), n + 1, 'lines: %r' % said())
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)
            shutil.rmtree(directory)


def outcome_with(passed):
    """Of a broker that is started with this: 'ready', or its exit status; and its log."""
    directory = tempfile.mkdtemp(prefix='sealbuf-test-')
    path, log = os.path.join(directory, 'socket'), os.path.join(directory, 'log')
    try:
        with Manager() as manager, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(path)
            listener.listen()
            pid = spawn([os.path.abspath(SEALBUFD), '--config', os.devnull], [('door', listener.fileno()), *passed],
                        manager.path, log)
            ready = False
            try:
                eventually(lambda: 'READY=1' in '\n'.join(manager.texts()) or os.waitid(
                    os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), what='it is ready or ends')
                ready = 'READY=1' in '\n'.join(manager.texts())
            finally:
                os.kill(pid, signal.SIGTERM if ready else signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            with open(log, encoding='utf-8') as file:
                return 'ready' if ready else status, file.read()
    finally:
        shutil.rmtree(directory)


@suite.test
def passed_otherwise(*_):
    """A socket with a name that is reserved, or what is no socket, is refused; what a store may hold is dropped"""
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        own.bind(b'\0sealbuf-test-%d' % os.getpid())
        own.listen()
        ends = os.pipe()
        memfd = os.memfd_create('strange', os.MFD_ALLOW_SEALING)
        for fd in (*ends, memfd):
            stack.callback(os.close, fd)
        for name in ('ledger', 'canary', 'buffer-1', 'buffer-0000000000000001'):
            status, said = outcome_with([(name, own.fileno())])
            equal(status, 1, 'exit status with a socket that is named %s' % name)
            equal("socket '%s' from the service manager: the name is reserved" % name in said, True, said)
            for fd in (ends[0], memfd):
                equal(outcome_with([(name, fd)])[0], 'ready', 'outcome with %s' % name)
        status, said = outcome_with([('fifo', ends[0])])
        equal(status, 1, 'exit status with a pipe')
        equal("named 'fifo', is no socket; write ListenSequentialPacket=" in said, True, said)
        for name in ('stored', 'fifo'):
            status, said = outcome_with([(name, memfd)])
            equal((status, "'%s' of an earlier broker is dropped" % name in said), ('ready', True), said)
        equal(outcome_with([('stored', ends[0])])[0], 'ready', 'outcome with a pipe that was stored without a name')
        equal(outcome_with([('stored', own.fileno())])[0], 'ready', 'outcome with a socket named stored')


if __name__ == '__main__':
    skip_all_without_systemd()
    suite.main()
