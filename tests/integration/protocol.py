#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does what docs/protocol.md says, with a client that was written from that page alone."""
import errno
import fcntl
import mmap
import os
import re
import stat
import time

import sealbuf_wire as wire
from sealbuf_wire import EXEC, FUTURE_WRITE, GROW, IMMUTABLE, SEAL_SEAL, SHRINK, WRITE
from testbed import Suite, access_mode_of, birth_seals, equal, fetch, make, os_error, refused, seals_of

suite = Suite()
TOP = os.environ.get('srcdir') or os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')


def example(name):
    """The bytes of a worked example of the page, as a regular expression: `..` is any byte."""
    with open(os.path.join(TOP, 'docs', 'protocol.md'), encoding='utf-8') as page:
        words = re.search('```%s\n(.*?)```' % name, page.read(), re.S).group(1).split()
    return words


@suite.test
def page_examples(broker, _):
    """the page's examples are right, byte for byte"""
    with broker.connect(hello=False) as client:
        client.send(bytes(int(word, 16) for word in example('hello')))
        with client.receive() as reply:
            pattern = example('hello-reply')
            equal(len(reply.data), len(pattern), 'length of the reply')
            for got, word in zip(reply.data, pattern):
                equal(word == '..' or got == int(word, 16), True, 'byte %s of %s' % (word, reply.data.hex(' ')))
        client.send(bytes(int(word, 16) for word in example('get')))
        with client.receive() as reply:
            equal((reply.status, reply.count, reply.serial), (0, 1, 2), 'header')
            equal(reply.records[0]['status'], wire.CODE['NOT_FOUND'], 'status')
            equal(reply.data[32:36], bytes.fromhex('9d130000'), 'status in bytes')


@suite.test
def handshake(broker, bystander):
    """HELLO: version ranges, features, instance"""
    for low, high in ((1, 1), (0, 1), (1, 7), (0, 0xffffffff)):
        with broker.connect(hello=False) as client:
            greeting = client.hello(version_min=low, version_max=high, features=0xffffffffffffffff)
            equal(greeting['version'], 1, 'version')
            equal(greeting['features'], 0, 'features')
            equal((greeting['max_message'], greeting['max_records']), (65536, 253), 'limits')
            equal(greeting['instance'], bystander.client.greeting['instance'], 'instance')
    for low, high in ((2, 9), (0, 0), (2, 0)):
        with broker.connect(hello=False) as client:
            with refused('VERSION'):
                client.hello(version_min=low, version_max=high)
            try:
                client.receive()
            except wire.Disconnected:
                continue
            raise AssertionError('the connection is still there')


@suite.test
def hand_off(broker, _):
    """create, write, seal, publish; another connection gets the same bytes, and cannot change them"""
    content = os.urandom(300000)
    with broker.connect() as producer:
        buffer = producer.create(len(content), label='hand-off', metadata=b'a=1\0b=\0')
        equal((buffer['size'], buffer['descriptors']), (len(content), 1), 'record')
        fd = buffer['fd']
        equal(access_mode_of(fd), os.O_RDWR, 'access mode')
        equal(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC, fcntl.FD_CLOEXEC, 'close-on-exec')
        equal(os.readlink('/proc/self/fd/%d' % fd), '/memfd:hand-off (deleted)', 'label in /proc')
        equal(stat.S_IMODE(os.fstat(fd).st_mode), 0o444, 'mode of the inode')
        equal(os.write(fd, content), len(content), 'bytes written')
        sealed = producer.seal(buffer['id'], WRITE)
        equal(sealed['seals'], birth_seals() | WRITE, 'seals')
        equal(seals_of(fd), birth_seals() | WRITE, 'seals by the kernel')
        published = producer.publish(buffer['id'], 'test/hand-off', seals=IMMUTABLE)
        equal((published['id'], published['generation']), (buffer['id'], 1), 'publish')
        os.close(fd)
    with broker.connect() as reader:
        got = reader.get('test/hand-off', seals=IMMUTABLE)
        fd = got['fd']
        equal((got['id'], got['size'], got['generation']), (buffer['id'], len(content), 1), 'get')
        equal(seals_of(fd) & IMMUTABLE, IMMUTABLE, 'seals by the kernel')
        equal(os.fstat(fd).st_size, len(content), 'size by the kernel')
        equal(access_mode_of(fd), os.O_RDONLY, 'access mode')
        equal(os.lseek(fd, 0, os.SEEK_CUR), 0, 'offset, which is nobody else\'s')
        with mmap.mmap(fd, len(content), mmap.MAP_SHARED, mmap.PROT_READ) as mapping:
            equal(mapping[:] == content, True, 'content')
        with os_error(errno.EBADF):
            os.write(fd, b'x')
        with os_error(errno.EINVAL):
            os.ftruncate(fd, 1)
        with os_error(errno.EPERM):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEAL_SEAL)
        if os.geteuid() != 0:
            with os_error(errno.EACCES):
                os.open('/proc/self/fd/%d' % fd, os.O_RDWR)
        os.close(fd)
        reader.remove('test/hand-off')
        with refused('NOT_FOUND'):
            reader.get('test/hand-off')


