/* SPDX-License-Identifier: MIT */
/*
 * What may answer where the broker was: another one that refuses, lies, hangs up, says nothing, or is somebody else's.
 * A fake broker plays a part for each connection in turn; the last part goes on for all that follow.
 */
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "reconnecting.h"

#define BAD_REPLY    (-SEALBUF_ERR_BAD_REPLY)
#define DISCONNECTED (-SEALBUF_ERR_DISCONNECTED)

static struct answer answer;

/* Seen by the test and by the fake broker, its child. */
static struct shared {
    unsigned connections, requests; /* after HELLO */
    unsigned adopted;
} * shared;

static struct fake fake;
static fake_fn *parts[4];
static sealbuf_client *client;

static void play(int socket, void *unused)
{
    unsigned i = shared->connections++;

    (void)unused;
    while (i > 0 && (i >= COUNT(parts) || !parts[i]))
        i--;
    parts[i](socket, NULL);
}

static void begin(fake_fn *first, fake_fn *second, fake_fn *third, int timeout_ms)
{
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    parts[0] = first, parts[1] = second, parts[2] = third;
    fake_start(&fake, play, NULL);
    client = connect_and_listen(fake.address, timeout_ms);
}

static void end(void)
{
    client = sealbuf_disconnect(client);
    fake_stop(&fake);
    munmap(shared, sizeof(*shared));
}

/* ---- Parts ------------------------------------------------------------------------------------------------------- */

static void answer_buffer(int socket, const struct header *request, int fd)
{
    answer_begin(&answer, request);
    for (unsigned i = 0; i < request->count; i++)
        answer_add(
            &answer, &buffer_record_schema,
            &(struct buffer_record){.descriptors = fd >= 0, .id = 70 + shared->connections, .size = 4096, .seals = 6});
    if (fd >= 0)
        answer_attach(&answer, fd);
    answer_finish(&answer);
    answer_send(socket, &answer);
}

static void answer_request(int socket, const struct header *request)
{
    if (request->opcode == SEALBUF_OP_CREATE) {
        answer_buffer(socket, request, fake_memfd(4096, SEALBUF_SEAL_SHRINK | SEALBUF_SEAL_GROW | exec_seal(), O_RDWR));
    } else if (request->opcode == SEALBUF_OP_ADOPT) {
        shared->adopted += request->count;
        answer_buffer(socket, request, -1);
    } else {
        answer_begin(&answer, request);
        answer_finish(&answer);
        answer_send(socket, &answer);
    }
}

/* Answers PING, CREATE and ADOPT for as long as the client is there. */
static void behave(int socket, void *unused)
{
    struct header request;

    (void)unused;
    fake_greet(socket);
    while (fake_receive(socket, &request)) {
        shared->requests++;
        answer_request(socket, &request);
    }
}

/* The same, but hangs up instead of answering the second request. */
static void behave_once(int socket, void *unused)
{
    struct header request;

    (void)unused;
    fake_greet(socket);
    if (!fake_receive(socket, &request))
        return;
    answer_request(socket, &request);
    fake_receive(socket, &request);
}

static void hang_up_on_request(int socket, void *unused)
{
    struct header request;

    (void)unused;
    fake_greet(socket);
    shared->requests += fake_receive(socket, &request);
}

static void say_nothing(int socket, void *unused)
{
    (void)unused;
    fake_await_end(socket);
}

static void greet_and_say_nothing(int socket, void *unused)
{
    (void)unused;
    fake_greet(socket);
    fake_await_end(socket);
}

/* Nothing can be sent to it, and it does not close. */
static void shut_its_ears(int socket, void *unused)
{
    struct header request;

    (void)unused;
    fake_greet(socket);
    shutdown(socket, SHUT_RD);
    while (fake_receive(socket, &request))
        ;
    usleep(500 * 1000);
}

static void refuse(int socket, uint32_t status, bool before_hello, const char *text)
{
    struct header request;

    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer, &request);
    answer.header.status = status;
    if (before_hello)
        answer.header.serial = 0;
    answer_add(&answer, &outcome_schema, &(struct outcome){.status = status, .text = SPAN(text)});
    answer_finish(&answer);
    answer_send(socket, &answer);
}

static void refuse_admission(int socket, void *unused)
{
    (void)unused;
    refuse(socket, SEALBUF_ERR_LIMIT, true, "full house");
}

