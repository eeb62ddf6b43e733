/* SPDX-License-Identifier: MIT */
/* Commands that do the same with each NAME: what fails with one does not keep the others. */
#ifndef CTL_EACH_H
#define CTL_EACH_H

#include <jansson.h>

#include <sealbuf.h>

struct options;

/*
 * With one NAME: 0 or an exit status, reported; or a negative error of libsealbuf, which is reported for it. What
 * --json is to print of it goes into *object, which the caller has set to NULL and takes.
 */
typedef int each_fn(sealbuf_client *client, const struct options *options, const char *name, json_t **object);

/* `what` completes the report: "cannot remove 'a'". The exit status is that of the first failure. */
int each_name(const struct options *options, const char *what, each_fn *fn);

#endif
