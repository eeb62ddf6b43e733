#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The service manager's descriptor store, with a manager that the tests can hold up: what is published is there before
it is answered, and gone when it is removed."""
import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import sealbuf_wire as wire
from lives import Lives
from manager import Manager
from testbed import (SEALBUFD, Broker, Skip, Suite, equal, eventually, fetch, in_child, make, process, refused,
                     skip_all_without_systemd)

manager = Manager()
suite = Suite(environment=manager.environment)
suite.at_rest = lambda: 'canary' not in manager.names()
# What the broker keeps for itself.
OWN = {'ledger', 'canary'}


def others(a_manager):
    """What is kept and is no buffer; the canary of a batch comes and goes."""
    return [name for name in a_manager.names() if not name.startswith('buffer-')]


def create(client, size=4096):
    created = client.create(size)
    os.close(created['fd'])
    return created['id']


def adopt_writable(client, name, owner=None):
    """Adopts what one gets writable: another buffer of the same open file description. Its id."""
    got = client.get(name, flags=wire.GET_WRITABLE, **({} if owner is None else {'owner': owner}))
    try:
        return client.adopt(got['fd'])['id']
    finally:
        os.close(got['fd'])


def create_many(client, count):
    with client.call(wire.CREATE, [{'size': 4096}] * count) as message:
        return [record['id'] for record in message.records]


def send_publish(client, pairs, **values):
    """Sends one PUBLISH of [(id, name)]."""
    client.start(wire.PUBLISH, [{'id': buffer, 'name': name, 'mode': 0o600, **values} for buffer, name in pairs])


def statuses(client):
    """Of the reply's records."""
    with client.receive() as message:
        equal(message.status, 0, 'status')
        return [wire.NAME_OF.get(record['status'], 'OK') for record in message.records]


def publish(client, name, **values):
    buffer = create(client)
    client.publish(buffer, name, **values)
    return buffer


def survives(client, name):
    return bool(client.stat(name)['flags'] & wire.INFO_SURVIVES)


def kept_now(client, buffer, name):
    """Publishes it, unless the store is full."""
    try:
        client.publish(buffer, name)
    except wire.Refused as error:
        equal(error.name, 'STORE_FULL', 'error')
        return False
    return survives(client, name)


def kept_descriptors(lives):
    return {name.split('-')[0] for name in lives.manager.names()}


def answered(client, seconds):
    client.socket.settimeout(seconds)
    try:
        client.socket.recv(1, socket.MSG_PEEK)
        return True
    except socket.timeout:
        return False
    finally:
        client.socket.settimeout(20)


@contextlib.contextmanager
def small(slots, *arguments, **options):
    """A broker whose manager keeps so many descriptors, the broker's own ledger not counted."""
    with Manager(slots + 64, **options) as a_manager, Broker(*arguments, environment=a_manager.environment) as broker:
        a_manager.slots = len(others(a_manager)) + slots
        yield a_manager, broker


@suite.test
def kept_before_it_is_answered(broker, _):
    """What is published is in the store before it is answered, and is charged"""
    with broker.connect() as client:
        descriptors = broker.descriptors()
        before, since = client.stats(), len(manager.texts())
        buffer = publish(client, 'kept')
        equal(manager.buffers(), [buffer], 'kept')
        texts = manager.texts(since)
        name = 'buffer-%016x' % buffer
        order = [text for text in texts if name in text or text == 'BARRIER=1']
        equal(order, ['FDSTORE=1\nFDNAME=%s\nFDPOLL=0' % name, 'BARRIER=1'], 'what the manager was told')
        equal(survives(client, 'kept'), True, 'flag')
        for key in ('stored', 'uid_stored'):
            equal(client.stats()[key], before[key] + 1, key)
        client.remove('kept')
        eventually(lambda: manager.buffers() == [], what='it is removed')
        equal(client.stats()['stored'], before['stored'], 'stored')
        eventually(lambda: set(others(manager)) <= OWN - {'canary'}, what='no canary is left')
        eventually(lambda: broker.descriptors() == descriptors, what='none of its descriptors is left')


