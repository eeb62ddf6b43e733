# SPDX-License-Identifier: MIT
"""Hand-over: a name or a token whose first getter takes the buffer out of the broker."""
import os
import select
import signal
import socket
import sys

import sealbuf_wire as wire
from testbed import Suite, eventually, equal, fetch, in_child, make, need_root, process, refused

MINE = 200000 + os.getpid() % 30000 * 10
OTHER = MINE + 1

suite = Suite()


def as_user(broker, uid, function):
    def run():
        with broker.connect() as client:
            return function(client)
    return in_child(run, uid, uid)


def names(client):
    return [record['name'] for record in client.list(prefix='take/')]


def ended(bystander, connections):
    """Waits until the broker has nothing to do any more with connections that were not there before."""
    eventually(lambda: bystander.accounts()['connections'] == connections, what='the connection has ended')


def publish(client, content, name, **values):
    return make(client, content, name, flags=wire.PUBLISH_TAKE, **values)


@suite.test
def refused_where_it_would_take(broker, _):
    """With NO_TAKE, a GET of what would be handed over is refused, and takes nothing; others are served"""
    with broker.connect() as client:
        publish(client, b'work', 'take/not')
        make(client, b'plain', 'plain')
        with refused('FLAGS'):
            client.get('take/not', flags=wire.GET_NO_TAKE)
        equal(fetch(client, 'plain', flags=wire.GET_NO_TAKE)[1], b'plain', 'content of what stays')
        client.remove('plain')
        equal(names(client), ['take/not'], 'names')
        equal(fetch(client, 'take/not')[1], b'work', 'content')


@suite.test
def first_one_takes(broker, bystander):
    """The first to get it has it, and nobody else finds it; its producer is charged no more"""
    with broker.connect() as client, broker.connect() as other:
        publish(client, b'work', 'take/a')
        equal(client.stat('take/a')['flags'] & wire.INFO_TAKE, wire.INFO_TAKE, 'flag')
        buffer, content = fetch(other, 'take/a')
        equal(content, b'work', 'content')
        for attempt in (lambda: client.get('take/a'), lambda: client.stat('take/a'), lambda: client.remove('take/a'),
                        lambda: client.get(id=buffer['id']), lambda: client.seal(buffer['id'], wire.GROW)):
            with refused('NOT_FOUND'):
                attempt()
        equal(client.list(prefix='take/'), [], 'names')
        eventually(lambda: bystander.accounts()['buffers'] == 0, what='the buffer is not charged any more')
        publish(client, b'more', 'take/a')
        equal(fetch(other, 'take/a')[1], b'more', 'content')


@suite.test
def race(broker, bystander):
    """Of 100 clients that get it at once, one takes it"""
    with broker.connect() as client:
        for round_ in range(5):
            publish(client, b'prize', 'take/race')
            racers = [broker.connect() for _ in range(100)]
            serials = [racer.start(wire.GET, [{'name': 'take/race'}]) for racer in racers]
            outcomes = []
            for racer, serial in zip(racers, serials):
                with racer.finish(serial) as message:
                    outcomes.append(message.records[0]['status'])
            equal(sorted(outcomes), [0] + [wire.CODE['NOT_FOUND']] * 99, 'outcomes of round %d' % round_)
            for racer in racers:
                racer.close()
            eventually(lambda: bystander.accounts()['buffers'] == 0, what='the buffer is gone')


@suite.test
def race_of_processes(broker, bystander):
    """Of 100 processes one takes it, also while others are killed at it"""
    with broker.connect() as client:
        publish(client, b'prize', 'take/processes')
        gate, opened = os.pipe()
        results, winner = os.pipe()
        pids = []
        for _ in range(100):
            pid = os.fork()
            if pid == 0:
                os.close(opened)
                try:
                    with broker.connect() as racer:
                        os.read(gate, 1)
                        if fetch(racer, 'take/processes')[1] == b'prize':
                            os.write(winner, b'!')
                except wire.Refused:
                    pass
                finally:
                    os._exit(0)
            pids.append(pid)
        os.close(winner)
        os.close(gate)
        os.close(opened)
        for pid in pids[::3]:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        with os.fdopen(results, 'rb') as pipe:
            winners = len(pipe.read())
        if winners > 1:
            raise AssertionError('%d processes have it' % winners)
        # One that was killed may have had it; but then it has gone.
        eventually(lambda: bystander.accounts()['buffers'] == 0 or winners == 0, what='the buffer is gone')
        if bystander.accounts()['buffers']:
            client.remove('take/processes')


