#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Messages that no client should send: each gets its documented error, or a disconnect with a reason in the log."""
import os
import random
import re
import struct
import time

import sealbuf_wire as wire
from sealbuf_wire import encode_message, encode_record, frame
from testbed import Broker, Suite, check_refused, equal, eventually, replies_until_closed

suite = Suite()

GREETING = encode_record(wire.HELLO_REQUEST, {'magic': struct.unpack('<Q', wire.MAGIC)[0], 'version_min': 1,
                                              'version_max': 1})


def hello(serial=9, **values):
    return encode_message(wire.HELLO, [GREETING], serial, **values)


def hello_with(**values):
    fields = {'magic': struct.unpack('<Q', wire.MAGIC)[0], 'version_min': 1, 'version_max': 1, **values}
    return encode_message(wire.HELLO, [encode_record(wire.HELLO_REQUEST, fields)], 9)


def one(opcode, serial=7, **values):
    return encode_message(opcode, [encode_record(wire.REQUESTS[opcode], values)], serial)


PING = encode_message(wire.PING, serial=9)
# What ends a connection, whether HELLO came before or not: (message, descriptors, answer before the end).
FATAL = [
    (b'\0', 0, ('MALFORMED', 0)),
    (PING[:4], 0, ('MALFORMED', 0)),
    (PING[:23], 0, ('MALFORMED', 0)),
    (PING + b'\0', 0, ('MALFORMED', 0)),
    (encode_message(wire.PING, serial=9, length=23), 0, ('MALFORMED', 0)),
    (encode_message(wire.PING, serial=9, length=25), 0, ('MALFORMED', 0)),
    (encode_message(wire.PING, serial=9, length=0), 0, ('MALFORMED', 0)),
    (encode_message(wire.PING, serial=9, length=0xffffffff), 0, ('MALFORMED', 0)),
    (hello(length=24), 0, ('MALFORMED', 0)),
    (bytes(24), 0, ('MALFORMED', 0)),
    (b'\xff' * 65536, 0, ('MALFORMED', 0)),
    (random.Random(4).randbytes(4096), 0, ('MALFORMED', 0)),  # Plasma: these abort the store
    (encode_message(wire.PING, [bytes(65513)], 9), 0, None),
    (bytes(100000), 0, None),
    (bytes(100000), 3, None),
    (b'', 1, None),
    (b'', 253, None),
]
# What ends a connection as its first message only.
FATAL_FIRST = [
    (PING, 0, ('HELLO', 9)),
    (one(wire.CREATE), 0, ('HELLO', 7)),
    (hello_with(magic=0), 0, ('HELLO', 9)),
    (hello_with(magic=struct.unpack('>Q', wire.MAGIC)[0]), 0, ('HELLO', 9)),
    (hello_with(magic=struct.unpack('<Q', b'SEALBUF1')[0]), 0, ('HELLO', 9)),
    (hello_with(version_min=2, version_max=3), 0, ('VERSION', 9)),
    (hello_with(version_max=0), 0, ('VERSION', 9)),
    (hello(serial=0), 0, ('MALFORMED', 0)),
    (hello(status=1), 0, ('RESERVED', 9)),
    (hello(reserved=(1, 0)), 0, ('RESERVED', 9)),
    (hello(reserved=(0, 1 << 31)), 0, ('RESERVED', 9)),
    (hello(descriptors=1), 0, ('DESCRIPTORS', 9)),
    (hello(), 1, ('DESCRIPTORS', 9)),
    (hello(descriptors=1), 1, ('DESCRIPTORS', 9)),
    (hello(count=0), 0, ('MALFORMED', 9)),
    (encode_message(wire.HELLO, [], 9), 0, ('MALFORMED', 9)),
    (encode_message(wire.HELLO, [GREETING, GREETING], 9), 0, ('MALFORMED', 9)),
    (encode_message(wire.HELLO, [GREETING, b'\0'], 9, count=1), 0, ('MALFORMED', 9)),
    (encode_message(wire.HELLO, [GREETING[:-1]], 9), 0, ('MALFORMED', 9)),
    (encode_message(wire.HELLO, [frame(GREETING[8:] + b'\1')], 9), 0, ('RESERVED', 9)),
    (encode_message(wire.HELLO, [frame(GREETING[8:], b'x')], 9), 0, ('MALFORMED', 9)),
]


