/* SPDX-License-Identifier: MIT */
/*
 * libsealbuf: shared memory with kernel-enforced seals, between processes that need not trust each other.
 *
 * Two halves. A `sealbuf_buffer` is one memfd with its mapping; everything about it works without a broker. A
 * `sealbuf_client` is a connection to the broker, sealbufd(8), through which buffers get names and go to others.
 *
 * What holds for every function:
 *
 * - Errors are negative ints: -errno where the kernel refused the caller's own system call (errno(3), at most 4095), or
 *   -SEALBUF_ERR_... (5001 and up, sealbuf-errors(7)). sealbuf_strerror() knows both. On failure nothing has changed,
 *   and no pointer has been written, unless it says otherwise.
 * - Threads: no global state, no thread, no signal handler, no output. Different objects may be used by different
 *   threads at the same time. One sealbuf_client must be used by one thread at a time. One sealbuf_buffer may be read,
 *   written and queried by several threads at a time; map, unmap, seal, resize, take_fd and free need it to themselves.
 * - Descriptors are close-on-exec and above 2, unless asked otherwise.
 * - Options are structs that start with their own size, so that they can grow: set struct_size to sizeof, and the rest
 *   to zero where you have no wish. NULL in place of a struct means all zero, where that makes sense. A struct that is
 *   too short to be one, or has something set that this library does not know, is -EINVAL.
 * - Sizes are bytes. Times are milliseconds of CLOCK_MONOTONIC where they are waits, and nanoseconds since the epoch
 *   where they are points in time.
 *
 * See libsealbuf(3), sealbuf(7), memfd_create(2), fcntl(2), unix(7).
 */
#ifndef SEALBUF_H
#define SEALBUF_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <sealbuf-protocol.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SEALBUF_API __attribute__((visibility("default")))

typedef struct sealbuf_buffer sealbuf_buffer;
typedef struct sealbuf_client sealbuf_client;
typedef struct sealbuf_reply sealbuf_reply;

/* ---- Errors and seals as text: sealbuf_strerror(3) ------------------------------------------------------------ */

/* What the error means, for people: never NULL, static, thread-safe. Takes negative or positive codes. */
SEALBUF_API const char *sealbuf_strerror(int error);
/* What to do about it, static, thread-safe; "" for errno values and for 0. */
SEALBUF_API const char *sealbuf_error_remedy(int error);
/* "NOT_FOUND" for SEALBUF_ERR_NOT_FOUND, "ENOENT" for ENOENT, "UNKNOWN" for a number that is neither. Static. */
SEALBUF_API const char *sealbuf_error_name(int error);

/* Room that sealbuf_seals_format needs at most, NUL included. */
#define SEALBUF_SEALS_TEXT 64
/* Writes a set as `shrink|grow|write`, `none` if empty, unknown bits as `0x40`. Returns text. */
SEALBUF_API const char *sealbuf_seals_format(uint32_t seals, char text[SEALBUF_SEALS_TEXT]);
/*
 * Reads a set: names separated by `|` or `,`: shrink, grow, write, future_write, seal, exec, immutable, none, or 0x
 * and hexadecimal digits. 0; -EINVAL: something else is in the text, *seals is untouched.
 */
SEALBUF_API int sealbuf_seals_parse(const char *text, uint32_t *seals);

/* ---- Buffers, without any broker: sealbuf_buffer(3) ------------------------------------------------------------ */

/* Flags of sealbuf_create_options that only sealbuf_buffer_create knows; SEALBUF_CREATE_... (protocol) are for both. */
#define SEALBUF_CREATE_UNSEALABLE 0x10000u /* no seal can ever be added; none are at birth */
#define SEALBUF_CREATE_INHERIT    0x20000u /* not close-on-exec: children keep it across execve(2) */

struct sealbuf_create_options {
    size_t struct_size;
    uint64_t size;               /* bytes; with huge pages a multiple of the page */
    uint32_t seals;              /* at birth, besides SHRINK and GROW, which GROWABLE and SHRINKABLE keep away */
    uint32_t flags;              /* SEALBUF_CREATE_... */
    uint32_t huge_shift;         /* log2 of the huge page's size: 21 is 2 MiB, 30 is 1 GiB; 0 the system's default */
    uint32_t reserved;           /* 0 */
    const char *label;           /* shown in /proc; anybody can read it */
    const char *const *metadata; /* "KEY=VALUE" strings, NULL at the end; only with a broker */
};

/*
 * Creates a memfd of one's own, zero-filled and sparse: its pages cost nothing until they are touched. SHRINK and
 * GROW are applied at birth, and EXEC where the kernel has it (6.3), unless the flags say otherwise. The file's mode is
 * 0444, executable 0555, so that no other uid can reopen a reader's descriptor for writing. Does not block.
 * The caller owns *buffer, until sealbuf_buffer_free.
 * -EFBIG: beyond RLIMIT_FSIZE, whose SIGXFSZ kills the process unless it is ignored (setrlimit(2)). -EINVAL: size not
 * a multiple of the huge page. -ENODEV: no huge pages of this size. -EACCES: executable memfds are forbidden
 * (vm.memfd_noexec). -EMFILE, -ENFILE, -ENOMEM: memfd_create(2).
 * SEALBUF_ERR_FLAGS, SEALBUF_ERR_SIZE, SEALBUF_ERR_SEALS, SEALBUF_ERR_LABEL: the options are not valid.
 */
SEALBUF_API int sealbuf_buffer_create(sealbuf_buffer **buffer, const struct sealbuf_create_options *options);

