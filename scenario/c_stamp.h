/* scenario/c_stamp.h - the ABI stamp of a compiled test: see include/molotov.h. */
#ifndef SCENARIO_C_STAMP_H
#define SCENARIO_C_STAMP_H

#include "base/error.h"

/* Whether this program can load the object, by its ABI stamp, without running any of
 * it. -1: `err` says what differs. */
int c_check_stamp(const char *object, struct error *err);

#endif
