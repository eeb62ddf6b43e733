#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that do not read, do not speak, die, or keep the kernel busy: nobody else notices."""
import contextlib
import fcntl
import mmap
import os
import resource
import signal
import socket
import struct
import termios
import time

import sealbuf_wire as wire
from sealbuf_wire import IMMUTABLE, WRITE, encode_message, encode_record
from testbed import Broker, Bystander, Suite, equal, eventually, process, refused, replies_until_closed

suite = Suite()
MIB = 1 << 20


def marked(client, name, **publish):
    """A published buffer whose content is its name."""
    buffer = client.create(64)
    os.pwrite(buffer['fd'], name.encode(), 0)
    os.close(buffer['fd'])
    client.publish(buffer['id'], name, **publish)
    return buffer['id']


def check_marks(message, names):
    """The reply to a GET of these names carries the buffers of these names."""
    equal([record['status'] for record in message.records], [0] * len(names), 'statuses')
    for record, name in zip(message.records, names):
        equal(os.pread(record['fd'], 64, 0).rstrip(b'\0'), name.encode(), 'content of ' + name)


def get_message(names, serial):
    return encode_message(wire.GET, [encode_record(wire.GET_REQUEST, {'name': name}) for name in names], serial)


def send_until_full(client, make, most=5000):
    """Sends make(1), make(2)... without reading, until there is no room or so many are sent. How many were."""
    client.socket.settimeout(0.3)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            client.send(make(sent + 1))
            sent += 1
    client.socket.settimeout(20)
    return sent


@suite.test
def does_not_read(broker, bystander):
    """a client that asks for descriptors and does not read: its queue is bounded, the others are served"""
    names = ['stuck/%d' % i for i in range(253)]
    with broker.connect() as owner:
        for name in names:
            marked(owner, name)
        before, memory = broker.descriptors(), broker.resident_bytes()
        stuck = [broker.connect() for _ in range(3)]
        sent = [send_until_full(client, lambda serial: get_message(names, serial)) for client in stuck]
        equal(all(100 > n > 0 for n in sent), True, 'messages taken: %r' % sent)
        for _ in range(20):
            bystander.served()
        stats = bystander.client.stats()
        equal(stats['queued_descriptors'] <= 3 * 253, True, 'queued descriptors: %d' % stats['queued_descriptors'])
        equal(broker.descriptors() - before <= 3 + 3 * 253, True, 'descriptors: %d' % (broker.descriptors() - before))
        equal(broker.resident_bytes() - memory < 64 * MIB, True, 'memory')
        for client, count in zip(stuck, sent):  # when they read at last, they get all of it, and the right one
            for serial in range(1, count + 1):
                with client.finish(serial) as reply:
                    check_marks(reply, names)
            client.close()
        for name in names:
            owner.remove(name)


@suite.test
def does_not_read_answers(broker, bystander):
    """the same without descriptors: what waits for a client that does not read stays bounded"""
    memory = broker.resident_bytes()
    with broker.connect() as client:
        record = encode_record(wire.TARGET_REQUEST, {'id': 1 << 50})
        sent = send_until_full(client, lambda serial: encode_message(wire.STAT, [record] * 200, serial), 100000)
        equal(sent < 10000, True, 'messages taken: %d' % sent)
        bystander.served()
        equal(broker.resident_bytes() - memory < 64 * MIB, True, 'memory')
        for serial in range(1, sent + 1):
            client.finish(serial).close()
        client.ping()


@suite.test
def pipelines_with_a_small_table(*_):
    """a client that reads, but has many requests in flight, is not dropped by a broker with a small table"""
    with Broker(limits={resource.RLIMIT_NOFILE: 1024}) as broker, broker.connect() as client:
        names = ['small/%d' % i for i in range(100)]
        for name in names:
            marked(client, name)
        count = send_until_full(client, lambda serial: get_message(names * 2, serial), 40)
        for serial in range(1, count + 1):
            with client.finish(serial) as reply:
                check_marks(reply, names * 2)
        client.serial = count
        client.ping()


def uid_of_ones_own():
    """The kernel counts by uid: another run of this test, at the same time, must not have the same one."""
    return 100000 + os.getpid() % 100000


@suite.test
def in_flight_of_one_uid(*_):
    """descriptors in flight are counted for the broker's uid: clients that do not read do not use up those of others

    CVE-2014-3532: ETOOMANYREFS disconnected those who had not caused it.
    """
    # Root's are not counted.
    with Broker(limits={resource.RLIMIT_NOFILE: 2048}, uid=uid_of_ones_own() if os.geteuid() == 0 else None) as broker:
        bystander = Bystander(broker)
        names = ['flight/%d' % i for i in range(120)]
        with broker.connect() as owner:
            for name in names:
                marked(owner, name)
            stuck = [broker.connect() for _ in range(12)]
            for client in stuck:
                with contextlib.suppress(wire.Disconnected):  # they may be dropped; the others may not
                    send_until_full(client, lambda serial: get_message(names, serial), 30)
            for _ in range(5):
                bystander.served()
            for client in stuck:
                client.close()
            bystander.served()
            bystander.close()