/*
 * These bytes, sealed, in one call: creates, fills, and applies `seals` (SEALBUF_SEALS_IMMUTABLE is the usual set).
 * Errors as sealbuf_buffer_create, and -ENOMEM or -ENOSPC where the pages are not to be had.
 */
SEALBUF_API int sealbuf_buffer_from_bytes(sealbuf_buffer **buffer, const void *bytes, size_t size, uint32_t seals);

/*
 * Makes a buffer of a descriptor that one has. On success it is the buffer's; on failure it stays the caller's.
 * -EBADF: not an open descriptor, or O_PATH. SEALBUF_ERR_NOT_MEMFD: not a memfd: a file in /dev/shm is none, although
 * it answers F_GET_SEALS.
 */
SEALBUF_API int sealbuf_buffer_adopt(sealbuf_buffer **buffer, int fd);

/* A second buffer with a duplicate (dup(2)) of the descriptor: same file, same access. No mapping. -EMFILE. */
SEALBUF_API int sealbuf_buffer_clone(const sealbuf_buffer *buffer, sealbuf_buffer **clone);

/*
 * A second buffer with a read-only description of its own, by way of /proc: whoever gets its descriptor cannot write,
 * seal or move the file offset of others. -EACCES: the file's mode. -EAGAIN: somebody holds a lease. -ENOENT: no /proc.
 */
SEALBUF_API int sealbuf_buffer_reopen(const sealbuf_buffer *buffer, sealbuf_buffer **reader);

/* Takes the mapping down, closes the descriptor, frees; NULL is allowed. Closing the last descriptor of a big buffer
   takes 40 ms a GiB. Returns NULL. */
SEALBUF_API sealbuf_buffer *sealbuf_buffer_free(sealbuf_buffer *buffer);

/* The descriptor; it stays the buffer's. */
SEALBUF_API int sealbuf_buffer_fd(const sealbuf_buffer *buffer);
/* Frees the buffer, takes its mapping down, and returns the descriptor, which is the caller's now. */
SEALBUF_API int sealbuf_buffer_take_fd(sealbuf_buffer *buffer);
/* The broker's id of it; 0 where no broker knows it. */
SEALBUF_API uint64_t sealbuf_buffer_id(const sealbuf_buffer *buffer);
/* 1 where the descriptor may write, 0 where it is read-only. */
SEALBUF_API int sealbuf_buffer_writable(const sealbuf_buffer *buffer);

/* Size now, as fstat(2) says. Does not block. */
SEALBUF_API int sealbuf_buffer_size(const sealbuf_buffer *buffer, uint64_t *size);
/* ftruncate(2). -EPERM: sealed against it. -EINVAL: not a multiple of the huge page, or read-only. -EFBIG. -EBUSY:
   mapped; unmap first, so that no pointer is left to memory that has gone. */
SEALBUF_API int sealbuf_buffer_resize(sealbuf_buffer *buffer, uint64_t size);

/*
 * Adds one or more seals, all of them or none (F_ADD_SEALS, fcntl(2)). A writable mapping that this buffer has is taken
 * down first where WRITE is asked for, and lives on under FUTURE_WRITE. May block for 0.16 s where pages are pinned,
 * and 4 ms for each GiB that is populated.
 * -EBUSY: WRITE, and somebody still has a writable (or a read-write descriptor's shared) mapping, or pinned pages; the
 * mapping is gone all the same. -EPERM: sealed against more seals, or a read-only descriptor. SEALBUF_ERR_SEALS:
 * unknown bits, to us or to this kernel.
 */
SEALBUF_API int sealbuf_buffer_seal(sealbuf_buffer *buffer, uint32_t seals);
/* The seals as the kernel has them now, bits unknown to us included. Does not block. */
SEALBUF_API int sealbuf_buffer_seals(const sealbuf_buffer *buffer, uint32_t *seals);
/* 1 where all of these are there (others may be, too), 0 where not, or a negative error. */
SEALBUF_API int sealbuf_buffer_has_seals(const sealbuf_buffer *buffer, uint32_t seals);

/*
 * pread(2) and pwrite(2), repeated until all is done or the end is reached: bytes done, fewer only at the end of the
 * file, or where an error came after some. -EPERM: sealed. -EBADF: read-only. -EINVAL: writing to huge pages; map them.
 */
SEALBUF_API ssize_t sealbuf_buffer_read(const sealbuf_buffer *buffer, void *bytes, size_t size, uint64_t offset);
SEALBUF_API ssize_t sealbuf_buffer_write(const sealbuf_buffer *buffer, const void *bytes, size_t size, uint64_t offset);

#define SEALBUF_MAP_WRITE   0x01u /* shared and writable; not once it has the WRITE or FUTURE_WRITE seal */
#define SEALBUF_MAP_PRIVATE 0x02u /* private and writable: copy on write, whatever the seals */
#define SEALBUF_MAP_UNSEALED                                                                                           \
    0x04u /* also without the SHRINK seal: somebody may shrink it, and reading is SIGBUS then */
#define SEALBUF_MAP_POPULATE 0x08u /* fault all pages in now: MAP_POPULATE of mmap(2) */

/*
 * Maps the whole buffer, read-only unless the flags say otherwise. Verifies first, by itself, that the kernel holds the
 * SHRINK seal, so that no other process can make an access fault, and takes the size from fstat(2). The mapping belongs
 * to the buffer, and lives until sealbuf_buffer_unmap, _free, _take_fd, or _seal with WRITE. Mapping again in the same
 * way returns the same. An empty buffer maps to NULL with size 0. Blocks only to populate.
 * SEALBUF_ERR_NOT_SEALED: no SHRINK seal. SEALBUF_ERR_MAPPED: mapped in another way. -EPERM: writable, but sealed.
 * -EACCES: writable, but a read-only descriptor. -ENOMEM: no address space, or no huge pages. SEALBUF_ERR_BAD_REPLY:
 * the seals fix its size, and it is not the one that the broker has told.
 */
