#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Watches: all that is there, and then all that changes, for those who keep up and for those who do not."""
import contextlib
import os
import random
import select
import time

import sealbuf_wire as wire
from testbed import (Broker, Bystander, Suite, access_mode_of, equal, eventually, fetch, in_child, make, need_root, process,
                     refused)

# Of nobody else's, also where several runs of the tests share a machine.
MINE = 100000 + os.getpid() % 30000 * 10
OTHER, GROUP = MINE + 1, MINE + 2
ANY = {'mode': 0o644}
GONE = (wire.REMOVED, wire.EXPIRED, wire.EVICTED, wire.TAKEN)
# A change log keeps so many changes.
KEPT = 1024

suite = Suite()


def brief(event):
    return event['kind'], event['name'], event['generation']


def told(watch, kind):
    """The events up to this one, as (kind, name, generation); descriptors are not expected."""
    return [brief(event) for event in watch.until(kind)]


def silent(client):
    """Nothing more is told, even after the broker has served another request."""
    client.ping()
    equal([messages for messages in client.detached.values() if messages], [], 'messages')
    equal(select.select([client.socket], [], [], 0.05)[0], [], 'more messages')


def as_user(broker, uid, function, groups=()):
    def run():
        with broker.connect() as client:
            return function(client)
    return in_child(run, uid, uid, groups)


def lasting(client):
    """A buffer that any number of publishes can be made of, in quick succession."""
    created = client.create(8)
    os.close(created['fd'])
    client.publish(created['id'], 'keeper')
    client.seal(created['id'], wire.IMMUTABLE)
    return created['id']


def publish_all(client, buffer, names, **values):
    """Binds all these names, in as few messages as can be."""
    record = {'id': buffer, 'flags': wire.PUBLISH_REPLACE, 'mode': 0o644, **values}
    for i in range(0, len(names), 250):
        with client.call(wire.PUBLISH, [{**record, 'name': name} for name in names[i:i + 250]]) as message:
            equal([r['text'] for r in message.records if r['status']], [], 'refusals')


def remove_all(client, prefix, **values):
    names = [record['name'] for record in client.list(prefix=prefix, **values)]
    for i in range(0, len(names), 250):
        client.call(wire.REMOVE, [{'name': name} for name in names[i:i + 250]]).close()


class Model:
    """What somebody knows who believes all that a watch tells, and trusts none of it: no gap, nothing twice."""

    def __init__(self):
        self.names, self.synced, self.overflows, self.events = {}, False, 0, 0

    def apply(self, event):
        kind, name, generation = brief(event)
        known = self.names.get(name)
        self.events += 1
        if kind == wire.OVERFLOW:
            self.names, self.synced = {}, False
            self.overflows += 1
        elif kind == wire.SYNC:
            equal(self.synced, False, 'state at a SYNC')
            self.synced = True
        elif kind in GONE:
            equal(known, generation, 'generation that goes, of %s' % name)
            del self.names[name]
        elif kind == wire.REPLACED:
            equal(known, generation - 1, 'generation that is replaced, of %s' % name)
            self.names[name] = generation
        else:
            equal(known, None, 'generation before kind %d, of %s' % (kind, name))
            equal(kind == wire.PRESENT and self.synced, False, 'a PRESENT behind SYNC')
            self.names[name] = generation

    def follow(self, watch, marker, pause=0):
        """Until this name is there."""
        while marker not in self.names or not self.synced:
            if not watch.events and pause:
                time.sleep(pause)
            self.apply(watch.next())
        return self


def listed(client, prefix, **values):
    return {r['name']: r['generation'] for r in client.list(prefix=prefix, **values)}


# ---- What is told ----------------------------------------------------------------------------------------------------


@suite.test
def snapshot_then_changes(broker, _):
    """What is there comes first, then SYNC, then each change as it happens"""
    with broker.connect() as client, broker.connect() as watcher:
        first = make(client, b'first', 'w/b', seals=wire.IMMUTABLE, **ANY)
        make(client, b'x', 'w/a')
        make(client, b'x', 'other')
        watch = watcher.watch('w/')
        events = watch.until(wire.SYNC)
        equal([brief(e) for e in events], [(wire.PRESENT, 'w/a', 1), (wire.PRESENT, 'w/b', 1), (wire.SYNC, '', 0)], 'snapshot')
        stat = client.stat('w/b')
        for key in ('id', 'size', 'generation', 'published_ns', 'seals', 'flags', 'mode', 'owner', 'group'):
            equal(events[1][key], stat[key], key)
        equal((events[1]['descriptors'], events[1]['metadata']), (0, b''), 'what was not asked for')
        second = make(client, b'second', 'w/b', flags=wire.PUBLISH_REPLACE, seals=wire.IMMUTABLE, **ANY)
        event = watch.next()
        equal((brief(event), event['id'], event['size']), ((wire.REPLACED, 'w/b', 2), second['id'], 6), 'replaced')
        equal(first['id'] != second['id'], True, 'another id')
        stat = client.stat('w/b')
        for key in ('published_ns', 'seals', 'flags', 'mode', 'owner', 'group'):
            equal(event[key], stat[key], key)
        make(client, b'x', 'w/c')
        client.remove('other')
        client.remove('w/a')
        client.remove('w/b')
        client.remove(id=client.stat('w/c')['id'])
        equal([brief(watch.next()) for _ in range(4)],
              [(wire.PUBLISHED, 'w/c', 1), (wire.REMOVED, 'w/a', 1), (wire.REMOVED, 'w/b', 2), (wire.REMOVED, 'w/c', 1)],
              'changes')
        silent(watcher)