static void refuse_version(int socket, void *unused)
{
    (void)unused;
    refuse(socket, SEALBUF_ERR_VERSION, false, "too new");
}

static void garble_hello(int socket, void *unused)
{
    struct header request;

    (void)unused;
    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer, &request);
    fill_pattern(answer.message, 1000, 7);
    answer.writer.used = 1000;
    answer_send(socket, &answer);
}

static void another_version(int socket, void *unused)
{
    struct header request;

    (void)unused;
    if (!fake_receive(socket, &request))
        return;
    answer_begin(&answer, &request);
    answer_add(&answer, &hello_reply_schema, &(struct hello_reply){.version = 2});
    answer_finish(&answer);
    answer_send(socket, &answer);
}

/* ---- Answers to the ADOPT that restores -------------------------------------------------------------------------- */

static bool receive_adopt(int socket, struct header *request)
{
    fake_greet(socket);
    if (!fake_receive(socket, request))
        return false;
    CHILD_CHECK(request->opcode == SEALBUF_OP_ADOPT);
    return true;
}

static void adopt_with_descriptor(int socket, void *unused)
{
    struct header request;

    (void)unused;
    if (receive_adopt(socket, &request))
        answer_buffer(socket, &request, fake_memfd(4096, SEALBUF_SEAL_SHRINK, O_RDWR));
}

static void adopt_of_too_many(int socket, void *unused)
{
    struct header request;

    (void)unused;
    if (!receive_adopt(socket, &request))
        return;
    request.count++;
    answer_buffer(socket, &request, -1);
}

static void adopt_of_another(int socket, void *unused)
{
    struct header request;

    (void)unused;
    if (!receive_adopt(socket, &request))
        return;
    request.serial++;
    answer_buffer(socket, &request, -1);
}

static void adopt_as_create(int socket, void *unused)
{
    struct header request;

    (void)unused;
    if (!receive_adopt(socket, &request))
        return;
    request.opcode = SEALBUF_OP_CREATE;
    answer_buffer(socket, &request, -1);
}

static void adopt_refused(int socket, void *unused)
{
    struct header request;

    (void)unused;
    if (!receive_adopt(socket, &request))
        return;
    answer_begin(&answer, &request);
    answer.header.status = SEALBUF_ERR_OPCODE;
    answer_add(&answer, &outcome_schema, &(struct outcome){.status = SEALBUF_ERR_OPCODE, .text = SPAN("no ADOPT")});
    answer_finish(&answer);
    answer_send(socket, &answer);
    while (fake_receive(socket, &request))
        answer_request(socket, &request);
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static sealbuf_buffer *create_one(void)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_create(client, &buffer, CREATE(.size = 4096));

    ck_assert_msg(r == 0, "create: %s", sealbuf_error_name(r));
    return buffer;
}

START_TEST(the_same_instance)
{
    begin(behave_once, behave, NULL, 10000);
    sealbuf_buffer *buffer = create_one();

    ck_assert_uint_eq(sealbuf_buffer_id(buffer), 71);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(event_of(SEALBUF_EVENT_RECONNECTED)->another, 0);
    ck_assert_uint_eq(event_of(SEALBUF_EVENT_RECONNECTED)->instance, 1);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), 72);
    sealbuf_buffer_free(buffer);
    end();
}
END_TEST

/* It may be the request itself that is too much for the broker. */
START_TEST(not_for_ever)
{
    begin(hang_up_on_request, NULL, NULL, 10000);
    for (unsigned i = 1; i <= 2; i++) {
        ck_assert_int_eq(sealbuf_ping(client), DISCONNECTED);
        ck_assert_ptr_nonnull(strstr(sealbuf_error(client), "each time"));
        ck_assert_uint_eq(shared->requests, 3 * i);
    }
    ck_assert_uint_eq(connection_of(client).unknown, 0);
    end();
}
END_TEST

static int do_publish(sealbuf_buffer *buffer)
{
    return sealbuf_publish(client, buffer, PUBLISH(.name = "n"), NULL);
}

static int do_remove(sealbuf_buffer *buffer)
{
    (void)buffer;
    return sealbuf_remove(client, TARGET(.name = "n"));
}

static int do_seal(sealbuf_buffer *buffer)
{
    return sealbuf_seal(client, sealbuf_buffer_id(buffer), SEALBUF_SEAL_WRITE);
}