def check_fatal(greeted, cases):
    """Each case with a broker of its own, as the log of one says only so much about clients."""
    with open('/dev/null', 'rb') as null, Broker() as broker, broker.connect() as watcher:
        for data, count, answer in cases:
            descriptors, disconnects = broker.descriptors(), watcher.stats()['disconnects']
            lines = broker.log().count('dropped: ')
            with broker.connect(hello=greeted) as client:
                client.send(data, [null.fileno()] * count)
                what = '%s... with %d descriptors' % (data[:40].hex(' '), count)
                equal(replies_until_closed(client), [answer] if answer else [], 'answers to ' + what)
            watcher.ping()
            equal(watcher.stats()['disconnects'] - disconnects, 1, 'disconnects after ' + what)
            reasons = broker.log().split('dropped: ')[lines + 1:]
            equal(len(reasons), 1, 'reasons in the log after ' + what)
            equal('peer pid %d uid %d: dropped: ' % (os.getpid(), os.geteuid()) in broker.log(), True, 'who it was')
            eventually(lambda d=descriptors: broker.descriptors() == d, what='the descriptors after ' + what)


@suite.test
def first_messages(*_):
    """a first message that is no good HELLO: an error where there is one to tell, a disconnect, a reason in the log

    Plasma: 4 KiB of random bytes aborted the store.
    """
    check_fatal(False, FATAL)
    check_fatal(False, FATAL_FIRST)


@suite.test
def no_messages(*_):
    """what is no message at all ends the connection after HELLO, too"""
    check_fatal(True, FATAL)


@suite.test
def unknown_first(broker, _):
    """an unknown operation before HELLO ends the connection, with an error"""
    for opcode in (0, 15, 0x8001, 0xffff):
        with broker.connect(hello=False) as client:
            client.send(encode_message(opcode, serial=9))
            replies = replies_until_closed(client)
            equal(replies in ([('HELLO', 9)], [('OPCODE', 9)]), True, 'answers %r' % replies)


@suite.test
def empty_messages(broker, _):
    """an empty message is the end of a connection"""
    for greeted in (False, True):
        with broker.connect(hello=greeted) as client:
            client.send(b'')
            equal(replies_until_closed(client), [], 'answers')


