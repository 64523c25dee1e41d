/* runner/question.h - asks the person whether to stop the run or to leave it alone, while
 * the loop goes on. */
#ifndef RUNNER_QUESTION_H
#define RUNNER_QUESTION_H

#include <stdbool.h>

#include <ev.h>

#include "base/buffer.h"

struct question {
    /* Filled in by the owner. */
    struct ev_loop *loop;
    /* The answer; `detach` is false, too, when there is nobody to answer any more. */
    void (*on_answer)(struct question *question, bool detach);
    void *owner;

    /* What follows is its own. */
    ev_io readable;
    struct buffer typed;
    bool is_asked;
};

/* Whether there is somebody to ask: stdin is a terminal, and this is its foreground. */
bool question_can_be_asked(void);

void question_ask(struct question *question);

/* No answer is wanted any more. Not asked is fine. */
void question_withdraw(struct question *question);

#endif
