/* SPDX-License-Identifier: MIT */
/* WATCH and CANCEL. */
#include "serve.h"
#include "text.h"
#include "watch.h"

int serve_cancel(struct request *request, const union request_record *in, union reply_record *out)
{
    (void)out;
    if (watch_cancel(request->peer, in->cancel.serial))
        return 0;
    return refuse(request, SEALBUF_ERR_NOT_FOUND, "nothing waits under serial %u", in->cancel.serial);
}

/* From here on its replies come in the turns of its peer, the first one in this turn. */
int serve_watch(struct request *request, const union request_record *record)
{
    const struct watch_request *in = &record->watch;
    uint32_t serial = request->header.serial;
    struct limit_met met;

    if (in->flags & SEALBUF_WATCH_EXACT && !name_valid(in->name.data, in->name.length))
        return refuse(request, SEALBUF_ERR_NAME, "EXACT is asked for, and what is given is no name");
    if (watch_find(request->peer, serial))
        return refuse(request, SEALBUF_ERR_MALFORMED, "serial %u is that of a watch", serial);
    int r = watch_begin(request->peer, serial, in, &met);
    return r ? refuse_limit(request, r, &met) : REQUEST_DETACHED;
}
