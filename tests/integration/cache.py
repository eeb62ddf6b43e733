#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Names that may be evicted: where a limit is met, they go, those that were used longest ago first; never others."""
import contextlib
import os
import sys
import threading
import time

import sealbuf_wire as wire
from configuring import Folder
from lives import Lives
from manager import Manager
from testbed import Broker, Suite, equal, eventually, fetch, in_child, make, need_root, need_systemd, refused

MINE = 100000 + os.getpid() % 30000 * 10
OTHER = MINE + 1
EVICTABLE = wire.PUBLISH_EVICTABLE
KEYS = ('bytes', 'buffers', 'names', 'metadata', 'stored')

suite = Suite()


def limited(*limits, **options):
    """A broker with these limits for each uid: 'bytes=4096'."""
    return Broker(*[word for limit in limits for word in ('--limit', 'uid-' + limit)], **options)


def as_user(broker, function, uid=MINE):
    def run():
        with broker.connect() as client:
            return function(client)
    return in_child(run, uid, uid)


def account(client):
    with client.call(wire.ACCOUNTS, [{}]) as message:
        return {key: message.records[0][key] for key in KEYS}


def names_of(client):
    return [record['name'] for record in client.list()]


def put(client, name, size=1000, **values):
    """A buffer that may be evicted."""
    return make(client, b'x' * size, name, **{'flags': EVICTABLE, **values})


def create(client, size, **values):
    created = client.create(size, **values)
    os.close(created['fd'])
    return created['id']


def exact(client):
    """What the account says is what is there."""
    records = client.list(flags=wire.LIST_DETAILS)
    ids = {record['id']: record for record in records}
    found = account(client)
    equal(found['names'], len(records), 'names')
    equal(found['buffers'], len(ids), 'buffers')
    equal(found['bytes'], sum(record['size'] for record in ids.values()), 'bytes')


def empty(client):
    for record in client.list():
        client.remove(record['name'])
    equal(account(client), dict.fromkeys(KEYS, 0), 'account')


@suite.test
def least_recently_used_first(_, __):
    """For a buffer that does not fit, those go that were used longest ago: published, got or touched"""
    need_root()

    def check(client):
        for name in 'abcdef':
            put(client, name)
        fetch(client, 'a')
        client.touch('c')
        put(client, 'b', flags=EVICTABLE | wire.PUBLISH_REPLACE, size=10)
        with client.call(wire.GET, [{'name': 'd'}, {'name': 'd'}]):
            pass
        with client.call(wire.GET, [{'name': 'e', 'flags': wire.GET_ATOMIC}]):
            pass
        client.stat('f')
        gone = []
        for _ in range(6):
            before = names_of(client)
            client.remove(id=create(client, 6001 - account(client)['bytes']))
            gone += sorted(set(before) - set(names_of(client)))
        equal(gone, ['f', 'a', 'c', 'b', 'd', 'e'], 'what went')
        equal(account(client), dict.fromkeys(KEYS, 0), 'account')

    with limited('bytes=6000') as broker:
        as_user(broker, check)


@suite.test
def order(_, __):
    """One after the other goes, in the order of use, and only as many as it takes"""
    need_root()

    def check(client):
        for i in range(10):
            put(client, 'n%d' % i)
        for i in (3, 1, 7):
            fetch(client, 'n%d' % i)
        expected = [0, 2, 4, 5, 6, 8, 9, 3, 1, 7]
        for i in range(10):
            buffer = create(client, 1000 * (i + 1))
            equal(sorted(names_of(client)), sorted('n%d' % n for n in expected[i + 1:]), 'names')
            client.remove(id=buffer)
        equal(account(client), dict.fromkeys(KEYS, 0), 'account')

    with limited('bytes=10000') as broker:
        as_user(broker, check)


