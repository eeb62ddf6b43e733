#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Names that change: generations and compare, history, metadata, leases, the cache, and all or nothing."""
import contextlib
import os
import re
import time

import sealbuf_wire as wire
from sealbuf_wire import PUBLISH_ATOMIC, PUBLISH_COMPARE, PUBLISH_EVICTABLE, PUBLISH_REPLACE, PUBLISH_UNTIL_CLOSE
from testbed import Broker, Suite, equal, eventually, fetch, in_child, make, need_root, refused

suite = Suite()
MEMBER = 61011


def put(client, content, name, **publish):
    """Publishes over whatever is there; the generation."""
    publish['flags'] = publish.get('flags', 0) | PUBLISH_REPLACE
    return make(client, content, name, **publish)['generation']


def drop(client):
    for record in client.list():
        client.remove(record['name'])


def statuses(client, opcode, *records):
    """What becomes of each record, or [(error, sentence)] of the whole request."""
    try:
        with client.call(opcode, records) as message:
            return [wire.NAME_OF.get(record['status'], 'OK') for record in message.records]
    except wire.Refused as error:
        return [(error.name, error.text)]


def names_of(client, **values):
    return [record['name'] for record in client.list(**values)]


def account(client):
    with client.call(wire.ACCOUNTS, [{}]) as message:
        return message.records[0]


def at_generation(client, opcode, **values):
    """A record that is refused with GENERATION: which one its sentence tells of, and its outcome, where it is one."""
    with client.call(opcode, [values]) as message:
        record = message.records[0]
        equal(wire.NAME_OF.get(record['status']), 'GENERATION', 'status')
        found = re.search(r'is not bound|at generation (\d+)', record['text'])
        equal(bool(found), True, 'whether %r tells' % record['text'])
        told = int(found.group(1) or 0)
        if 'mode' not in record:
            equal(record['generation'], told, 'generation in the outcome')
        return told


# ---- Generations -----------------------------------------------------------------------------------------------------

@suite.test
def compare(broker, _):
    """COMPARE binds only at the generation that was expected, 0 only where nothing is bound; without it nothing is"""
    with broker.connect() as client:
        buffers = [make(client, b'%d' % i)['id'] for i in range(4)]
        for i in (1, 2, 3):
            equal(at_generation(client, wire.PUBLISH, id=buffers[0], name='c', flags=PUBLISH_COMPARE, expected=i), 0,
                  'generation of what is not there')
        values = {'flags': PUBLISH_COMPARE}
        equal(client.publish(buffers[0], 'c', expected=0, **values)['generation'], 1, 'where nothing was bound')
        equal(client.publish(buffers[1], 'c', expected=1, **values)['generation'], 2, 'where it was as expected')
        for expected in (0, 1, 3, (1 << 64) - 1):
            for flags in (PUBLISH_COMPARE, PUBLISH_COMPARE | PUBLISH_REPLACE):
                equal(at_generation(client, wire.PUBLISH, id=buffers[2], name='c', flags=flags, expected=expected), 2,
                      'which one it is at')
        equal(fetch(client, 'c')[1], b'1', 'content after what was refused')
        with refused('FLAGS'):
            client.publish(buffers[3], 'c', flags=PUBLISH_REPLACE, expected=2)
        with refused('EXISTS'):
            client.publish(buffers[3], 'c')
        # One request, several records: each sees what the one before it has done.
        got = statuses(client, wire.PUBLISH, *({'id': buffers[i], 'name': 'c', 'mode': 0o600, 'flags': PUBLISH_COMPARE,
                                                'expected': expected} for i, expected in ((1, 2), (1, 3), (1, 3))))
        equal(got, ['OK', 'OK', 'GENERATION'], 'three in a row')
        equal(at_generation(client, wire.REMOVE, name='c', generation=3), 4, 'REMOVE of another generation')
        client.remove('c', generation=4)
        with refused('NOT_FOUND'):
            client.remove('c', generation=4)
        equal(put(client, b'again', 'c'), 1, 'generation after REMOVE')
        client.remove('c')


