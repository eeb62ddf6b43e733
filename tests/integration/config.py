#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The configuration: which files are read and what overrides what, what is wrong with them and where, --check-config;
and that sealbufd.conf(5) says of keys and defaults what the broker does."""
import contextlib
import ctypes
import grp
import os
import re
import resource
import subprocess

import sealbuf_wire as wire
from configuring import Folder, checked, environment, limits_of, origins, run, values
from testbed import SEALBUFD, Broker, Skip, Suite, equal, in_child, need_root

suite = Suite()
BOB = 61002
PAGE = os.path.join(os.environ.get('top_srcdir', '.'), 'docs', 'sealbufd.conf.5')


def read_page():
    with open(PAGE, encoding='utf-8') as page:
        return page.read()


def entries_of_page():
    """{key: (first sentence, default)} of sealbufd.conf(5)."""
    entry = re.compile(r'^\.It Cm ([a-z-]+)\n(.*?)(?=^\.It|^\.El)', re.M | re.S)
    entries = {}
    for key, text in entry.findall(read_page()):
        defaults = re.findall(r'^Default: (.*)\.$', text, re.M)
        equal(len(defaults), 1, 'defaults of %s in the page' % key)
        equal(key in entries, False, '%s is in the page twice' % key)
        entries[key] = (text.splitlines()[0].rstrip('.'), defaults[0])
    return entries


# ---- What is right ---------------------------------------------------------------------------------------------------

@suite.test
def check_config(*_):
    """--check-config prints a configuration that says the same when it is read, and tells who has set what"""
    with Folder() as folder:
        path = folder.write('a.conf', '\ufeff# comment\r\n'
                            '[broker]\n'
                            '\tsocket-mode = 0640 ; who\n'
                            'idle-exit: 90s\n'
                            '  log-level=notice\n'
                            'sandbox = off\n'
                            '\n'
                            '; comment\n'
                            '[limits] # comment\n'
                            'uid-bytes = 3M\n'
                            '[user 1234]\n'
                            'uid-in-flight = 2K\n'
                            'uid-names =\n'
                            '[user 77]\n'
                            'uid-bytes = 5T\n'
                            '[limits]\n'
                            'uid-names = 12')
        printed = checked('--config', path, '--limit', 'names=100', '--socket', '/a b')
        found, source = values(printed), origins(printed)
        equal(list(found), ['broker', 'limits', 'user 77', 'user 1234'], 'sections')
        equal({k: found['broker'][k] for k in ('socket', 'socket-mode', 'idle-exit', 'log-level', 'sandbox')},
              {'socket': '/a b', 'socket-mode': '0640', 'idle-exit': '90000ms', 'log-level': 'notice',
               'sandbox': 'no'}, '[broker]')
        equal({k: found['limits'][k] for k in ('uid-bytes', 'buffer-size', 'names', 'uid-names')},
              {'uid-bytes': str(3 << 20), 'buffer-size': str(5 << 40), 'names': '100', 'uid-names': '12'}, '[limits]')
        equal((found['user 77'], found['user 1234']), ({'uid-bytes': str(5 << 40)}, {'uid-in-flight': '2048'}), 'users')
        equal([source[key] for key in (('broker', 'socket-mode'), ('limits', 'uid-names'), ('user 77', 'uid-bytes'),
                                       ('limits', 'names'), ('limits', 'buffer-size'), ('broker', 'admin-group'))],
              [path + ':3', path + ':17', path + ':15', 'the command line', 'default: the greatest uid-bytes',
               'default: none'],
              'who has set it')
        again = folder.write('b.conf', printed)
        equal(values(checked('--config', again)), found, 'what was printed, read again')
        equal(run('--config', path, '--check-config', '--nonsense').returncode, 2, 'status for a wrong option')
        with open('/dev/full', 'wb') as full:
            result = subprocess.run([SEALBUFD, '--config', path, '--check-config'], stdout=full, timeout=20, check=False)
        equal(result.returncode, 1, 'status where the output cannot be written')


@suite.test
def files_in_order(*_):
    """later files override earlier ones, by their names; an empty value takes back; the command line comes last"""
    with Folder() as folder:
        path = folder.write('main', '[limits]\nnames = 1\nuid-names = 1\ntokens = 1\nuid-tokens = 1\nrequests = 1\n'
                            '[user 5]\nuid-names = 1\nuid-tokens = 1\nuid-requests = 1\n')
        folder.write('main.d/20-b.conf', '[limits]\nuid-names = 3\ntokens =\n[user 5]\nuid-tokens = 3\n')
        folder.write('main.d/10-z.conf', '[limits]\nuid-names = 2\nuid-tokens = 2\n[user 5]\nuid-requests =\n')
        for name in ('.30.conf', '30.conf~', '30', '.conf'):
            folder.write('main.d/' + name, '[limits]\nnames = 77\n')
        folder.write('sealbufd.conf', '[limits]\nnames = 88\n')
        found = values(checked('--config', path, '--limit', 'requests=9', '--limit', 'requests=4'))
        limits = found['limits']
        equal([limits[k] for k in ('names', 'uid-names', 'uid-tokens', 'requests')], ['1', '3', '2', '4'], '[limits]')
        equal(limits['tokens'], limits['buffers'], 'tokens, which an empty value has taken back')
        equal(found['user 5'], {'uid-names': '1', 'uid-tokens': '3'}, '[user 5]')


def cover(libc, folder, keep):
    """An empty file system over a folder; but with what was in it, where that is to be kept."""
    below = os.open(folder, os.O_RDONLY)
    entries = os.listdir(below) if keep else []
    if libc.mount(b'none', folder.encode(), b'tmpfs', 0, b'size=1m'):
        raise Skip('no mounts: errno %d' % ctypes.get_errno())
    for name in entries:
        old, new = '/proc/self/fd/%d/%s' % (below, name), os.path.join(folder, name)
        if os.path.islink(old):
            os.symlink(os.readlink(old), new)
            continue
        if os.path.isdir(old):
            os.mkdir(new)
        else:
            os.close(os.open(new, os.O_CREAT))
        if libc.mount(old.encode(), new.encode(), None, 4096 | 16384, None):  # MS_BIND | MS_REC
            raise Skip('no bind mounts: errno %d' % ctypes.get_errno())
    os.close(below)


@contextlib.contextmanager
def alone_with(folders):
    """In a mount namespace where these folders are there, and empty. Yields a path by which to run the broker."""
    libc = ctypes.CDLL(None, use_errno=True)
    program = os.open(SEALBUFD, os.O_RDONLY)
    if libc.unshare(0x00020000) or libc.mount(b'none', b'/', None, 1 << 18 | 16384, None):  # CLONE_NEWNS, MS_PRIVATE
        raise Skip('no mount namespaces: errno %d' % ctypes.get_errno())
    for folder in folders:
        there = folder
        while not os.path.isdir(there):
            there = os.path.dirname(there)
        if there == '/':
            raise Skip('nothing of %s is there' % folder)
        cover(libc, there, keep=there != folder)
        os.makedirs(folder, exist_ok=True)
    yield '/proc/self/fd/%d' % program
    os.close(program)


def usual_folders():
    text = run('--help').stdout
    return re.findall(r'^  (/.*)$', text[text.index('\nConfiguration:'):], re.M)


def put(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)


def in_usual_places(etc, runtime, lib):
    """Runs in a child. Returns what was found at each step."""
    def reading(program):
        printed = checked(program=program)
        return re.findall('^# read: (.*)$', printed, re.M), values(printed)

    with alone_with((etc, runtime, lib)) as program:
        steps = [reading(program)]
        put(lib + '/sealbufd.conf', '[limits]\nnames = 1\n')
        put(lib + '/sealbufd.conf.d/10.conf', '[limits]\nuid-names = 10\n')
        put(lib + '/sealbufd.conf.d/40.conf', '[limits]\nuid-names = 40\n')
        steps.append(reading(program))
        put(runtime + '/sealbufd.conf', '[limits]\nrequests = 2\n')
        put(runtime + '/sealbufd.conf.d/20.conf', '[limits]\nuid-names = 20\n')
        put(runtime + '/sealbufd.conf.d/40.conf', '[limits]\nuid-tokens = 40\n')
        steps.append(reading(program))
        put(etc + '/sealbufd.conf', '')
        put(etc + '/sealbufd.conf.d/30.conf', '[limits]\nuid-names = 30\n')
        os.symlink('/dev/null', etc + '/sealbufd.conf.d/20.conf')
        os.symlink('/dev/null', etc + '/sealbufd.conf.d/40.conf')
        steps.append(reading(program))
        os.unlink(etc + '/sealbufd.conf')
        os.symlink('/nonexistent', etc + '/sealbufd.conf')
        steps.append(run('--check-config', program=program).stderr)
        return steps


@suite.test
def usual_places(*_):
    """the system's broker reads the first sealbufd.conf, and the drop-ins of all folders; one hides its namesakes"""
    need_root()
    folders = usual_folders()
    equal(len(folders), 3, 'folders of the system, of --help')
    etc, runtime, lib = folders
    equal((runtime, etc[-8:], lib[-12:]), ('/run/sealbuf', '/sealbuf', '/lib/sealbuf'), 'folders')

    def attempt():
        try:
            return in_usual_places(etc, runtime, lib)
        except Skip as skip:
            return str(skip)

    steps = in_child(attempt)
    if isinstance(steps, str):
        raise Skip(steps)
    names = [dict(limits['limits']) for _, limits in steps[:4]]
    default = limits_of('--config', '/dev/null')
    equal(steps[0][0], ['no file; sealbufd --help shows where they are looked for'], 'files, where there is none')
    equal(names[0]['names'], str(default['names']), 'names, without any file')
    equal(steps[1][0], [lib + '/sealbufd.conf', lib + '/sealbufd.conf.d/10.conf', lib + '/sealbufd.conf.d/40.conf'],
          'files of the package')
    equal((names[1]['names'], names[1]['uid-names']), ('1', '40'), 'limits of the package')
    equal(steps[2][0], [runtime + '/sealbufd.conf', lib + '/sealbufd.conf.d/10.conf',
                        runtime + '/sealbufd.conf.d/20.conf', runtime + '/sealbufd.conf.d/40.conf'], 'files with /run')
    equal((names[2]['names'], names[2]['requests'], names[2]['uid-names'], names[2]['uid-tokens']),
          (str(default['names']), '2', '20', '40'), 'limits with /run')
    equal(steps[3][0], [etc + '/sealbufd.conf', lib + '/sealbufd.conf.d/10.conf', etc + '/sealbufd.conf.d/20.conf',
                        etc + '/sealbufd.conf.d/30.conf', etc + '/sealbufd.conf.d/40.conf'], 'files with /etc')
    equal((names[3]['requests'], names[3]['uid-names'], names[3]['uid-tokens']),
          (str(default['requests']), '30', names[3]['tokens']), 'limits with /etc')
    equal(etc + '/sealbufd.conf: ' in steps[4] and 'No such file' in steps[4], True, 'a link to nowhere: ' + steps[4])


