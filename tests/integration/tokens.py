# SPDX-License-Identifier: MIT
"""Tokens: sharing a buffer with whoever holds one, and taking it back."""
import os
import time

import sealbuf_wire as wire
from configuring import Folder
from testbed import Suite, eventually, equal, fetch, in_child, make, need_root, refused

# Of nobody else's, also where several runs of the tests share a machine.
MINE = 100000 + os.getpid() % 30000 * 10
OTHER, ADMINISTRATOR = MINE + 1, MINE + 2

suite = Suite()


def share(client, name='', **values):
    return client.one(wire.SHARE, name=name, **values)


def redeem(client, token, **values):
    """The content that the token gives."""
    return fetch(client, token=token, **values)[1]


def as_user(broker, uid, function):
    def run():
        with broker.connect() as client:
            return function(client)
    return in_child(run, uid, uid)


def account(client):
    with client.call(wire.ACCOUNTS, [{}]) as message:
        return message.records[0]


@suite.test
def gives_access(broker, _):
    """A token gets its buffer for another user, whom the mode keeps out, and nothing else does"""
    need_root()

    def publish(client):
        make(client, b'shared', 'tokens/a', seals=wire.IMMUTABLE)
        return share(client, 'tokens/a')['token']

    def stranger(client):
        with refused('DENIED'):
            client.get('tokens/a', owner=MINE)
        equal(redeem(client, token, seals=wire.IMMUTABLE), b'shared', 'content')
        with refused('DENIED'):
            client.get(token=token, flags=wire.GET_WRITABLE)
        with refused('DENIED'):
            share(client, 'tokens/a', owner=MINE)
        with refused('DENIED'):
            client.one(wire.REVOKE, token=token)
        for i in range(len(token)):
            wrong = bytearray(token)
            wrong[i] ^= 1
            with refused('TOKEN'):
                client.get(token=bytes(wrong))

    token = as_user(broker, MINE, publish)
    equal(len(token), 24, 'length of a token')
    as_user(broker, OTHER, stranger)
    as_user(broker, MINE, lambda client: client.remove('tokens/a'))
    with broker.connect() as client, refused('TOKEN'):
        client.get(token=token)


@suite.test
def secret(broker, _):
    """Tokens are different every time, and none of them is in the log"""
    with broker.connect() as client:
        for i in range(4):
            make(client, b'x', 'tokens/secret%d' % i)
        tokens = [share(client, 'tokens/secret%d' % (i % 4))['token'] for i in range(200)]
        equal(len({t[:8] for t in tokens}), 200, 'different handles')
        equal(len({t[8:] for t in tokens}), 200, 'different secrets')
        # 200 * 192 random bits: half of them are set, give or take ten standard deviations.
        ones = sum(bin(byte).count('1') for token in tokens for byte in token)
        if abs(ones - 19200) > 1000:
            raise AssertionError('%d of 38400 bits are set' % ones)
        with refused('TOKEN'):
            client.get(token=bytes(24))
        with refused('TOKEN'):
            client.get(token=tokens[0][:23])
        for i in range(4):
            client.remove('tokens/secret%d' % i)
    log = broker.log()
    for token in tokens:
        if token.hex() in log or token.hex()[16:] in log:
            raise AssertionError('a token is in the log')


@suite.test
def uses(broker, _):
    """A token for N uses is good for N, whoever uses it"""
    with broker.connect() as client, broker.connect() as other:
        make(client, b'thrice', 'tokens/uses')
        reply = share(client, 'tokens/uses', uses=3)
        equal(reply['uses'], 3, 'uses')
        for user in (client, other, client):
            equal(redeem(user, reply['token']), b'thrice', 'content')
        with refused('TOKEN'):
            client.get(token=reply['token'])
        # One that could not be used is not used up.
        reply = share(client, 'tokens/uses', uses=1)
        with refused('NOT_SEALED'):
            client.get(token=reply['token'], seals=wire.WRITE)
        with refused('DENIED'):
            client.get(token=reply['token'], flags=wire.GET_WRITABLE)
        equal(redeem(client, reply['token']), b'thrice', 'content')
        client.remove('tokens/uses')