@suite.test
def compare_while_sealing(broker, _):
    """two producers at once, whose buffers are yet to be sealed: COMPARE lets one of them through"""
    with broker.connect() as one, broker.connect() as two:
        expected = put(one, b'first', 'race')
        for _ in range(100):
            pairs = [(client, make(client, b'x')['id']) for client in (one, two)]
            serials = [(client, client.start(wire.PUBLISH, [{
                'id': number, 'name': 'race', 'mode': 0o600, 'seals': wire.IMMUTABLE, 'flags': PUBLISH_COMPARE,
                'expected': expected}])) for client, number in pairs]
            results = []
            for client, serial in serials:
                with client.finish(serial) as message:
                    results.append(wire.NAME_OF.get(message.records[0]['status'], 'OK'))
            equal(sorted(results), ['GENERATION', 'OK'], 'what became of both')
            expected += 1
        equal(one.stat('race')['generation'], expected, 'generation at last')
        one.remove('race')


@suite.test
def history(broker, _):
    """keep: former generations can be got and described, LIST and their names do not show them, all go with the name"""
    with broker.connect() as client:
        before = account(client)
        for i in range(1, 7):
            equal(put(client, b'h%d' % i, 'h', keep=3), i, 'generation')
        info = client.stat('h')
        equal((info['generation'], info['oldest']), (6, 3), 'generation and oldest')
        for i in (3, 4, 5, 6):
            record, content = fetch(client, 'h', generation=i)
            equal((record['generation'], content), (i, b'h%d' % i), 'GET of generation %d' % i)
            equal(client.stat('h', generation=i)['generation'], i, 'STAT')
        equal(fetch(client, 'h')[1], b'h6', 'GET of the current one')
        for i in (1, 2, 7, (1 << 64) - 1):
            for opcode in (wire.GET, wire.STAT):
                at_generation(client, opcode, name='h', generation=i)
        equal([(r['name'], r['generation']) for r in client.list()], [('h', 6)], 'LIST')
        now = account(client)
        equal((now['names'] - before['names'], now['buffers'] - before['buffers']), (4, 4), 'what is charged')
        equal(put(client, b'h7', 'h', keep=1), 7, 'generation with a smaller keep')
        equal(client.stat('h')['oldest'], 6, 'oldest with keep 1')
        equal(put(client, b'h8', 'h', keep=255), 8, 'generation with a greater keep')
        equal(client.stat('h')['oldest'], 6, 'oldest')
        equal(put(client, b'h9', 'h'), 9, 'generation with keep 0')
        equal(client.stat('h')['oldest'], 9, 'oldest with keep 0')
        at_generation(client, wire.GET, name='h', generation=8)
        put(client, b'h10', 'h', keep=5)
        # The same buffer again and again is as many names of it.
        same = make(client, b'same')['id']
        for _ in range(3):
            client.publish(same, 'h', flags=PUBLISH_REPLACE, keep=5)
        equal([fetch(client, 'h', generation=i)[1] for i in range(9, 14)], [b'h9', b'h10', b'same', b'same', b'same'],
              'history with the same buffer')
        client.remove('h')
        with refused('NOT_FOUND'):
            client.get('h', generation=12)
        now = account(client)
        equal({key: now[key] for key in ('names', 'buffers', 'bytes', 'metadata')},
              {key: before[key] for key in ('names', 'buffers', 'bytes', 'metadata')}, 'what is charged at last')
        with refused('FLAGS'):
            make(client, b'', 'taken', flags=wire.PUBLISH_TAKE, keep=1)


@suite.test
def long_history(broker, bystander):
    """255 former generations: each with its own content, also when it wraps around many times"""
    with broker.connect() as client:
        for i in range(1, 700):
            put(client, b'%d' % i, 'long', keep=255)
        bystander.served()
        equal(client.stat('long')['oldest'], 699 - 255, 'oldest')
        for i in range(699 - 255, 700):
            equal(fetch(client, 'long', generation=i)[1], b'%d' % i, 'content of %d' % i)
        client.remove('long')


