#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may do what: tables of it, and for each of their cells the kernel and the broker are asked.

The creator is alice. She publishes buffers from a process of hers; "same uid" is another process of hers, "group
member" somebody whose supplementary group is that of her process, "other" somebody else, "administrator" somebody else
who is in the broker's admin-group, "root" uid 0. The broker has a uid of its own, as the system's has. Everybody has his
descriptors from the broker, and does with them what he can by the kernel's own means.

    access_table.py --print        prints the tables as docs/security.md has them
"""
import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import re
import sys

import sealbuf_wire as wire
from configuring import Folder
from testbed import Suite, access_mode_of, equal, in_child, need_root

# What the broker answers. It is the same for created and adopted buffers, and whatever their seals.
#   get, get rw       GET, and GET with WRITABLE
#   seal              SEAL, of a seal that is not there yet
#   publish           PUBLISH of alice's buffer under another name
#   replace           PUBLISH with REPLACE of a buffer of one's own, under alice's name for hers. `apart`: it is
#                     published in a namespace of one's own, and alice's name means what it meant
#   list              LIST of alice's names. `unseen`: the name is not among them
BROKER = '''
    who            mode              get     get rw  stat    list    seal    publish  share   replace  remove
    creator        any               yes     yes     yes     yes     yes     yes      yes     yes      yes
    same uid       any               yes     yes     yes     yes     yes     yes      yes     yes      yes
    group member   0600, 0604        DENIED  DENIED  DENIED  unseen  DENIED  DENIED   DENIED  apart    DENIED
    group member   0640, 0644        yes     DENIED  yes     yes     DENIED  DENIED   DENIED  apart    DENIED
    group member   0660, 0666        yes     yes     yes     yes     DENIED  DENIED   DENIED  apart    DENIED
    other          0600, 0640, 0660  DENIED  DENIED  DENIED  unseen  DENIED  DENIED   DENIED  apart    DENIED
    other          0604, 0644        yes     DENIED  yes     yes     DENIED  DENIED   DENIED  apart    DENIED
    other          0666              yes     yes     yes     yes     DENIED  DENIED   DENIED  apart    DENIED
    administrator  0600, 0640, 0660  DENIED  DENIED  yes     yes     DENIED  DENIED   DENIED  apart    yes
    administrator  0604, 0644        yes     DENIED  yes     yes     DENIED  DENIED   DENIED  apart    yes
    administrator  0666              yes     yes     yes     yes     DENIED  DENIED   DENIED  apart    yes
    root           any               yes     yes     yes     yes     yes     yes      yes     apart    yes
'''

# What the kernel answers to who has a descriptor, of either kind, whatever the seals: it asks whose inode it is.
#   reopen            open(2) of /proc/self/fd/N for reading and writing
#   chmod             fchmod(2) to 0666, after which a reopen is possible
INODE = '''
    buffer                                who                                 reopen  chmod
    created                               creator, same uid                   EACCES  EPERM
    created                               group member, other, administrator  EACCES  EPERM
    created                               root                                yes     yes
    adopted, with mode 0444               creator, same uid                   EACCES  yes
    adopted, with mode 0444               group member, other, administrator  EACCES  EPERM
    adopted, with mode 0444               root                                yes     yes
    adopted, as memfd_create(2) makes it  creator, same uid                   yes     yes
    adopted, as memfd_create(2) makes it  group member, other, administrator  yes     EPERM
    adopted, as memfd_create(2) makes it  root                                yes     yes
'''

# What the kernel answers to a descriptor, whoever has it and whatever the buffer: root has no exception here.
#   add a seal        fcntl(2) F_ADD_SEALS
#   write, map        pwrite(2); mmap(2) with PROT_WRITE and MAP_SHARED
#   shrink, grow      ftruncate(2)
#   punch             fallocate(2) with FALLOC_FL_PUNCH_HOLE
DESCRIPTOR = '''
    descriptor  seals                add a seal  write  map     shrink  grow    punch
    read-only   none                 EPERM       EBADF  EACCES  EINVAL  EINVAL  EBADF
    read-only   shrink, grow         EPERM       EBADF  EACCES  EINVAL  EINVAL  EBADF
    read-only   shrink, grow, write  EPERM       EBADF  EACCES  EINVAL  EINVAL  EBADF
    read-write  none                 yes         yes    yes     yes     yes     yes
    read-write  shrink, grow         yes         yes    yes     EPERM   EPERM   yes
    read-write  shrink, grow, write  yes         EPERM  EPERM   EPERM   EPERM   EPERM
'''

ALICE = 100000 + os.getpid() % 30000 * 10
MEMBER, OTHER, STAFF, BROKER_UID = ALICE + 1, ALICE + 2, ALICE + 3, ALICE + 4
ADMINISTRATOR, ADMINISTRATORS = ALICE + 5, ALICE + 6
WHO = {'creator': None, 'same uid': (ALICE, STAFF, ()), 'group member': (MEMBER, MEMBER, (STAFF,)),
       'other': (OTHER, OTHER, ()), 'administrator': (ADMINISTRATOR, ADMINISTRATOR, (ADMINISTRATORS,)), 'root': (0, 0, ())}
MODES = ('0600', '0604', '0640', '0644', '0660', '0666')
KINDS = ('created', 'adopted, with mode 0444', 'adopted, as memfd_create(2) makes it')
SEALS = {'none': 0, 'shrink, grow': wire.SHRINK | wire.GROW, 'shrink, grow, write': wire.IMMUTABLE}
CONTENT = bytes(range(256)) * 32
PAGE = os.sysconf('SC_PAGE_SIZE')
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2

suite = Suite('--socket-mode', '0666', uid=BROKER_UID if os.geteuid() == 0 else None)
libc = ctypes.CDLL(None, use_errno=True)
libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def parse(text):
    """The columns' names, and the rows as dicts. Columns are two or more spaces apart."""
    head, *rows = [re.split(r' {2,}', line.strip()) for line in text.strip().splitlines()]
    return head, [dict(zip(head, row, strict=True)) for row in rows]


