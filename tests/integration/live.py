#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Live data under load: many producers, readers, waiters, watchers and leases at once, and nobody sees what is wrong.

Environment: LIVE_SECONDS, for how long each of the loads runs; 60 makes a minute of each.
"""
import contextlib
import fcntl
import mmap
import os
import pickle
import random
import select
import signal
import struct
import sys
import time
import traceback
import zlib

import sealbuf_wire as wire
import testbed
from sealbuf_wire import GET_WAIT, IMMUTABLE, OVERFLOW, PUBLISH_COMPARE, PUBLISH_REPLACE, SYNC
from surroundings import has_sanitizer, preloaded
from testbed import Broker, Bystander, Suite, equal, eventually, fetch, make, refused
from watching import BOUND, Model, put, short

SECONDS = float(os.environ.get('LIVE_SECONDS', '3'))
testbed.TEST_SECONDS = max(testbed.TEST_SECONDS, int(3 * SECONDS) + 120)
MIB = 1 << 20
OTHER = 61041
KEEP = 8
# What the broker may grow by under a load. A sanitizer keeps back what was freed.
GROWTH = (32 if not has_sanitizer() else 400) * MIB

suite = Suite('--socket-mode', '0666')


# ---- Processes -------------------------------------------------------------------------------------------------------

class Worker:
    """A process that runs function(), of another uid where one is given; result() is what it returned or raised."""

    def __init__(self, function, uid=None):
        self.pipe, theirs = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.pipe)
            self.run(function, uid, theirs)
        os.close(theirs)

    @staticmethod
    def run(function, uid, pipe):
        signal.alarm(testbed.TEST_SECONDS)
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            outcome = (True, function())
        except BaseException as error:  # pylint: disable=broad-except
            outcome = (False, '%s\n%s' % (error, traceback.format_exc()))
        with os.fdopen(pipe, 'wb') as stream:
            pickle.dump(outcome, stream)
        os._exit(0)

    def result(self):
        with os.fdopen(self.pipe, 'rb') as stream:
            data = stream.read()
        self.pipe = -1
        os.waitpid(self.pid, 0)
        self.pid = 0
        if not data:
            raise AssertionError('the process died')
        well, value = pickle.loads(data)
        if not well:
            raise AssertionError('in a process: ' + value)
        return value

    def end(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self.pipe >= 0:
            os.close(self.pipe)


class Crew:
    """Processes that share a board of flags, and go when the block ends."""

    def __init__(self):
        self.board, self.workers = mmap.mmap(-1, 4096), []

    def add(self, function, uid=None):
        self.workers.append(Worker(function, uid))
        return self.workers[-1]

    def stop(self):
        self.board[0] = 1

    def is_over(self):
        return self.board[0] != 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.end()
        self.board.close()


def other_uid():
    return OTHER if os.geteuid() == 0 else None


def glance(client):
    """What costs the broker itself: the seconds that it took. No seals: the kernel makes who adds WRITE wait for work of
    its own on all CPUs, which takes it seconds where these are busy."""
    began = time.monotonic()
    client.ping()
    buffer = make(client, b'innocent', 'innocent')
    equal(fetch(client, 'innocent')[0]['id'], buffer['id'], 'id')
    client.remove('innocent')
    took = time.monotonic() - began
    equal(took < testbed.PROMPT_SECONDS, True, 'an innocent client waited %.1f s' % took)
    return took


def figures(bystander, broker, seconds, memory):
    """While a load runs: the innocent bystander is served, and the broker stays small. (slowest answer, bytes grown)."""
    slowest, grown, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        slowest = max(slowest, glance(bystander.client))
        grown = max(grown, broker.resident_bytes() - memory)
        time.sleep(0.02)
    return slowest, grown


# ---- Replaced as fast as can be --------------------------------------------------------------------------------------

HEAD = struct.Struct('<QI')
NOISE = random.Random(5).randbytes(256 << 10)


def content(size, mark):
    """A checksum, its mark, and noise."""
    start = mark * 7919 % (128 << 10)
    body = HEAD.pack(mark, size) + NOISE[start:start + size]
    return body + struct.pack('<I', zlib.crc32(body))


def check_content(record):
    """The checksum of a whole content, immutable by the kernel's word."""
    fd = record['fd']
    try:
        equal(testbed.seals_of(fd) & IMMUTABLE, IMMUTABLE, 'seals')
        data = os.pread(fd, record['size'] + 1, 0)
        equal(len(data), record['size'], 'size of generation %d' % record['generation'])
        checksum, = struct.unpack('<I', data[-4:])
        equal((zlib.crc32(data[:-4]), HEAD.unpack_from(data)[1] + HEAD.size + 4), (checksum, len(data)),
              'checksum of generation %d' % record['generation'])
        return checksum
    finally:
        os.close(fd)