@suite.test
def not_read(broker, _):
    """A taker that dies before it has read its reply has taken nothing: the buffer is back"""
    with broker.connect() as client:
        for how in ('close', 'kill', 'shutdown'):
            publish(client, b'precious', 'take/unread')
            if how == 'kill':
                ready, go_on = os.pipe()

                def taker():
                    racer = broker.connect()
                    racer.start(wire.GET, [{'name': 'take/unread'}])
                    os.write(go_on, b'!')
                    signal.pause()

                with process(taker):
                    os.read(ready, 1)
                    eventually(lambda: client.list(prefix='take/') == [], what='it is claimed')
                os.close(ready)
                os.close(go_on)
            else:
                taker = broker.connect()
                taker.start(wire.GET, [{'name': 'take/unread'}])
                eventually(lambda: client.list(prefix='take/') == [], what='it is claimed')
                if how == 'shutdown':
                    taker.socket.shutdown(socket.SHUT_RDWR)
                taker.close()
            eventually(lambda: client.list(prefix='take/') != [], what='it is back after ' + how)
            equal(fetch(client, 'take/unread')[1], b'precious', 'content')
            eventually(lambda: client.list(prefix='take/') == [], what='it is gone')


@suite.test
def peeked(broker, bystander):
    """A taker of another user that looks at its reply without reading it, and dies, has taken it: nobody else gets it"""
    need_root()

    def taker():
        racer = broker.connect()
        racer.start(wire.GET, [{'name': 'take/peek', 'owner': 0}])
        eventually(lambda: select.select([racer.socket], [], [], 0)[0], what='the reply')
        _, control, _, _ = racer.socket.recvmsg(65536, socket.CMSG_SPACE(4), socket.MSG_PEEK | socket.MSG_CMSG_CLOEXEC)
        (_, _, content), = control
        return os.pread(int.from_bytes(content[:4], sys.byteorder), 7, 0)

    with broker.connect() as client:
        publish(client, b'nothing', 'take/peek', mode=0o644)
        equal(in_child(taker, OTHER, OTHER), b'nothing', 'what it has seen')
        eventually(lambda: bystander.accounts()['buffers'] == 0, what='the buffer is gone')
        with refused('NOT_FOUND'):
            client.get('take/peek')


@suite.test
def cannot_be_sent(broker, bystander):
    """A taker that nothing can be sent to any more has taken nothing"""
    with broker.connect() as client:
        publish(client, b'precious', 'take/unsent')
        connections = bystander.accounts()['connections']
        with broker.connect() as taker:
            taker.socket.shutdown(socket.SHUT_RD)
            taker.start(wire.GET, [{'name': 'take/unsent'}])
            ended(bystander, connections)
            equal(fetch(client, 'take/unsent')[1], b'precious', 'content')
        eventually(lambda: bystander.accounts()['buffers'] == 0, what='the buffer is gone')


@suite.test
def read_and_died(broker, bystander):
    """A taker that has read its reply has taken it, also if it dies right after"""
    with broker.connect() as client:
        for _ in range(20):
            publish(client, b'x', 'take/read')
            taker = broker.connect()
            fetch(taker, 'take/read')
            taker.close()
            with refused('NOT_FOUND'):
                client.get('take/read')
            eventually(lambda: bystander.accounts()['buffers'] == 0, what='the buffer is gone')


@suite.test
def pipelined(broker, _):
    """Of several that were asked for at once, those that were read are taken, and the others are back"""
    with broker.connect() as client:
        for i in range(4):
            publish(client, b'%d' % i, 'take/%d' % i)
        taker = broker.connect()
        serials = [taker.start(wire.GET, [{'name': 'take/%d' % i}]) for i in range(4)]
        for serial in serials[:2]:
            taker.finish(serial).close()
        eventually(lambda: len(client.list(prefix='take/')) <= 1, what='the third one is claimed')
        taker.close()
        eventually(lambda: [r['name'] for r in client.list(prefix='take/')] in (['take/2', 'take/3'], [b'take/2', b'take/3']),
                   what='those that were not read are back')
        for i in (2, 3):
            client.remove('take/%d' % i)


@suite.test
def one_request_at_a_time(broker, bystander):
    """Whoever takes by two requests at once, reads the first reply and goes, has taken the first buffer only"""
    with broker.connect() as client:
        for _ in range(20):
            for name in ('take/1', 'take/2'):
                publish(client, b'x', name)
            connections = bystander.accounts()['connections']
            with broker.connect() as taker:
                with broker.stopped():  # so many that the broker then reads several messages in one turn
                    serials = [taker.start(wire.PING) for _ in range(46)]
                for serial in serials:
                    taker.finish(serial).close()
                with broker.stopped():
                    serials = [taker.start(wire.GET, [{'name': name}]) for name in ('take/1', 'take/2')]
                taker.finish(serials[0]).close()
            ended(bystander, connections)
            equal(names(client), ['take/2'], 'what is left')
            client.remove('take/2')