@suite.test
def headers(broker, _):
    """headers that make no sense are refused, and the connection lives"""
    record = encode_record(wire.CREATE_REQUEST, {})
    cases = [(encode_message(op, serial=3), 'OPCODE', 3) for op in (0, 19, 0x7fff, 0x8000, 0x8002, 0x8003, 0xffff)]
    cases += [(encode_message(wire.PING, serial=0), 'MALFORMED', 0), (hello(5), 'HELLO', 5),
              (encode_message(wire.PING, serial=0xffffffff, status=1), 'RESERVED', 0xffffffff),
              (encode_message(wire.PING, serial=3, status=5001), 'RESERVED', 3)]
    cases += [(encode_message(wire.PING, serial=3, reserved=(1 << bit, 0)), 'RESERVED', 3) for bit in range(16)]
    cases += [(encode_message(wire.PING, serial=3, reserved=(0, 1 << bit)), 'RESERVED', 3) for bit in range(32)]
    cases += [(encode_message(wire.PING, serial=3, descriptors=n), 'DESCRIPTORS', 3) for n in (1, 253)]
    cases += [(encode_message(wire.PING, [record], 3), 'MALFORMED', 3),
              (encode_message(wire.STATS, [record], 3), 'MALFORMED', 3),
              (encode_message(wire.PING, [b'\0'], 3, count=0), 'MALFORMED', 3),
              (encode_message(wire.LIST, [encode_record(wire.LIST_REQUEST, {})] * 2, 3), 'MALFORMED', 3),
              (encode_message(wire.LIST, serial=3), 'MALFORMED', 3),
              (encode_message(wire.ACCOUNTS, serial=3), 'MALFORMED', 3),
              (encode_message(wire.ACCOUNTS, [encode_record(wire.ACCOUNTS_REQUEST, {})] * 2, 3), 'MALFORMED', 3),
              *((encode_message(opcode, [encode_record(wire.REQUESTS[opcode], {})] * n, 3), 'MALFORMED', 3)
                for opcode in (wire.WATCH, wire.CANCEL) for n in (0, 2, 253)),
              (encode_message(wire.TOUCH, serial=3), 'MALFORMED', 3),
              *((encode_message(opcode, [encode_record(wire.REQUESTS[opcode], {})], 3, descriptors=1), 'DESCRIPTORS', 3)
                for opcode in (wire.TOUCH, wire.WATCH, wire.CANCEL)),
              (encode_message(wire.CREATE, serial=3), 'MALFORMED', 3),
              (encode_message(wire.CREATE, [record] * 254, 3), 'MALFORMED', 3),
              (encode_message(wire.CREATE, [record], 3, count=254), 'MALFORMED', 3),
              (encode_message(wire.CREATE, [record], 3, count=65535), 'MALFORMED', 3),
              (encode_message(wire.CREATE, [record], 3, count=2), 'MALFORMED', 3),
              (encode_message(wire.CREATE, [record] * 2, 3, count=1), 'MALFORMED', 3),
              (encode_message(wire.CREATE, [record, b'\0'], 3, count=1), 'MALFORMED', 3)]
    with broker.connect() as client:
        for data, name, serial in cases:
            try:
                check_refused(client, data, name, serial)
            except (wire.Disconnected, AssertionError) as error:
                raise AssertionError('%s...: %s' % (data[:32].hex(' '), error)) from error
        equal(client.stats()['uid_buffers'], 0, 'buffers')


@suite.test
def frames(broker, _):
    """records whose lengths contradict each other are refused, whatever they are cut to"""
    good = encode_record(wire.CREATE_REQUEST, {'size': 5, 'label': 'label', 'metadata': b'k=v\0'})
    cases = [good[:n] for n in range(8)]
    cases += [struct.pack('<I', n) + good[4:n] for n in range(8, len(good))]
    cases += [struct.pack('<II', length, fixed) + good[8:]
              for length, fixed in ((len(good) + 1, 28), (0, 28), (7, 0), (8, 1), (len(good), len(good) - 7),
                                    (len(good), 0xffffffff), (0xffffffff, 28), (0x80000000, 28), (len(good), 37))]
    cases += [frame(good[8:28] + struct.pack('<II', *lengths), b'label' + b'k=v\0')
              for lengths in ((5, 5), (5, 3), (10, 0), (0xffffffff, 4), (0xfffffffb, 4), (9, 0xffffffff))]
    with broker.connect() as client:
        for record in cases:
            client.send(encode_message(wire.CREATE, [record], 3, count=1))
            with client.receive() as reply:
                # Some of them have a whole but wrong string: then that is what is told.
                equal(reply.name() in ('MALFORMED', 'LABEL', 'METADATA', 'RESERVED'), True,
                      '%s for %s' % (reply.name(), record.hex(' ')))
        client.ping()
        equal(client.stats()['uid_buffers'], 0, 'buffers')


BAD_NAMES = ['/', '/a', 'a/', 'a//b', '.', '..', '../a', 'a/..', 'a/../b', './a', '../../etc/passwd', 'a\0b', 'a\n',
             '\x1b[2J', '\x7f', b'\xc2\x85', b'\xff', b'\xc0\xaf', b'\xed\xa0\x80', b'\xe2\x82', 'n' * 256, 'n' * 4000,
             b'\xc3' * 10]
