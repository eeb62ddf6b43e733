/* SPDX-License-Identifier: MIT */
/* Tokens, hand-over, groups and accounts: what one user gives to others, and what each of them has. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "support.h"

#define SHARE(...)    OPTIONS(sealbuf_share_options, __VA_ARGS__)
#define REVOKE(...)   OPTIONS(sealbuf_revoke_options, __VA_ARGS__)
#define PUT(...)      OPTIONS(sealbuf_put_options, __VA_ARGS__)
#define PUBLISH(...)  OPTIONS(sealbuf_publish_options, __VA_ARGS__)
#define GET(...)      OPTIONS(sealbuf_get_options, __VA_ARGS__)
#define TARGET(...)   OPTIONS(sealbuf_target, __VA_ARGS__)
#define ACCOUNTS(...) OPTIONS(sealbuf_accounts_options, __VA_ARGS__)
#define IMMUTABLE     SEALBUF_SEALS_IMMUTABLE
#define TOKEN_ERROR   (-SEALBUF_ERR_TOKEN)

static sealbuf_buffer *const untouched = (sealbuf_buffer *)0x1000;

static sealbuf_client *owner, *guest;

static void connect_both(void)
{
    owner = new_client();
    guest = new_client();
}

static void disconnect_both(void)
{
    sealbuf_remove(owner, TARGET(.name = "shared")); /* it may have been taken */
    owner = sealbuf_disconnect(owner);
    guest = sealbuf_disconnect(guest);
}

static void put(const char *name, const char *text, uint32_t flags)
{
    int r = sealbuf_put(owner, PUT(.name = name, .flags = flags), text, strlen(text), NULL);
    ck_assert_msg(r == 0, "put: %s", sealbuf_error(owner));
}

static void share(const struct sealbuf_share_options *options, char token[SEALBUF_TOKEN_TEXT])
{
    int r = sealbuf_share(owner, options, token);
    ck_assert_msg(r == 0, "share: %s", sealbuf_error(owner));
}

static void assert_redeems(const char *token, const char *text)
{
    sealbuf_buffer *buffer = NULL;
    int r = sealbuf_redeem(guest, &buffer, token, IMMUTABLE, 0);

    ck_assert_msg(r == 0, "redeem: %s", sealbuf_error(guest));
    ck_assert(content_is(buffer, text, strlen(text)));
    ck_assert_int_eq(sealbuf_buffer_writable(buffer), 0);
    sealbuf_buffer_free(buffer);
}

static void assert_worthless(const char *token)
{
    sealbuf_buffer *buffer = untouched;

    ck_assert_int_eq(sealbuf_redeem(guest, &buffer, token, 0, 0), TOKEN_ERROR);
    ck_assert_ptr_eq(buffer, untouched);
    ck_assert_str_ne(sealbuf_error(guest), "");
    if (strlen(token) > 8) /* a short one may be part of a word */
        ck_assert_ptr_null(strstr(sealbuf_error(guest), token));
}

/* ---- Sharing and redeeming --------------------------------------------------------------------------------------- */

START_TEST(gives_what_it_is_for)
{
    char token[SEALBUF_TOKEN_TEXT], other[SEALBUF_TOKEN_TEXT];
    sealbuf_buffer *buffer = untouched;

    put("shared", "content", 0);
    memset(token, 'x', sizeof(token));
    share(SHARE(.name = "shared"), token);
    ck_assert_uint_eq(strlen(token), SEALBUF_TOKEN_TEXT - 1);
    ck_assert_uint_eq(strspn(token, "0123456789abcdef"), SEALBUF_TOKEN_TEXT - 1);
    share(SHARE(.name = "shared"), other);
    ck_assert_str_ne(token, other);
    for (int i = 0; i < 3; i++)
        assert_redeems(token, "content");
    assert_redeems(other, "content");
    ck_assert_int_eq(sealbuf_redeem(guest, &buffer, token, SEALBUF_SEAL_SEAL, 0), -SEALBUF_ERR_NOT_SEALED);
    ck_assert_ptr_eq(buffer, untouched);
    ck_assert_int_eq(sealbuf_redeem(guest, &buffer, token, 0, SEALBUF_GET_DETAILS), 0);
    ck_assert_uint_eq(sealbuf_buffer_info(buffer)->size, 7);
    sealbuf_buffer_free(buffer);
    other[0] = other[0] == '0' ? '1' : '0';
    assert_worthless(other);
}
END_TEST

