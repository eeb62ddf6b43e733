#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the kernel does with buffers, as code and documents count on: where one of these fails, they are wrong."""
import array
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import select
import socket
import struct
import termios

import sealbuf_wire as wire
from sealbuf_wire import FUTURE_WRITE, GROW, IMMUTABLE, SEAL_SEAL, SHRINK, WRITE
from testbed import Skip, Suite, equal, eventually, in_child, os_error, seals_of

suite = Suite()
PAGE = os.sysconf('SC_PAGE_SIZE')
READ, WRITABLE = mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
MREMAP_MAYMOVE = 1
FAILED = ctypes.c_void_p(-1).value

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Mapping:
    """mmap(2) as it is: mmap.mmap looks at the file and duplicates its descriptor."""

    def __init__(self, fd, protection, flags=mmap.MAP_SHARED, size=PAGE):
        self.size = size
        self.at = libc.mmap(None, size, protection, flags, fd, 0)
        if self.at == FAILED:
            self.at = None
            raise OSError(ctypes.get_errno(), 'mmap')

    def protect(self, protection):
        if libc.mprotect(self.at, self.size, protection) < 0:
            raise OSError(ctypes.get_errno(), 'mprotect')

    def grow(self, size):
        at = libc.mremap(self.at, self.size, size, MREMAP_MAYMOVE)
        if at == FAILED:
            raise OSError(ctypes.get_errno(), 'mremap')
        self.at, self.size = at, size

    def read(self, length, offset=0):
        return ctypes.string_at(self.at + offset, length)

    def write(self, data, offset=0):
        ctypes.memmove(self.at + offset, data, len(data))

    def close(self):
        if self.at is not None:
            libc.munmap(self.at, self.size)
            self.at = None


class Buffer:
    """A buffer from the broker: its id, the read-write descriptor, and a reader's."""

    def __init__(self, client, size=PAGE, **values):
        created = client.create(size, **values)
        self.number, self.fd, self.stack = created['id'], created['fd'], contextlib.ExitStack()
        self.stack.callback(os.close, self.fd)
        self.reader = client.get(id=self.number)['fd']
        self.stack.callback(os.close, self.reader)

    def seal(self, seals):
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, seals)

    def map(self, fd, *arguments, **options):
        return self.stack.enter_context(contextlib.closing(Mapping(fd, *arguments, **options)))


@contextlib.contextmanager
def buffer_of(broker, **values):
    with broker.connect() as client:
        buffer = Buffer(client, **values)
        with buffer.stack:
            yield buffer


# ---- Seals -----------------------------------------------------------------------------------------------------------

@suite.test
def what_keeps_write_away(broker, _):
    """WRITE is EBUSY while a shared mapping of a read-write descriptor lives, also a read-only one; no other counts"""
    with buffer_of(broker) as buffer:
        for fd, protection, flags, keeps_away in (
                (buffer.fd, WRITABLE, mmap.MAP_SHARED, True), (buffer.fd, READ, mmap.MAP_SHARED, True),
                (buffer.fd, WRITABLE, mmap.MAP_PRIVATE, False), (buffer.reader, READ, mmap.MAP_SHARED, False),
                (buffer.reader, WRITABLE, mmap.MAP_PRIVATE, False)):
            if not keeps_away:
                buffer.map(fd, protection, flags)
                continue
            with contextlib.closing(Mapping(fd, protection, flags)), os_error(errno.EBUSY):
                buffer.seal(WRITE | FUTURE_WRITE)
            equal(seals_of(buffer.fd) & (WRITE | FUTURE_WRITE), 0, 'seals: all or none')
        buffer.seal(WRITE)