SEALBUF_API int sealbuf_buffer_map(sealbuf_buffer *buffer, uint32_t flags, void **address, size_t *size);
/* Takes the mapping down, if there is one. */
SEALBUF_API void sealbuf_buffer_unmap(sealbuf_buffer *buffer);

/* ---- The connection: sealbuf_connect(3) ------------------------------------------------------------------------ */

#define SEALBUF_CONNECT_NO_WAIT      0x01u /* do not wait for the handshake; dispatch finds out whether it went well */
#define SEALBUF_CONNECT_NO_RECONNECT 0x02u /* when the connection ends, it has ended */

struct sealbuf_connect_options {
    size_t struct_size;
    const char *address; /* a path, or @NAME for the abstract namespace; NULL: as below */
    int timeout_ms;      /* for each synchronous call; 0: the default, 30 s; -1: for ever */
    uint32_t flags;
    char *sentence; /* NULL, or where a failure's cause and remedy go, NUL-terminated; a success leaves it alone */
    size_t sentence_size; /* how much room is there; what does not fit is cut off. SEALBUF_MAX_TEXT + 1 is enough */
};

/*
 * Connects to $SEALBUF_SOCKET if it is set; else to $XDG_RUNTIME_DIR/sealbuf/socket if somebody listens there; else to
 * /run/sealbuf/socket. The environment is not consulted where the process gained privileges by execve
 * (secure_getenv(3)). Waits for the handshake, at most timeout_ms; also with NO_WAIT it waits where so many connect
 * that the kernel's queue is full. The caller owns *client until sealbuf_disconnect.
 * SEALBUF_ERR_UNREACHABLE: nobody listens. SEALBUF_ERR_LIMIT: too many connections, of this uid or of all.
 * SEALBUF_ERR_VERSION. SEALBUF_ERR_TIMED_OUT. SEALBUF_ERR_DISCONNECTED, _STOPPING: it went away meanwhile.
 * SEALBUF_ERR_BAD_REPLY: it is no broker. SEALBUF_ERR_FLAGS. -ENAMETOOLONG: longer than a socket's address can be, or
 * empty. -EACCES: the socket's mode. -EMFILE, -ENOMEM.
 */
SEALBUF_API int sealbuf_connect(sealbuf_client **client, const struct sealbuf_connect_options *options);
/* Closes the connection and frees; NULL is allowed. Calls in flight are forgotten, without their callbacks. The broker
   drops what this connection created and never published. Returns NULL. */
SEALBUF_API sealbuf_client *sealbuf_disconnect(sealbuf_client *client);

/* The sentence that explains the last failure on this connection: cause and remedy, or "". Valid until the next call.
 */
SEALBUF_API const char *sealbuf_error(const sealbuf_client *client);
/* Where it is connected to. Lives as long as the client. */
SEALBUF_API const char *sealbuf_address(const sealbuf_client *client);

/*
 * When the broker is started again, the client connects again by itself, tries for as long as somebody waits, and
 * longer and longer between two attempts (a second at most), repeats the requests that can be repeated, and has the
 * broker adopt what the connection held, unpublished buffers, which get other ids. See sealbuf_connect(3).
 */
enum sealbuf_event_kind {
    SEALBUF_EVENT_DISCONNECTED = 1, /* `error`; the next attempt is made at once */
    SEALBUF_EVENT_RECONNECTED = 2,  /* `another` instance of the broker, or the same */
    SEALBUF_EVENT_READOPTED = 3,    /* the buffer `former_id` has `id` now */
    SEALBUF_EVENT_LOST = 4,         /* the broker did not take the buffer `former_id` back: `error`, `sentence` */
    SEALBUF_EVENT_UNKNOWN = 5, /* request `serial` was sent and not answered: it may have been carried out, or not */
    SEALBUF_EVENT_ENDED = 6,   /* for good, after a reconnection that went wrong: `error`, `sentence` */
};

struct sealbuf_event {
    size_t struct_size;
    uint32_t kind; /* enum sealbuf_event_kind; there may be others some day */
    int error;     /* 0 or a negative error */
    uint64_t instance, id, former_id;
    int serial;
    uint16_t opcode; /* of the request: SEALBUF_OP_... */
    uint16_t another;
    const char *sentence; /* "" where there is none; lives during the call */
};
/* Called while somebody dispatches or waits. It may start requests, but neither wait for one nor disconnect. */
typedef void sealbuf_event_fn(sealbuf_client *client, const struct sealbuf_event *event, void *userdata);
/* Who is told; NULL: nobody. */
SEALBUF_API void sealbuf_on_event(sealbuf_client *client, sealbuf_event_fn *fn, void *userdata);

#define SEALBUF_CONNECTION_UP    1u
#define SEALBUF_CONNECTION_AWAY  2u /* looking for the broker: whenever somebody dispatches or waits */
#define SEALBUF_CONNECTION_ENDED 3u /* for good */