/* A buffer without a name, too; and after its end nothing. */
START_TEST(of_an_id)
{
    char token[SEALBUF_TOKEN_TEXT];
    sealbuf_buffer *buffer = new_text("nameless", IMMUTABLE);

    ck_assert_int_eq(sealbuf_adopt(owner, buffer, NULL), 0);
    share(SHARE(.id = sealbuf_buffer_id(buffer)), token);
    assert_redeems(token, "nameless");
    ck_assert_int_eq(sealbuf_remove(owner, TARGET(.id = sealbuf_buffer_id(buffer))), 0);
    assert_worthless(token);
    sealbuf_buffer_free(buffer);
}
END_TEST

static uint64_t requests(void)
{
    struct sealbuf_stats stats = {.struct_size = sizeof(stats)};

    ck_assert_int_eq(sealbuf_stats(guest, &stats), 0);
    return stats.requests;
}

/* The broker is not asked for what cannot be one. */
START_TEST(texts_that_are_none)
{
    static const char good[] = "0123456789abcdef0123456789abcdef0123456789abcdef";
    char texts[][64] = {"", "0", "x", "g123456789abcdef0123456789abcdef0123456789abcdef", "", "", "", "", ""};
    sealbuf_buffer *buffer = untouched;

    snprintf(texts[4], sizeof(texts[4]), "%.47s", good);
    snprintf(texts[5], sizeof(texts[5]), "%s0", good);
    snprintf(texts[6], sizeof(texts[6]), " %s", good);
    snprintf(texts[7], sizeof(texts[7]), "%s\n", good);
    snprintf(texts[8], sizeof(texts[8]), "%.47sF", good);
    uint64_t before = requests();
    for (int i = 0; i < COUNT(texts); i++) {
        assert_worthless(texts[i]);
        ck_assert_int_eq(sealbuf_get(guest, &buffer, GET(.token = texts[i])), TOKEN_ERROR);
        ck_assert_int_eq(sealbuf_revoke(guest, REVOKE(.token = texts[i])), TOKEN_ERROR);
        ck_assert_int_eq(sealbuf_start_revoke(guest, REVOKE(.token = texts[i]), 1, NULL, NULL), TOKEN_ERROR);
    }
    ck_assert_int_eq(sealbuf_redeem(guest, &buffer, NULL, 0, 0), TOKEN_ERROR);
    ck_assert_ptr_eq(buffer, untouched);
    ck_assert_uint_eq(requests(), before + 1);
    assert_worthless(good);
    ck_assert_uint_eq(requests(), before + 3);
}
END_TEST