@suite.test
def each_limit(_, __):
    """Bytes, buffers, names, metadata: whichever limit is met"""
    need_root()

    def bytes_(client):
        for i in range(4):
            put(client, 'b%d' % i, size=1000)
        client.remove(id=create(client, 1001))
        equal(names_of(client), ['b2', 'b3'], 'names')
        empty(client)

    def buffers(client):
        for i in range(4):
            put(client, 'b%d' % i)
        buffer = create(client, 1)
        equal(names_of(client), ['b1', 'b2', 'b3'], 'names')
        fd = os.memfd_create('adopted', os.MFD_ALLOW_SEALING)
        client.adopt(fd)
        os.close(fd)
        equal(names_of(client), ['b2', 'b3'], 'names')
        client.remove(id=buffer)

    def names(client):
        buffer = create(client, 1)
        for i in range(4):
            client.publish(buffer, 'n%d' % i, flags=EVICTABLE)
        client.publish(buffer, 'm')
        equal(names_of(client), ['m', 'n1', 'n2', 'n3'], 'names')
        # Former generations are names, too.
        client.publish(create(client, 1), 'm', flags=wire.PUBLISH_REPLACE, keep=2)
        equal(names_of(client), ['m', 'n2', 'n3'], 'names')
        client.publish(create(client, 1), 'm', flags=wire.PUBLISH_REPLACE, keep=2)
        equal(names_of(client), ['m', 'n3'], 'names')
        client.publish(create(client, 1), 'm', flags=wire.PUBLISH_REPLACE, keep=2)
        equal(names_of(client), ['m', 'n3'], 'names')
        empty(client)

    def metadata(client):
        for i in range(3):
            put(client, 'a' * 99 + str(i))
        client.publish(create(client, 1), 'b' * 150)
        equal(names_of(client), ['a' * 99 + '2', 'b' * 150], 'names')
        create(client, 1, metadata=b'k=' + b'v' * 147 + b'\0')
        equal(names_of(client), ['b' * 150], 'names')

    for limit, check in (('bytes=4000', bytes_), ('buffers=4', buffers), ('names=4', names), ('metadata=300', metadata)):
        with limited(limit) as broker:
            as_user(broker, check)


@suite.test
def never_others(_, __):
    """What is not evictable stays, and so does what is another user's; then it is refused as ever"""
    need_root()

    def other(client):
        put(client, 'theirs', size=4000, mode=0o666)

    def check(client):
        put(client, 'mine', size=1000)
        put(client, 'stays', size=2000, flags=0)
        fetch(client, 'theirs', owner=OTHER)
        with refused('LIMIT'):
            create(client, 3001)
        equal(names_of(client), ['mine', 'stays'], 'what cannot fit evicts nothing')
        buffer = create(client, 3000)
        equal(names_of(client), ['stays'], 'names')
        # Not evictable any more, and again.
        client.remove(id=buffer)
        put(client, 'mine', size=3000)
        client.publish(client.stat('mine')['id'], 'mine', flags=wire.PUBLISH_REPLACE)
        with refused('LIMIT'):
            create(client, 1)
        client.publish(client.stat('mine')['id'], 'mine', flags=wire.PUBLISH_REPLACE | EVICTABLE)
        equal(client.stat('mine')['flags'] & wire.INFO_EVICTABLE, wire.INFO_EVICTABLE, 'flag')
        create(client, 1)
        equal(names_of(client), ['stays'], 'names')

    with limited('bytes=5000') as broker:
        as_user(broker, other, OTHER)
        as_user(broker, check)
        as_user(broker, lambda client: equal(names_of(client), ['theirs'], 'names'), OTHER)


@suite.test
def nothing_for_nothing(_, __):
    """What could not fit for one limit evicts nothing for another one"""
    need_root()

    def check(client):
        put(client, 'a', size=1000)
        put(client, 'b', size=1000)
        put(client, 'c', size=10, flags=0)
        with refused('LIMIT'):
            create(client, 1500, metadata=b'k=' + b'v' * 997 + b'\0')
        equal(names_of(client), ['a', 'b', 'c'], 'names')
        create(client, 1500, metadata=b'k=' + b'v' * 100 + b'\0')
        equal(names_of(client), ['c'], 'names')

    with limited('bytes=2500', 'metadata=500') as broker:
        as_user(broker, check)