@suite.test
def waits_for_the_barrier(broker, _):
    """Nothing is answered, nor published, before the manager says that it has it; others are served meanwhile"""
    with broker.connect() as client, broker.connect() as other:
        buffer = create(client)
        with manager.holding():
            send_publish(client, [(buffer, 'later')])
            equal(answered(client, 0.3), False, 'answered')
            with refused('NOT_FOUND'):
                other.stat('later')
            other.ping()
            publish(other, 'at/once', flags=wire.PUBLISH_VOLATILE)
            equal(survives(other, 'at/once'), False, 'flag')
        equal(statuses(client), ['OK'], 'then')
        equal(survives(other, 'later'), True, 'flag')
        client.remove('later')
        client.remove('at/once')
        eventually(lambda: manager.buffers() == [], what='it is removed')


@suite.test
def tool_tells(broker, _):
    """sealbufctl put --json tells whether what it has published survives"""
    tool = os.environ.get('SEALBUFCTL', os.path.join(os.path.dirname(SEALBUFD), 'sealbufctl'))
    for option, told in (('--replace', True), ('--or-volatile', True), ('--volatile', False)):
        text = subprocess.run([tool, '--socket', broker.path, 'put', '--json', option, 'told', '/dev/null'],
                              stdout=subprocess.PIPE, check=True).stdout
        equal(json.loads(text)['survives'], told, option)
        with broker.connect() as client:
            client.remove('told')
    eventually(lambda: manager.buffers() == [], what='all are removed')


@suite.test
def volatile_first(broker, _):
    """A volatile buffer survives as soon as it is published again, to survive"""
    with broker.connect() as client:
        buffer = publish(client, 'first', flags=wire.PUBLISH_VOLATILE)
        equal((manager.buffers(), survives(client, 'first')), ([], False), 'volatile')
        client.publish(buffer, 'second')
        equal((manager.buffers(), survives(client, 'second')), ([buffer], True), 'stored')
        client.remove('second')
        equal(client.stat('first')['id'], buffer, 'it has a name still')
        client.remove('first')
        eventually(lambda: manager.buffers() == [], what='it is removed')
        with refused('FLAGS'):
            client.publish(create(client), 'both', flags=wire.PUBLISH_VOLATILE | wire.PUBLISH_OR_VOLATILE)


@suite.test
def batches(broker, _):
    """253 in one request, and the same buffer many times"""
    with broker.connect() as client:
        ids = create_many(client, 253)
        send_publish(client, [(buffer, 'batch/%d' % buffer) for buffer in ids])
        equal(set(statuses(client)), {'OK'}, 'statuses')
        equal(sorted(manager.buffers()), sorted(ids), 'kept')
        for buffer in ids:
            client.remove('batch/%d' % buffer)
        eventually(lambda: manager.buffers() == [], what='all are removed')
        one, since = create(client), len(manager.texts())
        send_publish(client, [(one, 'one/%d' % i) for i in range(100)])
        equal(set(statuses(client)), {'OK'}, 'statuses')
        equal(sum(text.startswith('FDSTORE=1\nFDNAME=buffer') for text in manager.texts(since)), 1, 'times stored')
        client.remove(id=one)
        eventually(lambda: manager.buffers() == [], what='it is removed')


@suite.test
def two_at_once(broker, _):
    """Two requests at once for the same buffer, of which one may go"""
    for goes in (False, True):
        with broker.connect() as one, broker.connect() as other, broker.connect() as third:
            buffer = create(one)
            with manager.holding():
                send_publish(third, [(create(third), 'third')])  # the manager is busy with this one
                equal(answered(third, 0.1), False, 'answered')
                send_publish(one, [(buffer, 'by/one')])
                send_publish(other, [(buffer, 'by/other')])
                equal(answered(other, 0.1), False, 'answered')
                if goes:
                    other.close()
            equal((statuses(one), statuses(third)), (['OK'], ['OK']), 'statuses')
            if not goes:
                equal(statuses(other), ['OK'], 'the other')
            one.remove(id=buffer)
            one.remove('third')
            eventually(lambda: manager.buffers() == [], what='all are removed')