static int do_share(sealbuf_buffer *buffer)
{
    char token[SEALBUF_TOKEN_TEXT];

    (void)buffer;
    return sealbuf_share(client, OPTIONS(sealbuf_share_options, .name = "n"), token);
}

static int do_revoke(sealbuf_buffer *buffer)
{
    (void)buffer;
    return sealbuf_revoke(client, OPTIONS(sealbuf_revoke_options, .name = "n"));
}

static int do_redeem(sealbuf_buffer *buffer)
{
    (void)buffer;
    return sealbuf_redeem(client, &(sealbuf_buffer *){NULL}, "0123456789abcdef0123456789abcdef0123456789abcdef", 0, 0);
}

static const struct {
    int (*call)(sealbuf_buffer *buffer);
    uint16_t opcode;
} once[] = {
    {do_publish, SEALBUF_OP_PUBLISH}, {do_remove, SEALBUF_OP_REMOVE}, {do_seal, SEALBUF_OP_SEAL},
    {do_share, SEALBUF_OP_SHARE},     {do_revoke, SEALBUF_OP_REVOKE}, {do_redeem, SEALBUF_OP_GET},
};

START_TEST(what_may_have_been_done_is_not_repeated)
{
    begin(behave_once, behave, NULL, 10000);
    sealbuf_buffer *buffer = create_one();

    ck_assert_int_eq(once[_i].call(buffer), DISCONNECTED);
    ck_assert_msg(strstr(sealbuf_error(client), "its outcome is unknown"), "'%s'", sealbuf_error(client));
    ck_assert_uint_eq(event_of(SEALBUF_EVENT_UNKNOWN)->opcode, once[_i].opcode);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(shared->requests, 2); /* ADOPT and PING */
    ck_assert_uint_eq(connection_of(client).unknown, 1);
    sealbuf_buffer_free(buffer);
    end();
}
END_TEST

START_TEST(it_waits_to_be_admitted)
{
    begin(behave_once, refuse_admission, behave, 10000);
    sealbuf_buffer *buffer = create_one();

    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(shared->connections, 3);
    ck_assert_uint_eq(connection_of(client).reconnections, 1);
    sealbuf_buffer_free(buffer);
    end();
}
END_TEST

static const struct {
    fake_fn *part;
    int expected;
    const char *sentence;
} for_good[] = {
    {refuse_version, -SEALBUF_ERR_VERSION, "too new"}, {garble_hello, BAD_REPLY, "contradicts"},
    {another_version, BAD_REPLY, "contradicts"},       {adopt_with_descriptor, BAD_REPLY, "contradicts"},
    {adopt_of_too_many, BAD_REPLY, "contradicts"},     {adopt_of_another, BAD_REPLY, "contradicts"},
    {adopt_as_create, BAD_REPLY, "contradicts"},
};

/* A liar is not tried again; what this process has, it keeps. */
START_TEST(that_is_the_end)
{
    void *address;
    size_t size;

    begin(behave_once, for_good[_i].part, behave, 10000);
    sealbuf_buffer *buffer = create_one();
    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &address, &size), 0);
    for (int i = 0; i < 3; i++) {
        int r = sealbuf_ping(client);
        ck_assert_msg(r == for_good[_i].expected, "ping: %s", sealbuf_error_name(r));
        ck_assert_msg(strstr(sealbuf_error(client), for_good[_i].sentence), "'%s'", sealbuf_error(client));
    }
    ck_assert_int_eq(event_of(SEALBUF_EVENT_ENDED)->error, for_good[_i].expected);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_ENDED], 1);
    ck_assert_uint_eq(connection_of(client).state, SEALBUF_CONNECTION_ENDED);
    ck_assert_int_eq(connection_of(client).error, for_good[_i].expected);
    ck_assert_int_eq(sealbuf_dispatch(client), for_good[_i].expected);
    ck_assert_int_eq(sealbuf_start_ping(client, note_reply, numbered(0)), for_good[_i].expected);
    memcpy(address, "alive", 5);
    ck_assert(mapped_at(address));
    sealbuf_buffer_free(buffer);
    end();
}
END_TEST

