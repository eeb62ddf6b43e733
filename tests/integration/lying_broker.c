/* SPDX-License-Identifier: MIT */
/*
 * A broker that lies: the library trusts the kernel alone. Whatever comes, it returns an error, hands out no buffer,
 * and loses no descriptor, which the harness counts.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "lies.h"

#define GET(...)    OPTIONS(sealbuf_get_options, __VA_ARGS__)
#define CREATE(...) OPTIONS(sealbuf_create_options, __VA_ARGS__)
#define IMMUTABLE   SEALBUF_SEALS_IMMUTABLE

static sealbuf_buffer *const untouched = (sealbuf_buffer *)0x1000;

/* ---- The broker of these tests ----------------------------------------------------------------------------------- */

static struct answer answer_in_child;

static void spoil_second_message(int socket, void *argument)
{
    struct header request;

    fake_greet(socket);
    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer_in_child, &request);
    (*(spoil_fn *const *)argument)(socket, &answer_in_child);
    fake_await_end(socket);
}

static sealbuf_client *connect_with(const struct fake *fake, uint32_t flags)
{
    sealbuf_client *client = NULL;
    int r = sealbuf_connect(
        &client, OPTIONS(sealbuf_connect_options, .address = fake->address, .timeout_ms = 10000, .flags = flags));

    ck_assert_msg(r == 0, "connect: %s", sealbuf_strerror(r));
    return client;
}

static sealbuf_client *connect_to(const struct fake *fake)
{
    return connect_with(fake, 0);
}

/* The connection is of no use any more: it says so at once, and again and again. */
static void assert_broken(sealbuf_client *client, int error)
{
    ck_assert_str_ne(sealbuf_error(client), "");
    ck_assert_int_eq(sealbuf_ping(client), error);
    ck_assert_int_eq(sealbuf_dispatch(client), error);
    ck_assert_uint_eq(sealbuf_pending(client), 0);
}

/* A lie about the size is found out before a byte of it is touched: with the reply, or with the mapping. */
static void check_mapping(sealbuf_buffer *buffer, int expected, const char *lie)
{
    void *address = buffer;
    size_t size = 77;
    int r = sealbuf_buffer_map(buffer, 0, &address, &size);

    ck_assert_msg(r == expected, "%s: map: %s", lie, sealbuf_error_name(r));
    if (r < 0)
        ck_assert(address == buffer && size == 77);
    sealbuf_buffer_free(buffer);
}