@suite.test
def users_places(*_):
    """a user's broker reads what is in the user's folder, and goes on without where it is not let in"""
    with Folder() as folder:
        folder.write('home/.config/sealbuf/sealbufd.conf', '[limits]\nuid-names = 5\n')
        folder.write('home/.config/sealbuf/sealbufd.conf.d/a.conf', '[limits]\nuid-tokens = 6\n')
        folder.write('xdg/sealbuf/sealbufd.conf', '[limits]\nuid-names = 7\n')
        folder.write('closed/sealbuf/sealbufd.conf', '[limits]\nuid-names = 8\n')
        os.chmod(folder.at('closed/sealbuf'), 0)
        program = os.open(SEALBUFD, os.O_RDONLY)
        path = '/proc/self/fd/%d' % program

        def look(**env):
            return run('--check-config', program=path, env=environment(XDG_RUNTIME_DIR='/nonexistent', **env))

        def steps():
            home = look(HOME=folder.at('home'))
            return [home, look(HOME=folder.at('home'), XDG_CONFIG_HOME='relative'),
                    look(HOME=folder.at('home'), XDG_CONFIG_HOME=folder.at('xdg')),
                    look(HOME='/dev/null'), look(HOME=''), look(XDG_CONFIG_HOME=folder.at('closed'))]

        results = in_child(steps, BOB, BOB) if os.geteuid() == 0 else steps()
        os.close(program)
        os.chmod(folder.at('closed/sealbuf'), 0o755)
    for i, result in enumerate(results):
        equal(result.returncode, 0, 'status of %s' % result)
        equal('XDG_CONFIG_HOME' in result.stderr, i == 5, 'warning of %d: %s' % (i, result.stderr))
    found = [values(result.stdout)['limits'] for result in results]
    equal([(limits['uid-names'] if limits['uid-names'] != limits['names'] else '',
            limits['uid-tokens'] if limits['uid-tokens'] != limits['tokens'] else '') for limits in found],
          [('5', '6'), ('5', '6'), ('7', ''), ('', ''), ('', ''), ('', '')], 'uid-names and uid-tokens')


