# SPDX-License-Identifier: MIT
"""Waiting: GETs that wait for a name, for a newer generation, or for the first name of many."""
import contextlib
import os
import resource
import select
import signal
import socket
import time

import sealbuf_wire as wire
from testbed import Broker, Suite, equal, eventually, fetch, in_child, make, need_root, process, refused

# Of nobody else's, also where several runs of the tests share a machine.
MINE = 300000 + os.getpid() % 30000 * 10
OTHER = MINE + 1

WAITERS = 5000
ON_MANY = 1000  # connections
JOBS = 2000
WORKERS = 20

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
suite = Suite()


def wait(client, name='', flags=0, **values):
    """Starts a GET that waits; its serial."""
    serial = client.start(wire.GET, [{'name': name, 'flags': wire.GET_WAIT | flags, **values}])
    client.detached[serial] = []
    return serial


def answer(client, serial):
    """What the GET is answered: the record, and the content. Raises Refused."""
    with client.finish(serial) as message:
        del client.detached[serial]
        record = message.records[0]
        if record['status']:
            raise wire.Refused(record['status'], record['text'])
        return record, os.pread(record['fd'], record['size'] + 1, 0)


def content(client, serial):
    return answer(client, serial)[1]


def silent(client):
    """Nothing comes, and what was sent before has been served."""
    client.ping()
    return not readable(client, 0.05)


def readable(client, seconds):
    return bool(select.select([client.socket], [], [], seconds)[0])


def waiting(client):
    """So many GETs of its uid wait."""
    with client.call(wire.ACCOUNTS, [{}]) as message:
        return message.records[0]['waits']


def replace(client, data, name, **values):
    return make(client, data, name, flags=wire.PUBLISH_REPLACE, **values)


def cancel(client, serial):
    return client.one(wire.CANCEL, serial=serial)


def as_user(broker, uid, function):
    def run():
        with broker.connect() as client:
            return function(client)
    return in_child(run, uid, uid)


@suite.test
def waits_for_a_name(broker, _):
    """It is answered once the name is there, and its connection is served meanwhile"""
    with broker.connect() as client, broker.connect() as other:
        serial = wait(client, 'waits/a')
        assert silent(client)
        equal(waiting(other), 1, 'waits')
        make(client, b'another', 'waits/aa')
        make(client, b'another', 'waits')
        assert silent(client)
        make(other, b'content', 'waits/a')
        equal(content(client, serial), b'content', 'content')
        equal(content(client, wait(client, 'waits/a')), b'content', 'content that is there')
        equal(waiting(other), 0, 'waits')
        for name in ('waits/a', 'waits/aa', 'waits'):
            client.remove(name)


@suite.test
def waits_for_a_newer_one(broker, _):
    """With newer_than it waits for a generation above that"""
    with broker.connect() as client, broker.connect() as other:
        make(other, b'1', 'waits/n')
        equal(content(client, wait(client, 'waits/n')), b'1', 'content of any generation')
        third = wait(client, 'waits/n', newer_than=2)
        second = wait(client, 'waits/n', newer_than=1)
        assert silent(client)
        replace(other, b'2', 'waits/n')
        equal(content(client, second), b'2', 'content')
        assert silent(client)
        replace(other, b'3', 'waits/n')
        record, data = answer(client, third)
        equal((record['generation'], data), (3, b'3'), 'generation and content')
        record, data = answer(client, wait(client, 'waits/n', newer_than=2))
        equal((record['generation'], data), (3, b'3'), 'generation and content at once')
        other.remove('waits/n')


@suite.test
def removed_meanwhile(broker, _):
    """Where the name is removed while somebody waits, whatever is published then is newer"""
    with broker.connect() as client, broker.connect() as other:
        for _ in range(5):
            generation = replace(other, b'old', 'waits/r')['generation']
        equal(generation, 5, 'generation')
        serial = wait(client, 'waits/r', newer_than=5)
        client.ping()
        other.remove('waits/r')
        assert silent(client)
        make(other, b'new', 'waits/r')
        record, data = answer(client, serial)
        equal((record['generation'], data), (1, b'new'), 'generation and content')
        other.remove('waits/r')
        serial = wait(client, 'waits/r', newer_than=5)  # nothing is there: there is nothing to be newer than
        client.ping()
        make(other, b'new', 'waits/r')
        equal(content(client, serial), b'new', 'content')
        other.remove('waits/r')


