#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Waits: a GET that is answered when its name is there, out of order; by whom it ends, and what it may hold."""
import os
import socket
import time

import sealbuf_wire as wire
from sealbuf_wire import GET_DETAILS, GET_FIRST, GET_WAIT, PUBLISH_REPLACE, PUBLISH_TAKE
from testbed import Broker, Suite, equal, eventually, in_child, make, need_root, process, refused

suite = Suite()
MEMBER, OTHER = 61021, 61022


def content_of(record):
    try:
        return os.pread(record['fd'], record['size'] + 1, 0)
    finally:
        os.close(record['fd'])


def put(client, content, name, **publish):
    publish['flags'] = publish.get('flags', 0) | PUBLISH_REPLACE
    return make(client, content, name, **publish)['generation']


def waits(client):
    with client.call(wire.ACCOUNTS, [{}]) as message:
        return message.records[0]['waits']


def still_waits(client, serial):
    """Everything that was there before has been answered, and that has not."""
    client.ping()
    equal(client.detached[serial], [], 'messages for what waits')


@suite.test
def until_published(broker, _):
    """a GET waits until its name is there; what came later on the same connection is served before"""
    with broker.connect() as client, broker.connect() as producer:
        first = client.start_wait('w/1', flags=GET_DETAILS)
        second = client.start_wait('w/2')
        still_waits(client, first)
        equal(waits(client), 2, 'what is charged')
        put(client, b'own', 'w/3')
        put(producer, b'two', 'w/2')
        equal(content_of(client.finish_wait(second)), b'two', 'content of the second')
        still_waits(client, first)
        put(producer, b'one', 'w/1')
        record = client.finish_wait(first)
        equal((record['name'], record['generation']), ('w/1', 1), 'details')
        equal(content_of(record), b'one', 'content of the first')
        equal(content_of(client.wait('w/1')), b'one', 'what is there already')
        equal(waits(client), 0, 'what is charged at last')
        for name in ('w/1', 'w/2', 'w/3'):
            producer.remove(name)


@suite.test
def own_publish(broker, _):
    """a client that waits for what it publishes itself later on"""
    with broker.connect() as client:
        serials = [client.start_wait('own') for _ in range(20)]
        put(client, b'own', 'own')
        equal([content_of(client.finish_wait(serial)) for serial in serials], [b'own'] * 20, 'contents')
        client.remove('own')


@suite.test
def newer(broker, _):
    """newer_than: only a higher generation counts, but any that is published after the name was removed"""
    with broker.connect() as client, broker.connect() as producer:
        for i in (1, 2, 3):
            put(producer, b'%d' % i, 'n')
        equal(content_of(client.wait('n', newer_than=2)), b'3', 'what is newer already')
        third = client.start_wait('n', newer_than=3)
        tenth = client.start_wait('n', newer_than=10)
        put(producer, b'4', 'n')
        equal(content_of(client.finish_wait(third)), b'4', 'the next one')
        put(producer, b'5', 'n')
        still_waits(client, tenth)
        producer.remove('n')
        still_waits(client, tenth)
        put(producer, b'anew', 'n')
        record = client.finish_wait(tenth)
        equal((record['generation'], content_of(record)), (1, b'anew'), 'what was published anew')
        last = 1
        for i in range(2, 100):  # lockstep
            serial = client.start_wait('n', newer_than=last)
            put(producer, b'%d' % i, 'n')
            record = client.finish_wait(serial)
            equal((record['generation'], content_of(record)), (i, b'%d' % i), 'generation and content')
            last = record['generation']
        producer.remove('n')


