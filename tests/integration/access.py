#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may do what (several uids; needs root for that), the limits that the broker sets, and how it starts and ends."""
import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import time

import sealbuf_wire as wire
from sealbuf_wire import IMMUTABLE, WRITE
from testbed import (SEALBUFD, Broker, Suite, access_mode_of, equal, eventually, in_child, need_root, os_error, refused)

suite = Suite('--limit', 'names=20000')
ALICE, BOB, CAROL = 61001, 61002, 61003
STAFF = 62000


def outcome(function):
    """'OK', or the name of the error; descriptors are closed."""
    try:
        record = function()
    except wire.Refused as error:
        return error.name
    if isinstance(record, dict) and 'fd' in record:
        os.close(record['fd'])
    return 'OK'


def put(broker, name, mode, content=b'content'):
    """Publishes, and leaves: to be run in a child. Returns the id."""
    with broker.connect() as client:
        buffer = client.create(len(content))
        os.pwrite(buffer['fd'], content, 0)
        client.publish(buffer['id'], name, mode=mode)
        return buffer['id']


@suite.test
def mode_bits(broker, _):
    """the mode decides who may read and write: owner, group, others, root"""
    need_root()
    modes = (0o600, 0o640, 0o604, 0o620, 0o602, 0o660, 0o606, 0o000, 0o044, 0o444)
    for mode in modes:
        in_child(lambda m=mode: put(broker, 'mode/%o' % m, m), ALICE, STAFF)

    def attempt():
        with broker.connect() as client:
            return [(outcome(lambda: client.get('mode/%o' % mode, owner=ALICE)),
                     outcome(lambda: client.get('mode/%o' % mode, owner=ALICE, flags=wire.GET_WRITABLE)),
                     outcome(lambda: client.stat('mode/%o' % mode, owner=ALICE))) for mode in modes]

    def expected(shift, always=False):
        rows = []
        for mode in modes:
            bits = mode >> shift
            # A writer's descriptor reads, too: who may not read must not get one.
            read, write = ('OK' if always or bits & need == need else 'DENIED' for need in (4, 6))
            rows.append((read, write, read))
        return rows

    equal(in_child(attempt, ALICE, ALICE), expected(6, True), 'the owner')
    equal(in_child(attempt, 0, 0), expected(0, True), 'root')
    equal(in_child(attempt, BOB, STAFF), expected(3), 'one whose group it is')
    equal(in_child(attempt, BOB, BOB, [4, 63000, STAFF]), expected(3), 'one of whose groups it is')
    equal(in_child(attempt, CAROL, CAROL, [63000]), expected(0), 'another one')

    def listed():
        with broker.connect() as client:
            return [r['name'] for r in client.list(owner=ALICE)], [r['name'] for r in client.list(owner=ALICE, limit=2)]

    readable = sorted('mode/%o' % mode for mode in modes if mode & 4)
    equal(in_child(listed, CAROL, CAROL), (readable, readable), 'what another one sees in LIST')
    in_child(lambda: remove_all(broker), ALICE, ALICE)


@suite.test
def groups(broker, _):
    """root publishes for any group, others for one of theirs; a group without its flag is FLAGS, alone or in a batch"""
    need_root()
    group = max([STAFF, *os.getgroups()]) + 1

    def publish():
        with broker.connect() as client:
            buffer = client.create(1)
            os.close(buffer['fd'])
            records = [{'id': buffer['id'], 'name': 'groups/%d' % i, 'mode': 0o640, **values} for i, values in enumerate((
                {'group': group, 'flags': wire.PUBLISH_GROUP}, {'group': STAFF, 'flags': wire.PUBLISH_GROUP},
                {'group': STAFF}, {}))]
            with client.call(wire.PUBLISH, records) as message:
                batch = [wire.NAME_OF.get(record['status'], 'OK') for record in message.records]
            with refused('FLAGS'):
                client.publish(buffer['id'], 'groups/one', group=STAFF)
            there = {name['name']: name['group'] for name in client.list(prefix='groups/')}
            for name in there:
                client.remove(name)
            return batch, there

    equal(publish(), (['OK', 'OK', 'FLAGS', 'OK'], {'groups/0': group, 'groups/1': STAFF, 'groups/3': os.getegid()}),
          'what root may')
    equal(in_child(publish, ALICE, ALICE, [STAFF]),
          (['DENIED', 'OK', 'FLAGS', 'OK'], {'groups/1': STAFF, 'groups/3': ALICE}), 'what a member may')


