#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pty.h>
#include <string.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/memory.h"
#include "runner/question.h"

enum { PATIENCE_S = 10 };

struct asking {
    struct question question;
    ev_timer patience;
    int master;
    unsigned answers;
    bool detach;
};

static void on_answer(struct question *question, bool detach)
{
    struct asking *const asking = question->owner;

    asking->answers++;
    asking->detach = detach;
    ev_break(question->loop, EVBREAK_ALL);
}

static void on_patience_end(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)timer;
    (void)revents;
    ev_break(loop, EVBREAK_ALL);
}

/* Standard input becomes a terminal, at which somebody types. */
static void start(struct asking *asking)
{
    int terminal;

    *asking = (struct asking){
        .question = {.loop = loop_new(), .on_answer = on_answer}
    };
    asking->question.owner = asking;
    assert_int_equal(openpty(&asking->master, &terminal, NULL, NULL, NULL), 0);
    dup2(terminal, STDIN_FILENO);
    close(terminal);
    ev_timer_init(&asking->patience, on_patience_end, PATIENCE_S, 0);
    ev_timer_start(asking->question.loop, &asking->patience);
    assert_true(question_can_be_asked());
    question_ask(&asking->question);
}

static void end(struct asking *asking)
{
    question_withdraw(&asking->question);
    ev_timer_stop(asking->question.loop, &asking->patience);
    ev_loop_destroy(asking->question.loop);
    close(asking->master);
}

static void test_answers(void **state)
{
    static const struct {
        const char *typed;
        bool detach;
    } cases[] = {
        {"s\n",              false},
        {"Stop\n",           false},
        {"d\n",              true },
        {" \tDetach\n",      true },
        {"\nno\nxd\n?\nd\n", true },
        {"help\ns\nd\n",     false}, /* the first one that is an answer */
        {"\x04",             false}, /* the end of the file */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const ssize_t size = (ssize_t)strlen(cases[i].typed);
        struct asking asking;

        start(&asking);
        assert_int_equal(write(asking.master, cases[i].typed, (size_t)size), size);
        ev_run(asking.question.loop, 0);
        assert_int_equal(asking.answers, 1);
        assert_int_equal(asking.detach, cases[i].detach);
        assert_false(asking.question.is_asked);
        end(&asking);
    }
}

/* What is typed when no answer is wanted any more is none. */
static void test_withdrawn(void **state)
{
    struct asking asking;

    (void)state;
    start(&asking);
    question_withdraw(&asking.question);
    assert_int_equal(write(asking.master, "d\n", 2), 2);
    ev_timer_stop(asking.question.loop, &asking.patience);
    ev_run(asking.question.loop, 0); /* nothing is left that it could wait for */
    assert_int_equal(asking.answers, 0);
    end(&asking);
}

static void test_nobody_to_ask(void **state)
{
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[0], STDIN_FILENO);
    assert_false(question_can_be_asked());
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_withdrawn),
        cmocka_unit_test(test_nobody_to_ask),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