@suite.test
def times_out(broker, _):
    """When its time is up it is told so, and not before"""
    with broker.connect() as client:
        began = time.monotonic()
        long, short = wait(client, 'waits/t', wait_ms=400), wait(client, 'waits/t', wait_ms=100)
        for serial, seconds in ((short, 0.1), (long, 0.4)):
            with refused('TIMED_OUT'):
                answer(client, serial)
            if time.monotonic() - began < seconds:
                raise AssertionError('%.3f s, not %.1f' % (time.monotonic() - began, seconds))
        equal(waiting(client), 0, 'waits')


@suite.test
def in_vain(broker, _):
    """Who waits in vain is told what there is: nothing, an old generation, nothing under a prefix"""
    with broker.connect() as client, broker.connect() as other:
        with refused('TIMED_OUT', "nothing was there to get as 'waits/v' within 20 ms", '; wait for longer'):
            answer(client, wait(client, 'waits/v', wait_ms=20))
        with refused('TIMED_OUT', "nothing whose name begins with 'waits/' was there to get within 20 ms"):
            answer(client, wait(client, 'waits/', wire.GET_FIRST, wait_ms=20))
        make(other, b'1', 'waits/v')
        replace(other, b'2', 'waits/v')
        with refused('TIMED_OUT', "'waits/v' is at generation 2, and none above 2 came within 20 ms"):
            answer(client, wait(client, 'waits/v', newer_than=2, wait_ms=20))
        serial = wait(client, 'waits/v', newer_than=2, wait_ms=1000)
        client.ping()
        other.remove('waits/v')
        with refused('TIMED_OUT', "nothing was there to get as 'waits/v' within 1000 ms"):
            answer(client, serial)
        with refused('FLAGS', 'wait_ms', 'WAIT'):
            client.get('waits/v', wait_ms=20)
        with refused('FLAGS', 'must be the only record of its request, and there are 2'):
            client.call(wire.GET, [{'name': 'waits/v', 'flags': wire.GET_WAIT}] * 2)
        with refused('NOT_FOUND', 'under serial 12345'):
            cancel(client, 12345)


@suite.test
def cancelled(broker, _):
    """CANCEL has it refused, and is answered behind that; what does not wait cannot be cancelled"""
    with broker.connect() as client:
        one, two = wait(client, 'waits/c'), wait(client, 'waits/c')
        cancelling = client.start(wire.CANCEL, [{'serial': one}])
        with client.receive() as message:
            equal((message.serial, message.opcode, message.name()), (one, wire.GET | wire.REPLY, 'CANCELLED'), 'first')
        with client.receive() as message:
            equal((message.serial, message.records[0]['status']), (cancelling, 0), 'second')
        for serial in (one, 0, 12345, cancelling):
            with refused('NOT_FOUND'):
                cancel(client, serial)
        equal(waiting(client), 1, 'waits')
        make(client, b'content', 'waits/c')
        equal(content(client, two), b'content', 'content')
        client.remove('waits/c')


@suite.test
def ends_with_its_connection(broker, bystander):
    """A connection that is closed, or whose process is killed, waits for nothing any more"""
    with broker.connect() as client:
        other = broker.connect()
        for i in range(300):
            wait(other, 'waits/e%d' % (i % 7))
        other.ping()
        equal(waiting(client), 300, 'waits')
        other.close()
        eventually(lambda: waiting(client) == 0, what='they have gone')

        def waits():
            with broker.connect() as own:
                for i in range(300):
                    wait(own, 'waits/e%d' % (i % 7))
                own.ping()
                signal.pause()
        with process(waits):
            eventually(lambda: waiting(client) == 300, what='they wait')
        eventually(lambda: waiting(client) == 0, what='they have gone with their process')
        make(client, b'late', 'waits/e1')
        client.remove('waits/e1')


