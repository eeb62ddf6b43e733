/* SPDX-License-Identifier: MIT */
#include "errors.h"

#include <stddef.h>

#define ENTRY(code, cause, remedy) [SEALBUF_ERR_##code - SEALBUF_ERR_FIRST] = {SEALBUF_ERR_##code, #code, cause, remedy}

static const struct error_entry entries[] = {
    ENTRY(MALFORMED, "the message does not follow the wire format",
          "compare the client with docs/protocol.md; lengths and counts must agree to the byte"),
    ENTRY(VERSION, "the broker speaks none of the protocol versions offered",
          "upgrade the older one of client and broker"),
    ENTRY(OPCODE, "the broker does not know this operation", "upgrade the broker, or do without the operation"),
    ENTRY(RESERVED, "a field or bit that this broker does not know is not zero",
          "upgrade the broker, or do without the option"),
    ENTRY(HELLO, "HELLO must be the first message on a connection, and the only one of its kind",
          "send HELLO once, right after connecting"),
    ENTRY(DESCRIPTORS, "more or fewer descriptors arrived than the message announces or the operation takes",
          "attach one descriptor to each ADOPT record and none to anything else"),
    ENTRY(TOO_BIG, "the reply or the message would be longer than a message may be", "ask for fewer records at once"),
    ENTRY(FLAGS, "a flag is unknown, or two flags contradict each other",
          "see the flags of the operation in docs/protocol.md"),
    ENTRY(SIZE, "the size is negative, beyond the limit, or not a multiple of the huge page",
          "give a size from 0 to the limit buffer-size, or have that raised; with huge pages, a multiple of the page"),
    ENTRY(NAME, "the name is not valid",
          "use 1 to 255 bytes of UTF-8 without control characters, no empty, '.' or '..' part, no slash at "
          "either end"),
    ENTRY(LABEL, "the label is not valid", "use at most 249 bytes of UTF-8 without control characters"),
    ENTRY(METADATA, "the metadata is not valid",
          "use at most 4096 bytes of KEY=VALUE pairs, each ended by a NUL byte, no key empty"),
    ENTRY(SEALS, "the seals are not valid", "use bits of 0x3f, see F_ADD_SEALS in fcntl(2)"),
    ENTRY(MODE, "the mode is not valid", "use permission bits of 0666, such as 0600 or 0644"),
    ENTRY(TARGET, "exactly one of id, name and token must say which buffer is meant",
          "give an id that is not 0, or a name, or a token where one can be given; one of them"),
    ENTRY(NOT_MEMFD, "the descriptor is not a memfd", "create it with memfd_create(2)"),
    ENTRY(ACCESS_MODE, "the descriptor cannot be both read and written",
          "send the read-write descriptor that memfd_create(2) returned, its mode readable for the broker"),
    ENTRY(NOT_SEALED, "the buffer lacks seals that were asked for",
          "have the producer add the seals, or require fewer"),
    ENTRY(SEALED, "the buffer's seals forbid it", "make a new buffer; a seal cannot be taken back"),
    ENTRY(BUSY, "the Write seal is impossible while a shared mapping can write, pages are pinned, or a lease is held",
          "unmap all writable mappings in every process, finish input and output on it, and try again"),
    ENTRY(NOT_FOUND, "there is no such buffer", "look at `sealbufctl list --all`, and give the owner"),
    ENTRY(EXISTS, "the name is bound already", "choose another name, or ask to replace it"),
    ENTRY(DENIED, "you may not do this",
          "ask the owner, who can publish with a wider mode or share a token, or ask an administrator"),
    ENTRY(LIMIT, "a limit of the broker is reached",
          "remove what is not needed, or have the limit raised in sealbufd.conf"),
    ENTRY(MEMORY, "the broker's memory is exhausted", "try again later, or give the broker more memory"),
    ENTRY(TABLE_FULL, "a descriptor table is full", "close or remove something, or raise RLIMIT_NOFILE"),
    ENTRY(UNSUPPORTED, "the broker's kernel does not offer it", "do without the option, or use a newer kernel"),
    ENTRY(STOPPING, "the broker is shutting down", "connect again"),
    ENTRY(INTERNAL, "the broker failed in a way that is not the client's fault", "see the broker's log, and report it"),
    ENTRY(UNREACHABLE, "no broker answers at the address",
          "start sealbufd or its socket unit, or set SEALBUF_SOCKET to where it listens"),
    ENTRY(DISCONNECTED, "the broker closed the connection",
          "connect again, unless the client does so by itself; the broker's log says why it closed"),
    ENTRY(TIMED_OUT, "there was no answer in time",
          "wait for longer; where nothing was waited for, see whether the broker is stopped or overloaded"),
    ENTRY(BAD_REPLY, "the broker's reply contradicts the protocol or the kernel",
          "do not use the buffer; connect to a broker that you trust"),
    ENTRY(MAPPED, "the buffer is mapped in another way already", "unmap it first"),
    ENTRY(TOKEN, "the token is not valid: never given out, used up, expired, revoked, or its buffer is gone",
          "ask who shared the buffer for a new one"),
    ENTRY(STORE_FULL, "the service manager's store is full, so what is published now would not survive the broker",
          "remove what is not needed, raise FileDescriptorStoreMax= of the unit, or say that it need not survive"),
    ENTRY(GENERATION, "the name is not at the generation that was asked for",
          "look which one it is at (`sealbufctl stat`), and decide anew"),
    ENTRY(CANCELLED, "the request was cancelled", "ask again, if it is wanted after all"),
};

const struct error_entry *error_entry(uint32_t code)
{
    if (code < SEALBUF_ERR_FIRST || code > SEALBUF_ERR_LAST)
        return NULL;
    return &entries[code - SEALBUF_ERR_FIRST];
}