@suite.test
def no_admin_group(*_):
    """an empty admin-group takes back the one of a file before"""
    with Folder() as folder:
        path = folder.write('c', '[broker]\nadmin-group = 5\n')
        equal(values(checked('--config', path))['broker']['admin-group'], '5', 'group')
        folder.write('c.d/a.conf', '[broker]\nadmin-group =\n')
        equal(values(checked('--config', path))['broker']['admin-group'], '', 'group with the second file')


@suite.test
def admin_group(*_):
    """admin-group is a name or a number"""
    group = grp.getgrall()[-1]
    for text in (group.gr_name, str(group.gr_gid)):
        with Folder() as folder:
            path = folder.write('c', '[broker]\nadmin-group = %s\n' % text)
            equal(values(checked('--config', path))['broker']['admin-group'], str(group.gr_gid), 'group ' + text)


@suite.test
def socket_from_file(*_):
    """socket and socket-mode of a file are where the broker listens"""
    with Folder() as folder:
        path = folder.write('c', '[broker]\nsocket = %s\nsocket-mode = 0604\n' % folder.at('here'))
        ready, far = os.pipe()
        process = subprocess.Popen([SEALBUFD, '--config', path, '--ready-fd', str(far)], pass_fds=[far],
                                   stderr=subprocess.DEVNULL, env=environment())
        os.close(far)
        try:
            equal(os.read(ready, 16), b'\n', 'ready')
            equal(os.stat(folder.at('here')).st_mode & 0o777, 0o604, 'mode')
            with wire.Client(folder.at('here')) as client:
                client.ping()
        finally:
            os.close(ready)
            process.terminate()
            equal(process.wait(20), 0, 'status')