@suite.test
def out_of_order(broker, _):
    """Many wait on one connection, and each is answered when its own name is there"""
    with broker.connect() as client, broker.connect() as other:
        serials = {i: wait(client, 'waits/o%d' % i) for i in range(100)}
        client.ping()
        for i in sorted(serials, key=lambda i: i * 37 % 100):
            make(other, b'%d' % i, 'waits/o%d' % i)
            with client.receive() as message:
                equal(message.serial, serials[i], 'serial of what is answered')
                equal(message.records[0]['status'], 0, 'status')
            other.remove('waits/o%d' % i)


@suite.test
def gone_again(broker, _):
    """What has gone before its waiters got it is waited for as before"""
    with broker.connect() as client, broker.connect() as other:
        serial = wait(client, 'waits/g')
        client.ping()
        make(other, b'x', 'waits/h')
        id_ = other.stat('waits/h')['id']
        with broker.stopped():  # both are there before it wakes anybody
            a = other.start(wire.PUBLISH, [{'id': id_, 'name': 'waits/g', 'mode': 0o600}])
            b = other.start(wire.REMOVE, [{'name': 'waits/g'}])
        other.finish(a).close()
        other.finish(b).close()
        replace(other, b'there', 'waits/g')
        data = content(client, serial)
        assert data in (b'x', b'there'), data
        other.remove('waits/g')
        other.remove('waits/h')


@suite.test
def wrong_requests(broker, _):
    """What cannot wait is refused, and what is in use as a serial"""
    with broker.connect() as client:
        make(client, b'there', 'waits/w')
        for values, error in (({'id': 1}, 'TARGET'), ({'token': b'x' * 24}, 'TARGET'), ({}, 'TARGET'),
                              ({'name': 'waits/w', 'generation': 1}, 'FLAGS'),
                              ({'name': 'waits/w', 'flags': wire.GET_ATOMIC}, 'FLAGS'),
                              ({'name': 'waits/', 'flags': wire.GET_FIRST, 'newer_than': 1}, 'FLAGS'),
                              ({'name': 'waits/'}, 'NAME'), ({'name': '/waits'}, 'NAME'),
                              ({'name': 'waits/\n', 'flags': wire.GET_FIRST}, 'NAME'),
                              ({'name': 'waits/w', 'flags': wire.GET_WAIT << 8}, 'FLAGS')):
            with refused(error):
                content(client, wait(client, **values))
        with refused('NAME'):
            client.get('waits/')
        with refused('FLAGS'):
            client.call(wire.GET, [{'name': 'waits/w', 'flags': wire.GET_WAIT}, {'name': 'waits/w'}])
        serial = wait(client, 'waits/x')
        for opcode, schema, values in ((wire.PING, None, None), (wire.GET, wire.REQUESTS[wire.GET],
                                                                 {'name': 'waits/y', 'flags': wire.GET_WAIT})):
            records = [wire.encode_record(schema, values)] if schema else []
            client.send(wire.encode_message(opcode, records, serial))
            with client.receive() as message:
                equal((message.serial, message.opcode, message.name()), (serial, opcode | wire.REPLY, 'MALFORMED'),
                      'answer to a serial that is in use')
        make(client, b'x', 'waits/x')
        equal(content(client, serial), b'x', 'content')
        client.remove('waits/x')
        client.remove('waits/w')


@suite.test
def seals_and_rights(broker, _):
    """A waiter is answered by the rules of every GET: DENIED, NOT_SEALED, also for a writable one"""
    need_root()
    ours, theirs = socket.socketpair()

    def stranger(client):
        ours.close()
        denied = wait(client, 'waits/s', owner=MINE)
        allowed = wait(client, 'waits/t', owner=MINE)
        writable = wait(client, 'waits/t', owner=MINE, flags=wire.GET_WRITABLE)
        first = wait(client, 'waits/', owner=MINE, flags=wire.GET_FIRST)
        client.ping()
        theirs.send(b'waits')
        with refused('DENIED'):
            answer(client, denied)
        equal(content(client, allowed), b'open', 'content')
        with refused('DENIED'):
            answer(client, writable)
        equal(answer(client, first)[1], b'open', 'content of the first that may be read')
        with refused('DENIED'):  # it is there by now
            content(client, wait(client, 'waits/s', owner=MINE))
        theirs.send(b'done')
        theirs.recv(1)

    def owner(client):
        ours.recv(5)
        unsealed = wait(client, 'waits/s', seals=wire.IMMUTABLE | wire.SEAL)
        client.ping()
        make(client, b'closed', 'waits/s', mode=0o600)
        with refused('NOT_SEALED'):
            answer(client, unsealed)
        make(client, b'open', 'waits/t', mode=0o644)
        ours.recv(4)
        client.remove('waits/s')
        client.remove('waits/t')
        ours.send(b'.')

    with process(lambda: as_user(broker, MINE, owner)):
        as_user(broker, OTHER, stranger)
    ours.close()
    theirs.close()


