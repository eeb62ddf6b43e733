/* SPDX-License-Identifier: MIT */
/* WATCH and CANCEL. */
#include "dispatch.h"
#include "serve.h"
#include "wait.h"

/* What was waited for is answered first. */
int serve_cancel(struct request *request, const union request_record *in, union reply_record *out)
{
    struct peer *peer = request->peer;
    uint32_t serial = in->cancel.serial;
    struct wait *wait = wait_find(peer, serial);

    (void)out;
    if (!wait)
        return refuse(request, SEALBUF_ERR_NOT_FOUND, "nothing with serial %u waits", serial);
    wait_end(wait, false);
    request->is_lost = dispatch_last(peer, SEALBUF_OP_GET, serial, SEALBUF_ERR_CANCELLED) == END;
    return 0;
}

int serve_watch(struct request *request, const union request_record *in)
{
    (void)in;
    return refuse(request, SEALBUF_ERR_UNSUPPORTED, "%s", "");
}
