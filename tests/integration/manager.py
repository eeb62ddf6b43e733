# SPDX-License-Identifier: MIT
"""A service manager, as far as a broker sees one: a notification socket, and a store of descriptors behind it.

It does what systemd 252 does, or, with `closes_late`, what 254 does: a full store keeps nothing and says nothing; an
open file description that is there already is not kept twice; FDSTOREREMOVE takes out all of a name; what is polled
(FDPOLL) goes when its other side has gone; a barrier is closed when all before it has been worked off.
"""
import array
import contextlib
import ctypes
import os
import platform
import select
import shutil
import socket
import tempfile
import threading
import time

KCMP = {'x86_64': 312, 'aarch64': 272, 'riscv64': 272, 'ppc64le': 354, 's390x': 343}.get(platform.machine())
KCMP_FILE = 0
libc = ctypes.CDLL(None, use_errno=True)


def same_description(a, b):
    return KCMP is not None and libc.syscall(KCMP, os.getpid(), os.getpid(), KCMP_FILE, a, b) == 0


class Manager:
    """slots: how many descriptors it keeps. Its thread runs until close()."""

    def __init__(self, slots=4096, closes_late=False):
        self.directory = tempfile.mkdtemp(prefix='sealbuf-manager-')
        os.chmod(self.directory, 0o755)
        self.path = os.path.join(self.directory, 'notify')
        self.slots, self.closes_late = slots, closes_late
        self.lock = threading.Lock()
        self.store = []  # [(name, fd, polled)]
        self.barriers = []  # that are held
        self.held = False
        self.seconds_for_each = 0  # FDSTORE
        self.messages = []  # texts, in their order
        self.reading = threading.Event()
        self.reading.set()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.wakeup, self.wakeup_far = os.pipe()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    # What the tests ask and do.

    @property
    def environment(self):
        return {'NOTIFY_SOCKET': self.path}

    def names(self):
        """Of what is kept, in the order in which it came."""
        with self.lock:
            self.drop_dead()
            return [name for name, _, _ in self.store]

    def buffers(self):
        """The ids of the buffers that are kept."""
        return [int(name[len('buffer-'):], 16) for name in self.names() if name.startswith('buffer-')]

    def duplicates(self):
        """[(name, descriptor)] of all that is kept, the caller's: what the next broker is started with."""
        with self.lock:
            return [(name, os.dup(fd)) for name, fd, _ in self.store]

    def fill(self, entries):
        """Keeps nothing but duplicates of these: [(name, descriptor)]."""
        self.empty()
        with self.lock:
            self.store = [(name, os.dup(fd), False) for name, fd in entries]

    def texts(self, since=0):
        with self.lock:
            return self.messages[since:]

    def states(self, key):
        """What was said of STATUS, READY and so on: all values, in their order."""
        lines = [line for text in self.texts() for line in text.splitlines()]
        return [line[len(key) + 1:] for line in lines if line.startswith(key + '=')]

    def empty(self):
        with self.lock:
            for _, fd, _ in self.store:
                os.close(fd)
            self.store = []

    @contextlib.contextmanager
    def holding(self):
        """No barrier is answered in the block; all else goes on."""
        with self.lock:
            self.held = True
        try:
            yield
        finally:
            self.release()

    def release(self):
        with self.lock:
            self.held = False
            for fd in self.barriers:
                os.close(fd)
            self.barriers = []

    def answer(self):
        """Those barriers that are held now; in the block, later ones are held all the same."""
        with self.lock:
            for fd in self.barriers:
                os.close(fd)
            self.barriers = []

    @contextlib.contextmanager
    def deaf(self):
        """Nothing is read in the block."""
        self.reading.clear()
        os.write(self.wakeup_far, b'x')
        try:
            yield
        finally:
            self.reading.set()

    def close(self):
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.reading.set()
        os.write(self.wakeup_far, b'q')
        self.thread.join()
        self.release()
        self.empty()
        self.socket.close()
        os.close(self.wakeup)
        os.close(self.wakeup_far)
        shutil.rmtree(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # What its thread does.

    def run(self):
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        poll.register(self.wakeup, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self.wakeup in ready and os.read(self.wakeup, 1) == b'q':
                return
            self.reading.wait()
            if self.socket.fileno() in ready:
                self.receive()

    def receive(self):
        try:
            data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(16), socket.MSG_DONTWAIT |
                                                      socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        fds = array.array('i')
        for level, kind, content in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
        text = data.decode()
        values = dict(line.partition('=')[::2] for line in text.splitlines())
        if 'FDSTORE' in values and self.seconds_for_each:
            time.sleep(self.seconds_for_each)
        with self.lock:
            self.messages.append(text)
            self.drop_dead()
            self.handle(values, list(fds))

    def handle(self, values, fds):
        if 'BARRIER' in values and self.held:
            self.barriers += fds
            return
        if 'FDSTORE' in values:
            for fd in fds:
                self.keep(values.get('FDNAME', 'stored'), fd, values.get('FDPOLL') != '0')
            return
        for fd in fds:
            os.close(fd)
        if 'FDSTOREREMOVE' in values:
            for entry in [entry for entry in self.store if entry[0] == values.get('FDNAME')]:
                self.store.remove(entry)
                os.close(entry[1])

    def keep(self, name, fd, polled):
        if len(self.store) >= self.slots:
            if self.closes_late:
                threading.Timer(0.01, os.close, [fd]).start()
            else:
                os.close(fd)
        elif any(same_description(fd, other) for _, other, _ in self.store):
            os.close(fd)
        else:
            self.store.append((name, fd, polled))

    def drop_dead(self):
        poll = select.poll()
        for _, fd, polled in self.store:
            if polled:
                poll.register(fd, 0)
        dead = {fd for fd, _ in poll.poll(0)}
        for entry in [entry for entry in self.store if entry[1] in dead]:
            self.store.remove(entry)
            os.close(entry[1])
