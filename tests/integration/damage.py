# SPDX-License-Identifier: MIT
"""What is kept for a broker is damaged while there is none: bits of its ledger are flipped, its end is cut off, blocks of
it are zeroed or change places, descriptors are missing, doubled, exchanged, or are something else altogether. The next
broker starts all the same, and serves what is right; never a wrong buffer, nor one that was removed, nor a token that was
revoked. Prints TAP. SEED, ROUNDS: from the environment."""
import contextlib
import fcntl
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'systemd'))
import sealbuf_wire as wire  # noqa: E402
from managers import kept_broker  # noqa: E402
from storm import Tap  # noqa: E402
from storm_client import Failure  # noqa: E402
from testbed import SEALBUFD, skip_all_without_systemd  # noqa: E402

NAMES = 40
ADD_SEALS, GET_SEALS = 1033, 1034
MFD = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
GREATEST_LOG = 120  # lines that a start may write, whatever it finds


class Scene:
    """A broker with names, and the state in which it leaves them: the descriptors that are kept, and its ledger's bytes."""

    def __init__(self, keeper, seed):
        self.keeper, self.random = keeper, random.Random(seed)
        self.contents, self.records, self.last_id = {}, {}, 0
        self.live, self.dead = [], []  # tokens

    def connect(self):
        return wire.Client(self.keeper.path, timeout=30)

    def publish(self, client, name):
        content = self.random.randbytes(self.random.randrange(1, 6000))
        buffer = client.create(len(content), label='label of %s' % name, metadata=b'name=%s\0' % name.encode())
        os.pwrite(buffer['fd'], content, 0)
        os.close(buffer['fd'])
        client.publish(buffer['id'], name, seals=wire.IMMUTABLE, mode=0o640, flags=wire.PUBLISH_REPLACE)
        self.last_id = max(self.last_id, buffer['id'])
        self.contents[name] = content
        return buffer['id']

    def set_up(self):
        """Names, some of them replaced; names and tokens that are gone again while their buffers live on."""
        with self.connect() as client:
            for i in range(NAMES):
                name = 'damage/%d' % i
                for _ in range(self.random.randint(1, 3)):
                    buffer = self.publish(client, name)
                client.publish(buffer, 'removed/%d' % i)
                client.remove('removed/%d' % i)
                tokens = [client.one(wire.SHARE, id=buffer)['token'] for _ in range(2)]
                client.one(wire.REVOKE, token=tokens[0])
                self.dead.append(tokens[0])
                self.live.append(tokens[1])
            self.records = {record['name']: record for record in client.list()}
        self.keeper.end(9)
        self.entries = [(name, os.dup(fd)) for name, fd, _ in self.keeper.kept if name.startswith('buffer-')]
        ledgers = [fd for name, fd, _ in self.keeper.kept if name == 'ledger']
        if len(ledgers) != 1:
            raise Failure('%d ledgers are stored' % len(ledgers))
        ledger = ledgers[0]
        self.ledger = os.pread(ledger, os.fstat(ledger).st_size, 0)
        self.ledger_seals = fcntl.fcntl(ledger, GET_SEALS)
        self.used = [i for i, byte in enumerate(self.ledger) if byte]

    def start(self, ledger, entries=None):
        """The next broker, with this for a ledger."""
        self.keeper.forget()
        entries = self.entries if entries is None else entries
        kept = [(name, os.dup(fd)) for name, fd in entries]
        if ledger is not None:
            kept.append(('ledger', self.memfd(ledger)))
        self.keeper.kept = [(name, fd, os.fstat(fd).st_ino) for name, fd in kept]
        with open(self.keeper.log_path, 'wb'):
            pass
        self.keeper.start()

    def memfd(self, content):
        fd = os.memfd_create('ledger', MFD)
        os.fchmod(fd, 0o600)  # F_SEAL_EXEC on what is executable adds all other seals
        os.ftruncate(fd, len(content))
        os.pwrite(fd, content, 0)
        fcntl.fcntl(fd, ADD_SEALS, self.ledger_seals)
        return fd

    def look(self):
        """All that it serves is right. How many names it has."""
        with self.connect() as client:
            found = {record['name']: record for record in client.list()}
            for name, record in found.items():
                self.look_at(client, name, record)
            for token in self.dead + self.live:
                self.look_at_token(client, token)
            buffer = client.create(1)
            os.close(buffer['fd'])
            if buffer['id'] <= self.last_id:
                raise Failure('the next buffer has id %d, but %d was used' % (buffer['id'], self.last_id))
        with open(self.keeper.log_path, errors='replace') as log:
            lines = log.read().count('\n')
        if lines > GREATEST_LOG:
            raise Failure('it wrote %d lines into its log' % lines)
        if self.keeper.crashes():
            raise Failure('%s' % self.keeper.crashes())
        return len(found)

    def look_at(self, client, name, record):
        if name not in self.contents:
            raise Failure('%s is there, and must not be' % name)
        got = client.get(name, flags=wire.GET_DETAILS)
        content = os.pread(got['fd'], len(self.contents[name]) + 1, 0)
        seals = fcntl.fcntl(got['fd'], GET_SEALS)
        os.close(got['fd'])
        if content != self.contents[name] or seals & wire.IMMUTABLE != wire.IMMUTABLE:
            raise Failure('%s has another content, or lacks seals: %#x' % (name, seals))
        for field in 'id', 'generation', 'mode', 'owner', 'label', 'size', 'created_ns', 'published_ns':
            if got[field] != self.records[name][field]:
                raise Failure('%s of %s is %s, not %s' % (field, name, got[field], self.records[name][field]))
        if got['metadata'] != b'name=%s\0' % name.encode():
            raise Failure('the metadata of %s is %s' % (name, got['metadata']))

    def look_at_token(self, client, token):
        with client.call(wire.GET, [{'token': token}]) as message:
            if message.records[0]['status'] == 0 and token in self.dead:
                raise Failure('a token that was revoked is valid')

    def names_after(self, ledger, entries=None):
        """How many names are left; also after it was killed once more."""
        self.start(ledger, entries)
        names = self.look()
        self.keeper.kill_now(None)
        again = self.look()
        if again != names:
            raise Failure('%d names came back, but only %d when it was killed once more' % (names, again))
        self.keeper.end(9)
        return names


