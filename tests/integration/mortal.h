/* SPDX-License-Identifier: MIT */
/* A broker that is killed and started again, and a client of it that is there all the while: a fixture. */
#ifndef TESTS_INTEGRATION_MORTAL_H
#define TESTS_INTEGRATION_MORTAL_H

#include "reconnecting.h"

extern struct broker mortal;
extern sealbuf_client *client;

void start_mortal(void);
/* Removes what was published, and disconnects. */
void stop_mortal(void);
/* Kills it, and starts the next one with these arguments, or none (NULL). */
void restart(const char *const *arguments);
/* How many events of each kind there were, as told and as the connection counts them. */
void assert_told(unsigned disconnected, unsigned reconnected, unsigned readopted, unsigned lost, unsigned unknown);

#endif
