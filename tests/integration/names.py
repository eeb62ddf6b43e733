#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Generations, history, leases, metadata of names; and that they outlive the broker as they should."""
import contextlib
import os
import signal
import struct
import time

import sealbuf_wire as wire
from configuring import Folder
from lives import Lives
from testbed import Broker, Suite, equal, eventually, fetch, in_child, make, need_root, need_systemd, process, refused

MINE = 100000 + os.getpid() % 30000 * 10
OTHER, ADMINISTRATOR = MINE + 1, MINE + 2
REPLACE, COMPARE, UNTIL_CLOSE = wire.PUBLISH_REPLACE, wire.PUBLISH_COMPARE, wire.PUBLISH_UNTIL_CLOSE
METADATA, MORE = b'shape=2x3\0', b'shape=3x2\0type=f32\0'
# Later than it could be on a machine that is busy with other things, and still a sign that something waits.
LATE_SECONDS = 5

suite = Suite()


def content_of(generation):
    return b'generation %d' % generation


def put(client, name, generation=1, flags=0, **values):
    """Publishes this generation, which must be the one that it becomes."""
    made = make(client, content_of(generation), name, flags=flags | (REPLACE if generation > 1 else 0), **values)
    equal(made['generation'], generation, 'generation')
    return made


def generations(client, name, most, **values):
    """Those that can be got, each with its content."""
    found = []
    for generation in range(1, most + 1):
        try:
            record, content = fetch(client, name, generation=generation, **values)
        except wire.Refused as error:
            equal(error.name, 'GENERATION', 'error')
            continue
        equal(content, content_of(generation), 'content')
        equal(record['generation'], generation, 'generation in the reply')
        found.append(generation)
    return found


def account(client):
    with client.call(wire.ACCOUNTS, [{}]) as message:
        return message.records[0]


def held(client):
    """What a uid holds of what names are made of."""
    record = account(client)
    return {key: record[key] for key in ('bytes', 'buffers', 'names', 'metadata')}


def is_bound(client, name, **values):
    try:
        client.stat(name, **values)
    except wire.Refused as error:
        equal(error.name, 'NOT_FOUND', 'error')
        return False
    return True


def as_user(broker, uid, function):
    def run():
        with broker.connect() as client:
            return function(client)
    return in_child(run, uid, uid)


# ---- Generations -----------------------------------------------------------------------------------------------------


@suite.test
def history(broker, _):
    """keep: so many former generations can be got, by their number; all others are gone, and charged no more"""
    with broker.connect() as client:
        before = held(client)
        for generation in range(1, 8):
            put(client, 'names/history', generation, keep=3)
            stat = client.stat('names/history')
            equal(stat['oldest'], max(1, generation - 3), 'oldest')
            equal(generations(client, 'names/history', 8), list(range(stat['oldest'], generation + 1)), 'generations')
        equal(fetch(client, 'names/history')[1], content_of(7), 'content of the current one')
        equal(held(client)['names'] - before['names'], 4, 'names')
        equal(held(client)['metadata'] - before['metadata'], 4 * len('names/history'), 'metadata')
        equal(held(client)['buffers'] - before['buffers'], 4, 'buffers')
        for generation in (1, 3, 8, 2 ** 64 - 1):
            for function in (client.get, client.stat):
                with refused('GENERATION'):
                    function('names/history', generation=generation)
        equal(client.stat('names/history', generation=5)['generation'], 5, 'generation')
        put(client, 'names/history', 8, keep=1)
        equal(generations(client, 'names/history', 9), [7, 8], 'generations with keep=1')
        put(client, 'names/history', 9, keep=255)
        equal(generations(client, 'names/history', 9), [7, 8, 9], 'generations with keep=255')
        put(client, 'names/history', 10)
        equal(generations(client, 'names/history', 10), [10], 'generations without keep')
        put(client, 'names/history', 11, keep=5)
        equal(client.remove('names/history')['generation'], 11, 'generation that was removed')
        with refused('NOT_FOUND'):
            client.get('names/history', generation=10)
        equal(held(client), before, 'what is held')
        put(client, 'names/history', 1, keep=5)
        equal(generations(client, 'names/history', 12), [1], 'generations of a name that begins anew')
        client.remove('names/history')


