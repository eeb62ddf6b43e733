# SPDX-License-Identifier: MIT
"""The storms of tests/systemd/storm.py under a service manager of the test's own: so also where no systemd boots, and
under sanitizers."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'systemd'))
from full_store import LIMIT, run_full_store  # noqa: E402
from managers import kept_broker  # noqa: E402
from storm import run_storms  # noqa: E402
from testbed import SEALBUFD, skip_all_without_systemd  # noqa: E402

ROUNDS = {'kill': 6, 'again': 2, 'restart': 2, 'reexec': 3}


def main():
    skip_all_without_systemd()
    seed = os.environ.get('SEED', '%d' % os.getpid())
    with kept_broker(SEALBUFD) as keeper:
        tap = run_storms(keeper, seed, ROUNDS)
    with kept_broker(SEALBUFD, limit=LIMIT) as keeper:
        tap = run_full_store(keeper, seed, tap)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
