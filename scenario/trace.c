#include "scenario/trace.h"

#include <string.h>

#include "base/text.h"

enum { TRACED = 2, BODY_SHOWN = 400 };

bool trace_is_wanted(const struct crew *crew)
{
    return crew->job->verbose >= TRACED;
}

static void show(struct worker *worker, char direction, const char *text, size_t length)
{
    crew_line(worker->crew, LINE_ACTIVITY, worker->id, "%c %.*s", direction,
              (int)length, text);
}

static void show_headers(struct worker *worker, header_lines lines)
{
    for (; lines != NULL && *lines != NULL; lines++)
        if (!header_is_left_out(*lines))
            show(worker, '>', *lines, strlen(*lines));
}

static bool is_text(const char *body, size_t length)
{
    for (size_t at = 0; at < length; at++) {
        const size_t line = strcspn(body + at, "\r\n\t");

        if (at + line >= length)
            return text_is_clean(body + at, length - at);
        if (!text_is_clean(body + at, line))
            return false;
        at += line;
    }
    return true;
}

static void show_body(struct worker *worker, char direction, const char *body,
                      size_t size)
{
    const size_t length = text_cut(body, BODY_SHOWN);

    if (size == 0)
        return;
    if (!is_text(body, length))
        crew_line(worker->crew, LINE_ACTIVITY, worker->id,
                  "%c ***WARNING: Molotov can't display this body*** (%zu bytes)",
                  direction, size);
    else if (length < size)
        crew_line(worker->crew, LINE_ACTIVITY, worker->id, "%c %.*s ... (%zu bytes)",
                  direction, (int)length, body, size);
    else
        show(worker, direction, body, length);
}

void trace_request(struct worker *worker, const struct exchange *exchange)
{
    crew_line(worker->crew, LINE_ACTIVITY, worker->id, "> %s %s", exchange->method,
              exchange->url);
    show_headers(worker, exchange->headers);
    show_headers(worker, exchange->user_headers);
    if (exchange->body != NULL)
        show_body(worker, '>', exchange->body, exchange->body_size);
}

void trace_response(struct worker *worker, const struct response *response)
{
    const char *line = response->head;
    const char *const end = line != NULL ? line + response->head_size : NULL;

    crew_line(worker->crew, LINE_ACTIVITY, worker->id, "< %d %s", response->status,
              response->reason);
    while (line != NULL && line < end) {
        const char *const stop = memchr(line, '\n', (size_t)(end - line));
        const size_t length = (size_t)((stop != NULL ? stop : end) - line);

        show(worker, '<', line, length);
        line += length + 1;
    }
    show_body(worker, '<', response->body, response->body_size);
}
