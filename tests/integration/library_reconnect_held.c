/* SPDX-License-Identifier: MIT */
/* What becomes of the buffers of a connection whose broker is killed and started again: other ids, the same memory. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "mortal.h"

static const char *const metadata[] = {"kind=frame", "format=", NULL};

/* The program goes on with its buffer as if nothing had been. */
START_TEST(unpublished_buffers_are_adopted)
{
    sealbuf_buffer *filler, *buffer, *got;
    const struct sealbuf_info *info;
    void *address, *again;
    size_t size;

    ck_assert_int_eq(sealbuf_create(client, &filler, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 8192, .label = "l", .metadata = metadata)), 0);
    uint64_t former = sealbuf_buffer_id(buffer);
    ck_assert_ptr_null(sealbuf_buffer_free(filler));
    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &address, &size), 0);
    memcpy(address, "before", 6);
    restart(NULL);
    memcpy((char *)address + 4096, "after", 5);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(1, 1, 1, 0, 0);
    const struct sealbuf_event *event = event_of(SEALBUF_EVENT_READOPTED);
    ck_assert_uint_eq(event->former_id, former);
    ck_assert_uint_eq(event->id, sealbuf_buffer_id(buffer));
    ck_assert_uint_ne(event->id, former);
    ck_assert_int_eq(sealbuf_buffer_map(buffer, SEALBUF_MAP_WRITE, &again, &size), 0);
    ck_assert_ptr_eq(address, again);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = event->id), &info), 0);
    ck_assert_str_eq(info->label, "l");
    ck_assert_str_eq(sealbuf_info_metadata(info, "kind"), "frame");
    ck_assert_str_eq(sealbuf_info_metadata(info, "format"), "");
    ck_assert_uint_eq(info->seals & exec_seal(), exec_seal());
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "n", .seals = SEALBUF_SEALS_IMMUTABLE), NULL), 0);
    ck_assert_int_eq(sealbuf_get(client, &got, GET(.name = "n", .seals = SEALBUF_SEALS_IMMUTABLE)), 0);
    ck_assert_int_eq(sealbuf_buffer_map(got, 0, &address, &size), 0);
    ck_assert_mem_eq(address, "before", 6);
    ck_assert_mem_eq((char *)address + 4096, "after", 5);
    sealbuf_buffer_free(got);
    sealbuf_buffer_free(buffer);
}
END_TEST

/* The call that finds the broker gone is the one that has the old id in it. */
START_TEST(a_publish_with_the_id_of_before)
{
    sealbuf_buffer *buffers[20], *got;
    struct sealbuf_publish_options options[COUNT(buffers)];
    char names[COUNT(buffers)][8];

    for (int i = 0; i < COUNT(buffers); i++) {
        ck_assert_int_eq(sealbuf_create(client, &buffers[i], CREATE(.size = (uint64_t)i)), 0);
        snprintf(names[i], sizeof(names[i]), "n%d", i);
        options[i] = *PUBLISH(.name = names[i]);
    }
    sealbuf_buffer_free(buffers[0]);
    restart(NULL);
    ck_assert_int_eq(sealbuf_publish_many(client, buffers + 1, NULL, options + 1, COUNT(buffers) - 1), 0);
    assert_told(1, 1, COUNT(buffers) - 1, 0, 0);
    for (int i = 1; i < COUNT(buffers); i++) {
        ck_assert_int_eq(sealbuf_get(client, &got, GET(.name = names[i])), 0);
        ck_assert_uint_eq(size_of(got), (unsigned)i);
        ck_assert_uint_eq(sealbuf_buffer_id(got), sealbuf_buffer_id(buffers[i]));
        sealbuf_buffer_free(got);
        sealbuf_buffer_free(buffers[i]);
    }
}
END_TEST

START_TEST(requests_with_the_id_of_before)
{
    const struct sealbuf_info *info;
    sealbuf_buffer *buffer, *got;
    char token[SEALBUF_TOKEN_TEXT];

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 9)), 0);
    for (int i = 0; i < 5; i++) {
        uint64_t id = sealbuf_buffer_id(buffer);
        restart(NULL);
        if (i == 0) {
            ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = id), &info), 0);
            ck_assert_uint_eq(info->size, 9);
        } else if (i == 1) {
            ck_assert_int_eq(sealbuf_seal(client, id, SEALBUF_SEAL_WRITE), 0);
        } else if (i == 2) {
            ck_assert_int_eq(sealbuf_get(client, &got, GET(.id = id, .seals = SEALBUF_SEAL_WRITE)), 0);
            sealbuf_buffer_free(got);
        } else if (i == 3) {
            ck_assert_int_eq(sealbuf_share(client, OPTIONS(sealbuf_share_options, .id = id), token), 0);
        } else {
            ck_assert_int_eq(sealbuf_remove(client, TARGET(.id = id)), 0);
        }
    }
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(6, 6, 5, 0, 0); /* what was removed does not come back */
    sealbuf_buffer_free(buffer);
}
END_TEST

