/* SPDX-License-Identifier: MIT */
/*
 * The vocabulary that both sides of a sealbuf connection share: seals, error codes, opcodes, flags and
 * limits.
 *
 * Everything here is a number that appears on the wire, so nothing here ever changes its value. The layout of
 * the messages is in docs/protocol.md; this header and that page are all that a client in C needs besides a
 * socket.
 */
#ifndef SEALBUF_PROTOCOL_H
#define SEALBUF_PROTOCOL_H

/* Seals: the bits of fcntl(2)'s F_ADD_SEALS and F_GET_SEALS, unchanged. See F_ADD_SEALS in fcntl(2). */
#define SEALBUF_SEAL_SEAL         0x01u /* no seal can be added any more */
#define SEALBUF_SEAL_SHRINK       0x02u /* the size cannot be reduced: no SIGBUS for who mapped it */
#define SEALBUF_SEAL_GROW         0x04u /* the size cannot be increased */
#define SEALBUF_SEAL_WRITE        0x08u /* the content cannot be changed by anybody */
#define SEALBUF_SEAL_FUTURE_WRITE 0x10u /* only writable mappings that exist already can change it (Linux 5.1) */
#define SEALBUF_SEAL_EXEC         0x20u /* the executable bits cannot be changed (Linux 6.3) */
#define SEALBUF_SEALS_ALL         0x3fu
#define SEALBUF_SEALS_IMMUTABLE   (SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW | SEALBUF_SEAL_WRITE)

/* The handshake. */
#define SEALBUF_MAGIC   "SEALBUF" /* 8 bytes, the last one is NUL */
#define SEALBUF_VERSION 1u

/* Limits of the wire. A broker may be configured to allow less, never more. */
#define SEALBUF_MAX_MESSAGE  65536u /* bytes in a message, header included */
#define SEALBUF_MAX_RECORDS  253u   /* records, and so descriptors, in a message: the kernel's SCM_MAX_FD */
#define SEALBUF_MAX_NAME     255u   /* bytes in a name */
#define SEALBUF_MAX_LABEL    249u   /* bytes in a label: what memfd_create(2) takes */
#define SEALBUF_MAX_METADATA 4096u  /* bytes of metadata of a buffer */
#define SEALBUF_MAX_TEXT     1024u  /* bytes of an error's sentence */
#define SEALBUF_TOKEN_SIZE   24u    /* bytes of a token: 8 that find it, 16 that are secret */

/* Who: in a request, "the uid that sends this". */
#define SEALBUF_OWNER_SELF 0xffffffffu
/* Whose account: in a reply to ACCOUNTS, "all uids together". */
#define SEALBUF_ALL_UIDS 0xffffffffu

/* Flags of CREATE. */
#define SEALBUF_CREATE_GROWABLE   0x01u /* do not apply GROW at birth */
#define SEALBUF_CREATE_SHRINKABLE 0x02u /* do not apply SHRINK at birth */
#define SEALBUF_CREATE_EXECUTABLE 0x04u /* keep the executable bits, no EXEC seal */
#define SEALBUF_CREATE_HUGE       0x08u /* huge pages, of the size given or of the system's default size */
#define SEALBUF_CREATE_FLAGS      0x0fu

/* Flags of PUBLISH. */
#define SEALBUF_PUBLISH_REPLACE     0x01u  /* take the name over from the buffer that it is bound to */
#define SEALBUF_PUBLISH_VERIFY      0x02u  /* the seals must be there already; apply none */
#define SEALBUF_PUBLISH_GROUP       0x04u  /* `group` says whose the middle bits of the mode are */
#define SEALBUF_PUBLISH_TAKE        0x08u  /* whoever gets it first takes it out of the broker */
#define SEALBUF_PUBLISH_VOLATILE    0x10u  /* it need not survive the broker */
#define SEALBUF_PUBLISH_OR_VOLATILE 0x20u  /* nor where the store has no room for it */
#define SEALBUF_PUBLISH_COMPARE     0x40u  /* only if the name is at the generation `expected`; 0: if it is not bound */
#define SEALBUF_PUBLISH_ATOMIC      0x80u  /* in every record: all of them, in one step, or none */
#define SEALBUF_PUBLISH_UNTIL_CLOSE 0x100u /* until this connection ends; so it does not survive the broker */
#define SEALBUF_PUBLISH_EVICTABLE   0x200u /* may go, least recently used first, where a limit is met otherwise */
#define SEALBUF_PUBLISH_FLAGS       0x3ffu
#define SEALBUF_MAX_KEEP            255u /* former generations that a name keeps */