@suite.test
def history_access(broker, _):
    """who may get a former generation is judged by the mode that the name has now"""
    need_root()
    with Broker('--socket-mode', '0666') as own, own.connect() as client:
        def attempt():
            def one(**values):
                try:
                    os.close(other.get('a', owner=0, **values)['fd'])
                except wire.Refused as error:
                    return error.name
                return 'OK'

            with own.connect() as other:
                return [one(), one(generation=1), one(generation=2)]

        put(client, b'1', 'a', keep=9, mode=0o600)
        put(client, b'2', 'a', keep=9, mode=0o644)
        equal(in_child(attempt, MEMBER, MEMBER), ['OK', 'OK', 'OK'], 'while everybody may read')
        put(client, b'3', 'a', keep=9, mode=0o600)
        equal(in_child(attempt, MEMBER, MEMBER), ['DENIED'] * 3, 'when it is private')


@suite.test
def newer_than(broker, _):
    """GET with newer_than and without WAIT: GENERATION where there is none that is newer"""
    with broker.connect() as client:
        put(client, b'1', 'n')
        put(client, b'2', 'n')
        equal([fetch(client, 'n', newer_than=i)[1] for i in (0, 1)], [b'2', b'2'], 'content')
        for i in (2, 3, (1 << 64) - 1):
            equal(at_generation(client, wire.GET, name='n', newer_than=i), 2, 'which one it is at')
        client.remove('n')


@suite.test
def metadata(broker, _):
    """metadata at PUBLISH are the buffer's, LIST tells them with DETAILS, and once it is published nobody changes them"""
    with broker.connect() as client:
        before = account(client)['metadata']
        number = make(client, b'')['id']
        client.publish(number, 'm', metadata=b'type=text\0shape=3x4\0')
        equal(client.stat('m')['metadata'], b'type=text\0shape=3x4\0', 'metadata in STAT')
        equal(account(client)['metadata'] - before, 1 + 20, 'what is charged')
        equal([r['metadata'] for r in client.list()], [b''], 'LIST without DETAILS')
        equal([r['metadata'] for r in client.list(flags=wire.LIST_DETAILS)], [b'type=text\0shape=3x4\0'],
              'LIST with DETAILS')
        for name, flags in (('m', PUBLISH_REPLACE), ('other', 0)):
            with refused('METADATA'):
                client.publish(number, name, flags=flags, metadata=b'type=lie\0')
        client.publish(number, 'other')
        client.remove('m')
        with refused('METADATA'):
            client.publish(number, 'm', metadata=b'type=lie\0')
        client.remove('other')
        # What it was created with is replaced, and given back.
        with contextlib.closing(os.fdopen(client.create(0, metadata=b'a=' + b'x' * 100 + b'\0')['fd'])) as fd:
            number = client.adopt(fd.fileno(), metadata=b'b=1\0')['id']
        client.publish(number, 'm', metadata=b'c=2\0')
        equal(client.stat('m')['metadata'], b'c=2\0', 'metadata in place of others')
        client.remove('m')
        # As many as fit: LIST goes on from page to page.
        for i in range(60):
            make(client, b'', 'big/%02d' % i, metadata=b'k=' + b'%02d' % i * 2000 + b'\0')
        got = client.list(flags=wire.LIST_DETAILS, prefix='big/')
        equal([r['metadata'][2:4] for r in got], [b'%02d' % i for i in range(60)], 'metadata of many')
        drop(client)


# ---- Leases ----------------------------------------------------------------------------------------------------------