@suite.test
def long_history(broker, _):
    """255 former generations at most, of 256 buffers or of one; publishing over them needs no more of anything"""
    with broker.connect() as client:
        before = held(client)
        for generation in range(1, 301):
            put(client, 'names/long', generation, keep=255)
        equal(held(client)['names'] - before['names'], 256, 'names')
        equal(client.stat('names/long')['oldest'], 45, 'oldest')
        equal(generations(client, 'names/long', 60), list(range(45, 61)), 'generations')
        client.remove('names/long')
        buffer = make(client, b'the same')
        with refused('FLAGS'):
            client.publish(buffer['id'], 'names/long', keep=256)
        for generation in range(1, 301):
            made = client.publish(buffer['id'], 'names/long', flags=REPLACE, keep=255)
            equal(made['generation'], generation, 'generation')
        equal((held(client)['names'] - before['names'], held(client)['buffers'] - before['buffers']), (256, 1), 'held')
        with refused('LIMIT'):
            client.publish(buffer['id'], 'names/other')
        client.publish(buffer['id'], 'names/long', flags=REPLACE, keep=254)
        client.publish(buffer['id'], 'names/other')
        with refused('LIMIT'):
            client.publish(buffer['id'], 'names/long', flags=REPLACE, keep=255)
        client.remove(id=buffer['id'])
        equal(held(client), before, 'what is held')


@suite.test
def at_the_limit(*_):
    """Where a uid has all the names that it may have, one with a full history is still replaced; and what a history needs
    besides is refused before anything has changed"""
    with Broker('--limit', 'uid-names=8') as broker, broker.connect() as client:
        for generation in range(1, 6):
            put(client, 'a', generation, keep=4)
        for name in 'bcd':
            put(client, name)
        for generation in range(6, 20):
            put(client, 'a', generation, keep=4)
        with refused('LIMIT'):
            put(client, 'a', 20, keep=5)
        with refused('LIMIT'):
            put(client, 'b', 2, keep=1, metadata=METADATA)
        equal(generations(client, 'a', 21), [15, 16, 17, 18, 19], 'generations')
        equal(client.stat('b')['generation'], 1, 'generation')
        put(client, 'a', 20, keep=2)
        put(client, 'b', 2, keep=1, metadata=METADATA)
        equal(client.stat('b')['metadata'], METADATA, 'metadata')


@suite.test
def exactly(broker, _):
    """newer_than and generation are of names alone, and contradict each other"""
    with broker.connect() as client:
        buffer = put(client, 'names/exact')
        put(client, 'names/exact', 2, keep=1)
        equal(fetch(client, 'names/exact', newer_than=1)[1], content_of(2), 'content')
        for generation in (2, 3):
            with refused('GENERATION'):
                client.get('names/exact', newer_than=generation)
        with refused('NOT_FOUND'):
            client.get('names/none', newer_than=1)
        with refused('NOT_FOUND'):
            client.get('names/none', generation=1)
        with refused('FLAGS'):
            client.get('names/exact', newer_than=1, generation=2)
        token = client.one(wire.SHARE, name='names/exact')['token']
        for values in ({'newer_than': 1}, {'generation': 1}):
            with refused('TARGET'):
                client.get(id=buffer['id'], **values)
            with refused('TARGET'):
                client.get(token=token, **values)
        for flags in (1, 2):
            with refused('FLAGS'):
                client.stat('names/exact', flags=flags)
        # A former generation is there by its id, too, with what there is to say of it.
        equal(client.stat(id=buffer['id'])['generation'], 1, 'generation by id')
        with refused('GENERATION'):
            client.remove('names/exact', generation=1)
        equal(generations(client, 'names/exact', 2), [1, 2], 'generations')
        client.remove(id=buffer['id'])
        equal(generations(client, 'names/exact', 2), [2], 'without the one whose buffer was removed')
        equal(client.stat('names/exact')['oldest'], 2, 'oldest')
        equal(client.remove('names/exact', generation=2)['generation'], 2, 'generation')
        equal(is_bound(client, 'names/exact'), False, 'it is bound')


@suite.test
def compare(broker, _):
    """COMPARE publishes only over the generation that is expected, and else says which one there is"""
    def refuse(client, generation, **values):
        made = make(client, b'x')
        with client.call(wire.PUBLISH, [{'id': made['id'], 'name': 'names/compare', 'mode': 0o600, **values}]) as message:
            equal((wire.NAME_OF[message.records[0]['status']], message.records[0]['generation']),
                  ('GENERATION', generation), 'status and generation')

    with broker.connect() as client:
        refuse(client, 0, flags=COMPARE, expected=1)
        put(client, 'names/compare', flags=COMPARE)
        refuse(client, 1, flags=COMPARE)
        refuse(client, 1, flags=COMPARE | REPLACE, expected=2)
        made = make(client, content_of(2))
        equal(client.publish(made['id'], 'names/compare', flags=COMPARE, expected=1)['generation'], 2, 'generation')
        refuse(client, 2, flags=COMPARE, expected=1)
        made = make(client, b'x')
        with refused('FLAGS'):
            client.publish(made['id'], 'names/compare', flags=REPLACE, expected=2)
        with client.call(wire.REMOVE, [{'name': 'names/compare', 'generation': 1}]) as message:
            equal((wire.NAME_OF[message.records[0]['status']], message.records[0]['generation']), ('GENERATION', 2),
                  'REMOVE of another generation')
        equal(fetch(client, 'names/compare')[1], content_of(2), 'content')
        client.remove('names/compare', generation=2)


