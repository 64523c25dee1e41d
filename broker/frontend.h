/* broker/frontend.h - answers runners, consoles, and agents that look for the broker.
 *
 * Each request is whole in itself and may come twice. */
#ifndef BROKER_FRONTEND_H
#define BROKER_FRONTEND_H

#include "base/zsocket.h"

/* For as long after its start a broker does not say that it has too few agents: those of
 * its former life come back. In ticks. */
#define FRONTEND_GRACE 5u

/* on_message() of the frontend, whose data is the broker. */
void on_frontend_message(struct zsocket *zsocket, const struct zframe *route,
                         const struct zframe *body);

#endif