@suite.test
def dies(broker, bystander):
    """Peers that die while their publishes wait: they are carried out, or nothing is left of them"""
    clients = [broker.connect() for _ in range(3)]
    with manager.holding():
        for i, client in enumerate(clients):
            send_publish(client, [(buffer, 'dies/%d' % buffer) for buffer in create_many(client, 100)])
            equal(answered(client, 0.1), False, 'answered')
        eventually(lambda: bystander.client.stats()['stored'] == 300, what='all are on their way')
        for client in clients:
            client.close()
    eventually(lambda: bystander.client.stats()['connections'] == 1, what='their connections end')
    names = bystander.client.list(prefix='dies/')
    equal(sorted(manager.buffers()), sorted(record['id'] for record in names), 'what is kept has a name')
    equal(bystander.client.stats()['stored'], len(names), 'stored')
    for record in names:
        bystander.client.remove(record['name'])
    eventually(lambda: manager.buffers() == [], what='nothing is kept')
    equal(bystander.client.stats()['stored'], 0, 'stored')


@suite.test
def gone_meanwhile(broker, bystander):
    """A buffer that is removed while it waits is not published, and not kept"""
    with broker.connect() as client, broker.connect() as other:
        buffer = create(client)
        with manager.holding():
            send_publish(client, [(buffer, 'gone')])
            equal(answered(client, 0.1), False, 'answered')
            other.remove(id=buffer)
        equal(statuses(client), ['NOT_FOUND'], 'status')
        eventually(lambda: manager.buffers() == [], what='nothing is kept')
        equal(bystander.client.stats()['stored'], 0, 'stored')


@suite.test
def name_taken_meanwhile(broker, bystander):
    """A name that is bound while a publish waits: it is refused then, and nothing is kept once the buffer goes"""
    with broker.connect() as client, broker.connect() as other:
        buffer = create(client)
        with manager.holding():
            send_publish(client, [(buffer, 'taken')])
            equal(answered(client, 0.1), False, 'answered')
            publish(other, 'taken', flags=wire.PUBLISH_VOLATILE)
        equal(statuses(client), ['EXISTS'], 'status')
        client.publish(buffer, 'free')
        equal(survives(client, 'free'), True, 'flag')
        client.remove('free')
        client.remove('taken')
        eventually(lambda: manager.buffers() == [], what='nothing is kept')
        equal(bystander.client.stats()['stored'], 0, 'stored')


@suite.test
def same_description(broker, bystander):
    """Buffers of one open file description, which the manager keeps once: it stays until the last of them goes"""
    with broker.connect() as client:
        since = len(manager.texts())
        first = publish(client, 'first')
        second = adopt_writable(client, 'first')
        client.publish(second, 'second')
        equal((manager.buffers(), survives(client, 'second')), ([first], True), 'kept once')
        equal(client.stats()['stored'], 2, 'both are charged')
        client.remove('first')
        third = adopt_writable(client, 'second')
        client.publish(third, 'third')
        client.remove('second')
        publish(client, 'another')
        client.remove('another')
        eventually(lambda: manager.buffers() == [first], what='it is kept for the last one')
        client.remove('third')
        eventually(lambda: manager.buffers() == [], what='it is removed')
        equal(sum('buffer-%016x' % first in text for text in manager.texts(since)), 2, 'what the manager was told of it')
    equal(bystander.client.stats()['stored'], 0, 'stored')


