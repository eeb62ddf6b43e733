/* SPDX-License-Identifier: MIT */
#include "users.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "complain.h"

bool users_are_there(void)
{
    if (geteuid() != 0 || seteuid(OTHER_HOSTILE_UID) < 0)
        return false;
    return seteuid(0) == 0;
}

int users_act_as(uid_t uid)
{
    if (seteuid(uid) < 0)
        return complain("becoming the user %u: %s", (unsigned)uid, strerror(errno));
    return 0;
}

int users_become(uid_t uid)
{
    if (users_act_as(0) < 0)
        return -1;
    if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, 0) < 0)
        return complain("becoming the user %u: %s", (unsigned)uid, strerror(errno));
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the kernel forgets it with the user */
    return 0;
}
