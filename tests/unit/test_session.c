#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "http/session.h"

/* --- a transport that answers what the test says ----------------------------------------- */

enum { HOPS_MAX = 20, TEXT_MAX = 600 };

/* What was asked. */
struct hop {
    char method[32], url[TEXT_MAX], headers[TEXT_MAX], user_headers[TEXT_MAX];
    char content_type[64];
    char body[64];          /* "(none)" where there was none */
    char cookies[TEXT_MAX]; /* the same */
    uint64_t started_us, timeout_us;
    bool verify, keep_body;
};

struct transport {
    struct hop hops[HOPS_MAX];
    size_t hop_count, users;
    struct exchange *pending;
    bool cancel_written; /* what a cancelled exchange got to */
};

struct transport_user {
    struct transport *transport;
};

static struct transport_user *fake_user_new(struct transport *transport)
{
    struct transport_user *const user = xcalloc(1, sizeof(*user));

    user->transport = transport;
    transport->users++;
    return user;
}

static void fake_user_destroy(struct transport_user *user)
{
    user->transport->users--;
    free(user);
}

static void join_lines(char ret_text[TEXT_MAX], header_lines lines)
{
    ret_text[0] = '\0';
    for (; lines != NULL && *lines != NULL; lines++)
        snprintf(ret_text + strlen(ret_text), TEXT_MAX - strlen(ret_text), "%s|",
                 *lines);
}

static void fake_start(struct transport_user *user, struct exchange *exchange)
{
    struct transport *const transport = user->transport;
    struct hop *const hop = &transport->hops[transport->hop_count++];

    assert_true(transport->hop_count <= HOPS_MAX);
    assert_null(transport->pending);
    exchange->carrier = transport;
    transport->pending = exchange;
    snprintf(hop->method, sizeof(hop->method), "%s", exchange->method);
    snprintf(hop->url, sizeof(hop->url), "%s", exchange->url);
    join_lines(hop->headers, exchange->headers);
    join_lines(hop->user_headers, exchange->user_headers);
    snprintf(hop->content_type, sizeof(hop->content_type), "%s",
             exchange->content_type != NULL ? exchange->content_type : "(none)");
    snprintf(hop->body, sizeof(hop->body), "%.*s",
             exchange->body != NULL ? (int)exchange->body_size : 6,
             exchange->body != NULL ? (const char *)exchange->body : "(none)");
    snprintf(hop->cookies, sizeof(hop->cookies), "%s",
             exchange->cookies != NULL ? exchange->cookies : "(none)");
    hop->started_us = exchange->started_us;
    hop->timeout_us = exchange->timeout_us;
    hop->verify = exchange->verify;
    hop->keep_body = exchange->keep_body;
}

static void fake_cancel(struct exchange *exchange)
{
    struct transport *const transport = exchange->carrier;

    assert_ptr_equal(transport->pending, exchange);
    transport->pending = NULL;
    exchange->written = transport->cancel_written;
    exchange->complete = false;
}

static const struct transport_type fake_type = {
    .name = "fake",
    .user_new = fake_user_new,
    .user_destroy = fake_user_destroy,
    .start = fake_start,
    .cancel = fake_cancel,
};

/* --- a session on it --------------------------------------------------------------------- */

struct user {
    struct transport transport;
    struct stats stats;
    struct session_context context;
    struct session *session;
    size_t responses, sendings, answers;
    struct response response; /* the last one */
};

static void on_sending(struct session *session, const struct exchange *exchange)
{
    struct user *const user = session_owner(session);

    assert_null(user->transport.pending); /* told before it is sent */
    assert_non_null(exchange->url);
    user->sendings++;
}

static void on_answer(struct session *session, const struct exchange *exchange,
                      const struct response *response)
{
    struct user *const user = session_owner(session);

    assert_int_equal(exchange->status, response->status);
    user->answers++;
}

static void on_response(struct session *session, struct response *response, void *data)
{
    struct user *const user = data;

    assert_ptr_equal(session_owner(session), user);
    user->responses++;
    user->response = *response;
}

static void user_open(struct user *user, const struct session_options *options)
{
    struct error err;

    *user = (struct user){.responses = 0};
    stats_init(&user->stats);
    user->context = (struct session_context){
        .transport = &user->transport,
        .transport_type = &fake_type,
        .stats = &user->stats,
        .on_sending = on_sending,
        .on_answer = on_answer,
    };
    if (session_new(&user->context, options, user, &user->session, &err) == -1)
        fail_msg("%s", err.message);
}

static void user_close(struct user *user)
{
    session_destroy(user->session);
    assert_int_equal(user->transport.users, 0);
    session_context_clear(&user->context);
    stats_clear(&user->stats);
}

static void user_send(struct user *user, const struct request *request)
{
    struct error err;

    if (session_send(user->session, request, on_response, user, &err) == -1)
        fail_msg("%s: %s", request->url, err.message);
}

static const struct hop *last_hop(const struct user *user)
{
    assert_true(user->transport.hop_count > 0);
    return &user->transport.hops[user->transport.hop_count - 1];
}

/* --- answers ----------------------------------------------------------------------------- */

struct answer {
    int status;
    const char *head, *body; /* NULL: none */
    bool is_cut;             /* what came is not complete */
    bool unsent;             /* nothing was written */
};

static void add_lines(struct exchange *exchange, const char *head)
{
    for (const char *end; (end = strchr(head, '\n')) != NULL; head = end + 1)
        assert_int_equal(exchange_add_line(exchange, head, (size_t)(end - head)), 0);
}

static void answer(struct user *user, const struct answer *answer)
{
    struct exchange *const exchange = user->transport.pending;

    assert_non_null(exchange);
    user->transport.pending = NULL;
    exchange->written = !answer->unsent;
    exchange->complete = !answer->is_cut && !answer->unsent;
    if (answer->status != 0)
        exchange_begin_head(exchange, answer->status, "", 0);
    if (answer->head != NULL)
        add_lines(exchange, answer->head);
    if (answer->body != NULL) {
        exchange->body_length = strlen(answer->body);
        exchange->body_data =
            arena_strndup(exchange->arena, answer->body, exchange->body_length);
    }
    exchange->failure = exchange->complete ? NULL : "it broke";
    exchange->bytes_in = 100;
    exchange->bytes_out = 50;
    exchange->on_done(exchange);
}

