# SPDX-License-Identifier: MIT
"""What outlives the broker: the ledger and the descriptors with it, after kill -9, and damaged in every way. The next
broker serves what is right, never anything wrong, and never crashes."""
import contextlib
import fcntl
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zlib

import sealbuf_wire as wire
from lives import Lives
from testbed import (Skip, access_mode_of, equal, eventually, fetch, in_child, make, need_root, refused, seals_of,
                     skip_all_without_systemd)

MINE = 100000 + os.getpid() % 30000 * 10
OTHER = MINE + 1
F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW = 1, 2, 4
HEAD, BLOCK, LEAST_SLOT = 4096, 65536, 128
VERSION = 2
# Where something is in the head: two copies of the identity, three of the last id, the counters.
IDENTITY, IDENTITY_AGAIN, LAST_ID, COUNTERS = (0, 40), (1024, 1064), (2048, 2096), (3072, 3096)
# Generous: sanitizers are slow. Damage is tried for so long, and at least so often.
SECONDS, LEAST_TRIES = 8, 40
METADATA = b'key=value\0binary=' + bytes(range(1, 60)) + b'\0'

rng = random.Random(os.environ.get('SEED', '4'))
tests = []


def test(function):
    tests.append(function)
    return function


def share(client, name, **values):
    return client.one(wire.SHARE, name=name, **values)['token']


def content_of(name):
    return ('the content of %s' % name).encode() * 3


def put(client, name, **publish):
    return make(client, content_of(name), name, **publish)


def state(client):
    """All that there is by name: the records, and whether the content is the right one."""
    found = {}
    for record in client.list(flags=wire.LIST_ALL_OWNERS):
        name, owner = record['name'], record['owner']
        details = client.stat(name, owner=owner)
        if not details['flags'] & wire.INFO_TAKE:
            got, content = fetch(client, name, owner=owner)
            equal(got['id'], details['id'], 'id')
            equal(content, content_of(details['label'] or name), 'content of %s' % name)
        found[owner, name] = {key: details[key] for key in details if key not in ('allocated', 'text', 'descriptors')}
    return found


def furnish(client):
    """Names of all kinds. Returns tokens: {name: token}."""
    put(client, 'plain')
    put(client, 'sealed', seals=wire.IMMUTABLE, mode=0o644)
    put(client, 'group', mode=0o640, group=os.getgid(), flags=wire.PUBLISH_GROUP)
    put(client, 'takable', flags=wire.PUBLISH_TAKE)
    big = client.create(len(content_of('rich')), label='rich', metadata=METADATA)
    os.pwrite(big['fd'], content_of('rich'), 0)
    os.close(big['fd'])
    client.publish(big['id'], 'rich', seals=wire.IMMUTABLE)
    client.publish(big['id'], 'rich/again', mode=0o604)
    client.publish(big['id'], 'rich/third', mode=0o666, flags=wire.PUBLISH_TAKE)
    growing = client.create(len(content_of('growing')), flags=wire.CREATE_GROWABLE)
    os.pwrite(growing['fd'], content_of('growing'), 0)
    os.close(growing['fd'])
    client.publish(growing['id'], 'growing')
    for _ in range(4):
        put(client, 'replaced', flags=wire.PUBLISH_REPLACE)
    put(client, 'removed')
    client.remove('removed')
    for i in range(30):
        put(client, 'many/%02d' % i)
    for i in range(0, 30, 3):
        client.remove('many/%02d' % i)
    tokens = {name: share(client, name) for name in ('plain', 'sealed', 'rich')}
    tokens['growing'] = share(client, 'growing', flags=wire.SHARE_WRITABLE, uses=3)
    return tokens


@contextlib.contextmanager
def furnished(*arguments):
    """A dead broker's leavings: (lives, what there was, tokens)."""
    with Lives(*arguments) as lives:
        lives.start()
        with lives.connect() as client:
            tokens = furnish(client)
            before = state(client)
        named = {record['id'] for record in before.values()}
        eventually(lambda: set(lives.manager.buffers()) == named, what='the manager has what has a name, and no more')
        lives.kill()
        yield lives, before, tokens


def entries_of(lives):
    """What the manager keeps, the caller's: [(name, descriptor)]."""
    return sorted(lives.manager.duplicates())


def close_all(entries):
    for _, fd in entries:
        os.close(fd)


