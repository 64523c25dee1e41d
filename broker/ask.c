#include "broker/ask.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/endpoint.h"
#include "base/loop.h"
#include "base/zsocket.h"
#include "proto/cluster.h"

#define REPEAT_S 0.25

struct question {
    struct zsocket zsocket;
    ev_timer repeat, timeout;
    bool answered;
    uint64_t pid; /* 0: it said something else */
    char *refusal;
};

static void take_answer(struct question *question, const msgpack_object *map)
{
    enum proto_message kind;
    struct message_pong pong;

    if (message_identify(map, &kind, NULL) == -1)
        return;
    if (kind == MESSAGE_PONG && message_unpack_pong(map, &pong, NULL) == 0) {
        question->answered = true;
        question->pid = pong.pid;
        message_pong_clear(&pong);
    } else if (kind == MESSAGE_REFUSED && question->refusal == NULL) {
        question->answered = message_unpack_why(map, &question->refusal, NULL) == 0;
    }
}

static void on_answer(struct zsocket *zsocket, const struct zframe *route,
                      const struct zframe *body)
{
    struct question *const question = zsocket->data;
    struct wire_message message;

    (void)route;
    if (wire_decode(body->data, body->size, &message, NULL) == -1)
        return;
    take_answer(question, &message.root);
    wire_clear(&message);
    if (question->answered)
        ev_break(zsocket->loop, EVBREAK_ALL);
}

static void on_repeat_due(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct question *const question = timer->data;
    struct buffer message = BUFFER_INIT;

    (void)loop;
    (void)revents;
    message_pack_request(&message, MESSAGE_PING);
    zsocket_send(&question->zsocket, NULL, &message);
    buffer_clear(&message);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

static void wait_for_answer(struct question *question, struct ev_loop *loop,
                            double timeout_s)
{
    ev_timer_init(&question->repeat, on_repeat_due, 0, REPEAT_S);
    ev_timer_init(&question->timeout, on_timeout, timeout_s, 0);
    question->repeat.data = question;
    ev_timer_start(loop, &question->repeat);
    ev_timer_start(loop, &question->timeout);
    ev_run(loop, 0);
    ev_timer_stop(loop, &question->repeat);
    ev_timer_stop(loop, &question->timeout);
}

static int judge(const struct question *question, const char *endpoint,
                 uint64_t *ret_pid, struct error *err)
{
    if (question->refusal != NULL)
        return error_set(err, "the broker on %s refuses: %s", endpoint,
                         question->refusal);
    if (!question->answered)
        return error_set(err, "There seems to be no broker on %s", endpoint);
    *ret_pid = question->pid;
    return 0;
}

int ask_pid(const char *endpoint, double timeout_s, uint64_t *ret_pid,
            struct error *err)
{
    struct question question = {.zsocket = {.on_message = on_answer}};
    struct ev_loop *const loop = loop_new();
    void *const context = zcontext_new();
    char *const reachable = endpoint_as_seen(endpoint, "tcp://127.0.0.1:1");
    int rc = -1;

    question.zsocket.data = &question;
    if (zsocket_open(&question.zsocket, context, loop, ZSOCKET_DEALER, err) == -1 ||
        zsocket_connect(&question.zsocket, reachable, err) == -1)
        goto out;
    if (!endpoint_is_dead(endpoint))
        wait_for_answer(&question, loop, timeout_s);
    rc = judge(&question, endpoint, ret_pid, err);
out:
    zsocket_close(&question.zsocket, 0);
    zcontext_destroy(context);
    ev_loop_destroy(loop);
    free(question.refusal);
    free(reachable);
    return rc;
}