@suite.test
def prefix_and_exact(broker, _):
    """A prefix, one name, everything; and only from now on"""
    with broker.connect() as client, broker.connect() as watcher:
        make(client, b'x', 'p')
        make(client, b'x', 'p/1')
        watches = [watcher.watch(prefix, flags=flags) for prefix, flags in (
            ('p', 0), ('p', wire.WATCH_EXACT), ('p/', 0), ('', 0), ('', wire.WATCH_NO_SNAPSHOT),
            ('p', wire.WATCH_EXACT | wire.WATCH_NO_SNAPSHOT), ('nothing', 0), ('p/1', wire.WATCH_EXACT))]
        equal([[name for _, name, _ in told(watch, wire.SYNC)] for watch in watches],
              [['p', 'p/1', ''], ['p', ''], ['p/1', ''], ['p', 'p/1', ''], [''], [''], [''], ['p/1', '']], 'snapshots')
        client.remove('p/1')
        client.remove('p')
        make(client, b'x', 'zz')
        client.remove('zz')
        equal([[watch.next()['name'] for _ in range(n)] for watch, n in zip(watches, (2, 1, 1, 4, 4, 1, 0, 1))],
              [['p/1', 'p'], ['p'], ['p/1'], ['p/1', 'p', 'zz', 'zz'], ['p/1', 'p', 'zz', 'zz'], ['p'], [], ['p/1']], 'changes')
        silent(watcher)


@suite.test
def long_names(broker, _):
    """Hundreds of names, of 255 bytes, with much metadata: over as many messages as they need"""
    with broker.connect() as client, broker.connect() as watcher:
        ids = []
        for _ in range(3):
            created = client.create(8, metadata=b'k=' + b'v' * 4093 + b'\0')
            os.close(created['fd'])
            ids.append(created['id'])
        names = ['long/%03d' % i for i in range(600)]
        names = [name + 'x' * (255 - len(name)) for name in names]
        for i, buffer in enumerate(ids):
            publish_all(client, buffer, names[i::3])
        for flags in (0, wire.WATCH_DETAILS, wire.WATCH_DETAILS | wire.WATCH_DESCRIPTORS):
            watch = watcher.watch('long/', flags=flags)
            events = watch.until(wire.SYNC)
            equal([e['name'] for e in events[:-1]], names, 'names')
            equal({len(e['metadata']) for e in events[:-1]}, {4096 if flags else 0}, 'metadata')
            for event in events:
                equal('fd' in event, bool(flags & wire.WATCH_DESCRIPTORS and event['name']), 'descriptor')
                if 'fd' in event:
                    os.close(event['fd'])
            watch.cancel()
        for name in names:
            client.remove(name)


@suite.test
def names_that_go_with_a_connection(broker, _):
    """Names that go while a snapshot is under way, and the buffers of a connection that ends"""
    with broker.connect() as watcher:
        watch = watcher.watch('own/')
        told(watch, wire.SYNC)
        with broker.connect() as client:
            for i in range(3):
                make(client, b'x', 'own/%d' % i)
            client.remove('own/0')
        equal([brief(watch.next()) for _ in range(4)],
              [(wire.PUBLISHED, 'own/0', 1), (wire.PUBLISHED, 'own/1', 1), (wire.PUBLISHED, 'own/2', 1), (wire.REMOVED, 'own/0', 1)],
              'events')
        silent(watcher)
        watcher.remove('own/1')
        watcher.remove('own/2')


# ---- Who may see what ------------------------------------------------------------------------------------------------


