#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Watches: what is there, what happens to it, what is lost and told so; who sees what, and what it may hold."""
import os
import socket
import time

import sealbuf_wire as wire
from sealbuf_wire import (EXPIRED, PRESENT, PUBLISHED, REMOVED, REPLACED, SYNC, TAKEN, WATCH_DESCRIPTORS, WATCH_DETAILS,
                          WATCH_EXACT, WATCH_NO_SNAPSHOT)
from surroundings import has_sanitizer
from testbed import Broker, Suite, equal, eventually, in_child, make, need_root, process, refused, seals_of
from watching import Model, put, short

suite = Suite()
MEMBER = 61031
RING = 1024  # changes that the broker keeps; the tests only need that it is not many times as many


def drop(client):
    for record in client.list():
        client.remove(record['name'])


def account(client):
    with client.call(wire.ACCOUNTS, [{}]) as message:
        return message.records[0]


@suite.test
def events(broker, _):
    """a snapshot, SYNC, and then each change in its order, with what it is about"""
    with broker.connect() as client, broker.connect() as watcher:
        put(client, b'1', 'e/a')
        put(client, b'2', 'e/a')
        put(client, b'', 'e/b', expire_ms=3600000)
        put(client, b'', 'other')
        watch = watcher.watch('e/')
        equal([short(e) for e in watch.until(SYNC)][:-1], [(PRESENT, 'e/a', 2), (PRESENT, 'e/b', 1)], 'snapshot')
        began = time.time_ns()
        buffer = make(client, b'xyz', 'e/c', mode=0o640, seals=wire.IMMUTABLE)
        event = watch.next()
        equal(short(event), (PUBLISHED, 'e/c', 1), 'event')
        equal((event['id'], event['size'], event['mode'], event['owner'], event['group']),
              (buffer['id'], 3, 0o640, os.geteuid(), os.getegid()), 'what it is about')
        equal((event['seals'] & wire.IMMUTABLE, event['flags'] & wire.INFO_PUBLISHED, event['expire_ms']),
              (wire.IMMUTABLE, wire.INFO_PUBLISHED, 0), 'seals, flags, lease')
        equal(began <= event['published_ns'] <= time.time_ns(), True, 'time')
        put(client, b'', 'other')
        put(client, b'', 'e/b', keep=2)
        put(client, b'', 'e/b', keep=2)
        client.remove('e/b')
        put(client, b'', 'e/b')
        put(client, b'', 'e/x', expire_ms=1)
        expected = [(REPLACED, 'e/b', 2), (REPLACED, 'e/b', 3), (REMOVED, 'e/b', 3), (PUBLISHED, 'e/b', 1),
                    (PUBLISHED, 'e/x', 1), (EXPIRED, 'e/x', 1)]
        equal([short(watch.next()) for _ in expected], expected, 'changes')
        make(client, b'', 'e/t', flags=wire.PUBLISH_TAKE)
        os.close(client.get('e/t')['fd'])
        client.ping()
        equal([short(watch.next()) for _ in range(2)], [(PUBLISHED, 'e/t', 1), (TAKEN, 'e/t', 1)], 'handed over')
        temporary = broker.connect()
        put(temporary, b'', 'e/u', flags=wire.PUBLISH_UNTIL_CLOSE)
        temporary.close()
        equal(short(watch.next()), (PUBLISHED, 'e/u', 1), 'until close')
        equal(short(watch.next())[1:], ('e/u', 1), 'closed')
        watcher.ping()
        equal(watch.cancel(), [], 'what is left at last')
        drop(client)


@suite.test
def many_in_one_request(broker, _):
    """changes that one request makes are all told, removal by id and ATOMIC too"""
    with broker.connect() as client:
        watch = client.watch('m/')
        equal([e['kind'] for e in watch.until(SYNC)], [SYNC], 'an empty snapshot')
        number = make(client, b'')['id']
        records = [{'id': number, 'name': 'm/%03d' % i, 'mode': 0o600, 'flags': wire.PUBLISH_ATOMIC} for i in range(250)]
        client.call(wire.PUBLISH, records).close()
        equal([short(watch.next()) for _ in range(250)], [(PUBLISHED, 'm/%03d' % i, 1) for i in range(250)], 'ATOMIC')
        client.remove(id=number)
        equal(sorted(short(watch.next()) for _ in range(250)), [(REMOVED, 'm/%03d' % i, 1) for i in range(250)], 'by id')
        watch.cancel()


