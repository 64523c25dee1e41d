/* bench/idle.c - a worker that rests inside its scenario, with its connection, its answer
 * and its stack held: what `bench/run memory` measures. */
#include <molotov.h>

SCENARIO(idle)
{
    mlt_response *page = mlt_get(session, "/");

    mlt_check(page->status == 200);
    mlt_sleep(session, 3600);
}
