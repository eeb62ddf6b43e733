#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tests that docs/security.md names are there. Those of its incidents name these in a comment or docstring."""
import os
import re
import sys

TOP = os.environ.get('top_srcdir') or os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
ROWS_AT_LEAST = 20


def contents(*path):
    with open(os.path.join(TOP, *path), encoding='utf-8') as file:
        return file.read()


def rows():
    """[(incidents, [(file, test)])]"""
    found = re.search('<!-- table: incidents -->\n(.*?)<!-- end -->', contents('docs', 'security.md'), re.S)
    for line in found.group(1).splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        yield cells[0].split(', '), re.findall(r'`([a-z_/]+\.(?:py|c|sh)): ([a-z_0-9]+)`', cells[-1])


def text_of_test(file, test):
    """The function, with the comment in front of it; None where there is no such test."""
    source = contents('tests', *(file.split('/') if '/' in file else ('integration', file)))
    if file.endswith('.c'):
        pattern = r'(/\*(?:(?!\*/).)*\*/\n)?START_TEST\(%s\)\n.*?\nEND_TEST\n' % test
    else:
        pattern = r'\ndef %s\(.*?(?=\n\S|\Z)' % test
    found = re.search(pattern, source, re.S)
    return found and ' '.join(found.group(0).split())


def path_of(file):
    """Of a test file as the page names it; None where there is none."""
    for folder in ('tests/integration', 'tests/systemd', 'tests', '.'):
        if os.path.exists(os.path.join(TOP, folder, file)):
            return (folder, *file.split('/'))
    return None


def missing_tests():
    """Of all that the page names; a method of a class counts, too."""
    for file, test in re.findall(r'`([a-z_/.]+\.(?:py|c|sh)): ([a-z_0-9]+)`', contents('docs', 'security.md')):
        path = path_of(file)
        pattern = r'^ *(?:def %s\(|START_TEST\(%s\)|%s\(\))' % (test, test, test)
        if not path or not re.search(pattern, contents(*path), re.M):
            yield '%s: %s' % (file, test)


def problems(incidents, tests):
    if not tests:
        yield '%s has no test' % incidents[0]
    named = set()
    for file, test in tests:
        text = text_of_test(file, test)
        if text is None:
            yield 'there is no test %s in %s' % (test, file)
            continue
        mentioned = {incident for incident in incidents if incident in text}
        if not mentioned:
            yield '%s: %s does not name %s' % (file, test, ' or '.join(incidents))
        named |= mentioned
    for incident in incidents:
        if incident not in named:
            yield 'no test names %s' % incident


def main():
    table = list(rows())
    print('1..%d' % (len(table) + 2))
    failed = 0
    for number, (incidents, tests) in enumerate(table, 1):
        found = list(problems(incidents, tests))
        for each in found:
            print('# ' + each)
        print('%s %d - %s' % ('not ok' if found else 'ok', number, ', '.join(incidents)))
        failed += bool(found)
    enough = len(table) >= ROWS_AT_LEAST
    print('%s %d - the table has %d rows' % ('ok' if enough else 'not ok', len(table) + 1, len(table)))
    missing = list(missing_tests())
    for each in missing:
        print('# there is no test ' + each)
    print('%s %d - every test that the page names is there' % ('not ok' if missing else 'ok', len(table) + 2))
    return failed or not enough or missing


if __name__ == '__main__':
    sys.exit(bool(main()))
