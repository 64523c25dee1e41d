/* tests/differential/play.h - one script, played to a client on one transport. */
#ifndef DIFFERENTIAL_PLAY_H
#define DIFFERENTIAL_PLAY_H

#include <stdbool.h>

#include "base/arena.h"
#include "differential/script.h"
#include "differential/server.h"
#include "http/transport.h"

/* How it went. The exchange's texts are in `arena`. */
struct outcome {
    const char *transport;
    struct exchange exchange;
    size_t requests;       /* that the server got for the exchange */
    struct exchange after; /* another one, to a server that answers well */
    struct arena arena;
};

struct stage {
    struct ev_loop *loop;
    struct server *server;
};

void outcome_clear(struct outcome *outcome);
bool outcome_next_is_fine(
    const struct outcome *outcome); /* and not what was left over */
void outcome_print(const struct outcome *outcome);

/* `transport` is one of `type`, on the loop of the stage. */
void play(const struct stage *stage, const struct transport_type *type,
          struct transport *transport, const struct script *script,
          struct outcome *ret_outcome);

#endif