struct sealbuf_connection {
    size_t struct_size;
    uint32_t state;    /* SEALBUF_CONNECTION_..., as far as it has been noticed */
    int error;         /* AWAY: of the last attempt; ENDED: why */
    uint64_t instance; /* of the broker: ids mean the same for as long as this stays the same */
    uint64_t disconnections, reconnections;
    uint64_t readopted, lost; /* buffers */
    uint64_t unknown;         /* requests whose outcome is unknown */
};
/* What became of the connection, without any call to the broker. Set connection->struct_size first. 0, or -EINVAL. */
SEALBUF_API int sealbuf_connection(const sealbuf_client *client, struct sealbuf_connection *connection);

/* ---- Synchronous operations: sealbuf_put(3), sealbuf_get(3), sealbuf_publish(3), sealbuf_list(3) --------------------
 */
/*
 * Every one of them sends a request and waits for its reply, at most timeout_ms; callbacks of asynchronous requests may
 * run meanwhile. What all can return besides their own errors: SEALBUF_ERR_DISCONNECTED, SEALBUF_ERR_TIMED_OUT (the
 * request may still be carried out), SEALBUF_ERR_BAD_REPLY, SEALBUF_ERR_STOPPING, SEALBUF_ERR_MEMORY, -ENOMEM.
 */

/* One round trip. */
SEALBUF_API int sealbuf_ping(sealbuf_client *client);

/*
 * Has the broker create a buffer that is charged to this uid and lives until it is published and removed, or until
 * this connection ends. The descriptor is read-write. SEALBUF_ERR_SIZE, _SEALS, _FLAGS, _LABEL, _METADATA: not valid.
 * SEALBUF_ERR_LIMIT: a quota. SEALBUF_ERR_UNSUPPORTED: no such huge pages, or no executable memfds.
 * SEALBUF_ERR_TABLE_FULL.
 */
SEALBUF_API int sealbuf_create(sealbuf_client *client, sealbuf_buffer **buffer,
                               const struct sealbuf_create_options *options);
/*
 * Several at once, at most 253, else -EINVAL. options[] and buffers[] have `count` elements; every
 * element of options[] has struct_size set, to the same value. Where one is not valid, nothing is done. What can only
 * be found out by doing it stands for itself: buffers[i] is NULL and status[i] negative where it failed; status may be
 * NULL. Returns 0 where all went well, else the first failure; those that succeeded are there and are the caller's.
 */
SEALBUF_API int sealbuf_create_many(sealbuf_client *client, sealbuf_buffer **buffers, int *status,
                                    const struct sealbuf_create_options *options, size_t count);

struct sealbuf_adopt_options {
    size_t struct_size;
    uint32_t seals; /* that the buffer must have already */
    uint32_t flags; /* 0 */
    const char *label;
    const char *const *metadata;
};

/*
 * Makes the broker know a buffer that was created without it; afterwards it has an id. The descriptor must be
 * read-write. Takes the write bits off the file's mode first, where it may: or else any reader could reopen it for
 * writing. Nothing but seals protects an adopted buffer from others of one's own uid.
 * SEALBUF_ERR_NOT_MEMFD, SEALBUF_ERR_ACCESS_MODE, SEALBUF_ERR_NOT_SEALED, SEALBUF_ERR_SIZE, SEALBUF_ERR_LIMIT.
 */
SEALBUF_API int sealbuf_adopt(sealbuf_client *client, sealbuf_buffer *buffer,
                              const struct sealbuf_adopt_options *options);

/* Has the broker add seals to the buffer of this id; one's own. The broker waits, not its loop. As sealbuf_buffer_seal,
   with SEALBUF_ERR_BUSY, _SEALED, _NOT_FOUND. Where one has the buffer, sealbuf_buffer_seal is faster. */
SEALBUF_API int sealbuf_seal(sealbuf_client *client, uint64_t id, uint32_t seals);

struct sealbuf_publish_options {
    size_t struct_size;
    const char *name;  /* 1 to 255 bytes, parts separated by slashes */
    uint32_t seals;    /* to be there when it is published; what is missing is applied, unless SEALBUF_PUBLISH_VERIFY */
    uint32_t mode;     /* who may get it: permission bits as of files, 0666 at most; 0 means 0600 */
    uint32_t flags;    /* SEALBUF_PUBLISH_... */
    uint32_t group;    /* with SEALBUF_PUBLISH_GROUP: whose the middle bits of the mode are; else one's own group */
    uint64_t expected; /* with SEALBUF_PUBLISH_COMPARE: the generation that the name must be at; 0: none */
    uint64_t expire_ms;          /* how long the name is there; 0: until it is removed. sealbuf_touch renews it */
    uint32_t keep;               /* so many former generations can still be got: SEALBUF_MAX_KEEP at most */
    uint32_t reserved;           /* 0 */
    const char *const *metadata; /* "KEY=VALUE" strings, NULL at the end, in place of those that the buffer has; only
                                    before it is published first. NULL: it keeps them */
};

/*
 * Binds a name in this uid's namespace to the buffer, which lives until the name is removed or replaced; with
 * SEALBUF_PUBLISH_TAKE, until somebody gets it by this name, and so takes it out of the broker. A buffer that
 * the broker does not know is adopted first. Missing seals are applied by this process where the buffer is writable
 * (a writable mapping is taken down for WRITE), else by the broker. *generation may be NULL.
 * Where it fails nothing is published; but seals that were added, the adoption, and a mapping that was taken down stay
 * so. SEALBUF_ERR_EXISTS: bound already, and no SEALBUF_PUBLISH_REPLACE. SEALBUF_ERR_NOT_SEALED, _BUSY, _SEALED or
 * -EBUSY, -EPERM: the seals are not to be had. SEALBUF_ERR_DENIED: a group that is none of one's own.
 * SEALBUF_ERR_STORE_FULL: it would not survive the broker, and neither SEALBUF_PUBLISH_VOLATILE nor _OR_VOLATILE says
 * that it need not. SEALBUF_ERR_GENERATION: with SEALBUF_PUBLISH_COMPARE, the name is not at `expected`; *generation
 * then says which it is at, 0 where it is not bound. SEALBUF_ERR_METADATA: the buffer was published before.
 * SEALBUF_ERR_NAME, _MODE, _LIMIT, _FLAGS.
 */