static void redirect(struct user *user, int status, const char *location)
{
    char head[TEXT_MAX];

    snprintf(head, sizeof(head), "Server: fake\nlocation: %s\nX: y\n", location);
    answer(user, &(struct answer){.status = status, .head = head});
}

static const struct request get = {
    .method = "GET", .url = "http://a.example/", .follow = true};

static const struct request_stats *row(const struct user *user, const char *name)
{
    const struct request_stats *const found =
        table_find(&user->stats.requests, name, strlen(name));

    if (found == NULL)
        fail_msg("there is no row '%s'", name);
    return found;
}

static void expect_text(const char *name, const char *got, const char *want)
{
    if (got == NULL || strcmp(got, want) != 0)
        fail_msg("%s: got '%s', want '%s'", name, got != NULL ? got : "NULL", want);
}

/* --- one request ------------------------------------------------------------------------- */

static void test_what_is_asked(void **state)
{
    static const char *const lines[] = {"X-Of-User: 1", NULL};
    static const char *const own[] = {"X-Own: 2", "Y:", NULL};
    struct session_options options = SESSION_OPTIONS_INIT;
    struct user user;

    (void)state;
    options.headers = lines;
    options.verify = false;
    user_open(&user, &options);
    user_send(&user, &(struct request){.method = "PUT",
                                       .url = "http://a.example/x?y",
                                       .headers = own,
                                       .content_type = "text/plain",
                                       .body = "words",
                                       .body_size = 4,
                                       .keep_body = true});
    assert_int_equal(user.transport.hop_count, 1);
    assert_string_equal(last_hop(&user)->method, "PUT");
    assert_string_equal(last_hop(&user)->url, "http://a.example/x?y");
    assert_string_equal(last_hop(&user)->headers, "X-Own: 2|Y:|");
    assert_string_equal(last_hop(&user)->user_headers, "X-Of-User: 1|");
    assert_string_equal(last_hop(&user)->content_type, "text/plain");
    assert_string_equal(last_hop(&user)->body, "word");
    assert_true(last_hop(&user)->keep_body);
    assert_false(last_hop(&user)->verify);
    user_close(&user);
}

static void test_what_is_answered(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user, &get);
    assert_int_equal(user.responses, 0);
    answer(&user,
           &(struct answer){.status = 404, .head = "A: b\n", .body = "not here"});
    assert_int_equal(user.responses, 1);
    assert_null(user.response.failure);
    assert_false(user.response.cancelled);
    assert_int_equal(user.response.status, 404);
    assert_string_equal(user.response.body, "not here");
    assert_int_equal(user.response.body_size, 8);
    assert_string_equal(user.response.label, "GET http://a.example/");
    assert_string_equal(user.response.url, "http://a.example/");
    assert_int_equal(user.response.redirects, 0);
    assert_int_equal(user.sendings, 1);
    assert_int_equal(user.answers, 1);

    user_send(&user, &get); /* one after the other, with nothing left of the first */
    answer(&user, &(struct answer){.status = 204});
    assert_int_equal(user.response.status, 204);
    assert_string_equal(user.response.body, "");
    assert_int_equal(user.response.head_size, 0);
    session_release(user.session);
    user_close(&user);
}

/* design.md, "A hit": a request of which a byte was written. */
static void test_hits(void **state)
{
    static const struct {
        const char *name;
        struct answer answer;
        uint64_t hits, hit_errors, unsent, complete;
    } cases[] = {
        {"answered",              {.status = 200},                 1, 0, 0, 1},
        {"answered badly",        {.status = 500},                 1, 0, 0, 1},
        {"no answer at all",      {.status = 0, .is_cut = true},   1, 1, 0, 0},
        {"cut within its body",   {.status = 200, .is_cut = true}, 1, 1, 0, 0},
        {"cut within a redirect", {.status = 302, .is_cut = true}, 1, 1, 0, 0},
        {"never sent",            {.status = 0, .unsent = true},   0, 0, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct request_stats *request;
        struct user user;

        user_open(&user, &SESSION_OPTIONS_INIT);
        user_send(&user, &get);
        answer(&user, &cases[i].answer);
        assert_int_equal(user.responses, 1);
        if ((user.response.failure == NULL) != (cases[i].complete == 1))
            fail_msg("%s: failure is '%s'", cases[i].name, user.response.failure);
        request = row(&user, "GET http://a.example/");
        if (request->hits != cases[i].hits ||
            request->hit_errors != cases[i].hit_errors ||
            request->unsent != cases[i].unsent ||
            request->latency.count != cases[i].complete ||
            request->status_count != cases[i].complete)
            fail_msg("%s: counted otherwise", cases[i].name);
        assert_int_equal(request->bytes_in, 100);
        assert_int_equal(request->bytes_out, 50);
        user_close(&user);
    }
}

/* The words are the same for the same cause and label, so that they can be grouped. */
static void test_failure_names_the_request(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user, &(struct request){.method = "GET", .url = "http://a/?id=17"});
    answer(&user, &(struct answer){.is_cut = true});
    assert_string_equal(user.response.failure, "GET http://a/: it broke");
    assert_int_equal(user.answers, 0); /* there was none */
    user_close(&user);
}

static void test_phases_and_connections(void **state)
{
    struct user user;
    struct exchange *exchange;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    for (int i = 0; i < 2; i++) {
        user_send(&user, &get);
        exchange = user.transport.pending;
        exchange->new_connection = i == 0;
        exchange->phase_happened[PHASE_CONNECT] = i == 0;
        exchange->phases_us[PHASE_CONNECT] = 1000;
        exchange->phase_happened[PHASE_FIRST_BYTE] = true;
        answer(&user, &(struct answer){.status = 200});
    }
    assert_int_equal(user.stats.connections, 1);
    assert_int_equal(user.stats.replaced_connections, 0);
    assert_int_equal(row(&user, "GET http://a.example/")->phases[PHASE_CONNECT]->count,
                     1);
    assert_int_equal(
        row(&user, "GET http://a.example/")->phases[PHASE_FIRST_BYTE]->count, 2);
    assert_null(row(&user, "GET http://a.example/")->phases[PHASE_TLS]);
    user_close(&user);
}

