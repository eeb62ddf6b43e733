#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGHUP: the configuration is read again, and takes effect for clients that are there; an error keeps the old one."""
import contextlib
import os
import re
import resource
import signal
import socket
import subprocess

import sealbuf_wire as wire
from configuring import Folder
from testbed import Broker, Skip, Suite, equal, eventually, in_child, make, need_root, refused

suite = Suite()
ALICE, BOB = 61001, 61002
STAFF = 62000


def hang_up(broker):
    """SIGHUP; returns what the broker logged of it, which ends with one of two lines."""
    before = len(broker.log())
    broker.process.send_signal(signal.SIGHUP)
    done = ('the configuration has been read again', 'the configuration stays as it was')
    return eventually(lambda: any(text in broker.log()[before:] for text in done) and broker.log()[before:],
                      what='SIGHUP is served')


@contextlib.contextmanager
def configured(text, *arguments, **options):
    """(broker, folder, a function that writes a new configuration and sends SIGHUP)."""
    with Folder() as folder:
        path = folder.write('c', text)
        with Broker('--config', path, *arguments, **options) as broker:
            def change(new):
                folder.write('c', new)
                return hang_up(broker)
            yield broker, path, change


@suite.test
def limits_change(*_):
    """SIGHUP changes limits for clients that are there: who holds more keeps it, and gets no more; raised, it works"""
    with configured('[limits]\nuid-names = 3\n') as (broker, _, change), broker.connect() as client:
        buffer = make(client, b'content', 'n/0')
        client.publish(buffer['id'], 'n/1')
        log = change('[limits]\nuid-names = 1\n')
        equal("uid-names is '1' now, was '3'" in log, True, log)
        try:
            client.publish(buffer['id'], 'n/2')
            raise AssertionError('a name beyond the new limit')
        except wire.Refused as error:
            equal(error.name, 'LIMIT', 'error')
            equal('holds 2, and 1 more would go beyond the limit uid-names=1' in error.text, True, error.text)
        equal([r['name'] for r in client.list()], ['n/0', 'n/1'], 'names that were there')
        client.remove('n/0')
        with refused('LIMIT'):
            client.publish(buffer['id'], 'n/2')
        client.remove('n/1')
        buffer = make(client, b'content', 'n/2')
        change('[limits]\nuid-names = 2\nbuffer-size = 10\n')
        client.publish(buffer['id'], 'n/3')
        with refused('SIZE'):
            client.create(11)
        change('')
        for i in range(4, 50):
            client.publish(buffer['id'], 'n/%d' % i)
        os.close(client.create(11)['fd'])


@suite.test
def limit_below_what_is_held(*_):
    """a limit for all that is lowered below what others hold leaves nothing to a newcomer, until it is raised"""
    need_root()

    def newcomer():
        with broker.connect() as client:
            with client.call(wire.ACCOUNTS, [{}]) as message:
                may = message.records[0]['bytes_limit']
            try:
                os.close(client.create(1)['fd'])
            except wire.Refused as error:
                return may, error.name
            return may, 'OK'

    with configured('[limits]\nbytes = 4000\n', '--socket-mode', '0666') as (broker, _, change):
        with broker.connect() as holder:
            os.close(holder.create(1000)['fd'])
            equal(in_child(newcomer, BOB, BOB), (1000, 'OK'), 'bytes of a newcomer, and what CREATE answers')
            change('[limits]\nbytes = 500\nuid-bytes = 300\n')
            equal(in_child(newcomer, BOB, BOB), (0, 'LIMIT'), 'bytes of a newcomer below what is held')
            change('[limits]\nbytes = 4000\n')
            equal(in_child(newcomer, BOB, BOB), (1000, 'OK'), 'bytes of a newcomer at last')


def admitted(broker):
    """Whether one more connection is, and whether it is told why not."""
    with broker.connect(hello=False) as client:
        try:
            client.hello()
        except wire.Refused as error:
            equal(error.name, 'LIMIT', 'error')
            return False
        except wire.Disconnected:  # before it had asked
            return False
        return True


@suite.test
def connections_stay(*_):
    """limits below what is there throw nobody out; new connections are refused, and come in again when it is raised"""
    with configured('') as (broker, _, change):
        clients = [broker.connect() for _ in range(5)]
        equal(admitted(broker), True, 'the sixth')
        change('[limits]\nconnections = 5\n')
        equal(admitted(broker), False, 'the sixth of 5')
        change('[limits]\nconnections = 2\n')
        equal(admitted(broker), False, 'the sixth of 2')
        clients.pop().close()
        equal(admitted(broker), False, 'the fifth of 2')
        for client in clients:
            client.ping()
        change('[limits]\nconnections = 5\n')
        equal(eventually(lambda: admitted(broker), what='the fifth of 5'), True, 'the fifth of 5')
        for client in clients:
            client.close()