@suite.test
def held_otherwise(_, __):
    """A buffer that something else holds frees nothing"""
    need_root()

    def check(client):
        # By a name that is not evictable.
        both = put(client, 'a', size=1000)['id']
        client.publish(both, 'b')
        with refused('LIMIT'):
            create(client, 1001)
        equal(names_of(client), ['a', 'b'], 'names')
        client.remove('b')
        client.remove(id=create(client, 1001))
        equal(names_of(client), [], 'names')
        # By two that are.
        both = put(client, 'a', size=1000)['id']
        put(client, 'c', size=500)
        client.publish(both, 'b', flags=EVICTABLE)
        client.remove(id=create(client, 1001))
        equal(names_of(client), [], 'all were needed')
        # By former generations: they go with the name.
        for _ in range(3):
            put(client, 'h', size=600, flags=EVICTABLE | wire.PUBLISH_REPLACE, keep=2)
        exact_history(client, 3)
        client.remove(id=create(client, 1900))
        equal(account(client), dict.fromkeys(KEYS, 0), 'account')
        # A name that is evictable no more does not give its former generations, either.
        for flags in (EVICTABLE, EVICTABLE, 0):
            put(client, 'h', size=600, flags=flags | wire.PUBLISH_REPLACE, keep=2)
        with refused('LIMIT'):
            create(client, 201)
        put(client, 'h', size=200, flags=EVICTABLE | wire.PUBLISH_REPLACE, keep=1)
        create(client, 2000)
        equal(names_of(client), [], 'names')

    def exact_history(client, generations):
        equal(account(client)['names'], generations, 'names')
        equal(account(client)['bytes'], generations * 600, 'bytes')

    with limited('bytes=2000') as broker:
        as_user(broker, check)


@suite.test
def what_is_replaced_stays(_, __):
    """The name that is about to be replaced, and the buffer that is about to get it, do not go for that"""
    need_root()

    def check(client):
        buffer = create(client, 1)
        for i in range(4):
            client.publish(create(client, 1), 'n%d' % i, flags=EVICTABLE)
        # The least recently used one gets a history, for which there is no room.
        equal(client.publish(buffer, 'n0', flags=EVICTABLE | wire.PUBLISH_REPLACE, keep=1)['generation'], 2, 'generation')
        equal(names_of(client), ['n0', 'n2', 'n3'], 'names')
        equal(client.get('n0', generation=1)['generation'], 1, 'former generation')
        # Of two names of one buffer the first one goes for the second one; the buffer stays.
        empty(client)
        for i in range(4):
            client.publish(create(client, 1), 'n%d' % i, flags=EVICTABLE)
        first = client.stat('n0')['id']
        equal(client.publish(first, 'again', flags=EVICTABLE)['id'], first, 'id')
        equal(names_of(client), ['again', 'n1', 'n2', 'n3'], 'names')
        equal(client.stat('again')['id'], first, 'id')
        exact(client)
        # The same at once for several.
        pairs = [('n%d' % i, create(client, 1)) for i in (1, 2)] + [('x', create(client, 1)), ('y', first)]
        with client.call(wire.PUBLISH, [{'id': buffer, 'name': name, 'keep': 0, 'flags': wire.PUBLISH_ATOMIC | EVICTABLE |
                                         wire.PUBLISH_REPLACE} for name, buffer in pairs]) as message:
            equal([record['generation'] for record in message.records], [2, 2, 1, 1], 'generations')
        equal(names_of(client), ['n1', 'n2', 'x', 'y'], 'names')
        with refused('LIMIT'):
            client.call(wire.PUBLISH, [{'id': first, 'name': 'z%d' % i, 'flags': wire.PUBLISH_ATOMIC} for i in range(5)])
        equal(names_of(client), ['n1', 'n2', 'x', 'y'], 'names')
        exact(client)

    with limited('names=4') as broker:
        as_user(broker, check)


def publish_all(client, pairs, **values):
    """In one step: [(name, id)]"""
    flags = wire.PUBLISH_ATOMIC | values.pop('flags', wire.PUBLISH_REPLACE)
    with client.call(wire.PUBLISH, [{'id': buffer, 'name': name, 'mode': 0o600, 'flags': flags, **values}
                                    for name, buffer in pairs]) as message:
        return [record['generation'] for record in message.records]


def grow(client, size):
    """A buffer that has grown to that size, for which nothing is charged yet."""
    created = client.create(0, flags=wire.CREATE_GROWABLE)
    os.ftruncate(created['fd'], size)
    os.close(created['fd'])
    return created['id']


