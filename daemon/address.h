/* SPDX-License-Identifier: MIT */
/*
 * A socket in the file system that this broker has made. A lock file beside it, PATH.lock, tells a broker that runs
 * from one that was killed and left its socket behind; the kernel drops the lock with the process.
 */
#ifndef DAEMON_ADDRESS_H
#define DAEMON_ADDRESS_H

#include "codec.h"
#include "config.h"

struct address;

/*
 * Binds and listens at the configured path, or at the default one, whose folder it makes if need be. The socket, or a
 * negative errno that has been logged. *address goes to address_release, which removes the socket.
 */
int address_listen(const struct config *config, struct address **address);
/* The permission bits that its socket gets. */
mode_t address_mode(const struct config *config);
/* $XDG_RUNTIME_DIR of a user's own broker; NULL where this is the system's: as root, or where it is not set. */
const char *address_runtime_folder(void);
/* The descriptor of the lock file. */
int address_lock(const struct address *address);
/* One that the program before has made: it is as if it had been made here. Takes the lock. NULL: no memory. */
struct address *address_restore(struct span path, int lock);
const char *address_text(const struct address *address);
/* NULL is allowed. */
void address_release(struct address *address);

#endif
