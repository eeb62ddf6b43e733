/* SPDX-License-Identifier: MIT */
/* WATCH and CANCEL. */
#include "serve.h"

int serve_cancel(struct request *request, const union request_record *in, union reply_record *out)
{
    (void)in, (void)out;
    return refuse(request, SEALBUF_ERR_UNSUPPORTED, "%s", "");
}

int serve_watch(struct request *request, const union request_record *in)
{
    (void)in;
    return refuse(request, SEALBUF_ERR_UNSUPPORTED, "%s", "");
}