# ---- What is wrong ---------------------------------------------------------------------------------------------------

LONG = 'x' * 300
# Content, and (line, part of what is said) of each complaint, in their order.
WRONG = [
    ('names = 5\n', [(1, "'names' is in no section; write [broker], [limits] or [user NAME]")]),
    ('[limit]\nnames = 5\n', [(1, 'no section [limit]; write')]),
    ('# empty\n\n[nothing in it]\n[limits]\n', [(3, 'no section [nothing in it]')]),
    ('[limits]\nname = 5\n', [(2, "no key 'name' in [limits]")]),
    ('[broker]\nnames = 5\n', [(2, "'names' belongs into [limits]; move it")]),
    ('[limits]\nsandbox = no\n', [(2, "'sandbox' belongs into [broker]; move it")]),
    ('[user 5]\nnames = 5\n', [(2, "no key 'names' for a single user")]),
    ('[user 5]\nbuffer-size = 5\n', [(2, "no key 'buffer-size' for a single user")]),
    ('[user no such user]\nuid-names = 5\n', [(1, '[user no such user]: expected a user')]),
    ('[user 4294967295]\n', [(1, 'expected a user')]),
    ('[user 1x]\n', [(1, 'expected a user')]),
    ('[user ]\n', [(1, 'expected a user')]),
    ('[user]\n', [(1, 'no section [user]')]),
    ('[user %s]\n' % LONG[:60], [(1, 'longer than 49 bytes; use the user')]),
    ('[limits]\nnames = 5\n\nuid-names = 3\nnames = 5\n', [(5, "'names' was set in line 2 already; remove")]),
    ('[limits]\nnames = 5\n[broker]\n[limits]\nnames =\n', [(5, "'names' was set in line 2 already")]),
    ('[user 5]\nuid-names = 5\n[user 05]\nuid-names = 5\n', [(4, "'uid-names' was set in line 2 already")]),
    ('[limits]\nnames = 0\n', [(2, "names = '0': expected a whole number above 0")]),
    ('[limits]\nnames = -1\n', [(2, "names = '-1': expected")]),
    ('[limits]\nnames = 1KB\n', [(2, "names = '1KB': expected")]),
    ('[limits]\nnames = 1 K\n', [(2, "names = '1 K': expected")]),
    ('[limits]\nnames = 8388608T\n', [(2, "names = '8388608T': expected")]),
    ('[limits]\nnames = 5 # five\n', [(2, "names = '5 # five': expected")]),
    ('[user 5]\nuid-names = x\n', [(2, "uid-names = 'x': expected a whole number")]),
    ('[broker]\nsocket-mode = 0x1ff\n', [(2, "socket-mode = '0x1ff': expected an octal mode")]),
    ('[broker]\nsocket-mode = 1777\n', [(2, "socket-mode = '1777': expected an octal mode")]),
    ('[broker]\nidle-exit = 0\n', [(2, "idle-exit = '0': expected a duration")]),
    ('[broker]\nlog-level = loud\n', [(2, "log-level = 'loud': expected emerg, alert")]),
    ('[broker]\nadmin-group = no-such-group\n', [(2, "admin-group = 'no-such-group': expected a group")]),
    ('[broker]\nsandbox = perhaps\n', [(2, "sandbox = 'perhaps': expected yes or no")]),
    ('[limits]\nnames\nnames = 5\n', [(2, 'neither [SECTION] nor KEY = VALUE')]),
    ('[limits]\n= 5\n', [(2, "no key '' in [limits]")]),
    ('[limits\nnames = 5\n', [(1, 'no heading; write')]),
    ('[]\nnames = 5\n', [(1, 'no heading')]),
    ('[limits] names = 5\n', [(1, 'no heading')]),
    ('[limits]\nnames = 5\n  uid-names = x\n', [(3, "uid-names = 'x'")]),
    ('[limits]\n%s = 1\nname = 1' % LONG, [(2, 'the line has 304 bytes'), (3, "no key 'name'")]),
    (b'[limits]\nnames = 5\xff\nname = 1\n', [(2, 'no text in UTF-8')]),
    (b'[limits]\nnames = \xc3', [(2, 'no text in UTF-8')]),
    (b'[limits]\nnames = 5\x00\n', [(2, 'no text in UTF-8, or has control characters')]),
    (b'\x7fELF\x02\x01\x01\x00\n' * 50, [(1, 'no text in UTF-8')]),
    ('[limits]\nname = 1\nnames = 1\nnames = 2\n[brokers]\nname = 1\n[user 1]\nnames = 1\n',
     [(2, "no key 'name'"), (4, 'was set in line 3'), (5, 'no section'), (8, 'for a single user')]),
]


