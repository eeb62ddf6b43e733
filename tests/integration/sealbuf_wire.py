# SPDX-License-Identifier: MIT
"""A sealbuf client in plain Python, written from docs/protocol.md and from nothing else.

Records are described by their fields, in the notation of that page's tables; a record that is read is a dict. Every
descriptor that arrives is owned by the Message it came in, until somebody takes it.
"""
import array
import os
import socket
import struct

MAX_MESSAGE = 65536
MAX_RECORDS = 253
SELF = 0xffffffff
REPLY = 0x8000
MAGIC = b'SEALBUF\0'

(HELLO, PING, CREATE, SEAL, ADOPT, PUBLISH, GET, REMOVE, STAT, LIST, STATS, SHARE, REVOKE,
 ACCOUNTS, REEXEC, TOUCH, WATCH, CANCEL) = range(1, 19)

SEAL_SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE, EXEC = 1, 2, 4, 8, 16, 32
IMMUTABLE = SHRINK | GROW | WRITE

CREATE_GROWABLE, CREATE_SHRINKABLE, CREATE_EXECUTABLE, CREATE_HUGE = 1, 2, 4, 8
PUBLISH_REPLACE, PUBLISH_VERIFY, PUBLISH_GROUP, PUBLISH_TAKE, PUBLISH_VOLATILE, PUBLISH_OR_VOLATILE = 1, 2, 4, 8, 16, 32
PUBLISH_COMPARE, PUBLISH_ATOMIC, PUBLISH_UNTIL_CLOSE, PUBLISH_EVICTABLE = 0x40, 0x80, 0x100, 0x200
MAX_KEEP = 255
GET_WRITABLE, GET_DETAILS, GET_NO_TAKE, GET_WAIT, GET_FIRST, GET_ATOMIC = 1, 2, 4, 8, 16, 32
REMOVE_ATOMIC = 1
LIST_ALL_OWNERS, LIST_DETAILS = 1, 2
WATCH_DESCRIPTORS, WATCH_DETAILS, WATCH_EXACT, WATCH_NO_SNAPSHOT = 1, 2, 4, 8
PRESENT, PUBLISHED, REPLACED, REMOVED, EXPIRED, EVICTED, TAKEN, OVERFLOW, SYNC = range(1, 10)
SHARE_WRITABLE, SHARE_TAKE = 1, 2
ACCOUNTS_ALL = 1
ALL_UIDS = 0xffffffff
INFO_PUBLISHED, INFO_ADOPTED, INFO_EXECUTABLE, INFO_HUGE, INFO_TAKE, INFO_SURVIVES = 1, 2, 4, 8, 16, 32
INFO_EVICTABLE, INFO_CONNECTED = 64, 128

ERRORS = '''
    MALFORMED VERSION OPCODE RESERVED HELLO DESCRIPTORS TOO_BIG
    FLAGS SIZE NAME LABEL METADATA SEALS MODE TARGET
    NOT_MEMFD ACCESS_MODE NOT_SEALED SEALED BUSY
    NOT_FOUND EXISTS DENIED
    LIMIT MEMORY TABLE_FULL UNSUPPORTED STOPPING INTERNAL'''.split()
CODE = {name: 5001 + i for i, name in enumerate(ERRORS)}
CODE.update(TIMED_OUT=5032, TOKEN=5035, STORE_FULL=5036, GENERATION=5037, CANCELLED=5038)
NAME_OF = {code: name for name, code in CODE.items()}


def fields(text):
    """'u32 status, text text' as [(type, name)]."""
    return [tuple(part.split()) for part in text.split(',')]


HELLO_REQUEST = fields('u64 magic, u32 version_min, u32 version_max, u64 features')
HELLO_REPLY = fields('u32 status, u32 version, u64 features, u64 instance, u32 max_message, u32 max_records, text text')
CREATE_REQUEST = fields('u64 size, u32 seals, u32 flags, u32 huge_shift, label label, metadata metadata')
SEAL_REQUEST = fields('u64 id, u32 seals')
ADOPT_REQUEST = fields('u32 seals, u32 flags, label label, metadata metadata')
PUBLISH_REQUEST = fields('u64 id, u32 seals, u32 mode, u32 flags, name name, u32 group, u64 expected, u32 keep, '
                         'u64 expire_ms, metadata metadata')
GET_REQUEST = fields('u64 id, u32 owner, u32 seals, u32 flags, name name, token token, u64 generation, u64 newer_than, '
                     'u64 wait_ms')
