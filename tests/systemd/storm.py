# SPDX-License-Identifier: MIT
"""Storms of requests, in the middle of which the broker dies, is restarted, replaced or frozen; and afterwards everything
that was answered must be there, with nothing besides. Prints TAP. Run by survival_inside.sh under a real systemd, and by
tests/integration/survival.py under a service manager of the test's own."""
import argparse
import contextlib
import fcntl
import os
import pickle
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'integration'))
import sealbuf_wire as wire  # noqa: E402
from managers import Systemd, broker_pid, wait_for  # noqa: E402
from storm_client import OVER, Account, Failure, Storm, become, run_client  # noqa: E402
from storm_oracle import Contest, Copy, checksum, difference  # noqa: E402

GET_SEALS = 1034
CLIENTS = 8
NOBODY = 65534
CONTESTED = 3       # names for each user, replaced by all of its clients
GREATEST_GET = 100  # buffers at once
KEPT_TOKENS = 40
INFO_SURVIVES = 0x20
ROUNDS = {'kill': 50, 'again': 10, 'restart': 5, 'reexec': 10, 'disturb': 2, 'freeze': 1}  # by default
LARGE = 1 << 30     # a buffer that nobody has touched


class Director:
    """The clients' accounts, and what is known of the broker, from one round to the next."""

    def __init__(self, manager, seed):
        self.manager, self.seed = manager, seed
        users = [0, NOBODY] if os.geteuid() == 0 else [os.geteuid()]
        self.accounts = [Account(i, users[i % len(users)]) for i in range(CLIENTS)]
        self.contests = {(uid, 'contest/%d' % i): Contest() for uid in users for i in range(CONTESTED)}
        self.tokens = []
        self.last_id = 0
        self.instance = None
        self.overhead = 0  # descriptors that are stored without any buffer
        self.answered = self.unanswered = 0
        self.volatile = True
        self.begun = False

    # Beginning

    def begin(self):
        """All names are published; what is in the store besides is counted."""
        with self.connect() as client:
            self.instance = client.greeting['instance']
            if client.list(flags=wire.LIST_ALL_OWNERS):
                raise Failure('there are names in a broker that has just started')
        self.overhead = self.manager.stored()
        self.accounts_publish()
        self.begun = True
        self.find_everything(after_death=False)

    def connect(self):
        return wire.Client(self.manager.path, timeout=20)

    def accounts_publish(self):
        storm = self.storm('beginning')
        reports = self.in_children([(publish_all, account, storm) for account in self.accounts])
        self.take(reports)

    # Rounds

    def storm(self, name, outlives=False):
        contested = sorted({name for _, name in self.contests})
        return Storm(self.manager.path, '%s/%s' % (self.seed, name), contested, self.last_id, self.volatile,
                     outlives)

    def in_children(self, tasks, meanwhile=lambda: None):
        """Runs function(account, storm) in processes of their own, and calls meanwhile. What the functions returned."""
        children = []
        for function, account, storm in tasks:
            far, near = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(far)
                in_child(function, account, storm, near)
            os.close(near)
            children.append((pid, far))
        try:
            meanwhile()
        finally:
            for _, _, storm in tasks:
                storm.board[OVER] = 1
            reports = [finish_child(*child) for child in children]
        return reports

    def round(self, name, do, outlives=False):
        """A storm, in the middle of which do() is called, and then everything is looked at."""
        chance = random.Random('%s/%s/director' % (self.seed, name))
        storm = self.storm(name, outlives)

        def meanwhile():
            wait_for(lambda: all(storm.board[account.number] for account in self.accounts), 'all clients have begun')
            time.sleep(chance.random() * 0.12)
            do()
            if outlives:
                time.sleep(0.05)
        try:
            self.take(self.in_children([(run_client, account, storm) for account in self.accounts], meanwhile))
        except Failure:  # the next round is to begin with what there is
            with contextlib.suppress(Exception):
                self.find_everything(after_death=False)
            raise
        self.find_everything(after_death=not outlives)

    def take(self, reports):
        failures = [report.failure for report in reports if report.failure]
        for account, report in zip(self.accounts, reports):
            account.names = report.names
            self.answered += report.answered
            self.unanswered += report.unanswered
            self.last_id = max(self.last_id, report.last_id)
            self.tokens += report.tokens
            for name, contest in report.contests.items():
                self.contests[account.uid, name].merge(contest)
        if failures:
            raise Failure('; '.join(failures))

    # Afterwards

    def find_everything(self, after_death):
        with self.connect() as client:
            if client.greeting['instance'] != self.instance:
                self.fail('the instance is another one: %x, %x' % (client.greeting['instance'], self.instance))
            found = self.listed(client)
            wrong = self.judge_names(found, after_death)
            wrong += self.judge_contents(client, found)
            self.settle(found)
            wrong += self.judge_tokens(client, {copy.id for copy in found.values()})
        wrong += self.judge_store({copy.id for copy in found.values() if not copy.fleeting})
        if wrong:
            self.fail('%d are wrong: %s' % (len(wrong), '; '.join(wrong[:5])))

    def fail(self, what):
        raise Failure(what)

    def listed(self, client):
        """{(owner, name): Copy}, as far as a list can tell; crc and metadata are missing."""
        self.records = {(r['owner'], r['name']): r for r in client.list(flags=wire.LIST_ALL_OWNERS)}
        return {key: Copy(r['id'], r['generation'], r['size'], 0, r['seals'], r['mode'], r['label'], b'',
                          self.volatile and not r['flags'] & INFO_SURVIVES)
                for key, r in self.records.items()}

    def judge_contents(self, client, found):
        """Gets all of them; puts what is in them into found."""
        wrong, keys = [], sorted(found)
        for i in range(0, len(keys), GREATEST_GET):
            some = keys[i:i + GREATEST_GET]
            with client.call(wire.GET, [{'owner': owner, 'name': name, 'flags': wire.GET_DETAILS}
                                        for owner, name in some]) as message:
                for key, record in zip(some, message.records):
                    wrong += self.judge_content(found, key, record)
        self.wanted_names(found, wrong)
        return wrong

    def judge_content(self, found, key, record):
        if record['status']:
            return ['%s is listed, but get says %s' % (key, record['text'])]
        status, copy, fd = os.fstat(record['fd']), found[key], record['fd']
        content = os.pread(fd, status.st_size, 0) if status.st_size < LARGE else b''
        found[key] = copy._replace(crc=checksum(content), metadata=record['metadata'])
        kernel = (status.st_size, fcntl.fcntl(fd, GET_SEALS), record['id'], record['generation'])
        broker = (copy.size, copy.seals, copy.id, copy.generation)
        return [] if kernel == broker else ['%s is listed as %s, but got as %s' % (key, broker, kernel)]

    def judge_names(self, found, after_death):
        """What is there and must not be. Also remembers what each name may be; see wanted_names."""
        self.allowed = {}
        for account in self.accounts:
            for name, fate in account.names.items():
                self.allowed[account.uid, name] = fate.after_death() if after_death else fate.possible
        return ['%s must not be there: %s' % (key, found[key]) for key in found
                if key not in self.allowed and key not in self.contests]

    def wanted_names(self, found, wrong):
        for key, allowed in self.allowed.items():
            what = difference(found.get(key), allowed)
            if what:
                wrong.append('%s of %d %s' % (key[1], key[0], what))
        for key, contest in self.contests.items():
            what = contest.judge(found.get(key))
            if what:
                wrong.append('%s of %d %s' % (key[1], key[0], what))

    def settle(self, found):
        for account in self.accounts:
            for name, fate in account.names.items():
                fate.settle(found.get((account.uid, name)))
        for key, contest in self.contests.items():
            contest.settle(found.get(key))

    def judge_tokens(self, client, alive):
        """Redeems them. A few are kept for the next rounds."""
        wrong, kept = [], []
        for token in self.tokens:
            with client.call(wire.GET, [{'token': token.text}]) as message:
                status, text = message.records[0]['status'], message.records[0].get('text')
            works = status == 0
            what = token.judge(works, token.buffer in alive)
            if what:
                wrong.append('%s: %s %s' % (what, wire.NAME_OF.get(status, status), text))
            if works:
                token.has_worked()
                kept.append(token)
        self.tokens = kept[-KEPT_TOKENS:]
        return wrong

    def judge_store(self, buffers):
        """One descriptor for each buffer that has a name; what is removed is gone soon."""
        wanted = len(buffers) + self.overhead
        try:
            wait_for(lambda: self.manager.stored() == wanted, 'the store', 3)
        except AssertionError:
            return ['%d descriptors are stored; it should be %d, for %d buffers' % (
                self.manager.stored(), wanted, len(buffers))]
        return []