def choices(cell, of):
    """A cell that names several: 'any', or a list of them."""
    found = [each for each in of if cell == 'any' or each == cell or each in cell.split(', ')]
    equal(bool(found), True, 'whether %r is one of %r' % (cell, of))
    return found


def name_of(cell):
    return '/'.join(re.sub('[^a-z0-9]', '', part) for part in cell)


# ---- What alice does -------------------------------------------------------------------------------------------------

def make_buffer(client, kind, seals):
    """Its id; of the seals at birth only those that are wanted, and EXEC."""
    if kind == 'created':
        buffer = client.create(len(CONTENT), flags=wire.CREATE_GROWABLE | wire.CREATE_SHRINKABLE)
        fd = buffer['fd']
    else:
        fd = os.memfd_create('alice', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        if kind == 'adopted, with mode 0444':
            os.fchmod(fd, 0o444)
    equal(os.pwrite(fd, CONTENT, 0), len(CONTENT), 'bytes written')
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS[seals])
    if kind != 'created':
        buffer = client.adopt(fd)
    os.close(fd)
    return buffer['id']


def publish(client, cells):
    """A buffer for each cell (operation, mode, kind, seals); their ids."""
    ids = {}
    for cell in cells:
        _, mode, kind, seals = cell
        ids[cell] = make_buffer(client, kind, seals)
        client.publish(ids[cell], name_of(cell), mode=int(mode, 8))
    return ids


# ---- What the others do: each function answers with 'yes', or with the error -----------------------------------------

def answer(function, *arguments):
    try:
        return function(*arguments) or 'yes'
    except wire.Refused as error:
        return error.name
    except OSError as error:
        return errno.errorcode[error.errno]


def get(client, name, flags, access):
    fd = client.get(name, owner=ALICE, flags=flags)['fd']
    equal(access_mode_of(fd), access, 'access mode')
    os.close(fd)


def listed(client, name):
    return 'yes' if name in [record['name'] for record in client.list(owner=ALICE, prefix=name)] else 'unseen'


def replace(client, name):
    """What became of it, the parent finds out."""
    mine = client.create(0)
    os.close(mine['fd'])
    client.publish(mine['id'], name, flags=wire.PUBLISH_REPLACE)
    return mine['id']


def discard(*_):
    """For what an operation answers with where only that it answers counts."""


ASK_BROKER = {
    'get': lambda client, name, _: get(client, name, 0, os.O_RDONLY),
    'get rw': lambda client, name, _: get(client, name, wire.GET_WRITABLE, os.O_RDWR),
    'stat': lambda client, name, _: discard(client.stat(name, owner=ALICE)),
    'list': lambda client, name, _: listed(client, name),
    'seal': lambda client, _, number: discard(client.seal(number, wire.SEAL_SEAL)),
    'publish': lambda client, name, number: discard(client.publish(number, name + '/too')),
    'share': lambda client, name, _: discard(client.one(wire.SHARE, name=name, owner=ALICE)),
    'replace': lambda client, name, _: replace(client, name),
    'remove': lambda client, name, _: discard(client.remove(name, owner=ALICE)),
}


