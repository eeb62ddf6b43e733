#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""All or nothing: PUBLISH, GET and REMOVE of several names in one step, also where one of them is refused, where others
look on all the time, and where the broker is killed in the middle."""
import array
import contextlib
import fcntl
import os
import random
import select
import signal
import sys
import termios
import time

import sealbuf_wire as wire
from lives import Lives
from manager import Manager
from testbed import Broker, Suite, equal, eventually, in_child, make, need_root, need_systemd, process, refused
from tracer import attach, go_on_until, step

MINE = 100000 + os.getpid() % 30000 * 10
OTHER = MINE + 1
PUBLISH = wire.PUBLISH_ATOMIC | wire.PUBLISH_REPLACE
SECONDS = float(os.environ.get('SECONDS', '4'))
LEDGER_COMMITTED = 3584  # where its head has that (daemon/ledger_head.h)
STEPPED = int(os.environ.get('STEPPED', '8'))
ROUNDS = int(os.environ.get('ROUNDS', '25'))

suite = Suite()
rng = random.Random(os.environ.get('SEED', str(os.getpid())))


def create(client, *contents):
    """Ids of new buffers."""
    with client.call(wire.CREATE, [{'size': len(content)} for content in contents]) as message:
        for record, content in zip(message.records, contents):
            equal(record['status'], 0, record['text'])
            os.pwrite(record['fd'], content, 0)
        return [record['id'] for record in message.records]


def start_publish(client, pairs, flags=PUBLISH, **values):
    return client.start(wire.PUBLISH, [{'id': buffer, 'name': name, 'mode': 0o644, 'flags': flags, **values}
                                       for name, buffer in pairs])


def publish(client, pairs, flags=PUBLISH, **values):
    """All of [(name, id)] at once; their generations."""
    with client.finish(start_publish(client, pairs, flags, **values)) as message:
        equal([record['status'] for record in message.records], [0] * len(pairs), 'statuses')
        equal([record['id'] for record in message.records], [buffer for _, buffer in pairs], 'ids')
        return [record['generation'] for record in message.records]


def publish_contents(client, contents, **values):
    """{name: content}"""
    return publish(client, list(zip(contents, create(client, *contents.values()))), **values)


def get(client, names, **values):
    """The contents of all of these names at one moment."""
    with client.call(wire.GET, [{'name': name, 'flags': wire.GET_ATOMIC, **values} for name in names]) as message:
        equal(len(message.fds), len(names), 'descriptors')
        return [os.pread(record['fd'], record['size'] + 1, 0) for record in message.records]


def remove(client, names, **values):
    with client.call(wire.REMOVE, [{'name': name, 'flags': wire.REMOVE_ATOMIC, **values} for name in names]) as message:
        return [record['generation'] for record in message.records]


@contextlib.contextmanager
def refused_for(index, name):
    """As a whole, for one record, which the sentence tells."""
    try:
        yield
    except wire.Refused as error:
        equal(error.name, name, 'error')
        if not error.text.startswith('record %d: ' % index) or len(error.text) < 25:
            raise AssertionError('the sentence is %r, of record %d' % (error.text, index)) from error
        return
    raise AssertionError('%s of record %d was expected, but nothing was refused' % (name, index))


def names_of(client, prefix):
    return [record['name'] for record in client.list(prefix=prefix)]


@suite.test
def all_at_once(broker, _):
    """253 names are published, replaced, got and removed, each in one request"""
    with broker.connect() as client:
        names = ['batch/%03d' % i for i in range(253)]
        old, new = ({name: ('%s of %s' % (age, name)).encode() for name in names} for age in ('old', 'new'))
        equal(publish_contents(client, old), [1] * 253, 'generations')
        equal(get(client, names), list(old.values()), 'contents')
        equal(publish_contents(client, new), [2] * 253, 'generations')
        equal(get(client, names), list(new.values()), 'contents')
        equal(remove(client, names), [2] * 253, 'generations')
        equal(names_of(client, 'batch/'), [], 'what is left')


@suite.test
def of_one(broker, _):
    """A request of one record is served as a whole, too"""
    with broker.connect() as client:
        equal(publish_contents(client, {'one': b'1'}), [1], 'generations')
        equal(get(client, ['one']), [b'1'], 'contents')
        with refused_for(0, 'NOT_FOUND'):
            remove(client, ['none'])
        remove(client, ['one'])


@suite.test
def some_do_not_say_so(broker, _):
    """Where some records say ATOMIC, and others do not, nothing is done"""
    with broker.connect() as client:
        ids = create(client, b'a', b'b')
        for flags in ((wire.PUBLISH_ATOMIC, 0), (0, wire.PUBLISH_ATOMIC)):
            with refused('FLAGS'):
                client.call(wire.PUBLISH, [{'id': ids[i], 'name': 'some/%d' % i, 'mode': 0o600, 'flags': flags[i]}
                                           for i in range(2)])
        equal(names_of(client, 'some/'), [], 'names')
        publish(client, [('some/0', ids[0]), ('some/1', ids[1])])
        for opcode, flag in ((wire.GET, wire.GET_ATOMIC), (wire.REMOVE, wire.REMOVE_ATOMIC)):
            with refused('FLAGS'):
                client.call(opcode, [{'name': 'some/0'}, {'name': 'some/1', 'flags': flag}])
        remove(client, ['some/0', 'some/1'])


@suite.test
def one_is_refused(broker, _):
    """Wherever a record is that is refused, nothing is published, and the accounts are as before"""
    with broker.connect() as client:
        make(client, b'there', 'refused/there')
        kept = client.create(3)
        os.close(kept['fd'])
        for index in (0, 1, 6, 12):
            for name, values in (('EXISTS', {'name': 'refused/there', 'flags': wire.PUBLISH_ATOMIC}),
                                 ('NOT_FOUND', {'id': 2 ** 40}),
                                 ('NOT_SEALED', {'flags': PUBLISH | wire.PUBLISH_VERIFY, 'seals': wire.WRITE}),
                                 ('NAME', {'name': ''}),
                                 ('GENERATION', {'flags': wire.PUBLISH_ATOMIC | wire.PUBLISH_COMPARE, 'expected': 7}),
                                 ('GENERATION', {'name': 'refused/there', 'expected': 0,
                                                 'flags': wire.PUBLISH_ATOMIC | wire.PUBLISH_COMPARE}),
                                 ('FLAGS', {'group': 1})):
                before = client.stats()
                records = [{'id': kept['id'], 'name': 'refused/%d' % i, 'flags': PUBLISH} for i in range(13)]
                records[index].update(values)
                with refused_for(index, name):
                    client.call(wire.PUBLISH, records)
                equal(names_of(client, 'refused/'), ['refused/there'], 'names')
                after = client.stats()
                for key in ('names', 'buffers', 'bytes', 'uid_names'):
                    equal(after[key], before[key], key)
        equal(client.stat('refused/there')['generation'], 1, 'generation')
        client.remove('refused/there')


@suite.test
def limits(broker, _):
    """Where the last name is one too many, there is none of them"""
    need_root()

    def check(client):
        account = client.stats()
        room = account['uid_names_limit'] - account['uid_names']
        buffers = create(client, *[b'x'] * 4)
        for count in (room + 1, room):
            pairs = [('limits/%03d' % i, buffers[i % 4]) for i in range(count)]
            if count > room:
                with refused_for(room, 'LIMIT'):
                    publish(client, pairs)
                equal(client.stats()['uid_names'], account['uid_names'], 'names')
            else:
                publish(client, pairs)
        remove(client, ['limits/%03d' % i for i in range(room)])

    def run():
        with small.connect() as client:
            check(client)

    with Broker('--limit', 'uid-names=40') as small:
        in_child(run, MINE, MINE)


@suite.test
def twice(broker, _):
    """A name can be there but once"""
    with broker.connect() as client:
        ids = create(client, b'a', b'b', b'c')
        with refused_for(2, 'FLAGS'):
            publish(client, [('twice/a', ids[0]), ('twice/b', ids[1]), ('twice/a', ids[2])])
        equal(names_of(client, 'twice/'), [], 'names')
        publish(client, [('twice/a', ids[0]), ('twice/b', ids[1])])
        with refused_for(1, 'FLAGS'):
            remove(client, ['twice/b', 'twice/b'])
        equal(get(client, ['twice/b', 'twice/b', 'twice/a']), [b'b', b'b', b'a'], 'contents')
        remove(client, ['twice/b', 'twice/a'])


@suite.test
def swapped(broker, _):
    """Two names can change their buffers with each other"""
    with broker.connect() as client:
        a, b = create(client, b'a', b'b')
        publish(client, [('swap/a', a), ('swap/b', b)])
        for _ in range(3):
            a, b = b, a
            publish(client, [('swap/a', a), ('swap/b', b)])
        equal(get(client, ['swap/a', 'swap/b']), [b'b', b'a'], 'contents')
        remove(client, ['swap/a', 'swap/b'])


@suite.test
def too_many_names_of_one(broker, _):
    """A buffer has 256 names at most, also where they come at once"""
    with broker.connect() as client:
        buffer, = create(client, b'x')
        publish(client, [('of/%03d' % i, buffer) for i in range(200)])
        with refused_for(56, 'LIMIT'):
            publish(client, [('of/%03d' % i, buffer) for i in range(200, 257)])
        equal(len(names_of(client, 'of/')), 200, 'names')
        publish(client, [('of/%03d' % i, buffer) for i in range(3, 256)])
        client.remove(id=buffer)


@suite.test
def get_is_refused(broker, _):
    """An atomic GET gives all, or nothing at all"""
    need_root()

    def look(client):
        for index in range(4):
            names = ['get/%d' % i for i in range(4)]
            names[index] = 'get/secret'
            with refused_for(index, 'DENIED'):
                get(client, names, owner=os.getuid() - 1)
            names[index] = 'get/none'
            with refused_for(index, 'NOT_FOUND'):
                get(client, names, owner=os.getuid() - 1)
            names[index] = 'get/taken'
            with refused_for(index, 'FLAGS'):
                get(client, names, owner=os.getuid() - 1)
        client.ping()

    def own(client):
        publish_contents(client, {'get/%d' % i: b'%d' % i for i in range(4)})
        make(client, b'secret', 'get/secret', mode=0o600)
        make(client, b'taken', 'get/taken', mode=0o644, flags=wire.PUBLISH_TAKE)
        with refused_for(1, 'NOT_SEALED'):
            client.call(wire.GET, [{'name': 'get/0', 'flags': wire.GET_ATOMIC},
                                   {'name': 'get/1', 'flags': wire.GET_ATOMIC, 'seals': wire.WRITE}])
        with refused_for(1, 'FLAGS'):
            client.call(wire.GET, [{'name': 'get/0', 'flags': wire.GET_ATOMIC},
                                   {'name': 'get/', 'flags': wire.GET_ATOMIC | wire.GET_FIRST}])
        for count in (1, 2):
            with refused('FLAGS'):
                client.call(wire.GET, [{'name': 'get/1', 'flags': wire.GET_ATOMIC | wire.GET_WAIT}] * count)
        with client.call(wire.GET, [{'name': 'get/0', 'flags': wire.GET_ATOMIC | wire.GET_WRITABLE},
                                    {'name': 'get/1', 'flags': wire.GET_ATOMIC}]) as message:
            equal(os.pwrite(message.fds[0], b'w', 0), 1, 'bytes written')
            try:
                os.pwrite(message.fds[1], b'w', 0)
                raise AssertionError('a reader has written')
            except OSError:
                pass

    def as_user(uid, function):
        def run():
            with broker.connect() as client:
                return function(client)
        return in_child(run, uid, uid)

    as_user(MINE, own)
    as_user(OTHER, look)
    as_user(MINE, lambda client: remove(client, ['get/%d' % i for i in range(4)] + ['get/secret', 'get/taken']))


@suite.test
def too_big_a_reply(broker, _):
    """What does not fit into one reply is refused as a whole"""
    with broker.connect() as client:
        created = client.create(1, metadata=b'k=' + b'v' * 4093 + b'\0')
        os.close(created['fd'])
        client.publish(created['id'], 'big')
        with refused_for(15, 'TOO_BIG'):
            get(client, ['big'] * 30, flags=wire.GET_ATOMIC | wire.GET_DETAILS)
        get(client, ['big'] * 15, flags=wire.GET_ATOMIC | wire.GET_DETAILS)
        client.remove('big')


@suite.test
def remove_is_refused(broker, _):
    """An atomic REMOVE removes all, or none"""
    with broker.connect() as client:
        names = ['rm/%d' % i for i in range(5)]
        publish_contents(client, {name: b'x' for name in names})
        for index in range(5):
            with refused_for(index, 'NOT_FOUND'):
                remove(client, names[:index] + ['rm/none'] + names[index:])
            with refused_for(index, 'GENERATION'):
                client.call(wire.REMOVE, [{'name': name, 'flags': wire.REMOVE_ATOMIC, 'generation': 1 + (i == index)}
                                          for i, name in enumerate(names)])
            equal(names_of(client, 'rm/'), names, 'names')
        with refused_for(0, 'TARGET'):
            client.call(wire.REMOVE, [{'id': client.stat('rm/0')['id'], 'flags': wire.REMOVE_ATOMIC}])
        equal(remove(client, names, generation=1), [1] * 5, 'generations')


@suite.test
def tells_the_generation(broker, _):
    """A batch that is refused with GENERATION tells which one the name is at; all other refusals tell none"""
    def refusal(opcode, *records):
        serial = client.start(opcode, records)
        with client.receive_for(serial) as message:
            equal(len(message.records), 1, 'records')
            return message.name(), message.records[0]['generation']

    with broker.connect() as client:
        for _ in range(3):
            [buffer] = create(client, b'x')
            publish(client, [('told/a', buffer)])
        good = {'id': buffer, 'name': 'told/b', 'mode': 0o600, 'flags': wire.PUBLISH_ATOMIC}
        compare = {**good, 'name': 'told/a', 'flags': wire.PUBLISH_ATOMIC | wire.PUBLISH_COMPARE}
        for records, told in (([{**compare, 'expected': 2}], ('GENERATION', 3)),
                              ([good, {**compare, 'expected': 2}], ('GENERATION', 3)),
                              ([good, compare], ('GENERATION', 3)),
                              ([good, {**compare, 'name': 'told/none', 'expected': 2}], ('GENERATION', 0)),
                              ([good, {**good, 'name': 'told/a'}], ('EXISTS', 0)),
                              ([{**compare, 'expected': 2, 'seals': wire.IMMUTABLE}], ('GENERATION', 3))):
            equal(refusal(wire.PUBLISH, *records), told, 'refusal of %r' % records)
        here = {'name': 'told/a', 'flags': wire.REMOVE_ATOMIC}
        equal(refusal(wire.REMOVE, {**here, 'generation': 1}), ('GENERATION', 3), 'refusal of a removal')
        equal(refusal(wire.REMOVE, here, {**here, 'name': 'told/none'}), ('NOT_FOUND', 0), 'refusal of a removal')
        get_it = {'name': 'told/a', 'flags': wire.GET_ATOMIC}
        equal(refusal(wire.GET, {**get_it, 'newer_than': 3}), ('GENERATION', 3), 'refusal of a GET')
        remove(client, ['told/a'])


@suite.test
def history(broker, _):
    """Former generations come and go with the batch"""
    with broker.connect() as client:
        for i in range(1, 6):
            equal(publish_contents(client, {'kept/a': b'a%d' % i, 'kept/b': b'b%d' % i}, keep=2), [i] * 2, 'generations')
        for i in (3, 4, 5):
            equal(get(client, ['kept/a', 'kept/b'], generation=i), [b'a%d' % i, b'b%d' % i], 'contents')
        with refused_for(0, 'GENERATION'):
            get(client, ['kept/a', 'kept/b'], generation=2)
        remove(client, ['kept/a', 'kept/b'])


@suite.test
def long_histories(broker, _):
    """In one step 1,024 generations go at most, former ones included"""
    names = ['long/%d' % i for i in range(5)]
    with broker.connect() as client:
        for _ in range(256):
            publish_contents(client, dict.fromkeys(names, b'x'), keep=255)
        with refused_for(4, 'LIMIT'):
            remove(client, names)
        with refused_for(4, 'LIMIT'):
            publish_contents(client, dict.fromkeys(names, b'y'), keep=50)
        equal(get(client, names), [b'x'] * 5, 'contents')
        equal(remove(client, names[:4]), [256] * 4, 'generations')
        client.remove(names[4])


@suite.test
def metadata(broker, _):
    """Metadata of a buffer with two names in one batch is there, or the batch is not"""
    with broker.connect() as client:
        a, b = create(client, b'a', b'b')
        records = [{'id': buffer, 'name': 'meta/%d' % i, 'flags': PUBLISH, 'metadata': text}
                   for i, (buffer, text) in enumerate(((a, b'k=1\0'), (b, b'k=2\0'), (a, b'')))]
        before = client.stats()
        with refused_for(3, 'NOT_FOUND'):
            client.call(wire.PUBLISH, [*records, {'id': 2 ** 40, 'name': 'x', 'flags': PUBLISH}])
        equal(client.stat(id=a)['metadata'], b'', 'metadata')
        equal(client.stats()['names'], before['names'], 'names')
        client.call(wire.PUBLISH, records).close()
        equal([client.stat('meta/%d' % i)['metadata'] for i in range(3)], [b'k=1\0', b'k=2\0', b'k=1\0'], 'metadata')
        remove(client, ['meta/%d' % i for i in range(3)])


@suite.test
def compared(broker, _):
    """Of two who compare and publish the same names, one wins all of them"""
    with broker.connect() as one, broker.connect() as other:
        names = ['race/%02d' % i for i in range(40)]
        for expected in range(20):
            contents = [[b'%d of %d' % (expected, who)] * len(names) for who in range(2)]
            ids = [create(client, *content) for client, content in zip((one, other), contents)]
            clients = [(one, 0), (other, 1)]
            rng.shuffle(clients)
            serials = [start_publish(client, list(zip(names, ids[who])), wire.PUBLISH_ATOMIC | wire.PUBLISH_COMPARE,
                                     expected=expected, seals=wire.IMMUTABLE) for client, who in clients]
            won = []
            for (client, who), serial in zip(clients, serials):
                with client.receive_for(serial) as message:
                    if message.status == 0:
                        won.append(who)
                    else:
                        equal(message.name(), 'GENERATION', message.text)
            equal(len(won), 1, 'winners')
            equal(get(one, names), contents[won[0]], 'contents')
            for buffer in ids[1 - won[0]]:
                one.remove(id=buffer)
        remove(one, names)


def replace_for_ever(path, names, ready):
    """Every buffer has the number of its batch in it; what is read must have the same one everywhere."""
    with wire.Client(path) as client:
        number = 0
        while True:
            number += 1
            publish_contents(client, {name: b'%d' % number for name in names})
            if number == 1:
                os.write(ready, b'x')


@suite.test
def never_a_mixture(broker, _):
    """Who gets several names at once never sees a half of a batch, while they are replaced as fast as can be"""
    names = ['planes/%d' % i for i in range(5)]
    many = ['planes/many/%03d' % i for i in range(253)]
    for set_of_names, readers in ((names, 3), (many, 1)):
        ready, ready_far = os.pipe()
        with process(lambda: replace_for_ever(broker.path, set_of_names, ready_far)):  # pylint: disable=W0640
            select.select([ready], [], [], 30)
            clients = [broker.connect() for _ in range(readers)]
            end, seen, reads = time.monotonic() + SECONDS / 2, set(), 0
            while time.monotonic() < end or len(seen) < 3:
                for client in clients:
                    some = set_of_names if rng.random() < 0.5 else rng.sample(set_of_names, 2)
                    contents = set(get(client, some))
                    equal(len(contents), 1, 'different batches in one GET: %r' % contents)
                    seen |= contents
                    reads += 1
            print('# %d reads saw %d generations of %d names' % (reads, len(seen), len(set_of_names)))
            for client in clients:
                client.close()
        os.close(ready)
        os.close(ready_far)
        with broker.connect() as client:
            eventually(lambda: client.stats()['connections'] == 2, what='the producer has gone')
            remove(client, set_of_names)


@suite.test
def many_at_once(broker, bystander):
    """Batches of 253 by several connections do not keep others waiting, nor get into each other's way"""
    names = ['crowd/%03d' % i for i in range(253)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(broker.connect()) for _ in range(4)]
        for round_ in range(4):
            serials = []
            for who, client in enumerate(clients):
                ids = create(client, *[b'%d %d' % (round_, who)] * 253)
                serials.append(start_publish(client, list(zip(names, ids))))
            bystander.served()
            for client, serial in zip(clients, serials):
                client.finish(serial).close()
            equal(len(set(get(clients[0], names))), 1, 'contents')
        equal(clients[0].stat(names[0])['generation'], 16, 'generation')
        remove(clients[0], names)


