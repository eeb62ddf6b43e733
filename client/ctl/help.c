/* SPDX-License-Identifier: MIT */
#include "help.h"

#include <config-build.h>
#include <stdio.h>

#include "command.h"
#include "option_table.h"

static const char notes[] =
    "\n"
    "Options may stand before or after the command and its names; '--' ends them. LIST is 'immutable', 'none',\n"
    "or some of shrink, grow, write, future_write, seal, exec with commas between them.\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 denied, 5 broker not reachable, 6 the name is\n"
    "bound already, 7 seals are missing, 8 another generation, 9 not there in time; exec and watch --exec: 126 the\n"
    "command cannot be run, 127 there is none of this name, else the command's own. See sealbufctl(1).\n";

static void print_one(const struct command *command)
{
    printf("Usage: sealbufctl %s [OPTION...]%s%s\n", command->name, *command->synopsis ? " " : "", command->synopsis);
    printf("To %s.\n\n", command->summary);
    if (command->bit == FOR_WATCH)
        printf(
            "In COMMAND, {} becomes the name; the buffer is its standard input, and $SEALBUF_EVENT says what happened."
            "\n\n");
    if (command->bit == FOR_EXEC)
        printf("In ARGUMENTs, {NAME} becomes the path of NAME's descriptor; where there is one NAME only, {} does, "
               "too.\n\n");
    options_print(command);
    fputs(notes, stdout);
}

void help_print(const struct command *command)
{
    const struct command *each;

    if (command) {
        print_one(command);
        return;
    }
    printf("Usage: sealbufctl COMMAND [OPTION...] [NAME...]\n"
           "Publish, get and look at sealed memory, through the broker sealbufd.\n\n");
    for (size_t i = 0; (each = command_at(i)); i++)
        printf("  %-6s %-36s %s\n", each->name, each->synopsis, each->summary);
    printf("\n");
    options_print(NULL);
    fputs(notes, stdout);
}

void version_print(void)
{
    printf("sealbufctl " PACKAGE_VERSION "\n");
}
