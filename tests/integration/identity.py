#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who a peer is for the broker: process, security label, user namespaces; and where that is told."""
import contextlib
import errno
import os
import shutil
import signal
import socket

import sealbuf_wire as wire
from sealbuf_wire import WRITE
from surroundings import (BareWithProc, Sandboxed, enter_user_namespace, need_own_proc, need_user_namespaces,
                          preload_library, preloaded)
from testbed import (Suite, equal, eventually, fetch, in_child, make, need_root, need_systemd, process,
                     refused)

suite = Suite()
ALICE, BOB, DAVE, CAROL, NOBODY = 61001, 61002, 61003, 61004, 65534
STAFF = 62000
LABEL = 'system_u:system_r:test_t:s0-s0:c1.c5'


def outcome(function):
    """'OK', or the error and its sentence; descriptors are closed."""
    try:
        record = function()
    except wire.Refused as error:
        return str(error)
    if isinstance(record, dict) and 'fd' in record:
        os.close(record['fd'])
    return 'OK'


def pidfd_number(pid):
    """The inode of a process' pidfd; 0 where all have the same (before Linux 6.9)."""
    def inode(which):
        fd = os.pidfd_open(which)
        try:
            return os.fstat(fd).st_ino
        finally:
            os.close(fd)
    return inode(pid) if inode(pid) != inode(os.getppid()) else 0


def own_label():
    """What this machine's security module says of this process; '' where there is none."""
    near, far = socket.socketpair(socket.AF_UNIX)
    with near, far:
        try:
            return near.getsockopt(socket.SOL_SOCKET, socket.SO_PEERSEC, 256).rstrip(b'\0\n').decode()
        except OSError as error:
            equal(error.errno, errno.ENOPROTOOPT, 'errno of SO_PEERSEC')
            return ''


@suite.test
def creator(broker, _):
    """STAT tells who made a buffer: pid, the number of the pidfd, the security label; also when that one has gone"""
    def publish():
        with broker.connect() as client:
            make(client, b'x', 'made/by-child')
            return os.getpid(), pidfd_number(os.getpid())

    with broker.connect() as client:
        mine = make(client, b'x', 'made/by-parent')
        own = client.stat('made/by-parent')
        equal((own['creator_pid'], own['creator_pidfd'], own['creator_security']),
              (os.getpid(), pidfd_number(os.getpid()), own_label()), 'creator')
        details = client.get(id=mine['id'], flags=wire.GET_DETAILS)
        os.close(details['fd'])
        equal((details['creator_pidfd'], details['creator_security']),
              (own['creator_pidfd'], own['creator_security']), 'what GET tells')
        pid, number = in_child(publish)
        child = client.stat('made/by-child')
        equal((child['creator_pid'], child['creator_pidfd']), (pid, number), 'creator, a child')
        if number:
            equal(number != own['creator_pidfd'], True, 'two processes have two numbers')
        memfd = os.memfd_create('adopted')
        adopted = client.adopt(memfd)
        os.close(memfd)
        equal(client.stat(id=adopted['id'])['creator_pidfd'], own['creator_pidfd'], 'creator of an adopted one')
        client.remove('made/by-parent')
        client.remove('made/by-child')


def be_dropped(broker):
    with broker.connect(hello=False) as client:
        client.send(b'this is no HELLO' * 4)
        try:
            client.receive().close()
            client.receive().close()
        except (wire.Disconnected, ValueError):
            pass


@suite.test
def label(*_):
    """a security label is in STAT and in the log, in printable characters, and not in the way where it is long"""
    for given, told in ((LABEL, LABEL), ('bad\tlabel\n', 'bad?label'), ('läbel', 'läbel'), ('x' * 300, 'x' * 249)):
        with preloaded(PRELOAD_SECURITY=given) as own, own.connect() as client:
            buffer = client.create(1, label='label', metadata=b'key=value\0')
            os.close(buffer['fd'])
            record = client.stat(id=buffer['id'])
            equal((record['label'], record['metadata'], record['creator_security']),
                  ('label', b'key=value\0', told), 'what STAT tells')
            be_dropped(own)
            eventually(lambda: 'dropped' in own.log(), what='a line of the log')
            line = [line for line in own.log().splitlines() if 'dropped' in line][0]
            equal(line.startswith('sealbufd: peer pid %d uid %d security %s: ' % (os.getpid(), os.getuid(), told)), True,
                  'the line %r' % line)


