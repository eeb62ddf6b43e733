#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Descriptors that should not be there, that get lost, and tables that are full."""
import array
import contextlib
import ctypes
import fcntl
import os
import resource
import select
import socket
import struct
import tempfile
import time

import sealbuf_wire as wire
from sealbuf_wire import FUTURE_WRITE, GROW, IMMUTABLE, SEAL_SEAL, SHRINK, WRITE, encode_message, encode_record
from testbed import (Broker, Bystander, Skip, Suite, check_refused, equal, eventually, need_root, refused,
                     replies_until_closed)
from tracer import frozen_workers

suite = Suite()
SYS_MEMFD_SECRET = 447


@contextlib.contextmanager
def closing(*fds):
    try:
        yield fds if len(fds) > 1 else fds[0]
    finally:
        for fd in fds:
            os.close(fd)


def memfd(size=4096, seals=0):
    fd = os.memfd_create('own', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def reopened(fd, flags):
    return os.open('/proc/self/fd/%d' % fd, flags | os.O_CLOEXEC)


def adopt_records(count, **values):
    return [encode_record(wire.ADOPT_REQUEST, values)] * count


def epoll_descriptor():
    with select.epoll() as epoll:
        return os.dup(epoll.fileno())


def impostors(client):
    """[(what it is, descriptor)]; the caller closes them."""
    pipes, pair = os.pipe(), socket.socketpair()
    found = [('pipe', pipes[0]), ('pipe', pipes[1]), ('socket', pair[0].detach()), ('socket', pair[1].detach()),
             ('own connection', os.dup(client.socket.fileno())), ('/dev/null', os.open('/dev/null', os.O_RDWR)),
             ('/dev/zero', os.open('/dev/zero', os.O_RDWR)), ('directory', os.open('/', os.O_RDONLY)),
             ('epoll', epoll_descriptor()),
             ('eventfd', os.eventfd(0)), ('file in /proc', os.open('/proc/self/status', os.O_RDONLY))]
    for where in ('/dev/shm', '/tmp'):
        with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=where) as file:
            file.truncate(4096)
            found.append(('file in ' + where, os.dup(file.fileno())))
    secret = ctypes.CDLL(None).syscall(SYS_MEMFD_SECRET, 0)
    if secret >= 0:
        found.append(('secret memory', secret))
    return found


@suite.test
def no_memfds(broker, bystander):
    """what is no memfd is NOT_MEMFD: pipes, sockets, the client's own connection, devices, files in /dev/shm"""
    with broker.connect() as client:
        found = impostors(client)
        with closing(*(fd for _, fd in found)):
            for what, fd in found:
                for seals in (0, SEAL_SEAL, IMMUTABLE):
                    with client.call(wire.ADOPT, [{'seals': seals}], [fd]) as reply:
                        equal(wire.NAME_OF.get(reply.records[0]['status']), 'NOT_MEMFD', 'status for a ' + what)
                        equal(len(reply.records[0]['text']) > 10, True, 'a sentence')
                bystander.served()
            with closing(memfd()) as good:
                fds = [good] + [fd for _, fd in found] + [good]
                with client.call(wire.ADOPT, [{}] * len(fds), fds) as reply:
                    statuses = [wire.NAME_OF.get(record['status'], 'OK') for record in reply.records]
                    equal(statuses, ['OK'] + ['NOT_MEMFD'] * len(found) + ['OK'], 'statuses of a batch')


@suite.test
def access_modes(broker, _):
    """a memfd that cannot be both read and written is ACCESS_MODE"""
    with broker.connect() as client, closing(memfd()) as fd:
        for flags in (os.O_RDONLY, os.O_WRONLY, os.O_PATH):
            with closing(reopened(fd, flags)) as other, refused('ACCESS_MODE'):
                client.adopt(other)
        with closing(reopened(fd, os.O_RDWR | os.O_APPEND)) as other:
            client.adopt(other)