@suite.test
def access(broker, _):
    """A watcher is told of what it may read; what it may read no more, or now, goes or comes"""
    need_root()

    def stranger(client):
        watch = client.watch('a/', owner=MINE)
        seen = [told(watch, wire.SYNC)]
        os.write(to_owner, b'x')
        model = [watch.next() for _ in range(6)]
        return seen, [(brief(e), e['id'] != 0, e['size']) for e in model]

    def member(client):
        return told(client.watch('a/', owner=MINE), wire.SYNC)

    def owner(client):
        for name, mode in (('a/private', 0o600), ('a/group', 0o640), ('a/all', 0o644)):
            make(client, b'x', name, mode=mode, group=GROUP, flags=wire.PUBLISH_GROUP)
        os.write(ready, b'x')
        os.read(from_stranger, 1)
        for name, mode in (('a/private', 0o600),  # nothing
                           ('a/private', 0o604),  # PUBLISHED 3
                           ('a/private', 0o644),  # REPLACED 4
                           ('a/private', 0o600),  # REMOVED 4
                           ('a/private', 0o640)):  # nothing: of another group
            make(client, b'12345', name, mode=mode, flags=wire.PUBLISH_REPLACE | wire.PUBLISH_GROUP, group=GROUP)
        client.remove('a/private')
        client.remove('a/group')
        client.remove('a/all')  # REMOVED 1
        make(client, b'x', 'a/all', mode=0o644)  # PUBLISHED 1
        make(client, b'x', 'a/all', mode=0o644, flags=wire.PUBLISH_REPLACE)  # REPLACED 2
        return 0

    from_stranger, to_owner = os.pipe()
    is_ready, ready = os.pipe()
    with process(lambda: as_user(broker, MINE, owner, groups=[GROUP])):
        os.read(is_ready, 1)
        equal(as_user(broker, OTHER, member, groups=[GROUP]),
              [(wire.PRESENT, 'a/all', 1), (wire.PRESENT, 'a/group', 1), (wire.SYNC, '', 0)], 'a member of the group')
        with broker.connect() as client:
            equal(len(told(client.watch('a/', owner=MINE), wire.SYNC)), 4, 'what root sees')
        snapshot, events = as_user(broker, OTHER, stranger)
        equal(snapshot, [[(wire.PRESENT, 'a/all', 1), (wire.SYNC, '', 0)]], 'snapshot')
        equal(events, [((wire.PUBLISHED, 'a/private', 3), True, 5), ((wire.REPLACED, 'a/private', 4), True, 5),
                       ((wire.REMOVED, 'a/private', 4), False, 0), ((wire.REMOVED, 'a/all', 1), True, 1),
                       ((wire.PUBLISHED, 'a/all', 1), True, 1), ((wire.REPLACED, 'a/all', 2), True, 1)], 'changes')
    for fd in (from_stranger, to_owner, is_ready, ready):
        os.close(fd)
    as_user(broker, MINE, lambda client: remove_all(client, 'a/'))


@suite.test
def descriptors(broker, _):
    """With a descriptor, which only reads, of the very generation that is told; and with the metadata"""
    def check(event, content):
        try:
            equal(os.pread(event['fd'], 100, 0), content, 'content')
            equal(access_mode_of(event['fd']), os.O_RDONLY, 'access mode')
        finally:
            os.close(event['fd'])

    with broker.connect() as client, broker.connect() as watcher:
        make(client, b'zero', 'd/0', seals=wire.IMMUTABLE)
        watch = watcher.watch('d/', flags=wire.WATCH_DESCRIPTORS | wire.WATCH_DETAILS)
        check(watch.next(), b'zero')
        equal(watch.next()['kind'], wire.SYNC, 'kind')
        for i in range(300):
            content = b'content %d' % i
            buffer = client.create(len(content), metadata=b'number=%d\0' % i)
            os.pwrite(buffer['fd'], content, 0)
            os.close(buffer['fd'])
            client.publish(buffer['id'], 'd/1', flags=wire.PUBLISH_REPLACE, seals=wire.IMMUTABLE)
            event = watch.next()
            equal((event['generation'], event['metadata']), (i + 1, b'number=%d\0' % i), 'event')
            check(event, content)
        # One that has gone before it is told of, or that is there to be taken, comes without one.
        with broker.stopped():
            serials = [client.start(wire.PUBLISH, [{'id': buffer['id'], 'name': 'd/2', 'mode': 0o600}]),
                       client.start(wire.REMOVE, [{'name': 'd/2'}]), client.start(wire.REMOVE, [{'name': 'd/1'}])]
        for serial in serials:
            client.finish(serial).close()
        events = [watch.next() for _ in range(3)]
        equal([brief(e) for e in events], [(wire.PUBLISHED, 'd/2', 1), (wire.REMOVED, 'd/2', 1), (wire.REMOVED, 'd/1', 300)], 'gone')
        for event in events:
            if 'fd' in event:  # it was told of in between
                os.close(event['fd'])
        make(client, b'take', 'd/take', flags=wire.PUBLISH_TAKE)
        event = watch.next()
        equal((event['kind'], event['descriptors'], event['flags'] & wire.INFO_TAKE), (wire.PUBLISHED, 0, wire.INFO_TAKE), 'to be taken')
        client.remove('d/take')
        client.remove('d/0')