/* What carried them, all that was begun: hits, and what was never sent. */
static void test_transports_are_counted(void **state)
{
    static const enum carrier_kind carriers[] = {CARRIED_BY_CURL, CARRIED_BY_DIRECT,
                                                 CARRIED_BY_DIRECT};
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    for (size_t i = 0; i < ARRAY_SIZE(carriers); i++) {
        user_send(&user, &get);
        user.transport.pending->carried_by = carriers[i];
        user.transport.pending->replaced = i == 1;
        answer(&user, &(struct answer){.status = 200, .unsent = i == 2});
    }
    user_send(&user, &get);
    session_cancel(user.session);
    assert_int_equal(user.stats.curl_requests, 2);
    assert_int_equal(user.stats.direct_requests, 2);
    assert_int_equal(user.stats.replaced_connections, 1);
    user_close(&user);
}

/* Each is counted in its own row, whichever came before. */
static void test_rows_take_turns(void **state)
{
    static const struct {
        const char *method, *url, *name, *row;
    } cases[] = {
        {"GET",  "http://a/x",   NULL,     "GET http://a/x"    },
        {"GET",  "http://a/y",   NULL,     "GET http://a/y"    },
        {"POST", "http://a/y",   NULL,     "POST http://a/y"   },
        {"GET",  "http://a/x",   "name",   "GET name"          },
        {"GET",  "http://a/x",   "nam",    "GET nam"           },
        {"GET",  "http://a/x?y", NULL,     "GET http://a/x"    },
        {"GE",   "http://a/",    "T http", "GE T http"         },
        {"GE",   "http://a/",
         "a\x01"
         "b\xFF",                          "GE a b\xEF\xBF\xBD"},
    };
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            for (size_t k = 0; k < 2; k++) {
                user.transport.hop_count = 0;
                user_send(&user, &(struct request){.method = cases[i].method,
                                                   .url = cases[i].url,
                                                   .name = cases[i].name});
                answer(&user, &(struct answer){.status = 200});
                expect_text(cases[i].row, user.response.label, cases[i].row);
            }
        }
        assert_int_equal(row(&user, "GET http://a/x")->hits, 4);
        assert_int_equal(row(&user, "GET nam")->hits, 2);
        assert_int_equal(row(&user, "GE T http")->hits, 2);
        stats_reset(&user.stats); /* an interval is over */
    }
    assert_int_equal(user.stats.requests.count, 7);
    user_close(&user);
}

static void test_labels(void **state)
{
    static const struct {
        const char *url, *name, *want;
    } cases[] = {
        {"http://a/",                  NULL,      "GET http://a/"         },
        {"http://a",                   NULL,      "GET http://a"          },
        {"http://a/x?y=1&z",           NULL,      "GET http://a/x"        },
        {"http://a/x#part",            NULL,      "GET http://a/x"        },
        {"http://a?y",                 NULL,      "GET http://a"          },
        {"http://me:word@a/x?y",       NULL,      "GET http://a/x"        },
        {"http://me:w@rd@a:80/x",      NULL,      "GET http://a:80/x"     },
        {"http://me@a?x@y",            NULL,      "GET http://a"          },
        {"http://a/x@y",               NULL,      "GET http://a/x@y"      },
        {"http://a?mail=x@y",          NULL,      "GET http://a"          },
        {"http://a/x?y",               "/orders", "GET /orders"           },
        {"http://me:word@a/x",         "a?b#c@d", "GET a?b#c@d"           },
        {"http://a/\xC3\xA9?\xC3\xA9", NULL,      "GET http://a/\xC3\xA9" },
        {"http+unix://%2Fs/x?y",       NULL,      "GET http+unix://%2Fs/x"},
        {"http+unix://me:w@%2Fs/x",    NULL,      "GET http+unix://%2Fs/x"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct user user;

        user_open(&user, &SESSION_OPTIONS_INIT);
        user_send(&user, &(struct request){.method = "GET",
                                           .url = cases[i].url,
                                           .name = cases[i].name});
        answer(&user, &(struct answer){.status = 200});
        expect_text(cases[i].url, user.response.label, cases[i].want);
        assert_int_equal(row(&user, cases[i].want)->hits, 1);
        user_close(&user);
    }
}

/* No password gets into a report, however long what is around it. */
static void test_label_of_a_long_url(void **state)
{
    static const size_t lengths[] = {150, 190, 240, 260, 400};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        for (int is_path = 0; is_path <= 1; is_path++) {
            char *const part = xasprintf("%0*d", (int)lengths[i], 0);
            char *const url = is_path ? xasprintf("http://me:secret@a/%s", part)
                                      : xasprintf("http://me:secret%s@a/", part);
            struct user user;

            user_open(&user, &SESSION_OPTIONS_INIT);
            user_send(&user, &(struct request){.method = "GET", .url = url});
            answer(&user, &(struct answer){.status = 200});
            assert_null(strstr(user.response.label, "secret"));
            assert_memory_equal(user.response.label, "GET http://a/", 13);
            user_close(&user);
            free(url);
            free(part);
        }
    }
}

/* --- URLs -------------------------------------------------------------------------------- */