@suite.test
def first_of_many(broker, _):
    """FIRST gets the first name with such a beginning, byte by byte; without WAIT, too"""
    with broker.connect() as client, broker.connect() as other:
        with refused('NOT_FOUND'):
            client.get('waits/f/', flags=wire.GET_FIRST)
        serial = wait(client, 'waits/f/', wire.GET_FIRST)
        other_serial = wait(client, 'waits/f/b', wire.GET_FIRST)
        client.ping()
        make(other, b'e', 'waits/e')
        make(other, b'f', 'waits/f')
        make(other, b'g', 'waits/g')
        assert silent(client)
        make(other, b'a', 'waits/f/a')
        equal(content(client, serial), b'a', 'content')
        assert silent(client)
        make(other, b'bc', 'waits/f/bc')
        equal(content(client, other_serial), b'bc', 'content')
        make(other, b'bb', 'waits/f/bb')
        for prefix, data in (('waits/f/', b'a'), ('waits/f/a', b'a'), ('waits/f/b', b'bb'), ('waits/f/bc', b'bc'),
                             ('waits/f', b'f'), ('', b'e')):
            equal(fetch(client, prefix, flags=wire.GET_FIRST)[1], data, 'first of ' + prefix)
            equal(content(client, wait(client, prefix, wire.GET_FIRST)), data, 'first of ' + prefix)
        for name in ('waits/e', 'waits/f', 'waits/g', 'waits/f/a', 'waits/f/bb', 'waits/f/bc'):
            client.remove(name)
        with refused('NOT_FOUND'):
            client.get('waits/', flags=wire.GET_FIRST)


@suite.test
def many_that_may_not_be_read(broker, bystander):
    """A search among thousands of names that may not be got takes many turns, and holds up nobody"""
    need_root()
    count = 4000

    def publish(client):
        for at in range(0, count, 200):
            buffer = make(client, b'closed')['id']
            client.call(wire.PUBLISH, [{'id': buffer, 'name': 'many/%05d' % i, 'mode': 0o600}
                                       for i in range(at, at + 200)]).close()

    def search(client):
        for _ in range(20):
            with refused('NOT_FOUND'):
                client.get('many/', owner=MINE, flags=wire.GET_FIRST)
        serials = client.start(wire.GET, [{'name': 'many/', 'owner': MINE, 'flags': wire.GET_FIRST}] * 10)
        with client.finish(serials) as message:
            equal([record['status'] for record in message.records], [wire.CODE['NOT_FOUND']] * 10, 'many records')

    def waits(client):
        serial = wait(client, 'many/', wire.GET_FIRST, owner=MINE)
        client.ping()
        told.send(b'.')
        equal(content(client, serial), b'open', 'content')

    def open_one(client):
        make(client, b'open', 'many/99999', mode=0o644)

    def remove(client):
        for at in range(0, count, 200):
            client.call(wire.REMOVE, [{'name': 'many/%05d' % i} for i in range(at, at + 200)]).close()
        client.remove('many/99999')

    as_user(broker, MINE, publish)
    as_user(broker, OTHER, search)
    bystander.served()
    hears, told = socket.socketpair()

    def opens():
        hears.recv(1)
        as_user(broker, MINE, open_one)
    with process(opens):
        as_user(broker, OTHER, waits)
    hears.close()
    told.close()
    as_user(broker, MINE, remove)


