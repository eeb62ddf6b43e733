#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What uids may hold of each resource: their limits, their fair shares, what they are told, and what others notice."""
import contextlib
import os
import pwd
import re

import sealbuf_wire as wire
from testbed import Broker, Suite, equal, eventually, make, need_root, refused
from tracer import frozen_workers

suite = Suite()

# Twenty uids of nobody else's, also where several runs of the tests share a machine.
UIDS = [1000000 + os.getpid() % 30000 * 20 + i for i in range(20)]
BROKER_UID = UIDS.pop()
COUNTED = ('bytes', 'buffers', 'names', 'metadata', 'tokens', 'connections')
LIVE = ('waits', 'watches')


def connect_as(broker, uid):
    """A connection of that uid: what the kernel tells of a peer is who it was when it connected."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        return broker.connect()
    finally:
        os.seteuid(0)
        os.setegid(0)


def limits(**values):
    """Arguments for a broker to which all uids may connect."""
    pairs = ('%s=%d' % (key.replace('_', '-'), value) for key, value in values.items())
    return ['--socket-mode', '0666', *(word for pair in pairs for word in ('--limit', pair))]


def broker_with(**values):
    return Broker(*limits(**values), uid=BROKER_UID)


def account(client):
    with client.call(wire.ACCOUNTS, [{}]) as message:
        equal(message.count, 1, 'records')
        return message.records[0]


def all_accounts(client, **values):
    with client.call(wire.ACCOUNTS, [{'flags': wire.ACCOUNTS_ALL, **values}]) as message:
        return message.records


def begin_wait(client):
    """A GET that waits, for ever; its serial. Raises Refused where it does not."""
    serial = client.start_wait('never')
    client.ping()
    if client.detached[serial]:
        client.finish_wait(serial)
    return serial


class Holder:
    """A uid that takes one more of a resource at a time."""

    def __init__(self, broker, uid):
        self.broker, self.uid, self.clients, self.held = broker, uid, [], 0
        self.buffer = None

    def connect(self):
        self.clients.append(connect_as(self.broker, self.uid))
        return self.clients[-1]

    def create(self, **values):
        buffer = self.clients[0].create(values.pop('size', 0), **values)
        os.close(buffer['fd'])
        return buffer['id']

    def take(self, resource):
        """Raises Refused where it is one too many."""
        if resource == 'connections':
            self.connect()
        else:
            if not self.clients:
                self.connect()
            self.take_over_connection(resource, self.clients[0])
        self.held += 1

    def take_over_connection(self, resource, client):
        if resource in ('names', 'tokens') and not self.buffer:
            self.buffer = self.create()
        if resource == 'bytes':
            self.create(size=1)
        elif resource == 'buffers':
            self.create()
        elif resource == 'metadata':
            self.create(label='x')
        elif resource == 'names':
            client.publish(self.buffer, 'name/%d' % self.held)
        elif resource == 'waits':
            begin_wait(client)
        elif resource == 'watches':
            client.watch().until(wire.SYNC)
        else:
            client.one(wire.SHARE, id=self.buffer)

    def take_all(self, resource):
        """Until it is refused: how many it got, and the sentence."""
        while self.held < 200:
            try:
                self.take(resource)
            except wire.Refused as error:
                equal(error.name, 'LIMIT', 'error')
                return self.held, error.text
        raise AssertionError('uid %d is never refused any %s' % (self.uid, resource))

    def close(self):
        for client in self.clients:
            client.close()
        self.clients = []


@contextlib.contextmanager
def holders(broker, count):
    """So many uids, without anything yet. Closes their connections at the end."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Holder(broker, uid))) for uid in UIDS[:count]]


# ---- The rule of fair shares -----------------------------------------------------------------------------------------

