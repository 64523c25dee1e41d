#include "http/transport.h"

#include <string.h>

#include "base/clock.h"
#include "base/memory.h"

const struct transport_type *const transport_types[] = {
    &transport_auto,
    &transport_direct,
    &transport_curl,
    NULL,
};

const struct transport_type *transport_find(const char *name)
{
    for (size_t i = 0; transport_types[i] != NULL; i++) {
        if (strcmp(transport_types[i]->name, name) == 0)
            return transport_types[i];
    }
    return NULL;
}

bool transport_may_repeat(const char *method)
{
    static const char *const idempotent[] = {"GET",   "HEAD", "OPTIONS",
                                             "TRACE", "PUT",  "DELETE"};

    for (size_t i = 0; i < ARRAY_SIZE(idempotent); i++) {
        if (strcmp(idempotent[i], method) == 0)
            return true;
    }
    return false;
}

static uint64_t time_left_us(const struct exchange *exchange, uint64_t of_us)
{
    const uint64_t spent_us = clock_us() - exchange->started_us;

    return of_us > spent_us ? of_us - spent_us : 1;
}

uint64_t transport_time_left_us(const struct exchange *exchange)
{
    return time_left_us(exchange, exchange->timeout_us);
}

uint64_t transport_connect_time_left_us(const struct exchange *exchange)
{
    const uint64_t connect_us = CONNECT_TIMEOUT_S * (uint64_t)US_PER_S;

    return time_left_us(exchange, exchange->timeout_us < connect_us
                                      ? exchange->timeout_us
                                      : connect_us);
}
