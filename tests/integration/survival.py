# SPDX-License-Identifier: MIT
"""The storms of tests/systemd/storm.py under a service manager of the test's own: so also where no systemd boots, and
under sanitizers."""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'systemd'))
from full_store import LIMIT, run_full_store  # noqa: E402
from managers import Keeper  # noqa: E402
from storm import run_storms  # noqa: E402

SEALBUFD = os.path.abspath(os.environ.get('SEALBUFD', './sealbufd'))
ROUNDS = {'kill': 6, 'again': 2, 'restart': 2, 'reexec': 3}


def is_with_systemd():
    return b'libsystemd' in subprocess.run(['ldd', SEALBUFD], stdout=subprocess.PIPE, check=False).stdout


@contextlib.contextmanager
def kept_broker(**options):
    directory = tempfile.mkdtemp(prefix='sealbuf-test-')
    os.chmod(directory, 0o755)
    keeper = Keeper(directory, SEALBUFD, ['--config', os.devnull], **options)
    try:
        keeper.start()
        yield keeper
    finally:
        keeper.close()
        shutil.rmtree(directory)


def main():
    if not is_with_systemd():
        print('1..0 # SKIP sealbufd is built without systemd')
        return 0
    seed = os.environ.get('SEED', '%d' % os.getpid())
    with kept_broker() as keeper:
        tap = run_storms(keeper, seed, ROUNDS)
    with kept_broker(limit=LIMIT) as keeper:
        tap = run_full_store(keeper, seed, tap)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