@suite.test
def nothing_of_a_batch(_, __):
    """What a batch publishes, and what it replaces, does not go for another one of its records, wherever that is"""
    need_root()

    def check(client):
        big = create(client, 500)
        client.publish(big, 'e', flags=EVICTABLE)
        small, other, growing = create(client, 1), create(client, 1), grow(client, 800)
        halves = [grow(client, 400) for _ in range(2)]
        for pairs in ([('b', big), ('g', growing)], [('g', growing), ('b', big)],
                      [('e', small), ('g', growing)], [('g', growing), ('e', small)],
                      [('x', small), ('b', big), ('y', other), ('g', growing)]):
            with refused('LIMIT'):
                publish_all(client, pairs)
            equal(names_of(client), ['e'], 'names after %r' % pairs)
            equal(client.stat('e')['id'], big, 'id')
            equal(client.stat('e')['generation'], 1, 'generation')
        # All that it needs counts together: where that cannot be, others do not go for a part of it either.
        put(client, 'f', size=300)
        with refused('LIMIT'):
            publish_all(client, [('b', big), ('g', growing)])
        with refused('LIMIT'):
            publish_all(client, [('e', small), ('g', halves[0]), ('h', halves[1])])
        equal(names_of(client), ['e', 'f'], 'names')
        # Where it can be, they go.
        equal(publish_all(client, [('e', small), ('b', big), ('g', grow(client, 250)), ('h', grow(client, 240))]),
              [2, 1, 1, 1], 'generations')
        equal(names_of(client), ['b', 'e', 'g', 'h'], 'names')
        for buffer in (other, growing, *halves):
            client.remove(id=buffer)
        exact(client)
        empty(client)

    with limited('bytes=1000') as broker:
        as_user(broker, check)


@suite.test
def names_and_bytes_of_a_batch(_, __):
    """The same where it has been met by the limit of names, too"""
    need_root()

    def check(client):
        big = create(client, 500)
        client.publish(big, 'e', flags=EVICTABLE)
        for i in range(9):
            put(client, 'n%d' % i, size=1, flags=0)
        before = names_of(client)
        ids = [create(client, 1) for _ in range(2)]
        for size in (800, 100):
            with refused('LIMIT'):
                publish_all(client, [('x', ids[0]), ('y', ids[1]), ('b', big), ('g', grow(client, size))])
            equal(names_of(client), before, 'names')
        client.ping()

    with limited('names=10', 'bytes=1000') as broker:
        as_user(broker, check)


@suite.test
def of_others(_, __):
    """Where root publishes buffers of several users in one step, each one's own go for each one's"""
    need_root()

    def furnish(client):
        growing = grow(client, 600)
        client.publish(growing, 'g')
        return growing

    def fill(client):
        put(client, 'f', size=150)
        put(client, 'h', size=150)

    with limited('bytes=1000') as broker, broker.connect() as root:
        growing, fds = [], []
        for uid in (MINE, OTHER):
            growing.append(as_user(broker, furnish, uid))
            message = root.get(id=growing[-1], flags=wire.GET_WRITABLE)
            fds.append(message['fd'])
            as_user(broker, fill, uid)
        for fd in fds:
            os.ftruncate(fd, 750)
            os.close(fd)
        publish_all(root, [('root/%d' % i, buffer) for i, buffer in enumerate(growing)])
        for uid in (MINE, OTHER):
            equal(as_user(broker, names_of, uid), ['g', 'h'], 'names of %d' % uid)
            equal(as_user(broker, account, uid)['bytes'], 900, 'bytes of %d' % uid)


@suite.test
def grown(_, __):
    """A buffer that has grown since is counted as it is now"""
    need_root()

    def check(client):
        created = client.create(10, flags=wire.CREATE_GROWABLE)
        put(client, 'a', size=1000)
        os.ftruncate(created['fd'], 1500)
        client.publish(created['id'], 'grown', flags=EVICTABLE)
        equal(names_of(client), ['grown'], 'names')
        os.ftruncate(created['fd'], 1900)
        client.stat('grown')
        os.close(created['fd'])
        client.remove(id=create(client, 2000))
        equal(account(client), dict.fromkeys(KEYS, 0), 'account')

    with limited('bytes=2000') as broker:
        as_user(broker, check)