BAD_LABELS = ['l' * 250, 'l' * 5000, 'a\0', '\n', '\x1b', b'\x80', b'\xff\xfe']
BAD_METADATA = [b'k=' + b'x' * 4094 + b'\0', b'k', b'k=v', b'=v\0', b'\0', b'k=v\0\0', b'k\0', b'k=v\0x', b'\n=\0',
                b'\xff=\0']
BAD_TOKENS = [b'x', b'x' * 8, b'x' * 23, b'x' * 25, b'x' * 4000]
FIELDS = [
    (wire.CREATE, 'size', 'SIZE', [1 << 63, (1 << 64) - 1]),
    (wire.CREATE, 'seals', 'SEALS', [0x40, 1 << 31, 0xffffffff]),
    (wire.CREATE, 'flags', 'FLAGS', [0x10, 1 << 31, 0xffffffff]),
    (wire.CREATE, 'huge_shift', 'SIZE', [64, 0xffffffff]),
    (wire.CREATE, 'label', 'LABEL', BAD_LABELS),
    (wire.CREATE, 'metadata', 'METADATA', BAD_METADATA),
    (wire.SEAL, 'seals', 'SEALS', [0x40, 0xffffffff]),
    (wire.PUBLISH, 'seals', 'SEALS', [0x40]),
    (wire.PUBLISH, 'mode', 'MODE', [0o777, 0o1600, 0o4600, 0o111, 0xffffffff]),
    (wire.PUBLISH, 'flags', 'FLAGS', [0x400, 0x80000000]),
    (wire.PUBLISH, 'keep', 'FLAGS', [256, 0xffffffff]),
    (wire.PUBLISH, 'metadata', 'METADATA', BAD_METADATA),
    (wire.PUBLISH, 'name', 'NAME', BAD_NAMES),
    (wire.GET, 'seals', 'SEALS', [0x40]),
    (wire.GET, 'flags', 'FLAGS', [0x40, 0xffff0000]),
    (wire.GET, 'name', 'NAME', BAD_NAMES),
    (wire.GET, 'token', 'TOKEN', BAD_TOKENS),
    (wire.REMOVE, 'name', 'NAME', BAD_NAMES),
    (wire.REMOVE, 'flags', 'FLAGS', [2, 0x80000000]),
    (wire.STAT, 'name', 'NAME', BAD_NAMES),
    (wire.STAT, 'flags', 'FLAGS', [2, 0x80000000]),
    (wire.LIST, 'flags', 'FLAGS', [4, 0x80000000]),
    (wire.LIST, 'prefix', 'NAME', ['p' * 256, 'a\0', '\n', '\x7f']),
    (wire.LIST, 'after', 'NAME', BAD_NAMES),
    (wire.SHARE, 'flags', 'FLAGS', [4, 0x80000000]),
    (wire.SHARE, 'name', 'NAME', BAD_NAMES),
    (wire.REVOKE, 'name', 'NAME', BAD_NAMES),
    (wire.REVOKE, 'token', 'TOKEN', BAD_TOKENS),
    (wire.ACCOUNTS, 'flags', 'FLAGS', [2, 0x80000000]),
    (wire.TOUCH, 'flags', 'FLAGS', [1, 0x80000000]),
    (wire.TOUCH, 'name', 'NAME', BAD_NAMES),
    (wire.WATCH, 'flags', 'FLAGS', [0x10, 0x80000000]),
    (wire.WATCH, 'name', 'NAME', ['p' * 256, 'a\0', '\n', '\x7f']),
]


@suite.test
def field_values(broker, _):
    """a value out of its range is the error of its table, names the field, and undoes the whole request"""
    with broker.connect() as client:
        for opcode, field, name, values in FIELDS:
            for value in values:
                text = check_refused(client, one(opcode, **{field: value}), name, 7)
                equal(field in text, True, 'the field %s in %r' % (field, text))
        good = encode_record(wire.CREATE_REQUEST, {'size': 1})
        bad = encode_record(wire.CREATE_REQUEST, {'size': 1, 'label': '\n'})
        for records, index in (([good] * 9 + [bad], '9'), ([bad] + [good] * 9, '0'), ([good] * 100 + [bad] * 2, '100')):
            text = check_refused(client, encode_message(wire.CREATE, records, 7), 'LABEL', 7)
            equal('label' in text and index in text, True, 'field and index in %r' % text)
        equal(client.stats()['uid_buffers'], 0, 'buffers of refused requests')