@suite.test
def what_future_write_leaves(broker, _):
    """with FUTURE_WRITE existing mappings write on, through fork, mprotect and mremap; new ones and write are EPERM"""
    with buffer_of(broker, size=2 * PAGE) as buffer:
        old = buffer.map(buffer.fd, WRITABLE)
        before = buffer.map(buffer.fd, READ)  # for reading, but of a read-write descriptor
        readers = buffer.map(buffer.reader, READ)
        buffer.seal(SHRINK | GROW | FUTURE_WRITE)
        old.write(b'one')
        old.protect(READ)
        old.protect(WRITABLE)
        old.write(b'two', 10)
        old.grow(2 * PAGE)
        old.write(b'three', 20)
        in_child(lambda: old.write(b'four', 30))
        before.protect(WRITABLE)  # so who mapped it for reading before the seal is not kept from writing
        before.write(b'five', 40)
        equal([readers.read(5, offset).rstrip(b'\0') for offset in range(0, 50, 10)],
              [b'one', b'two', b'three', b'four', b'five'], 'content')
        with os_error(errno.EACCES):
            readers.protect(WRITABLE)
        with os_error(errno.EPERM):
            Mapping(buffer.fd, WRITABLE)
        with os_error(errno.EPERM):
            os.pwrite(buffer.fd, b'x', 0)
        with os_error(errno.EACCES):
            buffer.map(buffer.fd, READ).protect(WRITABLE)
        buffer.map(buffer.fd, WRITABLE, mmap.MAP_PRIVATE).write(b'mine')
        equal(readers.read(3), b'one', 'content beside a private mapping')


@suite.test
def who_may_add_seals(broker, _):
    """F_ADD_SEALS wants a descriptor open for writing, and asks for no mode; an unknown bit adds nothing"""
    with buffer_of(broker) as buffer:
        path = os.open('/proc/self/fd/%d' % buffer.fd, os.O_PATH)
        buffer.stack.callback(os.close, path)
        before = seals_of(buffer.fd)
        for fd, number in ((buffer.reader, errno.EPERM), (path, errno.EBADF)):
            with os_error(number):
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, WRITE)
        for unknown in (0x40, 0x80, 0x40000000):
            with os_error(errno.EINVAL):
                buffer.seal(WRITE | unknown)
        equal(seals_of(buffer.fd), before, 'seals')
        buffer.seal(SEAL_SEAL)  # its mode has no write bit at all
        with os_error(errno.EPERM):
            buffer.seal(WRITE)


@suite.test
def behind_the_end(broker, _):
    """the last page shows what is behind the end of the buffer, also once it is sealed"""
    with buffer_of(broker, size=100) as buffer:
        with contextlib.closing(Mapping(buffer.fd, WRITABLE)) as mapping:
            mapping.write(b'not part of it', 200)
        buffer.seal(IMMUTABLE)
        equal(buffer.map(buffer.reader, READ).read(14, 200), b'not part of it', 'what a reader sees')
        equal(os.pread(buffer.reader, PAGE, 0), bytes(100), 'what it reads')