SEALBUF_API int sealbuf_publish(sealbuf_client *client, sealbuf_buffer *buffer,
                                const struct sealbuf_publish_options *options, uint64_t *generation);
/* Several buffers that the broker knows, each under its name, in one message; as sealbuf_create_many. With
   SEALBUF_PUBLISH_ATOMIC in each: all or none, and all of status[] is the error for which none was. */
SEALBUF_API int sealbuf_publish_many(sealbuf_client *client, sealbuf_buffer *const *buffers, int *status,
                                     const struct sealbuf_publish_options *options, size_t count);

#define SEALBUF_PUT_UNSEALED 0x10000u /* no seals besides those of birth, instead of immutable */

struct sealbuf_put_options {
    size_t struct_size;
    const char *name;
    uint32_t seals; /* 0 means SEALBUF_SEALS_IMMUTABLE */
    uint32_t mode;  /* 0 means 0600 */
    uint32_t flags; /* SEALBUF_PUBLISH_..., SEALBUF_PUT_... */
    uint32_t group; /* with SEALBUF_PUBLISH_GROUP */
    const char *label;
    const char *const *metadata;
    uint64_t expected, expire_ms; /* as of sealbuf_publish */
    uint32_t keep;
    uint32_t reserved; /* 0 */
};

/* These bytes under this name, in one call: create, fill, seal, publish. Errors of all four. */
SEALBUF_API int sealbuf_put(sealbuf_client *client, const struct sealbuf_put_options *options, const void *bytes,
                            size_t size, uint64_t *generation);

struct sealbuf_get_options {
    size_t struct_size;
    const char *name;
    uint64_t id;         /* instead of a name */
    uint32_t owner;      /* whose name, with SEALBUF_GET_OF_OWNER; else one's own */
    uint32_t seals;      /* that it must have; the library asks the kernel, not the broker's word */
    uint32_t flags;      /* SEALBUF_GET_... */
    uint32_t reserved;   /* 0 */
    const char *token;   /* instead of a name: what sealbuf_share has written */
    uint64_t generation; /* of the name: this one, current or kept; 0: the current one */
    uint64_t newer_than; /* a generation above this one; 0: any */
    uint64_t wait_ms;    /* with SEALBUF_GET_WAIT: for so long at most; 0: for ever. Without: 0 */
};
#define SEALBUF_GET_OF_OWNER 0x10000u /* `owner` is set */

/*
 * Gets a buffer, with a read-only description of its own, or with SEALBUF_GET_WRITABLE the read-write one. The caller
 * owns *buffer. SEALBUF_ERR_NOT_FOUND, _DENIED, _NOT_SEALED. SEALBUF_ERR_BAD_REPLY: the kernel does not confirm that
 * the descriptor is of a file in memory, has the seals that were asked for, and is open as it was asked for; the size
 * is verified by sealbuf_buffer_map. SEALBUF_ERR_BUSY: somebody holds a lease on the file. SEALBUF_ERR_TOKEN: the token
 * is none, or is not valid any more. SEALBUF_ERR_GENERATION: the name has no such generation, or none that is newer.
 * With SEALBUF_GET_WAIT it waits until there is one that fits, for wait_ms and not for the client's time-out:
 * SEALBUF_ERR_TIMED_OUT. The wait goes on over the end of the broker.
 */
SEALBUF_API int sealbuf_get(sealbuf_client *client, sealbuf_buffer **buffer, const struct sealbuf_get_options *options);
/* Several at once, at most 253, else -EINVAL; as sealbuf_create_many. */
SEALBUF_API int sealbuf_get_many(sealbuf_client *client, sealbuf_buffer **buffers, int *status,
                                 const struct sealbuf_get_options *options, size_t count);

struct sealbuf_target {
    size_t struct_size;
    const char *name;
    uint64_t id;         /* instead of a name */
    uint32_t owner;      /* with SEALBUF_GET_OF_OWNER */
    uint32_t flags;      /* SEALBUF_GET_OF_OWNER, SEALBUF_REMOVE_ATOMIC */
    uint64_t generation; /* of the name. STAT: this one, current or kept; REMOVE: only if it is at this one. 0: any */
};

/* What the broker says of a buffer. The strings are never NULL. */
struct sealbuf_info {
    size_t struct_size;
    uint64_t id;
    uint64_t size;      /* bytes */
    uint64_t allocated; /* bytes of memory that it takes */
    uint64_t generation;
    uint32_t seals;
    uint32_t flags; /* SEALBUF_INFO_... */
    uint32_t mode;
    uint32_t owner, group, creator_pid;
    uint64_t created_ns, published_ns;
    uint64_t creator_pidfd; /* inode of the creator's pidfd, which no other process ever has; 0: not known */
    const char *name, *label;
    const char *metadata; /* KEY=VALUE pairs, each ended by a NUL byte */
    size_t metadata_size;
    const char *creator_security; /* the creator's security label, of SELinux for example */
    uint64_t expire_ms;           /* how long the name will be there yet; 0: until it is removed */
    uint64_t oldest;              /* generation of the name that can still be got */
};