@suite.test
def sentences(broker, _):
    """a sentence never carries control characters or half characters of what the client sent"""
    with broker.connect() as client:
        for name in ('a\x1b]0;title\x07b', b'\xff\xfe', 'ä' * 120):
            client.send(one(wire.GET, name=name))
            with client.receive() as reply:
                text = reply.text or reply.records[0]['text']
                equal(text.isprintable(), True, 'printable: %r' % text)
        for start in ('', 'x', 'xx'):  # wherever long sentences are cut: the client decodes all of them
            client.call(wire.STAT, [{'name': start + '€' * 80, 'owner': 1}] * 100).close()


@suite.test
def duplicates(broker, _):
    """the same buffer several times in one request: each record is served by itself, in order

    In Arrow's store a get with duplicate ids waited for ever: Plasma #28852.
    """
    with broker.connect() as client:
        first, second = client.create(1), client.create(2)
        for buffer in (first, second):
            os.close(buffer['fd'])

        def statuses(opcode, records, fds=()):
            with client.call(opcode, records, fds) as reply:
                return [wire.NAME_OF.get(record['status'], 'OK') for record in reply.records]

        equal(statuses(wire.PUBLISH, [{'id': first['id'], 'name': 'twice'}] * 2), ['OK', 'EXISTS'], 'PUBLISH')
        with client.call(wire.PUBLISH, [{'id': b['id'], 'name': 'twice', 'flags': wire.PUBLISH_REPLACE}
                                        for b in (first, first, second, second)]) as reply:
            equal([record['generation'] for record in reply.records], [2, 3, 4, 5], 'generations')
        # The first one had no other name.
        equal(statuses(wire.STAT, [{'id': second['id']}, {'id': first['id']}, {'name': 'twice'}] * 2),
              ['OK', 'NOT_FOUND', 'OK'] * 2, 'STAT')
        with client.call(wire.GET, [{'name': 'twice'}, {'id': second['id']}] * 126) as reply:
            equal((reply.descriptors, len(set(reply.fds))), (252, 252), 'descriptors')
            equal(len({os.fstat(fd).st_ino for fd in reply.fds}), 1, 'files')
        equal(statuses(wire.SEAL, [{'id': second['id'], 'seals': wire.WRITE}] * 20), ['OK'] * 20, 'SEAL')
        equal(statuses(wire.REMOVE, [{'name': 'twice'}] * 3), ['OK', 'NOT_FOUND', 'NOT_FOUND'], 'REMOVE')
        fd = os.memfd_create('twice', os.MFD_CLOEXEC)
        with client.call(wire.ADOPT, [{}] * 3, [fd] * 3) as reply:
            equal(len({record['id'] for record in reply.records if not record['status']}), 3, 'ids')
        os.close(fd)