@suite.test
def claimed_seals(broker, _):
    """a memfd that lacks a seal that it claims is NOT_SEALED; seals that nobody asked for do not matter

    Some memfd wrappers compare sets of seals with ==.
    """
    with broker.connect() as client:
        for has in (0, SHRINK, SHRINK | GROW, IMMUTABLE, IMMUTABLE | SEAL_SEAL, FUTURE_WRITE):
            with closing(memfd(seals=has)) as fd:
                for claims in (0, SHRINK, WRITE, IMMUTABLE, IMMUTABLE | SEAL_SEAL, FUTURE_WRITE, SEAL_SEAL):
                    if claims & ~has:
                        with refused('NOT_SEALED'):
                            client.adopt(fd, seals=claims)
                    else:
                        record = client.adopt(fd, seals=claims)
                        equal(record['seals'] & has, has, 'seals')
        with closing(os.memfd_create('x', os.MFD_CLOEXEC)) as fd:
            equal(client.adopt(fd, seals=SEAL_SEAL)['seals'], SEAL_SEAL, 'seals of one that takes none')
            with refused('SEALED'):
                client.publish(client.adopt(fd)['id'], 'x', seals=SHRINK)


@suite.test
def wrong_numbers(broker, bystander):
    """more or fewer descriptors than announced, or than the operation takes, are DESCRIPTORS, and are closed"""
    ping, create = [], [encode_record(wire.CREATE_REQUEST, {})]
    with broker.connect() as client, closing(memfd()) as fd:
        for opcode, records, announced, attached in (
                (wire.ADOPT, adopt_records(1), 0, 0), (wire.ADOPT, adopt_records(1), 1, 0),
                (wire.ADOPT, adopt_records(1), 0, 1), (wire.ADOPT, adopt_records(1), 1, 2),
                (wire.ADOPT, adopt_records(1), 2, 2), (wire.ADOPT, adopt_records(1), 2, 1),
                (wire.ADOPT, adopt_records(3), 3, 2), (wire.ADOPT, adopt_records(3), 3, 4),
                (wire.ADOPT, adopt_records(2), 1, 1), (wire.ADOPT, adopt_records(253), 253, 252),
                (wire.ADOPT, adopt_records(252), 252, 253), (wire.ADOPT, adopt_records(1), 253, 253),
                (wire.PING, ping, 0, 1), (wire.PING, ping, 1, 1), (wire.PING, ping, 0, 253), (wire.STATS, ping, 0, 1),
                (wire.CREATE, create, 0, 1), (wire.CREATE, create, 1, 1), (wire.CREATE, create, 1, 0),
                (wire.GET, [encode_record(wire.GET_REQUEST, {'id': 1})], 1, 1),
                (wire.PUBLISH, [encode_record(wire.PUBLISH_REQUEST, {'id': 1, 'name': 'x'})], 0, 253),
                (wire.SEAL, [encode_record(wire.SEAL_REQUEST, {'id': 1})], 1, 1)):
            data = encode_message(opcode, records, 7, announced)
            check_refused(client, data, 'DESCRIPTORS', 7, [fd] * attached)
        equal(client.stats()['uid_buffers'], 0, 'buffers')
        bystander.served()