# ---- Children --------------------------------------------------------------------------------------------------------

def in_child(function, account, storm, pipe):
    """Never returns."""
    try:
        with os.fdopen(pipe, 'wb') as stream:
            pickle.dump(function(account, storm), stream)
    finally:
        os._exit(0)


def finish_child(pid, pipe):
    with os.fdopen(pipe, 'rb') as stream:
        report = pickle.load(stream)
    os.waitpid(pid, 0)
    return report


def publish_all(account, storm):
    from storm_client import Report, StormClient
    become(account.uid)
    report = Report()
    report.names = account.names
    try:
        client = StormClient(account, storm)
        names = list(account.names)
        for i in range(0, len(names), 25):
            some = names[i:i + 25]
            client.publish_as(some, client.create(len(some)))
            client.collect()
        return client.report
    except Exception as error:
        report.failure = 'at the beginning: %s: %s' % (type(error).__name__, error)
        return report


# ---- What happens in the middle --------------------------------------------------------------------------------------

class Happenings:
    def __init__(self, director):
        self.director, self.manager = director, director.manager
        self.chance = random.Random('%s/happenings' % director.seed)

    def kill(self):
        """kill -9"""
        self.manager.kill_now(self.pid)

    def again(self):
        """kill -9, and again while it comes back"""
        self.manager.kill_again(self.pid, [self.chance.random() * 0.06 for _ in range(3)])

    def disturb(self):
        """a new program for the service manager, and then kill -9"""
        self.manager.disturb(self.pid)

    def restart(self):
        """an orderly restart"""
        self.manager.restart()

    def reexec(self):
        """re-executing itself"""
        self.manager.signal(signal.SIGUSR2)

    def freeze(self):
        """SIGSTOP, and the watchdog"""
        self.manager.signal(signal.SIGSTOP)

    def round(self, kind, name):
        self.pid = broker_pid(self.manager.path)
        self.director.round(name, getattr(self, kind), outlives=kind == 'reexec')
        pid = broker_pid(self.manager.path)
        if (pid == self.pid) != (kind == 'reexec'):
            raise Failure('the process was %d, and is %d' % (self.pid, pid))