START_TEST(clones_and_readers_follow)
{
    sealbuf_buffer *buffer, *clone, *reader, *own = new_text("own", SEALBUF_SEALS_IMMUTABLE);

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_adopt(client, own, OPTIONS(sealbuf_adopt_options, .label = "own")), 0);
    ck_assert_int_eq(sealbuf_buffer_reopen(buffer, &reader), 0);
    ck_assert_int_eq(sealbuf_buffer_clone(buffer, &clone), 0);
    sealbuf_buffer_free(buffer);
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(1, 1, 2, 0, 0);
    ck_assert_uint_eq(sealbuf_buffer_id(clone), sealbuf_buffer_id(reader));
    ck_assert_uint_ne(sealbuf_buffer_id(clone), sealbuf_buffer_id(own));
    ck_assert_int_eq(sealbuf_publish(client, reader, PUBLISH(.name = "n"), NULL), 0);
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(2, 2, 3, 0, 0);
    sealbuf_buffer_free(clone);
    sealbuf_buffer_free(reader);
    sealbuf_buffer_free(own);
}
END_TEST

/* Its own name has gone with the broker that knew it, and so has the meaning of its id. */
START_TEST(published_buffers_are_not_the_connections)
{
    sealbuf_buffer *buffer, *got;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "n"), NULL), 0);
    ck_assert_int_eq(sealbuf_get(client, &got, GET(.name = "n")), 0);
    uint64_t id = sealbuf_buffer_id(got);
    restart(NULL);
    ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = id), &(const struct sealbuf_info *){NULL}),
                     -SEALBUF_ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(sealbuf_error(client), "another one"));
    assert_told(1, 1, 0, 0, 0);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), 0);
    ck_assert_uint_eq(sealbuf_buffer_id(got), 0);
    /* It is adopted as a buffer that the broker does not know. */
    ck_assert_int_eq(sealbuf_publish(client, buffer, PUBLISH(.name = "n"), NULL), 0);
    ck_assert_int_eq(sealbuf_publish(client, got, PUBLISH(.name = "m"), NULL), -SEALBUF_ERR_ACCESS_MODE);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(got);
}
END_TEST

static const char *const no_buffers[] = {"--limit", "uid-buffers=1", NULL};

START_TEST(what_is_not_taken_back_stays_memory)
{
    sealbuf_buffer *first, *second;
    void *address;
    size_t size;

    ck_assert_int_eq(sealbuf_create(client, &first, CREATE(.size = 4096)), 0);
    ck_assert_int_eq(sealbuf_create(client, &second, CREATE(.size = 4096)), 0);
    uint64_t former = sealbuf_buffer_id(second);
    ck_assert_int_eq(sealbuf_buffer_map(second, SEALBUF_MAP_WRITE, &address, &size), 0);
    restart(no_buffers);
    ck_assert_int_eq(sealbuf_seal(client, former, SEALBUF_SEAL_WRITE), -SEALBUF_ERR_LIMIT);
    ck_assert_ptr_nonnull(strstr(sealbuf_error(client), "did not take back"));
    assert_told(1, 1, 1, 1, 0);
    const struct sealbuf_event *event = event_of(SEALBUF_EVENT_LOST);
    ck_assert_int_eq(event->error, -SEALBUF_ERR_LIMIT);
    ck_assert_uint_eq(event->former_id, former);
    ck_assert_ptr_nonnull(strstr(event->sentence, "uid-buffers"));
    ck_assert_uint_eq(sealbuf_buffer_id(second), 0);
    ck_assert_int_eq(sealbuf_publish_many(client, &second, NULL, PUBLISH(.name = "n"), 1), -SEALBUF_ERR_LIMIT);
    ck_assert_msg(strstr(sealbuf_error(client), "did not take this buffer back"), "'%s'", sealbuf_error(client));
    ck_assert_int_eq(sealbuf_publish(client, second, PUBLISH(.name = "n"), NULL), -SEALBUF_ERR_LIMIT);
    memcpy(address, "alive", 5);
    ck_assert_int_eq(sealbuf_remove(client, TARGET(.id = sealbuf_buffer_id(first))), 0);
    ck_assert_int_eq(sealbuf_publish(client, second, PUBLISH(.name = "n"), NULL), 0);
    ck_assert_uint_ne(sealbuf_buffer_id(second), 0);
    sealbuf_buffer_free(first);
    sealbuf_buffer_free(second);
}
END_TEST

