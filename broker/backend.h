/* broker/backend.h - listens to agents.
 *
 * Any message may come in any state of the agent and of its run: what does not fit is
 * answered by what would make it fit (UNKNOWN, RELEASE), or logged and ignored. */
#ifndef BROKER_BACKEND_H
#define BROKER_BACKEND_H

#include "base/zsocket.h"
#include "broker/broker.h"

/* on_message() of the backend, whose data is the broker. */
void on_backend_message(struct zsocket *zsocket, const struct zframe *route,
                        const struct zframe *body);

/* To an agent; nothing where it is absent. Clears the message. */
void backend_send(struct broker *broker, const struct agent *agent,
                  struct buffer *message);

/* One second more in which an agent was not heard of. */
void backend_tick(struct broker *broker);

#endif