/* The value of the first pair with this key, or NULL. Points into info. */
SEALBUF_API const char *sealbuf_info_metadata(const struct sealbuf_info *info, const char *key);
/* What the broker said when the buffer came; NULL where no broker was involved. Strings only with SEALBUF_GET_DETAILS.
 */
SEALBUF_API const struct sealbuf_info *sealbuf_buffer_info(const sealbuf_buffer *buffer);

/* Unbinds a name, or drops an unpublished buffer by id. Whoever has got it keeps it. SEALBUF_ERR_NOT_FOUND, _DENIED. */
SEALBUF_API int sealbuf_remove(sealbuf_client *client, const struct sealbuf_target *target);
/* *info and its strings live until the next call on this client. SEALBUF_ERR_NOT_FOUND, _DENIED. */
SEALBUF_API int sealbuf_stat(sealbuf_client *client, const struct sealbuf_target *target,
                             const struct sealbuf_info **info);

/* Several names, at most 253, else -EINVAL; as sealbuf_create_many. With SEALBUF_REMOVE_ATOMIC in each: all or none. */
SEALBUF_API int sealbuf_remove_many(sealbuf_client *client, int *status, const struct sealbuf_target *targets,
                                    size_t count);

/*
 * Renews the lease of a name of one's own: from now on it is there for expire_ms, or, with 0, until it is removed.
 * It also counts as a use, where the name is evictable. target->id must be 0. SEALBUF_ERR_NOT_FOUND, _DENIED, _TARGET.
 */
SEALBUF_API int sealbuf_touch(sealbuf_client *client, const struct sealbuf_target *target, uint64_t expire_ms);

/* ---- Watching: sealbuf_watch(3) ---------------------------------------------------------------------------------- */

struct sealbuf_watch_options {
    size_t struct_size;
    const char *prefix; /* of the names; NULL or "" for all; with SEALBUF_WATCH_EXACT the name */
    uint32_t owner;     /* whose names, with SEALBUF_GET_OF_OWNER; else one's own */
    uint32_t flags;     /* SEALBUF_WATCH_..., SEALBUF_GET_OF_OWNER */
};

/* What has happened to a name. */
struct sealbuf_change {
    size_t struct_size;
    uint32_t kind;                   /* enum sealbuf_change_kind; there may be others some day */
    int error;                       /* of the end of a watch (kind 0): why; else 0 */
    const struct sealbuf_info *info; /* id, size, seals, generation, name, ...: as it was then */
    sealbuf_buffer *buffer; /* with SEALBUF_WATCH_DESCRIPTORS, verified as by sealbuf_get; NULL: it was gone already */
    const char *sentence;   /* with an error; "" where there is none */
};
/* `change` lives during the call. To keep its buffer, take it: sealbuf_change_take_buffer. What is not taken is freed.
   As a reply's callback it may start requests, but neither wait for one nor disconnect. */
typedef void sealbuf_change_fn(sealbuf_client *client, const struct sealbuf_change *change, void *userdata);
SEALBUF_API sealbuf_buffer *sealbuf_change_take_buffer(const struct sealbuf_change *change);

/*
 * Watches names: fn is called for each that is there (PRESENT), then once with SYNC, and from then on for whatever
 * happens to them, in order and without a gap. Whoever does not keep up is told OVERFLOW, and then all that is there
 * anew, up to the next SYNC. The same happens after the broker has been started again. Returns the watch's serial
 * number (above 0), or a negative error; never waits. It ends with sealbuf_cancel, after which fn is not called any
 * more; or with a call of kind 0, and then its error says why. SEALBUF_ERR_LIMIT, _NAME, _FLAGS come so, too, and
 * -EMFILE, -ENOMEM, where a message could not be taken in.
 */
SEALBUF_API int sealbuf_watch(sealbuf_client *client, const struct sealbuf_watch_options *options,
                              sealbuf_change_fn *fn, void *userdata);

/* ---- Tokens: sealbuf_share(3) ------------------------------------------------------------------------------------ */

/* Room for a token as text: 48 hexadecimal digits and the NUL. */
#define SEALBUF_TOKEN_TEXT 49

struct sealbuf_share_options {
    size_t struct_size;
    const char *name;
    uint64_t id;        /* instead of a name */
    uint64_t expire_ms; /* for how long the token is good; 0: for as long as the buffer is there */
    uint32_t owner;     /* with SEALBUF_GET_OF_OWNER; only root can share what is another's */
    uint32_t uses;      /* how often it can be redeemed; 0: any number of times */
    uint32_t flags;     /* SEALBUF_SHARE_..., SEALBUF_GET_OF_OWNER */
    uint32_t reserved;  /* 0 */
};

/*
 * Makes a token for a buffer of one's own: whoever has it gets the buffer, whatever the mode of its name says. It is a
 * secret: hand it on by a way that nobody else can read, and wipe it (explicit_bzero(3)). It dies with the buffer.
 * SEALBUF_ERR_NOT_FOUND, _DENIED, _LIMIT, _TARGET, _FLAGS.
 */
SEALBUF_API int sealbuf_share(sealbuf_client *client, const struct sealbuf_share_options *options,
                              char token[SEALBUF_TOKEN_TEXT]);
/*
 * Gets the buffer of a token, which must have these seals; `flags` as of sealbuf_get, whose errors it has, too.
 * SEALBUF_ERR_TOKEN: it is not valid: the text is no token (then the broker is not asked), or it was never given out,
 * was redeemed as often as it may be, has expired, was revoked, or its buffer is gone.
 */
SEALBUF_API int sealbuf_redeem(sealbuf_client *client, sealbuf_buffer **buffer, const char *token, uint32_t seals,
                               uint32_t flags);