class Journalled(BareWithProc):
    """In a root where this process is the journal. The configuration is in a file whose name has two lines."""
    config_path = '/c\nSEALBUF_NAME=forged'

    def __init__(self, library):
        self.library = library
        super().__init__('--log-level', 'debug', '--config', self.config_path)

    def configure(self, text):
        with open(self.directory + self.config_path, 'w', encoding='utf-8') as file:
            file.write(text)

    def fill(self):
        super().fill()
        self.configure('')
        os.makedirs(self.directory + '/run/systemd/journal')
        self.journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.journal.bind(self.directory + '/run/systemd/journal/socket')
        self.journal.settimeout(10)
        shutil.copy(self.library, self.directory + '/preload.so')

    def environment(self):
        log = os.stat(self.log_path)  # which is its standard error
        return {**super().environment(), 'LD_PRELOAD': '/preload.so', 'PRELOAD_SECURITY': LABEL,
                'JOURNAL_STREAM': '%d:%d' % (log.st_dev, log.st_ino)}

    def entry(self, text):
        """The fields of the first entry with this text in its message."""
        while True:
            fields = dict(line.split('=', 1) for line in self.journal.recv(65536).decode().splitlines())
            if text in fields['MESSAGE']:
                return fields


@contextlib.contextmanager
def journalled():
    need_root()
    need_own_proc()
    need_systemd()
    with preload_library() as library, Journalled(library) as own:
        yield own
    own.journal.close()


@suite.test
def journal(*_):
    """the journal gets uid, pid and security label as fields, from within the sandbox, and a line that says who it is"""
    with journalled() as own:
        be_dropped(own)
        fields = own.entry('dropped')
        who = 'peer pid %d uid %d security %s: dropped: ' % (os.getpid(), os.getuid(), LABEL)
        equal(fields['MESSAGE'][:len(who)], who, 'MESSAGE')
        equal({key: fields[key] for key in fields if key.startswith('SEALBUF_')},
              {'SEALBUF_UID': str(os.getuid()), 'SEALBUF_PID': str(os.getpid()), 'SEALBUF_SECURITY': LABEL}, 'fields')
        fields = own.entry('disconnected')
        equal(fields.get('SEALBUF_SECURITY'), LABEL, 'label of who has gone')


@suite.test
def journal_of_lines(*_):
    """a text with several lines is one field: nothing that is logged can begin another one"""
    with journalled() as own:
        own.configure('nonsense\n')
        own.process.send_signal(signal.SIGHUP)
        fields = own.entry('/c SEALBUF_NAME=forged:1: ')
        equal(fields.get('SEALBUF_NAME'), None, 'a field out of the middle of another one')
        own.configure('')


@suite.test
def journal_does_not_read(*_):
    """a journal that does not read holds nobody up; it is told later how much was lost"""
    with journalled() as own:
        for _ in range(2000):  # lines of debug: no limit is on those but that for lines about clients, so it is SIGHUPs
            own.process.send_signal(signal.SIGHUP)
            with own.connect() as client:
                client.ping()
        own.journal.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                own.journal.recv(65536)
        own.journal.settimeout(10)
        own.process.send_signal(signal.SIGHUP)
        own.entry('lines are lost: the log was not read')


def is_connected(near):
    try:
        return near.getpeername() is not None
    except OSError:
        return False


@suite.test
def ended_peer(broker, _):
    """whether a peer is in the broker's pid namespace is never asked by the pid of one that has ended"""
    executable = {'size': 1, 'flags': wire.CREATE_EXECUTABLE}
    with broker.connect() as client:
        os.close(client.create(**executable)['fd'])
    with broker.connect(hello=False) as client:
        client.socket.close()
        client.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with process(lambda: (client.socket.connect(broker.path), signal.pause())):
            eventually(lambda: is_connected(client.socket), what='the connection of a process that is killed now')
        client.socket.settimeout(20)
        client.hello()
        with refused('DENIED'):
            client.create(**executable)
    for number, expected in ((errno.ESRCH, 'DENIED'), (errno.EMFILE, 'TABLE_FULL'), (errno.ENOPROTOOPT, 'OK')):
        with preloaded(PRELOAD_PIDFD=str(number)) as own, own.connect() as client:
            told = outcome(lambda: client.create(**executable))
            equal(told.startswith(expected), True, 'answer where SO_PEERPIDFD fails with errno %d: %s' % (number, told))


class InNamespace(Sandboxed):
    """It knows uids and gids below CAROL's, which STAFF is not."""

    def before_exec(self):
        enter_user_namespace('0 0 %d\n' % CAROL, '0 0 %d\n' % CAROL)