# ---- Damage to the ledger --------------------------------------------------------------------------------------------

def flip(scene, ledger):
    at = scene.random.choice(scene.used)
    ledger[at] ^= 1 << scene.random.randrange(8)


def flip_anywhere(scene, ledger):
    ledger[scene.random.randrange(len(ledger))] ^= 1 << scene.random.randrange(8)


def flip_many(scene, ledger):
    for _ in range(scene.random.randrange(2, 200)):
        flip(scene, ledger)


def cut(scene, ledger):
    del ledger[scene.random.choice((scene.random.randrange(len(ledger)), scene.random.choice(scene.used))):]


def zero(scene, ledger):
    at = scene.random.choice(scene.used) & ~127
    length = scene.random.choice((128, 512, 4096, 16384))
    ledger[at:at + length] = bytes(len(ledger[at:at + length]))


def exchange(scene, ledger):
    """Blocks change places: each of them right, but where another one was."""
    size = scene.random.choice((64, 128, 256, 512, 4096))
    a, b = (scene.random.choice(scene.used) // size * size for _ in range(2))
    one, other = bytes(ledger[a:a + size]), bytes(ledger[b:b + size])
    if len(one) == len(other) == size:
        ledger[a:a + size], ledger[b:b + size] = other, one


def double(scene, ledger):
    """A block is there twice."""
    size = scene.random.choice((128, 256, 512))
    a, b = scene.random.choice(scene.used) // size * size, scene.random.randrange(len(ledger)) // size * size
    ledger[b:b + size] = bytes(ledger[a:a + size]).ljust(size, b'\0')[:len(ledger[b:b + size])]


def noise(scene, ledger):
    at, length = scene.random.randrange(len(ledger)), scene.random.randrange(1, 5000)
    ledger[at:at + length] = scene.random.randbytes(len(ledger[at:at + length]))


def grow(scene, ledger):
    ledger += scene.random.randbytes(scene.random.choice((1, 4096, 100000)))


def all_noise(scene, ledger):
    ledger[:] = scene.random.randbytes(len(ledger))


def a_word(scene, ledger):
    """A number becomes another one, among them the greatest ones: lengths, counts, states."""
    at = scene.random.choice(scene.used) & ~3
    ledger[at:at + 4] = scene.random.choice((b'\xff' * 4, b'\0' * 4, b'\x01\0\0\0', b'\0\0\0\x80', b'\xff\xff\0\0'))


DAMAGE = (flip, flip_anywhere, flip_many, cut, zero, exchange, double, noise, grow, all_noise, a_word)


def damage_ledger(tap, scene, rounds):
    for damage in DAMAGE:
        lost = 0
        with tap.test('%s, %d times' % (damage.__name__.replace('_', ' '), rounds)):
            for i in range(rounds):
                ledger = bytearray(scene.ledger)
                damage(scene, ledger)
                names = try_it(scene, i, ledger)
                lost += NAMES - names
                changed = [at for at, (a, b) in enumerate(zip(ledger, scene.ledger)) if a != b]
                if damage in (flip, flip_anywhere) and changed[0] >= 4096 and names < NAMES - 1:
                    raise Failure('round %d: a bit at %d costs %d names' % (i, changed[0], NAMES - names))
        print('# %.1f of %d names were lost on average' % (lost / rounds, NAMES))


def try_it(scene, i, ledger, entries=None):
    try:
        return scene.names_after(ledger, entries)
    except (Failure, AssertionError, wire.Disconnected, wire.Refused, OSError) as error:
        log = '; '.join(scene.keeper.log().splitlines()[-6:])
        with contextlib.suppress(AssertionError):
            if not scene.keeper.ended():
                scene.keeper.end(9)
        scene.keeper.ends_of_its_own = []
        raise Failure('round %d: %s: %s; its log: %s' % (i, type(error).__name__, error, log)) from error


# ---- Damage to the descriptors ---------------------------------------------------------------------------------------

def something_else(scene, original):
    """What may be in a buffer's place: of the same size where that can be."""
    size = os.fstat(original).st_size
    kind = scene.random.randrange(7)
    if kind == 0:
        return os.pipe()[scene.random.randrange(2)]
    if kind == 1:
        return os.eventfd(0)
    if kind == 2:
        return os.open('/dev/null', os.O_RDWR)
    if kind == 3:
        return os.open('/proc/self/fd/%d' % original, os.O_RDONLY)
    if kind == 4:
        fd = os.open('/dev/shm', os.O_RDWR | os.O_TMPFILE)
        os.ftruncate(fd, size)
        return fd
    if kind == 5:
        return os.open('/', os.O_PATH)
    fd = os.memfd_create('other', MFD)
    os.ftruncate(fd, size)
    if scene.random.random() < 0.5:
        fcntl.fcntl(fd, ADD_SEALS, wire.IMMUTABLE)
    return fd


def damage_entries(scene, entries, made):
    """How many buffers must be lost by this at least, and at most."""
    victims = scene.random.sample(range(len(entries)), scene.random.randrange(2, 9))
    kind = scene.random.choice(('missing', 'else', 'exchanged', 'doubled', 'renamed'))
    if kind == 'missing':
        for i in sorted(victims, reverse=True):
            del entries[i]
        return kind, len(victims), len(victims)
    if kind == 'else':
        for i in victims:
            made.append(something_else(scene, entries[i][1]))
            entries[i] = (entries[i][0], made[-1])
        return kind, 0, len(victims)  # one that is read-only could be taken back, if it liked
    if kind == 'exchanged':
        a, b = victims[:2]
        entries[a], entries[b] = (entries[a][0], entries[b][1]), (entries[b][0], entries[a][1])
        return kind, 0, 2
    if kind == 'doubled':
        for name, fd in [entries[i] for i in victims]:
            made.append(something_else(scene, fd))
            entries.insert(scene.random.randrange(len(entries)), (name, made[-1]))
        return kind, 0, len(victims) * 2
    for i in victims:
        name = scene.random.choice(('stored', 'buffer-', 'buffer-zz', 'buffer-00000000000fffff', 'ledger', 'x' * 255))
        entries[i] = (name, entries[i][1])
    return kind, 0, NAMES if any(entries[i][0] == 'ledger' for i in victims) else len(victims)


def damage_descriptors(tap, scene, rounds):
    with tap.test('descriptors are missing, exchanged, doubled, renamed or something else, %d times' % rounds):
        for i in range(rounds):
            entries, made = list(scene.entries), []
            kind, least, most = damage_entries(scene, entries, made)
            scene.random.shuffle(entries)
            lost = NAMES - try_it(scene, '%d (%s)' % (i, kind), scene.ledger, entries)
            for fd in made:
                os.close(fd)
            if not least <= lost <= most:
                raise Failure('round %d: %s: %d names are lost, not %d to %d' % (i, kind, lost, least, most))


# ---- All of it -------------------------------------------------------------------------------------------------------

def main():
    skip_all_without_systemd()
    seed, rounds = os.environ.get('SEED', '%d' % os.getpid()), int(os.environ.get('ROUNDS', '12'))
    tap = Tap()
    with kept_broker(SEALBUFD) as keeper:
        scene = Scene(keeper, seed)
        with tap.test('names, replaced ones, removed ones, tokens (seed %s)' % seed):
            scene.set_up()
        if not tap.failures:
            with tap.test('undamaged, all come back'):
                names = try_it(scene, 0, scene.ledger)
                if names != NAMES:
                    raise Failure('%d names of %d' % (names, NAMES))
            with tap.test('without a ledger, none'):
                if try_it(scene, 0, None):
                    raise Failure('there are names')
            damage_ledger(tap, scene, rounds)
            damage_descriptors(tap, scene, 3 * rounds)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
