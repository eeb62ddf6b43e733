/* SPDX-License-Identifier: MIT */
/*
 * The handlers. Those of records are called once for each record of a request, and fill in the record of the reply;
 * they return 0 or what refuse() returned. Those of whole requests write the reply themselves (and listing.h).
 */
#ifndef DAEMON_SERVE_H
#define DAEMON_SERVE_H

#include "request.h"
#include "target.h"

int serve_hello(struct request *request, const union request_record *in, union reply_record *out);
int serve_create(struct request *request, const union request_record *in, union reply_record *out);
int serve_seal(struct request *request, const union request_record *in, union reply_record *out);
int serve_adopt(struct request *request, const union request_record *in, union reply_record *out);
int serve_publish(struct request *request, const union request_record *in, union reply_record *out);
int serve_get(struct request *request, const union request_record *in, union reply_record *out);
int serve_remove(struct request *request, const union request_record *in, union reply_record *out);
int serve_touch(struct request *request, const union request_record *in, union reply_record *out);
int serve_stat(struct request *request, const union request_record *in, union reply_record *out);

int serve_share(struct request *request, const union request_record *in, union reply_record *out);
int serve_revoke(struct request *request, const union request_record *in, union reply_record *out);

int serve_cancel(struct request *request, const union request_record *in, union reply_record *out);
/* REQUEST_DETACHED: its replies come when there is something to tell. */
int serve_watch(struct request *request, const union request_record *in);

int serve_stats(struct request *request);
/* Also REQUEST_ASIDE. */
int serve_reexec(struct request *request);

/* What SEAL and PUBLISH check before any seal is added: 0 and the buffer, or a refusal. */
int check_seal(struct request *request, const struct seal_request *in, struct buffer **buffer);
int check_publish(struct request *request, const struct publish_request *in, struct buffer **buffer);

/*
 * Of PUBLISH, GET and REMOVE, all that can be refused, but for what is charged and made: 0 and what was asked for, with
 * the reply as far as it is known. They may work off leases and claims that have ended, and take names and buffers away
 * that were found before.
 */
int publish_judge(struct request *request, const struct publish_request *in, struct binding *binding,
                  struct outcome *out);
int get_judge(struct request *request, const struct get_request *in, struct target *target, struct buffer_record *out);
int remove_judge(struct request *request, const struct target_request *in, struct target *target, struct outcome *out);
/* A reader's descriptor, into the shipment. 0 or a refusal. */
int get_ship_reader(struct request *request, const struct buffer *buffer);
/* What somebody else than its owner is about to remove is logged. */
void remove_log(struct request *request, const struct name *name);

#endif
