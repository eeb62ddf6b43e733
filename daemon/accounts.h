/* SPDX-License-Identifier: MIT */
/* ACCOUNTS: what uids hold and how much they may. One's own; to administrators everybody's, and the sums. */
#ifndef DAEMON_ACCOUNTS_H
#define DAEMON_ACCOUNTS_H

#include "request.h"

/* Fills the reply with accounts in order of uid, from one on. 0 or a refusal. */
int accounts_serve(struct request *request, const union request_record *in);

#endif