@suite.test
def taken(broker, _):
    """What is taken goes with TAKEN, once it is; until then it is there"""
    with broker.connect() as client, broker.connect() as watcher:
        make(client, b'x', 't/1', flags=wire.PUBLISH_TAKE)
        watch = watcher.watch('t/')
        told(watch, wire.SYNC)
        os.close(client.get('t/1')['fd'])
        event = watch.next()
        equal(brief(event), (wire.TAKEN, 't/1', 1), 'event')
        make(client, b'x', 't/2', flags=wire.PUBLISH_TAKE)
        equal(brief(watch.next()), (wire.PUBLISHED, 't/2', 1), 'event')
        # Somebody who does not read what he takes: it is not gone yet, nor will it be.
        taker = broker.connect()
        taker.start(wire.GET, [{'name': 't/2'}])
        eventually(lambda: not client.list(prefix='t/'), what='it is being taken')
        late = watcher.watch('t/')
        equal(told(late, wire.SYNC), [(wire.PRESENT, 't/2', 1), (wire.SYNC, '', 0)], 'while it is being taken')
        silent(watcher)
        taker.close()
        eventually(lambda: client.list(prefix='t/'), what='it is back')
        silent(watcher)
        os.close(client.get('t/2')['fd'])
        equal([brief(w.next()) for w in (watch, late)], [(wire.TAKEN, 't/2', 1)] * 2, 'events')


@suite.test
def expired(broker, _):
    """What a lease ends goes with EXPIRED; how much of it is left is told, and TOUCH is no change"""
    with broker.connect() as client, broker.connect() as watcher:
        make(client, b'x', 'e/1', expire_ms=60000)
        watch = watcher.watch('e/')
        snapshot = watch.until(wire.SYNC)
        equal(0 < snapshot[0]['expire_ms'] <= 60000, True, 'what is left: %d ms' % snapshot[0]['expire_ms'])
        client.touch('e/1', expire_ms=30)
        equal(brief(watch.next()), (wire.EXPIRED, 'e/1', 1), 'event')
        for i in range(300):
            make(client, b'x', 'e/%03d' % i, expire_ms=40)
        model = Model()
        model.synced = True
        while model.events < 600:
            model.apply(watch.next())
        equal(model.names, {}, 'what is left')
        silent(watcher)
        # Watchers that come while names expire.
        late = []
        for i in range(100):
            make(client, b'x', 'e/%03d' % i, expire_ms=10)
            if i % 10 == 0:
                late.append((watcher.watch('e/'), Model()))
        eventually(lambda: not client.list(prefix='e/'), what='all have expired')
        make(client, b'x', 'e/end')
        for each, model in late:
            model.follow(each, 'e/end')
            while len(model.names) > 1:  # what has expired is there for nobody, before all are told so
                model.apply(each.next())
            equal(model.names, {'e/end': 1}, 'what is left')
        client.remove('e/end')


@suite.test
def evicted(*_):
    """What makes room for others goes with EVICTED"""
    with Broker('--limit', 'uid-bytes=10000') as broker, broker.connect() as client, broker.connect() as watcher:
        for i in range(3):
            make(client, b'x' * 3000, 'v/%d' % i, flags=wire.PUBLISH_EVICTABLE)
        watch = watcher.watch('v/')
        equal([event['flags'] & wire.INFO_EVICTABLE for event in watch.until(wire.SYNC)[:-1]], [wire.INFO_EVICTABLE] * 3, 'flags')
        make(client, b'x' * 5000, 'v/big')
        equal([brief(watch.next()) for _ in range(3)],
              [(wire.EVICTED, 'v/0', 1), (wire.EVICTED, 'v/1', 1), (wire.PUBLISHED, 'v/big', 1)], 'events')


@suite.test
def atomic(broker, _):
    """What changes in one step is told in one go, and is there all at once when a watch begins"""
    with broker.connect() as client, broker.connect() as watcher:
        names = ['b/%02d' % i for i in range(50)]
        watch, seen = watcher.watch('b/'), []
        told(watch, wire.SYNC)
        for i in range(20):
            buffers = [make(client, b'%d' % i)['id'] for _ in names]
            with client.call(wire.PUBLISH, [{'id': buffer, 'name': name, 'mode': 0o600,
                                             'flags': wire.PUBLISH_REPLACE | wire.PUBLISH_ATOMIC}
                                            for buffer, name in zip(buffers, names)]) as message:
                equal([r['status'] for r in message.records], [0] * 50, 'statuses')
            kind = wire.REPLACED if i else wire.PUBLISHED
            seen += [brief(watch.next()) for _ in names]
            equal(seen[-50:], [(kind, name, i + 1) for name in names], 'events')
        client.call(wire.REMOVE, [{'name': name, 'flags': wire.REMOVE_ATOMIC} for name in names]).close()
        equal([brief(watch.next()) for _ in names], [(wire.REMOVED, name, 20) for name in names], 'events')


@suite.test
def until_close(broker, _):
    """What goes with its publisher's connection is removed when that ends"""
    with broker.connect() as watcher:
        watch = watcher.watch('u/')
        told(watch, wire.SYNC)
        with broker.connect() as client:
            make(client, b'x', 'u/1', flags=wire.PUBLISH_UNTIL_CLOSE)
            event = watch.next()
            equal((brief(event), event['flags'] & wire.INFO_CONNECTED), ((wire.PUBLISHED, 'u/1', 1), wire.INFO_CONNECTED), 'event')
        equal(brief(watch.next()), (wire.EXPIRED, 'u/1', 1), 'event')


