# SPDX-License-Identifier: MIT
"""Who starts a broker again, and keeps its descriptors meanwhile: the real service manager, or one of the test's own."""
import array
import contextlib
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import sealbuf_wire as wire
from manager import same_description
from testbed import eventually

SECONDS = 20


def wait_for(condition, what, seconds=SECONDS):
    """Looks often: what is killed again while it starts is to be killed early, too."""
    return eventually(condition, seconds, what, interval=0.002)


def broker_pid(path):
    """Of who answers there; starts it where it is activated by its socket."""
    with wire.Client(path, timeout=SECONDS) as client:
        return client.stats()['pid']


class Systemd:
    """The unit under the service manager that has booted this container."""
    path = '/run/sealbuf/socket'
    unit = 'sealbufd.service'

    def property(self, name, unit=None):
        return subprocess.run(['systemctl', 'show', '--value', '--property', name, unit or self.unit], check=True,
                              stdout=subprocess.PIPE, text=True).stdout.strip()

    def systemctl(self, *words):
        done = subprocess.run(['systemctl', *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise AssertionError('systemctl %s: status %d: %s' % (' '.join(words), done.returncode, done.stdout))

    def pid(self):
        return int(self.property('MainPID'))

    def signal(self, number):
        os.kill(self.pid(), number)

    def kill_now(self, pid):
        """pid: asked for before, so that the storm does not wait for systemctl."""
        os.kill(pid, signal.SIGKILL)

    def kill_again(self, pid, delays):
        """Kills it, and each successor as well, so long after it was started; it may be restoring then."""
        group = '/sys/fs/cgroup%s/cgroup.procs' % self.property('ControlGroup')
        os.kill(pid, signal.SIGKILL)
        for delay in delays:
            pid = wait_for(lambda old=pid: other_process(group, old), 'the next broker')
            time.sleep(delay)
            os.kill(pid, signal.SIGKILL)

    def restart(self):
        self.systemctl('restart', self.unit)

    def disturb(self, pid):
        """The service manager re-executes itself, and the broker dies after that."""
        self.systemctl('daemon-reexec')
        os.kill(pid, signal.SIGKILL)

    def stop(self):
        self.systemctl('stop', self.unit)

    def start(self):
        self.systemctl('start', self.unit)

    def stored(self):
        return int(self.property('NFileDescriptorStore'))

    def crashes(self):
        """What the journal has of brokers that ended otherwise than by SIGKILL or in order."""
        done = subprocess.run(['journalctl', '--unit', self.unit, '--output=cat', '--grep=Main process exited'],
                              stdout=subprocess.PIPE, text=True)
        return [line for line in done.stdout.splitlines() if 'status=9/KILL' not in line]

    def log(self):
        done = subprocess.run(['journalctl', '--unit', self.unit, '--output=cat', '--lines=30'],
                              stdout=subprocess.PIPE, text=True)
        return done.stdout


def other_process(group, old):
    """One of the control group's processes that is not this one; 0 where there is none yet."""
    try:
        with open(group) as processes:
            return next((int(line) for line in processes if int(line) != old), 0)
    except OSError:  # between the one and the other there is no group
        return 0


class Keeper:
    """A service manager for one broker: keeps what it is sent, and passes it to the next one. It has the rules of the
    real one, as far as they matter: names, a limit, one entry for an open file description, barriers."""

    def __init__(self, directory, program, arguments=(), limit=8192):
        self.path = os.path.join(directory, 'socket')
        self.log_path = os.path.join(directory, 'log')
        self.program, self.arguments, self.limit = program, list(arguments), limit
        self.kept = []  # (name, descriptor, its inode)
        self.lock = threading.Lock()
        self.process = None
        self.ends_of_its_own = []
        self.ready = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(128)
        self.notify_path = os.path.join(directory, 'notify')
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(self.notify_path)
        os.chmod(self.notify_path, 0o666)
        threading.Thread(target=self.serve, daemon=True).start()

    # What the broker says

    def serve(self):
        while True:
            select.select([self.notify], [], [])
            with self.lock:
                data, control, _, _ = self.notify.recvmsg(8192, socket.CMSG_SPACE(253 * 4), socket.MSG_CMSG_CLOEXEC)
                fds = array.array('i')
                for level, kind, content in control:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        fds.frombytes(content[:len(content) - len(content) % 4])
                fields = dict(line.split('=', 1) for line in data.decode().split('\n') if '=' in line)
                left = self.obey(fields, list(fds))
            for fd in left:
                os.close(fd)
            if fields.get('READY') == '1':
                self.ready.set()

    def obey(self, fields, fds):
        """The descriptors that are not kept."""
        name = fields.get('FDNAME', 'stored')
        if fields.get('FDSTORE') == '1':
            room = max(0, self.limit - len(self.kept))
            new = [fd for fd in fds if not self.has(fd)][:room]
            self.kept += [(name, fd, os.fstat(fd).st_ino) for fd in new]
            return [fd for fd in fds if fd not in new]
        if fields.get('FDSTOREREMOVE') == '1':
            fds += [fd for kept, fd, _ in self.kept if kept == name]
            self.kept = [entry for entry in self.kept if entry[0] != name]
        return fds

    def has(self, fd):
        """The same open file description? Only those that could be it are compared."""
        inode = os.fstat(fd).st_ino
        return any(kept == inode and same_description(fd, other) for _, other, kept in self.kept)

    # What is done to it

    def hear_out(self):
        """All that an earlier broker has said before it ended is obeyed; the real one sees to that, too."""
        far, near = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(self.notify_path)
            socket.send_fds(sender, [b'BARRIER=1'], [near])
        os.close(near)
        heard = select.select([far], [], [], SECONDS)[0]
        os.close(far)
        if not heard:
            raise AssertionError('what the broker has said is not read within %d seconds' % SECONDS)

    def start(self, wait=True):
        self.hear_out()
        with self.lock:
            passed = [('listener', self.listener.fileno())] + [entry[:2] for entry in self.kept]
            self.ready.clear()
            self.process = spawn([self.program, *self.arguments], passed, self.notify_path, self.log_path)
        if wait:
            wait_for(lambda: self.ready.is_set() or self.ended(), 'the broker is ready')
            if not self.ready.is_set():
                raise AssertionError('the broker has ended with status %s' % self.status)

    def ended(self):
        pid, status = os.waitpid(self.process, os.WNOHANG) if self.process else (0, 0)
        if pid:
            self.process = None
            self.status = os.waitstatus_to_exitcode(status)
        return self.process is None

    def end(self, number):
        """Its status. It must not have ended before."""
        if not self.ended():
            os.kill(self.process, number)
            wait_for(self.ended, 'the broker ends')
        if self.status != (-number if number == signal.SIGKILL else 0):
            self.ends_of_its_own.append('status %d' % self.status)
            raise AssertionError('the broker has ended with status %d' % self.status)
        return self.status

    def pid(self):
        return self.process

    def signal(self, number):
        os.kill(self.process, number)

    def kill_now(self, _pid):
        self.end(signal.SIGKILL)
        self.start()

    def kill_again(self, _pid, delays):
        self.end(signal.SIGKILL)
        for delay in delays:
            self.start(wait=False)
            time.sleep(delay)
            self.end(signal.SIGKILL)
        self.start()

    def restart(self):
        self.end(signal.SIGTERM)
        self.start()

    def stop(self):
        self.end(signal.SIGTERM)
        self.forget()

    def forget(self):
        with self.lock:
            for _, fd, _ in self.kept:
                os.close(fd)
            self.kept = []

    def close(self):
        if not self.ended():
            self.end(signal.SIGKILL)
        self.forget()

    def crashes(self):
        """Of brokers that ended by themselves, and what sanitizers have found."""
        with open(self.log_path, errors='replace') as log:
            return self.ends_of_its_own + [line for line in log if 'Sanitizer' in line or 'runtime error' in line]

    def stored(self):
        with self.lock:
            return len(self.kept)

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return ''.join(log.readlines()[-30:])


@contextlib.contextmanager
def kept_broker(program, **options):
    """The keeper of one that is started; both are gone at the end of the block."""
    directory = tempfile.mkdtemp(prefix='sealbuf-test-')
    os.chmod(directory, 0o755)
    keeper = Keeper(directory, os.path.abspath(program), ['--config', os.devnull], **options)
    try:
        keeper.start()
        yield keeper
    finally:
        keeper.close()
        shutil.rmtree(directory)


def spawn(command, passed, notify_path, log_path):
    """As the service manager does: descriptors from 3 on, their names in the environment."""
    environment = {k: v for k, v in os.environ.items() if k not in ('SEALBUF_SOCKET', 'JOURNAL_STREAM')}
    pid = os.fork()
    if pid:
        return pid
    try:
        high = 3 + len(passed)
        above = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, high) for _, fd in passed]
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for fd in (1, 2):  # also so that nobody waits for it at the end of the test's output
            os.dup2(log, fd)
        for i, fd in enumerate(above):
            os.dup2(fd, 3 + i)
        environment.update(NOTIFY_SOCKET=notify_path)
        if passed:
            environment.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(passed)),
                               LISTEN_FDNAMES=':'.join(name for name, _ in passed))
        os.execve(command[0], command, environment)
    finally:
        os._exit(127)
