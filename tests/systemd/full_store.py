# SPDX-License-Identifier: MIT
"""A descriptor store that is full: a publish that has no room in it fails, in clear words, and nothing is lost. Prints
TAP. As storm.py, run under a real systemd, and by tests/integration/survival.py."""
import argparse
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
import sealbuf_wire as wire  # noqa: E402
from managers import Systemd, broker_pid, wait_for  # noqa: E402
from storm import Tap, nothing_crashed  # noqa: E402
from storm_client import Failure  # noqa: E402

STORE_FULL = 5036
PUBLISH_VOLATILE, PUBLISH_OR_VOLATILE = 0x10, 0x20
INFO_SURVIVES = 0x20
LIMIT = 64  # as the caller has configured it
MORE = 100  # names that are asked for


class FullStore:
    def __init__(self, manager, seed):
        self.manager, self.random = manager, random.Random(seed)
        self.names = {}     # what must survive: {name: content}
        self.fleeting = {}  # what need not, and must not, survive
        self.last_id = 0

    def connect(self):
        return wire.Client(self.manager.path, timeout=20)

    def publish(self, client, names, flags=0):
        """In one message. {name: the record that answers}."""
        contents = {name: self.random.randbytes(self.random.randrange(5000)) for name in names}
        with client.call(wire.CREATE, [{'size': len(contents[name])} for name in names]) as message:
            for record, name in zip(message.records, names):
                os.pwrite(record['fd'], contents[name], 0)
            ids = [record['id'] for record in message.records]
        with client.call(wire.PUBLISH, [{'id': i, 'name': name, 'mode': 0o600, 'seals': wire.IMMUTABLE,
                                         'flags': wire.PUBLISH_REPLACE | flags}
                                        for i, name in zip(ids, names)]) as message:
            answers = dict(zip(names, message.records))
        for name, record in answers.items():
            if record['status'] == 0:
                self.names.pop(name, None)
                self.fleeting.pop(name, None)
                (self.fleeting if flags & PUBLISH_VOLATILE else self.names)[name] = contents[name]
            elif record['status'] != STORE_FULL or 'store' not in record['text']:
                raise Failure('publish of %s: %s %s' % (name, record['status'], record['text']))
        return answers

    def look(self):
        """What is there is what was answered: no more, no less."""
        with self.connect() as client:
            found = {record['name']: record for record in client.list()}
            wanted = {**self.names, **self.fleeting}
            if set(found) != set(wanted):
                raise Failure('there are %d names, of %d; missing: %s; too many: %s' % (
                    len(found), len(wanted), sorted(set(wanted) - set(found))[:5], sorted(set(found) - set(wanted))[:5]))
            for name, content in wanted.items():
                record = client.get(name)
                is_there = os.pread(record['fd'], len(content) + 1, 0)
                os.close(record['fd'])
                if is_there != content:
                    raise Failure('%s has another content' % name)
                if bool(record['flags'] & INFO_SURVIVES) != (name in self.names):
                    raise Failure('%s says that it %s' % (
                        name, 'survives' if record['flags'] & INFO_SURVIVES else 'does not survive'))

    def kill(self):
        self.manager.kill_now(broker_pid(self.manager.path))
        self.fleeting = {}
        self.look()

    def fill(self, tap):
        with tap.test('publishes until the store of %d descriptors is full, then a clear error' % LIMIT):
            with self.connect() as client:
                answers = {}
                for i in range(0, MORE, 10):
                    answers.update(self.publish(client, ['full/%d' % j for j in range(i, i + 10)]))
            refused = [record for record in answers.values() if record['status']]
            if not LIMIT // 2 <= len(self.names) < LIMIT or len(refused) != MORE - len(self.names):
                raise Failure('%d were published, %d refused' % (len(self.names), len(refused)))
            self.look()
        with tap.test('kill -9 with a full store: all that was answered is there'):
            self.kill()
            self.full = len(self.names)

    def replace(self, tap):
        with tap.test('replacing in a full store: the new one or the old one, as answered'):
            with self.connect() as client:
                for name in sorted(self.names)[:10]:
                    self.publish(client, [name])
            self.look()
            self.kill()
            if len(self.names) != self.full:
                raise Failure('%d names, there were %d' % (len(self.names), self.full))

    def volatile(self, tap):
        with tap.test('volatile ones need no room, and do not survive'):
            with self.connect() as client:
                for flags in PUBLISH_VOLATILE, PUBLISH_OR_VOLATILE:
                    names = ['volatile/%d/%d' % (flags, i) for i in range(20)]
                    answers = self.publish(client, names, flags)
                    if any(record['status'] for record in answers.values()):
                        raise Failure('refused: %s' % answers)
                    self.fleeting.update({name: self.names.pop(name) for name in names if name in self.names})
            self.look()
            self.kill()

    def make_room(self, tap):
        with tap.test('removing makes room again, as much as was removed'):
            gone = self.random.sample(sorted(self.names), 20)
            with self.connect() as client:
                client.call(wire.REMOVE, [{'name': name} for name in gone]).close()
                for name in gone:
                    del self.names[name]
                answers = self.publish(client, ['again/%d' % i for i in range(30)])
            kept = [name for name, record in answers.items() if record['status'] == 0]
            if len(kept) != 20:
                raise Failure('20 were removed, %d could be published' % len(kept))
            self.look()
            self.kill()

    def churn(self, tap, rounds):
        with tap.test('publishes and removals around the limit, kill -9, %d times' % rounds):
            for i in range(rounds):
                with self.connect() as client:
                    gone = self.random.sample(sorted(self.names), self.random.randrange(8))
                    if gone:
                        client.call(wire.REMOVE, [{'name': name} for name in gone]).close()
                    for name in gone:
                        del self.names[name]
                    for _ in range(self.random.randrange(1, 4)):
                        self.publish(client, ['churn/%d' % self.random.randrange(60)
                                              for _ in range(1)] if self.random.random() < 0.5 else
                                     ['churn/%d' % j for j in self.random.sample(range(60), 12)])
                self.kill()

    def store_is_clean(self, tap):
        with tap.test('what is removed leaves nothing in the store'):
            with self.connect() as client:
                for name in list(self.names):
                    client.remove(name)
                    del self.names[name]
            wait_for(lambda: self.manager.stored() <= self.overhead, 'the store is empty')
            self.kill()

    def run(self, tap, rounds=10):
        with tap.test('the store is small, and empty'):
            self.look()
            self.overhead = self.manager.stored()
        self.fill(tap)
        if not self.names:
            return
        self.replace(tap)
        self.volatile(tap)
        self.make_room(tap)
        self.churn(tap, rounds)
        self.store_is_clean(tap)
        nothing_crashed(tap, self.manager)


def run_full_store(manager, seed, tap, rounds=10):
    """The Tap, which has more tests now."""
    FullStore(manager, seed).run(tap, rounds)
    return tap


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', default='%d' % random.SystemRandom().getrandbits(32))
    parser.add_argument('--tests-before', type=int, default=0, help='that the caller has reported')
    arguments, _ = parser.parse_known_args()
    return run_full_store(Systemd(), arguments.seed, Tap(arguments.tests_before)).done()


if __name__ == '__main__':
    sys.exit(main())