TARGET_REQUEST = fields('u64 id, u32 owner, name name, u32 flags, u64 generation')
LIST_REQUEST = fields('u32 owner, u32 flags, u32 after_owner, u32 limit, prefix prefix, name after')
SHARE_REQUEST = fields('u64 id, u32 owner, u32 flags, u64 expire_ms, u32 uses, name name')
REVOKE_REQUEST = fields('u64 id, u32 owner, name name, token token')
ACCOUNTS_REQUEST = fields('u32 from, u32 flags')
TOUCH_REQUEST = fields('u32 owner, u32 flags, u64 expire_ms, name name')
WATCH_REQUEST = fields('u32 owner, u32 flags, prefix name')
CANCEL_REQUEST = fields('u32 serial')
OUTCOME = fields('u32 status, u32 seals, u64 id, u64 generation, text text')
BUFFER = fields('u32 status, u32 descriptors, u64 id, u64 size, u64 generation, u32 seals, u32 flags, u32 mode, '
                'u32 owner, u32 group, u32 creator_pid, u64 allocated, u64 created_ns, u64 published_ns, name name, '
                'label label, metadata metadata, text text, u64 creator_pidfd, text creator_security, '
                'u64 expire_ms, u64 oldest')
EVENT = fields('u32 kind, u32 descriptors, u64 id, u64 size, u64 generation, u64 published_ns, u64 expire_ms, '
               'u32 seals, u32 flags, u32 mode, u32 owner, u32 group, name name, metadata metadata')
PAGE = fields('u32 status, u32 more, u32 next_owner, name next')
STATS_REPLY = fields('u32 status, u32 pid, u64 uptime_ns, u64 requests, u64 refused, u64 disconnects, u64 buffers, '
                     'u64 buffers_limit, u64 bytes, u64 bytes_limit, u64 names, u64 names_limit, u64 connections, '
                     'u64 connections_limit, u64 buffer_size_limit, u64 jobs, u64 queued_descriptors, u32 uid, '
                     'u64 uid_buffers, u64 uid_buffers_limit, u64 uid_bytes, u64 uid_bytes_limit, u64 uid_names, '
                     'u64 uid_names_limit, u64 uid_connections, u64 uid_connections_limit, text version, '
                     'u64 stored, u64 stored_limit, u64 uid_stored, u64 uid_stored_limit')
TOKEN = fields('u32 status, u32 uses, u64 id, u64 expire_ms, token token, text text')
ACCOUNT = fields('u32 status, u32 uid, ' + ', '.join(
    'u64 %s, u64 %s_limit' % (name, name) for name in (
        'bytes', 'buffers', 'names', 'metadata', 'tokens', 'connections', 'requests', 'replies', 'queued_descriptors',
        'in_flight', 'stored', 'waits', 'watches')))

REQUESTS = {HELLO: HELLO_REQUEST, CREATE: CREATE_REQUEST, SEAL: SEAL_REQUEST, ADOPT: ADOPT_REQUEST,
            PUBLISH: PUBLISH_REQUEST, GET: GET_REQUEST, REMOVE: TARGET_REQUEST, STAT: TARGET_REQUEST,
            LIST: LIST_REQUEST, SHARE: SHARE_REQUEST, REVOKE: REVOKE_REQUEST, ACCOUNTS: ACCOUNTS_REQUEST,
            TOUCH: TOUCH_REQUEST, WATCH: WATCH_REQUEST, CANCEL: CANCEL_REQUEST}
REPLIES = {HELLO: HELLO_REPLY, CREATE: BUFFER, SEAL: OUTCOME, ADOPT: BUFFER, PUBLISH: OUTCOME, GET: BUFFER,
           REMOVE: OUTCOME, STAT: BUFFER, LIST: BUFFER, STATS: STATS_REPLY, SHARE: TOKEN, REVOKE: OUTCOME,
           ACCOUNTS: ACCOUNT, TOUCH: OUTCOME, WATCH: EVENT, CANCEL: OUTCOME}

FORMAT = {'u32': '<I', 'u64': '<Q'}
# Where nothing else is said: the owner is oneself.
DEFAULTS = {'owner': SELF}


class Refused(Exception):
    """A request, or one of its records, was answered with an error."""

    def __init__(self, status, text):
        super().__init__('%s (%d): %s' % (NAME_OF.get(status, '?'), status, text))
        self.status, self.text = status, text
        self.name = NAME_OF.get(status, str(status))


class Disconnected(Exception):
    """The broker closed the connection."""


def bytes_of(value):
    return value.encode() if isinstance(value, str) else value


def encode_record(schema, values):
    """A record, framed. Values that are not given are zero or empty."""
    unknown = set(values) - {name for _, name in schema}
    if unknown:
        raise ValueError('no such field: %s' % unknown)
    fixed, strings = b'', b''
    for kind, name in schema:
        value = values.get(name, DEFAULTS.get(name, 0 if kind in FORMAT else b''))
        if kind in FORMAT:
            fixed += struct.pack(FORMAT[kind], value)
        else:
            fixed += struct.pack('<I', len(bytes_of(value)))
            strings += bytes_of(value)
    return frame(fixed, strings)


