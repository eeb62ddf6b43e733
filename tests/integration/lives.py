# SPDX-License-Identifier: MIT
"""A broker of several lives: what one has left with its manager is passed to the next."""
import os
import shutil
import signal
import sys
import tempfile

import sealbuf_wire as wire
from manager import Manager
from testbed import SEALBUFD, equal, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'systemd'))
from managers import spawn  # noqa: E402


class Lives:
    """start() and kill() or stop() as often as one likes; the manager keeps the store in between."""

    def __init__(self, *arguments, slots=4096):
        self.directory = tempfile.mkdtemp(prefix='sealbuf-test-')
        os.chmod(self.directory, 0o755)
        self.path = os.path.join(self.directory, 'socket')
        self.log_path = os.path.join(self.directory, 'log')
        self.arguments = arguments
        self.config_path = os.devnull
        self.manager = Manager(slots)
        self.pid = None

    def configure(self, text):
        """For those that are started from now on."""
        self.config_path = os.path.join(self.directory, 'conf')
        with open(self.config_path, 'w', encoding='utf-8') as config:
            config.write(text)

    def start(self, added=()):
        """added: [(name, descriptor)] that are passed besides what the manager keeps."""
        open(self.log_path, 'wb').close()
        said = len(self.manager.texts())
        kept = self.manager.duplicates()
        try:
            self.pid = spawn([os.path.abspath(SEALBUFD), '--socket', self.path, '--config', self.config_path,
                              *self.arguments], [*kept, *added], self.manager.path, self.log_path)
        finally:
            for _, fd in kept:
                os.close(fd)
        eventually(lambda: any('READY=1' in text for text in self.manager.texts(said)) or self.has_ended(),
                   what='the broker is ready')
        if self.pid is None:
            raise AssertionError('the broker ended with status %d:\n%s' % (self.status, self.log()))

    def has_ended(self):
        pid, status = os.waitpid(self.pid, os.WNOHANG) if self.pid else (1, 0)
        if pid and self.pid:
            self.status = os.waitstatus_to_exitcode(status)
            self.pid = None
        return self.pid is None

    def end(self, number):
        os.kill(self.pid, number)
        eventually(self.has_ended, 20, 'the broker ends')
        return self.status

    def kill(self):
        equal(self.end(signal.SIGKILL), -signal.SIGKILL, 'exit status')

    def stop(self):
        if self.end(signal.SIGTERM):
            raise AssertionError('after SIGTERM, exit status %d:\n%s' % (self.status, self.log()))

    def connect(self):
        return wire.Client(self.path)

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as log:
            return log.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.pid:
            self.end(signal.SIGKILL)
        if kind:
            for line in self.log().splitlines()[-30:]:
                print('# broker: ' + line)
        self.manager.close()
        shutil.rmtree(self.directory)