@suite.test
def birth(broker, _):
    """CREATE: seals at birth, flags, and the empty buffer"""
    default = birth_seals()
    cases = [({}, default), ({'flags': wire.CREATE_GROWABLE}, default & ~GROW),
             ({'flags': wire.CREATE_SHRINKABLE}, default & ~SHRINK),
             ({'flags': wire.CREATE_GROWABLE | wire.CREATE_SHRINKABLE}, default & ~(GROW | SHRINK)),
             ({'flags': wire.CREATE_GROWABLE, 'seals': GROW}, default),
             ({'seals': WRITE}, default | WRITE),
             ({'seals': FUTURE_WRITE | SEAL_SEAL}, default | FUTURE_WRITE | SEAL_SEAL),
             ({'flags': wire.CREATE_EXECUTABLE}, default & ~EXEC)]
    with broker.connect() as client:
        for values, seals in cases:
            for size in (0, 1, 70000):
                buffer = client.create(size, **values)
                equal((seals_of(buffer['fd']), buffer['seals']), (seals, seals), 'seals for %r' % values)
                equal((os.fstat(buffer['fd']).st_size, buffer['size']), (size, size), 'size')
                mode = stat.S_IMODE(os.fstat(buffer['fd']).st_mode)
                executable = values.get('flags', 0) & wire.CREATE_EXECUTABLE
                equal(mode, 0o555 if executable else 0o444, 'mode of the inode')
                os.close(buffer['fd'])
                info = client.stat(id=buffer['id'])
                equal(bool(info['flags'] & wire.INFO_EXECUTABLE), bool(executable), 'what STAT says of executable')


@suite.test
def huge_pages(broker, _):
    """CREATE on huge pages: the page's size, multiples, and sizes that there are not"""
    with broker.connect() as client:
        if os.path.isdir('/sys/kernel/mm/hugepages/hugepages-2048kB'):
            buffer = client.create(4 << 20, flags=wire.CREATE_HUGE, huge_shift=21)
            equal(os.fstat(buffer['fd']).st_blksize, 2 << 20, 'block size')
            equal(seals_of(buffer['fd']) & (SHRINK | GROW), SHRINK | GROW, 'seals')
            os.close(buffer['fd'])
            equal(client.stat(id=buffer['id'])['flags'] & wire.INFO_HUGE, wire.INFO_HUGE, 'STAT says huge')
            with refused('SIZE'):
                client.create(4096, flags=wire.CREATE_HUGE, huge_shift=21)
        with refused('FLAGS'):
            client.create(4 << 20, huge_shift=21)
        with refused('UNSUPPORTED'):
            client.create(0, flags=wire.CREATE_HUGE, huge_shift=13)