@suite.test
def not_used_by_what_is_too_big(broker, _):
    """A GET whose record no longer fits into the reply uses up no token, and takes nothing"""
    with broker.connect() as client:
        buffer = client.create(5, metadata=b'k=' + b'v' * 4093 + b'\0')
        os.close(buffer['fd'])
        client.publish(buffer['id'], 'tokens/big')
        token, taking = (share(client, 'tokens/big', **values)['token']
                         for values in ({'uses': 1}, {'flags': wire.SHARE_TAKE}))
        for each in (token, taking):
            records = [{'name': 'tokens/big', 'flags': wire.GET_DETAILS}] * 15
            records.append({'token': each, 'flags': wire.GET_DETAILS})
            with client.call(wire.GET, records) as message:
                equal([wire.NAME_OF.get(record['status'], 'OK') for record in message.records],
                      ['OK'] * 15 + ['TOO_BIG'], 'statuses')
            equal(redeem(client, each), bytes(5), 'content')
            with refused('TOKEN'):
                client.get(token=each)
        with refused('NOT_FOUND'):
            client.get('tokens/big')


@suite.test
def of_one_buffer(broker, _):
    """A buffer has 64 tokens and 256 names at most, so that none of its ends takes long"""
    with broker.connect() as client:
        buffer = make(client, b'x', 'tokens/0')
        for _ in range(64):
            share(client, 'tokens/0')
        with refused('LIMIT'):
            share(client, 'tokens/0')
        client.one(wire.REVOKE, name='tokens/0')
        share(client, 'tokens/0')
        for i in range(1, 256):
            client.publish(buffer['id'], 'tokens/%d' % i)
        with refused('LIMIT'):
            client.publish(buffer['id'], 'tokens/256')
        client.publish(buffer['id'], 'tokens/0', flags=wire.PUBLISH_REPLACE)
        client.remove(id=buffer['id'])


@suite.test
def race(broker, _):
    """Of 100 clients that redeem a token for one use at once, one gets the buffer"""
    with broker.connect() as client:
        make(client, b'one', 'tokens/race')
        for round_ in range(5):
            token = share(client, 'tokens/race', uses=1)['token']
            racers = [broker.connect() for _ in range(100)]
            serials = [racer.start(wire.GET, [{'token': token}]) for racer in racers]
            got = 0
            for racer, serial in zip(racers, serials):
                with racer.finish(serial) as message:
                    got += message.records[0]['status'] == 0
                racer.close()
            equal(got, 1, 'winners of round %d' % round_)
        client.remove('tokens/race')


@suite.test
def expiry(broker, _):
    """A token expires in its time, and is not counted any more"""
    with broker.connect() as client:
        make(client, b'x', 'tokens/expiry')
        before = account(client)['tokens']
        token = share(client, 'tokens/expiry', expire_ms=300)['token']
        forever = share(client, 'tokens/expiry', expire_ms=2 ** 62)['token']
        equal(account(client)['tokens'], before + 2, 'tokens')
        began = time.monotonic()
        equal(redeem(client, token), b'x', 'content')
        eventually(lambda: account(client)['tokens'] == before + 1, what='the token has expired')
        if not 0.25 < time.monotonic() - began < 5:
            raise AssertionError('it expired after %.2f s' % (time.monotonic() - began))
        with refused('TOKEN'):
            client.get(token=token)
        equal(redeem(client, forever), b'x', 'content')
        client.remove('tokens/expiry')


@suite.test
def revoking(broker, _):
    """Tokens are revoked one by one, or all of a buffer"""
    with broker.connect() as client:
        buffer = make(client, b'x', 'tokens/revoking')
        tokens = [share(client, 'tokens/revoking')['token'] for _ in range(4)]
        equal(client.one(wire.REVOKE, token=tokens[0])['id'], buffer['id'], 'id')
        with refused('TOKEN'):
            client.get(token=tokens[0])
        with refused('TOKEN'):
            client.one(wire.REVOKE, token=tokens[0])
        equal(redeem(client, tokens[1]), b'x', 'content')
        client.one(wire.REVOKE, name='tokens/revoking')
        for token in tokens[1:]:
            with refused('TOKEN'):
                client.get(token=token)
        for values in ({}, {'token': tokens[0], 'name': 'tokens/revoking'}, {'id': 1, 'name': 'a'}):
            with refused('TARGET'):
                client.one(wire.REVOKE, **values)
        with refused('TARGET'):
            client.get('tokens/revoking', token=tokens[0])
        client.remove('tokens/revoking')