@suite.test
def slipped_in(broker, _):
    """a second descriptor in the padding of the control message is noticed

    CVE-2014-3635: D-Bus expected one where two can be.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    class Vector(ctypes.Structure):
        _fields_ = [('base', ctypes.c_char_p), ('length', ctypes.c_size_t)]

    class Header(ctypes.Structure):
        _fields_ = [('name', ctypes.c_void_p), ('name_length', ctypes.c_uint32), ('parts', ctypes.POINTER(Vector)),
                    ('part_count', ctypes.c_size_t), ('control', ctypes.c_char_p), ('control_length', ctypes.c_size_t),
                    ('flags', ctypes.c_int)]

    with broker.connect() as client, closing(memfd(), memfd()) as fds:
        data = encode_message(wire.ADOPT, adopt_records(1), 7, 1)
        # Room for one descriptor, which has room for two: cmsg_len says that two are there.
        size = socket.CMSG_SPACE(4)
        control = (socket.CMSG_LEN(8).to_bytes(8, 'little') + socket.SOL_SOCKET.to_bytes(4, 'little') +
                   socket.SCM_RIGHTS.to_bytes(4, 'little') + array.array('i', fds).tobytes())
        equal(len(control), size, 'size of the control message')
        part = Vector(data, len(data))
        header = Header(None, 0, ctypes.pointer(part), 1, control, size, 0)
        equal(libc.sendmsg(client.socket.fileno(), ctypes.byref(header), 0), len(data), 'bytes sent')
        with client.receive() as reply:
            equal((reply.name(), reply.serial), ('DESCRIPTORS', 7), 'answer')
        client.ping()


@suite.test
def own_socket_in_flight(broker, bystander):
    """connections that are sent over themselves, and closed, leave nothing behind"""
    for greeted in (False, True):
        for _ in range(50):
            # Without a HELLO, the connection may be gone before the second message.
            with broker.connect(hello=greeted) as client, contextlib.suppress(wire.Disconnected):
                client.send(encode_message(wire.ADOPT, adopt_records(1), 7, 1), [client.socket.fileno()])
                client.send(encode_message(wire.PING, serial=8), [client.socket.fileno()] * 20)
    bystander.served()


@suite.test
def lost_on_the_way(broker, bystander):
    """descriptors for which the broker has no room (MSG_CTRUNC): an error, and those that came are closed"""
    with broker.connect() as client, closing(memfd()) as fd:
        before = broker.descriptors()
        for room in (0, 1, 2, 4):
            limit = broker.limit_descriptors(before + room)
            try:
                client.send(encode_message(wire.ADOPT, adopt_records(5), 7, 5), [fd] * 5)
                with client.receive() as reply:
                    equal(reply.name() in ('TABLE_FULL', 'DESCRIPTORS'), True, 'answer: ' + reply.name())
                    equal(reply.serial, 7, 'serial')
                client.serial = 100
                client.ping()
                eventually(lambda: broker.descriptors() == before, what='the descriptors are back')
            finally:
                broker.limit_descriptors(limit)
            bystander.served()
        equal(client.stats()['uid_buffers'], 0, 'buffers')
        client.send(b'')  # and when the broker has no room for what comes with an empty message
    limit = broker.limit_descriptors(broker.descriptors())
    try:
        with contextlib.suppress(wire.Refused, TimeoutError), broker.connect(hello=False, timeout=0.2) as client:
            client.send(b'', [bystander.client.socket.fileno()])
            client.receive()
    except wire.Disconnected:
        pass
    finally:
        broker.limit_descriptors(limit)


@suite.test
def table_full(broker, bystander):
    """with a full table CREATE, ADOPT and GET are TABLE_FULL, all else goes on, and afterwards all is as before

    As an fd holder that is full must.
    """
    with broker.connect() as client, closing(memfd()) as fd:
        buffer = client.create(10)
        os.close(buffer['fd'])
        client.publish(buffer['id'], 'full', seals=IMMUTABLE)
        eventually(lambda: client.stats()['jobs'] == 0, what='what the workers have open is closed')
        limit = broker.limit_descriptors(broker.descriptors())
        try:
            for _ in range(3):
                with refused('TABLE_FULL'):
                    client.create(10)
                with refused('TABLE_FULL'):
                    client.get('full')
                with refused('TABLE_FULL'):
                    client.adopt(fd)
                client.ping()
                equal(client.stat('full')['id'], buffer['id'], 'STAT')
                equal(len(client.list(prefix='full')), 1, 'LIST')
                with client.call(wire.GET, [{'name': 'full'}] * 253) as reply:
                    equal({record['status'] for record in reply.records}, {wire.CODE['TABLE_FULL']}, 'statuses')
        finally:
            broker.limit_descriptors(limit)
        os.close(client.get('full')['fd'])
        client.remove('full')
    bystander.served()


@suite.test
def shortage_is_no_answer(broker, _):
    """what cannot be found out of a client with a full table is TABLE_FULL, and is found out when there is room"""
    with broker.connect() as client:
        limit = broker.limit_descriptors(broker.descriptors() + 1)  # for the buffer, but not to look who asks
        try:
            with refused('TABLE_FULL'):
                client.create(10, flags=wire.CREATE_EXECUTABLE)
        finally:
            broker.limit_descriptors(limit)
        os.close(client.create(10, flags=wire.CREATE_EXECUTABLE)['fd'])


@suite.test
def accept_pauses(broker, bystander):
    """with a full table new connections wait, without use of CPU, and are served when there is room

    dbus-broker #435, dbus-broker #462: a full table ended the broker.
    """
    served = broker.descriptors()
    limit = broker.limit_descriptors(served)
    waiting = []
    try:
        for _ in range(20):
            waiting.append(broker.connect(hello=False))
        time.sleep(0.2)
        cpu, began = broker.cpu_seconds(), time.monotonic()
        while time.monotonic() - began < 2:
            bystander.client.ping()
            time.sleep(0.1)
        used = broker.cpu_seconds() - cpu
        equal(used <= 0.2, True, 'CPU used while waiting, %.2f s of 2' % used)
        eventually(lambda: broker.descriptors() == served, what='the descriptors are back')
    finally:
        broker.limit_descriptors(limit)
    for client in waiting:
        client.hello()
        client.ping()
    for client in waiting:
        client.close()
    eventually(lambda: broker.descriptors() == served, what='all descriptors are back')
    equal('cannot accept' in broker.log(), True, 'a line in the log')


@suite.test
def refused_again_and_again(*_):
    """ten times RLIMIT_NOFILE descriptors in refused messages: the broker has as many descriptors as before

    CVE-2020-12049: descriptors leaked where a message was refused.
    """
    limit = 1024
    with Broker(limits={resource.RLIMIT_NOFILE: limit}) as broker:
        bystander = Bystander(broker)
        with broker.connect() as client, closing(memfd(), os.open('/dev/null', os.O_RDWR)) as (fd, null):
            before, sent, i = broker.descriptors(), 0, 0
            bad = encode_record(wire.ADOPT_REQUEST, {'label': '\n'})
            kinds = [(encode_message(wire.PING, serial=1), [fd] * 2), (encode_message(99, serial=1), [fd]),
                     (encode_message(wire.ADOPT, [bad], 1, 1), [fd]),
                     (encode_message(wire.ADOPT, adopt_records(1), 0, 1), [fd]),
                     (encode_message(wire.ADOPT, adopt_records(1, seals=WRITE), 1, 1), [fd]),
                     (encode_message(wire.ADOPT, adopt_records(3), 1, 3), [null] * 3),
                     (encode_message(wire.ADOPT, adopt_records(2) + [bad], 1, 3), [fd] * 3),
                     (encode_message(wire.ADOPT, adopt_records(1), 1, 1, reserved=(0, 1)), [fd]),
                     (encode_message(wire.ADOPT, adopt_records(1), 1, 1, status=1), [fd]),
                     (encode_message(wire.CREATE, [b'1'], 1, count=1), [fd] * 100)]
            while sent < 10 * limit:
                data, fds = kinds[i % len(kinds)]
                client.send(data, fds)
                client.receive().close()
                sent, i = sent + len(fds), i + 1
            for i in range(300):  # and those that end the connection
                with broker.connect(hello=i % 2 == 0) as other:
                    other.send((b'', b'x', bytes(70000))[i % 3], [fd] * 7)
                    replies_until_closed(other)
            equal(client.stats()['uid_buffers'], 0, 'buffers')
            eventually(lambda: broker.descriptors() == before, what=lambda: '%d descriptors, %d before' % (
                broker.descriptors(), before))
        bystander.served()
        bystander.close()


@suite.test
def too_big_for_one_reply(broker, bystander):
    """records that no longer fit into a reply are TOO_BIG and have no descriptor, those behind them have their own"""
    names = ['big', 'small']
    with broker.connect() as client:
        for name, metadata in zip(names, (b'k=' + b'v' * 4093 + b'\0', b'')):
            buffer = client.create(5, metadata=metadata)
            os.pwrite(buffer['fd'], name.encode(), 0)
            os.close(buffer['fd'])
            client.publish(buffer['id'], name)
        asked = ['big'] * 20 + ['small'] * 10 + ['big'] * 3 + ['small'] * 10
        with client.call(wire.GET, [{'name': name, 'flags': wire.GET_DETAILS} for name in asked]) as reply:
            statuses = [wire.NAME_OF.get(record['status'], 'OK') for record in reply.records]
            equal(set(statuses), {'OK', 'TOO_BIG'}, 'statuses')
            equal({status for status, name in zip(statuses, asked) if name == 'small'}, {'OK'}, 'those that fit')
            equal(reply.descriptors, statuses.count('OK'), 'descriptors in the reply')
            for record, name in zip(reply.records, asked):
                if 'fd' in record:
                    equal(os.pread(record['fd'], 5, 0).rstrip(b'\0'), name.encode(), 'content')
        for name in names:
            client.remove(name)
    bystander.served()


@suite.test
def closes_that_wait(*_):
    """descriptors that wait for a worker to close them count as buffers: they take room in the table"""
    with Broker('--limit', 'buffers=3') as broker, broker.connect() as client:
        with frozen_workers(broker):
            buffers = [client.create(1 << 20) for _ in range(3)]
            for buffer in buffers:
                os.pwrite(buffer['fd'], bytes(1 << 20), 0)
                os.close(buffer['fd'])
            descriptors = broker.descriptors()
            client.remove(id=buffers[0]['id'])
            equal(broker.descriptors(), descriptors, 'descriptors after the removal')
            with refused('LIMIT'):
                client.create(0)
        eventually(lambda: broker.descriptors() < descriptors, what='it is closed')

        def create():
            try:
                os.close(client.create(0)['fd'])
            except wire.Refused:
                return False
            return True

        eventually(create, what='there is room again')


@suite.test
def takes_no_descriptors(broker, bystander):
    """a client whose socket takes no descriptors (SO_PASSRIGHTS) and asks for some harms nobody but itself"""
    with broker.connect() as client:
        try:
            client.socket.setsockopt(socket.SOL_SOCKET, 83, 0)
        except OSError as error:
            raise Skip('no SO_PASSRIGHTS before Linux 6.16') from error
        client.ping()
        client.start(wire.CREATE, [{'size': 1}] * 3)
        replies_until_closed(client)
    bystander.served()


# ---- Descriptors whose close waits -----------------------------------------------------------------------------------

LINGER_SECONDS = 30
HOSTILE = 61201
FOREIGN_AT_MOST = 256


class Lingering:
    """A TCP connection whose last close waits until somebody takes the data; or until release().

    So waits the close of a file whose file system does not answer, for which one would have to have FUSE. The broker
    has no socket linger, but it cannot keep one from it that is on its way in another socket: `wrapped` is such a one.
    """

    def __init__(self):
        try:
            self.connect()
        except OSError as error:
            raise Skip('no TCP on 127.0.0.1: %s' % error) from error
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, LINGER_SECONDS))
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(64):  # MiB; the buffers have room for a few at most
                self.socket.send(bytes(1 << 20))
        near, self.wrapped = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        socket.send_fds(near, [b'x'], [self.socket.fileno()])
        near.close()
        self.socket.close()

    def connect(self):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            listener.bind(('127.0.0.1', 0))
            listener.listen(1)
            self.socket = socket.create_connection(listener.getsockname(), 10)
            self.far, _ = listener.accept()

    def release(self):
        self.far.close()


def send_lingering(broker, client, count=1):
    """Adopts some, each of which is refused. The broker then has their last descriptors, and closes one by one.

    While it lingers, the broker must not be stopped: any signal ends that.
    """
    sent = [Lingering() for _ in range(count)]
    with broker.stopped():
        serials = [client.start(wire.ADOPT, [{}], [each.wrapped.fileno()]) for each in sent]
        for each in sent:
            each.wrapped.close()
    for serial in serials:
        with client.finish(serial) as reply:
            equal(wire.NAME_OF.get(reply.records[0]['status']), 'NOT_MEMFD', 'status')
    return sent


def send_foreign(client, count):
    """Descriptors that are no memfds, as many as fit into each message."""
    with closing(os.open('/dev/null', os.O_RDWR)) as null:
        while count:
            batch = min(count, wire.MAX_RECORDS)
            with client.call(wire.ADOPT, [{}] * batch, [null] * batch) as reply:
                equal({wire.NAME_OF.get(r['status']) for r in reply.records}, {'NOT_MEMFD'}, 'statuses')
            count -= batch


def connect_as(broker, uid):
    os.seteuid(uid)
    try:
        return broker.connect()
    finally:
        os.seteuid(0)


def is_served(client):
    """Whether a PING is answered, before the connection is closed."""
    try:
        client.ping()
    except wire.Disconnected:
        return False
    return True


@suite.test
def close_waits(broker, bystander):
    """a descriptor whose close waits, because nobody takes its data, makes nobody else wait"""
    with broker.connect() as client:
        [lingering] = send_lingering(broker, client)
        for _ in range(10):
            bystander.served()
        client.ping()
        equal(bystander.accounts()['jobs'], 1, 'closes that wait')
    lingering.release()
    eventually(lambda: bystander.accounts()['jobs'] == 0, what='it is closed')


@suite.test
def close_never_comes(*_):
    """a uid whose descriptors cannot be closed is turned away from 256 on, and is back once they are; others go on"""
    need_root()
    with contextlib.ExitStack() as later, Broker('--socket-mode', '0666') as broker:
        bystander = Bystander(broker)
        with connect_as(broker, HOSTILE) as client, connect_as(broker, HOSTILE) as second:
            [lingering] = send_lingering(broker, client)
            send_foreign(client, FOREIGN_AT_MOST - 1)
            second.ping()
            send_foreign(client, 1)
            equal((is_served(client), is_served(second)), (False, False), 'whether one with 257 is served')
        with refused('TABLE_FULL'):
            connect_as(broker, HOSTILE).close()
        equal('they cannot be closed' in broker.log(), True, 'why, in the log')
        bystander.served()
        lingering.release()
        eventually(lambda: bystander.accounts()['jobs'] == 0, what='all are closed')
        with connect_as(broker, HOSTILE) as client:
            send_foreign(client, 3 * FOREIGN_AT_MOST)
            client.ping()
            # And one that nobody will ever let go does not keep the broker from its end.
            later.callback(send_lingering(broker, client)[0].release)
        bystander.served()
        bystander.close()


def served_after_closes(broker, bystander, closed):
    """Whether a uid with 257 foreign descriptors is served once they are closed, within a second from the last one.

    The first `closed` of them are closed a second later than they came.
    """
    with connect_as(broker, HOSTILE) as client:
        if not closed:
            time.sleep(1.2)  # nothing has moved for long, but nothing was there
        *first, last = send_lingering(broker, client, closed + 1)
        if closed:
            time.sleep(1.2)  # with 257 that do not move, it would be turned away from now on
        send_foreign(client, FOREIGN_AT_MOST - 2)
        send_foreign(client, 2)
        jobs = bystander.accounts()['jobs']
        for each in first:
            each.release()
        eventually(lambda: bystander.accounts()['jobs'] == jobs - closed, what='the first ones are closed')
        with contextlib.suppress(wire.Disconnected):
            client.start(wire.PING)
            time.sleep(0.1)
        last.release()
        try:
            client.finish().close()
        except wire.Disconnected:
            return False
        finally:
            eventually(lambda: bystander.accounts()['jobs'] == 0, what='all are closed')
        return True


@suite.test
def closes_that_move(*_):
    """a uid with more than 256 descriptors to be closed waits while they are closed, and is not turned away"""
    need_root()
    with Broker('--socket-mode', '0666') as broker:
        bystander = Bystander(broker)
        for closed in (0, 1):
            # On a busy machine the second between two closes may be over too early.
            if not any(served_after_closes(broker, bystander, closed) for _ in range(5)):
                raise AssertionError('with %d closed before, it is turned away' % closed)
        bystander.close()


if __name__ == '__main__':
    suite.main()