@suite.test
def race(broker, _):
    """Of processes that compare and publish over the same generation, one wins, 100 times; also where seals are to be
    added before"""
    rounds, racers = 100, 4

    def racer(seals):
        won = []
        with broker.connect() as client:
            for generation in range(1, rounds + 1):
                eventually(lambda wanted=generation: client.stat('names/race')['generation'] >= wanted, 60)
                buffer = make(client, b'%d of %d' % (generation, os.getpid()))
                try:
                    client.publish(buffer['id'], 'names/race', flags=COMPARE, expected=generation, seals=seals)
                    won.append(generation)
                except wire.Refused as error:
                    equal(error.name, 'GENERATION', 'error')
                    client.remove(id=buffer['id'])
        return won

    for seals in (0, wire.IMMUTABLE):
        with broker.connect() as client:
            make(client, b'begin', 'names/race')
            ways = [os.pipe() for _ in range(racers)]
            with contextlib.ExitStack() as stack:
                for _, far in ways:
                    stack.enter_context(process(lambda far=far, seals=seals: os.write(
                        far, struct.pack('<%dI' % rounds, *(racer(seals) + [0] * rounds)[:rounds]))))
                won = []
                for near, far in ways:
                    os.close(far)
                    won += [n for n in struct.unpack('<%dI' % rounds, os.read(near, 4 * rounds)) if n]
                    os.close(near)
            equal(sorted(won), list(range(1, rounds + 1)), 'one winner of each round')
            equal(client.remove('names/race')['generation'], rounds + 1, 'generation')


@suite.test
def access(broker, _):
    """Former generations are for whom the current one is for, and cannot be handed over or touched"""
    need_root()

    def publish(client):
        put(client, 'names/access', mode=0o644)
        put(client, 'names/access', 2, mode=0o600, keep=2)

    def stranger(client, expected):
        for values in ({}, {'generation': 1}, {'generation': 2}, {'generation': 77}):
            try:
                os.close(client.get('names/access', owner=MINE, **values)['fd'])
                error = None
            except wire.Refused as refusal:
                error = refusal.name
            equal(error, expected.get(values.get('generation')), 'error with %r' % values)
        return client.list(owner=MINE)

    def by_id(client):
        with refused('DENIED'):
            client.get(id=old)
        with refused('DENIED'):
            client.stat(id=old)

    as_user(broker, MINE, publish)
    old = as_user(broker, MINE, lambda client: client.stat('names/access', generation=1)['id'])
    as_user(broker, OTHER, by_id)
    denied = {None: 'DENIED', 1: 'DENIED', 2: 'DENIED', 77: 'DENIED'}
    equal(as_user(broker, OTHER, lambda client: stranger(client, denied)), [], 'names')
    as_user(broker, MINE, lambda client: put(client, 'names/access', 3, mode=0o644, keep=2)['id'])
    records = as_user(broker, OTHER, lambda client: stranger(client, {77: 'GENERATION'}))
    equal([(record['generation'], record['oldest']) for record in records], [(3, 1)], 'names')
    as_user(broker, MINE, lambda client: client.remove('names/access')['status'])
    with broker.connect() as client, refused('FLAGS'):
        put(client, 'names/take', flags=wire.PUBLISH_TAKE, keep=1)


@suite.test
def taken(broker, _):
    """A generation that hands over is never kept; a token that hands over takes the name with all that it keeps"""
    with broker.connect() as client:
        before = held(client)
        put(client, 'names/taken', flags=wire.PUBLISH_TAKE)
        put(client, 'names/taken', 2, keep=3)
        equal(generations(client, 'names/taken', 2), [2], 'generations')
        old = put(client, 'names/taken', 3, keep=3)
        put(client, 'names/taken', 4, keep=3)
        token = client.one(wire.SHARE, id=old['id'], flags=wire.SHARE_TAKE)['token']
        equal(fetch(client, token=token)[1], content_of(3), 'content')
        eventually(lambda: generations(client, 'names/taken', 4) == [2, 4], what='the former generation is gone')
        token = client.one(wire.SHARE, name='names/taken', flags=wire.SHARE_TAKE)['token']
        equal(fetch(client, token=token)[1], content_of(4), 'content')
        eventually(lambda: not is_bound(client, 'names/taken'), what='the name is gone')
        equal(held(client), before, 'what is held')