@suite.test
def too_big_for_the_reply(broker, bystander):
    """Of many that are asked for at once, those whose records do not fit into the reply are not taken"""
    count = 60
    with broker.connect() as client, broker.connect() as taker:
        for i in range(count):
            buffer = client.create(1, metadata=b'm=' + b'v' * 1997 + b'\0')
            os.close(buffer['fd'])
            client.publish(buffer['id'], 'take/%02d' % i, flags=wire.PUBLISH_TAKE)
        asked = [{'name': 'take/%02d' % i, 'flags': wire.GET_DETAILS} for i in range(count)]
        with taker.call(wire.GET, asked) as message:
            left = ['take/%02d' % i for i, record in enumerate(message.records)
                    if record['status'] == wire.CODE['TOO_BIG']]
            equal(message.descriptors, count - len(left), 'descriptors')
        equal(0 < len(left) < count, True, 'some are too big: %d' % len(left))
        eventually(lambda: names(client) == left, what=lambda: 'left are %r, not %r' % (names(client), left))
        eventually(lambda: bystander.accounts()['buffers'] == len(left), what='the others are gone')
        for name in left:
            client.remove(name)


@suite.test
def batch(broker, _):
    """In one request the same name is taken once"""
    with broker.connect() as client:
        publish(client, b'x', 'take/batch')
        publish(client, b'y', 'take/other')
        with client.call(wire.GET, [{'name': 'take/batch'}, {'name': 'take/batch'}, {'name': 'take/other'}]) as message:
            equal([r['status'] for r in message.records], [0, wire.CODE['NOT_FOUND'], 0], 'outcomes')


@suite.test
def published_again(broker, _):
    """While the one before is on its way the name is not free, but can be replaced; what is on its way arrives"""
    with broker.connect() as client:
        publish(client, b'first', 'take/again')
        taker = broker.connect()
        serial = taker.start(wire.GET, [{'name': 'take/again'}])
        eventually(lambda: client.list(prefix='take/') == [], what='it is claimed')
        with refused('EXISTS'):  # it may still come back
            make(client, b'too early', 'take/again')
        make(client, b'second', 'take/again', flags=wire.PUBLISH_REPLACE)
        with taker.finish(serial) as message:
            equal(os.pread(message.records[0]['fd'], 10, 0), b'first', 'content')
        taker.close()
        equal(fetch(client, 'take/again')[1], b'second', 'content')
        client.remove('take/again')
        # Once it was read the name is free.
        publish(client, b'third', 'take/again')
        with broker.connect() as other:
            fetch(other, 'take/again')
            make(client, b'fourth', 'take/again')
        client.remove('take/again')


@suite.test
def by_another_user(broker, bystander):
    """What is sent to another user is gone at once: the name is free, and nobody pays for it, also if it is never read"""
    need_root()

    def taker():
        racer = broker.connect()
        racer.start(wire.GET, [{'name': 'take/unread', 'owner': 0}])
        eventually(lambda: select.select([racer.socket], [], [], 0)[0], what='the reply')
        return outcome_of_publish()

    def outcome_of_publish():
        with broker.connect() as other, refused('NOT_FOUND'):
            other.stat('take/unread', owner=0)
        return bystander.accounts()['buffers']

    with broker.connect() as client:
        publish(client, b'x', 'take/unread', mode=0o644)
        equal(in_child(taker, OTHER, OTHER), 0, 'buffers while it has not read')
        make(client, b'y', 'take/unread')
        client.remove('take/unread')


@suite.test
def owner_and_administrators(broker, _):
    """What is being taken and not read can be removed by its owner; what another name of it gives stays there"""
    with broker.connect() as client:
        buffer = publish(client, b'x', 'take/stuck')
        client.publish(buffer['id'], 'take/open')
        taker = broker.connect()
        taker.start(wire.GET, [{'name': 'take/stuck'}])
        eventually(lambda: 'take/stuck' not in names(client), what='it is claimed')
        equal(fetch(client, 'take/open')[1], b'x', 'content by the other name')
        with refused('NOT_FOUND'):
            client.get('take/stuck')
        client.remove('take/stuck')
        taker.close()
        equal(names(client), ['take/open'], 'names')
        client.remove('take/open')


