/* SPDX-License-Identifier: MIT */
/* What is no broker, in the place of the broker's program: reexec.py compiles it, and says by -DBEHAVIOUR what it does.
 */
#include <stdlib.h>
#include <unistd.h>

__attribute__((unused)) static void hang(void)
{
    for (;;)
        pause();
}

int main(void)
{
    BEHAVIOUR;
    return 0;
}