@suite.test
def removal_is_logged(broker, _):
    """who removes a name of another one is in the log, who removes a name of its own is not"""
    need_root()
    for name in ('logged/mine', 'logged/theirs'):
        in_child(lambda n=name: put(broker, n, 0o600), ALICE, ALICE)

    def remove_own():
        with broker.connect() as client:
            client.remove('logged/mine')

    in_child(remove_own, ALICE, ALICE)
    with broker.connect() as root:
        root.remove('logged/theirs', owner=ALICE)
    log = broker.log()
    equal("removed 'logged/theirs' of uid %d" % ALICE in log, True, 'root in the log')
    equal('logged/mine' in log, False, 'the owner in the log')


def remove_all(broker):
    with broker.connect() as client:
        for record in client.list():
            client.remove(record['name'])


@suite.test
def listing_tells_no_secrets(broker, _):
    """LIST over thousands of names that one may not see tells those that one may, and no other, not even as a cursor"""
    need_root()
    # Gaps that are longer than what the broker looks at in one turn of its loop, and shorter ones.
    public = ['list/%04d' % i for i in (0, 1, 700, 1400, 3900, 4999)]

    def publish_many():
        with broker.connect() as client:
            for start in range(0, 5000, 200):
                buffer = client.create(0)
                os.close(buffer['fd'])
                names = ['list/%04d' % i for i in range(start, start + 200)]
                client.call(wire.PUBLISH, [{'id': buffer['id'], 'name': name,
                                            'mode': 0o604 if name in public else 0o600} for name in names]).close()

    def look(limit, **values):
        found, cursors = [], []
        with broker.connect() as client:
            while True:
                behind = client.serial + 2
                listing = client.start(wire.LIST, [{'limit': limit, **values}])
                client.start(wire.PING)
                with client.finish(listing) as message:  # the replies stay in order, however long one takes
                    page, *records = message.records
                client.finish(behind).close()
                equal(len(records) <= limit, True, 'names in a page')
                found += [record['name'] for record in records]
                if not page['more']:
                    return found, cursors
                cursors.append(page['next'])
                values.update(after_owner=page['next_owner'], after=page['next'])

    in_child(publish_many, ALICE, ALICE)
    for limit in (1, 2, 100):
        for values in ({'flags': wire.LIST_ALL_OWNERS}, {'owner': ALICE}, {'owner': ALICE, 'prefix': 'list/'}):
            found, cursors = in_child(lambda n=limit, v=values: look(n, **v), CAROL, CAROL)
            equal(found, public, 'names, %d a page' % limit)
            equal(set(cursors) <= set(public), True, 'cursors %r' % cursors)
    equal(in_child(lambda: look(9, owner=ALICE, prefix='list/2'), CAROL, CAROL), ([], []), 'where all is hidden')
    in_child(lambda: remove_all(broker), ALICE, ALICE)