@suite.test
def listing(broker, _):
    """LIST shows current generations alone, whatever the pages; with DETAILS the metadata, too"""
    with broker.connect() as client:
        for i in range(40):
            for generation in range(1, 4):
                put(client, 'names/list/%02d' % i, generation, keep=i % 3, metadata=b'n=%d\0' % i)
        for limit in (0, 1, 7):
            found = client.list(prefix='names/list/', limit=limit)
            equal([(r['name'], r['generation'], r['oldest'], r['metadata']) for r in found],
                  [('names/list/%02d' % i, 3, 3 - i % 3, b'') for i in range(40)], 'names in pages of %d' % limit)
        found = client.list(prefix='names/list/', flags=wire.LIST_DETAILS)
        equal([r['metadata'] for r in found], [b'n=%d\0' % i for i in range(40)], 'metadata')
        with client.call(wire.REMOVE, [{'name': 'names/list/%02d' % i} for i in range(40)]) as message:
            equal({record['status'] for record in message.records}, {0}, 'statuses')


@suite.test
def paging_through_changes(broker, _):
    """The cursor of a LIST is a name, and stays where it is while histories grow and go"""
    with broker.connect() as client:
        for i in range(6):
            put(client, 'names/page/%d' % i)
        page, records = client.list_page(prefix='names/page/', limit=3)
        equal([r['name'][-1] for r in records], ['0', '1', '2'], 'first page')
        for generation in range(2, 6):
            put(client, 'names/page/2', generation, keep=4)
            put(client, 'names/page/3', generation, keep=4)
        client.remove('names/page/0')
        _, records = client.list_page(prefix='names/page/', after=page['next'], after_owner=page['next_owner'])
        equal([(r['name'][-1], r['generation']) for r in records], [('3', 5), ('4', 1), ('5', 1)], 'second page')
        for i in range(1, 6):
            client.remove('names/page/%d' % i)


# ---- Metadata --------------------------------------------------------------------------------------------------------


@suite.test
def metadata(broker, _):
    """Metadata of a PUBLISH is in place of what the buffer had, is charged, and is immutable from then on"""
    with broker.connect() as client:
        before = held(client)
        for at_first in (b'', METADATA, b'k=' + bytes(b'v' * 4093) + b'\0'):
            created = client.create(4, label='label', metadata=at_first)
            os.close(created['fd'])
            with refused('NOT_SEALED'):
                client.publish(created['id'], 'names/metadata', metadata=MORE, seals=wire.WRITE,
                               flags=wire.PUBLISH_VERIFY)
            equal(client.stat(id=created['id'])['metadata'], at_first, 'metadata of what is not published')
            client.publish(created['id'], 'names/metadata', metadata=MORE)
            stat = client.stat('names/metadata')
            equal((stat['metadata'], stat['label']), (MORE, 'label'), 'metadata and label')
            equal(held(client)['metadata'] - before['metadata'], len(stat['creator_security']) + len('label') +
                  len('names/metadata') + len(MORE), 'charge')
            for values in ({'metadata': METADATA}, {'metadata': MORE}):
                with refused('METADATA'):
                    client.publish(created['id'], 'names/metadata', flags=REPLACE, **values)
                with refused('METADATA', 'immutable once published; publish it without metadata'):
                    client.publish(created['id'], 'names/again', **values)
            client.publish(created['id'], 'names/again')
            equal(client.stat('names/again')['metadata'], MORE, 'metadata by another name')
            client.remove(id=created['id'])
            equal(held(client), before, 'what is held')
        for wrong in (b'no equals sign\0', b'k=v', b'=v\0'):
            made = make(client, b'x')
            with refused('METADATA'):
                client.publish(made['id'], 'names/metadata', metadata=wrong)
            client.remove(id=made['id'])


# ---- Leases ----------------------------------------------------------------------------------------------------------