@suite.test
def errors(*_):
    """what is wrong in a file is told by file and line, and what to do; the broker does not start with it"""
    with Folder() as folder:
        for content, expected in WRONG:
            path = folder.write('wrong.conf', content)
            result = run('--config', path, '--check-config')
            equal((result.returncode, result.stdout), (1, ''), 'status and output for %r' % content)
            lines = result.stderr.splitlines()
            equal(len(lines), len(expected), 'complaints of %r: %r' % (content, lines))
            for line, (number, part) in zip(lines, expected):
                equal(line.startswith('sealbufd: %s:%d: ' % (path, number)) and part in line, True,
                      'for %r: %r' % (content, line))
            started = run('--config', path, '--socket', folder.at('socket'))
            equal((started.returncode, started.stderr), (2, result.stderr), 'a start with %r' % content)
            equal(os.path.exists(folder.at('socket')), False, 'a socket')
        # In a drop-in of a file that is right; and no more than is readable.
        folder.write('main', '[limits]\nnames = 5\n')
        drop_in = folder.write('main.d/x.conf', '[limits]\n' + 'nonsense = 1\n' * 1000)
        lines = run('--config', folder.at('main'), '--check-config').stderr.splitlines()
        equal([line.split(': ')[1] for line in lines],
              ['%s:%d' % (drop_in, n) for n in range(2, 22)] + [drop_in + ':21'], 'complaints of the drop-in')