@suite.test
def same_description_at_once(broker, bystander):
    """Such buffers on their way at the same time, of which any may go, or fail"""
    for goes in ('none', 'first', 'second'):
        with broker.connect() as one, broker.connect() as other, broker.connect() as third:
            first = publish(one, 'first', flags=wire.PUBLISH_VOLATILE)
            second = adopt_writable(other, 'first')
            with manager.holding():
                send_publish(third, [(create(third), 'third')])  # the manager is busy with this one
                equal(answered(third, 0.1), False, 'answered')
                send_publish(one, [(first, 'by/one')])
                equal(answered(one, 0.1), False, 'answered')
                send_publish(other, [(second, 'by/other')])
                equal(answered(other, 0.1), False, 'answered')
                if goes == 'first':
                    one.close()
                if goes == 'second':
                    other.close()
            for client, name in ((one, 'first'), (other, 'second'), (third, 'third')):
                if name != goes:
                    equal(statuses(client), ['OK'], 'status of the %s, where %s goes' % (name, goes))
            equal(first in manager.buffers(), True, 'kept')
            for record in third.list():
                third.remove(record['name'])
            eventually(lambda: manager.buffers() == [], what='all are removed')
    equal(bystander.client.stats()['stored'], 0, 'stored')


@suite.test
def same_description_not_kept(*_):
    """Where the manager does not keep such a description, none of its buffers is published"""
    with small(1) as (a_manager, broker), broker.connect() as one, broker.connect() as other:
        first = publish(one, 'first', flags=wire.PUBLISH_VOLATILE)
        second = adopt_writable(other, 'first')
        with a_manager.holding():
            send_publish(one, [(first, 'by/one')])
            equal(answered(one, 0.1), False, 'answered')
            send_publish(other, [(second, 'by/other')])
            equal(answered(other, 0.1), False, 'answered')
        equal((statuses(one), statuses(other)), (['STORE_FULL'], ['STORE_FULL']), 'statuses')
        equal(one.stats()['stored'], 0, 'stored')
        a_manager.slots += 1
        publish(one, 'first', flags=wire.PUBLISH_REPLACE | wire.PUBLISH_VOLATILE)
        eventually(lambda: kept_now(other, second, 'by/other'), what='there is room again')
        equal(a_manager.buffers(), [second], 'kept')
        other.remove('by/other')
        eventually(lambda: a_manager.buffers() == [], what='nothing is kept')