@suite.test
def gone_in_the_middle(broker, _):
    """A client that goes while its batch is served leaves all of it, or nothing"""
    names = ['gone/%03d' % i for i in range(253)]
    with broker.connect() as watcher:
        for round_ in range(12):
            client = broker.connect()
            ids = create(client, *[b'x'] * 253)
            start_publish(client, list(zip(names, ids)), seals=wire.IMMUTABLE)
            time.sleep(rng.random() * 0.002)
            client.close()
            eventually(lambda: watcher.stats()['connections'] == 2, what='it has gone')
            if len(names_of(watcher, 'gone/')) not in (0, 253):
                raise AssertionError('%d names are there' % len(names_of(watcher, 'gone/')))
        if names_of(watcher, 'gone/'):
            remove(watcher, names)


@suite.test
def store_is_full(broker, _):
    """Where the store has no room for one of them, none is published; those that were stored are removed"""
    need_systemd()
    with Manager(64) as manager, Broker(environment=manager.environment) as kept, kept.connect() as client:
        own = len(manager.names())
        manager.slots = own + 5
        ids = create(client, *[b'x'] * 6)
        with refused('STORE_FULL'):
            publish(client, [('full/%d' % i, ids[i]) for i in range(6)])
        equal(names_of(client, 'full/'), [], 'names')
        for buffer in ids:
            client.remove(id=buffer)
        eventually(lambda: manager.buffers() == [], what='they are removed')
        eventually(lambda: client.stats()['stored'] == 0, what='none is charged')
        ids = create(client, *[b'x'] * 4)
        time.sleep(1.1)  # a store that was full is not asked again before
        publish(client, [('full/%d' % i, ids[i]) for i in range(4)])
        equal(all(client.stat('full/%d' % i)['flags'] & wire.INFO_SURVIVES for i in range(4)), True, 'they survive')