@suite.test
def lease(broker, _):
    """A name with a lease is there until its time, and then gone with all its generations"""
    with broker.connect() as client:
        before, began = held(client), time.monotonic()
        buffer = put(client, 'names/lease', keep=1)
        put(client, 'names/lease', 2, keep=1, expire_ms=1500)
        stat = client.stat('names/lease')
        if not 0 < stat['expire_ms'] <= 1501:
            raise AssertionError('%d ms are left of 1500' % stat['expire_ms'])
        token = client.one(wire.SHARE, name='names/lease')['token']
        eventually(lambda: not is_bound(client, 'names/lease'), what='the lease has run out')
        took = time.monotonic() - began
        if not 1.5 <= took < 1.5 + LATE_SECONDS:
            raise AssertionError('it took %.3f s' % took)
        with refused('NOT_FOUND'):
            client.get(id=buffer['id'])
        with refused('TOKEN'):
            client.get(token=token)
        eventually(lambda: held(client) == before, what='nothing is held')
        # Each publish says anew how long: one without a lease stays.
        put(client, 'names/lease', expire_ms=1000)
        put(client, 'names/lease', 2)
        equal(client.stat('names/lease')['expire_ms'], 0, 'what is left of no lease')
        put(client, 'names/far', expire_ms=2 ** 64 - 1)
        time.sleep(1.2)
        equal((is_bound(client, 'names/lease'), is_bound(client, 'names/far')), (True, True), 'they are bound')
        client.remove('names/lease')
        client.remove('names/far')


def publish_names(client, buffer, prefix, expire_ms):
    with client.call(wire.PUBLISH, [{'id': buffer, 'name': '%s/%d/%d' % (prefix, buffer, i), 'mode': 0o600,
                                     'expire_ms': expire_ms} for i in range(250)]) as message:
        equal({record['status'] for record in message.records}, {0}, 'statuses')


@suite.test
def expired_but_not_worked_off(broker, _):
    """What has run out is there for nobody, also while the broker is behind with many that have run out before"""
    def with_many_before(expire_ms, requests):
        """They are sent when it has run out, and come while the others are worked off."""
        for _ in range(8):
            publish_names(client, make(client, b'x')['id'], 'names/before', expire_ms)
        buffer = put(client, 'names/behind', expire_ms=expire_ms)
        with broker.stopped():
            time.sleep(expire_ms / 1000 + 0.1)
            serial = client.start(*requests(buffer['id']))
        with client.finish(serial) as message:
            return [wire.NAME_OF.get(record['status'], 'OK') for record in message.records]

    with broker.connect() as client:
        before = held(client)
        for requests, expected in (
                (lambda _: (wire.GET, [{'name': 'names/behind'}]), ['NOT_FOUND']),
                (lambda buffer: (wire.GET, [{'id': buffer}]), ['NOT_FOUND']),
                (lambda _: (wire.TOUCH, [{'name': 'names/behind', 'expire_ms': 1000}]), ['NOT_FOUND']),
                (lambda _: (wire.REMOVE, [{'name': 'names/behind'}]), ['NOT_FOUND']),
                (lambda _: (wire.LIST, [{'prefix': 'names/behind', 'owner': wire.SELF}]), ['OK'])):
            equal(with_many_before(2000, requests), expected, 'statuses')
        # A publish without REPLACE finds no name in its way, and begins anew.
        made = make(client, b'x')
        equal(with_many_before(2000, lambda _: (wire.PUBLISH, [{'id': made['id'], 'name': 'names/behind', 'mode': 0o600}])),
              ['OK'], 'statuses')
        equal(client.remove('names/behind')['generation'], 1, 'generation')
        eventually(lambda: held(client) == before, what='all has gone')


@suite.test
def many_leases(broker, _):
    """10,000 leases of 10 ms run out in their time, and as many that run out at once; those of an hour stay; nobody waits"""
    with broker.connect() as client, broker.connect() as other:
        before = held(client)
        buffers = [put(client, 'names/leases/%d' % i)['id'] for i in range(40)]
        kept = held(client)
        for buffer in buffers:
            publish_names(client, buffer, 'names/short', 10)
        eventually(lambda: held(client) == kept, LATE_SECONDS, 'all of 10 ms have run out')
        for i in range(40):
            client.remove('names/leases/%d' % i)
        buffers = [make(client, b'x')['id'] for _ in range(40)]
        for buffer in buffers:
            publish_names(client, buffer, 'names/same', 3600000)
        kept = held(client)
        equal(kept['names'] - before['names'], 10000, 'names')
        for _ in range(3000):
            make(client, b'x', 'names/short', flags=REPLACE, expire_ms=10)
        eventually(lambda: held(client) == kept, LATE_SECONDS, 'those of 10 ms have run out, and no others')
        slowest = 0
        for buffer in buffers:
            with client.call(wire.TOUCH, [{'name': 'names/same/%d/%d' % (buffer, i), 'expire_ms': 1000}
                                          for i in range(250)]) as message:
                equal({record['status'] for record in message.records}, {0}, 'statuses')
        end = time.monotonic() + 1 + LATE_SECONDS
        while held(client) != before:
            began = time.monotonic()
            other.ping()
            slowest = max(slowest, time.monotonic() - began)
            equal(began < end, True, 'they have run out')
        print('# the slowest ping: %.1f ms' % (slowest * 1000))
        equal(slowest < LATE_SECONDS, True, 'a ping of %.3f s,' % slowest)