@suite.test
def same_description_survives(*_):
    """Buffers of one description, of one user and of two, after kill -9, and after another one"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            for name in ('one', 'two'):
                make(client, b'same', name, mode=0o666)
                client.publish(adopt_writable(client, name), name + '/adopted')
            client.remove('two')
        names = ['one', 'one/adopted', 'two/adopted']
        if os.geteuid() == 0:
            def bob():
                with lives.connect() as client:
                    client.publish(adopt_writable(client, 'one', owner=0), 'bob', mode=0o644)
            in_child(bob, uid=61002, gid=61002)
        for _ in range(2):
            lives.kill()
            lives.start()
            equal(lives.log().count('dropped'), 0, 'lines of what is dropped')
            with lives.connect() as client:
                for name in names:
                    equal((fetch(client, name)[1], survives(client, name)), (b'same', True), name)
                if os.geteuid() == 0:
                    equal(fetch(client, 'bob', owner=61002)[1], b'same', "another user's")
                if 'one' in names:
                    names.remove('one')  # the entry has its name
                    client.remove('one')
        said = len(lives.manager.texts())
        os.kill(lives.pid, signal.SIGUSR2)
        eventually(lambda: any('READY=1' in text for text in lives.manager.texts(said)), what='it has executed itself')
        equal(len(lives.manager.buffers()), 2, 'kept')
        with lives.connect() as client:
            for name in names:
                client.remove(name)
            if os.geteuid() == 0:
                client.remove('bob', owner=61002)
            eventually(lambda: lives.manager.buffers() == [], what='all are removed')


@suite.test
def canary_after_takeover(*_):
    """A canary that was left behind is removed by the program that takes over"""
    with Lives() as lives:
        lives.start()
        said, kept = len(lives.manager.texts()), os.open('/dev/null', os.O_RDONLY)
        lives.manager.keep('canary', kept, False)
        os.kill(lives.pid, signal.SIGUSR2)
        eventually(lambda: any('READY=1' in text for text in lives.manager.texts(said)), what='it has executed itself')
        with lives.connect() as client:
            publish(client, 'kept')
            texts = lives.manager.texts(said)
        first = next(i for i, text in enumerate(texts) if text.startswith('FDSTORE=1'))
        equal('FDSTOREREMOVE=1\nFDNAME=canary' in texts[:first], True, 'it is removed before anything is kept')
        equal(kept_descriptors(lives), {'ledger', 'buffer'}, 'kept')


@suite.test
def sealing_first(broker, _):
    """Seals that are missing are added first; where they are not to be had nothing is stored"""
    with broker.connect() as client:
        buffer = create(client)
        equal(client.publish(buffer, 'sealed', seals=wire.IMMUTABLE)['seals'] & wire.IMMUTABLE, wire.IMMUTABLE, 'seals')
        equal(manager.buffers(), [buffer], 'kept')
        client.remove('sealed')
        closed = create(client)
        client.one(wire.SEAL, id=closed, seals=wire.SEAL_SEAL)
        since = len(manager.texts())
        records = [(closed, 'closed'), (create(client), 'open')]
        send_publish(client, records, seals=wire.WRITE)
        equal(statuses(client), ['SEALED', 'OK'], 'statuses')
        with refused('NOT_SEALED'):
            client.publish(create(client), 'verified', seals=wire.WRITE, flags=wire.PUBLISH_VERIFY)
        stored = [text for text in manager.texts(since) if text.startswith('FDSTORE=1\nFDNAME=buffer')]
        equal(len(stored), 1, 'stored')
        client.remove('open')
        eventually(lambda: manager.buffers() == [], what='nothing is kept')


@suite.test
def replaced(broker, _):
    """What is replaced is removed from the store, behind what replaces it; a buffer with another name stays"""
    with broker.connect() as client:
        first = publish(client, 'name')
        second = publish(client, 'name', flags=wire.PUBLISH_REPLACE)
        eventually(lambda: manager.buffers() == [second], what='the first one is removed')
        client.publish(second, 'other')
        third = publish(client, 'name', flags=wire.PUBLISH_REPLACE | wire.PUBLISH_VOLATILE)
        equal((manager.buffers(), survives(client, 'name')), ([second], False), 'the second one')
        equal(len({first, second, third}), 3, 'ids')
        client.remove('name')
        client.remove('other')
        eventually(lambda: manager.buffers() == [], what='all are removed')


@suite.test
def taken(broker, _):
    """Who takes a buffer takes it out of the store"""
    with broker.connect() as client:
        publish(client, 'take', flags=wire.PUBLISH_TAKE)
        got = client.get('take')
        os.close(got['fd'])
        client.ping()
        eventually(lambda: manager.buffers() == [], what='it is removed')


@suite.test
def order(broker, _):
    """What is removed is removed before what is published afterwards is stored"""
    with broker.connect() as client:
        first, second, since = publish(client, 'first'), create(client), len(manager.texts())
        client.remove('first')
        client.publish(second, 'second')
        texts = [text for text in manager.texts(since) if 'buffer-' in text]
        equal(texts, ['FDSTOREREMOVE=1\nFDNAME=buffer-%016x' % first,
                      'FDSTORE=1\nFDNAME=buffer-%016x\nFDPOLL=0' % second], 'order')
        client.remove('second')
        eventually(lambda: manager.buffers() == [], what='all are removed')


@suite.test
def no_answer(broker, bystander):
    """A manager that never answers: an error after some seconds, or volatile; nothing is left when it wakes up"""
    with broker.connect() as client, broker.connect() as other:
        with manager.holding():
            send_publish(client, [(create(client), 'never')])
            send_publish(other, [(create(other), 'or')], flags=wire.PUBLISH_OR_VOLATILE)
            equal(statuses(client), ['INTERNAL'], 'status')
            equal(statuses(other), ['OK'], 'status')
            equal(survives(other, 'or'), False, 'flag')
        other.remove('or')
        eventually(lambda: manager.buffers() == [] and set(others(manager)) <= OWN - {'canary'}, what='nothing is kept')
        equal(bystander.client.stats()['stored'], 0, 'stored')
        publish(client, 'again')
        client.remove('again')
    equal(broker.log().count("service manager's store"), 1, 'lines in the log')


@suite.test
def deaf(broker, bystander):
    """A manager that does not read: an error, and what was to be removed is removed later"""
    with broker.connect() as client:
        names = ['deaf/%d' % i for i in range(600)]
        for name in names:
            publish(client, name)
        with manager.deaf():
            for name in names:
                client.remove(name)
            with refused('INTERNAL'):
                publish(client, 'never')
            publish(client, 'volatile', flags=wire.PUBLISH_OR_VOLATILE)
        client.remove('volatile')
        eventually(lambda: manager.buffers() == [], what='nothing is kept')
        equal(bystander.client.stats()['stored'], 0, 'stored')


@suite.test
def no_descriptors(broker, _):
    """A full table of descriptors: an error that says so"""
    with broker.connect() as client:
        buffer = create(client)
        before = broker.limit_descriptors(8)
        try:
            with refused('TABLE_FULL'):
                client.publish(buffer, 'no/pipe')
            client.publish(buffer, 'no/pipe', flags=wire.PUBLISH_OR_VOLATILE)
        finally:
            broker.limit_descriptors(before)
        client.remove('no/pipe')
        eventually(lambda: manager.buffers() == [], what='nothing is kept')


@suite.test
def in_flight(*_):
    """Too many descriptors of the broker's user are on their way already: an error that says so"""
    if os.geteuid() != 0:
        raise Skip('needs root')
    uid = 300000 + os.getpid() % 100000

    def hold():
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(6)]
        for pair in pairs:
            socket.send_fds(pair[0], [b'x'], [0] * 200)
        os.write(held_far, b'x')
        time.sleep(60)

    held, held_far = os.pipe()
    with Manager() as a_manager:
        # Root's are not counted.
        with Broker(limits={resource.RLIMIT_NOFILE: 1024}, uid=uid, environment=a_manager.environment) as broker:
            with broker.connect() as client:
                buffer = create(client)
                with process(hold):
                    os.read(held, 1)
                    with refused('TABLE_FULL'):
                        client.publish(buffer, 'refused')
                    client.publish(buffer, 'volatile', flags=wire.PUBLISH_OR_VOLATILE)
                eventually(lambda: a_manager.buffers() == [], what='nothing is kept')
                with process(hold):
                    os.read(held, 1)
                    send_publish(client, [(buffer, 'landed')])
                    equal(answered(client, 0.2), False, 'answered')
                equal(statuses(client), ['OK'], 'once they have landed')  # it has been tried again
                publish(client, 'kept')
                equal(survives(client, 'kept'), True, 'flag')
    os.close(held)
    os.close(held_far)