@suite.test
def others_hands(broker, _):
    """nobody but the owner can seal, publish, replace or remove, by name or by id

    Plasma: every uid wrote to, and deleted, the sealed objects of all others.
    """
    need_root()
    published = in_child(lambda: put(broker, 'mine', 0o666), ALICE, ALICE)

    def intrude():
        with broker.connect() as client:
            results = [outcome(lambda: client.seal(published, WRITE)),
                       outcome(lambda: client.publish(published, 'stolen')),
                       outcome(lambda: client.remove('mine', owner=ALICE)),
                       outcome(lambda: client.remove(id=published)),
                       outcome(lambda: client.remove('mine')),
                       outcome(lambda: client.get('mine')),
                       outcome(lambda: client.stat(id=published))]
            mine = client.create(1)
            os.close(mine['fd'])
            client.publish(mine['id'], 'mine', mode=0o644)  # the same name, in another namespace
            results.append(client.get('mine', owner=ALICE)['id'])
            results.append(client.stat('mine')['id'] == mine['id'])
            client.remove('mine')
            return results

    equal(in_child(intrude, BOB, BOB),
          ['DENIED', 'DENIED', 'DENIED', 'DENIED', 'NOT_FOUND', 'NOT_FOUND', 'OK', published, True],
          'what another uid is told')

    def unchanged():
        with broker.connect() as client:
            got = client.get('mine')
            content = os.pread(got['fd'], 99, 0)
            os.close(got['fd'])
            client.remove('mine')
            return content, got['seals'] & WRITE

    equal(in_child(unchanged, ALICE, ALICE), (b'content', 0), 'the buffer afterwards')


@suite.test
def unpublished_of_others(broker, _):
    """a buffer without a name is for its own uid only, whatever one does with its id"""
    need_root()

    def attempt(buffer):
        with broker.connect() as client:
            return [outcome(lambda: client.get(id=buffer)), outcome(lambda: client.stat(id=buffer)),
                    outcome(lambda: client.remove(id=buffer)), outcome(lambda: client.seal(buffer, WRITE))]

    with broker.connect() as client:  # root's, as only root can become another one
        buffer = client.create(1)
        os.close(buffer['fd'])
        equal(in_child(lambda: attempt(buffer['id']), BOB, BOB), ['DENIED'] * 4, 'another uid')


@suite.test
def reader_of_another_uid(broker, _):
    """a reader of another uid cannot write, reopen for writing, seal, or change the mode"""
    need_root()
    in_child(lambda: put(broker, 'readers', 0o644), ALICE, ALICE)

    def tamper():
        with broker.connect() as client:
            got = client.get('readers', owner=ALICE)
        fd = got['fd']
        equal(access_mode_of(fd), os.O_RDONLY, 'access mode')
        for mode in (os.O_RDWR, os.O_WRONLY, os.O_RDWR | os.O_TRUNC):
            with os_error(errno.EACCES):
                os.open('/proc/self/fd/%d' % fd, mode)
        with os_error(errno.EPERM):
            os.fchmod(fd, 0o666)
        with os_error(errno.EPERM):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, WRITE)
        os.close(fd)
        return True

    in_child(tamper, BOB, BOB)
    in_child(lambda: remove_all(broker), ALICE, ALICE)


