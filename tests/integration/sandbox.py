#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The broker's own sandbox: what it has given up, that it works all the same, and where there is next to nothing."""
import ctypes
import errno
import os
import re
import shutil
import signal

import sealbuf_wire as wire
from sealbuf_wire import IMMUTABLE, WRITE
from surroundings import Bare, BareWithProc, Sandboxed, need_own_proc, preloaded
from testbed import Skip, Suite, equal, eventually, fetch, in_child, libc, need_root, refused

suite = Suite()
ALICE, NOBODY = 61001, 65534
PTRACE_SEIZE = 0x4206
SANDBOXED = 'sandboxed: memory hidden, no capabilities, no new privileges, system calls filtered'


def need_sandbox(broker, filtered=False):
    log = broker.log()
    if 'no sandbox: the sanitizer' in log:
        raise Skip('the sanitizer in this build does not work in a sandbox')
    if filtered and 'built without libseccomp' in log:
        raise Skip('this broker is built without libseccomp')


def statuses(broker):
    """Of each of its threads: what the kernel says of it."""
    found = []
    for thread in os.listdir('/proc/%d/task' % broker.pid):
        with open('/proc/%d/task/%s/status' % (broker.pid, thread), encoding='ascii') as status:
            found.append(dict(re.findall(r'(\w+):\s*(.*)', status.read())))
    return found


def employ_workers(broker):
    """Has it start a thread of each kind: to add seals, to close what is big, and to close what is no memfd."""
    with broker.connect() as client:
        buffer = client.create(4 << 20)
        os.posix_fallocate(buffer['fd'], 0, 4 << 20)
        client.seal(buffer['id'], WRITE)
        os.close(buffer['fd'])
        client.remove(id=buffer['id'])
        reader, writer = os.pipe()
        with refused('NOT_MEMFD'):
            client.adopt(reader)
        os.close(reader)
        os.close(writer)
        eventually(lambda: client.stats()['jobs'] == 0, what='the workers have done their work')
        equal(client.stats()['bytes'], 0, 'bytes')


def serve_all(broker, proc=True):
    """One of everything that a client can ask for."""
    with broker.connect() as client:
        buffer = client.create(4096)
        os.write(buffer['fd'], b'served')
        os.close(buffer['fd'])
        client.seal(buffer['id'], WRITE)
        client.publish(buffer['id'], 'served', seals=IMMUTABLE)
        equal(client.stat('served')['size'], 4096, 'size')
        equal([record['name'] for record in client.list()], ['served'], 'names')
        writable = client.get('served', flags=wire.GET_WRITABLE)
        equal(os.pread(writable['fd'], 6, 0), b'served', 'content')
        os.close(writable['fd'])
        memfd = os.memfd_create('adopted')
        if proc:
            equal(fetch(client, 'served', seals=IMMUTABLE)[1][:6], b'served', 'content for a reader')
            adopted = client.adopt(memfd)
            client.remove(id=adopted['id'])
            os.close(client.create(1, flags=wire.CREATE_EXECUTABLE)['fd'])
        else:
            for attempt in (lambda: client.get('served'), lambda: client.adopt(memfd),
                            lambda: client.create(1, flags=wire.CREATE_EXECUTABLE)):
                with refused('UNSUPPORTED'):
                    attempt()
        os.close(memfd)
        client.remove('served')