@suite.test
def batch(broker, _):
    """253 buffers in one message, written, published and got back in one message each"""
    with broker.connect() as client:
        with client.call(wire.CREATE, [{'size': 4096 + i} for i in range(253)]) as reply:
            equal((reply.count, reply.descriptors), (253, 253), 'reply')
            ids = [record['id'] for record in reply.records]
            equal(len(set(ids)), 253, 'different ids')
            for i, record in enumerate(reply.records):
                equal(os.fstat(record['fd']).st_size, 4096 + i, 'size of descriptor %d' % i)
                os.pwrite(record['fd'], b'%d' % i, 0)
        with client.call(wire.PUBLISH, [{'id': b, 'name': 'batch/%d' % i, 'mode': 0o600, 'seals': IMMUTABLE}
                                        for i, b in enumerate(ids)]) as reply:
            equal({record['status'] for record in reply.records}, {0}, 'statuses')
        with client.call(wire.GET, [{'name': 'batch/%d' % i, 'seals': IMMUTABLE} for i in range(253)]) as reply:
            for i, record in enumerate(reply.records):
                equal(os.pread(record['fd'], 8, 0).rstrip(b'\0'), b'%d' % i, 'content of %d' % i)
                equal(seals_of(record['fd']) & IMMUTABLE, IMMUTABLE, 'seals of %d' % i)
        with client.call(wire.REMOVE, [{'name': 'batch/%d' % i} for i in range(253)]) as reply:
            equal({record['status'] for record in reply.records}, {0}, 'statuses')


@suite.test
def partial_batch(broker, _):
    """in a batch, each record has a status of its own, and descriptors go with the records that succeeded"""
    with broker.connect() as client:
        make(client, b'first', 'partial/1')
        make(client, b'second', 'partial/2')
        with client.call(wire.GET, [{'name': 'partial/1'}, {'name': 'partial/none'}, {'name': 'partial/2'},
                                    {'name': 'partial/2', 'seals': WRITE}, {}, {'name': 'partial/1'}]) as reply:
            statuses = [wire.NAME_OF.get(record['status'], 'OK') for record in reply.records]
            equal(statuses, ['OK', 'NOT_FOUND', 'OK', 'NOT_SEALED', 'TARGET', 'OK'], 'statuses')
            contents = [os.pread(record['fd'], 9, 0) for record in reply.records if 'fd' in record]
            equal(contents, [b'first', b'second', b'first'], 'contents')
            equal([bool(record['text']) for record in reply.records], [False, True, False, True, True, False], 'texts')
        with client.call(wire.CREATE, [{'size': 10}, {'size': (1 << 63) - 1}, {'size': 20}]) as reply:
            equal([record['status'] for record in reply.records], [0, wire.CODE['SIZE'], 0], 'statuses')
            equal([os.fstat(fd).st_size for fd in reply.fds], [10, 20], 'sizes')
        client.remove('partial/1')
        client.remove('partial/2')


