# SPDX-License-Identifier: MIT
"""What a storm of requests may leave behind when its broker dies in the middle.

Each request is booked before it is sent, and booked again when it has been answered. So for each name there is a list of
what it may be bound to: what the last answered request made of it, and what each later one, which has not been answered,
would. The broker carries out the requests of a connection in their order, and each name of a client is its own: so these
are all that there can be. Names that several clients replace are in a Contest instead.
"""
import zlib
from typing import NamedTuple


class Copy(NamedTuple):
    """A binding of a name: everything that must be as it was."""
    id: int
    generation: int
    size: int
    crc: int
    seals: int
    mode: int
    label: str
    metadata: bytes
    fleeting: bool = False  # volatile: must not be there after the broker's death

    def __str__(self):
        return 'id %d, generation %d, %d bytes (crc %08x), seals %#x, mode %o, label %r, %d bytes of metadata' % (
            self.id, self.generation, self.size, self.crc, self.seals, self.mode, self.label, len(self.metadata))


class Name:
    """What a name may be bound to: possible[0] by what was answered, the rest by what was asked for since, in order."""

    def __init__(self):
        self.possible = [None]

    def latest(self):
        return self.possible[-1]

    def ask(self, copy):
        """A request was sent that makes it this, or None. Returns the generation."""
        if copy is not None:
            before = self.latest()
            copy = copy._replace(generation=before.generation + 1 if before else 1)
        self.possible.append(copy)

    def answered(self):
        """The oldest request that had not been answered was carried out. Returns what it was to make of the name."""
        del self.possible[0]
        return self.possible[0]

    def refused(self):
        """It was not, and none of the later ones will be."""
        del self.possible[1:]

    def settle(self, copy):
        self.possible = [copy]

    def after_death(self):
        """What it may be once the broker has died."""
        return [None if copy is not None and copy.fleeting else copy for copy in self.possible]


class Contest:
    """A name that several clients replace, again and again, and nobody removes."""

    def __init__(self, copy=None):
        self.settled = copy
        self.asked = []
        self.answers = []

    def merge(self, other):
        self.asked += other.asked
        self.answers += other.answers

    def judge(self, found):
        """None, or what is wrong with the Copy found, or with None."""
        known = {copy.generation: copy for copy in self.answers}
        if self.settled:
            known[self.settled.generation] = self.settled
        if len(known) < len(self.answers) + bool(self.settled):
            return 'the same generation was answered twice: %s' % sorted(c.generation for c in self.answers)
        newest = max(known, default=0)
        if found is None:
            return 'is gone; it was answered as generation %d' % newest if newest else None
        if found.generation < newest:
            return 'is generation %d, but %d was answered' % (found.generation, newest)
        if found.generation in known:
            return difference(found, [known[found.generation]])
        if found.generation > newest + len(self.asked):
            return 'is generation %d; with all that was asked for it would be %d' % (
                found.generation, newest + len(self.asked))
        return difference(found, [copy._replace(generation=found.generation) for copy in self.asked])

    def settle(self, copy):
        self.__init__(copy)


class Token:
    """A token, how often it can be used, and which buffer it is for."""

    def __init__(self, buffer, uses):
        self.buffer, self.uses = buffer, uses
        self.text = None
        self.used = self.asked = 0
        self.revoked = self.maybe_revoked = False

    def judge(self, works, alive):
        """None, or what is wrong with its working, or not, now. alive: whether its buffer is there."""
        possible = alive and not self.revoked and (not self.uses or self.used < self.uses)
        certain = possible and not self.maybe_revoked and (not self.uses or self.used + self.asked < self.uses)
        if works and not possible:
            return 'a token works that must not: %s' % self
        if certain and not works:
            return 'a token does not work: %s' % self
        return None

    def has_worked(self):
        """Once more. It has not been revoked then; but what was not answered may have been a use for all that."""
        self.used += 1
        self.maybe_revoked = False

    def __str__(self):
        return 'buffer %d, %d uses, used %d times, %d more unanswered, revoked %s, maybe %s' % (
            self.buffer, self.uses, self.used, self.asked, self.revoked, self.maybe_revoked)


def difference(found, allowed):
    """None where the Copy found (or None) is one of these; else what is wrong, in words."""
    if found in allowed:
        return None
    return 'is %s; it may be %s' % (found or 'not there', ', or '.join(str(copy or 'gone') for copy in allowed))


def checksum(content):
    return zlib.crc32(content)