def raced(broker, clients, name, flags=0):
    """WAITERS wait, on these connections; one publish answers all, and a bystander is served meanwhile."""
    serials = {client: set() for client in clients}
    for i in range(WAITERS):
        client = clients[i % len(clients)]
        serials[client].add(wait(client, name, flags))
    with broker.connect() as publisher, broker.connect() as innocent:
        eventually(lambda: waiting(publisher) == WAITERS, what='all wait')
        cpu = broker.cpu_seconds()
        time.sleep(0.2)
        idle = broker.cpu_seconds() - cpu
        began = time.monotonic()
        make(publisher, b'news', 'storm/name')
        published = time.monotonic() - began
        worst, left = 0, WAITERS
        poll = select.poll()
        by_number = {client.socket.fileno(): client for client in clients}
        for number in by_number:
            poll.register(number, select.POLLIN)
        while left:
            before = time.monotonic()
            innocent.ping()
            worst = max(worst, time.monotonic() - before)
            if not left:
                break
            for number, _ in poll.poll(100)[:50]:
                client = by_number[number]
                with client.receive() as message:
                    equal(message.records[0]['status'], 0, 'status')
                    serials[client].remove(message.serial)
                    left -= 1
            if time.monotonic() - began > 60:
                raise AssertionError('%d are not answered' % left)
        print('# %d waits on %d connections: idle %.3f s of CPU in 0.2 s, published in %.1f ms, all answered in %.2f s, '
              'worst ping %.1f ms' % (WAITERS, len(clients), idle, published * 1000, time.monotonic() - began,
                                      worst * 1000))
        assert worst < 2 and published < 2, (worst, published)
        equal(waiting(publisher), 0, 'waits')
        publisher.remove('storm/name')
    for client in clients:
        client.detached.clear()


@suite.test
def thousands_on_few(broker, _):
    """5,000 wait for one name on 5 connections, and all are answered, while others are served"""
    with contextlib.ExitStack() as stack:
        raced(broker, [stack.enter_context(broker.connect()) for _ in range(5)], 'storm/name')


@suite.test
def thousands_on_many(broker, _):
    """5,000 wait for one name on 1,000 connections, and all are answered, while others are served"""
    with contextlib.ExitStack() as stack:
        raced(broker, [stack.enter_context(broker.connect()) for _ in range(ON_MANY)], 'storm/name')


@suite.test
def thousands_for_the_first(broker, _):
    """5,000 wait for whatever name comes first, on 50 connections"""
    with contextlib.ExitStack() as stack:
        raced(broker, [stack.enter_context(broker.connect()) for _ in range(50)], 'storm/', wire.GET_FIRST)


@suite.test
def who_does_not_read(broker, bystander):
    """Who waits a thousand times and does not read what he gets costs others nothing, and gets it all when he reads"""
    with broker.connect() as client, broker.connect() as other:
        serials = {wait(client, 'waits/u') for _ in range(1000)}
        eventually(lambda: waiting(other) == 1000, what='they wait')
        make(other, b'unread', 'waits/u')
        for _ in range(20):
            bystander.served()
        assert waiting(other) > 0, 'all that waited were sent, without anybody reading'
        while serials:
            with client.receive() as message:
                equal(message.records[0]['status'], 0, 'status')
                serials.remove(message.serial)
        equal(waiting(other), 0, 'waits')
        client.detached.clear()
        other.remove('waits/u')


# ---- What only one can have ------------------------------------------------------------------------------------------

def offer(client, name, data=b'job'):
    return make(client, data, name, flags=wire.PUBLISH_TAKE)


@suite.test
def one_takes_it(broker, bystander):
    """Of those who wait for what is handed over one gets it, and the next one the next"""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(broker.connect()) for _ in range(10)]
        producer = stack.enter_context(broker.connect())
        serials = {client: wait(client, 'take/one') for client in clients}
        eventually(lambda: waiting(producer) == 10, what='they wait')
        for i in range(10):
            offer(producer, 'take/one', b'%d' % i)
            client = eventually(lambda: next((c for c in serials if readable(c, 0)), None), what='one gets it')
            equal(content(client, serials.pop(client)), b'%d' % i, 'content')
            equal(waiting(producer), 9 - i, 'waits')
            assert not any(readable(c, 0) for c in serials), 'another one was answered'
            eventually(lambda: not producer.list(prefix='take/'), what='it is gone')