struct sealbuf_revoke_options {
    size_t struct_size;
    const char *token; /* this one, or: */
    const char *name;  /* all tokens of the buffer of this name, or: */
    uint64_t id;       /* of this id */
    uint32_t owner;    /* with SEALBUF_GET_OF_OWNER */
    uint32_t flags;    /* SEALBUF_GET_OF_OWNER */
};

/* Makes tokens worthless. What was got with them stays got. SEALBUF_ERR_TOKEN, _NOT_FOUND, _DENIED, _TARGET. */
SEALBUF_API int sealbuf_revoke(sealbuf_client *client, const struct sealbuf_revoke_options *options);

/* ---- Lists and figures: sealbuf_list(3) -------------------------------------------------------------------------- */

struct sealbuf_list_options {
    size_t struct_size;
    const char *prefix; /* NULL or "" for all */
    uint32_t owner;     /* with SEALBUF_GET_OF_OWNER */
    uint32_t flags;     /* SEALBUF_LIST_... and SEALBUF_GET_OF_OWNER */
};
/* Non-zero stops the listing, which then returns it. `info` lives during the call; metadata is in it with
   SEALBUF_LIST_DETAILS only. */
typedef int sealbuf_list_fn(const struct sealbuf_info *info, void *userdata);
/* Calls fn for each name, in bytewise order, page by page: names that come or go meanwhile may be seen or not. fn must
   not use this client. */
SEALBUF_API int sealbuf_list(sealbuf_client *client, const struct sealbuf_list_options *options, sealbuf_list_fn *fn,
                             void *userdata);

struct sealbuf_stats {
    size_t struct_size;
    uint32_t pid, uid;
    uint64_t uptime_ns;
    uint64_t requests, refused, disconnects;
    uint64_t buffers, buffers_limit, bytes, bytes_limit, names, names_limit, connections, connections_limit;
    uint64_t buffer_size_limit, jobs, queued_descriptors;
    uint64_t uid_buffers, uid_buffers_limit, uid_bytes, uid_bytes_limit;
    uint64_t uid_names, uid_names_limit, uid_connections, uid_connections_limit;
    char version[64];
    uint64_t stored, stored_limit, uid_stored, uid_stored_limit; /* buffers in the service manager's store */
};
/* The broker's figures, and those of one's own uid. Set stats->struct_size first. What all uids together have and did
   is 0 for who is no administrator. */
SEALBUF_API int sealbuf_stats(sealbuf_client *client, struct sealbuf_stats *stats);

/* What a uid holds of each resource, and how much it may hold now. UINT64_MAX in place of a limit: there is none. */
struct sealbuf_account {
    size_t struct_size;
    uint32_t uid; /* SEALBUF_ALL_UIDS: all together, and what the broker allows in all */
    uint32_t reserved;
    uint64_t bytes, bytes_limit, buffers, buffers_limit, names, names_limit;
    uint64_t metadata, metadata_limit; /* bytes of names, labels and metadata */
    uint64_t tokens, tokens_limit, connections, connections_limit;
    uint64_t requests, requests_limit, replies, replies_limit; /* that wait */
    uint64_t queued_descriptors, queued_descriptors_limit;     /* kept for replies that wait, and for workers */
    uint64_t in_flight, in_flight_limit;                       /* descriptors that were sent and not yet received */
    uint64_t stored, stored_limit;                             /* buffers in the service manager's store */
    uint64_t waits, waits_limit;                               /* GETs that wait */
    uint64_t watches, watches_limit;
};

struct sealbuf_accounts_options {
    size_t struct_size;
    uint32_t flags;    /* SEALBUF_ACCOUNTS_... */
    uint32_t reserved; /* 0 */
};
/* Non-zero stops the listing, which then returns it. `account` lives during the call. */
typedef int sealbuf_account_fn(const struct sealbuf_account *account, void *userdata);
/* Calls fn with one's own account; with SEALBUF_ACCOUNTS_ALL, with those of all uids in their order, and with the sums
   at the end. fn must not use this client. SEALBUF_ERR_DENIED: all of them are for administrators. */
SEALBUF_API int sealbuf_accounts(sealbuf_client *client, const struct sealbuf_accounts_options *options,
                                 sealbuf_account_fn *fn, void *userdata);

/* ---- Administration: sealbuf_reexec(3) --------------------------------------------------------------------------- */

/*
 * Has the broker execute its program anew, in the same process and with all that it has: for administrators, after an
 * upgrade. Returns when the new program serves everybody again; clients notice nothing else. It may take some seconds,
 * for which the client's time-out must suffice. SEALBUF_ERR_DENIED. SEALBUF_ERR_INTERNAL: the program could not take
 * over, and the one that ran goes on; sealbuf_error says why. SEALBUF_ERR_BUSY: it is under way already.
 */
SEALBUF_API int sealbuf_reexec(sealbuf_client *client);

/* ---- Asynchronous operations: sealbuf_dispatch(3) ---------------------------------------------------------------- */
/*
 * Each sealbuf_start_... queues a request and returns its serial number (above 0) without waiting, or a negative error;
 * then nothing was queued. fn is called once, by sealbuf_dispatch or by a synchronous call, in the order of the
 * requests: also when the connection ends (status SEALBUF_ERR_DISCONNECTED), never after sealbuf_cancel or
 * sealbuf_disconnect. Out of that order are GETs with SEALBUF_GET_WAIT: each is answered when there is something. It
 * may start requests, but neither wait for one nor disconnect. fn may be NULL. Poll sealbuf_fd for sealbuf_events
 * (poll(2) bits), and call sealbuf_dispatch when they are there. Both can change with every call. The descriptor is the
 * same for the life of the client, over all its connections: the first call of sealbuf_fd makes an epoll descriptor, or
 * fails with -EMFILE or -ENOMEM.
 */