@suite.test
def lease(broker, _):
    """a name with a lease goes when that ends, not before; TOUCH and a publish renew it; it begins at 1 again"""
    with broker.connect() as client:
        before = account(client)
        began = time.monotonic()
        put(client, b'x', 'short', expire_ms=300)
        put(client, b'x', 'short', expire_ms=300, keep=3)
        left = client.stat('short')['expire_ms']
        equal(0 < left <= 300 or time.monotonic() - began > 0.3, True, 'what is left: %d' % left)
        put(client, b'y', 'long', expire_ms=3600000)
        equal(3500000 < client.stat('long')['expire_ms'] <= 3600000, True, 'what is left of an hour')
        equal(3500000 < client.list(prefix='long')[0]['expire_ms'] <= 3600000, True, 'what LIST says of it')
        put(client, b'z', 'ever')
        equal(client.stat('ever')['expire_ms'], 0, 'what is left of no lease')
        put(client, b'z', 'touched', expire_ms=300)
        equal(client.touch('touched', expire_ms=3600000)['generation'], 1, 'generation in the reply to TOUCH')
        put(client, b'z', 'freed', expire_ms=300)
        client.touch('freed')
        put(client, b'z', 'again', expire_ms=300)
        put(client, b'z', 'again')
        put(client, b'z', 'shortened', expire_ms=3600000)
        client.touch('shortened', expire_ms=200)
        time.sleep(0.31)
        for name in ('short', 'shortened'):
            for attempt in (client.get, client.stat, client.touch, client.remove, lambda n: client.get(n, generation=1)):
                with refused('NOT_FOUND'):
                    attempt(name)
        equal(names_of(client), ['again', 'ever', 'freed', 'long', 'touched'], 'what is left')
        equal(client.stat('freed')['expire_ms'], 0, 'what is left of a lease that was taken off')
        equal(put(client, b'x', 'short'), 1, 'generation of a name that had expired')
        drop(client)
        eventually(lambda: {k: account(client)[k] for k in ('names', 'buffers')} ==
                   {k: before[k] for k in ('names', 'buffers')}, what='all is given back')
        with refused('NOT_FOUND'):
            client.touch('short')
        with refused('TARGET'):
            client.touch('')