def write_by_mapping(fd):
    with mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as mapping:
        mapping[0] = 255


def punch(fd):
    if libc.fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, PAGE) < 0:
        raise OSError(ctypes.get_errno(), 'fallocate')


ASK_KERNEL = {
    'reopen': lambda fd: os.close(os.open('/proc/self/fd/%d' % fd, os.O_RDWR)),
    'chmod': lambda fd: os.fchmod(fd, 0o666),
    'add a seal': lambda fd: discard(fcntl.fcntl(fd, fcntl.F_ADD_SEALS, wire.SEAL_SEAL)),
    'write': lambda fd: discard(os.pwrite(fd, b'\xff', 0)),
    'map': write_by_mapping,
    'shrink': lambda fd: os.ftruncate(fd, 1),
    'grow': lambda fd: os.ftruncate(fd, len(CONTENT) + 1),
    'punch': punch,
}


def ask_kernel(client, name, flags, operation):
    """The parent has asked the broker before: here it must give the descriptor."""
    fd = client.get(name, owner=ALICE, flags=flags)['fd']
    try:
        equal(access_mode_of(fd), os.O_RDWR if flags else os.O_RDONLY, 'access mode')
        return answer(ASK_KERNEL[operation], fd)
    finally:
        os.close(fd)


# ---- Walking through the tables --------------------------------------------------------------------------------------

def perform(broker, who, cells, act):
    """Alice makes the buffers; who acts on each, by act(client, cell, name, id). {cell: what it returned}."""
    def acts(client, ids):
        return {cell: act(client, cell, name_of(cell), ids[cell]) for cell in cells}

    def creator():
        with broker.connect() as client:
            ids = publish(client, cells)
            return ids, acts(client, ids) if who == 'creator' else {}

    def somebody():
        with broker.connect() as client:
            return acts(client, ids)

    ids, answers = in_child(creator, ALICE, STAFF)
    return ids, answers or in_child(somebody, *WHO[who])


def check_immutable(root, cells, ids):
    """Whatever was tried, the content is what it was. Root looks, who may."""
    for cell in cells:
        if cell[3] != 'shrink, grow, write':
            continue
        try:
            got = root.get(id=ids[cell])
        except wire.Refused as error:  # it was removed or replaced
            equal(error.name, 'NOT_FOUND', 'error for root')
            continue
        equal(os.pread(got['fd'], len(CONTENT) + 1, 0), CONTENT, 'content of %r' % (cell,))
        os.close(got['fd'])


def clean_up(root):
    for record in root.list(flags=wire.LIST_ALL_OWNERS):
        root.remove(record['name'], owner=record['owner'])


def compare(cells, answers, expected):
    wrong = ['%s: %s, expected %s' % (', '.join(cell), answers[cell], expected(cell[0])) for cell in cells
             if answers[cell] != expected(cell[0])]
    if wrong:
        raise AssertionError('%d of %d cells:\n%s' % (len(wrong), len(cells), '\n'.join(wrong)))


def check_broker_row(broker, row):
    """Plasma: every uid wrote to, and deleted, the sealed objects of all others."""
    who = row['who']
    with broker.connect() as root:
        for mode in choices(row['mode'], MODES):
            cells = list(itertools.product(ASK_BROKER, [mode], KINDS, SEALS))
            ids, answers = perform(broker, who, cells, lambda client, cell, name, number:
                                   answer(ASK_BROKER[cell[0]], client, name, number))
            for cell in cells:
                if cell[0] == 'replace' and isinstance(answers[cell], int):
                    bound = root.stat(name_of(cell), owner=ALICE)['id']
                    answers[cell] = {answers[cell]: 'yes', ids[cell]: 'apart'}[bound]
            check_immutable(root, cells, ids)
            clean_up(root)
            compare(cells, answers, row.get)


def rows_for(who):
    return [row for row in parse(BROKER)[1] if row['who'] == who]


def modes_that_give(who, operation):
    return [mode for row in rows_for(who) if row[operation] == 'yes' for mode in choices(row['mode'], MODES)]