@suite.test
def broken_file(*_):
    """a file that is wrong at SIGHUP changes nothing, not even by what is right in it; the log has file, line, cause"""
    with configured('[limits]\nuid-names = 1\n') as (broker, path, change), broker.connect() as client:
        buffer = make(client, b'content', 'n/0')
        for text, where, cause in (('[limits]\nuid-names = 9\nuid-bytes = much\n', ':3', "uid-bytes = 'much': expected"),
                                   ('[limits]\nuid-names = 9\n[user 1]\nuid-names = 9\nbytes = 1\n', ':5', "'bytes'"),
                                   (b'\xff', ':1', 'UTF-8')):
            log = change(text)
            equal('sealbufd: %s%s: ' % (path, where) in log and cause in log, True, log)
            equal('stays as it was' in log and ' now' not in log, True, log)
            with refused('LIMIT'):
                client.publish(buffer['id'], 'n/1')
        os.unlink(path)
        log = hang_up(broker)
        equal('sealbufd: %s: ' % path in log and 'No such file' in log, True, log)
        with refused('LIMIT'):
            client.publish(buffer['id'], 'n/1')
        change('[limits]\nuid-names = 2\n')
        client.publish(buffer['id'], 'n/1')


@suite.test
def sums(*_):
    """limits that do not fit RLIMIT_NOFILE at SIGHUP keep the old ones, and the log has the sum"""
    with configured('[limits]\nuid-names = 1\n', limits={resource.RLIMIT_NOFILE: 1024}) as (broker, _, change):
        with broker.connect() as client:
            before = client.stats()
            log = change('[limits]\nuid-names = 7\nbuffers = 2000\n')
            equal('buffers=2000' in log and 'RLIMIT_NOFILE 1024' in log and 'stays as it was' in log, True, log)
            after = client.stats()
            for key in ('buffers_limit', 'connections_limit', 'names_limit', 'uid_names_limit'):
                equal(after[key], before[key], key)


@suite.test
def command_line(*_):
    """what the command line has set stays over what the files say, also at SIGHUP"""
    with configured('[limits]\nuid-names = 5\n', '--limit', 'uid-names=2') as (broker, _, change):
        with broker.connect() as client:
            buffer = make(client, b'content', 'n/0')
            client.publish(buffer['id'], 'n/1')
            equal('uid-names' in change('[limits]\nuid-names = 9\n'), False, 'a change')
            with refused('LIMIT'):
                client.publish(buffer['id'], 'n/2')


def names_that_fit(broker):
    """How many names this user may have, which are removed again; at most 9."""
    with broker.connect() as client:
        buffer = client.create(1)
        os.close(buffer['fd'])
        count = 0
        while count < 9:
            try:
                client.publish(buffer['id'], 'n/%d' % count)
            except wire.Refused as error:
                equal('limit uid-names=%d;' % count in error.text, True, error.text)
                break
            count += 1
        for record in client.list():
            client.remove(record['name'])
        return count


@suite.test
def single_user(*_):
    """[user NAME] comes over uid-... for this user, and changes at SIGHUP"""
    own = os.geteuid()
    with configured('[limits]\nuid-names = 4\n[user %d]\nuid-names = 2\n' % own) as (broker, _, change):
        equal(names_that_fit(broker), 2, 'names of the user')
        change('[limits]\nuid-names = 4\n[user %d]\nuid-tokens = 2\n' % own)
        equal(names_that_fit(broker), 4, 'names of one whose section says nothing of names')
        log = change('[limits]\nuid-names = 4\n[user %d]\nuid-names = 8\n' % own)
        equal('limits of single users have changed; users with limits of their own: 1' in log, True, log)
        equal(names_that_fit(broker), 8, 'names of one who may have more')


@suite.test
def single_users(*_):
    """[user NAME] holds for this user alone, whatever the order, by name or uid"""
    need_root()
    with configured('', '--socket-mode', '0666') as (broker, _, change):
        text = '[limits]\nuid-names = 4\n[user %d]\nuid-names = 3\n[user root]\nuid-names = 1\n[user %d]\nuid-names = 5\n'
        change(text % (BOB, ALICE) + ''.join('[user %d]\nuid-names = 7\n' % uid for uid in range(70000, 70100)))
        equal([in_child(lambda: names_that_fit(broker), uid, uid) for uid in (0, ALICE, BOB, BOB + 1, 70050, 70100)],
              [1, 5, 3, 4, 7, 4], 'names of each')


@suite.test
def admin_group(*_):
    """the members of admin-group see all accounts, from the SIGHUP on that says so"""
    need_root()

    def sees_all(groups):
        def look():
            with broker.connect() as client:
                try:
                    client.call(wire.ACCOUNTS, [{'flags': wire.ACCOUNTS_ALL}]).close()
                except wire.Refused as error:
                    return error.name
                return 'OK'
        return in_child(look, ALICE, ALICE, groups)

    with configured('[broker]\nadmin-group = %d\n' % STAFF) as (broker, _, change):
        equal((sees_all([STAFF]), sees_all([])), ('OK', 'DENIED'), 'a member, another one')
        change('[broker]\nadmin-group =\n')
        equal(sees_all([STAFF]), 'DENIED', 'a member, when there is no group any more')
        change('[broker]\nadmin-group = %d\n' % (STAFF + 1))
        equal((sees_all([STAFF]), sees_all([STAFF, STAFF + 1])), ('DENIED', 'OK'), 'members of another group')