/* Flags of GET. */
#define SEALBUF_GET_WRITABLE 0x01u /* ask for a read-write descriptor */
#define SEALBUF_GET_DETAILS  0x02u /* answer with name, label and metadata too */
#define SEALBUF_GET_NO_TAKE  0x04u /* refuse what would be handed over */
#define SEALBUF_GET_WAIT     0x08u /* wait until it is there, and newer than `newer_than` */
#define SEALBUF_GET_FIRST    0x10u /* `name` is a prefix: the first name that there is under it */
#define SEALBUF_GET_ATOMIC   0x20u /* in every record: all of them, as they are at one moment, or none */
#define SEALBUF_GET_FLAGS    0x3fu

/* Flags of REMOVE and STAT. */
#define SEALBUF_REMOVE_ATOMIC 0x01u /* in every record: all of them, in one step, or none */
#define SEALBUF_TARGET_FLAGS  0x01u

/* Flags of SHARE. */
#define SEALBUF_SHARE_WRITABLE 0x01u /* the token is good for a read-write descriptor, too */
#define SEALBUF_SHARE_TAKE     0x02u /* who redeems it takes the buffer out of the broker */
#define SEALBUF_SHARE_FLAGS    0x03u

/* Flags of ACCOUNTS. */
#define SEALBUF_ACCOUNTS_ALL   0x01u /* those of all uids, for administrators */
#define SEALBUF_ACCOUNTS_FLAGS 0x01u

/* Flags of LIST. */
#define SEALBUF_LIST_ALL_OWNERS 0x01u /* every name that you may read or list, whoever owns it */
#define SEALBUF_LIST_DETAILS    0x02u /* with the metadata */
#define SEALBUF_LIST_FLAGS      0x03u

/* Flags of WATCH. */
#define SEALBUF_WATCH_DESCRIPTORS 0x01u /* with a read-only descriptor, where the buffer is still there */
#define SEALBUF_WATCH_DETAILS     0x02u /* with the metadata, likewise */
#define SEALBUF_WATCH_EXACT       0x04u /* that name, instead of all that begin so */
#define SEALBUF_WATCH_NO_SNAPSHOT 0x08u /* only what happens from now on */
#define SEALBUF_WATCH_FLAGS       0x0fu

/* What a watch tells. There may be more of them some day: what is not known is to be passed over. */
enum sealbuf_change_kind {
    SEALBUF_CHANGE_PRESENT = 1,   /* this is there */
    SEALBUF_CHANGE_PUBLISHED = 2, /* a name is bound that was not, or that could not be seen */
    SEALBUF_CHANGE_REPLACED = 3,  /* a name is bound to another buffer */
    SEALBUF_CHANGE_REMOVED = 4,   /* a name is not bound any more, or cannot be seen any more */
    SEALBUF_CHANGE_EXPIRED = 5,   /* the same, as its lease has ended: its time, or the connection that it goes with */
    SEALBUF_CHANGE_EVICTED = 6,   /* the same, as a limit was met */
    SEALBUF_CHANGE_TAKEN = 7,     /* the same, as somebody has taken the buffer out of the broker */
    SEALBUF_CHANGE_OVERFLOW = 8,  /* some changes were lost: what was told is void, all that is there follows */
    SEALBUF_CHANGE_SYNC = 9,      /* all that is there has been told; what follows is what changes */
};

/* What STAT, LIST and GET say of a buffer. */
#define SEALBUF_INFO_PUBLISHED  0x01u /* it has, or had, a name */
#define SEALBUF_INFO_ADOPTED    0x02u
#define SEALBUF_INFO_EXECUTABLE 0x04u
#define SEALBUF_INFO_HUGE       0x08u
#define SEALBUF_INFO_TAKE       0x10u /* whoever gets it by this name takes it */
#define SEALBUF_INFO_SURVIVES   0x20u /* it is there again after a crash or restart of the broker */
#define SEALBUF_INFO_EVICTABLE  0x40u /* it may go where a limit is met */
#define SEALBUF_INFO_CONNECTED  0x80u /* the name goes when the connection that published it ends */

