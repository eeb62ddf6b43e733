# SPDX-License-Identifier: MIT
"""What the tests of the configuration share: folders with files of it, and sealbufd --check-config."""
import configparser
import os
import resource
import subprocess
import tempfile

from testbed import SEALBUFD, equal


class Folder:
    """A folder for files of configuration, which everybody may read."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix='sealbuf-config-')
        os.chmod(self.path, 0o755)

    def at(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text):
        path = self.at(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(['rm', '-rf', '--', self.path], check=True)


def environment(**more):
    names = ('LISTEN_FDS', 'LISTEN_PID', 'NOTIFY_SOCKET', 'JOURNAL_STREAM', 'XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME')
    return {**{k: v for k, v in os.environ.items() if k not in names}, **more}


def run(*arguments, table=1024, program=SEALBUFD, env=None):
    """sealbufd with these arguments and as many descriptors, which ends by itself. Its output is text."""
    def prepare():
        resource.setrlimit(resource.RLIMIT_NOFILE, (table, table))
    return subprocess.run([program, *arguments], capture_output=True, timeout=20, check=False, env=env or environment(),
                          stdin=subprocess.DEVNULL, preexec_fn=prepare, encoding='utf-8', pass_fds=passed_of(program))


def passed_of(program):
    return [int(program.rpartition('/')[2])] if program.startswith('/proc/self/fd/') else []


def checked(*arguments, **options):
    """What --check-config prints."""
    result = run(*arguments, '--check-config', **options)
    equal((result.returncode, result.stderr), (0, ''), 'status and complaints of --check-config')
    return result.stdout


def values(printed):
    """{section: {key: value}}, by a parser that is not ours."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(printed)
    return {name: dict(parser[name]) for name in parser.sections()}


def origins(printed):
    """{(section, key): the comment above it}."""
    found, section, comment = {}, None, None
    for line in printed.splitlines():
        if line.startswith('# '):
            comment = line[2:]
        elif line.startswith('['):
            section = line[1:-1]
        elif '=' in line:
            found[section, line.split('=')[0].strip()] = comment
    return found


def limits_of(*arguments, **options):
    return {key: int(value) for key, value in values(checked(*arguments, **options))['limits'].items()}