START_TEST(for_writing)
{
    char reading[SEALBUF_TOKEN_TEXT], writing[SEALBUF_TOKEN_TEXT];
    sealbuf_buffer *buffer = untouched;

    put("shared", "content", SEALBUF_PUT_UNSEALED);
    share(SHARE(.name = "shared"), reading);
    share(SHARE(.name = "shared", .flags = SEALBUF_SHARE_WRITABLE), writing);
    ck_assert_int_eq(sealbuf_redeem(guest, &buffer, reading, 0, SEALBUF_GET_WRITABLE), -SEALBUF_ERR_DENIED);
    ck_assert_ptr_eq(buffer, untouched);
    ck_assert_int_eq(sealbuf_redeem(guest, &buffer, writing, 0, 0), 0);
    ck_assert_int_eq(sealbuf_buffer_writable(buffer), 0);
    sealbuf_buffer_free(buffer);
    ck_assert_int_eq(sealbuf_redeem(guest, &buffer, writing, 0, SEALBUF_GET_WRITABLE), 0);
    ck_assert_int_eq(sealbuf_buffer_writable(buffer), 1);
    ck_assert_int_eq(sealbuf_buffer_write(buffer, "C", 1, 0), 1);
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(in_a_batch)
{
    char token[SEALBUF_TOKEN_TEXT];
    sealbuf_buffer *buffers[4];
    int status[4];

    put("shared", "content", 0);
    share(SHARE(.name = "shared", .uses = 2), token);
    struct sealbuf_get_options options[] = {*GET(.token = token), *GET(.name = "shared"), *GET(.token = token),
                                            *GET(.token = token)};
    ck_assert_int_eq(sealbuf_get_many(owner, buffers, status, options, 4), TOKEN_ERROR);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(status[i], i == 3 ? TOKEN_ERROR : 0);
        ck_assert_int_eq(buffers[i] != NULL, i != 3);
        sealbuf_buffer_free(buffers[i]);
    }
    options[1].token = "not a token";
    ck_assert_int_eq(sealbuf_get_many(owner, buffers, status, options, 4), TOKEN_ERROR);
    for (int i = 0; i < 4; i++)
        ck_assert(status[i] == TOKEN_ERROR && !buffers[i]);
}
END_TEST

/* ---- Their ends -------------------------------------------------------------------------------------------------- */

START_TEST(used_up)
{
    char token[SEALBUF_TOKEN_TEXT];

    put("shared", "content", 0);
    share(SHARE(.name = "shared", .uses = 2), token);
    assert_redeems(token, "content");
    assert_redeems(token, "content");
    assert_worthless(token);
}
END_TEST

START_TEST(expired)
{
    char token[SEALBUF_TOKEN_TEXT], lasting[SEALBUF_TOKEN_TEXT];
    sealbuf_buffer *buffer = NULL;

    put("shared", "content", 0);
    share(SHARE(.name = "shared", .expire_ms = 60000), lasting);
    share(SHARE(.name = "shared", .expire_ms = 300), token);
    int at_once = sealbuf_redeem(guest, &buffer, token, 0, 0);
    ck_assert(at_once == 0 || at_once == TOKEN_ERROR); /* on a machine that is very busy */
    sealbuf_buffer_free(buffer);
    usleep(400 * 1000);
    assert_worthless(token);
    assert_redeems(lasting, "content");
}
END_TEST

START_TEST(revoked)
{
    char one[SEALBUF_TOKEN_TEXT], two[SEALBUF_TOKEN_TEXT], three[SEALBUF_TOKEN_TEXT];
    const struct sealbuf_info *info;

    put("shared", "content", 0);
    share(SHARE(.name = "shared"), one);
    share(SHARE(.name = "shared"), two);
    share(SHARE(.name = "shared"), three);
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.token = one)), 0);
    assert_worthless(one);
    assert_redeems(two, "content");
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.token = one)), TOKEN_ERROR);
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.name = "shared")), 0);
    assert_worthless(two);
    assert_worthless(three);
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.name = "shared")), 0); /* there are none */
    share(SHARE(.name = "shared"), one);
    ck_assert_int_eq(sealbuf_stat(owner, TARGET(.name = "shared"), &info), 0);
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.id = info->id)), 0);
    assert_worthless(one);
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.name = "nothing")), -SEALBUF_ERR_NOT_FOUND);
}
END_TEST

