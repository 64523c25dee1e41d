#include "scenario/host.h"

#include "base/buffer.h"

const struct host_type *const host_types[] = {&host_url, &host_c, NULL};

const struct host_type *host_find(const char *test, struct error *err)
{
    struct buffer kinds = BUFFER_INIT;

    for (size_t i = 0; host_types[i] != NULL; i++) {
        if (host_types[i]->takes(test)) {
            buffer_clear(&kinds);
            return host_types[i];
        }
        buffer_printf(&kinds, "%s%s", i > 0 ? ", or " : "", host_types[i]->help);
    }
    error_set(err, "'%s' is no test: a test is %s", test, buffer_text(&kinds));
    buffer_clear(&kinds);
    return NULL;
}