def frame(fixed, strings=b''):
    return struct.pack('<II', 8 + len(fixed) + len(strings), len(fixed)) + fixed + strings


def decode_record(schema, data):
    """The first record in data as a dict, and what is behind it."""
    length, size = struct.unpack_from('<II', data)
    if length < 8 + size or length > len(data):
        raise ValueError('the record does not fit into its message')
    fixed, strings = data[8:8 + size], data[8 + size:length]
    record, offset = {}, 0
    for kind, name in schema:
        width = 8 if kind == 'u64' else 4
        part = fixed[offset:offset + width].ljust(width, b'\0')
        value = struct.unpack('<Q' if width == 8 else '<I', part)[0]
        offset += width
        if kind not in FORMAT:
            if value > len(strings):
                raise ValueError('%s does not fit into its record' % name)
            value, strings = strings[:value], strings[value:]
            if kind not in ('metadata', 'token'):
                value = value.decode()
        record[name] = value
    return record, data[length:]


def encode_header(length, opcode, count, serial, status=0, descriptors=0, reserved=(0, 0)):
    return struct.pack('<IHHIIHHI', length, opcode, count, serial, status, descriptors, *reserved)


def encode_message(opcode, records=(), serial=1, descriptors=0, status=0, count=None, reserved=(0, 0), length=None):
    """A whole message; count and length can lie."""
    body = b''.join(records)
    return encode_header(24 + len(body) if length is None else length, opcode, len(records) if count is None else count,
                         serial, status, descriptors, reserved) + body


