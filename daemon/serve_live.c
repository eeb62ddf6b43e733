/* SPDX-License-Identifier: MIT */
/* WATCH and CANCEL. */
#include "dispatch.h"
#include "serve.h"
#include "text.h"
#include "wait.h"
#include "watch.h"

/* False: the connection has neither a GET that waits nor a watch with this serial. */
static bool end(struct peer *peer, uint32_t serial, enum sealbuf_opcode *opcode)
{
    struct wait *wait = wait_find(peer, serial);

    *opcode = wait ? SEALBUF_OP_GET : SEALBUF_OP_WATCH;
    if (!wait)
        return watch_cancel(peer, serial);
    wait_end(wait, false);
    return true;
}

/* What is cancelled gets its last message first. */
int serve_cancel(struct request *request, const union request_record *in, union reply_record *out)
{
    struct peer *peer = request->peer;
    uint32_t serial = in->cancel.serial;
    enum sealbuf_opcode opcode;

    (void)out;
    if (!end(peer, serial, &opcode))
        return refuse_with_remedy(request, SEALBUF_ERR_NOT_FOUND,
                                  "no GET waits, and no watch goes on, under serial %u; if it has ended meanwhile, its "
                                  "last message says how",
                                  serial);
    request->is_lost = dispatch_last(peer, opcode, serial, SEALBUF_ERR_CANCELLED) == END;
    return 0;
}

/* From here on its replies come in the turns of its peer, the first one in this turn. */
int serve_watch(struct request *request, const union request_record *record)
{
    const struct watch_request *in = &record->watch;
    uint32_t serial = request->header.serial;
    struct limit_met met;

    if (in->flags & SEALBUF_WATCH_EXACT && !name_valid(in->name.data, in->name.length))
        return refuse(request, SEALBUF_ERR_NAME, "EXACT is asked for, and what is given is no name");
    int r = watch_begin(request->peer, serial, in, &met);
    return r ? refuse_limit(request, r, &met) : REQUEST_DETACHED;
}