def generations(client, names):
    """{name: generation} of those that are there."""
    return {record['name']: record['generation'] for record in client.list(prefix='life/') if record['name'] in names}


def storm(path, names, progress):
    """Batches that replace and remove, until somebody kills it or the broker; tells which was begun, which answered."""
    with contextlib.suppress(wire.Disconnected, ConnectionError, OSError):
        with wire.Client(path) as client:
            number = 0
            while True:
                number += 1
                contents = create(client, *[b'%d' % number] * len(names))
                os.write(progress, b'b')
                publish(client, list(zip(names, contents)), keep=number % 3)
                os.write(progress, b'p')
                if number % 4 == 0:
                    remove(client, names)
                    os.write(progress, b'r')


@suite.test
def killed_in_the_middle(_, __):
    """Of a batch that is published or removed while the broker is killed, all is there after the restart, or none"""
    need_systemd()
    names = ['life/%03d' % i for i in range(60)]
    seen = {'all': 0, 'none': 0}
    with Lives() as lives:
        for round_ in range(ROUNDS):
            lives.start()
            progress, progress_far = os.pipe()
            with process(lambda: storm(lives.path, names, progress_far)):  # pylint: disable=W0640
                os.read(progress, 1)
                time.sleep(rng.random() * 0.08)
                lives.kill()
            os.close(progress)
            os.close(progress_far)
            lives.start()
            with lives.connect() as client:
                found = generations(client, names)
                if found:
                    equal(len(found), len(names), 'names of round %d' % round_)
                    equal(len(set(found.values())), 1, 'generations')
                    equal(len(set(get(client, names))), 1, 'contents')
                    oldest = {client.stat(name)['oldest'] for name in names}
                    equal(len(oldest), 1, 'oldest generations')
                    remove(client, names)
                seen['all' if found else 'none'] += 1
                equal(client.stats()['names'], 0, 'names')
                equal(client.stats()['buffers'], 0, 'buffers')
            lives.stop()
        print('# after %d kills all were there %d times, and none %d times' % (ROUNDS, seen['all'], seen['none']))