@suite.test
def former_generations(broker, _):
    """Generations that are kept are told of when they are new, and never again"""
    with broker.connect() as client, broker.connect() as watcher:
        for i in range(5):
            make(client, b'%d' % i, 'g/1', flags=wire.PUBLISH_REPLACE, keep=3)
        watch = watcher.watch('g/', flags=wire.WATCH_DESCRIPTORS)
        events = watch.until(wire.SYNC)
        equal([brief(e) for e in events], [(wire.PRESENT, 'g/1', 5), (wire.SYNC, '', 0)], 'snapshot')
        # Two replaces that are told together: the first one's buffer is still there, and comes along.
        contents = [os.pread(events[0]['fd'], 9, 0)]
        buffers = [make(client, b'%d' % i)['id'] for i in range(5, 7)]
        with client.call(wire.PUBLISH, [{'id': buffer, 'name': 'g/1', 'flags': wire.PUBLISH_REPLACE, 'mode': 0o600,
                                         'keep': 3} for buffer in buffers]):
            pass
        events += [watch.next(), watch.next()]
        contents += [os.pread(event['fd'], 9, 0) for event in events[2:]]
        equal(([brief(e) for e in events[2:]], contents),
              ([(wire.REPLACED, 'g/1', 6), (wire.REPLACED, 'g/1', 7)], [b'4', b'5', b'6']), 'changes')
        for event in events:
            if 'fd' in event:
                os.close(event['fd'])
        client.remove('g/1')
        equal(brief(watch.next()), (wire.REMOVED, 'g/1', 7), 'removed')
        silent(watcher)


# ---- Beginning and ending ---------------------------------------------------------------------------------------------


@suite.test
def bad_requests(broker, _):
    """What is wrong is refused, and nothing is watched"""
    with broker.connect() as client:
        for values, error in (({'name': ''}, 'NAME'), ({'name': 'a\n', 'flags': 0}, 'NAME'), ({'flags': 16}, 'FLAGS'),
                              ({'name': 'x' * 256}, 'NAME')):
            with refused(error):
                client.call(wire.WATCH, [{'flags': wire.WATCH_EXACT, **values}])
        watch = client.watch('b')
        told(watch, wire.SYNC)
        serial, client.serial = client.serial, client.serial - 1
        with refused('MALFORMED'):
            client.call(wire.WATCH, [{'name': 'c'}])
        client.serial = serial
        watch.cancel()
        with refused('NOT_FOUND'):
            client.cancel(watch.serial)
        with refused('NOT_FOUND'):
            client.cancel(12345)


@suite.test
def cancelled(broker, _):
    """A watch that is cancelled says so, and nothing after that; others of the connection go on"""
    with broker.connect() as client:
        before = client.call(wire.ACCOUNTS, [{}]).records[0]
        one, two = client.watch('c/'), client.watch('c/')
        told(one, wire.SYNC)
        told(two, wire.SYNC)
        account = client.call(wire.ACCOUNTS, [{}]).records[0]
        equal((account['watches'] - before['watches'], account['metadata'] - before['metadata']), (2, 4), 'charges')
        make(client, b'x', 'c/1')
        equal([brief(e) for e in one.cancel()], [(wire.PUBLISHED, 'c/1', 1)], 'what had come')
        client.remove('c/1')
        equal([brief(two.next()) for _ in range(2)], [(wire.PUBLISHED, 'c/1', 1), (wire.REMOVED, 'c/1', 1)], 'the other one')
        silent(client)
        equal(two.cancel(), [], 'left')
        # In the middle of its snapshot.
        buffer = lasting(client)
        publish_all(client, buffer, ['c/%d' % i for i in range(200)])
        for _ in range(20):
            serial = client.start(wire.WATCH, [{'name': 'c/'}])
            client.detached[serial] = []
            cancel = client.start(wire.CANCEL, [{'serial': serial}])
            with refused('CANCELLED'):
                while True:
                    client.finish(serial).close()
            client.finish(cancel).close()
            del client.detached[serial]
        silent(client)
        remove_all(client, 'c/')
        client.remove('keeper')
        equal(client.call(wire.ACCOUNTS, [{}]).records[0]['watches'], before['watches'], 'watches')


@suite.test
def limited(*_):
    """There are no more watches than may be, for one and for all"""
    with Broker('--limit', 'watches=20', '--limit', 'uid-watches=7') as broker:
        with broker.connect() as one, broker.connect() as two:
            watches = [one.watch('l/') for _ in range(4)] + [two.watch('l/') for _ in range(3)]
            for watch in watches:
                told(watch, wire.SYNC)
            with refused('LIMIT'):
                two.watch('l/').next()
            watches[0].cancel()
            told(two.watch('l/'), wire.SYNC)
            one.close()
            eventually(lambda: two.call(wire.ACCOUNTS, [{}]).records[0]['watches'] == 4, what='the watches of who has gone')