@suite.test
def replaced_on_its_way(broker, bystander):
    """What is published over a name while its buffer is on its way stays, also if that buffer has another name"""
    with broker.connect() as client:
        buffer = publish(client, b'old', 'take/replaced')
        client.publish(buffer['id'], 'take/other')
        connections = bystander.accounts()['connections']
        with broker.connect() as taker:
            serial = taker.start(wire.GET, [{'name': 'take/replaced'}])
            eventually(lambda: names(client) == ['take/other'], what='it is claimed')
            make(client, b'new', 'take/replaced', flags=wire.PUBLISH_REPLACE)
            with taker.finish(serial) as message:
                equal(message.records[0]['status'], 0, 'status')
        ended(bystander, connections)
        equal(fetch(client, 'take/replaced')[1], b'new', 'content')
        equal(names(client), ['take/other', 'take/replaced'], 'names')
        for name in ('take/replaced', 'take/other'):
            client.remove(name)


@suite.test
def by_token(broker, bystander):
    """A token that hands over takes the buffer from under its owner's names"""
    with broker.connect() as client, broker.connect() as other:
        buffer = make(client, b'mine', 'take/token')
        client.publish(buffer['id'], 'take/second')
        token = client.one(wire.SHARE, name='take/token', flags=wire.SHARE_TAKE)['token']
        spare = client.one(wire.SHARE, name='take/token')['token']
        equal(fetch(other, token=token)[1], b'mine', 'content')
        for attempt in (lambda: client.get('take/token'), lambda: client.get('take/second'),
                        lambda: client.stat(id=buffer['id'])):
            with refused('NOT_FOUND'):
                attempt()
        for old in (token, spare):
            with refused('TOKEN'):
                client.get(token=old)
        eventually(lambda: bystander.accounts()['buffers'] == 0, what='the buffer is gone')
        buffer = make(client, b'unpublished')
        token = client.one(wire.SHARE, id=buffer['id'], flags=wire.SHARE_TAKE)['token']
        racers = [broker.connect() for _ in range(100)]
        serials = [racer.start(wire.GET, [{'token': token}]) for racer in racers]
        got = 0
        for racer, serial in zip(racers, serials):
            with racer.finish(serial) as message:
                got += message.records[0]['status'] == 0
            racer.close()
        equal(got, 1, 'takers')
        eventually(lambda: bystander.accounts()['buffers'] == 0, what='the buffer is gone')


@suite.test
def what_is_of_others(broker, _):
    """A token that hands over takes its maker's names and tokens along, and leaves those that root has made"""
    need_root()

    def produce(client):
        return make(client, b'shared', 'take/mine', mode=0o666)['id']

    with broker.connect() as root:
        number = as_user(broker, MINE, produce)
        root.publish(number, 'take/roots')
        of_root = root.one(wire.SHARE, name='take/roots')['token']
        plain, taking = (as_user(broker, MINE, lambda c, f=flags: c.one(wire.SHARE, name='take/mine', flags=f)['token'])
                         for flags in (0, wire.SHARE_TAKE))
        equal(fetch(root, token=taking)[1], b'shared', 'content')
        eventually(lambda: names(root) == ['take/roots'], what=lambda: 'it is taken: %r' % names(root))
        with refused('NOT_FOUND'):
            root.get('take/mine', owner=MINE)
        for token in (taking, plain):
            with refused('TOKEN'):
                root.get(token=token)
        equal(fetch(root, token=of_root)[1], b'shared', 'content by the token of root')
        root.remove('take/roots')


@suite.test
def rights(broker, _):
    """Whom the mode keeps out takes nothing; whom it lets in takes it with the rights that it gives"""
    need_root()

    def producer():
        with broker.connect() as client:
            publish(client, b'secret', 'take/rights', mode=0o600)
            publish(client, b'open', 'take/open', mode=0o644)

    def stranger():
        with broker.connect() as client:
            with refused('DENIED'):
                client.get('take/rights', owner=MINE)
            with refused('DENIED'):
                client.get('take/open', owner=MINE, flags=wire.GET_WRITABLE)
            equal(fetch(client, 'take/open', owner=MINE)[1], b'open', 'content')
            with refused('NOT_FOUND'):
                client.get('take/open', owner=MINE)

    in_child(producer, MINE, MINE)
    in_child(stranger, OTHER, OTHER)

    def clean_up():
        with broker.connect() as client:
            equal(fetch(client, 'take/rights')[1], b'secret', 'content')
    in_child(clean_up, MINE, MINE)


suite.main()
