/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli), as iSCSI and ext4 have it: finds every error of up to 5 bits in a record, and every burst
 * of 32. */
#ifndef DAEMON_CRC32C_H
#define DAEMON_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of `data` behind what gave `crc`; 0 for none. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);

#endif