@suite.test
def taker_dies(broker, _):
    """What a waiter was given and has not read, when it dies, goes to the next one"""
    for kill in (False, True):
        with broker.connect() as producer, broker.connect() as next_one:
            got, gave = os.pipe()

            def waits():
                with broker.connect() as client:
                    wait(client, 'take/dies')
                    client.ping()
                    os.write(gave, b'.')
                    signal.pause()
            with process(waits) as pid:
                os.read(got, 1)
                serial = wait(next_one, 'take/dies')
                next_one.ping()
                offer(producer, 'take/dies', b'to the next')
                assert silent(next_one)
                if kill:
                    os.kill(pid, signal.SIGKILL)
            equal(content(next_one, serial), b'to the next', 'content')
            os.close(got)
            os.close(gave)
            eventually(lambda: not producer.list(prefix='take/'), what='it is gone')


def stuff(client):
    """Asks for more than its socket takes unread. So many replies are to come."""
    client.socket.settimeout(0.3)
    count = 0
    with contextlib.suppress(TimeoutError):
        while True:
            client.start(wire.STATS)
            count += 1
    client.socket.settimeout(20)
    return count


@suite.test
def who_cannot_take_it(broker, _):
    """Who was to get it and went, gave up, may not, or cannot be answered, leaves it to the next one"""
    with broker.connect() as producer, broker.connect() as last:
        for way in ('closed', 'cancelled', 'timed out', 'stuffed', 'sealed'):
            first = broker.connect()
            values = {'wait_ms': 60} if way == 'timed out' else {}
            values.update({'seals': wire.IMMUTABLE} if way == 'sealed' else {})
            serial = wait(first, 'take/next', **values)
            first.ping()
            serial_last = wait(last, 'take/next')
            last.ping()
            stuffed = stuff(first) if way == 'stuffed' else 0
            with broker.stopped():
                if way == 'closed':
                    first.close()
                if way == 'cancelled':
                    first.start(wire.CANCEL, [{'serial': serial}])
                if way == 'timed out':
                    time.sleep(0.1)
            offer(producer, 'take/next', way.encode())
            equal(content(last, serial_last), way.encode(), 'content')
            for _ in range(stuffed):
                first.receive().close()
            if way == 'stuffed':
                cancel(first, serial)
            first.close()
            eventually(lambda: not producer.list(prefix='take/'), what='it is gone')


@suite.test
def who_may_not_take_it(broker, _):
    """A stranger who waited first, and may not have it, does not keep it from who may"""
    need_root()
    theirs, ours = socket.socketpair()

    def stranger(client):
        exact, first = wait(client, 'take/a', owner=MINE), wait(client, 'take/', wire.GET_FIRST, owner=MINE)
        client.ping()
        theirs.send(b'waits')
        with refused('DENIED'):
            answer(client, exact)
        theirs.recv(1)
        assert silent(client)
        cancel(client, first)

    def owner(client):
        exact = wait(client, 'take/a')
        with broker.connect() as other, broker.connect() as producer:
            first = wait(other, 'take/', wire.GET_FIRST)
            client.ping()
            other.ping()
            for data in (b'1', b'2'):  # who gets which is nobody's business
                offer(producer, 'take/a', data)
                eventually(lambda: readable(client, 0) or readable(other, 0), what='one gets it')
                if readable(client, 0) and exact:
                    equal(content(client, exact), data, 'content')
                    exact = None
                else:
                    equal(content(other, first), data, 'content')
                eventually(lambda: not producer.list(prefix='take/'), what='it is gone')

    def stranger_process():
        as_user(broker, OTHER, stranger)

    with process(stranger_process) as pid:
        ours.recv(5)
        as_user(broker, MINE, owner)
        ours.send(b'.')
        eventually(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), what='the stranger has ended')
    ours.close()
    theirs.close()


def work(broker, results, limit):
    """Takes jobs one by one, and tells which, until there are none for a while."""
    with broker.connect() as client:
        while limit:
            serial = wait(client, 'jobs/', wire.GET_FIRST, wait_ms=15000)
            try:
                data = content(client, serial)
            except wire.Refused:
                return
            if data == b'end':
                return
            os.write(results, data.ljust(8))
            limit -= 1
        client.ping()  # so that what it has read was read before it dies
        os.kill(os.getpid(), signal.SIGKILL)