START_TEST(options_that_make_no_sense)
{
    char token[SEALBUF_TOKEN_TEXT] = "untouched", good[SEALBUF_TOKEN_TEXT];
    sealbuf_buffer *buffer = untouched;

    put("shared", "content", 0);
    share(SHARE(.name = "shared"), good);
    ck_assert_int_eq(sealbuf_share(owner, NULL, token), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_share(owner, SHARE(.name = "shared", .id = 1), token), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_share(owner, SHARE(.name = "nothing"), token), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_share(owner, SHARE(.name = "a//b"), token), -SEALBUF_ERR_NAME);
    ck_assert_int_eq(sealbuf_share(owner, SHARE(.name = "shared", .flags = 4), token), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_share(owner, SHARE(.name = "shared", .reserved = 1), token), -EINVAL);
    ck_assert_str_eq(token, "untouched");
    ck_assert_int_eq(sealbuf_revoke(owner, NULL), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.name = "shared", .token = good)), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.name = "shared", .flags = 1)), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_get(guest, &buffer, GET(.name = "shared", .token = good)), -SEALBUF_ERR_TARGET);
    ck_assert_int_eq(sealbuf_get(guest, &buffer, GET(.token = good, .reserved = 1)), -EINVAL);
    ck_assert_int_eq(sealbuf_create(guest, &buffer, OPTIONS(sealbuf_create_options, .reserved = 1)), -EINVAL);
    ck_assert_int_eq(sealbuf_buffer_create(&buffer, OPTIONS(sealbuf_create_options, .reserved = 1)), -EINVAL);
    ck_assert_ptr_eq(buffer, untouched);
    assert_redeems(good, "content");
}
END_TEST

/* ---- Without waiting --------------------------------------------------------------------------------------------- */

static char tokens[3][SEALBUF_TOKEN_TEXT];
static unsigned callbacks;

static void shared_three(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    (void)client, (void)userdata;
    callbacks++;
    ck_assert_uint_eq(sealbuf_reply_count(reply), 3);
    ck_assert_int_eq(sealbuf_reply_status(reply), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_int_eq(sealbuf_reply_record_status(reply, 1), -SEALBUF_ERR_NOT_FOUND);
    ck_assert_str_ne(sealbuf_reply_record_error(reply, 1), "");
    ck_assert_int_eq(sealbuf_reply_token(reply, 0, tokens[0]), 0);
    ck_assert_int_eq(sealbuf_reply_token(reply, 1, tokens[1]), -ENOENT);
    ck_assert_int_eq(sealbuf_reply_token(reply, 2, tokens[2]), 0);
    ck_assert_int_eq(sealbuf_reply_token(reply, 3, tokens[1]), -ENOENT);
    ck_assert_uint_ne(sealbuf_reply_info(reply, 0)->id, 0);
    ck_assert_uint_eq(sealbuf_reply_info(reply, 0)->id, sealbuf_reply_info(reply, 2)->id);
    ck_assert_ptr_null(sealbuf_reply_take_buffer(reply, 0));
}

static void revoked_two(sealbuf_client *client, sealbuf_reply *reply, void *userdata)
{
    char token[SEALBUF_TOKEN_TEXT];

    (void)client, (void)userdata;
    callbacks++;
    ck_assert_uint_eq(sealbuf_reply_count(reply), 2);
    ck_assert_int_eq(sealbuf_reply_record_status(reply, 0), 0);
    ck_assert_int_eq(sealbuf_reply_record_status(reply, 1), TOKEN_ERROR);
    ck_assert_int_eq(sealbuf_reply_token(reply, 0, token), -ENOENT);
}

START_TEST(without_waiting)
{
    struct sealbuf_share_options options[] = {*SHARE(.name = "shared"), *SHARE(.name = "no"), *SHARE(.name = "shared")};
    static const char unknown[] = "0123456789abcdef0123456789abcdef0123456789abcdef";

    put("shared", "content", 0);
    ck_assert_int_gt(sealbuf_start_share(owner, options, 3, shared_three, NULL), 0);
    ck_assert_int_eq(sealbuf_ping(owner), 0);
    ck_assert_uint_eq(callbacks, 1);
    struct sealbuf_revoke_options revocations[] = {*REVOKE(.token = tokens[0]), *REVOKE(.token = unknown)};
    ck_assert_int_gt(sealbuf_start_revoke(owner, revocations, 2, revoked_two, NULL), 0);
    ck_assert_int_eq(sealbuf_ping(owner), 0);
    ck_assert_uint_eq(callbacks, 2);
    assert_worthless(tokens[0]);
    assert_redeems(tokens[2], "content");
    ck_assert_int_eq(sealbuf_start_share(owner, options, 0, NULL, NULL), -EINVAL);
    ck_assert_int_eq(sealbuf_start_share(owner, options, SEALBUF_MAX_RECORDS + 1, NULL, NULL), -EINVAL);
    ck_assert_int_eq(sealbuf_start_revoke(owner, revocations, 0, NULL, NULL), -EINVAL);
}
END_TEST

/* ---- The secret -------------------------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#define SCANNED_AT_MOST (256ul << 20)

/* How often the bytes are in what this process has allocated; its stack is not looked at. */
static unsigned found_in_memory(const void *bytes, size_t size)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned long begin, end, scanned = 0;
    unsigned found = 0;
    char line[512], rights[8];

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx %7s", &begin, &end, rights) != 3 || strncmp(rights, "rw", 2) != 0 ||
            strstr(line, "[stack]") || strchr(line, '/'))
            continue;
        scanned += end - begin;
        ck_assert_msg(scanned <= SCANNED_AT_MOST, "there is too much memory to look through");
        const char *at = (const char *)begin;
        for (; (at = memmem(at, end - (unsigned long)at, bytes, size)); at++)
            found++;
    }
    fclose(maps);
    return found;
}