def unread(client):
    """Bytes that the broker has not received yet."""
    room = array.array('i', [0])
    fcntl.ioctl(client.socket, termios.TIOCOUTQ, room)
    return room[0]


def kill_at(lives, client, start, steps):
    """Has start() send a request, and kills the broker so many instructions after it has received that. How many there
    are at most: until the reply is there."""
    poll = select.poll()
    poll.register(client.socket, select.POLLIN)
    attach(lives.pid)
    start()
    go_on_until(lives.pid, lambda: unread(client) == 0)
    done = step(lives.pid, steps, lambda: poll.poll(0))
    lives.kill()
    return done


def furnish(lives, names):
    """Names at generation 1, and stored buffers for their generation 2."""
    lives.start()
    with lives.connect() as client:
        publish_contents(client, {name: b'1' for name in names}, keep=1)
        ids = create(client, *[b'2'] * len(names))
        publish(client, [('next/' + name, buffer) for name, buffer in zip(names, ids)])
    return ids


def check_all_or_none(lives, names, removes):
    """What there is after the restart: the names of before, or those of afterwards."""
    lives.start()
    with lives.connect() as client:
        found = generations(client, names)
        if removes and not found:
            done = True
        else:
            equal(len(found), len(names), 'names')
            equal(len(set(found.values())), 1, 'generations')
            contents = set(get(client, names))
            done = not removes and set(found.values()) == {2}
            equal(contents, {b'2' if done else b'1'}, 'contents')
            equal({client.stat(name)['oldest'] for name in names}, {1}, 'oldest generations')
            remove(client, names)
        remove(client, ['next/' + name for name in names])
        equal([client.stats()[key] for key in ('names', 'buffers', 'bytes', 'stored')], [0] * 4, 'what is left')
    lives.stop()
    return done


