/* bench/scenario.c - what a scenario does at the least: one request, its status and a
 * value of its JSON body checked. bench/run starts it with --server-url. */
#include <molotov.h>

SCENARIO(get)
{
    mlt_response *page = mlt_get(session, "/");

    mlt_check(page->status == 200);
    mlt_check_str(mlt_json_str(page, "result"), "OK");
}