def unread_bytes(client):
    return struct.unpack('i', fcntl.ioctl(client.socket, termios.FIONREAD, bytes(4)))[0]


@suite.test
def never_reads_all(*_):
    """a client that reads all the time, and never all that there is, is not charged for what it has read"""
    with Broker('--limit', 'in-flight=64') as broker, broker.connect() as client:
        buffer = client.create(4096)
        os.close(buffer.pop('fd'))
        client.publish(buffer['id'], 'read/all', seals=IMMUTABLE)
        with client.call(wire.GET, [{'name': 'read/all'}]) as message:
            length = message.length
        waiting = client.start(wire.GET, [{'name': 'read/all'}])
        for _ in range(300):  # there is always one more to be read
            following = client.start(wire.GET, [{'name': 'read/all'}])
            eventually(lambda: unread_bytes(client) == 2 * length, what='both replies')
            client.finish(waiting).close()
            waiting = following
        client.finish(waiting).close()
        equal(client.ping(), None, 'it is served')


@suite.test
def silent(*_):
    """connections that say nothing, or no more than half, are closed after a while; others are admitted meanwhile

    Against half messages and silent connections that hold all slots: CVE-2014-3637, CVE-2014-3639. Whoever has said
    HELLO may be silent for as long as he likes: there is no heartbeat that kills the slow (iceoryx #999).
    """
    with Broker('--limit', 'connections=100') as broker, broker.connect() as quiet:
        bystander = Bystander(broker)
        before = broker.descriptors()
        sockets = []
        for i in range(70):
            sockets.append(broker.connect(hello=False))
        for _ in range(5):
            bystander.served()
            broker.connect().close()
        began = time.monotonic()
        for client in sockets:
            equal(replies_until_closed(client), [], 'answers to a silent client')
            client.close()
        took = time.monotonic() - began
        equal(5 < took < 16, True, 'seconds until they were closed, %.1f' % took)
        quiet.ping()
        eventually(lambda: broker.descriptors() == before, what='all descriptors are back')
        equal('dropped: ' in broker.log(), True, 'a reason in the log')
        bystander.served()
        bystander.close()


def at_connect(client_of, _):
    client_of(False)


def at_hello(client_of, _):
    client_of(True)


def at_create(client_of, _):
    client_of(True).call(wire.CREATE, [{'size': 1000}] * 253)


def at_create_unread(client_of, _):
    client = client_of(True)
    for _ in range(20):
        client.start(wire.CREATE, [{'size': 1000}] * 50)


def at_adopt(client_of, _):
    client = client_of(True)
    fd = os.memfd_create('x', os.MFD_ALLOW_SEALING)
    client.call(wire.ADOPT, [{}] * 50, [fd] * 50)


def at_seal(client_of, _):
    """While a worker waits for pages that are pinned."""
    client = client_of(True)
    buffer = client.create(MIB)
    pin(buffer['fd'])
    client.start(wire.SEAL, [{'id': buffer['id'], 'seals': WRITE}])


def at_publish(client_of, name):
    """The name stays: it is the owner's, not the connection's."""
    client = client_of(True)
    buffer = client.create(MIB)
    client.publish(buffer['id'], name)
    client.start(wire.PUBLISH, [{'id': buffer['id'], 'name': name, 'seals': IMMUTABLE, 'flags': 1}])


def in_pipeline(client_of, name):
    client = client_of(True)
    marked(client, name)
    send_until_full(client, lambda serial: get_message([name] * 100, serial), 50)


def half_sent(client_of, name):
    """Requests of all kinds, none of their replies read."""
    client = client_of(True)
    client.start(wire.CREATE, [{'size': 1000}] * 3)
    client.start(wire.PUBLISH, [{'id': 1, 'name': name}])
    client.start(wire.GET, [{'name': name}] * 3)
    client.start(wire.LIST, [{}])
    client.start(wire.REMOVE, [{'name': name}])


STEPS = [at_connect, at_hello, at_create, at_create_unread, at_adopt, at_seal, at_publish, in_pipeline, half_sent]


def pin(fd):
    """Pages of the file in a pipe: the kernel counts them as in use until somebody reads the pipe. Returns its ends."""
    ends = os.pipe()
    os.splice(fd, ends[1], 65536, offset_src=0)
    return ends


