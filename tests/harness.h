/* SPDX-License-Identifier: MIT */
/*
 * What the tests in C share, on top of Check: TAP for automake's driver, tests that skip themselves, a look at this
 * process's descriptors around every test, and a private broker for those that need one.
 *
 *     START_TEST(answers)
 *     {
 *         if (!something())
 *             test_skip("there is no something here");
 *         ck_assert_int_eq(ping(broker.path), 0);
 *     }
 *     END_TEST
 *
 *     int main(void)
 *     {
 *         Suite *suite = suite_create("ping");
 *         tcase_add_test(harness_tcase_with_broker(suite, "with a broker"), answers);
 *         return harness_run(suite);
 *     }
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <check.h>
#include <sys/types.h>

/*
 * A test case of the suite whose tests fail where they leave a descriptor open, or close one that was. All test cases
 * are made here: that is how a test is found in the protocol of the run.
 */
TCase *harness_tcase(Suite *suite, const char *name);

/* The same, with a private broker in `broker` for each test, which must come through the test unharmed. */
TCase *harness_tcase_with_broker(Suite *suite, const char *name);

/* Runs all, writes TAP to standard output; what main() returns. Obeys CK_FORK, CK_RUN_CASE and Check's other wishes. */
int harness_run(Suite *suite);

/* Ends the test that calls it, as skipped. Only for the test function itself, while nothing is open. */
#define test_skip(reason)                                                                                              \
    do {                                                                                                               \
        harness_note_skip(reason);                                                                                     \
        return;                                                                                                        \
    } while (0)
void harness_note_skip(const char *reason);

/* Open descriptors of this process. */
unsigned descriptors_open(void);

/* A broker of one's own. */
struct broker {
    pid_t pid;
    char directory[64]; /* in it: the socket, and what the broker writes, `log` */
    char path[80];      /* of the socket; also in $SEALBUF_SOCKET */
    unsigned baseline;  /* its descriptors when it was ready */
};

/* That of harness_tcase_with_broker. */
extern struct broker broker;

/*
 * Starts $SEALBUFD, or ./sealbufd, with these arguments besides --socket and --ready-fd, NULL at the end (or NULL for
 * none), and waits until it is ready. Where it does not become ready, the test fails.
 */
void broker_start(struct broker *started, const char *const *arguments);

/* Ends it by SIGKILL: its directory, and its socket's file, stay. */
void broker_kill(const struct broker *running);
/* Starts it once more at the same path, after broker_kill; as broker_start. */
void broker_start_again(struct broker *started, const char *const *arguments);
/* The same so many milliseconds later, and without waiting for it: only broker_kill and broker_end are for that one. */
void broker_start_later(struct broker *started, unsigned ms);

/* Its open descriptors now. */
unsigned broker_descriptors(const struct broker *running);

/*
 * Waits until it has no more descriptors than at its start, ends it with SIGTERM, and removes its directory. The test
 * fails where it still has more, or had died, or does not end with status 0; then the directory stays.
 */
void broker_stop(struct broker *running);

#endif