static void test_relative_urls(void **state)
{
    static const struct {
        const char *base, *url, *want;
    } cases[] = {
        {"http://a:8080",            "/x",                 "http://a:8080/x"          },
        {"http://a:8080/",           "/x?y=/../z",         "http://a:8080/x?y=/../z"  },
        {"http://a/deep/er",         "/x",                 "http://a/x"               },
        {"http://a/deep/er",         "x",                  "http://a/deep/x"          },
        {"http://a/deep/",           "x/y?z",              "http://a/deep/x/y?z"      },
        {"http://a/deep/er",         "?q",                 "http://a/deep/er?q"       },
        {"http://a/deep/er",         "../x",               "http://a/x"               },
        {"http://a",                 "/x/../y",            "http://a/y"               },
        {"http://a",                 "/x/./y",             "http://a/x/y"             },
        {"http://a",                 "//b/x",              "http://b/x"               },
        {"https://a",                "//b/x",              "https://b/x"              },
        {"http://a",                 "/x#part",            "http://a/x"               },
        {"http://a",                 "/two words",         "http://a/two%20words"     },
        {"http://me:w@a",            "/x",                 "http://me:w@a/x"          },
        {"http://a?x",               "/y",                 "http://a/y"               },
        {"http://a",                 "/http://b/",         "http://a/http://b/"       },
        {"http://a",                 "/x?url=http://b/",   "http://a/x?url=http://b/" },
        {"http://a",                 "http://b/x",         "http://b/x"               },
        {NULL,                       "http://b/x?y#z",     "http://b/x?y#z"           },
        {NULL,                       "HTTPS://B",          "HTTPS://B"                },
        {"http://a",                 "/\xC3\xA9",          "http://a/\xC3\xA9"        },
        {"http://a",                 "/x y",               "http://a/x%20y"           },
        {"http+unix://%2Fs",         "/x?y",               "http+unix://%2Fs/x?y"     },
        {"http+unix://%2Fs/deep/er", "x",                  "http+unix://%2Fs/deep/x"  },
        {"http+unix://%2Fs/deep/er", "../x",               "http+unix://%2Fs/x"       },
        {"https+unix://me:w@%2Fs",   "?x",                 "https+unix://me:w@%2Fs/?x"},
        {"http+unix://%2Fs",         "http://b/x",         "http://b/x"               },
        {"http://b",                 "http+unix://%2Fs/x", "http+unix://%2Fs/x"       },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct session_options options = SESSION_OPTIONS_INIT;
        struct user user;

        options.base_url = cases[i].base;
        user_open(&user, &options);
        user_send(&user, &(struct request){.method = "GET", .url = cases[i].url});
        expect_text(cases[i].url, last_hop(&user)->url, cases[i].want);
        user_close(&user);
    }
}

/* --- requests that are none -------------------------------------------------------------- */

static void test_requests_are_checked(void **state)
{
    static const char *const no_colon[] = {"A: b", "C", NULL};
    static const char *const no_name[] = {": b", NULL};
    static const char *const two_lines[] = {"A: b\r\nC: d", NULL};
    static const char *const no_text[] = {"A: \xFF", NULL};
    static const struct {
        const char *name;
        struct request request;
        const char *want; /* in the error */
    } cases[] = {
        {"no method",             {.url = "http://a/"},                          "method"  },
        {"an empty method",       {.url = "http://a/", .method = ""},            "method"  },
        {"too long a method",
         {.url = "http://a/", .method = "01234567890123456789012345678901"},
         "method"                                                                          },
        {"a method of two words", {.url = "http://a/", .method = "GET x"},       "method"  },
        {"a method of two lines",
         {.url = "http://a/", .method = "GET / HTTP/1.1\r\nX: y"},
         "method"                                                                          },
        {"no URL",                {.method = "GET"},                             "URL"     },
        {"a relative URL",        {.method = "GET", .url = "/x"},                "relative"},
        {"an empty URL",          {.method = "GET", .url = ""},                  "relative"},
        {"a URL of two lines",    {.method = "GET", .url = "http://a/\r\nX: y"}, "URL"     },
        {"a URL of no text",      {.method = "GET", .url = "http://a/\xFF"},     "URL"     },
        {"a time-out below 0",
         {.method = "GET", .url = "http://a/", .timeout_s = -1},
         "time-out"                                                                        },
        {"far too long a one",
         {.method = "GET", .url = "http://a/", .timeout_s = 1e9},
         "time-out"                                                                        },
        {"no time-out",
         {.method = "GET", .url = "http://a/", .timeout_s = NAN},
         "time-out"                                                                        },
        {"a header in a word",
         {.method = "GET", .url = "http://a/", .headers = no_colon},
         "'C'"                                                                             },
        {"a header of no name",
         {.method = "GET", .url = "http://a/", .headers = no_name},
         "': b'"                                                                           },
        {"a header of two lines",
         {.method = "GET", .url = "http://a/", .headers = two_lines},
         "header"                                                                          },
        {"a header of no text",
         {.method = "GET", .url = "http://a/", .headers = no_text},
         "header"                                                                          },
    };
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct error err = {.message = ""};

        if (session_send(user.session, &cases[i].request, on_response, &user, &err) !=
                -1 ||
            strstr(err.message, cases[i].want) == NULL)
            fail_msg("%s: '%s'", cases[i].name, err.message);
        assert_int_equal(user.transport.hop_count, 0); /* nothing was begun */
        assert_int_equal(user.responses, 0);
    }
    user_send(&user, &get); /* and the session is as good as new */
    user_close(&user);
}

static void test_options_are_checked(void **state)
{
    static const char *const no_header[] = {"X", NULL};
    static const char *const no_name[] = {"Content-Length : 5", NULL};
    static const struct {
        const char *name;
        struct session_options options;
        const char *want;
    } cases[] = {
        {"a relative base",     {.timeout_s = 1, .base_url = "/x"},      "'/x'"    },
        {"a base of no scheme", {.timeout_s = 1, .base_url = "a.com/x"}, "absolute"},
        {"an empty base",       {.timeout_s = 1, .base_url = ""},        "absolute"},
        {"no time-out",         {.timeout_s = 0},                        "time-out"},
        {"one below 0",         {.timeout_s = -1},                       "time-out"},
        {"one that is none",    {.timeout_s = NAN},                      "time-out"},
        {"one without end",     {.timeout_s = INFINITY},                 "time-out"},
        {"no header",           {.timeout_s = 1, .headers = no_header},  "'X'"     },
        {"a blank in its name", {.timeout_s = 1, .headers = no_name},    "Length :"},
    };
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct session *session = NULL;
        struct error err = {.message = ""};

        if (session_new(&user.context, &cases[i].options, &user, &session, &err) !=
                -1 ||
            strstr(err.message, cases[i].want) == NULL)
            fail_msg("%s: '%s'", cases[i].name, err.message);
        assert_null(session);
    }
    user_close(&user);
}

