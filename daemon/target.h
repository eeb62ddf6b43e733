/* SPDX-License-Identifier: MIT */
/* Which buffer a request means, by name or by id, whether its sender may, and what there is to say of it. */
#ifndef DAEMON_TARGET_H
#define DAEMON_TARGET_H

#include "request.h"

struct target {
    struct buffer *buffer;
    struct name *name;   /* that it was found by, or that gives access to it; NULL where it has none */
    struct token *token; /* that it was found by, or NULL */
};

/* Beside those of registry.h: only its owner, or root; these, or an administrator; whoever may read, or an
 * administrator. */
#define ACCESS_OWNER                  ((enum access)0)
#define ACCESS_OWNER_OR_ADMINISTRATOR ((enum access)1)
#define ACCESS_LOOK                   ((enum access)3)

/* A name, or NULL; one that is being taken, or whose lease runs out, is looked at once more first: it may be gone. */
struct name *target_name(struct request *request, uid_t owner, struct span name);
struct buffer *target_buffer(struct request *request, uint64_t id);

/* 0, or a refusal. For a generation, where the request says one, that one; to be changed it must be the current one. */
int target_find(struct request *request, const struct target_request *in, enum access access, struct target *target);

/*
 * The first name that begins as it should and gives access, and that nobody is taking. 0, a refusal, or REQUEST_AGAIN:
 * the turn is over, and the search goes on from where it is. It also does so to find the same name again.
 */
int target_first(struct request *request, const struct get_request *in, enum access access, struct search *search,
                 struct target *target);

enum description {
    DESCRIBE_SHORT, /* numbers, but for the memory that it takes */
    DESCRIBE_NAME,  /* and name and label */
    DESCRIBE_ALL,   /* and metadata, and more of its creator */
};

/* Fills in everything but status, descriptors and text; `seals` as buffer_seals' of interest. 0, or a refusal. */
int target_describe(struct request *request, const struct target *target, enum description description, uint32_t seals,
                    struct buffer_record *out);

#endif