@suite.test
def lease_without_end(broker, _):
    """leases of thousands of years, and of one millisecond"""
    with broker.connect() as client:
        for i, milliseconds in enumerate(((1 << 64) - 1, 1 << 63, (1 << 63) - 1, (1 << 64) // 1000000, 10 ** 14)):
            put(client, b'', 'e/%d' % i, expire_ms=milliseconds)
            left = client.stat('e/%d' % i)['expire_ms']  # 0 where the clock never gets there
            equal(left == 0 or left > 10 ** 12, True, 'what is left of %d: %d' % (milliseconds, left))
            client.touch('e/%d' % i, expire_ms=milliseconds)
        put(client, b'', 'f', expire_ms=1)
        time.sleep(0.002)
        with refused('NOT_FOUND'):
            client.get('f')
        equal(len(client.list()), 5, 'names')
        drop(client)


@suite.test
def touch_access(broker, _):
    """TOUCH is for the owner and administrators"""
    need_root()
    with Broker('--socket-mode', '0666') as own, own.connect() as root:
        def other_one():
            with own.connect() as client:
                put(client, b'', 'mine', mode=0o644)
                with refused('DENIED'):
                    client.touch('roots', owner=0, expire_ms=1)

        put(root, b'', 'roots', mode=0o666)
        in_child(other_one, MEMBER, MEMBER)
        root.touch('mine', owner=MEMBER, expire_ms=1)
        eventually(lambda: names_of(root, owner=MEMBER) == [], what='it has expired')
        equal(names_of(root), ['roots'], 'names of root')


@suite.test
def until_close(broker, _):
    """a name until close goes with its connection, however that ends, unless somebody else has published over it"""
    with broker.connect() as watcher:
        first = broker.connect()
        for name in ('a', 'b', 'c', 'd'):
            put(first, b'', 'close/' + name, flags=PUBLISH_UNTIL_CLOSE, keep=2, expire_ms=3600000 if name == 'd' else 0)
        put(first, b'', 'close/stays')
        flags = watcher.stat('close/a')['flags']
        equal(flags & (wire.INFO_CONNECTED | wire.INFO_SURVIVES), wire.INFO_CONNECTED, 'flags in STAT')
        put(watcher, b'', 'close/b')
        put(first, b'', 'close/c')
        second = broker.connect()
        put(second, b'', 'close/e', flags=PUBLISH_UNTIL_CLOSE)
        put(first, b'', 'close/e', flags=PUBLISH_UNTIL_CLOSE)
        second.close()
        second.close()
        for _ in range(3):
            watcher.ping()
        equal(watcher.stat('close/e')['generation'], 2, 'what the other one has published over')
        watcher.touch('close/a', expire_ms=3600000)
        first.close()
        left = ['close/b', 'close/c', 'close/stays']
        eventually(lambda: names_of(watcher) == left, what=lambda: 'left: %r' % names_of(watcher))
        drop(watcher)
        # Many at once.
        many = broker.connect()
        for start in range(0, 2000, 200):
            number = make(many, b'')['id']
            equal(set(statuses(many, wire.PUBLISH, *({'id': number, 'name': 'many/%d' % i, 'mode': 0o600,
                                                      'flags': PUBLISH_UNTIL_CLOSE}
                                                     for i in range(start, start + 200)))), {'OK'}, 'statuses')
        equal(len(names_of(watcher)), 2000, 'names')
        many.close()
        eventually(lambda: names_of(watcher) == [], what='all have gone')


# ---- The cache -------------------------------------------------------------------------------------------------------

@suite.test
def evicts(*_):
    """evictable names go where a limit is met, least recently used first, and only if that helps; no others ever do"""
    with Broker('--limit', 'uid-buffers=5', '--limit', 'uid-bytes=1000') as own, own.connect() as client:
        for i in range(4):
            make(client, b'x' * 100, 'cache/%d' % i, flags=PUBLISH_EVICTABLE)
        make(client, b'x' * 100, 'stays')
        equal(client.stat('cache/0')['flags'] & wire.INFO_EVICTABLE, wire.INFO_EVICTABLE, 'flag')
        fetch(client, 'cache/0')
        client.touch('cache/1')
        make(client, b'x' * 100, 'new/0')
        equal(names_of(client), ['cache/0', 'cache/1', 'cache/3', 'new/0', 'stays'], 'names after one more buffer')
        make(client, b'x' * 100, 'new/1')
        equal(names_of(client), ['cache/0', 'cache/1', 'new/0', 'new/1', 'stays'], 'names after two')
        # What cannot be made to fit evicts nothing.
        with refused('LIMIT'):
            make(client, b'x' * 701, 'great')
        equal(len(names_of(client)), 5, 'names after what cannot fit')
        make(client, b'x' * 600, 'great')
        equal(names_of(client), ['cache/1', 'great', 'new/0', 'new/1', 'stays'], 'names after 600 bytes')
        client.remove('great')
        client.remove('new/0')
        client.publish(client.stat('new/1')['id'], 'new/1', flags=PUBLISH_REPLACE | PUBLISH_EVICTABLE)
        for i in range(3):
            make(client, b'', 'last/%d' % i)
        equal(names_of(client), ['last/0', 'last/1', 'last/2', 'new/1', 'stays'], 'the least recently used one went')
        make(client, b'', 'last/3')
        with refused('LIMIT'):
            make(client, b'', 'last/4')
        equal(names_of(client), ['last/0', 'last/1', 'last/2', 'last/3', 'stays'], 'what is not evictable stays')


@suite.test
def cache_of_names(*_):
    """evictable names make room for names and for metadata, too"""
    with Broker('--limit', 'uid-names=10', '--limit', 'uid-metadata=200') as own, own.connect() as client:
        number = make(client, b'')['id']
        for i in range(10):
            client.publish(number, 'n%d' % i, flags=PUBLISH_EVICTABLE)
        for i in range(10, 100):
            client.publish(number, 'n%d' % i, flags=PUBLISH_EVICTABLE)
            equal(len(names_of(client)), 10, 'names')
        equal(names_of(client), ['n%d' % i for i in range(90, 100)], 'the last ten')
        client.publish(number, 'm' * 175, flags=PUBLISH_EVICTABLE)
        equal('m' * 175 in names_of(client), True, 'the one that needs room')
        equal(account(client)['metadata'] <= 200, True, 'metadata')


@suite.test
def only_one_s_own(*_):
    """nobody's evictable names go for somebody else"""
    need_root()
    with Broker('--socket-mode', '0666', '--limit', 'uid-buffers=3') as own, own.connect() as root:
        for i in range(3):
            make(root, b'', 'r%d' % i, flags=PUBLISH_EVICTABLE)

        def other_one():
            with own.connect() as client:
                for i in range(3):
                    make(client, b'', 'o%d' % i)
                with refused('LIMIT'):
                    make(client, b'', 'o4')

        in_child(other_one, MEMBER, MEMBER)
        equal(names_of(root), ['r0', 'r1', 'r2'], 'names of root')


# ---- All or nothing --------------------------------------------------------------------------------------------------

def atomic(client, **contents):
    """The records of a PUBLISH of all of these."""
    return [{'id': make(client, content)['id'], 'name': name, 'mode': 0o600, 'flags': PUBLISH_ATOMIC | PUBLISH_REPLACE}
            for name, content in contents.items()]


@suite.test
def atomic_publish(broker, _):
    """ATOMIC: one record that cannot be is the whole request's error, names its index, and nothing has changed"""
    with broker.connect() as client:
        equal(statuses(client, wire.PUBLISH, *atomic(client, a=b'1', b=b'1', c=b'1')), ['OK'] * 3, 'all')
        good = atomic(client, a=b'2', b=b'2', c=b'2')
        bad = {'EXISTS': {'flags': PUBLISH_ATOMIC}, 'NOT_FOUND': {'id': 1 << 60}, 'TARGET': {'id': 0},
               'NAME': {'name': ''}, 'GENERATION': {'flags': PUBLISH_ATOMIC | PUBLISH_COMPARE, 'expected': 7},
               'NOT_SEALED': {'flags': PUBLISH_ATOMIC | PUBLISH_REPLACE | wire.PUBLISH_VERIFY, 'seals': wire.WRITE}}
        for name, values in bad.items():
            for i in range(3):
                records = [dict(record) for record in good]
                records[i].update(values)
                [(error, text)] = statuses(client, wire.PUBLISH, *records)
                equal((error, text.startswith('record %d: ' % i)), (name, True), '%s as record %d: %r' % (name, i, text))
                equal([fetch(client, n)[1] for n in 'abc'], [b'1'] * 3, 'contents after ' + name)
                equal([client.stat(n)['generation'] for n in 'abc'], [1] * 3, 'generations after ' + name)
        equal(statuses(client, wire.PUBLISH, *good), ['OK'] * 3, 'all again')
        equal([fetch(client, n)[1] for n in 'abc'], [b'2'] * 3, 'contents')
        for opcode, flag in ((wire.PUBLISH, PUBLISH_ATOMIC), (wire.GET, wire.GET_ATOMIC),
                             (wire.REMOVE, wire.REMOVE_ATOMIC)):
            records = [{'name': n, 'flags': flag if n != 'b' else 0} for n in 'abc']
            [(error, _text)] = statuses(client, opcode, *records)
            equal(error, 'FLAGS', 'in some but not all')
        drop(client)


@suite.test
def atomic_same_name(broker, _):
    """ATOMIC with the same name or the same buffer several times: decided, whichever way, and as a whole"""
    with broker.connect() as client:
        first, second = (make(client, content)['id'] for content in (b'1', b'2'))
        records = [{'id': number, 'name': 's', 'mode': 0o600, 'flags': PUBLISH_ATOMIC | PUBLISH_REPLACE}
                   for number in (first, second)]
        got = statuses(client, wire.PUBLISH, *records)
        if got == ['OK', 'OK']:
            equal(fetch(client, 's')[1], b'2', 'the last one')
        else:
            equal((len(got), names_of(client)), (1, []), 'refused as a whole: %r' % got)
        third = make(client, b'3')['id']
        records = [{'id': third, 'name': name, 'mode': 0o600, 'flags': PUBLISH_ATOMIC} for name in ('t1', 't2')]
        equal(statuses(client, wire.PUBLISH, *records), ['OK', 'OK'], 'two names of one buffer')
        equal(fetch(client, 't1')[0]['id'], fetch(client, 't2')[0]['id'], 'ids')
        drop(client)


@suite.test
def atomic_limits(*_):
    """ATOMIC that meets a limit in its middle: LIMIT for all of it, and no charge is left behind"""
    with Broker('--limit', 'uid-names=5') as own, own.connect() as client:
        number = make(client, b'')['id']
        before = account(client)
        records = [{'id': number, 'name': 'l%d' % i, 'mode': 0o600, 'flags': PUBLISH_ATOMIC} for i in range(6)]
        [(error, text)] = statuses(client, wire.PUBLISH, *records)
        equal((error, text.startswith('record ')), ('LIMIT', True), text)
        after = account(client)
        equal({k: after[k] for k in ('names', 'metadata')}, {k: before[k] for k in ('names', 'metadata')}, 'charges')
        equal(statuses(client, wire.PUBLISH, *records[:5]), ['OK'] * 5, 'those that fit')
        equal(len(names_of(client)), 5, 'names')


@suite.test
def atomic_remove(broker, _):
    """REMOVE with ATOMIC: all of them, or none"""
    with broker.connect() as client:
        for name in 'abc':
            make(client, b'', name)
        flags = {'flags': wire.REMOVE_ATOMIC}
        [(error, text)] = statuses(client, wire.REMOVE, *({'name': n, **flags} for n in ('a', 'b', 'none')))
        equal((error, text.startswith('record 2: ')), ('NOT_FOUND', True), text)
        [(error, text)] = statuses(client, wire.REMOVE, {'name': 'a', **flags}, {'name': 'b', 'generation': 2, **flags})
        equal((error, text.startswith('record 1: ')), ('GENERATION', True), text)
        equal(names_of(client), ['a', 'b', 'c'], 'names')
        equal(statuses(client, wire.REMOVE, *({'name': n, **flags} for n in 'abc')), ['OK'] * 3, 'all')
        equal(names_of(client), [], 'names at last')
        with refused('FLAGS'):
            client.stat('a', flags=wire.REMOVE_ATOMIC)


@suite.test
def atomic_get(broker, _):
    """GET with ATOMIC: all of them, or none; nothing that is handed over"""
    with broker.connect() as client:
        for name in 'abc':
            make(client, name.encode(), name)
        make(client, b'', 'taken', flags=wire.PUBLISH_TAKE)
        flags = {'flags': wire.GET_ATOMIC}
        with client.call(wire.GET, [{'name': n, **flags} for n in 'abc'] * 84) as message:
            equal([os.pread(r['fd'], 9, 0) for r in message.records], [b'a', b'b', b'c'] * 84, 'contents')
        for bad, name in (({'name': 'none'}, 'NOT_FOUND'), ({'name': 'a', 'generation': 3}, 'GENERATION'),
                          ({'name': 'a', 'seals': wire.WRITE}, 'NOT_SEALED')):
            [(error, text)] = statuses(client, wire.GET, {'name': 'a', **flags}, {**bad, **flags})
            equal((error, text.startswith('record 1: ')), (name, True), text)
        [(error, text)] = statuses(client, wire.GET, {'name': 'a', **flags}, {'name': 'taken', **flags})
        equal(error, 'FLAGS', text)
        drop(client)


@suite.test
def never_a_mixture(broker, bystander):
    """a set that two clients replace with ATOMIC, and one removes: who gets it with ATOMIC never sees a mixture"""
    names = ['set/%d' % i for i in range(50)]
    with broker.connect() as one, broker.connect() as two, broker.connect() as reader:
        def publish(client, number):
            """Seals make the broker wait in the middle of it."""
            records = atomic(client, **{name: b'%d' % number for name in names})
            for i, record in enumerate(records):
                record['seals'] = wire.IMMUTABLE if i % 7 == 0 else 0
            return client.start(wire.PUBLISH, records)

        def look():
            try:
                with reader.call(wire.GET, [{'name': n, 'flags': wire.GET_ATOMIC} for n in names]) as message:
                    return {os.pread(record['fd'], 9, 0) for record in message.records}
            except wire.Refused as error:
                equal(error.name, 'NOT_FOUND', 'error')
                return set()

        seen = set()
        for number in range(40):
            serials = [(client, publish(client, number)) for client in (one, two)]
            if number % 5 == 4:
                serials.append((one, one.start(wire.REMOVE, [{'name': n, 'flags': wire.REMOVE_ATOMIC} for n in names])))
            for _ in range(4):
                found = look()
                equal(len(found) <= 1, True, 'one generation of all: %r' % found)
                seen |= found
            for client, serial in serials:
                try:
                    client.finish(serial).close()
                except wire.Refused as error:
                    equal(error.name in ('BUSY', 'NOT_FOUND'), True, str(error))
            bystander.served()
        equal(len(seen) > 5, True, 'how many were seen')
        drop(one)


if __name__ == '__main__':
    suite.main()
