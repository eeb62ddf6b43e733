/* SPDX-License-Identifier: MIT */
/* A broker that lies in what has no descriptors: lists that never end, figures that are cut, and bits that have
 * flipped. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "fake_broker.h"

#define BYTES     4096
#define BAD_REPLY (-SEALBUF_ERR_BAD_REPLY)
#define ROUNDS    300

static struct answer answer;

static sealbuf_client *connect_to(const struct fake *fake)
{
    sealbuf_client *client = NULL;
    int r = sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .address = fake->address, .timeout_ms = 10000));

    ck_assert_msg(r == 0, "connect: %s", sealbuf_strerror(r));
    return client;
}

/* ---- LIST -------------------------------------------------------------------------------------------------------- */

enum pages { SAME_PLACE, BACKWARDS, NOWHERE, FORWARDS, NO_PAGE };

static struct page next_page(enum pages kind, unsigned number, char name[32])
{
    struct page page = {.more = 1};

    snprintf(name, 32, "name%09u", kind == BACKWARDS ? 999999 - number : kind == SAME_PLACE ? 5 : number);
    if (kind != NOWHERE)
        page.next = SPAN(name);
    return page;
}

/* So many pages that a client that goes on asking is noticed; then the connection ends. */
#define PATIENCE 1000

static void list_for_ever(int socket, void *argument)
{
    enum pages kind = *(enum pages *)argument;
    struct header request;
    char name[32];

    fake_greet(socket);
    for (unsigned n = 0; n < PATIENCE && fake_receive(socket, &request); n++) {
        struct page page = next_page(kind, n, name);
        struct buffer_record record = {.id = n + 1, .name = SPAN(name)};
        answer_begin(&answer, &request);
        if (kind != NO_PAGE)
            answer_add(&answer, &page_schema, &page);
        if (kind == FORWARDS)
            answer_add(&answer, &buffer_record_schema, &record);
        answer_finish(&answer);
        answer_send(socket, &answer);
    }
}

static int count(const struct sealbuf_info *info, void *userdata)
{
    unsigned *left = userdata;

    ck_assert_uint_gt(strlen(info->name), 0);
    return --*left ? 0 : 42;
}

static int list(enum pages kind, unsigned stop_after)
{
    struct fake fake;

    fake_start(&fake, list_for_ever, &kind);
    sealbuf_client *client = connect_to(&fake);
    int r = sealbuf_list(client, NULL, count, &stop_after);
    sealbuf_disconnect(client);
    fake_stop(&fake);
    return r;
}

/* A page that ends where the last one ended, or before it, would be asked for for ever. */
START_TEST(pages_that_lead_nowhere)
{
    static const enum pages kinds[] = {SAME_PLACE, BACKWARDS, NOWHERE, NO_PAGE};
    int r = list(kinds[_i], 10);

    ck_assert_msg(r == BAD_REPLY, "list: %s", sealbuf_error_name(r));
}
END_TEST

/* A list without end is the caller's to stop. */
START_TEST(pages_without_end)
{
    ck_assert_int_eq(list(FORWARDS, 100), 42);
}
END_TEST

/* ---- ACCOUNTS ---------------------------------------------------------------------------------------------------- */

/* What each page has: uids, the last one 0. */
static const struct accounts_lie {
    const char *name;
    uint32_t flags;
    int expected;
    uint32_t page[4];
} accounts_lies[] = {
    {"own account", 0, 0, {5}},
    {"nothing", 0, BAD_REPLY, {0}},
    {"two where there is one", 0, BAD_REPLY, {5, 6}},
    {"the sums alone", SEALBUF_ACCOUNTS_ALL, 0, {SEALBUF_ALL_UIDS}},
    {"some, and the sums", SEALBUF_ACCOUNTS_ALL, 0, {5, 6, SEALBUF_ALL_UIDS}},
    {"nothing of all", SEALBUF_ACCOUNTS_ALL, BAD_REPLY, {0}},
    {"the same page again and again", SEALBUF_ACCOUNTS_ALL, BAD_REPLY, {5, 6}},
    {"one twice", SEALBUF_ACCOUNTS_ALL, BAD_REPLY, {5, 5, SEALBUF_ALL_UIDS}},
    {"backwards", SEALBUF_ACCOUNTS_ALL, BAD_REPLY, {6, 5, SEALBUF_ALL_UIDS}},
    {"some behind the sums", SEALBUF_ACCOUNTS_ALL, BAD_REPLY, {SEALBUF_ALL_UIDS, 5}},
};

static void answer_accounts(int socket, void *argument)
{
    const struct accounts_lie *lie = argument;
    struct header request;

    fake_greet(socket);
    for (unsigned n = 0; n < PATIENCE && fake_receive(socket, &request); n++) {
        answer_begin(&answer, &request);
        for (int i = 0; i < COUNT(lie->page) && lie->page[i]; i++)
            answer_add(&answer, &account_record_schema,
                       &(struct account_record){.uid = lie->page[i], .bytes = 7, .in_flight_limit = UINT64_MAX});
        answer_finish(&answer);
        answer_send(socket, &answer);
    }
}

static int check_account(const struct sealbuf_account *account, void *userdata)
{
    ck_assert_uint_eq(account->bytes, 7);
    ck_assert_uint_eq(account->in_flight_limit, UINT64_MAX);
    return --*(int *)userdata ? 0 : 42; /* for ever is longer than that */
}