@suite.test
def given_up(broker, _):
    """the kernel says of every thread: no capabilities, no new privileges, system calls filtered; the log says so once"""
    need_sandbox(broker)
    filtered = 'built without libseccomp' not in broker.log()
    employ_workers(broker)
    threads = statuses(broker)
    equal(len(threads) >= 4, True, '%d threads, not one of each kind' % len(threads))
    for status in threads:
        equal({key: status[key] for key in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb')},
              dict.fromkeys(('CapInh', 'CapPrm', 'CapEff', 'CapAmb'), '0' * 16), 'capabilities')
        equal((status['NoNewPrivs'], status['Seccomp']), ('1', '2' if filtered else '0'), 'NoNewPrivs, Seccomp')
    equal(broker.log().count(SANDBOXED), 1 if filtered else 0, 'lines that say so')


@suite.test
def goes_on(broker, _):
    """SIGHUP, workers, big buffers, and every operation work in it"""
    need_sandbox(broker)
    before = len(broker.log())
    broker.process.send_signal(signal.SIGHUP)
    eventually(lambda: len(broker.log()) > before, what='a line about SIGHUP')
    employ_workers(broker)
    serve_all(broker)


def intrude(pid):
    """What one learns of a process of one's own uid: the errors of looking at its descriptors, its memory, itself."""
    errors = []

    def attempt(function):
        try:
            function()
            errors.append(0)
        except OSError as error:
            errors.append(error.errno)

    def attach():
        if libc.ptrace(PTRACE_SEIZE, pid, None, None) < 0:  # until the end of this process
            raise OSError(ctypes.get_errno(), 'ptrace')

    attempt(lambda: os.listdir('/proc/%d/fd' % pid))
    attempt(lambda: os.close(os.open('/proc/%d/mem' % pid, os.O_RDONLY)))
    attempt(lambda: os.close(os.open('/proc/%d/environ' % pid, os.O_RDONLY)))
    attempt(lambda: os.readlink('/proc/%d/exe' % pid))
    attempt(attach)
    return errors


@suite.test
def memory(broker, _):
    """a process of the same uid cannot look into the broker's memory or descriptors, nor debug it"""
    need_sandbox(broker)
    uid = 200000 + os.getpid() % 100000 if os.geteuid() == 0 else None

    def look(*arguments):
        with Sandboxed(*arguments, uid=uid) as own:
            return in_child(lambda: intrude(own.pid), uid, uid)

    equal(look('--no-sandbox')[:4], [0] * 4, 'errors without the sandbox')
    errors = look()
    equal(all(error in (errno.EACCES, errno.EPERM) for error in errors), True, 'errors %r' % errors)


@suite.test
def forbidden(broker, _):
    """what the broker does not need fails, tried from inside: programs, processes, writing, networks, code in memory"""
    need_sandbox(broker, filtered=True)
    allowed = {'tgkill itself', 'its own limits', 'open to read', 'AF_UNIX', 'write again', 'code of a library',
               'look up a user', 'look up a group', 'look up nobody', 'look for files'}
    with preloaded(PRELOAD_TRY='1') as own:
        serve_all(own)
        found = dict(re.findall(r'preload: (.*): (\d+)\n', own.log()))
        equal('preload: done' in own.log() and len(found) > 30, True, 'whether all was tried')
    for what, error in found.items():
        expected = 0 if what in allowed else errno.ENOSYS if what == 'clone3' else errno.EPERM
        equal(int(error), expected, what)


@suite.test
def switched_off(*_):
    """--no-sandbox: nothing is given up, and the log says so"""
    with Sandboxed('--no-sandbox') as own:
        status = statuses(own)[0]
        equal((status['NoNewPrivs'], status['Seccomp']), ('0', '0'), 'NoNewPrivs, Seccomp')
        equal('no sandbox, as configured' in own.log(), True, 'the log: %s' % own.log())
        serve_all(own)


def create_as(broker, uid):
    """'OK', or the error and its sentence."""
    def create():
        with broker.connect() as client:
            try:
                os.close(client.create(1)['fd'])
            except wire.Refused as error:
                return str(error)
        return 'OK'
    return in_child(create, uid, uid)


@suite.test
def empty_root(*_):
    """in an otherwise empty root with /proc it serves everything"""
    need_root()
    need_own_proc()
    with BareWithProc() as own:
        serve_all(own)
        employ_workers(own)
        equal(create_as(own, NOBODY), 'OK', 'nobody, an ordinary user where all users are known')
        equal('cannot' in own.log(), False, 'the log: %s' % own.log())


@suite.test
def empty_root_without_proc(broker, _):
    """without /proc it says at the start what it lacks, refuses that as UNSUPPORTED, and serves everything else"""
    need_root()
    need_sandbox(broker)  # a sanitizer needs /proc
    with Bare() as own:
        equal('cannot open /proc/self/fd' in own.log(), True, 'the log: %s' % own.log())
        serve_all(own, proc=False)
        employ_workers(own)
        equal(create_as(own, ALICE), 'OK', 'an ordinary user')
        answer = create_as(own, NOBODY)  # it cannot be found out whether that is somebody
        equal('DENIED' in answer and 'user namespace' in answer, True, 'the answer to nobody: %s' % answer)


class Incapable(Sandboxed):
    def command(self, program):
        return ['setpriv', '--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs',
                *super().command(program)]


@suite.test
def no_capabilities(*_):
    """root without any capability, and without any to be had, runs a broker; so does an ordinary uid"""
    need_root()
    if not shutil.which('setpriv'):
        raise Skip('there is no setpriv')
    with Incapable() as own:
        status = statuses(own)[0]
        equal((status['CapPrm'], status['CapBnd']), ('0' * 16, '0' * 16), 'capabilities')
        serve_all(own)
    with Sandboxed('--socket-mode', '0666', uid=200000 + os.getpid() % 100000) as own:
        serve_all(own)


if __name__ == '__main__':
    suite.main()
