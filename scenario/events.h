/* scenario/events.h - what a test's listeners are told. */
#ifndef SCENARIO_EVENTS_H
#define SCENARIO_EVENTS_H

#include "http/session.h"
#include "scenario/test.h"

enum event_kind {
    EVENT_CURRENT_WORKERS,
    EVENT_SCENARIO_START,
    EVENT_SCENARIO_SUCCESS,
    EVENT_SCENARIO_FAILURE,
    EVENT_SENDING_REQUEST,
    EVENT_RESPONSE_RECEIVED,
};

struct worker;

/* Fields that do not belong to the kind are NULL or 0. */
struct event {
    enum event_kind kind;
    size_t workers;
    struct worker *worker;
    const struct scenario *scenario;
    const char *error;
    const char *method, *url;
    const struct response *response;
};

#endif
