#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Hostile users: what one uid does with all the connections that it may have, and what others notice of it."""

import fcntl
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import sealbuf_wire as wire  # noqa: E402
from testbed import Broker, Suite, equal, in_child, need_root, process  # noqa: E402

suite = Suite()
WRITE, IMMUTABLE = wire.WRITE, wire.IMMUTABLE
ALICE, BOB = 61101, 61102


def pinned(client):
    """The id of a buffer that has a page in a pipe, so that WRITE takes 0.16 s to be refused; and what keeps it so."""
    buffer = client.create(65536)
    os.pwrite(buffer['fd'], b'x' * 65536, 0)
    ends = os.pipe()
    os.splice(buffer['fd'], ends[1], 65536, offset_src=0)
    return buffer['id'], (*ends, buffer['fd'])


def keep_workers_busy(broker):
    """Eight connections that ask for 253 seals each which cannot be had, again and again."""
    os.setresgid(ALICE, ALICE, ALICE)
    os.setresuid(ALICE, ALICE, ALICE)
    clients = [broker.connect() for _ in range(8)]
    target, _ = pinned(clients[0])
    while True:
        for client in clients:
            client.start(wire.SEAL, [{'id': target, 'seals': WRITE}] * 253)
        for client in clients:
            client.finish().close()


def outcome_of(function):
    """'OK', or the name of the error."""
    try:
        function()
    except wire.Refused as error:
        return error.name
    return 'OK'


@suite.test
def workers(broker, _):
    """one uid that keeps workers waiting keeps neither those of others waiting, nor descriptors, nor the end"""
    need_root()
    with Broker() as own:
        baseline = own.descriptors()
        with process(lambda: keep_workers_busy(own)), own.connect() as client:
            time.sleep(0.3)
            for _ in range(5):
                buffer = client.create(4096)
                began = time.monotonic()
                client.seal(buffer['id'], WRITE)
                took = time.monotonic() - began
                os.close(buffer['fd'])
                equal(took < 1.5, True, 'the answer to SEAL came after %.2f s,' % took)
                equal(own.descriptors() < baseline + 100, True, 'descriptors: %d' % own.descriptors())
            own.process.terminate()
            own.process.wait(3)
            equal(own.process.returncode, 0, 'exit status after SIGTERM')
            own.start((), {}, None, {})  # for the fixture, which ends it once more
            own.pid = own.process.pid


def take_and_not_read(broker, names):
    """As many connections as it takes, one batch each that is not read, and then ever smaller ones."""
    os.setresgid(ALICE, ALICE, ALICE)
    os.setresuid(ALICE, ALICE, ALICE)
    clients = []
    for size in [253] * 8 + [32] * 8 + [1] * 64:
        client = broker.connect()
        clients.append(client)
        client.start(wire.GET, [{'name': name, 'owner': 0} for name in (names * 3)[:size]])
    while True:
        time.sleep(1)


@suite.test
def in_flight(broker, _):
    """one uid that does not read, with many connections, leaves others descriptors to be sent

    CVE-2014-3532, with all connections of a uid.
    """
    need_root()
    # A uid of the broker's own: the kernel does not count root's, and counts those of all processes of a uid.
    with Broker('--socket-mode', '0666', limits={resource.RLIMIT_NOFILE: 2048}, uid=200000 + os.getpid() % 100000) as own:
        with own.connect() as owner:
            names = ['flight/%d' % i for i in range(100)]
            for name in names:
                buffer = owner.create(10)
                os.close(buffer['fd'])
                owner.publish(buffer['id'], name, mode=0o644)
            with process(lambda: take_and_not_read(own, names)):
                time.sleep(1)
                for _ in range(20):
                    began = time.monotonic()
                    got = owner.get(names[0])
                    os.close(got['fd'])
                    made = owner.create(10)
                    os.close(made['fd'])
                    took = time.monotonic() - began
                    equal(took < 1, True, 'GET and CREATE took %.2f s,' % took)


@suite.test
def names_of_others(broker, _):
    """a buffer's owner neither sees nor removes the name that root has given it"""
    need_root()

    def make_one():
        client = broker.connect()
        buffer = client.create(10)
        client.publish(buffer['id'], 'own')
        return buffer['id']

    def remove_by_id(number):
        with broker.connect() as client:
            first = outcome_of(lambda: client.remove(id=number))
            return first, outcome_of(lambda: client.remove(id=number)), client.stat(id=number)['name']

    number = in_child(make_one, ALICE, ALICE)
    with broker.connect() as root:
        root.publish(number, 'roots/name')
        equal(in_child(lambda: remove_by_id(number), ALICE, ALICE), ('OK', 'DENIED', ''), 'remove, remove, name')
        equal(root.stat('roots/name')['id'], number, 'what the name of root is bound to')
        root.remove('roots/name')


@suite.test
def seals_before_size(broker, bystander):
    """a client that changes the size of what it has adopted, and seals it, while it is looked at, fools nobody"""
    with broker.connect() as client:
        for attempt in range(300):
            fd = os.memfd_create('race', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            os.ftruncate(fd, 4096)
            # Ready before the broker looks, in the middle, or after it: the two race.
            serial = client.start(wire.ADOPT, [{}], [fd])
            for _ in range(attempt % 50):
                pass
            os.ftruncate(fd, 65536)
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, IMMUTABLE)
            with client.finish(serial) as reply:
                number = reply.records[0]['id']
            got = client.get(id=number)
            equal(got['size'], 65536, 'the size that GET tells, in attempt %d,' % attempt)
            os.close(got['fd'])
            client.remove(id=number)
            os.close(fd)
        bystander.served()


if __name__ == '__main__':
    suite.main()