/* Among them one_too_many, as in CVE-2014-3635. */
START_TEST(get)
{
    const struct lie *lie = &lies[_i];
    sealbuf_buffer *buffer = untouched;
    unsigned before = descriptors_open();
    spoil_fn *spoil = lie->spoil;
    struct fake fake;

    fake_start(&fake, spoil_second_message, &spoil);
    /* Who lies is not sought again; who only hangs up, is. */
    bool hangs_up = lie->expected == -SEALBUF_ERR_DISCONNECTED;
    sealbuf_client *client = connect_with(&fake, hangs_up ? SEALBUF_CONNECT_NO_RECONNECT : 0);
    int r = sealbuf_get(client, &buffer, GET(.name = "x", .seals = IMMUTABLE));
    ck_assert_msg(r == lie->expected || r == BAD_REPLY, "%s: %s", lie->name, sealbuf_error_name(r));
    ck_assert_msg(r == 0 || lie->expected || lie->expected_of_map, "%s: %s", lie->name, sealbuf_error_name(r));
    if (r == 0)
        check_mapping(buffer, lie->expected_of_map, lie->name);
    else
        ck_assert_ptr_eq(buffer, untouched);
    ck_assert_uint_eq(descriptors_open(), before + 1); /* the connection */
    if (r == BAD_REPLY || r == -SEALBUF_ERR_DISCONNECTED)
        assert_broken(client, r);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* A token is no reason to believe more. */
START_TEST(redeem)
{
    static const char token[] = "0123456789abcdef0123456789abcdef0123456789abcdef";
    const struct lie *lie = &lies[_i];
    sealbuf_buffer *buffer = untouched;
    spoil_fn *spoil = lie->spoil;
    struct fake fake;

    fake_start(&fake, spoil_second_message, &spoil);
    sealbuf_client *client = connect_to(&fake);
    int r = sealbuf_redeem(client, &buffer, token, IMMUTABLE, 0);
    ck_assert_msg(r == lie->expected || r == BAD_REPLY, "%s: %s", lie->name, sealbuf_error_name(r));
    if (r == 0)
        check_mapping(buffer, lie->expected_of_map, lie->name);
    else
        ck_assert_ptr_eq(buffer, untouched);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* Whoever requires no seals gets what there is: but is not told of seals that are not there, and maps nothing that may
   shrink. */
static const struct {
    spoil_fn *spoil;
    int expected_of_map;
} unsealed[] = {
    {without_write, 0},
    {without_shrink, -SEALBUF_ERR_NOT_SEALED},
    {a_tmpfs_file, -SEALBUF_ERR_NOT_SEALED},
};

START_TEST(get_without_required_seals)
{
    spoil_fn *spoil = unsealed[_i].spoil;
    sealbuf_buffer *buffer = untouched;
    struct fake fake;

    fake_start(&fake, spoil_second_message, &spoil);
    sealbuf_client *client = connect_to(&fake);
    int r = sealbuf_get(client, &buffer, GET(.name = "x"));
    ck_assert_msg(r == 0 || r == BAD_REPLY, "get: %s", sealbuf_error_name(r));
    if (r == 0) {
        uint32_t seals;
        ck_assert_int_eq(sealbuf_buffer_seals(buffer, &seals), 0);
        ck_assert_uint_eq(seals, seals_of(buffer));
        ck_assert_int_eq(sealbuf_buffer_has_seals(buffer, IMMUTABLE), 0);
        check_mapping(buffer, unsealed[_i].expected_of_map, "without required seals");
    } else {
        ck_assert_ptr_eq(buffer, untouched);
    }
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- CREATE ------------------------------------------------------------------------------------------------------ */

#define BIRTH (SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW)

/* What is created for one who asked for BYTES bytes, without any flag. */
static const struct creation {
    const char *name;
    int expected;
    uint64_t size, said_size;
    uint32_t seals;
    int mode;
} creations[] = {
    {"honest", 0, BYTES, BYTES, BIRTH, O_RDWR},
    {"read-only", BAD_REPLY, BYTES, BYTES, BIRTH, O_RDONLY},
    {"write-only", BAD_REPLY, BYTES, BYTES, BIRTH, O_WRONLY},
    {"of another size", 0, BYTES - 1, BYTES, BIRTH, O_RDWR},
    {"of another size, and it says so", BAD_REPLY, BYTES - 1, BYTES - 1, BIRTH, O_RDWR},
    {"without SHRINK", BAD_REPLY, BYTES, BYTES, SEALBUF_SEAL_GROW, O_RDWR},
    {"without GROW", BAD_REPLY, BYTES, BYTES, SEALBUF_SEAL_SHRINK, O_RDWR},
    {"without any seal, and smaller", BAD_REPLY, 1, BYTES, 0, O_RDWR},
};

static void create_badly(int socket, void *argument)
{
    const struct creation *creation = argument;
    struct buffer_record record = {
        .descriptors = 1, .id = 7, .size = creation->said_size, .seals = creation->seals, .owner = 0};
    struct header request;

    fake_greet(socket);
    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer_in_child, &request);
    answer_get(socket, &answer_in_child, &record, fake_memfd(creation->size, creation->seals, creation->mode));
    fake_await_end(socket);
}

START_TEST(create)
{
    const struct creation *creation = &creations[_i];
    sealbuf_buffer *buffer = untouched;
    struct fake fake;

    fake_start(&fake, create_badly, (void *)(uintptr_t)creation);
    sealbuf_client *client = connect_to(&fake);
    int r = sealbuf_create(client, &buffer, CREATE(.size = BYTES));
    ck_assert_msg(r == creation->expected || (creation->size != creation->said_size && r == BAD_REPLY), "%s: %s",
                  creation->name, sealbuf_error_name(r));
    if (r == 0)
        check_mapping(buffer, creation->size == creation->said_size ? 0 : BAD_REPLY, creation->name);
    else
        ck_assert_ptr_eq(buffer, untouched);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- Several, and others ----------------------------------------------------------------------------------------- */

static void second_of_three_is_a_pipe(int socket, struct answer *answer)
{
    int ends[2];

    CHILD_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    close(ends[1]);
    for (int i = 0; i < 3; i++) {
        answer_add(answer, &buffer_record_schema, &honest);
        answer_attach(answer, i == 1 ? ends[0] : good_fd());
    }
    answer_finish(answer);
    answer_send(socket, answer);
}

START_TEST(get_many)
{
    spoil_fn *spoil = second_of_three_is_a_pipe;
    struct sealbuf_get_options options[3];
    sealbuf_buffer *buffers[3];
    int status[3];
    struct fake fake;

    for (int i = 0; i < 3; i++)
        options[i] = *GET(.name = "x", .seals = IMMUTABLE);
    fake_start(&fake, spoil_second_message, &spoil);
    sealbuf_client *client = connect_to(&fake);
    ck_assert_int_eq(sealbuf_get_many(client, buffers, status, options, 3), BAD_REPLY);
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_null(buffers[i]);
        ck_assert_int_eq(status[i], BAD_REPLY);
    }
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

static void pong_with_a_descriptor(int socket, struct answer *answer)
{
    answer_attach(answer, good_fd());
    answer_finish(answer);
    answer_send(socket, answer);
}

static void pong_with_a_record(int socket, struct answer *answer)
{
    answer_add(answer, &outcome_schema, &(struct outcome){0});
    answer_finish(answer);
    answer_send(socket, answer);
}

static void pong_twice(int socket, struct answer *answer)
{
    uint8_t message[HEADER_SIZE];

    answer_finish(answer);
    memcpy(message, answer->message, sizeof(message));
    CHILD_CHECK(send(socket, message, sizeof(message), 0) == sizeof(message));
    answer_send(socket, answer);
}

START_TEST(ping)
{
    static spoil_fn *const spoils[] = {pong_with_a_descriptor, pong_with_a_record, pong_twice};
    struct fake fake;

    fake_start(&fake, spoil_second_message, (void *)(uintptr_t)&spoils[_i]);
    sealbuf_client *client = connect_to(&fake);
    int r = sealbuf_ping(client);
    if (spoils[_i] == pong_twice) {
        ck_assert_int_eq(r, 0);
        r = sealbuf_ping(client);
    }
    ck_assert_msg(r == BAD_REPLY, "ping: %s", sealbuf_error_name(r));
    assert_broken(client, r);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* All that are in flight are told. */
static void note(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client;
    ck_assert_int_eq(sealbuf_reply_status(reply), BAD_REPLY);
    ck_assert_uint_eq(sealbuf_reply_count(reply), 0);
    ck_assert_ptr_null(sealbuf_reply_take_buffer(reply, 0));
    ++*(int *)userdata;
}

START_TEST(in_flight)
{
    spoil_fn *spoil = garbage;
    struct fake fake;
    int called = 0, r;

    fake_start(&fake, spoil_second_message, &spoil);
    sealbuf_client *client = connect_to(&fake);
    for (int i = 0; i < 5; i++)
        ck_assert_int_gt(sealbuf_start_get(client, GET(.name = "x"), 1, note, &called), 0);
    r = wait_for_failure(client);
    ck_assert_int_eq(r, BAD_REPLY);
    ck_assert_int_eq(called, 5);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- SHARE ------------------------------------------------------------------------------------------------------- */

#define TOKEN_BYTES "0123456789abcdefghijklmn"

static void answer_share(int socket, struct answer *answer, const struct token_record *record)
{
    answer_add(answer, &token_record_schema, record);
    answer_finish(answer);
    answer_send(socket, answer);
}

static void a_token(int socket, struct answer *answer)
{
    answer_share(socket, answer, &(struct token_record){.id = 7, .token = SPAN(TOKEN_BYTES)});
}

static void a_short_token(int socket, struct answer *answer)
{
    answer_share(socket, answer, &(struct token_record){.id = 7, .token = {TOKEN_BYTES, SEALBUF_TOKEN_SIZE - 1}});
}

static void a_long_token(int socket, struct answer *answer)
{
    uint32_t more = SEALBUF_TOKEN_SIZE + 1;
    const struct field *token = NULL;

    for (unsigned i = 0; i < token_record_schema.count; i++)
        if (token_record_schema.fields[i].kind == FIELD_TOKEN)
            token = &token_record_schema.fields[i];
    CHILD_CHECK(token);
    answer_add(answer, &token_record_schema, &(struct token_record){.token = SPAN(TOKEN_BYTES), .text = SPAN("x")});
    answer_finish(answer);
    memcpy(answer->message + HEADER_SIZE + RECORD_HEADER_SIZE + token->offset, &more, sizeof(more));
    answer_send(socket, answer);
}

static void no_token(int socket, struct answer *answer)
{
    answer_share(socket, answer, &(struct token_record){.id = 7});
}

static void a_token_and_a_failure(int socket, struct answer *answer)
{
    answer_share(socket, answer, &(struct token_record){.status = SEALBUF_ERR_LIMIT, .token = SPAN(TOKEN_BYTES)});
}

static void a_failure(int socket, struct answer *answer)
{
    answer_share(socket, answer, &(struct token_record){.status = SEALBUF_ERR_LIMIT, .text = SPAN("too many tokens")});
}

static void a_token_with_a_descriptor(int socket, struct answer *answer)
{
    answer_attach(answer, good_fd());
    a_token(socket, answer);
}

static void two_tokens(int socket, struct answer *answer)
{
    answer_add(answer, &token_record_schema, &(struct token_record){.token = SPAN(TOKEN_BYTES)});
    a_token(socket, answer);
}

static const struct {
    spoil_fn *spoil;
    int expected;
} shares[] = {
    {a_token, 0},
    {a_short_token, BAD_REPLY},
    {a_long_token, BAD_REPLY},
    {no_token, BAD_REPLY},
    {a_token_and_a_failure, BAD_REPLY},
    {a_failure, -SEALBUF_ERR_LIMIT},
    {a_token_with_a_descriptor, BAD_REPLY},
    {two_tokens, BAD_REPLY},
    {no_record, BAD_REPLY},
    {no_lie, BAD_REPLY},
    {garbage, BAD_REPLY},
};

START_TEST(share)
{
    char token[SEALBUF_TOKEN_TEXT] = "untouched";
    spoil_fn *spoil = shares[_i].spoil;
    struct fake fake;

    fake_start(&fake, spoil_second_message, &spoil);
    sealbuf_client *client = connect_to(&fake);
    int r = sealbuf_share(client, OPTIONS(sealbuf_share_options, .name = "x"), token);
    ck_assert_msg(r == shares[_i].expected, "share: %s", sealbuf_error_name(r));
    ck_assert_str_eq(token, r ? "untouched" : "303132333435363738396162636465666768696a6b6c6d6e");
    if (r == BAD_REPLY)
        assert_broken(client, r);
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- STAT -------------------------------------------------------------------------------------------------------- */

static void a_creator(int socket, struct answer *answer)
{
    struct buffer_record record = {.id = 7,
                                   .creator_pid = 99,
                                   .creator_pidfd = 0x123456789abcdef0,
                                   .creator_security = SPAN("user_u:user_r:user_t:s0")};

    answer_add(answer, &buffer_record_schema, &record);
    answer_finish(answer);
    answer_send(socket, answer);
}

/* What a broker tells of who created a buffer, handed on as it is, whatever this kernel has. */
START_TEST(creator)
{
    const struct sealbuf_info *info;
    spoil_fn *spoil = a_creator;
    struct fake fake;

    fake_start(&fake, spoil_second_message, &spoil);
    sealbuf_client *client = connect_to(&fake);
    ck_assert_int_eq(sealbuf_stat(client, OPTIONS(sealbuf_target, .id = 7), &info), 0);
    ck_assert_uint_eq(info->creator_pid, 99);
    ck_assert_uint_eq(info->creator_pidfd, 0x123456789abcdef0);
    ck_assert_str_eq(info->creator_security, "user_u:user_r:user_t:s0");
    sealbuf_disconnect(client);
    fake_stop(&fake);
}
END_TEST

/* ---- HELLO ------------------------------------------------------------------------------------------------------- */

static void hello_of_version_2(int socket, struct answer *answer)
{
    answer_add(answer, &hello_reply_schema, &(struct hello_reply){.version = 2});
    answer_finish(answer);
    answer_send(socket, answer);
}

static void hello_with_a_descriptor(int socket, struct answer *answer)
{
    answer_add(answer, &hello_reply_schema, &(struct hello_reply){.version = SEALBUF_VERSION});
    answer_attach(answer, good_fd());
    answer_finish(answer);
    answer_send(socket, answer);
}

static void hello_to_nobody(int socket, struct answer *answer)
{
    answer->header.serial = 0;
    answer_finish(answer);
    answer_send(socket, answer);
}

static void http(int socket, struct answer *answer)
{
    static const char words[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

    memcpy(answer->message, words, sizeof(words));
    answer->writer.used = sizeof(words);
    answer_send(socket, answer);
}

static void spoil_hello(int socket, void *argument)
{
    struct header request;

    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer_in_child, &request);
    (*(spoil_fn *const *)argument)(socket, &answer_in_child);
    fake_await_end(socket);
}

static spoil_fn *const hellos[] = {hello_of_version_2,
                                   hello_with_a_descriptor,
                                   hello_to_nobody,
                                   http,
                                   no_record,
                                   garbage,
                                   longer_than_a_message,
                                   no_lie,
                                   nothing_with_a_descriptor};

START_TEST(hello)
{
    sealbuf_client *client = (sealbuf_client *)0x1000;
    struct fake fake;

    fake_start(&fake, spoil_hello, (void *)(uintptr_t)&hellos[_i]);
    int r = sealbuf_connect(&client, OPTIONS(sealbuf_connect_options, .address = fake.address, .timeout_ms = 10000));
    ck_assert_msg(r == BAD_REPLY, "connect: %s", sealbuf_error_name(r));
    ck_assert_ptr_eq(client, (sealbuf_client *)0x1000);
    fake_stop(&fake);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("lying_broker");
    TCase *of_get = harness_tcase(suite, "get"), *others = harness_tcase(suite, "others");

    tcase_add_loop_test(of_get, get, 0, lies_count);
    tcase_add_loop_test(of_get, redeem, 0, lies_count);
    tcase_add_loop_test(of_get, get_without_required_seals, 0, 3);
    tcase_add_test(of_get, get_many);
    tcase_add_loop_test(harness_tcase(suite, "create"), create, 0, COUNT(creations));
    tcase_add_loop_test(harness_tcase(suite, "share"), share, 0, COUNT(shares));
    tcase_add_loop_test(others, ping, 0, 3);
    tcase_add_test(others, creator);
    tcase_add_test(others, in_flight);
    tcase_add_loop_test(harness_tcase(suite, "hello"), hello, 0, COUNT(hellos));
    return harness_run(suite);
}