static void test_one_request_at_a_time(void **state)
{
    struct user user;
    struct error err;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user, &get);
    assert_int_equal(session_send(user.session, &get, on_response, &user, &err), -1);
    assert_non_null(strstr(err.message, "one request at a time"));
    answer(&user, &(struct answer){.status = 200});
    assert_int_equal(user.responses, 1);
    user_close(&user);
}

static void send_another(struct session *session, struct response *response, void *data)
{
    struct user *const user = data;

    on_response(session, response, data);
    if (user->responses < 3)
        assert_int_equal(session_send(session, &get, send_another, user, NULL), 0);
}

static void test_sending_from_on_response(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    assert_int_equal(session_send(user.session, &get, send_another, &user, NULL), 0);
    for (int i = 0; i < 3; i++)
        answer(&user, &(struct answer){.status = 200 + i});
    assert_int_equal(user.responses, 3);
    assert_int_equal(user.response.status, 202);
    user_close(&user);
}

/* --- redirects --------------------------------------------------------------------------- */

/* RFC 9110, 15.4. */
static void test_method_after_a_redirect(void **state)
{
    static const struct {
        int status;
        const char *method, *want, *want_body;
    } cases[] = {
        {301, "GET",    "GET",    "data"  },
        {301, "POST",   "GET",    "(none)"},
        {301, "PUT",    "PUT",    "data"  },
        {301, "HEAD",   "HEAD",   "data"  },
        {302, "GET",    "GET",    "data"  },
        {302, "POST",   "GET",    "(none)"},
        {302, "PATCH",  "PATCH",  "data"  },
        {303, "GET",    "GET",    "(none)"},
        {303, "POST",   "GET",    "(none)"},
        {303, "PUT",    "GET",    "(none)"},
        {303, "DELETE", "GET",    "(none)"},
        {303, "HEAD",   "HEAD",   "data"  },
        {307, "POST",   "POST",   "data"  },
        {307, "PUT",    "PUT",    "data"  },
        {308, "POST",   "POST",   "data"  },
        {308, "DELETE", "DELETE", "data"  },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char label[64];
        struct user user;

        user_open(&user, &SESSION_OPTIONS_INIT);
        user_send(&user, &(struct request){.method = cases[i].method,
                                           .url = "http://a/from",
                                           .body = "data",
                                           .body_size = 4,
                                           .follow = true});
        redirect(&user, cases[i].status, "/to");
        assert_int_equal(user.responses, 0);
        snprintf(label, sizeof(label), "%d after %s", cases[i].status, cases[i].method);
        expect_text(label, last_hop(&user)->method, cases[i].want);
        expect_text(label, last_hop(&user)->body, cases[i].want_body);
        expect_text(label, last_hop(&user)->url, "http://a/to");
        redirect(&user, 307, "/last"); /* what was dropped stays so */
        expect_text(label, last_hop(&user)->method, cases[i].want);
        expect_text(label, last_hop(&user)->body, cases[i].want_body);
        user_close(&user);
    }
}

