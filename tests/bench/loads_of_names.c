/* SPDX-License-Identifier: MIT */
/* Loads that have the broker go through very many names. */
#include <stdio.h>
#include <unistd.h>

#include "complain.h"
#include "flood.h"
#include "hostile_buffers.h"
#include "hostile_loads.h"
#include "users.h"

#define NAMES       100000u
#define NAMES_EACH  200u /* of a buffer, which has 256 at most */
#define NAMES_SMALL 2000u
#define LISTERS     4u
#define PREFIX      "list/"

static struct flood flood;
static struct message lists[LISTERS];
static unsigned names;

/* Buffers with many names; they stay. */
static int bind_names(struct hostile *hostile)
{
    static struct hostile_buffer buffers[NAMES / NAMES_EACH];
    static uint64_t ids[NAMES / NAMES_EACH];
    int socket = wire_open(hostile->address); /* open to the end */

    names = hostile->small ? NAMES_SMALL : NAMES;
    snprintf(hostile->note, sizeof(hostile->note), "%u names", names);
    unsigned count = names / NAMES_EACH;
    if (socket < 0 || hostile_buffers_create_all(socket, buffers, count, 1, SEALBUF_SEALS_IMMUTABLE) < 0)
        return -1;
    for (unsigned i = 0; i < count; i++) {
        ids[i] = buffers[i].id;
        close(buffers[i].fd);
    }
    return hostile_names_bind(socket, ids, count, PREFIX, names);
}

static int make_list(struct message *message, const struct list_request *list)
{
    message_begin(message, SEALBUF_OP_LIST);
    if (message_add(message, &list_request_schema, list) < 0)
        return -1;
    message_end(message, 0);
    return 0;
}

/* ---- lists: all of one's own names, page by page, again and again ---- */

static int ask_for_page(struct flood *f, struct line *line, struct answer *answer)
{
    struct list_request list = {.owner = SEALBUF_OWNER_SELF};
    struct message *message = &lists[line - f->line];
    struct page page;

    if (f->resting)
        return 0;
    if (answer) {
        if (answer_next(answer, &page_schema, &page) < 0)
            return -1;
        if (answer->header.count < 2)
            return complain("a hostile LIST of %u names brought none", names);
        if (page.more)
            list.after = page.next;
    }
    return make_list(message, &list) < 0 ? -1 : flood_send(line, message, NULL, 0);
}

static int prepare_listings(struct hostile *hostile)
{
    flood = (struct flood){.lines = LISTERS, .depth = 1, .ask = ask_for_page};
    return bind_names(hostile) < 0 ? -1 : flood_open(&flood, hostile);
}

const struct load load_of_listings = {
    .key = "lists",
    .meaning = "lists very many names",
    .unit = "pages",
    .limits = {"names=400000"}, /* of which one user alone may have a half */
    .prepare = prepare_listings,
    .begin = flood_begin,
    .step = flood_step,
    .rest = flood_rest,
};

/* ---- hidden-names: of another user, who may see none of them ---- */

static int ask_for_nothing(struct flood *f, struct line *line, struct answer *answer)
{
    if (answer && answer->header.count != 1)
        return complain("a hostile LIST brought names that were not to be seen");
    return f->resting ? 0 : flood_send(line, &lists[0], NULL, 0);
}

static int prepare_hidden_names(struct hostile *hostile)
{
    const struct list_request list = {.owner = SEALBUF_OWNER_SELF, .flags = SEALBUF_LIST_ALL_OWNERS};

    flood = (struct flood){.lines = LISTERS, .depth = 1, .ask = ask_for_nothing};
    if (bind_names(hostile) < 0 || users_become(OTHER_HOSTILE_UID) < 0 || make_list(&lists[0], &list) < 0)
        return -1;
    return flood_open(&flood, hostile);
}

const struct load load_of_hidden_names = {
    .key = "hidden-names",
    .meaning = "lists very many names that it may not see",
    .unit = "lists",
    .needs_users = true,
    .limits = {"names=400000"},
    .prepare = prepare_hidden_names,
    .begin = flood_begin,
    .step = flood_step,
    .rest = flood_rest,
};