/* Opcodes. A reply has the request's opcode and SEALBUF_OP_REPLY. */
enum sealbuf_opcode {
    SEALBUF_OP_HELLO = 1,
    SEALBUF_OP_PING = 2,
    SEALBUF_OP_CREATE = 3,
    SEALBUF_OP_SEAL = 4,
    SEALBUF_OP_ADOPT = 5,
    SEALBUF_OP_PUBLISH = 6,
    SEALBUF_OP_GET = 7,
    SEALBUF_OP_REMOVE = 8,
    SEALBUF_OP_STAT = 9,
    SEALBUF_OP_LIST = 10,
    SEALBUF_OP_STATS = 11,
    SEALBUF_OP_SHARE = 12,
    SEALBUF_OP_REVOKE = 13,
    SEALBUF_OP_ACCOUNTS = 14,
    SEALBUF_OP_REEXEC = 15,
    SEALBUF_OP_TOUCH = 16,
    SEALBUF_OP_WATCH = 17,
    SEALBUF_OP_CANCEL = 18,
};
#define SEALBUF_OP_REPLY 0x8000u

/*
 * Error codes. They start above 4095, where the kernel's errno values end, so that a library call can return
 * either, negated, in one int. Each one's cause and remedy: sealbuf-errors(7), and sealbuf_strerror().
 */
enum sealbuf_error {
    /* The message itself is wrong. */
    SEALBUF_ERR_MALFORMED = 5001,
    SEALBUF_ERR_VERSION = 5002,
    SEALBUF_ERR_OPCODE = 5003,
    SEALBUF_ERR_RESERVED = 5004,
    SEALBUF_ERR_HELLO = 5005,
    SEALBUF_ERR_DESCRIPTORS = 5006,
    SEALBUF_ERR_TOO_BIG = 5007,
    /* What it asks for is wrong. */
    SEALBUF_ERR_FLAGS = 5008,
    SEALBUF_ERR_SIZE = 5009,
    SEALBUF_ERR_NAME = 5010,
    SEALBUF_ERR_LABEL = 5011,
    SEALBUF_ERR_METADATA = 5012,
    SEALBUF_ERR_SEALS = 5013,
    SEALBUF_ERR_MODE = 5014,
    SEALBUF_ERR_TARGET = 5015,
    /* The buffer does not allow it. */
    SEALBUF_ERR_NOT_MEMFD = 5016,
    SEALBUF_ERR_ACCESS_MODE = 5017,
    SEALBUF_ERR_NOT_SEALED = 5018,
    SEALBUF_ERR_SEALED = 5019,
    SEALBUF_ERR_BUSY = 5020,
    /* Names and rights. */
    SEALBUF_ERR_NOT_FOUND = 5021,
    SEALBUF_ERR_EXISTS = 5022,
    SEALBUF_ERR_DENIED = 5023,
    /* The broker or the system cannot. */
    SEALBUF_ERR_LIMIT = 5024,
    SEALBUF_ERR_MEMORY = 5025,
    SEALBUF_ERR_TABLE_FULL = 5026,
    SEALBUF_ERR_UNSUPPORTED = 5027,
    SEALBUF_ERR_STOPPING = 5028,
    SEALBUF_ERR_INTERNAL = 5029,
    /* What the library itself says; of these, only TIMED_OUT is on the wire, too: of a GET that waits. */
    SEALBUF_ERR_UNREACHABLE = 5030,
    SEALBUF_ERR_DISCONNECTED = 5031,
    SEALBUF_ERR_TIMED_OUT = 5032,
    SEALBUF_ERR_BAD_REPLY = 5033,
    SEALBUF_ERR_MAPPED = 5034,
    /* On the wire again. */
    SEALBUF_ERR_TOKEN = 5035,
    SEALBUF_ERR_STORE_FULL = 5036,
    SEALBUF_ERR_GENERATION = 5037,
    SEALBUF_ERR_CANCELLED = 5038,
};
#define SEALBUF_ERR_FIRST 5001
#define SEALBUF_ERR_LAST  5038

#endif