typedef void sealbuf_reply_fn(sealbuf_client *client, sealbuf_reply *reply, void *userdata);

SEALBUF_API int sealbuf_fd(const sealbuf_client *client);
SEALBUF_API int sealbuf_events(const sealbuf_client *client);
/* Sends what can be sent, reads what is there, calls back; never waits. Of watches it reads 64 messages at most, so
   that the descriptor may be readable still. The number of callbacks, where a message of a watch counts as one, or an
   error that ended the connection. */
SEALBUF_API int sealbuf_dispatch(sealbuf_client *client);
/* poll(2) for sealbuf_events, then sealbuf_dispatch, whose result it returns; -1 waits for ever. 0 also where the time
   is up. */
SEALBUF_API int sealbuf_wait(sealbuf_client *client, int timeout_ms);
/* Forgets a request's callback, and the buffer that it was to adopt. The request is carried out all the same, what
   comes back is closed; but a GET that waits, and a watch, are ended. -ENOENT: there is no such request, or nothing of
   it to forget. */
SEALBUF_API int sealbuf_cancel(sealbuf_client *client, int serial);
/* Requests that have no reply yet. Watches do not count. */
SEALBUF_API size_t sealbuf_pending(const sealbuf_client *client);

SEALBUF_API int sealbuf_start_ping(sealbuf_client *client, sealbuf_reply_fn *fn, void *userdata);
SEALBUF_API int sealbuf_start_create(sealbuf_client *client, const struct sealbuf_create_options *options, size_t count,
                                     sealbuf_reply_fn *fn, void *userdata);
/* The buffer must live until the reply, or until sealbuf_cancel; it gets its id with the reply. -ETOOMANYREFS, here or
   as the status: so many descriptors of this user are in flight that the kernel takes no more; try again later. */
SEALBUF_API int sealbuf_start_adopt(sealbuf_client *client, sealbuf_buffer *buffer,
                                    const struct sealbuf_adopt_options *options, sealbuf_reply_fn *fn, void *userdata);
SEALBUF_API int sealbuf_start_seal(sealbuf_client *client, uint64_t id, uint32_t seals, sealbuf_reply_fn *fn,
                                   void *userdata);
/* Applies no seals by itself and adopts nothing: the broker does, respectively answers SEALBUF_ERR_TARGET. */
SEALBUF_API int sealbuf_start_publish(sealbuf_client *client, sealbuf_buffer *const *buffers,
                                      const struct sealbuf_publish_options *options, size_t count, sealbuf_reply_fn *fn,
                                      void *userdata);
SEALBUF_API int sealbuf_start_get(sealbuf_client *client, const struct sealbuf_get_options *options, size_t count,
                                  sealbuf_reply_fn *fn, void *userdata);
SEALBUF_API int sealbuf_start_remove(sealbuf_client *client, const struct sealbuf_target *targets, size_t count,
                                     sealbuf_reply_fn *fn, void *userdata);
SEALBUF_API int sealbuf_start_share(sealbuf_client *client, const struct sealbuf_share_options *options, size_t count,
                                    sealbuf_reply_fn *fn, void *userdata);
SEALBUF_API int sealbuf_start_revoke(sealbuf_client *client, const struct sealbuf_revoke_options *options, size_t count,
                                     sealbuf_reply_fn *fn, void *userdata);
SEALBUF_API int sealbuf_start_stat(sealbuf_client *client, const struct sealbuf_target *targets, size_t count,
                                   sealbuf_reply_fn *fn, void *userdata);

/* expire_ms as of sealbuf_touch, for all of them. */
SEALBUF_API int sealbuf_start_touch(sealbuf_client *client, const struct sealbuf_target *targets, size_t count,
                                    uint64_t expire_ms, sealbuf_reply_fn *fn, void *userdata);
SEALBUF_API int sealbuf_start_reexec(sealbuf_client *client, sealbuf_reply_fn *fn, void *userdata);

/* The reply lives during the callback. */
/* 0, or why the request as a whole, or else the first failed record, failed. */
SEALBUF_API int sealbuf_reply_status(const sealbuf_reply *reply);
/* Records: as many as were asked for, or 0 where the request as a whole failed. */
SEALBUF_API size_t sealbuf_reply_count(const sealbuf_reply *reply);
/* Of record i: its status; its sentence, "" where there is none; what it says of the buffer (PUBLISH, SEAL, REMOVE
   and TOUCH fill in id, seals and generation; SHARE and REVOKE the id). */
SEALBUF_API int sealbuf_reply_record_status(const sealbuf_reply *reply, size_t i);
SEALBUF_API const char *sealbuf_reply_record_error(const sealbuf_reply *reply, size_t i);
SEALBUF_API const struct sealbuf_info *sealbuf_reply_info(const sealbuf_reply *reply, size_t i);
/* Writes the token that record i of a reply to SHARE has. 0; -ENOENT: it has none. */
SEALBUF_API int sealbuf_reply_token(const sealbuf_reply *reply, size_t i, char token[SEALBUF_TOKEN_TEXT]);
/* Takes the verified buffer out of record i; NULL where there is none, or it was taken. What is not taken is freed. */
SEALBUF_API sealbuf_buffer *sealbuf_reply_take_buffer(sealbuf_reply *reply, size_t i);

#ifdef __cplusplus
}
#endif

#endif
