/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <syslog.h>

#include "command_line.h"
#include "config_file.h"
#include "config_places.h"
#include "draft.h"
#include "log.h"
#include "message_id.h"

void config_init(struct config *config)
{
    *config = (struct config){.ready_fd = -1, .log_level = LOG_INFO, .sandbox = true};
}

void config_release(struct config *config)
{
    free(config->socket_path);
    free(config->limits.exceptions);
    config_init(config);
}

int config_load(struct draft *draft, const struct command_line *line)
{
    char cause[512];

    int r = draft_init(draft);
    if (r < 0)
        return r;
    r = config_places_search(&draft->places, line->config_file);
    if (r < 0)
        return r;
    for (size_t i = 0; i < draft->places.count; i++)
        config_file_read(draft, draft->places.files[i].path);
    for (size_t i = 0; i < line->override_count; i++)
        draft_override(draft, line->overrides[i].setting, line->overrides[i].value);
    draft->config.ready_fd = line->ready_fd;
    r = draft_finish(draft);
    if (r < 0)
        return r;
    r = limits_settle(&draft->config.limits, cause, sizeof(cause));
    if (r < 0)
        log_about(LOG_ERR, &(struct log_subject){.message_id = MESSAGE_ID_CONFIG_REFUSED}, "%s", cause);
    return r;
}