class Tap:
    def __init__(self, count=0):
        self.count, self.failures = count, 0

    @contextlib.contextmanager
    def test(self, description):
        self.count += 1
        try:
            yield
        except (Failure, AssertionError, OSError, wire.Disconnected, wire.Refused, EOFError) as error:
            self.failures += 1
            print('not ok %d - %s' % (self.count, description))
            for line in ('%s: %s' % (type(error).__name__, error)).splitlines()[:20]:
                print('# ' + line)
        else:
            print('ok %d - %s' % (self.count, description))
        sys.stdout.flush()

    def done(self):
        print('1..%d' % self.count)
        return 1 if self.failures else 0


def storm_rounds(tap, director, kind, rounds):
    happenings = Happenings(director)
    before = director.answered, director.unanswered
    description = getattr(happenings, kind).__doc__
    with tap.test('%s in the middle of a storm, %d times: what was answered is there, and nothing else (seed %s)' % (
            description, rounds, director.seed)):
        for i in range(rounds):
            try:
                happenings.round(kind, '%s %d' % (kind, i))
            except Exception as error:
                for line in director.manager.log().splitlines()[-24:]:
                    print('# log: ' + line)
                raise Failure('round %d: %s: %s' % (i, type(error).__name__, error)) from error
    print('# %d requests were answered, %d were not' % (
        director.answered - before[0], director.unanswered - before[1]))


def stop_loses_all(tap, director):
    with tap.test('after a stop all is gone, as documented, and nothing is left in the store'):
        director.manager.stop()
        if director.manager.stored():
            raise Failure('%d descriptors are stored' % director.manager.stored())
        director.manager.start()
        with director.connect() as client:
            names = client.list(flags=wire.LIST_ALL_OWNERS)
            if names or client.greeting['instance'] == director.instance:
                raise Failure('there are %d names, and the instance is %x; it was %x' % (
                    len(names), client.greeting['instance'], director.instance))


def nothing_crashed(tap, manager):
    with tap.test('no broker has ended by itself'):
        crashes = manager.crashes()
        if crashes:
            raise Failure('; '.join(crashes[:5]))


def run_storms(manager, seed, rounds, tests_before=0):
    """rounds: {kind: how many}. The Tap."""
    tap, director = Tap(tests_before), Director(manager, seed)
    began = time.monotonic()
    with tap.test('1,000 names are published by %d clients' % CLIENTS):
        director.begin()
    if director.begun:
        for kind in ROUNDS:
            if rounds.get(kind):
                storm_rounds(tap, director, kind, rounds[kind])
        stop_loses_all(tap, director)
    nothing_crashed(tap, manager)
    print('# %.1f s' % (time.monotonic() - began))
    return tap


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--seed', default='%d' % random.SystemRandom().getrandbits(32))
    for kind, rounds in ROUNDS.items():
        parser.add_argument('--' + kind, type=int, default=rounds, metavar='ROUNDS')
    parser.add_argument('--tests-before', type=int, default=0, help='that the caller has reported')
    arguments = parser.parse_args()
    return run_storms(Systemd(), arguments.seed, vars(arguments), arguments.tests_before).done()


if __name__ == '__main__':
    sys.exit(main())
