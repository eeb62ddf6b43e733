/* SPDX-License-Identifier: MIT */
/* REEXEC: asked of one program, and answered by the next one. */
#include <errno.h>

#include "aside.h"
#include "log.h"
#include "reexec.h"
#include "serve.h"

/* It is put aside until there is something to say; and so it is handed over. */
static int wait_aside(struct request *request)
{
    struct limit_met met;
    int r = aside_put(request, &met);

    if (r == -EDQUOT)
        return refuse_limit(request, SEALBUF_ERR_LIMIT, &met);
    if (r < 0)
        return refuse(request, SEALBUF_ERR_MEMORY, "%s", "");
    request->peer->asked_reexec = true;
    return REQUEST_ASIDE;
}

static int begin(struct request *request)
{
    struct reexec *reexec = request->broker->reexec;

    if (reexec_is_under_way(reexec))
        return refuse_with_remedy(request, SEALBUF_ERR_BUSY,
                                  "the broker's program is being executed anew already; wait until that is done");
    int r = wait_aside(request);
    if (r == REQUEST_ASIDE) {
        log_client(LOG_NOTICE, &request->peer->who, "has the broker's program executed anew");
        reexec_start(reexec);
    }
    return r;
}

int serve_reexec(struct request *request)
{
    struct peer *peer = request->peer;
    const struct reexec *reexec = request->broker->reexec;

    if (!peer_is_administrator(peer))
        return refuse_with_remedy(request, SEALBUF_ERR_DENIED,
                                  "only administrators may have the broker executed anew; run it as root or as a "
                                  "member of admin-group (sealbufd.conf(5))");
    if (!peer->asked_reexec)
        return begin(request);
    if (reexec_is_under_way(reexec))
        return wait_aside(request);
    peer->asked_reexec = false;
    if (reexec_failure(reexec)[0])
        return refuse_with_remedy(request, SEALBUF_ERR_INTERNAL, "%s", reexec_failure(reexec));
    return 0;
}