@suite.test
def values_out_of_reach(broker, _):
    """sizes, ids, owners and names that are valid but lead nowhere are the status of their record"""
    cases = [(one(wire.CREATE, size=(1 << 63) - 1), 'SIZE'), (one(wire.CREATE, size=1 << 62), 'SIZE'),
             (one(wire.CREATE, flags=wire.CREATE_HUGE, huge_shift=21, size=4097), 'SIZE'),
             (one(wire.CREATE, flags=wire.CREATE_HUGE, huge_shift=63), 'UNSUPPORTED'),
             (one(wire.CREATE, flags=wire.CREATE_HUGE, huge_shift=1), 'UNSUPPORTED'),
             (one(wire.CREATE, huge_shift=21), 'FLAGS'),
             (one(wire.SEAL, id=0), 'TARGET'), (one(wire.SEAL, id=(1 << 64) - 1), 'NOT_FOUND'),
             (one(wire.PUBLISH, id=0, name='x'), 'TARGET'), (one(wire.PUBLISH, id=1 << 63, name='x'), 'NOT_FOUND'),
             (one(wire.GET), 'TARGET'), (one(wire.GET, id=1, name='x'), 'TARGET'),
             (one(wire.GET, name='x'), 'NOT_FOUND'),
             (one(wire.GET, name='x', owner=0xfffffffe), 'NOT_FOUND'), (one(wire.GET, id=(1 << 64) - 1), 'NOT_FOUND'),
             (one(wire.STAT), 'TARGET'), (one(wire.STAT, id=1, name='x'), 'TARGET'),
             (one(wire.STAT, id=9), 'NOT_FOUND'),
             (one(wire.REMOVE), 'TARGET'), (one(wire.REMOVE, id=1, name='x'), 'TARGET'),
             (one(wire.REMOVE, name='...'), 'NOT_FOUND'), (one(wire.REMOVE, id=1 << 40), 'NOT_FOUND')]
    with Broker() as fresh, fresh.connect() as client:
        for data, name in cases:
            client.send(data)
            with client.receive() as reply:
                equal((reply.status, reply.count, reply.descriptors), (0, 1, 0), 'reply')
                got = reply.records[0]
                equal(wire.NAME_OF.get(got['status']), name, 'status for %s' % data[24:].hex(' '))
                equal(len(got['text']) > 10, True, 'a sentence')
        os.close(client.create(0)['fd'])
        client.send(one(wire.PUBLISH, id=1))
        with client.receive() as reply:
            equal(wire.NAME_OF.get(reply.records[0]['status']), 'NAME', 'status for an empty name')
    with broker.connect() as client:
        page, records = client.list_page(owner=0xfffffffe, after='z' * 255, after_owner=0xffffffff)
        equal((page['more'], records), (0, []), 'a page of nobody\'s')


@suite.test
def flood(*_):
    """clients that cause many log lines get 50 at once, and then 5 a second; how many were left out is told"""
    def lines():
        return re.findall(r'peer pid \d+ uid \d+: dropped: ', broker.log())

    def left_out():
        return [int(n) for n in re.findall(r'(\d+) lines about clients were not logged', broker.log())]

    def misbehave(times):
        for _ in range(times):
            with broker.connect(hello=False) as client:
                client.send(b'x')
                replies_until_closed(client)

    with Broker() as broker:
        began = time.monotonic()
        misbehave(400)
        most = 50 + 5 * (time.monotonic() - began) + 1
        equal(50 <= len(lines()) <= most, True, 'between 50 and %.1f lines, %d' % (most, len(lines())))
        eventually(lambda: misbehave(1) or len(left_out()) > 0 and left_out(), what='it tells how many were left out')
        before, told = len(lines()), sum(left_out())
        time.sleep(1)  # credit for 5 more
        misbehave(3)
        equal(len(lines()), before + 3, 'lines after a second without any')
        with broker.connect() as client:
            equal(client.stats()['disconnects'], len(lines()) + sum(left_out()), 'lines, written and left out')
        equal(sum(left_out()), told, 'lines left out')


def mutate(random_, data):
    data = bytearray(data)
    for _ in range(random_.choice((1, 1, 1, 2, 3, 8))):
        kind = random_.randrange(6)
        at = random_.randrange(len(data)) if data else 0
        if kind == 0 and data:
            data[at] ^= 1 << random_.randrange(8)
        elif kind == 1 and data:
            data[at] = random_.choice((0, 1, 0x7f, 0x80, 0xff))
        elif kind == 2:
            data[at:at] = random_.randbytes(random_.randrange(1, 40))
        elif kind == 3 and data:
            del data[at:at + random_.randrange(1, 40)]
        elif kind == 4 and len(data) >= 4:
            at = random_.randrange(len(data) - 3)
            data[at:at + 4] = struct.pack('<I', random_.choice((0, 1, 0x7fffffff, 0x80000000, 0xffffffff, len(data))))
        else:
            data += random_.randbytes(random_.randrange(40))
    if random_.random() < 0.8 and len(data) >= 4:  # else hardly anything would get behind the header
        data[:4] = struct.pack('<I', len(data))
    return bytes(data)