@suite.test
def killed_at_each_step(_, __):
    """The same at a random instruction between the request and its reply"""
    need_systemd()
    names = ['life/%d' % i for i in range(5)]
    with Lives() as lives:
        for what in ('publish', 'remove'):
            most, came = 10 ** 7, [0, 0]
            for _ in range(STEPPED):
                ids = furnish(lives, names)
                with lives.connect() as client:
                    def start():
                        if what == 'publish':  # pylint: disable=cell-var-from-loop
                            start_publish(client, list(zip(names, ids)), keep=1)  # pylint: disable=W0640
                        else:
                            client.start(wire.REMOVE, [{'name': name, 'flags': wire.REMOVE_ATOMIC} for name in names])  # pylint: disable=W0640
                    done = kill_at(lives, client, start, most if most == 10 ** 7 else rng.randrange(most))
                most = min(most, done) if most == 10 ** 7 else most
                came[check_all_or_none(lives, names, what == 'remove')] += 1
            print('# %s: %d instructions; %d times nothing, %d times all' % (what, most, *came))


@contextlib.contextmanager
def committed(lives):
    """A function that tells the bytes of the ledger that tell which batch was the last one."""
    kept = lives.manager.duplicates()
    try:
        ledger, = [fd for name, fd in kept if name == 'ledger']
        yield lambda: os.pread(ledger, 8, LEDGER_COMMITTED)
    finally:
        for _, fd in kept:
            os.close(fd)