def produce(broker, crew, number, name):
    """Replaces the name until it is over; how often it did."""
    random_ = random.Random(number)
    count = 0
    with broker.connect() as client:
        while not crew.is_over():
            data = content(random_.choice((0, 1, 100, 4096, 65536)), number << 40 | count)
            buffer = client.create(len(data))
            os.pwrite(buffer['fd'], data, 0)
            if count % 50:  # else the broker seals, which may take it long: see glance
                fcntl.fcntl(buffer['fd'], fcntl.F_ADD_SEALS, IMMUTABLE)
            os.close(buffer['fd'])
            client.publish(buffer['id'], name, mode=0o644, flags=PUBLISH_REPLACE, seals=IMMUTABLE, keep=KEEP)
            count += 1
    return count


def get_former(client, name, owner, last, seen):
    """A former generation: its content, or it is further back than what is kept."""
    generation = max(1, last - random.randrange(2 * KEEP))
    try:
        record = client.get(name, owner=owner, generation=generation)
    except wire.Refused as error:
        equal(error.name, 'GENERATION', 'error for generation %d' % generation)
        now = client.stat(name, owner=owner)['generation']
        equal(now - generation > KEEP, True, 'generation %d is refused, %d is there' % (generation, now))
        return 0
    equal(record['generation'], generation, 'generation that was asked for')
    seen[name, generation] = check_content(record)
    return 1


def read(broker, crew, names, owner, how):
    """Gets the names until it is over. (gets, of former generations, {(name, generation): checksum} of some)."""
    last, seen, count, former = dict.fromkeys(names, 0), {}, 0, 0
    with broker.connect() as client:
        while not crew.is_over():
            for name in names:
                values = {'owner': owner, 'seals': IMMUTABLE}
                if how == 'wait':
                    values.update(flags=GET_WAIT, newer_than=last[name])
                record = client.get(name, **values)
                checksum = check_content(record)
                generation = record['generation']
                equal(generation > last[name] or how != 'wait' and generation == last[name], True,
                      'generation %d of %s after %d' % (generation, name, last[name]))
                if generation % 16 == 0:
                    seen[name, generation] = checksum
                last[name] = generation
                count += 1
                if how == 'history':
                    former += get_former(client, name, owner, generation, seen)
    return count, former, {key: value for key, value in seen.items() if key[1] % 16 == 0}


