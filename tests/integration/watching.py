# SPDX-License-Identifier: MIT
"""What a watcher knows: the state that the events of a watch add up to, and that it is the true one."""
import os

import sealbuf_wire as wire
from sealbuf_wire import EVICTED, EXPIRED, OVERFLOW, PRESENT, PUBLISHED, REMOVED, REPLACED, SYNC, TAKEN
from testbed import equal, make

BOUND, UNBOUND = (PRESENT, PUBLISHED, REPLACED), (REMOVED, EXPIRED, EVICTED, TAKEN)


def put(client, content, name, **publish):
    publish['flags'] = publish.get('flags', 0) | wire.PUBLISH_REPLACE
    return make(client, content, name, **publish)['generation']


def short(event):
    return event['kind'], event['name'], event['generation']


class Model:
    """What a watcher knows: {name: generation}. None while it is told that it knows nothing."""

    def __init__(self, watch):
        self.watch, self.names, self.is_known, self.overflows, self.events = watch, {}, False, 0, 0

    def take(self, event):
        kind = event['kind']
        self.events += 1
        if kind == OVERFLOW:
            self.names, self.is_known = {}, False
            self.overflows += 1
        elif kind == SYNC:
            self.is_known = True
        elif kind in BOUND:
            before = self.names.get(event['name'])
            if kind == REPLACED and self.is_known:
                equal(before is not None and event['generation'] > before, True, 'REPLACED %r after %r' % (event, before))
            elif kind == PUBLISHED and self.is_known:
                equal(before, None, 'what was there before PUBLISHED')
            elif kind == PRESENT:
                equal((before, self.is_known), (None, False), 'what was there before PRESENT')
            self.names[event['name']] = event['generation']
        elif kind in UNBOUND:
            if self.is_known:
                equal(event['name'] in self.names, True, 'whether it was there before %r' % (short(event),))
            self.names.pop(event['name'], None)

    def read_until(self, done):
        while not (self.is_known and done(self.names)):
            event = self.watch.next()
            if event['descriptors']:
                os.close(event['fd'])
            self.take(event)

    def check(self, client, prefix=''):
        """With all that was published before; `marker` is published last."""
        generation = put(client, b'', prefix + '~')
        self.read_until(lambda names: names.get(prefix + '~') == generation)
        equal(self.names, {r['name']: r['generation'] for r in client.list(prefix=prefix)}, 'model and LIST')