@suite.test
def work_queue(broker, bystander):
    """20 workers take 2,000 jobs, each of them once, while some of them are killed"""
    results, result = os.pipe()
    with contextlib.ExitStack() as stack:
        # 4 end by kill -9 of their own after some jobs, 4 more are killed whenever it is; others take over.
        for i in range(WORKERS):
            stack.enter_context(process(lambda i=i: work(broker, result, 20 + i if i < 4 else -1)))
        began = time.monotonic()
        victims = [stack.enter_context(process(lambda: work(broker, result, -1))) for _ in range(4)]
        with broker.connect() as producer:
            for i in range(0, JOBS, 20):
                for j in range(i, i + 20):
                    offer(producer, 'jobs/%05d' % j, b'%d' % j)
                if i in (400, 800, 1200, 1600):
                    os.kill(victims[i // 400 - 1], signal.SIGKILL)
                eventually(lambda: len(producer.list(prefix='jobs/')) < 200, 60, what='jobs are taken')
            eventually(lambda: not producer.list(prefix='jobs/'), 60, what='all jobs are taken')
        seconds = time.monotonic() - began
        os.set_blocking(results, False)
        data = b''
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                data += os.read(results, 65536)
            except BlockingIOError:
                if len(data) >= (JOBS - len(victims)) * 8:
                    break
                time.sleep(0.05)
        done = [int(data[i:i + 8]) for i in range(0, len(data), 8)]
        print('# %d jobs in %.2f s, %d told' % (JOBS, seconds, len(done)))
        equal(len(done), len(set(done)), 'jobs that were done, each once')
        # A worker that is killed with a job in its hands has had it.
        assert len(done) >= JOBS - len(victims), '%d jobs were done' % len(done)
    os.close(results)
    os.close(result)


# ---- Limits, and the broker's own life -------------------------------------------------------------------------------

@suite.test
def over_limits(_, __):
    """Waits are limited, each uid's and all, and what is refused for that is the wait alone"""
    with Broker('--limit', 'waits=20', '--limit', 'uid-waits=10') as broker:
        need_root()

        def fill(client):
            serials = [wait(client, 'limit/a') for _ in range(10)]
            with refused('LIMIT'):
                answer(client, wait(client, 'limit/a'))
            client.ping()
            equal(waiting(client), 10, 'waits')
            cancel(client, serials[0])
            with refused('CANCELLED'):
                answer(client, serials[0])
            wait(client, 'limit/a')
            client.ping()
            equal(waiting(client), 10, 'waits')
            make(client, b'there', 'limit/b')
            equal(content(client, wait(client, 'limit/b')), b'there', 'what need not wait')
            client.remove('limit/b')

        as_user(broker, MINE, fill)
        as_user(broker, MINE, fill)


@suite.test
def few_may_fly(_, __):
    """Where few descriptors may be in flight, all that wait are answered all the same, as those before are read"""
    with Broker('--limit', 'in-flight=40') as broker, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(broker.connect()) for _ in range(30)]
        for i in range(300):
            wait(clients[i % 30], 'fly/a')
        with broker.connect() as other:
            eventually(lambda: waiting(other) == 300, what='they wait')
            make(other, b'there', 'fly/a')
            eventually(lambda: waiting(other) < 300, what='some are answered')
            time.sleep(0.2)
            if waiting(other) < 200:
                raise AssertionError('%d were sent, unread' % (300 - waiting(other)))
            left, by_number = 300, {client.socket.fileno(): client for client in clients}
            while left:
                numbers = select.select(list(by_number), [], [], 20)[0]
                if not numbers:
                    raise AssertionError('%d are not answered' % left)
                for number in numbers:  # what is read by one may fly to another
                    with by_number[number].receive() as message:
                        equal(message.records[0]['status'], 0, 'status')
                    left -= 1
            equal(waiting(other), 0, 'waits')


@suite.test
def executed_anew(_, __):
    """A broker that is executed anew goes on with what waits, with its time, and with what it knew"""
    with Broker() as broker, broker.connect() as client, broker.connect() as other:
        for _ in range(3):
            replace(other, b'old', 'anew/removed')
        make(other, b'old', 'anew/newer')
        plain, newer = wait(client, 'anew/plain'), wait(client, 'anew/newer', newer_than=1)
        removed, first = wait(client, 'anew/removed', newer_than=3), wait(client, 'anew/first/', wire.GET_FIRST)
        began = time.monotonic()
        short = wait(client, 'anew/short', wait_ms=1500)
        cancelled_one = wait(client, 'anew/cancelled')
        client.ping()
        other.remove('anew/removed')
        for _ in range(2):
            other.call(wire.REEXEC).close()
        equal(waiting(other), 6, 'waits')
        assert silent(client)
        make(other, b'plain', 'anew/plain')
        equal(content(client, plain), b'plain', 'content')
        replace(other, b'newer', 'anew/newer')
        equal(content(client, newer), b'newer', 'content')
        make(other, b'removed', 'anew/removed')
        equal(content(client, removed), b'removed', 'content')
        make(other, b'first', 'anew/first/x')
        equal(content(client, first), b'first', 'content')
        cancel(client, cancelled_one)
        with refused('CANCELLED'):
            answer(client, cancelled_one)
        with refused('TIMED_OUT'):
            answer(client, short)
        seconds = time.monotonic() - began
        assert 1.5 <= seconds, seconds
        equal(waiting(other), 0, 'waits')
        wait(client, 'anew/never')


@suite.test
def executed_anew_with_thousands(_, __):
    """Nor does it lose one of 2,000 that wait while it is executed anew"""
    with Broker() as broker, broker.connect() as other, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(broker.connect()) for _ in range(20)]
        for i in range(2000):
            wait(clients[i % 20], 'anew/a')
        eventually(lambda: waiting(other) == 2000, what='they wait')
        other.call(wire.REEXEC).close()
        equal(waiting(other), 2000, 'waits')
        serial = other.start(wire.REEXEC)
        with broker.connect() as publisher:
            make(publisher, b'there', 'anew/a')
        other.finish(serial).close()
        for client in clients:
            for waited in list(client.detached):
                equal(content(client, waited), b'there', 'content')


