# SPDX-License-Identifier: MIT
"""One client of the storm: a process that publishes, replaces, removes and shares as fast as it can, until the broker
dies or the storm is over, and books what it does with the oracle."""
import fcntl
import mmap
import os
import random
import sys
import traceback

import sealbuf_wire as wire
from storm_oracle import Contest, Copy, Name, Token, checksum

NAMES = 125
HOT = 20          # of them, those that most of the requests are about
GREATEST_RUN = 8  # requests in flight
OVER = 255        # on the board of a storm
ADD_SEALS = 1033
SIZES = (0, 1, 17, 1000, 4096, 4097, 12288, 20000)
MODES = (0o600, 0o640, 0o644, 0o666)
PUBLISH_VOLATILE = 0x10


class Failure(Exception):
    """The broker has done what it must not."""


class Stopping(Exception):
    """The broker has said that it stops: this request is not carried out, nor is any later one."""


class Account:
    """What the storm knows of a client's names, from one round to the next."""

    def __init__(self, number, uid):
        self.number, self.uid = number, uid
        self.names = {'storm/%d/%03d' % (number, i): Name() for i in range(NAMES)}


class Report:
    """What a client hands back."""

    def __init__(self):
        self.names = {}
        self.contests = {}
        self.tokens = []
        self.answered = self.unanswered = 0
        self.last_id = 0
        self.failure = None
        self.ended = None  # how the connection ended, where it did


class Storm:
    """What all clients of a round have in common."""

    def __init__(self, path, seed, contested, last_id, volatile=False, outlives=False):
        self.path, self.seed, self.contested, self.last_id = path, seed, contested, last_id
        self.board = mmap.mmap(-1, OVER + 1)  # which of the clients have begun; and whether it is over
        self.volatile = volatile  # whether the broker knows volatile names
        self.outlives = outlives  # the connections must outlive what happens to the broker


