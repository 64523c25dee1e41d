#include "runner/question.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TYPED_MAX = 1000 }; /* bytes of a line: what is longer is no answer */

static void show_question(void)
{
    fputs("Do you want to (s)top the test or (d)etach ? ", stderr);
}

bool question_can_be_asked(void)
{
    const pid_t foreground = tcgetpgrp(STDIN_FILENO); /* -1: it does not control us */

    /* In the background, reading from the terminal would stop this process. */
    return isatty(STDIN_FILENO) && (foreground == -1 || foreground == getpgrp());
}

static void end_question(struct question *question)
{
    ev_io_stop(question->loop, &question->readable);
    buffer_clear(&question->typed);
    question->is_asked = false;
}

/* What the first line means: 's' or 'd'; '?' for something else; '\0': there is none. */
static char take_line(struct buffer *typed)
{
    const char *const end =
        typed->size > 0 ? memchr(typed->data, '\n', typed->size) : NULL;
    char first;

    if (end == NULL && typed->size <= TYPED_MAX)
        return '\0';
    if (end == NULL) {
        buffer_reset(typed);
        return '?';
    }
    first = typed->data[strspn(typed->data, " \t")];
    buffer_drop(typed, (size_t)(end - typed->data) + 1);
    if (first == 's' || first == 'S')
        return 's';
    return first == 'd' || first == 'D' ? 'd' : '?';
}

static void take_lines(struct question *question)
{
    char answer;

    while ((answer = take_line(&question->typed)) == '?')
        show_question();
    if (answer == '\0')
        return;
    end_question(question);
    question->on_answer(question, answer == 'd');
}

static void on_typed(struct ev_loop *loop, ev_io *io, int revents)
{
    struct question *const question = io->data;
    char text[256];
    const ssize_t count = read(STDIN_FILENO, text, sizeof(text));

    (void)loop;
    (void)revents;
    if (count == -1 && (errno == EINTR || errno == EAGAIN))
        return;
    if (count > 0) {
        buffer_add(&question->typed, text, (size_t)count);
        take_lines(question);
        return;
    }
    fputs("\n", stderr);
    end_question(question);
    question->on_answer(question, false);
}

void question_ask(struct question *question)
{
    question->is_asked = true;
    question->typed = BUFFER_INIT;
    ev_io_init(&question->readable, on_typed, STDIN_FILENO, EV_READ);
    question->readable.data = question;
    ev_io_start(question->loop, &question->readable);
    fputs("\n", stderr); /* the live line stays above it */
    show_question();
}

void question_withdraw(struct question *question)
{
    if (!question->is_asked)
        return;
    fputs("\n", stderr);
    end_question(question);
}