class Message:
    """One message as it came, with its descriptors."""

    def __init__(self, data, fds):
        self.data, self.fds = data, fds
        if len(data) < 24:
            raise ValueError('a message of %d bytes' % len(data))
        (self.length, self.opcode, self.count, self.serial, self.status, self.descriptors, zero,
         also_zero) = struct.unpack_from('<IHHIIHHI', data)
        if self.length != len(data) or zero or also_zero:
            raise ValueError('the header contradicts the message')
        if self.descriptors != len(fds):
            raise ValueError('%d descriptors are announced, %d came' % (self.descriptors, len(fds)))
        if not self.opcode & REPLY:
            raise ValueError('not a reply')
        self.records = self.decode(data[24:])
        self.text = self.records[0]['text'] if self.status else ''

    def decode(self, rest):
        records = []
        for i in range(self.count):
            schema = OUTCOME if self.status else REPLIES[self.opcode & ~REPLY]
            if i == 0 and self.opcode == LIST | REPLY and not self.status:
                schema = PAGE
            record, rest = decode_record(schema, rest)
            if record.get('descriptors'):
                record['fd'] = self.fds[sum('fd' in r for r in records)]
            records.append(record)
        if rest:
            raise ValueError('%d bytes are behind the last record' % len(rest))
        return records

    def name(self):
        return NAME_OF.get(self.status, str(self.status)) if self.status else 'OK'

    def take(self, i=0):
        """The descriptor of record i, which is the caller's now."""
        fd = self.records[i]['fd']
        self.fds.remove(fd)
        return fd

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Client:
    """A connection. Descriptors that methods return are the caller's."""

    def __init__(self, path, hello=True, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.serial = 0
        self.greeting = None
        self.detached = {}  # serial of what is answered out of order: the messages that have come for it
        try:
            self.socket.connect(path)
            if hello:
                self.hello()
        except BaseException:
            self.socket.close()
            raise

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Bytes

    def send(self, data, fds=()):
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        try:
            return self.socket.sendmsg([data], control)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Disconnected(str(error)) from error

    def receive(self):
        """The next message. Disconnected where there is none any more."""
        room = socket.CMSG_SPACE(MAX_RECORDS * 4)
        try:
            data, control, flags, _ = self.socket.recvmsg(MAX_MESSAGE, room, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError as error:
            raise Disconnected(str(error)) from error
        fds = array.array('i')
        for level, kind, content in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[:len(content) - len(content) % 4])
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError('the message was cut')
            if not data:
                raise Disconnected('end of file')
            return Message(data, list(fds))
        except BaseException:
            for fd in fds:
                os.close(fd)
            raise

    # Requests

    def start(self, opcode, records=(), fds=()):
        """Sends a request; returns its serial."""
        self.serial += 1
        schema = REQUESTS.get(opcode)
        self.send(encode_message(opcode, [encode_record(schema, r) for r in records], self.serial, len(fds)), fds)
        return self.serial

    def receive_for(self, serial):
        """The next message for this request; those for detached ones are kept until they are asked for."""
        if self.detached.get(serial):
            return self.detached[serial].pop(0)
        while True:
            message = self.receive()
            if message.serial == serial or message.serial not in self.detached:
                return message
            self.detached[message.serial].append(message)

    def finish(self, serial=None):
        """Receives a reply; raises Refused where the whole request was."""
        message = self.receive_for(serial)
        try:
            # Serial 0 is no reply, but the refusal of the connection.
            if serial is not None and message.serial != serial and not (message.serial == 0 and message.status):
                raise ValueError('the reply to %d came, not to %d' % (message.serial, serial))
            if message.status:
                raise Refused(message.status, message.text)
        except BaseException:
            message.close()
            raise
        return message

    def call(self, opcode, records=(), fds=()):
        return self.finish(self.start(opcode, records, fds))

    def one(self, opcode, fds=(), **values):
        """A request of one record; its reply's record, whose descriptor, if any, is the caller's."""
        with self.call(opcode, [values], fds) as message:
            record = message.records[0]
            if record['status']:
                raise Refused(record['status'], record['text'])
            if 'fd' in record:
                message.take()
            return record

    def hello(self, **values):
        request = {'magic': struct.unpack('<Q', MAGIC)[0], 'version_min': 1, 'version_max': 1}
        request.update(values)
        try:
            self.greeting = self.one(HELLO, **request)
        except Disconnected:
            self.finish().close()  # where the connection was not admitted, this says why
            raise
        return self.greeting

    def ping(self):
        self.call(PING).close()

    def create(self, size, **values):
        return self.one(CREATE, size=size, **values)

    def seal(self, buffer, seals):
        return self.one(SEAL, id=buffer, seals=seals)

    def adopt(self, fd, **values):
        return self.one(ADOPT, [fd], **values)

    def publish(self, buffer, name, **values):
        return self.one(PUBLISH, id=buffer, name=name, **{'mode': 0o600, **values})

    def get(self, name='', **values):
        return self.one(GET, name=name, **values)

    def stat(self, name='', **values):
        return self.one(STAT, name=name, **values)

    def remove(self, name='', **values):
        return self.one(REMOVE, name=name, **values)

    def touch(self, name, **values):
        return self.one(TOUCH, name=name, **values)

    def start_wait(self, name, **values):
        """A GET that waits; its reply comes some time: finish_wait."""
        serial = self.start(GET, [{'name': name, **values, 'flags': values.get('flags', 0) | GET_WAIT}])
        self.detached[serial] = []
        return serial

    def finish_wait(self, serial):
        """Its record, whose descriptor is the caller's; raises Refused."""
        with self.finish(serial) as message:
            del self.detached[serial]
            record = message.records[0]
            if record['status']:
                raise Refused(record['status'], record['text'])
            message.take()
            return record

    def wait(self, name, **values):
        return self.finish_wait(self.start_wait(name, **values))

    def watch(self, prefix='', **values):
        return Watch(self, prefix, values)

    def cancel(self, serial):
        self.one(CANCEL, serial=serial)

    def stats(self):
        with self.call(STATS) as message:
            return message.records[0]

    def reexec(self):
        self.call(REEXEC).close()

    def list_page(self, **values):
        """The page and its names."""
        with self.call(LIST, [values]) as message:
            return message.records[0], message.records[1:]

    def list(self, **values):
        """All names, page by page."""
        found = []
        while True:
            page, records = self.list_page(**values)
            found += records
            if not page['more']:
                return found
            values.update(after_owner=page['next_owner'], after=page['next'])


class Watch:
    """A watch: its events, one after the other. Descriptors in them are the caller's."""

    def __init__(self, client, prefix, values):
        self.client, self.events = client, []
        self.serial = client.start(WATCH, [{'name': prefix, **values}])
        client.detached[self.serial] = []

    def next(self):
        """The next event; Refused where the watch was, or was ended."""
        while not self.events:
            with self.client.finish(self.serial) as message:
                self.events = message.records
                message.fds = []
        return self.events.pop(0)

    def until(self, kind):
        """The events up to the first one of this kind, which is the last one."""
        events = [self.next()]
        while events[-1]['kind'] != kind:
            events.append(self.next())
        return events

    def cancel(self):
        """Ends it; the events that had come before."""
        serial = self.client.start(CANCEL, [{'serial': self.serial}])
        left = []
        try:
            while True:
                left.append(self.next())
        except Refused as refused:
            if refused.name != 'CANCELLED':
                raise
        self.client.finish(serial).close()
        del self.client.detached[self.serial]
        return left