@suite.test
def touching(broker, _):
    """TOUCH renews a lease, sets one, or takes it away; for the owner and administrators"""
    need_root()

    def publish(client):
        put(client, 'names/touch', mode=0o666, expire_ms=60000)

    def stranger(client):
        with refused('DENIED'):
            client.touch('names/touch', owner=MINE, expire_ms=1)
        with refused('NOT_FOUND'):
            client.touch('names/touch', expire_ms=1)
        return client.stat('names/touch', owner=MINE)['expire_ms']

    def renew(client):
        reply = client.touch('names/touch', owner=MINE, expire_ms=3600000)
        equal((reply['generation'], reply['status']), (1, 0), 'generation and status')
        return client.stat('names/touch', owner=MINE)['expire_ms']

    as_user(broker, MINE, publish)
    equal(0 < as_user(broker, OTHER, stranger) <= 60001, True, 'it is left as it was')
    for uid in (MINE, ADMINISTRATOR, 0):
        equal(3000000 < as_user(broker, uid, renew) <= 3600001, True, 'it is renewed by %d' % uid)
        as_user(broker, MINE, lambda client: client.touch('names/touch', expire_ms=60000)['status'])
    with broker.connect() as root:
        for values in ({}, {'name': 'names/touch', 'flags': 1, 'owner': MINE}):
            with refused('FLAGS' if values else 'TARGET'):
                root.one(wire.TOUCH, **values)
        root.touch('names/touch', owner=MINE, expire_ms=0)
        equal(root.stat('names/touch', owner=MINE)['expire_ms'], 0, 'what is left of no lease')
        root.touch('names/touch', owner=MINE, expire_ms=1)
        eventually(lambda: not is_bound(root, 'names/touch', owner=MINE), what='it has run out')
        # Touched in time again and again, it stays.
        put(root, 'names/touch', expire_ms=2000)
        for _ in range(6):
            time.sleep(0.4)
            root.touch('names/touch', expire_ms=2000)
        root.remove('names/touch')


# ---- Until the connection ends ---------------------------------------------------------------------------------------


@suite.test
def until_close(broker, _):
    """Names that go with a connection, when it is closed, or its process is killed; those of others stay"""
    with broker.connect() as client:
        before = held(client)
        with broker.connect() as publisher:
            put(publisher, 'names/close', flags=UNTIL_CLOSE)
            put(publisher, 'names/stay')
            put(publisher, 'names/close', 2, flags=UNTIL_CLOSE, keep=2)
            flags = client.stat('names/close')['flags']
            equal(flags & (wire.INFO_CONNECTED | wire.INFO_SURVIVES), wire.INFO_CONNECTED, 'flags')
            equal(client.stat('names/stay')['flags'] & wire.INFO_CONNECTED, 0, 'flags of the other one')
            equal(fetch(client, 'names/close', generation=1)[1], content_of(1), 'content')
        eventually(lambda: not is_bound(client, 'names/close'), what='the name has gone')
        client.remove('names/stay')
        equal(held(client), before, 'what is held')

        def publish():
            mine = broker.connect()
            for i in range(500):
                make(mine, b'x', 'names/killed/%d' % i, flags=UNTIL_CLOSE)
            signal.pause()

        with process(publish):
            eventually(lambda: len(client.list(prefix='names/killed/')) == 500, 60, 'all are there')
        eventually(lambda: client.list(prefix='names/killed/') == [], what='all are gone')
        equal(held(client), before, 'what is held')


@suite.test
def until_another_publishes(broker, _):
    """The newest publish says with which connection the name goes; TOUCH of another one changes nothing of it"""
    with broker.connect() as client:
        with broker.connect() as first, broker.connect() as second:
            put(first, 'names/moved', flags=UNTIL_CLOSE)
            put(second, 'names/moved', 2, flags=UNTIL_CLOSE, keep=1)
            put(first, 'names/left', flags=UNTIL_CLOSE)
            put(client, 'names/left', 2, keep=1)
            put(client, 'names/given')
            put(first, 'names/given', 2, flags=UNTIL_CLOSE)
            put(first, 'names/touched', flags=UNTIL_CLOSE)
            client.touch('names/touched', expire_ms=3600000)
            first.close()
            eventually(lambda: not is_bound(client, 'names/touched'), what='a name that was touched has gone')
            eventually(lambda: not is_bound(client, 'names/given'), what='a name that was given to it has gone')
            equal(generations(client, 'names/left', 2), [1, 2], 'generations of what was replaced')
            equal(generations(client, 'names/moved', 2), [1, 2], 'generations of what is the other one\'s')
        eventually(lambda: not is_bound(client, 'names/moved'), what='it went with the second connection')
        client.remove('names/left')