def kill_after_commit(lives, client, start, steps):
    """Has start() send a batch, and kills the broker so many instructions after it has committed it. How many there are
    at most: until the reply is there."""
    poll = select.poll()
    poll.register(client.socket, select.POLLIN)

    def has_come():
        return poll.poll(0)

    with committed(lives) as batch:
        before = batch()
        attach(lives.pid)
        start()
        go_on_until(lives.pid, lambda: unread(client) == 0)
        step(lives.pid, 10 ** 7, lambda: batch() != before or has_come())
        equal(batch() != before, True, 'it is committed')
    done = step(lives.pid, steps, has_come)
    lives.kill()
    return done


def mixed(lives, names, flags, steps):
    """Of names that survive the broker every second one is replaced by what does not. Killed so many instructions
    after the commit: (how many these were, {name: generation} of what is there afterwards)."""
    lives.start()
    with lives.connect() as client:
        publish_contents(client, dict.fromkeys(names, b'1'), keep=2)
        publish_contents(client, dict.fromkeys(names, b'2'), keep=2)
        publish_contents(client, {'new': b'3'})
        new = client.stat('new')['id']
        gone, = create(client, b'gone')

        def start():
            client.start(wire.PUBLISH, [
                {'id': gone if i % 2 else new, 'name': name, 'mode': 0o644, 'keep': 2,
                 'flags': PUBLISH | (flags if i % 2 else 0)} for i, name in enumerate(names)])
        steps = kill_after_commit(lives, client, start, steps)
    lives.start()
    with lives.connect() as client:
        found = {record['name']: record['generation'] for record in client.list(prefix='life/')}
        for name in list(found) + ['new']:
            client.remove(name)
        equal([client.stats()[key] for key in ('names', 'buffers', 'stored')], [0] * 3, 'what is left')
    lives.stop()
    return steps, found


@suite.test
def killed_when_it_replaces_by_volatile_ones(_, __):
    """What a batch replaces by what does not survive the broker does not come back, once something of the batch does"""
    need_systemd()
    names = ['life/%d' % i for i in range(4)]
    rounds = max(STEPPED // 2, 1)
    afterwards = {name: 3 for name in names[::2]}
    with Lives() as lives:
        for flags in (wire.PUBLISH_VOLATILE, wire.PUBLISH_UNTIL_CLOSE):
            most, _ = mixed(lives, names, flags, 10 ** 7)
            for i in range(rounds):
                _, found = mixed(lives, names, flags, most * i // rounds)
                equal(found, afterwards, 'what is there when it was killed %d/%d behind the commit' % (i, rounds))
            print('# %d instructions from the commit to the reply' % most)


if __name__ == '__main__':
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.exit(suite.main())
