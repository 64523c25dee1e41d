/* broker/orders.h - what a run tells one of its agents. Only for run.c and run_store.c. */
#ifndef BROKER_ORDERS_H
#define BROKER_ORDERS_H

#include "broker/run.h"

void order_prepare(const struct run *run, const struct agent *agent);
void order_start(const struct run *run, const struct agent *agent);
void order_stop(const struct run *run, const struct agent *agent); /* as the run does */

/* Its REPORTs up to this one are held for good. */
void order_ack(const struct run *run, const struct agent *agent, uint64_t held);

/* It cannot have what it asked for. */
void order_refuse(const struct run *run, const struct agent *agent, const char *why);

/* It is to forget the run of this name, perhaps not this one. */
void order_release(const struct run *run, const struct agent *agent, const char *id);

/* The agent of this slot is free, whatever it does; there is one. */
void order_let_go(const struct run *run, struct run_slot *slot);

#endif