static void test_what_is_no_redirect(void **state)
{
    static const struct {
        const char *name;
        int status;
        const char *head;
        bool follow;
    } cases[] = {
        {"nobody asked to follow", 302, "Location: /x\n",           false},
        {"no Location",            302, "Server: x\n",              true },
        {"no head",                302, "",                         true },
        {"one of another name",    302, "X-Location: /x\n",         true },
        {"the start of a name",    302, "Loc: /x\nLocationX: /x\n", true },
        {"200",                    200, "Location: /x\n",           true },
        {"201",                    201, "Location: /x\n",           true },
        {"300",                    300, "Location: /x\n",           true },
        {"304",                    304, "Location: /x\n",           true },
        {"305",                    305, "Location: /x\n",           true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct request request = get;
        struct user user;

        request.follow = cases[i].follow;
        user_open(&user, &SESSION_OPTIONS_INIT);
        user_send(&user, &request);
        answer(&user,
               &(struct answer){.status = cases[i].status, .head = cases[i].head});
        if (user.responses != 1 || user.response.failure != NULL)
            fail_msg("%s: it was followed", cases[i].name);
        assert_int_equal(user.response.status, cases[i].status);
        user_close(&user);
    }
}

static void test_location(void **state)
{
    static const struct {
        const char *from, *location, *want; /* NULL: it leads nowhere */
    } cases[] = {
        {"http://a/x/y?q",       "http://b/z",             "http://b/z"                  },
        {"http://a/x/y?q",       "https://a/z",            "https://a/z"                 },
        {"http://a/x/y?q",       "/z?r",                   "http://a/z?r"                },
        {"http://a/x/y?q",       "z",                      "http://a/x/z"                },
        {"http://a/x/y?q",       "../z",                   "http://a/z"                  },
        {"http://a/x/y?q",       "?r",                     "http://a/x/y?r"              },
        {"https://a/x",          "//b/z",                  "https://b/z"                 },
        {"http://a/x",           "/z#part",                "http://a/z"                  },
        {"http://a/x",           "/two words",             "http://a/two%20words"        },
        {"http://a:81/x",        "/z",                     "http://a:81/z"               },
        {"http://u:w@a/x",       "/z",                     "http://u:w@a/z"              },
        {"http://u:w@a/x",       "http://b/z",             "http://b/z"                  },
        {"http://a/x",           "/\xC3\xA9",              "http://a/\xC3\xA9"           },
        {"http://a/x",           "/\xFF",                  "http://a/%ff"                },
        {"http+unix://%2Fs/x/y", "/z?r",                   "http+unix://%2Fs/z?r"        },
        {"http+unix://%2Fs/x/y", "z",                      "http+unix://%2Fs/x/z"        },
        {"http+unix://%2Fs/x/y", "../../z",                "http+unix://%2Fs/z"          },
        {"http+unix://%2Fs/x",   "/two words",             "http+unix://%2Fs/two%20words"},
        {"http+unix://%2Fs/x",   "http://localhost/z",     "http+unix://%2Fs/z"          },
        {"https+unix://%2Fs/x",  "https://localhost/z",    "https+unix://%2Fs/z"         },
        {"http+unix://%2Fs/x",   "http://localhost",       "http+unix://%2Fs/"           },
        {"http+unix://%2Fs/x",   "http://localhost:81/z",  "http://localhost:81/z"       },
        {"http+unix://%2Fs/x",   "https://localhost/z",    "https://localhost/z"         },
        {"http+unix://%2Fs/x",   "http://localhost.b/z",   "http://localhost.b/z"        },
        {"http+unix://%2Fs/x",   "http://b/z",             "http://b/z"                  },
        {"http+unix://%2Fs/x",   "http+unix://%2Fother/z", NULL                          },
        {"http://a/x",           "http+unix://%2Fs/z",     NULL                          },
        {"http://a/x",           "ftp://b/z",              NULL                          },
        {"http://a/x",           "file:///etc/passwd",     NULL                          },
        {"http://a/x",           "javascript://b/",        NULL                          },
        {"http://a/x",           "httpx://b/",             NULL                          },
        {"http://a/x",           "httpfoo://b/z",          NULL                          },
        {"http+unix://%2Fs/x",   "httpfoo://b/z",          NULL                          },
        {"http://a/x",           "http://",                NULL                          },
        {"http://a/x",           "http://b:99999/",        NULL                          },
        {"http://a/x",           "http://b c/",            NULL                          },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct user user;

        user_open(&user, &SESSION_OPTIONS_INIT);
        user_send(&user, &(struct request){
                             .method = "GET", .url = cases[i].from, .follow = true});
        redirect(&user, 302, cases[i].location);
        if (cases[i].want != NULL) {
            expect_text(cases[i].location, last_hop(&user)->url, cases[i].want);
            assert_int_equal(user.responses, 0);
        } else if (user.responses != 1 || user.response.failure == NULL ||
                   strstr(user.response.failure, "Location") == NULL) {
            fail_msg("%s: it was followed", cases[i].location);
        }
        user_close(&user);
    }
}

static void test_too_many_redirects(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user, &get);
    for (unsigned i = 0; i < REDIRECTS_MAX; i++) {
        assert_int_equal(user.responses, 0);
        redirect(&user, 302, "/again");
    }
    assert_int_equal(user.responses, 0); /* 10 may be followed */
    redirect(&user, 302, "/again");
    assert_int_equal(user.responses, 1);
    assert_string_equal(user.response.failure,
                        "GET http://a.example/again: over 10 redirects");
    assert_int_equal(user.response.redirects, REDIRECTS_MAX);
    assert_int_equal(row(&user, "GET http://a.example/")->hits, 1);
    assert_int_equal(row(&user, "GET http://a.example/again")->hits, 10);
    assert_int_equal(row(&user, "GET http://a.example/again")->hit_errors, 0);

    user_send(&user, &get); /* counted anew */
    redirect(&user, 302, "/again");
    answer(&user, &(struct answer){.status = 200});
    assert_null(user.response.failure);
    assert_int_equal(user.response.redirects, 1);
    user_close(&user);
}

/* Each hop is a hit of its own; the answer is the last one's. */
static void test_hops_are_hits(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user, &(struct request){
                         .method = "POST", .url = "http://a/form", .follow = true});
    redirect(&user, 303, "/done?id=1");
    redirect(&user, 301, "http://b/done");
    answer(&user, &(struct answer){.status = 200, .body = "thanks"});
    assert_int_equal(user.responses, 1);
    assert_string_equal(user.response.label, "GET http://b/done");
    assert_string_equal(user.response.url, "http://b/done");
    assert_string_equal(user.response.body, "thanks");
    assert_int_equal(user.response.redirects, 2);
    assert_int_equal(row(&user, "POST http://a/form")->hits, 1);
    assert_int_equal(row(&user, "POST http://a/form")->statuses[0].status, 303);
    assert_int_equal(row(&user, "GET http://a/done")->hits, 1);
    assert_int_equal(row(&user, "GET http://b/done")->hits, 1);
    assert_int_equal(user.sendings, 3);
    assert_int_equal(user.answers, 1);
    user_close(&user);
}

/* A name of the user's is that of all hops. */
static void test_hops_of_a_name(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user,
              &(struct request){
                  .method = "GET", .url = "http://a/", .name = "home", .follow = true});
    redirect(&user, 302, "/home");
    answer(&user, &(struct answer){.unsent = true});
    assert_string_equal(user.response.failure, "GET home: it broke");
    assert_int_equal(row(&user, "GET home")->hits, 1);
    assert_int_equal(row(&user, "GET home")->unsent, 1);
    user_close(&user);
}