@suite.test
def options(broker, _):
    """EXACT, NO_SNAPSHOT, DETAILS, DESCRIPTORS"""
    with broker.connect() as client, broker.connect() as watcher:
        put(client, b'old', 'o', metadata=b'k=old\0')
        put(client, b'', 'o/1')
        exact = watcher.watch('o', flags=WATCH_EXACT)
        equal([short(e) for e in exact.until(SYNC)][:-1], [(PRESENT, 'o', 1)], 'EXACT')
        silent = watcher.watch('o', flags=WATCH_NO_SNAPSHOT)
        equal([e['kind'] for e in silent.until(SYNC)], [SYNC], 'NO_SNAPSHOT')
        full = watcher.watch('o', flags=WATCH_DETAILS | WATCH_DESCRIPTORS | WATCH_EXACT)
        event, sync = full.until(SYNC)
        equal((event['metadata'], os.pread(event['fd'], 9, 0), 'fd' in sync), (b'k=old\0', b'old', False), 'all of it')
        os.close(event['fd'])
        put(client, b'new', 'o', metadata=b'k=new\0', seals=wire.IMMUTABLE)
        put(client, b'', 'o/2')
        event = full.next()
        equal((short(event), event['metadata'], os.pread(event['fd'], 9, 0)),
              ((REPLACED, 'o', 2), b'k=new\0', b'new'), 'all of it when it changes')
        equal((seals_of(event['fd']) & wire.IMMUTABLE, os.get_inheritable(event['fd'])), (wire.IMMUTABLE, False), 'seals')
        os.close(event['fd'])
        equal(short(exact.next()), (REPLACED, 'o', 2), 'EXACT')
        equal([short(silent.next()) for _ in range(2)], [(REPLACED, 'o', 2), (PUBLISHED, 'o/2', 1)], 'NO_SNAPSHOT')
        client.remove('o')
        event = full.next()
        equal((short(event), event['descriptors'], event['metadata']), ((REMOVED, 'o', 2), 0, b''), 'REMOVED')
        make(client, b'', 'o', flags=wire.PUBLISH_TAKE)
        equal((full.next()['descriptors'], len(client.list(prefix='o'))), (0, 3), 'what is handed over, and is not')
        for watch in (exact, silent, full):
            watch.cancel()
        drop(client)


@suite.test
def bad(broker, _):
    """what WATCH and CANCEL refuse, and how; several watches of one connection; a watch that is cancelled at once"""
    with broker.connect() as client:
        for values, name in (({'name': '', 'flags': WATCH_EXACT}, ('NAME', 'TARGET')),
                             ({'name': 'a//b', 'flags': WATCH_EXACT}, ('NAME',)),
                             ({'name': '\n'}, ('NAME',)), ({'name': 'x' * 256}, ('NAME',)), ({'flags': 16}, ('FLAGS',))):
            serial = client.start(wire.WATCH, [values])
            with client.receive() as reply:
                equal((reply.serial, reply.name() in name, reply.count), (serial, True, 1), '%r: %s' % (
                    values, reply.name()))
        put(client, b'', 'b/1')
        watches = [client.watch('b') for _ in range(5)]
        again = wire.encode_message(wire.WATCH, [wire.encode_record(wire.WATCH_REQUEST, {})], watches[0].serial)
        for watch in watches:
            equal([e['kind'] for e in watch.until(SYNC)], [PRESENT, SYNC], 'snapshot')
        client.send(again)
        with client.receive() as reply:
            equal((reply.name(), reply.serial), ('MALFORMED', watches[0].serial), 'a serial in use')
        put(client, b'', 'b/1')
        for watch in watches:
            equal(short(watch.next()), (REPLACED, 'b/1', 2), 'event')
        for watch in watches:
            watch.cancel()
            with refused('NOT_FOUND'):
                client.cancel(watch.serial)
        for _ in range(100):
            client.watch('b').cancel()
        equal(account(client)['watches'], 0, 'watches')
        put(client, b'', 'b/1')
        client.ping()
        drop(client)