def drain(client):
    """Reads what is there. False: the connection is closed."""
    client.socket.settimeout(0)
    try:
        while True:
            client.receive().close()
    except BlockingIOError:
        return True
    except wire.Disconnected:
        return False
    finally:
        client.socket.settimeout(20)


@suite.test
def noise(broker, bystander):
    """10,000 random messages, most of them nearly valid, some with descriptors: the others are served all the while

    Plasma: random bytes aborted the store.
    """
    random_ = random.Random(20250101)
    seeds = [hello(), PING, encode_message(wire.STATS, serial=1),
             one(wire.CREATE, size=4096, label='noise', metadata=b'a=b\0'), one(wire.SEAL, id=3, seals=8),
             one(wire.ADOPT, seals=2), one(wire.PUBLISH, id=2, name='noise/a', mode=0o600),
             one(wire.PUBLISH, id=2, seals=14, name='noise/b', flags=1), one(wire.GET, name='noise/a'),
             one(wire.GET, id=2), one(wire.REMOVE, name='noise/a'), one(wire.REMOVE, id=5), one(wire.STAT, id=2),
             one(wire.LIST, prefix='noise'), one(wire.SHARE, id=2, uses=1), one(wire.SHARE, name='noise/a', flags=2),
             one(wire.GET, token=b'x' * 24), one(wire.REVOKE, token=b'x' * 24), one(wire.REVOKE, id=2),
             one(wire.ACCOUNTS, flags=1), one(wire.PUBLISH, id=2, name='noise/c', flags=0x41, expected=1, keep=3,
                                              expire_ms=2, metadata=b'a=b\0'),
             one(wire.PUBLISH, id=2, name='noise/d', flags=0x301), one(wire.GET, name='noise/c', generation=1),
             encode_message(wire.PUBLISH, [encode_record(wire.PUBLISH_REQUEST, {'id': 2, 'name': n, 'flags': 0x81})
                                           for n in ('noise/e', 'noise/f')], 1),
             encode_message(wire.REMOVE, [encode_record(wire.TARGET_REQUEST, {'name': n, 'flags': 1})
                                          for n in ('noise/e', 'noise/f')], 1),
             encode_message(wire.GET, [encode_record(wire.GET_REQUEST, {'name': n, 'flags': 0x20})
                                       for n in ('noise/e', 'noise/f')], 1),
             one(wire.GET, 21, name='noise/a', flags=8, wait_ms=5), one(wire.GET, 22, name='noise/z', flags=8),
             one(wire.GET, 23, name='noise', flags=0x18, newer_than=1), one(wire.TOUCH, name='noise/c', expire_ms=1),
             one(wire.WATCH, 24, name='noise', flags=1), one(wire.WATCH, 25, name='noise/a', flags=7),
             one(wire.WATCH, 26, flags=8), *(encode_message(wire.CANCEL, [
                 encode_record(wire.CANCEL_REQUEST, {'serial': serial})], 27) for serial in (21, 24, 27))]
    fds = [os.memfd_create('noise', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), os.open('/dev/null', os.O_RDWR)]
    client = broker.connect()
    for i in range(10000):
        data = random_.randbytes(random_.randrange(300))
        if random_.random() < 0.8:
            data = mutate(random_, random_.choice(seeds))
        sent = random_.choices(fds, k=random_.choice((1, 1, 2, 5, 253))) if random_.random() < 0.1 else []
        try:
            client.send(data, sent)
            alive = drain(client)
        except wire.Disconnected:
            alive = False
        if not alive or random_.random() < 0.01:
            client.close()
            client = broker.connect(hello=random_.random() < 0.9)
        if i % 500 == 0:
            bystander.served()
    client.close()
    for fd in fds:
        os.close(fd)
    with broker.connect() as cleaner:
        for record in cleaner.list():
            cleaner.remove(record['name'])


if __name__ == '__main__':
    suite.main()