/* What is only for the host that was asked first goes to no other. */
static void test_secrets_stay_in_their_origin(void **state)
{
    static const char *const lines[] = {"authorization: Bearer x", "A: b",
                                        "COOKIE: c=d", "Authorization-Not: e", NULL};
    static const char *const own[] = {"Authorization: Basic y", "F: g", NULL};
    static const struct {
        const char *from, *to;
        bool want_dropped;
    } cases[] = {
        {"http://a/",      "/x",                     false},
        {"http://a/",      "http://a/x",             false},
        {"http://a/",      "http://A/x",             false},
        {"http://a",       "http://a?x",             false},
        {"http://a/",      "http://a:80/x",          false},
        {"https://a/",     "https://a:443/x",        false},
        {"http://a:80/",   "http://a/x",             false},
        {"http://u:w@a/",  "http://a/x",             false},
        {"http://a/",      "http://b/x",             true },
        {"http://a/",      "https://a/x",            true },
        {"https://a/",     "http://a/x",             true },
        {"http://a/",      "http://a:81/x",          true },
        {"http://a:8080/", "http://a/x",             true },
        {"https://a/",     "https://a:80/x",         true },
        {"http://a/",      "http://a.evil/x",        true },
        {"http://a/",      "http://evil/?http://a/", true },
        {"http://a/",      "http://a@evil/x",        true },
        {"http://a/",      "http://sub.a/x",         true },
        {"http://a@b/",    "http://a@c/x",           true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct session_options options = SESSION_OPTIONS_INIT;
        struct user user;

        options.headers = lines;
        user_open(&user, &options);
        user_send(&user, &(struct request){.method = "GET",
                                           .url = cases[i].from,
                                           .headers = own,
                                           .follow = true});
        expect_text(cases[i].to, last_hop(&user)->headers,
                    "Authorization: Basic y|F: g|");
        redirect(&user, 307, cases[i].to);
        expect_text(cases[i].to, last_hop(&user)->headers,
                    cases[i].want_dropped ? "F: g|" : "Authorization: Basic y|F: g|");
        expect_text(cases[i].to, last_hop(&user)->user_headers,
                    cases[i].want_dropped ? "A: b|Authorization-Not: e|"
                                          : "authorization: Bearer x|A: b|COOKIE: c=d|"
                                            "Authorization-Not: e|");
        redirect(&user, 307, "/there"); /* they are not found again there */
        expect_text(cases[i].to, last_hop(&user)->headers,
                    cases[i].want_dropped ? "F: g|" : "Authorization: Basic y|F: g|");
        redirect(&user, 307, cases[i].from); /* somebody else sent it back there */
        expect_text(cases[i].to, last_hop(&user)->headers,
                    cases[i].want_dropped ? "F: g|" : "Authorization: Basic y|F: g|");
        answer(&user, &(struct answer){.status = 200});

        user_send(&user, &(struct request){.method = "GET", .url = "http://c/"});
        assert_non_null(strstr(last_hop(&user)->user_headers, "Bearer")); /* anew */
        user_close(&user);
    }
}

static void test_secrets_of_a_socket(void **state)
{
    static const char *const lines[] = {"Authorization: x", NULL};
    static const struct {
        const char *to;
        bool want_dropped;
    } cases[] = {
        {"/x",                    false},
        {"http://localhost/x",    false},
        {"https://localhost/x",   true },
        {"http://localhost:81/x", true },
        {"http://b/x",            true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct user user;

        user_open(&user, &SESSION_OPTIONS_INIT);
        user_send(&user, &(struct request){.method = "GET",
                                           .url = "http+unix://%2Fs/",
                                           .headers = lines,
                                           .follow = true});
        redirect(&user, 307, cases[i].to);
        expect_text(cases[i].to, last_hop(&user)->headers,
                    cases[i].want_dropped ? "" : "Authorization: x|");
        answer(&user, &(struct answer){.status = 200});
        user_close(&user);
    }
}

/* --- cookies ------------------------------------------------------------------------------- */

static void answer_with(struct user *user, int status, const char *head)
{
    answer(user, &(struct answer){.status = status, .head = head});
}

/* Of each hop, also of one whose body was cut; kept over requests. */
static void test_cookies(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user, &get);
    assert_string_equal(last_hop(&user)->cookies, "(none)");
    answer_with(&user, 302,
                "set-cookie: a=1\nLocation: /x\nSet-Cookie: b=2; Path=/\n"
                "X-Set-Cookie: c=3\nSet-Cookie2: d=4\n");
    assert_string_equal(last_hop(&user)->cookies, "a=1; b=2");
    answer(&user, &(struct answer){
                      .status = 200, .head = "Set-Cookie: a=5\n", .is_cut = true});
    user_send(&user, &get);
    assert_non_null(strstr(last_hop(&user)->cookies, "a=5"));
    assert_non_null(strstr(last_hop(&user)->cookies, "b=2"));
    redirect(&user, 302, "http://b.example/"); /* whose they are not */
    assert_string_equal(last_hop(&user)->cookies, "(none)");
    redirect(&user, 302, "http://a.example/");
    assert_non_null(strstr(last_hop(&user)->cookies, "a=5"));
    answer(&user, &(struct answer){.status = 200});
    session_release(user.session); /* they are the user's, not the run's */
    user_send(&user, &get);
    assert_non_null(strstr(last_hop(&user)->cookies, "a=5"));
    user_close(&user);
}

/* A header of the request, or of the session, is stronger than what servers set. */
static void test_cookie_header_wins(void **state)
{
    static const char *const lines[] = {"cookie: mine=1", NULL};

    (void)state;
    for (size_t is_own = 0; is_own < 2; is_own++) {
        struct session_options options = SESSION_OPTIONS_INIT;
        struct request request = get;
        struct user user;

        options.headers = is_own ? NULL : lines;
        request.headers = is_own ? lines : NULL;
        user_open(&user, &options);
        user_send(&user, &request);
        answer_with(&user, 302, "Set-Cookie: a=1\nLocation: /x\n");
        assert_string_equal(last_hop(&user)->cookies, "(none)");
        redirect(&user, 302, "http://b.example/"); /* mine is not for that one */
        answer_with(&user, 302, "Set-Cookie: b=2\nLocation: /x\n");
        assert_string_equal(last_hop(&user)->cookies, "b=2");
        answer(&user, &(struct answer){.status = 200});
        user_close(&user);
    }
}

/* --- time -------------------------------------------------------------------------------- */

static void pass(uint64_t us)
{
    const uint64_t until = clock_us() + us;

    while (clock_us() < until) {
    }
}

static void test_time_is_shared_by_the_hops(void **state)
{
    struct session_options options = SESSION_OPTIONS_INIT;
    struct request request = get;
    struct user user;

    (void)state;
    options.timeout_s = 100;
    user_open(&user, &options);
    for (size_t i = 0; i < 2; i++) {
        const uint64_t want_us = (i == 0 ? 100 : 20) * (uint64_t)US_PER_S;

        request.timeout_s = i == 0 ? 0 : 20; /* 0: the session's */
        user_send(&user, &request);
        assert_int_equal(last_hop(&user)->timeout_us, want_us);
        assert_true(clock_us() - last_hop(&user)->started_us < want_us);
        pass(2000);
        redirect(&user, 302, "/x");
        assert_true(last_hop(&user)->timeout_us <= want_us - 2000);
        answer(&user, &(struct answer){.status = 200});
        assert_true(user.response.elapsed_us >= 2000);
    }
    user_close(&user);
}

/* A hop that has no time left gets the least there is, not none at all (no limit). */
static void test_no_time_is_left(void **state)
{
    struct request request = get;
    struct user user;

    (void)state;
    request.timeout_s = 0.001;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user, &request);
    pass(3000);
    redirect(&user, 302, "/x");
    assert_int_equal(last_hop(&user)->timeout_us, US_PER_MS);
    user_close(&user);
}