@suite.test
def time_out(broker, bystander):
    """wait_ms: TIMED_OUT, not before; many with different times; one that is answered does not time out any more"""
    with broker.connect() as client:
        for milliseconds in (1, 50, 300):
            began = time.monotonic()
            with refused('TIMED_OUT'):
                client.wait('never', wait_ms=milliseconds)
            equal(time.monotonic() - began >= milliseconds / 1000, True, 'not before its time')
        serials = {client.start_wait('never', wait_ms=1 + i % 200): i for i in range(1000)}
        answered = client.start_wait('soon', wait_ms=20)
        for milliseconds in ((1 << 64) - 1, 1 << 63, (1 << 64) // 1000000):
            client.start_wait('never/ever', wait_ms=milliseconds)
        put(client, b'', 'soon')
        os.close(client.finish_wait(answered)['fd'])
        for serial in serials:
            with refused('TIMED_OUT'):
                client.finish_wait(serial)
        equal(waits(client), 3, 'what waits for a long time yet')
        bystander.served()
        client.remove('soon')


@suite.test
def cancel(broker, _):
    """CANCEL: the GET is CANCELLED, then CANCEL is answered; NOT_FOUND where nothing has that serial, and the name stays"""
    with broker.connect() as client, broker.connect() as other:
        serial = client.start_wait('c')
        for wrong in (0, serial + 1, 0xffffffff):
            with refused('NOT_FOUND'):
                client.cancel(wrong)
        with refused('NOT_FOUND'):  # somebody else's
            other.cancel(serial)
        asked = client.start(wire.CANCEL, [{'serial': serial}])
        with client.receive() as first, client.receive() as second:
            equal((first.serial, first.name(), first.opcode), (serial, 'CANCELLED', wire.GET | wire.REPLY), 'first')
            equal((second.serial, second.name(), second.records[0]['status']), (asked, 'OK', 0), 'second')
        with refused('NOT_FOUND'):
            client.cancel(serial)
        equal(waits(client), 0, 'waits')
        # A race: either it was answered, or it was cancelled; never both.
        counts = {'CANCELLED': 0, 'OK': 0}
        for _ in range(200):
            serial = client.start_wait('c')
            published = other.start(wire.PUBLISH, [{'id': make(other, b'')['id'], 'name': 'c', 'mode': 0o600}])
            asked = client.start(wire.CANCEL, [{'serial': serial}])
            try:
                os.close(client.finish_wait(serial)['fd'])
                outcome = 'OK'
            except wire.Refused as error:
                outcome = error.name
                client.detached.pop(serial, None)
            counts[outcome] += 1
            with client.finish(asked) as message:
                equal(wire.NAME_OF.get(message.records[0]['status'], 'OK'),
                      {'OK': 'NOT_FOUND', 'CANCELLED': 'OK'}[outcome], 'CANCEL after ' + outcome)
            other.finish(published).close()
            equal(other.stat('c')['generation'], 1, 'the name is there all the same')
            other.remove('c')
        print('# of 200 races: %r' % counts)


@suite.test
def serial_in_use(broker, _):
    """a second wait or watch with the serial of one that goes on is MALFORMED; afterwards it can be used again"""
    with broker.connect() as client:
        serial = client.start_wait('s')
        for opcode, values in ((wire.GET, {'name': 't', 'flags': GET_WAIT}), (wire.WATCH, {'name': 't'})):
            client.send(wire.encode_message(opcode, [wire.encode_record(wire.REQUESTS[opcode], values)], serial))
            with client.receive() as reply:
                equal((reply.serial, reply.name()), (serial, 'MALFORMED'), 'answer')
        still_waits(client, serial)
        put(client, b'', 's')
        os.close(client.finish_wait(serial)['fd'])
        client.serial = serial - 1
        equal(client.start_wait('s'), serial, 'serial')
        os.close(client.finish_wait(serial)['fd'])
        client.remove('s')


@suite.test
def taken(broker, _):
    """of what is handed over each waiter gets one, the others wait on; nobody waits for what is there"""
    with broker.connect() as client, broker.connect() as producer:
        serials = {client.start_wait('job') for _ in range(5)}
        for i in range(5):
            make(producer, b'%d' % i, 'job', flags=PUBLISH_TAKE)
            with client.receive() as message:
                equal((message.serial in serials, message.status, message.records[0]['status']), (True, 0, 0), 'answer')
                equal(os.pread(message.fds[0], 9, 0), b'%d' % i, 'content')
                serials.discard(message.serial)
                client.detached.pop(message.serial)
            for serial in serials:
                still_waits(client, serial)
            eventually(lambda: producer.list() == [], what='it is taken')
        equal((len(serials), waits(client)), (0, 0), 'waiters that are left')


@suite.test
def taken_by_the_next(broker, bystander):
    """a waiter that dies with what was handed over to it, unread: the next one gets it"""
    with broker.connect() as client, broker.connect() as producer:
        first = broker.connect()
        first.start_wait('job')
        first.ping()
        serial = client.start_wait('job')
        client.ping()
        make(producer, b'job', 'job', flags=PUBLISH_TAKE)
        producer.ping()
        first.close()  # it has not read it
        equal(content_of(client.finish_wait(serial)), b'job', 'content')
        bystander.served()


@suite.test
def queue(broker, _):
    """FIRST: the first name under a prefix that is not being taken: a queue of work for many, each job once, in order"""
    with broker.connect() as client, broker.connect() as producer:
        for i in (3, 1, 2):
            make(producer, b'%d' % i, 'q/%d' % i, flags=PUBLISH_TAKE)
        make(producer, b'', 'p/1')
        got = [content_of(client.get('q/', flags=GET_FIRST)) for _ in range(3)]
        equal(got, [b'1', b'2', b'3'], 'in order')
        with refused('NOT_FOUND'):
            client.get('q/', flags=GET_FIRST)
        record = client.get('p', flags=GET_FIRST | GET_DETAILS)
        equal((record['name'], content_of(record)), ('p/1', b''), 'the first one under a prefix that ends in a name')
        workers = [broker.connect() for _ in range(10)]
        serials = [(worker, worker.start_wait('q/', flags=GET_FIRST | GET_DETAILS)) for worker in workers]
        for i in range(10):
            make(producer, b'%d' % i, 'q/%d' % i, flags=PUBLISH_TAKE)
        got = sorted(content_of(worker.finish_wait(serial)) for worker, serial in serials)
        equal(got, [b'%d' % i for i in range(10)], 'each job once')
        for worker in workers:
            worker.close()
        producer.remove('p/1')


@suite.test
def where_it_must_not(broker, _):
    """WAIT in a batch, with an id, a token, a generation, ATOMIC, or without what belongs to it"""
    with broker.connect() as client:
        number = make(client, b'', 'x')['id']
        token = client.one(wire.SHARE, id=number)['token']
        for records, names in (([{'name': 'x', 'flags': GET_WAIT}] * 2, ('FLAGS',)),
                               ([{'name': 'x', 'flags': GET_WAIT}, {'name': 'x'}], ('FLAGS',)),
                               ([{'name': 'x'}, {'name': 'y', 'flags': GET_WAIT}], ('FLAGS',)),
                               ([{'id': number, 'flags': GET_WAIT}], ('TARGET',)),
                               ([{'token': token, 'flags': GET_WAIT}], ('TARGET',)),
                               ([{'id': number, 'name': 'x', 'flags': GET_WAIT}], ('TARGET',)),
                               ([{'flags': GET_WAIT}], ('TARGET',)),
                               ([{'name': 'x', 'generation': 1, 'flags': GET_WAIT}], ('FLAGS',)),
                               ([{'name': 'x', 'flags': GET_WAIT | wire.GET_ATOMIC}], ('FLAGS',)),
                               ([{'name': 'y', 'wait_ms': 5}], ('FLAGS',)),
                               ([{'id': number, 'flags': GET_FIRST}], ('TARGET',)),
                               ([{'id': number, 'generation': 1}], ('TARGET', 'FLAGS')),
                               ([{'id': number, 'newer_than': 1}], ('TARGET', 'FLAGS')),
                               ([{'token': token, 'generation': 1}], ('TARGET', 'FLAGS')),
                               ([{'name': 'x', 'generation': 1, 'flags': GET_FIRST}], ('FLAGS',)),
                               ([{'name': 'x', 'newer_than': 1, 'flags': GET_FIRST}], ('FLAGS',))):
            serial = client.start(wire.GET, records)
            with client.receive() as reply:
                got = {wire.NAME_OF.get(r['status'], 'OK') for r in reply.records if r['status']} or {'OK'}
                equal(reply.serial, serial, 'serial of the answer to %r' % records)
                equal(got <= set(names), True, '%r for %r' % (got, records))
        equal(waits(client), 0, 'waits')
        client.remove('x')


@suite.test
def gone(broker, bystander):
    """a client that dies, or closes one half of its socket, waits for nothing any more; its names' next ones are served"""
    with broker.connect() as producer:
        before = broker.descriptors()

        def dies():
            with broker.connect() as client:
                for i in range(500):
                    client.start_wait('gone/%d' % (i % 3))
                client.ping()
                os._exit(0)

        with process(dies) as pid:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        for how in (socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR):
            with broker.connect() as client:
                for _ in range(100):
                    client.start_wait('gone/0')
                client.ping()
                equal(waits(producer) >= 100, True, 'waits')
                client.socket.shutdown(how)
                if how == socket.SHUT_RD:
                    # Nobody can tell before something is to be sent.
                    put(producer, b'', 'gone/0')
                    producer.remove('gone/0')
                eventually(lambda: waits(producer) == 0, what=lambda: 'waits: %d' % waits(producer))
        eventually(lambda: broker.descriptors() == before, what='descriptors')
        put(producer, b'', 'gone/0')
        bystander.served()
        producer.remove('gone/0')


@suite.test
def limits(*_):
    """waits are charged: LIMIT for one too many, and room again when one ends; their bytes count as metadata"""
    with Broker('--limit', 'uid-waits=3') as own, own.connect() as client, own.connect() as other:
        serials = [client.start_wait('l') for _ in range(3)]
        for user in (client, other):
            serial = user.start_wait('l')
            with refused('LIMIT'):
                user.finish_wait(serial)
        asked = client.start(wire.CANCEL, [{'serial': serials[0]}])
        with refused('CANCELLED'):
            client.finish_wait(serials[0])
        client.finish(asked).close()
        serial = other.start_wait('l')
        still_waits(other, serial)
        put(other, b'', 'l')
        os.close(other.finish_wait(serial)['fd'])
        for serial in serials[1:]:
            os.close(client.finish_wait(serial)['fd'])
        equal(waits(client), 0, 'waits')
        with client.call(wire.ACCOUNTS, [{}]) as message:
            equal(message.records[0]['waits_limit'], 3, 'limit')
    with Broker('--limit', 'uid-metadata=300') as own, own.connect() as client:
        client.start_wait('m' * 200)
        serial = client.start_wait('m' * 200)
        with refused('LIMIT'):
            client.finish_wait(serial)


@suite.test
def access(*_):
    """who may not read is DENIED: at once where the name is there, and when it comes; FIRST passes over it"""
    need_root()
    with Broker('--socket-mode', '0666') as own, own.connect() as root:
        put(root, b'', 'private')

        def other_one():
            with own.connect() as client:
                with refused('DENIED'):
                    client.wait('private', owner=0)
                serial = client.start_wait('later', owner=0)
                public = client.start_wait('f/', owner=0, flags=GET_FIRST)
                put(client, b'', 'waits')
                with refused('DENIED'):
                    client.finish_wait(serial)
                record = client.finish_wait(public)
                return content_of(record)

        def publish():
            serial = root.start_wait('waits', owner=MEMBER)
            os.close(root.finish_wait(serial)['fd'])
            put(root, b'', 'later')
            put(root, b'private', 'f/1', mode=0o600)
            put(root, b'public', 'f/2', mode=0o644)

        with process(publish):
            # The process has a copy of root's socket; this one does not use it meanwhile.
            equal(in_child(other_one, MEMBER, MEMBER), b'public', 'what FIRST got')


if __name__ == '__main__':
    suite.main()