@suite.test
def many_on_one_connection(broker, _):
    """A thousand watches of one connection all are told, in turn"""
    with broker.connect() as client, broker.connect(timeout=60) as watcher:
        watches = []
        for _ in range(1000):
            watches.append(watcher.watch('m/', flags=wire.WATCH_NO_SNAPSHOT))
            told(watches[-1], wire.SYNC)
        for i in range(3):
            make(client, b'x', 'm/%d' % i)
        for watch in watches:
            equal([watch.next()['name'] for _ in range(3)], ['m/0', 'm/1', 'm/2'], 'names')
        silent(watcher)
        remove_all(client, 'm/')


# ---- Storms -----------------------------------------------------------------------------------------------------------


def produce(broker, prefix, seconds, seed=0, at_once=20, count=40):
    """Publishes, replaces and removes names under the prefix, as fast as it can."""
    names, rng = ['%s%03d' % (prefix, i) for i in range(count)], random.Random(seed)
    with broker.connect(timeout=60) as client:
        buffers = []
        for i in range(0, count, 200):  # so many names a buffer may have
            created = client.create(8)
            os.close(created['fd'])
            client.publish(created['id'], '%skeeper-%d-%d' % (prefix, seed, i), seals=wire.IMMUTABLE, mode=0o644)
            buffers.append(created['id'])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            some = rng.sample(names, at_once)
            if rng.random() < 0.3:
                client.call(wire.REMOVE, [{'name': name} for name in some]).close()
            else:
                for i, buffer in enumerate(buffers):
                    publish_all(client, buffer, [name for name in some if int(name[-3:]) // 200 == i])


@contextlib.contextmanager
def together(functions):
    """Runs each in a process of its own, at once; what is left of them is killed."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(process(function)) for function in functions]


def gather(functions, then):
    """Runs each in a process of its own, then `then` here, and returns what they returned."""
    pipes, results = [], []
    with contextlib.ExitStack() as stack:
        for function in functions:
            ours, theirs = os.pipe()
            os.set_inheritable(theirs, True)

            def run(function=function, theirs=theirs):
                try:
                    text = repr((True, function()))
                except BaseException as error:  # pylint: disable=broad-except
                    text = repr((False, '%s: %s' % (type(error).__name__, error)))
                with os.fdopen(theirs, 'wb') as pipe:
                    pipe.write(text.encode())
            stack.enter_context(process(run))
            os.close(theirs)
            pipes.append(stack.enter_context(os.fdopen(ours, 'rb')))
        then()
        for pipe in pipes:
            well, value = eval(pipe.read().decode() or "(False, 'it ended without a word')")  # pylint: disable=eval-used
            equal(well, True, 'a process says: %s' % (value,))
            results.append(value)
    return results


def other_bystander(broker):
    """Of another uid than the storm's, where that can be."""
    if os.geteuid() != 0:
        return Bystander(broker)
    os.seteuid(OTHER)
    try:
        return Bystander(broker)
    finally:
        os.seteuid(0)


def watch_until(broker, marker, prefix='storm/', delay=0.0, pause=0.0, **values):
    """What a watcher knows in the end that began so much later, and rests so long before each message."""
    def run():
        time.sleep(delay)
        with broker.connect(timeout=100) as client:
            model = Model().follow(client.watch(prefix, **values), marker, pause)
            return {'names': model.names, 'overflows': model.overflows, 'events': model.events}
    return run


@suite.test
def consistent_in_a_storm(broker, bystander):
    """Watchers that begin in the middle of a storm by four producers know in the end what there is"""
    # Three that read as fast as they can, in between three that do not; all are strict about every event.
    watchers = [watch_until(broker, 'storm/~end', delay=i * 0.2, pause=0.02 * (i % 2)) for i in range(6)]

    def storm():
        with together([lambda i=i: produce(broker, 'storm/%d/' % (i % 3), 3, seed=i, at_once=5 + i * 10, count=600)
                       for i in range(4)]) as pids:
            time.sleep(1)
            bystander.served()
            time.sleep(1)
            bystander.served()
            for pid in pids:
                os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with broker.connect() as client:
            make(client, b'end', 'storm/~end')

    results = gather(watchers, storm)
    with broker.connect() as client:
        expected = listed(client, 'storm/')
        for result in results:
            equal(result['names'], expected, 'what a watcher knows')
        print('# events: %s, overflows: %s' % ([r['events'] for r in results], [r['overflows'] for r in results]))
        equal(sum(r['events'] for r in results) > 10000, True, 'there was a storm')
        remove_all(client, 'storm/')


@suite.test
def nothing_is_lost(broker, _):
    """Who keeps up is told of every generation, in order, and never of an overflow"""
    count = 5000

    def keeps_up():
        with broker.connect(timeout=60) as client:
            watch = client.watch('storm/', flags=wire.WATCH_NO_SNAPSHOT)
            told(watch, wire.SYNC)
            os.write(ready, b'x')
            return [watch.next()['generation'] for _ in range(count)] == list(range(1, count + 1))

    def storm():
        os.read(is_ready, 2)
        with broker.connect() as client:
            buffer = lasting(client)
            for _ in range(count // 100):
                with client.call(wire.PUBLISH, [{'id': buffer, 'name': 'storm/1', 'flags': wire.PUBLISH_REPLACE, 'mode': 0o600}] * 100):
                    pass
                time.sleep(0.01)

    is_ready, ready = os.pipe()
    equal(gather([keeps_up], storm), [True], 'generations without a gap')
    os.close(is_ready)
    os.close(ready)
    with broker.connect() as client:
        client.remove('storm/1')
        client.remove('keeper')


@suite.test
def sleeping(broker, _):
    """Who sleeps through a storm is told of one overflow, then of what there is"""
    with broker.connect() as client, broker.connect() as watcher:
        buffer = lasting(client)
        watch = watcher.watch('s/')
        told(watch, wire.SYNC)
        names = ['s/%03d' % i for i in range(200)]
        for _ in range(60):
            publish_all(client, buffer, names)
        client.remove('s/000')
        model = Model()
        model.synced = True
        publish_all(client, buffer, ['s/end'])
        expected = listed(client, 's/')
        model.follow(watch, 's/end')
        equal(model.overflows, 1, 'overflows')
        equal(model.names, expected, 'what it knows')
        silent(watcher)
        client.remove('s/end')
        equal(brief(watch.next()), (wire.REMOVED, 's/end', 1), 'and then')
        remove_all(client, 's/')
        client.remove('keeper')


@suite.test
def idle_in_a_storm(broker, _):
    """Whom none of the changes concerns, however many, never is told of an overflow"""
    with broker.connect() as client, broker.connect() as watcher:
        buffer = lasting(client)
        publish_all(client, buffer, ['quiet/1'])
        watches = [watcher.watch('quiet/'), watcher.watch('quiet/2', flags=wire.WATCH_EXACT)]
        for watch in watches:
            told(watch, wire.SYNC)
        for _ in range(3 * KEPT // 200 + 1):
            publish_all(client, buffer, ['loud/%03d' % i for i in range(200)])
        publish_all(client, buffer, ['quiet/2'])
        equal([brief(watch.next()) for watch in watches], [(wire.PUBLISHED, 'quiet/2', 1)] * 2, 'events')
        silent(watcher)
        remove_all(client, 'quiet/')
        remove_all(client, 'loud/')
        client.remove('keeper')


@suite.test
def two_namespaces(broker, _):
    """A storm in one namespace is nothing to who watches another, awake or asleep"""
    need_root()
    with broker.connect() as client, broker.connect() as sleeper:
        buffer = lasting(client)
        watch = sleeper.watch('n/')
        told(watch, wire.SYNC)
        publish_all(client, buffer, ['n/1'])  # it is not read
        as_user(broker, MINE, lambda _: produce(broker, 'n/', 1))
        publish_all(client, buffer, ['n/1'])
        equal([brief(watch.next()) for _ in range(2)], [(wire.PUBLISHED, 'n/1', 1), (wire.REPLACED, 'n/1', 2)], 'events')
        client.remove('n/1')
        client.remove('keeper')
        as_user(broker, MINE, lambda other: remove_all(other, 'n/'))


@suite.test
def bounded(*_):
    """Two hundred watchers, half of whom never read: the broker does not grow, and the other half knows all"""
    grown, slow = [], []
    with contextlib.ExitStack() as stack:
        # AddressSanitizer keeps what is freed for a while: 256 MiB of it, if nobody stops it.
        sanitizer = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=1'
        broker = stack.enter_context(Broker(environment={'ASAN_OPTIONS': sanitizer}))
        bystander = other_bystander(broker)
        stack.callback(bystander.close)
        before = broker.resident_bytes()
        asleep = [stack.enter_context(broker.connect()) for _ in range(100)]
        for client in asleep:
            client.start(wire.WATCH, [{'name': 'storm/', 'flags': wire.WATCH_DETAILS}])

        def readers(first):
            def run():
                with contextlib.ExitStack() as mine:
                    clients = [mine.enter_context(broker.connect(timeout=100)) for _ in range(25)]
                    watches = {client.socket: (client.watch('storm/'), Model()) for client in clients}
                    while not all('storm/~end' in model.names and model.synced for _, model in watches.values()):
                        for ready in select.select(list(watches), [], [], 100)[0]:
                            watch, model = watches[ready]
                            model.apply(watch.next())
                            while watch.events:
                                model.apply(watch.next())
                    return [(sorted(model.names.items()), model.overflows) for _, model in watches.values()]
            return run

        def storm():
            time.sleep(0.3)
            with together([lambda i=i: produce(broker, 'storm/%d/' % i, 4, seed=i) for i in range(2)]) as pids:
                for _ in range(8):
                    time.sleep(0.4)
                    grown.append(broker.resident_bytes() - before)
                    slow.append(bystander.served())
                for pid in pids:
                    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            with broker.connect() as client:
                make(client, b'end', 'storm/~end')

        results = sum(gather([readers(i) for i in range(4)], storm), [])
        with broker.connect() as client:
            expected = sorted(listed(client, 'storm/').items())
            for names, _ in results:
                equal(names, expected, 'what a watcher knows')
            print('# grown by %s KiB, served in %s ms, overflows: %d' % (
                [g >> 10 for g in grown], [int(s * 1000) for s in slow], sum(overflows for _, overflows in results)))
            if max(grown) > 32 << 20:
                raise AssertionError('the broker has grown by %d MiB' % (max(grown) >> 20))
            if max(grown[4:]) - min(grown[2:4]) > 8 << 20:
                raise AssertionError('the broker goes on growing: %r' % grown)
            remove_all(client, 'storm/')


@suite.test
def killed(broker, bystander):
    """Watchers that are killed in the middle of a storm leave nothing"""
    def watcher(i):
        with broker.connect() as client:
            watches = [client.watch('storm/', flags=wire.WATCH_DESCRIPTORS * (i % 2)) for _ in range(20)]
            while i % 3:
                with client.receive():
                    pass
            time.sleep(60)
            return watches

    rng = random.Random(1)
    with together([lambda i=i: produce(broker, 'storm/%d/' % i, 3, seed=i) for i in range(2)]) as pids:
        for _ in range(10):
            with together([lambda i=i: watcher(i) for i in range(6)]):
                time.sleep(0.05 + rng.random() * 0.2)
            bystander.served()
        for pid in pids:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with broker.connect() as client:
        eventually(lambda: client.call(wire.ACCOUNTS, [{}]).records[0]['watches'] == 0, what='no watch is left')
        remove_all(client, 'storm/')


@suite.test
def in_flight(*_):
    """Descriptors wait until there is room for them in flight, and others are served meanwhile"""
    with Broker('--limit', 'in-flight=40') as broker:
        with broker.connect() as client, broker.connect() as asleep, broker.connect(timeout=60) as watcher:
            for i in range(100):
                make(client, b'%d' % i, 'f/%03d' % i)
            asleep.start(wire.WATCH, [{'name': 'f/', 'flags': wire.WATCH_DESCRIPTORS}])
            serial = watcher.start(wire.WATCH, [{'name': 'f/', 'flags': wire.WATCH_DESCRIPTORS}])
            names = []
            while len(names) < 101:
                with watcher.finish(serial) as message:
                    for record in message.records:
                        names.append(record['name'])
                        if record['name']:
                            equal(os.pread(record['fd'], 9, 0), b'%d' % int(record['name'][2:]), 'content')
                watcher.serial += 1
            equal(names, ['f/%03d' % i for i in range(100)] + [''], 'names')
            client.ping()
            asleep.socket.settimeout(20)
            equal(fetch(client, 'f/007')[1], b'7', 'content')
            with asleep.receive() as message:  # it was served, too, as far as it may
                equal(message.records[0]['kind'], wire.PRESENT, 'kind')


# ---- Re-exec ----------------------------------------------------------------------------------------------------------


@suite.test
def over_a_reexec(*_):
    """A watch goes on in the broker's next program; an idle one misses nothing"""
    with Broker() as broker, broker.connect() as client, broker.connect() as watcher:
        make(client, b'x', 'r/1')
        idle, exact = watcher.watch('r/'), watcher.watch('r/2', flags=wire.WATCH_EXACT | wire.WATCH_DESCRIPTORS)
        told(idle, wire.SYNC)
        told(exact, wire.SYNC)
        for i in range(3):
            client.reexec()
            make(client, b'%d' % i, 'r/2', flags=wire.PUBLISH_REPLACE)
            kind = wire.REPLACED if i else wire.PUBLISHED
            equal(brief(idle.next()), (kind, 'r/2', i + 1), 'after a re-exec')
            event = exact.next()
            equal((brief(event), os.pread(event['fd'], 9, 0)), ((kind, 'r/2', i + 1), b'%d' % i), 'after a re-exec')
            os.close(event['fd'])
        silent(watcher)
        equal(client.call(wire.ACCOUNTS, [{}]).records[0]['watches'], 2, 'watches')
        idle.cancel()
        exact.cancel()
        equal(client.call(wire.ACCOUNTS, [{}]).records[0]['watches'], 0, 'watches')


@suite.test
def reexec_in_a_storm(*_):
    """Watchers in the middle of a storm know all that is there in the end, however often the broker is executed anew"""
    with Broker() as broker:
        watchers = [watch_until(broker, 'storm/~end', delay=i * 0.2, pause=0.02 * (i % 2)) for i in range(4)]

        def storm():
            with together([lambda i=i: produce(broker, 'storm/%d/' % i, 3, seed=i) for i in range(3)]) as pids:
                with broker.connect(timeout=60) as client:
                    for _ in range(4):
                        time.sleep(0.4)
                        client.reexec()
                for pid in pids:
                    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            with broker.connect() as client:
                make(client, b'end', 'storm/~end')

        results = gather(watchers, storm)
        with broker.connect() as client:
            expected = listed(client, 'storm/')
            for result in results:
                equal(result['names'], expected, 'what a watcher knows')
            print('# events: %s, overflows: %s' % ([r['events'] for r in results], [r['overflows'] for r in results]))


if __name__ == '__main__':
    suite.main()