@suite.test
def fixed_settings(*_):
    """socket-mode and sandbox stay as they are at SIGHUP, and a line says so; the rest is changed"""
    new = '[broker]\nsocket-mode = 0640\nsandbox = yes\nlog-level = debug\nsocket = /elsewhere\n'
    with configured('[broker]\nsandbox = no\n', '--socket-mode', '0600') as (broker, _, change):
        for _ in range(2):  # the command line has set the other two
            log = change(new)
            equal(re.findall('^sealbufd: (.*) takes effect at the next start$', log, re.M),
                  ["sandbox: 'yes' instead of 'no'"], 'lines of ' + log)
        equal(': connected' in broker.log(), False, 'connections before')
        broker.connect().close()
        eventually(lambda: ': connected' in broker.log(), what='connections in the log')
    with configured('[broker]\nsocket-mode = 0604\n') as (broker, _, change):
        equal("socket-mode: '0640' instead of '0604' takes effect" in change(new), True, broker.log())
        equal(os.stat(broker.path).st_mode & 0o777, 0o604, 'mode of the socket')


@suite.test
def log_level(*_):
    """log-level changes at once, in both directions"""
    with configured('') as (broker, _, change):
        broker.connect().close()
        equal(': connected' in broker.log(), False, 'connections in the log at level info')
        change('[broker]\nlog-level = debug\n')
        broker.connect().close()
        eventually(lambda: ': connected' in broker.log(), what='connections in the log at level debug')
        change('')
        before = len(broker.log())
        with broker.connect() as client:
            client.ping()
        equal(': connected' in broker.log()[before:], False, 'connections in the log at level info again')


@suite.test
def idle_exit(*_):
    """idle-exit begins, changes and ends at SIGHUP"""
    with Folder() as folder:
        path = folder.write('c', '[broker]\nidle-exit = 400ms\n')
        broker = Broker('--config', path)
        folder.write('c', '')
        equal("idle-exit is 'never' now, was '400ms'" in hang_up(broker), True, broker.log())
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError('it has left with status %d' % broker.process.wait(1))
        folder.write('c', '[broker]\nidle-exit = 300ms\n')
        hang_up(broker)
        equal(broker.process.wait(10), 0, 'status')
        subprocess.run(['rm', '-rf', '--', broker.directory], check=True)


@suite.test
def many_hangups(*_):
    """a hundred SIGHUPs, right and wrong, cost no descriptors and no memory, and a client is served between them"""
    # AddressSanitizer keeps what is freed for a while: 256 MiB of it, if nobody stops it.
    sanitizer = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=1'
    with configured('', environment={'ASAN_OPTIONS': sanitizer}) as (broker, _, change), broker.connect() as client:
        right = '[broker]\nsocket = /x\n' + ''.join('[user %d]\nuid-names = 5\n' % uid for uid in range(1000, 0, -1))
        for text in (right, 'nonsense') * 5:
            change(text)
        descriptors, memory = broker.descriptors(), broker.resident_bytes()
        for i in range(100):
            change(right if i % 2 else 'nonsense')
            client.ping()
        equal(broker.descriptors(), descriptors, 'descriptors')
        after = broker.resident_bytes()
        equal(after < memory + (2 << 20), True, '%d bytes, %d before' % (after, memory))


def next_state(manager):
    """What the broker tells next of its state; what it asks, or says of itself, is not that."""
    while True:
        told = manager.recv(4096).decode().strip()
        if re.match('READY=|RELOADING=|STOPPING=', told):
            return told


@suite.test
def service_manager_is_told(*_):
    """the service manager hears RELOADING with the time, and READY when it is done, whatever comes out"""
    with Folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(folder.at('notify'))
        manager.settimeout(10)
        path = folder.write('c', '')
        with Broker('--config', path, environment={'NOTIFY_SOCKET': folder.at('notify')}) as broker:
            try:
                manager.settimeout(1)
                equal(next_state(manager), 'READY=1', 'at the start')
            except TimeoutError as error:
                raise Skip('built without libsystemd') from error
            manager.settimeout(10)
            for text in ('', 'nonsense', '[limits]\nnames = 5\n'):
                folder.write('c', text)
                hang_up(broker)
                reloading = re.fullmatch(r'RELOADING=1\nMONOTONIC_USEC=(\d+)', next_state(manager))
                equal(bool(reloading), True, 'RELOADING')
                equal(next_state(manager), 'READY=1', 'when it is done')


if __name__ == '__main__':
    suite.main()