# ---- What outlives the broker ----------------------------------------------------------------------------------------


def described(client, *names):
    """What there is to say of all generations."""
    found = {}
    for name in names:
        now = client.stat(name)
        for generation in range(now['oldest'], now['generation'] + 1):
            try:
                record = client.stat(name, generation=generation)
            except wire.Refused as error:
                equal(error.name, 'GENERATION', 'error')
                continue
            left = record.pop('expire_ms')
            found[name, generation] = {**record, 'has lease': left > 0, 'content': fetch(client, id=record['id'])[1]}
    return found


def furnish(client):
    for generation in range(1, 7):
        put(client, 'history', generation, keep=4, mode=0o600 if generation % 2 else 0o644, metadata=b'g=%d\0' % generation)
    put(client, 'leased', expire_ms=3600000)
    put(client, 'touched')
    put(client, 'touched', 2, keep=2)
    client.touch('touched', expire_ms=1800000)
    put(client, 'evictable', flags=wire.PUBLISH_EVICTABLE)
    put(client, 'shrunk', 1)
    for generation in range(2, 6):
        put(client, 'shrunk', generation, keep=6 - generation)
    put(client, 'hole')
    middle = put(client, 'hole', 2, keep=2)
    put(client, 'hole', 3, keep=2)
    client.remove(id=middle['id'])
    same = make(client, b'same')
    for _ in range(3):
        client.publish(same['id'], 'same', flags=REPLACE, keep=3)
    return 'history', 'leased', 'touched', 'evictable', 'shrunk', 'hole', 'same'


@suite.test
def after_a_crash(*_):
    """kill -9: generations, histories, leases, keep and metadata are as before; names until close are gone"""
    need_systemd()
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            names = furnish(client)
            before, accounts = described(client, *names), held(client)
            put(client, 'connected', flags=UNTIL_CLOSE, keep=2)
            put(client, 'connected', 2, flags=UNTIL_CLOSE, keep=2)
            put(client, 'became connected')
            put(client, 'became connected', 2, flags=UNTIL_CLOSE, keep=2)
            put(client, 'became volatile', keep=2)
            put(client, 'became volatile', 2, keep=2)
            put(client, 'became volatile', 3, flags=wire.PUBLISH_VOLATILE, keep=2)
            equal(generations(client, 'became volatile', 3), [1, 2, 3], 'generations')
            for i in range(30):
                put(client, 'removed/%d' % i)
                put(client, 'removed/%d' % i, 2, keep=1)
                client.remove('removed/%d' % i)
            left = client.stat('leased')['expire_ms'], client.stat('touched')['expire_ms']
            lives.kill()
        time.sleep(0.2)
        for _ in range(2):
            lives.start()
            with lives.connect() as client:
                equal(described(client, *names), before, 'what there is to say')
                equal(sorted(record['name'] for record in client.list()), sorted(names), 'names')
                equal(held(client), accounts, 'what is held')
                now = client.stat('leased')['expire_ms'], client.stat('touched')['expire_ms']
                for old, new in zip(left, now):
                    if not old - 60000 < new <= old - 200:
                        raise AssertionError('%d ms were left, and now %d' % (old, new))
                put(client, 'history', 7, keep=4)
                equal(generations(client, 'history', 7), [3, 4, 5, 6, 7], 'generations')
                client.remove('history')
                for generation in range(1, 7):
                    put(client, 'history', generation, keep=4, metadata=b'g=%d\0' % generation)
                before.update(described(client, 'history'))
                with refused('METADATA'):
                    client.publish(client.stat('leased')['id'], 'leased', flags=REPLACE, metadata=METADATA)
            lives.kill()
        lives.start()
        with lives.connect() as client:
            for name in names:
                client.remove(name)
            equal(held(client)['names'], 0, 'names')
        lives.kill()
        lives.start()
        with lives.connect() as client:
            equal(client.list(), [], 'names')
        lives.stop()


@suite.test
def leases_that_run_out_meanwhile(*_):
    """A lease that runs out while there is no broker leaves nothing, former generations neither; an earlier one of a name
    that was published again, or touched, does no harm"""
    need_systemd()
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            put(client, 'out', keep=2)
            put(client, 'out', 2, keep=2, expire_ms=1000)
            put(client, 'prolonged', expire_ms=1000)
            put(client, 'prolonged', 2, keep=2)
            put(client, 'touched', expire_ms=1000)
            client.touch('touched', expire_ms=3600000)
        lives.kill()
        time.sleep(1.1)
        lives.start()
        with lives.connect() as client:
            for generation in (0, 1, 2):
                with refused('NOT_FOUND'):
                    client.get('out', generation=generation)
            equal(generations(client, 'prolonged', 2), [1, 2], 'generations')
            equal(is_bound(client, 'touched'), True, 'it is bound')
            eventually(lambda: account(client)['buffers'] == 3, what='nothing of it is held')
        lives.stop()