START_TEST(accounts)
{
    struct accounts_lie lie = accounts_lies[_i];
    struct fake fake;
    int most = 100;

    fake_start(&fake, answer_accounts, &lie);
    sealbuf_client *client = connect_to(&fake);
    int r = sealbuf_accounts(client, OPTIONS(sealbuf_accounts_options, .flags = lie.flags), check_account, &most);
    ck_assert_msg(r == lie.expected, "%s: %s", lie.name, sealbuf_error_name(r));
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- Bits -------------------------------------------------------------------------------------------------------- */

static void answer_with_a_buffer(const struct header *request)
{
    struct buffer_record record = {.descriptors = 1,
                                   .id = 7,
                                   .size = BYTES,
                                   .generation = 3,
                                   .seals = SEALBUF_SEALS_IMMUTABLE,
                                   .name = SPAN("some/name"),
                                   .label = SPAN("label"),
                                   .metadata = {"a=b\0c=d", 8},
                                   .text = SPAN("text")};

    answer_begin(&answer, request);
    answer_add(&answer, &buffer_record_schema, &record);
    answer_attach(&answer, fake_memfd(BYTES, SEALBUF_SEALS_IMMUTABLE, O_RDONLY));
    answer_finish(&answer);
}

/* A connection for each round; the round's number decides which bits are wrong. */
static void flip_bits(int socket, void *unused)
{
    static uint32_t round;
    struct header request;
    unsigned char random[8];

    (void)unused;
    fake_greet(socket);
    if (!fake_receive(socket, &request))
        return;
    answer_with_a_buffer(&request);
    fill_pattern(random, sizeof(random), ++round);
    for (int i = 0; i < 1 + random[0] % 3; i++) {
        size_t at = (random[1 + i] | (size_t)random[4 + i] << 8) % answer.writer.used;
        answer.message[at] ^= (uint8_t)(1u << random[7] % 8);
    }
    answer_send(socket, &answer);
}

/* What is wrong may be in the words, and does no harm then; but the buffer is what was asked for, or there is none. */
static void check_what_came(sealbuf_buffer *buffer)
{
    const struct sealbuf_info *info = sealbuf_buffer_info(buffer);
    void *address;
    size_t size;

    int r = sealbuf_buffer_map(buffer, 0, &address, &size);
    ck_assert_msg(r == (info->size == BYTES ? 0 : BAD_REPLY), "map: %s", sealbuf_error_name(r));
    ck_assert(r < 0 || size == BYTES);
    ck_assert_uint_le(strlen(info->name), SEALBUF_MAX_NAME);
    ck_assert_uint_le(strlen(info->label), SEALBUF_MAX_LABEL);
    ck_assert_ptr_null(sealbuf_info_metadata(info, "no such key"));
    sealbuf_buffer_free(buffer);
}

START_TEST(flipped_bits)
{
    struct fake fake;
    int good = 0, bad = 0;

    fake_start(&fake, flip_bits, NULL);
    unsigned before = descriptors_open();
    for (int i = 0; i < ROUNDS; i++) {
        sealbuf_client *client = connect_to(&fake);
        sealbuf_buffer *buffer = NULL;
        int r = sealbuf_get(
            client, &buffer,
            OPTIONS(sealbuf_get_options, .name = "x", .seals = SEALBUF_SEALS_IMMUTABLE, .flags = SEALBUF_GET_DETAILS));
        if (r == 0)
            check_what_came(buffer);
        else
            ck_assert_ptr_null(buffer);
        ck_assert_int_le(r, 0);
        good += r == 0;
        bad += r == BAD_REPLY;
        sealbuf_disconnect(client);
        ck_assert_uint_eq(descriptors_open(), before);
    }
    ck_assert_int_gt(good, 0);
    ck_assert_int_gt(bad, ROUNDS / 10);
    fake_stop(&fake);
}
END_TEST

/* ---- STATS and STAT ---------------------------------------------------------------------------------------------- */

static void talk_of_figures(int socket, void *unused)
{
    struct header request;
    char version[SEALBUF_MAX_TEXT];

    (void)unused;
    memset(version, 'v', sizeof(version));
    fake_greet(socket);
    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer, &request);
    answer_add(&answer, &stats_reply_schema,
               &(struct stats_reply){.pid = 1, .buffers = UINT64_MAX, .version = {version, sizeof(version)}});
    answer_finish(&answer);
    answer_send(socket, &answer);
    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer, &request);
    answer_attach(&answer, fake_memfd(1, 0, O_RDONLY)); /* to STAT, which has none */
    answer_add(&answer, &buffer_record_schema, &(struct buffer_record){.descriptors = 1, .id = 1, .size = 1});
    answer_finish(&answer);
    answer_send(socket, &answer);
    fake_await_end(socket);
}

START_TEST(figures)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};
    const struct sealbuf_info *info = NULL;
    struct fake fake;

    fake_start(&fake, talk_of_figures, NULL);
    sealbuf_client *client = connect_to(&fake);
    ck_assert_int_eq(sealbuf_stats(client, &stats), 0);
    ck_assert_uint_eq(stats.buffers, UINT64_MAX);
    ck_assert_uint_eq(strlen(stats.version), sizeof(stats.version) - 1);
    ck_assert_int_eq(sealbuf_stat(client, OPTIONS(sealbuf_target, .id = 1), &info), BAD_REPLY);
    ck_assert_ptr_null(info);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lying_pages");
    TCase *pages = harness_tcase(suite, "list"), *others = harness_tcase(suite, "others");

    tcase_add_loop_test(pages, pages_that_lead_nowhere, 0, 4);
    tcase_add_test(pages, pages_without_end);
    tcase_add_loop_test(pages, accounts, 0, COUNT(accounts_lies));
    tcase_add_test(others, flipped_bits);
    tcase_add_test(others, figures);
    return harness_run(suite);
}