def check_kernel(broker, who, kinds, all_seals, flags, operations, row):
    """With the narrowest and the widest mode that give this descriptor to who."""
    modes = modes_that_give(who, 'get rw' if flags else 'get')
    cells = list(itertools.product(operations, dict.fromkeys((modes[0], modes[-1])), kinds, all_seals))
    ids, answers = perform(broker, who, cells, lambda client, cell, name, _:
                           ask_kernel(client, name, flags, cell[0]))
    with broker.connect() as root:
        check_immutable(root, cells, ids)
        clean_up(root)
    compare(cells, answers, row.get)


def check_inode_row(broker, row):
    for who in choices(row['who'], WHO):
        for flags in (0, wire.GET_WRITABLE):
            check_kernel(broker, who, [row['buffer']], SEALS, flags, ('reopen', 'chmod'), row)


def check_descriptor_row(broker, row):
    """Plasma: "sealed" was a flag, which the kernel did not know of."""
    flags = {'read-only': 0, 'read-write': wire.GET_WRITABLE}[row['descriptor']]
    for who in WHO:
        check_kernel(broker, who, KINDS, [row['seals']], flags, parse(DESCRIPTOR)[0][2:], row)


# ---- The tests: a row each -------------------------------------------------------------------------------------------

def add_row(table, columns, row, check):
    def test(broker, _):
        need_root()
        check(broker, row)

    test.__name__ = '%s_%s' % (table, '_'.join(row[column].replace(' ', '_') for column in columns))
    test.__doc__ = '%s table, %s' % (table, '; '.join('%s: %s' % (column, row[column]) for column in columns))
    suite.test(test)


for each in parse(BROKER)[1]:
    add_row('broker', ('who', 'mode'), each, check_broker_row)
for each in parse(INODE)[1]:
    add_row('inode', ('buffer', 'who'), each, check_inode_row)
for each in parse(DESCRIPTOR)[1]:
    add_row('descriptor', ('descriptor', 'seals'), each, check_descriptor_row)


def covered(text, columns):
    """Each row's combinations of what its first two columns name, one behind the other."""
    (first, of_first), (second, of_second) = columns
    return sorted(pair for row in parse(text)[1]
                  for pair in itertools.product(choices(row[first], of_first), choices(row[second], of_second)))


@suite.test
def nothing_left_out(*_):
    """the tables have each combination once"""
    equal(covered(BROKER, (('who', WHO), ('mode', MODES))), sorted(itertools.product(WHO, MODES)), 'the broker')
    equal(covered(INODE, (('buffer', KINDS), ('who', WHO))), sorted(itertools.product(KINDS, WHO)), 'inodes')
    equal(covered(DESCRIPTOR, (('descriptor', ('read-only', 'read-write')), ('seals', SEALS))),
          sorted(itertools.product(('read-only', 'read-write'), SEALS)), 'descriptors')
    equal(set(parse(BROKER)[0][2:]), set(ASK_BROKER), 'operations of the broker')
    equal(set(parse(INODE)[0][2:]) | set(parse(DESCRIPTOR)[0][2:]), set(ASK_KERNEL), 'operations of the kernel')


def markdown(text):
    head, rows = parse(text)
    lines = [head, ['---'] * len(head), *([row[column] for column in head] for row in rows)]
    return ''.join('|%s|\n' % '|'.join(cell if cell == '---' else ' %s ' % cell for cell in line) for line in lines)


PAGE_TABLES = {'access-broker': BROKER, 'access-inode': INODE, 'access-descriptor': DESCRIPTOR}


@suite.test
def documented(*_):
    """docs/security.md has the tables as they are here"""
    path = os.path.join(os.environ.get('top_srcdir', '.'), 'docs', 'security.md')
    with open(path, encoding='utf-8') as page:
        text = page.read()
    for name, table in PAGE_TABLES.items():
        found = re.search(r'<!-- table: %s -->\n(.*?)<!-- end -->' % name, text, re.S)
        equal(found and found.group(1), markdown(table), 'table %s' % name)


if __name__ == '__main__':
    if sys.argv[1:] == ['--print']:
        for each, content in PAGE_TABLES.items():
            print('<!-- table: %s -->\n%s<!-- end -->\n' % (each, markdown(content)))
        sys.exit()
    with Folder() as folder:
        suite.arguments += '--config', folder.write('conf', '[broker]\nadmin-group = %d\n' % ADMINISTRATORS)
        suite.main()