@suite.test
def revoking_for_others(broker, _):
    """A token that somebody else has made is revoked by the owner of the buffer and by administrators"""
    need_root()
    as_user(broker, MINE, lambda client: make(client, b'x', 'tokens/others')['id'])
    with broker.connect() as root:
        tokens = [share(root, 'tokens/others', owner=MINE)['token'] for _ in range(4)]

        def good():
            found = []
            for token in tokens:
                try:
                    found.append(redeem(root, token) == b'x')
                except wire.Refused as error:
                    equal(error.name, 'TOKEN', 'error')
                    found.append(False)
            return found

        def refused_to(client):
            for values in ({'token': tokens[0]}, {'name': 'tokens/others', 'owner': MINE}):
                with refused('DENIED'):
                    client.one(wire.REVOKE, **values)

        def revoke(**values):
            return lambda client: client.one(wire.REVOKE, **values)['status']

        as_user(broker, OTHER, refused_to)
        equal(good(), [True] * 4, 'after a stranger')
        equal(as_user(broker, MINE, revoke(token=tokens[0])), 0, 'status of the owner')
        equal(good(), [False, True, True, True], 'after the owner')
        equal(as_user(broker, ADMINISTRATOR, revoke(token=tokens[1])), 0, 'status of an administrator')
        equal(good(), [False, False, True, True], 'after an administrator')
        equal(as_user(broker, ADMINISTRATOR, revoke(name='tokens/others', owner=MINE)), 0, 'status of all of them')
        equal(good(), [False] * 4, 'after an administrator has revoked all')
        root.remove('tokens/others', owner=MINE)


@suite.test
def who_may_revoke(broker, _):
    """The buffer's owner, and root, revoke what another one has made; nobody else does"""
    need_root()

    def publish(client):
        make(client, b'x', 'tokens/revoke', mode=0o666)
        return share(client, 'tokens/revoke')['token']

    def stranger(client):
        for token in tokens:
            with refused('DENIED'):
                client.one(wire.REVOKE, token=token)
        with refused('DENIED'):
            client.one(wire.REVOKE, name='tokens/revoke', owner=MINE)

    with broker.connect() as root:
        of_owner = as_user(broker, MINE, publish)
        of_root = share(root, 'tokens/revoke', owner=MINE)['token']
        tokens = (of_owner, of_root)
        as_user(broker, OTHER, stranger)
        for token in tokens:
            equal(redeem(root, token), b'x', 'content')
        as_user(broker, MINE, lambda client: client.one(wire.REVOKE, token=of_root))
        root.one(wire.REVOKE, token=of_owner)
        for token in tokens:
            with refused('TOKEN'):
                root.get(token=token)
        root.remove('tokens/revoke', owner=MINE)


@suite.test
def gone_with_the_buffer(broker, bystander):
    """A token ends with its buffer: removed, replaced, or never published"""
    with broker.connect() as client, broker.connect() as other:
        make(client, b'old', 'tokens/gone')
        token = share(client, 'tokens/gone')['token']
        make(client, b'new', 'tokens/gone', flags=wire.PUBLISH_REPLACE)
        with refused('TOKEN'):
            client.get(token=token)
        client.remove('tokens/gone')
        buffer = make(other, b'unpublished')
        token = share(other, id=buffer['id'])['token']
        equal(redeem(client, token), b'unpublished', 'content')
        other.close()
        eventually(lambda: bystander.accounts()['buffers'] == 0, what='the buffer is gone')
        with refused('TOKEN'):
            client.get(token=token)


@suite.test
def writable(broker, _):
    """A writable token gives the read-write descriptor, and the plain one if that is asked for"""
    with broker.connect() as client:
        make(client, b'before', 'tokens/writable')
        token = share(client, 'tokens/writable', flags=wire.SHARE_WRITABLE)['token']
        got = client.get(token=token, flags=wire.GET_WRITABLE)
        os.pwrite(got['fd'], b'after!', 0)
        os.close(got['fd'])
        equal(redeem(client, token), b'after!', 'content')
        for flags in (4, 0x80000000):
            with refused('FLAGS'):
                share(client, 'tokens/writable', flags=flags)
        client.remove('tokens/writable')


with Folder() as folder:
    suite.arguments += '--config', folder.write('conf', '[broker]\nadmin-group = %d\n' % ADMINISTRATOR)
    suite.main()