@suite.test
def full(*_):
    """A full store: so many are kept, the next one is refused in clear words, or volatile; there is room again later"""
    with small(5) as (a_manager, broker), broker.connect() as client:
        for i in range(4):  # the fifth slot is the canary's
            publish(client, 'kept/%d' % i)
        buffer = create(client)
        for _ in range(3):
            with refused('STORE_FULL'):
                client.publish(buffer, 'more')
        eventually(lambda: len(a_manager.buffers()) == 4, what='no more are kept')
        equal(client.stats()['stored'], 4, 'charged')
        client.publish(buffer, 'or', flags=wire.PUBLISH_OR_VOLATILE)
        equal(survives(client, 'or'), False, 'flag')
        publish(client, 'volatile', flags=wire.PUBLISH_VOLATILE)
        with refused('STORE_FULL'):
            client.publish(buffer, 'more')
        client.remove('kept/0')
        client.publish(buffer, 'more')
        equal(survives(client, 'more'), True, 'flag')
        for name in ('kept/1', 'kept/2', 'kept/3', 'more', 'or'):
            client.remove(name)
        eventually(lambda: a_manager.buffers() == [], what='all are removed')


@suite.test
def full_is_remembered(*_):
    """Of a full store the manager hears once in a second; what is removed makes room at once"""
    with small(3) as (a_manager, broker), broker.connect() as client:
        kept = [publish(client, 'kept/%d' % i) for i in range(2)]
        ids, since = create_many(client, 100), len(a_manager.texts())
        send_publish(client, [(buffer, 'more/%d' % buffer) for buffer in ids[:1]])
        for buffer in ids[1:]:
            send_publish(client, [(buffer, 'more/%d' % buffer)])
        equal([statuses(client)[0] for _ in ids], ['STORE_FULL'] * 100, 'statuses')
        sent = sum(text.startswith('FDSTORE=1\nFDNAME=buffer') for text in a_manager.texts(since))
        if sent > 5:
            raise AssertionError('%d of 100 were sent to a manager that has no room' % sent)
        client.remove('kept/0')
        client.publish(ids[0], 'more')
        equal(a_manager.buffers(), [kept[1], ids[0]], 'kept')
        with refused('STORE_FULL'):
            client.publish(ids[1], 'still/more')
        client.publish(adopt_writable(client, 'more'), 'same/description')
        a_manager.slots += 1
        eventually(lambda: kept_now(client, ids[1], 'still/more'), what='it is tried again')
        equal(broker.log().count('or set stored in sealbufd.conf to 2 or less'), 1, 'lines in the log')