@suite.test
def keeps_the_broker_out(*_):
    """GET of an adopted buffer whose mode was changed so that the broker cannot open it is DENIED, and says why"""
    need_root()

    def close_the_door(broker):
        with broker.connect() as client:
            fd = os.memfd_create('closed', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.fchmod(fd, 0o444)
            buffer = client.adopt(fd)
            client.publish(buffer['id'], 'closed', mode=0o666)
            os.fchmod(fd, 0)
            with refused('ACCESS_MODE'):
                client.adopt(fd)
            with client.call(wire.GET, [{'name': 'closed'}]) as reply:
                record = reply.records[0]
            os.close(client.get('closed', flags=wire.GET_WRITABLE)['fd'])  # the description that it has is open
            os.fchmod(fd, 0o444)
            os.close(client.get('closed')['fd'])
            os.close(fd)
            client.remove('closed')
            return wire.NAME_OF[record['status']], record['text']

    # A broker that is no root, as the system's.
    with Broker('--socket-mode', '0666', uid=100000 + os.getpid() % 100000) as broker:
        name, text = in_child(lambda: close_the_door(broker), ALICE, ALICE)
    equal(name, 'DENIED', 'error')
    equal('keeps the broker out' in text, True, 'cause in: ' + text)


@suite.test
def quotas(*_):
    """limits on buffers, bytes, names: LIMIT; what is given back can be used again; other uids are not touched"""
    with Broker('--limit', 'uid-buffers=5', '--limit', 'uid-bytes=64K', '--limit', 'uid-names=3', '--limit',
                'buffer-size=40K') as broker:
        with broker.connect() as client:
            with refused('SIZE'):
                client.create(40 * 1024 + 1)
            big = client.create(40 * 1024)
            with refused('LIMIT'):
                client.create(24 * 1024 + 1)
            small = [client.create(6 * 1024) for _ in range(4)]
            with refused('LIMIT'):
                client.create(0)
            if os.geteuid() == 0:
                equal(in_child(lambda: outcome(lambda: broker.connect().create(30 * 1024)), BOB, BOB), 'OK',
                      'another uid')
            client.remove(id=big['id'])
            again = client.create(40 * 1024)
            for i in range(3):
                client.publish(again['id'], 'name/%d' % i)
            with refused('LIMIT'):
                client.publish(again['id'], 'name/3')
            client.publish(small[0]['id'], 'name/0', flags=wire.PUBLISH_REPLACE)
            client.remove('name/1')
            client.publish(again['id'], 'name/3')
            fd = os.memfd_create('x')
            os.ftruncate(fd, 4096)
            with refused('LIMIT'):  # the fifth buffer is there already
                client.adopt(fd)
            client.remove(id=small[1]['id'])
            os.ftruncate(fd, 41 * 1024)
            with refused('SIZE'):
                client.adopt(fd)
            os.ftruncate(fd, 7 * 1024)
            with refused('LIMIT'):
                client.adopt(fd)
            os.ftruncate(fd, 6 * 1024)
            client.adopt(fd)
            os.close(fd)
            stats = client.stats()
            equal((stats['uid_buffers'], stats['uid_bytes'], stats['uid_names']), (5, 64 * 1024, 3), 'accounts')
            for record in [big, again, *small]:
                os.close(record['fd'])


@suite.test
def growth_is_charged(*_):
    """a buffer that its holder makes grow is charged for what it has become, as soon as it is looked at"""
    with Broker('--limit', 'uid-bytes=1M') as broker, broker.connect() as client:
        buffer = client.create(4096, flags=wire.CREATE_GROWABLE | wire.CREATE_SHRINKABLE)
        os.ftruncate(buffer['fd'], 900 << 10)
        equal(client.stat(id=buffer['id'])['size'], 900 << 10, 'size')
        equal(client.stats()['uid_bytes'], 900 << 10, 'bytes')
        with refused('LIMIT'):
            client.create(200 << 10)
        os.ftruncate(buffer['fd'], 0)
        equal(client.stat(id=buffer['id'])['size'], 0, 'size')
        equal(client.stats()['uid_bytes'], 0, 'bytes')
        os.close(buffer['fd'])


@suite.test
def connection_limit(*_):
    """a connection too many is told LIMIT with serial 0, and closed; a place that becomes free can be taken"""
    with Broker('--limit', 'connections=4', '--limit', 'uid-connections=3') as broker:
        clients = [broker.connect() for _ in range(3)]
        extra = broker.connect(hello=False)
        with extra, extra.receive() as reply:
            equal((reply.opcode, reply.serial, reply.name()), (wire.HELLO | wire.REPLY, 0, 'LIMIT'), 'the refusal')
            try:
                extra.receive()
                raise AssertionError('the connection is still there')
            except wire.Disconnected:
                pass
        clients.pop().close()

        def free():
            try:
                clients.append(broker.connect())
            except (wire.Refused, wire.Disconnected):
                return False
            return True

        eventually(free, what='a place becomes free')
        for client in clients:
            client.ping()
            client.close()


@suite.test
def limits_and_descriptors(*_):
    """limits that add up to more than RLIMIT_NOFILE are refused in a sentence; without any, they are made to fit

    CVE-2014-3636, CVE-2014-7824: defaults that add up to more than the table has. Full up to the limit, an fd holder
    failed to accept one more connection, ended, and lost all.
    """
    arguments = [SEALBUFD, '--socket', '/nonexistent/socket', '--limit', 'buffers=2000', '--limit', 'connections=100']
    result = subprocess.run(arguments, capture_output=True, timeout=20, check=False,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024)))
    equal(result.returncode != 0 and b'RLIMIT_NOFILE' in result.stderr, True, 'refusal: %s' % result)
    with Broker(limits={resource.RLIMIT_NOFILE: 1024}) as broker, broker.connect() as client:
        stats = client.stats()
        equal(stats['buffers_limit'] + stats['connections_limit'] < 1024, True, 'limits: %s' % stats)
        made = 0
        while made < 1100:
            with client.call(wire.CREATE, [{'size': 1}] * 50) as reply:
                made += reply.descriptors
                if reply.descriptors < 50:
                    equal(reply.records[-1]['status'], wire.CODE['LIMIT'], 'the limit, not the table')
                    break
        equal(made, min(stats['buffers_limit'], stats['uid_buffers_limit']), 'buffers')
        with broker.connect() as other:
            other.ping()


