#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Names, as docs/protocol.md has them: published, replaced, listed, removed."""
import contextlib
import mmap
import os

import sealbuf_wire as wire
from sealbuf_wire import FUTURE_WRITE, IMMUTABLE, WRITE
from testbed import Suite, birth_seals, equal, eventually, fetch, make, refused, seals_of

suite = Suite()


@suite.test
def publish(broker, _):
    """PUBLISH: EXISTS, replace, generation, several names, VERIFY, seals applied"""
    with broker.connect() as client, broker.connect() as other:
        first, second = make(client, b'one'), make(client, b'two')
        equal(client.publish(first['id'], 'publish')['generation'], 1, 'generation')
        with refused('EXISTS'):
            client.publish(second['id'], 'publish')
        equal(fetch(other, 'publish')[1], b'one', 'content')
        kept = other.get('publish')
        equal(client.publish(second['id'], 'publish', flags=wire.PUBLISH_REPLACE)['generation'], 2, 'generation')
        buffer, content = fetch(other, 'publish')
        equal((content, buffer['generation']), (b'two', 2), 'after the replacement')
        equal(os.pread(kept['fd'], 9, 0), b'one', 'what a reader keeps')
        os.close(kept['fd'])
        with refused('NOT_FOUND'):
            client.stat(id=first['id'])
        client.publish(second['id'], 'publish/alias')
        equal(client.remove('publish')['generation'], 2, 'generation of the name that was removed')
        equal(fetch(other, 'publish/alias')[1], b'two', 'content by its second name')
        equal(client.publish(second['id'], 'publish')['generation'], 1, 'generation of a name that was removed before')
        client.remove('publish')
        with refused('NOT_SEALED'):
            client.publish(second['id'], 'publish/verified', seals=WRITE, flags=wire.PUBLISH_VERIFY)
        with refused('NOT_FOUND'):
            client.get('publish/verified')
        equal(client.publish(second['id'], 'publish/sealed', seals=WRITE)['seals'], birth_seals() | WRITE, 'seals')
        client.publish(second['id'], 'publish/verified', seals=IMMUTABLE, flags=wire.PUBLISH_VERIFY)
        equal(len(client.list(prefix='publish')), 3, 'names')
        client.remove(id=second['id'])
        equal(client.list(prefix='publish'), [], 'names left after removal by id')


@suite.test
def publish_nothing_unsealed(broker, _):
    """a PUBLISH whose seals are not to be had publishes nothing, and the name stays bound as it was

    PipeWire warns where sealing fails, and goes on.
    """
    with broker.connect() as client:
        make(client, b'before', 'fail-closed')
        buffer = client.create(4096)
        with mmap.mmap(buffer['fd'], 4096) as mapping:
            with refused('BUSY'):
                client.publish(buffer['id'], 'fail-closed', seals=WRITE, flags=wire.PUBLISH_REPLACE)
            mapping[:5] = b'later'
            equal(fetch(client, 'fail-closed')[1], b'before', 'content')
            equal(seals_of(buffer['fd']), birth_seals(), 'seals: all or none')
            client.publish(buffer['id'], 'fail-closed', seals=FUTURE_WRITE, flags=wire.PUBLISH_REPLACE)
            mapping[:5] = b'still'
        equal(fetch(client, 'fail-closed', seals=FUTURE_WRITE)[1][:5], b'still', 'content')
        equal(client.publish(buffer['id'], 'fail-closed', seals=WRITE, flags=wire.PUBLISH_REPLACE)['generation'], 3,
              'generation')
        os.close(buffer['fd'])
        client.remove('fail-closed')


@suite.test
def list_names(broker, _):
    """LIST: order, prefix, pages of any length, over many names"""
    names = sorted(['list/%04d' % i for i in range(700)] + ['list', 'lisu', 'list/ä/ö'], key=str.encode)
    with broker.connect() as client:
        for i in range(0, len(names), 250):
            buffer = make(client, b'')
            with client.call(wire.PUBLISH, [{'id': buffer['id'], 'name': n, 'mode': 0o600}
                                            for n in names[i:i + 250]]) as reply:
                equal({record['status'] for record in reply.records}, {0}, 'statuses')
        equal([r['name'] for r in client.list()], names, 'all')
        equal([r['name'] for r in client.list(flags=wire.LIST_ALL_OWNERS)], names, 'of all owners')
        equal([r['name'] for r in client.list(prefix='list/')], [n for n in names if n.startswith('list/')], 'prefix')
        equal([r['name'] for r in client.list(prefix='list/\u00e4'.encode()[:-1])], ['list/ä/ö'], 'half a character')
        equal(client.list(prefix='nothing'), [], 'nothing')
        equal([r['name'] for r in client.list(limit=7)], names, 'in pages of 7')
        page, records = client.list_page(limit=7)
        equal((page['more'], len(records)), (1, 7), 'first page')
        page, records = client.list_page(limit=7, after=names[-3])
        equal((page['more'], [r['name'] for r in records]), (0, names[-2:]), 'last page')
        page, records = client.list_page(limit=1000)
        equal((page['more'], len(records) > 100), (1, True), 'a full page')
        equal(records[0]['metadata'] + bytes(records[0]['descriptors']), b'', 'no metadata, no descriptors')
        for number in {record['id'] for record in client.list()}:
            client.remove(id=number)


@suite.test
def lifetime(broker, _):
    """unpublished buffers end with their connection; published ones stay; ids are never used again

    Ray #16460: what is known by a number that is used again is soon something else.
    """
    with broker.connect() as watcher:
        with broker.connect() as client:
            private, public = make(client, b'private'), make(client, b'public', 'lifetime')
            dropped = make(client, b'dropped')
            client.remove(id=dropped['id'])
            with refused('NOT_FOUND'):
                client.get(id=dropped['id'])
            equal(fetch(watcher, id=private['id'])[1], b'private', 'while its connection lives')

        def gone():
            try:
                watcher.stat(id=private['id'])
            except wire.Refused as error:
                return error.name == 'NOT_FOUND'
            return False

        eventually(gone, what='the unpublished buffer is dropped')
        equal(fetch(watcher, 'lifetime')[1], b'public', 'content')
        equal(make(watcher, b'')['id'] > public['id'], True, 'a later id is higher')
        watcher.remove('lifetime')


@suite.test
def utf8_names(broker, _):
    """names of 1 and 255 bytes, in any script, and metadata of 4096 bytes, come back as they were"""
    names = ['x', 'n' * 255, 'é' * 127, '名/前', '...', '.a', 'a..b', ' ', '-rf', '𝄞/' + 'z' * 250]
    metadata = b'k=' + b'\xff' * 4093 + b'\0'
    with broker.connect() as client:
        buffer = client.create(1, metadata=metadata, label='l' * 249)
        os.close(buffer['fd'])
        with contextlib.ExitStack() as removals:
            for name in names:
                client.publish(buffer['id'], name)
                removals.callback(client.remove, name)
                info = client.stat(name)
                equal((info['name'], info['metadata'], info['label']), (name, metadata, 'l' * 249), 'strings')
            equal([r['name'] for r in client.list()], sorted(names, key=str.encode), 'list')


if __name__ == '__main__':
    suite.main()