def publish_three(broker):
    with broker.connect() as client:
        for name, mode in (('all', 0o604), ('group', 0o660), ('none', 0o600)):
            make(client, name.encode(), name, mode=mode)
        return client.stat('all')['id'], client.stat('group')['group']


@suite.test
def unknown_peers(*_):
    """in a user namespace without its uid a client may look at what is open to all, and no more; the sentence says why"""
    need_root()
    need_user_namespaces()
    with InNamespace('--socket-mode', '0666') as broker:
        equal('uid %d can create and own nothing' % NOBODY in broker.log(), True, 'the log: %s' % broker.log())
        published, group = in_child(lambda: publish_three(broker), ALICE, STAFF)
        in_child(lambda: publish_three(broker), BOB, BOB)
        equal(group, NOBODY, 'the group of a publisher whose gid is not known')
        descriptors = broker.descriptors()

        def look():
            with broker.connect() as client:
                client.ping()
                client.stats()
                return ([fetch(client, 'all', owner=ALICE)[1], client.stat('all', owner=ALICE)['owner']],
                        [(record['name'], record['owner']) for record in client.list(flags=wire.LIST_ALL_OWNERS)],
                        [outcome(lambda n=name, o=owner: client.get(n, owner=o)).split()[0]
                         for name in ('group', 'none') for owner in (ALICE, BOB)],
                        [fetch(client, name, owner=ALICE, flags=wire.GET_WAIT | flags)[1]
                         for name, flags in (('all', 0), ('', wire.GET_FIRST))],
                        [outcome(lambda n=name: client.get(n, owner=ALICE, flags=wire.GET_WAIT, wait_ms=20)).split()[0]
                         for name in ('none', 'nothing')])

        expected = ([b'all', ALICE], [('all', ALICE), ('all', BOB)], ['DENIED'] * 4, [b'all'] * 2,
                    ['DENIED', 'TIMED_OUT'])
        for uid, gid in ((CAROL, CAROL), (NOBODY, NOBODY), (CAROL, STAFF), (CAROL, BOB)):
            equal(in_child(look, uid, gid), expected, 'what uid %d, gid %d sees' % (uid, gid))
        equal(in_child(look, DAVE, STAFF), expected, 'one who is known, but whose group is not')

        def attempt():
            memfd = os.memfd_create('x')
            with broker.connect() as client:
                return [outcome(lambda: client.create(1)), outcome(lambda: client.adopt(memfd)),
                        outcome(lambda: client.seal(published, WRITE)),
                        outcome(lambda: client.publish(published, 'mine')),
                        outcome(lambda: client.remove('all', owner=ALICE)), outcome(lambda: client.remove(id=published)),
                        outcome(lambda: client.one(wire.ACCOUNTS, flags=wire.ACCOUNTS_ALL))]

        for uid in (CAROL, NOBODY):
            for answer in in_child(attempt, uid, uid):
                equal(answer.startswith('DENIED') and 'user namespace' in answer, True, 'answer %r' % answer)
        eventually(lambda: broker.descriptors() <= descriptors, what='the descriptors are back')
        equal(in_child(lambda: outcome(lambda: broker.connect().create(1)), BOB, BOB), 'OK', 'one who is known')
        equal(in_child(lambda: outcome(lambda: broker.connect().get('none', owner=ALICE)), 0, 0), 'OK', 'root')


@suite.test
def clients_in_namespaces(broker, _):
    """root of a user namespace of its own is for the broker who it is outside"""
    need_root()
    need_user_namespaces(ALICE)
    with broker.connect() as client:
        make(client, b'secret', 'of-root')

    def visit():
        enter_user_namespace('0 %d 1\n' % ALICE, '0 %d 1\n' % ALICE, setgroups='deny')
        equal((os.getuid(), os.getgid()), (0, 0), 'ids inside')
        with broker.connect() as client:
            make(client, b'x', 'of-alice')
            record = client.stat('of-alice')
            client.remove('of-alice')
            return (record['owner'], record['group'], client.stats()['uid'],
                    outcome(lambda: client.get('of-root', owner=0)).split()[0])

    try:
        equal(in_child(visit, ALICE, ALICE), (ALICE, ALICE, ALICE, 'DENIED'), 'who it is, and what it may')
    finally:
        with broker.connect() as client:
            client.remove('of-root')


if __name__ == '__main__':
    suite.main()
