# SPDX-License-Identifier: MIT
"""What the tests in Python share: a private broker, its figures as the kernel tells them, and TAP.

Around every test of a Suite: the broker has as many descriptors as before, it accounts for as much as before, this
process has as many descriptors as before, and a bystander, connected all the time, is served at once.
"""
import contextlib
import ctypes
import fcntl
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import sealbuf_wire as wire

SEALBUFD = os.environ.get('SEALBUFD', './sealbufd')
# What must be as it was once the connections of a test have gone.
ACCOUNTS = ('buffers', 'bytes', 'names', 'connections', 'jobs', 'queued_descriptors')
TEST_SECONDS = 120
# An answer that comes later than this was held up by something. Generous: sanitizers and busy machines are slow, and
# what the tests look for takes seconds or for ever.
PROMPT_SECONDS = 2.0
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    pass


def has_systemd():
    with open(SEALBUFD, 'rb') as program:
        return b'libsystemd' in program.read()


def need_systemd():
    if not has_systemd():
        raise Skip('sealbufd is built without systemd')


def skip_all_without_systemd():
    """For a script, before anything else: it ends here where nothing of it can be tested."""
    if not has_systemd():
        print('1..0 # SKIP sealbufd is built without systemd')
        sys.exit(0)


def eventually(condition, seconds=10, what='condition', interval=0.01):
    """Waits until condition() is true, and returns what it returned."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError('%s: not within %d seconds' % (what() if callable(what) else what, seconds))
        time.sleep(interval)


def equal(got, expected, what=''):
    if got != expected:
        raise AssertionError('%s: %r, expected %r' % (what or 'value', got, expected))


def own_descriptors():
    return len(os.listdir('/proc/self/fd'))


@contextlib.contextmanager
def refused(name, *parts):
    """The block must end in Refused with this error, and a sentence that has all of these parts."""
    try:
        yield
    except wire.Refused as error:
        equal(error.name, name, 'error')
        if len(error.text) < 10:
            raise AssertionError('%s comes without a sentence: %r' % (name, error.text)) from error
        equal([part for part in parts if part not in error.text], [], 'what is not in %r' % error.text)
        return
    raise AssertionError('%s was expected, but nothing was refused' % name)


@contextlib.contextmanager
def os_error(number):
    try:
        yield
    except OSError as error:
        equal(error.errno, number, 'errno of %s' % error)
        return
    raise AssertionError('errno %d was expected, but nothing failed' % number)


class Broker:
    """A broker of one's own, in a directory of its own. Subclasses make its surroundings unusual."""
    is_counted = True  # tests want to know how many descriptors it has

    def __init__(self, *arguments, limits=None, uid=None, environment=None):
        """limits: {RLIMIT_...: value}, soft and hard. uid: whose process it is, where we are root. environment: more."""
        self.directory = tempfile.mkdtemp(prefix='sealbuf-test-')
        os.chmod(self.directory, 0o755)  # for clients of other uids
        self.path = os.path.join(self.directory, 'socket')
        self.log_path = os.path.join(self.directory, 'log')
        self.process = None
        try:
            self.start(arguments, limits or {}, uid, environment or {})
        except BaseException:
            if self.process:
                self.process.kill()
                self.process.wait()
            self.show_log()
            shutil.rmtree(self.directory)
            raise
        self.pid = self.process.pid

    # For brokers in unusual surroundings.

    def command(self, program):
        """The program with the address as it sees it, and what is to run it."""
        return [program, '--socket', self.path, *self.config]

    def before_exec(self):
        """Called in the child."""

    def environment(self):
        return {k: v for k, v in os.environ.items()
                if k not in ('LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES', 'NOTIFY_SOCKET', 'JOURNAL_STREAM')}

    def start(self, arguments, limits, uid, added):
        def prepare():
            for which, value in limits.items():
                resource.setrlimit(which, (value, value))
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            self.before_exec()
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should the test be killed

        program = SEALBUFD
        if uid is not None:  # who may not be let into the folder where it was built
            os.chown(self.directory, uid, uid)
            program = shutil.copy(SEALBUFD, os.path.join(self.directory, 'sealbufd'))

        # What is configured on this machine is not what is tested.
        self.config = [] if '--config' in arguments else ['--config', os.devnull]
        if self.is_counted and os.geteuid() != 0 and os.stat('/proc/self/fd').st_size == 0:
            arguments = ('--no-sandbox', *arguments)  # else nobody but root could count its descriptors
        ready, ready_far = os.pipe()
        try:
            with open(self.log_path, 'wb') as log:
                self.process = subprocess.Popen(
                    [*self.command(program), '--ready-fd', str(ready_far), *arguments], pass_fds=[ready_far],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**self.environment(), **added},
                    preexec_fn=prepare)
            os.close(ready_far)
            ready_far = -1
            line = os.read(ready, 16)
        finally:
            os.close(ready)
            if ready_far >= 0:
                os.close(ready_far)
        if line != b'\n':
            raise RuntimeError('the broker did not become ready: %r' % line)

    def connect(self, **options):
        return wire.Client(self.path, **options)

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as log:
            return log.read()

    def show_log(self):
        with contextlib.suppress(OSError):
            for line in self.log().splitlines()[-30:]:
                print('# broker: ' + line)

    def descriptors(self):
        """How many it has: from Linux 6.2 on also for those who may not look into a sandboxed process."""
        path = '/proc/%d/fd' % self.pid
        return os.stat(path).st_size or len(os.listdir(path))

    def cpu_seconds(self):
        with open('/proc/%d/stat' % self.pid, encoding='ascii') as stat:
            words = stat.read().rpartition(')')[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK')

    def resident_bytes(self):
        with open('/proc/%d/statm' % self.pid, encoding='ascii') as statm:
            return int(statm.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    def limit_descriptors(self, soft):
        """Lowers or raises the soft limit of the running broker; returns the one before."""
        before = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (soft, before[1]))
        return before[0]

    @contextlib.contextmanager
    def stopped(self):
        """It looks at nothing that is done in the block before all of it is done."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def stop(self, expected=0):
        """Ends it with SIGTERM. It must have been alive until then, and end well."""
        try:
            equal(self.process.poll(), None, 'exit status before SIGTERM')
            self.process.send_signal(signal.SIGTERM)
            equal(self.process.wait(20), expected, 'exit status after SIGTERM')
        except BaseException:
            self.process.kill()
            self.process.wait()
            self.show_log()
            raise
        finally:
            shutil.rmtree(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
            self.process.wait()
            self.show_log()
            shutil.rmtree(self.directory)
        else:
            self.stop()


def replies_until_closed(client):
    """The errors with which the broker answers before it closes the connection: [(name, serial)].

    A HELLO is refused as a whole, or by the status of its record.
    """
    replies = []
    while True:
        try:
            with client.receive() as message:
                status = message.status or (message.records[0]['status'] if message.records else 0)
                replies.append((wire.NAME_OF.get(status, str(status)), message.serial))
        except wire.Disconnected:
            return replies


def check_refused(client, data, name, serial, fds=()):
    """The message is refused with this error and a sentence, nothing comes with it, and the connection lives on."""
    client.send(data, fds)
    with client.receive() as reply:
        equal((reply.name(), reply.serial), (name, serial), 'answer')
        equal((reply.count, reply.descriptors, reply.records[0]['status']), (1, 0, wire.CODE[name]), 'one outcome')
        if len(reply.text) < 10:
            raise AssertionError('%s comes without a sentence: %r' % (name, reply.text))
        text = reply.text
    client.serial = 1000000
    client.ping()
    return text


class Bystander:
    """A client that has nothing to do with what the test does, and must not notice it."""

    def __init__(self, broker):
        self.client = broker.connect()

    def served(self):
        """A ping, a buffer, a name, and all of it gone again; promptly. Returns the seconds that it took."""
        began = time.monotonic()
        client = self.client
        client.ping()
        created = client.create(4096)
        os.write(created['fd'], b'bystander')
        os.close(created['fd'])
        client.publish(created['id'], 'bystander', seals=wire.IMMUTABLE)
        got = client.get('bystander', seals=wire.IMMUTABLE)
        equal(os.pread(got['fd'], 9, 0), b'bystander', 'content for the bystander')
        os.close(got['fd'])
        client.remove('bystander')
        took = time.monotonic() - began
        if took > PROMPT_SECONDS:
            raise AssertionError('the bystander waited %.1f s' % took)
        return took

    def accounts(self):
        stats = self.client.stats()
        return {key: stats[key] for key in ACCOUNTS}

    def close(self):
        self.client.close()


def set_alarm():
    """Again and again, so that a test that was given up does not hang where it clears up either."""
    signal.setitimer(signal.ITIMER_REAL, TEST_SECONDS, TEST_SECONDS)


class Suite:
    """Tests with one broker for all of them. A test is a function of (broker, bystander)."""

    def __init__(self, *arguments, **options):
        self.arguments, self.options, self.tests, self.failed = arguments, options, [], 0
        self.at_rest = lambda: True  # what a test has of its own besides

    def test(self, function):
        """Decorator; the first line of the docstring is the test's name."""
        self.tests.append(function)
        return function

    def run_one(self, function, broker, bystander):
        eventually(lambda: bystander.accounts()['jobs'] == 0 and self.at_rest(), what='the workers have come to rest')
        own, descriptors, accounts = own_descriptors(), broker.descriptors(), bystander.accounts()
        function(broker, bystander)
        bystander.served()
        eventually(lambda: bystander.accounts() == accounts,
                   what=lambda: 'accounts %r, before the test %r' % (bystander.accounts(), accounts))
        eventually(lambda: broker.descriptors() == descriptors,
                   what=lambda: '%d descriptors, %d before the test' % (broker.descriptors(), descriptors))
        eventually(lambda: own_descriptors() == own,
                   what=lambda: '%d descriptors of this process, %d before the test' % (own_descriptors(), own))

    def report(self, number, function, broker, bystander):
        name = function.__doc__.splitlines()[0].rstrip('.')
        set_alarm()
        try:
            self.run_one(function, broker, bystander)
        except Skip as reason:
            print('ok %d - %s # SKIP %s' % (number, name, reason))
        except BaseException as error:  # pylint: disable=broad-except
            signal.setitimer(signal.ITIMER_REAL, 0)
            for line in traceback.format_exc().splitlines():
                print('# ' + line)
            broker.show_log()
            print('not ok %d - %s' % (number, name))
            self.failed += 1
            return isinstance(error, KeyboardInterrupt)
        else:
            print('ok %d - %s' % (number, name))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            sys.stdout.flush()
        return False

    def main(self):
        """Runs all tests, or those whose function names are given as arguments."""
        def too_long(*_):
            raise AssertionError('the test took more than %d seconds' % TEST_SECONDS)

        signal.signal(signal.SIGALRM, too_long)
        wanted = [t for t in self.tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
        print('1..%d' % (len(wanted) + 1), flush=True)
        set_alarm()
        broker = Broker(*self.arguments, **self.options)
        bystander = Bystander(broker)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, function in enumerate(wanted, 1):
            if broker.process.poll() is not None:
                print('Bail out! the broker has died: %s' % broker.process.returncode)
                broker.show_log()
                shutil.rmtree(broker.directory)
                sys.exit(1)
            if self.report(number, function, broker, bystander):
                break
        bystander.close()
        self.last_words(len(wanted) + 1, broker)
        sys.exit(self.failed != 0)

    def last_words(self, number, broker):
        try:
            broker.stop()
            print('ok %d - the broker exits with 0 on SIGTERM' % number)
        except BaseException:  # pylint: disable=broad-except
            for line in traceback.format_exc().splitlines():
                print('# ' + line)
            print('not ok %d - the broker exits with 0 on SIGTERM' % number)
            self.failed += 1


def in_child(function, uid=None, gid=None, groups=()):
    """Runs function() in a process of its own, of other ids where they are given, and returns or raises what it did."""
    ours, theirs = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        signal.alarm(TEST_SECONDS)
        try:
            if uid is not None:
                os.setgroups(list(groups))
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
            outcome = (True, function())
        except BaseException as error:  # pylint: disable=broad-except
            outcome = (False, '%s\n%s' % (error, traceback.format_exc()))
        with os.fdopen(theirs, 'wb') as pipe:
            pickle.dump(outcome, pipe)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, 'rb') as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    if not data:
        raise AssertionError('the child ended with status %d' % status)
    well, value = pickle.loads(data)
    if not well:
        raise AssertionError('in the child: ' + value)
    return value


@contextlib.contextmanager
def process(function):
    """A process that runs function(), and is killed with SIGKILL at the end of the block, if not before."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(TEST_SECONDS)
            function()
        finally:
            os._exit(0)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def need_root():
    if os.geteuid() != 0:
        raise Skip('needs root, for clients of other uids')


def make(client, content, name=None, **publish):
    """A buffer with this content, published if it gets a name."""
    buffer = client.create(len(content))
    equal(os.pwrite(buffer['fd'], content, 0), len(content), 'bytes written')
    os.close(buffer.pop('fd'))
    if name:
        buffer.update(client.publish(buffer['id'], name, **publish))
    return buffer


def fetch(client, name='', **values):
    """Gets a buffer and returns its record and its content."""
    buffer = client.get(name, **values)
    try:
        return buffer, os.pread(buffer['fd'], buffer['size'] + 1, 0)
    finally:
        os.close(buffer['fd'])


def seals_of(fd):
    return fcntl.fcntl(fd, fcntl.F_GET_SEALS)


def access_mode_of(fd):
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE


def birth_seals():
    """What a buffer has without any wish: on Linux 6.3 and later EXEC is among it."""
    fd = -1
    try:
        fd = os.memfd_create('probe', os.MFD_CLOEXEC | 0x8)  # MFD_NOEXEC_SEAL
        return wire.SHRINK | wire.GROW | wire.EXEC
    except OSError:
        return wire.SHRINK | wire.GROW
    finally:
        if fd >= 0:
            os.close(fd)
