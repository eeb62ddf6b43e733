# SPDX-License-Identifier: MIT
"""That the oracle of the storms notices what it is there for. Prints TAP."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from storm_oracle import Contest, Copy, Name, Token, difference  # noqa: E402

OLD = Copy(1, 1, 10, 0xabc, 0xe, 0o600, 'old', b'')
NEW = Copy(2, 0, 10, 0xdef, 0xe, 0o600, 'new', b'')


def name_of(*asked, answered=0):
    name = Name()
    name.settle(OLD)
    for copy in asked:
        name.ask(copy)
    for _ in range(answered):
        name.answered()
    return name


def judge(name, found):
    return difference(found, name.after_death())


def contest_of(asked=(), answers=()):
    contest = Contest(OLD)
    contest.asked, contest.answers = list(asked), list(answers)
    return contest


def token_of(has_worked=0, **values):
    token = Token(1, 2)
    for key, value in values.items():
        setattr(token, key, value)
    for _ in range(has_worked):
        token.has_worked()
    return token


SECOND, THIRD = NEW._replace(generation=2), NEW._replace(generation=3)
# What is looked at, whether it is right, and the verdict.
CASES = (
    ('what was there stays', True, judge(name_of(), OLD)),
    ('it is gone', False, judge(name_of(), None)),
    ('an answered replacement is there', True, judge(name_of(NEW, answered=1), SECOND)),
    ('it is lost', False, judge(name_of(NEW, answered=1), OLD)),
    ('its generation is wrong', False, judge(name_of(NEW, answered=1), THIRD)),
    ('one byte is wrong', False, judge(name_of(NEW, answered=1), SECOND._replace(crc=1))),
    ('a seal is missing', False, judge(name_of(NEW, answered=1), SECOND._replace(seals=6))),
    ('metadata are missing', False, judge(name_of(NEW._replace(metadata=b'a=b\0'), answered=1), SECOND)),
    ('the mode is wrong', False, judge(name_of(NEW, answered=1), SECOND._replace(mode=0o666))),
    ('one that was not answered has happened', True, judge(name_of(NEW), SECOND)),
    ('or has not', True, judge(name_of(NEW), OLD)),
    ('an answered removal', True, judge(name_of(None, answered=1), None)),
    ('what was removed is there again', False, judge(name_of(None, answered=1), OLD)),
    ('it was replaced after it had been removed', True, judge(name_of(None, NEW), NEW._replace(generation=1))),
    ('and has gone on counting', False, judge(name_of(None, NEW), SECOND)),
    ('a volatile one is gone', True, judge(name_of(NEW._replace(fleeting=True), answered=1), None)),
    ('a volatile one has survived', False,
     judge(name_of(NEW._replace(fleeting=True), answered=1), SECOND._replace(fleeting=True))),
    ('the last answer of a contest', True, contest_of(answers=[SECOND]).judge(SECOND)),
    ('an earlier one', False, contest_of(answers=[SECOND]).judge(OLD)),
    ('of two that got the same generation', False, contest_of(answers=[SECOND, SECOND]).judge(SECOND)),
    ('one that was not answered', True, contest_of([NEW], [SECOND]).judge(THIRD)),
    ('one that nobody asked for', False, contest_of((), [SECOND]).judge(THIRD)),
    ('a token with a use left works', True, token_of(used=1).judge(True, True)),
    ('it does not', False, token_of(used=1).judge(False, True)),
    ('or need not: a use was not answered', True, token_of(used=1, asked=1).judge(False, True)),
    ('or need not, also after it has worked since', True, token_of(asked=1, has_worked=1).judge(False, True)),
    ('one that is used up works', False, token_of(used=2).judge(True, True)),
    ('one that was revoked works', False, token_of(revoked=True).judge(True, True)),
    ('one whose buffer is gone works', False, token_of().judge(True, False)),
)


def main():
    failed = 0
    for number, (what, is_right, verdict) in enumerate(CASES, 1):
        good = (verdict is None) == is_right
        print('%s %d - %s: %s' % ('ok' if good else 'not ok', number, what, 'right' if is_right else 'noticed'))
        if not good:
            print('# %s' % verdict)
        failed += not good
    print('1..%d' % len(CASES))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