class StormClient:
    def __init__(self, account, storm):
        self.account, self.storm = account, storm
        self.random = random.Random('%s/%d' % (storm.seed, account.number))
        self.report = Report()
        self.report.names = account.names
        self.report.contests = {name: Contest() for name in storm.contested}
        self.hoard = []  # buffers that have no name yet
        self.flying = []  # (serial, what to do with the answer's records)
        self.client = wire.Client(storm.path)

    # Requests

    def send(self, opcode, records, answer):
        """Books nothing by itself: that was done before."""
        serial = self.client.start(opcode, records)
        self.flying.append((serial, answer))

    def collect(self):
        """The answers to all that is in flight."""
        while self.flying:
            serial, answer = self.flying[0]
            try:
                with self.client.finish(serial) as message:
                    answer(message)
            except wire.Refused as error:
                self.carried_out({'status': error.status, 'text': error.text}, 'a request')
            del self.flying[0]
            self.report.answered += 1

    def carried_out(self, record, what):
        if record['status'] == wire.CODE['STOPPING']:
            raise Stopping(record['text'])
        if record['status']:
            raise Failure('%s: %s %s' % (what, wire.NAME_OF.get(record['status'], record['status']), record['text']))

    # Buffers

    def create(self, count):
        """Buffers with content and seals, and no name: Copy, as far as it is known."""
        wanted = []
        for _ in range(count):
            content = self.random.randbytes(self.random.choice(SIZES))
            pairs = b''.join(b'k%d=%s\0' % (i, b'%x' % self.random.getrandbits(self.random.choice((8, 64, 1500))))
                             for i in range(self.random.randrange(3)))
            wanted.append((content, 'storm-%x' % self.random.getrandbits(32), pairs))
        copies = []
        if wanted:
            self.send(wire.CREATE, [{'size': len(c), 'label': l, 'metadata': m} for c, l, m in wanted], lambda message: [
                copies.append(self.fill(record, *one)) for record, one in zip(message.records, wanted)])
            self.collect()
        return copies

    def fill(self, record, content, label, metadata):
        self.carried_out(record, 'create')
        if record['id'] <= self.storm.last_id:
            raise Failure('the new buffer has id %d, but %d has been used before' % (record['id'], self.storm.last_id))
        self.report.last_id = max(self.report.last_id, record['id'])
        os.pwrite(record['fd'], content, 0)
        seals = self.random.choice((0, wire.WRITE, wire.WRITE | wire.SEAL_SEAL))
        if seals:
            fcntl.fcntl(record['fd'], ADD_SEALS, seals)
        return Copy(record['id'], 0, len(content), checksum(content), record['seals'] | seals, 0, label, metadata)

    # What a client does

    def pick(self, wanted):
        """Some of its names, most of them hot ones, for which wanted(latest) is true."""
        names = list(self.account.names)
        names = [name for name in names if wanted(self.account.names[name].latest())]
        names = names[:HOT] if self.random.random() < 0.8 else names
        return self.random.sample(names, min(len(names), self.random.randint(1, GREATEST_RUN)))

    def publish(self):
        """New ones, where there is room for them, or instead of what there is."""
        is_new = self.random.random() < 0.6
        names = self.pick(lambda copy: copy is None) if is_new else []
        names = names or self.pick(lambda copy: True)
        copies = self.hoard[:len(names)] + self.create(max(0, len(names) - len(self.hoard)))
        del self.hoard[:len(names)]
        self.publish_as(names, copies)

    def publish_as(self, names, copies):
        records = []
        for name, copy in zip(names, copies):
            fleeting = self.storm.volatile and self.random.random() < 0.05
            copy = copy._replace(mode=self.random.choice(MODES), fleeting=fleeting)
            if not copy.seals & wire.SEAL_SEAL and self.random.random() < 0.1:
                copy = copy._replace(seals=copy.seals | wire.WRITE)  # the broker is to add it
            self.account.names[name].ask(copy)
            records.append({'id': copy.id, 'name': name, 'mode': copy.mode, 'seals': copy.seals & wire.IMMUTABLE,
                            'flags': wire.PUBLISH_REPLACE | (PUBLISH_VOLATILE if fleeting else 0)})
        self.send_in_pieces(wire.PUBLISH, names, records, self.published)

    def send_in_pieces(self, opcode, names, records, answered):
        """All in one message, or in one each."""
        step = self.random.choice((1, len(names) or 1))
        for i in range(0, len(names), step):
            some = names[i:i + step]
            self.send(opcode, records[i:i + step], lambda message, some=some: [
                answered(name, record) for name, record in zip(some, message.records)])

    def published(self, name, record):
        self.carried_out(record, 'publish of %s' % name)
        copy = self.account.names[name].answered()
        if record['generation'] != copy.generation or record['id'] != copy.id:
            raise Failure('publish of %s: answered as id %d, generation %d; expected: %s' % (
                name, record['id'], record['generation'], copy))

    def alias(self):
        """A second name for a buffer that has one."""
        for source in self.pick(lambda copy: copy is not None and not copy.fleeting)[:1]:
            target = self.random.choice(list(self.account.names))
            copy = self.account.names[source].latest()
            self.account.names[target].ask(copy)
            self.send_in_pieces(wire.PUBLISH, [target], [
                {'id': copy.id, 'name': target, 'mode': copy.mode, 'flags': wire.PUBLISH_REPLACE}], self.published)

    def remove(self):
        names = self.pick(lambda copy: copy is not None)
        for name in names:
            self.account.names[name].ask(None)
        if names:
            self.send_in_pieces(wire.REMOVE, names, [{'name': name} for name in names], self.removed)

    def removed(self, name, record):
        self.carried_out(record, 'remove of %s' % name)
        self.account.names[name].answered()

    def contend(self):
        """Replaces what others replace, too."""
        name = self.random.choice(list(self.report.contests))
        contest = self.report.contests[name]
        copy = self.create(1)[0]._replace(mode=0o644)
        contest.asked.append(copy)

        def answered(message):
            self.carried_out(message.records[0], 'publish of %s' % name)
            contest.asked.remove(copy)
            contest.answers.append(copy._replace(generation=message.records[0]['generation']))
        self.send(wire.PUBLISH, [{'id': copy.id, 'name': name, 'mode': copy.mode, 'flags': wire.PUBLISH_REPLACE}],
                  answered)

    def share(self):
        for name in self.pick(lambda copy: copy is not None and not copy.fleeting)[:2]:
            token = Token(self.account.names[name].latest().id, self.random.choice((0, 1, 2, 5)))

            def answered(message, token=token):
                self.carried_out(message.records[0], 'share')
                token.text = message.records[0]['token']
                self.report.tokens.append(token)
            self.send(wire.SHARE, [{'id': token.buffer, 'uses': token.uses}], answered)

    def redeem(self):
        """A use, which may well fail: its buffer may be gone."""
        for token in self.random.sample(self.report.tokens, min(2, len(self.report.tokens))):
            token.asked += 1

            def answered(message, token=token):
                token.asked -= 1
                token.used += message.records[0]['status'] == 0
            self.send(wire.GET, [{'token': token.text}], answered)

    def revoke(self):
        if self.report.tokens:
            token = self.random.choice(self.report.tokens)
            token.maybe_revoked = True

            def answered(message):
                token.revoked = token.revoked or message.records[0]['status'] == 0
            self.send(wire.REVOKE, [{'token': token.text}], answered)

    def keep(self):
        """Buffers for later; if the broker dies meanwhile, they go with it."""
        if len(self.hoard) < 2 * GREATEST_RUN:
            self.hoard += self.create(self.random.randint(1, 4))

    def storm_on(self):
        doings = (self.publish, self.publish, self.publish, self.remove, self.remove, self.alias, self.contend,
                  self.share, self.redeem, self.revoke, self.keep)
        self.storm.board[self.account.number] = 1
        while not self.storm.board[OVER]:
            for _ in range(self.random.randint(1, 3)):
                self.random.choice(doings)()
            self.collect()

    def run(self):
        try:
            self.storm_on()
        except (wire.Disconnected, Stopping, OSError) as error:
            self.report.ended = '%s: %s' % (type(error).__name__, error)
            if isinstance(error, Stopping):
                for name in self.account.names.values():
                    name.refused()
                for contest in self.report.contests.values():
                    contest.asked = []
            if self.storm.outlives:
                self.report.failure = 'the connection ended: %s' % self.report.ended
        except Failure as error:
            self.report.failure = str(error)
        except Exception:  # of the test itself
            self.report.failure = traceback.format_exc()
        self.report.unanswered = len(self.flying)
        return self.report


def become(uid):
    if uid != os.geteuid():
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def run_client(account, storm):
    """In a process of its own, of the account's user."""
    become(account.uid)
    try:
        return StormClient(account, storm).run()
    except Exception:
        report = Report()
        report.names = account.names
        report.failure = 'could not begin: %s' % traceback.format_exc()
        return report
    finally:
        sys.stderr.flush()
