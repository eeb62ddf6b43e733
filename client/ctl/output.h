/* SPDX-License-Identifier: MIT */
/*
 * What --json prints. Numbers are numbers, exact; a set of seals is an array of names and, beside it, the raw bits;
 * text that is not UTF-8 (metadata may be any bytes) is an object {"hex": "ff00"} instead of a string.
 */
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#include <sealbuf.h>

/* A new reference each, or NULL without memory; NULL may be passed on to output_json. */
json_t *output_text(const char *text);
/* null where it is beyond 2^63, which is how a broker says "no limit". */
json_t *output_number(uint64_t number);
json_t *output_seals(uint32_t seals);
json_t *output_time(uint64_t nanoseconds_since_epoch);
/* All that is told of a buffer. */
json_t *output_details(const struct sealbuf_info *info);
/* What a watch tells; info is NULL where it is of no name. */
json_t *output_change(const char *event, const struct sealbuf_info *info);
/* A NAME that could not be dealt with, between those that could; NULL for what has no name, a token. */
json_t *output_error(const char *name, int error);

/* Prints and releases it. 0, or STATUS_FAILED, reported. */
int output_json(FILE *stream, json_t *value);
/* The same, on one line. */
int output_json_line(FILE *stream, json_t *value);

#endif
