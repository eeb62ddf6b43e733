/* SPDX-License-Identifier: MIT */
#include "crc32c.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* bits reversed */

/* table[i] is for a byte with i more bytes behind it, so that eight are taken at once. */
static uint32_t table[8][256];
static bool is_made;

static void make_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
        table[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++)
        for (unsigned i = 1; i < 8; i++)
            table[i][byte] = table[i - 1][byte] >> 8 ^ table[0][table[i - 1][byte] & 0xff];
    is_made = true;
}

static uint32_t take_eight(uint32_t crc, const uint8_t *bytes)
{
    uint64_t word;
    uint32_t sum = 0;

    memcpy(&word, bytes, sizeof(word));
    word = le64toh(word) ^ crc;
    for (unsigned i = 0; i < 8; i++)
        sum ^= table[7 - i][word >> 8 * i & 0xff];
    return sum;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t length)
{
    const uint8_t *at = data;

    if (!is_made)
        make_table();
    crc = ~crc;
    for (; length >= 8; length -= 8, at += 8)
        crc = take_eight(crc, at);
    for (; length; length--)
        crc = crc >> 8 ^ table[0][(crc ^ *at++) & 0xff];
    return ~crc;
}