@suite.test
def fair_share(_, __):
    """It is the fair share that counts, too, and the limit of all together for root"""
    need_root()

    def check(client):
        for i in range(5):
            put(client, 'n%d' % i, size=1000)
        create(client, 1000)
        equal(names_of(client), ['n1', 'n2', 'n3', 'n4'], 'names')

    with Broker('--limit', 'bytes=10000', '--limit', 'uid-bytes=10000') as broker:
        as_user(broker, check)
    with Broker('--limit', 'bytes=10000', '--limit', 'uid-bytes=10000') as broker, broker.connect() as client:
        for i in range(10):
            put(client, 'n%d' % i, size=1000)
        create(client, 2000)
        equal(names_of(client), ['n%d' % i for i in range(2, 10)], 'names')


@suite.test
def watched(_, __):
    """Who watches hears of what has gone, and of nothing else"""
    need_root()

    def check(client):
        for name in 'abc':
            put(client, name)
        watch = client.watch()
        watch.until(wire.SYNC)
        buffer = create(client, 1500)
        equal([(event['kind'], event['name']) for event in (watch.next(), watch.next())],
              [(wire.EVICTED, 'a'), (wire.EVICTED, 'b')], 'events')
        client.publish(buffer, 'd')
        equal(watch.next()['kind'], wire.PUBLISHED, 'next event')
        equal(watch.cancel(), [], 'events')

    with limited('bytes=3000') as broker:
        as_user(broker, check)


@suite.test
def big_ones(_, __):
    """Where all descriptors are in use, the next buffer waits until those of what was evicted are closed"""
    with Broker('--limit', 'buffers=6', '--limit', 'uid-buffers=6') as broker, broker.connect() as client:
        for i in range(30):
            created = client.create(8 << 20)
            os.pwrite(created['fd'], b'x' * (8 << 20), 0)
            os.close(created['fd'])
            client.publish(created['id'], 'n%02d' % i, flags=EVICTABLE)
        equal(names_of(client), ['n%02d' % i for i in range(24, 30)], 'names')


@suite.test
def stored(_, __):
    """Where as many buffers are stored as may be, evictable ones go, and leave the store"""
    need_systemd()
    need_root()

    def check(client):
        for i in range(4):
            put(client, 'n%d' % i)
        put(client, 'more', flags=0)
        equal(names_of(client), ['more', 'n1', 'n2', 'n3'], 'names')
        ids = [create(client, 1) for _ in range(3)]
        with client.call(wire.PUBLISH, [{'id': buffer, 'name': 'atomic%d' % i, 'flags': wire.PUBLISH_ATOMIC}
                                        for i, buffer in enumerate(ids)]) as message:
            equal([record['status'] for record in message.records], [0] * 3, 'statuses')
        equal(names_of(client), ['atomic0', 'atomic1', 'atomic2', 'more'], 'names')
        with refused('LIMIT'):
            put(client, 'refused')

    with Manager() as manager, limited('stored=4', environment=manager.environment) as broker:
        as_user(broker, check)
        eventually(lambda: len(manager.buffers()) == 4, what='four are kept')


@suite.test
def what_a_batch_replaces_is_stored(_, __):
    """What one record of a batch replaces does not go where another one's buffer is to be stored"""
    need_systemd()
    need_root()

    def check(client):
        old = put(client, 'old', size=1)['id']
        for name in ('f', 'g'):
            put(client, name, size=1)
        first, second = create(client, 1), create(client, 1)
        with client.call(wire.PUBLISH, [
                {'id': first, 'name': 'new', 'flags': wire.PUBLISH_ATOMIC},
                {'id': second, 'name': 'old', 'flags': wire.PUBLISH_ATOMIC | wire.PUBLISH_COMPARE, 'expected': 1},
                {'id': old, 'name': 'again', 'flags': wire.PUBLISH_ATOMIC}]) as message:
            equal([record['generation'] for record in message.records], [1, 2, 1], 'generations')
        equal(names_of(client), ['again', 'new', 'old'], 'names')

    with Manager() as manager, limited('stored=3', environment=manager.environment) as broker:
        as_user(broker, check)