@suite.test
def replaced(broker, bystander):
    """8 readers of 2 uids verify every generation that they get, current or former, while 4 producers replace"""
    names, owner = ('live/0', 'live/1'), os.geteuid()
    memory = broker.resident_bytes()
    with Crew() as crew, broker.connect() as client:
        for name in names:
            put(client, content(0, 0), name, mode=0o644, seals=IMMUTABLE, keep=KEEP)
        producers = [crew.add(lambda i=i: produce(broker, crew, i + 1, names[i % 2])) for i in range(4)]
        readers = [crew.add(lambda how=how: read(broker, crew, names, owner, how), uid)
                   for uid in (None, other_uid()) for how in ('get', 'get', 'wait', 'history')]
        sleeper = Model(client.watch('live/'))
        slowest, grown = figures(bystander, broker, SECONDS, memory)
        with broker.connect() as poker:  # who waits is to see that it is over
            crew.stop()
            counts = [producer.result() for producer in producers]
            for _ in range(3):
                for name in names:
                    put(poker, content(1, 1), name, mode=0o644, seals=IMMUTABLE, keep=KEEP)
                time.sleep(0.05)
        results = [reader.result() for reader in readers]
        together = {}
        for _, _, seen in results:
            for key, checksum in seen.items():
                equal(together.setdefault(key, checksum), checksum, 'checksum of %s %d, for two readers' % key)
        for i, name in enumerate(names):
            equal(client.stat(name)['generation'], 1 + counts[i] + counts[i + 2] + 3, 'generation at last of ' + name)
        sleeper.check(client, 'live/')
        for name in (*names, 'live/~'):
            client.remove(name)
        print('# %d generations, %d gets, %d of former ones, %d compared; bystander %.0f ms, %.1f MiB' % (
            sum(counts), sum(r[0] for r in results), sum(r[1] for r in results), len(together), slowest * 1000,
            grown / MIB))
        equal((min(counts) > 0, min(r[0] for r in results) > 0, max(r[1] for r in results) > 0), (True, True, True),
              'all have done something')
        equal(grown < GROWTH, True, 'bytes that the broker has grown by: %d' % grown)


@suite.test
def compared(broker, _):
    """two producers that race by compare-and-publish: each generation has exactly one winner"""
    def race():
        won = []
        with broker.connect() as client:
            numbers = [make(client, b'')['id'] for _ in range(2)]
            for name in ('race/keep/%d' % number for number in numbers):
                client.publish(int(name.rpartition('/')[2]), name)
            seen = client.stat('race/name')['generation']
            while not crew.is_over():
                try:
                    seen = client.publish(numbers[len(won) % 2], 'race/name', flags=PUBLISH_COMPARE,
                                          expected=seen)['generation']
                    won.append(seen)
                except wire.Refused as error:
                    equal(error.name, 'GENERATION', 'error')
                    seen = client.stat('race/name')['generation']
        return won

    with Crew() as crew, broker.connect() as client:
        make(client, b'', 'race/name')
        workers = [crew.add(race) for _ in range(2)]
        time.sleep(min(SECONDS, 10))
        crew.stop()
        one, two = (worker.result() for worker in workers)
        last = client.stat('race/name')['generation']
        print('# won %d and %d' % (len(one), len(two)))
        equal(sorted(one + two), list(range(2, last + 1)), 'each generation has one winner')
        equal((len(one) > 0, len(two) > 0), (True, True), 'both have won')
        for record in client.list(prefix='race/'):
            client.remove(record['name'])


# ---- Waiters ---------------------------------------------------------------------------------------------------------

WAITERS, CONNECTIONS = 5000, 100


def next_answers(clients):
    """The next messages of any of the clients."""
    poll = select.poll()
    by_number = {client.socket.fileno(): client for client in clients}
    for number in by_number:
        poll.register(number, select.POLLIN)
    for number, _ in poll.poll(20000):
        yield by_number[number].receive()