static void to_bytes(const char *token, unsigned char bytes[SEALBUF_TOKEN_SIZE])
{
    for (size_t i = 0; i < SEALBUF_TOKEN_SIZE; i++)
        ck_assert_int_eq(sscanf(token + 2 * i, "%2hhx", &bytes[i]), 1);
}

/* What lies in the memory of a process can end in a core file, or in the hands of who finds a hole in it. */
START_TEST(leaves_no_copy)
{
#ifdef SANITIZED
    test_skip("sanitizers map too much memory to look through");
#endif
    char token[SEALBUF_TOKEN_TEXT];
    unsigned char bytes[SEALBUF_TOKEN_SIZE];

    put("shared", "content", 0);
    share(SHARE(.name = "shared"), token);
    to_bytes(token, bytes);
    ck_assert_uint_eq(found_in_memory(bytes, sizeof(bytes)), 0);
    assert_redeems(token, "content");
    ck_assert_uint_eq(found_in_memory(bytes, sizeof(bytes)), 0);
    ck_assert_int_eq(sealbuf_revoke(owner, REVOKE(.token = token)), 0);
    ck_assert_uint_eq(found_in_memory(bytes, sizeof(bytes)), 0);
    assert_worthless(token);
    ck_assert_uint_eq(found_in_memory(bytes, sizeof(bytes)), 0);
    ck_assert_uint_eq(found_in_memory(token, SEALBUF_TOKEN_TEXT - 1), 0);
    /* And that would have been found. */
    char *copy = malloc(sizeof(bytes));
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, bytes, sizeof(bytes));
    __asm__ volatile("" : : "r"(copy) : "memory"); /* or else the compiler leaves it out */
    ck_assert_uint_eq(found_in_memory(bytes, sizeof(bytes)), 1);
    free(copy);
}
END_TEST

/* ---- Taking ------------------------------------------------------------------------------------------------------ */

static int note_flags(const struct sealbuf_info *info, void *userdata)
{
    *(uint32_t *)userdata = info->flags;
    return 0;
}