# With a limit of 60 for all, what uids get that one after the other take as much as they can: the n-th one may have the
# part 1/(n + 1) of what those before it have left, rounded down, but 1 at least.
TO_THE_BRIM = [60 // 2, 30 // 3, 20 // 4, 15 // 5, 12 // 6] + [1] * 10
ENOUGH = {'bytes': 10 ** 6, 'buffers': 1000, 'names': 1000, 'metadata': 10 ** 6, 'tokens': 1000, 'connections': 500,
          'waits': 1000, 'watches': 1000}


def admitted(broker):
    """A connection, or None where there are too many."""
    try:
        return broker.connect()
    except wire.Refused:
        return None


def check_share(text, uid, held, resource, share, more=1):
    cause = 'uid %d holds %d, and %d more would go beyond its fair share of the limit %s=60, which is %d now' % (
        uid, held, more, resource, share)
    equal((cause in text, 'sealbufd.conf' in text), (True, True), 'cause and file in ' + text)


def check_brim(resource):
    with broker_with(**{**ENOUGH, resource: 60, 'uid_' + resource: 60}) as broker, holders(broker, 16) as uids:
        *first, late = uids
        for holder, expected in zip(first, TO_THE_BRIM):
            held, text = holder.take_all(resource)
            equal(held, expected, '%s of uid number %d' % (resource, uids.index(holder) + 1))
            if sum(other.held for other in uids) < 60:
                check_share(text, holder.uid, held, resource, held)
        equal(sum(holder.held for holder in uids), 60, resource + ' of all')
        held, text = late.take_all(resource)
        equal(held, 0, resource + ' of the last one')
        equal('would go beyond the limit %s=60' % resource in text and 'sealbufd.conf' in text, True, 'cause in ' + text)
        # What comes back is there for all, in shares again.
        first[0].close()
        if resource in ('names', 'tokens'):  # the others go with the connection
            with broker.connect() as root:
                for record in root.list(flags=wire.LIST_ALL_OWNERS, prefix='name/'):
                    if record['owner'] == first[0].uid:
                        root.remove(record['name'], owner=record['owner'])
        with eventually(lambda: admitted(broker), what='root is admitted') as root:
            root_too = resource == 'connections'
            eventually(lambda: all_accounts(root)[-1][resource] == 30 + root_too, what='what the first one had is back')
            eventually(lambda: root.stats()['jobs'] == 0, what='it is closed')
        held, text = late.take_all(resource)
        # 14 uids have 30: so 30 // 16, and of a limit of 60, 30 are left until the last one has its own.
        equal(held, 1, resource + ' of the last one')
        check_share(text, late.uid, 1, resource, 1)


for each in (*COUNTED, *LIVE):
    def brim(*_, resource=each):
        need_root()
        check_brim(resource)

    brim.__name__ = 'brim_of_' + each
    brim.__doc__ = 'fair shares of %s: exact numbers for sixteen uids, what each is told, and what comes back' % each
    suite.test(brim)


def works(client, uid, rounds=20):
    """All that an ordinary client does, from the outside."""
    for i in range(rounds):
        buffer = make(client, b'content %d' % i, 'works/%d' % i, seals=wire.IMMUTABLE)
        got = client.get('works/%d' % i, seals=wire.IMMUTABLE)
        equal(os.pread(got['fd'], 100, 0), b'content %d' % i, 'content')
        os.close(got['fd'])
        equal([(record['name'], record['owner']) for record in client.list()], [('works/%d' % i, uid)], 'LIST')
        token = client.one(wire.SHARE, name='works/%d' % i)['token']
        os.close(client.get(token=token)['fd'])
        equal(client.stat(id=buffer['id'])['size'], len('content %d' % i), 'STAT')
        client.remove('works/%d' % i)


@suite.test
def one_to_the_brim(*_):
    """one uid takes all that it may of everything, over many connections; others work on, and so does a newcomer"""
    need_root()
    few = {'bytes': 6000, 'buffers': 60, 'names': 60, 'metadata': 6000, 'tokens': 60, 'connections': 60}
    with broker_with(**few) as broker, holders(broker, 3) as (greedy, other, late):
        client = other.connect()
        works(client, other.uid)
        greedy.connect()
        first = greedy.create()
        for resource, take in (('bytes', lambda i: greedy.create(size=200)),
                               ('names', lambda i: greedy.clients[0].publish(first, 'brim/%d' % i)),
                               ('tokens', lambda i: greedy.clients[0].one(wire.SHARE, id=first)),
                               ('metadata', lambda i: greedy.create(metadata=b'k=' + b'v' * 297 + b'\0')),
                               ('buffers', lambda i: greedy.create()),
                               ('connections', lambda i: greedy.connect())):
            with refused('LIMIT'):
                for i in range(61):
                    take(i)
            held = account(greedy.clients[0])
            step = {'bytes': 200, 'metadata': 300}.get(resource, 1)
            equal(held[resource] + step > held[resource + '_limit'], True, '%s: %d' % (resource, held[resource]))
            equal(few[resource] // 4 <= held[resource + '_limit'] <= few[resource] // 2, True, 'share of ' + resource)
        works(client, other.uid)
        works(late.connect(), late.uid)
        for take in (lambda: greedy.create(), greedy.connect,
                     lambda: greedy.clients[0].publish(first, 'brim/too-many')):
            with refused('LIMIT'):
                take()


@suite.test
def ten_uids(*_):
    """ten uids take what they may of buffers and names, round by round: none gets much more, and all can work"""
    need_root()
    with broker_with(buffers=100, names=100, connections=100, tokens=100) as broker, holders(broker, 10) as uids:
        for holder in uids:
            holder.connect()
        # One each in turn, until nobody gets any more.
        growing = set(uids)
        while growing:
            for holder in list(growing):
                try:
                    number = holder.create()
                    holder.clients[0].publish(number, 'turn/%d' % number)
                    holder.held += 1
                except wire.Refused as error:
                    equal(error.name, 'LIMIT', 'error')
                    growing.remove(holder)
        # n = 10, and all alike: h is greatest with h <= (100 - 9 h') / 11 for the h' that the others have then.
        counts = [holder.held for holder in uids]
        equal(min(counts) >= 5 and max(counts) - min(counts) <= 1 and sum(counts) < 100, True, 'buffers: %r' % counts)
        with broker.connect() as root:
            records = all_accounts(root)
            equal([record['uid'] for record in records[1:-1]], [holder.uid for holder in uids], 'uids')
            equal([record['buffers'] for record in records[1:-1]], counts, 'buffers')
            equal(records[-1]['buffers'], sum(counts), 'buffers of all')
            for record in root.list(flags=wire.LIST_ALL_OWNERS):
                root.remove(record['name'], owner=record['owner'])
        for holder in uids:
            works(holder.clients[0], holder.uid, 3)


@suite.test
def all_at_once(*_):
    """a uid that has nothing yet, and asks for more than its share at once, gets none of it"""
    need_root()
    with broker_with(bytes=60, uid_bytes=60) as broker, holders(broker, 2) as (one, two):
        for holder, most in ((one, 30), (two, 10)):
            holder.connect()
            try:
                holder.create(size=most + 1)
            except wire.Refused as error:
                check_share(error.text, holder.uid, 0, 'bytes', most, most + 1)
            else:
                raise AssertionError('uid %d got more than its share' % holder.uid)
            holder.create(size=most)
            equal(account(holder.clients[0])['bytes'], most, 'bytes')


@suite.test
def who_has_no_share(*_):
    """root and the broker's own uid may have all that is there, an ordinary uid half; limits of a uid hold for all"""
    need_root()
    for uid in (0, BROKER_UID):
        with broker_with(buffers=60) as broker, contextlib.closing(Holder(broker, uid)) as holder:
            held, text = holder.take_all('buffers')
            equal(held, 60, 'buffers of uid %d' % uid)
            equal('would go beyond the limit buffers=60' in text, True, 'cause in ' + text)
    with broker_with(buffers=60, uid_buffers=7) as broker:
        for uid in (0, BROKER_UID, UIDS[0]):
            with contextlib.closing(Holder(broker, uid)) as holder:
                equal(holder.take_all('buffers')[0], 7, 'buffers of uid %d' % uid)


# ---- What one is told ------------------------------------------------------------------------------------------------

@suite.test
def sentences(*_):
    """who meets the limit of a uid is told the limit, its value, how much the uid holds, and in which file it is"""
    for resource in (*COUNTED, *LIVE):
        with Broker(*limits(**{'uid-' + resource: 3})) as broker:
            with contextlib.closing(Holder(broker, os.geteuid())) as holder:
                # Connect without a change of uid, which only root can make.
                holder.connect = lambda h=holder, b=broker: h.clients.append(b.connect())
                held, text = holder.take_all(resource)
            equal(held, 3, resource)
            cause = 'uid %d holds 3, and 1 more would go beyond the limit uid-%s=3' % (os.geteuid(), resource)
            equal((cause in text, 'sealbufd.conf' in text), (True, True), 'cause and file in ' + text)


@suite.test
def requests(*_):
    """as many requests of a uid wait as it may have; one more is LIMIT, and served once another one is done"""
    with Broker(*limits(uid_requests=1)) as broker, broker.connect() as client, broker.connect() as other:
        buffers = [client.create(10) for _ in range(2)]
        for buffer in buffers:
            os.close(buffer['fd'])
        with frozen_workers(broker):
            serial = client.start(wire.SEAL, [{'id': buffers[0]['id'], 'seals': wire.WRITE}])
            eventually(lambda: account(other)['requests'] == 1, what='it waits')
            with refused('LIMIT'):
                other.list()
            other.start(wire.SEAL, [{'id': buffers[1]['id'], 'seals': wire.WRITE}])
            with other.receive() as reply:
                cause = 'uid %d holds 1, and 1 more would go beyond the limit uid-requests=1' % os.geteuid()
                equal((reply.name(), cause in reply.text, 'sealbufd.conf' in reply.text), ('LIMIT', True, True),
                      'name, cause and file in ' + reply.text)
            other.ping()  # what is served at once needs to wait for nothing
            os.close(other.get(id=buffers[1]['id'])['fd'])
        client.finish(serial).close()
        other.seal(buffers[1]['id'], wire.WRITE)
        equal(other.list(), [], 'names')
        equal(account(other)['requests'], 0, 'requests that wait')


@suite.test
def can_give_back(*_):
    """a uid that is at all of its limits can still do everything that gives something back, or takes nothing more

    No charge is on one who would have to be served to get rid of it: dbus-broker #440.
    """
    with Broker(*limits(uid_buffers=2, uid_bytes=20, uid_names=2, uid_metadata=6, uid_tokens=2, uid_connections=2,
                        uid_requests=1)) as broker, broker.connect() as client, broker.connect() as other:
        def create(user, **values):
            buffer = user.create(10, **values)
            os.close(buffer['fd'])
            return buffer['id']

        ids = [create(client, label='x') for _ in range(2)]
        for number, name in zip(ids, ('n1', 'n2')):
            client.publish(number, name)
        tokens = [client.one(wire.SHARE, id=number)['token'] for number in ids]
        held = account(client)
        for key in COUNTED:
            equal(held[key], held[key + '_limit'], key)
        with refused('LIMIT'):
            broker.connect()
        equal(sorted(record['name'] for record in other.list()), ['n1', 'n2'], 'LIST')
        with other.call(wire.STAT, [{'name': 'n1'}] * 253) as message:
            equal({record['status'] for record in message.records}, {0}, 'statuses of many')
        with other.call(wire.GET, [{'token': token} for token in tokens] * 100) as message:
            equal(message.descriptors, 200, 'descriptors')
        client.seal(ids[0], wire.WRITE)
        client.publish(ids[0], 'n2', flags=wire.PUBLISH_REPLACE)  # and the other one is gone, with its token
        with refused('TOKEN'):
            client.one(wire.REVOKE, token=tokens[1])
        client.one(wire.REVOKE, token=tokens[0])
        other.publish(create(other), 'n1', flags=wire.PUBLISH_REPLACE)
        with client.call(wire.REMOVE, [{'name': 'n1'}, {'name': 'n2'}]) as message:
            equal([record['status'] for record in message.records], [0, 0], 'statuses of REMOVE')
        got = account(client)
        equal({key: got[key] for key in COUNTED}, {**dict.fromkeys(COUNTED, 0), 'connections': 2}, 'what it holds')


@suite.test
def can_cancel(*_):
    """a uid that is at its limits of waits and watches can end them, and begin others; their bytes come back, too"""
    with Broker(*limits(uid_waits=2, uid_watches=2, uid_requests=1)) as broker, broker.connect() as client:
        before = account(client)
        for _ in range(10):
            waits, watches = [begin_wait(client) for _ in range(2)], [client.watch('some/') for _ in range(2)]
            for watch in watches:
                watch.until(wire.SYNC)
            with refused('LIMIT'):
                begin_wait(client)
            with refused('LIMIT'):
                client.watch().next()
            held = account(client)
            equal([(held[key], held[key + '_limit']) for key in LIVE], [(2, 2)] * 2, 'what it holds')
            equal(held['metadata'] > before['metadata'], True, 'metadata that are charged')
            for watch in watches:
                watch.cancel()
            for serial in waits:
                cancelled = client.start(wire.CANCEL, [{'serial': serial}])
                with refused('CANCELLED'):
                    client.finish_wait(serial)
                client.finish(cancelled).close()
            after = account(client)
            equal({key: after[key] for key in (*COUNTED, *LIVE)}, {key: before[key] for key in (*COUNTED, *LIVE)},
                  'what it holds at last')


@suite.test
def accounts(*_):
    """an account tells what the uid holds of each resource, to the byte, and what it may now

    By number, which D-Bus did not, and went wrong where several names of users share one: CVE-2020-35512.
    """
    need_root()
    equal([user.pw_name for user in pwd.getpwall() if user.pw_uid in UIDS], [], 'users with these numbers')
    few = {'bytes': 6000, 'buffers': 60, 'names': 60, 'metadata': 6000, 'tokens': 60, 'connections': 60}
    with broker_with(uid_names=20, **few) as broker, holders(broker, 2) as (one, two):
        client = one.connect()
        one.connect()
        for i, size in enumerate((10, 200, 3000 - 210)):
            number = one.create(size=size, label='label', metadata=b'k=v\0')
            client.publish(number, 'name/%d' % i)
            client.publish(number, 'name/%d' % i, flags=wire.PUBLISH_REPLACE)
        client.one(wire.SHARE, id=number)
        client.one(wire.SHARE, id=number)
        got = account(client)
        held = {'bytes': 3000, 'buffers': 3, 'names': 3, 'metadata': 3 * (5 + 4 + 6), 'tokens': 2, 'connections': 2,
                'requests': 0, 'replies': 0, 'queued_descriptors': 0, 'waits': 0, 'watches': 0}
        equal({key: got[key] for key in held}, held, 'what it holds')
        equal(got['uid'], one.uid, 'uid')
        # It is alone: a half. Of names, its own limit is less.
        may = {'bytes': 3000, 'buffers': 30, 'names': 20, 'metadata': 3000, 'tokens': 30, 'connections': 30}
        equal({key: got[key + '_limit'] for key in may}, may, 'what it may')
        stats = client.stats()
        for key in ('bytes', 'buffers', 'names', 'connections'):
            equal((stats['uid_' + key], stats['uid_%s_limit' % key]), (held[key], may[key]), 'STATS of ' + key)
        # With a second one that has one of each, a third of what that leaves.
        other = two.connect()
        other.publish(two.create(size=1, label='x'), 'n')
        may = {'bytes': 5999 // 3, 'buffers': 59 // 3, 'names': 59 // 3, 'metadata': 5998 // 3, 'tokens': 30,
               'connections': 59 // 3}
        got = account(client)
        equal({key: got[key + '_limit'] for key in may}, may, 'what it may beside another')
        # The second one has no token: it would be the second holder of some.
        got = account(other)
        equal((got['tokens'], got['tokens_limit']), (0, 58 // 3), 'tokens of the other')
        for record in client.list():
            client.remove(record['name'])
        got = account(client)
        equal({key: got[key] for key in held}, {**dict.fromkeys(held, 0), 'connections': 2}, 'what it holds at last')


@suite.test
def accounts_of_all(*_):
    """the accounts of all, page by page, and the sums, in STATS too, are for root and the broker's own uid alone"""
    need_root()
    with Broker(*limits(connections=1000), uid=BROKER_UID) as broker, contextlib.ExitStack() as stack:
        # Three hundred uids: more than fit on a page.
        first = UIDS[0]
        clients = [stack.enter_context(connect_as(broker, first + i)) for i in range(300)]
        os.close(clients[0].create(100)['fd'])
        own = stack.enter_context(connect_as(broker, BROKER_UID))
        with refused('DENIED'):
            all_accounts(clients[1])
        with refused('DENIED'):
            all_accounts(clients[1], **{'from': first + 1})
        with clients[1].call(wire.ACCOUNTS, [{'from': first + 2}]) as message:
            equal(message.count, 0, 'records about lower uids')
        expected = sorted({*range(first, first + 300), BROKER_UID})
        root = stack.enter_context(broker.connect())
        for who, also in ((root, [0]), (own, [0])):
            records, pages = [], 0
            while not records or records[-1]['uid'] != wire.ALL_UIDS:
                start = records[-1]['uid'] + 1 if records else 0
                records += all_accounts(who, **{'from': start})
                pages += 1
            equal(pages > 1, True, 'pages: %d' % pages)
            equal([record['uid'] for record in records], also + expected + [wire.ALL_UIDS], 'uids')
            sums = records.pop()
            for key in ('bytes', 'buffers', 'connections'):
                equal(sums[key], sum(record[key] for record in records), key)
            equal((sums['bytes'], sums['buffers'], sums['connections_limit']), (100, 1, 1000), 'sums and limit')
            stats = who.stats()
            equal((stats['bytes'], stats['buffers'], stats['connections']), (100, 1, 302), 'sums in STATS')
            equal(stats['requests'] > 300, True, 'requests')
        stats = clients[0].stats()
        hidden = ('requests', 'refused', 'disconnects', 'buffers', 'bytes', 'names', 'connections', 'jobs',
                  'queued_descriptors')
        equal({key: stats[key] for key in hidden}, dict.fromkeys(hidden, 0), 'sums for others')
        equal((stats['uid'], stats['uid_bytes'], stats['uid_buffers'], stats['uid_connections']), (first, 100, 1, 1),
              'what is its own')
        equal(stats['connections_limit'], 1000, 'limit')


# ---- What is charged -------------------------------------------------------------------------------------------------

@suite.test
def growth(*_):
    """a buffer that its holder makes grow is charged anew when it is published or got, and found out again and again"""
    with Broker(*limits(uid_bytes=1 << 20)) as broker, broker.connect() as client:
        def growable(size):
            buffer = client.create(4096, flags=wire.CREATE_GROWABLE | wire.CREATE_SHRINKABLE)
            os.ftruncate(buffer['fd'], size)
            return buffer['id'], buffer['fd']

        def charged():
            return client.stats()['uid_bytes']

        number, fd = growable(600 << 10)
        equal(charged(), 4096, 'bytes at first')
        client.publish(number, 'grown')
        equal(charged(), 600 << 10, 'bytes when it is published')
        os.ftruncate(fd, 700 << 10)
        got = client.get('grown')
        os.close(got['fd'])
        equal((got['size'], charged()), (700 << 10, 700 << 10), 'size in GET, bytes')
        os.ftruncate(fd, 2 << 20)
        # Also when it cannot change any more.
        for seals in (0, 0, wire.SHRINK | wire.GROW, 0):
            client.seal(number, seals)
            for attempt in (lambda: client.get('grown'), lambda: client.get(id=number), lambda: client.stat('grown'),
                            lambda: client.get('grown', flags=wire.GET_WRITABLE),
                            lambda: client.publish(number, 'grown/too')):
                with refused('LIMIT'):
                    attempt()
            equal(charged(), 700 << 10, 'bytes while it is too big')
        client.remove('grown')
        equal(charged(), 0, 'bytes at last')
        os.close(fd)


@suite.test
def nothing_left_over(*_):
    """requests that meet a limit in the middle leave no part of their charges behind

    Plasma #4850: a create that failed left a ghost behind.
    """
    need_root()
    with broker_with(uid_buffers=5, uid_names=5, uid_bytes=50, uid_metadata=50, uid_tokens=5) as broker:
        with holders(broker, 1) as (one,):
            client = one.connect()
            number = one.create(label='x', size=10)
            client.publish(number, 'n')
            before = {key: account(client)[key] for key in COUNTED}
            for attempt in (lambda: client.create(41, label='y', metadata=b'k=v\0'),
                            lambda: client.create(10, metadata=b'k=' + b'v' * 60 + b'\0'),
                            lambda: client.publish(number, 'n' * 60)):
                with refused('LIMIT'):
                    attempt()
                equal({key: account(client)[key] for key in COUNTED}, before, 'what it holds')
            with client.call(wire.CREATE, [{'size': 20}] * 10) as message:
                statuses = [wire.NAME_OF.get(record['status'], 'OK') for record in message.records]
            equal(statuses, ['OK'] * 2 + ['LIMIT'] * 8, 'statuses')
            equal(account(client)['bytes'], 50, 'bytes')
            client.remove('n')
        with broker.connect() as root:
            eventually(lambda: all_accounts(root)[-1]['bytes'] == 0, what='all bytes are back')
            equal(re.findall('not zero', broker.log()), [], 'complaints')


@suite.test
def turned_away(*_):
    """a uid that was only ever turned away leaves no account behind"""
    need_root()
    with broker_with(connections=1) as broker, broker.connect() as root:
        for uid in UIDS:
            with refused('LIMIT'):
                connect_as(broker, uid)
        equal([record['uid'] for record in all_accounts(root)], [0, wire.ALL_UIDS], 'uids with an account')


if __name__ == '__main__':
    suite.main()