@suite.test
def unreadable(*_):
    """a file that cannot be read is an error that says so: missing, a folder, a pipe, too long, not permitted"""
    with Folder() as folder:
        os.mkdir(folder.at('folder'))
        os.mkfifo(folder.at('pipe'))
        folder.write('long', '#' * 99 + '\n')
        os.truncate(folder.at('long'), (1 << 20) + 1)
        folder.write('drop-ins.d/a.conf/x', '')
        folder.write('drop-ins', '')
        folder.write('file', '')
        folder.write('file.d', '')
        for argument, name, cause in (('missing', 'missing', 'No such file'), ('folder', 'folder', 'it is a folder'),
                                      ('pipe', 'pipe', 'no regular file'), ('long', 'long', 'longer than 1 MiB'),
                                      ('drop-ins', 'drop-ins.d/a.conf', 'it is a folder'),
                                      ('file', 'file.d', 'Not a directory')):
            result = run('--config', folder.at(argument), '--check-config')
            equal((result.returncode, result.stdout, len(result.stderr.splitlines())), (1, '', 1), str(result))
            equal('sealbufd: %s: ' % folder.at(name) in result.stderr and cause in result.stderr, True, str(result))
        longest = folder.write('longest', b'#' * 99 + b'\n' + b'\n' * ((1 << 20) - 107) + b'[user 1')
        equal(len(run('--config', longest, '--check-config').stderr.splitlines()), 1, 'complaints of exactly 1 MiB')

        closed = folder.write('closed', '')
        os.chmod(closed, 0)
        program = os.open(SEALBUFD, os.O_RDONLY)
        attempt = lambda: run('--config', closed, '--check-config', program='/proc/self/fd/%d' % program)
        result = in_child(attempt, BOB, BOB) if os.geteuid() == 0 else attempt()
        os.close(program)
        uid = BOB if os.geteuid() == 0 else os.geteuid()
        equal((result.returncode, result.stderr.startswith('sealbufd: %s: uid %d cannot read this' % (closed, uid)),
               'Permission denied; ' in result.stderr), (1, True, True), str(result))