@suite.test
def sealed_content_moves(broker, _):
    """splice, sendfile and copy_file_range take the content out of an immutable buffer, from a reader's descriptor"""
    content = b'0123456789abcdef' * (PAGE // 16)
    with buffer_of(broker) as buffer:
        os.pwrite(buffer.fd, content, 0)
        buffer.seal(IMMUTABLE | SEAL_SEAL)
        ends = os.pipe()
        for fd in ends:
            buffer.stack.callback(os.close, fd)
        equal(os.splice(buffer.reader, ends[1], PAGE, offset_src=0), PAGE, 'bytes by splice')
        equal(os.read(ends[0], PAGE), content, 'content by splice')
        equal(os.sendfile(ends[1], buffer.reader, 0, PAGE), PAGE, 'bytes by sendfile')
        equal(os.read(ends[0], PAGE), content, 'content by sendfile')
        other = os.memfd_create('other', os.MFD_CLOEXEC)
        buffer.stack.callback(os.close, other)
        equal(os.copy_file_range(buffer.reader, other, PAGE, offset_src=0), PAGE, 'bytes by copy_file_range')
        equal(os.pread(other, PAGE, 0), content, 'content by copy_file_range')
        equal(os.pread(buffer.reader, PAGE, 0), content, 'content of the buffer')


# ---- Descriptors -----------------------------------------------------------------------------------------------------

@suite.test
def what_writers_share(broker, _):
    """those who get the read-write descriptor share its offset and flags; a reader's descriptor is its own"""
    with buffer_of(broker) as buffer, broker.connect() as client:
        fds = [client.get(id=buffer.number, flags=wire.GET_WRITABLE)['fd'], client.get(id=buffer.number)['fd']]
        for fd in fds:
            buffer.stack.callback(os.close, fd)
        writer, reader = fds

        def state(fd):
            return os.lseek(fd, 0, os.SEEK_CUR), fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND

        os.lseek(writer, 123, os.SEEK_SET)
        fcntl.fcntl(writer, fcntl.F_SETFL, os.O_APPEND)
        equal(state(buffer.fd), (123, os.O_APPEND), 'offset and flags of the other writer')
        equal((state(reader), state(buffer.reader)), ((0, 0), (0, 0)), 'offsets and flags of the readers')
        os.lseek(reader, 7, os.SEEK_SET)
        fcntl.fcntl(reader, fcntl.F_SETFL, os.O_APPEND)
        equal(state(buffer.reader), (0, 0), 'offset and flags of the other reader')


@suite.test
def cannot_be_polled(broker, _):
    """a memfd cannot be watched for events: epoll_ctl is EPERM"""
    with buffer_of(broker) as buffer, select.epoll() as epoll, os_error(errno.EPERM):
        epoll.register(buffer.fd, select.EPOLLIN)


# ---- Passing them ----------------------------------------------------------------------------------------------------

def received_fds(message):
    fds = array.array('i')
    for _, _, data in message[1]:
        fds.frombytes(data)
    return fds


@suite.test
def peeking_installs(broker, _):
    """MSG_PEEK with room for descriptors installs new ones each time: nobody may do so who does not want them"""
    with broker.connect() as client:
        client.start(wire.CREATE, [{'size': 1}])
        seen = []
        for flags in (socket.MSG_PEEK, socket.MSG_PEEK, 0):
            seen += received_fds(client.socket.recvmsg(4096, socket.CMSG_SPACE(4), flags | socket.MSG_CMSG_CLOEXEC))
        equal((len(seen), len(set(seen))), (3, 3), 'descriptors')
        inodes = {os.fstat(fd).st_ino for fd in seen}
        for fd in seen:
            os.close(fd)
        equal(len(inodes), 1, 'files')


@suite.test
def streams_mix(*_):
    """on a stream descriptors come with bytes that were sent without any; a SOCK_SEQPACKET keeps them apart"""
    def first_message(kind):
        here, there = socket.socketpair(socket.AF_UNIX, kind)
        with here, there, open('/dev/null', 'rb') as null:
            here.send(b'plain')
            socket.send_fds(here, [b'with'], [null.fileno()])
            data, fds, _, _ = socket.recv_fds(there, 100, 4)
            for fd in fds:
                os.close(fd)
            return data, len(fds)

    equal(first_message(socket.SOCK_SEQPACKET), (b'plain', 0), 'the first packet')
    equal(first_message(socket.SOCK_STREAM), (b'plainwith', 1), 'the first bytes of a stream')


def unread_bytes(sock):
    return struct.unpack('i', fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]


@suite.test
def what_was_read_is_told(*_):
    """SIOCOUTQ tells when what was sent has been read, ECONNRESET that a socket was closed with something unread"""
    for read in (True, False):
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with here, there, open('/dev/null', 'rb') as null:
            equal(unread_bytes(here), 0, 'bytes on their way at first')
            socket.send_fds(here, [b'message'], [null.fileno()])
            equal(unread_bytes(here) > 0, True, 'whether some are on their way')
            if read:
                for fd in socket.recv_fds(there, 100, 4)[1]:
                    os.close(fd)
                equal(unread_bytes(here), 0, 'bytes on their way')
            there.close()
            error = here.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            equal(error, 0 if read else errno.ECONNRESET, 'error of the other side')
            eventually(lambda s=here: unread_bytes(s) == 0, what='what nobody reads is thrown away')


@suite.test
def peer_pidfd(broker, _):
    """SO_PEERPIDFD gives a descriptor of the process at the other end"""
    with broker.connect() as client:
        try:
            fd = client.socket.getsockopt(socket.SOL_SOCKET, 77)
        except OSError as error:
            raise Skip('no SO_PEERPIDFD before Linux 6.5') from error
        try:
            with open('/proc/self/fdinfo/%d' % fd, encoding='ascii') as info:
                pids = [int(line.split()[1]) for line in info if line.startswith('Pid:')]
            equal(pids, [broker.pid], 'pid')
        finally:
            os.close(fd)


if __name__ == '__main__':
    suite.main()