@suite.test
def idle_exit(*_):
    """--idle-exit: the broker leaves by itself, with status 0, but not while somebody is there or a buffer is"""
    broker = Broker('--idle-exit', '400ms')
    with broker.connect() as client:
        time.sleep(1)
        buffer = client.create(1)
        client.publish(buffer['id'], 'keeps-it-here')
        os.close(buffer['fd'])
    time.sleep(1)
    equal(broker.process.poll(), None, 'exit status while a buffer is there')
    with broker.connect() as client:
        client.remove('keeps-it-here')
    equal(broker.process.wait(10), 0, 'exit status')
    equal(os.path.exists(broker.path), False, 'whether the socket is still there')
    os.unlink(broker.log_path)
    os.rmdir(broker.directory)


@suite.test
def ends_with_everything_open(*_):
    """SIGTERM and SIGINT end the broker with status 0, whatever it holds; receivers keep what they have"""
    for number in (signal.SIGTERM, signal.SIGINT):
        broker = Broker()
        client, waiting = broker.connect(), broker.connect(hello=False)
        buffer = client.create(100)
        os.pwrite(buffer['fd'], b'kept', 0)
        client.publish(buffer['id'], 'x', seals=IMMUTABLE)
        os.close(buffer['fd'])
        got = client.get('x')
        os.close(client.create(1)['fd'])
        broker.process.send_signal(number)
        equal(broker.process.wait(20), 0, 'exit status')
        equal(os.path.exists(broker.path), False, 'whether the socket is still there')
        equal(os.pread(got['fd'], 4, 0), b'kept', 'content')
        os.close(got['fd'])
        client.close()
        waiting.close()
        os.unlink(broker.log_path)
        os.rmdir(broker.directory)


@suite.test
def ends_in_the_middle(*_):
    """SIGTERM while many requests wait for their next turn: the end is clean, with every account at zero"""
    broker = Broker()
    clients = [broker.connect() for _ in range(20)]
    for i, client in enumerate(clients):
        buffer = client.create(1)
        os.close(buffer['fd'])
        client.publish(buffer['id'], 'middle/%d' % i)
    with broker.stopped():
        for i, client in enumerate(clients):
            client.start(wire.GET, [{'name': 'middle/%d' % i, 'flags': wire.GET_WRITABLE}] * wire.MAX_RECORDS)
        broker.process.send_signal(signal.SIGTERM)
    try:
        equal(broker.process.wait(20), 0, 'exit status')
    except BaseException:
        broker.process.kill()
        broker.process.wait()
        broker.show_log()
        raise
    finally:
        for client in clients:
            client.close()
        shutil.rmtree(broker.directory)


@suite.test
def ignored_signals(broker, bystander):
    """SIGPIPE and SIGXFSZ do not end the broker; a size beyond its RLIMIT_FSIZE is SIZE"""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        os.kill(broker.pid, number)
    bystander.served()
    with Broker(limits={resource.RLIMIT_FSIZE: 1 << 20}) as small, small.connect() as client:
        with refused('SIZE'):
            client.create((1 << 20) + 1)
        os.close(client.create(1 << 20)['fd'])


if __name__ == '__main__':
    suite.main()