@suite.test
def does_not_leave(_, __):
    """A broker with --idle-exit does not leave while somebody waits"""
    with Broker('--idle-exit', '300ms') as broker, broker.connect() as client:
        serial = wait(client, 'idle/a', wait_ms=1500)
        with refused('TIMED_OUT'):
            answer(client, serial)
        equal(broker.process.poll(), None, 'exit status')


@suite.test
def too_old_for_one(broker, _):
    """What is handed over and too old for the one who is woken for it goes to another one, for whom it is new"""
    with broker.connect() as producer, broker.connect() as picky, broker.connect() as easy:
        make(producer, b'1', 'old/job')
        serials = [wait(picky, 'old/job', newer_than=10), wait(easy, 'old/job', newer_than=1)]
        picky.ping()
        easy.ping()
        make(producer, b'2', 'old/job', flags=wire.PUBLISH_REPLACE | wire.PUBLISH_TAKE)
        equal(readable(easy, 20), True, 'it is answered')
        with easy.finish(serials[1]) as reply:
            equal(reply.records[0]['generation'], 2, 'generation')
        silent(picky)


@suite.test
def no_room_in_flight(*_):
    """A connection whose wait cannot be answered, as nothing more may be in flight, goes on being served with all else"""
    with Broker('--limit', 'in-flight=8') as broker, broker.connect() as client, contextlib.ExitStack() as stack:
        make(client, b'1', 'flying')
        later = make(client, b'2')['id']
        for _ in range(20):
            hog = stack.enter_context(broker.connect())
            for _ in range(6):
                hog.start(wire.GET, [{'name': 'flying'}])
        with broker.connect() as waiter:
            wait(waiter, 'later')
            waiter.ping()
            client.publish(later, 'later')
            slowest = 0
            for _ in range(30):
                began = time.monotonic()
                waiter.ping()
                slowest = max(slowest, time.monotonic() - began)
        print('# the slowest ping took %.0f ms' % (slowest * 1000))
        equal(slowest < 1.5, True, 'it is served: %.1f s' % slowest)


if __name__ == '__main__':
    suite.main()
