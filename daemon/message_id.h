/* SPDX-License-Identifier: MIT */
/*
 * MESSAGE_ID= of the journal's entries that an operator would look for. systemd/catalog/sealbufd.catalog explains each
 * of them; a test compares the two. A number stays with its meaning for ever.
 */
#ifndef DAEMON_MESSAGE_ID_H
#define DAEMON_MESSAGE_ID_H

/* It starts, and ends. */
#define MESSAGE_ID_STARTED  "20250ae5b9614fafa996a703c5a85a76"
#define MESSAGE_ID_STOPPING "b2f363f20c8b4f96b10ed562762b0c6d"
/* What was kept over its end is there again; or could not be taken back. */
#define MESSAGE_ID_RESTORED     "e3571b99ef084ca8b887917c64edc8cc"
#define MESSAGE_ID_NOT_RESTORED "7adb43ab1d764952b1ddda8148e2cd50"
/* A client was dropped for what it did; was not let in; met a limit. */
#define MESSAGE_ID_DROPPED      "53cd90295a394ed0b4613afccebf403d"
#define MESSAGE_ID_NOT_ADMITTED "14c63dc08f11473d99b21e6e9c7ffca0"
#define MESSAGE_ID_LIMIT        "eafb2ad10f83494e9720f957d2037dee"
/* The service manager keeps no more. */
#define MESSAGE_ID_STORE_FULL "070071d45372457493ad16e45582d74a"
/* The configuration is wrong; was read again. */
#define MESSAGE_ID_CONFIG_REFUSED "f029b10915654e6fa1ff187703fcbecd"
#define MESSAGE_ID_CONFIG_READ    "5ddaa0b352e1403ea2a0c4b14c303f86"
/* The program was executed anew in its own place; or could not be. */
#define MESSAGE_ID_REEXEC        "3a67f3fca948496593e3e1dd503d21df"
#define MESSAGE_ID_REEXEC_FAILED "e68c1213a4fb493086dbed4e4127a8fd"
/* The loop stood still, nearly long enough for the watchdog. */
#define MESSAGE_ID_LATE "f6847a6dd51242b89d0f0b4f96885d80"
/* No descriptors or memory for new connections. */
#define MESSAGE_ID_NOT_ACCEPTING "367ce83b091c4c74915625d5bd4f5d7f"
/* A name was removed by somebody else than its owner. */
#define MESSAGE_ID_REMOVED "7e3f136001de49669529a2c9409afad1"

#endif