START_TEST(a_reader_alone_is_not_taken_back)
{
    sealbuf_buffer *buffer, *reader;

    ck_assert_int_eq(sealbuf_create(client, &buffer, CREATE(.size = 1)), 0);
    ck_assert_int_eq(sealbuf_buffer_reopen(buffer, &reader), 0);
    sealbuf_buffer_free(buffer);
    restart(NULL);
    ck_assert_int_eq(sealbuf_publish(client, reader, PUBLISH(.name = "n"), NULL), -SEALBUF_ERR_ACCESS_MODE);
    assert_told(1, 1, 0, 1, 0);
    ck_assert_int_eq(event_of(SEALBUF_EVENT_LOST)->error, -SEALBUF_ERR_ACCESS_MODE);
    sealbuf_buffer_free(reader);
}
END_TEST

#define MANY 1000

/* More than a message takes, by their number or by their metadata. */
START_TEST(many_of_them)
{
    static sealbuf_buffer *buffers[MANY];
    static char big[4000];
    const char *const bulky[] = {big, NULL};
    const struct sealbuf_info *info;

    memset(big, 'x', sizeof(big) - 1);
    big[1] = '=';
    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(sealbuf_create(client, &buffers[i], CREATE(.size = i, .metadata = i % 10 ? NULL : bulky)), 0);
    for (unsigned i = 0; i < MANY; i += 7)
        buffers[i] = sealbuf_buffer_free(buffers[i]);
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(1, 1, MANY - (MANY + 6) / 7, 0, 0);
    for (unsigned i = 0; i < MANY; i++) {
        if (!buffers[i])
            continue;
        ck_assert_int_eq(sealbuf_stat(client, TARGET(.id = sealbuf_buffer_id(buffers[i])), &info), 0);
        ck_assert_uint_eq(info->size, i);
        ck_assert_uint_eq(info->metadata_size, i % 10 ? 0 : sizeof(big));
        sealbuf_buffer_free(buffers[i]);
    }
}
END_TEST

static void *free_and_make(void *argument)
{
    sealbuf_buffer **buffers = argument, *clone;

    for (unsigned i = 0; i < MANY; i++) {
        ck_assert_int_eq(sealbuf_buffer_clone(buffers[i], &clone), 0);
        sealbuf_buffer_free(buffers[i]);
        sealbuf_buffer_id(clone);
        sealbuf_buffer_free(clone);
    }
    return NULL;
}

/* A buffer may be another thread's than the client is. */
START_TEST(buffers_of_other_threads)
{
    static sealbuf_buffer *buffers[MANY];
    pthread_t thread;

    for (unsigned i = 0; i < MANY; i++)
        ck_assert_int_eq(sealbuf_create(client, &buffers[i], CREATE(.size = i)), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, free_and_make, buffers), 0);
    for (int i = 0; i < 3; i++) {
        restart(NULL);
        ck_assert_int_eq(sealbuf_ping(client), 0);
    }
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_LOST], 0);
}
END_TEST

START_TEST(buffers_outlive_the_client)
{
    sealbuf_buffer *buffer, *clone;
    sealbuf_client *other = new_client();

    ck_assert_int_eq(sealbuf_create(other, &buffer, CREATE(.size = 1)), 0);
    uint64_t id = sealbuf_buffer_id(buffer);
    sealbuf_disconnect(other);
    ck_assert_uint_eq(sealbuf_buffer_id(buffer), id);
    ck_assert_int_eq(sealbuf_buffer_clone(buffer, &clone), 0);
    ck_assert_uint_eq(sealbuf_buffer_id(clone), id);
    ck_assert_int_eq(sealbuf_adopt(client, clone, NULL), 0);
    restart(NULL);
    ck_assert_int_eq(sealbuf_ping(client), 0);
    assert_told(1, 1, 1, 0, 0);
    sealbuf_buffer_free(buffer);
    sealbuf_buffer_free(clone);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("library_reconnect_held");
    TCase *held = harness_tcase(suite, "held");

    tcase_add_checked_fixture(held, start_mortal, stop_mortal);
    tcase_add_test(held, unpublished_buffers_are_adopted);
    tcase_add_test(held, a_publish_with_the_id_of_before);
    tcase_add_test(held, requests_with_the_id_of_before);
    tcase_add_test(held, clones_and_readers_follow);
    tcase_add_test(held, published_buffers_are_not_the_connections);
    tcase_add_test(held, what_is_not_taken_back_stays_memory);
    tcase_add_test(held, a_reader_alone_is_not_taken_back);
    tcase_add_test(held, many_of_them);
    tcase_add_test(held, buffers_of_other_threads);
    tcase_add_test(held, buffers_outlive_the_client);
    return harness_run(suite);
}