@suite.test
def consistent(broker, _):
    """a snapshot of thousands of names, taken while they come and go, leads to the true state, again and again"""
    with broker.connect() as client, broker.connect() as producer:
        numbers = [make(client, b'')['id'] for _ in range(12)]
        records = [{'id': numbers[i // 250], 'name': 'c/%04d' % i, 'mode': 0o600} for i in range(3000)]
        for start in range(0, 3000, 250):
            client.call(wire.PUBLISH, records[start:start + 250]).close()

        def storm():
            with broker.connect() as mine:
                number = make(mine, b'', 'c/keep')['id']
                i = 0
                while True:
                    i += 7919
                    name = 'c/%04d' % (i % 3000)
                    flying = [mine.start(wire.REMOVE, [{'name': name}]),
                              mine.start(wire.PUBLISH, [{'id': number, 'name': name, 'mode': 0o600}]),
                              mine.start(wire.PUBLISH, [{'id': number, 'name': 'c/%04d' % ((i * 3) % 3000),
                                                         'mode': 0o600, 'flags': wire.PUBLISH_REPLACE}])]
                    for serial in flying:
                        mine.finish(serial).close()

        found = []
        with broker.connect() as watcher:
            connections = account(client)['connections']
            with process(storm):
                for _ in range(5):
                    model = Model(watcher.watch('c/'))
                    model.read_until(lambda names: True)
                    found.append((len(model.names), model.overflows))
                    model.watch.cancel()
                model = Model(watcher.watch('c/'))
                end = time.monotonic() + 1
                model.read_until(lambda names: time.monotonic() > end)
            eventually(lambda: account(client)['connections'] == connections, what='all of the storm is carried out')
            model.check(producer, 'c/')
        print('# names and overflows: %r, %d events' % (found, model.events))
        drop(client)


@suite.test
def overflow(broker, bystander):
    """a watcher that sleeps loses changes, is told so once, and then all that is there; the broker keeps nothing for it"""
    with broker.connect() as client, broker.connect() as watcher:
        number = make(client, b'')['id']
        models = [Model(watcher.watch('s/')) for _ in range(3)]
        for model in models:
            model.read_until(lambda names: True)
        memory = broker.resident_bytes()
        for i in range(200):
            records = [{'id': number, 'name': 's/%03d' % ((i * 31 + j) % 200), 'mode': 0o600,
                        'flags': wire.PUBLISH_REPLACE} for j in range(150)]
            client.call(wire.PUBLISH, records).close()
            if i % 50 == 0:
                bystander.served()
        grown = broker.resident_bytes() - memory
        if not has_sanitizer():  # which keeps back what was freed
            equal(grown < 8 << 20, True, 'bytes that the broker has grown by: %d' % grown)
        for model in models:
            model.check(client, 's/')
            equal(model.overflows >= 1, True, 'overflows')
        print('# %r overflows, %r events of 30000, %d bytes' % ([m.overflows for m in models],
                                                                [m.events for m in models], grown))
        for model in models:
            model.watch.cancel()
        drop(client)


@suite.test
def nothing_lost_within_the_log(broker, _):
    """a watcher that sleeps through few changes is told each of them"""
    with broker.connect() as client, broker.connect() as watcher:
        watch = watcher.watch('n/')
        watch.until(SYNC)
        for i in range(RING // 2):
            put(client, b'', 'n/%d' % (i % 3))
            if i % 8 == 0:
                put(client, b'', 'elsewhere')
        got = [short(watch.next()) for _ in range(RING // 2)]
        equal(got, [(REPLACED if i > 2 else PUBLISHED, 'n/%d' % (i % 3), i // 3 + 1) for i in range(RING // 2)], 'events')
        # Changes that do not concern it do not make it overflow, however many.
        for i in range(3 * RING):
            if i % 100 == 0:
                records = [{'id': client.stat('elsewhere')['id'], 'name': 'elsewhere', 'mode': 0o600,
                            'flags': wire.PUBLISH_REPLACE}] * 100
                client.call(wire.PUBLISH, records).close()
        put(client, b'', 'n/0')
        equal(short(watch.next())[:2], (REPLACED, 'n/0'), 'the next event')
        watch.cancel()
        drop(client)


@suite.test
def limits(*_):
    """watches are charged, per uid; what is cancelled or dies gives its charge back"""
    with Broker('--limit', 'uid-watches=3') as own, own.connect() as client, own.connect() as other:
        watches = [client.watch('l/%d' % i) for i in range(3)]
        for watch in watches:
            watch.until(SYNC)
        for user in (client, other):
            with refused('LIMIT'):
                user.watch().next()
        equal((account(client)['watches'], account(client)['watches_limit']), (3, 3), 'account')
        watches[0].cancel()
        one = other.watch()
        one.until(SYNC)
        other.close()
        eventually(lambda: account(client)['watches'] == 2, what='the charge is back')
        with own.connect() as third:
            third.watch().until(SYNC)
            third.socket.shutdown(socket.SHUT_WR)
            eventually(lambda: account(client)['watches'] == 2, what='the charge is back after half a close')
    with Broker('--limit', 'uid-metadata=300') as own, own.connect() as client:
        client.watch('m' * 200).until(SYNC)
        with refused('LIMIT'):
            client.watch('m' * 200).next()


@suite.test
def access(*_):
    """only what may be read is told: a name that becomes private is REMOVED, one that becomes readable PUBLISHED"""
    need_root()
    with Broker('--socket-mode', '0666') as own, own.connect() as root:
        put(root, b'', 'a/private')
        put(root, b'', 'a/public', mode=0o644)

        def other_one():
            with own.connect() as client:
                watch = client.watch('a/', owner=0, flags=WATCH_DESCRIPTORS | WATCH_DETAILS)
                got = [e for e in watch.until(SYNC)]
                put(client, b'', 'ready')
                while not got or got[-1]['name'] != 'a/end':
                    got.append(watch.next())
                for event in got:
                    if event['descriptors']:
                        equal(os.fstat(event['fd']).st_size, event['size'], 'size of its descriptor')
                        os.close(event['fd'])
                return [short(e) + (e['descriptors'],) for e in got]

        def publish():
            with own.connect() as client:
                os.close(client.wait('ready', owner=MEMBER)['fd'])
                put(client, b'', 'a/private')
                put(client, b'12', 'a/private', mode=0o604)
                put(client, b'123', 'a/private', mode=0o604)
                put(client, b'secret', 'a/private')
                client.remove('a/private')
                put(client, b'', 'a/public', mode=0o600)
                put(client, b'', 'a/new')
                client.remove('a/new')
                put(client, b'', 'a/end', mode=0o644)

        with process(publish):
            got = in_child(other_one, MEMBER, MEMBER)
        expected = [(PRESENT, 'a/public', 1), (SYNC, '', 0), (PUBLISHED, 'a/private', 3), (REPLACED, 'a/private', 4),
                    (REMOVED, 'a/private'), (REMOVED, 'a/public'), (PUBLISHED, 'a/end', 1)]
        equal([event[:len(want)] for event, want in zip(got, expected)], expected, 'what another uid is told: %r' % got)
        equal(len(got), len(expected), 'number of events')


@suite.test
def never_reads(broker, bystander):
    """a client that opens 1,000 watches with descriptors and never reads; it can still be told from the others"""
    with broker.connect() as client:
        for i in range(100):
            put(client, b'x' * 100, 'r/%d' % i)
        before, memory = broker.descriptors(), broker.resident_bytes()
        deaf = broker.connect()
        deaf.socket.settimeout(0.5)
        sent = 0
        try:
            for sent in range(1, 1001):
                deaf.start(wire.WATCH, [{'name': 'r/', 'flags': WATCH_DESCRIPTORS}])
        except TimeoutError:
            pass
        for i in range(300):
            put(client, b'y', 'r/%d' % (i % 100))
            if i % 30 == 0:
                bystander.served()
        grown, more = broker.resident_bytes() - memory, broker.descriptors() - before
        print('# %d watches, %d bytes, %d descriptors' % (sent, grown, more))
        equal((grown < 32 << 20 or has_sanitizer(), more < 1000), (True, True), 'bytes, descriptors: %d, %d' % (grown, more))
        deaf.close()
        eventually(lambda: account(client)['watches'] == 0, what='its watches have gone')
        bystander.served()
        drop(client)


if __name__ == '__main__':
    suite.main()
