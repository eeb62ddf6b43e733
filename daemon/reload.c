/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include <errno.h>
#include <string.h>

#include "broker.h"
#include "draft.h"
#include "idle.h"
#include "log.h"
#include "message_id.h"
#include "notify.h"
#include "settings.h"

/* What a running broker keeps: where it listens, and what it has locked itself into. */
static void keep_what_is_fixed(struct config *next, struct config *running)
{
    char *other_path = next->socket_path;

    next->socket_path = running->socket_path;
    running->socket_path = other_path;
    next->socket_mode = running->socket_mode;
    next->socket_mode_set = running->socket_mode_set;
    next->sandbox = running->sandbox;
}

static bool same_exceptions(const struct limits *a, const struct limits *b)
{
    if (a->exception_count != b->exception_count)
        return false;
    for (size_t i = 0; i < a->exception_count; i++) {
        const struct uid_limits *x = &a->exceptions[i], *y = &b->exceptions[i];
        if (x->uid != y->uid || memcmp(x->uid_limit, y->uid_limit, sizeof(x->uid_limit)) != 0)
            return false;
    }
    return true;
}

static void log_changes(const struct config *running, const struct config *next)
{
    char before[SETTING_ROOM], after[SETTING_ROOM];

    for (unsigned i = 0; i < settings_count(); i++) {
        struct setting setting = settings_get(i);
        settings_print(running, i, before);
        settings_print(next, i, after);
        if (strcmp(before, after) == 0)
            continue;
        if (setting.at_start)
            log_line(LOG_WARNING, "%s: '%s' instead of '%s' takes effect at the next start", setting.key, after,
                     before);
        else
            log_line(LOG_INFO, "%s is '%s' now, was '%s'", setting.key, after, before);
    }
    if (!same_exceptions(&running->limits, &next->limits))
        log_line(LOG_INFO, "the limits of single users have changed; users with limits of their own: %zu",
                 next->limits.exception_count);
}

/* In place, since quota and others point into it. */
static void replace(struct broker *broker, struct config *next, unsigned files)
{
    struct config *running = broker->config, before = *running;

    log_changes(running, next);
    log_about(LOG_INFO, &(struct log_subject){.message_id = MESSAGE_ID_CONFIG_READ},
              "the configuration has been read again, from %u file%s", files, files == 1 ? "" : "s");
    keep_what_is_fixed(next, &before);
    *running = *next;
    *next = before; /* whose draft frees it */
    log_start(running->log_level);
    if (running->idle_exit_ms == before.idle_exit_ms)
        return;
    idle_free(broker->idle);
    broker->idle = running->idle_exit_ms ? idle_watch(broker) : NULL;
}

void reload_configuration(struct broker *broker)
{
    const struct log_subject refused = {.message_id = MESSAGE_ID_CONFIG_REFUSED};
    struct draft draft;

    notify_reloading();
    int r = config_load(&draft, broker->command_line);
    if (r == 0)
        replace(broker, &draft.config, (unsigned)draft.places.count);
    else if (r == -EINVAL || r == -ERANGE)
        log_about(LOG_ERR, &refused, "the configuration stays as it was; mend it, and send SIGHUP again");
    else
        log_about(LOG_ERR, &refused, "the configuration stays as it was: %s; send SIGHUP again", strerror(-r));
    draft_free(&draft);
    notify_ready();
}