@suite.test
def killed_at_any_moment(*_):
    """kill -9 while generations come and go: what is there is the newest that was answered, or the next, with a history
    without any hole, and a name that was removed has not come back in part"""
    need_systemd()
    with Lives() as lives:
        for round_ in range(12):
            lives.start()
            near, far = os.pipe()

            def publish(far=far, round_=round_):
                with contextlib.suppress(wire.Disconnected, OSError), lives.connect() as client:
                    generation = client.stat('storm')['generation'] if is_bound(client, 'storm') else 0
                    while True:
                        generation += 1
                        put(client, 'storm', generation, keep=round_ % 5)
                        os.write(far, struct.pack('<I', generation))
                        if generation % 50 == 0:
                            os.write(far, struct.pack('<I', 0))
                            client.remove('storm')
                            generation = 0

            with process(publish):
                time.sleep(0.05 + 0.02 * round_)
                lives.kill()
            os.close(far)
            said = b''
            while True:
                data = os.read(near, 65536)
                if not data:
                    break
                said += data
            os.close(near)
            answered = struct.unpack('<%dI' % (len(said) // 4), said)
            lives.start()
            with lives.connect() as client:
                last = answered[-1] if answered else None
                if not is_bound(client, 'storm'):
                    equal(last in (0, None), True, 'nothing is there after %r' % (last,))
                else:
                    stat = client.stat('storm')
                    now = stat['generation']
                    if last is not None and not (now in (last, last + 1) or (last == 0 and now in (1, 50))):
                        raise AssertionError('at %d, after %d was answered' % (now, last))
                    found = generations(client, 'storm', 60)
                    equal(found, list(range(stat['oldest'], now + 1)), 'generations')
                    equal(client.stats()['names'], len(found), 'names')
            lives.kill()


@suite.test
def reexecuted(*_):
    """A re-exec: everything goes on, names until close, volatile ones and past ones as well, and what is left of leases"""
    with Broker() as broker, broker.connect() as client:
        names = furnish(client)
        put(client, 'volatile', flags=wire.PUBLISH_VOLATILE)
        for generation in range(2, 6):
            put(client, 'volatile', generation, keep=3)
        with broker.connect() as publisher:
            put(publisher, 'connected', flags=UNTIL_CLOSE)
            put(publisher, 'connected', 2, flags=UNTIL_CLOSE, keep=2)
            names += 'volatile', 'connected'
            before, accounts = described(client, *names), held(client)
            put(client, 'short', expire_ms=1000)
            for _ in range(3):
                client.reexec()
                equal(described(client, *names), before, 'what there is to say')
            equal(client.stat('connected')['flags'] & wire.INFO_CONNECTED, wire.INFO_CONNECTED, 'flags')
            eventually(lambda: not is_bound(client, 'short'), what='a lease has run out')
            equal(held(client), accounts, 'what is held')
        eventually(lambda: not is_bound(client, 'connected'), what='it went with its connection')
        with refused('METADATA'):
            client.publish(client.stat('leased')['id'], 'leased', flags=REPLACE, metadata=METADATA)
        for name in names:
            if name != 'connected':
                client.remove(name)
        equal(held(client)['names'], 0, 'names')


@suite.test
def reexecuted_and_stored(*_):
    """The same with a service manager; and then a crash, in which those until close go"""
    need_systemd()
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            names = furnish(client)
            before, kept = described(client, *names), held(client)
            put(client, 'connected', flags=UNTIL_CLOSE, keep=2)
            put(client, 'connected', 2, flags=UNTIL_CLOSE, keep=2)
            put(client, 'mixed', flags=wire.PUBLISH_VOLATILE)
            put(client, 'mixed', 2, keep=2)
            everything = described(client, *names, 'connected', 'mixed')
            for _ in range(2):
                client.reexec()
                equal(described(client, *names, 'connected', 'mixed'), everything, 'what there is to say')
            client.remove('mixed')
            lives.kill()
        lives.start()
        with lives.connect() as client:
            equal(described(client, *names), before, 'what there is to say')
            equal(is_bound(client, 'connected'), False, 'it is bound')
            equal(held(client), kept, 'what is held')
        lives.stop()


with Folder() as folder:
    suite.arguments += '--config', folder.write('conf', '[broker]\nadmin-group = %d\n' % ADMINISTRATOR)
    suite.main()
