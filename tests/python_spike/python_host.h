/* tests/python_spike/python_host.h - tests in Python: `async def` scenarios, as tasks of
 * a real asyncio loop. A spike: it proves that scenario/host.h takes more than C. */
#ifndef TESTS_PYTHON_HOST_H
#define TESTS_PYTHON_HOST_H

#include "scenario/host.h"

extern const struct host_type host_python;

#endif