START_TEST(taken_by_name)
{
    const struct sealbuf_info *info;
    sealbuf_buffer *buffer = NULL;
    uint32_t flags = 0;

    put("shared", "content", SEALBUF_PUBLISH_TAKE);
    ck_assert_int_eq(sealbuf_stat(owner, TARGET(.name = "shared"), &info), 0);
    ck_assert(info->flags & SEALBUF_INFO_TAKE);
    ck_assert_int_eq(sealbuf_list(owner, NULL, note_flags, &flags), 0);
    ck_assert(flags & SEALBUF_INFO_TAKE);
    ck_assert_int_eq(sealbuf_get(guest, &buffer, GET(.name = "shared", .seals = SEALBUF_SEAL_SEAL)),
                     -SEALBUF_ERR_NOT_SEALED);
    ck_assert_int_eq(sealbuf_get(guest, &buffer, GET(.name = "shared")), 0);
    ck_assert(content_is(buffer, "content", 7));
    ck_assert_int_eq(sealbuf_get(owner, &buffer, GET(.name = "shared")), -SEALBUF_ERR_NOT_FOUND);
    sealbuf_buffer_free(buffer);
    put("shared", "another", 0);
    ck_assert_int_eq(sealbuf_stat(owner, TARGET(.name = "shared"), &info), 0);
    ck_assert(!(info->flags & SEALBUF_INFO_TAKE));
}
END_TEST

START_TEST(taken_by_token)
{
    char token[SEALBUF_TOKEN_TEXT];
    const struct sealbuf_info *info;

    put("shared", "content", 0);
    share(SHARE(.name = "shared", .flags = SEALBUF_SHARE_TAKE), token);
    assert_redeems(token, "content");
    assert_worthless(token);
    ck_assert_int_eq(sealbuf_stat(owner, TARGET(.name = "shared"), &info), -SEALBUF_ERR_NOT_FOUND);
}
END_TEST

/* ---- Groups ------------------------------------------------------------------------------------------------------ */

#define GROUP 54322u

static void publish_for_groups(void *unused)
{
    sealbuf_client *client = new_client();
    const struct sealbuf_info *info;

    (void)unused;
    CHILD_CHECK(sealbuf_put(client, PUT(.name = "g", .flags = SEALBUF_PUBLISH_GROUP, .group = GROUP), "x", 1, NULL) ==
                -SEALBUF_ERR_DENIED);
    CHILD_CHECK(sealbuf_put(client, PUT(.name = "g", .flags = SEALBUF_PUBLISH_GROUP, .group = NOBODY), "x", 1, NULL) ==
                0);
    CHILD_CHECK(sealbuf_stat(client, TARGET(.name = "g"), &info) == 0 && info->group == NOBODY);
    CHILD_CHECK(sealbuf_remove(client, TARGET(.name = "g")) == 0);
    sealbuf_disconnect(client);
}