def ledger_of(entries):
    return next(fd for name, fd in entries if name == 'ledger')


def with_ledger(entries, *ledgers):
    return [('ledger', fd) for fd in ledgers] + [entry for entry in entries if entry[0] != 'ledger']


def bytes_of(fd):
    return os.pread(fd, os.fstat(fd).st_size, 0)


def memfd(content, seals=F_SEAL_SHRINK):
    fd = os.memfd_create('damaged', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.pwrite(fd, content, 0)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def check_kept(lives):
    """The manager keeps what is served, and nothing else."""
    with lives.connect() as client:
        served = {record['id'] for record in client.list(flags=wire.LIST_ALL_OWNERS)}
    eventually(lambda: sorted(set(lives.manager.buffers())) == sorted(served),
               what=lambda: 'kept are %r, served %r' % (lives.manager.buffers(), sorted(served)))
    equal([name for name in lives.manager.names() if not name.startswith('buffer-') and name != 'canary'], ['ledger'],
          'what is kept besides buffers')


def check_served(lives, before, lost=None):
    """What is there is as it was; at most `lost` names are not, and new ones can be made. Returns the missing ones."""
    with lives.connect() as client:
        now = state(client)
        for key, record in now.items():
            equal(record, before.get(key), 'record of %s' % key[1])
        missing = set(before) - set(now)
        if lost is not None and len(missing) > lost:
            raise AssertionError('lost: %s' % sorted(missing))
        made = put(client, 'new')
        if made['id'] in {record['id'] for record in before.values()}:
            raise AssertionError('id %d is given out again' % made['id'])
        equal(fetch(client, 'new')[1], content_of('new'), 'content')
        client.remove('new')
    return missing


def is_whole_ledger(name, fd):
    """One that a broker has made; those of the tests are called otherwise, and are there but for one broker."""
    return (name == 'ledger' and access_mode_of(fd) == os.O_RDWR and
            os.readlink('/proc/self/fd/%d' % fd).startswith('/memfd:sealbuf-ledger'))


def revive(lives, entries, before, lost=None, kept=True):
    """A broker that finds these, with a copy of a whole ledger; it lives, and ends well. What is missing, and its log."""
    copies = [(name, memfd(bytes_of(fd)) if is_whole_ledger(name, fd) else os.dup(fd)) for name, fd in entries]
    lives.manager.fill(copies)
    close_all(copies)
    lives.start()
    missing = check_served(lives, before, lost)
    if kept:
        check_kept(lives)
    log = lives.log()
    lives.stop()
    return missing, log


@test
def everything():
    """kill -9 and restart lose nothing: names, modes, owners, groups, metadata, generations, flags, instance, counters"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            tokens = furnish(client)
            before, instance = state(client), client.greeting['instance']
            accounts = client.stats()
            last = make(client, b'unpublished')['id']
        for end in (lives.kill, lives.stop, lives.kill):
            end()
            lives.start()
            with lives.connect() as client:
                equal(client.greeting['instance'], instance, 'instance')
                equal(state(client), before, 'names')
                after = client.stats()
                for key in ('buffers', 'bytes', 'names', 'uid_buffers', 'uid_bytes', 'uid_names'):
                    equal(after[key], accounts[key], key)
                if after['requests'] <= accounts['requests'] or after['refused'] < accounts['refused']:
                    raise AssertionError('counters: %r, before %r' % (after, accounts))
                for name in ('plain', 'sealed', 'rich'):
                    equal(fetch(client, token=tokens[name])[1], content_of(name), 'content by a token')
                number = make(client, b'more')['id']
                if number <= last:
                    raise AssertionError('id %d after %d' % (number, last))
                last = number
        with lives.connect() as client:
            made = put(client, 'replaced', flags=wire.PUBLISH_REPLACE)
            equal(made['generation'], 5, 'generation')
            for record in client.list():
                client.remove(record['name'])
            equal(client.stats()['uid_buffers'], 0, 'buffers')
        eventually(lambda: lives.manager.buffers() == [], what='nothing is left in the store')
        lives.kill()
        lives.start()
        with lives.connect() as client:
            equal(state(client), {}, 'names')
        lives.stop()


@test
def token_life():
    """Uses and deadlines of tokens go on; used up, expired, and revoked ones do not come back"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            put(client, 'a')
            thrice, once = share(client, 'a', uses=3), share(client, 'a', uses=1)
            revoked, endless = share(client, 'a'), share(client, 'a')
            soon, late = share(client, 'a', expire_ms=300), share(client, 'a', expire_ms=3600000)
            client.one(wire.REVOKE, token=revoked)
            fetch(client, token=once)
            fetch(client, token=thrice)
        lives.kill()
        time.sleep(0.3)
        lives.start()
        with lives.connect() as client:
            for token in (once, revoked, soon):
                with refused('TOKEN'):
                    client.get(token=token)
            fetch(client, token=thrice)
        lives.kill()
        lives.start()
        with lives.connect() as client:
            fetch(client, token=thrice)
            with refused('TOKEN'):
                client.get(token=thrice)
            for token in (endless, late):
                equal(fetch(client, token=token)[1], content_of('a'), 'content')
            soon = share(client, 'a', expire_ms=700)
        lives.kill()
        lives.start()
        with lives.connect() as client:
            fetch(client, token=soon)
            eventually(lambda: gone(client, soon), what='the token expires')
            client.remove('a')
            with refused('TOKEN'):
                client.get(token=endless)
        lives.kill()
        lives.start()
        with lives.connect() as client, refused('TOKEN'):
            client.get(token=late)
        lives.stop()


def gone(client, token):
    try:
        fetch(client, token=token)
    except wire.Refused as error:
        equal(error.name, 'TOKEN', 'error')
        return True
    return False


@test
def shared_before_it_was_published():
    """A token that was made before its buffer had a name survives with it"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            made = make(client, content_of('early'))
            token = client.one(wire.SHARE, id=made['id'])['token']
            client.publish(made['id'], 'early')
        lives.kill()
        lives.start()
        with lives.connect() as client:
            equal(fetch(client, token=token)[1], content_of('early'), 'content')
        lives.stop()


@test
def owners():
    """Names of several users come back to each, charged to each"""
    need_root()

    def mine(client):
        put(client, 'same', mode=0o600)
        put(client, 'open', mode=0o644)
        return client.stats()

    def look(client):
        equal(fetch(client, 'same')[1], content_of('same'), 'content')
        with refused('DENIED'):
            client.get('same', owner=MINE + OTHER - client.stats()['uid'])
        return client.stats()

    def as_user(lives, uid, function):
        def run():
            with lives.connect() as client:
                return function(client)
        return in_child(run, uid, uid)

    with Lives() as lives:
        lives.start()
        stats = {uid: as_user(lives, uid, mine) for uid in (MINE, OTHER)}
        lives.kill()
        lives.start()
        for uid, before in stats.items():
            after = as_user(lives, uid, look)
            for key in ('uid_buffers', 'uid_bytes', 'uid_names'):
                equal(after[key], before[key], key)
        lives.stop()


@test
def volatile():
    """Volatile names do not survive; a name goes from one kind to the other, both ways, and back again"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            put(client, 'never', flags=wire.PUBLISH_VOLATILE)
            put(client, 'was', flags=0)
            put(client, 'was', flags=wire.PUBLISH_VOLATILE | wire.PUBLISH_REPLACE)
            put(client, 'becomes', flags=wire.PUBLISH_VOLATILE)
            put(client, 'becomes', flags=wire.PUBLISH_REPLACE)
            made = put(client, 'both', flags=wire.PUBLISH_VOLATILE)
            token = share(client, 'both')
            client.publish(made['id'], 'both/kept')
            flags = {record['name']: record['flags'] for record in client.list()}
            equal({name for name in flags if flags[name] & wire.INFO_SURVIVES}, {'becomes', 'both/kept'}, 'survive')
        lives.kill()
        lives.start()
        with lives.connect() as client:
            records = {record['name']: record for record in client.list()}
            equal(set(records), {'becomes', 'both/kept'}, 'names')
            equal(records['becomes']['generation'], 2, 'generation')
            equal(fetch(client, token=token)[1], content_of('both'), 'content')
        check_kept(lives)
        lives.stop()


@test
def taken():
    """What was taken and read is gone; what was claimed and not read is back"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client, lives.connect() as taker:
            for name in ('read', 'unread'):
                put(client, name, flags=wire.PUBLISH_TAKE)
            fetch(taker, 'read')
            eventually(lambda: 'read' not in {record['name'] for record in client.list()}, what='it is taken')
            taker.start(wire.GET, [{'name': 'unread'}])
            eventually(lambda: 'unread' not in {record['name'] for record in client.list()}, what='it is claimed')
            lives.kill()
        lives.start()
        with lives.connect() as client:
            equal([record['name'] for record in client.list()], ['unread'], 'names')
            equal(fetch(client, 'unread')[1], content_of('unread'), 'content')
        lives.stop()


@test
def taken_by_another_user():
    """What was sent to another user is gone, read or not"""
    need_root()

    def take():
        with lives.connect() as client:
            client.start(wire.GET, [{'name': 'given', 'owner': 0}])
            client.start(wire.GET, [{'token': token}])
            eventually(lambda: not names(), what='both are taken')

    def names():
        with lives.connect() as client:
            return client.list(owner=0, flags=wire.LIST_ALL_OWNERS)

    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            put(client, 'given', flags=wire.PUBLISH_TAKE, mode=0o666)
            put(client, 'by token')
            token = share(client, 'by token', flags=wire.SHARE_TAKE)
        in_child(take, MINE, MINE)
        lives.kill()
        lives.start()
        with lives.connect() as client:
            equal(client.list(), [], 'names')
        eventually(lambda: lives.manager.buffers() == [], what='nothing is left in the store')
        lives.stop()


def try_damage(damaged, tries):
    """Each of the tries is an argument of damaged(content, try), which gives the content, or None."""
    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        content = bytes_of(ledger_of(entries))
        end, done = time.monotonic() + SECONDS, 0
        for one in tries(content):
            if time.monotonic() > end and done >= LEAST_TRIES:
                break
            fd = memfd(damaged(content, one))
            try:
                yield one, content, revive(lives, with_ledger(entries, fd), before, kept=done % 8 == 0), before
            except BaseException:
                print('# at %r' % (one,))
                raise
            finally:
                os.close(fd)
            done += 1
        close_all(entries)
        print('# %d tries' % done)


def slots_of(content):
    """Where a used slot is: [(offset, length)]."""
    found = []
    for offset in range(HEAD, len(content), LEAST_SLOT):
        state_word, = struct.unpack_from('<I', content, offset)
        if state_word == 0xa55e91b7:
            found.append((offset, 32 + struct.unpack_from('<I', content, offset + 12)[0]))
    return found


@test
def cut_off():
    """A ledger that was cut off anywhere gives the names before, and never crashes"""
    def places(content):
        edges = [0, 1, 39, 40, 1063, 2048, HEAD - 1, HEAD, HEAD + 1, HEAD + 31, HEAD + 32, len(content) - 1]
        inside = [offset + rng.randrange(length) for offset, length in slots_of(content)]
        return edges + rng.sample(inside, min(len(inside), 40)) + [rng.randrange(len(content)) for _ in range(40)]

    for place, content, (missing, log), before in try_damage(lambda content, place: content[:place], places):
        if place < HEAD:
            equal(missing, set(before), 'what is missing of a ledger of %d bytes' % place)
            if 'size' not in log and 'damaged' not in log:
                raise AssertionError('nothing in the log: ' + log)
        if place >= max(offset + length for offset, length in slots_of(content)):
            equal(missing, set(), 'what is missing of a ledger of %d bytes' % place)


@test
def flipped():
    """A flipped bit costs the record that it is in, and no other one"""
    def places(content):
        head = [start + i for start, end in (IDENTITY, IDENTITY_AGAIN, LAST_ID, COUNTERS) for i in range(end - start)]
        slots = slots_of(content)
        headers = [offset + rng.randrange(32) for offset, _ in slots]
        bodies = [offset + rng.randrange(length) for offset, length in slots]
        free = [rng.randrange(HEAD, len(content)) for _ in range(20)]
        chosen = rng.sample(head, 60) + rng.sample(headers, 30) + rng.sample(bodies, 40) + free
        rng.shuffle(chosen)
        return chosen

    def flip(content, place):
        return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1:]

    for place, _, (missing, log), before in try_damage(flip, places):
        if place < HEAD:
            equal(missing, set(), 'what is missing')
        by_buffer = {}
        for key in missing:
            by_buffer.setdefault(before[key]['id'], set()).add(key)
        if len(by_buffer) > 1:
            raise AssertionError('of several buffers: %r' % missing)
        if missing and 'damaged' not in log:
            raise AssertionError('nothing in the log: ' + log)


@test
def noise():
    """A ledger of which much is noise is no danger"""
    def damage(content, seed):
        noisy, source = bytearray(content), random.Random(seed)
        for _ in range(source.choice((10, 1000, 20000))):
            noisy[source.randrange(source.choice((0, HEAD)), len(noisy))] = source.randrange(256)
        return bytes(noisy)

    def seeds(_):
        return [rng.randrange(1 << 32) for _ in range(20)]

    for _ in try_damage(damage, seeds):
        pass


def resigned(content, version):
    """The same ledger, of another version."""
    identity = content[:8] + struct.pack('<I', version) + content[12:32]
    identity += struct.pack('<II', zlib.crc32(identity), 0)
    return identity + content[40:1024] + identity + content[1064:]


@test
def newer_version():
    """A ledger of a newer version is not read: the broker starts empty and says so"""
    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        content = bytes_of(ledger_of(entries))
        equal(resigned(content, VERSION), content, 'the same version')
        fd = memfd(resigned(content, VERSION + 1))
        missing, log = revive(lives, with_ledger(entries, fd), before)
        equal(missing, set(before), 'what is missing')
        equal(log.count('newer version'), 1, 'lines about it')
        os.close(fd)
        close_all(entries)


@test
def older_version():
    """A ledger of an older version is taken back, and is one of this version from then on"""
    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        fd = memfd(resigned(bytes_of(ledger_of(entries)), 1))
        missing, log = revive(lives, with_ledger(entries, fd), before)
        equal(missing, set(), 'what is missing')
        equal('version of' in log, False, 'a line about it')
        equal(resigned(bytes_of(fd), VERSION)[:LAST_ID[0]], bytes_of(fd)[:LAST_ID[0]], 'its version')
        os.close(fd)
        close_all(entries)


def with_record(content, offset, change):
    """The record in this slot changed, and its checksum right again."""
    length, = struct.unpack_from('<I', content, offset + 12)
    header, record = bytearray(content[offset:offset + 32]), bytearray(content[offset + 32:offset + 32 + length])
    record = change(record)
    struct.pack_into('<I', header, 12, len(record))
    data = struct.pack('<I', offset // LEAST_SLOT) + bytes(header[8:]) + bytes(record)
    struct.pack_into('<I', header, 4, zlib.crc32(data))
    whole = bytes(header) + bytes(record)
    return content[:offset] + whole + content[offset + len(whole):]


@test
def records_of_newer_versions():
    """A field that is not known: if it is zero, the record is good; else it is dropped with a line"""
    def extend(tail):
        def change(record):
            length, fixed = struct.unpack_from('<II', record)
            return (struct.pack('<II', length + len(tail), fixed + len(tail)) + record[8:8 + fixed] + tail +
                    record[8 + fixed:])
        return change

    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        content = bytes_of(ledger_of(entries))
        places = [place for place, length in slots_of(content) if b'many/01' in content[place:place + length]]
        equal(len(places), 1, 'records of the name')
        for tail, lost in ((bytes(8), set()), (b'\1' * 8, {(os.getuid(), 'many/01')})):
            fd = memfd(with_record(content, places[0], extend(tail)))
            missing, log = revive(lives, with_ledger(entries, fd), before)
            equal(missing, lost, 'what is missing')
            equal('of a newer version' in log, bool(lost), 'a line about it')
            os.close(fd)
        close_all(entries)


def place_of(content, text):
    """Of the one record with this text that is in use."""
    place, = [place for place, length in slots_of(content) if text in content[place:place + length]]
    return place


def set_field(offset, layout, value):
    """Of the fixed part, which is behind the two lengths."""
    def change(record):
        struct.pack_into(layout, record, 8 + offset, value)
        return record
    return change


# Where fields of a buffer's record are: ledger_schema.h.
BUFFER_SIZE, BUFFER_SEALS, BUFFER_STORED = 8, 48, 64


@test
def forged_records():
    """A record that tells of more seals or of another size than its memfd has costs that buffer

    And one without a name is removed from the store, whatever the record says of that."""
    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        content = bytes_of(ledger_of(entries))
        number = before[os.getuid(), 'sealed']['id']
        size = before[os.getuid(), 'sealed']['size']
        place, = [place for place, _ in slots_of(content) if content[place + 10] == 1 and
                  struct.unpack_from('<QQ', content, place + 40) == (number, size)]
        seals, = struct.unpack_from('<I', content, place + 40 + BUFFER_SEALS)
        equal(seals & wire.IMMUTABLE, wire.IMMUTABLE, 'seals in the record')
        for offset, layout, value, why in ((BUFFER_SEALS, '<I', seals | 16, 'lacks seals'),
                                           (BUFFER_SIZE, '<Q', size + 1, 'smaller than'),
                                           (BUFFER_SIZE, '<Q', size - 1, 'bigger than')):
            fd = memfd(with_record(content, place, set_field(offset, layout, value)))
            missing, log = revive(lives, with_ledger(entries, fd), before)
            equal(missing, {(os.getuid(), 'sealed')}, 'what is missing')
            equal(why in log, True, 'a line %r: %s' % (why, log))
            os.close(fd)
        without = with_record(content, place, set_field(BUFFER_STORED, '<I', 0))
        offset = [at for at, length in slots_of(content) if content[at + 10] == 2 and
                  content[at:at + length].rstrip(b'\0').endswith(b'sealed')]
        equal(len(offset), 1, 'records of the name')
        fd = memfd(without[:offset[0]] + bytes(4) + without[offset[0] + 4:])
        missing, log = revive(lives, with_ledger(entries, fd), before)
        equal(missing, {(os.getuid(), 'sealed')}, 'what is missing')
        equal('it has no name' in log, True, 'a line about it: ' + log)
        os.close(fd)
        close_all(entries)


@test
def two_records_of_a_name():
    """Of two records of one name, of a broker that was killed between the two, the later one counts"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            ids = [put(client, 'twice')['id'], put(client, 'other')['id']]
        lives.kill()
        entries = entries_of(lives)
        content = bytes_of(ledger_of(entries))
        place = place_of(content, b'twice')
        length = 32 + struct.unpack_from('<I', content, place + 12)[0]
        free = place_of(content, b'other')
        for sequence, number in ((1 << 40, ids[1]), (0, ids[0])):
            copied = bytearray(content[:free] + content[place:place + length] + content[free + length:])
            struct.pack_into('<Q', copied, free + 16, sequence)
            fd = memfd(with_record(bytes(copied), free, set_field(0, '<Q', ids[1])))
            copies = [(name, os.dup(fd) if name == 'ledger' else os.dup(kept)) for name, kept in entries]
            lives.manager.fill(copies)
            close_all(copies)
            os.close(fd)
            lives.start()
            with lives.connect() as client:
                equal([(r['name'], r['id']) for r in client.list()], [('twice', number)], 'names')
                equal(client.stats()['uid_names'], 1, 'names that are charged')
            lives.stop()
        close_all(entries)


@test
def unknown_last_id():
    """Where no copy of the last id is whole, ids go on far beyond all that are there"""
    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        content = bytes_of(ledger_of(entries))
        fd = memfd(content[:LAST_ID[0]] + b'\x55' * (LAST_ID[1] - LAST_ID[0]) + content[LAST_ID[1]:])
        copies = [(name, os.dup(fd) if name == 'ledger' else os.dup(kept)) for name, kept in entries]
        lives.manager.fill(copies)
        lives.start()
        with lives.connect() as client:
            equal(make(client, b'new')['id'] > 1 << 40, True, 'the next id is far')
            equal(state(client), before, 'names')
        equal('the last id in the ledger is damaged' in lives.log(), True, 'a line about it')
        lives.stop()
        os.close(fd)
        close_all(copies)
        close_all(entries)


@test
def no_ledger():
    """Without its ledger, or with garbage for it, everything is dropped, and the ids do not start again"""
    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        directory, log_file = os.open('/', os.O_RDONLY), tempfile.TemporaryFile()
        log_file.write(bytes(100000))
        log_file.flush()
        pipe = os.pipe()
        whole = bytes_of(ledger_of(entries))
        read_only = os.open('/proc/self/fd/%d' % ledger_of(entries), os.O_RDONLY)
        fds = [memfd(b''), memfd(bytes(100000)), memfd(os.urandom(100000)), memfd(b'x' * 4096), directory,
               os.dup(log_file.fileno()), *pipe, read_only, memfd(whole, F_SEAL_SHRINK | F_SEAL_GROW)]
        for ledgers in ([], *([fd] for fd in fds)):
            missing, _ = revive(lives, with_ledger(entries, *ledgers), before)
            equal(missing, set(before), 'what is missing')
        close_all(entries)
        for fd in fds:
            os.close(fd)
        log_file.close()


@test
def two_ledgers():
    """Of two ledgers the newer one counts, in whatever order they come"""
    with furnished() as (lives, before, _):
        with Lives() as others:
            others.start()
            with others.connect() as client:
                put(client, 'of another')
            others.kill()
            strange = entries_of(others)
        entries = entries_of(lives)
        ours, theirs = ledger_of(entries), ledger_of(strange)
        missing, _ = revive(lives, with_ledger(entries, ours, ours), before)
        equal(missing, set(), 'what is missing of one that came twice')
        for ledgers in ((ours, theirs), (theirs, ours)):
            copies = [memfd(bytes_of(fd)) for fd in ledgers]
            missing, log = revive(lives, with_ledger(entries, *copies), before)
            equal(missing, set(before), 'what is missing where the newer one is another one')
            equal('there are two of them' in log, True, 'a line about it')
            for fd in copies:
                os.close(fd)
        close_all(entries)
        close_all(strange)


def copy_of(fd, seals=None, size=None):
    """A memfd with the same content, and the same seals."""
    other = os.memfd_create('copy', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(other, os.fstat(fd).st_size if size is None else size)
    os.pwrite(other, os.pread(fd, os.fstat(other).st_size, 0), 0)
    fcntl.fcntl(other, fcntl.F_ADD_SEALS, seals_of(fd) & ~F_SEAL_SEAL if seals is None else seals)
    return other


@test
def wrong_descriptors():
    """Descriptors that are missing, swapped, or of something else are dropped; the others are served"""
    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        by_id = {record['id']: set() for record in before.values()}
        for key, record in before.items():
            by_id[record['id']].add(key)
        chosen = [entry for entry in entries if entry[0].startswith('buffer-') and
                  before.get((os.getuid(), 'many/%02d' % 1)) and int(entry[0][7:], 16) in by_id]
        (name, fd), (other_name, other_fd) = chosen[2], chosen[5]
        number, other_number = int(name[7:], 16), int(other_name[7:], 16)
        tmpfs = open_tmpfs(os.pread(fd, 4096, 0))
        pipe = os.pipe()
        pair = os.pipe()
        replacements = [copy_of(fd), copy_of(fd, size=8192), copy_of(fd, seals=0), tmpfs, *pipe, *pair,
                        os.open('/', os.O_RDONLY), os.open('/dev/null', os.O_RDWR),
                        os.open('/proc/self/fd/%d' % fd, os.O_RDONLY), os.open('/proc/self/fd/%d' % fd, os.O_PATH)]
        for wrong in replacements:
            with_wrong = [entry for entry in entries if entry[0] != name] + [(name, wrong)]
            missing, log = revive(lives, with_wrong, before)
            equal(missing, by_id[number], 'what is missing with a wrong descriptor')
            equal(name in log, True, 'a line about it: ' + log)
        missing, _ = revive(lives, [entry for entry in entries if entry[0] != name], before)
        equal(missing, by_id[number], 'what is missing without its descriptor')
        rest = [entry for entry in entries if entry[0] not in (name, other_name)]
        missing, _ = revive(lives, rest + [(name, other_fd), (other_name, fd)], before)
        equal(missing, by_id[number] | by_id[other_number], 'what is missing where two are swapped')
        for order in ([(name, replacements[0])] + entries, entries + [(name, replacements[0])]):
            missing, _ = revive(lives, order, before, kept=False)
            equal(missing, set(), 'what is missing where a false one is there, too')
        for wrong in replacements:
            os.close(wrong)
        close_all(entries)


def open_tmpfs(content):
    fd, path = tempfile.mkstemp(dir='/dev/shm')
    os.unlink(path)
    os.write(fd, content)
    return fd


@test
def strangers():
    """What a broker does not keep is closed and removed: unknown names, no names, pipes, more than a log can bear"""
    with furnished() as (lives, before, _):
        entries = entries_of(lives)
        ends = os.pipe()
        names = ['stored', 'unknown', 'buffer-', 'buffer-0000000000000000', 'buffer-00000000000000FF', 'buffer-1',
                 'Ledger', 'x' * 200, 'buffer-fffffffffffffff0']
        added = [(name, memfd(name.encode())) for name in names] + [('buffer-0', ends[0]), ('stored', ends[1])]
        missing, log = revive(lives, entries + added, before)
        equal(missing, set(), 'what is missing')
        for name in names:
            equal("'%s'" % name in log, True, 'a line about %s' % name)
        many = [('stranger%d' % i, fd) for i in range(100) for _, fd in added[:1]]
        _, log = revive(lives, entries + many, before)
        equal(log.count('is dropped'), 20, 'lines')
        equal('80 more' in log, True, 'their sum')
        close_all(entries + added)


@test
def with_lower_limits():
    """What is there stays where the limits are lower by now; nothing new comes until there is room"""
    with furnished() as (lives, before, _):
        lives.configure('[limits]\nnames = 5\nbuffers = 5\nbytes = 4096\n')
        lives.start()
        with lives.connect() as client:
            equal(state(client), before, 'names')
            with refused('LIMIT'):
                client.create(1)
        lives.stop()


@test
def no_memory_for_the_ledger():
    """Where the ledger cannot grow, publishing fails, and nothing is half done; there is more once something goes"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            subprocess.run(['prlimit', '--pid', str(lives.pid), '--fsize=%d' % (HEAD + 8 * BLOCK)], check=True)
            made = []
            metadata = b'k=' + b'v' * 4000 + b'\0'
            with refused('MEMORY'):
                for i in range(200):
                    buffer = client.create(len(content_of('full')), label='full', metadata=metadata)
                    os.pwrite(buffer['fd'], content_of('full'), 0)
                    os.close(buffer['fd'])
                    client.publish(buffer['id'], 'full/%03d' % i)
                    made.append('full/%03d' % i)
            if len(made) < 8:
                raise AssertionError('only %d could be published' % len(made))
            before = state(client)
            equal(sorted(name for _, name in before), made, 'names')
            held = client.stats()['uid_buffers']
            with refused('MEMORY'):
                client.publish(buffer['id'], made[0], flags=wire.PUBLISH_REPLACE)
            equal(state(client), before, 'names')
            equal(client.stats()['uid_buffers'], held, 'buffers')
            client.remove(made.pop())
            client.publish(buffer['id'], 'full/again')
            made.append('full/again')
            before = state(client)
        lives.kill()
        lives.start()
        with lives.connect() as client:
            equal(state(client), before, 'names')
        lives.stop()


@test
def no_memory_for_a_name():
    """Where the ledger has room for a buffer and none for its name, nothing of the buffer stays in there"""
    with Lives() as lives:
        lives.start()
        with lives.connect() as client:
            subprocess.run(['prlimit', '--pid', str(lives.pid), '--fsize=%d' % (HEAD + 2 * BLOCK)], check=True)
            put(client, 'x' * 250)
            made = make(client, content_of('full'))
            with refused('MEMORY'):
                for i in range(1000):
                    number = make(client, b'y')['id'] if i % 200 == 0 else number
                    client.publish(number, '%03d' % i + 'x' * 250)
            with refused('MEMORY'):
                client.publish(made['id'], 'y' * 250)
            lives.kill()
        lives.start()
        equal('it has no name' in lives.log(), False, 'a buffer without a name was found: ' + lives.log())
        check_kept(lives)
        lives.stop()


def main():
    skip_all_without_systemd()
    wanted = [t for t in tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    failed = 0
    print('1..%d' % len(wanted), flush=True)
    for number, function in enumerate(wanted, 1):
        name, began = function.__doc__.splitlines()[0], time.monotonic()
        before = len(os.listdir('/proc/self/fd'))
        try:
            function()
            equal(len(os.listdir('/proc/self/fd')), before, 'descriptors of this process')
            print('ok %d - %s' % (number, name))
        except Skip as reason:
            print('ok %d - %s # SKIP %s' % (number, name, reason))
        except Exception:  # pylint: disable=broad-except
            for line in traceback.format_exc().splitlines():
                print('# ' + line)
            print('not ok %d - %s' % (number, name))
            failed += 1
        print('# %.1f s' % (time.monotonic() - began), flush=True)
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