@suite.test
def sums(*_):
    """limits that do not fit RLIMIT_NOFILE: --check-config and a start tell the sum, and the status is 1"""
    with Folder() as folder:
        path = folder.write('c', '[limits]\nbuffers = 500\nconnections = 100\n')
        equal(limits_of('--config', path, table=1100)['queued-descriptors'], (1100 - 384) // 8, 'queued-descriptors')
        for arguments in (['--check-config'], ['--socket', folder.at('socket')]):
            result = run('--config', path, *arguments, table=1024)
            equal((result.returncode, result.stdout), (1, ''), str(result))
            equal('connections=100, buffers=500 and queued-descriptors=80' in result.stderr and
                  'RLIMIT_NOFILE 1024' in result.stderr, True, result.stderr)
            equal(run('--config', path, *arguments, table=500).returncode, 1, 'status with 500 descriptors')


# ---- The page --------------------------------------------------------------------------------------------------------

def expected_limits(defaults, table):
    """The numbers, out of the words of the page, as somebody would compute them who knows nothing of the code."""
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    descriptors = table - 384
    known = {
        'twice the memory': lambda _: 2 * memory,
        '1/64 of the memory, at most 256M': lambda _: min(memory // 64, 256 << 20),
        'a quarter of the descriptors, at most 16384': lambda _: min(descriptors // 4, 16384),
        'an eighth of the descriptors, at most 4096': lambda _: min(descriptors // 8, 4096),
        'what RLIMIT_NOFILE leaves': lambda of: descriptors - of('connections') - of('queued-descriptors'),
        '3/4 of RLIMIT_NOFILE': lambda _: table // 4 * 3,
        '4096': lambda _: 4096,
        '65536': lambda _: 65536,
        '16384': lambda _: 16384,
        'what the unit allows ($FDSTORE) less 16, else 4000': lambda _: 4000,
        '4 times buffers': lambda of: 4 * of('buffers'),
        'half of bytes': lambda of: of('bytes') // 2,
        'the greatest uid-bytes': lambda of: of('uid-bytes'),  # without any [user]
    }

    def of(key):
        words = defaults[key]
        return of(words) if words in defaults else known[words](of)

    return {key: of(key) for key in defaults}


@suite.test
def page(*_):
    """sealbufd.conf(5) has every key, its meaning and its default, in words and, by them, in numbers"""
    entries = entries_of_page()
    printed = checked('--config', '/dev/null')
    by_default = {key: comment[len('default: '):] for (_, key), comment in origins(printed).items()}
    equal({key: default for key, (_, default) in entries.items()}, by_default, 'defaults of page and program')
    broker = values(printed)['broker']
    equal((broker['idle-exit'], broker['log-level'], broker['sandbox'], broker['admin-group'], broker['socket']),
          ('never', 'info', 'yes', '', ''), '[broker]')
    equal(broker['socket-mode'], '0666' if os.geteuid() == 0 else '0600', 'socket-mode')

    text = run('--help').stdout
    text = text[text.index('\nLimits:\n') + 9:]
    meanings = dict(re.findall(r'^  ([a-z-]+) +(.*)$', text[:text.index('\n\n')], re.M))
    equal({key: entries[key][0].lower() for key in meanings}, {k: v.lower() for k, v in meanings.items()}, 'meanings')
    limits = {key: default for key, (_, default) in entries.items() if key in meanings}
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for table in (512, 1024, 4097, min(hard, 20000), 65536, 524288, 1000001):
        try:
            equal(limits_of('--config', '/dev/null', table=table), expected_limits(limits, table), 'with %d' % table)
        except subprocess.SubprocessError:
            equal(table > hard, True, '%d descriptors were refused, where %d are allowed' % (table, hard))
            print('# not tried with %d descriptors: this machine allows %d' % (table, hard))
    numbers = expected_limits(limits, 524288)
    sentence = 'defaults are %d queued descriptors, %d connections, %d buffers and %d names' % tuple(
        numbers[key] for key in ('queued-descriptors', 'connections', 'buffers', 'names'))
    equal(sentence in read_page().replace('\n', ' '), True, 'the page says: ' + sentence)


@suite.test
def limits_of_running(*_):
    """a broker runs with the limits that --check-config prints, and with RLIMIT_NOFILE raised"""
    with Broker(limits={resource.RLIMIT_NOFILE: 3000}) as broker, broker.connect() as client:
        limits, stats = limits_of('--config', '/dev/null', table=3000), client.stats()
        equal(stats['buffer_size_limit'], limits['buffer-size'], 'buffer-size')
        with client.call(wire.ACCOUNTS, [{'flags': wire.ACCOUNTS_ALL}]) as message:
            everybody = message.records[-1]
        counted = [key for key in limits if 'uid-' + key in limits]
        equal(len(counted), 13, 'limits that there are for all and for each uid')
        for key in counted:
            limit = limits[key] if key != 'stored' else 0  # without a store
            equal(everybody[key.replace('-', '_') + '_limit'], limit, key)
    with Folder() as folder:
        def soft():
            resource.setrlimit(resource.RLIMIT_NOFILE, (600, 2000))
        result = subprocess.run([SEALBUFD, '--config', folder.write('c', ''), '--check-config'], capture_output=True,
                                encoding='utf-8', timeout=20, check=False, preexec_fn=soft)
        equal('RLIMIT_NOFILE 2000' in result.stdout, True, 'raised: ' + result.stdout[:80])
        equal(values(result.stdout)['limits']['in-flight'], '1500', 'in-flight')


if __name__ == '__main__':
    suite.main()