/* --- cancelling -------------------------------------------------------------------------- */

static void test_cancel(void **state)
{
    static const struct {
        const char *name;
        size_t hops;
        bool written;
        uint64_t hits, hit_errors, unsent;
    } cases[] = {
        {"before a byte was written",  0, false, 0, 0, 1},
        {"while it was answered",      0, true,  1, 1, 0},
        {"before the second hop went", 1, false, 1, 0, 1},
        {"within the second hop",      1, true,  2, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stats_totals totals;
        struct user user;

        user_open(&user, &SESSION_OPTIONS_INIT);
        user.transport.cancel_written = cases[i].written;
        user_send(&user, &get);
        for (size_t hop = 0; hop < cases[i].hops; hop++)
            redirect(&user, 302, "/x");
        session_cancel(user.session);
        if (user.responses != 1 || !user.response.cancelled ||
            user.response.failure == NULL)
            fail_msg("%s: it is not cancelled", cases[i].name);
        stats_total(&user.stats, &totals);
        if (totals.hits != cases[i].hits || totals.hit_errors != cases[i].hit_errors ||
            totals.unsent != cases[i].unsent)
            fail_msg("%s: counted otherwise", cases[i].name);
        session_cancel(user.session); /* nothing is under way */
        assert_int_equal(user.responses, 1);
        user_send(&user, &get); /* the session lives on */
        user_close(&user);
    }
}

static void test_cancel_of_nothing(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    session_cancel(user.session);
    assert_int_equal(user.responses, 0);
    assert_true(stats_is_empty(&user.stats));
    user_close(&user);
}

static void test_destroy_cancels(void **state)
{
    struct user user;

    (void)state;
    user_open(&user, &SESSION_OPTIONS_INIT);
    user_send(&user, &get);
    session_destroy(user.session);
    session_context_clear(&user.context);
    assert_int_equal(user.responses, 1);
    assert_true(user.response.cancelled);
    assert_null(user.transport.pending);
    session_destroy(NULL);
    stats_clear(&user.stats);
}

/* --- headers of the answer --------------------------------------------------------------- */

static void test_response_header(void **state)
{
    static const char head[] = "Server: fake\nEmpty:\nBlank:   \nSet-Cookie: a=b\n"
                               "set-cookie: c=d\nTight:x\nWide: \t x  y \t \n"
                               "Colons: a:b: c\n Odd : z\nLast: no line end";
    static const struct {
        const char *name, *want; /* NULL: there is none */
    } cases[] = {
        {"Server",     "fake"       },
        {"SERVER",     "fake"       },
        {"Empty",      ""           },
        {"Blank",      ""           },
        {"Set-Cookie", "a=b"        },
        {"Tight",      "x"          },
        {"Wide",       "x  y"       },
        {"Colons",     "a:b: c"     },
        {"Last",       "no line end"},
        {"Serve",      NULL         },
        {"Server2",    NULL         },
        {"fake",       NULL         },
        {"a",          NULL         },
        {"b",          NULL         },
        {"",           NULL         },
        {"Missing",    NULL         },
    };
    const struct response response = {.head = head, .head_size = sizeof(head) - 1};
    const struct response no_head = {.status = 200};
    size_t length;

    (void)state;
    assert_null(response_header(&no_head, "Server", &length));
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *const value = response_header(&response, cases[i].name, &length);

        if ((value == NULL) != (cases[i].want == NULL) ||
            (value != NULL && (length != strlen(cases[i].want) ||
                               memcmp(value, cases[i].want, length) != 0)))
            fail_msg("'%s': got '%s'", cases[i].name, value != NULL ? value : "NULL");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_asked),
        cmocka_unit_test(test_what_is_answered),
        cmocka_unit_test(test_hits),
        cmocka_unit_test(test_failure_names_the_request),
        cmocka_unit_test(test_phases_and_connections),
        cmocka_unit_test(test_transports_are_counted),
        cmocka_unit_test(test_rows_take_turns),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_label_of_a_long_url),
        cmocka_unit_test(test_relative_urls),
        cmocka_unit_test(test_requests_are_checked),
        cmocka_unit_test(test_options_are_checked),
        cmocka_unit_test(test_one_request_at_a_time),
        cmocka_unit_test(test_sending_from_on_response),
        cmocka_unit_test(test_method_after_a_redirect),
        cmocka_unit_test(test_what_is_no_redirect),
        cmocka_unit_test(test_location),
        cmocka_unit_test(test_too_many_redirects),
        cmocka_unit_test(test_hops_are_hits),
        cmocka_unit_test(test_hops_of_a_name),
        cmocka_unit_test(test_secrets_stay_in_their_origin),
        cmocka_unit_test(test_secrets_of_a_socket),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_cookie_header_wins),
        cmocka_unit_test(test_time_is_shared_by_the_hops),
        cmocka_unit_test(test_no_time_is_left),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_of_nothing),
        cmocka_unit_test(test_destroy_cancels),
        cmocka_unit_test(test_response_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