@contextlib.contextmanager
def many_waiters(broker, name, **values):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(broker.connect()) for _ in range(CONNECTIONS)]
        for client in clients:
            for _ in range(WAITERS // CONNECTIONS):
                client.start_wait(name, **values)
            client.ping()
        yield clients


@suite.test
def thousands_wait(broker, bystander):
    """5,000 waiters for one name cost nothing while they wait, and are all answered without holding up the others"""
    memory = broker.resident_bytes()
    with many_waiters(broker, 'waited/for') as clients, broker.connect() as producer:
        grown, cpu = broker.resident_bytes() - memory, broker.cpu_seconds()
        time.sleep(1)
        cpu = broker.cpu_seconds() - cpu
        equal(cpu < 0.3, True, 'seconds of CPU in a second of waiting: %.2f' % cpu)
        slowest = glance(bystander.client)
        began = time.monotonic()
        buffer = make(producer, b'at last', 'waited/for')
        answered, inodes = 0, set()
        while answered < WAITERS:
            before = answered
            for message in next_answers(clients):
                with message:
                    equal((message.status, message.records[0]['status'], message.records[0]['id']),
                          (0, 0, buffer['id']), 'answer')
                    inodes.add(os.fstat(message.fds[0]).st_ino)
                answered += 1
            slowest = max(slowest, glance(bystander.client))
            equal(answered > before, True, 'answers: %d' % answered)
        took = time.monotonic() - began
        equal(len(inodes), 1, 'files')
        for client in clients:
            client.detached = {}
            client.ping()  # and no answer besides
        producer.remove('waited/for')
        print('# %.2f s for %d answers, bystander %.0f ms; %d bytes and %.3f s of CPU while they waited' % (
            took, answered, slowest * 1000, grown, cpu))
        equal(grown < GROWTH, True, 'bytes for %d waiters' % WAITERS)


@suite.test
def thousands_give_up(broker, bystander):
    """5,000 waiters that end in all ways at once: by time-out, cancelled, dead; nothing of them is left"""
    with many_waiters(broker, 'never', wait_ms=60000) as clients:
        timed, cancelled, dead = clients[:30], clients[30:60], clients[60:]
        for client in timed:
            for _ in range(100):
                client.start_wait('never', wait_ms=1 + random.randrange(200))
        for client in cancelled:
            for serial in list(client.detached):
                client.start(wire.CANCEL, [{'serial': serial}])
        for client in dead:
            client.close()
        kinds = {}
        for client in timed + cancelled:
            most = 100 if client in timed else 2 * (WAITERS // CONNECTIONS)
            for _ in range(most):
                with client.receive() as message:
                    kinds[message.name()] = kinds.get(message.name(), 0) + 1
        equal(kinds, {'TIMED_OUT': 3000, 'CANCELLED': 1500, 'OK': 1500}, 'answers')
        bystander.served()
        with clients[0].call(wire.ACCOUNTS, [{}]) as message:
            equal(message.records[0]['waits'], 30 * WAITERS // CONNECTIONS, 'waits that are left')


# ---- Leases ----------------------------------------------------------------------------------------------------------

@suite.test
def ten_thousand_leases(broker, bystander):
    """10,000 leases of 10 ms: each ends by itself, none is served a moment later, and a watcher is told of each"""
    memory = broker.resident_bytes()
    with broker.connect() as client, broker.connect() as watcher:
        numbers = [make(client, b'')['id'] for _ in range(50)]
        for i, number in enumerate(numbers):
            client.publish(number, 'lease/keep/%d' % i)
        model = Model(watcher.watch('lease/'))
        expired = early = 0
        slowest = 0
        for i, number in enumerate(numbers):
            names = ['lease/%d/%d' % (i, j) for j in range(200)]
            with client.call(wire.PUBLISH, [{'id': number, 'name': name, 'mode': 0o600, 'expire_ms': 10}
                                            for name in names]) as message:
                equal({record['status'] for record in message.records}, {0}, 'statuses')
            over = time.monotonic() + 0.010  # at the latest, then
            early += sum(record['name'] in names for record in client.list(prefix='lease/%d/' % i))
            time.sleep(max(0, over - time.monotonic()))
            equal(client.list(prefix='lease/%d/' % i), [], 'names whose time has passed')
            with refused('NOT_FOUND'):
                client.get(names[-1])
            # The watcher keeps up: it is told of each.
            while expired < 200 * (i + 1):
                event = model.watch.next()
                model.take(event)
                expired += event['kind'] == wire.EXPIRED
                equal(event['kind'] in (wire.EXPIRED, OVERFLOW, SYNC, *BOUND), True, 'kind of %r' % (short(event),))
            if i % 10 == 0:
                slowest = max(slowest, glance(bystander.client))
        print('# %d expired, %d were seen before, %d overflows; bystander %.0f ms, %.1f MiB' % (
            expired, early, model.overflows, slowest * 1000, (broker.resident_bytes() - memory) / MIB))
        model.check(client, 'lease/')
        equal(len(model.names), 51, 'names that are left')
        # All of them at once, of many lengths, some renewed.
        records = [{'id': numbers[i // 200], 'name': 'many/%d' % i, 'mode': 0o600, 'expire_ms': 1 + i % 300}
                   for i in range(10000)]
        for start in range(0, 10000, 250):
            client.call(wire.PUBLISH, records[start:start + 250]).close()
        with client.call(wire.TOUCH, [{'name': 'many/%d' % i, 'expire_ms': 3600000} for i in range(9890, 10000)]) as message:
            touched = sum(record['status'] == 0 for record in message.records)
        eventually(lambda: len(client.list(prefix='many/')) == touched, what='all others have expired')
        for record in client.list():
            client.remove(record['name'])
        bystander.served()


@suite.test
def clock_that_jumps(*_):
    """a time of day that jumps by years, to and fro, changes no lease, no token and no wait

    Nobody can set the clock of a machine that others use, so a library is preloaded that plays it; and what the kernel's
    timers of the broker go by, the kernel tells.
    """
    with preloaded(PRELOAD_CLOCK='1') as own, own.connect() as client, own.connect() as watcher:
        seen = []
        for _ in range(4):
            put(client, b'', 'c/ever', expire_ms=3600000)
            seen.append(client.stat('c/ever')['published_ns'])
        equal(max(seen) - min(seen) > 10 ** 17, True, 'whether the clock of the broker jumps: %r' % seen)
        model = Model(watcher.watch('c/'))
        token = client.one(wire.SHARE, name='c/ever', expire_ms=3600000)['token']
        for _ in range(10):
            began = time.monotonic()
            put(client, b'', 'c/short', expire_ms=100)
            # Until its time has passed it is there; a busy machine may have let it pass.
            equal(bool(client.list(prefix='c/short')) or time.monotonic() - began > 0.1, True, 'it is there at first')
            waited = client.start_wait('c/never', wait_ms=100)
            time.sleep(0.05)
            with refused('TIMED_OUT'):
                client.finish_wait(waited)
            equal(time.monotonic() - began >= 0.1, True, 'a wait of 100 ms')
            eventually(lambda: client.list(prefix='c/short') == [], what='it has expired')
            equal(3500000 < client.stat('c/ever')['expire_ms'] <= 3600000, True, 'what is left of an hour')
            os.close(client.get(token=token)['fd'])
        model.check(client, 'c/')
        clocks = {}
        for number in os.listdir('/proc/%d/fdinfo' % own.pid):
            with contextlib.suppress(OSError), open('/proc/%d/fdinfo/%s' % (own.pid, number), encoding='ascii') as info:
                for line in info:
                    if line.startswith('clockid:'):
                        clocks[number] = int(line.split()[1])
        equal(set(clocks.values()) <= {time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME}, True, 'clocks of timers: %r' % clocks)


# ---- The storm -------------------------------------------------------------------------------------------------------

WATCHERS, WATCHES_EACH = 1000, 25
PAUSES = (None, 0.2, 0.03, 0)  # of the processes that watch: asleep, slow, less so, as fast as can be
STORM_WAITERS, NAMES, RATE = 100, 100, 10000
EVENT = struct.Struct('<II IIQQQQQ IIIII II')


def quick_events(data):
    """(kind, name, generation) of each event of a message, without what takes time."""
    offset = 24
    while offset < len(data):
        values = EVENT.unpack_from(data, offset)
        start = offset + EVENT.size
        yield values[2], data[start:start + values[14]], values[6]
        offset += values[0]


class QuickModel:
    def __init__(self, prefix):
        self.prefix, self.names, self.is_known, self.overflows, self.events = prefix, {}, False, 0, 0

    def take(self, data):
        for kind, name, generation in quick_events(data):
            self.events += 1
            if kind in BOUND:
                self.names[name] = generation
            elif kind == OVERFLOW:
                self.names, self.is_known = {}, False
                self.overflows += 1
            elif kind == SYNC:
                self.is_known = True
            else:
                self.names.pop(name, None)

    def is_at_the_end(self):
        return self.is_known and self.prefix + b'~' in self.names


def watch_storm(broker, board, pause):
    """Watches until the marker has come to each of its watches; with a pause between two looks, or, where it is None,
    without a look before the storm is over. ({prefix: state}, events, overflows)."""
    count = WATCHERS // len(PAUSES) // WATCHES_EACH
    clients = [broker.connect(timeout=60) for _ in range(count)]
    models = {}
    for client in clients:
        for i in range(WATCHES_EACH):
            prefix = (b'storm/', b'storm/a')[i % 2]
            models[client, client.start(wire.WATCH, [{'name': prefix}])] = QuickModel(prefix)
    poll = select.poll()
    by_number = {client.socket.fileno(): client for client in clients}
    for number in by_number:
        poll.register(number, select.POLLIN)
    while pause is None and not board[0]:
        time.sleep(0.05)
    left = set(models)
    while left:
        time.sleep(0 if board[0] else pause)
        ready = poll.poll(60000)
        equal(bool(ready), True, 'a message within a minute; %d watches are not at the end' % len(left))
        for number, _ in ready:
            client = by_number[number]
            data = client.socket.recv(wire.MAX_MESSAGE)
            _, opcode, _, serial, status = struct.unpack_from('<IHHII', data)
            equal((opcode, status), (wire.WATCH | wire.REPLY, 0), 'message')
            model = models[client, serial]
            model.take(data)
            if model.is_at_the_end():
                left.discard((client, serial))
    states = {}
    for model in models.values():
        equal(states.setdefault(model.prefix, model.names), model.names, 'what two watchers end with')
    for client in clients:
        client.close()
    return states, sum(model.events for model in models.values()), sum(model.overflows for model in models.values())


def received(client):
    """What is there to read, all of it: who never reads all is held back some day. Waits a moment for the first one."""
    patience = 0.1
    while select.select([client.socket], [], [], patience)[0]:
        patience = 0
        yield client.receive()


def wait_in_storm(broker, board):
    """100 waiters, each for the next generation of a name; at the end each has seen the last one. How many answers."""
    with broker.connect(timeout=60) as client, broker.connect() as other:
        serials, again, kept, answers, end = {}, [], [], 0, time.monotonic() + 60
        for i in range(STORM_WAITERS):
            name = 'storm/a%03d' % (i % (NAMES // 2))
            serials[client.start_wait(name)] = name, 0
        while True:
            if board[0]:
                final = {r['name']: r['generation'] for r in other.list(prefix='storm/a')}
                if all(final[name] == generation for name, generation in serials.values()):
                    return answers
                equal(time.monotonic() < end, True, 'whether all waiters see the last generations: %r' % final)
            else:
                end = time.monotonic() + 60
            there, kept = kept + list(received(client)), []
            for message in there:
                with message:
                    name, before = serials.pop(message.serial)
                    equal((message.status, message.records[0]['status']), (0, 0), 'answer')
                    generation = message.records[0]['generation']
                    equal(generation > before, True, 'generation %d after %d' % (generation, before))
                    again.append((name, generation))
            answers += len(again)
            for name, generation in again:
                while not select.select([], [client.socket], [], 0)[1]:  # reading while it sends
                    kept += received(client)
                serials[client.start_wait(name, newer_than=generation)] = name, generation
            again.clear()


def storm(broker, board):
    """Publishes 10,000 a second, where the machine can; half of the names are removed now and then. How many."""
    with broker.connect() as client:
        numbers = [make(client, b'%d' % i)['id'] for i in range(4)]
        for number in numbers:
            client.publish(number, 'elsewhere/%d' % number)
        count, began = 0, time.monotonic()
        turn = 0
        while not board[1]:
            turn += 1
            records = [{'id': numbers[(turn + i) % 4], 'name': 'storm/%s%03d' % ('ab'[i % 2], i // 2), 'mode': 0o600,
                        'flags': PUBLISH_REPLACE} for i in range(NAMES)]
            with client.call(wire.PUBLISH, records) as message:
                equal({record['status'] for record in message.records}, {0}, 'statuses')
            count += NAMES
            if turn % 20 == 0:
                client.call(wire.REMOVE, [{'name': 'storm/b%03d' % i} for i in range(turn // 20 % 7, NAMES // 2, 7)]).close()
            time.sleep(max(0, began + count / RATE - time.monotonic()))
        for name in ('storm/~', 'storm/a~'):
            client.publish(numbers[0], name)
        took = time.monotonic() - began
        board[0] = 1
        return count, took


@suite.test
def publish_storm(*_):
    """10,000 publishes a second, 1,000 watchers, 100 waiters: each ends with the true state, the broker stays small

    Some of the watchers sleep all the while, others are slow.
    """
    with Broker() as broker, Crew() as crew, broker.connect() as client:
        bystander = Bystander(broker)
        memory = broker.resident_bytes()
        board = crew.board
        watchers = [crew.add(lambda pause=pause: watch_storm(broker, board, pause)) for pause in PAUSES]

        def account():
            with client.call(wire.ACCOUNTS, [{}]) as message:
                return message.records[0]

        eventually(lambda: account()['watches'] == WATCHERS, what='all watch')
        waiters = crew.add(lambda: wait_in_storm(broker, board))
        eventually(lambda: account()['waits'] == STORM_WAITERS, what='all wait')
        producer = crew.add(lambda: storm(broker, board))
        slowest, grown = figures(bystander, broker, SECONDS, memory)
        board[1] = 1
        count, took = producer.result()
        drained = time.monotonic()
        answers = waiters.result()
        results = [worker.result() for worker in watchers]
        drained = time.monotonic() - drained
        grown = max(grown, broker.resident_bytes() - memory)
        for states, _, _ in results:
            for prefix, names in states.items():
                expected = {r['name'].encode(): r['generation'] for r in client.list(prefix=prefix.decode())}
                equal(names, expected, 'what the watchers of %r end with' % prefix)
        print('# %d publishes in %.1f s (%.0f a second), %d answers to waiters, %d events, %d overflows, at the end after '
              '%.1f s; bystander %.0f ms, %.1f MiB' % (
                  count, took, count / took, answers, sum(r[1] for r in results), sum(r[2] for r in results), drained,
                  slowest * 1000, grown / MIB))
        equal(grown < GROWTH, True, 'bytes that the broker has grown by: %d' % grown)
        bystander.close()


@suite.test
def freed_at_the_moment(_, __):
    """A connection is not thought of once it has ended, though the kernel was just freeing what it had read when the
    broker looked; a kernel that always is is played by a library, and what is freed is overwritten"""
    with preloaded('--limit', 'uid-in-flight=100', PRELOAD_FREEING='1', MALLOC_PERTURB_='165') as own, own.connect() as client:
        made = client.create(1)
        os.close(made['fd'])
        for _ in range(30):
            others = [own.connect() for _ in range(8)]
            for other in others:
                other.start(wire.GET, [{'id': made['id']}] * 30)
                time.sleep(0.002)  # it looks once a millisecond
            for other in others[:6]:
                other.close()
            time.sleep(0.02)
            for other in others[6:] * 3:  # they do not fit, so it looks at all
                other.start(wire.GET, [{'id': made['id']}] * 30)
                time.sleep(0.002)
            client.ping()
            for other in others[6:]:
                other.close()
        eventually(lambda: client.stats()['connections'] == 1, what='the connections have ended')


if __name__ == '__main__':
    suite.main()