@suite.test
def full_with_a_number(*_):
    """Where the manager says how much it keeps ($FDSTORE), a canary need not die at once: no more is ever sent"""
    with Manager(40, closes_late=True) as a_manager:
        with Broker(environment={**a_manager.environment, 'FDSTORE': '40'}) as broker, broker.connect() as client:
            send_publish(client, [(buffer, 'batch/%d' % buffer) for buffer in create_many(client, 30)])
            equal(statuses(client), ['OK'] * 24 + ['LIMIT'] * 6, 'statuses')
            equal(len(a_manager.buffers()), 24, 'kept')
    with Manager(0, closes_late=True) as a_manager:
        with Broker(environment=a_manager.environment) as broker, broker.connect() as client:
            publish(client, 'volatile')
            equal(survives(client, 'volatile'), False, 'flag')


@suite.test
def batch_in_a_full_store(*_):
    """A batch that is more than the store has room for: what is said to be kept is, and nothing else"""
    for slots in (1, 2, 7, 40, 253):
        with small(slots) as (a_manager, broker), broker.connect() as client:
            ids = create_many(client, 253)
            send_publish(client, [(buffer, 'batch/%d' % buffer) for buffer in ids])
            result = statuses(client)
            equal((result.count('OK'), result.count('STORE_FULL')), (slots - 1, 254 - slots), 'kept and not')
            kept = [buffer for buffer, status in zip(ids, result) if status == 'OK']
            eventually(lambda a_manager=a_manager, kept=kept: sorted(a_manager.buffers()) == kept, what='what is kept')
            equal(client.stats()['stored'], len(kept), 'stored')


@suite.test
def no_store(*_):
    """Without a store everything is volatile, and the log says so"""
    with Manager(0) as a_manager:
        for environment, said in ((a_manager.environment, 1), ({}, 0)):
            with Broker(environment=environment) as broker, broker.connect() as client:
                publish(client, 'volatile')
                equal(survives(client, 'volatile'), False, 'flag')
                equal(broker.log().count('FileDescriptorStoreMax'), said, 'lines in the log')
                stats = client.stats()
                equal({stats[key] for key in ('stored', 'stored_limit', 'uid_stored_limit')}, {0}, 'figures')
                with client.call(wire.ACCOUNTS, [{'flags': 0, 'from': 0}]) as message:
                    equal([account['stored_limit'] for account in message.records], [0], 'limit in the account')


@suite.test
def manager_gone(*_):
    """A manager that is gone: an error at once, and the broker ends well"""
    with Manager() as a_manager, Broker(environment=a_manager.environment) as broker, broker.connect() as client:
        publish(client, 'before')
        os.unlink(a_manager.path)
        buffer = create(client)
        for i in range(5):
            with refused('INTERNAL'):
                client.publish(buffer, 'after')
            if i == 0:
                before = broker.descriptors()
        equal(broker.descriptors(), before, 'descriptors of the broker')
        client.remove('before')
        publish(client, 'volatile', flags=wire.PUBLISH_OR_VOLATILE)


