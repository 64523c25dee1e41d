/* broker/housekeeping.h - keeps the store small, a little each second. */
#ifndef BROKER_HOUSEKEEPING_H
#define BROKER_HOUSEKEEPING_H

#include "broker/broker.h"

/* Merges rows of intervals that are old enough, deletes what is too old or too much.
 * Nothing while nothing can be stored. */
void housekeeping_tick(struct broker *broker);

#endif