START_TEST(a_broker_that_adopts_nothing)
{
    begin(behave_once, adopt_refused, NULL, 10000);
    sealbuf_buffer *first = create_one();

    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_int_eq(event_of(SEALBUF_EVENT_LOST)->error, -SEALBUF_ERR_OPCODE);
    ck_assert_str_eq(event_of(SEALBUF_EVENT_LOST)->sentence, "no ADOPT");
    ck_assert_uint_eq(sealbuf_buffer_id(first), 0);
    sealbuf_buffer_free(first);
    end();
}
END_TEST

/* The restoring is begun anew; it is told once. */
START_TEST(interrupted_while_it_restores)
{
    begin(behave_once, hang_up_on_request, behave, 10000);
    sealbuf_buffer *buffer = create_one();

    ck_assert_int_eq(sealbuf_ping(client), 0);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_DISCONNECTED], 1);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_READOPTED], 1);
    ck_assert_uint_eq(event_of(SEALBUF_EVENT_READOPTED)->former_id, 71);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), 73);
    ck_assert_uint_eq(shared->adopted, 1);
    sealbuf_buffer_free(buffer);
    end();
}
END_TEST

static fake_fn *const silent[] = {say_nothing, greet_and_say_nothing};

/* The time-out of the call is for all of it; what comes back to life later is used. */
START_TEST(somebody_who_does_not_answer)
{
    begin(behave_once, silent[_i], NULL, 300);
    sealbuf_buffer *buffer = create_one();
    double before = seconds_now();

    ck_assert_int_eq(sealbuf_ping(client), DISCONNECTED);
    ck_assert_ptr_nonnull(strstr(sealbuf_error(client), "does not answer"));
    double took = seconds_now() - before;
    ck_assert_msg(took > 0.25 && took < 3, "a time-out of 0.3 s took %.2f s", took);
    sealbuf_start_ping(client, note_reply, numbered(0));
    for (int turns = 0; turns < 100 && !replies.count; turns++)
        sealbuf_wait(client, 1000);
    ck_assert_int_eq(replies.status[0], DISCONNECTED);
    sealbuf_buffer_free(buffer);
    end();
}
END_TEST

/* The end without an end: it must not go round and round. */
START_TEST(somebody_who_does_not_listen)
{
    int turns = 0;

    begin(shut_its_ears, behave, NULL, 10000);
    usleep(100 * 1000);
    sealbuf_start_ping(client, note_reply, numbered(0));
    while (!replies.count && turns++ < 1000)
        ck_assert_int_ge(sealbuf_wait(client, 5000), 0);
    ck_assert_int_eq(replies.status[0], 0);
    ck_assert_int_lt(turns, 50);
    end();
}
END_TEST

/* ---- Somebody else at the address -------------------------------------------------------------------------------- */

/* Takes the address once the fake broker has left it, as another user, and answers as well as it can. */
static void squat(void *unused)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t length = strlen(fake.address);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void)unused;
    memcpy(name.sun_path, fake.address, length);
    name.sun_path[0] = '\0';
    CHILD_CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
    CHILD_CHECK(
        bind(listener, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0);
    CHILD_CHECK(listen(listener, 16) == 0);
}

START_TEST(somebody_else)
{
    struct child other;

    if (getuid() != 0)
        test_skip("needs root, to become somebody else");
    begin(behave, NULL, NULL, 10000);
    sealbuf_buffer *buffer = create_one();
    fake_stop(&fake);
    child_begin(&other, squat, NULL);
    ck_assert_int_eq(sealbuf_ping(client), BAD_REPLY);
    ck_assert_msg(strstr(sealbuf_error(client), "uid 65534 listens"), "'%s'", sealbuf_error(client));
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(client);
    child_end(&other);
    munmap(shared, sizeof(*shared));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_reconnect_lies");
    TCase *honest = harness_tcase(suite, "honest"), *others = harness_tcase(suite, "others");

    tcase_add_test(honest, the_same_instance);
    tcase_add_test(honest, not_for_ever);
    tcase_add_loop_test(honest, what_may_have_been_done_is_not_repeated, 0, COUNT(once));
    tcase_add_test(honest, it_waits_to_be_admitted);
    tcase_add_test(honest, a_broker_that_adopts_nothing);
    tcase_add_test(honest, interrupted_while_it_restores);
    tcase_add_loop_test(others, that_is_the_end, 0, COUNT(for_good));
    tcase_add_loop_test(others, somebody_who_does_not_answer, 0, COUNT(silent));
    tcase_add_test(others, somebody_who_does_not_listen);
    tcase_add_test(others, somebody_else);
    return harness_run(suite);
}