@suite.test
def limits(*_):
    """The limits of what is stored, and what the manager says that it keeps"""
    with Manager() as a_manager:
        with Broker('--limit', 'uid-stored=2', environment=a_manager.environment) as broker:
            with broker.connect() as client:
                publish(client, 'a')
                publish(client, 'b')
                try:
                    publish(client, 'c')
                    raise AssertionError('a third one')
                except wire.Refused as error:
                    equal((error.name, 'uid-stored=2' in error.text), ('LIMIT', True), 'error %s' % error.text)
                    equal('say that it need not survive' in error.text, True, 'remedy in %s' % error.text)
                publish(client, 'c', flags=wire.PUBLISH_OR_VOLATILE)
                equal([survives(client, name) for name in 'abc'], [True, True, False], 'flags')
                ids = create_many(client, 3)
                client.remove('a')
                send_publish(client, [(buffer, 'batch/%d' % i) for i, buffer in enumerate(ids)])
                equal(statuses(client), ['OK', 'LIMIT', 'LIMIT'], 'statuses')
        for fdstore, limit in (('100', 84), ('4096', 4080), ('3', 1), ('x', 4000)):
            environment = {**a_manager.environment, 'FDSTORE': fdstore}
            with Broker(environment=environment) as broker, broker.connect() as client:
                equal(client.stats()['stored_limit'], limit, 'limit with %s' % fdstore)
        try:
            with Broker('--limit', 'stored=99', environment={**a_manager.environment, 'FDSTORE': '100'}):
                raise AssertionError('it started')
        except RuntimeError:
            pass


@suite.test
def stops(*_):
    """What is published stays in the store when the broker stops; what waits does not, and holds nothing up"""
    with Manager() as a_manager:
        with Broker(environment=a_manager.environment) as broker:
            client = broker.connect()
            kept = publish(client, 'kept')
            waiting = create(client)
            with a_manager.holding():
                send_publish(client, [(waiting, 'waiting')])
                equal(answered(client, 0.1), False, 'answered')
                queued = broker.connect()
                send_publish(queued, [(buffer, 'queued/%d' % buffer) for buffer in create_many(queued, 100)])
                equal(answered(queued, 0.1), False, 'answered')
                begin = time.monotonic()
                broker.process.terminate()
                equal(broker.process.wait(20), 0, 'exit status')
                if time.monotonic() - begin > 4:
                    raise AssertionError('it took %d seconds to stop' % (time.monotonic() - begin))
            client.close()
            queued.close()
            eventually(lambda: a_manager.buffers() == [kept], what='what was published is there')
            broker.stop = lambda: shutil.rmtree(broker.directory)


@suite.test
def fair(broker, bystander):
    """A user who publishes without end does not keep others waiting"""
    if os.geteuid() != 0:
        raise Skip('needs root')

    def storm():
        with broker.connect() as client:
            ids = create_many(client, 250)
            send_publish(client, [(buffer, 'storm/%d' % buffer) for buffer in ids])
            statuses(client)
            for buffer in ids:
                client.remove(id=buffer)

    def quiet():
        with broker.connect() as client:
            times = []
            for i in range(5):
                buffer = create(client)
                begin = time.monotonic()
                client.publish(buffer, 'quiet/%d' % i)
                times.append(time.monotonic() - begin)
                client.remove('quiet/%d' % i)
            return max(times)

    manager.seconds_for_each = 0.002
    threads = [threading.Thread(target=storm) for _ in range(4)]  # two seconds' worth
    try:
        for thread in threads:
            thread.start()
        eventually(lambda: bystander.client.stats()['stored'] > 500, what='the storm is on')
        longest = in_child(quiet, uid=65534, gid=65534)
        if longest > 0.5:
            raise AssertionError('another user waited %.2f s' % longest)
    finally:
        manager.seconds_for_each = 0
        for thread in threads:
            thread.join()
    eventually(lambda: manager.buffers() == [], what='all are removed')


if __name__ == '__main__':
    try:
        skip_all_without_systemd()
        suite.main()
    finally:
        manager.close()
