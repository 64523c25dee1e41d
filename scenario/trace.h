/* scenario/trace.h - requests and answers as lines, for -vv. */
#ifndef SCENARIO_TRACE_H
#define SCENARIO_TRACE_H

#include <stdbool.h>

#include "http/session.h"
#include "scenario/worker.h"

bool trace_is_wanted(const struct crew *crew);

/* "> GET http://...", a line for each header that the test gave, and the body. */
void trace_request(struct worker *worker, const struct exchange *exchange);

/* "< 200 OK", a line for each header, and the body as it was decoded. */
void trace_response(struct worker *worker, const struct response *response);

#endif