START_TEST(groups)
{
    sealbuf_buffer *buffer = new_text("grouped", IMMUTABLE);
    const struct sealbuf_info *info;

    /* That a group is set, but does not count, is told: somebody could rely on it. */
    ck_assert_int_eq(sealbuf_publish(owner, buffer, PUBLISH(.name = "shared", .group = getgid() + 1), NULL),
                     -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(
        sealbuf_publish(owner, buffer,
                        PUBLISH(.name = "shared", .flags = SEALBUF_PUBLISH_GROUP, .group = getegid(), .mode = 0640),
                        NULL),
        0);
    ck_assert_int_eq(sealbuf_stat(owner, TARGET(.name = "shared"), &info), 0);
    ck_assert_uint_eq(info->group, getegid());
    ck_assert_uint_eq(info->mode, 0640);
    sealbuf_buffer_free(buffer);
    if (getuid() == 0) {
        broker_open_to_all(&broker);
        in_child_as(NOBODY, NOBODY, publish_for_groups, NULL);
    }
}
END_TEST

static char handed[SEALBUF_TOKEN_TEXT];

static void redeem_as_stranger(void *unused)
{
    sealbuf_client *client = new_client();
    sealbuf_buffer *buffer = NULL;
    char token[SEALBUF_TOKEN_TEXT];

    (void)unused;
    CHILD_CHECK(sealbuf_get(client, &buffer, GET(.name = "shared", .owner = 0, .flags = SEALBUF_GET_OF_OWNER)) ==
                -SEALBUF_ERR_DENIED);
    CHILD_CHECK(sealbuf_share(client, SHARE(.name = "shared", .owner = 0, .flags = SEALBUF_GET_OF_OWNER), token) ==
                -SEALBUF_ERR_DENIED);
    CHILD_CHECK(sealbuf_redeem(client, &buffer, handed, IMMUTABLE, 0) == 0);
    CHILD_CHECK(sealbuf_revoke(client, REVOKE(.token = handed)) == -SEALBUF_ERR_DENIED);
    CHILD_CHECK(!strstr(sealbuf_error(client), handed));
    sealbuf_buffer_free(buffer);
    sealbuf_disconnect(client);
}

START_TEST(another_user)
{
    if (getuid() != 0)
        test_skip("only root can be another user");
    put("shared", "content", 0);
    share(SHARE(.name = "shared"), handed);
    broker_open_to_all(&broker);
    in_child_as(NOBODY, NOBODY, redeem_as_stranger, NULL);
}
END_TEST

/* ---- Accounts ---------------------------------------------------------------------------------------------------- */

#define MANY_UIDS 600

static struct {
    unsigned count;
    struct sealbuf_account account[MANY_UIDS + 10];
} seen;

static int note_account(const struct sealbuf_account *account, void *userdata)
{
    ck_assert_uint_eq(account->struct_size, sizeof(*account));
    ck_assert_uint_lt(seen.count, COUNT(seen.account));
    seen.account[seen.count++] = *account;
    return userdata && seen.count == *(unsigned *)userdata ? 42 : 0;
}

static void assert_as_put(const struct sealbuf_account *account)
{
    ck_assert_uint_eq(account->bytes, 7);
    ck_assert_uint_eq(account->buffers, 1);
    ck_assert_uint_eq(account->names, 1);
    ck_assert_uint_eq(account->metadata, strlen("shared"));
    ck_assert_uint_eq(account->tokens, 1);
    ck_assert_uint_eq(account->connections, 2);
    const uint64_t *limits[] = {&account->bytes_limit,     &account->buffers_limit,
                                &account->names_limit,     &account->metadata_limit,
                                &account->tokens_limit,    &account->connections_limit,
                                &account->requests_limit,  &account->replies_limit,
                                &account->in_flight_limit, &account->queued_descriptors_limit};
    for (int i = 0; i < COUNT(limits); i++)
        ck_assert_msg(*limits[i] > 0, "limit %d is 0", i);
}

START_TEST(own_account)
{
    char token[SEALBUF_TOKEN_TEXT];

    put("shared", "content", 0);
    share(SHARE(.name = "shared"), token);
    ck_assert_int_eq(sealbuf_accounts(owner, NULL, note_account, NULL), 0);
    ck_assert_uint_eq(seen.count, 1);
    ck_assert_uint_eq(seen.account[0].uid, getuid());
    assert_as_put(&seen.account[0]);
    /* This process is an administrator: it has the broker's uid. */
    seen.count = 0;
    ck_assert_int_eq(sealbuf_accounts(owner, ACCOUNTS(.flags = SEALBUF_ACCOUNTS_ALL), note_account, NULL), 0);
    ck_assert_uint_eq(seen.count, 2);
    ck_assert_uint_eq(seen.account[0].uid, getuid());
    ck_assert_uint_eq(seen.account[1].uid, SEALBUF_ALL_UIDS);
    assert_as_put(&seen.account[0]);
    assert_as_put(&seen.account[1]);
    ck_assert_int_eq(sealbuf_accounts(owner, ACCOUNTS(.flags = 2), note_account, NULL), -SEALBUF_ERR_FLAGS);
    ck_assert_int_eq(sealbuf_accounts(owner, ACCOUNTS(.reserved = 1), note_account, NULL), -EINVAL);
    ck_assert_uint_eq(seen.count, 2);
}
END_TEST

static void be_no_administrator(void *unused)
{
    sealbuf_client *client = new_client();

    (void)unused;
    CHILD_CHECK(sealbuf_accounts(client, ACCOUNTS(.flags = SEALBUF_ACCOUNTS_ALL), note_account, NULL) ==
                -SEALBUF_ERR_DENIED);
    CHILD_CHECK(seen.count == 0);
    CHILD_CHECK(sealbuf_accounts(client, NULL, note_account, NULL) == 0);
    CHILD_CHECK(seen.count == 1 && seen.account[0].uid == NOBODY && seen.account[0].connections == 1);
    sealbuf_disconnect(client);
}

START_TEST(accounts_of_others_are_for_administrators)
{
    if (getuid() != 0)
        test_skip("only root can be another user");
    broker_open_to_all(&broker);
    in_child_as(NOBODY, NOBODY, be_no_administrator, NULL);
}
END_TEST

/* More uids than fit into one reply, each with a connection. */
START_TEST(accounts_of_many)
{
    static sealbuf_client *clients[MANY_UIDS];
    unsigned enough = 300;

    if (getuid() != 0)
        test_skip("only root can be another user");
    broker_open_to_all(&broker);
    for (uid_t i = 0; i < MANY_UIDS; i++) {
        ck_assert_int_eq(seteuid(100000 + 7 * i), 0);
        clients[i] = new_client();
        ck_assert_int_eq(seteuid(0), 0);
    }
    ck_assert_int_eq(sealbuf_accounts(owner, ACCOUNTS(.flags = SEALBUF_ACCOUNTS_ALL), note_account, NULL), 0);
    ck_assert_uint_eq(seen.count, MANY_UIDS + 2);
    ck_assert_uint_eq(seen.account[0].uid, 0);
    for (unsigned i = 0; i < MANY_UIDS; i++) {
        ck_assert_uint_eq(seen.account[i + 1].uid, 100000 + 7 * i);
        ck_assert_uint_eq(seen.account[i + 1].connections, 1);
    }
    ck_assert_uint_eq(seen.account[MANY_UIDS + 1].uid, SEALBUF_ALL_UIDS);
    ck_assert_uint_eq(seen.account[MANY_UIDS + 1].connections, MANY_UIDS + 2);
    seen.count = 0;
    ck_assert_int_eq(sealbuf_accounts(owner, ACCOUNTS(.flags = SEALBUF_ACCOUNTS_ALL), note_account, &enough), 42);
    ck_assert_uint_eq(seen.count, enough);
    for (unsigned i = 0; i < MANY_UIDS; i++)
        sealbuf_disconnect(clients[i]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_tokens");
    TCase *sharing = harness_tcase_with_broker(suite, "sharing"), *ends = harness_tcase_with_broker(suite, "ends");
    TCase *others = harness_tcase_with_broker(suite, "others"),
          *accounts = harness_tcase_with_broker(suite, "accounts");

    tcase_add_checked_fixture(sharing, connect_both, disconnect_both);
    tcase_add_checked_fixture(ends, connect_both, disconnect_both);
    tcase_add_checked_fixture(others, connect_both, disconnect_both);
    tcase_add_checked_fixture(accounts, connect_both, disconnect_both);
    tcase_add_test(sharing, gives_what_it_is_for);
    tcase_add_test(sharing, of_an_id);
    tcase_add_test(sharing, texts_that_are_none);
    tcase_add_test(sharing, for_writing);
    tcase_add_test(sharing, in_a_batch);
    tcase_add_test(sharing, without_waiting);
    tcase_add_test(sharing, leaves_no_copy);
    tcase_add_test(ends, used_up);
    tcase_add_test(ends, expired);
    tcase_add_test(ends, revoked);
    tcase_add_test(ends, options_that_make_no_sense);
    tcase_add_test(ends, taken_by_name);
    tcase_add_test(ends, taken_by_token);
    tcase_add_test(others, groups);
    tcase_add_test(others, another_user);
    tcase_add_test(accounts, own_account);
    tcase_add_test(accounts, accounts_of_others_are_for_administrators);
    tcase_add_test(accounts, accounts_of_many);
    return harness_run(suite);
}