def die_at(broker, step, name):
    """A process that does the step is killed with SIGKILL right after."""
    done, done_far = os.pipe()

    def live():
        step(lambda hello: broker.connect(hello=hello), name)
        os.write(done_far, b'!')
        time.sleep(60)

    with process(live):
        os.close(done_far)
        said = os.read(done, 1)
    os.close(done)
    equal(said, b'!', 'whether %s was reached' % step.__name__)


@suite.test
def killed(broker, bystander):
    """kill -9 of a client at every step leaves no buffer, no account and no descriptor behind

    v6d #2072, eCAL #1206, Ray #201: the death of a client leaked, locked, or killed others.
    """
    for step in STEPS:
        for _ in range(3):
            before, descriptors = bystander.accounts(), broker.descriptors()
            die_at(broker, step, 'killed')
            bystander.served()
            with contextlib.suppress(wire.Refused), broker.connect() as client:
                client.remove('killed')
            eventually(lambda b=before: bystander.accounts() == b, what=lambda b=before, s=step: '%s: %r, before %r' % (
                s.__name__, bystander.accounts(), b))
            eventually(lambda d=descriptors: broker.descriptors() == d, what='the descriptors after ' + step.__name__)


@suite.test
def lease(broker, bystander):
    """a reader that holds a lease on a buffer: others are told BUSY at once, and do not wait for it"""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with broker.connect() as client:
        marked(client, 'lease')
        got = client.get('lease')
        fcntl.fcntl(got['fd'], fcntl.F_SETLEASE, fcntl.F_WRLCK)
        began = time.monotonic()
        with refused('BUSY'):
            bystander.client.get('lease')
        with bystander.client.call(wire.GET, [{'name': 'lease'}, {'name': 'none'}]) as reply:
            equal([wire.NAME_OF[record['status']] for record in reply.records], ['BUSY', 'NOT_FOUND'], 'statuses')
        equal(time.monotonic() - began < 2, True, 'promptness')
        bystander.served()
        fcntl.fcntl(got['fd'], fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(got['fd'])
        os.close(bystander.client.get('lease')['fd'])
        client.remove('lease')
    signal.signal(signal.SIGIO, signal.SIG_DFL)


def slowest_ping(client, seconds):
    slowest, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        client.ping()
        slowest = max(slowest, time.monotonic() - began)
    return slowest


@suite.test
def pinned_pages(broker, bystander):
    """the WRITE seal of a buffer whose pages are pinned is BUSY, after a while in which others are served"""
    with broker.connect() as client:
        buffer = client.create(MIB)
        os.pwrite(buffer['fd'], b'x' * MIB, 0)
        ends = pin(buffer['fd'])
        serial = client.start(wire.SEAL, [{'id': buffer['id'], 'seals': WRITE}])
        behind = client.start(wire.PING)
        # 0.16 s is what the kernel waits; the loop must not.
        slowest = slowest_ping(bystander.client, 0.5)
        equal(slowest < 1, True, 'the slowest ping of another client, %.3f s,' % slowest)
        with client.finish(serial) as reply:
            equal(wire.NAME_OF.get(reply.records[0]['status']), 'BUSY', 'status')
        client.finish(behind).close()
        for end in ends:
            os.close(end)
        equal(client.seal(buffer['id'], WRITE)['seals'] & WRITE, WRITE, 'seals once the pipe is gone')
        os.close(buffer['fd'])


@suite.test
def many_pinned(broker, bystander):
    """many clients that keep all workers waiting: others are served all the while"""
    clients, buffers, ends = [], [], []
    for _ in range(8):
        client = broker.connect()
        buffer = client.create(65536)
        os.pwrite(buffer['fd'], b'x' * 65536, 0)
        ends.extend(pin(buffer['fd']))
        client.start(wire.SEAL, [{'id': buffer['id'], 'seals': WRITE}] * 10)
        clients.append(client)
        buffers.append(buffer)
    slowest = slowest_ping(bystander.client, 1)
    equal(slowest < 1, True, 'the slowest ping of another client, %.3f s,' % slowest)
    for client in clients:
        with client.finish() as reply:
            equal({wire.NAME_OF.get(record['status']) for record in reply.records}, {'BUSY'}, 'statuses')
        client.close()
    for fd in ends + [buffer['fd'] for buffer in buffers]:
        os.close(fd)


@suite.test
def busy_inode(broker, bystander):
    """a client that keeps the lock of a buffer's inode busy with big writes holds nobody up, whatever is asked of it"""
    with broker.connect() as client, mmap.mmap(-1, 128 * MIB) as source:
        buffer = client.create(128 * MIB)
        client.publish(buffer['id'], 'busy')

        def write():
            while True:
                os.pwrite(buffer['fd'], source, 0)

        with process(write):
            slowest, end = 0, time.monotonic() + 2
            while time.monotonic() < end:
                began = time.monotonic()
                got = bystander.client.get('busy')
                os.close(got['fd'])
                bystander.client.stat('busy')
                slowest = max(slowest, time.monotonic() - began)
            serial = client.start(wire.SEAL, [{'id': buffer['id'], 'seals': WRITE}])
            slowest = max(slowest, slowest_ping(bystander.client, 1))
            equal(slowest < 1, True, 'the slowest answer to another client, %.3f s,' % slowest)
        with client.finish(serial) as reply:
            equal(reply.records[0]['status'] in (0, wire.CODE['BUSY']), True, 'status')
        client.remove('busy')
        os.close(buffer['fd'])


@suite.test
def numbers_used_again(broker, bystander):
    """replies that wait while their buffers go and others come: every descriptor is the one that was asked for

    The class of dbus-broker #354: a queued reply held a bare number, which became that of another client's socket. Ray
    #16460: memory was corrupted through a number that was used again.
    """
    for round_ in range(10):
        names = ['again/%d/%d' % (round_, i) for i in range(60)]
        with broker.connect() as owner, broker.connect() as slow:
            for name in names:
                marked(owner, name)
            for name in names:  # read-write: the broker's own description, a number that it will use again
                os.close(owner.get(name, flags=wire.GET_WRITABLE)['fd'])
            records = [encode_record(wire.GET_REQUEST, {'name': name, 'flags': i % 2 * wire.GET_WRITABLE})
                       for i, name in enumerate(names)]
            sent = send_until_full(slow, lambda serial: encode_message(wire.GET, records, serial), 30)
            # All that it waits for goes, and what comes takes the numbers: buffers, and other clients' connections.
            with owner.call(wire.REMOVE, [{'name': name} for name in names]) as reply:
                equal({record['status'] for record in reply.records}, {0}, 'statuses')
            others = [broker.connect() for _ in range(30)]
            owner.call(wire.CREATE, [{'size': 1}] * 60).close()
            served = 0
            for serial in range(1, sent + 1):
                with slow.finish(serial) as reply:
                    # Some of them, or all, were looked for after the removal.
                    gone = {record['status'] for record in reply.records} - {0}
                    equal(gone <= {wire.CODE['NOT_FOUND']}, True, 'statuses')
                    there = [name for name, record in zip(names, reply.records) if record['status'] == 0]
                    reply.records = [record for record in reply.records if record['status'] == 0]
                    check_marks(reply, there)
                    served += reply.descriptors == len(names)
            equal(served > 0, True, 'replies with descriptors')
            for client in others:
                client.ping()
                client.close()
        bystander.served()


@suite.test
def bursts(broker, bystander):
    """get, remove and disconnect in one burst, many times, while others connect: everybody gets what is theirs

    The class of dbus-broker #354, too.
    """
    for i in range(300):
        name = 'burst/%d' % i
        with broker.connect() as client:
            marked(client, name)
            client.send(get_message([name] * 20, 1))
            client.send(encode_message(wire.REMOVE, [encode_record(wire.TARGET_REQUEST, {'name': name})], 2))
            client.send(get_message([name], 3))
            if i % 2:
                with client.finish(1) as reply:
                    check_marks(reply, [name] * 20)
        with broker.connect() as other:
            created = other.create(64)
            os.pwrite(created['fd'], b'mine', 0)
            got = other.get(id=created['id'])
            equal(os.pread(got['fd'], 4, 0), b'mine', 'content')
            os.close(got['fd'])
            os.close(created['fd'])
    # Whoever had gone before its REMOVE was read has left its name behind: it was published, so it stays.
    with broker.connect() as client:
        for record in client.list(prefix='burst/'):
            with contextlib.suppress(wire.Refused):
                client.remove(record['name'])
    bystander.served()


@suite.test
def no_shutdown_by_halves(broker, bystander):
    """clients that shut down one direction only harm nobody, and get the answers to what they had sent"""
    with broker.connect() as client:
        client.start(wire.CREATE, [{'size': 1}] * 5)
        client.socket.shutdown(socket.SHUT_WR)
        with contextlib.suppress(wire.Disconnected):
            client.receive().close()
    with broker.connect() as client:
        client.socket.shutdown(socket.SHUT_RD)
        with contextlib.suppress(wire.Disconnected):
            client.start(wire.CREATE, [{'size': 1}] * 5)
            client.start(wire.CREATE, [{'size': 1}] * 5)
        bystander.served()


if __name__ == '__main__':
    suite.main()
