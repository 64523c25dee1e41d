#include "differential/play.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum { TIMEOUT_S = 20 };

static const char fine_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";
static const struct script fine = {
    .bytes = {.data = (char *)(uintptr_t)fine_answer, .size = sizeof(fine_answer) - 1},
};

/* Asked with a header of its own, so that it is another request than a script's: each keeps
 * the head of its own answers (seen_head.h). */
static const char *const fine_headers[] = {"X-Fine: 1", NULL};

static void on_done(struct exchange *exchange)
{
    *(bool *)exchange->data = true;
}

/* Asks for what `script` answers, and waits until both sides have done their part. */
static void ask(const struct stage *stage, const struct transport_type *type,
                struct transport_user *user, const char *method, bool on_unix,
                const struct script *script, struct arena *arena,
                struct exchange *ret_exchange)
{
    const bool has_body = strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0;
    bool done = false;

    *ret_exchange = (struct exchange){
        .method = method,
        .url = server_url(stage->server, on_unix),
        .headers = script == &fine ? fine_headers : NULL,
        .body = has_body ? "x=1" : NULL,
        .body_size = has_body ? 3 : 0,
        .started_us = clock_us(),
        .timeout_us = (uint64_t)TIMEOUT_S * US_PER_S,
        .keep_body = true,
        .arena = arena,
        .on_done = on_done,
        .data = &done,
    };
    server_expect(stage->server, script);
    type->start(user, ret_exchange);
    while (!done)
        ev_run(stage->loop, EVRUN_ONCE);
    server_client_is_served(stage->server);
    while (!server_is_quiet(stage->server))
        ev_run(stage->loop, EVRUN_ONCE);
    ev_run(stage->loop, EVRUN_NOWAIT); /* the client may see what came at last */
    ret_exchange->data = NULL;
}

void play(const struct stage *stage, const struct transport_type *type,
          struct transport *transport, const struct script *script,
          struct outcome *ret_outcome)
{
    struct transport_user *const user = type->user_new(transport);

    *ret_outcome = (struct outcome){.transport = type->name};
    if (script->on_kept)
        ask(stage, type, user, "GET", script->on_unix, &fine, &ret_outcome->arena,
            &ret_outcome->exchange);
    ask(stage, type, user, script->method, script->on_unix, script, &ret_outcome->arena,
        &ret_outcome->exchange);
    ret_outcome->requests = server_requests(stage->server);
    ask(stage, type, user, "GET", script->on_unix, &fine, &ret_outcome->arena,
        &ret_outcome->after);
    type->user_destroy(user);
    while (!server_is_quiet(stage->server))
        ev_run(stage->loop, EVRUN_ONCE);
}

void outcome_clear(struct outcome *outcome)
{
    arena_clear(&outcome->arena);
}

bool outcome_next_is_fine(const struct outcome *outcome)
{
    return outcome->after.complete && outcome->after.body_data != NULL &&
           strcmp(outcome->after.body_data, "fine") == 0;
}

static void print_exchange(const char *name, const struct exchange *exchange)
{
    printf("    %s: ", name);
    if (exchange->complete)
        printf("complete");
    else
        printf("'%s' (%s)", exchange->failure,
               exchange->detail != NULL ? exchange->detail : "no detail");
    printf(", status %d '%s', head of %zu, body of %zu, %llu bytes, %s connection%s\n",
           exchange->status, exchange->reason != NULL ? exchange->reason : "",
           exchange->head_size, exchange->body_length,
           (unsigned long long)exchange->bytes_in,
           exchange->new_connection ? "new" : "kept",
           exchange->replaced ? ", replaced" : "");
}

void outcome_print(const struct outcome *outcome)
{
    printf("  %s, %zu requests seen\n", outcome->transport, outcome->requests);
    print_exchange("answer", &outcome->exchange);
    print_exchange("next", &outcome->after);
}
