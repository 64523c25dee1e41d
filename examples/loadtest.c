/* A test to start from: two kinds of users of a small shop.
 *
 *     molotov-runner examples/loadtest.c -w 50 -p 2 -d 10 --server-url http://localhost:8080
 */
#include <molotov.h>

/* Most users look around: a page of JSON, whose content is checked. */
SCENARIO(browse, .weight = 80)
{
    mlt_response *page = mlt_get(session, "/");

    mlt_check(page->status == 200);
    mlt_check_str(mlt_json_str(page, "result"), "OK");
}

/* Some buy. The name is what the report calls the request; without it, it is the URL. */
SCENARIO(buy, .weight = 20)
{
    mlt_response *order = mlt_post(session, "/orders", .json = "{\"item\": 1}",
                                   .name = "/orders", .timeout = 2.0);

    mlt_check(order->status == 201);
    mlt_count("orders", 1);
}