@suite.test
def pipeline(broker, _):
    """requests sent at once are answered in their order, with their serials, those that wait for seals too"""
    with broker.connect() as client:
        expected = []
        for i in range(60):
            expected.append((client.start(wire.CREATE, [{'size': 4096}]), wire.CREATE))
            expected.append((client.start(wire.PING), wire.PING))
        ids = []
        for serial, opcode in expected:
            with client.finish(serial) as reply:
                equal(reply.opcode, opcode | wire.REPLY, 'opcode')
                if opcode == wire.CREATE:
                    ids.append(reply.records[0]['id'])
        expected = []
        for i, buffer in enumerate(ids):
            name = 'pipeline/%d' % (i % 7)
            expected.append(client.start(wire.SEAL, [{'id': buffer, 'seals': WRITE}]))
            expected.append(client.start(wire.PUBLISH, [{'id': buffer, 'name': name, 'seals': WRITE, 'mode': 0o600,
                                                         'flags': wire.PUBLISH_REPLACE}]))
            expected.append(client.start(wire.GET, [{'name': name, 'seals': WRITE}]))
            expected.append(client.start(wire.STATS))
        for i, serial in enumerate(expected):
            with client.finish(serial) as reply:
                record = reply.records[0]
                equal(record['status'], 0, 'status of %d, %s' % (i, record))
                if i % 4 == 2:
                    equal(record['id'], ids[i // 4], 'GET sees the PUBLISH before it')
        for i in range(7):
            client.remove('pipeline/%d' % i)


@suite.test
def get(broker, _):
    """GET: by id and by name, required seals, WRITABLE, DETAILS, TARGET"""
    with broker.connect() as client, broker.connect() as other:
        buffer = client.create(100, label='get', metadata=b'k=v\0')
        os.close(buffer['fd'])
        equal(fetch(other, id=buffer['id'])[0]['size'], 100, 'an unpublished buffer of the same uid, by id')
        client.publish(buffer['id'], 'get/a', mode=0o640)
        writer = other.get('get/a', flags=wire.GET_WRITABLE)
        equal(access_mode_of(writer['fd']), os.O_RDWR, 'access mode')
        os.pwrite(writer['fd'], b'written', 0)
        os.close(writer['fd'])
        plain, content = fetch(client, 'get/a')
        equal(content[:7], b'written', 'what the writer wrote')
        equal((plain['name'], plain['label'], plain['metadata']), ('', '', b''), 'no details were asked for')
        detailed, _ = fetch(client, 'get/a', flags=wire.GET_DETAILS)
        equal((detailed['name'], detailed['label'], detailed['metadata']), ('get/a', 'get', b'k=v\0'), 'details')
        equal((detailed['mode'], detailed['owner'], detailed['group']), (0o640, os.geteuid(), os.getegid()), 'rights')
        equal(fetch(client, 'get/a', owner=os.geteuid())[0]['id'], buffer['id'], 'with the owner spelled out')
        with refused('NOT_SEALED'):
            client.get('get/a', seals=IMMUTABLE)
        for values in ({}, {'name': 'get/a', 'id': buffer['id']}):
            with refused('TARGET'):
                client.get(**values)
        for values in ({'id': 1 << 60}, {'name': 'get'}, {'name': 'get/a/b'}, {'name': 'get/a', 'owner': 12345}):
            with refused('NOT_FOUND'):
                client.get(**values)
        client.remove('get/a')


@suite.test
def seal(broker, _):
    """SEAL: what is there already, BUSY, SEALED, TARGET, NOT_FOUND"""
    with broker.connect() as client:
        buffer = client.create(4096)
        with mmap.mmap(buffer['fd'], 4096):
            with refused('BUSY'):
                client.seal(buffer['id'], WRITE | FUTURE_WRITE)
        equal(seals_of(buffer['fd']), birth_seals(), 'seals: all or none')
        equal(client.seal(buffer['id'], SHRINK | GROW)['seals'], birth_seals(), 'seals that are there already')
        equal(client.seal(buffer['id'], 0)['seals'], birth_seals(), 'no seals')
        equal(client.seal(buffer['id'], SEAL_SEAL)['seals'], birth_seals() | SEAL_SEAL, 'seals')
        equal(client.seal(buffer['id'], SEAL_SEAL | GROW)['seals'], birth_seals() | SEAL_SEAL, 'nothing to add')
        with refused('SEALED'):
            client.seal(buffer['id'], WRITE)
        with refused('SEALED'):
            client.publish(buffer['id'], 'seal', seals=WRITE)
        with refused('TARGET'):
            client.seal(0, WRITE)
        with refused('NOT_FOUND'):
            client.seal(1 << 50, WRITE)
        os.close(buffer['fd'])


@suite.test
def adopt(broker, _):
    """ADOPT: a client's own memfd gets an id, and can be published"""
    with broker.connect() as client, broker.connect() as reader:
        fd = os.memfd_create('own', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.write(fd, b'adopted content')
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, IMMUTABLE)
        record = client.adopt(fd, seals=IMMUTABLE, label='from outside', metadata=b'x=y\0')
        equal((record['size'], record['descriptors'], record['seals'] & IMMUTABLE), (15, 0, IMMUTABLE), 'record')
        os.close(fd)
        client.publish(record['id'], 'adopt', seals=IMMUTABLE, flags=wire.PUBLISH_VERIFY)
        buffer, content = fetch(reader, 'adopt', flags=wire.GET_DETAILS, seals=IMMUTABLE)
        equal((content, buffer['label'], buffer['metadata']), (b'adopted content', 'from outside', b'x=y\0'), 'buffer')
        equal(buffer['flags'] & wire.INFO_ADOPTED, wire.INFO_ADOPTED, 'flags')
        client.remove('adopt')


@suite.test
def stat_and_stats(broker, _):
    """STAT tells all of a buffer; STATS counts"""
    began = time.time_ns()
    with broker.connect() as client:
        before = client.stats()
        buffer = client.create(8192, label='stat', metadata=b'some=thing\0')
        os.pwrite(buffer['fd'], b'x', 0)
        os.close(buffer['fd'])
        info = client.stat(id=buffer['id'])
        equal((info['name'], info['flags'], info['generation'], info['published_ns']), ('', 0, 0, 0), 'unpublished')
        client.publish(buffer['id'], 'stat/name', mode=0o604)
        info = client.stat('stat/name')
        equal((info['id'], info['descriptors']), (buffer['id'], 0), 'id, descriptors')
        equal((info['size'], info['allocated']), (8192, 4096), 'sizes')
        equal((info['name'], info['label'], info['metadata']), ('stat/name', 'stat', b'some=thing\0'), 'strings')
        equal((info['mode'], info['owner'], info['group']), (0o604, os.geteuid(), os.getegid()), 'rights')
        equal((info['creator_pid'], info['generation']), (os.getpid(), 1), 'creator, generation')
        equal((info['flags'], info['seals']), (wire.INFO_PUBLISHED, birth_seals()), 'flags, seals')
        equal(began <= info['created_ns'] <= info['published_ns'] <= time.time_ns(), True, 'times')
        after = client.stats()
        equal((after['pid'], after['uid']), (broker.pid, os.geteuid()), 'pid, uid')
        for key, more in (('buffers', 1), ('bytes', 8192), ('names', 1), ('connections', 0), ('uid_buffers', 1),
                          ('uid_bytes', 8192), ('uid_names', 1), ('uid_connections', 0)):
            equal(after[key] - before[key], more, key)
            equal(0 < after[key] <= after[key + '_limit'], True, key + ' and its limit')
        equal(after['requests'] - before['requests'] >= 4, True, 'requests')
        equal(before['uptime_ns'] < after['uptime_ns'], True, 'uptime')
        equal(bool(after['version']), True, 'version')
        client.remove('stat/name')


@suite.test
def too_big(broker, _):
    """STAT of more than fits into a message: TOO_BIG for the records that do not, and they can be asked for again"""
    metadata = b'm=' + b'x' * 4093 + b'\0'
    with broker.connect() as client:
        buffer = client.create(0, metadata=metadata)
        os.close(buffer['fd'])
        with client.call(wire.STAT, [{'id': buffer['id']}] * 100) as reply:
            statuses = [record['status'] for record in reply.records]
            equal(set(statuses), {0, wire.CODE['TOO_BIG']}, 'statuses')
            equal((statuses[0], 8 <= statuses.count(0) <= 15), (0, True), 'fitting ones')
            equal(reply.records[0]['metadata'], metadata, 'metadata')
        left = sum(status != 0 for status in statuses)
        with client.call(wire.STAT, [{'id': buffer['id']}] * left) as reply:
            equal((reply.count, reply.records[0]['status']), (left, 0), 'those that were left')


@suite.test
def extension(broker, _):
    """a shorter fixed part is zero-extended; a longer one is taken if its end is zero, else RESERVED"""
    full = wire.encode_record(wire.CREATE_REQUEST, {'size': 0x1234})
    fixed = full[8:]
    with broker.connect() as client:
        for length in (0, 1, 2, 8, 9, 12, 21, len(fixed)):
            client.send(wire.encode_message(wire.CREATE, [wire.frame(fixed[:length])]))
            with client.finish(1) as reply:
                equal(reply.records[0]['size'], 0x1234 if length >= 2 else 0x34 if length else 0, 'size')
        client.send(wire.encode_message(wire.CREATE, [wire.frame(fixed[:20] + struct_of(3) + bytes(500), b'abc')]))
        with client.finish(1) as reply:
            equal(os.readlink('/proc/self/fd/%d' % reply.fds[0]), '/memfd:abc (deleted)', 'label')
        for extra in (b'\1', bytes(400) + b'\x80', bytes(4) + b'\2' + bytes(8)):
            client.send(wire.encode_message(wire.CREATE, [wire.frame(fixed + extra)]))
            with refused('RESERVED'):
                client.finish(1)


def struct_of(number):
    return number.to_bytes(4, 'little')


if __name__ == '__main__':
    suite.main()
