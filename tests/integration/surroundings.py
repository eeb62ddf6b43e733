# SPDX-License-Identifier: MIT
"""Brokers in unusual surroundings: in an empty root, in a user namespace, with a library preloaded, seen as they are."""
import contextlib
import ctypes
import os
import re
import shlex
import shutil
import subprocess
import tempfile

from testbed import SEALBUFD, Broker, Skip, in_child, libc

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
PR_SET_DUMPABLE = 4
MS_REC, MS_PRIVATE = 0x4000, 0x40000


class Sandboxed(Broker):
    is_counted = False


def has_sanitizer():
    with open(SEALBUFD, 'rb') as program:
        return re.search(rb'__[at]san_init', program.read()) is not None


def checked(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, '%s: %s' % (what, os.strerror(number)))


class Bare(Sandboxed):
    """In a root that has the program and the libraries that it needs, and nothing else."""
    has_proc = False

    def fill(self):
        os.chmod(self.directory, 0o755)
        shutil.copy(SEALBUFD, os.path.join(self.directory, 'sealbufd'))
        libraries = subprocess.run(['ldd', SEALBUFD], capture_output=True, text=True, check=True).stdout
        for path in re.findall(r'(/\S+) \(0x', libraries):
            os.makedirs(self.directory + os.path.dirname(path), exist_ok=True)
            shutil.copy(path, self.directory + path)

    def command(self, program):
        self.fill()
        return ['/sealbufd', '--socket', '/socket']

    def before_exec(self):
        os.chroot(self.directory)
        os.chdir('/')


class BareWithProc(Bare):
    def fill(self):
        super().fill()
        os.mkdir(os.path.join(self.directory, 'proc'))

    def before_exec(self):
        """The mount goes with the broker."""
        checked(libc.unshare(CLONE_NEWNS), 'unshare')
        checked(libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None), 'mounts of its own')
        checked(libc.mount(b'proc', os.path.join(self.directory, 'proc').encode(), b'proc', 0, None), 'mounting /proc')
        super().before_exec()


def enter_user_namespace(uid_map, gid_map, setgroups='allow'):
    """A process outside writes the maps, as who may map more than itself."""
    pid = os.getpid()
    reader, writer = os.pipe()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.read(reader, 1)
            for name, content in (('setgroups', setgroups), ('uid_map', uid_map), ('gid_map', gid_map)):
                os.write(os.open('/proc/%d/%s' % (pid, name), os.O_WRONLY), content.encode())
            status = 0
        finally:
            os._exit(status)
    result = libc.unshare(CLONE_NEWUSER)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # which changes of credentials take, and with it the files of /proc/PID
    os.write(writer, b'x')
    os.close(reader)
    os.close(writer)
    _, status = os.waitpid(helper, 0)
    checked(result, 'unshare')
    if status:
        raise OSError('the maps cannot be written')


# Whether one may is a matter of many settings, so it is tried.

def need_user_namespaces(uid=None):
    if not in_child(lambda: libc.unshare(CLONE_NEWUSER) == 0, uid, uid):
        raise Skip('no user namespaces')


def need_own_proc():
    def attempt():
        return (libc.unshare(CLONE_NEWNS) == 0 and libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None) == 0 and
                libc.mount(b'proc', b'/proc', b'proc', 0, None) == 0)
    if not in_child(attempt):
        raise Skip('/proc cannot be mounted here')


class Preloaded(Sandboxed):
    def __init__(self, library, variables, *arguments):
        self.library, self.variables = library, variables
        super().__init__(*arguments)

    def environment(self):
        return {**super().environment(), 'LD_PRELOAD': self.library, **self.variables}


@contextlib.contextmanager
def preload_library():
    """The path of preload.c as a library, which is gone at the end of the block."""
    if has_sanitizer():
        raise Skip('nothing can be preloaded into a build with a sanitizer')
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'preload.c')
    compiler = shlex.split(os.environ.get('CC', 'cc'))
    if not shutil.which(compiler[0]):
        raise Skip('there is no C compiler')
    with tempfile.TemporaryDirectory(prefix='sealbuf-test-') as directory:
        os.chmod(directory, 0o755)  # for brokers of other uids
        library = os.path.join(directory, 'preload.so')
        subprocess.run([*compiler, '-D_GNU_SOURCE', '-shared', '-fPIC', '-o', library, source], check=True)
        yield library


@contextlib.contextmanager
def preloaded(*arguments, **variables):
    """A broker with preload.c in it, which is told by these variables what to do."""
    with preload_library() as library, Preloaded(library, variables, *arguments) as broker:
        yield broker