@suite.test
def after_a_restart(_, __):
    """After a restart, and in a program that takes over, they go in the order in which they were published"""
    need_systemd()
    with Lives('--limit', 'bytes=10000', '--limit', 'uid-bytes=10000') as lives:
        lives.start()
        with lives.connect() as client:
            for name in 'dbac':
                put(client, name, size=2000)
            put(client, 'b', size=2000, flags=EVICTABLE | wire.PUBLISH_REPLACE, keep=1)
        lives.kill()
        lives.start()
        with lives.connect() as client:
            equal(client.stat('a')['flags'] & wire.INFO_EVICTABLE, wire.INFO_EVICTABLE, 'flag')
            client.remove(id=create(client, 1000))
            equal(names_of(client), ['a', 'b', 'c'], 'names')
            put(client, 'v', size=2000, flags=EVICTABLE | wire.PUBLISH_VOLATILE)
            client.reexec()
        with lives.connect() as client:
            gone = []
            for size in (2000, 4000, 8000, 10000):
                before = set(names_of(client))
                client.remove(id=create(client, size))
                gone.append(sorted(before - set(names_of(client))))
            equal(gone, [['a'], ['c'], ['b'], ['v']], 'what went')
            equal(client.stats()['bytes'], 0, 'bytes')
        lives.stop()


@suite.test
def ten_thousand_for_one(_, __):
    """For one big buffer ten thousand small ones go, and nobody else waits for that"""
    need_root()
    count = 10000

    def fill(client):
        for first in range(0, count, 200):
            with client.call(wire.CREATE, [{'size': 4096}] * 200) as message:
                ids = [record['id'] for record in message.records]
            client.call(wire.PUBLISH, [{'id': buffer, 'name': 'n%05d' % (first + i), 'flags': EVICTABLE}
                                       for i, buffer in enumerate(ids)]).close()

    def crowd(client):
        began = time.monotonic()
        buffer = create(client, 4096 * count)
        equal(names_of(client), [], 'names')
        print('# %d buffers were evicted in %.3f s' % (count, time.monotonic() - began))
        client.remove(id=buffer)
        equal(account(client), dict.fromkeys(KEYS, 0), 'account')

    with limited('bytes=%d' % (4096 * count)) as broker, broker.connect() as client:
        as_user(broker, fill)
        waits, end = [], threading.Event()

        def look_on():
            while not end.is_set():
                began = time.monotonic()
                client.ping()
                waits.append(time.monotonic() - began)

        looker = threading.Thread(target=look_on)
        looker.start()
        try:
            as_user(broker, crowd)
        finally:
            end.set()
            looker.join()
        print('# of %d pings the slowest took %.1f ms' % (len(waits), max(waits) * 1000))
        if max(waits) > 1:
            raise AssertionError('somebody else waited for %.1f s' % max(waits))


@suite.test
def gone_meanwhile(_, __):
    """Whose client goes in the middle of that, leaves nothing that is wrong"""
    need_root()

    def check(client):
        for first in range(0, 2000, 200):
            with client.call(wire.CREATE, [{'size': 4096}] * 200) as message:
                ids = [record['id'] for record in message.records]
            client.call(wire.PUBLISH, [{'id': buffer, 'name': 'n%05d' % (first + i), 'flags': EVICTABLE}
                                       for i, buffer in enumerate(ids)]).close()

    def leave(client):
        client.start(wire.CREATE, [{'size': 4096 * 2000}])
        time.sleep(0.002)

    def look(client):
        eventually(lambda: account(client)['buffers'] == len(names_of(client)), what='all is as it was')
        exact(client)
        empty(client)

    with limited('bytes=%d' % (4096 * 2000)) as broker:
        as_user(broker, check)
        as_user(broker, leave)
        as_user(broker, look)


@suite.test
def in_a_storm(_, __):
    """A cache that is filled for ever stays within its limits, and its accounts are exact"""
    need_root()

    def check(client):
        end, number = time.monotonic() + 3, 0
        while time.monotonic() < end:
            number += 1
            name = 'k%d' % (number * 7919 % 50)
            put(client, name, size=1 + number * 31 % 1999, flags=EVICTABLE | wire.PUBLISH_REPLACE, keep=number % 4)
            if number % 3 == 0:
                with contextlib.suppress(wire.Refused):
                    fetch(client, 'k%d' % (number % 50))
            if number % 50 == 0:
                found = account(client)
                if found['bytes'] > 20000 or found['names'] > 40:
                    raise AssertionError('beyond the limits: %r' % found)
        print('# %d buffers' % number)
        empty(client)

    with limited('bytes=20000', 'names=40') as broker:
        as_user(broker, check)


if __name__ == '__main__':
    sys.exit(suite.main())
