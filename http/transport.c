#include "http/transport.h"

#include <string.h>

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
