/* SPDX-License-Identifier: MIT */
#include "mortal.h"

#include <stdio.h>

struct broker mortal;
sealbuf_client *client;

void start_mortal(void)
{
    broker_start(&mortal, NULL);
    client = connect_and_listen(mortal.path, 10000);
}

static int remember_name(const struct sealbuf_info *info, void *userdata)
{
    snprintf(userdata, SEALBUF_MAX_NAME + 1, "%s", info->name);
    return 1;
}

/* What a test has published would be counted as left behind. */
static void remove_names(void)
{
    char name[SEALBUF_MAX_NAME + 1];

    while (sealbuf_list(client, OPTIONS(sealbuf_list_options, .prefix = ""), remember_name, name) == 1)
        ck_assert_int_eq(sealbuf_remove(client, TARGET(.name = name)), 0);
}

void stop_mortal(void)
{
    remove_names();
    client = sealbuf_disconnect(client);
    broker_stop(&mortal);
}

void restart(const char *const *arguments)
{
    broker_kill(&mortal);
    broker_start_again(&mortal, arguments);
}

void assert_told(unsigned disconnected, unsigned reconnected, unsigned readopted, unsigned lost, unsigned unknown)
{
    struct sealbuf_connection connection = connection_of(client);

    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_DISCONNECTED], disconnected);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_RECONNECTED], reconnected);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_READOPTED], readopted);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_LOST], lost);
    ck_assert_uint_eq(told.of_kind[SEALBUF_EVENT_UNKNOWN], unknown);
    ck_assert_uint_eq(connection.disconnections, disconnected);
    ck_assert_uint_eq(connection.reconnections, reconnected);
    ck_assert_uint_eq(connection.readopted, readopted);
    ck_assert_uint_eq(connection.lost, lost);
    ck_assert_uint_eq(connection.unknown, unknown);
}
